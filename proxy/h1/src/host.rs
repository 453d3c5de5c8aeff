//! Validity of an authority (RFC 3986 section 3.2.2, RFC 9110 section 7.2).

/// True for a host with an optional port: a name, an IPv4 address, or an IPv6 address in brackets.
pub(crate) fn is_valid(authority: &[u8]) -> bool {
    let (host, port) = match authority {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (address, tail) = rest.split_at(end);
            let is_address =
                std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
            if !is_address {
                return false;
            }
            return match tail {
                [b']'] => true,
                [b']', b':', port @ ..] => is_port(port),
                _ => false,
            };
        }
        _ => match authority.iter().position(|byte| *byte == b':') {
            Some(colon) => authority.split_at(colon),
            None => (authority, &[][..]),
        },
    };
    let is_name = !host.is_empty() && host.len() <= NAME_BYTES && host.iter().all(|byte| is_name_byte(*byte));
    is_name && (port.is_empty() || is_port(port.get(1..).unwrap_or_default()))
}

fn is_port(port: &[u8]) -> bool {
    port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0_u32, |value, digit| value * 10 + u32::from(digit - b'0')) <= 65_535
}

/// Letters, digits and the marks that names in use have.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const NAME_BYTES: usize = 254;
