//! What one measurement runs on: folder, addresses, certificate, and the routes that a contestant is to have.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use igw_e2e::process::{free, own_ip};
use igw_e2e::tls::{Pair, self_signed};
use tempfile::TempDir;

use crate::load::HOST;
use crate::scenarios::Routes;

/// The ground under a contestant.
pub struct Bed {
    scratch: TempDir,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub tcp: SocketAddr,
    pub origin: SocketAddr,
    /// Free addresses for whatever else listens.
    pub spare: [SocketAddr; 2],
    pub pair: Pair,
    pub n_workers: u32,
    pub n_descriptors: u64,
    pub routes: Routes,
}

// === impl Bed ===

impl Bed {
    /// A new one, with an address that nobody used before.
    ///
    /// # Errors
    /// Fails without a temporary folder.
    pub fn new(routes: Routes, n_workers: u32, n_descriptors: u64) -> anyhow::Result<Self> {
        let ip = own_ip();
        let scratch = tempfile::tempdir()?;
        Ok(Self {
            http: free(ip)?,
            https: free(ip)?,
            tcp: free(ip)?,
            origin: free(ip)?,
            spare: [free(ip)?, free(ip)?],
            pair: self_signed(&[HOST])?,
            scratch,
            n_workers,
            n_descriptors,
            routes,
        })
    }

    /// Path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file; returns its path as text.
    ///
    /// # Errors
    /// Fails if the folder is gone.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.path(name);
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }
}

/// `n` names or prefixes as lines made by `line`.
pub fn lines(n: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for index in 0..n {
        let _ = writeln!(text, "{}", line(index));
    }
    text
}

/// Host of a route.
pub fn host(index: usize) -> String {
    format!("host{index}.bench.test")
}

/// Prefix of a route.
pub fn prefix(index: usize) -> String {
    format!("/area{index}/x")
}

/// Routes go to as many groups of back ends, all of them the same origin.
pub const N_GROUPS: usize = 8;
