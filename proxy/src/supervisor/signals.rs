//! Signals of the supervisor. None is lost while it becomes another binary: they are held back from before the change
//! until the new binary listens.

use std::task::{Context, Poll, Waker};

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
    upgrade: Signal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Stop,
    Reload,
    Reopen,
    Upgrade,
}

// === impl Signals ===

impl Signals {
    /// Listens, and lets in what was held back.
    ///
    /// # Errors
    /// Fails if the machine gives no descriptors.
    pub(super) fn new() -> std::io::Result<Self> {
        let signals = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            upgrade: signal(SignalKind::user_defined2())?,
        };
        let_in()?;
        Ok(signals)
    }

    pub(super) async fn next(&mut self) -> Asked {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// Holds signals back; what came before is returned.
    ///
    /// # Errors
    /// Fails if the kernel refuses.
    pub(super) async fn hold_back(&mut self) -> std::io::Result<Option<Asked>> {
        all().thread_block()?;
        // Lets the runtime see what has arrived.
        tokio::task::yield_now().await;
        let mut cx = Context::from_waker(Waker::noop());
        Ok(match self.poll(&mut cx) {
            Poll::Ready(asked) => Some(asked),
            Poll::Pending => None,
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Asked> {
        let all = [
            (&mut self.terminate, Asked::Stop),
            (&mut self.interrupt, Asked::Stop),
            (&mut self.hangup, Asked::Reload),
            (&mut self.reopen, Asked::Reopen),
            (&mut self.upgrade, Asked::Upgrade),
        ];
        for (signal, asked) in all {
            if signal.poll_recv(cx).is_ready() {
                return Poll::Ready(asked);
            }
        }
        Poll::Pending
    }
}

/// Lets signals in again.
///
/// # Errors
/// Fails if the kernel refuses.
pub(super) fn let_in() -> std::io::Result<()> {
    all().thread_unblock()?;
    Ok(())
}

fn all() -> SigSet {
    [Number::SIGTERM, Number::SIGINT, Number::SIGHUP, Number::SIGUSR1, Number::SIGUSR2].into_iter().collect()
}
