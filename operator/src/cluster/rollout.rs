//! A release of the proxy goes from node to node: which proxy takes the binary on its disk over next, if any.
//!
//! A pure decision over what proxies report, so that an operator that takes over goes on where the one before was. One node
//! at a time; the next one only when every proxy serves all that is configured; none while a node is lost; and none any
//! more after the first proxy whose new binary did not come to serve.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use igw_compile::{Condition, Status};
use igw_crds::objects::ObjectKey;
use igw_crds::sync::{
    Hint, SyncRequest, VERSION_ON_DISK, VERSION_REFUSED, VERSION_REFUSED_WHY, VERSION_RUNNING,
};

use crate::objects::listing::{Notice, Severity};

/// The proxies of one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// By node, for every node that should run one now; nothing where none reports.
    pub nodes: BTreeMap<String, Option<Proxy>>,
    /// Why the gateway is not as it should be.
    pub trouble: Option<String>,
}

/// What one proxy says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// The binary that runs, and the one on its node's disk once both are known.
    pub binaries: Option<(String, String)>,
    /// The binary that did not come to serve, and why.
    pub refused: Option<(String, String)>,
    /// It serves the newest snapshot.
    pub is_whole: bool,
}

/// How a gateway stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Every proxy runs the binary on its disk.
    UpToDate,
    /// This node's proxy is to take its binary over.
    Asked { node: String, binary: String },
    /// Something has to be as it should be first.
    Waiting(String),
    /// A node's binary did not come to serve.
    Stopped { node: String, binary: String, why: String },
}

/// How a gateway stands, with counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    pub state: State,
    pub n_done: usize,
    pub n_nodes: usize,
    /// Binaries that lie on disks.
    pub binaries: BTreeSet<String>,
    /// A proxy runs another binary than the one on its disk, or has only just started.
    pub is_moving: bool,
}

/// Rollouts of all gateways, and when their proxies are asked again.
#[derive(Debug, Default)]
pub struct Rollouts {
    gateways: BTreeMap<String, Rollout>,
    /// Who was asked for which binary: nobody else is, before that one has it or has failed.
    asked: Asked,
    /// Binaries on disks, by gateway and node.
    on_disk: BTreeMap<(String, String), String>,
    /// Nodes are still getting binaries, or an operator before this one may have asked.
    settled_at: Option<Instant>,
    due: Option<Instant>,
}

/// Nodes and binaries by gateway.
#[derive(Clone, Debug, Default)]
pub struct Asked(BTreeMap<String, (String, String)>);

/// Decides for all gateways together: a node that takes a binary over for one of them is the only one.
#[must_use]
pub fn decide(
    gateways: &BTreeMap<String, Proxies>,
    lost: &[String],
    before: &Asked,
) -> BTreeMap<String, Rollout> {
    let mut rollouts: BTreeMap<String, Rollout> = gateways
        .iter()
        .filter_map(|(gateway, proxies)| {
            Some((gateway.clone(), Rollout::of(proxies, lost, before.0.get(gateway))?))
        })
        .collect();
    let refused: BTreeMap<String, (String, String)> = rollouts
        .iter()
        .filter_map(|(gateway, rollout)| match &rollout.state {
            State::Stopped { node, binary, .. } => Some((binary.clone(), (gateway.clone(), node.clone()))),
            _ => None,
        })
        .collect();
    // A gateway whose rollout waits holds the others back too: a node has one binary for all.
    let waiting = rollouts.iter().find_map(|(gateway, rollout)| match &rollout.state {
        State::Waiting(_) if rollout.is_moving => Some(gateway.clone()),
        _ => None,
    });
    // Who was asked before goes on; else the first by name.
    let asked = |(gateway, rollout): (&String, &Rollout)| match &rollout.state {
        State::Asked { node, binary } => {
            let was_asked = before.0.get(gateway).is_some_and(|(of, what)| (of, what) == (node, binary));
            Some((!was_asked, node.clone()))
        }
        _ => None,
    };
    let first = rollouts.iter().filter_map(asked).min().map(|(_, node)| node);
    for (gateway, rollout) in &mut rollouts {
        let State::Asked { node, binary } = &rollout.state else { continue };
        if let Some((other, on)) = refused.get(binary) {
            let why = format!("gateway {other} on node {on} did not come to serve with this binary");
            rollout.state = State::Waiting(why);
        } else if let Some(other) = waiting.as_ref().filter(|other| *other != gateway) {
            rollout.state = State::Waiting(format!("gateway {other} waits"));
        } else if first.as_ref().is_some_and(|first| first != node) {
            let first = first.as_deref().unwrap_or_default();
            rollout.state = State::Waiting(format!("node {first} takes over for another gateway"));
        }
    }
    rollouts
}

