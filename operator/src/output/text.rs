//! Small pieces of text: ages, lists, writing to a pipe that may be closed.

use std::io::{self, Write};

use jiff::Timestamp;

/// Writes to standard output. A reader that has seen enough is no error.
///
/// # Errors
/// The system's, but a closed pipe.
pub fn emit(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes to standard error, where a failure has nobody to be told to.
pub fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The time since `created` as kubectl writes it: `5s`, `3m20s`, `4h`, `2d`.
#[must_use]
pub fn age(created: Option<Timestamp>, now: Timestamp) -> String {
    let Some(created) = created else { return "<unknown>".into() };
    let seconds = (now.as_second() - created.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let pair = |whole: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
    };
    match seconds {
        ..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        _ => pair(days / 365, "y", days % 365, "d"),
    }
}

/// The parts with commas between, or `<none>`.
#[must_use]
pub fn list(parts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let joined = parts.into_iter().fold(String::new(), |mut text, part| {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(part.as_ref());
        text
    });
    if joined.is_empty() { "<none>".into() } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_as_kubectl_writes_them() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let cases = [
            (5, "5s"),
            (119, "119s"),
            (200, "3m20s"),
            (180, "3m"),
            (900, "15m"),
            (11_000, "3h3m"),
            (40_000, "11h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
            (70_000_000, "2y80d"),
            (-5, "0s"),
        ];
        for (seconds, want) in cases {
            let created = Timestamp::from_second(1_000_000_000 - seconds).unwrap();
            assert_eq!(age(Some(created), now), want, "{seconds}");
        }
        assert_eq!(age(None, now), "<unknown>");
    }

    #[test]
    fn an_empty_list_says_so() {
        assert_eq!(list(["a", "b"]), "a,b");
        assert_eq!(list(Vec::<String>::new()), "<none>");
    }
}
