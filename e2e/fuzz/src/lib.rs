//! What all targets check besides their properties: how much memory an input can make a parser hold.

/// Runs what reads `input`, and fails if that ever holds more than ten bytes for each of the input, and [`FIXED_BYTES`].
pub fn bounded<T>(input: &[u8], read: impl FnOnce() -> T) -> T {
    within(FIXED_BYTES + FACTOR * input.len() as u64, input, read)
}

/// The same with a bound of its own.
pub fn within<T>(n_bytes_max: u64, input: &[u8], read: impl FnOnce() -> T) -> T {
    let mut outcome = None;
    let held = allocation_counter::measure(|| outcome = Some(read())).bytes_max;
    let n_input = input.len();
    assert!(held <= n_bytes_max, "{held} bytes are held for an input of {n_input}, more than {n_bytes_max}");
    outcome.expect("it was run")
}

const FACTOR: u64 = 10;
/// What the first fields of a list and the text of an error take, however short the input is.
const FIXED_BYTES: u64 = 4_096;
