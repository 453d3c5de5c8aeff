//! GatewayConfigs become deployments: which OpenSVC service runs the proxies of a gateway. Cluster mode only.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use igw_crds::objects::ObjectKey;
use igw_crds::objects::gateway::GatewaySpec;
use igw_crds::objects::gateway_config::{Bind, GatewayConfigSpec, Runtime, Topology};

use crate::input::ObjectSet;
use crate::permissions::default_config;

/// How the proxies of one gateway run.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// The Gateway.
    pub gateway: ObjectKey,
    /// Where proxies run.
    pub topology: Topology,
    /// As what they run.
    pub runtime: Runtime,
    /// What they bind where the Gateway names no address.
    pub bind: Bind,
    /// An administrator's service, which is watched and never changed.
    pub adopted: Option<String>,
    /// Nodes, in OpenSVC's selector form.
    pub nodes: String,
    /// Orchestration.
    pub orchestrate: String,
    /// Image of the container runtime.
    pub image: Option<String>,
    /// Keywords of ip resources, verbatim.
    pub ip: Vec<BTreeMap<String, serde_json::Value>>,
    /// Merged verbatim, last.
    pub extra: String,
    /// Admin address of the proxies.
    pub admin: Option<SocketAddr>,
    /// Labels for the service.
    pub labels: BTreeMap<String, String>,
    /// Annotations for the service.
    pub annotations: BTreeMap<String, String>,
}

/// The deployment of a gateway: what the built-in class says, then GatewayConfigs from the least to the most
/// specific one.
pub(crate) fn deployment(
    objects: &ObjectSet,
    key: &ObjectKey,
    spec: &GatewaySpec,
    specific: &[&GatewayConfigSpec],
) -> Deployment {
    let mut made = Deployment {
        gateway: key.clone(),
        topology: Topology::Failover,
        runtime: Runtime::Process,
        bind: Bind::Wildcard,
        adopted: None,
        nodes: "*".to_owned(),
        orchestrate: "ha".to_owned(),
        image: None,
        ip: Vec::new(),
        extra: String::new(),
        admin: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
    };
    if let Some(config) = default_config(objects) {
        apply(config, &mut made);
    }
    match spec.gateway_class_name.as_str() {
        "igw-failover" => made.topology = Topology::Failover,
        "igw-per-node" => made.topology = Topology::PerNode,
        "igw-external" => made.topology = Topology::External,
        _ => {}
    }
    for config in specific {
        apply(config, &mut made);
    }
    if let Some(infrastructure) = &spec.infrastructure {
        made.labels.clone_from(&infrastructure.labels);
        made.annotations.clone_from(&infrastructure.annotations);
    }
    made
}

fn apply(config: &GatewayConfigSpec, made: &mut Deployment) {
    made.topology = config.topology.unwrap_or(made.topology);
    made.runtime = config.runtime.unwrap_or(made.runtime);
    made.bind = config.bind.unwrap_or(made.bind);
    made.admin = config.admin.as_ref().map(|admin| admin.address).or(made.admin);
    let Some(service) = &config.service else { return };
    made.adopted = service.name.clone().or_else(|| made.adopted.take());
    made.image = service.image.clone().or_else(|| made.image.take());
    if let Some(nodes) = &service.nodes {
        made.nodes.clone_from(nodes);
    }
    if let Some(orchestrate) = &service.orchestrate {
        made.orchestrate.clone_from(orchestrate);
    }
    if !service.ip.is_empty() {
        made.ip.clone_from(&service.ip);
    }
    if let Some(extra) = &service.config {
        made.extra.clone_from(extra);
    }
}
