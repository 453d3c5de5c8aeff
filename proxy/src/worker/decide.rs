//! From a parsed head to a decision: which rule, which back end, and the head that back end will see.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use igw_crds::snapshot::PathEdit;
use igw_h1::{Body, Field, Known, RequestHead, TargetForm, Version};
use igw_route::cors::Asked;
use igw_route::{RequestView, Selection, edit, normalize};

use super::authorize::question::{Question, Told};
use super::authorize::{Gate, write_gate};
use super::client::Peer;
use super::cors;
use super::mirror::mirror;
use super::request::{Answer, Cause, Method, Outcome, Request};
use super::request_head::{Forwarded, write_request};
use super::trace::{self, Seen};
use super::{LocalTables, Worker};
use crate::clock;
use crate::log::LogDraft;
use crate::tables::{ActionTables, FilterEnd, GateTables, PortTables, RuleTables, WeightedTables};

/// What a look-up reads of a request.
struct View<'a> {
    buf: &'a [u8],
    head: &'a RequestHead,
    host: &'a [u8],
    path: &'a [u8],
    query: &'a [u8],
}

/// A request that cannot be routed because its head is refused.
pub(crate) fn refuse(worker: &Worker, client: &Peer, port: usize, status: u16) -> Request {
    let mut request = blank(worker, client, port);
    request.keep_alive = false;
    let cause = match status {
        408 => "request_timeout",
        503 => "overload",
        _ => "bad_request",
    };
    request.outcome = Outcome::Answer(Answer::new(status, cause));
    request
}

/// Decides over a complete head. `rest` are the bytes behind it; the count of those taken is returned.
pub(crate) fn decide(
    worker: &Rc<Worker>,
    client: &Peer,
    port: usize,
    buf: &[u8],
    head: &RequestHead,
    rest: &[u8],
) -> (Request, usize) {
    decide_behind(worker, client, port, buf, head, rest, None)
}

/// The same for a request that was held, behind so many filters of the listener.
pub(crate) fn decide_behind(
    worker: &Rc<Worker>,
    client: &Peer,
    port: usize,
    buf: &[u8],
    head: &RequestHead,
    rest: &[u8],
    n_passed: Option<usize>,
) -> (Request, usize) {
    let mut request = blank(worker, client, port);
    let method = head.method.of(buf);
    request.method = Method::new(method);
    request.version = head.version;
    request.keep_alive = head.keep_alive;
    request.body = head.body;
    request.upgrade = head.upgrade.is_some();
    request.expects_continue = head.expect_continue;
    // Nobody speaks gRPC over HTTP/1.
    request.is_grpc = client.is_http2
        && head.field(buf, "content-type").next().is_some_and(|value| value.starts_with(b"application/grpc"));
    let tables = Rc::clone(&request.tables);
    let Some(port_tables) = tables.shared.ports.get(port).and_then(Option::as_deref) else {
        request.keep_alive = false;
        request.outcome = Outcome::Answer(Answer::new(404, "no_route"));
        return (request, 0);
    };
    let mut host_scratch = worker.scratch.host();
    let mut path_scratch = worker.scratch.path();
    let raw_path = match head.target.form {
        TargetForm::Asterisk => b"*".as_slice(),
        _ => head.target.path.of(buf),
    };
    let host = normalize::host(head.host.of(buf), &mut host_scratch);
    let path = if raw_path == b"*" { Ok(raw_path) } else { normalize::path(raw_path, &mut path_scratch) };
    let (Ok(host), Ok(path)) = (host, path) else {
        request.keep_alive = false;
        request.outcome = Outcome::Answer(Answer::new(400, "bad_request"));
        return (request, 0);
    };
    if let Some(body) = tables.shared.challenges.http(path)
        && matches!(request.method, Method::Head | Method::Safe)
    {
        // A certificate authority asks: before any listener, route, redirect or policy.
        request.outcome = Outcome::Answer(Answer { body: Some(body), ..Answer::new(200, "acme_challenge") });
        return (request, 0);
    }
    if let Some(tls) = &client.tls
        && tls.listener(tables.shared.stamp(), port_tables) != port_tables.routes.listener_of(host)
    {
        // The connection was opened for a name of another listener (RFC 9110 15.5.20).
        request.listener = tls.listener(tables.shared.stamp(), port_tables);
        request.outcome = Outcome::Answer(Answer::new(421, "misdirected"));
        return (request, 0);
    }
    let query = head.target.query.map(|span| span.of(buf));
    let view = View { buf, head, host, path, query: query.unwrap_or_default() };
    if let Some(log) = &port_tables.settings.access_log {
        let is_sampled = log.sample >= 1.0 || (worker.random.next() as f64 / u64::MAX as f64) < log.sample;
        if is_sampled {
            let raw_query = query.filter(|_| log.unredacted_query);
            request.log = {
                let version = match (client.is_http2, head.version) {
                    (true, _) => "HTTP/2.0",
                    (false, Version::Http11) => "HTTP/1.1",
                    (false, Version::Http10) => "HTTP/1.0",
                };
                let host = head.host.of(buf);
                let draft =
                    LogDraft::new(&client.text, method, host, path, query.is_some(), raw_query, version);
                Some(Box::new(draft))
            };
        }
    }
    if let Some(trace) = trace::of(worker, port_tables, client, &Seen { buf, head, host, path }) {
        request.extras.get_or_insert_default().trace = Some(trace);
    }
    let has_gates = !port_tables.gates.is_empty() || n_passed.is_some();
    if has_gates && is_held(worker, client, port_tables, &view, n_passed, &mut request) {
        return (request, 0);
    }
    match port_tables.routes.select(&view) {
        Selection::NoListener => request.outcome = Outcome::Answer(Answer::new(404, "no_route")),
        Selection::NoRoute { listener } => {
            request.listener = Some(listener);
            request.outcome = Outcome::Answer(Answer::new(404, "no_route"));
        }
        Selection::Rule { target, matched } => {
            request.target = Some(target as usize);
            let Some(target) = port_tables.targets.get(target as usize) else {
                request.outcome = Outcome::Answer(Answer::new(500, "backend_invalid"));
                return (request, 0);
            };
            let prefix = target.rule.prefixes.get(usize::from(matched)).and_then(|prefix| prefix.as_deref());
            let n_taken =
                apply_rule(worker, client, port_tables, &target.rule, prefix, &view, rest, &mut request);
            return (request, n_taken);
        }
    }
    (request, 0)
}

