//! Rules of time spans.

use serde_json::Value;

use super::Broken;
use super::common::text;

/// A request to a back end ends before the whole request does.
pub(super) fn timeouts(now: &Value, _: Option<&Value>) -> Option<Broken> {
    let (request, backend) = (now.get("request")?.as_str()?, now.get("backendRequest")?.as_str()?);
    let (Some(whole), Some(part)) = (nanoseconds(request), nanoseconds(backend)) else {
        return Some(Broken::new("", "one of the times is none").hints("correct it"));
    };
    let is_broken = whole != 0 && part > whole;
    is_broken.then(|| {
        Broken::new(".backendRequest", format!("{} is longer than `request`", text(now, "backendRequest")))
            .hints(format!("at most {request}"))
    })
}

/// A time span within bounds.
pub(super) fn within(now: &Value, min: i128, max: i128) -> Option<Broken> {
    let span = now.as_str()?;
    let is_fine = nanoseconds(span).is_some_and(|span| (min..=max).contains(&span) || span < 0 && min <= 1);
    let allowed = if min == SECOND { "1s to 1h" } else { "more than 0s, and at most 1h" };
    (!is_fine).then(|| Broken::new("", format!("{span} is out of range")).allows(allowed))
}

/// A time span as rules read it, which take more forms than fields do: a sign, fractions, and more units.
fn nanoseconds(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) if text.starts_with('-') => (-1, rest),
        Some(rest) => (1, rest),
        None => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i128;
    let mut is_empty = true;
    while !rest.is_empty() {
        is_empty = false;
        let end = rest
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end =
            tail.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty())
            || whole.len() > DIGITS_MAX
            || fraction.len() > DIGITS_MAX
        {
            return None;
        }
        let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
        total += digits(whole)? * factor;
        let places = u32::try_from(fraction.len()).ok()?;
        total += digits(fraction)? * factor / 10_i128.pow(places);
        rest = tail;
    }
    let total = sign * total;
    (!is_empty && i64::try_from(total).is_ok()).then_some(total)
}

/// A second in nanoseconds.
pub(super) const SECOND: i128 = 1_000_000_000;
/// An hour in nanoseconds.
pub(super) const HOUR: i128 = 3600 * SECOND;
/// Units of time in nanoseconds.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", HOUR),
];
/// Digits of a number beyond which no time span reaches.
const DIGITS_MAX: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_rules_read_them() {
        for (text, expected) in [
            ("1h30m", Some(5400 * SECOND)),
            ("1.5s", Some(1_500_000_000)),
            ("-2ms", Some(-2_000_000)),
            ("0", Some(0)),
            ("", None),
            ("1", None),
            ("1x", None),
            (".s", None),
        ] {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
    }
}
