use super::*;

/// A message of fields of length, in order.
fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, value) in fields {
        wire::bytes(&mut out, *field, value);
    }
    out
}

fn number(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    wire::number(&mut out, 1, value);
    out
}

/// A `HeaderValueOption`.
fn option(name: &str, value: &str, more: &[u8]) -> Vec<u8> {
    let header = message(&[(1, name.as_bytes()), (2, value.as_bytes())]);
    [message(&[(1, &header)]), more.to_vec()].concat()
}

fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// A yes with all that a yes may say.
fn yes() -> Vec<u8> {
    let append = message(&[(2, &number(1))]);
    let mut if_absent = Vec::new();
    wire::number(&mut if_absent, 3, 1);
    let ok = message(&[
        (2, &option("X-User", "alice", b"")),
        (2, &option("x-list", "more", &append)),
        (2, &option("x-new", "n", &if_absent)),
        (2, &option("content-length", "5", b"")),
        (5, b"Authorization"),
        (5, b":path"),
        (5, b"Host"),
        (6, &option("x-told", "t", b"")),
        (7, &message(&[(1, b"who"), (2, b"a b")])),
        (8, b"token"),
        // A field that nobody here knows.
        (3, b"whatever"),
    ]);
    frame(&message(&[(1, &number(0)), (3, &ok), (4, b"metadata")]))
}

#[test]
fn a_yes_says_what_changes() {
    let Ok(Verdict::Yes(grant)) = read(&yes()) else { panic!("no yes") };
    let change = |name: &str, value: &str, how| match Change::new(name.as_bytes(), value.as_bytes(), how) {
        Ok(Some(change)) => change,
        other => panic!("{other:?}"),
    };
    let expected = Grant {
        fields: vec![
            change("x-user", "alice", How::Replace),
            change("x-list", "more", How::Append),
            change("x-new", "n", How::IfAbsent),
        ],
        removed: vec![b"authorization".to_vec()],
        query: vec![(b"who".to_vec(), b"a b".to_vec())],
        removed_query: vec![b"token".to_vec()],
        told: vec![AnswerField { name: b"x-told".to_vec(), value: b"t".to_vec(), is_alone: true }],
    };
    assert_eq!(grant, expected);
}

#[test]
fn only_a_clear_yes_is_one() {
    let ok = message(&[(3, b"")]);
    let status = |code| message(&[(1, &number(code))]);
    // What a service leaves out of a status is 0; without a status it has to say that it grants something.
    for good in [status(0), message(&[(1, b"")]), ok.clone(), [status(0), ok.clone()].concat()] {
        assert!(matches!(read(&frame(&good)), Ok(Verdict::Yes(_))), "{good:?}");
    }
    let denied = message(&[(2, b"")]);
    let minus_one = u64::MAX;
    for bad in
        [status(7), status(minus_one), [status(7), ok.clone()].concat(), [status(0), denied.clone()].concat()]
    {
        let Ok(Verdict::No { status, passed }) = read(&frame(&bad)) else { panic!("{bad:?}") };
        assert_eq!((status, passed.fields.len(), passed.body.len()), (403, 0, 0));
    }
    for nonsense in [Vec::new(), denied, b"\x0a\x05a".to_vec(), b"\x08\x00".to_vec(), b"hello".to_vec()] {
        assert!(read(&frame(&nonsense)).is_err(), "{nonsense:?}");
    }
}

