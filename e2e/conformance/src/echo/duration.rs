//! Spans of time as Go writes them, because the suite puts them into paths: `300ms`, `1.5s`, `1h2m`.

use std::time::Duration;

/// Reads a span, or nothing where the text is none.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let span = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(span)?;
        rest = next;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_go_writes_them() {
        let good = [("1s", 1_000), ("300ms", 300), ("1.5s", 1_500), ("1h2m3s", 3_723_000), ("0s", 0)];
        for (text, ms) in good {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "1", "s", "1x", "-1s", "1..2s", "1s2"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
