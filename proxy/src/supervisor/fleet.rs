//! The servers of a supervisor: one leads, one may be on trial, others finish what they began.
//!
//! An upgrade starts the binary on disk beside the leader. Only when it serves everything that the leader serves does
//! the leader retire; whatever goes wrong before leaves the leader where it is.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::adoption::{self, Orphan};
use super::bind::{Others, Sockets};
use super::channel::{OfServer, OfSupervisor, Refused, Standing, Upgrades};
use super::lock::StateLock;
use super::server::{Event, Role, Server, Start, What};
use super::signals::{Asked, Signals, let_in};
use super::succession::{Estate, Testament};
use crate::arguments::Arguments;
use crate::binary::{self, RUNNING};
use crate::place::Place;
use igw_crds::sync::BindFailureKind;

/// All of them.
pub(super) struct Fleet<'a> {
    arguments: &'a Arguments,
    /// Where the binary lies that an upgrade starts.
    binary: PathBuf,
    lock: StateLock,
    sockets: Sockets,
    servers: Vec<Server>,
    n_started: u32,
    upgrades: Upgrades,
    trial: Option<Trial>,
    succession: Option<Succession>,
    /// An upgrade is to begin.
    is_asked: bool,
    start_at: Option<Instant>,
    backoff: Duration,
    is_stopping: bool,
    post: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
}

/// A candidate that has to prove itself.
struct Trial {
    server: u32,
    until: Instant,
    is_upgrade: bool,
}

/// A leader that retires, until the next one leads.
struct Succession {
    retired: u32,
    until: Instant,
    /// Then the supervisor becomes the new binary too.
    is_upgrade: bool,
}

// === impl Fleet ===

impl<'a> Fleet<'a> {
    /// Takes what the binary before left, or begins with nothing.
    pub(super) fn new(arguments: &'a Arguments, estate: Estate) -> anyhow::Result<Self> {
        let (post, events) = mpsc::unbounded_channel();
        let mut fleet = Self {
            arguments,
            binary: binary::path(),
            lock: StateLock::inherit(estate.lock),
            sockets: Sockets::default(),
            servers: Vec::new(),
            n_started: 0,
            upgrades: estate.upgrades,
            trial: None,
            succession: None,
            is_asked: estate.is_asked,
            start_at: None,
            backoff: FIRST_PAUSE,
            is_stopping: false,
            post,
            events,
        };
        fleet.sockets.inherit(estate.sockets);
        for (facts, channel, process) in estate.servers {
            let id = fleet.next_id();
            fleet.servers.push(Server::watch(id, facts, channel, process, &fleet.post)?);
        }
        Ok(fleet)
    }

    /// Starts the first server, beside one that an earlier supervisor left.
    pub(super) fn begin(&mut self, lock: StateLock) -> anyhow::Result<()> {
        self.lock = lock;
        let orphan = adoption::adopt(&self.arguments.state);
        let is_led = orphan.is_some_and(|orphan| self.take_orphan(orphan));
        let role = if is_led { Role::Candidate } else { Role::Leader };
        self.start(Path::new(RUNNING), role, None).context("the server process cannot be started")
    }

    /// Runs until asked to stop and every server has ended. Arms of the loop: a signal, something of a server, the next
    /// moment at which something is due.
    pub(super) async fn run(mut self, mut signals: Signals) -> anyhow::Result<()> {
        loop {
            if self.is_stopping && self.servers.is_empty() {
                info!("stopped");
                return Ok(());
            }
            if self.leader().is_none() && self.start_at.is_none() && !self.is_stopping {
                self.start_at = Some(crate::clock::now());
            }
            if self.is_asked && self.trial.is_none() && self.succession.is_none() && !self.is_stopping {
                self.is_asked = false;
                self.upgrade().await;
            }
            let due = self.due();
            tokio::select! {
                asked = signals.next() => self.obey(asked),
                Some(event) = self.events.recv() => {
                    if self.take(event).await {
                        self.become_new(&mut signals).await;
                    }
                }
                () = async {
                    match due {
                        Some(due) => tokio::time::sleep_until(due.into()).await,
                        None => std::future::pending().await,
                    }
                } => self.on_time().await,
            }
        }
    }

