//! Writes clients' objects into the `cfg` objects of one namespace, as `igw apply` does: what comes together is
//! written together, and read back on every node before it is acknowledged.
//!
//! The cluster has no compare-and-swap: a writer on another node that began earlier may win after that. So whoever
//! holds the pen looks again, and writes again what is gone, unless somebody has written something else meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use igw_crds::objects::{Object, ObjectKey};
use igw_crds::yaml::{Cache, read_in, value_to_yaml};
use igw_kube::{Reason, Refusal};
use igw_opensvc::{Client, ObjectPath};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::cluster::arrivals::Arrival;
use crate::cluster::change::{ChangeError, QUIET, Wanted, land, lost_somewhere};
use crate::cluster::layout::INPUT;
use crate::cluster::plan::{Plan, Stock, Written, home};
use crate::dialect::writes::{Done, Writes};
use crate::objects::view::Record;

/// A change of one object.
pub(super) struct Job {
    /// The object.
    pub(super) key: ObjectKey,
    /// As it was when the client decided.
    pub(super) before: Option<Value>,
    /// As it shall be.
    pub(super) after: Option<Value>,
    /// Hears what is known of it then.
    pub(super) done: oneshot::Sender<Result<Option<Record>, Refusal>>,
}

/// Whoever holds the pen of one namespace.
pub(super) struct Pen {
    namespace: Arc<str>,
    client: Client,
    arrivals: mpsc::UnboundedSender<Arrival>,
    writes: Arc<Writes>,
    jobs: mpsc::UnboundedReceiver<Job>,
    /// What was acknowledged of late, and when to look for it again.
    watched: BTreeMap<ObjectPath, (Wanted, Instant)>,
    /// When each `cfg` was written last.
    written: BTreeMap<ObjectPath, Instant>,
}

// === impl Pen ===

