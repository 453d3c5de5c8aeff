//! HAProxy as a contestant.

use crate::bed::{Bed, N_GROUPS, host, lines, prefix};
use crate::scenarios::Routes;

/// Writes the configuration; returns the command that serves it. Routes are looked up in maps, which HAProxy searches
/// as trees, and connections are passed on by the kernel where it can.
///
/// # Errors
/// Fails if the folder is gone.
pub fn command(bed: &Bed, program: &str, is_reloaded: bool) -> anyhow::Result<Vec<String>> {
    let both = bed.write("both.pem", &format!("{}{}", bed.pair.certificate, bed.pair.key))?;
    let group = |index: usize| format!("origin{}", index % N_GROUPS);
    let choice = match bed.routes {
        Routes::One => String::new(),
        Routes::Hosts(n) => {
            let map = bed.write("routes.map", &lines(n, |i| format!("{} {}", host(i), group(i))))?;
            format!("  use_backend %[req.hdr(host),lower,map_str({map},origin0)]\n")
        }
        Routes::Paths(n) => {
            let map = bed.write("routes.map", &lines(n, |i| format!("{}/ {}", prefix(i), group(i))))?;
            format!("  use_backend %[path,map_beg({map},origin0)]\n")
        }
    };
    let backends = lines(N_GROUPS, |i| {
        format!("backend {}\n  balance roundrobin\n  server one {}", group(i), bed.origin)
    });
    // Each connection of a client may need one to the origin; some descriptors are for other things.
    let n_connections = bed.n_descriptors.saturating_sub(500).min(100_000) * 2 / 5;
    let (http, https, tcp, origin, n_workers) = (bed.http, bed.https, bed.tcp, bed.origin, bed.n_workers);
    let text = format!(
        "global
  nbthread {n_workers}
  maxconn {n_connections}
  ssl-default-bind-options ssl-min-ver TLSv1.2
  hard-stop-after 5s
defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  timeout http-keep-alive 120s
  http-reuse always
frontend http
  bind {http} backlog 4096
  option forwardfor
{choice}  default_backend origin0
frontend https
  bind {https} backlog 4096 ssl crt {both} alpn h2,http/1.1
  option forwardfor
{choice}  default_backend origin0
{backends}listen tcp
  mode tcp
  bind {tcp} backlog 4096
  option splice-auto
  balance roundrobin
  server one {origin}
"
    );
    let file = bed.write("haproxy.cfg", &text)?;
    // A master process is what takes a reload.
    let mode = if is_reloaded { "-W" } else { "-db" };
    Ok([program, mode, "-f", &file].map(str::to_owned).to_vec())
}
