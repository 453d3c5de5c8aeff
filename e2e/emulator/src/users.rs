//! Who may do what: users in `system/usr`, logins, tokens, and the limiter.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::callers::{Caller, Token};
use crate::path::Path;
use crate::world::World;

/// A refusal: status, title, words.
pub type Refusal = (u16, &'static str, String);

// === impl World ===

impl World {
    /// Who a request over TCP comes from, by its header and the name in its client certificate.
    ///
    /// # Errors
    /// All the ways that were tried.
    pub fn authenticate(
        &self,
        node: &str,
        header: Option<&str>,
        certificate: Option<&str>,
    ) -> Result<Caller, String> {
        let no_basic =
            "strategies/basic: Request missing BasicAuth, strategies/basic: Request missing BasicAuth";
        let mut tried = vec!["strategies/ux: is a inet address family client (:1215)".to_owned()];
        match header.and_then(|header| header.split_once(' ')) {
            Some(("Bearer", token)) => match self.token(token) {
                Some(token) => {
                    // A token that is for renewal alone is taken, with no grants.
                    let grants = if token.is_refresh { Vec::new() } else { token.grants };
                    return Ok(Caller { auth: "jwt", name: token.subject, grants });
                }
                None => {
                    tried.push("token is malformed: token contains an invalid number of segments".to_owned());
                    tried.push(no_basic.to_owned());
                }
            },
            Some(("Basic", coded)) => {
                tried.push("strategies/token: Invalid token".to_owned());
                let text = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, coded)
                    .unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                let (name, password) = text.split_once(':').unwrap_or((&text, ""));
                tried.push(format!(
                    "invalid nodename {name}: can't authenticate: {name} is not a cluster node"
                ));
                match self.user(node, name) {
                    Some((grants, Some(known))) if known == password.as_bytes() => {
                        return Ok(Caller { auth: "user", name: name.to_owned(), grants });
                    }
                    Some(_) => tried.push(format!("invalid user {name}: wrong password")),
                    None => tried.push(format!("invalid user {name}: does not exist")),
                }
            }
            _ => {
                tried.push("strategies/token: Invalid token".to_owned());
                tried.push(no_basic.to_owned());
            }
        }
        match certificate.map(|name| (name, self.user(node, name))) {
            Some((name, Some((grants, _)))) => {
                return Ok(Caller { auth: "x509", name: name.to_owned(), grants });
            }
            Some((name, None)) => tried.push(format!("strategy/x509: no user {name}")),
            None => tried.push("strategy/x509: Invalid request, missing TLS parameters".to_owned()),
        }
        Err(format!("strategies/union: [{}]", tried.join(", ")))
    }

    /// Grants and password of a user.
    fn user(&self, node: &str, name: &str) -> Option<(Vec<String>, Option<Vec<u8>>)> {
        let inner = self.lock();
        let file = inner.nodes.get(node)?.files.get(&Path::new("system", "usr", name))?;
        let grants = file.stored.keyword("DEFAULT", "grant").unwrap_or_default();
        Some((grants.split_whitespace().map(ToOwned::to_owned).collect(), file.stored.value("password")))
    }

    fn token(&self, text: &str) -> Option<Token> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.tokens.get(text).filter(|token| token.ends_at > Timestamp::now()).cloned()
    }

    /// Gives tokens: the answer to a login, or to a renewal with this token.
    ///
    /// # Errors
    /// Why there are none.
    pub fn give_tokens(
        &self,
        node: &str,
        caller: &Caller,
        renewed: Option<&str>,
        query: &[(String, String)],
    ) -> Result<Value, Refusal> {
        let all_of = |name: &str| -> Vec<&str> {
            query.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
        };
        let one = |name: &str| all_of(name).first().copied();
        let may_login = matches!(caller.auth, "user" | "ux");
        let may_renew = renewed.and_then(|token| self.token(token)).is_some_and(|token| token.is_refresh);
        if !(may_login && renewed.is_none() || may_renew) {
            return Err((403, "Forbidden", "not allowed to create token".to_owned()));
        }
        let lifetime = |name: &str, title: &str, usual: u64, most: u64| match one(name) {
            None => Ok(Duration::from_secs(usual)),
            Some(text) => match seconds(text) {
                Some(seconds) => Ok(Duration::from_secs(seconds.clamp(1, most))),
                None => {
                    let words = format!(
                        "Invalid {title} duration: invalid duration conversion {text}: time: invalid duration \"{text}\""
                    );
                    Err((400, "Invalid parameters", words))
                }
            },
        };
        let access = lifetime("access_duration", "access", 600, 86_400)?;
        let refresh = lifetime("refresh_duration", "refresh", 86_400, 2_592_000)?;
        let roles = all_of("role");
        for role in &roles {
            if !ROLES.contains(role) {
                return Err((
                    400,
                    "Invalid parameters",
                    "Invalid role: unexpected role : bad request".to_owned(),
                ));
            }
        }
        let (subject, all) = match one("subject") {
            Some(_) if !caller.is_root() => {
                return Err((403, "Forbidden", "need one of [root] role".to_owned()));
            }
            Some(subject) => {
                (subject.to_owned(), self.user(node, subject).map(|(grants, _)| grants).unwrap_or_default())
            }
            None if renewed.is_some() => (
                caller.name.clone(),
                self.user(node, &caller.name).map(|(grants, _)| grants).unwrap_or_default(),
            ),
            None => (caller.name.clone(), caller.grants.clone()),
        };
        let grants = narrowed(&all, &roles, one("scope"));
        if grants.is_empty() {
            let words = format!("forbidden\nno grant matching role and scope for username '{}'", caller.name);
            return Err((403, "Create token Forbidden", words));
        }
        let mut answer = Map::new();
        let wants_refresh = one("refresh") == Some("true") && renewed.is_none();
        for (kind, lifetime, is_given) in [("access", access, true), ("refresh", refresh, wants_refresh)] {
            if !is_given {
                continue;
            }
            let ends_at = Timestamp::now() + lifetime;
            let random: [u128; 3] = rand::random();
            let text = format!("eyJ{:032x}.{:032x}.{:032x}", random[0], random[1], random[2]);
            let token = Token {
                subject: subject.clone(),
                grants: grants.clone(),
                is_refresh: kind == "refresh",
                ends_at,
            };
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.tokens.insert(text.clone(), token);
            answer.insert(format!("{kind}_token"), text.into());
            answer.insert(format!("{kind}_expired_at"), ends_at.to_string().into());
        }
        Ok(answer.into())
    }

    /// Ends all tokens, as a change of the cluster's key does.
    pub fn revoke_tokens(&self) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).tokens.clear();
    }

    /// Whether a client may ask now: 20 times a second, 100 at once. It is known by what it says of itself, if it does.
    #[must_use]
    pub fn admits(&self, peer: IpAddr, forwarded_for: Option<&str>) -> bool {
        let name = forwarded_for.map_or_else(|| peer.to_string(), ToOwned::to_owned);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (level, since) = sessions.buckets.entry(name).or_insert((BURST, None));
        let now = Instant::now();
        let elapsed = since.map_or(Duration::ZERO, |since| now.duration_since(since));
        *level = (*level + elapsed.as_secs_f64() * RATE).min(BURST);
        *since = Some(now);
        let is_admitted = *level >= 1.0;
        if is_admitted {
            *level -= 1.0;
        }
        is_admitted
    }
}

