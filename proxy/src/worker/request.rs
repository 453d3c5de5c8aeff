//! One request between its head and its end: what was decided, and what the answer needs of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use igw_crds::snapshot::Retry;
use igw_h1::{Body, Version};

use super::authorize::Gate;
use super::authorize::body::Room;
use super::authorize::question::Question;
use super::mirror::Mirrors;
use super::timer::Tick;
use super::trace::Trace;
use super::{LocalTables, Worker};
use crate::log::LogDraft;
use crate::metrics::series::Series;
use crate::sessions::Session;
use crate::tables::{Filters, PortTables, TargetTables};
use crate::upstream::local::LocalBackend;

/// A request whose head was understood or refused.
pub(crate) struct Request {
    pub(crate) tables: Rc<LocalTables>,
    /// Port number; `None` once the port is configured no more.
    pub(crate) port: usize,
    pub(crate) target: Option<usize>,
    /// Index of the chosen backendRef.
    pub(crate) candidate: Option<usize>,
    /// The client is spoken with over TLS.
    pub(crate) is_secure: bool,
    /// Listener that had no route.
    pub(crate) listener: Option<usize>,
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
    pub(crate) body: Body,
    /// The client asked for another protocol.
    pub(crate) upgrade: bool,
    /// A call of gRPC: the gateway's own answers have its form.
    pub(crate) is_grpc: bool,
    pub(crate) outcome: Outcome,
    /// Head for the back end, with the body where all of it came with the head.
    pub(crate) head: Vec<u8>,
    /// `head` holds the whole body.
    pub(crate) is_complete: bool,
    /// The client waits for 100 (Continue) before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Tick>,
    pub(crate) log: Option<Box<LogDraft>>,
    /// Fields of the answer that tell of other origins, where a filter is configured.
    pub(crate) cors: Option<Vec<u8>>,
    /// What few requests need.
    pub(crate) extras: Option<Box<Extras>>,
    /// Copies for other back ends.
    pub(crate) mirrors: Option<Box<Mirrors>>,
    /// It is such a copy: no more than one endpoint gets it.
    pub(crate) is_copy: bool,
}

/// What few requests need: those without carry no room for it.
#[derive(Default)]
pub(crate) struct Extras {
    /// The endpoint that the client's session names.
    pub(crate) session: Option<Session>,
    /// What the answer says of the session: the value of its field, where it is new.
    pub(crate) session_field: RefCell<Vec<u8>>,
    /// What decides whether it may go on, and was not asked yet.
    pub(crate) question: Option<Question>,
    /// Where it stands among the filters of its listener, while it does.
    pub(crate) gate: Option<Gate>,
    /// Somebody was asked, and it does not go on by itself.
    pub(crate) is_held: bool,
    /// What who was asked says to the client.
    pub(crate) answer_fields: Vec<AnswerField>,
    /// Where it stands in its trace.
    pub(crate) trace: Option<Trace>,
    /// What its body takes of the room for bodies that are kept.
    pub(crate) room: Option<Room>,
    /// It is a question itself, a call of gRPC.
    pub(crate) is_call: bool,
}

/// A field of the answer that somebody else than the back end says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AnswerField {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// The back end's of the same name are dropped.
    pub(crate) is_alone: bool,
}

/// What the engine must know of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    /// GET or OPTIONS.
    Safe,
    Other,
}

/// What is done with a request.
pub(crate) enum Outcome {
    Forward(Rc<LocalBackend>),
    Answer(Answer),
}

/// An answer of the gateway itself.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) cause: Cause,
    pub(crate) location: Option<Vec<u8>>,
    /// In place of the words for people.
    pub(crate) body: Option<Arc<str>>,
    /// In place of all that the gateway would say.
    pub(crate) passed: Option<Arc<Passed>>,
}

/// What somebody else said.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// A cause token.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    Known(&'static str),
    Configured(Arc<str>),
}

// === impl Request ===

impl Request {
    pub(crate) fn port_tables(&self) -> Option<&PortTables> {
        self.tables.shared.ports.get(self.port).and_then(Option::as_deref)
    }

    pub(crate) fn target_tables(&self) -> Option<&TargetTables> {
        self.target.and_then(|target| self.port_tables()?.targets.get(target))
    }

    /// What the listener says of TLS in answers: `Strict-Transport-Security`. Where it says something, back ends do not.
    pub(crate) fn hsts(&self) -> Option<&[u8]> {
        let listener = self.target_tables().map(|target| target.listener).or(self.listener)?;
        self.port_tables()?.clients.get(listener)?.hsts.as_deref()
    }

