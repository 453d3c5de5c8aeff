//! A place to listen at: an address and what carries traffic to it. TCP and UDP may have one port number each.

use std::fmt;
use std::net::SocketAddr;

use igw_crds::snapshot::Transport;
use serde::{Deserialize, Serialize};

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    /// Releases that know TCP alone do not name it.
    #[serde(default)]
    pub(crate) transport: Transport,
}

/// Places as messages between releases name them: one that knows TCP alone reads its part and passes over the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) addresses: Vec<SocketAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) datagrams: Vec<SocketAddr>,
}

// === impl Place ===

impl Place {
    pub(crate) fn is_udp(self) -> bool {
        self.transport == Transport::Udp
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.address, if self.is_udp() { "/udp" } else { "" })
    }
}

// === impl Places ===

impl Places {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Place> {
        let of = |transport| move |address: &SocketAddr| Place { address: *address, transport };
        let tcp = self.addresses.iter().map(of(Transport::Tcp));
        tcp.chain(self.datagrams.iter().map(of(Transport::Udp)))
    }
}

impl FromIterator<Place> for Places {
    fn from_iter<I: IntoIterator<Item = Place>>(places: I) -> Self {
        let mut sorted = Self::default();
        for place in places {
            match place.transport {
                Transport::Tcp => sorted.addresses.push(place.address),
                Transport::Udp => sorted.datagrams.push(place.address),
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_knows_tcp_alone_is_understood_and_understands_its_part() {
        let tcp = Place { address: "127.0.0.1:53".parse().unwrap(), transport: Transport::Tcp };
        let udp = Place { transport: Transport::Udp, ..tcp };
        let places: Places = [tcp, udp].into_iter().collect();
        let text = serde_json::to_string(&places).unwrap();
        assert_eq!(text, r#"{"addresses":["127.0.0.1:53"],"datagrams":["127.0.0.1:53"]}"#);
        let before: Places = serde_json::from_str(r#"{"addresses":["127.0.0.1:53"]}"#).unwrap();
        assert_eq!(before.iter().collect::<Vec<_>>(), [tcp]);
        let before: Place = serde_json::from_str(r#"{"address":"127.0.0.1:53"}"#).unwrap();
        assert_eq!((before, udp.to_string().as_str()), (tcp, "127.0.0.1:53/udp"));
    }
}
