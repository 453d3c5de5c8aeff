//! Real processes of the binaries under test, and places for them.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::client::{eventually, get};

/// A running `igw up` with its folders.
pub struct Up {
    /// Objects.
    pub folder: PathBuf,
    /// State.
    pub state: PathBuf,
    /// Loopback address of this test alone.
    pub ip: IpAddr,
    /// Admin of the proxy.
    pub proxy_admin: SocketAddr,
    /// Admin of `igw up`.
    pub admin: SocketAddr,
    /// State lies on a disk of 1 MiB that only `igw up` and its proxy see. Needs the right to mount.
    pub is_disk_small: bool,
    /// Threads that serve connections.
    pub n_workers: usize,
    /// Descriptors that each process may have, where it is not as many as the test may have.
    pub max_descriptors: Option<u32>,
    /// Folder of the binaries that run, where they are not those under test themselves.
    pub binaries: Option<PathBuf>,
    child: Option<Child>,
    arguments: Vec<String>,
    scratch: TempDir,
}

// === impl Up ===

impl Up {
    /// Folders and addresses; nothing runs yet.
    ///
    /// # Errors
    /// Fails without a temporary folder.
    pub fn prepare() -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir()?;
        let ip = own_ip();
        let folder = scratch.path().join("objects");
        std::fs::create_dir(&folder)?;
        Ok(Self {
            folder,
            state: scratch.path().join("state"),
            ip,
            proxy_admin: free(ip)?,
            admin: free(ip)?,
            is_disk_small: false,
            n_workers: 2,
            max_descriptors: None,
            binaries: None,
            child: None,
            arguments: Vec::new(),
            scratch,
        })
    }

    /// Writes a file of objects.
    ///
    /// # Errors
    /// Fails if the folder is gone.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        // Whole or not at all, as an editor does.
        let temporary = self.scratch.path().join("new.yaml");
        std::fs::write(&temporary, text)?;
        std::fs::rename(&temporary, self.folder.join(name))?;
        Ok(())
    }

    /// Starts and waits until it is ready.
    ///
    /// # Errors
    /// Fails if it is not ready within 20 s; says what it printed.
    pub fn start(&mut self, more: &[&str]) -> anyhow::Result<Duration> {
        self.arguments = more.iter().map(|argument| (*argument).to_owned()).collect();
        self.restart()
    }

    /// Starts again with the same arguments.
    ///
    /// # Errors
    /// As [`Up::start`].
    pub fn restart(&mut self) -> anyhow::Result<Duration> {
        let ready = self.scratch.path().join("ready");
        let _ = std::fs::remove_file(&ready);
        let log = File::options().create(true).append(true).open(self.log())?;
        let igw = match &self.binaries {
            Some(folder) => folder.join("igw"),
            None => binary("igw")?,
        };
        let mut command = Command::new(&igw);
        if self.is_disk_small {
            std::fs::create_dir_all(&self.state)?;
            command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=1m igw \"$0\" && exec \"$@\""]);
            command.arg(&self.state).arg(&igw);
        } else if let Some(max) = self.max_descriptors {
            command = Command::new("sh");
            command.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &max.to_string()]).arg(&igw);
        }
        let child = command
            .arg("up")
            .arg(&self.folder)
            .args(["--state", &self.state.display().to_string(), "--cluster", "test"])
            .args(["--admin", &self.admin.to_string(), "--proxy-admin", &self.proxy_admin.to_string()])
            .args(["--ready-file", &ready.display().to_string(), "--workers", &self.n_workers.to_string()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        eventually("igw up is ready", Duration::from_secs(20), || ready.exists())
            .with_context(|| format!("it printed:\n{}", self.printed()))
    }

    /// Everything printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Kills `igw up` with SIGKILL; the proxy goes on.
    ///
    /// # Errors
    /// Fails if it does not run.
    pub fn kill_operator(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("igw up does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Pid of `igw up`.
    ///
    /// # Errors
    /// Fails if it does not run.
    pub fn operator_pid(&self) -> anyhow::Result<u32> {
        self.child.as_ref().map(Child::id).context("igw up does not run")
    }

    /// Pid of the serving process of the proxy.
    ///
    /// # Errors
    /// Fails if it is not found.
    pub fn server_pid(&self) -> anyhow::Result<u32> {
        self.pids("--server")?.into_iter().next().context("no serving process")
    }

    /// Value of the proxy's first metric whose line has all of these words; 0 if there is none.
    ///
    /// # Errors
    /// Fails if the proxy does not tell.
    pub fn metric(&self, words: &[&str]) -> anyhow::Result<f64> {
        let text = String::from_utf8(get(self.proxy_admin, "admin", "/metrics")?.body)?;
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let line = lines.find(|line| words.iter().all(|word| line.contains(word)));
        Ok(line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0))
    }

    /// Runs copies of the binaries, so that they can be replaced.
    ///
    /// # Errors
    /// Fails if they were not built.
    pub fn own_binaries(&mut self) -> anyhow::Result<()> {
        let folder = self.scratch.path().join("bin");
        std::fs::create_dir(&folder)?;
        std::fs::copy(binary("igw")?, folder.join("igw"))?;
        self.binaries = Some(folder);
        self.release(0)
    }

    /// Puts release `n` of the proxy in the place of the one before: the same program in a file of other bytes.
    ///
    /// # Errors
    /// Fails without binaries of its own.
    pub fn release(&self, n: u32) -> anyhow::Result<()> {
        let mut program = std::fs::read(binary("igw-proxy")?)?;
        program.extend_from_slice(format!("release {n}").as_bytes());
        self.replace_proxy(&program, 0o755)
    }

    /// Puts something else in the place of the proxy's binary.
    ///
    /// # Errors
    /// As [`Up::release`].
    pub fn replace_proxy(&self, program: &[u8], mode: u32) -> anyhow::Result<()> {
        let folder = self.binaries.as_ref().context("no binaries of its own")?;
        let new = folder.join("igw-proxy.new");
        std::fs::write(&new, program)?;
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode))?;
        std::fs::rename(&new, folder.join("igw-proxy"))?;
        Ok(())
    }

    /// Pid of the proxy's supervisor. While one becomes another binary, it is seen for a moment without its command line.
    ///
    /// # Errors
    /// Fails if it does not run.
    pub fn supervisor_pid(&self) -> anyhow::Result<u32> {
        let mut found = Ok(None);
        let seen = eventually("there is a supervisor", Duration::from_secs(2), || {
            found = self.find_supervisor();
            !matches!(found, Ok(None))
        });
        found?.with_context(|| format!("no supervisor after {seen:?}"))
    }

    fn find_supervisor(&self) -> anyhow::Result<Option<u32>> {
        let servers = self.server_pids()?;
        Ok(self.pids("igw-proxy")?.into_iter().find(|pid| !servers.contains(pid)))
    }

    /// Pids of all serving processes of the proxy, those that finish what they began too.
    ///
    /// # Errors
    /// Fails if processes cannot be listed.
    pub fn server_pids(&self) -> anyhow::Result<Vec<u32>> {
        self.pids("--server")
    }

    /// Stops and waits for the end.
    ///
    /// # Errors
    /// Fails if it does not end within 20 s.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(child.id(), "TERM")?;
        let ended =
            eventually("igw up ends", Duration::from_secs(20), || matches!(child.try_wait(), Ok(Some(_))));
        if ended.is_err() {
            let _ = child.kill();
        }
        ended.map(|_| ())
    }

    /// Pids of processes with this state in their command line and `word` too.
    fn pids(&self, word: &str) -> anyhow::Result<Vec<u32>> {
        let state = self.state.display().to_string();
        let mut pids = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let entry = entry?;
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            if command.contains(&state) && command.contains(word) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("log")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.stop();
        // Whatever a failed test left behind is ours: its command line names our own folder.
        for pid in self.pids("igw").unwrap_or_default() {
            let _ = signal(pid, "KILL");
        }
    }
}

