//! The door with TLS knows who holds a verified certificate.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use igw_kube::{
    Accept, Access, Act, Caller, Door, Failure, Reason, Registry, Server, ServerSettings, Settings, Store,
    User, serve,
};
use rcgen::{CertificateParams, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Takes holders of one certificate.
struct Holders(Vec<u8>);

impl Access for Holders {
    fn user<'a>(&'a self, caller: &'a Caller, _: Option<&'a str>) -> BoxFuture<'a, Result<User, Failure>> {
        Box::pin(async move {
            match caller {
                Caller::Certified(certificate) if **certificate == *self.0 => Ok(User::new("holder")),
                _ => Err(Failure::new(Reason::Unauthorized, "Unauthorized")),
            }
        })
    }

    fn may<'a>(&'a self, _: &'a User, _: &'a Act<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async { true })
    }
}

fn certificate(name: &str) -> anyhow::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![name.to_owned()])?.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok((certificate.der().clone(), key))
}

fn trusting(certificate: &CertificateDer<'static>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    Ok(roots)
}

async fn ask(config: ClientConfig, address: std::net::SocketAddr) -> anyhow::Result<u16> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("kube.example")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request =
        hyper::Request::builder().uri("/apis").header("host", "kube.example").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    Ok(status)
}

#[tokio::test]
async fn holders_of_certificates_are_known() -> anyhow::Result<()> {
    let (own, own_key) = certificate("kube.example")?;
    let (theirs, their_key) = certificate("client.example")?;
    let verifier =
        WebPkiClientVerifier::builder(Arc::new(trusting(&theirs)?)).allow_unauthenticated().build()?;
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.clone()], own_key)?;
    let store = Store::new(Arc::new(Registry::builtin()), Settings::default(), Arc::new(Accept));
    let access = Arc::new(Holders(theirs.as_ref().to_vec()));
    let server = Arc::new(Server::new(Arc::new(store), access, ServerSettings::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(serve(Door::Tls(listener, Arc::new(config)), server));

    let trusted = ClientConfig::builder().with_root_certificates(trusting(&own)?);
    let holder = trusted.clone().with_client_auth_cert(vec![theirs], their_key)?;
    assert_eq!(ask(holder, address).await?, 200);
    assert_eq!(ask(trusted.with_no_client_auth(), address).await?, 401);
    task.abort();
    Ok(())
}
