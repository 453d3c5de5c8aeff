//! Which of the addresses that a name has may be used, against names that lead to where they should not.

use std::net::IpAddr;

use ipnet::IpNet;

/// What may be used. Loopback, link-local and unspecified addresses and those of nodes may not, unless a network allows
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Networks.
    pub allow: Vec<IpNet>,
    /// Addresses of nodes.
    pub nodes: Vec<IpAddr>,
    /// Addresses that no network opens.
    pub never: Vec<IpAddr>,
    /// Whoever answers is not trusted: only what a network allows is used.
    pub only_allowed: bool,
}

// === impl Guard ===

impl Guard {
    /// Whether an address may be used.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        // An IPv4 address in the clothes of IPv6 is an IPv4 address.
        let address = address.to_canonical();
        let is_allowed = self.allow.iter().any(|network| network.contains(&address));
        if self.never.contains(&address) {
            return false;
        }
        is_allowed || !(self.only_allowed || is_local(address) || self.nodes.contains(&address))
    }
}

/// Whether an address means the machine itself or its own link (RFC 1122, RFC 3927, RFC 4291).
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_link_local()
                || address.octets()[0] == 0
                || address.is_multicast()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || address.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_is_local_or_somebody_elses_is_refused() {
        let guard = Guard {
            allow: vec![
                "127.1.0.0/16".parse().expect("a network"),
                "10.9.0.0/16".parse().expect("a network"),
            ],
            nodes: vec![ip("10.0.0.1"), ip("10.9.0.1")],
            never: vec![ip("10.9.0.7")],
            only_allowed: false,
        };
        for refused in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "10.0.0.1",
            "10.9.0.7",
            "::ffff:10.9.0.7",
        ] {
            assert!(!guard.admits(ip(refused)), "{refused}");
        }
        for used in ["10.0.0.2", "127.1.2.3", "10.9.0.1", "2001:db8::1", "192.0.2.1"] {
            assert!(guard.admits(ip(used)), "{used}");
        }
        let strict = Guard { only_allowed: true, ..guard };
        assert!(strict.admits(ip("10.9.0.1")) && strict.admits(ip("127.1.2.3")));
        assert!(!strict.admits(ip("192.0.2.1")) && !strict.admits(ip("10.9.0.7")));
    }
}