/// Sends a signal to a process that a test started.
///
/// # Errors
/// Fails if the process is gone.
pub fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let status =
        Command::new("kill").args([format!("-{name}"), pid.to_string()]).stderr(Stdio::null()).status()?;
    if !status.success() {
        bail!("process {pid} is gone");
    }
    Ok(())
}

/// Path of a binary under test: `IGW_BIN_DIR`, else beside the test.
///
/// # Errors
/// Fails if it was not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os("IGW_BIN_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => {
            let test = std::env::current_exe()?;
            test.ancestors().nth(2).map(Path::to_path_buf).context("no target folder")?
        }
    };
    let path = folder.join(name);
    if !path.exists() {
        bail!(
            "{} is not built; run `cargo build --release -p igw -p igw-proxy` and set IGW_BIN_DIR",
            path.display()
        );
    }
    Ok(path)
}

/// A loopback address that no other test of any process uses at the moment.
#[must_use]
pub fn own_ip() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    IpAddr::V4(Ipv4Addr::new(127, 16 + (pid >> 8 & 0x7f) as u8, pid as u8, (next & 0xff) as u8))
}

/// An address with a port that is free now.
///
/// No address is given twice, and none is from the range that the kernel chooses from: a listener of port 0 never takes it.
///
/// # Errors
/// Fails if there is none.
pub fn free(ip: IpAddr) -> anyhow::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const N_PORTS: u16 = 22_000;
    for _ in 0..N_PORTS {
        let address = SocketAddr::new(ip, FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % N_PORTS);
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("every port of {ip} from {FIRST} on is taken")
}
