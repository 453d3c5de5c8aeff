//! Tables of what was found, as Markdown.
//!
//! Ratios are taken within a round and their median is told, so that slow drift of the machine cancels out. The spread
//! of a figure is its range over the rounds.

use std::fmt::Write as _;

use crate::contestants::Contestant;
use crate::measure::Measured;
use crate::rounds::Outcome;
use crate::scenarios::{Course, Unit};

/// A figure of a measurement.
type Figure = fn(&Measured) -> f64;

/// The figures of one scenario, and the ratios of the first contestant to each other one.
pub fn of_scenario(outcome: &Outcome, contestants: &[Contestant]) -> String {
    let scenario = &outcome.scenario;
    let is_idle = scenario.course == Course::Idle;
    let unit = match scenario.unit {
        Unit::Requests => "op",
        Unit::Mebibytes => "MiB",
    };
    let mut text = format!("### {}: {}\n\n", scenario.name, scenario.what);
    let _ = write!(text, "| proxy | rounds | {unit}/s | CPU µs/{unit} | spread | p50 µs | p99 µs | MiB |");
    text += if is_idle { " KiB/connection |" } else { "" };
    text += " cores | errors | closed | igw to it: CPU | throughput | p99 | memory |\n";
    text += &format!("|{}\n", "---|".repeat(if is_idle { 16 } else { 15 }));
    for contestant in contestants {
        let Some(all) = outcome.found.get(contestant) else { continue };
        let good: Vec<&Measured> = all.iter().filter_map(|one| one.as_ref().ok()).collect();
        let Some(first) = good.first() else {
            let error = all.iter().find_map(|one| one.as_ref().err()).map_or("not run", String::as_str);
            let _ = writeln!(text, "| {} | 0 | failed: {} |", contestant.name(), error.replace('|', "/"));
            continue;
        };
        let of = |figure: Figure| median(good.iter().map(|one| figure(one)).collect());
        let _ = write!(
            text,
            "| {} | {} | {:.0} | {:.2} | {:.0} % | {:.0} | {:.0} | {} |",
            contestant.name(),
            good.len(),
            of(|one| one.throughput),
            of(|one| one.cpu),
            100.0 * spread(good.iter().map(|one| one.cpu).collect()),
            of(|one| one.p50),
            of(|one| one.p99),
            memory(of(|one| one.memory), of(|one| one.serving_memory)),
        );
        if first.per_connection.is_some() {
            let _ = write!(text, " {:.2} |", of(|one| one.per_connection.unwrap_or_default()));
        }
        let n_errors: u64 = good.iter().map(|one| one.n_errors).sum();
        let n_closed: u64 = good.iter().map(|one| one.n_closed).sum();
        let _ = write!(text, " {:.2} | {n_errors} | {n_closed} |", of(|one| one.cores));
        let figures: [Figure; 4] = [|one| one.cpu, |one| one.throughput, |one| one.p99, |one| one.memory];
        for figure in figures {
            let ratios = ratios(outcome, contestants, *contestant, figure);
            let told = if contestants.first() == Some(contestant) || ratios.is_empty() {
                String::new()
            } else {
                format!("{:.2}", median(ratios))
            };
            let _ = write!(text, " {told} |");
        }
        text.push('\n');
    }
    text
}

/// All scenarios in short: ratios of the first contestant to each other one, with their range over the rounds.
pub fn of_all(outcomes: &[Outcome], contestants: &[Contestant]) -> String {
    let Some((_, peers)) = contestants.split_first() else { return String::new() };
    let mut text = "### All scenarios\n\n| scenario | igw |".to_owned();
    for peer in peers {
        let name = peer.name();
        let _ =
            write!(text, " CPU to {name} | throughput | p99 | memory | of it serving | errors igw/{name} |");
    }
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(6 * peers.len()));
    for outcome in outcomes {
        let own = outcome.found.get(&contestants[0]);
        let good: Vec<&Measured> = own.into_iter().flatten().filter_map(|one| one.as_ref().ok()).collect();
        let unit = match outcome.scenario.unit {
            Unit::Requests => "op",
            Unit::Mebibytes => "MiB",
        };
        let cpu = match good.is_empty() {
            true => "failed".to_owned(),
            false => format!("{:.1} µs/{unit}", median(good.iter().map(|one| one.cpu).collect())),
        };
        let _ = write!(text, "| {} | {cpu} |", outcome.scenario.what);
        for peer in peers {
            let is_idle = outcome.scenario.course == Course::Idle;
            let figures: [Figure; 5] = [
                |one| one.cpu,
                |one| one.throughput,
                |one| one.p99,
                if is_idle { |one| one.per_connection.unwrap_or_default() } else { |one| one.memory },
                |one| one.serving_memory,
            ];
            let all = figures.map(|figure| ratios(outcome, contestants, *peer, figure));
            if all[0].is_empty() {
                text += " failed | | | | | |";
                continue;
            }
            for (place, ratios) in all.into_iter().enumerate() {
                // An idle connection is about memory alone.
                let _ = match is_idle && place < 3 {
                    true => write!(text, " |"),
                    false => write!(text, " {} |", ranged(ratios)),
                };
            }
            let errors = [contestants[0], *peer].map(|one| n_errors(outcome, one).to_string());
            let _ = write!(text, " {} |", errors.join("/"));
        }
        text.push('\n');
    }
    text
}

