//! A host with an optional port, as in Host and in an absolute request target.

use std::net::Ipv6Addr;

/// Whether `authority` is a host name, an IPv4 address or an IPv6 address in brackets, with an optional port.
///
/// Narrower than RFC 3986: no user, no percent-encoding, no sub-delimiters, no empty label, no zone. None of them
/// names a host that could be routed to, and each is read differently somewhere.
pub(crate) fn is_valid(authority: &[u8]) -> bool {
    if let [b'[', rest @ ..] = authority {
        let mut parts = rest.splitn(2, |byte| *byte == b']');
        let address = parts.next().and_then(|address| str::from_utf8(address).ok());
        let is_address = address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
        return is_address && parts.next().is_some_and(is_port_part);
    }
    let n_name = authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len());
    authority.split_at_checked(n_name).is_some_and(|(name, port)| is_name(name) && is_port_part(port))
}

/// Whether `name` is labels with dots between them and perhaps one behind them.
fn is_name(name: &[u8]) -> bool {
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() || name.len() > NAME_BYTES {
        return false;
    }
    let mut n_label: usize = 0;
    for byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => n_label = n_label.saturating_add(1),
            b'.' if n_label > 0 => n_label = 0,
            _ => return false,
        }
        if n_label > LABEL_BYTES {
            return false;
        }
    }
    n_label > 0
}

/// Whether `part` is nothing, a colon, or a colon and a port.
fn is_port_part(part: &[u8]) -> bool {
    match part {
        [] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0_u32, |port, digit| {
                    port.saturating_mul(10).saturating_add(u32::from(digit.wrapping_sub(b'0')))
                }) <= u32::from(u16::MAX)
        }
        _ => false,
    }
}

const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;
