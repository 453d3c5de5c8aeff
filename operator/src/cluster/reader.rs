//! A cluster's objects as a verb sees them: read once, without an operator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use igw_compile::{Compiled, Facts, Material, Members, ObjectSet, compile, references};
use igw_crds::objects::ObjectKey;
use igw_opensvc::{Client, Error, Kind, ObjectPath};
use jiff::Timestamp;
use serde_json::Value;

use super::books::Book;
use super::engine::names_addresses;
use super::inputs::Inputs;
use super::layout::{LEASE_BOOK, LEDGER_BOOK, STATUS, STATUS_BOOK, is_input};
use super::materials::{Materials, is_of_use};
use super::runner::{look_around, owners};
use crate::objects::gathered::Gathered;
use crate::objects::ledger::Entry;
use crate::objects::meaning::{notices_of, objects};
use crate::objects::reading::object_name;
use crate::objects::view::{Record, Shown, View};

/// Everything that the cluster holds of igw.
pub struct ClusterRead {
    /// The objects.
    pub gathered: Gathered,
    records: BTreeMap<ObjectKey, Record>,
    statuses: BTreeMap<ObjectKey, Value>,
    facts: Facts,
    epoch: u64,
}

// === impl ClusterRead ===

impl ClusterRead {
    /// Reads all namespaces, or one.
    ///
    /// # Errors
    /// The client's, of the first call that fails.
    pub async fn load(client: &Client, namespace: Option<&str>) -> Result<Self, Error> {
        let around = look_around(client).await?;
        let of =
            |namespace: &str| format!("{namespace}/cfg/igw,{namespace}/cfg/igw.*,{namespace}/cfg/{STATUS}");
        let selector = match namespace {
            Some(namespace) => format!("{},{}", of(namespace), of("system")),
            None => of("*"),
        };
        let items = client.objects(&selector).await?;
        let now = Instant::now();
        let mut inputs = Inputs::default();
        inputs.list(&items, &around.node, true, now);
        let mut records = BTreeMap::new();
        let mut statuses = BTreeMap::new();
        let mut leases = BTreeMap::new();
        for item in &items {
            let values = client.read_keys(&item.path, |_| true).await?;
            if is_input(&item.path) {
                inputs.take(&item.path, "read", &values, now);
                continue;
            }
            let namespace = item.path.namespace();
            let values: Vec<_> = values.iter().map(|(name, value)| (name.as_str(), value)).collect();
            for (key, value) in Book::new(LEDGER_BOOK).read(values.iter().copied(), namespace) {
                if let Ok(entry) = serde_json::from_value::<Entry>(value) {
                    let record =
                        Record { uid: entry.uid, created: entry.created, generation: entry.generation };
                    records.insert(key, record);
                }
            }
            for (key, value) in Book::new(LEASE_BOOK).read(values.iter().copied(), namespace) {
                let address = value.as_str().and_then(|text| text.parse().ok());
                leases.extend(address.map(|address| (format!("{}/{}", key.namespace, key.name), address)));
            }
            statuses.extend(Book::new(STATUS_BOOK).read(values.iter().copied(), namespace));
        }
        let services = client.paths("*/svc/*").await.unwrap_or_default();
        let gathered = inputs.gather();
        let is_asked = gathered.objects.values().any(|taken| names_addresses(&taken.object.spec));
        let addresses = if is_asked { owners(client).await? } else { BTreeMap::new() };
        let facts = Facts {
            cluster: around.cluster,
            nameservers: around.nameservers.iter().map(|address| (*address, 53).into()).collect(),
            members: Some(Members {
                services: services.iter().filter(|path| path.kind() == Kind::Svc).map(name_of).collect(),
                addresses,
                nodes: around.addresses,
            }),
            services: None,
            leases,
            material: Material::default(),
            challenges: Vec::new(),
        };
        let mut read = Self { gathered, records, statuses, facts, epoch: 0 };
        read.facts.material = material(client, &objects(&read.gathered, &read.records)).await;
        Ok(read)
    }

    /// What the objects mean.
    #[must_use]
    pub fn compiled(&self) -> Compiled {
        compile(&objects(&self.gathered, &self.records), &self.facts)
    }

    /// The objects with the statuses that the operator wrote.
    #[must_use]
    pub fn view(&self) -> View {
        let mut notices = self.gathered.notices.clone();
        notices.extend(notices_of(&self.compiled(), &self.gathered, true));
        let shown = self.gathered.objects.iter().map(|(key, taken)| {
            let status = self.statuses.get(key).cloned().map(Arc::new);
            let record = self.records.get(key).cloned();
            let name = object_name(key).into();
            Arc::new(Shown::new(taken.object.clone(), name, record, status, taken.source.clone()))
        });
        View { epoch: self.epoch, shown: shown.collect(), notices, ..View::default() }
    }
}

/// What key pairs and authorities are worth, as far as they may be read.
async fn material(client: &Client, objects: &ObjectSet) -> Material {
    let mut materials = Materials::default();
    materials.want(&references(objects));
    for (path, version) in materials.due(Instant::now()) {
        match client.read_keys(&path, is_of_use).await {
            Ok(values) => materials.take(&path, &version, &values),
            Err(error) => materials.fail(&path, &error, Instant::now()),
        }
    }
    materials.states(Timestamp::now())
}

fn name_of(path: &ObjectPath) -> String {
    format!("{}/{}", path.namespace(), path.name())
}
