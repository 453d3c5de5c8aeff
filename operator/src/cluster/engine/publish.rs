//! Decisions: objects become snapshots, services, books and statuses.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use igw_compile::{Deployment, Facts, Members, ObjectSet, Status, compile, program, references, share};
use igw_crds::objects::gateway_config::Topology;
use igw_crds::objects::{Kind as ObjectKind, ObjectKey, Spec};
use igw_crds::snapshot::EndpointSource;
use igw_crds::stored::{pack_snapshot, unpack_snapshot};
use igw_crds::sync::{Envelope, SyncConfig, SyncRequest};
use igw_opensvc::{Kind, ObjectPath};
use jiff::Timestamp;
use serde_json::Value;
use tracing::{error, info, warn};

use super::{Engine, STATUS_SETTLE};
use crate::certificates::vault::file_name;
use crate::cluster::credentials::{Authority, Credential, SERVER_NAME};
use crate::cluster::layout::{self, INPUT, KUBECONFIG, OPERATOR, STATUS, SYSTEM, gateway_object};
use crate::cluster::owned::STATUS_SPACING;
use crate::cluster::proxies::Judged;
use crate::cluster::rollout::{self, Proxy};
use crate::cluster::service_text;
use crate::cluster::services::Standing;
use crate::dialect::cluster::kubeconfig;
use crate::doors::sync_server::Sealed;
use crate::objects::ledger::Entry;
use crate::objects::listing::{Notice, Severity};
use crate::objects::meaning::{notices_of, objects};
use crate::objects::reading::object_name;
use crate::objects::sorted::Sorted;
use crate::objects::statuses::carry_times;
use crate::objects::view::{
    Record, Shown, Surroundings, View, is_every_listener_told, listeners_in_words, seconds,
};

/// What is up for one gateway.
#[derive(Clone, Debug)]
pub struct Published {
    pub epoch: u64,
    pub generation: u64,
    pub checksum: String,
}

/// A status that was told.
#[derive(Debug)]
pub struct Told {
    bare: Arc<Status>,
    json: Arc<Value>,
}

// === impl Engine ===

impl Engine {
    /// Looks at everything and decides.
    pub(super) fn decide(&mut self, now: Instant, wall: Timestamp) {
        let started = Instant::now();
        if !self.recall_books(now) {
            return;
        }
        self.gathered = self.inputs.gather();
        self.addresses.is_wanted =
            self.gathered.objects.values().any(|taken| names_addresses(&taken.object.spec));
        if self.addresses.is_wanted && self.addresses.known.is_none() {
            // Nothing is opened, nor closed, before it is known whose addresses they are.
            self.compile_due = Some((now + STATUS_SETTLE, now + STATUS_SETTLE));
            return;
        }
        self.keep_records(wall);
        let objects = objects(&self.gathered, &self.records);
        self.keep_leases(&objects);
        if self.materials.want(&references(&objects)) {
            // The next poll asks for it, and what that brings decides.
            self.compile_due = Some((now + STATUS_SETTLE, now + STATUS_SETTLE));
            return;
        }
        if self.is_leading {
            self.outlets.issuance.want(&objects);
        }
        let facts = self.facts(wall);
        let compiled = compile(&objects, &facts);
        self.certificates_due = self.materials.next_change(wall);
        self.compiled = Some(compiled);
        self.object_notices = OnceCell::new();
        self.keep_authority(now);
        self.publish_snapshots();
        self.want_services(now);
        self.remove_orphans();
        self.log_notices();
        self.count_objects();
        let result = if self.gathered.broken.is_empty() { "changed" } else { "invalid" };
        self.outlets.metrics.reconciled(result, started.elapsed());
        self.arrivals.answer(&self.records);
        let patience = if self.is_every_proxy_current() { STATUS_SETTLE } else { STATUS_PATIENCE };
        self.statuses_due.get_or_insert(now + patience);
    }

