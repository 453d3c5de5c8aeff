//! Compares what runs with what is written, and makes the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use super::addresses::Addresses;
use super::logs::Logs;
use super::manifests::{ContainerSpec, Deployment, Metadata, Service, Values};
use super::server::Server;
use super::slices::{MANAGED_BY, Member, OWNER, Slice, slice_name, wanted};
use crate::echo::{Container, Log, Mode, Pod};

/// Turns Deployments into pods.
#[derive(Debug)]
pub struct Controller {
    server: Server,
    addresses: Addresses,
    logs: Logs,
    /// Where the server finds logs.
    log_base: String,
    /// By identity of their Deployments.
    running: BTreeMap<String, Vec<Running>>,
    /// Paths of Pods that ended and are still written.
    ended: Vec<String>,
}

/// A pod that was started.
#[derive(Debug)]
struct Running {
    namespace: String,
    name: String,
    address: Ipv4Addr,
    labels: BTreeMap<String, String>,
    /// The object, until it is written.
    unpublished: Option<Value>,
    _pod: Pod,
}

// === impl Controller ===

impl Controller {
    /// A controller that has not looked at anything yet. Logs are served at `log_base`, by `namespace/name`.
    #[must_use]
    pub fn new(server: Server, addresses: Addresses, logs: Logs, log_base: String) -> Self {
        Self { server, addresses, logs, log_base, running: BTreeMap::new(), ended: Vec::new() }
    }

    /// Runs until it is dropped, which ends every pod. What fails is tried again.
    pub async fn run(mut self) {
        let mut told = String::new();
        loop {
            if let Err(error) = self.pass().await {
                let text = format!("{error:#}");
                if text != told {
                    warn!(error = text, "workloads are not as they are written; trying again");
                }
                told = text;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Makes everything as it is written.
    ///
    /// # Errors
    /// Says what could not be made; the rest waits for the next pass.
    pub async fn pass(&mut self) -> anyhow::Result<()> {
        let deployments: Vec<Deployment> = self.server.list("/apis/apps/v1/deployments").await?;
        let written: BTreeSet<&str> =
            deployments.iter().map(|deployment| deployment.metadata.uid.as_str()).collect();
        let gone: Vec<String> =
            self.running.keys().filter(|uid| !written.contains(uid.as_str())).cloned().collect();
        for uid in gone {
            for pod in self.running.remove(&uid).unwrap_or_default() {
                self.logs.remove(&pod.namespace, &pod.name);
                info!(namespace = pod.namespace, pod = pod.name, "stopped");
                self.ended.push(format!("/api/v1/namespaces/{}/pods/{}", pod.namespace, pod.name));
            }
        }
        while let Some(path) = self.ended.last() {
            self.server.delete(path).await?;
            self.ended.pop();
        }
        for deployment in &deployments {
            if !self.running.contains_key(&deployment.metadata.uid) {
                let Metadata { namespace, name, .. } = &deployment.metadata;
                self.start(deployment).await.with_context(|| format!("Deployment {namespace}/{name}"))?;
            }
        }
        self.publish().await?;
        self.write_slices().await
    }

    /// Starts the pods of a Deployment, unless something that they mount is missing.
    async fn start(&mut self, deployment: &Deployment) -> anyhow::Result<()> {
        let template = &deployment.spec.template;
        let container = template.spec.containers.first().context("it has no container")?;
        let Some(files) = self.files(deployment, container).await? else { return Ok(()) };
        let Metadata { namespace, name, uid, .. } = &deployment.metadata;
        let mut pods = Vec::new();
        for n in 0..deployment.spec.replicas.unwrap_or(1) {
            let address = self.addresses.next().context("no address is left")?;
            let pod = pod_name(name, uid, n);
            let env = environment(container, namespace, &pod, address);
            let mut settings = Container::echo(env, files.clone());
            if container.image.contains("coredns") {
                settings.mode = Mode::Dns;
            }
            let log = Log::default();
            let started = Pod::start(address.into(), &settings, &log).await?;
            info!(namespace, pod, %address, mode = ?settings.mode, "started");
            self.logs.insert(namespace, &pod, log);
            pods.push(Running {
                unpublished: Some(self.object(deployment, &pod)),
                namespace: namespace.clone(),
                name: pod,
                address,
                labels: template.metadata.labels.clone(),
                _pod: started,
            });
        }
        self.running.insert(uid.clone(), pods);
        Ok(())
    }

    /// What the volumes of a container hold, by path; nothing as long as one is missing.
    async fn files(
        &mut self,
        deployment: &Deployment,
        container: &ContainerSpec,
    ) -> anyhow::Result<Option<BTreeMap<String, Vec<u8>>>> {
        let namespace = &deployment.metadata.namespace;
        let mut files = BTreeMap::new();
        for mount in &container.volume_mounts {
            let volumes = &deployment.spec.template.spec.volumes;
            let Some(volume) = volumes.iter().find(|volume| volume.name == mount.name) else { continue };
            let found = if let Some(secret) = &volume.secret {
                let path = format!("/api/v1/namespaces/{namespace}/secrets/{}", secret.secret_name);
                let values: Option<Values> = self.server.get(&path).await?;
                values.map(|values| values.secret_files(&secret.items))
            } else if let Some(config) = &volume.config_map {
                let path = format!("/api/v1/namespaces/{namespace}/configmaps/{}", config.name);
                let values: Option<Values> = self.server.get(&path).await?;
                values.map(|values| values.config_files(&config.items))
            } else {
                continue;
            };
            let Some(found) = found else { return Ok(None) };
            let folder = mount.mount_path.trim_end_matches('/');
            files.extend(found.into_iter().map(|(name, bytes)| (format!("{folder}/{name}"), bytes)));
        }
        Ok(Some(files))
    }

    /// The Pod as it is written.
    fn object(&self, deployment: &Deployment, name: &str) -> Value {
        let Metadata { namespace, .. } = &deployment.metadata;
        let containers = deployment
            .spec
            .template
            .spec
            .containers
            .iter()
            .map(|container| json!({"name": deployment.metadata.name, "image": container.image}));
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": namespace,
                "name": name,
                "labels": deployment.spec.template.metadata.labels,
                "annotations": {LOG_URL: format!("{}/{namespace}/{name}", self.log_base)},
                "ownerReferences": [{
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": deployment.metadata.name,
                    "uid": deployment.metadata.uid,
                }],
            },
            "spec": {"containers": containers.collect::<Vec<_>>()},
        })
    }