#[test]
fn a_no_is_what_the_service_says() {
    let denied = message(&[
        (1, &number(401)),
        (2, &option("www-authenticate", "Bearer", b"")),
        (2, &option("set-cookie", "a=1", b"")),
        (2, &option("set-cookie", "b=2", b"")),
        (2, &option("transfer-encoding", "chunked", b"")),
        (3, b"who are you?"),
    ]);
    let body = frame(&message(&[(1, &number(16)), (2, &denied)]));
    let Ok(Verdict::No { status, passed }) = read(&body) else { panic!("no no") };
    let fields: Vec<(&[u8], &[u8])> =
        passed.fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let expected: Vec<(&[u8], &[u8])> =
        vec![(b"www-authenticate", b"Bearer"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")];
    assert_eq!((status, fields, passed.body.as_slice()), (401, expected, &b"who are you?"[..]));
    for status in [0, 100, 199, 600, 65_736] {
        let denied = message(&[(1, &number(status))]);
        let body = frame(&message(&[(1, &number(7)), (2, &denied)]));
        assert!(matches!(read(&body), Ok(Verdict::No { status: 403, .. })), "{status}");
    }
}

#[test]
fn a_field_that_http_cannot_carry_is_no_answer() {
    for (name, value) in
        [("x-user", "a\r\nx-role: admin"), ("x user", "a"), ("", "a"), (":path", "/"), ("x\n", "")]
    {
        let ok = message(&[(2, &option(name, value, b""))]);
        assert!(read(&frame(&message(&[(1, &number(0)), (3, &ok)]))).is_err(), "{name:?}: {value:?}");
    }
}

#[test]
fn broken_answers_are_refused_and_nothing_worse() {
    let whole = yes();
    for n_bytes in 0..whole.len() {
        assert!(read(whole.get(..n_bytes).unwrap_or_default()).is_err(), "{n_bytes} bytes");
    }
    assert!(read(&[&whole[..], &whole[..]].concat()).is_err(), "two frames");
    let compressed: Vec<u8> = [&[1], whole.get(1..).unwrap_or_default()].concat();
    assert!(read(&compressed).is_err());
    // Whatever byte is whatever else: an answer or an error.
    for index in 0..whole.len() {
        for bits in 1..=u8::MAX {
            let mut changed = whole.clone();
            if let Some(byte) = changed.get_mut(index) {
                *byte ^= bits;
            }
            let _ = read(&changed);
        }
    }
}

#[test]
fn questions_are_messages() {
    let mut http = Vec::new();
    string(&mut http, 2, b"POST");
    header(&mut http, "x-bytes", b"a\xffb");
    let source = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let around = Around {
        source,
        principal: Some(b"CN=alice"),
        destination: Some(SocketAddr::from(([192, 0, 2, 2], 443))),
        time: Duration::new(7, 9),
    };
    for (body, field) in [(&b"text"[..], 11), (b"\xff\xfe", 12), (b"", 0)] {
        let mut out = Vec::new();
        write(&mut out, &around, &http, body);
        let (head, message) = out.split_first_chunk::<5>().unwrap_or((&[0; 5], &[]));
        assert_eq!(head[1..], u32::try_from(message.len()).unwrap_or_default().to_be_bytes());
        let attributes = inner(message, 1);
        assert_eq!(inner(inner(inner(inner(attributes, 1), 1), 1), 2), b"192.0.2.1");
        assert_eq!(inner(inner(attributes, 1), 4), b"CN=alice");
        assert_eq!(inner(inner(inner(inner(attributes, 2), 1), 1), 2), b"192.0.2.2");
        let request = inner(inner(attributes, 4), 2);
        assert_eq!(inner(request, 2), b"POST");
        assert_eq!(inner(inner(request, 3), 2), "a\u{fffd}b".as_bytes());
        let shown = Fields::of(request).flatten().filter(|(number, _)| *number > 10).collect::<Vec<_>>();
        let expected = (field > 0).then_some((field, Value::Bytes(body)));
        assert_eq!(shown, expected.into_iter().collect::<Vec<_>>());
    }
}

/// The first field of a number, which holds bytes.
#[track_caller]
fn inner(message: &[u8], number: u64) -> &[u8] {
    let found = Fields::of(message).find_map(|field| match field {
        Ok((field, Value::Bytes(bytes))) if field == number => Some(bytes),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no field {number} in {message:?}"))
}
