//! What a container is told: settings by name, and the files that they name.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use rustls::ServerConfig;
use serde::Serialize;

use super::session;

/// What a container is told.
#[derive(Clone, Debug)]
pub struct Container {
    /// What it does.
    pub mode: Mode,
    /// Settings; one that is empty counts as absent.
    pub env: BTreeMap<String, String>,
    /// Contents of the files that settings name, by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Answers every question with the asker's address.
    Dns,
    /// Answers calls of gRPC.
    Grpc,
    /// Answers requests of HTTP, in cleartext and over TLS.
    Http,
    /// Answers lines.
    Tcp,
    /// Answers datagrams.
    Udp,
}

/// Who answers, as every reply says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Identity {
    pub(crate) namespace: String,
    pub(crate) ingress: String,
    pub(crate) service: String,
    pub(crate) pod: String,
}

// === impl Container ===

impl Container {
    /// A container of the suite's image, whose settings choose the mode.
    #[must_use]
    pub fn echo(env: BTreeMap<String, String>, files: BTreeMap<String, Vec<u8>>) -> Self {
        let is_set = |name: &str| env.get(name).is_some_and(|value| !value.is_empty());
        let mode = match () {
            () if is_set("GRPC_ECHO_SERVER") => Mode::Grpc,
            () if is_set("TCP_ECHO_SERVER") => Mode::Tcp,
            () if is_set("UDP_ECHO_SERVER") => Mode::Udp,
            () => Mode::Http,
        };
        Self { mode, env, files }
    }

    /// A setting, if it is not empty.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The port that a setting names, or the image's. What is no port counts as absent.
    pub(crate) fn port(&self, name: &str, default: u16) -> u16 {
        self.setting(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    pub(crate) fn identity(&self) -> Identity {
        let of = |name: &str| self.setting(name).unwrap_or_default().to_owned();
        Identity {
            namespace: of("NAMESPACE"),
            ingress: of("INGRESS_NAME"),
            service: of("SERVICE_NAME"),
            pod: of("POD_NAME"),
        }
    }

    /// TLS with the certificate of `TLS_SERVER_CERT` and the key of the setting `key`; nothing where one is absent.
    /// It offers `protocols`. Clients that show a certificate must have it from an authority of the setting `authorities`.
    pub(crate) fn tls(
        &self,
        key: &str,
        protocols: &[&str],
        authorities: Option<&str>,
    ) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        let (Some(certificate), Some(key)) = (self.file("TLS_SERVER_CERT")?, self.file(key)?) else {
            return Ok(None);
        };
        let authorities = authorities.map(|name| self.file(name)).transpose()?.flatten();
        session::server_config(certificate, key, protocols, authorities).map(Some)
    }

    fn file(&self, name: &str) -> anyhow::Result<Option<&[u8]>> {
        let Some(path) = self.setting(name) else { return Ok(None) };
        let found = self.files.get(path).map(Vec::as_slice);
        found.ok_or_else(|| anyhow!("there is no file {path}")).context(name.to_owned()).map(Some)
    }
}
