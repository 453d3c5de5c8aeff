//! Requests from other origins. The answer to each is settled while its head is at hand; a browser's question before it
//! is answered here.

use igw_route::cors::{Asked, Rules};

use super::Worker;
use super::request::{Answer, Outcome, Request};
use super::request_head::field;

/// Settles what the answer says of origins. True if the request was a preflight, which no back end sees.
pub(crate) fn settle(worker: &Worker, rules: &Rules, asked: Asked<'_>, request: &mut Request) -> bool {
    let mut lines = worker.scratch.take();
    rules.answer(asked, |name, value| field(&mut lines, name.as_bytes(), value));
    request.cors = Some(lines);
    if asked.preflight.is_some() {
        request.outcome = Outcome::Answer(Answer::new(204, "cors_preflight"));
    }
    asked.preflight.is_some()
}

/// The fields that were settled, by name and value.
pub(crate) fn fields(lines: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r")?;
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line.get(colon + 2..)?))
    })
}

/// Fields that the gateway alone says where a filter is configured.
pub(crate) fn is_field(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

const PREFIX: &[u8] = b"access-control-";
