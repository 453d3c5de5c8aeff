//! Snapshots that nobody compiled, checked as in the tests of the crate.

#![no_main]

use igw_crds::snapshot::{Attachment, Snapshot};
use igw_crds::sync::Envelope;
use libfuzzer_sys::fuzz_target;

#[path = "../../../proxy/route/tests/snapshots/mod.rs"]
mod snapshots;

fuzz_target!(|bytes: &[u8]| {
    let envelope = serde_json::from_slice::<Envelope>(bytes).ok().and_then(|envelope| envelope.open().ok());
    let n_tables = [envelope, serde_json::from_slice(bytes).ok()].iter().flatten().map(tables_max).max();
    let n_bytes_max = FIXED_BYTES + FACTOR * bytes.len() as u64 + n_tables.unwrap_or_default();
    igw_fuzz::within(n_bytes_max, bytes, || snapshots::tables(bytes));
});

/// Most bytes of tables: a route is in them once for each host that it is attached to, a pattern once for each port.
fn tables_max(snapshot: &Snapshot) -> u64 {
    let texts: Vec<_> =
        snapshot.routes.iter().map(|route| serde_json::to_string(route).unwrap_or_default()).collect();
    let n_patterns = texts.iter().map(|text| text.matches("Regex").count() as u64).sum::<u64>();
    let listeners = || snapshot.gateways.iter().flat_map(|gateway| &gateway.listeners);
    let of_attachment = |attachment: &Attachment| {
        let n_text = texts.get(attachment.route.0 as usize).map_or(0, String::len) as u64;
        ROUTE_FACTOR * n_text * (attachment.hosts.len() as u64 + 1)
    };
    let routes = listeners().flat_map(|listener| &listener.attachments).map(of_attachment).sum::<u64>();
    let compiling = if n_patterns > 0 { COMPILING_BYTES } else { 0 };
    routes + PATTERN_BYTES * n_patterns * listeners().count() as u64 + compiling
}

/// A list of numbers that is read before its type is known takes 32 bytes for each, and twice the place.
const FACTOR: u64 = 64;
const FIXED_BYTES: u64 = 16 * 1_024;
const ROUTE_FACTOR: u64 = 16;
/// What a compiled pattern takes.
const PATTERN_BYTES: u64 = 80 * 1_024;
/// What one takes besides while it is compiled.
const COMPILING_BYTES: u64 = 512 * 1_024;
