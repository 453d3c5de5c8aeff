//! A client for the dialect of Kubernetes: JSON over one connection that is kept.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A server. Requests go one after the other.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// What moves the bytes of the connection.
    connection: JoinSet<()>,
}

// === impl Server ===

impl Server {
    /// The server at an address, in cleartext. Nothing is sent yet.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, sender: None, connection: JoinSet::new() }
    }

    /// Every object of a collection.
    pub(crate) async fn list<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<Vec<T>> {
        let (status, mut list) = self.ask(Method::GET, path, None).await?;
        if status != StatusCode::OK {
            bail!("GET {path}: {status}: {}", list["message"]);
        }
        serde_json::from_value(list["items"].take()).with_context(|| path.to_owned())
    }

    /// An object, if it is there.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> anyhow::Result<Option<T>> {
        let (status, object) = self.ask(Method::GET, path, None).await?;
        match status {
            StatusCode::OK => serde_json::from_value(object).with_context(|| path.to_owned()).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => bail!("GET {path}: {status}: {}", object["message"]),
        }
    }

    /// Creates an object, or replaces one of the same name. False if there is no place for it any more.
    pub(crate) async fn create(&mut self, path: &str, name: &str, object: &Value) -> anyhow::Result<bool> {
        for _ in 0..2 {
            let (status, answer) = self.ask(Method::POST, path, Some(object)).await?;
            match status {
                StatusCode::OK | StatusCode::CREATED => return Ok(true),
                StatusCode::NOT_FOUND => return Ok(false),
                StatusCode::CONFLICT => self.delete(&format!("{path}/{name}")).await?,
                _ => bail!("POST {path}: {status}: {}", answer["message"]),
            }
        }
        bail!("POST {path}: {name} is there whatever is done")
    }

    /// Changes some fields of an object. An object that is gone needs no change.
    pub(crate) async fn patch(&mut self, path: &str, fields: &Value) -> anyhow::Result<()> {
        let (status, answer) = self.ask(Method::PATCH, path, Some(fields)).await?;
        match status {
            StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
            _ => bail!("PATCH {path}: {status}: {}", answer["message"]),
        }
    }

    /// Deletes an object, if it is there.
    pub(crate) async fn delete(&mut self, path: &str) -> anyhow::Result<()> {
        let (status, answer) = self.ask(Method::DELETE, path, None).await?;
        match status {
            StatusCode::OK | StatusCode::ACCEPTED | StatusCode::NOT_FOUND => Ok(()),
            _ => bail!("DELETE {path}: {status}: {}", answer["message"]),
        }
    }

    /// What is no object, like a log.
    #[cfg(test)]
    pub(crate) async fn text(&mut self, path: &str) -> anyhow::Result<String> {
        let (status, text) = self.ask(Method::GET, path, None).await?;
        text.as_str().filter(|_| status == StatusCode::OK).map(str::to_owned).with_context(|| path.to_owned())
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let content =
            if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("accept", "application/json")
            .header("content-type", content)
            .body(Full::from(body.map(Value::to_string).unwrap_or_default()))?;
        let answer = match self.sender().await?.send_request(request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.sender = None;
                return Err(error).with_context(|| self.address.to_string());
            }
        };
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        // What is no JSON is a text.
        let text = || String::from_utf8_lossy(&bytes).into_owned().into();
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_else(|_| text())))
    }

    /// The connection, made anew where there is none.
    async fn sender(&mut self) -> anyhow::Result<&mut SendRequest<Full<Bytes>>> {
        let is_open = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            let stream = TcpStream::connect(self.address).await.with_context(|| self.address.to_string())?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            self.connection.shutdown().await;
            self.connection.spawn(async move {
                // Its end shows in the sender.
                let _ = connection.await;
            });
            self.sender = Some(sender);
        }
        self.sender.as_mut().context("no connection")
    }
}
