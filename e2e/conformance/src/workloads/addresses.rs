//! Loopback addresses, one for each pod.

use std::net::Ipv4Addr;

/// Gives addresses of a network in turn. None comes twice: a network of 16 bits outlasts many runs.
#[derive(Debug)]
pub struct Addresses {
    next: u32,
    last: u32,
}

// === impl Addresses ===

impl Addresses {
    /// The addresses of the network of `bits` bits that begins with `first`, without its first and its last one.
    #[must_use]
    pub fn new(first: Ipv4Addr, bits: u8) -> Self {
        let size = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
        let first = u32::from(first) & !size;
        Self { next: first + 1, last: first | size }
    }
}

impl Iterator for Addresses {
    type Item = Ipv4Addr;

    fn next(&mut self) -> Option<Ipv4Addr> {
        let given = (self.next < self.last).then_some(self.next)?;
        self.next += 1;
        Some(given.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_once() {
        let given: Vec<_> = Addresses::new([127, 40, 0, 0].into(), 30).collect();
        assert_eq!(given, [Ipv4Addr::new(127, 40, 0, 1), Ipv4Addr::new(127, 40, 0, 2)]);
        assert_eq!(Addresses::new([127, 40, 0, 0].into(), 16).count(), 65_534);
    }
}