// === impl Proxy ===

impl Proxy {
    /// Reads a report; `newest` is the epoch and generation that should run.
    #[must_use]
    pub fn of(asked: &SyncRequest, newest: (u64, u64)) -> Self {
        let version = |name: &str| asked.versions.get(name).cloned();
        let is_told = asked
            .report
            .listeners
            .iter()
            .all(|listener| !listener.bound.is_empty() || listener.error.is_some());
        Self {
            binaries: version(VERSION_RUNNING).zip(version(VERSION_ON_DISK)),
            refused: version(VERSION_REFUSED).zip(version(VERSION_REFUSED_WHY)),
            is_whole: asked.report.serving && is_told && (asked.epoch, asked.generation) == newest,
        }
    }

    fn outdated(&self) -> Option<&str> {
        let (running, on_disk) = self.binaries.as_ref()?;
        (running != on_disk).then_some(on_disk)
    }
}

// === impl Rollout ===

impl Rollout {
    /// Nothing where no proxy says which binary it is.
    fn of(proxies: &Proxies, lost: &[String], before: Option<&(String, String)>) -> Option<Self> {
        let known = || proxies.nodes.iter().filter_map(|(node, proxy)| Some((node, proxy.as_ref()?)));
        let binaries: BTreeSet<String> =
            known().filter_map(|(_, proxy)| Some(proxy.binaries.as_ref()?.1.clone())).collect();
        if binaries.is_empty() {
            return None;
        }
        let is_done = |proxy: &Proxy| proxy.binaries.is_some() && proxy.outdated().is_none();
        let n_done = known().filter(|(_, proxy)| is_done(proxy)).count();
        let outdated = || known().filter_map(|(node, proxy)| Some((node, proxy, proxy.outdated()?)));
        let stopped = outdated().find_map(|(node, proxy, binary)| {
            let (refused, why) = proxy.refused.as_ref()?;
            let (node, binary, why) = (node.clone(), binary.to_owned(), why.clone());
            (*refused == binary).then_some(State::Stopped { node, binary, why })
        });
        let is_asked =
            |node: &str, binary: &str| before.is_some_and(|(of, what)| (&**of, &**what) == (node, binary));
        let next = outdated().find(|(node, _, binary)| is_asked(node, binary)).or_else(|| outdated().next());
        let state = match (stopped, next) {
            (Some(stopped), _) => stopped,
            (None, None) if n_done == proxies.nodes.len() => State::UpToDate,
            (None, next) => match (proxies.obstacle(lost), next) {
                (Some(obstacle), _) => State::Waiting(obstacle),
                (None, Some((node, _, binary))) => {
                    State::Asked { node: node.clone(), binary: binary.to_owned() }
                }
                (None, None) => State::UpToDate,
            },
        };
        let is_moving = known().any(|(_, proxy)| !is_done(proxy));
        Some(Self { state, n_done, n_nodes: proxies.nodes.len(), binaries, is_moving })
    }

