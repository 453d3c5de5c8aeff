//! Cross-origin requests: what browsers are told of them (Fetch standard, HTTP extensions; Gateway API HTTPCORSFilter).

use igw_crds::snapshot::Cors;

/// One CORS filter, prepared for look-ups.
pub struct Rules {
    /// All, if any origin may.
    origins: Option<Vec<Pattern>>,
    allows_credentials: bool,
    methods: Names,
    headers: Names,
    exposed: Names,
    max_age: String,
}

/// What a request says of its origin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The one value of `Origin`; none if there are several.
    pub origin: Option<&'a [u8]>,
    /// Values of `Access-Control-Request-Method` and `-Headers`: a browser asks before it sends the request.
    pub preflight: Option<(&'a [u8], Option<&'a [u8]>)>,
}

/// Names of a list.
enum Names {
    None,
    Any,
    Listed(String),
}

struct Pattern {
    scheme: String,
    /// What stands behind `*`, or the whole host.
    host: String,
    is_wildcard: bool,
    port: u16,
}

// === impl Rules ===

impl Rules {
    /// Prepares a filter. An origin that is none matches nothing.
    #[must_use]
    pub fn new(cors: &Cors) -> Self {
        let is_any = cors.origins.iter().any(|origin| origin == "*");
        let origins = cors.origins.iter().filter_map(|origin| Pattern::new(origin)).collect();
        Self {
            origins: (!is_any).then_some(origins),
            allows_credentials: cors.allows_credentials,
            methods: Names::new(&cors.methods),
            headers: Names::new(&cors.headers),
            exposed: Names::new(&cors.exposed),
            max_age: cors.max_age_s.to_string(),
        }
    }

    /// Calls `each` with every field of the answer, by name and value.
    pub fn answer<'a>(&'a self, asked: Asked<'a>, mut each: impl FnMut(&'static str, &'a [u8])) {
        // Where every origin gets the same answer, it may be kept for all of them.
        let is_same_for_all = self.origins.is_none() && !self.allows_credentials;
        if !is_same_for_all {
            each("vary", b"origin");
        }
        let Some(origin) = asked.origin.filter(|origin| self.allows(origin)) else { return };
        each("access-control-allow-origin", if is_same_for_all { b"*" } else { origin });
        if self.allows_credentials {
            each("access-control-allow-credentials", b"true");
        }
        // With credentials a browser takes `*` for a name, so that there is nothing to say.
        if let Some(exposed) = self.named(&self.exposed, None) {
            each("access-control-expose-headers", exposed);
        }
        let Some((method, headers)) = asked.preflight else { return };
        if let Some(methods) = self.named(&self.methods, Some(method)) {
            each("access-control-allow-methods", methods);
        }
        if let Some(headers) = self.named(&self.headers, headers) {
            each("access-control-allow-headers", headers);
        }
        each("access-control-max-age", self.max_age.as_bytes());
    }

    /// A list; in place of all names, with credentials, the ones that were asked for.
    fn named<'a>(&'a self, names: &'a Names, asked: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match names {
            Names::None => None,
            Names::Listed(names) => Some(names.as_bytes()),
            Names::Any if self.allows_credentials => asked,
            Names::Any => Some(b"*"),
        }
    }

    fn allows(&self, origin: &[u8]) -> bool {
        let Some(origins) = &self.origins else { return true };
        let Some((scheme, host, port)) = std::str::from_utf8(origin).ok().and_then(split) else {
            return false;
        };
        origins.iter().any(|pattern| pattern.matches(scheme, host, port))
    }
}

// === impl Names ===

impl Names {
    fn new(names: &[String]) -> Self {
        match names {
            [] => Self::None,
            names if names.iter().any(|name| name == "*") => Self::Any,
            names => Self::Listed(names.join(", ")),
        }
    }
}

// === impl Pattern ===

impl Pattern {
    fn new(origin: &str) -> Option<Self> {
        let (scheme, host, port) = split(origin)?;
        let behind = host.strip_prefix('*');
        Some(Self {
            scheme: scheme.to_owned(),
            host: behind.unwrap_or(host).to_owned(),
            is_wildcard: behind.is_some(),
            port,
        })
    }

    fn matches(&self, scheme: &str, host: &str, port: u16) -> bool {
        let is_host = match host.len().checked_sub(self.host.len()) {
            Some(0) => !self.is_wildcard,
            Some(_) => self.is_wildcard,
            None => false,
        };
        let tail = host.len().saturating_sub(self.host.len());
        is_host
            && port == self.port
            && scheme.eq_ignore_ascii_case(&self.scheme)
            && host.get(tail..).is_some_and(|tail| tail.eq_ignore_ascii_case(&self.host))
    }
}

