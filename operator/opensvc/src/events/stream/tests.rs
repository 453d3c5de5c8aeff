//! The stream against a source made of scripts, with a paused clock.

use std::collections::VecDeque;
use std::sync::Mutex;

use futures::stream;

use super::*;
use crate::error::Error;
use crate::events::{Event, EventKind, Filter};

/// What the source does at one opening.
enum Script {
    Refuse,
    /// Sends these chunks, then ends.
    Ends(Vec<Vec<u8>>),
    /// Sends these chunks, then says nothing more.
    Stays(Vec<Vec<u8>>),
}

#[derive(Default)]
struct Stage {
    scripts: Mutex<VecDeque<Script>>,
    opened_at: Mutex<Vec<Instant>>,
    sign: Mutex<Option<Sign>>,
}

#[derive(Clone, Default)]
struct Played(Arc<Stage>);

impl Played {
    fn with(scripts: impl IntoIterator<Item = Script>) -> Self {
        let played = Self::default();
        played.0.scripts.lock().expect("scripts").extend(scripts);
        played
    }

    fn opened_at(&self) -> Vec<Instant> {
        self.0.opened_at.lock().expect("openings").clone()
    }
}

impl Source for Played {
    type Body = Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>;

    async fn open(&mut self) -> Result<Self::Body, Error> {
        self.0.opened_at.lock().expect("openings").push(Instant::now());
        let script = self.0.scripts.lock().expect("scripts").pop_front().unwrap_or(Script::Refuse);
        let chunks =
            |chunks: Vec<Vec<u8>>| stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
        match script {
            Script::Refuse => {
                Err(Error::Unreachable { target: "played".to_owned(), cause: "refused".to_owned() })
            }
            Script::Ends(sent) => Ok(Box::pin(chunks(sent))),
            Script::Stays(sent) => Ok(Box::pin(chunks(sent).chain(stream::pending()))),
        }
    }

    async fn sign(&self) -> Option<Sign> {
        *self.0.sign.lock().expect("sign")
    }
}

fn event(kind: &str, path: &str) -> Vec<u8> {
    format!("event: {kind}\nid: 0\ndata: {{\"labels\":{{\"path\":\"{path}\"}},\"path\":\"{path}\"}}\n\n")
        .into_bytes()
}

fn spawn(played: &Played, patience: Patience) -> EventStream {
    EventStream::spawn(played.clone(), Subscription::default(), patience)
}

async fn next(stream: &mut EventStream) -> Signal {
    stream.next().await.expect("a signal")
}

