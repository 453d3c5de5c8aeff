//! The grammar of RFC 3986 that targets and hosts have to match, written from its text alone.

/// Whether a text is `*( pchar / "/" )`.
pub fn is_path(text: &[u8]) -> bool {
    is_made_of(text, |byte| is_pchar(byte) || byte == b'/')
}

/// Whether a text is a query (RFC 3986 3.4).
pub fn is_query(text: &[u8]) -> bool {
    is_made_of(text, |byte| is_pchar(byte) || matches!(byte, b'/' | b'?'))
}

/// Whether a text is a scheme (RFC 3986 3.1).
pub fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// Whether a text is `uri-host [ ":" port ]` (RFC 9110 7.2), which has no user.
pub fn is_host_and_port(text: &[u8]) -> bool {
    let n_host = if text.first() == Some(&b'[') {
        text.iter().position(|byte| *byte == b']').map_or(text.len(), |end| end + 1)
    } else {
        text.iter().position(|byte| *byte == b':').unwrap_or(text.len())
    };
    let (host, port) = text.split_at(n_host);
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_port && is_host(host)
}

/// Whether a text is an address in brackets, or a registered name, which every IPv4 address is as well.
fn is_host(text: &[u8]) -> bool {
    match text {
        [b'[', address @ .., b']'] => is_address(address),
        _ => is_made_of(text, |byte| is_unreserved(byte) || is_sub_delimiter(byte)),
    }
}

fn is_address(text: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = text {
        let n_version = future.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let is_address = |byte: &u8| is_unreserved(*byte) || is_sub_delimiter(*byte) || *byte == b':';
        return n_version > 0
            && future.get(n_version) == Some(&b'.')
            && future.len() > n_version + 1
            && future[n_version + 1..].iter().all(is_address);
    }
    str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// Whether a text has only such bytes and bytes that are percent-encoded.
fn is_made_of(mut text: &[u8], is_plain: impl Fn(u8) -> bool) -> bool {
    loop {
        text = match text {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            [byte, rest @ ..] if is_plain(*byte) => rest,
            _ => return false,
        };
    }
}

fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte) || is_sub_delimiter(byte) || matches!(byte, b':' | b'@')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_sub_delimiter(byte: u8) -> bool {
    b"!$&'()*+,;=".contains(&byte)
}