    fn obey(&mut self, asked: Asked) {
        match asked {
            Asked::Stop if self.is_stopping => {
                self.servers.iter().for_each(|server| server.signal(Signal::KILL));
            }
            Asked::Stop => {
                self.is_stopping = true;
                (self.start_at, self.succession) = (None, None);
                // Nobody waits in the backlog of a gateway that stops.
                self.sockets = Sockets::default();
                if let Some(trial) = self.trial.take() {
                    self.dismiss(trial.server);
                }
                let others = self.servers.iter().filter(|server| server.facts.role != Role::Candidate);
                others.for_each(|server| server.signal(Signal::TERM));
            }
            Asked::Reload => {
                let active = self.servers.iter().filter(|server| server.facts.role != Role::Retired);
                active.for_each(|server| server.signal(Signal::HUP));
            }
            Asked::Reopen => self.servers.iter().for_each(|server| server.signal(Signal::USR1)),
            Asked::Upgrade => self.is_asked = true,
        }
    }

    /// True if the supervisor is to become the new binary now.
    async fn take(&mut self, event: Event) -> bool {
        let Some(index) = self.servers.iter().position(|server| server.id == event.server) else {
            return false;
        };
        match event.what {
            What::Ended => self.ended(index).await,
            What::Said(OfServer::Wants(places)) => {
                self.give(index, &places.iter().collect::<Vec<_>>()).await;
            }
            What::Said(OfServer::Serves(standing)) => {
                self.servers[index].facts.standing = Some(standing);
                self.judge().await;
            }
            What::Said(OfServer::Leads) => {
                if self.servers[index].facts.role != Role::Leader {
                    return false;
                }
                self.tell_leader().await;
                // From here on it mostly sleeps.
                crate::memory::let_go_program();
                return self.succession.take().is_some_and(|succession| succession.is_upgrade)
                    && !self.is_stopping;
            }
            What::Said(OfServer::TakeOver) => {
                // One that is under way is the one that is asked for.
                self.is_asked |= self.trial.is_none() && self.succession.is_none();
            }
            What::Said(OfServer::Holds(_)) => {}
        }
        false
    }

    /// Gives a server the sockets it asks for.
    async fn give(&mut self, index: usize, wanted: &[Place]) {
        let server = &mut self.servers[index];
        server.facts.has_sockets = true;
        let (id, role, channel) = (server.id, server.facts.role, std::sync::Arc::clone(&server.channel));
        let wanted = if self.is_stopping || role == Role::Retired { &[] } else { wanted };
        let is_alone = role == Role::Leader && self.trial.is_none();
        let others = if is_alone && !self.is_stopping { Others::Close } else { Others::Keep };
        let n_workers = self.arguments.n_workers();
        let mut results = self.sockets.follow(wanted, n_workers, others);
        let is_held = |kind| kind == Some(BindFailureKind::PortInUse);
        let is_refused =
            results.iter().any(|(result, _)| is_held(result.failure.as_ref().map(|failure| failure.kind)));
        if is_refused && is_alone && self.succession.is_none() {
            drop(results);
            // The one that holds them may be a server that lost its supervisor.
            if let Some(orphan) = adoption::adopt(&self.arguments.state)
                && self.take_orphan(orphan)
            {
                self.put_on_trial(id, false);
            }
            results = self.sockets.follow(wanted, n_workers, Others::Keep);
        }
        if let Err(error) = channel.answer(&results).await {
            warn!(%error, "sockets not passed to the server");
        }
    }

    /// Lets the candidate lead if it serves all that the leader serves.
    async fn judge(&mut self) {
        let Some(trial) = &self.trial else { return };
        let Some(candidate) = self.server(trial.server) else { return };
        let Some(standing) = &candidate.facts.standing else { return };
        let leader = self.leader();
        let before = leader.and_then(|leader| leader.facts.standing.as_ref());
        if self.shortfall(standing, before).is_some() {
            return;
        }
        let (id, is_upgrade) = (trial.server, trial.is_upgrade);
        self.trial = None;
        if let Some(leader) = self.leader_mut() {
            leader.facts.role = Role::Retired;
            let (retired, channel) = (leader.id, std::sync::Arc::clone(&leader.channel));
            if let Err(error) = channel.send(&OfSupervisor::Retire, &[]).await {
                warn!(%error, "server does not hear that it retires");
            }
            let until = crate::clock::now() + RETIRING_TIME;
            self.succession = Some(Succession { retired, until, is_upgrade });
        }
        self.start_at = None;
        let Some(server) = self.servers.iter_mut().find(|server| server.id == id) else { return };
        server.facts.role = Role::Leader;
        if is_upgrade {
            info!(
                pid = server.facts.pid,
                binary = server.facts.binary,
                "upgraded; the server before finishes what it began"
            );
            self.upgrades.n_done += 1;
            self.upgrades.refused = None;
        }
    }

