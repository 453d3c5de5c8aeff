//! Changes of users' objects that are acknowledged only when every live node has them.
//!
//! The cluster has no compare-and-swap and answers 204 to writes that another writer then loses. So a change is
//! written, read back from the disk of every live node in scope, waited for until no writer that began before it can
//! still win, and read again. What is gone is written again a bounded number of times, after a random wait, unless
//! somebody else has changed it: that is a conflict.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use igw_opensvc::{Client, Error, KeyChange, KeyName, ObjectItem, ObjectPath};
use rand::RngExt as _;
use thiserror::Error as ThisError;
use tokio::time::{Instant, sleep};

/// What keys of one object should hold; `None` for a key that should not be.
pub type Wanted = BTreeMap<String, Option<Bytes>>;

/// Keys of one object as they were when the change was planned.
pub type Base = BTreeMap<String, Bytes>;

/// Why a change was not saved.
#[derive(Debug, ThisError)]
pub enum ChangeError {
    /// The cluster refuses, or does not answer.
    #[error("{0}")]
    Cluster(#[from] Error),
    /// Somebody changed the same key meanwhile.
    #[error(
        "{path}: key {key} was changed by somebody else meanwhile; read it (igw diff), then apply again, or overwrite it with --force"
    )]
    Conflict {
        /// The object.
        path: ObjectPath,
        /// The key.
        key: String,
    },
    /// Other writers won each time.
    #[error(
        "{path}: not saved on node {node} after {tries} tries: {keys}; other writers are at work, apply again"
    )]
    Lost {
        /// The object.
        path: ObjectPath,
        /// A node that does not have it.
        node: String,
        /// How often it was written.
        tries: u32,
        /// The keys.
        keys: String,
    },
    /// The object was made and does not appear on all nodes.
    #[error("{path}: not known on every node after {} s", .waited.as_secs())]
    Unpublished {
        /// The object.
        path: ObjectPath,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A key name or value that the cluster does not take.
    #[error("{0}")]
    Unfit(String),
}

/// Reads the keys of an object; nothing where it does not exist.
///
/// # Errors
/// The client's.
pub async fn read(client: &Client, path: &ObjectPath) -> Result<Base, Error> {
    match client.read_keys(path, |_| true).await {
        Ok(values) => Ok(values.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()),
        Err(Error::UnknownObject { .. }) => Ok(Base::new()),
        Err(error) => Err(error),
    }
}

/// Makes a change and waits until it is on every live node of the scope for good.
///
/// # Errors
/// [`ChangeError`]; what other keys hold is never touched.
pub async fn save(
    client: &Client,
    path: &ObjectPath,
    base: &Base,
    wanted: &Wanted,
    is_forced: bool,
) -> Result<(), ChangeError> {
    check(wanted)?;
    exist(client, path).await?;
    write_until(client, path, base, wanted, is_forced, QUIET).await
}

/// Makes a change and returns once it is on every live node of the scope. Whoever calls it has to look again after
/// [`QUIET`], and to write it again if a writer that began earlier has won.
///
/// # Errors
/// As [`save`].
pub async fn land(
    client: &Client,
    path: &ObjectPath,
    base: &Base,
    wanted: &Wanted,
) -> Result<(), ChangeError> {
    check(wanted)?;
    exist(client, path).await?;
    write_until(client, path, base, wanted, false, Duration::ZERO).await
}

