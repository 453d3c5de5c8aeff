//! Processes that are measured: started on cores of their own, watched with their children, and ended.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use igw_e2e::client::eventually;
use igw_e2e::process::signal;
use igw_e2e::usage;

/// A process with those that it starts. Ended when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// What a process and its children took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Taken {
    /// User and system time.
    pub cpu: Duration,
    /// Memory in KiB; what several share counts once.
    pub memory: u64,
}

// === impl Process ===

impl Process {
    /// Starts a command on cores, as taskset names them; its output goes to a file.
    ///
    /// # Errors
    /// Fails if it cannot be started.
    pub fn start(command: &[String], cores: Option<&str>, log: PathBuf) -> anyhow::Result<Self> {
        let file = File::create(&log)?;
        Self::spawn(command, cores, log, file.into())
    }

    /// The same, with input and output at hand.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn start_piped(command: &[String], cores: Option<&str>, log: PathBuf) -> anyhow::Result<Self> {
        Self::spawn(command, cores, log, Stdio::piped())
    }

    fn spawn(command: &[String], cores: Option<&str>, log: PathBuf, out: Stdio) -> anyhow::Result<Self> {
        let mut whole: Vec<&str> = Vec::new();
        if let Some(cores) = cores {
            whole.extend(["taskset", "-c", cores]);
        }
        whole.extend(command.iter().map(String::as_str));
        let child = Command::new(whole[0])
            .args(&whole[1..])
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(File::options().create(true).append(true).open(&log)?)
            .spawn()
            .with_context(|| format!("{} not started", whole.join(" ")))?;
        Ok(Self { child, log })
    }

    /// The child itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it serves; says what it printed where it does not.
    ///
    /// # Errors
    /// Fails if it ends, or takes longer than 60 s.
    pub fn wait_until(&mut self, what: &str, mut is_ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let mut is_over = false;
        eventually(what, Duration::from_secs(60), || {
            is_over = matches!(self.child.try_wait(), Ok(Some(_)));
            is_over || is_ready()
        })
        .with_context(|| self.printed())?;
        if is_over {
            bail!("ended at its start: {}", self.printed());
        }
        Ok(())
    }

    /// Waits until it has worked off what its start left behind; at most 20 s.
    pub fn settle(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        let mut before = self.taken().cpu;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(300));
            let now = self.taken().cpu;
            if now - before <= Duration::from_millis(10) {
                return;
            }
            before = now;
        }
    }

    /// What it and its children took so far.
    pub fn taken(&self) -> Taken {
        taken(&self.tree())
    }

    /// The same of its children alone.
    pub fn taken_by_children(&self) -> Taken {
        let own = self.pid();
        taken(&self.tree().into_iter().filter(|pid| *pid != own).collect::<Vec<_>>())
    }

    /// What it printed last.
    pub fn printed(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" / ")
    }

    /// It, its children, and theirs.
    fn tree(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut next = vec![self.pid()];
        while let Some(pid) = next.pop() {
            found.push(pid);
            let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
            for thread in threads.flatten() {
                let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                next.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        found
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let tree = self.tree();
        let _ = signal(self.pid(), "TERM");
        let is_over = |pid: &u32| !Path::new(&format!("/proc/{pid}")).exists();
        let ended = eventually("the end", Duration::from_secs(5), || {
            let _ = self.child.try_wait();
            tree.iter().all(is_over)
        });
        if ended.is_err() {
            // All of them are ours: they descend from the child.
            for pid in tree.iter().filter(|pid| !is_over(pid)) {
                let _ = signal(*pid, "KILL");
            }
            let _ = self.child.wait();
        }
    }
}

fn taken(pids: &[u32]) -> Taken {
    let mut all = Taken::default();
    for pid in pids {
        all.cpu += usage::Process(*pid).cpu_time_with_ended().unwrap_or_default();
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
        all.memory += line.split_whitespace().nth(1).and_then(|size| size.parse().ok()).unwrap_or(0_u64);
    }
    all
}
