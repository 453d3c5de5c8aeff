//! The event stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::HeaderValue;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::Call;
use super::reply::{Answer, message, problem};
use crate::streams::{Filter, Stream};
use crate::users::seconds;

// === impl Call ===

impl Call<'_> {
    pub(super) fn stream(&self, node: &str) -> Answer {
        let limit = match self.param("limit").map(|text| (text, text.parse::<u64>())) {
            None => None,
            Some((_, Ok(limit))) => Some(limit),
            Some((text, Err(_))) => {
                let words = format!(
                    "Invalid format for parameter limit: error binding string parameter: strconv.ParseInt: parsing \"{text}\": invalid syntax"
                );
                return message(400, &words);
            }
        };
        let invalid = |field: &str, value: &str, words: &str| {
            let detail = format!("field '{field}' with value '{value}' validation error: {words}");
            problem(400, "Invalid parameter", &detail)
        };
        let duration = match self.param("duration").map(|text| (text, seconds(text))) {
            None | Some((_, Some(0))) => None,
            Some((_, Some(seconds))) => Some(Duration::from_secs(seconds)),
            Some((text, None)) => {
                return invalid("duration", text, &format!("time: invalid duration \"{text}\""));
            }
        };
        let texts = self.params("filter");
        let filters = match Filter::parse_all(&texts) {
            Ok(filters) => filters,
            Err(words) => return invalid("filter", &format!("[{}]", texts.join(" ")), &words),
        };
        let selector = self.param("selector").map(ToOwned::to_owned);
        if let Some(expression) = selector.as_ref().filter(|selector| selector.contains(['=', ':'])) {
            let words = format!("selection with config filter disabled can't use filter: '{expression}'");
            return problem(400, "Invalid filters", &words);
        }
        let (sink, source) = mpsc::unbounded_channel::<String>();
        let caller = self.caller.clone();
        let mut stream =
            Stream { filters, selector, caller, sink, next: 0, limit, held: None, cut_after: None };
        let goes_on = match self.param("replay").or(self.param("cache")) {
            Some("true") => self.world.replay(node, &mut stream),
            _ => true,
        };
        if goes_on && let Some(state) = self.world.lock().nodes.get_mut(node) {
            state.streams.push(stream);
        }
        let end = duration.map(|duration| Box::pin(tokio::time::sleep(duration)));
        let mut answer = Response::new(StreamBody::new(Source { source, end }).boxed());
        let headers = answer.headers_mut();
        if let Ok(node) = HeaderValue::from_str(node) {
            headers.insert("om-served-by", node);
        }
        // Without this wish there is no type at all.
        if self.headers.get("accept").is_some_and(|accept| accept == "text/event-stream") {
            headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
            headers.insert("cache-control", HeaderValue::from_static("no-store"));
        }
        answer
    }
}

/// Events as the frames of a body, for some time.
struct Source {
    source: mpsc::UnboundedReceiver<String>,
    end: Option<Pin<Box<Sleep>>>,
}

impl futures::Stream for Source {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(end) = &mut self.end
            && end.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(None);
        }
        self.source.poll_recv(context).map(|text| text.map(|text| Ok(Frame::data(Bytes::from(text)))))
    }
}
