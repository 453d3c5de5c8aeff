//! igw as a contestant: objects in a folder, served by `igw up`.

use std::fmt::Write as _;

use igw_e2e::objects::{
    backend, backend_policy, gateway_with, http_listener, https_listener, l4_route, tcp_listener, to_backend,
};
use igw_e2e::process::binary;

use crate::bed::{Bed, N_GROUPS, host, prefix};
use crate::scenarios::Routes;

/// Writes the objects; returns the command that serves them.
///
/// # Errors
/// Fails if igw was not built.
pub fn command(bed: &Bed) -> anyhow::Result<Vec<String>> {
    std::fs::create_dir(bed.path("objects"))?;
    bed.write("objects/all.yaml", &objects(bed))?;
    change(bed, 0)?;
    let text = |name: &str| bed.path(name).display().to_string();
    let mut command = vec![binary("igw")?.display().to_string(), "up".to_owned(), text("objects")];
    let [admin, proxy_admin] = bed.spare.map(|address| address.to_string());
    for (flag, value) in [
        ("--state", text("state")),
        ("--workers", bed.n_workers.to_string()),
        ("--admin", admin),
        ("--proxy-admin", proxy_admin),
        ("--ready-file", text("ready")),
        ("--drain-timeout", "1s".to_owned()),
    ] {
        command.extend([flag.to_owned(), value]);
    }
    Ok(command)
}

/// Changes one route.
///
/// # Errors
/// Fails if the folder is gone.
pub fn change(bed: &Bed, n: u32) -> anyhow::Result<()> {
    let text = http_route("changing", &format!("hostnames: [n{n}.change.test]"), "", 0);
    bed.write("new.yaml", &text)?;
    // Whole or not at all, as an editor does.
    std::fs::rename(bed.path("new.yaml"), bed.path("objects/changing.yaml"))?;
    Ok(())
}

fn objects(bed: &Bed) -> String {
    let listeners = [
        http_listener("http", bed.http),
        https_listener("https", bed.https, "bench"),
        tcp_listener("tcp", bed.tcp),
    ];
    let mut text = gateway_with(bed.http.ip(), &listeners);
    text += &bed.pair.secret("bench");
    for group in 0..N_GROUPS {
        let name = format!("origin{group}");
        text += &backend(&name, &[bed.origin]);
        text += &backend_policy(&name, "  loadBalancer: {type: RoundRobin}\n");
    }
    text += &l4_route("TCPRoute", "bench", "tcp", "", &[format!("{}, port: 80", to_backend("origin0"))]);
    text += &http_route("all", "", "", 0);
    match bed.routes {
        Routes::One => {}
        Routes::Hosts(n) => (0..n).for_each(|index| {
            let hosts = format!("hostnames: [{}]", host(index));
            text += &http_route(&format!("r{index}"), &hosts, "", index);
        }),
        Routes::Paths(n) => (0..n).for_each(|index| {
            let matches = format!("matches: [{{path: {{type: PathPrefix, value: {}}}}}], ", prefix(index));
            text += &http_route(&format!("r{index}"), "", &matches, index);
        }),
    }
    text
}

fn http_route(name: &str, hosts: &str, matches: &str, index: usize) -> String {
    let mut text = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\nspec:\n  \
         parentRefs: [{{name: main, sectionName: http}}, {{name: main, sectionName: https}}]\n"
    );
    if !hosts.is_empty() {
        let _ = writeln!(text, "  {hosts}");
    }
    let target = format!("{}, port: 80", to_backend(&format!("origin{}", index % N_GROUPS)));
    let _ = writeln!(text, "  rules: [{{{matches}backendRefs: [{{{target}}}]}}]");
    text
}
