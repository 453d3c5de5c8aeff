//! `igw up`: run a gateway on this machine from a directory of objects.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use igw_crds::objects::names::TimeSpan;

use super::connection::ConnectionArgs;
use super::log::LogArgs;
use super::{Exit, Failure};
use crate::cluster::mirror::Mirror;
use crate::dialect::Place;
use crate::output::text::complain;
use crate::standalone::app::{self, Options};
use crate::standalone::reconciler::Subject;
use crate::standalone::state::default_folder;

/// Arguments of `igw up`.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// Files and folders with objects; folders are read to the end and watched
    #[arg(value_name = "PATH", default_value = ".", conflicts_with = "from_cluster")]
    paths: Vec<PathBuf>,
    /// Serve what a namespace of a cluster holds, and follow it; nothing is written there
    #[arg(long)]
    from_cluster: bool,
    /// Namespace, with --from-cluster
    #[arg(short, long, value_name = "NS", env = "OSVC_NAMESPACE", default_value = "default")]
    namespace: String,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// State folder [default: $XDG_STATE_HOME/igw, else ~/.local/state/igw]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Cluster name that completes service names
    #[arg(long, value_name = "NAME", env = "CLUSTERNAME", default_value = "default", value_parser = parse_cluster)]
    cluster: String,
    /// Server of the default resolver, in place of /etc/resolv.conf; may be repeated
    #[arg(long = "nameserver", value_name = "ADDR[:PORT]", value_parser = parse_nameserver)]
    nameservers: Vec<SocketAddr>,
    /// Threads that serve traffic [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Own admin address: metrics, health, status page
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8405")]
    admin: SocketAddr,
    /// Admin address of the proxy
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8404")]
    proxy_admin: SocketAddr,
    /// Speak the dialect of Kubernetes: 127.0.0.1:PORT, [::1]:PORT or unix:PATH; whoever reaches it may do everything
    #[arg(long, value_name = "PLACE", conflicts_with = "from_cluster")]
    kube: Option<Place>,
    /// File that appears when every listener is bound and every object has a status
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Time for requests under way at the end [default: what the gateways say, 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    drain_timeout: Option<Duration>,
    #[command(flatten)]
    log: LogArgs,
}

/// Runs until a signal ends it.
///
/// # Errors
/// What keeps the gateway from starting.
pub fn run(args: UpArgs) -> Result<Exit, Failure> {
    args.log.start();
    let Some(state) = args.state.or_else(default_folder) else {
        return Err(Failure::new(
            Exit::Usage,
            "neither HOME nor XDG_STATE_HOME is set; name a state folder with --state",
        ));
    };
    let mut subject =
        Subject { paths: args.paths, cluster: args.cluster, nameservers: args.nameservers, services: None };
    if args.from_cluster {
        follow(&args.connection, &args.namespace, &state, &mut subject)?;
    }
    app::run(Options {
        subject,
        state,
        workers: args.workers,
        admin: args.admin,
        proxy_admin: args.proxy_admin,
        ready_file: args.ready_file,
        drain_timeout: args.drain_timeout,
        dialect: args.kube,
        proxy_args: args.log.as_flags(),
    })?;
    Ok(Exit::Done)
}

/// Copies a namespace of a cluster into a folder of the state, once at once and then in a thread of its own.
fn follow(
    connection: &ConnectionArgs,
    namespace: &str,
    state: &Path,
    subject: &mut Subject,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let folder = state.join("from-cluster");
    let mirror = runtime.block_on(async {
        let mirror = Mirror::new(connection.client()?, namespace, folder.clone());
        let around = mirror.surroundings().await?;
        let n_objects = mirror.refresh().await?;
        complain(&format!(
            "igw: {n_objects} objects of namespace {namespace} of cluster {}\n",
            around.cluster
        ));
        subject.cluster = around.cluster;
        if subject.nameservers.is_empty() {
            let nameservers = around.nameservers.into_iter().map(|address| SocketAddr::new(address, 53));
            subject.nameservers = nameservers.collect();
        }
        Ok::<_, Failure>(mirror)
    })?;
    subject.paths = vec![folder];
    std::thread::Builder::new().name("mirror".into()).spawn(move || runtime.block_on(mirror.follow()))?;
    Ok(())
}

/// A cluster name: labels of a domain name.
pub(super) fn parse_cluster(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let name = text.to_ascii_lowercase();
    if name.len() <= 253 && name.split('.').all(is_label) {
        Ok(name)
    } else {
        Err("a cluster name is made of letters, digits, dashes and dots, as in a domain name".into())
    }
}

/// An address with port 53 where none is given.
pub(super) fn parse_nameserver(text: &str) -> Result<SocketAddr, String> {
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    text.parse::<SocketAddr>()
        .or_else(|_| address.map(|address| SocketAddr::new(address, 53)))
        .map_err(|_| "write an address, or address:port ([address]:port for IPv6)".into())
}

/// A duration as the Gateway API writes it.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    TimeSpan::parse(text).map(|span| Duration::from_millis(span.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_have_a_port() {
        for (text, want) in [
            ("127.0.0.1", Some("127.0.0.1:53")),
            ("127.0.0.1:5300", Some("127.0.0.1:5300")),
            ("::1", Some("[::1]:53")),
            ("[::1]:54", Some("[::1]:54")),
            ("[::1]", Some("[::1]:53")),
            ("dns.test", None),
        ] {
            assert_eq!(parse_nameserver(text).ok(), want.map(|want| want.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn cluster_names_are_domain_names() {
        assert_eq!(parse_cluster("Demo.example").unwrap(), "demo.example");
        for text in ["", "a..b", "-a", "a b"] {
            assert!(parse_cluster(text).is_err(), "{text}");
        }
    }
}
