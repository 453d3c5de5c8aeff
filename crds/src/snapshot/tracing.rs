//! Traces of requests: which are told, and to whom.

use serde::{Deserialize, Serialize};

use super::{BackendId, Gateway, Listener};

/// Traces of a gateway's requests (XTelemetryPolicy).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracing {
    /// Who is told, by OTLP over HTTP; `None` where the reference leads nowhere: traces go on, and nobody is told.
    pub backend: Option<BackendId>,
    /// Fields of the requests that tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
    /// `service.name`.
    pub service: String,
    /// Name of spans; `None`: the method of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// Share of the traces that are told where nobody else decides.
    pub share: Share,
    /// Of the traces that others tell, the share that is told here; those that they do not tell are not. `None`: what
    /// others decide does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_share: Option<Share>,
    /// What every span says besides: name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, AttributeValue)>,
}

/// A part of all: `numerator` in `denominator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Upper part; at least `denominator` = all.
    pub numerator: u32,
    /// Lower part, at least 1.
    pub denominator: u32,
}

/// Where the value of an attribute comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value")]
pub enum AttributeValue {
    /// The first field of the request with this name, in lower case.
    Field(String),
    /// This text.
    Literal(String),
    /// Another attribute of the span.
    Attribute(String),
}

// === impl Gateway ===

impl Gateway {
    /// Every back end that it needs besides those of its routes.
    pub fn backends(&self) -> impl Iterator<Item = BackendId> {
        let told = self.tracing.as_ref().and_then(|tracing| tracing.backend);
        self.listeners.iter().flat_map(Listener::backends).chain(told)
    }

    /// The same, to be numbered anew.
    pub fn backends_mut(&mut self) -> impl Iterator<Item = &mut BackendId> {
        let told = self.tracing.as_mut().and_then(|tracing| tracing.backend.as_mut());
        self.listeners.iter_mut().flat_map(Listener::backends_mut).chain(told)
    }
}
