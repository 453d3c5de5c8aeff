//! What a request says of the trace that it is a part of (W3C Trace Context, level 1).

use igw_h1::{Field, RequestHead};

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parent {
    /// Of the trace.
    pub(super) trace: [u8; 16],
    /// Of what the request is a part of.
    pub(super) span: [u8; 8],
    pub(super) flags: u8,
}

/// Reads what a request says. Whoever says it twice, or wrongly, has said nothing.
pub(super) fn parent(buf: &[u8], head: &RequestHead) -> Option<Parent> {
    let mut said = named(buf, head, TRACEPARENT);
    let first = parse(said.next()?)?;
    said.next().is_none().then_some(first)
}

/// Appends what others say of the trace, as one list.
pub(super) fn state(buf: &[u8], head: &RequestHead, out: &mut Vec<u8>) {
    for value in named(buf, head, TRACESTATE).filter(|value| !value.is_empty()) {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(value);
    }
}

/// Fields of the context, in lower case or not.
pub(super) fn is_context(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(TRACEPARENT) || name.eq_ignore_ascii_case(TRACESTATE)
}

fn named<'b>(buf: &'b [u8], head: &'b RequestHead, name: &'static [u8]) -> impl Iterator<Item = &'b [u8]> {
    let is_named = move |field: &&Field| !field.hop_by_hop && field.name.of(buf).eq_ignore_ascii_case(name);
    head.fields.iter().filter(is_named).map(|field| field.value.of(buf))
}

/// `version-trace-span-flags` in lower-case hexadecimal digits; later versions may have more behind it.
fn parse(value: &[u8]) -> Option<Parent> {
    let (known, more) = value.split_at_checked(FIELD_BYTES)?;
    let [version] = digits(known.get(..2)?)?;
    let is_form = match version {
        0 => more.is_empty(),
        0xff => false,
        _ => more.is_empty() || more.first() == Some(&b'-'),
    };
    let dashes = [2, 35, 52].into_iter().all(|at| known.get(at) == Some(&b'-'));
    if !is_form || !dashes {
        return None;
    }
    let trace = digits(known.get(3..35)?)?;
    let span = digits(known.get(36..52)?)?;
    let [flags] = digits(known.get(53..)?)?;
    (trace != [0; 16] && span != [0; 8]).then_some(Parent { trace, span, flags })
}

/// Bytes from twice as many digits.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Writes bytes as twice as many digits.
pub(super) fn write_hex(out: &mut [u8], bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let (pairs, _) = out.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = [byte >> 4, byte & 0xf].map(|digit| HEX.get(usize::from(digit)).copied().unwrap_or_default());
    }
}

/// Name of the field that tells trace and parent.
pub(super) const TRACEPARENT: &[u8] = b"traceparent";
/// Name of the field in which others tell more.
pub(super) const TRACESTATE: &[u8] = b"tracestate";
/// Length of a value of `traceparent`.
pub(super) const FIELD_BYTES: usize = 55;

#[cfg(test)]
mod tests {
    use igw_h1::{Limits, Parsed};

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn head(fields: &str) -> (Vec<u8>, RequestHead) {
        let buf = format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n").into_bytes();
        let mut head = RequestHead::new();
        let parsed = head.parse(&buf, &Limits::default());
        assert!(matches!(parsed, Ok(Parsed::Complete { .. })), "{fields}");
        (buf, head)
    }

    #[test]
    fn what_is_said_rightly_is_read() {
        let known = parse(GOOD.as_bytes()).expect("a parent");
        assert_eq!(known.trace[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!((known.span[7], known.flags), (0x31, 1));
        let later = format!("cc{}-what-ever", &GOOD[2..]);
        assert_eq!(parse(later.as_bytes()), Some(known));
        assert!(parse(format!("01{}", &GOOD[2..]).as_bytes()).is_some());
    }

    #[test]
    fn what_is_said_wrongly_is_not_said() {
        let changed = |at: usize, with: &str| {
            let mut text = GOOD.to_owned();
            text.replace_range(at..at + with.len(), with);
            text
        };
        let wrong = [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD} "),
            format!("01{}.", &GOOD[2..]),
            changed(0, "ff"),
            changed(0, "0x"),
            changed(2, "_"),
            changed(35, "0"),
            changed(52, "+"),
            changed(3, "0AF7"),
            changed(3, &"0".repeat(32)),
            changed(36, &"0".repeat(16)),
            changed(53, "0g"),
            changed(40, "ü"),
        ];
        for text in wrong {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_said_twice_or_for_the_connection_is_not_said() {
        let (buf, one) =
            head(&format!("Traceparent: {GOOD}\r\nTraceState: a=1\r\ntracestate:\r\ntracestate: b=2\r\n"));
        assert!(parent(&buf, &one).is_some());
        let mut list = Vec::new();
        state(&buf, &one, &mut list);
        assert_eq!(list, b"a=1,b=2");
        let (buf, two) = head(&format!("traceparent: {GOOD}\r\ntraceparent: {GOOD}\r\n"));
        assert_eq!(parent(&buf, &two), None);
        let (buf, hop) = head(&format!("traceparent: {GOOD}\r\nconnection: traceparent\r\n"));
        assert_eq!(parent(&buf, &hop), None);
    }

    #[test]
    fn digits_come_back() {
        let bytes: [u8; 16] = digits(&GOOD.as_bytes()[3..35]).expect("digits");
        let mut text = [0; 32];
        write_hex(&mut text, &bytes);
        assert_eq!(text, GOOD.as_bytes()[3..35]);
    }
}
