//! A deployment becomes the text of an OpenSVC service: keywords by section, in a fixed order.
//!
//! Pure. The `start` line names paths alone, so that it never changes while the service lives: the running process
//! is found by it.

use std::collections::BTreeMap;

use igw_compile::Deployment;
use igw_crds::objects::gateway_config::{Runtime, Topology};
use serde_json::Value;

use super::layout::gateway_object;

/// Keywords by section, as they are written.
pub type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Where things are on every node.
#[derive(Clone, Debug)]
pub struct Places {
    /// Path of the proxy's binary.
    pub proxy: String,
    /// Folder of the proxies' states; references as `{var}` are resolved by the node.
    pub state: String,
}

/// The keywords of the service that runs the proxies of a gateway.
///
/// # Errors
/// Says which line of the administrator's addition is none.
pub fn sections(deployment: &Deployment, places: &Places) -> Result<Sections, String> {
    let mut made = Sections::new();
    let mut set = |section: &str, keyword: &str, value: &str| {
        made.entry(section.to_owned()).or_default().insert(keyword.to_owned(), value.to_owned());
    };
    set("DEFAULT", "nodes", &deployment.nodes);
    set("DEFAULT", "orchestrate", &deployment.orchestrate);
    match deployment.topology {
        Topology::PerNode => {
            set("DEFAULT", "topology", "flex");
            set("DEFAULT", "flex_min", "1");
            set("DEFAULT", "flex_target", "{#nodes}");
        }
        Topology::Failover | Topology::External => set("DEFAULT", "topology", "failover"),
    }
    let is_container = deployment.runtime == Runtime::Container;
    let mut labels = deployment.labels.clone();
    labels.extend(deployment.annotations.clone());
    for (name, value) in &labels {
        set("labels", name, value);
    }
    if is_container {
        set("container#0", "type", "oci");
        set("container#0", "image", "ghcr.io/opensvc/pause");
        set("container#0", "rm", "true");
    }
    for (n, keywords) in deployment.ip.iter().enumerate() {
        let section = format!("ip#{}", n + 1);
        for (keyword, value) in keywords {
            set(&section, keyword, &text_of(value));
        }
        if is_container {
            set(&section, "netns", "container#0");
        }
    }
    set("volume#boot", "type", "shm");
    set("volume#boot", "name", "{name}-boot");
    set("volume#boot", "size", "64m");
    set(
        "volume#boot",
        "install",
        "/snapshot/ from ./cfg/{name} key snapshot/* required /sync/ from ./sec/{name} key sync/* required /keys/ from ./sec/{name} key keys/*",
    );
    let gateway = format!("{}/{}", deployment.gateway.namespace, deployment.gateway.name);
    if is_container {
        set("volume#boot", "user", "1000");
        set("container#proxy", "type", "oci");
        set("container#proxy", "image", deployment.image.as_deref().unwrap_or(IMAGE));
        set("container#proxy", "rm", "true");
        set("container#proxy", "netns", "container#0");
        set("container#proxy", "volume_mounts", "{name}-boot:/boot/igw:ro");
        set(
            "container#proxy",
            "environment",
            &format!("CLUSTERNAME={{clustername}} NODENAME={{nodename}} IGW_GATEWAY={gateway}"),
        );
        set("container#proxy", "restart", "3");
        set("container#proxy", "monitor", "true");
        set("container#proxy", "stop_timeout", STOP_TIMEOUT);
    } else {
        let name = gateway_object(&deployment.gateway.name);
        set("app#proxy", "type", "simple");
        set(
            "app#proxy",
            "start",
            &format!(
                "{} --gateway {gateway} --bootstrap {{volume#boot.mnt}} --state {}/{{namespace}}.{name}",
                places.proxy, places.state
            ),
        );
        set("app#proxy", "environment", "CLUSTERNAME={clustername} NODENAME={nodename}");
        set("app#proxy", "restart", "3");
        set("app#proxy", "monitor", "true");
        set("app#proxy", "stop_timeout", STOP_TIMEOUT);
    }
    merge(&mut made, &deployment.extra)?;
    Ok(made)
}

