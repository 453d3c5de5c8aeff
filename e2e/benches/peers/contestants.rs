//! Who is compared.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use igw_e2e::process::{binary, signal};

use crate::bed::Bed;
use crate::processes::Process;
use crate::scenarios::{Course, Door, Scenario};
use crate::{haproxy, igw, nginx};

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contestant {
    Igw,
    Haproxy,
    Nginx,
}

// === impl Contestant ===

impl Contestant {
    /// Those that igw is compared with.
    pub const PEERS: [Self; 2] = [Self::Haproxy, Self::Nginx];

    /// Its name, on the command line and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Igw => "igw",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    /// What to install to have it.
    pub fn package(self) -> &'static str {
        match self {
            Self::Igw => "igw",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    /// Its program, if it is installed.
    pub fn program(self) -> Option<PathBuf> {
        if self == Self::Igw {
            return binary("igw").ok();
        }
        let path = std::env::var_os("PATH")?;
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        folders.map(|folder| folder.join(self.name())).find(|program| program.is_file())
    }

    /// What it says of its version.
    ///
    /// # Errors
    /// Fails if it cannot be started.
    pub fn version(self) -> anyhow::Result<String> {
        let flag = if self == Self::Igw { "--version" } else { "-v" };
        let output = Command::new(self.need()?).arg(flag).output()?;
        let both = [output.stdout, output.stderr].concat();
        Ok(String::from_utf8_lossy(&both).lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Starts it with its defaults, on cores; it serves when this returns.
    ///
    /// # Errors
    /// Fails if it does not; says what it printed.
    pub fn start(self, bed: &Bed, scenario: &Scenario, cores: Option<&str>) -> anyhow::Result<Process> {
        let program = self.need()?.display().to_string();
        let is_reloaded = scenario.course == Course::Reload;
        let command = match self {
            Self::Igw => igw::command(bed)?,
            Self::Haproxy => haproxy::command(bed, &program, is_reloaded)?,
            Self::Nginx => nginx::command(bed, &program, scenario.door)?,
        };
        let mut process = Process::start(&command, cores, bed.path("proxy.log"))?;
        let address = match scenario.door {
            Door::Http => bed.http,
            Door::Https => bed.https,
            Door::Tcp => bed.tcp,
        };
        let ready = bed.path("ready");
        let has_file = move || self != Self::Igw || Path::new(&ready).exists();
        process.wait_until("it serves", || has_file() && TcpStream::connect(address).is_ok())?;
        process.settle();
        Ok(process)
    }

    /// Makes it serve a new configuration.
    ///
    /// # Errors
    /// Fails if it is gone.
    pub fn reload(self, bed: &Bed, process: &Process, n: u32) -> anyhow::Result<()> {
        match self {
            Self::Igw => igw::change(bed, n),
            Self::Haproxy => signal(process.pid(), "USR2"),
            Self::Nginx => signal(process.pid(), "HUP"),
        }
    }

    fn need(self) -> anyhow::Result<PathBuf> {
        if self == Self::Igw {
            return binary("igw");
        }
        self.program()
            .with_context(|| format!("{} is not installed: apt-get install {}", self.name(), self.package()))
    }
}
