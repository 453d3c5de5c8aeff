//! TLS on the worker's shared buffers. The library is named here and nowhere else in the data path.

pub(crate) mod clients;
pub(crate) mod config;
pub(crate) mod hello;
pub(crate) mod keys;
pub(crate) mod provider;
pub(crate) mod stream;
pub(crate) mod subject;
pub(crate) mod trust;