    /// What a candidate lacks.
    fn shortfall(&self, standing: &Standing, before: Option<&Standing>) -> Option<String> {
        if let Some(before) = before
            && (standing.epoch, standing.generation) < (before.epoch, before.generation)
        {
            return Some(format!(
                "it serves generation {} of epoch {}, the running one {} of {}",
                standing.generation, standing.epoch, before.generation, before.epoch
            ));
        }
        let wanted: Vec<_> = match before {
            Some(before) => before.places().iter().collect(),
            None => self.sockets.bound().keys().copied().collect(),
        };
        let there: HashSet<Place> = standing.places().iter().collect();
        let missing = wanted.into_iter().find(|place| !there.contains(place))?;
        Some(format!("it does not listen on {missing}"))
    }

    async fn ended(&mut self, index: usize) {
        let server = self.servers.remove(index);
        let status = server.collect();
        if self.succession.as_ref().is_some_and(|succession| succession.retired == server.id) {
            info!("the server before ended at once");
        }
        match server.facts.role {
            _ if self.is_stopping => {}
            Role::Retired => {
                info!(pid = server.facts.pid, %status, "retired server ended");
                self.tell_leader().await;
            }
            Role::Candidate => {
                self.trial = None;
                self.refuse(&server.facts.binary, format!("it ended before it served: {status}")).await;
            }
            Role::Leader => {
                error!(pid = server.facts.pid, %status, "server ended; starting another one");
                if self.succession.as_mut().is_some_and(|next| std::mem::take(&mut next.is_upgrade)) {
                    // The binary that runs as supervisor serves again.
                    self.upgrades.n_done -= 1;
                    self.refuse(&server.facts.binary, format!("it ended when it took over: {status}")).await;
                }
                // One that came as far as its sockets can do so again; traffic waits for it.
                let is_sound = server.facts.has_sockets || server.started.elapsed() >= STABLE_AFTER;
                self.pause_start(is_sound);
            }
        }
    }

    fn pause_start(&mut self, is_sound: bool) {
        let pause = if is_sound { FIRST_PAUSE } else { self.backoff };
        self.backoff = if is_sound { FIRST_PAUSE } else { (self.backoff * 2).min(LONGEST_PAUSE) };
        self.start_at = Some(crate::clock::now() + pause);
    }

    /// The next moment at which something is due.
    fn due(&self) -> Option<Instant> {
        let trial = self.trial.as_ref().map(|trial| trial.until);
        let succession = self.succession.as_ref().map(|succession| succession.until);
        [self.start_at, trial, succession].into_iter().flatten().min()
    }

    async fn on_time(&mut self) {
        let now = crate::clock::now();
        if self.start_at.is_some_and(|at| at <= now) {
            self.start_at = None;
            if let Err(error) = self.start(Path::new(RUNNING), Role::Leader, None) {
                error!(%error, "the server process cannot be started");
                self.pause_start(false);
            }
        }
        if self.trial.as_ref().is_some_and(|trial| trial.until <= now)
            && let Some(trial) = self.trial.take()
            && let Some(candidate) = self.server(trial.server)
        {
            let before = self.leader().and_then(|leader| leader.facts.standing.as_ref());
            let lacks = match &candidate.facts.standing {
                Some(standing) => self.shortfall(standing, before),
                None => Some("it serves nothing".to_owned()),
            };
            let reason = format!("after {TRIAL_TIME:?}, {}", lacks.unwrap_or_default());
            let binary = candidate.facts.binary.clone();
            self.dismiss(trial.server);
            self.refuse(&binary, reason).await;
        }
        if let Some(succession) = &self.succession
            && succession.until <= now
        {
            // It hangs: its state, its admin address and its reports are to go to the one that serves.
            warn!("the server before does not retire; killing it");
            if let Some(server) = self.server(succession.retired) {
                server.signal(Signal::KILL);
            }
            if let Some(succession) = &mut self.succession {
                succession.until = now + RETIRING_TIME;
            }
        }
    }

    /// Starts the binary on disk beside the leader.
    async fn upgrade(&mut self) {
        let path = self.binary.clone();
        info!(binary = %path.display(), "upgrade: starting the binary on disk");
        let read = path.clone();
        // The digest of a large file takes its time, in which traffic goes on.
        let identity = tokio::task::spawn_blocking(move || binary::identity(&read)).await;
        let identity = identity.ok().flatten().unwrap_or_default();
        if let Err(error) = self.start(&path, Role::Candidate, Some(identity.clone())) {
            self.refuse(&identity, format!("it cannot be run: {error}")).await;
        }
    }

