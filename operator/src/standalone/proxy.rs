//! Keeps one `igw-proxy` running, and finds the one that an earlier `igw up` left.
//!
//! The proxy outlives this process: it runs in a process group of its own, with no pipe to here. It holds
//! `<state>/proxy/lock` exclusively and writes its process id and arguments into it; whoever holds that
//! lock is the proxy of this state. A proxy with other arguments is asked to end before a new one starts.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::Event;

/// What to run.
#[derive(Clone, Debug)]
pub struct ProxyCommand {
    /// The binary.
    pub binary: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// The proxy's state folder.
    pub folder: PathBuf,
    /// Time the proxy may take to finish requests before it is killed.
    pub patience: Duration,
}

/// What the supervisor should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Keep it running.
    Run,
    /// End it after its requests.
    Drain,
    /// End it now.
    Now,
}

/// Runs and watches the proxy.
pub struct ProxyProcess {
    command: ProxyCommand,
    wish: watch::Receiver<Wish>,
    events: Sender<Event>,
}

/// What the lock of a proxy says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Holder {
    pid: i32,
    args: Vec<String>,
}

enum Lock {
    /// It cannot be opened: no proxy was here, or the state is gone while one serves.
    Missing,
    Free,
    Held(Option<Holder>),
}

enum Running {
    Child(Child),
    Attached { pid: i32, lock: PathBuf },
}

// === impl ProxyProcess ===

impl ProxyProcess {
    /// A supervisor that follows `wish` and tells the end of a proxy as an event.
    pub fn new(command: ProxyCommand, wish: watch::Receiver<Wish>, events: Sender<Event>) -> Self {
        Self { command, wish, events }
    }

    /// Runs until a wish to end it is fulfilled.
    pub async fn run(mut self) {
        let mut failures = 0_u32;
        while self.wishes_run() {
            let (running, pid) = match self.attach_or_start().await {
                Ok(started) => started,
                Err(problem) => {
                    error!(binary = %self.command.binary.display(), error = %problem, "proxy cannot be started");
                    failures = failures.saturating_add(1);
                    self.pause(failures).await;
                    continue;
                }
            };
            let since = Instant::now();
            if self.watch(running, pid).await {
                return;
            }
            // A proxy that fell says nothing about its listeners any more.
            let _ = self.events.send(Event::ProxyGone);
            failures = if since.elapsed() > STEADY { 0 } else { failures.saturating_add(1) };
            self.pause(failures.saturating_sub(1)).await;
        }
    }

    /// Waits for the end of a proxy; true if it was wished for.
    async fn watch(&mut self, mut running: Running, pid: i32) -> bool {
        let mut wish = self.wish.clone();
        // Arms: the proxy ends of itself; its end is wished for.
        tokio::select! {
            status = running.ended() => {
                warn!(pid, status = %status, "proxy ended; starting it again");
                self.wait_for_lock(LOCK_PATIENCE).await;
                false
            }
            () = reached(&mut wish, Wish::Drain) => {
                self.end(&mut running, pid).await;
                true
            }
        }
    }

    async fn attach_or_start(&mut self) -> io::Result<(Running, i32)> {
        let lock = self.command.folder.join("lock");
        match read_lock(&lock) {
            Lock::Missing | Lock::Free => {}
            Lock::Held(Some(holder)) if holder.runs(&self.command.args) => {
                let running = Running::Attached { pid: holder.pid, lock };
                info!(pid = holder.pid, "proxy of an earlier run still serves; keeping it");
                return Ok((running, holder.pid));
            }
            Lock::Held(Some(holder)) => {
                info!(pid = holder.pid, "proxy of an earlier run has other arguments; replacing it");
                let mut running = Running::Attached { pid: holder.pid, lock };
                self.end(&mut running, holder.pid).await;
                self.wait_for_lock(LOCK_PATIENCE).await;
            }
            Lock::Held(None) => {
                self.wait_for_lock(LOCK_PATIENCE).await;
                return Err(io::Error::other(
                    "another proxy holds its state folder and does not say which it is",
                ));
            }
        }
        let child = Command::new(&self.command.binary)
            .args(&self.command.args)
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(false)
            .spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        info!(pid, "proxy started");
        Ok((Running::Child(child), pid))
    }

