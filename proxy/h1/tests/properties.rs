//! Heads made up and then damaged: nothing panics, a prefix is never read differently from the whole, and what is
//! accepted means the same when it is written out again.

use igw_h1::{Body, Limits, Parsed, RequestError, RequestHead, RequestKind, ResponseHead, parse_trailers};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

mod dialects;
mod oracle;

use oracle::Cuts;

/// One change of a message.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    /// Copies a part to somewhere else.
    Copy(Index, u8, Index),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    // Bytes that mean something are tried more often than the rest.
    let byte = prop_oneof![3 => select(b"\r\n\t :,;=/?#*@[]\"\\_0129aAfx\0\x7f\x80\xff".as_slice()), 1 => any::<u8>()];
    let damage = prop_oneof![
        (any::<Index>(), byte.clone()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        (any::<Index>(), 1..40_u8, any::<Index>()).prop_map(|(from, n, to)| Damage::Copy(from, n, to)),
    ];
    vec(damage, 0..4)
}

fn damaged(mut message: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if message.is_empty() {
            break;
        }
        let n_bytes = message.len();
        match damage {
            Damage::Replace(at, byte) => message[at.index(n_bytes)] = *byte,
            Damage::Insert(at, byte) => message.insert(at.index(n_bytes), *byte),
            Damage::Remove(at) => {
                message.remove(at.index(n_bytes));
            }
            Damage::Copy(from, n_copied, to) => {
                let from = from.index(n_bytes);
                let part = message[from..n_bytes.min(from + usize::from(*n_copied))].to_vec();
                let to = to.index(n_bytes);
                message.splice(to..to, part);
            }
        }
    }
    message
}

fn fields() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        3 => "[A-Za-z][A-Za-z0-9-]{0,12}: ?[ -~]{0,20}",
        3 => select(vec![
            "Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close", "Connection: keep-alive, x-a",
            "Connection: upgrade", "Upgrade: websocket", "X-A: 1", "TE: trailers", "Connection: te",
            "Expect: 100-continue", "X_Y: z", "Keep-Alive: 5", "Cookie: a=b", "X-Forwarded-For: 1.2.3.4", "Empty:",
        ]).prop_map(String::from),
    ];
    vec(line, 0..8)
}

fn requests() -> impl Strategy<Value = Vec<u8>> {
    let method = select(vec!["GET", "POST", "HEAD", "OPTIONS", "TRACE", "PATCH", "x"]);
    let target = prop_oneof![
        4 => "/[!$-;=?-\\[\\]-~]{0,30}",
        1 => "http://[a-z.]{1,12}(:[0-9]{1,5})?(/[a-z?]{0,9})?",
        1 => Just("*".to_string()),
    ];
    let version = select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    (method, target, version, fields()).prop_map(|(method, target, version, fields)| {
        let mut message = format!("{method} {target} {version}\r\nHost: a.example:80\r\n");
        for line in fields {
            message += &line;
            message += "\r\n";
        }
        (message + "\r\n").into_bytes()
    })
}

fn responses() -> impl Strategy<Value = Vec<u8>> {
    (100..600_u16, "[ -~]{0,12}", fields()).prop_map(|(status, reason, fields)| {
        let mut message = format!("HTTP/1.1 {status} {reason}\r\n");
        for line in fields {
            message += &line;
            message += "\r\n";
        }
        (message + "\r\n").into_bytes()
    })
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let chunk = ("(;[a-z]{1,4}(=([a-z]{1,4}|\"[ -!#-Z]{0,5}\"))?){0,2}", vec(any::<u8>(), 1..40));
    let trailer = "[A-Za-z][A-Za-z-]{0,8}: ?[ -~]{0,10}\r\n";
    (vec(chunk, 0..5), vec(trailer, 0..3)).prop_map(|(chunks, trailers)| {
        let mut body = Vec::new();
        for (extension, data) in chunks {
            body.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
            body.extend_from_slice(&data);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n");
        body.extend_from_slice(trailers.concat().as_bytes());
        body.extend_from_slice(b"\r\n");
        body
    })
}

/// Content that would be a line, a chunk or a message where its frame is misread.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let parts =
        ["\r\n", "\n", "\r", "0\r\n\r\n", "5\r\nhello", "GET / HTTP/1.1\r\nhost: a\r\n\r\n", " ", "\0", "a"];
    vec(select(parts.map(str::as_bytes).to_vec()), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_means_the_same_in_pieces_and_written_out(message in requests(), damages in damages()) {
        oracle::request(&damaged(message, &damages), Cuts::All);
    }

    #[test]
    fn a_response_means_the_same_in_pieces_and_written_out(message in responses(), damages in damages()) {
        oracle::response(&damaged(message, &damages), Cuts::All);
    }

    #[test]
    fn a_body_is_the_same_in_pieces(message in bodies(), damages in damages(), cuts in vec(1..9_usize, 1..6)) {
        let message = damaged(message, &damages);
        oracle::chunked(&message, Cuts::All);
        assert_eq!(oracle::decode(&message, &cuts), oracle::decode(&message, &[message.len().max(1)]));
    }

    #[test]
    fn what_is_written_reads_the_same_in_every_dialect(
        message in requests(), damages in damages(), content in contents(), n_piece in 1..50_usize,
    ) {
        let message = damaged(message, &damages);
        let mut head = RequestHead::new();
        if let Ok(Parsed::Complete { .. }) = head.parse(&message, &Limits::default()) {
            let (written, meant) = dialects::written(&head, &message, &content, n_piece);
            // Twice, so that what is left of the one would change the other.
            let stream = [&written[..], &written[..]].concat();
            for dialect in dialects::Dialect::all() {
                prop_assert_eq!(dialect.read(&stream), (vec![meant.clone(), meant.clone()], 0), "{:?}", dialect);
            }
        }
    }

    #[test]
    fn any_bytes_are_survived(message in vec(any::<u8>(), 0..300), n_cut in 1..20_usize) {
        let limits = Limits { head_bytes: 200, head_fields: 4, line_bytes: 60 };
        let status = RequestHead::new().parse(&message, &limits).map_err(|error: RequestError| error.status());
        prop_assert!(!matches!(status, Err(status) if !(400..=505).contains(&status)));
        let _ = ResponseHead::new().parse(&message, &limits, RequestKind::Other);
        let _ = parse_trailers(&message, &mut Vec::new(), &limits);
        let _ = oracle::decode(&message, &[n_cut]);
    }
}

#[test]
fn body_of_a_request_never_runs_to_the_end_of_the_connection() {
    let mut head = RequestHead::new();
    let message = b"POST / HTTP/1.0\r\n\r\n";
    assert_eq!(head.parse(message, &Limits::default()), Ok(Parsed::Complete { len: message.len() }));
    assert_eq!(head.body, Body::None);
}

#[test]
fn dialects_differ_where_a_message_lets_them() {
    let streams: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n c:d\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent_Length: 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 0\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: 010\r\n\r\n0123456789",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xCHUNKED\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\nx",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1;a=b\r\nx\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
    ];
    for stream in streams {
        let strict = dialects::Dialect::default().read(stream);
        let n_others =
            dialects::Dialect::all().iter().filter(|dialect| dialect.read(stream) != strict).count();
        assert!(n_others > 0, "{}", stream.escape_ascii());
    }
}
