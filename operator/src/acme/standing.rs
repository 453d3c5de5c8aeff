//! How certificates and issuers stand, and the conditions that say so.

use std::collections::BTreeMap;
use std::sync::Arc;

use igw_compile::Status;
use igw_compile::issued::{Wish, Wishes};
use igw_compile::status::{CertificateStatus, Condition, IssuerStatus};
use igw_crds::objects::{Kind, ObjectKey};
use igw_crds::snapshot::Challenge;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;

use super::plan::Held;
use super::record::{Record, Stage};
use crate::certificates::vault::Place;

/// What the reconciler of certificates shows.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    /// What every proxy is to answer.
    pub challenges: Vec<Challenge>,
    /// Keys of the challenges' certificates, by fingerprint.
    pub keys: BTreeMap<String, SecretString>,
    /// By Secret.
    pub certificates: BTreeMap<Place, Standing>,
    /// What is wrong with issuers, by namespace and name; nothing if all is well.
    pub issuers: BTreeMap<(String, String), Option<String>>,
    /// Counts changes of Secrets.
    pub n_stored: u64,
}

/// How a certificate stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// What the Secret holds.
    pub held: Option<Held>,
    /// The Secret is not igw's.
    pub is_foreign: bool,
    /// When it is renewed.
    pub renews_at: Option<Timestamp>,
    /// What is going on, in words; empty if nothing is.
    pub under_way: String,
    /// Why the last try failed.
    pub error: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
}

/// A certificate as `igw cert` shows it.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Namespace.
    pub namespace: String,
    /// Name of the Secret.
    pub secret: String,
    /// The object that wants it, as `<Kind>/<name>`.
    pub owner: String,
    /// Names.
    pub hostnames: Vec<String>,
    /// Issuer.
    pub issuer: String,
    /// `True` if the real certificate is held and good.
    pub ready: String,
    /// Reason of `ready`.
    pub reason: String,
    /// In words.
    pub message: String,
    /// Serial number.
    pub serial: Option<String>,
    /// End of validity.
    pub not_after: Option<Timestamp>,
    /// When it is renewed.
    pub renews_at: Option<Timestamp>,
}

// === impl Standing ===

impl Standing {
    /// What is going on, by a record.
    #[must_use]
    pub fn words(record: &Record, pause: Option<Timestamp>) -> String {
        let Some(order) = &record.order else { return String::new() };
        let names = record.pending().map(|one| format!("{} by {}", one.hostname, one.method.as_str()));
        let names: Vec<String> = names.collect();
        let what = match &order.stage {
            Stage::Proving if names.is_empty() => "reading what is to be proven".to_owned(),
            Stage::Proving => format!("proving {}", names.join(", ")),
            Stage::Proven => "all names are proven; the signing request goes next".to_owned(),
            Stage::Processing => "the authority makes the certificate".to_owned(),
            Stage::Issued(_) => "the certificate is there; fetching it".to_owned(),
        };
        match pause {
            Some(until) => format!("{what}; the authority wants no request before {until}"),
            None => what,
        }
    }

    fn conditions(&self, wish: &Wish, now: Timestamp) -> Vec<Condition> {
        let generation = wish.generation;
        let retry = match self.retry_at.filter(|at| *at > now) {
            Some(at) => format!("; next try at {at}, or at once with `igw cert renew`"),
            None => String::new(),
        };
        let ready = if let Some((reason, message)) = &wish.refused {
            Condition::no("Ready", reason, message.clone(), generation)
        } else if self.is_foreign {
            let message =
                "the Secret was not made by igw and stays as it is; remove it, or choose another name";
            Condition::no("Ready", "SecretNotOurs", message, generation)
        } else {
            match &self.held {
                Some(held) if held.is_bootstrap => {
                    let message =
                        "a certificate that signs itself fills the time until the real one is there";
                    Condition::no("Ready", "Bootstrap", message, generation)
                }
                Some(held) if held.not_after <= now => {
                    let message = format!("the certificate expired at {}", held.not_after);
                    Condition::no("Ready", "Expired", message, generation)
                }
                Some(held) => {
                    let renewal =
                        self.renews_at.map(|at| format!("; it is renewed at {at}")).unwrap_or_default();
                    let message = format!("valid until {}{renewal}", held.not_after);
                    Condition::yes("Ready", "Issued", message, generation)
                }
                None => Condition::no("Ready", "Pending", "there is no certificate yet", generation),
            }
        };
        let issuing = if wish.refused.is_some() || self.is_foreign {
            Condition::no("Issuing", "Refused", "nothing is asked for", generation)
        } else if !self.under_way.is_empty() {
            Condition::yes("Issuing", "Ordered", self.under_way.clone(), generation)
        } else if let Some(error) = &self.error {
            Condition::no("Issuing", "Failed", format!("{error}{retry}"), generation)
        } else {
            Condition::no("Issuing", "Idle", "nothing is due", generation)
        };
        vec![ready, issuing]
    }
}

