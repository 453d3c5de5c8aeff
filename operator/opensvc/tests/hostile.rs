//! Answers that no daemon gives, or not on a good day.

mod served;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use igw_opensvc::{Client, Error, ObjectPath, Patience, Retry, Settings, Signal, Subscription, Target};
use served::{Reply, Served};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// Writes these bytes to each connection after the first bytes of a request, then holds it open.
struct Raw {
    socket: PathBuf,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Raw {
    fn start(head: &str, filler: Option<&'static [u8]>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("http.sock");
        let listener = UnixListener::bind(&socket)?;
        let head = head.as_bytes().to_vec();
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&head).await;
                if let Some(filler) = filler {
                    while stream.write_all(filler).await.is_ok() {}
                }
                held.push(stream);
            }
        });
        Ok(Self { socket, task, _folder: folder })
    }

    fn client(&self, call_timeout: Duration, answer_limit: usize) -> anyhow::Result<Client> {
        let settings = Settings { call_timeout, answer_limit, ..Settings::default() };
        Ok(Client::connect_with(Target::Unix(self.socket.clone()), &settings)?)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn object() -> ObjectPath {
    "edge/cfg/gw".parse().expect("a path")
}

const BLOCK: &[u8] = &[b'x'; 65_536];
const CHUNKS: &[u8] = b"10\r\nxxxxxxxxxxxxxxxx\r\n";

#[tokio::test]
async fn endless_and_huge_bodies_are_cut() -> anyhow::Result<()> {
    for (head, filler) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", CHUNKS),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n", BLOCK),
        ("HTTP/1.1 200 OK\r\n\r\n", BLOCK),
        ("HTTP/1.1 500 Oops\r\n\r\n", BLOCK),
    ] {
        let raw = Raw::start(head, Some(filler))?;
        let client = raw.client(Duration::from_secs(20), 1 << 20)?;
        let error = client.keys(&object()).await.expect_err(head);
        assert!(matches!(error, Error::AnswerTooLarge { limit: 1_048_576, .. }), "{head}: {error}");
        assert_eq!(error.retry(), Retry::Never);
    }
    Ok(())
}

#[tokio::test]
async fn stalled_answers_end_in_time_and_leave_the_outcome_open() -> anyhow::Result<()> {
    for head in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"] {
        let raw = Raw::start(head, None)?;
        let limit = Duration::from_millis(300);
        let client = raw.client(limit, 1 << 20)?;
        let start = Instant::now();
        let error = client.keys(&object()).await.expect_err(head);
        assert!(start.elapsed() < Duration::from_secs(10), "{head}");
        assert!(matches!(&error, Error::Timeout { limit: told, .. } if *told == limit), "{head:?}: {error}");
        assert!(error.outcome_unknown());
        assert_eq!(client.requests_by_code().get(&0), Some(&1));
    }
    Ok(())
}

#[tokio::test]
async fn answers_that_are_no_http_are_lost_connections() -> anyhow::Result<()> {
    for head in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 banana\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
    ] {
        let raw = Raw::start(head, None)?;
        let client = raw.client(Duration::from_secs(5), 1 << 20)?;
        let error = client.keys(&object()).await.expect_err(head);
        assert!(matches!(error, Error::Lost { .. }), "{head:?}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn bodies_of_another_kind_are_named_without_being_quoted() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    let html = Reply {
        status: 200,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: b"<html>secret portal</html>".to_vec(),
    };
    let deep = "[".repeat(100_000);
    for reply in [
        html,
        Reply::json(200, "{\"items\": \"secret\"}"),
        Reply::json(200, "{\"items\": [{\"name\": \"secret"),
        Reply::json(200, &deep),
        Reply { body: vec![0xff; 100], ..Reply::json(200, "") },
        Reply::json(200, "null"),
    ] {
        let shown = String::from_utf8_lossy(&reply.body).chars().take(40).collect::<String>();
        served.will_answer(reply);
        let error = client.keys(&object()).await.expect_err(&shown);
        assert!(matches!(error, Error::Malformed { .. }), "{shown}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn success_of_a_write_is_204_alone() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    let ini = || "[DEFAULT]\n".into();
    served.will_answer(Reply::empty(204));
    client.create(&object(), ini()).await?;
    served.will_answer(Reply::empty(200));
    let error = client.create(&object(), ini()).await.expect_err("not done");
    assert!(matches!(error, Error::NotConfirmed { .. }) && error.outcome_unknown(), "{error}");
    assert_eq!(error.retry(), Retry::Later(Duration::from_millis(300)));
    for status in [201, 202, 206] {
        served.will_answer(Reply::empty(status));
        assert!(matches!(client.create(&object(), ini()).await, Err(Error::Malformed { .. })), "{status}");
    }
    for (status, expected) in
        [(301, Retry::Never), (418, Retry::Never), (500, Retry::Later(Duration::from_secs(1)))]
    {
        served.will_answer(Reply::empty(status));
        let error = client.create(&object(), ini()).await.expect_err("not done");
        assert!(matches!(error, Error::Server { status: told, .. } if told == status), "{status}: {error}");
        assert_eq!(error.retry(), expected, "{status}");
    }
    for status in [502, 503, 504] {
        served.will_answer(Reply::empty(status));
        let error = client.create(&object(), ini()).await.expect_err("not done");
        assert_eq!(error.retry(), Retry::Elsewhere, "{status}");
    }
    assert_eq!(client.requests_by_code().get(&204), Some(&1));
    Ok(())
}

#[tokio::test]
async fn a_limiter_slows_all_clones_down() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let client = Client::connect(Target::Unix(served.socket.clone()))?;
    served.will_answer(Reply::json(403, "null\n"));
    let start = Instant::now();
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.ping("n1").await }
    });
    served.will_answer(Reply::empty(204));
    served.will_answer(Reply::empty(204));
    while !client.requests_by_code().contains_key(&403) {
        tokio::task::yield_now().await;
    }
    client.clone().ping("n1").await?;
    first.await??;
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_stream_carries_events_and_ends_with_its_consumer() -> anyhow::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
        event: ObjectDeleted\nid: 0\ndata: {\"labels\":{\"path\":\"edge/cfg/a\"},\"path\":\"edge/cfg/a\",\"node\":\"n1\"}\n\nevent: Obj";
    let raw = Raw::start(head, None)?;
    let client = raw.client(Duration::from_secs(5), 1 << 20)?;
    let stall = Duration::from_millis(500);
    let mut stream = client.events_with(Subscription::default(), Patience { stall, ..Patience::default() });
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let signal = tokio::time::timeout(Duration::from_secs(20), stream.next()).await?;
        seen.push(match signal.expect("the task lives") {
            Signal::Relist(_) => "relist".to_owned(),
            Signal::Event(received) => received.path.map(|path| path.to_string()).unwrap_or_default(),
            Signal::Down(why) => why,
        });
    }
    assert_eq!(seen, ["relist", "edge/cfg/a", "silent for 500ms", "relist"]);
    Ok(())
}
