//! The engine against a model of a cluster, in simulated time: whatever happens to events, the state becomes right.
//!
//! `IGW_RUNS` sets the number of runs, `IGW_SEED` the first seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use igw_opensvc::{Cause, InstanceSettings, ObjectStatus, Origin, Place};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use super::*;
use crate::acme::exchange::Exchange;

/// The cluster as it is.
#[derive(Default)]
struct Model {
    objects: BTreeMap<ObjectPath, BTreeMap<String, Bytes>>,
    n_writes: u64,
    times: BTreeMap<ObjectPath, u64>,
    lost_node: bool,
}

/// What comes to the engine, and when.
enum Coming {
    Answer(Call, Box<Result<Answer, Error>>),
    Signal(Box<Signal>),
}

struct Simulation {
    random: StdRng,
    model: Model,
    engine: Engine,
    start: Instant,
    now: Duration,
    coming: Vec<(Duration, u64, Coming)>,
    n_coming: u64,
    /// No events come until then.
    silent_until: Duration,
    /// Statuses that were written, to find what changes back and forth.
    n_calls: u64,
    _reports: tokio::sync::mpsc::UnboundedReceiver<SyncRequest>,
}

// === impl Model ===

impl Model {
    fn csum(&self, path: &ObjectPath) -> String {
        let text = self.objects.get(path).map(|keys| format!("{keys:?}")).unwrap_or_default();
        format!("{:032x}", xxh3_128(text.as_bytes()))
    }

    fn settings(&self, path: &ObjectPath) -> InstanceSettings {
        let second = self.times.get(path).copied().unwrap_or(0);
        let time = Timestamp::from_second(1_000_000 + i64::try_from(second).unwrap()).unwrap();
        serde_json::from_value(
            json!({"csum": self.csum(path), "updated_at": time.to_string(), "scope": ["n1", "n2"]}),
        )
        .unwrap()
    }

    fn item(&self, path: &ObjectPath) -> ObjectItem {
        let settings = self.settings(path);
        let instance = igw_opensvc::Instance { settings: Some(settings), monitor: None, status: None };
        let status: ObjectStatus = serde_json::from_value(json!({"scope": ["n1", "n2"]})).unwrap();
        ObjectItem { path: path.clone(), status, instances: [("n1".to_owned(), instance)].into() }
    }

    fn write(&mut self, path: &ObjectPath, change: impl FnOnce(&mut BTreeMap<String, Bytes>)) {
        self.n_writes += 1;
        self.times.insert(path.clone(), self.n_writes);
        change(self.objects.entry(path.clone()).or_default());
    }

    /// Everything users wrote, by object.
    fn wanted(&self) -> BTreeSet<String> {
        let inputs = self.objects.iter().filter(|(path, _)| is_input(path));
        inputs
            .flat_map(|(path, keys)| {
                keys.iter().map(move |(key, value)| {
                    format!("{}/{key}: {}", path.namespace(), String::from_utf8_lossy(value))
                })
            })
            .collect()
    }
}

// === impl Simulation ===

