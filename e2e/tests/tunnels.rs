//! WebSocket (RFC 6455) through the gateway: frames byte by byte, refusals, edits and idle time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use igw_e2e::client::{Answer, Connection, eventually, get};
use igw_e2e::objects::{backend, beside, gateway, route, to_backend};
use igw_e2e::process::{Up, free};

const HOST: &str = "ws.test";
/// Key and answer of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// A gateway before an echo of WebSocket messages; `more` are further objects.
fn scene(more: &str) -> anyhow::Result<(Up, SocketAddr, String)> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let listener = TcpListener::bind((beside(up.ip, 250), 0))?;
    let objects = gateway(address)
        + &route("ws", HOST, &to_backend("b"))
        + &backend("b", &[listener.local_addr()?])
        + more;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    up.write("all.yaml", &objects)?;
    up.start(&[])?;
    Ok((up, address, objects))
}

/// The back end: `/refused` is refused, everything else becomes a WebSocket that echoes.
fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let lower = head.to_lowercase();
    let is_asked = head.contains(KEY)
        && lower.contains("\r\nupgrade: websocket\r\n")
        && lower.contains("\r\nconnection: upgrade\r\n")
        && lower.contains("\r\nsec-websocket-version: 13\r\n");
    if head.contains(" /refused ") || !is_asked {
        return write!(writer, "HTTP/1.1 403 Forbidden\r\nx-why: no\r\ncontent-length: 7\r\n\r\nrefused");
    }
    write!(
        writer,
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {ACCEPT}\r\n\r\n"
    )?;
    loop {
        let mut start = [0; 2];
        reader.read_exact(&mut start)?;
        let length = match start[1] & 0x7f {
            126 => {
                let mut length = [0; 2];
                reader.read_exact(&mut length)?;
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                reader.read_exact(&mut length)?;
                usize::try_from(u64::from_be_bytes(length)).unwrap_or_default()
            }
            length => usize::from(length),
        };
        // A server fails a connection whose frames are not masked.
        if start[1] & 0x80 == 0 {
            return Ok(());
        }
        let mut mask = [0; 4];
        reader.read_exact(&mut mask)?;
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload)?;
        apply(mask, &mut payload);
        let first = if start[0] == FIN | PING { FIN | PONG } else { start[0] };
        writer.write_all(&frame(first, None, &payload))?;
        if start[0] == FIN | CLOSE {
            return Ok(());
        }
    }
}

/// A frame with the shortest form of its length.
fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(bit | length as u8),
        length @ 126..=65_535 => {
            frame.push(bit | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(bit | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    let mut payload = payload.to_vec();
    if let Some(mask) = mask {
        frame.extend(mask);
        apply(mask, &mut payload);
    }
    frame.extend(payload);
    frame
}

fn apply(mask: [u8; 4], payload: &mut [u8]) {
    for (byte, mask) in payload.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

fn shake_hands(address: SocketAddr, path: &str) -> anyhow::Result<(Connection, Answer)> {
    let mut connection = Connection::open(address)?;
    connection.send(
        format!(
            "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let answer = connection.read("GET")?;
    Ok((connection, answer))
}

fn open(address: SocketAddr) -> anyhow::Result<Connection> {
    let (connection, answer) = shake_hands(address, "/chat")?;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.field("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    Ok(connection)
}

/// Sends a frame and expects exactly this one back.
fn exchange(connection: &mut Connection, sent: u8, expected: u8, payload: &[u8]) -> anyhow::Result<()> {
    connection.send(&frame(sent, Some(MASK), payload))?;
    let expected = frame(expected, None, payload);
    let answered = connection.take(expected.len())?;
    assert!(answered == expected, "a frame of {} bytes came back changed", payload.len());
    Ok(())
}

#[test]
fn frames_of_every_length_pass_unchanged() -> anyhow::Result<()> {
    let (_up, address, _) = scene("")?;
    let mut connection = open(address)?;
    exchange(&mut connection, FIN | TEXT, FIN | TEXT, "grüße".as_bytes())?;
    for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let payload = igw_e2e::origin::pattern(length);
        exchange(&mut connection, FIN | BINARY, FIN | BINARY, &payload)?;
    }
    // A message in two frames with a ping between them.
    exchange(&mut connection, TEXT, TEXT, b"first half, ")?;
    exchange(&mut connection, FIN | PING, FIN | PONG, b"there?")?;
    exchange(&mut connection, FIN, FIN, b"second half")?;
    exchange(&mut connection, FIN | CLOSE, FIN | CLOSE, &1000_u16.to_be_bytes())?;
    // The back end closes behind its close frame; once the client does too, the tunnel ends.
    assert!(connection.rest()?.is_empty());
    Ok(())
}

#[test]
fn a_refusal_passes_and_the_connection_goes_on_as_http() -> anyhow::Result<()> {
    let (_up, address, _) = scene("")?;
    let (mut connection, answer) = shake_hands(address, "/refused")?;
    assert_eq!((answer.status, answer.body.as_slice()), (403, b"refused".as_slice()));
    assert_eq!(answer.field("x-why"), Some("no"));
    assert_eq!(answer.field("igw-cause"), None, "it is the answer of the back end");
    let next = connection.get("unknown.test", "/")?;
    assert_eq!((next.status, next.field("igw-cause")), (404, Some("no_route")));
    Ok(())
}

#[test]
fn a_tunnel_outlives_edits_and_the_end_of_its_route() -> anyhow::Result<()> {
    let (up, address, objects) = scene("")?;
    let mut connection = open(address)?;
    for edit in 0..5 {
        let host = format!("e{edit}.test");
        up.write("all.yaml", &(objects.clone() + &route("more", &host, &to_backend("b"))))?;
        eventually("the edit is live", Duration::from_secs(2), || {
            get(address, &host, "/").is_ok_and(|answer| answer.status == 403)
        })?;
        exchange(&mut connection, FIN | TEXT, FIN | TEXT, host.as_bytes())?;
    }
    let without = objects.replace(HOST, "other.test");
    up.write("all.yaml", &without)?;
    eventually("the route is gone", Duration::from_secs(2), || {
        get(address, HOST, "/").is_ok_and(|answer| answer.status == 404)
    })?;
    exchange(&mut connection, FIN | TEXT, FIN | TEXT, b"still here")?;
    Ok(())
}

#[test]
fn a_tunnel_ends_when_idle_and_not_before() -> anyhow::Result<()> {
    let config = "---
apiVersion: igw.opensvc.com/v1alpha1
kind: GatewayConfig
metadata: {name: default, namespace: system}
spec:
  timeouts: {tunnelIdle: 1s}
";
    let (_up, address, _) = scene(config)?;
    let mut connection = open(address)?;
    // Twice the idle time, never idle for long.
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(400));
        exchange(&mut connection, FIN | PING, FIN | PONG, b"")?;
    }
    let idle = Instant::now();
    assert!(connection.rest()?.is_empty());
    let took = idle.elapsed();
    assert!(took >= Duration::from_millis(950) && took < Duration::from_secs(2), "{took:?}");
    Ok(())
}
