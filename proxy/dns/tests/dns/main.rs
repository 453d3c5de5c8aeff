//! Tests of the stub resolver and of server templates, through their public doors.

mod message;
mod resolver;
mod server;
mod slots;
mod template;