impl Simulation {
    fn new(seed: u64) -> Self {
        let start = Instant::now();
        let (gateways, reports) = Gateways::new();
        let outlets = Outlets {
            gateways,
            view: watch::channel(Arc::new(View::default())).0,
            authority: watch::channel(None).0,
            issuance: Issuance::new(
                Exchange::new(
                    watch::channel(None).0,
                    watch::channel(Arc::default()).1,
                    watch::channel(Arc::default()).0,
                ),
                Arc::default(),
            ),
            metrics: Metrics::new().unwrap(),
        };
        let settings = Settings {
            namespaces: None,
            sync_port: 8406,
            places: Places { proxy: "/usr/bin/igw-proxy".into(), state: "/var/lib/igw".into() },
            holder: "here".into(),
            dialect: None,
            services: None,
        };
        let mut simulation = Self {
            random: StdRng::seed_from_u64(seed),
            model: Model::default(),
            engine: Engine::new(settings, outlets, Duration::from_secs(2), start),
            start,
            now: Duration::ZERO,
            coming: Vec::new(),
            n_coming: 0,
            silent_until: Duration::ZERO,
            n_calls: 0,
            _reports: reports,
        };
        simulation.model.write(&path("system/sec/ca"), |_| {});
        simulation.tell_after(Duration::ZERO, Signal::Relist(Cause::Connected));
        simulation
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + i64::try_from(self.now.as_millis()).unwrap()).unwrap()
    }

    fn push(&mut self, pause: Duration, coming: Coming) {
        self.n_coming += 1;
        self.coming.push((self.now + pause, self.n_coming, coming));
    }

    fn tell_after(&mut self, pause: Duration, signal: Signal) {
        self.push(pause, Coming::Signal(Box::new(signal)));
    }

    /// Tells of a write, unless it is lost; perhaps twice, perhaps late.
    fn announce(&mut self, path: &ObjectPath) {
        if self.now < self.silent_until {
            return;
        }
        let settings = self.model.settings(path);
        let n_times = match self.random.random_range(0..100) {
            0..30 => 0,
            30..60 => 2,
            _ => 1,
        };
        for _ in 0..n_times {
            let received = Received {
                event: Event::InstanceConfigUpdated(settings.clone()),
                path: Some(path.clone()),
                node: Some("n1".into()),
                origin: Origin::Live,
                is_from_peer: false,
            };
            let pause = Duration::from_millis(self.random.random_range(200..900));
            self.tell_after(pause, Signal::Event(Box::new(received)));
        }
    }

    /// Runs until `end`.
    fn run(&mut self, end: Duration) {
        loop {
            let now = self.instant();
            for call in self.engine.poll(now, self.wall()) {
                self.n_calls += 1;
                let answer = self.answer(&call);
                let pause = Duration::from_millis(self.random.random_range(1..40));
                self.push(pause, Coming::Answer(call, Box::new(answer)));
            }
            assert_eq!(self.engine.superseded(), None);
            let wake = self.engine.wake(now).saturating_duration_since(self.start);
            let next = self.coming.iter().map(|(at, ..)| *at).min().unwrap_or(Duration::MAX);
            let at = wake.min(next).max(self.now + Duration::from_millis(1));
            if at > end {
                self.now = end;
                return;
            }
            self.now = at;
            let mut due: Vec<_> = self.coming.extract_if(.., |(when, ..)| *when <= at).collect();
            due.sort_by_key(|(when, n, _)| (*when, *n));
            for (_, _, coming) in due {
                let now = self.instant();
                match coming {
                    Coming::Answer(call, answer) => self.engine.answer(&call, *answer, now),
                    Coming::Signal(signal) => self.engine.event(*signal, now),
                }
            }
        }
    }

    /// What the cluster answers to a call.
    fn answer(&mut self, call: &Call) -> Result<Answer, Error> {
        let unknown = || {
            let place = Place { call: "GET".into(), object: None };
            Error::UnknownObject { place }
        };
        if self.random.random_range(0..100) < 3 {
            let place = Place { call: "GET".into(), object: None };
            return Err(Error::Server { place, status: 500, detail: "made to fail".into() });
        }
        let values = |keys: &BTreeMap<String, Bytes>| {
            keys.iter().map(|(name, value)| (KeyName::unchecked(name), value.clone())).collect::<Vec<_>>()
        };
        match call {
            Call::LookAround => Ok(Answer::Around(Box::new(Around {
                cluster: "blue".into(),
                node: "n1".into(),
                nodes: vec!["n1".into(), "n2".into()],
                lost: if self.model.lost_node { vec!["n2".into()] } else { Vec::new() },
                ..Around::default()
            }))),
            Call::List => {
                let known = self.model.objects.keys().filter(|path| is_input(path) || is_ours(path));
                Ok(Answer::List(known.map(|path| self.model.item(path)).collect()))
            }
            Call::Names => Ok(Answer::Names(self.model.objects.keys().cloned().collect())),
            Call::Addresses => Ok(Answer::Addresses(BTreeMap::new())),
            Call::Read(path, _) | Call::Material(path, _) => {
                let keys = self.model.objects.get(path).ok_or_else(unknown)?;
                Ok(Answer::Keys(values(keys)))
            }
            Call::Service(..) => Err(unknown()),
            Call::Owned(path, step) => {
                let done = match step {
                    owned::Step::Create => {
                        self.model.write(path, |_| {});
                        owned::Done::Ok
                    }
                    owned::Step::Read => {
                        owned::Done::Values(values(self.model.objects.get(path).ok_or_else(unknown)?))
                    }
                    owned::Step::Write(changes) => {
                        if !self.model.objects.contains_key(path) {
                            return Err(unknown());
                        }
                        self.model.write(path, |keys| {
                            for change in changes {
                                match change {
                                    igw_opensvc::KeyChange::Set { name, value } => {
                                        keys.insert(name.as_str().to_owned(), value.clone());
                                    }
                                    igw_opensvc::KeyChange::Remove { name } => {
                                        keys.remove(name.as_str());
                                    }
                                    _ => {}
                                }
                            }
                        });
                        owned::Done::Ok
                    }
                    owned::Step::Confirm(names) => {
                        let keys = self.model.objects.get(path).ok_or_else(unknown)?;
                        let found = names
                            .iter()
                            .filter_map(|name| Some((name.clone(), keys.get(name.as_str())?.clone())));
                        owned::Done::Values(found.collect())
                    }
                    owned::Step::Delete => {
                        self.model.objects.remove(path);
                        owned::Done::Ok
                    }
                };
                if matches!(step, owned::Step::Create | owned::Step::Write(_)) {
                    self.announce(path);
                }
                Ok(Answer::Owned(done))
            }
        }
    }

    /// A user does something.
    fn act(&mut self) {
        let namespace = ["a", "b", "c"][self.random.random_range(0..3)];
        let place = path(&format!("{namespace}/cfg/igw"));
        let name = format!("r{}", self.random.random_range(0..6));
        let key = format!("httproute/{name}.yaml");
        let what = self.random.random_range(0..10);
        if what < 7 {
            let text = route(&name, self.random.random_range(0..1000));
            self.model.write(&place, |keys| {
                keys.insert(key, text.into());
            });
        } else {
            self.model.write(&place, |keys| {
                keys.remove(&key);
            });
        }
        self.announce(&place);
    }

    /// What the engine takes for true.
    fn held(&self) -> BTreeSet<String> {
        let gathered = self.engine.inputs.gather();
        gathered
            .objects
            .iter()
            .map(|(key, taken)| {
                let text = taken.object.to_value().to_string();
                let port: String = text
                    .split("\"port\":")
                    .nth(1)
                    .unwrap_or_default()
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                format!("{}/{}:{port}", key.namespace, key.name)
            })
            .collect()
    }

    /// The same of the model.
    fn truth(&self) -> BTreeSet<String> {
        let inputs = self.model.objects.iter().filter(|(path, _)| is_input(path));
        inputs
            .flat_map(|(path, keys)| {
                keys.iter().map(move |(key, value)| {
                    let text = String::from_utf8_lossy(value).into_owned();
                    let port: String = text
                        .split("port: ")
                        .nth(1)
                        .unwrap_or_default()
                        .chars()
                        .take_while(char::is_ascii_digit)
                        .collect();
                    let name = key.trim_start_matches("httproute/").trim_end_matches(".yaml");
                    format!("{}/{name}:{port}", path.namespace())
                })
            })
            .collect()
    }
}