    /// Notes that a binary does not serve. The leader goes on.
    async fn refuse(&mut self, binary: &str, reason: String) {
        error!(
            binary,
            reason,
            "the new server does not take over; the one before goes on. Replace the binary and send SIGUSR2 again"
        );
        self.upgrades.n_failed += 1;
        self.upgrades.refused = Some(Refused { binary: binary.to_owned(), reason });
        self.tell_leader().await;
    }

    /// Tells the leader how upgrades went.
    async fn tell_leader(&mut self) {
        let retired = self.servers.iter().filter(|server| server.facts.role == Role::Retired);
        self.upgrades.n_retired = retired.count() as u64;
        let Some(leader) = self.leader() else { return };
        if let Err(error) = leader.channel.send(&OfSupervisor::Upgrades(self.upgrades.clone()), &[]).await {
            warn!(%error, "server is not told how upgrades went");
        }
    }

    /// Starts a server, of another binary if `upgrade` names it.
    fn start(&mut self, path: &Path, role: Role, upgrade: Option<String>) -> std::io::Result<()> {
        let id = self.next_id();
        let is_upgrade = upgrade.is_some();
        let identity = upgrade.unwrap_or_default();
        let name: OsString = self.binary.as_os_str().to_owned();
        let server = Server::start(id, Start { binary: path, name: &name, identity, role }, &self.post)?;
        self.servers.push(server);
        if role == Role::Candidate {
            self.put_on_trial(id, is_upgrade);
        }
        Ok(())
    }

    fn put_on_trial(&mut self, id: u32, is_upgrade: bool) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.id == id) {
            server.facts.role = Role::Candidate;
        }
        self.trial = Some(Trial { server: id, until: crate::clock::now() + TRIAL_TIME, is_upgrade });
    }

    /// Lets an orphan lead for now.
    fn take_orphan(&mut self, orphan: Orphan) -> bool {
        let id = self.next_id();
        match Server::watch(id, orphan.facts, orphan.channel, orphan.process, &self.post) {
            Ok(server) => {
                self.sockets.inherit(orphan.sockets);
                self.servers.push(server);
                true
            }
            Err(error) => {
                warn!(%error, "the server without supervisor cannot be watched");
                false
            }
        }
    }

    /// Ends a candidate: one that may hold connections finishes them.
    fn dismiss(&mut self, id: u32) {
        if let Some(server) = self.servers.iter_mut().find(|server| server.id == id) {
            server.facts.role = Role::Retired;
            server.signal(if server.facts.has_sockets { Signal::TERM } else { Signal::KILL });
        }
    }

    /// Becomes the binary that the leader runs. If that fails, this one goes on.
    async fn become_new(&mut self, signals: &mut Signals) {
        loop {
            match signals.hold_back().await {
                Ok(None) => {}
                Ok(Some(asked)) => self.obey(asked),
                Err(error) => warn!(%error, "signals cannot be held back"),
            }
            match self.events.try_recv() {
                // What was said is acted on first: the next binary hears what comes after.
                Ok(event) => {
                    self.take(event).await;
                }
                Err(_) if self.is_stopping => break,
                Err(_) => {
                    let error = self.pass_on();
                    error!(%error, "the supervisor stays the binary it was; the new server serves");
                    break;
                }
            }
        }
        if let Err(error) = let_in() {
            warn!(%error, "signals cannot be let in");
        }
    }

    fn pass_on(&self) -> std::io::Error {
        let give = || {
            let testament = Testament::new()?;
            if let Some(lock) = self.lock.descriptor() {
                testament.lock(lock)?;
            }
            testament.sockets(self.sockets.bound())?;
            for server in &self.servers {
                testament.server(server)?;
            }
            Ok(testament)
        };
        match give() {
            Ok(testament) => testament.run(&self.binary, &self.upgrades, self.is_asked),
            Err(error) => error,
        }
    }

    fn next_id(&mut self) -> u32 {
        self.n_started += 1;
        self.n_started
    }

    fn leader(&self) -> Option<&Server> {
        self.servers.iter().find(|server| server.facts.role == Role::Leader)
    }

    fn leader_mut(&mut self) -> Option<&mut Server> {
        self.servers.iter_mut().find(|server| server.facts.role == Role::Leader)
    }

    fn server(&self, id: u32) -> Option<&Server> {
        self.servers.iter().find(|server| server.id == id)
    }
}

/// Pause before starting a server again that lived for less than [`STABLE_AFTER`]; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const STABLE_AFTER: Duration = Duration::from_secs(1);
/// Time in which a new server must serve all that the one before serves.
const TRIAL_TIME: Duration = Duration::from_secs(10);
/// Time in which a server that retires must give up its part.
const RETIRING_TIME: Duration = Duration::from_secs(5);
