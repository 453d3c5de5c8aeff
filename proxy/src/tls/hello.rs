//! The server name of a ClientHello (RFC 8446 4.1.2, RFC 6066 3), read before anything is decided: the name chooses
//! the listener, and a connection that is passed through must not lose a byte.

/// What a connection begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// More bytes are needed.
    Partial,
    /// A whole ClientHello, and the name that it asks for, in lower case.
    Whole(Option<Vec<u8>>),
}

/// Why the bytes are no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HelloError {
    /// They are no TLS at all.
    NotTls,
    /// They are TLS and not well formed, or too long.
    Malformed,
}

/// Reads as much of a ClientHello as there is.
pub(crate) fn read(bytes: &[u8]) -> Result<Hello, HelloError> {
    match bytes.first() {
        None => return Ok(Hello::Partial),
        Some(&HANDSHAKE) => {}
        Some(_) => return Err(HelloError::NotTls),
    }
    let mut message: Vec<u8> = Vec::new();
    // What lies behind the longest one is not looked at, even if it came with it.
    let mut rest = &bytes[..bytes.len().min(BYTES_MAX)];
    loop {
        let Some((header, after)) = rest.split_at_checked(RECORD_HEADER) else {
            return partial(bytes.len());
        };
        if header[0] != HANDSHAKE || header[1] != MAJOR {
            return Err(HelloError::Malformed);
        }
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if length == 0 || length > RECORD_MAX {
            return Err(HelloError::Malformed);
        }
        let (fragment, after) = after.split_at(length.min(after.len()));
        message.extend_from_slice(fragment);
        if let [kind, high, middle, low, ..] = message[..] {
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            if kind != CLIENT_HELLO || length > HELLO_MAX {
                return Err(HelloError::Malformed);
            }
            if let Some(body) = message.get(4..4 + length) {
                return server_name(body).map(Hello::Whole).ok_or(HelloError::Malformed);
            }
        }
        if fragment.len() < length {
            return partial(bytes.len());
        }
        rest = after;
    }
}

fn partial(n_bytes: usize) -> Result<Hello, HelloError> {
    if n_bytes > BYTES_MAX { Err(HelloError::Malformed) } else { Ok(Hello::Partial) }
}

/// The name in the body of a ClientHello; `None` outside if the body is not well formed.
fn server_name(body: &[u8]) -> Option<Option<Vec<u8>>> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    let n_session = reader.byte()?;
    reader.take(n_session.into())?;
    let n_suites = reader.short()?;
    reader.take(n_suites.into())?;
    let n_compressions = reader.byte()?;
    reader.take(n_compressions.into())?;
    if reader.0.is_empty() {
        return Some(None);
    }
    let n_extensions = reader.short()?;
    let mut extensions = Reader(reader.take(n_extensions.into())?);
    if !reader.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.short()?;
        let length = extensions.short()?;
        let content = extensions.take(length.into())?;
        if kind == SERVER_NAME {
            if found.is_some() {
                return None;
            }
            found = Some(host_name(content)?);
        }
    }
    Some(found)
}

/// The host name in the extension.
fn host_name(content: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader(content);
    let n_list = reader.short()?;
    let mut list = Reader(reader.take(n_list.into())?);
    let mut found = None;
    while !list.0.is_empty() {
        let kind = list.byte()?;
        let length = list.short()?;
        let name = list.take(length.into())?;
        if kind == HOST_NAME {
            let name = name.strip_suffix(b".").unwrap_or(name);
            let is_name =
                (1..NAME_MAX).contains(&name.len()) && name.iter().all(|byte| (0x21..0x7f).contains(byte));
            if found.is_some() || !is_name {
                return None;
            }
            found = Some(name.to_ascii_lowercase());
        }
    }
    found.filter(|_| reader.0.is_empty())
}

struct Reader<'b>(&'b [u8]);

// === impl Reader ===

