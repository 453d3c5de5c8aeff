//! Stub resolver and server templates.
//!
//! The stub asks what HAProxy's resolver asks and believes less: an answer counts only if id, address, port,
//! question and direction match. The core of templates is pure: time comes in, endpoints go out. Transport is
//! the only module with sockets. Nothing here knows of routes, checks or metrics.

pub mod guard;
pub mod message;
mod resolv_conf;
pub mod resolver;
pub mod slots;
pub mod template;
mod transport;