/// The text in the form of the cluster's files.
#[must_use]
pub fn text(sections: &Sections) -> String {
    let mut text = String::new();
    let order = sections
        .keys()
        .filter(|name| *name == "DEFAULT")
        .chain(sections.keys().filter(|name| *name != "DEFAULT"));
    for section in order {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{section}]\n"));
        for (keyword, value) in sections.get(section).into_iter().flatten() {
            text.push_str(&format!("{keyword} = {value}\n"));
        }
    }
    text
}

/// Adds what the administrator wrote, the same syntax, last.
fn merge(made: &mut Sections, extra: &str) -> Result<(), String> {
    let mut section = "DEFAULT".to_owned();
    for (n, line) in extra.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
        } else if let Some((keyword, value)) = line.split_once('=') {
            made.entry(section.clone())
                .or_default()
                .insert(keyword.trim().to_owned(), value.trim().to_owned());
        } else {
            return Err(format!(
                "service.config line {}: `{line}` is neither [section] nor keyword = value",
                n + 1
            ));
        }
    }
    Ok(())
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Image where none is chosen.
const IMAGE: &str = "ghcr.io/opensvc/igw-proxy:1";
/// Longer than the drain time, which is 30 s where nobody says otherwise.
const STOP_TIMEOUT: &str = "45s";

#[cfg(test)]
mod tests {
    use igw_compile::{Facts, Members, ObjectSet, Stored, compile};
    use igw_crds::yaml::{Cache, read_in};
    use jiff::Timestamp;

    use super::*;

    /// The deployments of documents in namespace `testigw`.
    fn deployments(text: &str) -> Vec<Deployment> {
        let reading = read_in("testigw", "case", text, &mut Cache::default());
        assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
        let stored = reading.documents.into_iter().map(|document| {
            let key = document.object.key.clone();
            (
                key,
                Stored {
                    object: document.object,
                    uid: "".into(),
                    created: Timestamp::UNIX_EPOCH,
                    generation: 1,
                },
            )
        });
        let facts = Facts { members: Some(Members::default()), ..Facts::default() };
        compile(&stored.collect::<ObjectSet>(), &facts).deployments
    }

    fn sections_of(class: &str, config: &str) -> Result<Sections, String> {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: public}}\nspec:\n  gatewayClassName: {class}\n  infrastructure: {{parametersRef: {{group: igw.opensvc.com, kind: GatewayConfig, name: c}}}}\n  listeners: [{{name: web, port: 80, protocol: HTTP}}]\n---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: c}}\nspec: {config}\n"
        );
        let places = Places { proxy: "/usr/bin/igw-proxy".to_owned(), state: "/var/lib/igw".to_owned() };
        sections(&deployments(&text)[0], &places)
    }

    /// A file of `deploy` without its comments.
    fn file(text: &str) -> String {
        text.lines().skip_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_files_of_deploy_are_what_the_operator_makes() {
        let ip = "{service: {ip: [{type: host, name: 192.0.2.10, netmask: 24, dev: eth0}]}}";
        let failover = sections_of("igw-failover", ip).unwrap();
        assert_eq!(text(&failover), file(include_str!("../../../deploy/opensvc/proxy-failover.conf")));
        let per_node = sections_of("igw-per-node", "{}").unwrap();
        assert_eq!(text(&per_node), file(include_str!("../../../deploy/opensvc/proxy-per-node.conf")));
    }

    #[test]
    fn what_the_administrator_adds_comes_last_and_must_be_readable() {
        let made =
            sections_of("igw-failover", "{service: {config: \"priority = 10\\n[app#proxy]\\nrestart = 9\"}}")
                .unwrap();
        assert_eq!(made["DEFAULT"]["priority"], "10");
        assert_eq!(made["app#proxy"]["restart"], "9");
        let refused =
            sections_of("igw-failover", "{service: {config: \"[app#proxy]\\nnonsense\"}}").unwrap_err();
        assert!(refused.contains("line 2") && refused.contains("nonsense"), "{refused}");
    }

    #[test]
    fn containers_get_their_image_and_mounts() {
        let made = sections_of(
            "igw-failover",
            "{runtime: container, service: {image: \"registry.example/igw-proxy:2\"}}",
        )
        .unwrap();
        assert_eq!(made["container#proxy"]["image"], "registry.example/igw-proxy:2");
        assert_eq!(made["container#proxy"]["volume_mounts"], "{name}-boot:/boot/igw:ro");
        assert!(!made.contains_key("app#proxy"));
    }
}
