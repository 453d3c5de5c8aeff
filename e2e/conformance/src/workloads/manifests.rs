//! As much of the core kinds of Kubernetes as there is something to do with.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;

/// Metadata of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Deployment {
    pub(crate) metadata: Metadata,
    pub(crate) spec: DeploymentSpec,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DeploymentSpec {
    pub(crate) replicas: Option<u32>,
    pub(crate) template: PodTemplate,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PodTemplate {
    #[serde(default)]
    pub(crate) metadata: Metadata,
    pub(crate) spec: PodSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodSpec {
    pub(crate) containers: Vec<ContainerSpec>,
    pub(crate) volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ContainerSpec {
    pub(crate) image: String,
    pub(crate) env: Vec<Variable>,
    pub(crate) volume_mounts: Vec<Mount>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Variable {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: String,
    pub(crate) value_from: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mount {
    pub(crate) name: String,
    pub(crate) mount_path: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) secret: Option<SecretVolume>,
    pub(crate) config_map: Option<ConfigMapVolume>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretVolume {
    pub(crate) secret_name: String,
    #[serde(default)]
    pub(crate) items: Vec<Item>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ConfigMapVolume {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) items: Vec<Item>,
}

/// A value and the file that it becomes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) path: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Service {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceSpec {
    pub(crate) selector: BTreeMap<String, String>,
    pub(crate) ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServicePort {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) target_port: Option<Value>,
    pub(crate) protocol: Option<String>,
    pub(crate) app_protocol: Option<String>,
}

/// A Secret or a ConfigMap.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Values {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

// === impl Variable ===

impl Variable {
    /// The field of the pod that the value is taken from, if it is.
    pub(crate) fn field(&self) -> Option<&str> {
        self.value_from.as_ref()?.pointer("/fieldRef/fieldPath")?.as_str()
    }
}

// === impl ServicePort ===

impl ServicePort {
    /// The port of the pods. The suite names ports by number alone.
    pub(crate) fn target(&self) -> u16 {
        let number = self.target_port.as_ref().and_then(Value::as_u64);
        number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port != 0).unwrap_or(self.port)
    }
}

// === impl Values ===

impl Values {
    /// Files of a Secret: what it holds is in base64.
    pub(crate) fn secret_files(&self, items: &[Item]) -> Vec<(String, Vec<u8>)> {
        let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
        self.files(items, decode)
    }

    /// Files of a ConfigMap.
    pub(crate) fn config_files(&self, items: &[Item]) -> Vec<(String, Vec<u8>)> {
        self.files(items, |text| text.as_bytes().to_vec())
    }

    fn files(&self, items: &[Item], content: impl Fn(&str) -> Vec<u8>) -> Vec<(String, Vec<u8>)> {
        if items.is_empty() {
            return self.data.iter().map(|(key, text)| (key.clone(), content(text))).collect();
        }
        let found =
            items.iter().filter_map(|item| Some((item.path.clone(), content(self.data.get(&item.key)?))));
        found.collect()
    }
}
