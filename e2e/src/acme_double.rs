//! An authority that has what pebble 2.4 lacks: renewal information (RFC 9773), profiles, a pause it insists on, and
//! answers that get lost: to the first challenge and to the first signing request.
//!
//! It believes nothing: signatures, nonces and URLs are verified, names are proven over HTTP, and every request that
//! comes before its time is remembered as an offence.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use rcgen::{CertificateSigningRequestParams, SerialNumber};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::client::get;
use crate::tls::{Authority, Use};

/// The authority.
pub struct Double {
    /// Where its directory is, under `/dir`.
    pub address: SocketAddr,
    /// Certificate of the authority that certifies its server and signs what it issues, PEM.
    pub authority: String,
    shared: Arc<Shared>,
}

/// What it saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Payloads of orders, those that it took.
    pub orders: Vec<Value>,
    /// Names of certificates as renewal information is asked by, in order of issuance.
    pub issued: Vec<String>,
    /// What was done that must not be.
    pub offences: Vec<String>,
    /// Times that it insisted on a pause.
    pub n_pauses: u32,
}

struct Shared {
    url: String,
    http: SocketAddr,
    authority: Authority,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seen: Seen,
    nonces: BTreeSet<String>,
    n_nonces: u64,
    /// Public key and thumbprint of the account.
    account: Option<(Vec<u8>, String)>,
    hostname: String,
    is_proven: bool,
    chains: BTreeMap<usize, String>,
    /// Orders are refused with this pause, once.
    pause: Option<Duration>,
    paused_until: Option<Instant>,
}

