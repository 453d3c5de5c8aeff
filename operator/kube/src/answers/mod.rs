//! Answers, one file per kind of request.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod discovery;
pub(crate) mod openapi;
pub(crate) mod patch;
pub(crate) mod read;
pub(crate) mod replace;
pub(crate) mod shape;
pub(crate) mod watch;
pub(crate) mod wish;
