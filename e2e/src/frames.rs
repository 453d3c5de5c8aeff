//! HTTP/2 as bytes (RFC 9113 4, RFC 7541 6.2.2), for what no library would send.

use std::io::Read;

/// What a client says first, its settings left out.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Type of a frame that carries content.
pub const DATA: u8 = 0;
/// Type of a frame that begins a field section.
pub const HEADERS: u8 = 1;
/// Type of a frame with advice that nobody takes any more.
pub const PRIORITY: u8 = 2;
/// Type of a frame that ends a stream at once.
pub const RST_STREAM: u8 = 3;
/// Type of a frame of settings.
pub const SETTINGS: u8 = 4;
/// Type of a frame that announces a stream of a server.
pub const PUSH_PROMISE: u8 = 5;
/// Type of a frame that asks for a sign of life.
pub const PING: u8 = 6;
/// Type of a frame that ends a connection.
pub const GOAWAY: u8 = 7;
/// Type of a frame that gives room for content.
pub const WINDOW_UPDATE: u8 = 8;
/// Type of a frame that continues a field section.
pub const CONTINUATION: u8 = 9;

/// The stream ends with this frame; an acknowledgement where the frame is one of settings or a ping.
pub const END_STREAM: u8 = 0x1;
/// The field section ends with this frame.
pub const END_HEADERS: u8 = 0x4;
/// The payload begins with the length of its padding.
pub const PADDED: u8 = 0x8;
/// The payload has the fields of a PRIORITY frame.
pub const WITH_PRIORITY: u8 = 0x20;

/// A frame that was received.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream; 0 is the connection.
    pub stream: u32,
    /// Payload.
    pub payload: Vec<u8>,
}

// === impl Frame ===

impl Frame {
    /// Reads a frame; nothing where the connection ends, breaks or is silent for longer than its time limit.
    pub fn read(from: &mut impl Read) -> Option<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head).ok()?;
        let [high, middle, low, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        from.read_exact(&mut payload).ok()?;
        Some(Self { kind, flags, stream: u32::from_be_bytes(id) & 0x7fff_ffff, payload })
    }

    /// Error code of a RST_STREAM or GOAWAY frame.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        let start = if self.kind == GOAWAY { 4 } else { 0 };
        Some(u32::from_be_bytes(self.payload.get(start..start + 4)?.try_into().ok()?))
    }

    /// Status of the first answer on a connection, where the table of fields is still empty.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.payload.as_slice() {
            [index @ 0x88..=0x8e, ..] => {
                [200, 204, 206, 304, 400, 404, 500].get(usize::from(*index - 0x88)).copied()
            }
            [0x48 | 0x08 | 0x18, length, value @ ..] => {
                let value = value.get(..usize::from(length & 0x7f))?;
                if length & 0x80 == 0 {
                    std::str::from_utf8(value).ok()?.parse().ok()
                } else {
                    huffman(value)
                }
            }
            _ => None,
        }
    }
}

/// A frame, of whatever sense.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field section of literals that enter no table. Each character is one byte, those up to U+00FF are meant.
#[must_use]
pub fn section(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            let bytes: Vec<u8> = text.chars().map(|character| character as u8).collect();
            length(&mut out, bytes.len());
            out.extend(bytes);
        }
    }
    out
}

/// An integer of HPACK with a prefix of seven bits (RFC 7541 5.1).
fn length(out: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        out.push(value as u8);
        return;
    }
    out.push(127);
    value -= 127;
    while value >= 128 {
        out.push((value % 128) as u8 | 0x80);
        value /= 128;
    }
    out.push(value as u8);
}

/// Three digits in the code of RFC 7541 appendix B, where 0 to 2 have five bits and the others six.
fn huffman(bytes: &[u8]) -> Option<u16> {
    let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let mut n_left = bytes.len() * 8;
    let mut status = 0;
    for _ in 0..3 {
        let take = |n_bits: usize| Some((bits >> n_left.checked_sub(n_bits)?) & ((1 << n_bits) - 1));
        let (digit, n_bits) = match take(5)? {
            digit @ 0..=2 => (digit, 5),
            _ => (take(6)?.checked_sub(0x16)?, 6),
        };
        n_left -= n_bits;
        status = status * 10 + u16::try_from(digit).ok()?;
    }
    Some(status)
}
