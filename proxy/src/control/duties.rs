//! What a server does only while it leads, and what it does for the supervisor.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tracing::{info, warn};

use super::bootstrap::Bootstrap;
use super::drain::Leaving;
use super::lead::{Door, Lead};
use super::persist::State;
use super::sockets::{Heard, SupervisorLink};
use super::{Control, Event, Keep, pull};
use crate::admin;
use crate::supervisor::channel::{OfServer, Standing};
use tokio::sync::mpsc::UnboundedSender;

impl Control {
    /// Acts on an event; says so if the process is to leave.
    pub(super) fn act(&mut self, event: Event) -> Option<Leaving> {
        match event {
            Event::Envelope(envelope) => self.take(&envelope),
            Event::Endpoints(backend) => self.checks.follow(&backend),
            Event::Settled(standing) => self.settled(standing),
            Event::Leads(lead) => return self.take_lead(lead),
            Event::Caller(caller) => self.introduce(caller),
            Event::Versions(read) => {
                if self.versions.take(*read) {
                    self.report(None);
                }
            }
            // One that was replaced counts no more.
            Event::Supervisor(number, _) if number != self.n_supervisors => {}
            Event::Supervisor(_, Heard::Sockets(answers)) => self.listen(answers),
            Event::Supervisor(_, Heard::Retire) => return Some(Leaving::Retire),
            Event::Supervisor(_, Heard::Upgrades(upgrades)) => {
                self.upgrades.set(&upgrades);
                self.versions.set_refused(upgrades.refused);
                self.report(None);
            }
            Event::Supervisor(_, Heard::Gone) => return self.bereave(),
        }
        None
    }

    /// Serves what is at rest if it is newer than what runs.
    pub(super) fn load(&mut self) {
        self.lasting.keys.add_folder(&self.state.keys());
        let Some(envelope) = self.state.newest_envelope() else { return };
        let have = (self.tables.epoch, self.tables.generation);
        if self.tables.stamp() == 0 || (envelope.epoch, envelope.generation) > have {
            info!(generation = envelope.generation, "serving the last known good snapshot");
            self.apply(&envelope, Keep::No);
        }
    }

    /// Where snapshots come from.
    pub(super) fn source(&self) -> anyhow::Result<pull::Source> {
        let bootstrap = self.arguments.bootstrap.as_deref().map(Bootstrap::new);
        pull::Source::parse(self.arguments.sync.as_deref(), bootstrap)
    }

    pub(super) fn wait_for_lead(&mut self) {
        let (post, state) = (self.post.clone(), self.arguments.state.clone());
        self.background.push(tokio::task::spawn_local(async move {
            let _ = post.send(Event::Leads(Lead::wait(state).await));
        }));
    }

    /// Writes, asks and shows from now on.
    fn take_lead(&mut self, lead: Lead) -> Option<Leaving> {
        self.lead = Some(lead);
        if self.arguments.snapshot.is_none() {
            if self.arguments.standby {
                // Another server wrote there until now.
                self.state = State::open(&self.arguments.state);
                self.load();
            }
            self.save();
            match self.source().context("the control side cannot be asked") {
                Ok(source) => {
                    let gateway = self.arguments.gateway.clone();
                    let identity = pull::Identity { gateway, node: self.arguments.node() };
                    let post = self.post.clone();
                    let deliver = move |envelope| {
                        let _ = post.send(Event::Envelope(Box::new(envelope)));
                    };
                    let standing = self.report.subscribe();
                    let pulling = pull::run(source, identity, standing, deliver);
                    self.background.push(tokio::task::spawn_local(pulling));
                }
                Err(error) => warn!(error = format!("{error:#}"), "no newer snapshots will come"),
            }
        }
        let address = self.arguments.admin();
        self.background.extend(admin::start(Rc::clone(&self.admin), address, &self.arguments.state));
        let post = self.post.clone();
        let opened = Door::open(&self.arguments.state, move |caller| {
            let _ = post.send(Event::Caller(caller));
        });
        match opened {
            Ok(door) => self.door = Some(door),
            Err(error) => {
                warn!(%error, "no door for another supervisor; if this one is killed, the server drains");
            }
        }
        self.supervisor.say(&OfServer::Leads, &[]);
        // The supervisor may have gone while this server waited.
        if self.orphan_until.is_some() { self.bereave() } else { None }
    }

    /// Puts at rest what is served, if that is this server's part.
    pub(super) fn save(&mut self) {
        if self.lead.is_none() {
            return;
        }
        if let Some(envelope) = self.unsaved.take() {
            self.state.save_keys(self.lasting.keys.texts());
            self.state.save_envelope(envelope);
        }
    }

    /// Workers serve.
    fn settled(&mut self, standing: Standing) {
        self.supervisor.say(&OfServer::Serves(standing), &[]);
        if !std::mem::replace(&mut self.is_started, true) {
            crate::memory::let_go_program();
        }
        if self.arguments.standby && !self.is_proven {
            self.is_proven = true;
            self.wait_for_lead();
        }
    }

    /// The supervisor is gone. One that leads serves on until the next supervisor calls, or long enough.
    fn bereave(&mut self) -> Option<Leaving> {
        let patience = match (&self.lead, &self.door) {
            (Some(_), Some(_)) => ORPHAN_TIME,
            (Some(_), None) => return Some(Leaving::Stop),
            // The server that leads may have been told to retire before its supervisor went.
            (None, _) if self.is_proven || !self.arguments.standby => SUCCESSION_TIME,
            (None, _) => return Some(Leaving::Stop),
        };
        warn!(?patience, "the supervisor is gone; serving until the next one calls");
        self.orphan_until = Some(tokio::time::Instant::now() + patience);
        None
    }

    /// Makes itself known to a supervisor that did not start it.
    fn introduce(&mut self, caller: std::os::fd::OwnedFd) {
        self.n_supervisors += 1;
        match SupervisorLink::start(caller, hear(&self.post, self.n_supervisors)) {
            Ok(link) => {
                info!("another supervisor takes over");
                self.supervisor = link;
                self.orphan_until = None;
                self.supervisor.introduce(self.held.iter(), self.standing());
                self.ask_sockets();
            }
            Err(error) => warn!(%error, "another supervisor cannot be heard"),
        }
    }

    /// Finds out, beside the loop, whether another binary lies on the disk.
    pub(super) fn look_at_binaries(&mut self) {
        if !self.versions.is_outdated() || self.is_looking.replace(true) {
            return;
        }
        let (versions, post) = (self.versions.clone(), self.post.clone());
        let is_looking = Rc::clone(&self.is_looking);
        self.background.retain(|task| !task.is_finished());
        self.background.push(tokio::task::spawn_local(async move {
            if let Ok(read) = tokio::task::spawn_blocking(move || versions.read()).await {
                let _ = post.send(Event::Versions(Box::new(read)));
            }
            is_looking.set(false);
        }));
    }
}

/// Turns what a supervisor says into events.
pub(super) fn hear(post: &UnboundedSender<Event>, number: u32) -> impl Fn(Heard) + Send + 'static {
    let post = post.clone();
    move |heard| {
        // A closed channel means that the process ends.
        let _ = post.send(Event::Supervisor(number, heard));
    }
}

/// How long a server serves without a supervisor: longer than whoever starts supervisors needs to notice.
const ORPHAN_TIME: Duration = Duration::from_secs(90);
/// How long a server that serves and does not lead waits for the lead without a supervisor.
const SUCCESSION_TIME: Duration = Duration::from_secs(5);
