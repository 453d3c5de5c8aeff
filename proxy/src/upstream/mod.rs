//! Back ends, their endpoints, and what a worker keeps of them.

pub(crate) mod backend;
pub(crate) mod endpoint;
pub(crate) mod local;
pub(crate) mod queue;
pub(crate) mod retry_budget;
pub(crate) mod secure;
pub(crate) mod shared_link;
pub(crate) mod template_states;
