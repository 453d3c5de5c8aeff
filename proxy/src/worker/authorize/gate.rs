//! Filters of a listener: before a route is looked for. The head that routes are looked for with is the client's, written anew
//! in one form, so that a client cannot take away what a service adds (by naming it in `Connection`).

use std::rc::Rc;

use igw_h1::{Body, Known, Limits, Parsed, RequestHead, TargetForm, Version};

use super::changes::Grant;
use crate::tables::{AuthorizationTables, GateTables, PortTables};
use crate::worker::Worker;
use crate::worker::client::Peer;
use crate::worker::decide::decide_behind;
use crate::worker::request::{Answer, Outcome, Request};
use crate::worker::request_head::field;

/// Where a request stands among the filters of its listener.
pub(crate) struct Gate {
    pub(crate) listener: usize,
    /// Filters that have let it through.
    pub(crate) n_passed: usize,
    /// The client's head.
    pub(crate) head: Vec<u8>,
}

// === impl Gate ===

impl Gate {
    /// The filter that is asked.
    pub(super) fn rules<'t>(&self, port: &'t PortTables) -> Option<&'t AuthorizationTables> {
        match port.gates.get(self.listener)?.get(self.n_passed)? {
            GateTables::Ask(rules) => Some(rules),
            GateTables::Fail { .. } => None,
        }
    }
}

/// Lets a request through one filter: the next one is asked, or a route is looked for.
pub(super) fn pass(worker: &Rc<Worker>, client: &Peer, request: &mut Request, gate: Gate, grant: Grant) {
    let Gate { n_passed, mut head, .. } = gate;
    let is_current = worker.tables().shared.stamp() == request.tables.shared.stamp();
    // Where filters may have changed meanwhile, all of them are asked.
    let n_passed = if is_current { n_passed + 1 } else { 0 };
    grant.apply(worker, &mut head);
    let mut parsed = RequestHead::new();
    // It was within the limits before a service added its own.
    let limits = Limits { head_bytes: 0, head_fields: 0, line_bytes: 0 };
    let mut decided = match parsed.parse(&head, &limits) {
        Ok(Parsed::Complete { .. }) => {
            decide_behind(worker, client, request.port, &head, &parsed, &[], Some(n_passed)).0
        }
        Ok(Parsed::Partial) | Err(_) => {
            request.outcome = Outcome::Answer(Answer::new(503, "auth_failed"));
            worker.scratch.give(head);
            return;
        }
    };
    worker.scratch.give(head);
    let extras = decided.extras.get_or_insert_default();
    if let Some(before) = request.extras.take() {
        extras.answer_fields.extend(before.answer_fields);
    }
    extras.answer_fields.extend(grant.told);
    decided.keep_alive &= request.keep_alive;
    decided.started = request.started;
    decided.log = request.log.take();
    decided.is_grpc = request.is_grpc;
    if request.is_complete {
        // Its body was taken already.
        (decided.body, decided.is_complete) = (request.body, true);
    }
    worker.scratch.give(std::mem::take(&mut request.head));
    *request = decided;
}

/// Appends the client's head in one form: without fields for its connection alone but those that the gateway needs.
pub(crate) fn write(out: &mut Vec<u8>, buf: &[u8], head: &RequestHead) {
    out.extend_from_slice(head.method.of(buf));
    out.push(b' ');
    match head.target.form {
        TargetForm::Asterisk => out.push(b'*'),
        _ => out.extend_from_slice(head.target.path.of(buf)),
    }
    if let Some(query) = head.target.query {
        out.push(b'?');
        out.extend_from_slice(query.of(buf));
    }
    out.extend_from_slice(match head.version {
        Version::Http11 => b" HTTP/1.1\r\n",
        Version::Http10 => b" HTTP/1.0\r\n",
    });
    let host = head.host.of(buf);
    if !host.is_empty() || head.version == Version::Http11 {
        field(out, b"host", host);
    }
    let kept = |known: Known| !matches!(known, Known::Host | Known::ContentLength | Known::Expect);
    for entry in head.fields.iter().filter(|entry| !entry.hop_by_hop && kept(entry.known)) {
        field(out, entry.name.of(buf), entry.value.of(buf));
    }
    match head.body {
        Body::Length(length) => field(out, b"content-length", length.to_string().as_bytes()),
        Body::Chunked => field(out, b"transfer-encoding", b"chunked"),
        Body::None | Body::UntilClose => {}
    }
    if head.expect_continue {
        field(out, b"expect", b"100-continue");
    }
    let mut options: Vec<&[u8]> = Vec::new();
    match (head.version, head.keep_alive) {
        (Version::Http10, true) => options.push(b"keep-alive"),
        (Version::Http11, false) => options.push(b"close"),
        _ => {}
    }
    if let Some(upgrade) = head.upgrade {
        options.push(b"upgrade");
        field(out, b"upgrade", upgrade.of(buf));
    }
    if head.te_trailers {
        options.push(b"te");
        field(out, b"te", b"trailers");
    }
    if !options.is_empty() {
        field(out, b"connection", &options.join(&b", "[..]));
    }
    out.extend_from_slice(b"\r\n");
}
