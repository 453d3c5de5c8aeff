//! Back ends as the suite's manifests want them: what its image `echo-basic` does, as tasks of this process.
//!
//! Every pod has a loopback address of its own and the ports of the image on it. All ports are bound when [`Pod::start`]
//! returns, so that a pod that was started is ready. Dropping a pod ends all it does, open connections included.
//!
//! Two things differ from the image. Names of response headers go out in lower case, because hyper writes them so; the
//! suite compares them without case. Reflection of gRPC is missing: the suite knows its messages.

mod answer;
mod container;
mod dns;
mod duration;
mod grpc;
mod http;
mod log;
mod protobuf;
mod retries;
mod session;
mod tcp;
mod udp;
mod websocket;

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

pub use container::{Container, Mode};
pub use log::Log;

use http::{Front, HttpEcho};

/// A pod that runs.
#[derive(Debug)]
pub struct Pod {
    // Dropping a set ends its tasks.
    _tasks: JoinSet<()>,
}

// === impl Pod ===

impl Pod {
    /// Binds the ports of a container on `address` and serves them.
    ///
    /// # Errors
    /// Says which port cannot be bound or which file is no certificate.
    pub async fn start(address: IpAddr, container: &Container, log: &Log) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        match container.mode {
            Mode::Http => http_ports(address, container, log, &mut tasks).await?,
            Mode::Grpc => {
                let echo = Arc::new(grpc::GrpcEcho::new(container.identity(), log.clone()));
                let listener = tcp(address, container.port("HTTP_PORT", 3000)).await?;
                tasks.spawn(grpc::run(listener, None, Arc::clone(&echo)));
                if let Some(config) = container.tls("TLS_SERVER_PRIV_KEY", &["h2"], None)? {
                    let listener = tcp(address, container.port("HTTPS_PORT", 8443)).await?;
                    tasks.spawn(grpc::run(listener, Some(config), echo));
                }
            }
            Mode::Tcp => {
                let (port, tls_port) = (container.port("TCP_PORT", 3000), container.port("TLS_PORT", 8443));
                let echo = Arc::new(tcp::TcpEcho::new(container.identity(), port, tls_port));
                tasks.spawn(tcp::run(tcp(address, port).await?, None, Arc::clone(&echo)));
                if let Some(config) = container.tls("TLS_SERVER_PRIV_KEY", &[], None)? {
                    tasks.spawn(tcp::run(tcp(address, tls_port).await?, Some(config), echo));
                }
            }
            Mode::Udp => {
                let socket = udp(address, container.port("UDP_PORT", 8080)).await?;
                tasks.spawn(udp::run(socket, container.identity(), log.clone()));
            }
            Mode::Dns => {
                let socket = udp(address, container.port("DNS_PORT", 53)).await?;
                tasks.spawn(dns::run(socket));
            }
        }
        Ok(Self { _tasks: tasks })
    }
}

async fn http_ports(
    address: IpAddr,
    container: &Container,
    log: &Log,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let port = container.port("HTTP_PORT", 3000);
    let echo = Arc::new(HttpEcho::new(container.identity(), port, log.clone()));
    let listener = tcp(address, port).await?;
    tasks.spawn(http::run(listener, Front::Plain, Arc::clone(&echo)));
    let listener = tcp(address, container.port("H2C_PORT", 3001)).await?;
    tasks.spawn(http::run(listener, Front::H2c, Arc::clone(&echo)));
    if let Some(config) =
        container.tls("TLS_SERVER_PRIVKEY", &["h2", "http/1.1"], Some("TLS_CLIENT_CACERTS"))?
    {
        let listener = tcp(address, container.port("HTTPS_PORT", 8443)).await?;
        tasks.spawn(http::run(listener, Front::Tls(config), echo));
    }
    Ok(())
}

async fn tcp(address: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((address, port)).await.with_context(|| format!("{address}:{port}/tcp"))
}

async fn udp(address: IpAddr, port: u16) -> anyhow::Result<UdpSocket> {
    UdpSocket::bind((address, port)).await.with_context(|| format!("{address}:{port}/udp"))
}
