//! The chunked transfer coding (RFC 9112 7.1), without any I/O.
//!
//! Chunk lines are read byte by byte into a state, so they may be cut anywhere. Data is never copied or kept. Only
//! the trailer section has to be in one piece for the caller, who keeps what the decoder leaves unconsumed.

use crate::error::{ChunkError, FieldError};
use crate::field::is_token_byte;
use crate::framing::LENGTH_MAX;
use crate::limits::Limits;

/// Decodes one chunked body.
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// Size of the chunk, then what is left of it.
    left: u64,
    /// Bytes of extensions that no data has paid for yet.
    n_extension: u64,
    trailer_bytes_max: usize,
}

/// What one call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are done with. The next input begins behind them.
    pub consumed: usize,
    /// What was found last in these bytes.
    pub event: ChunkEvent,
}

/// Something in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEvent {
    /// All of the input is consumed, or what is left of it is the beginning of a trailer section. Call again with
    /// that and at least one byte more.
    NeedMore,
    /// Bytes of the body.
    Data {
        /// Offset in the input.
        start: usize,
        /// Offset in the input behind the last byte; equals the bytes consumed.
        end: usize,
    },
    /// The end of the body. The trailer section, its empty last line included, is between the offsets; they are
    /// equal where there are no trailers. Every further call says the same of no bytes.
    Trailers {
        /// Offset in the input.
        start: usize,
        /// Offset in the input behind the last byte.
        end: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the size, after so many digits.
    Size {
        n_digits: u8,
    },
    Extension(Extension),
    /// After the carriage return of a chunk line.
    LineFeed,
    Data,
    /// After the last byte of a chunk.
    DataReturn,
    DataFeed,
    /// In the trailer section, of which so many bytes were seen before and are given again.
    Trailers {
        n_seen: usize,
    },
    Done,
    Failed(ChunkError),
}

/// Where in `chunk-ext` (RFC 9112 7.1.1) the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterQuoted,
    AfterValue,
}

// === impl ChunkedDecoder ===

