//! Who clients of a cluster's dialect are, and what they may do: OpenSVC says both.
//!
//! A bearer token is one of OpenSVC. The daemon is asked whose it is, in the token's own name, and its answer holds for
//! a short time; the grants in it decide as they do for the daemon's own calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use igw_kube::{Access, Act, Caller, Failure, Reason, Token, User};
use igw_opensvc::{Client, Credentials, Error, Identity, Settings, Target};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::Daemon;
use crate::cluster::layout::SYSTEM;

/// Asks the daemon.
pub(super) struct Grants {
    daemon: Daemon,
    known: Mutex<HashMap<Digest, Known>>,
    turns: Semaphore,
}

/// What stands for a token where it is remembered.
type Digest = [u8; 32];

/// What the daemon said of a token.
#[derive(Clone)]
struct Known {
    /// Nobody, if it takes the token for none.
    identity: Option<Arc<Identity>>,
    until: Instant,
}

// === impl Grants ===

impl Grants {
    pub(super) fn new(daemon: Daemon) -> Self {
        Self { daemon, known: Mutex::default(), turns: Semaphore::new(TURNS) }
    }

    async fn identity(&self, token: &str) -> Result<Arc<Identity>, Failure> {
        let digest: Digest = Sha256::digest(token.as_bytes()).into();
        let known = match self.remembered(&digest) {
            Some(known) => known,
            None => {
                let busy = || Failure::new(Reason::ServiceUnavailable, "too many logins at once; try again");
                let turn = timeout(PATIENCE, self.turns.acquire()).await;
                let _turn = turn.ok().and_then(Result::ok).ok_or_else(busy)?;
                // Somebody else may have asked meanwhile.
                match self.remembered(&digest) {
                    Some(known) => known,
                    None => self.ask(digest, token).await?,
                }
            }
        };
        known.identity.ok_or_else(|| unauthorized("the cluster does not take this token; log in again"))
    }

    async fn ask(&self, digest: Digest, token: &str) -> Result<Known, Failure> {
        let credentials = Credentials::Token { access: SecretString::from(token.to_owned()), refresh: None };
        let target = Target::Tcp {
            url: self.daemon.url.clone(),
            trust: self.daemon.trust.clone(),
            server_name: self.daemon.server_name.clone(),
            credentials,
        };
        let settings = Settings { budget: Some(self.daemon.budget.clone()), ..Settings::default() };
        let unavailable = |error: String| {
            let message = format!("the cluster cannot be asked whose token this is: {error}");
            Failure::new(Reason::ServiceUnavailable, message)
        };
        let client =
            Client::connect_with(target, &settings).map_err(|error| unavailable(error.to_string()))?;
        let identity = match client.whoami().await {
            Ok(identity) => Some(Arc::new(identity)),
            Err(Error::Unauthorized { .. } | Error::Forbidden { .. }) => None,
            Err(error) => return Err(unavailable(error.to_string())),
        };
        let now = Instant::now();
        let known = Known { identity, until: now + REMEMBERED };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_KNOWN {
            all.retain(|_, known| known.until > now);
        }
        // Whoever floods the door with tokens is asked for anew each time.
        if all.len() < MAX_KNOWN {
            all.insert(digest, known.clone());
        }
        Ok(known)
    }

    fn remembered(&self, digest: &Digest) -> Option<Known> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(digest).filter(|known| known.until > Instant::now()).cloned()
    }
}

impl Access for Grants {
    fn user<'a>(&'a self, _: &'a Caller, token: Option<&'a str>) -> BoxFuture<'a, Result<User, Failure>> {
        Box::pin(async move {
            let token = token.filter(|token| !token.is_empty());
            let token =
                token.ok_or_else(|| unauthorized("show a token of the cluster; `igw token` prints one"))?;
            let identity = self.identity(token).await?;
            Ok(User { name: identity.name.as_str().into(), token: Some(Token::new(token)) })
        })
    }

    fn may<'a>(&'a self, user: &'a User, act: &'a Act<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Some(token) = &user.token else { return false };
            match self.identity(token.expose()).await {
                Ok(identity) => is_granted(&identity, act),
                Err(_) => false,
            }
        })
    }
}

