//! What is told of how this server fares: to the control side, on the admin pages, to the supervisor.

use std::net::SocketAddr;

use igw_crds::sync::{BindFailure, BindFailureKind, ListenerReport, Report};
use tokio::sync::oneshot;

use super::{Control, Event, pull};
use crate::place::Place;
use crate::supervisor::channel::Standing;
use crate::worker::Command;

impl Control {
    /// Publishes how things stand.
    pub(super) fn report(&self, refused: Option<String>) {
        let mut listeners = Vec::new();
        for gateway in &self.snapshot.gateways {
            let name = format!("{}/{}", gateway.namespace, gateway.name);
            for listener in &gateway.listeners {
                let of_port = |bind: &&crate::tables::Bind| {
                    (bind.place.transport, bind.place.address.port())
                        == (listener.protocol.transport(), listener.port)
                        && self
                            .tables
                            .ports
                            .get(bind.port)
                            .and_then(Option::as_ref)
                            .is_some_and(|port| *port.gateway == *name)
                };
                let binds: Vec<Place> =
                    self.tables.binds.iter().filter(of_port).map(|bind| bind.place).collect();
                let fault = self.tables.faults.get(&(name.as_str().into(), listener.name.as_str().into()));
                let error = match binds.first() {
                    None => first_address(gateway, listener.port).map(|address| BindFailure {
                        address,
                        kind: BindFailureKind::HeldByOtherGateway,
                        message: format!("an older gateway has {address}; choose another address or port"),
                    }),
                    Some(_) => binds.iter().find_map(|place| {
                        let failure = self.failures.get(place)?;
                        Some(BindFailure {
                            address: place.address,
                            kind: failure.kind,
                            message: failure.message.clone(),
                        })
                    }),
                };
                let of_tls = |place: &Place| {
                    Some(BindFailure {
                        address: place.address,
                        kind: BindFailureKind::Other,
                        message: fault?.clone(),
                    })
                };
                let error = error.or_else(|| binds.first().and_then(of_tls));
                listeners.push(ListenerReport {
                    gateway: name.clone(),
                    listener: listener.name.clone(),
                    bound: binds
                        .into_iter()
                        .filter(|place| self.bound.contains_key(place))
                        .map(|place| place.address)
                        .collect(),
                    error,
                });
            }
        }
        let report = Report { listeners, serving: self.tables.stamp() > 0, refused };
        self.admin.set_report(report.clone(), !self.is_asking);
        self.report.send_if_modified(|standing| {
            let now = pull::Standing {
                epoch: self.tables.epoch,
                generation: self.tables.generation,
                report,
                versions: self.versions.table(),
            };
            let is_news = *standing != now;
            *standing = now;
            is_news
        });
        self.tell_supervisor();
    }

    /// What is served.
    pub(super) fn standing(&self) -> Standing {
        let places = self.bound.keys().copied().collect();
        Standing::new(self.tables.epoch, self.tables.generation, places)
    }

    /// Tells the supervisor what is served, once the workers do.
    fn tell_supervisor(&self) {
        if self.tables.stamp() == 0 || self.is_asking {
            return;
        }
        let standing = self.standing();
        let mut answers = Vec::new();
        for worker in &self.workers {
            let (answer, answered) = oneshot::channel();
            let _ = worker.commands.send(Command::Answer(answer));
            answers.push(answered);
        }
        let post = self.post.clone();
        tokio::task::spawn_local(async move {
            for answered in answers {
                // A worker that is gone serves nothing.
                if answered.await.is_err() {
                    return;
                }
            }
            let _ = post.send(Event::Settled(standing));
        });
    }
}

fn first_address(gateway: &igw_crds::snapshot::Gateway, port: u16) -> Option<SocketAddr> {
    let any = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
    Some(SocketAddr::new(gateway.addresses.first().copied().unwrap_or(any), port))
}
