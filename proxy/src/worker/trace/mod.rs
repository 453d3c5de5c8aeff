//! Traces of requests: a request is a part of the trace that its client tells of, or begins one. Its back end is told, logs
//! name the trace, and of the requests that are drawn a collector is told (`otlp`).

mod context;
#[cfg(feature = "otlp")]
pub(crate) mod export;
#[cfg(feature = "otlp")]
mod span;

use std::time::Duration;

use igw_crds::snapshot::Share;
use igw_h1::RequestHead;

use super::Worker;
use super::client::Peer;
use super::random::Random;
use super::request::{Request, RequestEnd};
use crate::tables::PortTables;
use crate::tables::tracing::TracingTables;
use context::{FIELD_BYTES, TRACEPARENT, TRACESTATE, write_hex};

/// Where a request stands in its trace.
pub(crate) struct Trace {
    /// Of the whole trace.
    id: [u8; 16],
    /// Of this request.
    span: [u8; 8],
    flags: u8,
    /// What others say of the trace.
    state: Vec<u8>,
    /// What a collector is told at the end of the request.
    #[cfg(feature = "otlp")]
    draft: Option<Box<span::Draft>>,
}

/// What a trace knows of its request.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only collectors need it"))]
pub(crate) struct Seen<'a> {
    pub(crate) buf: &'a [u8],
    pub(crate) head: &'a RequestHead,
    /// In one form, without its port.
    pub(crate) host: &'a [u8],
    /// In one form.
    pub(crate) path: &'a [u8],
}

// === impl Trace ===

impl Trace {
    /// Goes on with the trace of a request, or begins one.
    pub(crate) fn begin(worker: &Worker, tables: &TracingTables, client: &Peer, seen: &Seen<'_>) -> Self {
        let parent = context::parent(seen.buf, seen.head);
        let rules = &tables.rules;
        let draws = |share: Share| is_drawn(&worker.random, share);
        let is_told = match (&parent, rules.parent_share) {
            (Some(parent), Some(share)) => parent.flags & TOLD != 0 && draws(share),
            _ => draws(rules.share),
        };
        let mut state = Vec::new();
        let kept = parent.as_ref().map_or(0, |parent| parent.flags & RANDOM);
        if parent.is_some() {
            context::state(seen.buf, seen.head, &mut state);
        }
        #[cfg(feature = "otlp")]
        let draft = (is_told && tables.collector.is_some()).then(|| {
            let above = parent.as_ref().map(|parent| parent.span);
            Box::new(span::Draft::new(rules, client, seen, above))
        });
        #[cfg(not(feature = "otlp"))]
        let _ = client;
        Self {
            id: parent.map_or_else(|| some_id(rand::random), |parent| parent.trace),
            span: some_id(rand::random),
            flags: kept | if is_told { TOLD } else { 0 },
            state,
            #[cfg(feature = "otlp")]
            draft,
        }
    }

    /// The value of `traceparent` for back ends.
    pub(crate) fn parent(&self) -> [u8; FIELD_BYTES] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let [_, _, _, rest @ ..] = &mut text;
        let (id, rest) = rest.split_at_mut(32);
        write_hex(id, &self.id);
        if let Some((_, rest)) = rest.split_first_mut() {
            let (span, rest) = rest.split_at_mut(16);
            write_hex(span, &self.span);
            write_hex(rest.get_mut(1..).unwrap_or_default(), &[self.flags]);
        }
        text
    }

    /// Fields that tell a back end. `parent` is the value for them.
    pub(crate) fn fields<'t>(
        &'t self,
        parent: &'t [u8; FIELD_BYTES],
    ) -> impl Iterator<Item = (&'t [u8], &'t [u8])> {
        let state = (!self.state.is_empty()).then_some((TRACESTATE, self.state.as_slice()));
        [(TRACEPARENT, parent.as_slice())].into_iter().chain(state)
    }

    /// The trace in digits, as logs name it.
    pub(crate) fn name(&self) -> [u8; 32] {
        let mut text = [0; 32];
        write_hex(&mut text, &self.id);
        text
    }

    /// The request has ended.
    pub(crate) fn end(&self, worker: &Worker, request: &Request, took: Duration, end: &RequestEnd<'_>) {
        #[cfg(feature = "otlp")]
        if let Some(draft) = &self.draft {
            export::tell(worker, request, self, draft, took, end);
        }
        #[cfg(not(feature = "otlp"))]
        let _ = (worker, request, took, end);
    }
}

/// The trace of a request that is about to be decided, if its gateway has traces.
pub(crate) fn of(worker: &Worker, port: &PortTables, client: &Peer, seen: &Seen<'_>) -> Option<Trace> {
    port.tracing.as_ref().map(|tables| Trace::begin(worker, tables, client, seen))
}

/// Fields of clients in whose place the gateway's own stand.
pub(crate) fn is_field(name: &[u8]) -> bool {
    context::is_context(name)
}

fn is_drawn(random: &Random, share: Share) -> bool {
    random.below(share.denominator.into()) < share.numerator.into()
}

/// A name that is not zero: that would be none.
fn some_id<const N: usize>(mut draw: impl FnMut() -> [u8; N]) -> [u8; N] {
    loop {
        let id = draw();
        if id != [0; N] {
            return id;
        }
    }
}

/// The flag of traces that are told.
const TOLD: u8 = 1;
/// The flag of traces whose names are drawn at random: it stays with them (level 2).
const RANDOM: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_drawn() {
        let random = Random::new(11);
        let count = |numerator, denominator| {
            (0..10_000).filter(|_| is_drawn(&random, Share { numerator, denominator })).count()
        };
        assert_eq!((count(0, 100), count(1, 1), count(100, 100)), (0, 10_000, 10_000));
        let few = count(5, 100);
        assert!((400..600).contains(&few), "{few}");
    }

    #[test]
    fn what_is_told_can_be_read() {
        let trace = Trace {
            id: [0xab; 16],
            span: [0x01; 8],
            flags: TOLD,
            state: b"a=1".to_vec(),
            #[cfg(feature = "otlp")]
            draft: None,
        };
        let parent = trace.parent();
        let text = "00-abababababababababababababababab-0101010101010101-01";
        assert_eq!(String::from_utf8_lossy(&parent), text);
        let fields: Vec<_> = trace.fields(&parent).collect();
        assert_eq!(fields, [(TRACEPARENT, text.as_bytes()), (TRACESTATE, b"a=1".as_slice())]);
        assert_eq!(trace.name(), b"ab".repeat(16)[..]);
        let mut draws = [[0; 8], [0; 8], [7; 8]].into_iter();
        assert_eq!(some_id(|| draws.next().unwrap_or_default()), [7; 8]);
    }
}