    /// Asks the proxy to end, waits for it, and insists when it takes longer than it may.
    async fn end(&mut self, running: &mut Running, pid: i32) {
        signal(pid, Signal::TERM);
        let mut patience = self.command.patience + DRAIN_MARGIN;
        let mut hurried = false;
        loop {
            let mut wish = self.wish.clone();
            // Arms: it ended; a second signal wants it to end now; its time is up.
            tokio::select! {
                _ = running.ended() => break,
                () = reached(&mut wish, Wish::Now), if !hurried => {
                    hurried = true;
                    patience = DRAIN_MARGIN;
                    signal(pid, Signal::TERM);
                }
                () = tokio::time::sleep(patience) => {
                    warn!(pid, "proxy did not end in time; killing it");
                    signal(pid, Signal::KILL);
                    patience = DRAIN_MARGIN;
                    hurried = true;
                }
            }
        }
        self.wait_for_lock(LOCK_PATIENCE).await;
    }

    /// Waits until no proxy holds the lock: the server process may outlive its supervisor for a moment.
    async fn wait_for_lock(&self, patience: Duration) {
        let lock = self.command.folder.join("lock");
        let deadline = Instant::now() + patience;
        while matches!(read_lock(&lock), Lock::Held(_)) && Instant::now() < deadline {
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    async fn pause(&mut self, failures: u32) {
        let pause = match failures {
            0 => return,
            n => FIRST_PAUSE.saturating_mul(1 << (n - 1).min(10)).min(LONGEST_PAUSE),
        };
        let _ = tokio::time::timeout(pause, reached(&mut self.wish, Wish::Drain)).await;
    }

    fn wishes_run(&self) -> bool {
        *self.wish.borrow() == Wish::Run
    }
}

// === impl Running ===

impl Running {
    /// Waits for the end of the process. Safe to drop and call again.
    async fn ended(&mut self) -> String {
        match self {
            Self::Child(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            // Not a child: nobody tells of its end, so that it is looked for.
            Self::Attached { pid, lock } => {
                while is_alive(*pid) && !matches!(read_lock(lock), Lock::Free) {
                    tokio::time::sleep(ATTACHED_POLL).await;
                }
                "unknown".to_owned()
            }
        }
    }
}

// === impl Holder ===

impl Holder {
    /// Whether the process was started with `args`. The first argument may be the name of the program.
    fn runs(&self, args: &[String]) -> bool {
        self.args == args || self.args.get(1..).is_some_and(|rest| rest == args)
    }
}

/// Finds `igw-proxy` beside this binary, else in `PATH`.
#[must_use]
pub fn find_binary() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|igw| Some(igw.parent()?.join(BINARY)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&path).map(|folder| folder.join(BINARY)))
        .find(|file| file.is_file())
}

/// Reads who holds the lock of a proxy. The lock is taken shared for an instant, and only when it is free.
fn read_lock(path: &Path) -> Lock {
    let Ok(mut file) = File::open(path) else { return Lock::Missing };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Lock::Free;
    }
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    Lock::Held(serde_json::from_str(&text).ok())
}

/// Waits for a wish that is at least as strong as `wanted`, or for the end of the one who wishes.
async fn reached(wish: &mut watch::Receiver<Wish>, wanted: Wish) {
    let _ = wish.wait_for(|wish| *wish >= wanted).await;
}

fn is_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid)
        && let Err(error) = kill_process(pid, signal)
        && error != rustix::io::Errno::SRCH
    {
        warn!(pid = pid.as_raw_nonzero().get(), %error, "proxy cannot be signalled");
    }
}

