//! The thread that writes access logs, and the workers' way to it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use igw_crds::snapshot::LogOutput;
use tracing::warn;

/// The writing thread.
pub(crate) struct LogWriter {
    lines: SyncSender<Batch>,
    state: Arc<State>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// One worker's way to the writer.
pub(crate) struct LogSink {
    lines: SyncSender<Batch>,
    state: Arc<State>,
    pending: RefCell<HashMap<LogOutput, Vec<u8>>>,
}

/// Count of lines lost because the output was too slow.
pub(crate) struct DroppedLines(Arc<State>);

struct Batch {
    output: LogOutput,
    text: Vec<u8>,
}

#[derive(Default)]
struct State {
    n_dropped: AtomicU64,
    wants_reopen: AtomicBool,
}

// === impl LogWriter ===

impl LogWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// Fails if the machine has no room for a thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (lines, inbox) = sync_channel(QUEUE_BATCHES);
        let state = Arc::new(State::default());
        let of_thread = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(&inbox, &of_thread))?;
        Ok(Self { lines, state, thread: Some(thread) })
    }

    pub(crate) fn sink(&self) -> LogSink {
        LogSink {
            lines: self.lines.clone(),
            state: Arc::clone(&self.state),
            pending: RefCell::new(HashMap::new()),
        }
    }

    /// Opens files anew before the next line.
    pub(crate) fn reopen(&self) {
        self.state.wants_reopen.store(true, Ordering::Relaxed);
    }

    /// Reads how many lines were lost.
    pub(crate) fn dropped(&self) -> DroppedLines {
        DroppedLines(Arc::clone(&self.state))
    }

    /// Writes what is queued and ends the thread. All sinks must be gone.
    pub(crate) fn finish(mut self) {
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            // A panic of the writer has been printed already.
            let _ = thread.join();
        }
    }
}

// === impl DroppedLines ===

impl DroppedLines {
    pub(crate) fn count(&self) -> u64 {
        self.0.n_dropped.load(Ordering::Relaxed)
    }
}

// === impl LogSink ===

impl LogSink {
    /// Takes a line. It leaves with the next full batch or the next [`LogSink::flush`].
    pub(crate) fn push(&self, output: &LogOutput, line: &[u8]) {
        let mut pending = self.pending.borrow_mut();
        let text = match pending.get_mut(output) {
            Some(text) => text,
            None => pending.entry(output.clone()).or_default(),
        };
        text.extend_from_slice(line);
        if text.len() >= BATCH_BYTES {
            self.send(output.clone(), std::mem::take(text));
        }
    }

    /// Sends what is pending to the writer.
    pub(crate) fn flush(&self) {
        for (output, text) in self.pending.borrow_mut().iter_mut() {
            if !text.is_empty() {
                self.send(output.clone(), std::mem::take(text));
            }
        }
    }

    fn send(&self, output: LogOutput, text: Vec<u8>) {
        if let Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) =
            self.lines.try_send(Batch { output, text })
        {
            let n_lines = batch.text.iter().filter(|byte| **byte == b'\n').count() as u64;
            self.state.n_dropped.fetch_add(n_lines, Ordering::Relaxed);
        }
    }
}

fn write(inbox: &Receiver<Batch>, state: &State) {
    let mut files: HashMap<String, File> = HashMap::new();
    let mut is_failing = false;
    while let Ok(batch) = inbox.recv() {
        if state.wants_reopen.swap(false, Ordering::Relaxed) {
            files.clear();
        }
        let written = match &batch.output {
            LogOutput::Stdout => io::stdout().write_all(&batch.text).and_then(|()| io::stdout().flush()),
            LogOutput::File(path) => write_file(&mut files, path, &batch.text),
        };
        match written {
            Ok(()) => is_failing = false,
            Err(error) => {
                let n_lines = batch.text.iter().filter(|byte| **byte == b'\n').count() as u64;
                state.n_dropped.fetch_add(n_lines, Ordering::Relaxed);
                if !is_failing {
                    warn!(output = ?batch.output, %error, "access log not written; lines are dropped and counted until it works again");
                    // A file that failed is opened anew, but not in a tight loop.
                    std::thread::sleep(FAILURE_PAUSE);
                }
                is_failing = true;
                files.clear();
            }
        }
    }
}

fn write_file(files: &mut HashMap<String, File>, path: &str, text: &[u8]) -> io::Result<()> {
    let file = match files.get_mut(path) {
        Some(file) => file,
        None => {
            let file = OpenOptions::new().append(true).create(true).open(path)?;
            files.entry(path.to_owned()).or_insert(file)
        }
    };
    file.write_all(text)
}

const BATCH_BYTES: usize = 32 * 1024;
const QUEUE_BATCHES: usize = 256;
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
