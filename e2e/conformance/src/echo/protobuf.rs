//! As much of protocol buffers as one reply needs: strings and messages, written by hand.

/// A message under construction. Empty strings are left out, as they are the default.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<u8>);

// === impl Message ===

impl Message {
    /// Adds a string field.
    pub(crate) fn string(&mut self, number: u8, value: &str) {
        if !value.is_empty() {
            self.field(number, value.as_bytes());
        }
    }

    /// Adds a field that is a message itself.
    pub(crate) fn message(&mut self, number: u8, value: &Self) {
        self.field(number, &value.0);
    }

    /// The message as gRPC sends it: not compressed, with its length.
    pub(crate) fn framed(self) -> Vec<u8> {
        let mut frame = vec![0];
        frame.extend(u32::try_from(self.0.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend(self.0);
        frame
    }

    /// A field whose length comes first. Numbers stay below 16, so that the tag is one byte.
    fn field(&mut self, number: u8, bytes: &[u8]) {
        debug_assert!(number < 16);
        self.0.push(number << 3 | LENGTH_FIRST);
        let mut length = bytes.len();
        while length >= 0x80 {
            self.0.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
        self.0.extend_from_slice(bytes);
    }
}

/// Wire type of strings and messages.
const LENGTH_FIRST: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_encoding_says() {
        let mut inner = Message::default();
        inner.string(2, "testing");
        inner.string(3, "");
        let mut outer = Message::default();
        outer.message(3, &inner);
        assert_eq!(outer.0, [0x1a, 9, 0x12, 7, b't', b'e', b's', b't', b'i', b'n', b'g']);
        let mut long = Message::default();
        long.string(1, &"x".repeat(300));
        assert_eq!(long.0.get(..3), Some(&[0x0a, 0xac, 0x02][..]));
        assert_eq!(long.framed().get(..5), Some(&[0, 0, 0, 1, 47][..]));
    }
}
