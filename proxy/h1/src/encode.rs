//! Pieces of messages that the engine writes itself.

/// Reason phrase of a status (RFC 9110 section 15), `Unknown` for others.
#[must_use]
pub fn reason(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

/// Appends the size line of a chunk.
pub fn chunk_size_line(out: &mut Vec<u8>, n_bytes: usize) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0_u8; 16];
    let mut n_digits = 0;
    let mut rest = n_bytes;
    for place in digits.iter_mut().rev() {
        *place = HEX.get(rest & 15).copied().unwrap_or(b'0');
        rest >>= 4;
        n_digits += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - n_digits..).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}
