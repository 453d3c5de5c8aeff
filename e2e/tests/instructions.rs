//! How many instructions of the processor a request takes. Counted by valgrind, they depend on the program alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use igw_e2e::client::{Connection, eventually};
use igw_e2e::objects::{beside, one_route};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, binary, free, signal};

/// Instructions of one request on a kept connection, with its answer; in the release build of the toolchain that the
/// workspace names. Change it with a commit that says what made the difference.
const RECORDED: f64 = 16_000.0;
/// What a figure may differ from the recorded one.
const TOLERANCE: f64 = 0.03;

#[test]
fn a_request_takes_as_many_instructions_as_recorded() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 250), 0))?;
    up.write("all.yaml", &one_route(address, "a.test", &[origin.address]))?;
    up.own_binaries()?;
    up.start(&[])?;
    let counts = tempfile::tempdir()?;
    let server = take_over_counted(&up, counts.path())?;

    let mut connection = Connection::open(address)?;
    let mut ask = |n_requests: u32| -> anyhow::Result<()> {
        for _ in 0..n_requests {
            let answer = connection.get("a.test", "/")?;
            anyhow::ensure!(answer.status == 200, "{}", answer.status);
        }
        Ok(())
    };
    ask(200)?;
    let n_requests = 1_000;
    let few = counted_between(server, counts.path(), || ask(n_requests))?;
    let many = counted_between(server, counts.path(), || ask(3 * n_requests))?;
    // The thread that serves the connection takes three times as many for three times as many requests; the others do
    // what they do.
    let each = few
        .iter()
        .filter_map(|(thread, few)| {
            let (few, many) = (*few as f64, *many.get(thread)? as f64);
            let is_worker = few > f64::from(n_requests) && (many / few / 3.0 - 1.0).abs() < TOLERANCE;
            is_worker.then(|| (many - few) / f64::from(2 * n_requests))
        })
        .max_by(f64::total_cmp)
        .with_context(|| format!("no thread serves requests alone: {few:?}, then {many:?}"))?;
    println!("{each:.0} instructions for a request; recorded: {RECORDED:.0}");
    assert!(
        (each / RECORDED - 1.0).abs() <= TOLERANCE,
        "{each:.0} instructions for a request, where {RECORDED:.0} are recorded; find out what changed, and record the new figure here"
    );
    Ok(())
}

/// Lets a server that valgrind runs take over. Supervisors make calls that valgrind does not know, so they run without.
fn take_over_counted(up: &Up, folder: &Path) -> anyhow::Result<u32> {
    let (before, proxy) = (up.server_pid()?, binary("igw-proxy")?);
    let program = format!(
        "#!/bin/bash\ncase \" $* \" in\n*\" --server \"*) exec valgrind --quiet --tool=callgrind --separate-threads=yes --callgrind-out-file='{folder}/count.%p' '{proxy}' \"$@\" ;;\n*) exec -a \"$0\" '{proxy}' \"$@\" ;;\nesac\n",
        folder = folder.display(),
        proxy = proxy.display()
    );
    up.replace_proxy(program.as_bytes(), 0o755)?;
    signal(up.supervisor_pid()?, "USR2")?;
    eventually("the counted server serves alone", Duration::from_secs(30), || {
        up.server_pids().is_ok_and(|pids| !pids.is_empty() && !pids.contains(&before))
    })
    .with_context(|| format!("igw up printed:\n{}", up.printed()))?;
    up.server_pid()
}

/// Instructions of each thread of the server while `work` is done.
fn counted_between(
    server: u32,
    folder: &Path,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let control = |argument: &str| -> anyhow::Result<()> {
        let output = Command::new("callgrind_control").args([argument, &server.to_string()]).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    for entry in std::fs::read_dir(folder)? {
        std::fs::remove_file(entry?.path())?;
    }
    control("--zero")?;
    work()?;
    control("--dump")?;
    let mut threads = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((_, thread)) = name.rsplit_once('-') else { continue };
        let text = std::fs::read_to_string(entry.path())?;
        let totals = text.lines().filter_map(|line| line.strip_prefix("totals: "));
        let sum = totals.map(|total| total.trim().parse::<u64>()).sum::<Result<u64, _>>()?;
        threads.insert(thread.to_owned(), sum);
    }
    Ok(threads)
}
