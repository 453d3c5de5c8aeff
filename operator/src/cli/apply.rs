//! `igw apply` and `igw diff`: store objects in a cluster, as kubectl does, and show what that would change.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use igw_crds::objects::{Kind, ObjectKey};
use igw_crds::yaml::{Cache, read_in};
use igw_opensvc::Client;
use similar::TextDiff;

use super::connection::ConnectionArgs;
use super::{Exit, Failure};
use crate::cluster::change::save;
use crate::cluster::plan::{Outcome, Plan, Stock, Written, home, written};
use crate::cluster::reader::ClusterRead;
use crate::objects::listing::{Notice, Severity};
use crate::objects::reading::{object_name, read_of};
use crate::output::diagnostics::Texts;
use crate::output::rows::{items, text};
use crate::output::text::{complain, emit};
use crate::standalone::files::Walk;
use crate::standalone::offline::STDIN;

/// Arguments that name the objects.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    /// File, folder, or - for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required = true)]
    filename: Vec<PathBuf>,
    /// Namespace of objects that name none
    #[arg(short, long, value_name = "NS", env = "OSVC_NAMESPACE", default_value = "default")]
    namespace: String,
    /// The cfg of the namespace that holds them, igw or igw.<name>
    #[arg(long, value_name = "NAME", default_value = "igw", value_parser = parse_cfg)]
    cfg: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Arguments of `igw apply`.
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Show what would happen, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete objects of the cfg that the input does not name
    #[arg(long)]
    prune: bool,
    /// With --prune: only objects with these labels, name=value with commas
    #[arg(short = 'l', long = "selector", value_name = "LABELS", requires = "prune")]
    selector: Option<String>,
    /// Wait until the objects are accepted and programmed
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "30s", value_parser = super::up::parse_duration)]
    wait: Option<Duration>,
    /// Overwrite what somebody else changed meanwhile
    #[arg(long)]
    force: bool,
}

/// Stores the objects.
///
/// # Errors
/// [`Exit::Invalid`] for objects with errors: nothing is written then; what the cluster refuses.
pub fn apply(args: &ApplyArgs) -> Result<Exit, Failure> {
    let objects = args.source.read()?;
    run(async {
        let client = args.source.connection.client()?;
        let plans = plans(&client, &args.source, &objects, args.prune, args.selector.as_deref()).await?;
        if args.dry_run {
            for outcome in plans.values().flat_map(|plan| &plan.outcomes) {
                emit(&line(outcome, " (dry run)"))?;
            }
            return Ok(Exit::Done);
        }
        for plan in plans.values() {
            let pruned = plan.outcomes.iter().filter(|outcome| outcome.verb == "pruned");
            for outcome in pruned {
                complain(&format!("igw: pruning {}\n", object_name(&outcome.key)));
            }
        }
        let mut exit = Exit::Done;
        for plan in plans.values() {
            exit = store(&client, plan, args.force).await?.max(exit);
        }
        if let Some(limit) = args.wait
            && exit == Exit::Done
        {
            let keys: Vec<&ObjectKey> = objects.iter().map(|object| &object.key).collect();
            exit = wait(&client, &keys, limit).await?;
        }
        Ok(exit)
    })
}

/// Shows what applying would change; [`Exit::Failed`] if anything.
///
/// # Errors
/// As [`apply`].
pub fn diff(args: &SourceArgs) -> Result<Exit, Failure> {
    let objects = args.read()?;
    run(async {
        let client = args.connection.client()?;
        let plans = plans(&client, args, &objects, false, None).await?;
        let mut is_different = false;
        for (key, (before, after)) in plans.values().flat_map(|plan| &plan.texts) {
            is_different = true;
            let name = object_name(key);
            let diff = TextDiff::from_lines(before.as_str(), after.as_str());
            emit(
                &diff.unified_diff().header(&format!("cluster/{name}"), &format!("files/{name}")).to_string(),
            )?;
        }
        Ok(if is_different { Exit::Failed } else { Exit::Done })
    })
}

