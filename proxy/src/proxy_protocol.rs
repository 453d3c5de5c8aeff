//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): who the client of a connection is, told
//! before its first byte. Pure: bytes in, addresses out, and the other way round.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use igw_crds::snapshot::ProxyVersion;

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// More bytes are needed.
    Partial,
    /// A whole header.
    Whole {
        /// Its length in bytes.
        len: usize,
        /// Source and destination; `None` where the sender speaks for itself or does not know.
        addresses: Option<(SocketAddr, SocketAddr)>,
    },
}

/// The bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoHeader;

/// Reads as much of a header as there is.
pub(crate) fn read(bytes: &[u8]) -> Result<Header, NoHeader> {
    let begins = |signature: &[u8]| {
        let n_known = bytes.len().min(signature.len());
        bytes[..n_known] == signature[..n_known]
    };
    match (begins(SIGNATURE), begins(WORD)) {
        _ if bytes.is_empty() => Ok(Header::Partial),
        (true, _) => read_binary(bytes),
        (_, true) => read_line(bytes),
        _ => Err(NoHeader),
    }
}

/// Appends a header for a connection from `source` to `destination`.
pub(crate) fn write(out: &mut Vec<u8>, version: ProxyVersion, source: SocketAddr, destination: SocketAddr) {
    let (source, destination) = same_family(source, destination);
    match version {
        ProxyVersion::V1 => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!(
                "PROXY {family} {} {} {} {}\r\n",
                source.ip(),
                destination.ip(),
                source.port(),
                destination.port()
            );
            out.extend_from_slice(line.as_bytes());
        }
        ProxyVersion::V2 => {
            out.extend_from_slice(SIGNATURE);
            out.push(VERSION_2 | PROXY);
            match (source.ip(), destination.ip()) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    out.extend_from_slice(&[TCP4, 0, 12]);
                    out.extend_from_slice(&source.octets());
                    out.extend_from_slice(&destination.octets());
                }
                (source, destination) => {
                    out.extend_from_slice(&[TCP6, 0, 36]);
                    out.extend_from_slice(&to_v6(source).octets());
                    out.extend_from_slice(&to_v6(destination).octets());
                }
            }
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
        }
    }
}

/// Appends the header of a connection that the gateway opens for itself: a health check.
pub(crate) fn write_local(out: &mut Vec<u8>, version: ProxyVersion) {
    match version {
        ProxyVersion::V1 => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        ProxyVersion::V2 => {
            out.extend_from_slice(SIGNATURE);
            out.extend_from_slice(&[VERSION_2 | LOCAL, 0, 0, 0]);
        }
    }
}

fn read_line(bytes: &[u8]) -> Result<Header, NoHeader> {
    let Some(end) = bytes.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_MAX { Ok(Header::Partial) } else { Err(NoHeader) };
    };
    let line = bytes[..end].strip_suffix(b"\r").ok_or(NoHeader)?;
    let line = std::str::from_utf8(line).map_err(|_| NoHeader)?;
    let mut words = line.split(' ');
    words.next();
    let len = end + 1;
    let family = words.next().ok_or(NoHeader)?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Ok(Header::Whole { len, addresses: None });
    }
    let mut address = || {
        let word = words.next().ok_or(NoHeader)?;
        match family {
            "TCP4" => word.parse().map(IpAddr::V4).map_err(|_| NoHeader),
            "TCP6" => word.parse().map(IpAddr::V6).map_err(|_| NoHeader),
            _ => Err(NoHeader),
        }
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let word = words.next().ok_or(NoHeader)?;
        let is_plain =
            word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        word.parse::<u16>().ok().filter(|_| is_plain).ok_or(NoHeader)
    };
    let (source_port, destination_port) = (port()?, port()?);
    if words.next().is_some() {
        return Err(NoHeader);
    }
    let addresses =
        Some((SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port)));
    Ok(Header::Whole { len, addresses })
}

