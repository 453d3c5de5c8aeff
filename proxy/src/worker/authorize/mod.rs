//! Asks other services whether a request may go on (ExternalAuth): those of the listener before a route is looked for, then
//! that of the rule. Without a clear yes it does not: the client gets what the service said, or that there was no answer.

pub(crate) mod body;
mod call;
mod changes;
mod gate;
pub(super) mod inquiry;
pub(crate) mod question;

use std::rc::Rc;
use std::sync::Arc;

use igw_crds::snapshot::{AuthorizationProtocol, Settings};
use igw_h1::{Body, Limits};

use super::Worker;
use super::client::Peer;
use super::exchange::{Failure, Progress};
use super::forward::{Downstream, End, Forwarded, failure_answer, forward};
use super::mirror::mirror;
use super::request::{Answer, Extras, Method, Outcome, Passed, Request};
use crate::metrics::authorizations::Authorized;
use crate::tables::{ActionTables, AuthorizationTables, PortTables};
use body::{NotKept, Whole};
use call::Verdict;
use changes::{Change, Grant, How, end, is_framing, put_body, value_of};
use inquiry::{Heard, Inquiry};

pub(crate) use gate::{Gate, write as write_gate};

/// Why a request does not go on.
pub(crate) enum Stopped {
    Answer(Answer, End),
    /// Nobody is there to take an answer.
    Gone(Failure),
}

/// A client whose body can be had before its request goes on.
pub(crate) trait Uploader: Downstream {
    /// Receives the whole body, up to so many bytes.
    async fn receive(
        &mut self,
        worker: &Worker,
        request: &Request,
        settings: &Settings,
        head_limits: &Limits,
        n_max: usize,
    ) -> Result<Whole, NotKept>;
}

/// Asks everybody who has to be asked, and lets the request take on what a yes says.
///
/// # Errors
/// Fails if the request does not go on.
pub(crate) async fn authorize<C: Uploader>(
    worker: &Rc<Worker>,
    client: &mut C,
    request: &mut Request,
    settings: &Settings,
    head_limits: &Limits,
) -> Result<(), Stopped> {
    let mut body: Option<Whole> = None;
    while let Some(question) = request.extras.as_mut().and_then(|extras| extras.question.take()) {
        let tables = Rc::clone(&request.tables);
        let port = tables.shared.ports.get(request.port).and_then(Option::as_deref);
        let rules = port.and_then(|port| rules_of(request, port));
        let Some(rules) = rules else { return Err(unanswered(body.is_some())) };
        // A request without a body stays one: it is told no length that it did not have.
        let has_body = request.body != Body::None && !request.upgrade;
        if rules.body_bytes > 0 && has_body && body.is_none() {
            body = Some(whole_body(worker, client, request, settings, head_limits, rules.body_bytes).await?);
        }
        let shown = match &body {
            Some(body) if body.bytes.len() > rules.body_bytes && rules.body_bytes > 0 => {
                return Err(refused(worker, NotKept::TooLarge, true));
            }
            Some(body) if rules.body_bytes > 0 => body.bytes.as_slice(),
            _ => &[],
        };
        let id = value_of(&request.head, b"x-request-id");
        let text = question.end(worker, rules, client.peer(), id, shown);
        let grant = match ask(worker, client.peer(), request, rules, text, settings, head_limits).await {
            Some(Verdict::Yes(grant)) => grant,
            Some(Verdict::No { status, passed }) => {
                worker.count_authorized(Authorized::Denied);
                let denied = Answer { passed: Some(Arc::new(passed)), ..Answer::new(status, "auth_denied") };
                return Err(Stopped::Answer(denied, consumed(body.is_some())));
            }
            None => {
                worker.count_authorized(Authorized::Failed);
                return Err(unanswered(body.is_some()));
            }
        };
        worker.count_authorized(Authorized::Allowed);
        match request.extras.as_mut().and_then(|extras| extras.gate.take()) {
            Some(gate) => gate::pass(worker, client.peer(), request, gate, grant),
            None => {
                grant.apply(worker, &mut request.head);
                request.extras.get_or_insert_default().answer_fields.extend(grant.told);
            }
        }
    }
    if let Some(whole) = body {
        if !request.head.is_empty() {
            put_body(worker, &mut request.head, &whole.bytes);
        }
        request.body = Body::Length(whole.bytes.len() as u64);
        request.is_complete = true;
        request.extras.get_or_insert_default().room = Some(whole.room);
    }
    if let Some(extras) = &mut request.extras {
        extras.is_held = false;
    }
    if matches!(request.outcome, Outcome::Forward(_)) {
        copy(worker, client.peer(), request);
    }
    Ok(())
}

/// Whom the question that is open now goes to.
fn rules_of<'t>(request: &Request, port: &'t PortTables) -> Option<&'t AuthorizationTables> {
    match request.extras.as_ref().and_then(|extras| extras.gate.as_ref()) {
        Some(gate) => gate.rules(port),
        None => port.targets.get(request.target?)?.rule.filters.authorization.as_ref(),
    }
}

