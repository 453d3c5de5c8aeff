//! What holds for every input, valid or not. Shared by the property tests, the replay of the corpus and the fuzz
//! targets; each check panics where its property is broken.

use igw_h1::{
    ChunkError, ChunkEvent, ChunkedDecoder, Field, Known, Limits, Parsed, RequestHead, RequestKind,
    ResponseHead, Target, TargetForm, Version, parse_trailers,
};

mod cuts;

pub use cuts::Cuts;

/// A chunked body as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Read<'m> {
    /// Content.
    pub content: Vec<u8>,
    /// What was left where it ended: the trailer section, or what the decoder waits with.
    pub kept: &'m [u8],
    /// How it ended.
    pub end: End,
}

/// How a chunked body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With its trailer section; so many bytes are behind it.
    Done { n_left: usize },
    /// Before its time.
    NeedsMore,
    /// With a fault.
    Refused(ChunkError),
}

/// A prefix of a request is partial or refused as the whole is; what is accepted means the same written out again.
pub fn request(message: &[u8], cuts: Cuts) {
    let limits = limits();
    let mut head = RequestHead::new();
    let whole = head.parse(message, &limits);
    let n_whole = if let Ok(Parsed::Complete { len }) = whole { len } else { message.len() };
    let mut part_head = RequestHead::new();
    for n_bytes in cuts.of(message, n_whole) {
        let part = part_head.parse(&message[..n_bytes], &limits);
        assert!(part == Ok(Parsed::Partial) || part == whole, "{part:?} of {n_bytes} bytes, {whole:?}");
    }
    let Ok(Parsed::Complete { len }) = whole else { return };
    assert!(len <= message.len() && len <= limits.head_bytes && head.fields.len() <= limits.head_fields);
    let written = written_request(&head, message);
    let mut again = RequestHead::new();
    // What is written anew may be longer by a few spaces and a host.
    let roomy = Limits { head_bytes: 0, ..limits };
    assert_eq!(again.parse(&written, &roomy), Ok(Parsed::Complete { len: written.len() }));
    assert_eq!(meaning(&again, &written), meaning(&head, message));
}

/// The same for a response to any kind of request; with few cuts, to one.
pub fn response(message: &[u8], cuts: Cuts) {
    for kind in cuts.ways(message, &[RequestKind::Head, RequestKind::Connect, RequestKind::Other]) {
        response_to(*kind, message, cuts);
    }
}

/// A chunked body, and the trailer section that it ends with, are the same however they are cut.
pub fn chunked(message: &[u8], cuts: Cuts) {
    let whole = decode(message, &[message.len().max(1)]);
    for sizes in cuts.ways(message, &[[1, 1], [2, 3], [7, 1], [1, 30], [40, 9]]) {
        assert_eq!(decode(message, sizes), whole);
    }
    for place in cuts.of(message, message.len()) {
        assert_eq!(decode(message, &[place.max(1), message.len()]), whole);
    }
    let mut fields = Vec::new();
    let is_done = matches!(whole.end, End::Done { .. });
    if is_done && parse_trailers(whole.kept, &mut fields, &limits()).is_ok() {
        for field in fields {
            assert!(field.known == Known::Other && !field.name.is_empty());
        }
    }
}

fn response_to(kind: RequestKind, message: &[u8], cuts: Cuts) {
    let limits = limits();
    let mut head = ResponseHead::new();
    let whole = head.parse(message, &limits, kind);
    let n_whole = if let Ok(Parsed::Complete { len }) = whole { len } else { message.len() };
    let mut part_head = ResponseHead::new();
    for n_bytes in cuts.of(message, n_whole) {
        let part = part_head.parse(&message[..n_bytes], &limits, kind);
        assert!(part == Ok(Parsed::Partial) || part == whole, "{part:?} of {n_bytes} bytes, {whole:?}");
    }
    let Ok(Parsed::Complete { len }) = whole else { return };
    assert!(len <= message.len() && len <= limits.head_bytes && head.fields.len() <= limits.head_fields);
    let version = if head.version == Version::Http10 { "1.0" } else { "1.1" };
    let mut written = Vec::with_capacity(2 * message.len());
    written.extend_from_slice(format!("HTTP/{version} {} ", head.status).as_bytes());
    written.extend_from_slice(head.reason.of(message));
    written.extend_from_slice(b"\r\n");
    write_fields(&mut written, head.fields.iter(), message);
    let mut again = ResponseHead::new();
    let roomy = Limits { head_bytes: 0, line_bytes: 0, ..limits };
    assert_eq!(again.parse(&written, &roomy, kind), Ok(Parsed::Complete { len: written.len() }));
    assert_eq!((again.status, again.body, again.keep_alive), (head.status, head.body, head.keep_alive));
    assert_eq!(field_texts(again.fields.iter(), &written), field_texts(head.fields.iter(), message));
}

