//! Names: where users' objects are, and what the operator's own objects and keys are called.
//!
//! Dots belong to users, dashes to the operator: `igw` and `igw.<anything>` are read and never written by it,
//! `igw-<anything>` is its own.

use igw_crds::objects::{Kind, ObjectKey};
use igw_opensvc::{InstanceSettings, Kind as StoreKind, ObjectPath};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

/// Whether a `cfg` holds users' objects.
#[must_use]
pub fn is_input(path: &ObjectPath) -> bool {
    path.kind() == StoreKind::Cfg && (path.name() == INPUT || path.name().starts_with("igw."))
}

/// Whether an object is one of the operator's.
#[must_use]
pub fn is_ours(path: &ObjectPath) -> bool {
    // Accounts and orders are the reconciler of certificates' own.
    if path.name() == ACME {
        return false;
    }
    let is_kind = matches!(path.kind(), StoreKind::Cfg | StoreKind::Sec | StoreKind::Svc | StoreKind::Vol);
    let is_authority = path.namespace() == SYSTEM && path.kind() == StoreKind::Sec && path.name() == INPUT;
    is_authority || (is_kind && path.name().starts_with("igw-"))
}

/// Name of everything that belongs to one gateway: `igw-<gateway>`, shortened where the cluster would not take it.
#[must_use]
pub fn gateway_object(gateway: &str) -> String {
    let plain = format!("igw-{gateway}");
    let is_taken = matches!(gateway, "status" | "operator" | "acme");
    let is_name = gateway.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b));
    if gateway.len() <= MAX_GATEWAY_NAME && !is_taken && is_name {
        return plain;
    }
    let digest = Sha256::digest(gateway.as_bytes());
    let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let start: String = gateway.chars().take(40).collect();
    format!("igw-{start}-{hex}")
}

/// An object of the cluster; `None` where the cluster takes no such name.
#[must_use]
pub fn path(namespace: &str, kind: StoreKind, name: &str) -> Option<ObjectPath> {
    ObjectPath::new(namespace, kind, name).ok()
}

/// Key under which `igw apply` stores an object: `<kind>/<name>.yaml`.
#[must_use]
pub fn object_key(key: &ObjectKey) -> String {
    format!("{}/{}.yaml", key.kind.singular(), key.name)
}

/// Key of the part of a book, `ledger` or `status`, that holds an object.
#[must_use]
pub fn shard(book: &str, kind: Kind, name: &str) -> String {
    let shard = xxh3_64(name.as_bytes()) % SHARDS;
    format!("{book}/{}/{shard:x}", kind.singular())
}

/// What changes with every write to an object: its checksum alone comes back when an earlier content does.
#[must_use]
pub fn version(settings: &InstanceSettings) -> String {
    format!("{} {}", settings.csum, settings.updated_at)
}

/// Whether `igw apply` may use this as the name of a key.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_key(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.len() > MAX_KEY_NAME {
        return Err(format!("key names have at most {MAX_KEY_NAME} bytes, this one has {}", name.len()));
    }
    if !starts_well || !name.bytes().all(is_plain) {
        return Err(format!(
            "`{name}` cannot name a key; allowed are A-Z a-z 0-9 . _ / -, a letter, digit or _ first"
        ));
    }
    if name.contains("//") || name.contains("..") || name.ends_with('/') {
        return Err(format!("`{name}` cannot name a key; it must not have //, .. or a / at its end"));
    }
    Ok(())
}

/// Name of the `cfg` that users write where they choose no other.
pub const INPUT: &str = "igw";
/// Namespace of what belongs to the whole cluster.
pub const SYSTEM: &str = "system";
/// `cfg` of a namespace with ages and statuses.
pub const STATUS: &str = "igw-status";
/// `cfg` in [`SYSTEM`] with the operator's term.
pub const OPERATOR: &str = "igw-operator";
/// `sec` in [`SYSTEM`] with ACME accounts and orders.
pub const ACME: &str = "igw-acme";
/// Key of the operator's term.
pub const TERM: &str = "term.json";
/// Book of identities and ages.
pub const LEDGER_BOOK: &str = "ledger";
/// Book of statuses.
pub const STATUS_BOOK: &str = "status";
/// Book of addresses that gateways have from pools.
pub const LEASE_BOOK: &str = "leases";
/// Key of [`SYSTEM`]'s [`STATUS`] that says how clients of the dialect reach the operator.
pub const KUBECONFIG: &str = "kubeconfig.json";
/// Parts of a book per kind: one object's change writes one part.
const SHARDS: u64 = 16;
/// Longest name of a gateway that is taken as it is.
const MAX_GATEWAY_NAME: usize = 58;
const MAX_KEY_NAME: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_belong_to_users_and_dashes_to_the_operator() {
        let cases = [
            ("shop/cfg/igw", true, false),
            ("shop/cfg/igw.team-a", true, false),
            ("shop/cfg/igw-status", false, true),
            ("shop/svc/igw-public", false, true),
            ("shop/svc/igw", false, false),
            ("shop/cfg/igwx", false, false),
            ("shop/sec/igw", false, false),
            ("system/sec/igw", false, true),
            ("shop/usr/igw-a", false, false),
            ("system/sec/igw-acme", false, false),
        ];
        for (text, input, ours) in cases {
            let path: ObjectPath = text.parse().unwrap();
            assert_eq!((is_input(&path), is_ours(&path)), (input, ours), "{text}");
        }
    }

    #[test]
    fn names_that_are_taken_or_too_long_are_shortened_with_a_hash() {
        assert_eq!(gateway_object("public"), "igw-public");
        assert_eq!(gateway_object(&"a".repeat(58)).len(), 62);
        let status = gateway_object("status");
        assert!(status.starts_with("igw-status-") && status.len() == 19, "{status}");
        let long = gateway_object(&"a".repeat(59));
        assert_eq!(long.len(), 4 + 40 + 1 + 8);
        assert_ne!(long, gateway_object(&"a".repeat(60)));
    }

    #[test]
    fn key_names_are_plain() {
        for good in ["gateway/a.yaml", "_x", "a-b/c_d.e", &"a".repeat(512)] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        for bad in ["", ".a", "[x", "a b", "a//b", "../a", "a/", "é", &"a".repeat(513)] {
            assert!(check_key(bad).is_err(), "{bad}");
        }
    }
}
