//! Traces of a gateway's requests, made ready for look-ups.

use std::sync::Arc;

use igw_crds::snapshot::Tracing;

use super::authority;
use crate::upstream::backend::Backend;

/// What is told of requests, and to whom.
pub(crate) struct TracingTables {
    pub(crate) rules: Tracing,
    /// `None`: traces go on, and nobody is told.
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only collectors need it"))]
    pub(crate) collector: Option<Collector>,
}

/// Who is told.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only collectors need it"))]
pub(crate) struct Collector {
    pub(crate) backend: Arc<Backend>,
    /// The name by which it is asked for.
    pub(crate) authority: String,
}

// === impl TracingTables ===

impl TracingTables {
    pub(super) fn new(rules: &Tracing, backends: &[Arc<Backend>]) -> Self {
        let backend = rules.backend.and_then(|id| backends.get(id.0 as usize));
        let collector =
            backend.map(|backend| Collector { backend: Arc::clone(backend), authority: authority(backend) });
        Self { rules: rules.clone(), collector }
    }
}