fn read_binary(bytes: &[u8]) -> Result<Header, NoHeader> {
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..START) else {
        // A wrong version is told as soon as it is there.
        return match bytes.get(SIGNATURE.len()) {
            Some(command) if command & 0xf0 != VERSION_2 => Err(NoHeader),
            _ => Ok(Header::Partial),
        };
    };
    let n_more = usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        _ if n_more > MORE_MAX => return Err(NoHeader),
        command if command == VERSION_2 | LOCAL => true,
        command if command == VERSION_2 | PROXY => false,
        _ => return Err(NoHeader),
    };
    let n_addresses = match family {
        UNSPECIFIED => 0,
        TCP4 | UDP4 => 12,
        TCP6 | UDP6 => 36,
        UNIX_STREAM | UNIX_DATAGRAM => 216,
        _ if is_local => 0,
        _ => return Err(NoHeader),
    };
    if !is_local && n_more < n_addresses {
        return Err(NoHeader);
    }
    let len = START + n_more;
    let Some(body) = bytes.get(START..len) else { return Ok(Header::Partial) };
    // What follows the addresses says nothing that is needed here.
    let addresses = match family {
        _ if is_local => None,
        TCP4 => four(body),
        TCP6 => six(body),
        // The connection is TCP, whatever carried it before.
        _ => None,
    };
    Ok(Header::Whole { len, addresses })
}

fn four(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    ports(rest, Ipv4Addr::from(*source).into(), Ipv4Addr::from(*destination).into())
}

fn six(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    ports(rest, Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into())
}

fn ports(bytes: &[u8], source: IpAddr, destination: IpAddr) -> Option<(SocketAddr, SocketAddr)> {
    let (source_port, rest) = bytes.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some((
        SocketAddr::new(source, u16::from_be_bytes(*source_port)),
        SocketAddr::new(destination, u16::from_be_bytes(*destination_port)),
    ))
}

