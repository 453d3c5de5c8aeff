//! What is there before the suite comes.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, ensure};
use igw_crds::objects::Kind;
use igw_kube::{Identity, Place, Seen, Store};
use serde_json::{Value, json};

use super::kinds::Core;
use crate::workloads::Server as Client;

/// Writes the GatewayClass, and the settings that give each gateway an address of its own, into a folder.
pub(crate) fn write(folder: &Path, class: &str, gateways: &str) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (name, object) in [("class.yaml", class_of(class)), ("config.yaml", config_of(gateways))] {
        let file = folder.join(name);
        std::fs::write(&file, object.to_string()).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// The same as a client of the server.
pub(crate) async fn create(server: SocketAddr, class: &str, gateways: &str) -> anyhow::Result<()> {
    let mut client = Client::new(server);
    let classes = "/apis/gateway.networking.k8s.io/v1/gatewayclasses";
    let configs = "/apis/igw.opensvc.com/v1alpha1/namespaces/system/gatewayconfigs";
    let (class, config) = ((classes, class, class_of(class)), (configs, "default", config_of(gateways)));
    for (path, name, object) in [class, config] {
        ensure!(client.create(path, name, &object).await?, "{path} does not take {name}");
    }
    Ok(())
}

fn class_of(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": name},
        "spec": {"controllerName": igw_compile::status::CONTROLLER},
    })
}

fn config_of(gateways: &str) -> Value {
    json!({
        "apiVersion": "igw.opensvc.com/v1alpha1",
        "kind": "GatewayConfig",
        "metadata": {"namespace": "system", "name": "default"},
        "spec": {"addressPool": [gateways]},
    })
}

/// Puts the definitions of kinds into the store, whose annotations the suite compares with itself, and the namespaces
/// that every cluster has.
pub(crate) fn announce(store: &Store, core: &Core, bundle: &str) {
    let of_api = Kind::ALL.into_iter().filter(|kind| kind.group() == GROUP);
    let definitions = of_api.map(|kind| {
        let name = format!("{}.{}", kind.plural(), kind.group());
        let object = json!({
            "metadata": {"annotations": {VERSION: bundle, CHANNEL: "experimental"}},
            "spec": {"group": kind.group(), "names": {"kind": kind.as_str(), "plural": kind.plural()}},
        });
        (Place::new(&core.definitions, "", &name), object)
    });
    let namespaces = ["default", "system"].map(|name| (Place::new(&core.namespaces, "", name), json!({})));
    let seen = definitions.chain(namespaces).map(|(place, object): (Place, Value)| Seen {
        place,
        object,
        status: None,
        identity: Identity::default(),
    });
    store.observe(&[], seen.collect(), store.revision());
}

/// Group of the Gateway API.
const GROUP: &str = "gateway.networking.k8s.io";
/// Annotation with the version of the definitions.
const VERSION: &str = "gateway.networking.k8s.io/bundle-version";
/// Annotation with their channel.
const CHANNEL: &str = "gateway.networking.k8s.io/channel";
