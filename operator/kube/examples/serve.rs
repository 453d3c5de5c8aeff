//! Serves the kinds of igw from memory, to try clients on: `cargo run -p igw-kube --example serve -- 127.0.0.1:6480`,
//! then `kubectl --server http://127.0.0.1:6480 get gateways`.

use std::sync::Arc;

use anyhow::Context as _;
use igw_kube::{Accept, Door, Everybody, Registry, Server, ServerSettings, Settings, Store, serve};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).context("usage: serve ADDRESS:PORT")?;
    let listener = TcpListener::bind(&address).await.with_context(|| format!("{address} cannot be bound"))?;
    let store = Store::new(Arc::new(Registry::builtin()), Settings::default(), Arc::new(Accept));
    let server = Server::new(Arc::new(store), Arc::new(Everybody), ServerSettings::default());
    serve(Door::Tcp(listener), Arc::new(server)).await;
    Ok(())
}
