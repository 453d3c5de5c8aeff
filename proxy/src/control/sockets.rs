//! The way to the supervisor: a thread hears it, because hearing blocks and the control loop does not.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use tracing::warn;

use crate::place::Place;
use crate::supervisor::channel::{BindResult, OfServer, OfSupervisor, ServerEnd, Standing, Upgrades};

/// What the supervisor says.
pub(crate) enum Heard {
    /// What became of every place that was asked for.
    Sockets(Vec<(BindResult, Vec<OwnedFd>)>),
    Retire,
    Upgrades(Upgrades),
    /// It is gone.
    Gone,
}

/// The way to the supervisor.
pub(crate) struct SupervisorLink {
    end: Arc<ServerEnd>,
}

// === impl SupervisorLink ===

impl SupervisorLink {
    /// Starts the thread; `deliver` gets all that is heard.
    ///
    /// # Errors
    /// Fails if the machine has no room for a thread.
    pub(crate) fn start(channel: OwnedFd, deliver: impl Fn(Heard) + Send + 'static) -> io::Result<Self> {
        let end = Arc::new(ServerEnd::new(channel));
        let heard = Arc::clone(&end);
        std::thread::Builder::new().name("sockets".to_owned()).spawn(move || {
            let mut answers = Vec::new();
            loop {
                match heard.receive() {
                    Ok(Some((OfSupervisor::Bound(result), sockets))) => answers.push((result, sockets)),
                    Ok(Some((OfSupervisor::Done, _))) => {
                        deliver(Heard::Sockets(std::mem::take(&mut answers)));
                    }
                    Ok(Some((OfSupervisor::Retire, _))) => deliver(Heard::Retire),
                    Ok(Some((OfSupervisor::Upgrades(upgrades), _))) => deliver(Heard::Upgrades(upgrades)),
                    Ok(None) => return deliver(Heard::Gone),
                    Err(error) => {
                        warn!(%error, "supervisor is not heard any more");
                        return deliver(Heard::Gone);
                    }
                }
            }
        })?;
        Ok(Self { end })
    }

    /// Asks for sockets at all these places and no others.
    pub(crate) fn ask(&self, places: impl Iterator<Item = Place>) {
        self.say(&OfServer::Wants(places.collect()), &[]);
    }

    pub(crate) fn say(&self, message: &OfServer, descriptors: &[BorrowedFd<'_>]) {
        // A supervisor that is gone is told by the thread.
        let _ = self.end.send(message, descriptors);
    }

    /// Tells a supervisor that did not start this server what there is.
    pub(crate) fn introduce<'s>(
        &self,
        sockets: impl Iterator<Item = (&'s Place, &'s Vec<OwnedFd>)>,
        standing: Standing,
    ) {
        for (place, sockets) in sockets {
            let descriptors: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
            self.say(&OfServer::Holds(*place), &descriptors);
        }
        self.say(&OfServer::Serves(standing), &[]);
        self.say(&OfServer::Leads, &[]);
    }
}
