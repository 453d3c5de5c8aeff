//! What can go wrong, and what to do about it.
//!
//! Every failure says which call it was and which object it was about, names the grant that is missing, and carries
//! a [`Retry`] class. No message holds a token, a password or a value of a key: texts of the daemon, which quote
//! stored values now and then, are masked and shortened first.

use std::fmt;
use std::time::Duration;

use crate::path::ObjectPath;

/// What a caller may do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request fails again until somebody changes something.
    Never,
    /// The same request may work after this wait.
    Later(Duration),
    /// The credentials are not accepted; a new login may help.
    AfterLogin,
    /// This node cannot serve it now; another one may. Also worth another try here, with growing pauses.
    Elsewhere,
}

/// A role, in all namespaces or in one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// `root`, `admin`, `operator`, `guest`, …
    pub role: String,
    /// The namespace, or everywhere.
    pub namespace: Option<String>,
}

/// A list of grants of which one would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants(pub Vec<Grant>);

/// What a failed call was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Method and path of the request, without its query.
    pub call: String,
    /// The object, if the call was about one.
    pub object: Option<Box<ObjectPath>>,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection came about.
    #[error("cannot reach {target}: {cause}")]
    Unreachable {
        /// The address that was tried.
        target: String,
        /// What the system said.
        cause: String,
    },
    /// The answer did not come, or not wholly, in time. Whether a write was done is unknown.
    #[error("{place}: no complete answer within {limit:?}")]
    Timeout {
        /// The call.
        place: Place,
        /// The time allowed.
        limit: Duration,
    },
    /// The connection broke after the request was sent. Whether a write was done is unknown.
    #[error("{place}: connection lost before the answer was complete: {cause}")]
    Lost {
        /// The call.
        place: Place,
        /// What the system said.
        cause: String,
    },
    /// The answer is larger than this client reads.
    #[error("{place}: the answer is larger than {limit} bytes")]
    AnswerTooLarge {
        /// The call.
        place: Place,
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is not what this call answers.
    #[error("{place}: unexpected answer: {cause}")]
    Malformed {
        /// The call.
        place: Place,
        /// What is wrong with it.
        cause: String,
    },
    /// 401: no strategy accepted the credentials.
    #[error("{place}: not authenticated: {detail}")]
    Unauthorized {
        /// The call.
        place: Place,
        /// The daemon's words.
        detail: String,
    },
    /// 403: the credentials are good, a grant is missing.
    #[error("{place}: missing grant, one of: {needs}")]
    Forbidden {
        /// The call.
        place: Place,
        /// The grants of which one would do.
        needs: Grants,
    },
    /// 403 or 500: the daemon refuses this, for reasons other than a grant on the object.
    #[error("{place}: refused: {detail}")]
    Denied {
        /// The call.
        place: Place,
        /// The grant that the contents would need, if the daemon says so: `app` and `data` sections, `ip.host`,
        /// `monitor_action` and others need `root` (§3.1).
        needs: Grants,
        /// The daemon's words.
        detail: String,
    },
    /// 403 `null` or 429: too many requests from this address.
    #[error("{place}: the daemon limits the rate of requests")]
    RateLimited {
        /// The call.
        place: Place,
    },
    /// The daemon does not know the object: it does not exist, was created less than half a second ago, lives on
    /// lost nodes only, or the daemon has just started. Never a proof of deletion.
    #[error("{place}: object not known to the daemon")]
    UnknownObject {
        /// The call.
        place: Place,
    },
    /// The object has no instance on that node.
    #[error("{place}: no such instance")]
    UnknownInstance {
        /// The call.
        place: Place,
    },
    /// The object has no such key.
    #[error("{place}: no key {key:?}")]
    UnknownKey {
        /// The call.
        place: Place,
        /// The name of the key, empty if the daemon did not say.
        key: String,
    },
    /// The cluster has no such node, or it is lost.
    #[error("{place}: no such node, or the node is lost")]
    UnknownNode {
        /// The call.
        place: Place,
    },
    /// The daemon has no such route or method: it is older or newer than this client, or a verb is misspelt.
    #[error("{place}: the daemon has no such call")]
    NoRoute {
        /// The call.
        place: Place,
    },
    /// 409: the object exists already.
    #[error("{place}: the object exists already")]
    ObjectExists {
        /// The call.
        place: Place,
    },
    /// 409 or 500: the key exists already.
    #[error("{place}: key {key:?} exists already")]
    KeyExists {
        /// The call.
        place: Place,
        /// The name of the key.
        key: String,
    },
    /// 409: an orchestration is under way. Its id may have been replaced by this very request (contract §10.2).
    #[error("{place}: orchestration {orchestration} towards {expect:?} is under way")]
    Busy {
        /// The call.
        place: Place,
        /// The id of the running orchestration.
        orchestration: String,
        /// What it works towards; `none` for one that is stuck (contract §10.1).
        expect: String,
    },
    /// 409: the object's state does not allow the action.
    #[error("{place}: not possible now: {detail}")]
    Refused {
        /// The call.
        place: Place,
        /// The daemon's words.
        detail: String,
    },
    /// 408: the daemon did not decide in time. The action may still start.
    #[error("{place}: the daemon did not decide in time")]
    Undecided {
        /// The call.
        place: Place,
    },
    /// 200 with an empty body for a write: it was not done because the daemon does not know the object yet, or it
    /// was done through a node out of the object's scope (contract §6.5). Read back to know.
    #[error("{place}: write not confirmed")]
    NotConfirmed {
        /// The call.
        place: Place,
    },
    /// 413: a value above the daemon's limit, 1,000,000 bytes unless configured otherwise.
    #[error("{place}: value of key {key:?} is too large for the daemon")]
    TooLarge {
        /// The call.
        place: Place,
        /// The name of the key, empty if the daemon did not say.
        key: String,
    },
    /// 400: the daemon does not take the request.
    #[error("{place}: invalid: {detail}")]
    Invalid {
        /// The call.
        place: Place,
        /// The daemon's words.
        detail: String,
    },
    /// 500: the file that stores the object cannot be parsed; only a new file cures it (contract §6.3).
    #[error("{place}: the stored object is damaged: {detail}")]
    Unreadable {
        /// The call.
        place: Place,
        /// The daemon's words.
        detail: String,
    },
    /// A key name that would damage the object or come back as another name (contract §6.3); nothing was sent.
    #[error("{name:?} cannot name a key: {reason}")]
    BadKeyName {
        /// The name, shortened.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// Any other failure of the daemon.
    #[error("{place}: status {status}: {detail}")]
    Server {
        /// The call.
        place: Place,
        /// The status of the answer.
        status: u16,
        /// The daemon's words.
        detail: String,
    },
}

// === impl Error ===

impl Error {
    /// What the caller may do next.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::UnknownNode { .. } => Retry::Elsewhere,
            Self::Timeout { .. } | Self::Lost { .. } => Retry::Later(AFTER_BREAK),
            Self::RateLimited { .. } => Retry::Later(AFTER_LIMIT),
            Self::NotConfirmed { .. } => Retry::Later(AFTER_PUBLICATION),
            Self::UnknownObject { .. } | Self::UnknownInstance { .. } => Retry::Later(AFTER_PUBLICATION),
            Self::Busy { .. } | Self::Undecided { .. } => Retry::Later(AFTER_ACTION),
            Self::Server { status, .. } if *status == 502 || *status == 503 || *status == 504 => {
                Retry::Elsewhere
            }
            Self::Server { status, .. } if *status >= 500 => Retry::Later(AFTER_FAILURE),
            Self::Unauthorized { .. } => Retry::AfterLogin,
            Self::AnswerTooLarge { .. }
            | Self::Malformed { .. }
            | Self::Forbidden { .. }
            | Self::Denied { .. }
            | Self::UnknownKey { .. }
            | Self::NoRoute { .. }
            | Self::ObjectExists { .. }
            | Self::KeyExists { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Invalid { .. }
            | Self::Unreadable { .. }
            | Self::BadKeyName { .. }
            | Self::Server { .. } => Retry::Never,
        }
    }

    /// Whether a write that failed so may have been done all the same: read back before writing again.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Timeout { .. }
            | Self::Lost { .. }
            | Self::AnswerTooLarge { .. }
            | Self::Malformed { .. }
            | Self::NotConfirmed { .. }
            | Self::Undecided { .. } => true,
            Self::Server { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// The grants that are missing, and the object they are missing on.
    pub fn missing_grants(&self) -> Option<(&Grants, Option<&ObjectPath>)> {
        match self {
            Self::Forbidden { place, needs } => Some((needs, place.object.as_deref())),
            Self::Denied { place, needs, .. } if !needs.0.is_empty() => {
                Some((needs, place.object.as_deref()))
            }
            _ => None,
        }
    }

    /// Whether an orchestration is open that works towards nothing. No action ends it; a new file of the object does
    /// (contract §10.1).
    pub fn is_stuck(&self) -> bool {
        matches!(self, Self::Busy { expect, .. } if expect == "none")
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{object}: {}", self.call),
            None => f.write_str(&self.call),
        }
    }
}

