//! The access log: lines made by workers, written by a thread that may be as slow as its disk.
//!
//! A full queue drops lines and counts them; traffic never waits for a log.

mod line;
mod writer;

pub(crate) use line::{LogDraft, LogLine};
pub(crate) use writer::{DroppedLines, LogSink, LogWriter};
