//! Statuses over time: `lastTransitionTime` is the moment a condition changed its status, not the moment it
//! was computed.

use serde_json::Value;

/// Gives every condition in `status` its time: that of the same condition in `previous` if its status is the
/// same, else `now` (RFC 3339).
pub fn carry_times(previous: Option<&Value>, status: &mut Value, now: &str) {
    match status {
        Value::Object(map) if is_condition(map) => {
            let same = previous.filter(|previous| previous.get("status") == map.get("status"));
            let time = same.and_then(|previous| previous.get(TIME)).and_then(Value::as_str).unwrap_or(now);
            map.insert(TIME.to_owned(), time.into());
        }
        Value::Object(map) => {
            for (key, value) in map {
                carry_times(previous.and_then(|previous| previous.get(key)), value, now);
            }
        }
        Value::Array(items) => {
            let earlier = previous.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            for item in items {
                let same = earlier.iter().find(|earlier| is_same_item(earlier, item));
                carry_times(same, item, now);
            }
        }
        _ => {}
    }
}

fn is_condition(map: &serde_json::Map<String, Value>) -> bool {
    ["type", "status", "reason"].iter().all(|name| map.get(*name).is_some_and(Value::is_string))
}

/// Whether two items of a list are about the same thing.
fn is_same_item(earlier: &Value, item: &Value) -> bool {
    IDENTITIES.iter().all(|name| earlier.get(name) == item.get(name))
}

/// Name of the field.
const TIME: &str = "lastTransitionTime";
/// Fields that tell the items of a list apart.
const IDENTITIES: [&str; 4] = ["type", "name", "parentRef", "ancestorRef"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_changes_with_the_status_alone() {
        let parents = |accepted: &str, reason: &str, time: Option<&str>| {
            let mut condition = json!({"type": "Accepted", "status": accepted, "reason": reason});
            if let Some(time) = time {
                condition["lastTransitionTime"] = time.into();
            }
            json!({"parents": [
                {"parentRef": {"name": "other"}, "conditions": []},
                {"parentRef": {"name": "a"}, "conditions": [condition]},
            ]})
        };
        let mut first = parents("True", "Accepted", None);
        carry_times(None, &mut first, "t1");
        assert_eq!(first, parents("True", "Accepted", Some("t1")));
        let mut second = parents("True", "Changed", None);
        carry_times(Some(&first), &mut second, "t2");
        assert_eq!(second, parents("True", "Changed", Some("t1")));
        let mut third = parents("False", "Changed", None);
        carry_times(Some(&second), &mut third, "t3");
        assert_eq!(third, parents("False", "Changed", Some("t3")));
    }
}