/// Stops a request at the next filter of its listener, if there is one.
fn is_held(
    worker: &Rc<Worker>,
    client: &Peer,
    port: &PortTables,
    view: &View<'_>,
    n_passed: Option<usize>,
    request: &mut Request,
) -> bool {
    let Some(listener) = port.routes.listener_of(view.host) else { return false };
    let gates = port.gates.get(listener).map_or(&[][..], Vec::as_slice);
    request.listener = Some(listener);
    let n_behind = n_passed.unwrap_or(0);
    match gates.get(n_behind) {
        None => {
            if n_passed.is_some() {
                request.extras.get_or_insert_default().is_held = true;
            }
            false
        }
        Some(GateTables::Fail { status, cause }) => {
            let cause = Cause::Configured(Arc::clone(cause));
            request.outcome =
                Outcome::Answer(Answer { status: *status, cause, location: None, body: None, passed: None });
            true
        }
        Some(GateTables::Ask(rules)) => {
            let told = view.told(client, believed(client, port, Some(listener), view).1);
            let question = Question::new(worker, rules, view.buf, view.head, &told);
            let mut head = worker.scratch.take();
            write_gate(&mut head, view.buf, view.head);
            let extras = request.extras.get_or_insert_default();
            extras.question = Some(question);
            extras.gate = Some(Gate { listener, n_passed: n_behind, head });
            true
        }
    }
}

/// Whether the client is believed, and the scheme of the request.
fn believed(
    client: &Peer,
    port: &PortTables,
    listener: Option<usize>,
    view: &View<'_>,
) -> (bool, &'static str) {
    let of_listener = listener.and_then(|listener| port.clients.get(listener));
    let is_trusted = of_listener.is_some_and(|clients| clients.trusts(client.address.ip()));
    let scheme = if is_trusted { view.believed_scheme() } else { None }.unwrap_or(client.scheme());
    (is_trusted, scheme)
}

