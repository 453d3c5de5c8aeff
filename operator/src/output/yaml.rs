//! JSON values as YAML, for `-o yaml`.
//!
//! Block style, two blanks, keys in the map's order. A string is left plain only where no YAML reader, 1.1
//! or 1.2, could take it for something else; the rest is double-quoted with JSON's escapes, which are YAML's.

use serde_json::Value;

/// The value as a document, with a final line end.
#[must_use]
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut text),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut text),
        _ => {
            text.push_str(&scalar(value));
            text.push('\n');
        }
    }
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (index, (key, value)) in map.iter().enumerate() {
                // The first key of an item stands behind its dash.
                if index > 0 || !text.ends_with("- ") {
                    text.push_str(&indent);
                }
                text.push_str(&string(key));
                text.push(':');
                nested(value, depth, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                text.push_str(&indent);
                text.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        text.push(' ');
                        block(item, depth + 1, text);
                    }
                    _ => nested(item, depth + 1, text),
                }
            }
        }
        other => text.push_str(&scalar(other)),
    }
}

fn nested(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, depth, text);
        }
        other => {
            text.push(' ');
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => string(text),
        Value::Object(_) => "{}".into(),
        Value::Array(_) => "[]".into(),
        other => other.to_string(),
    }
}

fn string(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { Value::from(text).to_string() }
}

fn is_plain(text: &str) -> bool {
    let first_is_safe = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let all_are_safe = text.chars().all(|c| c.is_ascii_alphanumeric() || " /_.-+()".contains(c));
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    first_is_safe && all_are_safe && !is_word && !text.ends_with(' ')
}

/// Words that some reader takes for a boolean, a null or a number.
const WORDS: [&str; 13] =
    ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity", "none"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_in_block_style() {
        let value = json!({
            "a": {"b": [1, {"c": "x", "d": []}, [2, 3]], "e": {}},
            "f": null, "g": "on", "h": "1", "i": "a: b", "j": "two\nlines", "k": true, "m": "plain text",
        });
        let want = "a:\n  b:\n  - 1\n  - c: x\n    d: []\n  -\n    - 2\n    - 3\n  e: {}\nf: null\ng: \"on\"\n\
                    h: \"1\"\ni: \"a: b\"\nj: \"two\\nlines\"\nk: true\nm: plain text\n";
        assert_eq!(document(&value), want);
        assert_eq!(document(&json!({})), "{}\n");
    }
}