// === impl Grants ===

impl Grants {
    /// Reads the list of a refusal: `need one of [admin:edge admin root] grant`.
    pub(crate) fn parse_refusal(detail: &str) -> Option<Self> {
        let (_, rest) = detail.split_once("need one of [")?;
        let (list, _) = rest.split_once(']')?;
        Some(Self(list.split_whitespace().take(MAX_GRANTS).map(Grant::parse).collect()))
    }
}

impl Grants {
    /// Reads the end of a rule on contents: `… requires the root grant`.
    pub(crate) fn parse_rule(detail: &str) -> Self {
        let role = detail.rsplit_once("requires the ").and_then(|(_, rest)| rest.split_once(" grant"));
        Self(role.map(|(role, _)| Grant::parse(role)).into_iter().collect())
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, grant) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { ", " };
            write!(f, "{gap}{grant}")?;
        }
        Ok(())
    }
}

// === impl Grant ===

impl Grant {
    /// Reads `role` or `role:namespace`.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((role, namespace)) => Self { role: role.to_owned(), namespace: Some(namespace.to_owned()) },
            None => Self { role: text.to_owned(), namespace: None },
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}:{namespace}", self.role),
            None => f.write_str(&self.role),
        }
    }
}

/// Masks stored values in a text of the daemon and bounds its length, so that it may stand in a message.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = text.to_owned();
    for marker in ["literal:", "base64:", "crypt:"] {
        while let Some(start) = masked.find(marker) {
            // A reason may follow the value after the last colon; everything before it may be the value.
            let value = masked.get(start..).unwrap_or_default();
            let end =
                value.rfind(": ").filter(|end| *end >= marker.len()).map_or(masked.len(), |end| start + end);
            masked.replace_range(start..end, "(a value)");
        }
    }
    let words: Vec<&str> = masked.split_whitespace().filter(|word| !word.contains("eyJ")).collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(MAX_DETAIL).collect()
}