/// Scheme, host and port of an origin (RFC 6454 section 6.2).
fn split(origin: &str) -> Option<(&str, &str, u16)> {
    let (scheme, rest) = origin.split_once("://")?;
    // The last colon is no port's where it stands inside the brackets of an IPv6 address.
    let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let port = match port {
        Some(port) => port.parse().ok()?,
        None if scheme.eq_ignore_ascii_case("https") => 443,
        None if scheme.eq_ignore_ascii_case("http") => 80,
        None => 0,
    };
    let is_host = !host.is_empty() && !host.contains(['/', '@', '?', '#']);
    is_host.then_some((scheme, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn rules(origins: &[&str], allows_credentials: bool, names: &[&str]) -> Rules {
        Rules::new(&Cors {
            origins: strings(origins),
            allows_credentials,
            methods: strings(names),
            headers: strings(names),
            exposed: strings(names),
            max_age_s: 60,
        })
    }

    fn told(rules: &Rules, origin: &str, preflight: Option<(&str, Option<&str>)>) -> Vec<String> {
        let preflight = preflight.map(|(method, headers)| (method.as_bytes(), headers.map(str::as_bytes)));
        let asked = Asked { origin: Some(origin.as_bytes()), preflight };
        let mut told = Vec::new();
        rules.answer(asked, |name, value| {
            told.push(format!(
                "{}: {}",
                name.trim_start_matches("access-control-"),
                String::from_utf8_lossy(value)
            ));
        });
        told
    }

    #[test]
    fn origins_match_by_scheme_host_and_port() {
        let cases = [
            // Pattern, origin, whether it matches.
            ("https://a.test", "https://a.test", true),
            ("https://a.test", "https://a.test:443", true),
            ("https://a.test:443", "https://a.test", true),
            ("http://a.test", "http://a.test:80", true),
            ("https://a.test", "HTTPS://A.TEST", true),
            ("https://a.test", "http://a.test", false),
            ("https://a.test", "https://a.test:444", false),
            ("https://a.test", "https://b.a.test", false),
            ("https://a.test", "https://a.test.evil", false),
            ("https://a.test", "https://a.test/", false),
            ("https://a.test", "null", false),
            ("https://*.a.test", "https://b.a.test", true),
            ("https://*.a.test", "https://c.b.a.test", true),
            ("https://*.a.test", "https://a.test", false),
            ("https://*.a.test", "https://.a.test", false),
            ("https://*.a.test", "https://ba.test", false),
            ("https://*.a.test", "https://evil/.a.test", false),
            ("https://*.a.test", "https://evil@b.a.test", false),
            ("https://*.a.test:8443", "https://b.a.test:8443", true),
            ("https://*.a.test:8443", "https://b.a.test", false),
            ("https://*", "https://any.test", true),
            ("https://*", "http://any.test", false),
            ("https://*:8443", "https://any.test:8443", true),
            ("http://[::1]:8080", "http://[::1]:8080", true),
            ("http://[::1]", "http://[::1]:80", true),
        ];
        for (pattern, origin, matches) in cases {
            assert_eq!(
                rules(&[pattern], false, &[]).allows(origin.as_bytes()),
                matches,
                "{pattern} and {origin}"
            );
        }
        assert!(!rules(&["https://a.test"], false, &[]).allows(b"https://\xff.a.test"));
        assert!(rules(&["*"], true, &[]).allows(b"null"));
    }

    #[test]
    fn lists_are_told_as_they_are() {
        let rules = rules(&["https://a.test", "https://b.test"], false, &["X", "Y"]);
        let preflight = Some(("PUT", Some("x-more")));
        assert_eq!(
            told(&rules, "https://b.test", preflight),
            [
                "vary: origin",
                "allow-origin: https://b.test",
                "expose-headers: X, Y",
                "allow-methods: X, Y",
                "allow-headers: X, Y",
                "max-age: 60"
            ]
        );
        assert_eq!(
            told(&rules, "https://b.test", None),
            ["vary: origin", "allow-origin: https://b.test", "expose-headers: X, Y"]
        );
        assert_eq!(told(&rules, "https://c.test", preflight), ["vary: origin"]);
    }

    #[test]
    fn all_are_told_as_a_star_without_credentials_alone() {
        let preflight = Some(("PUT", Some("x-more, x-other")));
        assert_eq!(
            told(&rules(&["*"], false, &["*"]), "https://a.test", preflight),
            ["allow-origin: *", "expose-headers: *", "allow-methods: *", "allow-headers: *", "max-age: 60"]
        );
        let with_credentials = rules(&["*"], true, &["*"]);
        assert_eq!(
            told(&with_credentials, "https://a.test", preflight),
            [
                "vary: origin",
                "allow-origin: https://a.test",
                "allow-credentials: true",
                "allow-methods: PUT",
                "allow-headers: x-more, x-other",
                "max-age: 60"
            ]
        );
        assert_eq!(
            told(&with_credentials, "https://a.test", Some(("PUT", None))),
            [
                "vary: origin",
                "allow-origin: https://a.test",
                "allow-credentials: true",
                "allow-methods: PUT",
                "max-age: 60"
            ]
        );
    }

    #[test]
    fn a_request_of_no_origin_is_told_nothing_but_what_it_varies_by() {
        let mut told = Vec::new();
        rules(&["https://a.test"], true, &["X"]).answer(Asked::default(), |name, _| told.push(name));
        assert_eq!(told, ["vary"]);
    }
}
