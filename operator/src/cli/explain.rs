//! `igw explain`: which rule a request meets, where it goes, and why the others lost.
//!
//! Connections of TCPRoutes and TLSRoutes and datagrams of UDPRoutes are asked about by `TCP`, `TLS` or `UDP` in place of
//! a method.
//!
//! The decision is made by the tables that the proxy uses; this file only finds the request's port and words.

mod request;
mod stream;
mod verdict;

use std::net::IpAddr;

use clap::ValueEnum;
use igw_crds::snapshot::{Protocol, Snapshot};
use igw_route::PortRoutes;

use self::request::Request;
use self::verdict::Verdict;
use super::target::TargetArgs;
use super::{Exit, Failure};
use crate::doors::http::fetch;
use crate::output::text::{complain, emit};

/// Arguments of `igw explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// Method of the request, or TCP or TLS for a connection, UDP for a datagram
    #[arg(value_name = "METHOD")]
    method: String,
    /// URL of the request, or [name]:port of the connection
    #[arg(value_name = "URL")]
    url: String,
    /// A header field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The gateway that is asked [default: the one that has the port]
    #[arg(long, value_name = "NS/NAME")]
    gateway: Option<String>,
    /// Address of the client
    #[arg(long, value_name = "ADDR")]
    client: Option<IpAddr>,
    #[command(flatten)]
    target: TargetArgs,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Words.
    Text,
    /// JSON.
    Json,
}

/// A gateway's listeners on one port.
struct Place {
    gateway: usize,
    port: u16,
    listeners: Vec<usize>,
}

/// Explains. The exit code says whether a rule matched.
///
/// # Errors
/// Usage, a target that does not answer, standard output's.
pub fn run(args: &ExplainArgs) -> Result<Exit, Failure> {
    if let "TCP" | "TLS" | "UDP" = args.method.as_str() {
        let snapshot = args.target.snapshot()?;
        let verdict = stream::explain(&snapshot, &args.method, &args.url, args.gateway.as_deref())?;
        match args.output {
            Form::Text => emit(&verdict.in_words())?,
            Form::Json => emit(&format!("{:#}\n", verdict.to_json()))?,
        }
        return Ok(if verdict.is_match() { Exit::Done } else { Exit::Failed });
    }
    let request = Request::parse(&args.method, &args.url, &args.headers, args.client)?;
    let snapshot = args.target.snapshot()?;
    let verdict = match place(&snapshot, &request, args.gateway.as_deref())? {
        Ok(place) => {
            let routes = PortRoutes::build(&snapshot, place.gateway, &place.listeners);
            let listeners =
                snapshot.gateways.get(place.gateway).map_or(&[][..], |gateway| &gateway.listeners);
            let listener = routes.listener_of(&request.host).and_then(|index| listeners.get(index));
            let protocol = listener.map(|listener| listener.protocol);
            if let Some(protocol @ (Protocol::Tcp | Protocol::Tls)) = protocol {
                let word = if protocol == Protocol::Tcp { "TCP" } else { "TLS" };
                let reason = format!(
                    "the listener takes connections as they come; ask `igw explain {word} {}:{}`",
                    String::from_utf8_lossy(&request.host),
                    place.port
                );
                let verdict = Verdict::nowhere(&request, reason);
                emit(&match args.output {
                    Form::Text => verdict.in_words(),
                    Form::Json => format!("{:#}\n", verdict.to_json()),
                })?;
                return Ok(Exit::Failed);
            }
            let mut verdict = Verdict::new(&snapshot, place.gateway, place.port, &routes, &request);
            if let Some(socket) = args.target.proxy_socket()
                && let Ok(bytes) = fetch(&socket, "/api/v1/backends")
            {
                verdict.add_endpoints(&bytes);
            }
            verdict
        }
        Err(reason) => Verdict::nowhere(&request, reason),
    };
    match args.output {
        Form::Text => emit(&verdict.in_words())?,
        Form::Json => emit(&format!("{:#}\n", verdict.to_json()))?,
    }
    Ok(if verdict.is_match() { Exit::Done } else { Exit::Failed })
}

/// The gateway and port that take the request, or why there is none.
fn place(
    snapshot: &Snapshot,
    request: &Request,
    gateway: Option<&str>,
) -> Result<Result<Place, String>, Failure> {
    let name = |index: &usize| {
        snapshot
            .gateways
            .get(*index)
            .map_or_else(String::new, |gateway| format!("{}/{}", gateway.namespace, gateway.name))
    };
    let mut candidates: Vec<usize> = (0..snapshot.gateways.len()).collect();
    if let Some(wanted) = gateway {
        candidates.retain(|index| name(index) == wanted);
        if candidates.is_empty() {
            let known: Vec<_> = (0..snapshot.gateways.len()).map(|index| name(&index)).collect();
            let message =
                format!("there is no gateway {wanted} that serves; there are: {}", known.join(", "));
            return Err(Failure::new(Exit::Usage, message));
        }
    }
    let ports = |index: usize| {
        let listeners = snapshot.gateways.get(index).map_or(&[][..], |gateway| &gateway.listeners);
        let asked = listeners.iter().filter(|listener| listener.protocol != Protocol::Udp);
        asked.map(|listener| listener.port)
    };
    let mut all_ports: Vec<u16> = candidates.iter().flat_map(|index| ports(*index)).collect();
    all_ports.sort_unstable();
    all_ports.dedup();
    let port = match (request.port, all_ports.as_slice()) {
        (Some(port), _) => port,
        (None, [only]) => {
            complain(&format!("igw: the URL names no port; taking {only}, the only one that is served\n"));
            *only
        }
        (None, _) => 80,
    };
    candidates.retain(|index| ports(*index).any(|served| served == port));
    // Several gateways with one port have different addresses: the one with the address of the URL goes first.
    candidates.sort_by_key(|index| {
        let addresses = snapshot.gateways.get(*index).map_or(&[][..], |gateway| &gateway.addresses);
        !request.address.is_some_and(|address| addresses.contains(&address))
    });
    let Some(&gateway) = candidates.first() else {
        let served: Vec<_> = all_ports.iter().map(u16::to_string).collect();
        let served = if served.is_empty() { "none".to_owned() } else { served.join(", ") };
        return Ok(Err(format!("no listener has port {port}; ports that are served: {served}")));
    };
    if candidates.len() > 1 {
        let others: Vec<_> = candidates.iter().map(name).collect();
        complain(&format!(
            "igw: several gateways have port {port} ({}); taking the first, see --gateway\n",
            others.join(", ")
        ));
    }
    let listeners = snapshot.gateways.get(gateway).map_or(&[][..], |gateway| &gateway.listeners);
    let on_port = listeners
        .iter()
        .enumerate()
        .filter(|(_, listener)| listener.port == port && listener.protocol != Protocol::Udp);
    Ok(Ok(Place { gateway, port, listeners: on_port.map(|(index, _)| index).collect() }))
}
