//! The bootstrap folder: what the operator's objects give a proxy before it has spoken to anybody.
//!
//! `snapshot/` holds the compiled snapshot, `sync/` addresses and credential of the control side. The files are
//! rewritten in place by others, so that a mixture of two writings may be read: it is refused whole.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use igw_crds::stored::unpack_snapshot;
use igw_crds::sync::{Envelope, SyncConfig};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// A bootstrap folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bootstrap {
    folder: PathBuf,
}

/// Where the control side is, and how to prove who asks.
pub(crate) struct Door {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) server_name: ServerName<'static>,
    pub(crate) tls: Arc<ClientConfig>,
}

// === impl Bootstrap ===

impl Bootstrap {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// What the folder says of sync.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub(crate) fn config(&self) -> anyhow::Result<SyncConfig> {
        let path = self.folder.join("sync/config.json");
        let bytes = std::fs::read(&path).with_context(|| format!("{} not read", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} not understood", path.display()))
    }

    /// The snapshot in the folder, whole.
    ///
    /// # Errors
    /// Says what is missing or does not fit.
    pub(crate) fn envelope(&self) -> anyhow::Result<Envelope> {
        let find = |name: &str| std::fs::read(self.folder.join(name)).ok();
        let envelope =
            unpack_snapshot(find).with_context(|| format!("{}/snapshot", self.folder.display()))?;
        envelope.open()?;
        Ok(envelope)
    }

    /// Addresses and credential; read anew each time, because they may be replaced.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub(crate) fn door(&self) -> anyhow::Result<Door> {
        let config = self.config()?;
        let read = |name: &str| {
            let path = self.folder.join("sync").join(name);
            std::fs::read(&path).with_context(|| format!("{} not read", path.display()))
        };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&read("ca.pem")?).context("sync/ca.pem")?)?;
        let chain = vec![CertificateDer::from_pem_slice(&read("cert.pem")?).context("sync/cert.pem")?];
        let key = PrivateKeyDer::from_pem_slice(&read("key.pem")?).context("sync/key.pem")?;
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .context("sync/cert.pem and sync/key.pem")?;
        let server_name =
            ServerName::try_from(config.server_name).context("server_name of sync/config.json")?;
        Ok(Door { addresses: config.addresses, server_name, tls: Arc::new(tls) })
    }

    /// Where the admin address of a node is.
    pub(crate) fn admin(&self, node: &str) -> Option<SocketAddr> {
        let config = self.config().ok()?;
        let admin = config.admin?;
        let own: Option<&IpAddr> = config.node_addresses.get(node).and_then(|addresses| addresses.first());
        match own {
            Some(own) if admin.ip().is_unspecified() => Some(SocketAddr::new(*own, admin.port())),
            _ => Some(admin),
        }
    }
}
