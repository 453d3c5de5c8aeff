//! What a server's environment tells the libraries it is linked with, where nobody told them otherwise.

use std::process::Command;

/// Completes the environment of a server that is about to start.
pub(super) fn complete(command: &mut Command) {
    if std::env::var_os(PURGE_DELAY).is_none() {
        command.env(PURGE_DELAY, "0");
    }
    if cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        // What is not Unicode was not meant for the C library.
        let told = std::env::var(TUNABLES).unwrap_or_default();
        if let Some(tunables) = with_vector_copies(&told) {
            command.env(TUNABLES, tunables);
        }
    }
}

/// The tunables with one more: copies use vector registers at every length. From 2 KiB on the C library prefers
/// `rep movsb`, which is slow on AMD Zen where source and target lie alike in their pages (glibc bug 30994), as the records
/// of TLS do: a third of the time of a large answer over TLS. `None` if the tunables decide it already.
fn with_vector_copies(told: &str) -> Option<String> {
    let is_told = told.split(':').any(|tunable| tunable.starts_with(COPIES));
    let separator = if told.is_empty() { "" } else { ":" };
    (!is_told).then(|| format!("{told}{separator}{COPIES}={NEVER}"))
}

/// Milliseconds after which the allocator gives free memory back; it looks at the time only when asked for more, so
/// that an idle server would keep what a burst took.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Length from which on a copy is one instruction, in bytes.
const COPIES: &str = "glibc.cpu.x86_rep_movsb_threshold";
/// More than any copy has.
const NEVER: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunables_are_completed_and_never_overruled() {
        let ours = format!("{COPIES}=1099511627776");
        assert_eq!(with_vector_copies(""), Some(ours.clone()));
        assert_eq!(with_vector_copies("glibc.malloc.check=1"), Some(format!("glibc.malloc.check=1:{ours}")));
        assert_eq!(with_vector_copies("glibc.cpu.x86_rep_movsb_threshold=4096:glibc.malloc.check=1"), None);
    }
}
