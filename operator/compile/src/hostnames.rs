//! Hostnames: which match, and what two of them have in common (semantics A.6).

/// What a listener's and a route's hostname have in common; `None` if nothing. An absent hostname is every host.
pub(crate) fn intersect(listener: Option<&str>, route: Option<&str>) -> Option<Option<String>> {
    match (listener, route) {
        (None, route) => Some(route.map(str::to_owned)),
        (listener, None) => Some(listener.map(str::to_owned)),
        (Some(listener), Some(route)) if covers(listener, route) => Some(Some(route.to_owned())),
        (Some(listener), Some(route)) if covers(route, listener) => Some(Some(listener.to_owned())),
        _ => None,
    }
}

/// True if every host that `narrow` means is one that `wide` means.
fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_prefix('*') {
        Some(suffix) => match narrow.strip_prefix('*') {
            Some(narrow_suffix) => narrow_suffix.ends_with(suffix),
            // A wildcard stands for one or more labels.
            None => narrow.len() > suffix.len() && narrow.ends_with(suffix),
        },
        None => wide == narrow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listener: Option<&str>, route: Option<&str>, expected: Option<Option<&str>>) {
        assert_eq!(intersect(listener, route), expected.map(|name| name.map(str::to_owned)));
    }

    #[test]
    fn intersections_follow_the_table() {
        check(None, Some("a.example.com"), Some(Some("a.example.com")));
        check(Some("a.example.com"), None, Some(Some("a.example.com")));
        check(None, None, Some(None));
        check(Some("a.example.com"), Some("a.example.com"), Some(Some("a.example.com")));
        check(Some("*.example.com"), Some("a.b.example.com"), Some(Some("a.b.example.com")));
        check(Some("*.example.com"), Some("example.com"), None);
        check(Some("a.example.com"), Some("*.example.com"), Some(Some("a.example.com")));
        check(Some("*.foo.example.com"), Some("*.example.com"), Some(Some("*.foo.example.com")));
        check(Some("*.example.com"), Some("*.foo.example.com"), Some(Some("*.foo.example.com")));
        check(Some("*.example.com"), Some("*.badexample.com"), None);
        check(Some("a.example.com"), Some("b.example.com"), None);
    }
}
