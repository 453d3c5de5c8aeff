//! The wire form of Protocol Buffers, as far as it is needed here. What is read was sent by a stranger: every length is
//! checked, nothing is copied, and bytes that break the form are an error.

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    /// A message, a string or bytes.
    Bytes(&'a [u8]),
    /// Of a fixed length, which no message here has.
    Fixed,
}

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a message in order. After an error there are no more.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

// === impl Fields ===

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn read(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = self.number()?;
        let field = key >> 3;
        if field == 0 {
            return Err(Malformed);
        }
        let value = match key & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups are gone since version 3, the rest never was.
            _ => return Err(Malformed),
        };
        Ok((field, value))
    }

    /// Seven bits in each byte, the lowest first; at most ten bytes.
    fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.rest = &[];
        }
        Some(read)
    }
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3);
    varint(out, value);
}

/// Appends a message, a string or bytes.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    begin(out, field, value.len());
    out.extend_from_slice(value);
}

/// Appends what stands before a message, a string or bytes of this length.
pub(super) fn begin(out: &mut Vec<u8>, field: u32, length: usize) {
    varint(out, u64::from(field) << 3 | 2);
    varint(out, length as u64);
}

/// Appends a number of eight bytes.
#[cfg(feature = "otlp")]
pub(super) fn fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    varint(out, u64::from(field) << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a number of four bytes.
#[cfg(feature = "otlp")]
pub(super) fn fixed32(out: &mut Vec<u8>, field: u32, value: u32) {
    varint(out, u64::from(field) << 3 | 5);
    out.extend_from_slice(&value.to_le_bytes());
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        number(&mut out, 1, 0);
        number(&mut out, 2, u64::MAX);
        bytes(&mut out, 3, b"abc");
        bytes(&mut out, 2_000, &[7; 300]);
        let read: Result<Vec<_>, _> = Fields::of(&out).collect();
        let expected = vec![
            (1, Value::Number(0)),
            (2, Value::Number(u64::MAX)),
            (3, Value::Bytes(b"abc")),
            (2_000, Value::Bytes(&[7; 300])),
        ];
        assert_eq!(read, Ok(expected));
        // A message that is cut anywhere but between its fields is none.
        let ends = [0, 2, 13, 18, out.len()];
        for n_bytes in 0..out.len() {
            let part = out.get(..n_bytes).unwrap_or_default();
            let is_whole = Fields::of(part).all(|field| field.is_ok());
            assert_eq!(is_whole, ends.contains(&n_bytes), "{n_bytes} bytes");
        }
    }

    #[test]
    fn what_breaks_the_form_is_refused() {
        let broken: [&[u8]; 9] = [
            b"\x00\x00",                                         // a field 0
            b"\x08",                                             // no number
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",     // more than 64 bits
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // eleven bytes
            b"\x0b\x0c",                                         // a group
            b"\x0e",                                             // no type of field
            b"\x12\x05abc",                                      // shorter than it says
            b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abc",  // longer than there is memory
            b"\x0d\x01\x02\x03",                                 // three bytes of four
        ];
        for bytes in broken {
            let last = Fields::of(bytes).last();
            assert_eq!(last, Some(Err(Malformed)), "{bytes:?}");
        }
        let fixed: Result<Vec<_>, _> =
            Fields::of(b"\x0d\x01\x02\x03\x04\x11\x01\x02\x03\x04\x05\x06\x07\x08").collect();
        assert_eq!(fixed, Ok(vec![(1, Value::Fixed), (2, Value::Fixed)]));
    }
}
