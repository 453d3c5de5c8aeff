//! Watches: every change after a revision, in order, one line each.
//!
//! A watch holds no changes of its own: it reads on in the store's history whenever the client has room. One that
//! falls behind what the history holds is told so, and ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::debug;

use super::shape;
use crate::failure::Failure;
use crate::reply::{self, Body};
use crate::request::Asked;
use crate::selector::Selector;
use crate::server::{Server, Target};
use crate::source::Wanted;
use crate::store::{Action, Event, Store};

/// What a watch knows between two pieces.
struct Watch {
    store: Arc<Store>,
    target: Target,
    asked: Asked,
    selector: Selector,
    changed: tokio::sync::watch::Receiver<u64>,
    /// Changes up to this one are told.
    revision: u64,
    /// What was there at the beginning and is not told yet.
    first: VecDeque<Arc<Value>>,
    /// A bookmark says where what was there at the beginning ends.
    has_marked_end: bool,
    until: Instant,
    bookmark_at: Instant,
    /// When to look whether somebody else has changed what they keep.
    look_at: Option<Instant>,
    has_told: bool,
    has_ended: bool,
}

pub(crate) fn answer(
    server: &Server,
    target: &Target,
    asked: &Asked,
    selector: Selector,
) -> Result<Response<Body>, Failure> {
    let store = Arc::clone(server.store());
    let changed = store.subscribe(&target.resource).ok_or_else(Failure::no_such_path)?;
    let wanted = asked.query.get("resourceVersion").unwrap_or_default();
    let starts_anew = matches!(wanted, "" | "0") || asked.query.is_true("sendInitialEvents");
    let (first, revision) = match wanted.parse::<u64>() {
        Ok(revision) if !starts_anew => (Vec::new(), revision),
        Err(_) if !starts_anew => {
            return Err(Failure::bad_request(format!("invalid resourceVersion: {wanted}")));
        }
        _ if asked.query.get("sendInitialEvents") == Some("false") => (Vec::new(), store.revision()),
        _ => store.select(&target.resource, &target.namespace, &selector),
    };
    let length = asked.query.number("timeoutSeconds").map_or(LENGTH, Duration::from_secs).min(LENGTH_MAX);
    let now = Instant::now();
    let watch = Watch {
        store,
        target: target.clone(),
        asked: asked.for_watch(),
        selector,
        changed,
        revision,
        first: first.into(),
        has_marked_end: !asked.query.is_true("sendInitialEvents"),
        until: now + length,
        bookmark_at: now + BOOKMARK_EVERY,
        look_at: target.resource.source.as_ref().map(|_| now + LOOK_EVERY),
        has_told: false,
        has_ended: false,
    };
    let pieces = futures::stream::unfold(watch, |mut watch| async move {
        let piece = watch.next().await?;
        Some((piece, watch))
    });
    Ok(reply::reply(StatusCode::OK, reply::JSON, Body::stream(pieces)))
}

// === impl Watch ===

