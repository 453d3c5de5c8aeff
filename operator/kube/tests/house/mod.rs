//! A server on a loopback port, and a client that is nothing but HTTP.
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use igw_kube::{
    Accept, Access, Door, Everybody, ListKeys, Persist, Registry, Resource, Scope, Server, ServerSettings,
    Settings, Store, Style, serve,
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A server that runs until it is dropped.
pub struct House {
    pub address: SocketAddr,
    pub store: Arc<Store>,
    task: JoinHandle<()>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: hyper::HeaderMap,
    pub text: String,
}

// === impl House ===

impl House {
    /// A server whose store alone holds the objects.
    pub async fn start() -> anyhow::Result<Self> {
        Self::with(Arc::new(Accept), Arc::new(Everybody), false).await
    }

    /// A server in which namespaces must be made, with Services beside the kinds of igw.
    pub async fn strict() -> anyhow::Result<Self> {
        Self::with(Arc::new(Accept), Arc::new(Everybody), true).await
    }

    pub async fn with(
        owner: Arc<dyn Persist>,
        access: Arc<dyn Access>,
        require_namespaces: bool,
    ) -> anyhow::Result<Self> {
        let mut registry = Registry::builtin();
        registry.add(Resource {
            short_names: vec!["svc".into()],
            style: Style::Core,
            has_status: true,
            list_keys: ListKeys::new(&[("spec.ports", &["port", "protocol"])]),
            ..Resource::new("", "v1", "Service", "services", Scope::Namespaced)
        });
        let settings = Settings { require_namespaces, ..Settings::default() };
        let store = Arc::new(Store::new(Arc::new(registry), settings, owner));
        let server = Arc::new(Server::new(Arc::clone(&store), access, ServerSettings::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(serve(Door::Tcp(listener), server));
        Ok(Self { address, store, task })
    }

    /// Sends a request with headers and returns the answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let response = self.open(method, path, headers, body).await?;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let text = String::from_utf8(bytes.to_vec())?;
        Ok(Answer { code: head.status.as_u16(), headers: head.headers, text })
    }

    /// Sends a request and returns the answer with its body still to come.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<hyper::Response<hyper::body::Incoming>> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes())?)
            .uri(path)
            .header("host", self.address.to_string())
            .header("user-agent", "test/1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(sender.send_request(request.body(Full::new(body.into()))?).await?)
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send("GET", path, &[("accept", "application/json")], "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn merge(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send("PATCH", path, &[("content-type", "application/merge-patch+json")], body.to_string()).await
    }

    pub async fn apply(&self, path: &str, manager: &str, body: &Value) -> anyhow::Result<Answer> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{mark}fieldManager={manager}");
        self.send("PATCH", &path, &[("content-type", "application/apply-patch+yaml")], body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        let body = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        self.send("DELETE", path, &[("content-type", "application/json")], body.to_string()).await
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Answer ===

impl Answer {
    /// The body as a tree.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The text at a path.
    pub fn text_at(&self, pointer: &str) -> String {
        match self.value().pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    #[track_caller]
    pub fn expect(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }
}

/// A stream of lines.
pub struct Lines {
    body: hyper::body::Incoming,
    rest: Vec<u8>,
}

impl Lines {
    pub fn of(response: hyper::Response<hyper::body::Incoming>) -> Self {
        Self { body: response.into_body(), rest: Vec::new() }
    }

    /// The next line, or none at the end.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(at) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=at).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            let frame = tokio::time::timeout(std::time::Duration::from_secs(20), self.body.frame());
            match frame.await.context("nothing came")? {
                Some(frame) => self.rest.extend_from_slice(frame?.data_ref().map_or(&[][..], AsRef::as_ref)),
                None => return Ok(None),
            }
        }
    }
}

pub const GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways";
pub const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes";

pub fn gateway(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": name},
        "spec": {"gatewayClassName": "igw", "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]},
    })
}

pub fn route(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": "web"}], "hostnames": ["shop.example"],
            "rules": [{"backendRefs": [{"name": "shop", "port": 8080}]}],
        },
    })
}
