//! What others see of the control side: sync for proxies, the admin address, metrics. Both modes use it.

pub mod admin;
pub mod http;
pub mod metrics;
pub mod sync_server;