/// Whether grants allow something, by the rules of the daemon: guests of a namespace read, its admins write, and read
/// the values of Secrets. Kinds of the whole cluster rest in `system`.
fn is_granted(identity: &Identity, act: &Act<'_>) -> bool {
    let is_read = matches!(act.verb, "get" | "list" | "watch");
    let is_namespace = act.group.is_empty() && act.plural == "namespaces";
    let role = if is_read && !(act.group.is_empty() && act.plural == "secrets") { "guest" } else { "admin" };
    match (act.namespace, act.name) {
        // Whoever may look into a namespace may know that it is there.
        ("", name) if is_namespace && is_read && !name.is_empty() => identity.has_role("guest", name),
        ("", _) if is_of_cluster(act) => identity.has_role(role, SYSTEM),
        // All namespaces at once: a role without one.
        ("", _) => has_everywhere(identity, role),
        (namespace, _) => identity.has_role(role, namespace),
    }
}

fn has_everywhere(identity: &Identity, role: &str) -> bool {
    // No namespace has this name: what is granted for it is granted for all.
    identity.has_role(role, "*")
}

fn is_of_cluster(act: &Act<'_>) -> bool {
    let found = igw_crds::objects::Kind::ALL
        .into_iter()
        .find(|kind| kind.group() == act.group && kind.plural() == act.plural);
    found.is_some_and(|kind| !kind.is_namespaced())
}

fn unauthorized(message: &str) -> Failure {
    Failure::new(Reason::Unauthorized, message)
}

/// How long an answer holds: what is revoked ends so much later.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Tokens that are remembered.
const MAX_KNOWN: usize = 4096;
/// Questions to the daemon at one time.
const TURNS: usize = 8;
/// How long a client waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn act(verb: &'static str, plural: &'static str, namespace: &'static str) -> Act<'static> {
        let group = match plural {
            "secrets" | "namespaces" => "",
            _ => "gateway.networking.k8s.io",
        };
        Act { verb, group, plural, subresource: "", namespace, name: "" }
    }

    fn may(grants: serde_json::Value, act: Act<'_>) -> bool {
        let identity = serde_json::from_value(json!({"auth": "jwt", "name": "u", "grant": grants})).unwrap();
        is_granted(&identity, &act)
    }

    #[test]
    fn grants_decide_as_for_the_daemon() {
        let guest = || json!({"guest": ["shop"]});
        let admin = || json!({"admin": ["shop"]});
        assert!(may(guest(), act("get", "httproutes", "shop")));
        assert!(!may(guest(), act("create", "httproutes", "shop")));
        assert!(!may(guest(), act("get", "secrets", "shop")));
        assert!(!may(guest(), act("list", "httproutes", "")));
        assert!(!may(guest(), act("list", "gatewayclasses", "")));
        assert!(may(guest(), Act { name: "shop", ..act("get", "namespaces", "") }));
        assert!(!may(guest(), Act { name: "other", ..act("get", "namespaces", "") }));
        for verb in ["create", "patch", "delete"] {
            assert!(may(admin(), act(verb, "httproutes", "shop")));
            assert!(!may(admin(), act(verb, "httproutes", "other")));
            assert!(!may(admin(), act(verb, "gatewayclasses", "")));
        }
        assert!(may(admin(), act("get", "secrets", "shop")));
        assert!(may(json!({"guest": null}), act("list", "httproutes", "")));
        assert!(may(json!({"admin": ["system"]}), act("create", "gatewayclasses", "")));
        assert!(may(json!({"root": null}), act("delete", "secrets", "")));
    }
}