    /// Reads the books of namespaces that are new; false while some cannot be read yet.
    fn recall_books(&mut self, now: Instant) -> bool {
        let mut namespaces = self.inputs.namespaces();
        namespaces.insert(SYSTEM.to_owned());
        for namespace in namespaces.difference(&self.recalled.clone()) {
            let Some(path) = Self::status_path(namespace) else { continue };
            if !self.owned.is_known(&path) {
                self.owned.space(&path, STATUS_SPACING);
                self.ask_for(&path, now);
                return false;
            }
            for (key, value) in self.ledger_book.read(self.owned.values(&path), namespace) {
                if let Ok(entry) = serde_json::from_value::<Entry>(value) {
                    self.ledger.recall(key, entry);
                }
            }
            for (key, value) in self.lease_book.read(self.owned.values(&path), namespace) {
                if let Some(address) = value.as_str().and_then(|text| text.parse().ok()) {
                    self.leases.recall(format!("{}/{}", key.namespace, key.name), address);
                    self.lease_book.set(&key, &Arc::new(value));
                }
            }
            self.earlier.extend(self.status_book.read(self.owned.values(&path), namespace));
            let kept = self.kept_book.read(self.owned.values(&path), namespace);
            let texts: Vec<String> = kept.into_iter().map(|(_, value)| format!("{value}\n")).collect();
            self.inputs.recall(namespace, &texts);
            self.recalled.insert(namespace.clone());
        }
        true
    }

    /// Asks for what an own object holds, and decides again when that may be known.
    fn ask_for(&mut self, path: &ObjectPath, now: Instant) {
        self.owned.watch(path);
        if !self.owned.is_listed(path) {
            self.next_list = self.next_list.min(now);
        }
        self.compile_due = Some((now + STATUS_SETTLE, now + STATUS_SETTLE));
    }

    fn keep_records(&mut self, wall: Timestamp) {
        // Most are as they were, which one walk through all three tells.
        let changed: Vec<(&ObjectKey, u128)> = {
            let (mut before, mut entries) = (Sorted::new(&self.records), Sorted::new(self.ledger.entries()));
            let objects = self.gathered.objects.iter().map(|(key, taken)| (key, taken.content));
            objects
                .filter(|(key, content)| {
                    let is_known = entries.take(key).is_some_and(|entry| entry.is_of(*content));
                    before.take(key).is_none() || !is_known
                })
                .collect()
        };
        for (key, content) in changed {
            let entry = self.ledger.observe(key, content, wall);
            let record =
                Record { uid: Arc::clone(&entry.uid), created: entry.created, generation: entry.generation };
            // Numbers and text always encode.
            let value = serde_json::to_value(entry).unwrap_or_default();
            self.ledger_book.set(key, &Arc::new(value));
            self.records.insert(key.clone(), record);
        }
        if self.records.len() != self.gathered.objects.len() {
            let objects = &self.gathered.objects;
            self.records.retain(|key, _| objects.contains_key(key));
        }
        if !self.gathered.uncertain {
            let records = &self.records;
            let exists = |kind, namespace: &str, name: &str| {
                records.contains_key(&ObjectKey::new(kind, namespace, name))
            };
            if self.ledger_book.n_entries() != records.len() {
                self.ledger.retain(|key| records.contains_key(key));
                self.ledger_book.retain(exists);
            }
            self.kept_book.retain(exists);
        }
        for (key, taken) in &self.gathered.objects {
            if taken.source.kept {
                self.kept_book.set(key, &Arc::new(taken.object.to_value()));
            }
        }
        let objects = &self.gathered.objects;
        self.kept_book.retain(|kind, namespace, name| {
            objects.get(&ObjectKey::new(kind, namespace, name)).is_some_and(|taken| taken.source.kept)
        });
    }

    /// Gives addresses of pools to gateways, and remembers which.
    fn keep_leases(&mut self, objects: &ObjectSet) {
        // A gateway that cannot be read has not given its address back.
        if self.gathered.uncertain || !self.leases.renew(objects) {
            return;
        }
        let held = self.leases.held();
        let address = |namespace: &str, name: &str| held.get(&format!("{namespace}/{name}"));
        self.lease_book.retain(|_, namespace, name| address(namespace, name).is_some());
        for key in objects.of_kind(ObjectKind::Gateway).map(|(key, _)| key) {
            if let Some(address) = address(&key.namespace, &key.name) {
                self.lease_book.set(key, &Arc::new(Value::from(address.to_string())));
            }
        }
    }