/// Name of the binary.
const BINARY: &str = "igw-proxy";
/// Pause before the second start in a row; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between starts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A proxy that ran this long was well.
const STEADY: Duration = Duration::from_secs(10);
/// Time beyond the drain timeout before the proxy is killed.
const DRAIN_MARGIN: Duration = Duration::from_secs(10);
/// Time for the lock to become free after its holder ended.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks at a proxy that is not a child.
const ATTACHED_POLL: Duration = Duration::from_millis(50);
/// Time between two looks at the lock.
const LOCK_POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// A stand-in for the proxy: takes the lock as the proxy does, counts its starts, ends on SIGTERM.
    const SCRIPT: &str = r#"#!/bin/bash
exec 9>>"$2/lock"
flock -n 9 || exit 3
printf '{"pid":%d,"args":["--state","%s"]}' $$ "$2" > "$2/lock"
echo start >> "$2/starts"
trap 'exit 0' TERM
while true; do sleep 0.02 9>&-; done
"#;

    struct Stage {
        scratch: tempfile::TempDir,
        command: ProxyCommand,
    }

    impl Stage {
        fn new() -> Self {
            let scratch = tempfile::tempdir().unwrap();
            let binary = scratch.path().join("proxy.sh");
            fs::write(&binary, SCRIPT).unwrap();
            fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
            let folder = scratch.path().to_owned();
            let args = vec!["--state".to_owned(), folder.display().to_string()];
            let command = ProxyCommand { binary, args, folder, patience: Duration::from_secs(5) };
            Self { scratch, command }
        }

        fn supervisor(&self) -> (ProxyProcess, watch::Sender<Wish>, Receiver<Event>) {
            let (sender, wish) = watch::channel(Wish::Run);
            let (events, received) = channel();
            (ProxyProcess::new(self.command.clone(), wish, events), sender, received)
        }

        fn starts(&self) -> usize {
            fs::read_to_string(self.scratch.path().join("starts")).unwrap_or_default().lines().count()
        }

        async fn holder(&self, starts: usize) -> Holder {
            for _ in 0..1000 {
                if self.starts() == starts
                    && let Lock::Held(Some(holder)) = read_lock(&self.scratch.path().join("lock"))
                {
                    return holder;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("no proxy after 10 s, {} starts", self.starts());
        }
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn a_killed_proxy_is_started_again_and_a_wish_ends_it() {
        run(async {
            let stage = Stage::new();
            let (supervisor, wish, events) = stage.supervisor();
            let task = tokio::spawn(supervisor.run());
            let first = stage.holder(1).await;
            signal(first.pid, Signal::KILL);
            let second = stage.holder(2).await;
            assert_ne!(first.pid, second.pid);
            assert!(matches!(events.try_recv(), Ok(Event::ProxyGone)));
            wish.send(Wish::Drain).unwrap();
            task.await.unwrap();
            assert!(matches!(read_lock(&stage.scratch.path().join("lock")), Lock::Free));
            assert_eq!(stage.starts(), 2);
        });
    }

    #[test]
    fn a_later_supervisor_keeps_the_running_proxy_unless_its_arguments_differ() {
        run(async {
            let mut stage = Stage::new();
            let (supervisor, _wish, _events) = stage.supervisor();
            let task = tokio::spawn(supervisor.run());
            let first = stage.holder(1).await;
            // The supervisor vanishes as by kill -9: nothing is told to the proxy.
            task.abort();
            let _ = task.await;

            let (supervisor, _wish, _events) = stage.supervisor();
            let task = tokio::spawn(supervisor.run());
            assert_eq!(stage.holder(1).await, first);
            task.abort();
            let _ = task.await;

            stage.command.args.push("--workers".to_owned());
            let (supervisor, wish, _events) = stage.supervisor();
            let task = tokio::spawn(supervisor.run());
            assert_ne!(stage.holder(2).await.pid, first.pid);
            wish.send(Wish::Now).unwrap();
            task.await.unwrap();
            assert_eq!(stage.starts(), 2);
        });
    }
}
