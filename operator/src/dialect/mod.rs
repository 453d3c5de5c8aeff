//! The objects of a running engine in the REST dialect of Kubernetes: kubectl, GitOps tools and clients of the Gateway
//! API write files through it, and see what files hold.
//!
//! ```text
//! client --(REST)--> igw-kube: store --(owner)--> file --> reconciler
//!                                 ^                            |
//!                                 +--- mirror: objects, statuses, a Service for each Gateway
//! ```

pub mod cluster;
mod document;
mod mirror;
mod owner;
mod services;
mod surroundings;
mod writes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use igw_kube::{Door, Everybody, Registry, Server, ServerSettings, Settings, Store, serve};
use serde_json::json;
use tokio::net::{TcpListener, UnixListener};

use crate::embedded::Engine;

pub use mirror::Mirror;
pub use owner::Owner;
pub use writes::Writes;

/// Where the dialect is spoken. Whoever reaches it may do everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A port of the loopback.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A dialect that is about to be spoken.
pub struct Dialect {
    door: Door,
    place: Place,
}

// === impl Place ===

impl Place {
    /// The file that tells kubectl where the server is; nothing where kubectl cannot go.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<String> {
        let Self::Tcp(address) = self else { return None };
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "igw", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "igw", "user": {}}],
            "contexts": [{"name": "igw", "context": {"cluster": "igw", "user": "igw"}}],
            "current-context": "igw",
        });
        Some(igw_crds::yaml::value_to_yaml(&config))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
            Ok(address) => Err(format!(
                "{} is reached from elsewhere, and whoever reaches it may do everything; use 127.0.0.1, ::1 or unix:PATH",
                address.ip()
            )),
            Err(_) => Err("write 127.0.0.1:PORT, [::1]:PORT or unix:PATH".into()),
        }
    }
}

// === impl Dialect ===

impl Dialect {
    /// Opens the door.
    ///
    /// # Errors
    /// The system's.
    pub async fn open(place: Place) -> anyhow::Result<Self> {
        let (door, place) = match place {
            Place::Tcp(address) => {
                let listener =
                    TcpListener::bind(address).await.with_context(|| format!("--kube {address}"))?;
                let address = listener.local_addr()?;
                (Door::Tcp(listener), Place::Tcp(address))
            }
            Place::Unix(path) => {
                // One that an earlier run left behind; a file that is none is not ours to remove.
                if std::os::unix::net::UnixStream::connect(&path)
                    .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
                {
                    std::fs::remove_file(&path).with_context(|| format!("--kube unix:{}", path.display()))?;
                }
                let listener =
                    UnixListener::bind(&path).with_context(|| format!("--kube unix:{}", path.display()))?;
                (Door::Unix(listener), Place::Unix(path))
            }
        };
        Ok(Self { door, place })
    }

    /// Where it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Speaks it as long as the engine runs.
    pub async fn run(self, engine: Engine) {
        let view = engine.view();
        let owner = Owner::new(engine);
        let writes = owner.writes();
        let store = Store::new(Arc::new(Registry::builtin()), Settings::default(), Arc::new(owner));
        let store = Arc::new(store);
        let mut mirror = Mirror::new(Arc::clone(&store), view, writes);
        // Nobody is told of less than there is.
        if !mirror.begin().await {
            return;
        }
        let server = Server::new(store, Arc::new(Everybody), ServerSettings::default());
        tokio::join!(mirror.run(), serve(self.door, Arc::new(server)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_from_elsewhere_comes_in() {
        assert!("0.0.0.0:6443".parse::<Place>().unwrap_err().contains("127.0.0.1"));
        assert!("example.org:6443".parse::<Place>().is_err());
        assert_eq!("[::1]:6443".parse::<Place>().unwrap(), Place::Tcp("[::1]:6443".parse().unwrap()));
        let unix: Place = "unix:/run/igw.sock".parse().unwrap();
        assert_eq!((&unix, unix.kubeconfig()), (&Place::Unix("/run/igw.sock".into()), None));
        let config = Place::Tcp("127.0.0.1:6443".parse().unwrap()).kubeconfig().unwrap();
        assert!(config.contains("http://127.0.0.1:6443"), "{config}");
    }
}
