//! Objects and facts become a snapshot and statuses: pure, total, deterministic.
//!
//! Processors run in a fixed order: classes, settings, listeners, back ends with their policies, routes. What
//! a processor rejects becomes a condition; an object with an error changes nothing for any other object.
//! Same input, same output, byte for byte: every map is ordered, every list is sorted.

mod backend_tls;
mod backends;
mod classes;
mod client_policies;
pub mod deployments;
pub mod features;
mod filters;
mod grants;
mod grpc_rules;
mod hostnames;
mod input;
pub mod issued;
mod listener_filters;
mod listener_sets;
mod listeners;
mod material;
mod named;
mod permissions;
mod policies;
mod pools;
mod program;
mod routes;
mod rules;
mod services;
mod settings;
mod share;
pub mod status;
mod telemetry;
mod tls;

use std::sync::Arc;

use igw_crds::objects::ObjectKey;
use igw_crds::snapshot::Snapshot;

pub use deployments::Deployment;
pub use input::{Facts, Members, ObjectSet, Stored};
pub use material::{Material, PairState};
pub use pools::askers;
pub use program::{Proxies, program};
pub use services::{ServicePort, Services};
pub use share::share;
pub use status::{Condition, Status};
pub use tls::{References, references};

use backends::Backends;
use listeners::GatewayNode;

/// What objects mean.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// For the proxies.
    pub snapshot: Snapshot,
    /// Statuses as far as no proxy is asked; [`program`] adds what proxies report.
    pub statuses: Vec<(ObjectKey, Arc<Status>)>,
    /// How the proxies of each accepted gateway run, in the order of the snapshot.
    pub deployments: Vec<Deployment>,
    /// What deserves attention and is no condition.
    pub warnings: Vec<Warning>,
}

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The object.
    pub object: ObjectKey,
    /// Field; may be empty.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Compiles.
#[must_use]
pub fn compile(objects: &ObjectSet, facts: &Facts) -> Compiled {
    let mut warnings = Vec::new();
    let classes = classes::classes(objects);
    let client_policies = client_policies::ClientPolicies::new(objects);
    let mut gateways: Vec<GatewayNode> =
        listeners::gateways(objects, facts, &classes, &client_policies, &mut warnings);
    let policies = policies::Policies::new(objects, facts);
    let mut backends = Backends::new(objects, facts, &policies);
    listener_filters::find(objects, &mut gateways, &mut backends);
    let telemetry_statuses = telemetry::find(objects, &mut gateways, &mut backends);
    let (routes, route_statuses) = routes::routes(objects, &mut gateways, &mut backends);
    let (snapshot_backends, resolvers, policy_statuses) = backends.finish(&gateways, &routes);
    let snapshot = Snapshot {
        cluster: facts.cluster.clone(),
        gateways: gateways.iter().filter_map(GatewayNode::snapshot).collect(),
        routes,
        backends: snapshot_backends,
        resolvers,
        challenges: facts.challenges.clone(),
    };
    let mut statuses: Vec<(ObjectKey, Status)> = classes.statuses(objects);
    statuses.extend(gateways.iter().map(|gateway| (gateway.key.clone(), gateway.status())));
    statuses.extend(gateways.iter().flat_map(GatewayNode::set_statuses));
    statuses.extend(route_statuses);
    statuses.extend(policy_statuses);
    statuses.extend(client_policies.statuses());
    statuses.extend(telemetry_statuses);
    statuses.sort_by(|a, b| a.0.cmp(&b.0));
    let statuses = statuses.into_iter().map(|(key, status)| (key, Arc::new(status))).collect();
    let deployments = gateways.iter().filter_map(GatewayNode::deployment).collect();
    Compiled { snapshot, statuses, deployments, warnings }
}
