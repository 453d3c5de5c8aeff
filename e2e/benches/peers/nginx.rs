//! NGINX as a contestant.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::ensure;

use crate::bed::{Bed, N_GROUPS, host, prefix};
use crate::scenarios::{Door, Routes};

/// Writes the configuration; returns the command that serves it. Bodies are passed on as they come, as the other
/// contestants do.
///
/// # Errors
/// Fails if the folder is gone, or without the module for connections that are passed on.
pub fn command(bed: &Bed, program: &str, door: Door) -> anyhow::Result<Vec<String>> {
    let certificate = bed.write("cert.pem", &bed.pair.certificate)?;
    let key = bed.write("key.pem", &bed.pair.key)?;
    let folder = bed.path("").display().to_string();
    let (http, https, origin) = (bed.http, bed.https, bed.origin);
    let module = MODULES.iter().find(|path| Path::new(path).exists());
    ensure!(
        door != Door::Tcp || module.is_some(),
        "its stream module is not installed: apt-get install libnginx-mod-stream"
    );
    let (load, stream) = match module {
        Some(path) => (format!("load_module {path};\n"), stream(bed)),
        None => Default::default(),
    };
    let mut upstreams = String::new();
    for group in 0..N_GROUPS {
        let _ = writeln!(
            upstreams,
            "  upstream origin{group} {{ server {origin}; keepalive 512; keepalive_requests 1000000000; }}"
        );
    }
    let mut more = String::new();
    let mut servers = String::new();
    match bed.routes {
        Routes::One => {}
        Routes::Hosts(n) => {
            for group in 0..N_GROUPS.min(n) {
                let names: Vec<String> = (group..n).step_by(N_GROUPS).map(host).collect();
                let _ = writeln!(
                    servers,
                    "  server {{ listen {http}; listen {https} ssl http2; server_name {}; location / {} }}",
                    names.join("\n"),
                    to(group)
                );
            }
        }
        Routes::Paths(n) => (0..n).for_each(|index| {
            let _ = writeln!(more, "    location {}/ {}", prefix(index), to(index % N_GROUPS));
        }),
    }
    let default = to(0);
    // Half of what may be open is for connections to the origin.
    let n_connections = bed.n_descriptors.saturating_sub(100).min(100_000);
    let n_workers = bed.n_workers;
    let n_descriptors = bed.n_descriptors;
    let text = format!(
        "{load}daemon off;
master_process on;
worker_processes {n_workers};
worker_rlimit_nofile {n_descriptors};
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {n_connections}; }}
http {{
  access_log off;
  keepalive_timeout 120s;
  keepalive_requests 1000000000;
  tcp_nodelay on;
  http2_max_concurrent_streams 256;
  server_names_hash_max_size 65536;
  server_names_hash_bucket_size 128;
  ssl_certificate {certificate};
  ssl_certificate_key {key};
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_cache shared:sessions:10m;
  ssl_session_tickets on;
  client_max_body_size 0;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_max_temp_file_size 0;
  proxy_request_buffering off;
  proxy_http_version 1.1;
  proxy_set_header Connection \"\";
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $remote_addr;
{upstreams}  server {{
    listen {http} default_server backlog=4096;
    listen {https} ssl http2 default_server backlog=4096;
    location / {default}
{more}  }}
{servers}}}
{stream}"
    );
    let file = bed.write("nginx.conf", &text)?;
    let errors = format!("{folder}/nginx.err");
    Ok([program, "-p", &folder, "-e", &errors, "-c", &file].map(str::to_owned).to_vec())
}

fn to(group: usize) -> String {
    format!("{{ proxy_pass http://origin{group}; }}")
}

fn stream(bed: &Bed) -> String {
    format!(
        "stream {{
  upstream origin {{ server {}; }}
  server {{ listen {} backlog=4096; tcp_nodelay on; proxy_pass origin; }}
}}
",
        bed.origin, bed.tcp
    )
}

const MODULES: [&str; 2] =
    ["/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so"];
