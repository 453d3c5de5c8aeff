//! The parser of this crate, used as the gateway uses it.

use igw_h1::{
    Body, ChunkEvent, ChunkedDecoder, Decoded, Field as Span, Limits, Parsed, RequestHead, RequestKind,
    ResponseHead, TargetForm, Version, parse_trailers,
};

use crate::{Content, Field, Message, Reading, Taken, Target};

pub fn requests(stream: &[u8]) -> Reading {
    Reading::of(stream, request)
}

/// Reads the responses to requests of one kind; what follows 101 belongs to another protocol.
pub fn responses(is_head: bool, stream: &[u8]) -> Reading {
    let kind = if is_head { RequestKind::Head } else { RequestKind::Other };
    Reading::of(stream, |rest| response(kind, rest))
}

fn request(rest: &[u8]) -> Result<Option<Taken>, String> {
    let mut head = RequestHead::new();
    let parsed = head.parse(rest, &Limits::default()).map_err(|error| format!("{error:?}"))?;
    let Parsed::Complete { len } = parsed else { return Ok(None) };
    let Some(content) = content(head.body, &rest[len..])? else { return Ok(None) };
    let text = &rest[head.method.end as usize + 1..];
    let has_authority = !text.starts_with(b"/") && !text.starts_with(b"* ");
    let is_asterisk = head.target.form == TargetForm::Asterisk;
    let target = Target {
        authority: has_authority.then(|| head.host.of(rest).to_vec()),
        path: if is_asterisk { b"*".to_vec() } else { head.target.path.of(rest).to_vec() },
        query: head.target.query.map(|query| query.of(rest).to_vec()),
    };
    let message = Message {
        subject: head.method.of(rest).to_vec(),
        target,
        is_11: head.version == Version::Http11,
        fields: texts(&head.fields, rest),
        content: content.bytes,
        trailers: content.trailers,
    };
    Ok(Some(Taken { message, len: len + content.len, persists: head.keep_alive }))
}

fn response(kind: RequestKind, rest: &[u8]) -> Result<Option<Taken>, String> {
    let mut head = ResponseHead::new();
    let parsed = head.parse(rest, &Limits::default(), kind).map_err(|error| format!("{error:?}"))?;
    let Parsed::Complete { len } = parsed else { return Ok(None) };
    let Some(content) = content(head.body, &rest[len..])? else { return Ok(None) };
    let message = Message {
        subject: head.status.to_string().into_bytes(),
        target: Target::default(),
        is_11: head.version == Version::Http11,
        fields: texts(&head.fields, rest),
        content: content.bytes,
        trailers: content.trailers,
    };
    // What informs is followed by the response, whatever it says of the connection.
    let persists = match head.status {
        101 => false,
        100..=199 => true,
        _ => head.keep_alive,
    };
    Ok(Some(Taken { message, len: len + content.len, persists }))
}

/// Content; `None` while it is not whole.
fn content(body: Body, rest: &[u8]) -> Result<Option<Content>, String> {
    let plain = |len: usize| Content { bytes: rest[..len].to_vec(), trailers: Vec::new(), len };
    match body {
        Body::None => Ok(Some(plain(0))),
        Body::UntilClose => Ok(Some(plain(rest.len()))),
        Body::Length(length) => Ok(usize::try_from(length).ok().filter(|len| *len <= rest.len()).map(plain)),
        Body::Chunked => chunks(rest),
    }
}

fn chunks(rest: &[u8]) -> Result<Option<Content>, String> {
    let mut decoder = ChunkedDecoder::new(Limits::default());
    let (mut bytes, mut start) = (Vec::new(), 0);
    loop {
        let input = &rest[start..];
        let Decoded { consumed, event } = decoder.decode(input).map_err(|error| format!("{error:?}"))?;
        match event {
            ChunkEvent::NeedMore => return Ok(None),
            ChunkEvent::Data { start, end } => bytes.extend_from_slice(&input[start..end]),
            ChunkEvent::Trailers { start: from, end } => {
                let section = &input[from..end];
                let mut fields = Vec::new();
                parse_trailers(section, &mut fields, &Limits::default())
                    .map_err(|error| format!("{error:?}"))?;
                return Ok(Some(Content { bytes, trailers: texts(&fields, section), len: start + end }));
            }
        }
        start += consumed;
    }
}

fn texts(fields: &[Span], buf: &[u8]) -> Vec<Field> {
    Field::sorted(fields.iter().map(|field| (field.name.of(buf), field.value.of(buf))))
}
