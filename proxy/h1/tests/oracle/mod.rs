//! What holds for every input, valid or not. Shared by the property tests, the replay of the corpus and the fuzz
//! targets; each check panics where its property is broken.

use igw_h1::{
    ChunkEvent, ChunkedDecoder, Field, Known, Limits, Parsed, RequestHead, RequestKind, ResponseHead, Target,
    TargetForm, Version, parse_trailers,
};

/// A prefix of a request is partial or refused as the whole is; what is accepted means the same written out again.
pub fn request(message: &[u8]) {
    let limits = limits();
    let mut head = RequestHead::new();
    let whole = head.parse(message, &limits);
    let n_whole = if let Ok(Parsed::Complete { len }) = whole { len } else { message.len() };
    let mut part_head = RequestHead::new();
    for n_bytes in cuts_of(n_whole) {
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

/// The same for a response to any kind of request.
pub fn response(message: &[u8]) {
    for kind in [RequestKind::Head, RequestKind::Connect, RequestKind::Other] {
        response_to(kind, message);
    }
}

/// A chunked body, and the trailer section that it ends with, are the same however they are cut.
pub fn chunked(message: &[u8]) {
    let whole = decode(message, &[message.len().max(1)]);
    for cuts in [[1, 1], [2, 3], [7, 1]] {
        assert_eq!(decode(message, &cuts), whole);
    }
    let (_, section, end) = whole;
    let mut fields = Vec::new();
    if end.starts_with("done") && parse_trailers(&section, &mut fields, &limits()).is_ok() {
        for field in fields {
            assert!(field.known == Known::Other && !field.name.is_empty());
        }
    }
}

fn response_to(kind: RequestKind, message: &[u8]) {
    let limits = limits();
    let mut head = ResponseHead::new();
    let whole = head.parse(message, &limits, kind);
    let n_whole = if let Ok(Parsed::Complete { len }) = whole { len } else { message.len() };
    let mut part_head = ResponseHead::new();
    for n_bytes in cuts_of(n_whole) {
        let part = part_head.parse(&message[..n_bytes], &limits, kind);
        assert!(part == Ok(Parsed::Partial) || part == whole, "{part:?} of {n_bytes} bytes, {whole:?}");
    }
    let Ok(Parsed::Complete { len }) = whole else { return };
    assert!(len <= message.len() && len <= limits.head_bytes && head.fields.len() <= limits.head_fields);
    let version = if head.version == Version::Http10 { "1.0" } else { "1.1" };
    let mut written = format!("HTTP/{version} {} ", head.status).into_bytes();
    written.extend_from_slice(head.reason.of(message));
    written.extend_from_slice(b"\r\n");
    write_fields(&mut written, &head.fields, message);
    let mut again = ResponseHead::new();
    let roomy = Limits { head_bytes: 0, line_bytes: 0, ..limits };
    assert_eq!(again.parse(&written, &roomy, kind), Ok(Parsed::Complete { len: written.len() }));
    assert_eq!((again.status, again.body, again.keep_alive), (head.status, head.body, head.keep_alive));
    assert_eq!(field_texts(&again.fields, &written), field_texts(&head.fields, message));
}

/// Small enough that inputs of a few hundred bytes meet every limit.
fn limits() -> Limits {
    Limits { head_bytes: 2000, head_fields: 40, line_bytes: 300 }
}

/// Where a message of `n_bytes` is cut: everywhere, and in a long one at about 200 places.
fn cuts_of(n_bytes: usize) -> impl Iterator<Item = usize> {
    (0..n_bytes).step_by(n_bytes / 200 + 1)
}

/// Writes a request as a forwarder does: from what was read alone.
fn written_request(head: &RequestHead, message: &[u8]) -> Vec<u8> {
    let mut written = head.method.of(message).to_vec();
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
    let others: Vec<_> = head.fields.iter().copied().filter(|field| field.known != Known::Host).collect();
    write_fields(&mut written, &others, message);
    written
}

fn write_fields(written: &mut Vec<u8>, fields: &[Field], message: &[u8]) {
    for field in fields {
        written.extend_from_slice(field.name.of(message));
        written.extend_from_slice(b": ");
        written.extend_from_slice(field.value.of(message));
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(b"\r\n");
}

/// Everything that decides what becomes of a request.
fn meaning(head: &RequestHead, message: &[u8]) -> impl PartialEq + std::fmt::Debug + use<> {
    let path = if head.target.form == TargetForm::Asterisk { b"*" } else { head.target.path.of(message) };
    let fields: Vec<_> = head.fields.iter().copied().filter(|field| field.known != Known::Host).collect();
    (
        (
            head.method.of(message).to_vec(),
            path.to_vec(),
            head.target.query.map(|query| query.of(message).to_vec()),
        ),
        (head.host.of(message).to_vec(), head.version, head.body, head.keep_alive),
        (head.expect_continue, head.te_trailers, head.upgrade.map(|upgrade| upgrade.of(message).to_vec())),
        field_texts(&fields, message),
    )
}

fn field_texts(fields: &[Field], message: &[u8]) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
    fields
        .iter()
        .map(|field| (field.name.of(message).to_vec(), field.value.of(message).to_vec(), field.hop_by_hop))
        .collect()
}

/// Content, what was left behind it, and how it ended; the pieces have the sizes of `cuts` in turn.
pub fn decode(message: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<u8>, String) {
    let mut decoder = ChunkedDecoder::new(limits());
    let (mut content, mut kept, mut n_given) = (Vec::new(), Vec::new(), 0);
    for cut in cuts.iter().cycle() {
        let n_end = message.len().min(n_given + cut);
        kept.extend_from_slice(&message[n_given..n_end]);
        n_given = n_end;
        loop {
            match decoder.decode(&kept).map(|decoded| (decoded.consumed, decoded.event)) {
                Err(error) => return (content, Vec::new(), error.to_string()),
                Ok((consumed, ChunkEvent::NeedMore)) => {
                    kept.drain(..consumed);
                    break;
                }
                Ok((consumed, ChunkEvent::Data { start, end })) => {
                    content.extend_from_slice(&kept[start..end]);
                    kept.drain(..consumed);
                }
                Ok((_, ChunkEvent::Trailers { start, end })) => {
                    let n_left = kept.len() - end + message.len() - n_given;
                    return (content, kept[start..end].to_vec(), format!("done, {n_left} left"));
                }
            }
        }
        if n_given == message.len() {
            break;
        }
    }
    (content, kept, "needs more".into())
}
