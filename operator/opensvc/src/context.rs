//! The contexts of OpenSVC's own remote clients (§2.6): `~/.config/opensvc/contexts`, `contexts.json`,
//! `contexts.yaml`, chosen by `OSVC_CONTEXT`.
//!
//! What the agent's own client leaves out is honoured here: `certificate_authority` is believed and nothing else, and
//! `server_name` of a cluster, a key of ours, is the name to expect in the daemon's certificate. Tokens are read from
//! `token-<context>.json` as that client keeps them; they are never written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::target::{Credentials, Target};
use crate::tls::{ClientCertificate, Trust};

/// A context: where to, as whom, and with which namespace by default.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// Where to, as whom.
    pub target: Target,
    /// The namespace to work in unless told otherwise.
    pub namespace: Option<String>,
}

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// There is no home folder to look in.
    #[error("HOME is not set, so there are no contexts")]
    NoHome,
    /// A file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("cannot understand {path}: {cause}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// No file has such a context.
    #[error("no context {name:?} in {folder}; there are: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// The names there are.
        known: String,
    },
    /// A context names a cluster or user that no file has.
    #[error("context {context:?} names the {what} {name:?}, which is not defined")]
    Dangling {
        /// The context.
        context: String,
        /// `cluster` or `user`.
        what: &'static str,
        /// The name that is missing.
        name: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    contexts: BTreeMap<String, WrittenContext>,
    clusters: BTreeMap<String, WrittenCluster>,
    users: BTreeMap<String, WrittenUser>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WrittenContext {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WrittenCluster {
    server: String,
    insecure: bool,
    certificate_authority: Option<PathBuf>,
    server_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WrittenUser {
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

// === impl Context ===

impl Context {
    /// The context that `OSVC_CONTEXT` names, from the files in the home folder; `None` if it names none.
    ///
    /// # Errors
    ///
    /// As [`Context::load`]; [`ContextError::NoHome`].
    pub fn from_environment() -> Result<Option<Self>, ContextError> {
        let Some(name) = std::env::var("OSVC_CONTEXT").ok().filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let home = std::env::var_os("HOME").ok_or(ContextError::NoHome)?;
        Self::load(&Path::new(&home).join(".config/opensvc"), &name).map(Some)
    }

    /// The context of that name, from the files in a folder. Of the same name in two files the later file's counts:
    /// `contexts`, `contexts.json`, `contexts.yaml`.
    ///
    /// # Errors
    ///
    /// [`ContextError::Unknown`] and [`ContextError::Dangling`] for names, [`ContextError::Read`] and
    /// [`ContextError::Parse`] for files.
    pub fn load(folder: &Path, name: &str) -> Result<Self, ContextError> {
        let written = Written::read(folder)?;
        // The name becomes part of the name of a file.
        let found = written.contexts.get(name).filter(|_| !name.contains(['/', '\0']));
        let context = found.ok_or_else(|| ContextError::Unknown {
            name: name.chars().take(200).collect(),
            folder: folder.to_owned(),
            known: written.contexts.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })?;
        let dangling = |what, missing: &str| ContextError::Dangling {
            context: name.to_owned(),
            what,
            name: missing.to_owned(),
        };
        let cluster =
            written.clusters.get(&context.cluster).ok_or_else(|| dangling("cluster", &context.cluster))?;
        let user = match written.users.get(&context.user) {
            Some(user) => user.clone(),
            // The local socket takes no user.
            None if context.user.is_empty() => WrittenUser::default(),
            None => return Err(dangling("user", &context.user)),
        };
        let server = if cluster.server.is_empty() { &context.cluster } else { &cluster.server };
        let tokens = folder.join(format!("token-{name}.json"));
        let target = cluster.target(server, user.credentials(tokens));
        Ok(Self { name: name.to_owned(), target, namespace: context.namespace.clone() })
    }
}

// === impl Written ===

impl Written {
    fn read(folder: &Path) -> Result<Self, ContextError> {
        let mut merged = Self::default();
        for file in ["contexts", "contexts.json", "contexts.yaml"] {
            let path = folder.join(file);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => continue,
                Err(cause) => return Err(ContextError::Read { path, cause }),
            };
            if text.trim().is_empty() {
                continue;
            }
            // JSON is YAML, and the file without an ending may be either.
            let parsed: Result<Self, String> = if text.trim_start().starts_with('{') {
                serde_json::from_str(&text).map_err(|error| error.to_string())
            } else {
                serde_yaml::from_str(&text).map_err(|error| error.to_string())
            };
            let written = parsed.map_err(|cause| ContextError::Parse { path, cause })?;
            merged.contexts.extend(written.contexts);
            merged.clusters.extend(written.clusters);
            merged.users.extend(written.users);
        }
        Ok(merged)
    }
}

// === impl WrittenCluster ===

impl WrittenCluster {
    fn target(&self, server: &str, credentials: Credentials) -> Target {
        if server.starts_with('/') {
            return Target::Unix(server.into());
        }
        let trust = match &self.certificate_authority {
            Some(path) => Trust::Authority(path.clone()),
            None if self.insecure => Trust::Anybody,
            None => Trust::Unset,
        };
        Target::Tcp { url: url_of(server), trust, server_name: self.server_name.clone(), credentials }
    }
}

// === impl WrittenUser ===

impl WrittenUser {
    fn credentials(self, tokens: PathBuf) -> Credentials {
        match (self.client_certificate, self.client_key) {
            (Some(certificate), Some(key)) => Credentials::X509(ClientCertificate { certificate, key }),
            _ => Credentials::TokenFile(tokens),
        }
    }
}

/// Completes `host` and `host:port`; a URL without a port means the daemon's, not the web's.
fn url_of(server: &str) -> String {
    let rest = server.strip_prefix("https://").unwrap_or(server);
    if rest.contains("://") {
        return server.to_owned();
    }
    let rest = rest.trim_end_matches('/');
    let after_address = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
    if after_address.contains(':') {
        format!("https://{rest}")
    } else {
        format!("https://{rest}:{DEFAULT_PORT}")
    }
}

/// Where daemons listen unless configured otherwise (§2.1).
pub const DEFAULT_PORT: u16 = 1215;

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "
contexts:
  ops@blue: {cluster: blue, user: ops, namespace: edge, access_token_duration: 10m, refresh_token_duration: 24h}
  bare: {cluster: red.example.net, user: token}
  local: {cluster: here}
  lost: {cluster: nowhere, user: ops}
clusters:
  blue: {server: \"https://blue.example.net:1215\", insecure: false, certificate_authority: /pki/blue.pem, server_name: n1}
  red.example.net: {insecure: true}
  here: {server: /run/http.sock}
users:
  ops: {name: ops, client_certificate: /home/ops/ops.crt, client_key: /home/ops/ops.key}
  token: {}
";

    fn folder() -> anyhow::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("contexts.yaml"), YAML)?;
        Ok(folder)
    }

    #[test]
    fn a_context_names_target_trust_and_credentials() -> anyhow::Result<()> {
        let folder = folder()?;
        let context = Context::load(folder.path(), "ops@blue")?;
        assert_eq!(context.namespace.as_deref(), Some("edge"));
        let Target::Tcp { url, trust: Trust::Authority(authority), server_name, credentials } =
            context.target
        else {
            anyhow::bail!("not over TLS");
        };
        assert_eq!(url, "https://blue.example.net:1215");
        assert_eq!(authority, Path::new("/pki/blue.pem"));
        assert_eq!(server_name.as_deref(), Some("n1"));
        assert!(
            matches!(credentials, Credentials::X509(identity) if identity.key == Path::new("/home/ops/ops.key"))
        );
        Ok(())
    }

    #[test]
    fn names_and_ports_have_defaults_and_tokens_are_kept_per_context() -> anyhow::Result<()> {
        let folder = folder()?;
        let Target::Tcp { url, trust, credentials, .. } = Context::load(folder.path(), "bare")?.target else {
            anyhow::bail!("not over TLS");
        };
        assert_eq!(url, "https://red.example.net:1215");
        assert!(matches!(trust, Trust::Anybody));
        assert!(matches!(credentials, Credentials::TokenFile(path) if path.ends_with("token-bare.json")));
        let local = Context::load(folder.path(), "local")?;
        assert!(matches!(local.target, Target::Unix(path) if path == Path::new("/run/http.sock")));
        assert_eq!(url_of("[::1]"), "https://[::1]:1215");
        assert_eq!(url_of("[::1]:99"), "https://[::1]:99");
        assert_eq!(url_of("http://a"), "http://a");
        Ok(())
    }

    #[test]
    fn later_files_win_and_mistakes_are_named() -> anyhow::Result<()> {
        let folder = folder()?;
        std::fs::write(
            folder.path().join("contexts"),
            "{\"clusters\": {\"nowhere\": {\"server\": \"a:1\"}}}",
        )?;
        std::fs::write(
            folder.path().join("contexts.json"),
            "{\"clusters\": {\"nowhere\": {\"server\": \"b:1\"}}}",
        )?;
        let context = Context::load(folder.path(), "lost")?;
        assert!(matches!(context.target, Target::Tcp { url, .. } if url == "https://b:1"));
        let unknown = Context::load(folder.path(), "../x").map(|_| ()).expect_err("no such context");
        assert!(unknown.to_string().contains("bare, local, lost, ops@blue"), "{unknown}");
        std::fs::write(folder.path().join("contexts.json"), "{\"clusters\": 5}")?;
        assert!(matches!(Context::load(folder.path(), "bare"), Err(ContextError::Parse { .. })));
        std::fs::remove_file(folder.path().join("contexts.json"))?;
        std::fs::remove_file(folder.path().join("contexts"))?;
        assert!(matches!(
            Context::load(folder.path(), "lost"),
            Err(ContextError::Dangling { what: "cluster", .. })
        ));
        Ok(())
    }
}