/// Stores a plan and prints what happened to each object.
///
/// # Errors
/// What the cluster says, with the objects that were not stored.
pub async fn store(client: &Client, plan: &Plan, is_forced: bool) -> Result<Exit, Failure> {
    for (path, (base, wanted)) in &plan.changes {
        save(client, path, base, wanted, is_forced).await.map_err(|error| {
            let changed = plan.outcomes.iter().filter(|outcome| outcome.verb != "unchanged");
            let names: Vec<String> = changed.map(|outcome| object_name(&outcome.key)).collect();
            Failure::new(Exit::Failed, format!("{error}\nnot acknowledged: {}", names.join(", ")))
        })?;
    }
    for outcome in &plan.outcomes {
        emit(&line(outcome, ""))?;
    }
    Ok(Exit::Done)
}

/// Runs a verb that talks to a cluster.
///
/// # Errors
/// The verb's.
pub fn run<T>(verb: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(verb)
}

async fn plans(
    client: &Client,
    source: &SourceArgs,
    objects: &[Written],
    prune: bool,
    labels: Option<&str>,
) -> Result<BTreeMap<String, Plan>, Failure> {
    let mut by_home: BTreeMap<&str, Vec<Written>> = BTreeMap::new();
    for object in objects {
        by_home.entry(home(&object.key)).or_default().push(object.clone());
    }
    let mut plans = BTreeMap::new();
    for (namespace, objects) in by_home {
        let stock = Stock::load(client, namespace).await?;
        let labelled = match (prune, labels) {
            (true, Some(labels)) => Some(with_labels(client, namespace, labels).await?),
            _ => None,
        };
        let is_pruned = |key: &ObjectKey| prune && labelled.as_ref().is_none_or(|keys| keys.contains(key));
        plans.insert(namespace.to_owned(), stock.apply(&source.cfg, &objects, is_pruned));
    }
    Ok(plans)
}

async fn with_labels(client: &Client, namespace: &str, labels: &str) -> Result<Vec<ObjectKey>, Failure> {
    let wanted: Vec<(&str, &str)> = labels.split(',').filter_map(|pair| pair.split_once('=')).collect();
    let read = ClusterRead::load(client, Some(namespace)).await?;
    let has_all = |labels: &BTreeMap<String, String>| {
        wanted.iter().all(|(name, value)| labels.get(*name).is_some_and(|found| found == value))
    };
    let objects = read.gathered.objects.iter();
    Ok(objects
        .filter(|(_, taken)| has_all(&taken.object.metadata.labels))
        .map(|(key, _)| key.clone())
        .collect())
}