#[allow(clippy::too_many_arguments)]
fn apply_rule(
    worker: &Rc<Worker>,
    client: &Peer,
    port: &PortTables,
    rule: &RuleTables,
    prefix: Option<&str>,
    view: &View<'_>,
    rest: &[u8],
    request: &mut Request,
) -> usize {
    let target = request.target.and_then(|target| port.targets.get(target));
    let of_listener = target.and_then(|target| port.clients.get(target.listener));
    let subject_field = of_listener.and_then(|clients| clients.subject_field.as_deref());
    let (is_trusted, scheme) = believed(client, port, target.map(|target| target.listener), view);
    if let Some(cors) = &rule.filters.cors
        && cors::settle(worker, cors, view.asked(), request)
    {
        return 0;
    }
    if let Some(rules) = &rule.filters.authorization {
        let question = Question::new(worker, rules, view.buf, view.head, &view.told(client, scheme));
        request.extras.get_or_insert_default().question = Some(question);
    }
    if let Some(end) = &rule.filters.end {
        request.outcome = Outcome::Answer(end_answer(end, scheme, port, prefix, view));
        return 0;
    }
    let candidates = match &rule.action {
        ActionTables::Respond { status, cause } => {
            let cause = Cause::Configured(Arc::clone(cause));
            request.outcome =
                Outcome::Answer(Answer { status: *status, cause, location: None, body: None, passed: None });
            return 0;
        }
        ActionTables::Forward(candidates) => candidates,
    };
    // Whoever has a session stays with its back end, whatever the weights say.
    let index = of_session(port, rule, candidates, view, request).or_else(|| {
        let total = candidates.last().map_or(0, |last| last.upto);
        let draw = if candidates.len() == 1 { 0 } else { worker.spread(total) };
        candidates.iter().position(|candidate| draw < candidate.upto)
    });
    let index = index.and_then(|index| Some((index, candidates.get(index)?)));
    let Some((index, candidate)) = index else {
        request.outcome = Outcome::Answer(Answer::new(500, "backend_invalid"));
        return 0;
    };
    request.candidate = Some(index);
    if let Some(cors) = candidate.filters.cors.as_ref().filter(|_| rule.filters.cors.is_none())
        && cors::settle(worker, cors, view.asked(), request)
    {
        return 0;
    }
    if let Some(end) = &candidate.filters.end {
        request.outcome = Outcome::Answer(end_answer(end, scheme, port, prefix, view));
        return 0;
    }
    let Some(backend) = &candidate.backend else {
        request.outcome = Outcome::Answer(Answer::new(500, "backend_invalid"));
        return 0;
    };
    request.outcome = Outcome::Forward(worker.local(backend));
    if rule.request_timeout_ms > 0 {
        request.deadline = worker.wheel.after(Duration::from_millis(rule.request_timeout_ms));
    }
    let mut edited = worker.scratch.take();
    let path = rewritten_path(
        &[&candidate.filters.path_edit(), &rule.filters.path_edit()],
        prefix,
        view.path,
        &mut edited,
    );
    let rewrites = [candidate.filters.rewrite.as_ref(), rule.filters.rewrite.as_ref()];
    let hostname = rewrites.into_iter().flatten().find_map(|rewrite| rewrite.hostname.as_deref());
    let forwarded = Forwarded {
        path,
        host: hostname.map_or(view.head.host.of(view.buf), str::as_bytes),
        original_host: view.head.host.of(view.buf),
        peer: client.text.as_bytes(),
        scheme: client.scheme(),
        is_trusted,
        subject: subject_field.map(|name| {
            let tls = client.tls.as_ref();
            (name, tls.and_then(|tls| tls.subject.as_deref()))
        }),
        port: port.number,
        trace: request.trace(),
        edits: [&rule.filters.request, &candidate.filters.request],
    };
    let mut out = worker.scratch.take();
    write_request(worker, &mut out, view.buf, view.head, &forwarded);
    let mut n_taken = 0;
    match request.body {
        Body::Length(length) if length > 0 => {
            let n_body = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            if n_body as u64 == length && n_body <= INLINE_BODY_BYTES {
                out.extend_from_slice(&rest[..n_body]);
                request.is_complete = true;
                n_taken = n_body;
            }
        }
        Body::Length(_) | Body::None => request.is_complete = true,
        Body::Chunked | Body::UntilClose => {}
    }
    worker.scratch.give(edited);
    request.head = out;
    let mirrors = [&rule.filters.mirrors, &candidate.filters.mirrors];
    // What is to be allowed first is copied then.
    if !request.is_open() && mirrors.iter().any(|mirrors| !mirrors.is_empty()) {
        mirror(worker, client, request, mirrors.into_iter().flatten());
    }
    n_taken
}

/// Where the client's session leads, if the rule has sessions and the client one of them.
fn of_session(
    port: &PortTables,
    rule: &RuleTables,
    candidates: &[WeightedTables],
    view: &View<'_>,
    request: &mut Request,
) -> Option<usize> {
    let (Some(sessions), Some(key)) = (&rule.session, &port.session_key) else { return None };
    let extras = request.extras.get_or_insert_default();
    let session = sessions.find(key, |name, each| view.header(name, each))?;
    let leads_there = |candidate: &WeightedTables| {
        candidate.backend.as_ref().is_some_and(|backend| backend.identity == session.backend)
    };
    let index = candidates.iter().position(leads_there)?;
    extras.session = Some(session);
    Some(index)
}

