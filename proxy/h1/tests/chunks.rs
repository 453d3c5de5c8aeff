//! Chunked bodies and trailers: one row per rule, whole and cut at every byte and every pair of bytes.

use igw_h1::{ChunkError, ChunkEvent, ChunkedDecoder, Limits, TrailerError, encode, parse_trailers};

/// Rule, whole body, its content, and its trailer section.
struct Row(&'static str, &'static [u8], &'static [u8], &'static [u8]);

/// Bodies that are taken.
const ACCEPTED: &[Row] = &[
    Row("RFC 9112 7.1", b"0\r\n\r\n", b"", b""),
    Row("RFC 9112 7.1", b"000\r\n\r\n", b"", b""),
    Row("RFC 9112 7.1", b"0000000000000000\r\n\r\n", b"", b""),
    Row("RFC 9112 7.1", b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""),
    Row("RFC 9112 7.1", b"05\r\nhello\r\n0\r\n\r\n", b"hello", b""),
    Row("RFC 9112 7.1", b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello", b""),
    Row("RFC 9112 7.1", b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!", b""),
    Row("RFC 9112 7.1", b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"01234567890123456789", b""),
    Row("RFC 9112 7.1", b"10\r\n0123456789abcdef\r\n0\r\n\r\n", b"0123456789abcdef", b""),
    Row("RFC 9112 7.1", b"5\r\n\r\n0\r\n\r\n0\r\n\r\n", b"\r\n0\r\n", b""),
    Row("RFC 9112 7.1.1", b"1;a\r\nx\r\n0\r\n\r\n", b"x", b""),
    Row("RFC 9112 7.1.1", b"1;a=b\r\nx\r\n0;c\r\n\r\n", b"x", b""),
    Row("RFC 9112 7.1.1", b"1;a=b;c;d=e\r\nx\r\n0\r\n\r\n", b"x", b""),
    Row("RFC 9112 7.1.1", b"1;a=\"b;\\\"c\\\\ \t\xe9\"\r\nx\r\n0\r\n\r\n", b"x", b""),
    Row("RFC 9112 7.1.1", b"1;a=\"\";b=\"\"\r\nx\r\n0\r\n\r\n", b"x", b""),
    Row("RFC 9112 7.1.1", b"1; a = b ;\tc\t=\t\"d\" ;e\r\nx\r\n0\r\n\r\n", b"x", b""),
    Row("RFC 9112 7.1.2", b"0\r\nX: y\r\n\r\n", b"", b"X: y\r\n\r\n"),
    Row("RFC 9112 7.1.2", b"1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", b"x", b"A: b\r\nC:\r\n\r\n"),
    Row("RFC 9112 7.1.2", b"0\r\nX: \xe9\ty \r\n\r\n", b"", b"X: \xe9\ty \r\n\r\n"),
    Row("RFC 9112 7.1.2", b"0;a=b\r\nX: y\r\n\r\n", b"", b"X: y\r\n\r\n"),
];

/// Bodies that are refused, and the content before the fault.
const REFUSED: &[(&str, &[u8], &[u8])] = &[
    ("RFC 9112 7.1", b"\r\n", b""),
    ("RFC 9112 7.1", b"\n", b""),
    ("RFC 9112 7.1", b" 5\r\nhello", b""),
    ("RFC 9112 7.1", b"\t5\r\nhello", b""),
    ("RFC 9112 7.1", b"5 \r\nhello", b""),
    ("RFC 9112 7.1", b"5\t\r\nhello", b""),
    ("RFC 9112 7.1", b"5 ;a\r\nhello", b""),
    ("RFC 9112 7.1", b"+5\r\nhello", b""),
    ("RFC 9112 7.1", b"-5\r\nhello", b""),
    ("RFC 9112 7.1", b"-0\r\n\r\n", b""),
    ("RFC 9112 7.1", b"0x5\r\nhello", b""),
    ("RFC 9112 7.1", b"5h\r\nhello", b""),
    ("RFC 9112 7.1", b"5_0\r\nhello", b""),
    ("RFC 9112 7.1", b"g\r\n", b""),
    ("RFC 9112 7.1", b"5,5\r\nhello", b""),
    ("RFC 9112 7.1", b"5\0\r\nhello", b""),
    ("RFC 9112 7.1", b"5\xb2\r\nhello", b""),
    ("RFC 9112 7.1", b";a\r\n", b""),
    ("RFC 9112 7.1", b"\"5\"\r\nhello", b""),
    ("RFC 9112 7.1", b"00000000000000005\r\nhello", b""),
    ("RFC 9112 7.1", b"00000000000000000\r\n\r\n", b""),
    ("RFC 9112 7.1", b"8000000000000000\r\n", b""),
    ("RFC 9112 7.1", b"ffffffffffffffff\r\n", b""),
    ("RFC 9112 7.1", b"10000000000000005\r\nhello", b""),
    ("RFC 9112 7.1", b"5\nhello\r\n0\r\n\r\n", b""),
    ("RFC 9112 7.1", b"5\rhello\r\n0\r\n\r\n", b""),
    ("RFC 9112 7.1", b"5\r\rhello", b""),
    ("RFC 9112 7.1", b"5\r\nhello\n0\r\n\r\n", b"hello"),
    ("RFC 9112 7.1", b"5\r\nhello\r0\r\n\r\n", b"hello"),
    ("RFC 9112 7.1", b"5\r\nhello0\r\n\r\n", b"hello"),
    ("RFC 9112 7.1", b"5\r\nhello!\r\n0\r\n\r\n", b"hello"),
    ("RFC 9112 7.1", b"5\r\nhell\r\n0\r\n\r\n", b"hell\r"),
    ("RFC 9112 7.1", b"5\r\nhello\r\n\r\n0\r\n\r\n", b"hello"),
    ("RFC 9112 7.1", b"0\n\n", b""),
    ("RFC 9112 7.1", b"0\r0", b""),
    ("RFC 9112 7.1.1", b"5;\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;;a\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a=\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;=b\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a b\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a \r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a=b \r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a=\"b\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a=\"b\"c\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a=\"\n\"\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a=\"\\\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a\0\r\nhello", b""),
    ("RFC 9112 7.1.1", b"5;a\xe9\r\nhello", b""),
    ("RFC 9112 7.1", b"5;a\nhello\r\n0\r\n\r\n", b""),
    ("RFC 9112 7.1", b"5;a=b\nhello\r\n0\r\n\r\n", b""),
    ("RFC 9112 7.1", b"5;a=\"b\"\nhello\r\n0\r\n\r\n", b""),
    ("RFC 9112 7.1", b"5;a\rhello\r\n0\r\n\r\n", b""),
    ("RFC 9112 2.2", b"0\r\n\n", b""),
    ("RFC 9112 2.2", b"0\r\n\r\r\n", b""),
    ("RFC 9112 2.2", b"0\r\nX: y\n\r\n", b""),
    ("RFC 9112 2.2", b"0\r\nX: y\n\n", b""),
    ("RFC 9112 2.2", b"0\r\nX: y\rZ: a\r\n\r\n", b""),
    ("RFC 9112 2.2", b"0\r\nX: y\r\n\rZ", b""),
    ("RFC 9110 5.5", b"0\r\nX: \0\r\n\r\n", b""),
    ("RFC 9110 5.5", b"0\r\nX: a\x7f\r\n\r\n", b""),
    ("RFC 9112 5.2", b"0\r\n X: y\r\n\r\n", b""),
    ("RFC 9112 5.2", b"0\r\nX: y\r\n z\r\n\r\n", b""),
    ("RFC 9112 5.1", b"0\r\n: y\r\n\r\n", b""),
];

/// Trailer sections that pass the decoder, and the rule of the parse that refuses them.
const REFUSED_TRAILERS: &[(&[u8], &str)] = &[
    (b"X\r\n\r\n", "field name is not a token"),
    (b"X : y\r\n\r\n", "white space before the colon of a field"),
    (b"X(: y\r\n\r\n", "field name is not a token"),
    (b"X: y\r\n", "trailer section is not complete"),
    (b"X: y\r\n\r\nZ", "trailer section is not complete"),
    (b"X: y\n\r\n", "line feed without a carriage return"),
    (b"X: y\r\n\n", "line feed without a carriage return"),
];

#[test]
fn accepted_bodies_are_decoded_however_they_are_cut() {
    for Row(rule, input, content, trailers) in ACCEPTED {
        check(rule, input, content, Ok(trailers));
    }
}

#[test]
fn refused_bodies_name_the_rule() {
    for (rule, input, content) in REFUSED {
        check(rule, input, content, Err(()));
    }
}

#[test]
fn the_corpus_is_as_large_as_promised() {
    assert!(ACCEPTED.len() + REFUSED.len() >= 50);
}

#[test]
fn the_largest_chunk_is_counted_down() {
    let mut decoder = ChunkedDecoder::new(Limits::default());
    let decoded = decoder.decode(b"7fffffffffffffff\r\nabc").unwrap();
    assert_eq!((decoded.consumed, decoded.event), (21, ChunkEvent::Data { start: 18, end: 21 }));
    let decoded = decoder.decode(b"def").unwrap();
    assert_eq!((decoded.consumed, decoded.event), (3, ChunkEvent::Data { start: 0, end: 3 }));
}

#[test]
fn bytes_behind_the_body_are_left_alone() {
    let mut decoder = ChunkedDecoder::new(Limits::default());
    let input = b"0\r\n\r\nGET / HTTP/1.1\r\n";
    let decoded = decoder.decode(input).unwrap();
    assert_eq!((decoded.consumed, decoded.event), (5, ChunkEvent::Trailers { start: 5, end: 5 }));
    assert!(decoder.is_done());
    let decoded = decoder.decode(&input[5..]).unwrap();
    assert_eq!((decoded.consumed, decoded.event), (0, ChunkEvent::Trailers { start: 0, end: 0 }));
}

#[test]
fn trailers_are_bounded_however_they_are_cut() {
    for (limits, most) in
        [(Limits::default(), 16 * 1024), (Limits { head_bytes: 100, ..Limits::default() }, 100)]
    {
        let body = |n_section: usize| format!("0\r\nX: {}\r\n\r\n", "y".repeat(n_section - 7)).into_bytes();
        for n_piece in [1, 7, 1 << 20] {
            assert!(decode(&body(most), n_piece, limits.clone()).is_ok());
            let refused = decode(&body(most + 2), n_piece, limits.clone());
            assert_eq!(refused.map_err(|broken| broken.error), Err(ChunkError::TrailersTooLong));
        }
    }
}

#[test]
fn extensions_may_not_outweigh_the_data() {
    let chunk = |n_data: usize, n_extension: usize| {
        format!("{n_data:x};{}\r\n{}\r\n", "e".repeat(n_extension - 1), "d".repeat(n_data)).into_bytes()
    };
    let refused = |body: &[u8]| decode(body, 1 << 20, Limits::default()).map_err(|broken| broken.error);
    assert_eq!(refused(&chunk(1, 4097)), Err(ChunkError::ExtensionTooLong));
    assert_eq!(refused(&chunk(1, 8).repeat(1000)), Err(ChunkError::ExtensionTooLong));
    let even = [chunk(85, 85).repeat(1000), b"0\r\n\r\n".to_vec()].concat();
    assert_eq!(refused(&even), Ok(Whole { content: vec![b'd'; 85_000], trailers: Vec::new() }));
}

#[test]
fn trailers_that_frame_route_or_authenticate_are_left_out() {
    let section = b"Grpc-Status: 0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\nHost: a\r\nAuthorization: b\r\n\
        Cookie: c\r\nSet-Cookie: d\r\nContent-Type: e\r\nContent-Digest: f\r\nTrailer: g\r\nCache-Control: h\r\nTE: i\r\n\
        Connection: j\r\nX-Forwarded-For: k\r\nX-Forwarded-Prefix: k\r\nx_y: l\r\nIf-Match: m\r\nRange: n\r\nX-Sum: o\r\n\
        Expect: p\r\nProxy: q\r\nWWW-Authenticate: r\r\nContent-Encoding: s\r\nLocation: t\r\n\r\n";
    let mut fields = Vec::new();
    assert_eq!(parse_trailers(section, &mut fields, &Limits::default()), Ok(()));
    let kept: Vec<_> = fields.iter().map(|field| field.name.of(section)).collect();
    assert_eq!(kept, [b"Grpc-Status".as_slice(), b"Content-Digest", b"X-Sum"]);
    assert_eq!(fields.iter().map(|field| field.value.of(section)).collect::<Vec<_>>(), [b"0", b"f", b"o"]);
}

#[test]
fn refused_trailers_name_the_fault() {
    let mut fields = Vec::new();
    for (section, fault) in REFUSED_TRAILERS {
        let refused = parse_trailers(section, &mut fields, &Limits::default());
        assert_eq!(
            refused.map_err(|error| error.to_string()),
            Err((*fault).into()),
            "{}",
            section.escape_ascii()
        );
    }
    assert_eq!(parse_trailers(b"", &mut fields, &Limits::default()), Ok(()));
    assert_eq!(fields, []);
    let limits = Limits { head_fields: 2, ..Limits::default() };
    let many = parse_trailers(b"A: b\r\nA: b\r\nA: b\r\n\r\n", &mut fields, &limits);
    assert_eq!(many, Err(TrailerError::TooManyFields));
    let limits = Limits { head_bytes: 5, ..Limits::default() };
    assert_eq!(parse_trailers(b"A: b\r\n\r\n", &mut fields, &limits), Err(TrailerError::TooLong));
}

#[test]
fn encoded_chunks_are_decoded_to_the_same() {
    for n_data in [1, 9, 10, 15, 16, 255, 256, 4095, 4096, 65_535, 65_536, 1_048_576] {
        let data = vec![b'z'; n_data];
        let mut body = Vec::new();
        encode::chunk_size_line(&mut body, n_data);
        assert_eq!(body, format!("{n_data:x}\r\n").as_bytes());
        body.extend_from_slice(&data);
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(encode::LAST_CHUNK);
        assert_eq!(
            decode(&body, 1 << 21, Limits::default()),
            Ok(Whole { content: data, trailers: Vec::new() })
        );
    }
    let mut line = Vec::new();
    encode::chunk_size_line(&mut line, usize::MAX);
    encode::chunk_size_line(&mut line, 0);
    assert_eq!(line, format!("{:x}\r\n0\r\n", usize::MAX).as_bytes());
}

#[test]
fn numbers_and_reasons_are_written_out() {
    for value in [0, 7, 10, 99, 100, 65_535, u64::MAX] {
        let mut out = b"x".to_vec();
        encode::decimal(&mut out, value);
        assert_eq!(out, format!("x{value}").as_bytes());
    }
    assert_eq!(
        [encode::reason(200), encode::reason(503), encode::reason(299)],
        ["OK", "Service Unavailable", "Unknown"]
    );
}

/// What became of a body that was decoded to its end.
#[derive(Debug, PartialEq)]
struct Whole {
    content: Vec<u8>,
    trailers: Vec<u8>,
}

/// What became of a body that was refused.
#[derive(Debug, PartialEq)]
struct Broken {
    error: ChunkError,
    content: Vec<u8>,
}

/// Decodes `input` whole, in pieces of every size, and cut in three at every pair of bytes.
fn check(rule: &str, input: &[u8], content: &[u8], end: Result<&[u8], ()>) {
    let shown = input.escape_ascii();
    let compare = |outcome: Result<Whole, Broken>, cut: &str| match (outcome, end) {
        (Ok(decoded), Ok(trailers)) => {
            assert_eq!((&*decoded.content, &*decoded.trailers), (content, trailers), "{rule}: {shown} {cut}");
            let parsed = parse_trailers(&decoded.trailers, &mut Vec::new(), &Limits::default());
            assert_eq!(parsed, Ok(()), "{rule}: {shown} {cut}");
        }
        (Err(Broken { error, content: decoded }), Err(())) => {
            assert_eq!(error.rule(), rule, "{error}: {shown} {cut}");
            assert_eq!(decoded, content, "{rule}: {shown} {cut}");
        }
        (outcome, _) => panic!("{rule}: {shown} {cut} gives {outcome:?}"),
    };
    for n_piece in 1..=input.len() {
        compare(decode(input, n_piece, Limits::default()), &format!("in pieces of {n_piece}"));
    }
    for first in 1..input.len() {
        for second in first..input.len() {
            let pieces = [&input[..first], &input[first..second], &input[second..]];
            compare(decode_pieces(pieces, Limits::default()), &format!("cut at {first} and {second}"));
        }
    }
}

fn decode(input: &[u8], n_piece: usize, limits: Limits) -> Result<Whole, Broken> {
    decode_pieces(input.chunks(n_piece), limits)
}

/// Content and trailer section, or the error and the content before it. Keeps what the decoder leaves, as a caller
/// has to.
fn decode_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Result<Whole, Broken> {
    let mut decoder = ChunkedDecoder::new(limits);
    let (mut content, mut kept) = (Vec::new(), Vec::new());
    for piece in pieces {
        kept.extend_from_slice(piece);
        loop {
            let decoded = match decoder.decode(&kept) {
                Ok(decoded) => decoded,
                Err(error) => {
                    assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(error), "an error is final");
                    return Err(Broken { error, content });
                }
            };
            match decoded.event {
                ChunkEvent::NeedMore => {
                    kept.drain(..decoded.consumed);
                    break;
                }
                ChunkEvent::Data { start, end } => {
                    assert!(start < end && end == decoded.consumed);
                    content.extend_from_slice(&kept[start..end]);
                    kept.drain(..decoded.consumed);
                }
                ChunkEvent::Trailers { start, end } => {
                    assert!(decoder.is_done());
                    return Ok(Whole { content, trailers: kept[start..end].to_vec() });
                }
            }
        }
    }
    panic!("the body does not end");
}
