//! Decoder of the chunked transfer coding (RFC 9112 section 7.1), without buffers of its own.

use thiserror::Error;

use crate::Limits;

/// Decoder of one body.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// Size of the chunk under way, then bytes left of it.
    left: u64,
    /// Bytes of the line under way.
    n_line: usize,
    n_trailers_max: usize,
}

/// One step of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are done with.
    pub consumed: usize,
    /// What they were.
    pub event: ChunkEvent,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEvent {
    /// The input has no more for now. Bytes behind `consumed` are the start of the trailer section: they must
    /// be presented again with more behind them.
    NeedMore,
    /// Body bytes, as offsets in the input; they count as consumed.
    Data {
        /// First byte.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
    /// The body is complete. The trailer section, empty line included, lies in the input; it is empty where
    /// there are no trailers.
    Trailers {
        /// First byte.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
}

/// Why a chunked body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// A chunk that does not end with CR LF.
    #[error("chunk does not end with CR LF")]
    End,
    /// A byte that an extension cannot have, or an extension too long.
    #[error("invalid chunk extension")]
    Extension,
    /// No hexadecimal size, or more than 16 digits.
    #[error("invalid chunk size")]
    Size,
    /// A trailer section that is too large or breaks the grammar.
    #[error("invalid trailer section")]
    Trailers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before or inside the digits.
    Size,
    /// Behind the digits, before CR.
    Extension,
    /// Behind the CR of the size line.
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

// === impl ChunkedDecoder ===

impl ChunkedDecoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { state: State::Size, left: 0, n_line: 0, n_trailers_max: limits.head_bytes.min(TRAILER_BYTES) }
    }

    /// Takes the next step over `input`.
    ///
    /// # Errors
    /// [`ChunkError`] by rule; the connection is of no use afterwards.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, ChunkError> {
        let mut at = 0;
        loop {
            if self.state == State::Trailers {
                return self.trailers(input, at);
            }
            if self.state == State::Done {
                return Ok(Decoded { consumed: at, event: ChunkEvent::Trailers { start: at, end: at } });
            }
            let Some(byte) = input.get(at).copied() else {
                return Ok(Decoded { consumed: at, event: ChunkEvent::NeedMore });
            };
            match self.state {
                State::Size => {
                    match (byte, char::from(byte).to_digit(16)) {
                        (_, Some(digit)) if self.n_line < SIZE_DIGITS => {
                            self.left = self.left << 4 | u64::from(digit);
                            self.n_line += 1;
                        }
                        (b'\r', _) if self.n_line > 0 => self.state = State::SizeEnd,
                        (b';' | b' ' | b'\t', _) if self.n_line > 0 => self.begin_extension(byte)?,
                        _ => return Err(ChunkError::Size),
                    }
                    at += 1;
                }
                State::Extension => {
                    self.n_line += 1;
                    match byte {
                        b'\r' => self.state = State::SizeEnd,
                        b'\t' | 0x20..=0x7e | 0x80..=0xff if self.n_line <= EXTENSION_BYTES => {}
                        _ => return Err(ChunkError::Extension),
                    }
                    at += 1;
                }
                State::SizeEnd => {
                    if byte != b'\n' {
                        return Err(ChunkError::Size);
                    }
                    self.state = if self.left == 0 { State::Trailers } else { State::Data };
                    at += 1;
                }
                State::Data => {
                    let n_here = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                    self.left -= n_here as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    let end = at + n_here;
                    return Ok(Decoded { consumed: end, event: ChunkEvent::Data { start: at, end } });
                }
                State::DataCr | State::DataLf => {
                    let (wanted, next) = match self.state {
                        State::DataCr => (b'\r', State::DataLf),
                        _ => (b'\n', State::Size),
                    };
                    if byte != wanted {
                        return Err(ChunkError::End);
                    }
                    self.state = next;
                    self.n_line = 0;
                    at += 1;
                }
                State::Trailers | State::Done => {}
            }
        }
    }

    /// Only a semicolon begins an extension: blanks before it are read in more than one way.
    fn begin_extension(&mut self, byte: u8) -> Result<(), ChunkError> {
        if byte != b';' {
            return Err(ChunkError::Size);
        }
        self.state = State::Extension;
        self.n_line = 0;
        Ok(())
    }

    fn trailers(&mut self, input: &[u8], start: usize) -> Result<Decoded, ChunkError> {
        let section = input.get(start..).unwrap_or_default();
        let more = Ok(Decoded { consumed: start, event: ChunkEvent::NeedMore });
        match section {
            [] | [b'\r'] => return more,
            [b'\r', b'\n', ..] => {
                self.state = State::Done;
                let end = start + 2;
                return Ok(Decoded { consumed: end, event: ChunkEvent::Trailers { start: end, end } });
            }
            _ => {}
        }
        match section.windows(4).position(|window| window == b"\r\n\r\n") {
            Some(position) if position + 4 <= self.n_trailers_max => {
                self.state = State::Done;
                let end = start + position + 4;
                Ok(Decoded { consumed: end, event: ChunkEvent::Trailers { start, end } })
            }
            Some(_) => Err(ChunkError::Trailers),
            None if section.len() > self.n_trailers_max => Err(ChunkError::Trailers),
            None => more,
        }
    }
}

/// Digits of a chunk size.
const SIZE_DIGITS: usize = 16;
/// Bytes of the extensions of one chunk; they are dropped.
const EXTENSION_BYTES: usize = 1_024;
/// Bytes of a trailer section.
const TRAILER_BYTES: usize = 16 * 1024;
