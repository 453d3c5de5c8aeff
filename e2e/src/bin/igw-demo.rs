//! Back ends and a name server to try igw with: `igw-demo FILE` writes a file of objects that uses them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context as _;
use igw_e2e::dns::NameServer;
use igw_e2e::origin::Origin;

fn main() -> anyhow::Result<()> {
    let file = std::env::args().nth(1).context("usage: igw-demo FILE")?;
    let names = NameServer::start(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)?;
    // One port on three loopback addresses, as three machines would have.
    let addresses: Vec<IpAddr> = (1..=3).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 8, last))).collect();
    let first = Origin::start("one", SocketAddr::new(addresses[0], 0))?;
    let port = first.address.port();
    let second = Origin::start("two", SocketAddr::new(addresses[1], port))?;
    let third = Origin::start("three", SocketAddr::new(addresses[2], port))?;
    names.set("web.default.svc.demo", &addresses);
    let listen = free_port(8080);
    std::fs::write(&file, objects(listen, port, names.address))
        .with_context(|| format!("{file} not written"))?;
    println!("{listen}");
    // Serves until its standard input ends, which is when the one who started it is gone.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    drop((first, second, third));
    Ok(())
}

fn objects(listen: u16, port: u16, names: SocketAddr) -> String {
    format!(
        "# A gateway with one route to a service that DNS finds. Edit and save: the change is live at once.
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: demo}}
spec:
  gatewayClassName: igw
  addresses: [{{type: IPAddress, value: 127.0.0.1}}]
  listeners:
    - {{name: web, port: {listen}, protocol: HTTP}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: demo}}
spec:
  parentRefs: [{{name: demo}}]
  rules:
    - filters:
        - type: ResponseHeaderModifier
          responseHeaderModifier:
            set: [{{name: x-greeting, value: hello}}]
      backendRefs: [{{name: web, port: {port}}}]
---
apiVersion: igw.opensvc.com/v1alpha1
kind: BackendPolicy
metadata: {{name: web}}
spec:
  targetRefs: [{{group: \"\", kind: Service, name: web}}]
  healthCheck:
    active: {{http: {{path: /health}}, interval: 1s}}
  discovery: {{resolverRef: {{name: demo}}, slots: 10}}
---
apiVersion: igw.opensvc.com/v1alpha1
kind: Resolver
metadata: {{name: demo}}
spec:
  nameservers: [{{address: {}, port: {}}}]
",
        names.ip(),
        names.port()
    )
}

/// The wanted port, or a free one.
fn free_port(wanted: u16) -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, wanted))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    probe.and_then(|listener| listener.local_addr()).map_or(wanted, |address| address.port())
}