    /// Writes the Pods that are not written yet, as Ready: their ports are bound.
    async fn publish(&mut self) -> anyhow::Result<()> {
        for running in self.running.values_mut().flatten() {
            let Some(object) = &running.unpublished else { continue };
            let path = format!("/api/v1/namespaces/{}/pods", running.namespace);
            if self.server.create(&path, &running.name, object).await? {
                let address = running.address.to_string();
                let status = json!({"status": {
                    "phase": "Running",
                    "podIP": address,
                    "podIPs": [{"ip": address}],
                    "hostIP": address,
                    "conditions": [{"type": "Ready", "status": "True"}],
                }});
                self.server.patch(&format!("{path}/{}/status", running.name), &status).await?;
            }
            running.unpublished = None;
        }
        Ok(())
    }

    /// Keeps one slice for each Service with a selector.
    async fn write_slices(&mut self) -> anyhow::Result<()> {
        let services: Vec<Service> = self.server.list("/api/v1/services").await?;
        let ours = format!("{SLICES}/endpointslices?labelSelector={MANAGED_BY}={OWNER}");
        let slices: Vec<Slice> = self.server.list(&ours).await?;
        let mut there: BTreeMap<(String, String), Slice> = slices
            .into_iter()
            .map(|slice| ((slice.metadata.namespace.clone(), slice.metadata.name.clone()), slice))
            .collect();
        for service in services.iter().filter(|service| !service.spec.selector.is_empty()) {
            let Metadata { namespace, name, .. } = &service.metadata;
            let name = slice_name(name);
            let path = format!("{SLICES}/namespaces/{namespace}/endpointslices");
            let running = self.running.values().flatten();
            let members: Vec<_> =
                running.filter(|running| running.unpublished.is_none()).map(Running::member).collect();
            let wanted = wanted(service, &members);
            match there.remove(&(namespace.clone(), name.clone())) {
                Some(slice) if slice.is_as(&wanted) => {}
                Some(_) => {
                    let fields = json!({"endpoints": wanted["endpoints"], "ports": wanted["ports"]});
                    self.server.patch(&format!("{path}/{name}"), &fields).await?;
                }
                None => {
                    self.server.create(&path, &name, &wanted).await?;
                }
            }
        }
        for (namespace, name) in there.into_keys() {
            self.server.delete(&format!("{SLICES}/namespaces/{namespace}/endpointslices/{name}")).await?;
        }
        Ok(())
    }
}

// === impl Running ===

impl Running {
    fn member(&self) -> Member<'_> {
        Member {
            namespace: &self.namespace,
            name: &self.name,
            address: self.address.to_string(),
            labels: &self.labels,
        }
    }
}

/// Settings of a container in a pod.
fn environment(
    container: &ContainerSpec,
    namespace: &str,
    pod: &str,
    address: Ipv4Addr,
) -> BTreeMap<String, String> {
    let value = |variable: &super::manifests::Variable| match variable.field() {
        Some("metadata.name") => pod.to_owned(),
        Some("metadata.namespace") => namespace.to_owned(),
        Some("status.podIP") => address.to_string(),
        _ => variable.value.clone(),
    };
    container.env.iter().map(|variable| (variable.name.clone(), value(variable))).collect()
}

/// `<deployment>-<of the deployment>-<of the pod>`. The suite cuts the last two parts off to find the Deployment, so that
/// they hold no dash.
fn pod_name(deployment: &str, uid: &str, n: u32) -> String {
    format!("{deployment}-{}-{}", letters(uid, 10), letters(&format!("{uid} {n}"), 5))
}

fn letters(of: &str, count: usize) -> String {
    let letter =
        |byte: &u8| LETTERS.get(usize::from(*byte) % LETTERS.len()).map_or('x', |letter| char::from(*letter));
    Sha256::digest(of.as_bytes()).iter().take(count).map(letter).collect()
}

/// Time between two passes.
const PAUSE: Duration = Duration::from_millis(100);
/// Annotation that tells the server where the log of a pod is.
const LOG_URL: &str = "conformance-backends/log-url";
/// Where slices are.
const SLICES: &str = "/apis/discovery.k8s.io/v1";
/// Letters of names: no vowel, so that no word comes out.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pods_lead_back_to_their_deployment() {
        let names: BTreeSet<String> = (0..100).map(|n| pod_name("infra-backend-v1", "uid-1", n)).collect();
        assert_eq!(names.len(), 100);
        for name in &names {
            let parts: Vec<&str> = name.rsplitn(3, '-').collect();
            assert_eq!(parts.get(2), Some(&"infra-backend-v1"));
        }
        assert_ne!(pod_name("a", "uid-1", 0), pod_name("a", "uid-2", 0));
    }
}
