//! Rounds: every contestant once, in the other order in every other round, so that neither order nor drift of the
//! machine favours anybody.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::process::binary;

use crate::contestants::Contestant;
use crate::measure::{Measured, Terms, measure};
use crate::scenarios::Scenario;
use crate::sockets::raise_descriptors;
use crate::table;

/// What is to be compared.
pub struct Plan {
    pub scenarios: Vec<Scenario>,
    /// The first is the one that others are held against.
    pub contestants: Vec<Contestant>,
    pub n_rounds: u32,
    pub n_workers: u32,
    pub seconds: f64,
    pub cores: Option<(String, String)>,
    pub minutes: f64,
}

/// What the rounds of one scenario found, by contestant.
pub struct Outcome {
    pub scenario: Scenario,
    pub found: BTreeMap<Contestant, Vec<Result<Measured, String>>>,
}

/// Runs a plan; prints a table for each scenario when it is over, and one of all at the end.
///
/// # Errors
/// Fails if igw is not built, or if no scenario was run.
pub fn run(plan: &Plan) -> anyhow::Result<()> {
    binary("igw")?;
    binary("igw-proxy")?;
    let n_cores = std::thread::available_parallelism()?.get();
    ensure!(
        plan.cores.is_none() || n_cores > 1,
        "proxy and load need a core each; --cpus none does without, and compares CPU times only"
    );
    let terms = Terms {
        n_workers: plan.n_workers,
        n_descriptors: raise_descriptors(),
        seconds: plan.seconds,
        cores: plan.cores.clone(),
    };
    println!("{}", described(plan)?);
    let end = Instant::now() + Duration::from_secs_f64(plan.minutes * 60.0);
    let mut outcomes = Vec::new();
    for scenario in &plan.scenarios {
        if Instant::now() > end {
            eprintln!("{}: left out, {} minutes are over", scenario.name, plan.minutes);
            continue;
        }
        let outcome = compare(plan, scenario, &terms);
        println!("{}", table::of_scenario(&outcome, &plan.contestants));
        outcomes.push(outcome);
    }
    println!("{}", table::of_all(&outcomes, &plan.contestants));
    let is_any = outcomes.iter().flat_map(|outcome| outcome.found.values().flatten()).any(Result::is_ok);
    ensure!(is_any, "no measurement succeeded");
    Ok(())
}

fn compare(plan: &Plan, scenario: &Scenario, terms: &Terms) -> Outcome {
    let mut found: BTreeMap<Contestant, Vec<_>> = BTreeMap::new();
    for round in 0..plan.n_rounds {
        let mut order = plan.contestants.clone();
        if round % 2 == 1 {
            order.reverse();
        }
        for contestant in order {
            let outcome = measure(contestant, scenario, terms).map_err(|error| format!("{error:#}"));
            let told = match &outcome {
                Ok(measured) => format!("{:.2} us of CPU, {} errors", measured.cpu, measured.n_errors),
                Err(error) => format!("failed: {error}"),
            };
            eprintln!(
                "{} round {}/{}: {}: {told}",
                scenario.name,
                round + 1,
                plan.n_rounds,
                contestant.name()
            );
            found.entry(contestant).or_default().push(outcome);
        }
    }
    Outcome { scenario: scenario.clone(), found }
}

/// Versions and terms.
fn described(plan: &Plan) -> anyhow::Result<String> {
    let mut text = String::new();
    for contestant in &plan.contestants {
        let version = contestant.version().with_context(|| contestant.name())?;
        text += &format!("* {}: {version}\n", contestant.name());
    }
    let cores = match &plan.cores {
        Some((proxy, load)) => format!("proxy on core {proxy}, load and origin on core {load}"),
        None => "all cores open to all".to_owned(),
    };
    text +=
        &format!("* {} rounds of {} s, workers: {}, {cores}\n", plan.n_rounds, plan.seconds, plan.n_workers);
    Ok(text)
}
