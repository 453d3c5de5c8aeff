//! The scenarios: what is sent to a proxy, and what is counted.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;

use crate::bed::{host, prefix};
use crate::load::{HOST, Job, Pace, Protocol, Security, Upload};

/// One comparison.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// What happens, for people.
    pub what: &'static str,
    pub door: Door,
    pub routes: Routes,
    pub unit: Unit,
    pub course: Course,
    /// Workers of the proxy, where the scenario is about them; all cores are then open to everybody.
    pub n_workers: Option<u32>,
    protocol: Protocol,
    security: Security,
    pace: Pace,
    upload: Upload,
    n_connections: usize,
    n_streams: usize,
    path: &'static str,
}

/// Listener of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Http,
    Https,
    Tcp,
}

/// Routes of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    One,
    /// So many, each of a host.
    Hosts(usize),
    /// So many, each of a path prefix.
    Paths(usize),
}

/// What CPU time and throughput are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Requests,
    /// 2^20 bytes of what was sent and received.
    Mebibytes,
}

/// What happens beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    Steady,
    /// All connections fall idle, and memory is counted.
    Idle,
    /// Twice a second the configuration is another.
    Reload,
}

// === impl Scenario ===

impl Scenario {
    /// The one of a name.
    ///
    /// # Errors
    /// Fails if there is none; names those that there are.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        all().into_iter().find(|scenario| scenario.name == name).with_context(|| {
            let names: Vec<&str> = all().iter().map(|scenario| scenario.name).collect();
            format!("no scenario is named {name}; there are {}", names.join(", "))
        })
    }

    /// The load, for a proxy at an address.
    pub fn job(&self, target: SocketAddr, seconds: f64) -> Job {
        let (warmup, seconds) = match self.pace {
            // It lasts until memory was counted.
            Pace::Hold => (0.0, 60.0),
            Pace::Closed | Pace::Once | Pace::Rate(_) => ((seconds / 3.0).min(1.0), seconds),
        };
        // Spread over all routes, so that what the proxy remembers of the last ones does not help.
        let some = |n: usize| (0..n.min(512)).map(move |index| index * 7919 % n);
        let targets = match self.routes {
            Routes::One => vec![(HOST.to_owned(), self.path.to_owned())],
            Routes::Hosts(n) => some(n).map(|index| (host(index), self.path.to_owned())).collect(),
            Routes::Paths(n) => {
                some(n).map(|index| (HOST.to_owned(), format!("{}/item", prefix(index)))).collect()
            }
        };
        Job {
            target,
            protocol: self.protocol,
            security: self.security,
            pace: self.pace,
            upload: self.upload,
            n_connections: self.n_connections,
            n_streams: self.n_streams,
            targets,
            warmup,
            seconds,
        }
    }

    /// Whether sessions are to be resumed.
    pub fn is_resumed(&self) -> bool {
        self.security == Security::Resumed
    }

    fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            door: Door::Http,
            routes: Routes::One,
            unit: Unit::Requests,
            course: Course::Steady,
            n_workers: None,
            protocol: Protocol::Http1,
            security: Security::Plain,
            pace: Pace::Closed,
            upload: Upload::None,
            n_connections: 64,
            n_streams: 1,
            path: "/",
        }
    }

    fn tls(self) -> Self {
        Self { door: Door::Https, security: Security::Full, ..self }
    }

    fn bulk(self, path: &'static str, n_connections: usize) -> Self {
        Self { path, n_connections, unit: Unit::Mebibytes, ..self }
    }

    fn upload(self, upload: Upload) -> Self {
        Self { upload, n_connections: 8, unit: Unit::Mebibytes, ..self }
    }

    fn http2(self, n_connections: usize, n_streams: usize) -> Self {
        Self { protocol: Protocol::Http2, n_connections, n_streams, ..self.tls() }
    }

    fn once(self) -> Self {
        Self { pace: Pace::Once, n_connections: 32, ..self }
    }

    fn idle(self) -> Self {
        Self { pace: Pace::Hold, n_connections: 5000, course: Course::Idle, ..self }
    }
}

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let new = Scenario::new;
    let hosts = |name, what, n| Scenario { routes: Routes::Hosts(n), ..new(name, what) };
    let paths = |name, what, n| Scenario { routes: Routes::Paths(n), ..new(name, what) };
    vec![
        new("h1", "HTTP/1.1 keep-alive, 64 connections"),
        new("tls", "HTTP/1.1 keep-alive over TLS 1.3, 64 connections").tls(),
        new("handshakes", "a full TLS 1.3 handshake for each request").tls().once(),
        Scenario {
            security: Security::Resumed,
            ..new("resumptions", "a resumed TLS 1.3 handshake for each request").tls().once()
        },
        new("h2", "HTTP/2 over TLS, 8 connections of 16 streams").http2(8, 16),
        new("h2-single", "HTTP/2 over TLS, 64 connections of one stream").http2(64, 1),
        new("body-1m", "answers of 1 MiB, 8 connections").bulk(MEBIBYTE, 8),
        new("body-1m-tls", "answers of 1 MiB over TLS, 8 connections").bulk(MEBIBYTE, 8).tls(),
        new("body-100m", "answers of 100 MiB, 2 connections").bulk(HUNDRED, 2),
        new("body-100m-tls", "answers of 100 MiB over TLS, 2 connections").bulk(HUNDRED, 2).tls(),
        new("upload", "requests of 1 MiB, 8 connections").upload(Upload::Sized(1 << 20)),
        new("upload-tls", "requests of 1 MiB over TLS, 8 connections").upload(Upload::Sized(1 << 20)).tls(),
        new("chunked", "answers of 64 KiB in chunks of 4 KiB, 8 connections").bulk("/c/65536", 8),
        new("chunked-upload", "requests of 64 KiB in chunks of 4 KiB").upload(Upload::Chunked(1 << 16)),
        new("connections", "a new connection for each request").once(),
        Scenario { door: Door::Tcp, ..new("l4", "small exchanges passed on as TCP, 64 connections") },
        Scenario { door: Door::Tcp, ..new("l4-bulk", "1 MiB passed on as TCP").bulk(MEBIBYTE, 8) },
        hosts("hosts-1", "1 route by host", 1),
        hosts("hosts-100", "100 routes by host", 100),
        hosts("hosts-1k", "1,000 routes by host", 1000),
        hosts("hosts-10k", "10,000 routes by host", 10_000),
        paths("paths-1", "1 route by path", 1),
        paths("paths-100", "100 routes by path", 100),
        paths("paths-1k", "1,000 routes by path", 1000),
        paths("paths-10k", "10,000 routes by path", 10_000),
        new("idle", "5,000 idle connections").idle(),
        new("idle-tls", "5,000 idle connections over TLS").tls().idle(),
        Scenario { pace: Pace::Rate(5000), ..new("latency", "5,000 requests a second, 64 connections") },
        Scenario {
            pace: Pace::Rate(5000),
            ..new("latency-tls", "5,000 requests a second over TLS, 64 connections").tls()
        },
        Scenario { n_workers: Some(2), ..new("two-workers", "HTTP/1.1 keep-alive, two workers") },
        Scenario {
            n_workers: Some(2),
            ..new("two-workers-tls", "HTTP/1.1 keep-alive over TLS, two workers").tls()
        },
        Scenario {
            pace: Pace::Rate(2000),
            course: Course::Reload,
            ..hosts("reload", "1,000 routes, two reloads and 2,000 requests a second", 1000)
        },
    ]
}

/// All scenarios as text.
pub fn listed() -> String {
    let mut text = "Scenarios:\n".to_owned();
    for scenario in all() {
        let _ = writeln!(text, "  {:16} {}", scenario.name, scenario.what);
    }
    text
}

const MEBIBYTE: &str = "/b/1048576";
const HUNDRED: &str = "/b/104857600";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn scenarios_have_names_of_their_own() {
        let names: BTreeSet<&str> = all().iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().len());
        assert!(names.iter().all(|name| Scenario::named(name).is_ok() && listed().contains(name)));
    }

    #[test]
    fn requests_spread_over_all_routes() {
        let job = Scenario::named("hosts-1k").map(|one| one.job(([127, 0, 0, 1], 1).into(), 1.0));
        let hosts: BTreeSet<String> = job.expect("a job").targets.into_iter().map(|(host, _)| host).collect();
        assert_eq!(hosts.len(), 512);
    }
}
