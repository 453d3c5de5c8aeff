//! Workloads against the dialect, without an engine behind it.

use std::net::Ipv4Addr;

use igw_kube::Accept;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::workloads::{Addresses, Controller, Server as Client};

struct Stage {
    client: Client,
    controller: Controller,
    _door: JoinSet<()>,
}

impl Stage {
    async fn new(place: u8) -> anyhow::Result<Self> {
        let logs = Logs::default();
        let registry = Arc::new(kinds::registry(logs.clone()));
        let settings = StoreSettings { require_namespaces: true, ..StoreSettings::default() };
        let store = Arc::new(Store::new(Arc::clone(&registry), settings, Arc::new(Accept)));
        let core = Core::of(&registry).context("a kind is missing")?;
        seeds::announce(&store, &core, "v9.9.9");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = Server::new(store, Arc::new(Everybody), ServerSettings::default());
        let mut door = JoinSet::new();
        door.spawn(serve(Door::Tcp(listener), Arc::new(server)));
        let [.., high, low] = std::process::id().to_be_bytes();
        let pods = Addresses::new(Ipv4Addr::new(127, 80 + place, high, low), 26);
        let controller = Controller::new(Client::new(address), pods, logs, String::new());
        Ok(Self { client: Client::new(address), controller, _door: door })
    }

    async fn pods(&mut self) -> anyhow::Result<Vec<Value>> {
        self.client.list("/api/v1/namespaces/default/pods").await
    }
}

fn deployment(name: &str, replicas: u32, env: Value, volumes: Value, mounts: Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "default", "name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [{"name": name, "image": "echo-basic", "env": env, "volumeMounts": mounts}],
                    "volumes": volumes,
                },
            },
        },
    })
}

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

#[tokio::test]
async fn deployments_become_pods_with_endpoints_and_logs_and_go_with_them() -> anyhow::Result<()> {
    let mut stage = Stage::new(0).await?;
    let pod_name = json!([{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    let web = deployment("web", 2, pod_name, json!([]), json!([]));
    assert!(stage.client.create(DEPLOYMENTS, "web", &web).await?);
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 3000}]},
    });
    assert!(stage.client.create("/api/v1/namespaces/default/services", "web", &service).await?);
    stage.controller.pass().await?;

    let pods = stage.pods().await?;
    let [pod, _] = &pods[..] else { anyhow::bail!("{pods:?}") };
    assert_eq!(pod["status"]["conditions"][0], json!({"type": "Ready", "status": "True"}));
    let name = pod["metadata"]["name"].as_str().context("a name")?.to_owned();
    let address = pod["status"]["podIP"].as_str().context("an address")?;
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let slice: Value = stage.client.get(&format!("{slices}/web-pods")).await?.context("no slice")?;
    assert_eq!(slice["endpoints"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        (&slice["endpoints"][0]["addresses"][0], &slice["ports"][0]["port"]),
        (&address.into(), &3000.into())
    );

    let place: SocketAddr = format!("{address}:3000").parse()?;
    let mut stream = TcpStream::connect(place).await?;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.contains(&format!("\"pod\": \"{name}\"")), "{answer}");
    let log = format!("/api/v1/namespaces/default/pods/{name}/log?sinceTime=2020-01-01T00%3A00%3A00Z");
    let text = stage.client.text(&log).await?;
    assert!(text.starts_with("Echoing back request made to /hello to client (127."), "{text}");

    stage.client.delete(&format!("{DEPLOYMENTS}/web")).await?;
    stage.controller.pass().await?;
    assert_eq!(stage.pods().await?.len(), 0);
    assert!(TcpStream::connect(place).await.is_err());
    let slice: Value = stage.client.get(&format!("{slices}/web-pods")).await?.context("no slice")?;
    assert_eq!(slice["endpoints"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_pod_waits_for_what_it_mounts() -> anyhow::Result<()> {
    let mut stage = Stage::new(1).await?;
    let env = json!([
        {"name": "TLS_SERVER_CERT", "value": "/etc/pair/crt"},
        {"name": "TLS_SERVER_PRIVKEY", "value": "/etc/pair/key"},
    ]);
    let items = json!([{"key": "tls.crt", "path": "crt"}, {"key": "tls.key", "path": "key"}]);
    let volumes = json!([{"name": "pair", "secret": {"secretName": "pair", "items": items}}]);
    let mounts = json!([{"name": "pair", "mountPath": "/etc/pair"}]);
    let secure = deployment("secure", 1, env, volumes, mounts);
    assert!(stage.client.create(DEPLOYMENTS, "secure", &secure).await?);
    stage.controller.pass().await?;
    assert_eq!(stage.pods().await?.len(), 0);

    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["a.test".to_owned()])?.self_signed(&key)?;
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"namespace": "default", "name": "pair"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate.pem(), "tls.key": key.serialize_pem()},
    });
    assert!(stage.client.create("/api/v1/namespaces/default/secrets", "pair", &secret).await?);
    stage.controller.pass().await?;
    let pods = stage.pods().await?;
    let [pod] = &pods[..] else { anyhow::bail!("{pods:?}") };
    let address = pod["status"]["podIP"].as_str().context("an address")?;
    TcpStream::connect(format!("{address}:8443")).await?;
    Ok(())
}

#[tokio::test]
async fn definitions_say_the_version_that_they_are_told() -> anyhow::Result<()> {
    let mut stage = Stage::new(2).await?;
    let definitions: Vec<Value> =
        stage.client.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions").await?;
    assert!(definitions.len() >= 9, "{}", definitions.len());
    for definition in definitions {
        let annotations = &definition["metadata"]["annotations"];
        assert_eq!(annotations["gateway.networking.k8s.io/bundle-version"], "v9.9.9");
        assert_eq!(annotations["gateway.networking.k8s.io/channel"], "experimental");
    }
    Ok(())
}
