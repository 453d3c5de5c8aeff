//! What holds for every beginning of a connection that may tell of its client.

use std::net::SocketAddr;

use igw_crds::snapshot::ProxyVersion;

use crate::proxy_protocol::{Header, read, write, write_local};

use super::cuts::Cuts;

/// A header that is cut is partial or refused, one that is whole is the same whatever follows, and what it tells is read
/// again from a header of either version.
pub(crate) fn header(bytes: &[u8], cuts: Cuts) {
    let whole = read(bytes);
    let n_bytes = match whole {
        Ok(Header::Whole { len, .. }) => len,
        _ => bytes.len(),
    };
    assert!(n_bytes <= bytes.len(), "a header of {n_bytes} bytes out of {}", bytes.len());
    let mut is_refused = false;
    for n_part in cuts.of(bytes, n_bytes) {
        let part = read(&bytes[..n_part]);
        is_refused |= part.is_err();
        assert!(!matches!(part, Ok(Header::Whole { .. })), "{part:?} of {n_part} bytes, {whole:?}");
        assert_eq!(part.is_err(), is_refused, "{n_part} bytes are not refused, fewer are");
    }
    assert!(!is_refused || whole.is_err(), "{whole:?}, and fewer bytes are refused");
    let Ok(Header::Whole { len, addresses }) = whole else { return };
    assert_eq!(read(&bytes[..len]), whole, "what follows changes the header");
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut written = Vec::with_capacity(128);
        match addresses {
            Some((source, destination)) => write(&mut written, version, source, destination),
            None => write_local(&mut written, version),
        }
        let again = read(&written);
        let Ok(Header::Whole { len, addresses: told }) = again else { panic!("{again:?} of {written:?}") };
        assert_eq!((len, told.map(plain)), (written.len(), addresses.map(plain)));
    }
}

/// The addresses without regard to the family that carries them.
fn plain((source, destination): (SocketAddr, SocketAddr)) -> [SocketAddr; 2] {
    [source, destination].map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
}
