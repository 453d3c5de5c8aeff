//! The way to one daemon: a connection pool, the budget, the counters.
//!
//! Guarantees: a call ends within its time limit whatever the daemon does; no more than the limit of an answer is
//! held; redirects and proxies are never followed and `X-Forwarded-For`, which the daemon's limiter would believe
//! (contract §2.1), is never sent.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, Url};
use tokio::time::timeout;

use crate::budget::{Budget, Counters};
use crate::error::{Error, Place};
use crate::request::{Answer, Request};
use crate::target::{Credentials, Settings, SetupError, SocketProtocol, Target};
use crate::tls;

/// A way to one daemon.
#[derive(Debug)]
pub(crate) struct Link {
    http: reqwest::Client,
    base: Url,
    shown: String,
    socket: Option<PathBuf>,
    pub(crate) budget: Budget,
    pub(crate) counters: Counters,
    pub(crate) limited_tries: u32,
    call_timeout: Duration,
    answer_limit: usize,
}

// === impl Link ===

impl Link {
    pub(crate) fn build(target: &Target, settings: &Settings) -> Result<Self, SetupError> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(USER_AGENT);
        let (builder, base, shown, socket, budget) = match target {
            Target::Unix(path) => {
                let builder = builder.unix_socket(path.clone()).tls_backend_preconfigured(tls::unused()?);
                let builder = match settings.socket_protocol {
                    SocketProtocol::Http1 => builder.http1_only(),
                    SocketProtocol::Http2 => builder.http2_prior_knowledge(),
                };
                let base = Url::parse("http://localhost/").map_err(|_| SetupError::Url(String::new()))?;
                (builder, base, path.display().to_string(), Some(path.clone()), Budget::unix())
            }
            Target::Tcp { url, trust, server_name, credentials } => {
                let identity = match credentials {
                    Credentials::X509(identity) => Some(identity),
                    _ => None,
                };
                let side = tls::client_side(trust, server_name.as_deref(), identity)?;
                let builder = builder
                    .https_only(true)
                    .tls_backend_preconfigured(side)
                    .tcp_nodelay(true)
                    .tcp_keepalive(TCP_KEEPALIVE)
                    .tcp_keepalive_interval(TCP_KEEPALIVE)
                    .tcp_keepalive_retries(TCP_KEEPALIVE_RETRIES);
                let base = parse_url(url)?;
                let shown = base.as_str().trim_end_matches('/').to_owned();
                (builder, base, shown, None, Budget::tcp())
            }
        };
        Ok(Self {
            http: builder.build().map_err(|error| SetupError::Http(chain(&error)))?,
            base,
            shown,
            socket,
            budget: settings.budget.clone().unwrap_or(budget),
            counters: Counters::default(),
            limited_tries: settings.limited_tries,
            call_timeout: settings.call_timeout,
            answer_limit: settings.answer_limit,
        })
    }

    pub(crate) fn socket(&self) -> Option<&PathBuf> {
        self.socket.as_ref()
    }

    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Sends a request and reads its answer, of whatever status.
    pub(crate) async fn send(
        &self,
        request: &Request,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, Error> {
        self.budget.take().await;
        let limit = self.call_timeout;
        let whole = async {
            let response = self.start(request, authorization).await?;
            self.read(request, response).await
        };
        let result = match timeout(limit, whole).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { place: request.place(), limit }),
        };
        self.counters.count(result.as_ref().map_or(0, |answer| answer.status));
        if let Ok(answer) = &result {
            self.heed(answer.status, &answer.body);
        }
        result
    }

    /// Sends a request and gives its answer back once the head is there. The body is the caller's.
    pub(crate) async fn open(
        &self,
        request: &Request,
        authorization: Option<HeaderValue>,
    ) -> Result<Response, Error> {
        self.budget.take().await;
        let limit = self.call_timeout;
        let result = match timeout(limit, self.start(request, authorization)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { place: request.place(), limit }),
        };
        self.counters.count(result.as_ref().map_or(0, |response| response.status().as_u16()));
        result
    }

    /// Reads the body of an answer, up to the limit.
    pub(crate) async fn read(&self, request: &Request, mut response: Response) -> Result<Answer, Error> {
        let limit = self.answer_limit;
        let too_large = || Error::AnswerTooLarge { place: request.place(), limit };
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |announced| announced > limit) {
            return Err(too_large());
        }
        let mut answer = Answer {
            status: response.status().as_u16(),
            content_type: text_of(response.headers(), &CONTENT_TYPE),
            modified: text_of(response.headers(), &HeaderName::from_static("om-last-modified")),
            last_modified: text_of(response.headers(), &HeaderName::from_static("last-modified")),
            body: Bytes::new(),
        };
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(request, &error))? {
            if body.len().saturating_add(chunk.len()) > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        answer.body = body.freeze();
        Ok(answer)
    }

    /// As [`Link::read`], within the time of a call.
    pub(crate) async fn read_in_time(&self, request: &Request, response: Response) -> Result<Answer, Error> {
        let limit = self.call_timeout;
        let result = match timeout(limit, self.read(request, response)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Timeout { place: request.place(), limit }),
        };
        if let Ok(answer) = &result {
            self.heed(answer.status, &answer.body);
        }
        result
    }

    async fn start(&self, request: &Request, authorization: Option<HeaderValue>) -> Result<Response, Error> {
        let mut builder = self.http.request(request.method.clone(), request.url(&self.base));
        if let Some((content_type, body)) = &request.body {
            builder = builder.header(CONTENT_TYPE, *content_type).body(body.clone());
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        builder.send().await.map_err(|error| self.broken(request, &error))
    }

    /// A limiter that is angry stays angry longer when it is asked again at once.
    fn heed(&self, status: u16, body: &[u8]) {
        let body = body.trim_ascii();
        if status == 429 || (status == 403 && (body.is_empty() || body == b"null")) {
            self.budget.pause(LIMITED_PAUSE);
        }
    }

    fn broken(&self, request: &Request, error: &reqwest::Error) -> Error {
        let place: Place = request.place();
        if error.is_connect() {
            return Error::Unreachable { target: self.shown.clone(), cause: chain(error) };
        }
        if error.is_timeout() {
            return Error::Timeout { place, limit: self.call_timeout };
        }
        Error::Lost { place, cause: chain(error) }
    }
}

fn parse_url(text: &str) -> Result<Url, SetupError> {
    // A user and password before the host are refused, and not repeated.
    let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let wrong = || SetupError::Url(shown.chars().take(300).collect());
    let url = Url::parse(text).map_err(|_| wrong())?;
    let is_plain = url.scheme() == "https"
        && url.has_host()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if is_plain { Ok(url) } else { Err(wrong()) }
}

fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    // Forwarded answers carry empty headers at times.
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The innermost causes of an error; the outermost text of the HTTP client names the URL with its query.
fn chain(error: &reqwest::Error) -> String {
    let mut parts = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        parts.push(cause.to_string());
        source = cause.source();
    }
    if parts.is_empty() { "request failed".to_owned() } else { parts.join(": ") }
}

/// Idle connections are closed before a daemon or a middlebox does it.
const POOL_IDLE: Duration = Duration::from_secs(60);
/// A silent stream whose other end is gone is noticed after a minute.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);
const TCP_KEEPALIVE_RETRIES: u32 = 3;
/// 40 tokens of the daemon's limiter.
const LIMITED_PAUSE: Duration = Duration::from_secs(2);
const USER_AGENT: &str = concat!("igw/", env!("CARGO_PKG_VERSION"));
