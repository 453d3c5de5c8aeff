//! Hostnames: which match, and what two of them have in common (semantics A.6).

/// What a listener's and a route's hostname have in common; `None` if nothing. An absent hostname is every host.
pub(crate) fn intersect<H: AsRef<str>>(listener: Option<H>, route: Option<H>) -> Option<Option<H>> {
    match (listener, route) {
        (None, one) | (one, None) => Some(one),
        (Some(listener), Some(route)) if covers(listener.as_ref(), route.as_ref()) => Some(Some(route)),
        (Some(listener), Some(route)) if covers(route.as_ref(), listener.as_ref()) => Some(Some(listener)),
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
        assert_eq!(intersect(listener, route), expected);
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
