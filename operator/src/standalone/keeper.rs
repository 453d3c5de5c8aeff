//! Writes files of the state folder behind the back of the reconciler.
//!
//! Guarantees: the newest content of each file is written, older ones may be skipped; writes happen on
//! one thread, in the order of the first request; [`Keeper::close`] returns after the last one. A disk that
//! is full or read-only is reported once, and once more when it works again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{info, warn};

use super::state::write_atomic;

/// Content of a file, made on the keeper's thread.
pub struct Content(Box<dyn FnOnce() -> Vec<u8> + Send>);

/// The thread that writes.
pub struct Keeper {
    sender: Sender<Job>,
    thread: JoinHandle<()>,
}

enum Job {
    Write(Cow<'static, str>, Content),
    Remove(Cow<'static, str>),
    Close,
}

struct Disk {
    folder: PathBuf,
    failing: bool,
}

// === impl Content ===

impl Content {
    /// Content that `make` returns when its turn has come.
    pub fn new(make: impl FnOnce() -> Vec<u8> + Send + 'static) -> Self {
        Self(Box::new(make))
    }
}

// === impl Keeper ===

impl Keeper {
    /// Starts the thread for `folder`.
    ///
    /// # Errors
    /// The system's, if no thread can be started.
    pub fn start(folder: PathBuf) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let mut disk = Disk { folder, failing: false };
        let thread =
            std::thread::Builder::new().name("keeper".into()).spawn(move || run(&receiver, &mut disk))?;
        Ok(Self { sender, thread })
    }

    /// Asks for `name` to hold `content`.
    pub fn write(&self, name: impl Into<Cow<'static, str>>, content: Content) {
        // The thread lives until `close` takes the keeper, so that the channel is open here.
        let _ = self.sender.send(Job::Write(name.into(), content));
    }

    /// Asks for `name` not to be there.
    pub fn remove(&self, name: impl Into<Cow<'static, str>>) {
        let _ = self.sender.send(Job::Remove(name.into()));
    }

    /// Writes what is asked for and ends the thread.
    pub fn close(self) {
        let _ = self.sender.send(Job::Close);
        let _ = self.thread.join();
    }
}

// === impl Disk ===

impl Disk {
    /// Writes a file, or removes it where there is no content.
    fn write(&mut self, name: &str, content: Option<Content>) {
        let path = self.folder.join(name);
        let done = match content {
            Some(content) => write_atomic(&path, &(content.0)()),
            None => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        match done {
            Ok(()) if self.failing => {
                self.failing = false;
                info!(file = %path.display(), "state folder can be written again");
            }
            Ok(()) => {}
            Err(error) if !self.failing => {
                self.failing = true;
                warn!(file = %path.display(), %error, "state folder cannot be written; serving on from memory");
            }
            Err(_) => {}
        }
    }
}

fn run(receiver: &Receiver<Job>, disk: &mut Disk) {
    let mut closing = false;
    while !closing {
        let Ok(first) = receiver.recv() else { return };
        let mut pending = BTreeMap::new();
        let mut next = Some(first);
        // Requests within the pause replace each other, so that a burst of edits costs one write.
        let deadline = std::time::Instant::now() + PAUSE;
        while let Some(job) = next.take() {
            match job {
                Job::Write(name, content) => {
                    pending.insert(name, Some(content));
                }
                Job::Remove(name) => {
                    pending.insert(name, None);
                }
                Job::Close => {
                    closing = true;
                    break;
                }
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            match receiver.recv_timeout(left) {
                Ok(job) => next = Some(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => closing = true,
            }
        }
        for (name, content) in pending {
            disk.write(&name, content);
        }
    }
}

/// Time between two rounds of writes.
const PAUSE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_content_is_there_after_close() {
        let scratch = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(scratch.path().to_owned()).unwrap();
        for n in 0..100 {
            keeper.write("a", Content::new(move || n.to_string().into_bytes()));
        }
        keeper.write("b", Content::new(|| b"other".to_vec()));
        keeper.close();
        assert_eq!(std::fs::read(scratch.path().join("a")).unwrap(), b"99");
        assert_eq!(std::fs::read(scratch.path().join("b")).unwrap(), b"other");
    }

    #[test]
    fn a_folder_that_is_gone_stops_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let keeper = Keeper::start(scratch.path().join("gone")).unwrap();
        keeper.write("a", Content::new(Vec::new));
        keeper.close();
        assert!(!scratch.path().join("gone").exists());
    }
}