/// Waits until the operator has judged what was applied.
async fn wait(client: &Client, keys: &[&ObjectKey], limit: Duration) -> Result<Exit, Failure> {
    let begun = Instant::now();
    loop {
        let listing = ClusterRead::load(client, None).await?.view().listing();
        let mut open = Vec::new();
        let is_judged = |key: &&&ObjectKey| {
            matches!(key.kind, Kind::Gateway | Kind::GatewayClass) || Kind::ROUTES.contains(&key.kind)
        };
        for key in keys.iter().filter(is_judged) {
            let name = object_name(key);
            let object =
                listing.objects.iter().find(|object| crate::objects::listing::object_id(object) == name);
            if let Some(reason) = object.and_then(|object| not_ready(key.kind, object)) {
                open.push(format!("{name}: {reason}"));
            }
        }
        if open.is_empty() {
            return Ok(Exit::Done);
        }
        if begun.elapsed() >= limit {
            for line in open {
                complain(&format!("igw: not ready after {} s: {line}\n", limit.as_secs()));
            }
            return Ok(Exit::Failed);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Why an object is not ready.
fn not_ready(kind: Kind, object: &serde_json::Value) -> Option<String> {
    let generation = object.pointer("/metadata/generation");
    let mut conditions: Vec<&serde_json::Value> = items(object, "/status/conditions").iter().collect();
    conditions
        .extend(items(object, "/status/parents").iter().flat_map(|parent| items(parent, "/conditions")));
    let wanted: &[&str] = if kind == Kind::Gateway { &["Accepted", "Programmed"] } else { &["Accepted"] };
    for name in wanted {
        let found: Vec<_> = conditions.iter().filter(|condition| text(condition, "/type") == *name).collect();
        if found.is_empty() {
            return Some("the operator has not judged it yet".to_owned());
        }
        for condition in found {
            if condition.get("observedGeneration") != generation {
                return Some("the operator has not judged the newest version yet".to_owned());
            }
            if text(condition, "/status") != "True" {
                return Some(format!(
                    "{name}: {}: {}",
                    text(condition, "/reason"),
                    text(condition, "/message")
                ));
            }
        }
    }
    None
}

fn line(outcome: &Outcome, suffix: &str) -> String {
    let Outcome { key, verb } = outcome;
    let group = key.kind.group();
    let dot = if group.is_empty() { "" } else { "." };
    format!("{}{dot}{group}/{} {verb}{suffix}\n", key.kind.singular(), key.name)
}

// === impl SourceArgs ===

impl SourceArgs {
    /// Reads and checks all objects.
    fn read(&self) -> Result<Vec<Written>, Failure> {
        let mut texts = Texts::default();
        let mut streams = Vec::new();
        let mut paths = Vec::new();
        for path in &self.filename {
            if path == Path::new("-") {
                let mut text = String::new();
                std::io::stdin().lock().read_to_string(&mut text)?;
                texts.add(STDIN, text.clone());
                streams.push((STDIN.to_owned(), text));
            } else {
                paths.push(path.clone());
            }
        }
        let walk = Walk::new(&paths, None);
        if let Some((path, problem)) = walk.problems.iter().next() {
            return Err(Failure::new(Exit::Invalid, format!("{}: {problem}", path.display())));
        }
        for (path, found) in walk.files {
            let text = found
                .read(&path)
                .map_err(|error| Failure::new(Exit::Invalid, format!("{}: {error}", path.display())))?;
            streams.push((path.display().to_string(), text));
        }
        let mut objects: Vec<Written> = Vec::new();
        let mut notices = Vec::new();
        for (file, stream) in &streams {
            let reading = read_of(&self.namespace, file, stream, &Default::default(), &mut Cache::default());
            notices.extend(reading.notices);
            let documents = read_in(&self.namespace, file, stream, &mut Cache::default()).documents;
            for object in written(stream, &documents) {
                notices.extend(refusal(&object));
                if let Some(first) = objects.iter().find(|first| first.key == object.key) {
                    notices.push(error(
                        &object,
                        format!("is also in {}", first.place),
                        "remove one of the two",
                    ));
                }
                objects.push(object);
            }
        }
        for notice in &notices {
            complain(&format!("{}\n", texts.render(notice)));
        }
        let n_errors = notices.iter().filter(|notice| notice.severity == Severity::Error).count();
        if n_errors > 0 {
            return Err(Failure::new(Exit::Invalid, format!("{n_errors} errors; nothing is written")));
        }
        if objects.is_empty() {
            return Err(Failure::new(Exit::Invalid, "no objects in the input"));
        }
        Ok(objects)
    }
}

/// Kinds that a cluster keeps otherwise.
fn refusal(object: &Written) -> Option<Notice> {
    let (message, hint) = match object.key.kind {
        Kind::Secret => {
            ("a cluster keeps secrets in sec objects", "make a sec: om <namespace>/sec/<name> create")
        }
        Kind::ConfigMap => {
            ("a cluster keeps such content in cfg objects", "make a cfg: om <namespace>/cfg/<name> create")
        }
        Kind::Namespace => ("namespaces are the cluster's own", "leave it out"),
        _ => return None,
    };
    Some(error(object, message.to_owned(), hint))
}

fn error(object: &Written, message: String, hint: &str) -> Notice {
    let (file, line) = object.place.rsplit_once(':').unwrap_or((&object.place, "0"));
    Notice {
        file: file.to_owned(),
        line: line.parse().unwrap_or(0),
        severity: Severity::Error,
        object: Some(object_name(&object.key)),
        message,
        hint: Some(hint.to_owned()),
        ..Notice::default()
    }
}

fn parse_cfg(text: &str) -> Result<String, String> {
    if text == "igw" || text.strip_prefix("igw.").is_some_and(|rest| !rest.is_empty()) {
        Ok(text.to_owned())
    } else {
        Err("objects are kept in igw or igw.<name>: dots are users', dashes the operator's".to_owned())
    }
}

const LOOK: Duration = Duration::from_millis(200);