/// Connections break when a daemon restarts; it answers again after 1.3 s (`verified.md` §3).
const AFTER_BREAK: Duration = Duration::from_secs(2);
/// At 20 requests per second, 40 tokens are back after this time.
const AFTER_LIMIT: Duration = Duration::from_secs(2);
/// The daemon publishes a new object 200 ms after its file was written; its monitor comes within 0.5 s.
const AFTER_PUBLICATION: Duration = Duration::from_millis(300);
/// The shortest orchestrations take 1.2 s.
const AFTER_ACTION: Duration = Duration::from_secs(1);
const AFTER_FAILURE: Duration = Duration::from_secs(1);
const MAX_DETAIL: usize = 400;
const MAX_GRANTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_their_grants() {
        let grants = Grants::parse_refusal("need one of [admin:edge admin root] grant").expect("a list");
        assert_eq!(grants.to_string(), "admin:edge, admin, root");
        assert_eq!(grants.0[0], Grant { role: "admin".to_owned(), namespace: Some("edge".to_owned()) });
        assert_eq!(Grants::parse_refusal("not allowed to create token"), None);
    }

    #[test]
    fn rules_on_contents_name_their_grant_and_stuck_objects_are_known() {
        let rule = "Config validation: denied: ip#1.type=host: type requires the root grant";
        assert_eq!(Grants::parse_rule(rule).to_string(), "root");
        assert_eq!(Grants::parse_rule("no grant matching role and scope"), Grants::default());
        let busy = |expect: &str| Error::Busy {
            place: Place { call: "POST".to_owned(), object: None },
            orchestration: "a".to_owned(),
            expect: expect.to_owned(),
        };
        assert!(busy("none").is_stuck() && !busy("purged").is_stuck());
    }

    #[test]
    fn stored_values_never_stand_in_messages() {
        let text =
            "Config validation: denied: data.a=literal:top secret: this driver group requires the root grant";
        let masked = mask(text);
        assert!(!masked.contains("secret"), "{masked}");
        assert!(masked.ends_with("this driver group requires the root grant"), "{masked}");
        assert!(!mask("unclosed section: [sec = base64:Vgo=\n").contains("Vgo"));
        assert!(!mask("k = crypt:eyJjbHVzdGVy: x: y").contains("eyJ"));
        let two = mask("denied: data.a=literal:first: denied: data.b=literal:second");
        assert!(!two.contains("first") && !two.contains("second"), "{two}");
        assert!(!mask("token eyJhbGciOi.x.y is bad").contains("hbGci"));
        assert!(mask(&"x ".repeat(10_000)).len() <= MAX_DETAIL);
    }

    #[test]
    fn a_refusal_is_final_and_a_limit_is_not() {
        let place = Place { call: "GET /api/node".to_owned(), object: None };
        let limited = Error::RateLimited { place: place.clone() };
        assert!(matches!(limited.retry(), Retry::Later(_)));
        let forbidden = Error::Forbidden { place: place.clone(), needs: Grants::default() };
        assert_eq!(forbidden.retry(), Retry::Never);
        assert_eq!(Error::Unauthorized { place, detail: String::new() }.retry(), Retry::AfterLogin);
    }
}
