//! `igw render`: compile objects into the files that `igw-proxy --snapshot` serves.

use std::path::{Path, PathBuf};

use igw_crds::sync::Envelope;

use super::{Exit, Failure};
use crate::certificates::sessions::SessionSecret;
use crate::certificates::vault::file_name;
use crate::objects::listing::Severity;
use crate::output::text::complain;
use crate::standalone::offline::Offline;
use crate::standalone::state::{private_folder, write_atomic};

/// Arguments of `igw render`.
#[derive(Debug, clap::Args)]
pub struct RenderArgs {
    /// Files and folders with objects
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Folder for snapshot.json and keys/
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Cluster name that completes service names
    #[arg(long, value_name = "NAME", env = "CLUSTERNAME", default_value = "default", value_parser = super::up::parse_cluster)]
    cluster: String,
}

/// Compiles and writes.
///
/// # Errors
/// [`Exit::Invalid`] if some object is invalid; nothing is written then. Else what the system says.
pub fn run(args: &RenderArgs) -> Result<Exit, Failure> {
    let offline = Offline::load(&args.paths, None, &args.cluster);
    let notices = offline.notices();
    for notice in &notices {
        complain(&format!("{}\n", notice.line()));
    }
    let n_errors = notices.iter().filter(|notice| notice.severity == Severity::Error).count();
    if n_errors > 0 {
        let message = format!("{n_errors} errors; nothing is written to {}", args.out.display());
        return Err(Failure::new(Exit::Invalid, message));
    }
    let envelope =
        Envelope::seal(next_epoch(&args.out), 1, &offline.compiled.snapshot).map_err(anyhow::Error::from)?;
    let bytes = serde_json::to_vec(&envelope).map_err(anyhow::Error::from)?;
    let keys = args.out.join("keys");
    private_folder(&keys).map_err(|error| cannot_write(args, &error))?;
    let mut found = offline.vault.keys(&offline.compiled.snapshot);
    SessionSecret::keep(&args.out.join(SESSIONS), write_atomic)
        .add_keys(&offline.compiled.snapshot, &mut found);
    for (fingerprint, key) in found {
        write_atomic(&keys.join(file_name(&fingerprint)), key.as_bytes())
            .map_err(|error| cannot_write(args, &error))?;
    }
    write_atomic(&args.out.join(SNAPSHOT), &bytes).map_err(|error| cannot_write(args, &error))?;
    Ok(Exit::Done)
}

/// One above what the folder holds: a proxy that re-reads it takes a later epoch only.
fn next_epoch(out: &Path) -> u64 {
    let bytes = std::fs::read(out.join(SNAPSHOT)).unwrap_or_default();
    serde_json::from_slice::<Envelope>(&bytes).map_or(1, |before| before.epoch.saturating_add(1))
}

fn cannot_write(args: &RenderArgs, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be written: {error}", args.out.display()))
}

/// File of what keys of sessions are derived from; not for proxies.
const SESSIONS: &str = "sessions.secret";
/// File of the snapshot.
const SNAPSHOT: &str = "snapshot.json";