    /// Filters of the chosen backendRef.
    pub(crate) fn candidate_filters(&self) -> Option<&Filters> {
        let target = self.target_tables()?;
        match &target.rule.action {
            crate::tables::ActionTables::Forward(candidates) => {
                candidates.get(self.candidate?).map(|candidate| &candidate.filters)
            }
            crate::tables::ActionTables::Respond { .. } => None,
        }
    }

    /// The counters of this request.
    pub(crate) fn series(&self) -> Option<&Arc<Series>> {
        if let Some(target) = self.target_tables() {
            return match self.candidate {
                Some(candidate) => target.series.get(candidate),
                None => target.series.last(),
            };
        }
        let port = self.port_tables()?;
        match self.listener {
            Some(listener) => port.unrouted.get(listener),
            None => port.unrouted.last(),
        }
    }

    /// Whether it may go on is not known yet.
    pub(crate) fn is_open(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.question.is_some() || extras.is_held)
    }

    /// Where it stands in its trace, if its gateway has traces.
    pub(crate) fn trace(&self) -> Option<&Trace> {
        self.extras.as_ref()?.trace.as_ref()
    }

    /// What the rule says of tries.
    pub(crate) fn retry(&self) -> Option<&Retry> {
        self.target_tables()?.rule.retry.as_ref().filter(|_| !self.is_copy)
    }

    /// No more of its body is to come.
    pub(crate) fn has_whole_body(&self) -> bool {
        self.is_complete || !matches!(self.body, Body::Length(_) | Body::Chunked)
    }

    /// The same request for another back end. Its body comes another way.
    pub(crate) fn copied(&self, local: Rc<LocalBackend>) -> Self {
        self.copied_with(local, self.head.clone())
    }

    /// The same with another head.
    pub(crate) fn copied_with(&self, local: Rc<LocalBackend>, head: Vec<u8>) -> Self {
        Self {
            tables: Rc::clone(&self.tables),
            candidate: None,
            outcome: Outcome::Forward(local),
            head,
            log: None,
            cors: None,
            extras: None,
            mirrors: None,
            is_copy: true,
            ..*self
        }
    }

    /// A request without a byte of answer may be sent again.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.method != Method::Other && !self.is_copy && (self.body == Body::None || self.is_complete)
    }

    /// Counts and logs the request, once; `status` 0 stands for no answer.
    pub(crate) fn finish(&mut self, worker: &Worker, end: RequestEnd<'_>) {
        let duration = crate::clock::now().saturating_duration_since(self.started);
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(series) = self.series() {
            series.count(worker.index, end.status, duration_us);
        }
        if let Some(draft) = self.log.take() {
            worker.log_request(self, *draft, duration, &end);
        }
        worker.scratch.give(std::mem::take(&mut self.head));
        worker.scratch.give(self.cors.take().unwrap_or_default());
        if let Some(extras) = self.extras.take() {
            if let Some(trace) = &extras.trace {
                trace.end(worker, self, duration, &end);
            }
            worker.scratch.give(extras.session_field.take());
        }
    }
}

/// How a request ended.
#[derive(Default)]
pub(crate) struct RequestEnd<'a> {
    pub(crate) status: u16,
    pub(crate) cause: Option<&'a str>,
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) n_retries: u32,
    /// Time from the start to the connection to the endpoint, in milliseconds.
    pub(crate) connected_ms: Option<u64>,
    /// Time from the start to the head of the answer, in milliseconds.
    pub(crate) answered_ms: Option<u64>,
}

// === impl Method ===

impl Method {
    pub(crate) fn new(token: &[u8]) -> Self {
        match token {
            b"HEAD" => Self::Head,
            b"GET" | b"OPTIONS" => Self::Safe,
            _ => Self::Other,
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(crate) fn new(status: u16, cause: &'static str) -> Self {
        Self { status, cause: Cause::Known(cause), location: None, body: None, passed: None }
    }
}

// === impl Passed ===

impl Passed {
    /// Fields that frame the answer are written anew.
    pub(crate) fn new(fields: &http::HeaderMap, body: Vec<u8>) -> Self {
        let fields = fields.iter().filter(|(name, _)| **name != http::header::CONTENT_LENGTH);
        let fields =
            fields.map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()));
        Self { fields: fields.collect(), body }
    }
}

// === impl Cause ===

impl Cause {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Known(cause) => cause,
            Self::Configured(cause) => cause,
        }
    }
}