fn path(text: &str) -> ObjectPath {
    text.parse().unwrap()
}

fn route(name: &str, n: u32) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec: {{parentRefs: [{{name: g}}], rules: [{{backendRefs: [{{name: web, port: {}}}]}}]}}\n",
        n + 1
    )
}

#[test]
fn the_state_becomes_right_whatever_happens_to_events() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (runs, first) = (number("IGW_RUNS", 100), number("IGW_SEED", 1));
    for seed in first..first + runs {
        let mut simulation = Simulation::new(seed);
        simulation.run(Duration::from_secs(4));
        let n_actions = simulation.random.random_range(1..30);
        let mut actions: VecDeque<Duration> = (0..n_actions)
            .map(|_| Duration::from_millis(4_000 + simulation.random.random_range(0..20_000)))
            .collect();
        actions.make_contiguous().sort_unstable();
        for at in actions {
            simulation.run(at);
            match simulation.random.random_range(0..20) {
                0 => {
                    simulation.tell_after(Duration::ZERO, Signal::Down("cut".into()));
                    simulation.tell_after(Duration::from_millis(700), Signal::Relist(Cause::Connected));
                }
                1 => simulation.silent_until = simulation.now + Duration::from_secs(20),
                2 => simulation.model.lost_node = !simulation.model.lost_node,
                _ => simulation.act(),
            }
        }
        simulation.model.lost_node = false;
        let last = simulation.now;
        // Resync, then the proofs of deletion.
        simulation.run(last + Duration::from_secs(60));
        assert_eq!(simulation.held(), simulation.truth(), "IGW_SEED={seed}");
        let status = path("a/cfg/igw-status");
        if simulation.model.wanted().iter().any(|line| line.starts_with("a/")) {
            assert!(simulation.model.objects.contains_key(&status), "statuses are written; IGW_SEED={seed}");
        }
        // At rest nothing is written and little is asked.
        let (calls, writes) = (simulation.n_calls, simulation.model.n_writes);
        simulation.run(last + Duration::from_secs(60 + 600));
        assert_eq!(
            simulation.model.n_writes, writes,
            "nothing is written where nothing differs; IGW_SEED={seed}"
        );
        let rate = (simulation.n_calls - calls) as f64 / 600.0;
        assert!(rate <= 0.2, "{rate} calls per second at rest; IGW_SEED={seed}");
    }
}