    fn facts(&mut self, wall: Timestamp) -> Facts {
        let material = self.materials.states(wall);
        let Some(around) = &self.around else { return Facts::default() };
        Facts {
            cluster: around.cluster.clone(),
            nameservers: around.nameservers.iter().map(|address| (*address, 53).into()).collect(),
            members: Some(Members {
                services: self
                    .neighbours
                    .services()
                    .map(|path| format!("{}/{}", path.namespace(), path.name()))
                    .collect(),
                addresses: self.addresses.known.clone().unwrap_or_default(),
                nodes: around.addresses.clone(),
            }),
            services: self.settings.services.clone(),
            leases: self.leases.held(),
            material,
            challenges: self.outlets.issuance.challenges(),
        }
    }

    /// Reads the authority of the sync door, or makes it.
    fn keep_authority(&mut self, now: Instant) {
        let Some(path) = layout::path(SYSTEM, Kind::Sec, INPUT) else { return };
        if self.authority.is_some() {
            return;
        }
        if !self.owned.is_known(&path) {
            return self.ask_for(&path, now);
        }
        let authority = match Authority::read(|name| self.owned.value(&path, name)) {
            Some(found) => found,
            None => match Authority::make() {
                Ok(made) => made,
                Err(error) => return error!(%error, "no authority for sync can be made"),
            },
        };
        self.owned.want(&path, authority.keys());
        let authority = Arc::new(authority);
        self.tell_clients(authority.certificate());
        self.outlets.authority.send_replace(Some(Arc::clone(&authority)));
        self.authority = Some(authority);
    }

    /// Says where clients of the dialect find this operator, and by whom it is certified.
    fn tell_clients(&mut self, authority: &str) {
        let (Some(around), Some(path)) = (&self.around, Self::status_path(SYSTEM)) else { return };
        let config = self.settings.dialect.map(|address| {
            let of_node = around.addresses.get(&around.node).and_then(|addresses| addresses.first().copied());
            let ip = if address.ip().is_unspecified() { of_node } else { None };
            let address = SocketAddr::new(ip.unwrap_or(address.ip()), address.port());
            kubeconfig(address, authority).to_string().into()
        });
        self.owned.want_key(&path, KUBECONFIG, config);
    }

    /// Seals what changed for each gateway.
    fn publish_snapshots(&mut self) {
        let (Some(compiled), Some(epoch)) = (&self.compiled, self.term.epoch()) else { return };
        let mut seen = BTreeSet::new();
        for (index, gateway) in compiled.snapshot.gateways.iter().enumerate() {
            let name = format!("{}/{}", gateway.namespace, gateway.name);
            seen.insert(name.clone());
            // One gateway alone has the whole.
            let part = match compiled.snapshot.gateways.len() {
                1 => Cow::Borrowed(&compiled.snapshot),
                _ => Cow::Owned(share(&compiled.snapshot, index)),
            };
            let before = self.published.get(&name);
            let generation =
                before.filter(|before| before.epoch == epoch).map_or(1, |before| before.generation + 1);
            let mut keys = self.materials.keys(&part);
            if let Some(authority) = &self.authority {
                authority.sessions().add_keys(&part, &mut keys);
            }
            if !part.challenges.is_empty() {
                self.outlets.issuance.add_keys(&mut keys);
            }
            let sealed = Envelope::seal(epoch, generation, &part)
                .and_then(|envelope| Sealed::new(&envelope, keys.clone()).map(|sealed| (envelope, sealed)));
            let keys_before = self.gateway_keys.insert(name.clone(), keys.clone());
            let (envelope, sealed) = match sealed {
                Ok(sealed) => sealed,
                Err(error) => {
                    error!(gateway = name, %error, "snapshot cannot be sealed; the one before stays");
                    continue;
                }
            };
            let is_same = |before: &Published| before.checksum == envelope.checksum && before.epoch == epoch;
            if before.is_some_and(is_same) && keys_before.is_none_or(|before| before == keys) {
                continue;
            }
            info!(gateway = name, generation, routes = part.routes.len(), "snapshot published");
            self.outlets.metrics.published(generation);
            let object = gateway_object(&gateway.name);
            if let Some(path) = layout::path(&gateway.namespace, Kind::Cfg, &object) {
                // What an earlier operator stored of the same content stays.
                let is_stored = before.is_none()
                    && unpack_snapshot(|key| self.owned.value(&path, key))
                        .is_ok_and(|stored| stored.checksum == envelope.checksum);
                if is_stored {
                    let values: BTreeMap<String, Bytes> = self
                        .owned
                        .values(&path)
                        .map(|(key, value)| (key.to_owned(), value.clone()))
                        .collect();
                    self.owned.want(&path, values);
                } else {
                    let keys = pack_snapshot(&sealed.stored, epoch, generation);
                    self.owned
                        .want(&path, keys.into_iter().map(|(key, value)| (key, value.into())).collect());
                }
            }
            let sources = part.backends.iter().flat_map(|backend| &backend.sources);
            let names = sources.filter_map(|source| match source {
                EndpointSource::Template(template) => Some(template.fqdn.clone()),
                _ => None,
            });
            self.outlets.gateways.publish(&name, Arc::new(sealed), names.collect());
            self.published.insert(name, Published { epoch, generation, checksum: envelope.checksum });
        }
        // One that is not there any more may only be broken: its proxies keep what they have.
        self.published.retain(|name, _| seen.contains(name));
        self.gateway_keys.retain(|name, _| seen.contains(name));
        self.outlets.gateways.retain(|name| seen.contains(name));
    }

