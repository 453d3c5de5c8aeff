//! Why a request got its rule, and why others did not.

use crate::RequestView;
use crate::condition::{Candidate, text};
use crate::table::{PortRoutes, Selection};

/// The course of a look-up.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What [`PortRoutes::select`] answers.
    pub selection: Selection,
    /// Why there is no listener or no route, in words; empty for a hit.
    pub miss: String,
    /// The winner and the nearest others, in order of nearness; at most [`CONSIDERED_MAX`].
    pub considered: Vec<Considered>,
}

/// One match that was looked at.
#[derive(Clone, Debug)]
pub struct Considered {
    /// Index into [`PortRoutes::targets`].
    pub target: u32,
    /// Index into the rule's matches.
    pub matched: u16,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It got the request.
    Chosen,
    /// A condition does not hold.
    Failed(String),
    /// All conditions hold, but another one comes first.
    Outranked(String),
}

// === impl PortRoutes ===

impl PortRoutes {
    /// Explains a look-up. Allocates; not for the path of requests.
    pub fn explain(&self, request: &impl RequestView) -> Explanation {
        let selection = self.select(request);
        let host = request.host();
        let Some(routes) = self.listener(host) else {
            let names = self.listeners.patterns();
            let miss = format!(
                "no listener of this port serves host `{}`; they serve: {}",
                text(host),
                list(&names)
            );
            return Explanation { selection, miss, considered: Vec::new() };
        };
        let mut found: Vec<(usize, Considered)> = Vec::new();
        let mut winner: Option<Candidate> = None;
        let mut n_hosts = 0;
        for paths in routes.hosts.matching(host) {
            n_hosts += 1;
            let chosen = if winner.is_none() { paths.select(request).cloned() } else { None };
            let is_later_host = winner.is_some();
            if let Some(chosen) = &chosen {
                winner = Some(chosen.clone());
            }
            paths.each(request.path(), &mut |candidate, path_failure| {
                let is_chosen = chosen.as_ref().is_some_and(|chosen| chosen.rank == candidate.rank);
                let path_holds = path_failure.is_none();
                let verdict = match path_failure.or_else(|| candidate.failure(request)) {
                    _ if is_chosen => Verdict::Chosen,
                    Some(failure) => Verdict::Failed(failure),
                    None if is_later_host => {
                        Verdict::Outranked("a route with a more specific hostname comes first".to_owned())
                    }
                    None => match &winner {
                        Some(winner) => Verdict::Outranked(candidate.rank.loses_by(&winner.rank).to_owned()),
                        None => Verdict::Outranked("another match comes first".to_owned()),
                    },
                };
                let distance = match verdict {
                    Verdict::Chosen => 0,
                    Verdict::Outranked(_) => 1,
                    Verdict::Failed(_) if path_holds => 2,
                    Verdict::Failed(_) => 3,
                };
                let considered = Considered { target: candidate.target, matched: candidate.matched, verdict };
                found.push((distance, considered));
            });
        }
        found.sort_by_key(|(distance, considered)| (*distance, considered.target, considered.matched));
        found.truncate(CONSIDERED_MAX);
        let miss = match selection {
            Selection::Rule { .. } => String::new(),
            _ if n_hosts == 0 => format!(
                "no route of the listener names host `{}`; they name: {}",
                text(host),
                list(&routes.hosts.patterns())
            ),
            _ => "no match of the routes for this host holds".to_owned(),
        };
        Explanation {
            selection,
            miss,
            considered: found.into_iter().map(|(_, considered)| considered).collect(),
        }
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names if names.len() > NAMES_MAX => {
            format!(
                "{} and {} more",
                names.get(..NAMES_MAX).unwrap_or_default().join(", "),
                names.len() - NAMES_MAX
            )
        }
        names => names.join(", "),
    }
}

/// Matches that an explanation names.
pub const CONSIDERED_MAX: usize = 20;
const NAMES_MAX: usize = 10;