    /// In words, with what to do.
    #[must_use]
    pub fn message(&self) -> String {
        let binaries: Vec<&str> = self.binaries.iter().map(String::as_str).collect();
        let (binaries, n_done, n_nodes) = (binaries.join(", "), self.n_done, self.n_nodes);
        match &self.state {
            State::UpToDate => format!("{n_done} of {n_nodes} nodes run {binaries}"),
            State::Asked { node, .. } => {
                format!("rolling out {binaries}: {n_done} of {n_nodes} nodes; node {node} takes over now")
            }
            State::Waiting(why) if !self.is_moving => {
                format!("{n_done} of {n_nodes} nodes run {binaries}: {why}")
            }
            State::Waiting(why) => {
                format!("rolling out {binaries}: {n_done} of {n_nodes} nodes; waits: {why}")
            }
            State::Stopped { node, why, .. } => format!(
                "rolling out {binaries}: {n_done} of {n_nodes} nodes; stopped, because the new binary did not take over on node {node}: {why}; install another binary there, or send SIGUSR2 to its igw-proxy to try this one again"
            ),
        }
    }

    fn condition(&self, generation: u64) -> Condition {
        match &self.state {
            State::UpToDate => Condition::yes(UP_TO_DATE, "UpToDate", self.message(), generation),
            State::Asked { .. } => Condition::no(UP_TO_DATE, "RollingOut", self.message(), generation),
            State::Waiting(_) => Condition::no(UP_TO_DATE, "Waiting", self.message(), generation),
            State::Stopped { .. } => Condition::no(UP_TO_DATE, STOPPED, self.message(), generation),
        }
    }
}

// === impl Proxies ===

impl Proxies {
    /// What has to be as it should be before another proxy is asked.
    fn obstacle(&self, lost: &[String]) -> Option<String> {
        if let Some(node) = lost.first() {
            return Some(format!("node {node} is lost"));
        }
        if let Some(trouble) = &self.trouble {
            return Some(trouble.clone());
        }
        self.nodes.iter().find_map(|(node, proxy)| match proxy {
            None => Some(format!("no proxy reports from node {node}")),
            Some(proxy) if !proxy.is_whole => {
                Some(format!("the proxy on node {node} does not serve the newest configuration yet"))
            }
            Some(proxy) if proxy.binaries.is_none() => {
                Some(format!("the proxy on node {node} has not said yet which binary it is"))
            }
            Some(_) => None,
        })
    }
}

// === impl Rollouts ===

impl Rollouts {
    /// Decides anew.
    pub fn take(&mut self, proxies: &BTreeMap<String, Proxies>, lost: &[String], now: Instant) {
        let mut on_disk = BTreeMap::new();
        for (gateway, of) in proxies {
            for (node, proxy) in &of.nodes {
                if let Some((_, binary)) = proxy.as_ref().and_then(|proxy| proxy.binaries.as_ref()) {
                    on_disk.insert((gateway.clone(), node.clone()), binary.clone());
                }
            }
        }
        self.on_disk.retain(|(gateway, _), _| proxies.contains_key(gateway));
        self.asked.0.retain(|gateway, _| proxies.contains_key(gateway));
        // A proxy that has just started has not said it yet.
        let is_news = on_disk.iter().any(|(place, binary)| self.on_disk.get(place) != Some(binary));
        if is_news {
            let pause = if self.on_disk.is_empty() { FIRST_PAUSE } else { SETTLING };
            self.settled_at = self.settled_at.max(Some(now + pause));
            self.on_disk.extend(on_disk);
        }
        let gateways = decide(proxies, lost, &self.asked);
        let is_asking = gateways.values().any(|rollout| matches!(rollout.state, State::Asked { .. }));
        if self.gateways != gateways {
            for (gateway, rollout) in &gateways {
                if self.gateways.get(gateway) != Some(rollout) {
                    tracing::info!(gateway, "{}", rollout.message());
                }
            }
            self.gateways = gateways;
            self.due = is_asking.then_some(now);
        }
        self.due = if is_asking { self.due.max(self.settled_at) } else { None };
    }