impl ChunkedDecoder {
    /// A decoder at the start of a body. The trailer section may have 16 KiB, or as much as a head if that is less.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            state: State::Size { n_digits: 0 },
            left: 0,
            n_extension: 0,
            trailer_bytes_max: limits.head().min(TRAILER_BYTES_MAX),
        }
    }

    /// Decodes up to the next event.
    ///
    /// # Errors
    ///
    /// Where the body breaks the grammar. Every further call says the same.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, ChunkError> {
        let mut consumed: usize = 0;
        loop {
            match self.state {
                State::Data => return Ok(self.data(input, consumed)),
                State::Trailers { n_seen } => return self.trailers(input, consumed, n_seen),
                State::Done => {
                    let event = ChunkEvent::Trailers { start: consumed, end: consumed };
                    return Ok(Decoded { consumed, event });
                }
                State::Failed(error) => return Err(error),
                state => {
                    let Some(byte) = input.get(consumed).copied() else {
                        return Ok(Decoded { consumed, event: ChunkEvent::NeedMore });
                    };
                    consumed = consumed.saturating_add(1);
                    self.state = self.step(state, byte).unwrap_or_else(State::Failed);
                }
            }
        }
    }

    /// Whether the whole body, trailers included, is decoded.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn data(&mut self, input: &[u8], start: usize) -> Decoded {
        let n_here = input.len().saturating_sub(start);
        let n_data = usize::try_from(self.left).map_or(n_here, |left| left.min(n_here));
        if n_data == 0 {
            return Decoded { consumed: start, event: ChunkEvent::NeedMore };
        }
        self.left = self.left.saturating_sub(n_data as u64);
        if self.left == 0 {
            self.state = State::DataReturn;
        }
        let end = start.saturating_add(n_data);
        Decoded { consumed: end, event: ChunkEvent::Data { start, end } }
    }

    /// One byte outside of data and trailers.
    fn step(&mut self, state: State, byte: u8) -> Result<State, ChunkError> {
        match (state, byte) {
            (State::Size { n_digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                // The digits are counted, so four bits more always fit.
                self.left = self.left.wrapping_shl(4) | digit;
                match n_digits {
                    SIZE_DIGITS_MAX.. => Err(ChunkError::SizeTooLarge),
                    _ if self.left > LENGTH_MAX => Err(ChunkError::SizeTooLarge),
                    _ => Ok(State::Size { n_digits: n_digits.saturating_add(1) }),
                }
            }
            (State::Size { n_digits: 1.. }, b'\r') => Ok(State::LineFeed),
            (State::Size { n_digits: 1.. }, b';') => self.extend(Extension::BeforeName),
            (State::Size { n_digits: 1.. }, b'\n') => Err(ChunkError::LineEnd),
            (State::Size { .. }, _) => Err(ChunkError::Size),
            (State::Extension(extension), _) => self.step_extension(extension, byte),
            (State::LineFeed, b'\n') => {
                self.n_extension = self.n_extension.saturating_sub(self.left);
                Ok(if self.left == 0 { State::Trailers { n_seen: 0 } } else { State::Data })
            }
            (State::DataReturn, b'\r') => Ok(State::DataFeed),
            (State::DataFeed, b'\n') => Ok(State::Size { n_digits: 0 }),
            _ => Err(ChunkError::LineEnd),
        }
    }

    fn step_extension(&mut self, extension: Extension, byte: u8) -> Result<State, ChunkError> {
        use Extension as E;
        let next = match (extension, byte) {
            (E::Name | E::AfterName | E::Value | E::AfterValue | E::AfterQuoted, b';') => E::BeforeName,
            (E::Name | E::Value | E::AfterQuoted, b'\r') => return Ok(State::LineFeed),
            (E::Name | E::Value | E::AfterQuoted, b'\n') => return Err(ChunkError::LineEnd),
            (E::BeforeName, b' ' | b'\t') => E::BeforeName,
            (E::Name | E::AfterName, b' ' | b'\t') => E::AfterName,
            (E::Name | E::AfterName, b'=') => E::BeforeValue,
            (E::BeforeValue, b' ' | b'\t') => E::BeforeValue,
            (E::BeforeValue, b'"') => E::Quoted,
            (E::Value | E::AfterQuoted | E::AfterValue, b' ' | b'\t') => E::AfterValue,
            (E::BeforeName | E::Name, _) if is_token_byte(byte) => E::Name,
            (E::BeforeValue | E::Value, _) if is_token_byte(byte) => E::Value,
            (E::Quoted, b'"') => E::AfterQuoted,
            (E::Quoted, b'\\') => E::Escaped,
            (E::Quoted | E::Escaped, b'\t' | b' '..=b'~' | 0x80..) => E::Quoted,
            _ => return Err(ChunkError::Extension),
        };
        self.extend(next)
    }

    /// Counts a byte of an extension. Extensions get as many bytes as the chunks have data, and a few more: they
    /// are dropped, so a body that consists of them would be work for nothing.
    fn extend(&mut self, next: Extension) -> Result<State, ChunkError> {
        self.n_extension = self.n_extension.saturating_add(1);
        match self.n_extension > EXTENSION_BYTES_MAX {
            true => Err(ChunkError::ExtensionTooLong),
            false => Ok(State::Extension(next)),
        }
    }

    /// Looks for the empty line. What could end the section for one reader and not for another is refused here;
    /// names are checked by [`crate::parse_trailers`].
    fn trailers(&mut self, input: &[u8], start: usize, n_seen: usize) -> Result<Decoded, ChunkError> {
        let section = input.get(start..).unwrap_or_default();
        let mut before = n_seen.checked_sub(1).and_then(|at| section.get(at)).copied();
        for (at, byte) in section.iter().copied().enumerate().skip(n_seen) {
            let is_at_start = matches!(before, None | Some(b'\n'));
            let error = match (before, byte) {
                (Some(b'\r'), b'\n') => {
                    let is_empty_line = match at.checked_sub(2) {
                        None => true,
                        Some(earlier) => section.get(earlier) == Some(&b'\n'),
                    };
                    if is_empty_line {
                        self.state = State::Done;
                        let end = start.saturating_add(at).saturating_add(1);
                        let start = if at == 1 { end } else { start };
                        return Ok(Decoded { consumed: end, event: ChunkEvent::Trailers { start, end } });
                    }
                    None
                }
                (Some(b'\r'), _) => Some(FieldError::BareCarriageReturn),
                (_, b'\n') => Some(FieldError::BareLineFeed),
                (_, b' ' | b'\t') if is_at_start => Some(FieldError::Fold),
                (_, b':') if is_at_start => Some(FieldError::NameEmpty),
                (_, b'\t' | b'\r' | b' '..=b'~' | 0x80..) => None,
                _ => Some(FieldError::Value),
            };
            let error = match error {
                Some(error) => Some(ChunkError::Trailer(error)),
                None if at >= self.trailer_bytes_max => Some(ChunkError::TrailersTooLong),
                None => None,
            };
            if let Some(error) = error {
                self.state = State::Failed(error);
                return Err(error);
            }
            before = Some(byte);
        }
        self.state = State::Trailers { n_seen: section.len().max(n_seen) };
        Ok(Decoded { consumed: start, event: ChunkEvent::NeedMore })
    }
}

const SIZE_DIGITS_MAX: u8 = 16;
const EXTENSION_BYTES_MAX: u64 = 4 * 1024;
const TRAILER_BYTES_MAX: usize = 16 * 1024;