/// Adds the statuses of Certificates and CertificateIssuers, and tells Gateways that name an issuer how their
/// certificates stand. `issuers` come with their generations.
pub fn statuses<'k>(
    issuers: impl Iterator<Item = (&'k ObjectKey, u64)>,
    wishes: &Wishes,
    outputs: &Outputs,
    now: Timestamp,
    told: &mut Vec<(ObjectKey, Arc<Status>)>,
) {
    let granted = wishes.by_secret.iter().map(|(place, wish)| (place, wish, outputs.certificates.get(place)));
    let beaten = wishes.beaten.iter().map(|(place, wish)| (place, wish, None));
    let mut of_gateways: BTreeMap<&ObjectKey, Vec<(&Place, Condition)>> = BTreeMap::new();
    for (place, wish, standing) in granted.chain(beaten) {
        let standing = standing.cloned().unwrap_or_default();
        let mut conditions = standing.conditions(wish, now);
        if wish.owner.kind == Kind::Gateway {
            // One condition per certificate: that of what is going on, if the certificate is not there for a reason.
            let is_failing = conditions.get(1).is_some_and(|issuing| issuing.reason == "Failed");
            let condition = conditions.swap_remove(usize::from(is_failing));
            of_gateways.entry(&wish.owner).or_default().push((place, condition));
            continue;
        }
        let held = standing.held.as_ref();
        let status = CertificateStatus {
            conditions,
            serial_number: held.map(|held| held.serial.clone()),
            not_before: held.map(|held| held.not_before.to_string()),
            not_after: held.map(|held| held.not_after.to_string()),
            renewal_time: standing.renews_at.map(|at| at.to_string()),
        };
        told.push((wish.owner.clone(), Arc::new(Status::Certificate(status))));
    }
    if !of_gateways.is_empty() {
        for (key, status) in told.iter_mut() {
            if let Some(certificates) = of_gateways.get(key)
                && let Status::Gateway(gateway) = Arc::make_mut(status)
            {
                gateway.conditions.extend(all_ready(certificates));
            }
        }
    }
    for (key, generation) in issuers {
        let place = (key.namespace.to_string(), key.name.to_string());
        let ready = match outputs.issuers.get(&place) {
            Some(None) => Condition::yes("Ready", "Ready", "certificates can be asked for", generation),
            Some(Some(why)) => Condition::no("Ready", "Failed", why.clone(), generation),
            None => {
                Condition::unknown("Ready", "Pending", "nobody has asked it for anything yet", generation)
            }
        };
        told.push((key.clone(), Arc::new(Status::Issuer(IssuerStatus { conditions: vec![ready] }))));
    }
}

/// What a Gateway is told of the certificates that its issuer is to make: those that are not there, if there are any.
fn all_ready(certificates: &[(&Place, Condition)]) -> Option<Condition> {
    let mut bad = certificates
        .iter()
        .filter(|(_, condition)| condition.status != "True" || condition.r#type != "Ready");
    let Some((_, first)) = bad.clone().next() else {
        let (_, any) = certificates.first()?;
        return Some(Condition::yes(
            CERTIFICATES_READY,
            "Issued",
            "every listener's certificate is there",
            any.observed_generation,
        ));
    };
    let message =
        bad.by_ref().map(|((_, secret), condition)| format!("Secret {secret}: {}", condition.message));
    let message = message.collect::<Vec<String>>().join("; ");
    Some(Condition::no(CERTIFICATES_READY, first.reason, message, first.observed_generation))
}

/// Certificates as `igw cert` shows them.
#[must_use]
pub fn shown(wishes: &Wishes, outputs: &Outputs, now: Timestamp) -> Vec<Shown> {
    let granted = wishes.by_secret.iter().map(|(place, wish)| (place, wish, outputs.certificates.get(place)));
    let beaten = wishes.beaten.iter().map(|(place, wish)| (place, wish, None));
    let rows = granted.chain(beaten).map(|((namespace, secret), wish, standing)| {
        let standing = standing.cloned().unwrap_or_default();
        let conditions = standing.conditions(wish, now);
        let (ready, issuing) = (conditions.first(), conditions.get(1));
        let mut message = ready.map(|ready| ready.message.to_string()).unwrap_or_default();
        if let Some(issuing) = issuing.filter(|issuing| matches!(issuing.reason, "Ordered" | "Failed")) {
            message.push_str(&format!("; {}", issuing.message));
        }
        Shown {
            namespace: namespace.clone(),
            secret: secret.clone(),
            owner: format!("{}/{}", wish.owner.kind, wish.owner.name),
            hostnames: wish.hostnames.clone(),
            issuer: wish.issuer.clone(),
            ready: ready.map(|ready| ready.status).unwrap_or_default().to_owned(),
            reason: ready.map(|ready| ready.reason).unwrap_or_default().to_owned(),
            message,
            serial: standing.held.as_ref().map(|held| held.serial.clone()),
            not_after: standing.held.as_ref().map(|held| held.not_after),
            renews_at: standing.renews_at,
        }
    });
    rows.collect()
}

/// Condition of a Gateway whose annotation names an issuer.
const CERTIFICATES_READY: &str = "CertificatesReady";