struct Reply {
    status: u16,
    fields: Vec<(&'static str, String)>,
    body: String,
}

// === impl Double ===

impl Double {
    /// Starts it; it proves names at an address over HTTP and refuses its first order with a pause.
    ///
    /// # Errors
    /// Fails if no socket can be opened.
    pub fn start(listener: TcpListener, http: SocketAddr, pause: Duration) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let authority = Authority::new("double")?;
        let own = authority.issue(Use::Server, &[&address.ip().to_string()])?;
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(
                    vec![CertificateDer::from_pem_slice(own.certificate.as_bytes())?],
                    PrivateKeyDer::from_pem_slice(own.key.as_bytes())?,
                )?;
        let certificate = authority.certificate.clone();
        let state = State { pause: Some(pause), ..State::default() };
        let url = format!("https://{address}");
        let shared = Arc::new(Shared { url, http, authority, state: Mutex::new(state) });
        let (config, own) = (Arc::new(config), Arc::clone(&shared));
        // The thread ends with the process of the test: it holds nothing but its socket.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, shared) = (Arc::clone(&config), Arc::clone(&own));
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                    if let Ok(session) = ServerConnection::new(config) {
                        let _ = shared.converse(&mut StreamOwned::new(session, stream));
                    }
                });
            }
        });
        Ok(Self { address, authority: certificate, shared })
    }

    /// What it saw so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.shared.state().seen.clone()
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn converse(
        &self,
        stream: &mut StreamOwned<ServerConnection, std::net::TcpStream>,
    ) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end;
                }
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    n_bytes => bytes.extend_from_slice(&buffer[..n_bytes]),
                }
            };
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut words = head.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let length = head.lines().find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length:")
                    .and_then(|rest| rest.trim().parse::<usize>().ok())
            });
            let total = end + 4 + length.unwrap_or(0);
            while bytes.len() < total {
                let mut buffer = [0; 4096];
                match stream.read(&mut buffer)? {
                    0 => return Ok(()),
                    n_bytes => bytes.extend_from_slice(&buffer[..n_bytes]),
                }
            }
            let body: Vec<u8> = bytes[end + 4..total].to_vec();
            bytes.drain(..total);
            let reply = self.answer(method, path, &body);
            let mut text = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
            for (name, value) in &reply.fields {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str(&format!("replay-nonce: {}\r\n\r\n", self.nonce()));
            if method != "HEAD" {
                text.push_str(&reply.body);
            }
            stream.write_all(text.as_bytes())?;
            stream.flush()?;
        }
    }

    fn nonce(&self) -> String {
        let mut state = self.state();
        state.n_nonces += 1;
        let nonce = format!("nonce-{}", state.n_nonces);
        state.nonces.insert(nonce.clone());
        nonce
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        {
            let mut state = self.state();
            if state.paused_until.is_some_and(|until| Instant::now() < until) {
                state.seen.offences.push(format!("{method} {path} before the pause had ended"));
            }
        }
        let answered = match (method, path) {
            ("GET", "/dir") => Ok(Reply::new(200, &self.directory())),
            ("HEAD" | "GET", "/nonce") => Ok(Reply::new(204, &Value::Null)),
            ("GET", path) if path.starts_with("/ari/") => Ok(self.renewal(path.trim_start_matches("/ari/"))),
            ("POST", path) => self.verified(path, body).and_then(|payload| self.act(path, payload)),
            _ => Err(anyhow::anyhow!("no such thing: {method} {path}")),
        };
        answered.unwrap_or_else(|error| {
            self.state().seen.offences.push(format!("{method} {path}: {error:#}"));
            Reply::problem(400, "malformed", &error.to_string())
        })
    }

    fn directory(&self) -> Value {
        let url = &self.url;
        json!({
            "newNonce": format!("{url}/nonce"), "newAccount": format!("{url}/account"),
            "newOrder": format!("{url}/order"), "renewalInfo": format!("{url}/ari"),
            "meta": {"profiles": {"short": "lives for a day"}},
        })
    }

    /// The payload of a request that is signed as it must be.
    fn verified(&self, path: &str, body: &[u8]) -> anyhow::Result<Option<Value>> {
        let signed: Value = serde_json::from_slice(body)?;
        let part =
            |name: &str| signed[name].as_str().with_context(|| format!("no {name}")).map(str::to_owned);
        let (protected, payload) = (part("protected")?, part("payload")?);
        let head: Value = serde_json::from_slice(&B64.decode(&protected)?)?;
        ensure!(head["alg"] == "ES256" && head["url"] == format!("{}{path}", self.url), "head {head}");
        let mut state = self.state();
        let nonce = head["nonce"].as_str().unwrap_or_default();
        ensure!(state.nonces.remove(nonce), "nonce `{nonce}` was used before, or never given");
        let point = match path {
            "/account" => {
                let jwk = &head["jwk"];
                let coordinate = |name: &str| B64.decode(jwk[name].as_str().unwrap_or_default());
                let point = [vec![4], coordinate("x")?, coordinate("y")?].concat();
                let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
                let thumbprint = B64.encode(digest(&SHA256, canonical.as_bytes()));
                state.account = Some((point.clone(), thumbprint));
                point
            }
            _ => {
                ensure!(head["kid"] == format!("{}/account/1", self.url), "account {}", head["kid"]);
                state.account.as_ref().context("no account")?.0.clone()
            }
        };
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(format!("{protected}.{payload}").as_bytes(), &B64.decode(part("signature")?)?)
            .map_err(|_| anyhow::anyhow!("the signature is none"))?;
        match payload.is_empty() {
            true => Ok(None),
            false => Ok(Some(serde_json::from_slice(&B64.decode(payload)?)?)),
        }
    }

    fn act(&self, path: &str, payload: Option<Value>) -> anyhow::Result<Reply> {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let number = || parts.get(1).and_then(|part| part.parse::<usize>().ok()).context("no number");
        let mut state = self.state();
        match (parts.first().copied().unwrap_or_default(), payload) {
            ("account", Some(payload)) => {
                ensure!(payload["termsOfServiceAgreed"] == true, "terms are not agreed to");
                Ok(Reply::new(201, &json!({"status": "valid"}))
                    .with("location", format!("{}/account/1", self.url)))
            }
            ("order", Some(payload)) => {
                if let Some(pause) = state.pause.take() {
                    state.paused_until = Some(Instant::now() + pause);
                    state.seen.n_pauses += 1;
                    return Ok(Reply::problem(429, "rateLimited", "too many orders")
                        .with("retry-after", pause.as_secs().to_string()));
                }
                if payload["profile"] != "short" {
                    return Ok(Reply::problem(400, "invalidProfile", "no such profile"));
                }
                if let Some(replaces) = payload["replaces"].as_str()
                    && !state.seen.issued.iter().any(|issued| issued == replaces)
                {
                    bail!("`{replaces}` was never issued");
                }
                let hostname = payload["identifiers"][0]["value"].as_str().context("no name")?;
                state.hostname = hostname.to_owned();
                state.is_proven = false;
                state.seen.orders.push(payload);
                let number = state.seen.orders.len();
                let order = self.order(&state, number);
                Ok(Reply::new(201, &order).with("location", format!("{}/order/{number}", self.url)))
            }
            ("order", None) => Ok(Reply::new(200, &self.order(&state, number()?))),
            ("authorization", None) => Ok(Reply::new(
                200,
                &json!({
                    "status": if state.is_proven { "valid" } else { "pending" },
                    "identifier": {"type": "dns", "value": state.hostname},
                    "challenges": [{"type": "http-01", "url": format!("{}/challenge/{}", self.url, number()?),
                                    "token": format!("token-{}", number()?)}],
                }),
            )),
            ("challenge", Some(_)) => {
                let token = format!("token-{}", number()?);
                let thumbprint = state.account.as_ref().map(|account| account.1.clone()).unwrap_or_default();
                let hostname = state.hostname.clone();
                if state.is_proven {
                    return Ok(Reply::problem(400, "malformed", "the challenge is valid already"));
                }
                drop(state);
                let answer = get(self.http, &hostname, &format!("/.well-known/acme-challenge/{token}"))?;
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                ensure!(
                    answer.status == 200 && body == format!("{token}.{thumbprint}"),
                    "the challenge is answered with {} {body}",
                    answer.status
                );
                self.state().is_proven = true;
                if number()? == 1 {
                    return Ok(Reply::problem(
                        500,
                        "serverInternal",
                        "the name is proven, and nobody hears of it",
                    ));
                }
                Ok(Reply::new(200, &json!({"status": "processing"})))
            }
            ("finalize", Some(payload)) => {
                ensure!(state.is_proven, "the name is not proven");
                let request = B64.decode(payload["csr"].as_str().context("no request")?)?;
                let number = number()?;
                if state.chains.contains_key(&number) {
                    return Ok(Reply::problem(403, "orderNotReady", "the order is valid already"));
                }
                let chain = self.sign(request, number, &state.hostname)?;
                let name = renewal_name(&chain)?;
                state.seen.issued.push(name);
                state.chains.insert(number, chain);
                if number == 1 {
                    return Ok(Reply::problem(
                        500,
                        "serverInternal",
                        "the certificate is made, and nobody hears of it",
                    ));
                }
                Ok(Reply::new(200, &self.order(&state, number)))
            }
            ("certificate", None) => {
                let chain = state.chains.get(&number()?).context("no certificate")?.clone();
                Ok(Reply { status: 200, fields: Vec::new(), body: chain })
            }
            (what, payload) => bail!("{what} with {payload:?}"),
        }
    }

    fn order(&self, state: &State, number: usize) -> Value {
        let url = &self.url;
        let is_issued = state.chains.contains_key(&number);
        let status = match (is_issued, state.is_proven) {
            (true, _) => "valid",
            (false, true) => "ready",
            (false, false) => "pending",
        };
        json!({
            "status": status, "authorizations": [format!("{url}/authorization/{number}")],
            "finalize": format!("{url}/finalize/{number}"),
            "certificate": is_issued.then(|| format!("{url}/certificate/{number}")),
        })
    }

    fn sign(&self, request: Vec<u8>, number: usize, hostname: &str) -> anyhow::Result<String> {
        let request = CertificateSigningRequestDer::from(request);
        let mut request = CertificateSigningRequestParams::from_der(&request)?;
        let names = format!("{:?}", request.params.subject_alt_names);
        ensure!(names.contains(hostname), "the request is for {names}");
        request.params.serial_number = Some(SerialNumber::from(vec![1, u8::try_from(number)?]));
        request.params.use_authority_key_identifier_extension = true;
        request.params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        request.params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        Ok(request.signed_by(&self.authority.issuer())?.pem())
    }

    /// The first certificate is to be renewed at once, others much later.
    fn renewal(&self, name: &str) -> Reply {
        let mut state = self.state();
        let window = match state.seen.issued.iter().position(|issued| issued == name) {
            Some(0) => json!({"start": "2021-01-01T00:00:00Z", "end": "2021-01-02T00:00:00Z"}),
            Some(_) => json!({"start": "2119-01-01T00:00:00Z", "end": "2119-01-02T00:00:00Z"}),
            None => {
                state.seen.offences.push(format!("asked when to renew `{name}`, which was never issued"));
                return Reply::problem(404, "malformed", "no such certificate");
            }
        };
        Reply::new(200, &json!({"suggestedWindow": window})).with("retry-after", "3600".to_owned())
    }
}