fn path_of(signal: &Signal) -> Option<String> {
    match signal {
        Signal::Event(received) => received.path.as_ref().map(ToString::to_string),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_relist_comes_first_and_after_each_reconnection() {
    let played = Played::with([
        Script::Ends(vec![event("ObjectCreated", "edge/cfg/a")]),
        Script::Stays(vec![event("ObjectCreated", "edge/cfg/b")]),
    ]);
    let mut stream = spawn(&played, Patience::default());
    assert_eq!(next(&mut stream).await, Signal::Relist(Cause::Connected));
    assert_eq!(path_of(&next(&mut stream).await).as_deref(), Some("edge/cfg/a"));
    assert!(matches!(next(&mut stream).await, Signal::Down(_)));
    assert!(!stream.is_connected());
    assert_eq!(next(&mut stream).await, Signal::Relist(Cause::Connected));
    assert_eq!(path_of(&next(&mut stream).await).as_deref(), Some("edge/cfg/b"));
    assert!(stream.is_connected());
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_broken_stream() {
    let played = Played::with([Script::Stays(vec![]), Script::Stays(vec![])]);
    let mut stream = spawn(&played, Patience::default());
    let start = Instant::now();
    assert_eq!(next(&mut stream).await, Signal::Relist(Cause::Connected));
    assert!(matches!(next(&mut stream).await, Signal::Down(why) if why.contains("silent")));
    assert_eq!(start.elapsed().as_secs(), 120);
    assert_eq!(next(&mut stream).await, Signal::Relist(Cause::Connected));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_down_for_ten_minutes_sees_few_connections() {
    let played = Played::default();
    let mut stream = spawn(&played, Patience::default());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(600) {
        assert!(matches!(next(&mut stream).await, Signal::Down(_)));
    }
    let n_tries = played.opened_at().len();
    assert!((20..=40).contains(&n_tries), "{n_tries}");
}

#[tokio::test(start_paused = true)]
async fn a_new_socket_ends_the_wait() {
    let played = Played::default();
    let mut stream = spawn(&played, Patience::default());
    for _ in 0..10 {
        next(&mut stream).await;
    }
    *played.0.sign.lock().expect("sign") = Some(Sign(1, 2, 3));
    played.0.scripts.lock().expect("scripts").push_back(Script::Stays(vec![]));
    let start = Instant::now();
    while next(&mut stream).await != Signal::Relist(Cause::Connected) {}
    assert!(start.elapsed() <= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn streams_that_end_at_once_are_not_hammered() {
    let played = Played::with((0..100).map(|_| Script::Ends(vec![])));
    let mut stream = spawn(&played, Patience::default());
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        next(&mut stream).await;
    }
    assert!(played.opened_at().len() <= 12, "{}", played.opened_at().len());
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_loses_events_and_is_told_so() {
    let many = (0..50).map(|i| event("ObjectCreated", &format!("edge/cfg/a{i}"))).collect();
    let played = Played::with([Script::Stays(many)]);
    let mut stream = spawn(&played, Patience { queue: 8, ..Patience::default() });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut signals = vec![next(&mut stream).await];
    while let Ok(signal) = tokio::time::timeout(Duration::from_secs(1), stream.next()).await {
        signals.push(signal.expect("a signal"));
    }
    assert_eq!(signals.first(), Some(&Signal::Relist(Cause::Connected)));
    assert_eq!(signals.last(), Some(&Signal::Relist(Cause::Overflow)));
    assert_eq!(signals.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_asks_for_a_relist() {
    let broken = b"event: InstanceConfigUpdated\ndata: {\"path\":\n\n".to_vec();
    let played = Played::with([Script::Stays(vec![broken, event("ObjectCreated", "edge/cfg/a")])]);
    let mut stream = spawn(&played, Patience::default());
    assert_eq!(next(&mut stream).await, Signal::Relist(Cause::Connected));
    assert_eq!(next(&mut stream).await, Signal::Relist(Cause::Unreadable));
    assert_eq!(path_of(&next(&mut stream).await).as_deref(), Some("edge/cfg/a"));
}

#[tokio::test(start_paused = true)]
async fn a_replay_of_other_namespaces_is_left_out() {
    let cached = |path: &str| {
        let labels = format!("{{\"path\":\"{path}\",\"source\":\"cache\"}}");
        format!("event: NodeFrozen\ndata: {{\"labels\":{labels},\"path\":\"{path}\"}}\n\n").into_bytes()
    };
    let played = Played::with([Script::Stays(vec![cached("other/cfg/a"), cached("edge/cfg/a")])]);
    let subscription = Subscription::to([Filter::kinds([EventKind::NodeFrozen]).with_namespace("edge")]);
    let mut stream = EventStream::spawn(played, subscription, Patience::default());
    assert_eq!(next(&mut stream).await, Signal::Relist(Cause::Connected));
    let signal = next(&mut stream).await;
    assert_eq!(path_of(&signal).as_deref(), Some("edge/cfg/a"));
    assert!(
        matches!(signal, Signal::Event(received) if received.event == Event::Plain(EventKind::NodeFrozen))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_consumer_ends() {
    let played = Played::default();
    let stream = spawn(&played, Patience::default());
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(stream);
    let n_tries = played.opened_at().len();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(played.opened_at().len(), n_tries);
}
