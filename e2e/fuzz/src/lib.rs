//! What all targets check besides their properties: how much memory an input can make a parser hold.

/// Runs what reads `input`, and fails if it ever holds more than ten bytes for each of the input, and [`FIXED_BYTES`].
pub fn bounded<T>(input: &[u8], read: impl FnOnce() -> T) {
    let held = allocation_counter::measure(|| drop(read())).bytes_max;
    let most = FIXED_BYTES + FACTOR * input.len() as u64;
    assert!(held <= most, "{held} bytes are held for an input of {}", input.len());
}

const FACTOR: u64 = 10;
/// What the first fields of a list and the text of an error take, however short the input is.
const FIXED_BYTES: u64 = 4_096;