/// The grants that remain of all for these roles and this scope.
fn narrowed(all: &[String], roles: &[&str], scope: Option<&str>) -> Vec<String> {
    let implies = |role: &str, scope: &str| {
        let stronger: &[&str] = match role {
            "guest" => &["guest", "operator", "admin", "root"],
            "operator" => &["operator", "admin", "root"],
            "admin" => &["admin", "root"],
            _ => &["root"],
        };
        all.iter().any(|grant| match grant.split_once(':') {
            Some((found, of)) => of == scope && stronger.contains(&found),
            None => stronger.contains(&grant.as_str()) || grant == role,
        })
    };
    match (roles, scope) {
        ([], None) => all.to_vec(),
        ([], Some(scope)) => {
            let strongest = ["admin", "operator", "guest"].into_iter().find(|role| implies(role, scope));
            strongest.map(|role| format!("{role}:{scope}")).into_iter().collect()
        }
        (roles, Some(scope)) => {
            roles.iter().filter(|role| implies(role, scope)).map(|role| format!("{role}:{scope}")).collect()
        }
        (roles, None) => {
            let scopes = all.iter().filter_map(|grant| grant.split_once(':')).map(|(_, scope)| scope);
            let scoped = scopes.flat_map(|scope| {
                roles
                    .iter()
                    .filter(move |role| implies(role, scope))
                    .map(move |role| format!("{role}:{scope}"))
            });
            let whole = roles.iter().filter(|role| implies(role, "")).map(|role| (*role).to_owned());
            whole.chain(scoped).collect()
        }
    }
}

/// Seconds of `90`, `10m`, `1h30m`.
#[must_use]
pub fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let mut total = 0;
    let mut digits = String::new();
    for letter in text.chars() {
        let unit = match letter {
            '0'..='9' => {
                digits.push(letter);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total += std::mem::take(&mut digits).parse::<u64>().ok()? * unit;
    }
    (digits.is_empty() && !text.is_empty()).then_some(total)
}

const ROLES: [&str; 10] = [
    "root",
    "admin",
    "operator",
    "guest",
    "squatter",
    "prioritizer",
    "blacklistadmin",
    "heartbeat",
    "join",
    "leave",
];
const RATE: f64 = 20.0;
const BURST: f64 = 100.0;
