//! Values of the query of a URL.

/// The first value of a name, decoded.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

/// `+` is a blank, `%2F` a byte. What is no such triple stays as it is.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, next)) = rest.split_first() {
        let byte = next.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = byte.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        rest = if byte.is_some() { next.get(2..).unwrap_or_default() } else { next };
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_decoded() {
        let query = Some("a=1&sinceTime=2026-01-01T00%3A00%3a00Z&b=x+y%&a=2");
        assert_eq!(parameter(query, "a").as_deref(), Some("1"));
        assert_eq!(parameter(query, "sinceTime").as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(parameter(query, "b").as_deref(), Some("x y%"));
        assert_eq!(parameter(query, "c"), None);
        assert_eq!(parameter(None, "a"), None);
    }
}
