//! Columns of tables: kubectl shows what the server makes.

use jiff::Timestamp;
use serde_json::Value;

use crate::tree;

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// What it says.
    pub description: &'static str,
    /// Shown only with `-o wide`.
    pub is_wide: bool,
    /// What stands in it.
    pub cell: Cell,
}

/// What stands in a column.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// The field at a path.
    Field(&'static str),
    /// The status of a condition.
    Condition(&'static str),
    /// Age of the object.
    Age,
    /// Number of entries of maps at these paths.
    Count(&'static [&'static str]),
    /// Anything else.
    Made(fn(&Value) -> Value),
}

// === impl Column ===

impl Column {
    /// A column that is always shown.
    #[must_use]
    pub const fn new(name: &'static str, description: &'static str, cell: Cell) -> Self {
        Self { name, description, is_wide: false, cell }
    }

    /// A column for `-o wide`.
    #[must_use]
    pub const fn wide(name: &'static str, description: &'static str, cell: Cell) -> Self {
        Self { name, description, is_wide: true, cell }
    }

    /// Age.
    #[must_use]
    pub const fn age() -> Self {
        Self::new("Age", "Time since the object was made.", Cell::Age)
    }

    /// Type in words of OpenAPI.
    #[must_use]
    pub fn r#type(&self) -> &'static str {
        match self.cell {
            Cell::Count(_) => "integer",
            _ => "string",
        }
    }
}

// === impl Cell ===

impl Cell {
    /// The cell of an object.
    #[must_use]
    pub fn of(self, object: &Value, now: Timestamp) -> Value {
        match self {
            Self::Field(path) => match tree::at(object, path) {
                None | Some(Value::Null) => Value::String(String::new()),
                Some(list @ (Value::Array(_) | Value::Object(_))) => Value::String(list.to_string()),
                Some(found) => found.clone(),
            },
            Self::Condition(wanted) => {
                let conditions = tree::at(object, "status.conditions").and_then(Value::as_array);
                let status = conditions
                    .into_iter()
                    .flatten()
                    .find(|one| one.get("type").and_then(Value::as_str) == Some(wanted))
                    .and_then(|one| one.get("status"));
                status.cloned().unwrap_or_else(|| Value::String(String::new()))
            }
            Self::Age => Value::String(age(object, now)),
            Self::Count(paths) => {
                let n_entries = |path: &&str| {
                    tree::at(object, path).and_then(Value::as_object).map_or(0, |map| map.len())
                };
                paths.iter().map(n_entries).sum::<usize>().into()
            }
            Self::Made(make) => make(object),
        }
    }
}

fn age(object: &Value, now: Timestamp) -> String {
    let created = tree::at(object, "metadata.creationTimestamp").and_then(Value::as_str);
    let Some(created) = created.and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "<unknown>".to_owned();
    };
    in_short(now.as_second().saturating_sub(created.as_second()).max(0))
}

/// A time span as kubectl shows it: two units for small ones, one for large ones.
fn in_short(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit}{small}{small_unit}"),
    };
    match seconds {
        ..=119 => format!("{seconds}s"),
        120..=599 => two(minutes, "m", seconds % 60, "s"),
        600..=10_799 => format!("{minutes}m"),
        10_800..=28_799 => two(hours, "h", minutes % 60, "m"),
        28_800..=172_799 => format!("{hours}h"),
        172_800..=691_199 => two(days, "d", hours % 24, "h"),
        691_200..=63_071_999 => format!("{days}d"),
        _ => two(days / 365, "y", days % 365, "d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let told = [5, 119, 300, 305, 3599, 10_800, 90_000, 180_000, 900_000].map(in_short);
        assert_eq!(told, ["5s", "119s", "5m", "5m5s", "59m", "3h", "25h", "2d2h", "10d"]);
    }
}
