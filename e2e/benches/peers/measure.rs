//! One measurement: a new origin, a new proxy, one load, and what the proxy took for it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::bed::Bed;
use crate::contestants::Contestant;
use crate::load::{HELD, Tally};
use crate::processes::Process;
use crate::scenarios::{Course, Door, Scenario, Unit};

/// How measurements are made.
#[derive(Clone, Debug)]
pub struct Terms {
    pub n_workers: u32,
    pub n_descriptors: u64,
    pub seconds: f64,
    /// Cores of the proxy, and of load and origin.
    pub cores: Option<(String, String)>,
}

/// What one measurement found.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Requests or MiB a second.
    pub throughput: f64,
    /// CPU time of the proxy in microseconds, for each request or MiB.
    pub cpu: f64,
    /// Microseconds.
    pub p50: f64,
    /// Microseconds.
    pub p99: f64,
    /// MiB of all processes, right after the load.
    pub memory: f64,
    /// MiB of those that serve traffic.
    pub serving_memory: f64,
    /// KiB for each idle connection.
    pub per_connection: Option<f64>,
    /// CPU time over time.
    pub cores: f64,
    pub n_errors: u64,
    /// Connections that the proxy closed between requests.
    pub n_closed: u64,
}

/// Measures one contestant.
///
/// # Errors
/// Fails if something does not start, if no request succeeds, or if what was measured is not what the scenario means.
pub fn measure(contestant: Contestant, scenario: &Scenario, terms: &Terms) -> anyhow::Result<Measured> {
    let n_workers = scenario.n_workers.unwrap_or(terms.n_workers);
    let bed = Bed::new(scenario.routes, n_workers, terms.n_descriptors)?;
    // Several workers need several cores, and there is no core left for the load alone.
    let cores = terms.cores.as_ref().filter(|_| scenario.n_workers.is_none());
    let load_cores = cores.map(|(_, load)| load.as_str());
    let mode = |words: &[&str]| -> anyhow::Result<Vec<String>> {
        let own = std::env::current_exe()?.display().to_string();
        Ok(std::iter::once(own).chain(words.iter().map(|word| (*word).to_owned())).collect())
    };
    let mut origin =
        Process::start(&mode(&["origin", &bed.origin.to_string()])?, load_cores, bed.path("origin.log"))?;
    origin.wait_until("the origin serves", || TcpStream::connect(bed.origin).is_ok())?;
    let proxy = contestant.start(&bed, scenario, cores.map(|(proxy, _)| proxy.as_str()))?;
    let target = match scenario.door {
        Door::Http => bed.http,
        Door::Https => bed.https,
        Door::Tcp => bed.tcp,
    };
    let job = serde_json::to_string(&scenario.job(target, terms.seconds))?;
    let before = proxy.taken();
    let started = Instant::now();
    let mut load = Process::start_piped(&mode(&["load", &job])?, load_cores, bed.path("load.log"))?;
    let lines = lines(&mut load)?;
    let held = match scenario.course {
        Course::Steady => None,
        Course::Idle => Some(held(contestant, &mut load, &lines, &proxy)?),
        Course::Reload => {
            reload(contestant, &bed, &proxy, started + Duration::from_secs_f64(terms.seconds))?;
            None
        }
    };
    let line = next(&lines, terms.seconds + 60.0).with_context(|| format!("load: {}", load.printed()))?;
    let after = proxy.taken();
    let elapsed = started.elapsed().as_secs_f64();
    let tally: Tally = serde_json::from_str(&line).with_context(|| format!("load: {line}"))?;
    ensure!(tally.n_good > 0, "no request succeeded: {line}; {}", proxy.printed());
    if scenario.is_resumed() && tally.n_resumed * 10 < tally.n_opened * 9 {
        bail!("only {} of {} sessions were resumed", tally.n_resumed, tally.n_opened);
    }
    let (memory, serving) = held.unwrap_or_else(|| memory(contestant, &proxy));
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    let (n_now, n_ever) = match scenario.unit {
        Unit::Requests => (tally.n_good as f64, tally.n_answers_ever as f64),
        Unit::Mebibytes => (tally.n_bytes as f64 / MEBIBYTE, tally.n_bytes_ever as f64 / MEBIBYTE),
    };
    Ok(Measured {
        throughput: n_now / tally.seconds.max(1e-9),
        cpu: cpu * 1e6 / n_ever.max(1e-9),
        p50: tally.p50,
        p99: tally.p99,
        memory: memory as f64 / 1024.0,
        serving_memory: serving as f64 / 1024.0,
        per_connection: held.map(|(held, _)| held.saturating_sub(before.memory) as f64 / tally.n_good as f64),
        cores: cpu / elapsed,
        n_errors: tally.n_errors(),
        n_closed: tally.n_closed,
    })
}

/// Memory of the proxy while all connections are idle; the load ends then.
fn held(
    contestant: Contestant,
    load: &mut Process,
    lines: &Receiver<String>,
    proxy: &Process,
) -> anyhow::Result<(u64, u64)> {
    let line = next(lines, 30.0).with_context(|| format!("load: {}", load.printed()))?;
    ensure!(line == HELD, "not all connections were answered: {line}");
    // What a proxy does a moment after a burst belongs to it.
    std::thread::sleep(Duration::from_secs(2));
    let memory = memory(contestant, proxy);
    drop(load.child().stdin.take());
    Ok(memory)
}

/// KiB of all processes, and of those that serve traffic.
fn memory(contestant: Contestant, proxy: &Process) -> (u64, u64) {
    let all = proxy.taken().memory;
    match contestant {
        Contestant::Igw => (all, proxy.taken_by_children().memory),
        Contestant::Haproxy | Contestant::Nginx => (all, all),
    }
}

fn reload(contestant: Contestant, bed: &Bed, proxy: &Process, end: Instant) -> anyhow::Result<()> {
    let mut n = 0;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(500));
        n += 1;
        contestant.reload(bed, proxy, n)?;
    }
    Ok(())
}

/// Lines of a load, read on a thread that ends with it.
fn lines(load: &mut Process) -> anyhow::Result<Receiver<String>> {
    let out = load.child().stdout.take().context("no output")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out.take(1 << 20)).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn next(lines: &Receiver<String>, seconds: f64) -> anyhow::Result<String> {
    lines.recv_timeout(Duration::from_secs_f64(seconds)).map_err(|error| match error {
        RecvTimeoutError::Timeout => anyhow::anyhow!("no result within {seconds} s"),
        RecvTimeoutError::Disconnected => anyhow::anyhow!("it ended without a result"),
    })
}

const MEBIBYTE: f64 = 1_048_576.0;
