//! Back ends of the suite, over their sockets.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use igw_conformance::echo::{Container, Log, Mode, Pod};
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// An address that no other test of this machine uses.
fn address(test: u8) -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + test, high, low | 1).into()
}

async fn start(
    test: u8,
    env: &[(&str, &str)],
    files: &[(&str, String)],
) -> anyhow::Result<(IpAddr, Pod, Log)> {
    let mut all = BTreeMap::from([
        ("POD_NAME".to_owned(), "web-abc-def".to_owned()),
        ("NAMESPACE".to_owned(), "shop".to_owned()),
    ]);
    all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.clone().into_bytes())).collect();
    let log = Log::default();
    let pod = Pod::start(address(test), &Container::echo(all, files), &log).await?;
    Ok((address(test), pod, log))
}

/// Sends bytes and reads until the other end closes; the error of a reset is an error here too.
async fn say(to: SocketAddr, bytes: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(bytes.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn get(to: SocketAddr, target: &str, headers: &str) -> anyhow::Result<(u16, String, Value)> {
    let answer =
        say(to, &format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{headers}\r\n"))
            .await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok((status, head.to_lowercase(), serde_json::from_str(body).unwrap_or_default()))
}

#[tokio::test]
async fn requests_are_echoed_in_the_words_of_the_suite() -> anyhow::Result<()> {
    let start_of_test = Timestamp::now();
    let (address, _pod, log) = start(1, &[], &[]).await?;
    let to = (address, 3000).into();
    let wants =
        "x-echo-set-header: X-One:1,x-two:2\r\nX-Echo-Set-Header: X-One:3\r\nx-many: a\r\nX-MANY: b\r\n";
    let (status, head, body) = get(to, "/a//b?q=%20", wants).await?;
    assert_eq!(status, 200);
    assert!(head.contains("\r\nx-one: 1,3") && head.contains("\r\nx-two: 2"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json"), "{head}");
    assert_eq!(body["path"], "/a//b?q=%20");
    assert_eq!(body["host"], "a.test");
    assert_eq!(body["method"], "GET");
    assert_eq!(body["proto"], "HTTP/1.1");
    assert_eq!(body["headers"]["X-Many"], serde_json::json!(["a", "b"]));
    assert_eq!(body["headers"].get("Host"), None);
    assert_eq!(body["httpPort"], "3000");
    assert_eq!((&body["namespace"], &body["pod"]), (&"shop".into(), &"web-abc-def".into()));
    assert_eq!(body.get("tls"), None);
    assert!(
        log.since(start_of_test).starts_with("Echoing back request made to /a//b?q=%20 to client (127."),
        "{}",
        log.since(start_of_test)
    );
    assert_eq!(get(to, "/status/418", "").await?.0, 418);
    assert_eq!(get(to, "/status/418?x", "").await?.0, 400);
    assert_eq!(get(to, "/health", "").await?.0, 200);
    let before = std::time::Instant::now();
    get(to, "/?delay=60ms", "").await?;
    assert!(before.elapsed().as_millis() >= 60);
    assert_eq!(get((address, 3001).into(), "/", "").await?.0, 400);
    Ok(())
}

#[tokio::test]
async fn retries_fail_as_often_as_they_are_told() -> anyhow::Result<()> {
    let (address, _pod, _) = start(2, &[], &[]).await?;
    let to = (address, 3000).into();
    for expected in [503, 503, 200, 200] {
        let target = "/retry/x?uuid=u1&succeedAfter=2&responseCode=503";
        assert_eq!(get(to, target, "").await?.0, expected);
    }
    let reset = get(to, "/retry/x?uuid=u2&succeedAfter=1", "").await;
    let error = reset.err().context("no reset")?;
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(get(to, "/retry/x?uuid=u2&succeedAfter=1", "").await?.0, 200);
    assert_eq!(get(to, "/retry/x?succeedAfter=1", "").await?.0, 400);
    Ok(())
}

#[tokio::test]
async fn websockets_say_what_they_hear() -> anyhow::Result<()> {
    let (address, _pod, _) = start(3, &[], &[]).await?;
    let mut stream = TcpStream::connect((address, 3000)).await?;
    let shake = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    stream.write_all(format!("{shake}Origin: http://a\r\n\r\n").as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?.to_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    stream.write_all(&[0x81, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3]).await?;
    let mut frame = [0; 5];
    stream.read_exact(&mut frame).await?;
    assert_eq!(&frame, b"\x81\x03abc");
    // Without an origin there is none.
    let refused = say((address, 3000).into(), &format!("{shake}Connection: close\r\n\r\n")).await?;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    Ok(())
}

#[tokio::test]
async fn calls_are_echoed_and_others_are_not_implemented() -> anyhow::Result<()> {
    let (address, _pod, _) = start(4, &[("GRPC_ECHO_SERVER", "1")], &[]).await?;
    let stream = TcpStream::connect((address, 3000)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let service = "gateway_api_conformance.echo_basic.grpcecho.GrpcEcho";
    for (method, status) in [("Echo", "0"), ("EchoTwo", "0"), ("EchoThree", "12"), ("Nope", "12")] {
        let request = Request::post(format!("http://a.test/{service}/{method}"))
            .header("x-id", "seven")
            .body(Empty::<Bytes>::new())?;
        let answer = sender.send_request(request).await?;
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        let collected = answer.into_body().collect().await?;
        assert_eq!(collected.trailers().context("no trailers")?["grpc-status"], status);
        let message = String::from_utf8_lossy(&collected.to_bytes()).into_owned();
        assert_eq!(message.is_empty(), status != "0");
        for part in [method, ":authority\u{12}\u{6}a.test", "x-id\u{12}\u{5}seven", "shop", "web-abc-def"] {
            assert!(message.is_empty() || message.contains(part), "{part}: {message:?}");
        }
    }
    driver.abort();
    Ok(())
}

#[tokio::test]
async fn sessions_are_told_and_clients_without_the_right_certificate_refused() -> anyhow::Result<()> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["a.test".to_owned()])?.self_signed(&key)?;
    let files = [("/crt", certificate.pem()), ("/key", key.serialize_pem()), ("/ca", certificate.pem())];
    let names = [("TLS_SERVER_CERT", "/crt"), ("TLS_SERVER_PRIVKEY", "/key"), ("TLS_CLIENT_CACERTS", "/ca")];
    let (address, _pod, _) = start(5, &names, &files).await?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    let config = || {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
    };
    let anonymous = config()?.with_root_certificates(roots.clone()).with_no_client_auth();
    let other_key = rcgen::KeyPair::generate()?;
    let other = rcgen::CertificateParams::new(vec!["b.test".to_owned()])?.self_signed(&other_key)?;
    let der = rustls::pki_types::PrivateKeyDer::try_from(other_key.serialize_der()).ok().context("key")?;
    let stranger =
        config()?.with_root_certificates(roots).with_client_auth_cert(vec![other.der().clone()], der)?;
    let ask = |config: rustls::ClientConfig| async move {
        let stream = TcpStream::connect((address, 8443)).await?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(ServerName::try_from("a.test")?, stream).await?;
        stream.write_all(b"GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = ask(anonymous).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let tls = &serde_json::from_str::<Value>(body)?["tls"];
    assert_eq!(tls["version"], "TLSv1.3");
    assert_eq!(tls["serverName"], "a.test");
    assert!(tls["cipherSuite"].as_str().is_some_and(|name| name.starts_with("TLS_AES_")), "{tls}");
    assert!(ask(stranger).await.is_err());
    Ok(())
}

#[tokio::test]
async fn lines_and_datagrams_are_answered() -> anyhow::Result<()> {
    let (address, _pod, _) = start(6, &[("TCP_ECHO_SERVER", "1"), ("SERVICE_NAME", "lines")], &[]).await?;
    let mut stream = TcpStream::connect((address, 3000)).await?;
    stream.write_all(b"PING\nnothing\nIS_TLS\nTEST\n").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let lines: Vec<&str> = answer.lines().collect();
    let [welcome, pong, is_tls, reply] = lines[..] else { anyhow::bail!("{answer}") };
    assert_eq!((welcome, pong, is_tls), ("Gateway API Test TCP Server", "PONG", "false"));
    assert_eq!(serde_json::from_str::<Value>(reply)?["service"], "lines");

    let env = BTreeMap::from([("UDP_ECHO_SERVER".to_owned(), "1".to_owned())]);
    let mut container = Container::echo(env, BTreeMap::new());
    let echo = Pod::start(address, &container, &Log::default()).await?;
    let socket = UdpSocket::bind((address, 0)).await?;
    socket.send_to(b"hello", (address, 8080)).await?;
    let mut buffer = [0; 512];
    let (n_bytes, from) = socket.recv_from(&mut buffer).await?;
    assert_eq!(from, (address, 8080).into());
    assert_eq!(serde_json::from_slice::<Value>(&buffer[..n_bytes])?["request"], "hello");
    drop(echo);

    container.mode = Mode::Dns;
    container.env.insert("DNS_PORT".to_owned(), "5353".to_owned());
    let _dns = Pod::start(address, &container, &Log::default()).await?;
    socket.send_to(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03foo\0\0\x01\0\x01", (address, 5353)).await?;
    let (n_bytes, _) = socket.recv_from(&mut buffer).await?;
    assert!(buffer[..n_bytes].starts_with(b"\x12\x34\x85\0\0\x01\0\x01"));
    Ok(())
}

#[tokio::test]
async fn a_pod_that_is_dropped_leaves_its_ports_and_connections() -> anyhow::Result<()> {
    let (address, pod, _) = start(7, &[], &[]).await?;
    let mut stream = TcpStream::connect((address, 3000)).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    assert!(stream.read(&mut [0; 4096]).await? > 0);
    drop(pod);
    let rest = stream.read(&mut [0; 4096]).await;
    assert!(matches!(rest, Ok(0) | Err(_)), "{rest:?}");
    let again = start(7, &[], &[]).await?;
    drop(again);
    Ok(())
}