/// Small enough that inputs of a few hundred bytes meet every limit.
fn limits() -> Limits {
    Limits { head_bytes: 400, head_fields: 40, line_bytes: 150 }
}

/// Writes a request as a forwarder does: from what was read alone.
fn written_request(head: &RequestHead, message: &[u8]) -> Vec<u8> {
    let mut written = Vec::with_capacity(2 * message.len());
    written.extend_from_slice(head.method.of(message));
    written.push(b' ');
    let Target { form, path, query } = head.target;
    written.extend_from_slice(if form == TargetForm::Asterisk { b"*" } else { path.of(message) });
    if let Some(query) = query {
        written.push(b'?');
        written.extend_from_slice(query.of(message));
    }
    written.extend_from_slice(if head.version == Version::Http10 {
        b" HTTP/1.0\r\n"
    } else {
        b" HTTP/1.1\r\n"
    });
    if !head.host.is_empty() {
        written.extend_from_slice(b"Host: ");
        written.extend_from_slice(head.host.of(message));
        written.extend_from_slice(b"\r\n");
    }
    write_fields(&mut written, others(head), message);
    written
}

/// All fields but the host, which is written anew.
fn others(head: &RequestHead) -> impl Iterator<Item = &Field> {
    head.fields.iter().filter(|field| field.known != Known::Host)
}

fn write_fields<'f>(written: &mut Vec<u8>, fields: impl Iterator<Item = &'f Field>, message: &[u8]) {
    for field in fields {
        written.extend_from_slice(field.name.of(message));
        written.extend_from_slice(b": ");
        written.extend_from_slice(field.value.of(message));
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(b"\r\n");
}

/// Everything that decides what becomes of a request.
fn meaning<'m>(head: &RequestHead, message: &'m [u8]) -> impl PartialEq + std::fmt::Debug + use<'m> {
    let path = if head.target.form == TargetForm::Asterisk { b"*" } else { head.target.path.of(message) };
    (
        (head.method.of(message), path, head.target.query.map(|query| query.of(message))),
        (head.host.of(message), head.version, head.body, head.keep_alive),
        (head.expect_continue, head.te_trailers, head.upgrade.map(|upgrade| upgrade.of(message))),
        field_texts(others(head), message),
    )
}

fn field_texts<'f, 'm>(
    fields: impl Iterator<Item = &'f Field>,
    message: &'m [u8],
) -> Vec<(&'m [u8], &'m [u8], bool)> {
    fields.map(|field| (field.name.of(message), field.value.of(message), field.hop_by_hop)).collect()
}

/// Reads a body whose pieces have the given sizes in turn.
pub fn decode<'m>(message: &'m [u8], sizes: &[usize]) -> Read<'m> {
    let mut decoder = ChunkedDecoder::new(limits());
    let mut content = Vec::with_capacity(message.len());
    let (mut n_taken, mut n_given) = (0, 0);
    for size in sizes.iter().cycle() {
        n_given = message.len().min(n_given + size);
        loop {
            let given = &message[n_taken..n_given];
            match decoder.decode(given).map(|decoded| (decoded.consumed, decoded.event)) {
                Err(error) => return Read { content, kept: &[], end: End::Refused(error) },
                Ok((consumed, ChunkEvent::NeedMore)) => {
                    n_taken += consumed;
                    break;
                }
                Ok((consumed, ChunkEvent::Data { start, end })) => {
                    content.extend_from_slice(&given[start..end]);
                    n_taken += consumed;
                }
                Ok((_, ChunkEvent::Trailers { start, end })) => {
                    let n_left = message.len() - n_taken - end;
                    return Read { content, kept: &given[start..end], end: End::Done { n_left } };
                }
            }
        }
        if n_given == message.len() {
            break;
        }
    }
    Read { content, kept: &message[n_taken..], end: End::NeedsMore }
}
