//! Answers of HTTP/2 on the streams of one connection: where each ends, and whether it is a 200.

use igw_e2e::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};

use super::connection::{Answered, End};

/// What was read of a connection.
#[derive(Default)]
pub struct Http2 {
    n_streams: u32,
    /// Streams whose answer began with something other than 200.
    bad: Vec<u32>,
    /// Bytes of content since the proxy got room for more.
    n_consumed: u32,
    is_leaving: bool,
    /// The beginning of a frame.
    rest: Vec<u8>,
}

// === impl Http2 ===

impl Http2 {
    /// What a client says first: no pushes, and room for everything.
    pub fn greet(&mut self, out: &mut Vec<u8>) {
        let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
        settings.extend(WINDOW.to_be_bytes());
        out.extend(PREFACE);
        out.extend(frame(SETTINGS, 0, 0, &settings));
        out.extend(frame(WINDOW_UPDATE, 0, 0, &(WINDOW - INITIAL_WINDOW).to_be_bytes()));
    }

    /// Writes a request; returns its stream.
    pub fn ask(&mut self, section: &[u8], out: &mut Vec<u8>) -> u32 {
        let stream = 2 * self.n_streams + 1;
        self.n_streams += 1;
        out.extend((section.len() as u32).to_be_bytes().iter().skip(1));
        out.extend([HEADERS, END_STREAM | END_HEADERS]);
        out.extend(stream.to_be_bytes());
        out.extend(section);
        stream
    }

    /// Whether the proxy takes no more requests on this connection.
    pub fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// Reads on; returns the answers that are whole, and writes what the protocol asks for.
    ///
    /// # Errors
    /// Fails if a frame is longer than was agreed on.
    pub fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Vec<Answered>, End> {
        let joined;
        let mut bytes = bytes;
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.rest);
            bytes = &joined;
        }
        let mut answers = Vec::new();
        while let [high, middle, low, kind, flags, a, b, c, d, behind @ ..] = bytes {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            if length > LONGEST {
                return Err(End::Strange);
            }
            let Some((payload, after)) = behind.split_at_checked(length) else { break };
            bytes = after;
            let stream = u32::from_be_bytes([*a, *b, *c, *d]) & 0x7fff_ffff;
            answers.extend(self.frame(*kind, *flags, stream, payload, out));
        }
        self.rest.extend_from_slice(bytes);
        Ok(answers)
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Answered> {
        match kind {
            DATA => {
                self.n_consumed += payload.len() as u32;
                if self.n_consumed > WINDOW / 4 {
                    out.extend(frame(WINDOW_UPDATE, 0, 0, &self.n_consumed.to_be_bytes()));
                    self.n_consumed = 0;
                }
            }
            // 200 has an index of its own, and stands first but for a change of the table's size.
            HEADERS if payload.iter().find(|byte| *byte & 0xe0 != 0x20) != Some(&0x88) => {
                self.bad.push(stream);
            }
            RST_STREAM => return Some(Answered { stream, is_good: false }),
            SETTINGS if flags & ACK == 0 => out.extend(frame(SETTINGS, ACK, 0, &[])),
            PING if flags & ACK == 0 => out.extend(frame(PING, ACK, 0, payload)),
            GOAWAY => self.is_leaving = true,
            _ => {}
        }
        if !matches!(kind, DATA | HEADERS) || flags & END_STREAM == 0 {
            return None;
        }
        let place = self.bad.iter().position(|bad| *bad == stream);
        let is_good = place.map(|place| self.bad.swap_remove(place)).is_none();
        Some(Answered { stream, is_good })
    }
}

/// A setting or a ping was seen.
const ACK: u8 = 1;
const LONGEST: usize = 16_384;
const INITIAL_WINDOW: u32 = 65_535;
const WINDOW: u32 = 0x7fff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_end_with_their_stream() {
        let mut dialog = Http2::default();
        let mut out = Vec::new();
        assert_eq!((dialog.ask(&[0x82], &mut out), dialog.ask(&[0x82], &mut out)), (1, 3));
        let bytes = [
            frame(HEADERS, END_HEADERS, 3, &[0x88]),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x8d]),
            frame(DATA, END_STREAM, 3, b"hello"),
        ]
        .concat();
        let mut answers = Vec::new();
        for byte in bytes.chunks(1) {
            answers.extend(dialog.take(byte, &mut out).expect("frames"));
        }
        let seen: Vec<(u32, bool)> = answers.iter().map(|one| (one.stream, one.is_good)).collect();
        assert_eq!(seen, [(1, false), (3, true)]);
    }
}