/// Both addresses in one family: IPv4 where both are.
fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let (source, destination) = (plain(source), plain(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let wide = |address: SocketAddr| SocketAddr::new(to_v6(address.ip()).into(), address.port());
    (wide(source), wide(destination))
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const WORD: &[u8] = b"PROXY ";
/// Longest line of version 1 with its end.
const LINE_MAX: usize = 107;
/// Signature, command, family and length of version 2.
const START: usize = SIGNATURE.len() + 4;
/// Bytes that may follow them.
const MORE_MAX: usize = 4 * 1024;
const VERSION_2: u8 = 0x20;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0;
const TCP4: u8 = 0x11;
const UDP4: u8 = 0x12;
const TCP6: u8 = 0x21;
const UDP6: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((source.parse().expect("an address"), destination.parse().expect("an address")))
    }

    /// The whole header and each of its beginnings; what follows belongs to nobody here.
    #[track_caller]
    fn check_whole(bytes: &[u8], addresses: Option<(SocketAddr, SocketAddr)>) {
        for n_bytes in 0..bytes.len() {
            assert_eq!(read(&bytes[..n_bytes]), Ok(Header::Partial), "the first {n_bytes} bytes");
        }
        let mut more = bytes.to_vec();
        more.extend_from_slice(b"PROXY GET / HTTP/1.1\r\n");
        let whole = Ok(Header::Whole { len: bytes.len(), addresses });
        assert_eq!((read(bytes), read(&more)), (whole.clone(), whole));
    }

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[command, family]);
        bytes.extend_from_slice(&u16::try_from(body.len()).expect("short").to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn lines_of_text() {
        check_whole(
            b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
            pair("192.0.2.1:56324", "198.51.100.2:443"),
        );
        check_whole(b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", pair("[2001:db8::1]:65535", "[::1]:0"));
        check_whole(b"PROXY UNKNOWN\r\n", None);
        check_whole(b"PROXY UNKNOWN ffff::1 what ever 1\r\n", None);
        for bad in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
            "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY \r\n",
            "PROXY TCP4 1.2.3.\u{663} 1.2.3.4 1 1\r\n",
        ] {
            assert_eq!(read(bad.as_bytes()), Err(NoHeader), "{bad:?}");
        }
        // 107 bytes without an end are no header, and no more are waited for.
        let mut long = b"PROXY UNKNOWN ".to_vec();
        long.resize(LINE_MAX - 1, b'a');
        assert_eq!(read(&long), Ok(Header::Partial));
        long.push(b'a');
        assert_eq!(read(&long), Err(NoHeader));
    }

    #[test]
    fn binary_headers() {
        let four = [192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 1, 187];
        check_whole(&binary(0x21, 0x11, &four), pair("192.0.2.1:56324", "198.51.100.2:443"));
        let mut six = [0; 36];
        (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
        check_whole(&binary(0x21, 0x21, &six), pair("[::1]:3", "[::2]:4"));
        // Type-length-values follow and are skipped, as is what a LOCAL or unspecified one brings.
        check_whole(
            &binary(0x21, 0x11, &[&four[..], &[4; 300]].concat()),
            pair("192.0.2.1:56324", "198.51.100.2:443"),
        );
        check_whole(&binary(0x20, 0x00, &[]), None);
        check_whole(&binary(0x20, 0x11, &four), None);
        check_whole(&binary(0x20, 0x55, &[7; 9]), None);
        check_whole(&binary(0x21, 0x00, &[1; 30]), None);
        check_whole(&binary(0x21, 0x31, &[0; 216]), None);
        check_whole(&binary(0x21, 0x12, &four), None);
        for bad in [
            binary(0x11, 0x11, &four),
            binary(0x31, 0x11, &four),
            binary(0x22, 0x11, &four),
            binary(0x21, 0x13, &four),
            binary(0x21, 0x41, &four),
            binary(0x21, 0x11, &four[..11]),
            binary(0x21, 0x21, &four),
            binary(0x21, 0x31, &four),
            binary(0x21, 0x11, &vec![0; MORE_MAX + 1]),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
            b"\r\nGET / HTTP/1.1".to_vec(),
        ] {
            assert_eq!(read(&bad), Err(NoHeader), "{bad:?}");
        }
        // A wrong version is told before its length is there.
        assert_eq!(read(&binary(0x11, 0x11, &four)[..13]), Err(NoHeader));
    }

    #[test]
    fn what_is_written_is_read() {
        for (source, destination) in [
            ("192.0.2.1:1", "198.51.100.2:65535"),
            ("[2001:db8::1]:1", "[::1]:2"),
            ("192.0.2.1:1", "[2001:db8::1]:2"),
            ("[2001:db8::1]:1", "192.0.2.1:2"),
            ("[::ffff:192.0.2.1]:1", "192.0.2.2:2"),
        ] {
            let (source, destination) = (source.parse().expect("one"), destination.parse().expect("one"));
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let mut bytes = Vec::new();
                write(&mut bytes, version, source, destination);
                let Ok(Header::Whole { len, addresses: Some((from, to)) }) = read(&bytes) else {
                    panic!("{bytes:?}");
                };
                let is_same = |a: SocketAddr, b: SocketAddr| {
                    (a.ip().to_canonical(), a.port()) == (b.ip().to_canonical(), b.port())
                };
                assert!(len == bytes.len() && is_same(from, source) && is_same(to, destination), "{bytes:?}");
                let mut bytes = Vec::new();
                write_local(&mut bytes, version);
                assert_eq!(read(&bytes), Ok(Header::Whole { len: bytes.len(), addresses: None }));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_end() {
        let random = crate::worker::random::Random::new(7);
        for _ in 0..20_000 {
            let mut bytes = SIGNATURE[..random.below(13) as usize].to_vec();
            for _ in 0..random.below(40) {
                bytes.push(random.next().to_ne_bytes()[0]);
            }
            if let Ok(Header::Whole { len, .. }) = read(&bytes) {
                assert!(len <= bytes.len());
            }
        }
    }
}
