//! Frames of wrong size, on wrong streams, out of order or beyond what was agreed (RFC 9113 4 to 6).

use igw_e2e::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY, frame, section,
};

use super::Expected::{Connection, Passed, Stream};
use super::{FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GET, PROTOCOL_ERROR, Row, good, opened, post};

/// Rows of frames.
pub(crate) fn frames() -> Vec<Row> {
    let of = |rule, what, parts: &[Vec<u8>], expected| Row(rule, what, parts.concat(), expected);
    let setting = |id: u16, value: u32| {
        frame(SETTINGS, 0, 0, &[id.to_be_bytes().as_slice(), &value.to_be_bytes()].concat())
    };
    let fields = section(GET);
    let all = END_HEADERS | END_STREAM;
    let window = |stream: u32, by: u32| frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    vec![
        of(
            "RFC 9113 4.1",
            "a frame of a type that nobody knows",
            &[frame(0xee, 0xff, 0, b"abc"), good(1)],
            Passed,
        ),
        of(
            "RFC 9113 4.1",
            "the bit of a stream that means nothing",
            &[frame(HEADERS, all, 0x8000_0001, &fields)],
            Passed,
        ),
        of("RFC 9113 4.1", "flags that mean nothing", &[frame(HEADERS, all | 0xd2, 1, &fields)], Passed),
        of(
            "RFC 9113 4.2",
            "a frame longer than the largest",
            &[post(&[]), frame(DATA, 0, 1, &[0; 16_385])],
            Connection(FRAME_SIZE_ERROR),
        ),
        of(
            "RFC 9113 4.2",
            "a HEADERS frame longer than the largest",
            &[frame(HEADERS, all, 1, &[0; 16_385])],
            Connection(FRAME_SIZE_ERROR),
        ),
        of(
            "RFC 9113 4.3",
            "an index of no entry",
            &[frame(HEADERS, all, 1, &[0xff, 0x80, 0x01])],
            Connection(PROTOCOL_ERROR),
        ),
        of("RFC 9113 4.3", "index 0", &[frame(HEADERS, all, 1, &[0x80])], Connection(PROTOCOL_ERROR)),
        of(
            "RFC 9113 4.3",
            "a section that is cut",
            &[frame(HEADERS, all, 1, &fields[..fields.len() - 1])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 4.3",
            "a table larger than allowed",
            &[frame(HEADERS, all, 1, &[&[0x3f, 0xe1, 0xff, 0x03], fields.as_slice()].concat())],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 4.3",
            "a change of the table behind a field",
            &[frame(HEADERS, all, 1, &[fields.as_slice(), &[0x20]].concat())],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 4.3",
            "a number that has no end",
            &[frame(HEADERS, all, 1, &[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 4.3",
            "text in the code of no symbol",
            &[frame(HEADERS, all, 1, &[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x01, b'a'])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 5.1",
            "DATA on a stream that is not open",
            &[frame(DATA, 0, 1, b"a")],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 5.1",
            "RST_STREAM on a stream that is not open",
            &[frame(RST_STREAM, 0, 1, &[0; 4])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 5.1",
            "WINDOW_UPDATE on a stream that is not open",
            &[window(1, 1)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 5.1",
            "CONTINUATION on a stream that is not open",
            &[frame(CONTINUATION, END_HEADERS, 1, &fields)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 5.1",
            "PRIORITY on a stream that is not open",
            &[frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]), good(5)],
            Passed,
        ),
        of("RFC 9113 5.1.1", "a stream of the server", &[good(2)], Connection(PROTOCOL_ERROR)),
        of("RFC 9113 5.1.1", "stream 0", &[good(0)], Connection(PROTOCOL_ERROR)),
        of(
            "RFC 9113 5.1.1",
            "a stream before the last one",
            &[opened(5, 0, GET), good(3)],
            Connection(PROTOCOL_ERROR),
        ),
        of("RFC 9113 6.1", "DATA on stream 0", &[frame(DATA, 0, 0, b"a")], Connection(PROTOCOL_ERROR)),
        of(
            "RFC 9113 6.1",
            "DATA with padding",
            &[post(&[]), frame(DATA, END_STREAM | PADDED, 1, b"\x02abc\0\0")],
            Passed,
        ),
        of(
            "RFC 9113 6.1",
            "padding as long as the frame",
            &[post(&[]), frame(DATA, PADDED, 1, b"\x04abc")],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.1",
            "padding of no length",
            &[post(&[]), frame(DATA, PADDED, 1, b"")],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.2",
            "padding longer than the HEADERS frame",
            &[frame(HEADERS, all | PADDED, 1, &[&[0xff], fields.as_slice()].concat())],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.2",
            "HEADERS with padding and priority",
            &[frame(
                HEADERS,
                all | PADDED | WITH_PRIORITY,
                1,
                &[&[1, 0, 0, 0, 0, 1], fields.as_slice(), &[0]].concat(),
            )],
            Passed,
        ),
        of(
            "RFC 9113 6.2",
            "HEADERS too short for its priority",
            &[frame(HEADERS, all | WITH_PRIORITY, 1, &[0; 4])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.3",
            "PRIORITY of a wrong size",
            &[frame(PRIORITY, 0, 1, &[0; 4]), good(3)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.3",
            "PRIORITY on stream 0",
            &[frame(PRIORITY, 0, 0, &[0; 5])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.4",
            "RST_STREAM of a wrong size",
            &[post(&[]), frame(RST_STREAM, 0, 1, &[0; 3])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.4",
            "RST_STREAM on stream 0",
            &[frame(RST_STREAM, 0, 0, &[0; 4])],
            Connection(PROTOCOL_ERROR),
        ),
        of("RFC 9113 6.5", "SETTINGS on a stream", &[frame(SETTINGS, 0, 1, &[])], Connection(PROTOCOL_ERROR)),
        of(
            "RFC 9113 6.5",
            "SETTINGS of a wrong size",
            &[frame(SETTINGS, 0, 0, &[0; 5])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.5",
            "an acknowledgement with settings",
            &[frame(SETTINGS, 1, 0, &[0, 3, 0, 0, 0, 1])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.5.2",
            "ENABLE_PUSH that is neither 0 nor 1",
            &[setting(2, 2)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.5.2",
            "a window larger than any",
            &[setting(4, 0x8000_0000)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.5.2",
            "frames smaller than allowed",
            &[setting(5, 16_383)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.5.2",
            "frames larger than allowed",
            &[setting(5, 16_777_216)],
            Connection(PROTOCOL_ERROR),
        ),
        of("RFC 9113 6.5.2", "a setting that nobody knows", &[setting(0xfafa, 7), good(1)], Passed),
        of(
            "RFC 9113 6.6",
            "PUSH_PROMISE from a client",
            &[post(&[]), frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], fields.as_slice()].concat())],
            Connection(PROTOCOL_ERROR),
        ),
        of("RFC 9113 6.7", "PING of a wrong size", &[frame(PING, 0, 0, &[0; 7])], Connection(PROTOCOL_ERROR)),
        of("RFC 9113 6.7", "PING on a stream", &[frame(PING, 0, 1, &[0; 8])], Connection(PROTOCOL_ERROR)),
        of("RFC 9113 6.7", "PING", &[frame(PING, 0, 0, &[0; 8]), good(1)], Passed),
        of("RFC 9113 6.8", "GOAWAY on a stream", &[frame(GOAWAY, 0, 1, &[0; 8])], Connection(PROTOCOL_ERROR)),
        of(
            "RFC 9113 6.8",
            "GOAWAY of a wrong size",
            &[frame(GOAWAY, 0, 0, &[0; 7])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.9",
            "WINDOW_UPDATE by nothing on the connection",
            &[window(0, 0)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.9",
            "WINDOW_UPDATE by nothing on a stream",
            &[post(&[]), window(1, 0)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.9",
            "WINDOW_UPDATE of a wrong size",
            &[frame(WINDOW_UPDATE, 0, 0, &[0; 3])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.9.1",
            "a window of the connection larger than any",
            &[window(0, 0x7fff_ffff)],
            Connection(FLOW_CONTROL_ERROR),
        ),
        of(
            "RFC 9113 6.9.1",
            "a window of a stream larger than any",
            &[post(&[]), window(1, 0x7fff_ffff)],
            Stream(FLOW_CONTROL_ERROR),
        ),
        of(
            "RFC 9113 6.10",
            "CONTINUATION",
            &[frame(HEADERS, END_STREAM, 1, &fields[..9]), frame(CONTINUATION, END_HEADERS, 1, &fields[9..])],
            Passed,
        ),
        of(
            "RFC 9113 6.10",
            "CONTINUATION of another stream",
            &[frame(HEADERS, END_STREAM, 1, &fields[..9]), frame(CONTINUATION, END_HEADERS, 3, &fields[9..])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.10",
            "DATA between HEADERS and CONTINUATION",
            &[frame(HEADERS, 0, 1, &fields[..9]), frame(DATA, 0, 1, b"a")],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.10",
            "PING between HEADERS and CONTINUATION",
            &[frame(HEADERS, END_STREAM, 1, &fields[..9]), frame(PING, 0, 0, &[0; 8])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.10",
            "HEADERS between HEADERS and CONTINUATION",
            &[frame(HEADERS, END_STREAM, 1, &fields[..9]), good(3)],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.10",
            "an unknown frame between HEADERS and CONTINUATION",
            &[frame(HEADERS, END_STREAM, 1, &fields[..9]), frame(0xee, 0, 0, b"")],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.10",
            "CONTINUATION behind the end of the section",
            &[frame(HEADERS, END_HEADERS, 1, &fields), frame(CONTINUATION, END_HEADERS, 1, &[])],
            Connection(PROTOCOL_ERROR),
        ),
        of(
            "RFC 9113 6.10",
            "CONTINUATION on stream 0",
            &[frame(CONTINUATION, END_HEADERS, 0, &fields)],
            Connection(PROTOCOL_ERROR),
        ),
    ]
}
