//! Which binary runs, which one lies on the disk, and which one did not come to serve.

use std::collections::BTreeMap;
use std::path::Path;

use igw_crds::sync::{VERSION_ON_DISK, VERSION_REFUSED, VERSION_REFUSED_WHY, VERSION_RUNNING};

use crate::binary::{OnDisk, RUNNING, identity, path};
use crate::supervisor::channel::Refused;

/// What is known of binaries.
#[derive(Clone, Debug)]
pub(crate) struct Versions {
    running: Option<String>,
    /// It was tried to find out which one runs. Where the system does not let a process read its own file, that stays.
    has_looked: bool,
    on_disk: OnDisk,
    refused: Option<Refused>,
    /// The supervisor was asked for this one.
    asked: Option<String>,
}

// === impl Versions ===

impl Versions {
    pub(crate) fn new() -> Self {
        Self { running: None, has_looked: false, on_disk: OnDisk::new(path()), refused: None, asked: None }
    }

    /// Whether there is something to read.
    pub(crate) fn is_outdated(&self) -> bool {
        !self.has_looked || self.on_disk.has_changed()
    }

    /// Reads what changed. Takes as long as the digest of a file.
    pub(crate) fn read(mut self) -> Self {
        self.on_disk = self.on_disk.read();
        if !std::mem::replace(&mut self.has_looked, true) {
            self.running = match self.on_disk.is_running() {
                true => self.on_disk.identity().map(str::to_owned),
                false => identity(Path::new(RUNNING)),
            };
        }
        self
    }

    /// Takes what was read; true if it says something else than before.
    pub(crate) fn take(&mut self, read: Self) -> bool {
        let before = self.table();
        (self.running, self.has_looked, self.on_disk) = (read.running, read.has_looked, read.on_disk);
        before != self.table()
    }

    pub(crate) fn set_refused(&mut self, refused: Option<Refused>) {
        self.asked = None;
        self.refused = refused;
    }

    /// Whether this binary lies on the disk, is not the one that runs, and was not tried yet.
    pub(crate) fn may_take_over(&mut self, binary: &str) -> bool {
        let is_new = self.on_disk.identity() == Some(binary) && self.running.as_deref() != Some(binary);
        let was_refused = self.refused.as_ref().is_some_and(|refused| refused.binary == binary);
        if !is_new || was_refused || self.asked.as_deref() == Some(binary) {
            return false;
        }
        self.asked = Some(binary.to_owned());
        true
    }

    /// As reports name them.
    pub(crate) fn table(&self) -> BTreeMap<String, String> {
        let mut table = BTreeMap::new();
        let mut name = |name: &str, value: &str| table.insert(name.to_owned(), value.to_owned());
        name(VERSION_RUNNING, self.running.as_deref().unwrap_or(env!("CARGO_PKG_VERSION")));
        if let (Some(_), Some(on_disk)) = (&self.running, self.on_disk.identity()) {
            name(VERSION_ON_DISK, on_disk);
        }
        if let Some(refused) = &self.refused {
            name(VERSION_REFUSED, &refused.binary);
            name(VERSION_REFUSED_WHY, &refused.reason);
        }
        table
    }
}