impl Watch {
    /// The next piece; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        let mut lines = Vec::new();
        loop {
            while lines.len() < PIECE_BYTES
                && let Some(object) = self.first.pop_front()
            {
                self.tell(&mut lines, "ADDED", &object);
            }
            if self.first.is_empty() && !self.has_marked_end {
                self.has_marked_end = true;
                self.mark(&mut lines, true);
            }
            if !lines.is_empty() {
                return Some(lines.into());
            }
            // Seen before the history is read, so that no change falls between the two.
            self.changed.borrow_and_update();
            match self.store.changes_after(&self.target.resource, self.revision, PIECE_EVENTS) {
                Err(failure) => {
                    self.has_ended = true;
                    line(&mut lines, "ERROR", &failure.to_value());
                    return Some(lines.into());
                }
                Ok(changes) => {
                    for event in &changes {
                        self.revision = event.revision;
                        self.change(&mut lines, event);
                        if lines.len() >= PIECE_BYTES {
                            break;
                        }
                    }
                    if !lines.is_empty() {
                        return Some(lines.into());
                    }
                    if !changes.is_empty() {
                        continue;
                    }
                }
            }
            let wants_bookmarks = self.asked.query.is_true("allowWatchBookmarks");
            let wake = if wants_bookmarks { self.until.min(self.bookmark_at) } else { self.until };
            let wake = self.look_at.map_or(wake, |look_at| wake.min(look_at));
            // A change of the kind; or the end, or the time for a bookmark or for a look.
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() {
                    return None;
                },
                () = tokio::time::sleep_until(wake) => {
                    if Instant::now() >= self.until {
                        return None;
                    }
                    if self.look_at.is_some_and(|look_at| look_at <= Instant::now()) {
                        self.look().await;
                        continue;
                    }
                    self.bookmark_at = Instant::now() + BOOKMARK_EVERY;
                    self.mark(&mut lines, false);
                    return Some(lines.into());
                }
            }
        }
    }

    /// Looks at what somebody else keeps. Without an answer the next look may have one.
    async fn look(&mut self) {
        let resource = &self.target.resource;
        if let Some(source) = &resource.source {
            let wanted = Wanted { resource, namespace: &self.target.namespace, name: &self.target.name };
            let since = self.store.revision();
            match source.look(&self.asked.user, wanted).await {
                Ok(seen) => self.store.observe_within(wanted, seen, since),
                Err(refusal) => debug!(%refusal, "a watch looks again later"),
            }
        }
        self.look_at = Some(Instant::now() + LOOK_EVERY);
    }

    fn change(&mut self, lines: &mut Vec<u8>, event: &Event) {
        let is_meant = |object: &Value| {
            let namespace = crate::tree::text(object, "metadata.namespace");
            let is_within = self.target.namespace.is_empty() || namespace == &*self.target.namespace;
            is_within && self.selector.matches(object)
        };
        let was = event.before.as_deref().is_some_and(is_meant);
        let is = event.action != Action::Deleted && is_meant(&event.object);
        let object = Arc::clone(&event.object);
        match (was, is) {
            (false, true) => self.tell(lines, "ADDED", &object),
            (true, true) => self.tell(lines, "MODIFIED", &object),
            (true, false) => self.tell(lines, "DELETED", &object),
            (false, false) => {}
        }
    }

    fn tell(&mut self, lines: &mut Vec<u8>, word: &str, object: &Value) {
        line(lines, word, &shape::of_watch(&self.target, &self.asked, object, !self.has_told));
        self.has_told = true;
    }

    fn mark(&mut self, lines: &mut Vec<u8>, is_end_of_first: bool) {
        let resource = &self.target.resource;
        let mut metadata = json!({ "resourceVersion": self.revision.to_string(), "creationTimestamp": null });
        if let (true, Some(fields)) = (is_end_of_first, metadata.as_object_mut()) {
            fields.insert("annotations".to_owned(), json!({ "k8s.io/initial-events-end": "true" }));
        }
        let object = json!({
            "kind": &*resource.kind, "apiVersion": resource.api_version(&self.target.version), "metadata": metadata,
        });
        line(lines, "BOOKMARK", &object);
    }
}

fn line(lines: &mut Vec<u8>, word: &str, object: &Value) {
    lines.extend_from_slice(b"{\"type\":\"");
    lines.extend_from_slice(word.as_bytes());
    lines.extend_from_slice(b"\",\"object\":");
    // A tree always encodes.
    if let Ok(bytes) = serde_json::to_vec(object) {
        lines.extend_from_slice(&bytes);
    }
    lines.extend_from_slice(b"}\n");
}

/// Length of a watch whose client names none.
const LENGTH: Duration = Duration::from_secs(45 * 60);
/// Longest watch.
const LENGTH_MAX: Duration = Duration::from_secs(24 * 3600);
/// Changes that are looked at for one piece.
const PIECE_EVENTS: usize = 64;
/// A piece that is as long as this is sent. With the last object in it, it is the memory of a watch.
const PIECE_BYTES: usize = 64 * 1024;
/// How often a watch looks at what somebody else keeps.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often a quiet watch tells where it is, if the client likes to know.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
