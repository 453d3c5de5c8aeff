//! What proxies say, over all nodes of a gateway, becomes one answer: takes traffic, or why it does not yet.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use igw_compile::Proxies;
use igw_crds::sync::{ListenerReport, Report, SyncRequest};

use super::services::Standing;

/// Reports by gateway and node.
#[derive(Debug, Default)]
pub struct Reports {
    reports: BTreeMap<(String, String), (SyncRequest, Instant)>,
}

/// A gateway that is judged.
pub struct Judged<'j> {
    /// `namespace/name`.
    pub gateway: &'j str,
    /// Its service.
    pub standing: &'j Standing,
    /// Epoch and generation of its newest snapshot.
    pub newest: (u64, u64),
}

// === impl Reports ===

impl Reports {
    /// Takes a report; true if it says something new.
    pub fn take(&mut self, asked: SyncRequest, now: Instant) -> bool {
        let gateway = asked.gateway.clone().unwrap_or_default();
        let place = (gateway, asked.node.clone());
        let is_news = self.reports.get(&place).is_none_or(|(before, _)| {
            before.report != asked.report
                || (before.epoch, before.generation) != (asked.epoch, asked.generation)
                || before.versions != asked.versions
        });
        self.reports.insert(place, (asked, now));
        is_news
    }

    /// Forgets proxies that are silent; true if some are.
    pub fn expire(&mut self, now: Instant) -> bool {
        let n_before = self.reports.len();
        self.reports.retain(|_, (_, at)| now.saturating_duration_since(*at) < SILENCE);
        n_before != self.reports.len()
    }

    /// Nodes with their reports.
    pub fn of<'r>(&'r self, gateway: &'r str) -> impl Iterator<Item = (&'r str, &'r SyncRequest)> {
        self.reports
            .iter()
            .filter(move |((of, _), _)| of == gateway)
            .map(|((_, node), (asked, _))| (node.as_str(), asked))
    }

    /// Puts together what all proxies say.
    pub fn judge<'j>(&self, gateways: impl Iterator<Item = Judged<'j>>) -> Proxies {
        let mut proxies =
            Proxies { report: Report { serving: true, ..Report::default() }, ..Proxies::default() };
        for judged in gateways {
            let wait = self.wait(&judged);
            if let Some(wait) = wait {
                proxies.waits.insert(judged.gateway.to_owned(), wait);
                continue;
            }
            proxies.report.listeners.extend(self.merge(judged.gateway, judged.standing));
            proxies.addresses.insert(judged.gateway.to_owned(), judged.standing.addresses.clone());
        }
        proxies
    }

    /// Why a gateway does not take traffic as it should.
    fn wait(&self, judged: &Judged<'_>) -> Option<String> {
        let Judged { gateway, standing, newest } = judged;
        if let Some(trouble) = &standing.trouble {
            return Some(trouble.clone());
        }
        let reports: BTreeMap<&str, &SyncRequest> = self.of(gateway).collect();
        let mut silent = Vec::new();
        let mut old = Vec::new();
        for node in &standing.expected {
            match reports.get(node.as_str()) {
                None => silent.push(node.as_str()),
                Some(asked) => {
                    if let Some(refused) = &asked.report.refused {
                        return Some(format!(
                            "the proxy on node {node} refused the newest configuration: {refused}"
                        ));
                    }
                    if (asked.epoch, asked.generation) != *newest || !asked.report.serving {
                        old.push(node.as_str());
                    }
                }
            }
        }
        match (silent.is_empty(), old.is_empty()) {
            (true, true) => None,
            (false, _) => Some(format!("no proxy reports from node {}", silent.join(", "))),
            (true, false) => Some(format!(
                "the proxy does not serve the newest configuration yet on node {}",
                old.join(", ")
            )),
        }
    }

    fn merge(&self, gateway: &str, standing: &Standing) -> Vec<ListenerReport> {
        let mut merged: BTreeMap<String, ListenerReport> = BTreeMap::new();
        for (node, asked) in self.of(gateway).filter(|(node, _)| standing.expected.contains(*node)) {
            for listener in &asked.report.listeners {
                let one = merged.entry(listener.listener.clone()).or_insert_with(|| ListenerReport {
                    gateway: gateway.to_owned(),
                    listener: listener.listener.clone(),
                    bound: Vec::new(),
                    error: None,
                });
                one.bound.extend(&listener.bound);
                one.bound.sort_unstable();
                one.bound.dedup();
                if let (None, Some(error)) = (&one.error, &listener.error) {
                    let mut error = error.clone();
                    error.message = format!("on node {node}: {}", error.message);
                    one.error = Some(error);
                }
            }
        }
        merged.into_values().collect()
    }
}

/// A proxy that says nothing for so long is not there: it asks every 30 s.
const SILENCE: Duration = Duration::from_secs(75);
