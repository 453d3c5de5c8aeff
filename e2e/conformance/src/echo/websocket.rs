//! WebSockets that say what they hear (RFC 6455), on an upgraded connection.

use std::io;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A frame. Fragments are frames of their own.
struct Frame {
    /// Whether it ends its message, and the code of what it is.
    first: u8,
    payload: Vec<u8>,
}

/// The answer to a handshake, or the status that refuses it. As with the suite's image, a client must say where it
/// comes from.
pub(crate) fn accept(headers: &HeaderMap) -> Result<Response<Full<Bytes>>, StatusCode> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let wants = value("upgrade").is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"));
    let key = value("sec-websocket-key").filter(|_| wants).ok_or(StatusCode::BAD_REQUEST)?;
    if value("sec-websocket-version") != Some("13") {
        return Err(StatusCode::BAD_REQUEST);
    }
    if value("origin").is_none() {
        return Err(StatusCode::FORBIDDEN);
    }
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answers = response.headers_mut();
    answers.insert("upgrade", HeaderValue::from_static("websocket"));
    answers.insert("connection", HeaderValue::from_static("Upgrade"));
    if let Ok(proof) = HeaderValue::try_from(proof(key)) {
        answers.insert("sec-websocket-accept", proof);
    }
    Ok(response)
}

/// Says what it hears until the client closes.
pub(crate) async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let frame = read(&mut stream).await?;
        match frame.first & CODE {
            CLOSE => return write(&mut stream, FINAL | CLOSE, &frame.payload).await,
            PING => write(&mut stream, FINAL | PONG, &frame.payload).await?,
            PONG => {}
            _ => write(&mut stream, frame.first, &frame.payload).await?,
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let first = stream.read_u8().await?;
    let second = stream.read_u8().await?;
    let n_bytes = match second & !MASKED {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    let n_bytes = usize::try_from(n_bytes).ok().filter(|n| *n <= MAX_FRAME);
    let (Some(n_bytes), true) = (n_bytes, second & MASKED != 0) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame is too long or not masked"));
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    let mut payload = vec![0; n_bytes];
    stream.read_exact(&mut payload).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Frame { first, payload })
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), first: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=0xffff => {
            frame.push(126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// What proves that a server understood the key of a client.
fn proof(key: &str) -> String {
    let text = format!("{key}{PROOF}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// Longest payload of a frame.
const MAX_FRAME: usize = 1 << 20;
/// The text that goes with every key (RFC 6455, 1.3).
const PROOF: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bit of a frame that ends its message.
const FINAL: u8 = 0x80;
/// Bits that say what a frame is.
const CODE: u8 = 0x0f;
/// Bit of a frame whose payload is masked.
const MASKED: u8 = 0x80;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_the_one_of_the_standard() {
        assert_eq!(proof("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
