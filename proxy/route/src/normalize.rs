//! The one form of hosts and paths, for matching and for forwarding alike.
//!
//! What is matched is what is sent: a path that another server would read in a second way cannot slip past a
//! rule. Both functions lend the input where nothing changes.

/// A host that is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadHost;

/// A path that is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPath;

/// Strips port and trailing dot and lowers case. An empty host stays empty.
///
/// # Errors
/// [`BadHost`] for a port that is no number and for bytes no host has.
pub fn host<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], BadHost> {
    let name = match raw {
        [b'[', ..] => {
            let end = raw.iter().position(|byte| *byte == b']').ok_or(BadHost)? + 1;
            check_port(raw.get(end..).unwrap_or_default())?;
            raw.get(..end).unwrap_or_default()
        }
        _ => {
            let end = raw.iter().position(|byte| *byte == b':').unwrap_or(raw.len());
            check_port(raw.get(end..).unwrap_or_default())?;
            let name = raw.get(..end).unwrap_or_default();
            name.strip_suffix(b".").unwrap_or(name)
        }
    };
    let is_host_byte = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']')
    };
    if !name.iter().all(is_host_byte) || (name.is_empty() && !raw.is_empty()) {
        return Err(BadHost);
    }
    if !name.iter().any(u8::is_ascii_uppercase) {
        return Ok(name);
    }
    scratch.clear();
    scratch.extend(name.iter().map(u8::to_ascii_lowercase));
    Ok(scratch)
}

/// Decodes escapes of unreserved characters, merges runs of `/`, removes dot segments (never above the root),
/// writes other escapes in upper case and keeps them (`%2F` stays `%2F`). An empty path becomes `/`.
///
/// # Errors
/// [`BadPath`] for a path that does not begin with `/`, for broken escapes, for an encoded NUL, and for bytes
/// that are not printable ASCII.
pub fn path<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], BadPath> {
    if raw.is_empty() {
        return Ok(b"/");
    }
    if raw.first() != Some(&b'/') {
        return Err(BadPath);
    }
    let mut needs_work = false;
    let mut before = 0;
    for byte in raw {
        match byte {
            0..=0x20 | 0x7f..=0xff => return Err(BadPath),
            b'%' => needs_work = true,
            b'/' | b'.' if before == b'/' => needs_work = true,
            _ => {}
        }
        before = *byte;
    }
    if !needs_work {
        return Ok(raw);
    }
    scratch.clear();
    decode_unreserved(raw, scratch)?;
    remove_segments(scratch);
    Ok(scratch)
}

fn check_port(port: &[u8]) -> Result<(), BadHost> {
    match port {
        [] => Ok(()),
        [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => Ok(()),
        _ => Err(BadHost),
    }
}

/// Unreserved characters mean the same with and without escape (RFC 3986 section 6.2.2.2).
fn decode_unreserved(raw: &[u8], out: &mut Vec<u8>) -> Result<(), BadPath> {
    let mut rest = raw;
    loop {
        match rest {
            [] => return Ok(()),
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
                let byte = digit(*high) << 4 | digit(*low);
                match byte {
                    0 => return Err(BadPath),
                    b'-' | b'.' | b'_' | b'~' => out.push(byte),
                    _ if byte.is_ascii_alphanumeric() => out.push(byte),
                    _ => out.extend_from_slice(&[b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
                }
                rest = tail;
            }
            [b'%', ..] => return Err(BadPath),
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

/// Merges slashes and removes `.` and `..` in place (RFC 3986 section 5.2.4).
fn remove_segments(path: &mut Vec<u8>) {
    let mut read = 0;
    let mut write = 0;
    while read < path.len() {
        // `read` stands on a slash; the segment follows.
        let start = read + 1;
        let end = path
            .get(start..)
            .and_then(|rest| rest.iter().position(|byte| *byte == b'/'))
            .map_or(path.len(), |n| start + n);
        let is_last = end == path.len();
        let segment = path.get(start..end).unwrap_or_default();
        match segment {
            // An empty segment counts only at the end, where it is the trailing slash.
            b"" | b"." if !is_last => {}
            b"" | b"." => {
                put(path, &mut write, b'/');
            }
            b".." => {
                let kept = path.get(..write).unwrap_or_default();
                write = kept.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                if is_last {
                    put(path, &mut write, b'/');
                }
            }
            _ => {
                let n_segment = end - start;
                put(path, &mut write, b'/');
                path.copy_within(start..end, write);
                write += n_segment;
            }
        }
        read = end;
    }
    path.truncate(write);
    if path.is_empty() {
        path.push(b'/');
    }
}

fn put(path: &mut [u8], write: &mut usize, byte: u8) {
    if let Some(place) = path.get_mut(*write) {
        *place = byte;
        *write += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_path(raw: &str, expected: Option<&str>) {
        let mut scratch = Vec::new();
        let got = path(raw.as_bytes(), &mut scratch).ok().map(<[u8]>::to_vec);
        assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{raw}");
        if let Some(once) = got {
            let mut scratch = Vec::new();
            assert_eq!(path(&once, &mut scratch), Ok(&once[..]), "not idempotent: {raw}");
        }
    }

    #[test]
    fn paths_have_one_form() {
        for (raw, expected) in [
            ("", "/"),
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b///c", "/a/b/c"),
            ("//", "/"),
            ("/a/", "/a/"),
            ("/a//", "/a/"),
            ("/./a/.", "/a/"),
            ("/a/../b", "/b"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/..", "/"),
            ("/%61%2e%2E/x", "/a../x"),
            ("/a/%2e%2e/b", "/b"),
            ("/a%2fb", "/a%2Fb"),
            ("/%5c", "/%5C"),
            ("/.hidden", "/.hidden"),
            ("/a/..b", "/a/..b"),
            ("/%7Euser", "/~user"),
            ("/%20", "/%20"),
        ] {
            check_path(raw, Some(expected));
        }
        for raw in ["a", "/%", "/%4", "/%zz", "/%00", "/a b", "/\u{e9}", "/\t"] {
            check_path(raw, None);
        }
    }

    #[track_caller]
    fn check_host(raw: &str, expected: Option<&str>) {
        let mut scratch = Vec::new();
        let got = host(raw.as_bytes(), &mut scratch).ok().map(<[u8]>::to_vec);
        assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{raw}");
    }

    #[test]
    fn hosts_have_one_form() {
        for (raw, expected) in [
            ("", ""),
            ("a.example", "a.example"),
            ("A.Example:8080", "a.example"),
            ("a.example.", "a.example"),
            ("a.example.:80", "a.example"),
            ("[::1]:80", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            ("a:", "a"),
        ] {
            check_host(raw, Some(expected));
        }
        for raw in [":80", "a:b", "a:123456", "<script>", "a b", "[::1", "[::1]x", "."] {
            check_host(raw, None);
        }
    }
}