    /// Says what the service and the credential of each gateway should be.
    fn want_services(&mut self, now: Instant) {
        let Some(compiled) = &self.compiled else { return };
        let deployments = compiled.deployments.clone();
        for deployment in &deployments {
            let (namespace, name) = (&*deployment.gateway.namespace, &*deployment.gateway.name);
            let object = gateway_object(name);
            let Some(service) = service_of(deployment) else { continue };
            if deployment.adopted.is_some() || deployment.topology == Topology::External {
                self.services.adopt(&service);
            } else {
                self.services.want(&service, service_text::sections(deployment, &self.settings.places));
            }
            if let Some(path) = layout::path(namespace, Kind::Sec, &object) {
                self.want_credential(&path, &format!("{namespace}/{name}"), deployment, now);
            }
        }
    }

    fn want_credential(&mut self, path: &ObjectPath, gateway: &str, deployment: &Deployment, now: Instant) {
        let (Some(authority), Some(around)) = (&self.authority, &self.around) else { return };
        if !self.owned.is_known(path) {
            return self.ask_for(path, now);
        }
        let text = |key: &str| self.owned.value(path, key).and_then(|value| std::str::from_utf8(value).ok());
        let is_ours = text(AUTHORITY) == Some(authority.certificate());
        let credential = match (text(CERTIFICATE), text(KEY)) {
            (Some(certificate), Some(key))
                if is_ours && Credential::der(certificate.as_bytes()).is_some() =>
            {
                Credential { certificate: certificate.to_owned(), key: key.to_owned() }
            }
            _ => match authority.certify(gateway) {
                Ok(made) => made,
                Err(error) => return error!(gateway, %error, "no credential can be made"),
            },
        };
        if let Some(certificate) = Credential::der(credential.certificate.as_bytes()) {
            self.outlets.gateways.admit(gateway, &certificate);
        }
        let addresses = around.addresses.values().flatten();
        let config = SyncConfig {
            gateway: gateway.to_owned(),
            addresses: addresses.map(|address| (*address, self.settings.sync_port).into()).collect(),
            server_name: SERVER_NAME.to_owned(),
            admin: deployment.admin,
            node_addresses: around.addresses.clone(),
        };
        let keys = [
            // Text and numbers always encode.
            (CONFIG, serde_json::to_vec_pretty(&config).unwrap_or_default().into()),
            (AUTHORITY, Bytes::from(authority.certificate().to_owned())),
            (CERTIFICATE, Bytes::from(credential.certificate)),
            (KEY, Bytes::from(credential.key)),
        ];
        let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), value));
        let private = self.gateway_keys.get(gateway).into_iter().flatten().map(|(fingerprint, text)| {
            (format!("{KEYS}/{}", file_name(fingerprint)), Bytes::from(text.clone()))
        });
        self.owned.want(path, keys.chain(private).collect());
    }

    /// Takes away what belongs to gateways that are proven deleted: service, volume, then configuration.
    fn remove_orphans(&mut self) {
        let is_complete = self.around.as_ref().is_some_and(|around| around.lost.is_empty());
        let has_doubt =
            self.gathered.uncertain || self.gathered.broken.contains_key(ObjectKind::Gateway.as_str());
        if !self.is_leading || !is_complete || has_doubt {
            return;
        }
        let wanted: BTreeSet<(String, String)> = self
            .gathered
            .objects
            .keys()
            .filter(|key| key.kind == ObjectKind::Gateway)
            .map(|key| (key.namespace.to_string(), gateway_object(&key.name)))
            .collect();
        let is_orphan = |path: &&ObjectPath| {
            let name = path.name();
            let is_gateway =
                path.kind() != Kind::Svc && name.starts_with("igw-") && name != STATUS && name != OPERATOR;
            is_gateway && !wanted.contains(&(path.namespace().to_owned(), name.to_owned()))
        };
        let orphans: Vec<ObjectPath> = self.owned.existing().filter(is_orphan).cloned().collect();
        for path in orphans {
            let namespace = path.namespace().to_owned();
            let service = layout::path(&namespace, Kind::Svc, path.name());
            let volume = layout::path(&namespace, Kind::Vol, &format!("{}-boot", path.name()));
            let mut is_clear = true;
            for object in [service, volume].into_iter().flatten() {
                let is_gone = self.services.remove(&object);
                is_clear &= is_gone;
                if !is_gone {
                    break;
                }
            }
            if is_clear {
                info!(object = %path, "removing what a deleted gateway left");
                self.owned.want_absent(&path);
            }
        }
        // A namespace without inputs has nothing to remember.
        let namespaces = self.inputs.namespaces();
        let empty: Vec<ObjectPath> = self
            .owned
            .existing()
            .filter(|path| {
                path.name() == STATUS && path.namespace() != SYSTEM && !namespaces.contains(path.namespace())
            })
            .filter(|path| {
                self.settings.namespaces.as_ref().is_none_or(|served| served.contains(path.namespace()))
            })
            .cloned()
            .collect();
        for path in empty {
            self.recalled.remove(path.namespace());
            self.owned.want_absent(&path);
        }
    }

    /// Writes what is different in the books: ages with the statuses that follow them, one write for both.
    fn write_books(&mut self) {
        let mut changes = self.ledger_book.changes();
        changes.extend(self.kept_book.changes());
        changes.extend(self.lease_book.changes());
        changes.extend(self.status_book.changes());
        for (namespace, key, value) in changes {
            if let Some(path) = Self::status_path(&namespace) {
                self.owned.space(&path, STATUS_SPACING);
                self.owned.want_key(&path, &key, value);
            }
        }
    }

    fn standings(&self) -> BTreeMap<String, Standing> {
        let lost = self.around.as_ref().map_or(&[][..], |around| &around.lost);
        let deployments = self.compiled.iter().flat_map(|compiled| &compiled.deployments);
        deployments
            .filter_map(|deployment| {
                let gateway = format!("{}/{}", deployment.gateway.namespace, deployment.gateway.name);
                let mut standing = self.services.standing(&service_of(deployment)?, lost);
                if standing.addresses.is_empty()
                    && let Some(around) = &self.around
                {
                    // Without an address of its own a service is reached at its nodes.
                    let of_nodes = standing.expected.iter().filter_map(|node| around.addresses.get(node));
                    standing.addresses = of_nodes.flatten().copied().collect();
                }
                Some((gateway, standing))
            })
            .collect()
    }

    fn is_every_proxy_current(&self) -> bool {
        let standings = self.standings();
        self.published.iter().all(|(gateway, published)| {
            standings.get(gateway).is_some_and(|standing| {
                !standing.expected.is_empty() && self.is_current(gateway, published, standing)
            })
        })
    }

    /// Whether every proxy that should be there, and every one that is, runs the newest snapshot of its gateway.
    fn is_current(&self, gateway: &str, published: &Published, standing: &Standing) -> bool {
        let newest = (published.epoch, published.generation);
        let is_new = |asked: &SyncRequest| (asked.epoch, asked.generation) == newest;
        let mut reports = self.reports.of(gateway);
        let is_told = |node: &String| self.reports.of(gateway).any(|(of, asked)| of == node && is_new(asked));
        standing.expected.iter().all(is_told) && reports.all(|(_, asked)| is_new(asked))
    }

    /// Makes statuses from what was compiled and what proxies say, and shows them.
    pub(super) fn publish_statuses(&mut self, now: Instant, wall: Timestamp) {
        self.statuses_due = None;
        let standings = self.standings();
        let nobody = Standing::default();
        let judged = self.published.iter().map(|(gateway, published)| Judged {
            gateway,
            standing: standings.get(gateway).unwrap_or(&nobody),
            newest: (published.epoch, published.generation),
        });
        let proxies = self.reports.judge(judged);
        self.roll_out(&standings, now);
        let Some(compiled) = &self.compiled else { return };
        let time = seconds(wall);
        let is_served = self.published.iter().all(|(gateway, published)| {
            self.is_current(gateway, published, standings.get(gateway).unwrap_or(&nobody))
        });
        if is_served {
            self.outlets.issuance.served(&compiled.snapshot);
        }
        let mut statuses = program(compiled, &proxies);
        let issuers = self.records.iter().filter(|(key, _)| key.kind == ObjectKind::CertificateIssuer);
        self.outlets.issuance.show(issuers.map(|(key, record)| (key, record.generation)), &mut statuses);
        self.rollouts.show(&mut statuses);
        let mut told = Vec::with_capacity(statuses.len());
        let mut before = Sorted::new(std::mem::take(&mut self.told));
        for (key, status) in statuses {
            let new = match before.take(&key) {
                Some(before) if before.bare == status => before,
                before => {
                    let mut json = serde_json::to_value(&*status).unwrap_or_default();
                    let before =
                        before.as_ref().map(|before| &*before.json).or_else(|| self.earlier.get(&key));
                    carry_times(before, &mut json, &time);
                    let json = Arc::new(json);
                    self.status_book.set(&key, &json);
                    Told { bare: status, json }
                }
            };
            told.push((key, new));
        }
        self.told = told.into_iter().collect();
        self.earlier.clear();
        if self.status_book.n_entries() != self.told.len() {
            let told = &self.told;
            self.status_book
                .retain(|kind, namespace, name| told.contains_key(&ObjectKey::new(kind, namespace, name)));
        }
        self.write_books();
        self.show(&proxies, now);
    }

    fn show(&mut self, proxies: &igw_compile::Proxies, _now: Instant) {
        let Some(compiled) = &self.compiled else { return };
        let mut before = Sorted::new(std::mem::take(&mut self.shown));
        let (mut records, mut told) = (Sorted::new(&self.records), Sorted::new(&self.told));
        let shown = self.gathered.objects.iter().map(|(key, taken)| {
            let record = records.take(&key);
            let status = told.take(&key).map(|told| &told.json);
            let shown = match before.take(key) {
                Some(before) if before.is_same(&taken.object, record, status, &taken.source) => before,
                _ => {
                    let (object, name) = (Arc::clone(&taken.object), object_name(key).into());
                    Arc::new(Shown::new(object, name, record.cloned(), status.cloned(), taken.source.clone()))
                }
            };
            (key.clone(), shown)
        });
        self.shown = shown.collect();
        let surroundings = self.surroundings();
        if *self.surroundings != surroundings {
            self.surroundings = Arc::new(surroundings);
        }
        let view = View {
            surroundings: Arc::clone(&self.surroundings),
            epoch: self.term.epoch().unwrap_or_default(),
            n_writes: self.arrivals.n_answered(),
            generation: self
                .published
                .values()
                .map(|published| published.generation)
                .max()
                .unwrap_or_default(),
            ready: self.is_leading
                && proxies.waits.is_empty()
                && is_every_listener_told(&compiled.snapshot, &proxies.report),
            notices: self.notices(),
            shown: self.shown.values().cloned().collect(),
            listeners: listeners_in_words(&compiled.snapshot, &proxies.report),
        };
        self.outlets.view.send_replace(Arc::new(view));
    }

    fn surroundings(&self) -> Surroundings {
        let of_users = self.neighbours.services().filter(|path| !layout::is_ours(path));
        let service = |path: &ObjectPath| (path.namespace().to_owned(), path.name().to_owned());
        Surroundings {
            cluster: self.around.as_ref().map(|around| around.cluster.clone()).unwrap_or_default(),
            namespaces: self.neighbours.namespaces().map(str::to_owned).collect(),
            services: of_users.map(service).collect(),
        }
    }

    /// Decides which proxy takes the binary on its disk over, if this operator leads.
    fn roll_out(&mut self, standings: &BTreeMap<String, Standing>, now: Instant) {
        if !self.is_leading {
            return;
        }
        let of = |(gateway, published): (&String, &Published)| {
            let standing = standings.get(gateway)?;
            let newest = (published.epoch, published.generation);
            let reports: BTreeMap<&str, &SyncRequest> = self.reports.of(gateway).collect();
            let proxy = |node: &String| reports.get(node.as_str()).map(|asked| Proxy::of(asked, newest));
            let nodes = standing.expected.iter().map(|node| (node.clone(), proxy(node))).collect();
            Some((gateway.clone(), rollout::Proxies { nodes, trouble: standing.trouble.clone() }))
        };
        let gateways = self.published.iter().filter_map(of).collect();
        let lost = self.around.as_ref().map_or(&[][..], |around| &around.lost);
        self.rollouts.take(&gateways, lost, now);
    }

    fn notices(&self) -> Vec<Notice> {
        let mut notices = self.gathered.notices.clone();
        notices.extend(self.rollouts.notices());
        if let Some(compiled) = &self.compiled {
            let of_objects = self.object_notices.get_or_init(|| notices_of(compiled, &self.gathered, true));
            notices.extend(of_objects.iter().cloned());
        }
        notices.extend(self.owned.failures().map(|(path, failure)| Notice {
            file: path.to_string(),
            severity: Severity::Error,
            message: failure.to_owned(),
            hint: Some("the operator tries again".to_owned()),
            ..Notice::default()
        }));
        notices
    }

    fn log_notices(&mut self) {
        let notices = self.notices();
        let lines: BTreeSet<String> = notices.iter().map(Notice::line).collect();
        for notice in notices.iter().filter(|notice| !self.logged.contains(&notice.line())).take(MAX_LOGGED) {
            match notice.severity {
                Severity::Error => error!("{}", notice.line()),
                Severity::Warning => warn!("{}", notice.line()),
            }
        }
        self.logged = lines;
    }

    fn count_objects(&self) {
        let counts = self.gathered.counts();
        self.outlets.metrics.count_objects(counts.into_iter().map(|((kind, state), n)| (kind, state, n)));
    }
}