    /// What proxies are to be told now. They are told again and again: one may not listen at the moment.
    pub fn orders(&mut self, now: Instant) -> Vec<(String, Hint)> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.due = Some(now + ASK_PAUSE);
        let mut orders = Vec::new();
        for (gateway, rollout) in &self.gateways {
            if let State::Asked { node, binary } = &rollout.state {
                let (node, binary) = (node.clone(), binary.clone());
                self.asked.0.insert(gateway.clone(), (node.clone(), binary.clone()));
                orders.push((gateway.clone(), Hint::TakeOver { node, binary }));
            }
        }
        orders
    }

    /// When orders are due again.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        self.due
    }

    /// Adds a condition to each gateway whose proxies say what they are.
    pub fn show(&self, statuses: &mut [(ObjectKey, Arc<Status>)]) {
        for (key, status) in statuses {
            let Status::Gateway(gateway) = &**status else { continue };
            let Some(rollout) = self.gateways.get(&format!("{}/{}", key.namespace, key.name)) else {
                continue;
            };
            let generation = gateway.conditions.first().map_or(0, |condition| condition.observed_generation);
            let mut gateway = gateway.clone();
            gateway.conditions.push(rollout.condition(generation));
            *status = Arc::new(Status::Gateway(gateway));
        }
    }

    /// Rollouts that stopped.
    pub fn notices(&self) -> impl Iterator<Item = Notice> {
        let stopped = |rollout: &&Rollout| matches!(rollout.state, State::Stopped { .. });
        self.gateways.iter().filter(move |(_, rollout)| stopped(rollout)).map(|(gateway, rollout)| Notice {
            object: Some(format!("Gateway/{gateway}")),
            severity: Severity::Warning,
            message: rollout.message(),
            ..Notice::default()
        })
    }
}

