//! What a file of an object may say: for everybody, and for those who are not root.

use crate::callers::Caller;
use crate::path::Path;
use crate::stored::Stored;

/// Why a path names no object.
#[must_use]
pub fn bad_path(path: &Path) -> Option<String> {
    let is_word = |text: &str| {
        !text.is_empty()
            && text.len() <= 253
            && !text.starts_with(['-', '.'])
            && !text.ends_with(['-', '.'])
            && text.chars().all(|letter| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.')
            })
    };
    if !KINDS.contains(&path.kind.as_str()) {
        return Some(format!("invalid path: invalid kind {}", path.kind));
    }
    for name in [&path.name, &path.namespace] {
        if name.chars().any(|letter| letter.is_ascii_uppercase()) {
            return Some(format!("invalid path: uppercase letters are not allowed in path name: {name}"));
        }
        if !is_word(name) {
            return Some(format!("invalid path: invalid name {name} (rfc952)"));
        }
    }
    None
}

/// Whether a keyword has a value that it cannot have.
#[must_use]
pub fn is_invalid(stored: &Stored) -> bool {
    let is_one_of = |keyword: &str, values: &[&str]| {
        stored.keyword("DEFAULT", keyword).is_none_or(|value| values.contains(&value))
    };
    !(is_one_of("topology", &["failover", "flex"]) && is_one_of("orchestrate", &["no", "ha", "start"]))
}

/// Why a caller who is not root may not write this.
#[must_use]
pub fn denial(caller: &Caller, stored: &Stored) -> Option<String> {
    if caller.is_root() {
        return None;
    }
    for (section, entries) in &stored.sections {
        let driver = section.split('#').next().unwrap_or_default();
        let kind = stored.keyword(section, "type");
        for entry in entries {
            let bare = entry.name.split('@').next().unwrap_or_default();
            let told =
                if section == "DEFAULT" { bare.to_owned() } else { format!("{section}.{}", entry.name) };
            let denied = |what: &str| Some(format!("denied: {told}={}: {what} the root grant", entry.value));
            let is_trigger = ["pre_", "post_", "blocking_"].iter().any(|start| bare.starts_with(start));
            if is_trigger {
                return denied("trigger requires");
            }
            match driver {
                "DEFAULT" if bare == "monitor_action" => {
                    return Some(format!("denied: {told}=[{}]: requires the root grant", entry.value));
                }
                "DEFAULT" if bare == "priority" => {
                    return Some(format!("denied: {told}={}: requires the prioritizer grant", entry.value));
                }
                "DEFAULT" | "env" | "volume" => {}
                "ip" if kind == Some("cni") => {}
                "fs" if kind == Some("flag") => {}
                "container" | "task" if matches!(kind, Some("oci" | "docker" | "podman")) => {
                    if bare == "run_args" {
                        return denied("requires");
                    }
                }
                "ip" | "fs" | "container" | "task" => {
                    if bare == "type" {
                        return denied("type requires");
                    }
                }
                _ => return denied("this driver group requires"),
            }
        }
    }
    None
}

const KINDS: [&str; 7] = ["svc", "vol", "cfg", "sec", "usr", "nscfg", "ccfg"];