/// The service that runs the proxies of a deployment.
fn service_of(deployment: &Deployment) -> Option<ObjectPath> {
    let name = match &deployment.adopted {
        Some(adopted) => adopted.clone(),
        None => gateway_object(&deployment.gateway.name),
    };
    layout::path(&deployment.gateway.namespace, Kind::Svc, &name)
}

/// Book of last good versions of what is broken.
pub const KEPT_BOOK: &str = "kept";
const CONFIG: &str = "sync/config.json";
const AUTHORITY: &str = "sync/ca.pem";
const CERTIFICATE: &str = "sync/cert.pem";
const KEY: &str = "sync/key.pem";
/// Folder of the private keys of certificates.
const KEYS: &str = "keys";
/// Time that statuses wait for proxies to run what they are about.
const STATUS_PATIENCE: Duration = Duration::from_secs(1);
/// Notices of one decision that are logged one by one.
const MAX_LOGGED: usize = 200;

/// Whether it matters for an object whose addresses are whose: it names addresses, or names that are no services'.
pub fn names_addresses(spec: &Spec) -> bool {
    match spec {
        Spec::Backend(backend) => {
            backend.endpoints.iter().any(|endpoint| endpoint.ip.is_some() || endpoint.fqdn.is_some())
        }
        Spec::BackendPolicy(policy) => policy.discovery.as_ref().is_some_and(|discovery| {
            discovery.name.is_some() || discovery.srv.is_some() || discovery.init_addr.is_some()
        }),
        _ => false,
    }
}