/// The whole body, wherever it is.
async fn whole_body<C: Uploader>(
    worker: &Worker,
    client: &mut C,
    request: &mut Request,
    settings: &Settings,
    head_limits: &Limits,
    n_max: usize,
) -> Result<Whole, Stopped> {
    let received = client.receive(worker, request, settings, head_limits, n_max).await;
    let mut whole = received.map_err(|why| refused(worker, why, !request.has_whole_body()))?;
    // What came with its head is behind the one for the back end.
    let inline = end(&request.head).and_then(|n_fields| request.head.get(n_fields + 2..));
    if let Some(inline) = inline.filter(|inline| !inline.is_empty()) {
        if !whole.room.grow(inline.len()) {
            return Err(refused(worker, NotKept::NoRoom, false));
        }
        whole.bytes.extend_from_slice(inline);
    }
    request.body = Body::Length(whole.bytes.len() as u64);
    request.is_complete = true;
    Ok(whole)
}

/// Asks one service; nothing if it does not say yes or no.
async fn ask(
    worker: &Rc<Worker>,
    client: &Peer,
    request: &mut Request,
    rules: &AuthorizationTables,
    text: Vec<u8>,
    settings: &Settings,
    head_limits: &Limits,
) -> Option<Verdict> {
    let local = worker.local(&rules.backend);
    let mut asking = request.copied_with(Rc::clone(&local), text);
    (asking.body, asking.is_complete, asking.upgrade) = (Body::None, true, false);
    if rules.protocol == AuthorizationProtocol::Grpc {
        asking.method = Method::Other;
        asking.extras = Some(Box::new(Extras { is_call: true, ..Extras::default() }));
    }
    let mut inquiry = Inquiry::new(worker, client);
    let forwarded = forward(worker, &mut inquiry, &asking, &local, settings, head_limits).await;
    worker.scratch.give(asking.head);
    match forwarded {
        Forwarded::Answered(_) => verdict(inquiry.answer, rules),
        Forwarded::Failed(..) | Forwarded::Broken(..) | Forwarded::Tunnel(..) => None,
    }
}

fn verdict(heard: Heard, rules: &AuthorizationTables) -> Option<Verdict> {
    if rules.protocol == AuthorizationProtocol::Grpc {
        let status = heard.trailers.get("grpc-status").or_else(|| heard.fields.get("grpc-status"));
        let is_good = heard.status == 200 && status.is_some_and(|status| status == "0");
        return is_good.then(|| call::read(&heard.body).ok()).flatten();
    }
    if heard.status != 200 {
        return Some(Verdict::No { status: heard.status, passed: Passed::new(&heard.fields, heard.body) });
    }
    let is_taken = |name: &str| match rules.answer_fields.is_empty() {
        true => !is_framing(name) && !is_of_answer(name),
        false => rules.answer_fields.iter().any(|wanted| wanted == name) && !is_framing(name),
    };
    let taken = heard.fields.iter().filter(|(name, _)| is_taken(name.as_str()));
    let fields =
        taken.map(|(name, value)| Change { name: name.clone(), value: value.clone(), how: How::Replace });
    Some(Verdict::Yes(Grant { fields: fields.collect(), ..Grant::default() }))
}

/// Sends copies of what was allowed: nobody gets others.
fn copy(worker: &Rc<Worker>, client: &Peer, request: &mut Request) {
    let tables = Rc::clone(&request.tables);
    let port = tables.shared.ports.get(request.port).and_then(Option::as_deref);
    let target = request.target.and_then(|target| port?.targets.get(target));
    let Some(target) = target else { return };
    let of_candidate = match (&target.rule.action, request.candidate) {
        (ActionTables::Forward(candidates), Some(index)) => candidates.get(index),
        _ => None,
    };
    let mirrors = of_candidate.into_iter().flat_map(|candidate| &candidate.filters.mirrors);
    mirror(worker, client, request, target.rule.filters.mirrors.iter().chain(mirrors));
}

/// No word from the service: not a yes.
fn unanswered(is_consumed: bool) -> Stopped {
    Stopped::Answer(Answer::new(503, "auth_failed"), consumed(is_consumed))
}

/// What becomes of a request whose body could not be shown.
fn refused(worker: &Worker, why: NotKept, is_consumed: bool) -> Stopped {
    worker.count_authorized(Authorized::Refused);
    let answer = match why {
        NotKept::TooLarge => Answer::new(413, "auth_body"),
        NotKept::NoRoom => Answer::new(503, "overload"),
        NotKept::Failed(failure) => match failure_answer(failure) {
            Some(answer) => answer,
            None => return Stopped::Gone(failure),
        },
    };
    Stopped::Answer(answer, consumed(is_consumed))
}

/// The end of a request that went nowhere.
fn consumed(is_consumed: bool) -> End {
    End { progress: Progress { is_consumed, ..Progress::default() }, ..End::default() }
}

/// Fields that say something of the answer and nothing of the client.
fn is_of_answer(name: &str) -> bool {
    name.starts_with("content-") || matches!(name, "date" | "server" | "vary" | "set-cookie")
}
