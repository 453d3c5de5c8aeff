//! Command line of `igw-proxy`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tracing_subscriber::filter::Targets;

use crate::control::bootstrap::Bootstrap;

/// Serves what a snapshot says. Reads it from a folder, or pulls it from the control side.
#[derive(Clone, Debug, Parser)]
#[command(name = "igw-proxy", version, about)]
pub(crate) struct Arguments {
    /// Where to pull snapshots from: `unix:PATH`, or `https://HOST:PORT`, several with commas, with the credential of
    /// --bootstrap
    #[arg(long, value_name = "ADDRESS", conflicts_with = "snapshot", required_unless_present_any = ["snapshot", "bootstrap"])]
    pub(crate) sync: Option<String>,
    /// Folder with `snapshot/`, `sync/` and `keys/` as the operator stores them
    #[arg(long, value_name = "DIR", conflicts_with = "snapshot")]
    pub(crate) bootstrap: Option<PathBuf>,
    /// Folder with a `snapshot.json` of `igw render`; read again on SIGHUP
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshot: Option<PathBuf>,
    /// Gateway to serve, `namespace/name`; all of the snapshot when absent
    #[arg(long, value_name = "NS/NAME", env = "IGW_GATEWAY")]
    pub(crate) gateway: Option<String>,
    /// Folder for the last known good snapshot, endpoints and sockets
    #[arg(long, value_name = "DIR")]
    pub(crate) state: PathBuf,
    /// Worker threads; the number of processors when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) workers: Option<u16>,
    /// Address of metrics, health and the read-only API [default: what --bootstrap says, else 127.0.0.1:8404]
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<SocketAddr>,
    /// Name of this node in reports [default: the host's]
    #[arg(long, value_name = "NAME", env = "NODENAME")]
    node: Option<String>,
    /// Longest wait for requests under way when stopping, for example `30s`; the gateways' setting when absent
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) drain_timeout: Option<Duration>,
    /// Form of log lines
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: Format,
    /// Lowest level that is logged: error, warn, info or debug (and trace in debug builds), or some by module, like `info,igw_proxy=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub(crate) log_level: Targets,
    /// Run as the server of a supervisor, which is connected to standard input
    #[arg(long, hide = true)]
    pub(crate) server: bool,
    /// Another server leads: serve what is at rest, and lead when that one has retired
    #[arg(long, hide = true, requires = "server")]
    pub(crate) standby: bool,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

// === impl Arguments ===

impl Arguments {
    /// Name of this node.
    pub(crate) fn node(&self) -> String {
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.node.clone().filter(|node| !node.is_empty()).unwrap_or_else(host)
    }

    /// Address of the admin pages.
    pub(crate) fn admin(&self) -> SocketAddr {
        let of_bootstrap = || Bootstrap::new(self.bootstrap.as_ref()?).admin(&self.node());
        self.admin.or_else(of_bootstrap).unwrap_or(DEFAULT_ADMIN)
    }

    /// Number of workers.
    pub(crate) fn n_workers(&self) -> usize {
        match self.workers {
            Some(workers) => usize::from(workers),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8404);

/// Parses durations like `500ms`, `30s`, `5m`, `1h30m` (GEP-2257).
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!("`{text}` is not a duration; write numbers with h, m, s or ms, for example `30s` or `1m30s`")
    };
    let mut total_ms: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, unit) = rest.split_at(n_digits);
        let n_unit = unit.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = unit.split_at(n_unit);
        let factor = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(wrong()),
        };
        let value: u64 = digits.parse().map_err(|_| wrong())?;
        total_ms = value.checked_mul(factor).and_then(|ms| total_ms.checked_add(ms)).ok_or_else(wrong)?;
        rest = next;
    }
    Ok(Duration::from_millis(total_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_gep_2257() {
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "30", "s", "1.5s", "-1s", "1d", "99999999999999999999h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