impl Pen {
    pub(super) fn new(
        namespace: &str,
        client: Client,
        arrivals: mpsc::UnboundedSender<Arrival>,
        writes: Arc<Writes>,
        jobs: mpsc::UnboundedReceiver<Job>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            client,
            arrivals,
            writes,
            jobs,
            watched: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    /// Writes as long as somebody may have something to write.
    pub(super) async fn run(mut self) {
        loop {
            let look_at = self.watched.values().map(|(_, at)| *at).min();
            // Arms: a job; the time to look again at what was written.
            tokio::select! {
                job = self.jobs.recv() => {
                    let Some(job) = job else { break };
                    let mut jobs = vec![job];
                    while jobs.len() < MAX_JOBS && let Ok(job) = self.jobs.try_recv() {
                        jobs.push(job);
                    }
                    self.write(jobs).await;
                }
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {
                    self.look_again().await;
                }
            }
        }
        while !self.watched.is_empty() {
            if let Some(at) = self.watched.values().map(|(_, at)| *at).min() {
                sleep_until(at).await;
            }
            self.look_again().await;
        }
    }

    async fn write(&mut self, jobs: Vec<Job>) {
        let stock = match Stock::load(&self.client, &self.namespace).await {
            Ok(stock) => stock,
            Err(error) => return refuse(jobs, &unavailable(&error.to_string())),
        };
        let mut fit = Vec::with_capacity(jobs.len());
        for job in jobs {
            if is_as_decided(&stock, &job) {
                fit.push(job);
            } else {
                let message = format!(
                    "{} was changed by somebody else meanwhile; read it and try again",
                    crate::objects::reading::object_name(&job.key)
                );
                refuse(vec![job], &Refusal::new(Reason::Conflict, message));
            }
        }
        let (kept, deleted): (Vec<Job>, Vec<Job>) = fit.into_iter().partition(|job| job.after.is_some());
        if !kept.is_empty() {
            let objects: Vec<Written> = kept.iter().filter_map(written).collect();
            self.carry_out(stock.apply(INPUT, &objects, |_| false), &stock, kept).await;
        }
        if !deleted.is_empty() {
            // The first half may have changed what the second one changes.
            let stock = match Stock::load(&self.client, &self.namespace).await {
                Ok(stock) => stock,
                Err(error) => return refuse(deleted, &unavailable(&error.to_string())),
            };
            let keys: Vec<ObjectKey> = deleted.iter().map(|job| job.key.clone()).collect();
            let (plan, _) = stock.delete(&keys);
            self.carry_out(plan, &stock, deleted).await;
        }
    }

    /// Writes a plan, and has the operator read it.
    async fn carry_out(&mut self, plan: Plan, stock: &Stock, jobs: Vec<Job>) {
        for (path, (base, wanted)) in &plan.changes {
            self.space(path).await;
            if let Err(error) = land(&self.client, path, base, wanted).await {
                return refuse(jobs, &refusal_of(&error));
            }
            self.watch(path, wanted);
        }
        for job in jobs {
            let place = stock.find(&job.key).map(|(path, _)| path.clone());
            let target = crate::cluster::layout::path(&self.namespace, igw_opensvc::Kind::Cfg, INPUT);
            let Some(path) = place.or(target) else { continue };
            let gone = plan.changes.get(&path).into_iter().flat_map(|(_, wanted)| wanted);
            let gone: BTreeSet<String> =
                gone.filter(|(_, value)| value.is_none()).map(|(name, _)| name.clone()).collect();
            let (told, record) = oneshot::channel();
            let arrival = Arrival { key: job.key.clone(), path, gone, done: told };
            // An operator that ends drops the receiver, and the client hears of it below.
            let _ = self.arrivals.send(arrival);
            tokio::spawn(tell(job, record, self.writes.begin()));
        }
    }

    /// A faster writer would starve everybody of events and replication.
    async fn space(&mut self, path: &ObjectPath) {
        if let Some(before) = self.written.get(path) {
            sleep_until(*before + SPACING).await;
        }
        self.written.insert(path.clone(), Instant::now());
    }

    fn watch(&mut self, path: &ObjectPath, wanted: &Wanted) {
        let (watched, at) =
            self.watched.entry(path.clone()).or_insert_with(|| (Wanted::new(), Instant::now()));
        watched.extend(wanted.iter().map(|(name, value)| (name.clone(), value.clone())));
        *at = Instant::now() + QUIET;
    }

    async fn look_again(&mut self) {
        let now = Instant::now();
        let due: Vec<ObjectPath> =
            self.watched.iter().filter(|(_, (_, at))| *at <= now).map(|(path, _)| path.clone()).collect();
        for path in due {
            let Some((wanted, _)) = self.watched.remove(&path) else { continue };
            let lost = match lost_somewhere(&self.client, &path, &wanted).await {
                Ok(None) => continue,
                Ok(Some((_, names))) => names,
                Err(error) => {
                    // It was there, and can be looked for again.
                    warn!(%path, %error, "what was written cannot be looked at");
                    self.watched.insert(path, (wanted, Instant::now() + QUIET));
                    continue;
                }
            };
            // What is neither the old nor the new value is somebody else's.
            let lost: Wanted = wanted.into_iter().filter(|(name, _)| lost.contains(name)).collect();
            warn!(%path, keys = lost.len(), "another writer took back what clients wrote; it is written again");
            self.space(&path).await;
            match land(&self.client, &path, &BTreeMap::new(), &lost).await {
                Ok(()) => self.watch(&path, &lost),
                Err(error) => {
                    warn!(%path, %error, "what clients wrote has been overwritten by somebody else")
                }
            }
        }
    }
}

/// Tells a client what became of its change.
async fn tell(job: Job, record: oneshot::Receiver<Option<Record>>, _done: Done) {
    let answer = match tokio::time::timeout(SIGHT, record).await {
        Ok(Ok(Some(record))) => Ok(Some(record)),
        Ok(Ok(None)) if job.after.is_none() => Ok(None),
        Ok(Ok(None)) => {
            let message = "it is stored, and does not count; igw status says why".to_owned();
            Err(Refusal::new(Reason::InternalError, message))
        }
        Ok(Err(_)) | Err(_) => {
            let message = "it is stored, and the operator has not taken it in yet; read it again".to_owned();
            Err(Refusal::new(Reason::ServiceUnavailable, message))
        }
    };
    // The client may have gone.
    let _ = job.done.send(answer);
}

fn refuse(jobs: Vec<Job>, refusal: &Refusal) {
    for job in jobs {
        // The client may have gone.
        let _ = job.done.send(Err(refusal.clone()));
    }
}

/// Whether what is stored is what the client decided on.
fn is_as_decided(stock: &Stock, job: &Job) -> bool {
    let stored = stock.find(&job.key).and_then(|(_, text)| object(&job.key, text));
    match (&job.before, stored) {
        // Gone is gone.
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(before), Some(stored)) => object(&job.key, &value_to_yaml(before))
            .is_some_and(|before| before.to_value() == stored.to_value()),
    }
}

fn object(key: &ObjectKey, text: &str) -> Option<Arc<Object>> {
    let reading = read_in(home(key), "", text, &mut Cache::lenient());
    reading.documents.into_iter().map(|document| document.object).find(|object| object.key == *key)
}

fn written(job: &Job) -> Option<Written> {
    let text = value_to_yaml(job.after.as_ref()?);
    Some(Written { key: job.key.clone(), text, place: String::new() })
}

fn unavailable(error: &str) -> Refusal {
    Refusal::new(Reason::ServiceUnavailable, format!("the cluster does not answer as it should: {error}"))
}

fn refusal_of(error: &ChangeError) -> Refusal {
    match error {
        ChangeError::Conflict { .. } => Refusal::new(Reason::Conflict, error.to_string()),
        ChangeError::Unfit(_) => Refusal::new(Reason::Invalid, error.to_string()),
        _ => unavailable(&error.to_string()),
    }
}

/// Changes that are written together.
const MAX_JOBS: usize = 200;
/// Between two writes of one object.
const SPACING: Duration = Duration::from_millis(300);
/// Time that the operator has to take in what is stored.
const SIGHT: Duration = Duration::from_secs(20);
