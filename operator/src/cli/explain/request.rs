//! The request that is asked about, as the tables see it.

use std::net::IpAddr;

use igw_route::{RequestView, normalize};

use crate::cli::{Exit, Failure};

/// A request from the command line.
#[derive(Debug)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Host as written, with its port.
    pub written_host: String,
    /// Host as matched.
    pub host: Vec<u8>,
    /// Port of the URL, if it names one.
    pub port: Option<u16>,
    /// Address that the URL names as host.
    pub address: Option<IpAddr>,
    /// Path as written.
    pub written_path: String,
    /// Path as matched and forwarded.
    pub path: Vec<u8>,
    /// Query without `?`.
    pub query: Option<String>,
    /// Fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Client.
    pub client: Option<IpAddr>,
}

// === impl Request ===

impl Request {
    /// Understands method, URL and fields.
    ///
    /// # Errors
    /// [`Exit::Usage`], saying what is wrong with which argument.
    pub fn parse(
        method: &str,
        url: &str,
        headers: &[String],
        client: Option<IpAddr>,
    ) -> Result<Self, Failure> {
        let usage = |message: String| Failure::new(Exit::Usage, message);
        if method.is_empty()
            || !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
        {
            return Err(usage(format!("{method:?} is not a method")));
        }
        let rest = url.strip_prefix("http://").ok_or_else(|| {
            usage(format!("{url}: write http://host[:port]/path (this version serves plain HTTP)"))
        })?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() { "/" } else { path };
        let mut fields = Vec::new();
        for header in headers {
            let (name, value) = header
                .split_once(':')
                .filter(|(name, _)| !name.trim().is_empty())
                .ok_or_else(|| usage(format!("{header:?}: write 'Name: value'")))?;
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
        let written_host =
            fields.iter().find(|(name, _)| name == "host").map_or(authority, |(_, value)| value).to_owned();
        let mut scratch = Vec::new();
        let host = normalize::host(written_host.as_bytes(), &mut scratch)
            .map_err(|_| usage(format!("{written_host:?} is not a host; the gateway answers 400")))?
            .to_vec();
        let mut scratch = Vec::new();
        let normal_path = normalize::path(path.as_bytes(), &mut scratch)
            .map_err(|_| usage(format!("{path:?} is not a path; the gateway answers 400")))?
            .to_vec();
        let port = port_of(authority).map_err(|()| usage(format!("{authority:?} has no valid port")))?;
        Ok(Self {
            method: method.to_owned(),
            written_host,
            host,
            port,
            address: address_of(authority),
            written_path: path.to_owned(),
            path: normal_path,
            query: query.map(ToOwned::to_owned),
            headers: fields,
            client,
        })
    }
}

impl RequestView for Request {
    fn host(&self) -> &[u8] {
        &self.host
    }

    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn path(&self) -> &[u8] {
        &self.path
    }

    fn query(&self) -> &[u8] {
        self.query.as_deref().unwrap_or_default().as_bytes()
    }

    fn header(&self, name: &str, each: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.headers.iter().filter(|(field, _)| field == name) {
            each(value.as_bytes());
        }
    }
}

/// A path with its query.
#[must_use]
pub fn with_query(path: &str, query: Option<&str>) -> String {
    query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

fn port_of(authority: &str) -> Result<Option<u16>, ()> {
    let behind_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    match behind_host.rsplit_once(':') {
        Some((_, "")) | None => Ok(None),
        Some((_, port)) => port.parse().map(Some).map_err(|_| ()),
    }
}

fn address_of(authority: &str) -> Option<IpAddr> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => authority.split(':').next()?,
    };
    host.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_the_tables_see() {
        let headers = ["X-A: 1".to_owned(), "x-a:2".to_owned()];
        let request = Request::parse("GET", "http://WWW.Test:8080/a/%7Eb?x=1#frag", &headers, None).unwrap();
        assert_eq!(request.host, b"www.test");
        assert_eq!(request.port, Some(8080));
        assert_eq!(request.path, b"/a/~b");
        assert_eq!(request.query.as_deref(), Some("x=1"));
        let mut values = Vec::new();
        request.header("x-a", &mut |value| values.push(value.to_vec()));
        assert_eq!(values, [b"1", b"2"]);
    }

    #[test]
    fn addresses_and_missing_parts() {
        let request = Request::parse("GET", "http://[::1]:81?q", &[], None).unwrap();
        assert_eq!((request.port, request.address), (Some(81), "::1".parse().ok()));
        assert_eq!((request.path.as_slice(), request.query.as_deref()), (&b"/"[..], Some("q")));
        let request = Request::parse("GET", "http://127.0.0.1/", &["Host: a.test".into()], None).unwrap();
        assert_eq!((request.host.as_slice(), request.port), (&b"a.test"[..], None));
        for (method, url, header) in [
            ("G T", "http://a/", "a: b"),
            ("GET", "a/", "a: b"),
            ("GET", "http://a:b/", "a: b"),
            ("GET", "http://a/%zz", "a: b"),
            ("GET", "http://a/", "novalue"),
        ] {
            let failure = Request::parse(method, url, &[header.into()], None).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{method} {url} {header}");
        }
    }
}