/// The path for the back end, through the first edit that there is.
fn rewritten_path<'a>(
    edits: &[&Option<&PathEdit>],
    prefix: Option<&str>,
    path: &'a [u8],
    edited: &'a mut Vec<u8>,
) -> &'a [u8] {
    match edits.iter().find_map(|edit| **edit) {
        Some(path_edit) => {
            edit::path(path, prefix, path_edit, edited);
            edited
        }
        None => path,
    }
}

fn end_answer(
    end: &FilterEnd,
    scheme: &'static str,
    port: &PortTables,
    prefix: Option<&str>,
    view: &View<'_>,
) -> Answer {
    match end {
        FilterEnd::Fail { status, cause } => Answer {
            status: *status,
            cause: Cause::Configured(Arc::clone(cause)),
            location: None,
            body: None,
            passed: None,
        },
        FilterEnd::Redirect(redirect) => {
            let mut location = Vec::with_capacity(256);
            let query = (!view.query.is_empty()).then_some(view.query);
            edit::location(redirect, scheme, view.host, port.number, view.path, query, prefix, &mut location);
            Answer {
                status: redirect.status,
                cause: Cause::Known("redirect"),
                location: Some(location),
                body: None,
                passed: None,
            }
        }
    }
}

/// A request of which nothing is known yet.
pub(super) fn blank(worker: &Worker, client: &Peer, port: usize) -> Request {
    let tables: Rc<LocalTables> = worker.tables();
    // With TLS the connection belongs to a listener before anything is asked.
    let listener = client.tls.as_ref().and_then(|tls| {
        let port = tables.shared.ports.get(port).and_then(Option::as_deref)?;
        tls.listener(tables.shared.stamp(), port)
    });
    Request {
        is_secure: client.tls.is_some(),
        tables,
        port,
        target: None,
        candidate: None,
        listener,
        method: Method::Other,
        version: Version::Http11,
        keep_alive: true,
        body: Body::None,
        upgrade: false,
        is_grpc: false,
        outcome: Outcome::Answer(Answer::new(400, "bad_request")),
        head: Vec::new(),
        is_complete: false,
        expects_continue: false,
        started: clock::now(),
        deadline: None,
        log: None,
        cors: None,
        extras: None,
        mirrors: None,
        is_copy: false,
    }
}

// === impl View ===

impl<'a> View<'a> {
    /// What is asked of other origins. A preflight is OPTIONS with an origin and the method that is to follow.
    fn asked(&self) -> Asked<'a> {
        let origin = self.only(b"origin");
        let method = self.only(b"access-control-request-method");
        let is_preflight = origin.is_some() && self.head.method.of(self.buf) == b"OPTIONS";
        let preflight = method.filter(|_| is_preflight);
        Asked {
            origin,
            preflight: preflight.map(|method| (method, self.only(b"access-control-request-headers"))),
        }
    }

    /// What a service is told.
    fn told(&self, client: &'a Peer, scheme: &'static str) -> Told<'a> {
        Told {
            path: self.path,
            query: self.query,
            host: self.head.host.of(self.buf),
            peer: client.text.as_bytes(),
            scheme,
            is_http2: client.is_http2,
        }
    }

    /// The value of a field that stands once.
    fn only(&self, name: &[u8]) -> Option<&'a [u8]> {
        let named = |field: &&Field| field.name.of(self.buf).eq_ignore_ascii_case(name);
        let mut fields = self.head.fields.iter().filter(named);
        let first = fields.next()?;
        fields.next().is_none().then(|| first.value.of(self.buf))
    }

    /// The scheme that a trusted client says the first request had.
    fn believed_scheme(&self) -> Option<&'static str> {
        let mut said = self.head.fields.iter().filter(|field| field.known == Known::XForwardedProto);
        match said.next()?.value.of(self.buf) {
            value if value.eq_ignore_ascii_case(b"https") => Some("https"),
            value if value.eq_ignore_ascii_case(b"http") => Some("http"),
            _ => None,
        }
    }
}

impl RequestView for View<'_> {
    fn host(&self) -> &[u8] {
        self.host
    }

    fn method(&self) -> &[u8] {
        self.head.method.of(self.buf)
    }

    fn path(&self) -> &[u8] {
        self.path
    }

    fn query(&self) -> &[u8] {
        self.query
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        for field in &self.head.fields {
            if field.known != Known::Underscored
                && field.name.of(self.buf).eq_ignore_ascii_case(name.as_bytes())
            {
                each(field.value.of(self.buf));
            }
        }
    }
}

/// Largest body that is sent in one piece with its head.
const INLINE_BODY_BYTES: usize = 16 * 1024;
