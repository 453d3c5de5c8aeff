//! Which cluster a verb talks to, and as whom.

use std::path::{Path, PathBuf};

use igw_opensvc::{
    Budget, Client, ClientCertificate, Context, Credentials, DEFAULT_SOCKET, Settings, Target, Trust,
};
use secrecy::SecretString;

use super::{Exit, Failure};
use crate::dialect::cluster::Daemon;

/// The arguments that choose a cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConnectionArgs {
    /// Socket of the agent on this node
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    pub socket: Option<PathBuf>,
    /// Address of a cluster, https://host:1215
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// Certificate of the cluster's authority, PEM
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// Name that the cluster's certificate is for, where it is not the host of the URL
    #[arg(long, value_name = "NAME", requires = "server")]
    server_name: Option<String>,
    /// File with an access token; read again when it changes
    #[arg(long, value_name = "FILE", requires = "server", conflicts_with_all = ["cert", "user"])]
    token_file: Option<PathBuf>,
    /// Client certificate, PEM
    #[arg(long, value_name = "FILE", requires_all = ["server", "key"])]
    cert: Option<PathBuf>,
    /// Key of the client certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// User; the password is read from IGW_PASSWORD
    #[arg(long, value_name = "NAME", requires = "server", conflicts_with = "cert")]
    user: Option<String>,
}

// === impl ConnectionArgs ===

impl ConnectionArgs {
    /// Whether a cluster is named, by a flag or by OSVC_CONTEXT.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.socket.is_some() || self.server.is_some() || std::env::var_os("OSVC_CONTEXT").is_some()
    }

    /// Whether the agent of this node could be asked.
    #[must_use]
    pub fn has_local_agent() -> bool {
        std::path::Path::new(DEFAULT_SOCKET).exists()
    }

    /// The client: what a flag names, else OSVC_CONTEXT, else the agent of this node. Within a runtime only.
    ///
    /// # Errors
    /// [`Exit::Usage`] for what cannot be a cluster, or files that cannot be read.
    pub fn client(&self) -> Result<Client, Failure> {
        let settings = Settings::default();
        let client = Client::connect_with(self.target()?, &settings);
        client.map_err(|error| Failure::new(Exit::Usage, error.to_string()))
    }

    /// The listener of the daemon where tokens are good: what is given, else that of `--server`, else that of this node.
    #[must_use]
    pub fn daemon(&self, url: Option<String>, ca: Option<PathBuf>, name: Option<String>) -> Daemon {
        let beside = || {
            let socket = self.socket.as_deref().unwrap_or(Path::new(DEFAULT_SOCKET));
            // <var>/lsnr/http.sock and <var>/certs/ca_certificates
            let var = socket.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
            var.join("certs/ca_certificates")
        };
        let ca = ca.or_else(|| self.ca.clone()).unwrap_or_else(beside);
        Daemon {
            url: url.or_else(|| self.server.clone()).unwrap_or_else(|| LISTENER.to_owned()),
            trust: Trust::Authority(ca),
            server_name: name.or_else(|| self.server_name.clone()),
            budget: Budget::tcp(),
        }
    }

    /// The arguments that name the same cluster and user elsewhere on this machine.
    #[must_use]
    pub fn to_arguments(&self) -> Vec<String> {
        let files = [
            ("--socket", &self.socket),
            ("--ca", &self.ca),
            ("--token-file", &self.token_file),
            ("--cert", &self.cert),
            ("--key", &self.key),
        ];
        let files = files.into_iter().filter_map(|(name, file)| {
            let file = std::path::absolute(file.as_ref()?).ok()?;
            Some((name, file.display().to_string()))
        });
        let texts =
            [("--server", &self.server), ("--server-name", &self.server_name), ("--user", &self.user)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
        texts.chain(files).flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    fn target(&self) -> Result<Target, Failure> {
        if let Some(socket) = &self.socket {
            return Ok(Target::Unix(socket.clone()));
        }
        let Some(url) = &self.server else {
            let context =
                Context::from_environment().map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
            return Ok(match context {
                Some(context) => context.target,
                None => Target::Unix(DEFAULT_SOCKET.into()),
            });
        };
        let trust = match &self.ca {
            Some(file) => Trust::Authority(file.clone()),
            None => Trust::Unset,
        };
        let credentials = match (&self.token_file, &self.cert, &self.key, &self.user) {
            (Some(file), ..) => Credentials::TokenFile(file.clone()),
            (_, Some(cert), Some(key), _) => {
                Credentials::X509(ClientCertificate { certificate: cert.clone(), key: key.clone() })
            }
            (.., Some(user)) => {
                let Ok(password) = std::env::var("IGW_PASSWORD") else {
                    return Err(Failure::new(Exit::Usage, "set IGW_PASSWORD to the password of the user"));
                };
                Credentials::Login { user: user.clone(), password: SecretString::from(password) }
            }
            _ => Credentials::Anonymous,
        };
        Ok(Target::Tcp { url: url.clone(), trust, server_name: self.server_name.clone(), credentials })
    }
}

/// The network listener of this node's daemon; its certificate names this address (contract §2.1).
const LISTENER: &str = "https://127.0.0.1:1215";