/// The figure of the first contestant over that of another, for each round in which both have one.
fn ratios(outcome: &Outcome, contestants: &[Contestant], other: Contestant, figure: Figure) -> Vec<f64> {
    let of = |contestant: &Contestant| outcome.found.get(contestant).map(Vec::as_slice).unwrap_or_default();
    let pairs = contestants.first().map(of).unwrap_or_default().iter().zip(of(&other));
    let pairs = pairs.filter_map(|pair| match pair {
        (Ok(own), Ok(other)) => Some((figure(own), figure(other))),
        _ => None,
    });
    pairs.filter(|(_, other)| *other > 0.0).map(|(own, other)| own / other).collect()
}

fn n_errors(outcome: &Outcome, contestant: Contestant) -> u64 {
    let all = outcome.found.get(&contestant).into_iter().flatten();
    all.filter_map(|one| one.as_ref().ok()).map(|one| one.n_errors).sum()
}

/// All of it, and how much of that serves traffic where this is less.
fn memory(all: f64, serving: f64) -> String {
    if serving < all * 0.99 { format!("{all:.1} (serving: {serving:.1})") } else { format!("{all:.1}") }
}

/// The median with the lowest and the highest.
fn ranged(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    match figures.as_slice() {
        [] => "-".to_owned(),
        [one] => format!("{one:.2}"),
        [lowest, .., highest] => {
            format!("{:.2} ({lowest:.2}-{highest:.2})", median(figures.clone()))
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => 0.0,
        n if n % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

/// The range of figures over their median.
fn spread(figures: Vec<f64>) -> f64 {
    let (lowest, highest) =
        figures.iter().fold((f64::MAX, f64::MIN), |(low, high), one| (low.min(*one), high.max(*one)));
    (highest - lowest) / median(figures).max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::scenarios::Scenario;

    fn measured(cpu: f64) -> Result<Measured, String> {
        Ok(Measured {
            throughput: 1000.0,
            cpu,
            p50: 10.0,
            p99: 20.0,
            memory: 8.0,
            serving_memory: 4.0,
            per_connection: None,
            cores: 1.0,
            n_errors: 0,
            n_closed: 0,
        })
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let found = BTreeMap::from([
            // The machine was twice as slow in the second round, for both.
            (Contestant::Igw, vec![measured(5.0), measured(10.0), measured(5.5)]),
            (Contestant::Haproxy, vec![measured(10.0), measured(20.0), measured(10.0)]),
            (Contestant::Nginx, vec![Err("no module".to_owned())]),
        ]);
        let outcome = Outcome { scenario: Scenario::named("h1").expect("a scenario"), found };
        let contestants = [Contestant::Igw, Contestant::Haproxy, Contestant::Nginx];
        let text = of_all(std::slice::from_ref(&outcome), &contestants);
        assert!(text.contains("| 0.50 (0.50-0.55) | 1.00 (1.00-1.00) |"), "{text}");
        assert!(text.contains("failed"), "{text}");
        let text = of_scenario(&outcome, &contestants);
        assert!(text.contains("| nginx | 0 | failed: no module |"), "{text}");
        assert!(text.contains("8.0 (serving: 4.0)"), "{text}");
        let columns = |line: &str| line.matches('|').count();
        let n_columns: Vec<usize> = text.lines().skip(2).take(3).map(columns).collect();
        assert!(n_columns.iter().all(|n| *n == n_columns[0]), "{text}");
    }
}
