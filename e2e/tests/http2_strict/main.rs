//! HTTP/2 from clients that break its rules: one row per rule, sent frame by frame, with what must come back. What is
//! refused reaches no back end, and where a stream alone is refused, the next one on its connection is served.
//!
//! The library may end the connection where the stream would do, and says PROTOCOL_ERROR where RFC 9113 has a code that
//! is more to the point (5.4.1). It leaves out pseudo-fields of trailers and a fragment behind the path before anybody
//! sees them, so that these requests pass without.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use igw_e2e::client::dial;
use igw_e2e::frames::{
    END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, section,
};
use igw_e2e::objects::{beside, one_route};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};

mod downgrade;
mod frames;

use Expected::{Begun, Connection, Passed, Status, Stream};

/// What comes back for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// 200 from the back end.
    Passed,
    /// An answer of the gateway.
    Status(u16),
    /// The end of the stream, with this error code.
    Stream(u32),
    /// The same behind content that was whole until more came; that much may reach the back end, now or
    /// later, so that such rows come last and their requests are not counted.
    Begun(u32),
    /// The end of the connection, with this error code.
    Connection(u32),
    /// The end of the connection and no word.
    Closed,
}

/// Section of the RFC, what is done, the bytes behind the preface and the client's settings, and what comes back.
struct Row(&'static str, &'static str, Vec<u8>, Expected);

/// A request that is right.
const GET: &[(&str, &str)] =
    &[(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];

/// A HEADERS frame that opens a stream and leaves its content open, or not.
fn opened(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, &section(fields))
}

/// The same as a frame that opens and ends a stream.
fn good(stream: u32) -> Vec<u8> {
    opened(stream, END_STREAM, GET)
}

/// A POST request with these fields more, on stream 1, and its content open.
fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = GET.to_vec();
    fields[0].1 = "POST";
    fields.extend(more);
    opened(1, 0, &fields)
}

#[test]
fn what_breaks_a_rule_reaches_no_back_end() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    up.write("all.yaml", &one_route(address, "a.test", &[origin.address]))?;
    up.start(&[])?;
    let (heads, contents, frames) = (downgrade::heads(), downgrade::contents(), frames::frames());
    println!("{} rows of heads, {} of content, {} of frames", heads.len(), contents.len(), frames.len());
    let mut rows: Vec<Row> = heads.into_iter().chain(contents).chain(frames).collect();
    rows.sort_by_key(|Row(.., expected)| matches!(expected, Begun(_)));
    assert!(rows.len() >= 240, "{}", rows.len());
    let mut faults = Vec::new();
    for Row(rule, what, bytes, expected) in &rows {
        let n_before = origin.n_requests();
        let (got, is_served) = play(address, bytes)?;
        let n_seen = origin.n_requests() - n_before;
        let n_expected = u64::from(*expected == Passed) + u64::from(is_served);
        let fits = match expected {
            Begun(code) => got == Some(Stream(*code)),
            _ => got == Some(*expected) && n_seen == n_expected,
        };
        if !fits {
            faults.push(format!(
                "{rule}, {what}: {got:?} for {expected:?}, {n_seen} requests for {n_expected}"
            ));
        }
        if matches!(expected, Passed | Status(_) | Stream(_) | Begun(_)) && !is_served {
            faults.push(format!("{rule}, {what}: the next stream is not served"));
        }
    }
    assert!(faults.is_empty(), "{} of {} rows:\n{}", faults.len(), rows.len(), faults.join("\n"));
    Ok(())
}

/// Sends a row and says what came first, and whether the connection then serves another request.
fn play(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<(Option<Expected>, bool)> {
    let mut connection = dial(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    // A gateway that has ended the connection takes no more; what it said before is what counts.
    let _ = connection.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), bytes].concat());
    let got = outcome(&mut connection);
    if !matches!(got, Some(Passed | Status(_) | Stream(_))) {
        return Ok((got, false));
    }
    let is_sent = connection.write_all(&good(NEXT_STREAM)).is_ok();
    let is_served = is_sent
        && std::iter::from_fn(|| Frame::read(&mut connection)).take_while(|frame| frame.kind != GOAWAY).any(
            |frame| {
                frame.kind == HEADERS && frame.stream == NEXT_STREAM && frame.payload.first() == Some(&OK)
            },
        );
    Ok((got, is_served))
}

/// The first frame that says how it went; `None` where nothing comes in time.
fn outcome(connection: &mut TcpStream) -> Option<Expected> {
    while let Some(frame) = Frame::read(connection) {
        match frame.kind {
            HEADERS if frame.status() == Some(200) => return Some(Passed),
            HEADERS => return Some(Status(frame.status().unwrap_or_default())),
            RST_STREAM => return frame.code().map(Stream),
            GOAWAY => return frame.code().map(Connection),
            _ => {}
        }
    }
    // A silence is told from the end of the connection by asking once more.
    is_over(connection).then_some(Expected::Closed)
}

fn is_over(connection: &mut TcpStream) -> bool {
    let mut byte = [0];
    match std::io::Read::read(connection, &mut byte) {
        Ok(n_bytes) => n_bytes == 0,
        Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    }
}

/// Stream of the request that follows a row.
const NEXT_STREAM: u32 = 101;
/// `:status: 200`, as it always is in the static table.
const OK: u8 = 0x88;
const PATIENCE: Duration = Duration::from_secs(2);

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
