//! The thread that asks the supervisor for sockets: its conversation blocks, the control loop does not.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};

use crate::supervisor::channel::{BindResult, ServerEnd, Wanted};

/// The way to the supervisor.
pub(crate) struct SocketSource {
    wanted: Sender<Wanted>,
}

// === impl SocketSource ===

impl SocketSource {
    /// Starts the thread; `deliver` gets every answer.
    ///
    /// # Errors
    /// Fails if the machine has no room for a thread.
    pub(crate) fn start(
        channel_end: ServerEnd,
        deliver: impl Fn(io::Result<Vec<(BindResult, Vec<OwnedFd>)>>) + Send + 'static,
    ) -> io::Result<Self> {
        let (wanted, inbox) = channel::<Wanted>();
        std::thread::Builder::new().name("sockets".to_owned()).spawn(move || {
            while let Ok(mut wanted) = inbox.recv() {
                // Only the newest wish counts.
                while let Ok(newer) = inbox.try_recv() {
                    wanted = newer;
                }
                deliver(channel_end.ask(&wanted));
            }
        })?;
        Ok(Self { wanted })
    }

    /// Asks for sockets on all these addresses and no others.
    pub(crate) fn ask(&self, addresses: Vec<SocketAddr>) {
        // The thread ends only with the process.
        let _ = self.wanted.send(Wanted { addresses });
    }
}