// === impl Reply ===

impl Reply {
    fn new(status: u16, body: &Value) -> Self {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Self { status, fields: vec![("content-type", "application/json".to_owned())], body }
    }

    fn problem(status: u16, kind: &str, detail: &str) -> Self {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        Self::new(status, &json!({"type": kind, "detail": detail}))
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.fields.push((name, value));
        self
    }
}

/// Key identifier of the signer and serial number, read from the certificate's bytes: the double shares no code with
/// what it tests.
fn renewal_name(chain: &str) -> anyhow::Result<String> {
    let der = CertificateDer::from_pem_slice(chain.as_bytes())?;
    // The extension 2.5.29.35 with a key identifier of 20 bytes.
    let mark = [0x06, 0x03, 0x55, 0x1d, 0x23, 0x04, 0x18, 0x30, 0x16, 0x80, 0x14];
    let at =
        der.windows(mark.len()).position(|window| window == mark).context("no identifier of the signer")?;
    let identifier = der.get(at + mark.len()..at + mark.len() + 20).context("it is cut off")?;
    // Version 3 is followed by the serial number.
    let version = [0xa0, 0x03, 0x02, 0x01, 0x02, 0x02];
    let at = der.windows(version.len()).position(|window| window == version).context("no version")?;
    let length = usize::from(*der.get(at + version.len()).context("no serial number")?);
    let serial = der.get(at + version.len() + 1..at + version.len() + 1 + length).context("it is cut off")?;
    Ok(format!("{}.{}", B64.encode(identifier), B64.encode(serial)))
}