/// Type of the condition of a Gateway that tells of binaries.
pub const UP_TO_DATE: &str = "igw.opensvc.com/UpToDate";
/// Its reason where a rollout has stopped.
pub const STOPPED: &str = "Stopped";
/// Time after a change of a binary on any node's disk before a proxy is asked: others may be about to get it.
const SETTLING: Duration = Duration::from_secs(3);
/// The same for an operator that has just begun: one before it may have asked a proxy, which has 10 s to serve or fail.
const FIRST_PAUSE: Duration = Duration::from_secs(12);
/// Time between two orders for the same proxy.
const ASK_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(running: &str, on_disk: &str) -> Option<Proxy> {
        let binaries = Some((running.to_owned(), on_disk.to_owned()));
        Some(Proxy { binaries, refused: None, is_whole: true })
    }

    fn gateway(nodes: &[(&str, Option<Proxy>)]) -> BTreeMap<String, Proxies> {
        let nodes = nodes.iter().map(|(node, proxy)| ((*node).to_owned(), proxy.clone())).collect();
        [("shop/public".to_owned(), Proxies { nodes, trouble: None })].into()
    }

    fn state(gateways: &BTreeMap<String, Proxies>, lost: &[String]) -> State {
        decide(gateways, lost, &Asked::default())["shop/public"].state.clone()
    }

    fn asked(node: &str) -> State {
        State::Asked { node: node.to_owned(), binary: "2".to_owned() }
    }

    #[test]
    fn nodes_follow_one_after_the_other() {
        let of =
            |n1, n2, n3| gateway(&[("n1", proxy(n1, "2")), ("n2", proxy(n2, "2")), ("n3", proxy(n3, "2"))]);
        assert_eq!(state(&of("1", "1", "1"), &[]), asked("n1"));
        assert_eq!(state(&of("2", "1", "1"), &[]), asked("n2"));
        assert_eq!(state(&of("2", "1", "2"), &[]), asked("n2"));
        assert_eq!(state(&of("2", "2", "2"), &[]), State::UpToDate);
        let rollout = &decide(&of("2", "1", "1"), &[], &Asked::default())["shop/public"];
        assert_eq!(rollout.message(), "rolling out 2: 1 of 3 nodes; node n2 takes over now");
    }

    #[test]
    fn nobody_is_asked_before_all_serve() {
        let unwhole = proxy("2", "2").map(|proxy| Proxy { is_whole: false, ..proxy });
        let unknown = Some(Proxy { is_whole: true, ..Proxy::default() });
        for other in [unwhole, unknown, None] {
            let gateways = gateway(&[("n1", other.clone()), ("n2", proxy("1", "2"))]);
            assert!(matches!(state(&gateways, &[]), State::Waiting(_)), "{other:?}");
        }
        let mut gateways = gateway(&[("n1", proxy("1", "2"))]);
        assert_eq!(state(&gateways, &["n9".to_owned()]), State::Waiting("node n9 is lost".to_owned()));
        gateways.values_mut().for_each(|proxies| proxies.trouble = Some("it is frozen".to_owned()));
        assert_eq!(state(&gateways, &[]), State::Waiting("it is frozen".to_owned()));
    }

    #[test]
    fn the_first_failure_stops_it_until_there_is_another_binary() {
        let refusing = |binary: &str, on_disk| {
            let refused = Some((binary.to_owned(), "it ended".to_owned()));
            proxy("1", on_disk).map(|proxy| Proxy { refused, ..proxy })
        };
        let mut gateways =
            gateway(&[("n1", proxy("2", "2")), ("n2", refusing("2", "2")), ("n3", proxy("1", "2"))]);
        let State::Stopped { node, .. } = state(&gateways, &[]) else { panic!("not stopped") };
        assert_eq!(node, "n2");
        // Another gateway does not try the binary either.
        let other = Proxies { nodes: [("n3".to_owned(), proxy("1", "2"))].into(), trouble: None };
        gateways.insert("shop/other".to_owned(), other);
        assert!(matches!(decide(&gateways, &[], &Asked::default())["shop/other"].state, State::Waiting(_)));
        let gateways = gateway(&[("n2", refusing("2", "3"))]);
        assert!(matches!(state(&gateways, &[]), State::Asked { .. }), "another binary is another attempt");
    }

    #[test]
    fn gateways_take_over_on_the_same_node() {
        let mut gateways = gateway(&[("n1", proxy("2", "2")), ("n2", proxy("1", "2"))]);
        let other = Proxies { nodes: [("n1".to_owned(), proxy("1", "2"))].into(), trouble: None };
        gateways.insert("shop/other".to_owned(), other);
        let decided = decide(&gateways, &[], &Asked::default());
        assert_eq!(decided["shop/other"].state, asked("n1"));
        assert!(matches!(decided["shop/public"].state, State::Waiting(_)));
    }

    #[test]
    fn orders_are_repeated_and_nobody_else_is_asked_meanwhile() {
        let start = Instant::now();
        let mut rollouts = Rollouts::default();
        rollouts.take(&gateway(&[("n1", proxy("1", "1")), ("n2", proxy("1", "2"))]), &[], start);
        assert_eq!(rollouts.orders(start).len(), 0, "nobody is asked at once");
        let now = start + FIRST_PAUSE;
        let told = |orders: Vec<(String, Hint)>| match orders.as_slice() {
            [(_, Hint::TakeOver { node, .. })] => node.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(rollouts.orders(now)), "n2");
        // The first by name gets the binary too, while the other has not yet taken it over.
        rollouts.take(&gateway(&[("n1", proxy("1", "2")), ("n2", proxy("1", "2"))]), &[], now);
        assert_eq!(told(rollouts.orders(now + SETTLING)), "n2");
        assert_eq!(rollouts.orders(now + SETTLING).len(), 0, "not at once again");
        let now = now + SETTLING;
        rollouts.take(&gateway(&[("n1", proxy("1", "2")), ("n2", proxy("2", "2"))]), &[], now);
        assert_eq!(told(rollouts.orders(now)), "n1");
        rollouts.take(&gateway(&[("n1", proxy("2", "2")), ("n2", proxy("2", "2"))]), &[], now);
        assert_eq!(rollouts.wake(), None);
    }
}