#[test]
fn what_vanishes_with_a_node_or_at_a_daemons_start_is_not_deleted() {
    let mut simulation = Simulation::new(7);
    simulation.model.write(&path("a/cfg/igw"), |keys| {
        keys.insert("httproute/r1.yaml".into(), route("r1", 1).into());
    });
    simulation.run(Duration::from_secs(10));
    assert_eq!(simulation.held().len(), 1);
    // The node that had it is lost: gone from every list, for minutes.
    let kept = simulation.model.objects.remove(&path("a/cfg/igw")).unwrap();
    simulation.model.lost_node = true;
    simulation.tell_after(Duration::ZERO, Signal::Relist(Cause::Connected));
    simulation.run(Duration::from_secs(300));
    assert_eq!(simulation.held().len(), 1, "a lost node deletes nothing");
    // It is back, and the object with it.
    simulation.model.lost_node = false;
    simulation.model.objects.insert(path("a/cfg/igw"), kept);
    simulation.run(Duration::from_secs(400));
    assert_eq!(simulation.held().len(), 1);
    // Somebody deletes it: two complete lists prove that.
    simulation.model.objects.remove(&path("a/cfg/igw"));
    simulation.run(Duration::from_secs(500));
    assert_eq!(simulation.held().len(), 0, "a deletion that is proven counts");
}

#[test]
fn a_daemon_that_is_down_is_left_alone() {
    let mut simulation = Simulation::new(3);
    simulation.run(Duration::from_secs(10));
    simulation.tell_after(Duration::ZERO, Signal::Down("end of file".into()));
    simulation.run(Duration::from_secs(20));
    let calls = simulation.n_calls;
    simulation.run(Duration::from_secs(620));
    assert_eq!(simulation.n_calls, calls, "the stream alone tries to connect");
    simulation.model.write(&path("a/cfg/igw"), |keys| {
        keys.insert("httproute/r1.yaml".into(), route("r1", 1).into());
    });
    simulation.tell_after(Duration::ZERO, Signal::Relist(Cause::Connected));
    simulation.run(Duration::from_secs(625));
    assert_eq!(simulation.held().len(), 1, "what changed meanwhile counts within 5 s");
}
