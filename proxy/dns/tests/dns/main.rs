//! Tests of the stub resolver and of server templates, through their public doors.

mod corpus;
mod message;
mod oracle;
mod resolver;
mod server;
mod slots;
mod template;