/// Writes what is missing until it is everywhere, and stays there for a time.
async fn write_until(
    client: &Client,
    path: &ObjectPath,
    base: &Base,
    wanted: &Wanted,
    is_forced: bool,
    quiet: Duration,
) -> Result<(), ChangeError> {
    let mut tries = 0;
    loop {
        let here = read(client, path).await?;
        let missing: Vec<KeyChange> = wanted
            .iter()
            .filter(|(name, value)| here.get(*name) != value.as_ref())
            .map(|(name, value)| match value {
                Some(value) => KeyChange::Set { name: KeyName::unchecked(name), value: value.clone() },
                None => KeyChange::Remove { name: KeyName::unchecked(name) },
            })
            .collect();
        if !is_forced {
            // What is neither what was read nor what is wanted is somebody else's.
            let foreign = wanted.iter().find(|(name, value)| {
                let found = here.get(*name);
                found.is_some() && found != value.as_ref() && found != base.get(*name)
            });
            if let Some((key, _)) = foreign {
                return Err(ChangeError::Conflict { path: path.clone(), key: key.clone() });
            }
        }
        if !missing.is_empty() {
            tries += 1;
            match client.change_keys(path, &missing).await {
                Ok(()) => {}
                Err(error) if error.outcome_unknown() || matches!(error, Error::NotConfirmed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let lost = match settle(client, path, wanted, quiet).await? {
            None => return Ok(()),
            Some(lost) => lost,
        };
        if tries >= MAX_TRIES {
            return Err(ChangeError::Lost {
                path: path.clone(),
                node: lost.0,
                tries,
                keys: lost.1.join(", "),
            });
        }
        // Writers that lost against each other must not meet again.
        let pause = rand::rng().random_range(MIN_PAUSE..MAX_PAUSE);
        sleep(pause).await;
    }
}

/// Makes changes in one write, and the object first where there is none.
///
/// # Errors
/// The client's.
pub async fn write(client: &Client, path: &ObjectPath, changes: &[KeyChange]) -> Result<(), Error> {
    // What the daemon says of an object that it does not know, or not yet.
    let is_unknown = |outcome: &Result<(), Error>| {
        matches!(outcome, Err(Error::UnknownObject { .. } | Error::NotConfirmed { .. }))
    };
    let mut outcome = client.change_keys(path, changes).await;
    if is_unknown(&outcome) {
        match client.create(path, Bytes::new()).await {
            Ok(()) | Err(Error::ObjectExists { .. }) => {}
            Err(error) => return Err(error),
        }
        let begun = Instant::now();
        while is_unknown(&outcome) && begun.elapsed() < PUBLICATION {
            sleep(READ_BACK).await;
            outcome = client.change_keys(path, changes).await;
        }
    }
    outcome
}

/// Makes changes of a `sec` and reads them back. Its files hold no value that could be compared on other nodes.
///
/// # Errors
/// As [`save`].
pub async fn save_secret(
    client: &Client,
    path: &ObjectPath,
    changes: &[KeyChange],
) -> Result<(), ChangeError> {
    for _ in 0..SECRET_TRIES {
        write(client, path, changes).await?;
        sleep(READ_BACK).await;
        let found = read(client, path).await?;
        let is_there = changes.iter().all(|change| match change {
            KeyChange::Set { name, value } => found.get(name.as_str()) == Some(value),
            KeyChange::Remove { name } => !found.contains_key(name.as_str()),
            KeyChange::Add { .. } | KeyChange::Rename { .. } => true,
        });
        if is_there {
            return Ok(());
        }
    }
    let keys: Vec<&str> = changes.iter().map(KeyChange::name).map(KeyName::as_str).collect();
    Err(ChangeError::Lost {
        path: path.clone(),
        node: "that answers".to_owned(),
        tries: SECRET_TRIES,
        keys: keys.join(", "),
    })
}

/// Names and values that the cluster takes.
fn check(wanted: &Wanted) -> Result<(), ChangeError> {
    for (name, value) in wanted {
        super::layout::check_key(name).map_err(ChangeError::Unfit)?;
        if let Some(value) = value.as_ref().filter(|value| value.len() > MAX_VALUE) {
            let message =
                format!("key {name} would have {} bytes; the cluster takes {MAX_VALUE}", value.len());
            return Err(ChangeError::Unfit(message));
        }
    }
    Ok(())
}

/// Sees to it that the object exists on every live node of its scope.
async fn exist(client: &Client, path: &ObjectPath) -> Result<(), ChangeError> {
    let begun = Instant::now();
    let mut is_made = false;
    loop {
        match client.object(path).await {
            Ok(item)
                if live_nodes(client, &item).await?.iter().all(|node| item.instances.contains_key(node)) =>
            {
                return Ok(());
            }
            Ok(_) => {}
            Err(Error::UnknownObject { .. }) if !is_made => match client.create(path, Bytes::new()).await {
                Ok(()) | Err(Error::ObjectExists { .. }) => is_made = true,
                Err(error) => return Err(error.into()),
            },
            Err(Error::UnknownObject { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if begun.elapsed() >= PUBLICATION {
            return Err(ChangeError::Unpublished { path: path.clone(), waited: PUBLICATION });
        }
        sleep(LOOK).await;
    }
}

/// Waits until every live node has what is wanted, and still has it later. `Some`: a node and the keys that it lost.
async fn settle(
    client: &Client,
    path: &ObjectPath,
    wanted: &Wanted,
    quiet: Duration,
) -> Result<Option<(String, Vec<String>)>, ChangeError> {
    let begun = Instant::now();
    let mut good_since: Option<Instant> = None;
    loop {
        let lost = lost_somewhere(client, path, wanted).await?;
        match lost {
            None => {
                let since = *good_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= quiet {
                    return Ok(None);
                }
            }
            // It was everywhere and is gone: another writer won.
            Some(lost) if good_since.is_some() || begun.elapsed() >= ARRIVAL => return Ok(Some(lost)),
            Some(_) => {}
        }
        sleep(LOOK).await;
    }
}

/// The first live node of the scope that does not hold what is wanted, and what it lacks.
///
/// # Errors
/// As [`save`].
pub async fn lost_somewhere(
    client: &Client,
    path: &ObjectPath,
    wanted: &Wanted,
) -> Result<Option<(String, Vec<String>)>, ChangeError> {
    let item = match client.object(path).await {
        Ok(item) => item,
        Err(Error::UnknownObject { .. }) => return Ok(Some(("all".to_owned(), Vec::new()))),
        Err(error) => return Err(error.into()),
    };
    for node in live_nodes(client, &item).await? {
        let stored = match client.stored_on(&node, path).await {
            Ok(stored) => stored,
            Err(Error::UnknownNode { .. } | Error::UnknownInstance { .. } | Error::UnknownObject { .. }) => {
                return Ok(Some((node, Vec::new())));
            }
            Err(error) => return Err(error.into()),
        };
        let text = String::from_utf8_lossy(&stored.text).into_owned();
        let lines: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(" = ")).collect();
        let keys: Vec<String> = wanted
            .iter()
            .filter(|(name, value)| {
                let found = lines.get(name.as_str()).copied();
                found != value.as_ref().map(|value| stored_form(value)).as_deref()
            })
            .map(|(name, _)| name.clone())
            .collect();
        if !keys.is_empty() {
            return Ok(Some((node, keys)));
        }
    }
    Ok(None)
}

async fn live_nodes(client: &Client, item: &ObjectItem) -> Result<Vec<String>, ChangeError> {
    let seen = client.node_summaries().await?;
    Ok(item.status.scope.iter().filter(|node| seen.contains_key(*node)).cloned().collect())
}

/// A value as the cluster's files hold it: text with line ends is always coded.
fn stored_form(value: &[u8]) -> String {
    let is_plain = value.iter().all(|byte| (0x20..0x7f).contains(byte));
    if is_plain {
        format!("literal:{}", String::from_utf8_lossy(value))
    } else {
        format!("base64:{}", URL_SAFE.encode(value))
    }
}

/// Longest wait for a new object.
const PUBLICATION: Duration = Duration::from_secs(10);
/// Time until a daemon knows what was written.
pub const READ_BACK: Duration = Duration::from_millis(400);
const SECRET_TRIES: u32 = 3;
/// Longest wait for a write to reach every node.
const ARRIVAL: Duration = Duration::from_secs(5);
/// How long what was written must stay: longer than any writer that began before needs to show.
pub const QUIET: Duration = Duration::from_millis(1_000);
const LOOK: Duration = Duration::from_millis(100);
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_millis(2_500);
const MAX_TRIES: u32 = 12;
/// Largest value of a key.
const MAX_VALUE: usize = 900_000;