impl<'b> Reader<'b> {
    fn take(&mut self, n_bytes: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(n_bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }
}

/// Content type of handshake records.
const HANDSHAKE: u8 = 22;
const MAJOR: u8 = 3;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const RECORD_HEADER: usize = 5;
/// Longest content of a plaintext record.
const RECORD_MAX: usize = 1 << 14;
/// Longest ClientHello; with post-quantum key shares they have about 2 KiB.
const HELLO_MAX: usize = 16 * 1024;
/// Most bytes that a ClientHello takes, its records' headers included.
const BYTES_MAX: usize = 2 * HELLO_MAX;
const NAME_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn hello(name: &str) -> Vec<u8> {
        let config = ClientConfig::builder_with_provider(crate::tls::provider::chosen(&[]))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut client =
            ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same message in records of `size` bytes.
    fn fragmented(bytes: &[u8], size: usize) -> Vec<u8> {
        let chunks = bytes[RECORD_HEADER..].chunks(size);
        chunks
            .flat_map(|chunk| {
                let length = u16::try_from(chunk.len()).unwrap().to_be_bytes();
                [&[HANDSHAKE, MAJOR, 1, length[0], length[1]][..], chunk].concat()
            })
            .collect()
    }

    #[test]
    fn finds_the_name_of_a_real_client() {
        let whole = Ok(Hello::Whole(Some(b"www.shop.example".to_vec())));
        let bytes = hello("WWW.Shop.example");
        assert_eq!(read(&bytes), whole);
        assert_eq!(read(&hello("127.0.0.1")), Ok(Hello::Whole(None)));
        for size in [1, 7, 100] {
            assert_eq!(read(&fragmented(&bytes, size)), whole, "{size}");
        }
        for n_bytes in 0..bytes.len() {
            assert_eq!(read(&bytes[..n_bytes]), Ok(Hello::Partial), "{n_bytes}");
        }
    }

    #[test]
    fn refuses_what_is_none() {
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), Err(HelloError::NotTls));
        let bytes = hello("a.test");
        // A server's message, a record of nothing, a message that is too long.
        for (index, byte) in [(5, 2), (1, 2), (6, 1)] {
            let mut bad = bytes.clone();
            bad[index] = byte;
            assert_eq!(read(&bad), Err(HelloError::Malformed), "byte {index}");
        }
        assert_eq!(read(&[HANDSHAKE, MAJOR, 1, 0, 0]), Err(HelloError::Malformed));
        assert_eq!(read(&fragmented(&[0; 40_000], 1)[..36_000]), Err(HelloError::Malformed));
    }

    /// A ClientHello with the extension of server names and one of `n_padding` bytes.
    fn made(name: &[u8], n_padding: usize) -> Vec<u8> {
        let short = |length: usize| u16::try_from(length).unwrap().to_be_bytes().to_vec();
        let host = [&[HOST_NAME][..], &short(name.len()), name].concat();
        let list = [short(host.len()), host].concat();
        let names = [short(SERVER_NAME.into()), short(list.len()), list].concat();
        let padding = [short(21), short(n_padding), vec![0; n_padding]].concat();
        let extensions = [names, padding].concat();
        let body = [vec![3; 34], vec![0, 0, 2, 0x13, 1, 1, 0], short(extensions.len()), extensions].concat();
        let message = [&[CLIENT_HELLO, 0][..], &short(body.len()), &body].concat();
        [&[HANDSHAKE, MAJOR, 1][..], &short(message.len()), &message].concat()
    }

    #[test]
    fn bytes_are_judged_the_same_however_they_come() {
        assert_eq!(read(&made(b"a.test.", 0)), Ok(Hello::Whole(Some(b"a.test".to_vec()))));
        // Its records' headers make it longer than a ClientHello may be, whether it comes at once or bit by bit.
        let long = fragmented(&made(b"a.test", 6_000), 1);
        assert!(long.len() > BYTES_MAX);
        assert_eq!(read(&long[..BYTES_MAX]), Ok(Hello::Partial));
        assert_eq!(read(&long[..BYTES_MAX + 1]), Err(HelloError::Malformed));
        assert_eq!(read(&long), Err(HelloError::Malformed));
        // The root is no server's name.
        assert_eq!(read(&made(b".", 0)), Err(HelloError::Malformed));
    }

    #[test]
    fn no_byte_makes_it_panic() {
        let bytes = hello("a.test");
        for index in 0..bytes.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bad = bytes.clone();
                bad[index] = byte;
                let _ = read(&bad);
            }
        }
    }
}
