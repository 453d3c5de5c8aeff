//! Which answer a path gets, after who asks and whether they may.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;
use tracing::debug;

use crate::access::{Access, Act, Caller};
use crate::answers::openapi::Documents;
use crate::answers::{create, delete, discovery, patch, read, replace};
use crate::failure::{Failure, Reason};
use crate::reply::{self, Body};
use crate::request::{Asked, segments};
use crate::resource::{Resource, Subresource, Verbs};
use crate::source::Wanted;
use crate::store::{Part, Store};

/// What a server says of itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Version of the software, behind the version of Kubernetes whose manners it has: `v1.32.0+igw-0.1.0`.
    pub software: String,
    /// Names under which the server is reached over TCP without TLS, beside its addresses. Others are refused: a page
    /// in a browser whose name resolves to this machine is not a client.
    pub names: Vec<String>,
}

/// Answers requests.
pub struct Server {
    store: Arc<Store>,
    access: Arc<dyn Access>,
    settings: Settings,
    documents: OnceLock<Documents>,
}

/// What a path names.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) resource: Arc<Resource>,
    pub(crate) version: Arc<str>,
    /// Empty for all, or for kinds of the whole cluster.
    pub(crate) namespace: Arc<str>,
    /// Empty for all.
    pub(crate) name: Arc<str>,
    pub(crate) part: Part,
    /// Path below the object that something else answers.
    other: Option<Arc<dyn Subresource>>,
    subresource: String,
}

// === impl Server ===

impl Server {
    /// A server of what a store holds.
    #[must_use]
    pub fn new(store: Arc<Store>, access: Arc<dyn Access>, settings: Settings) -> Self {
        Self { store, access, settings, documents: OnceLock::new() }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether a plain connection may ask under the name that it asks under.
    pub(crate) fn is_named(&self, request: &Request<Incoming>) -> bool {
        let host = request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        address.parse::<IpAddr>().is_ok() || self.settings.names.iter().any(|known| known == name)
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match self.find(request).await {
            Ok(response) => response,
            Err(failure) => {
                debug!(code = failure.reason.code(), message = failure.message, "request refused");
                reply::refusal(&failure)
            }
        }
    }

    async fn find(&self, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
        let (head, body) = request.into_parts();
        let path = segments(head.uri.path());
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        // What tells no secret is told before anybody says who they are.
        match parts.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => {
                return Ok(reply::reply(StatusCode::OK, reply::TEXT, Body::whole("ok")));
            }
            ["version"] => return Ok(reply::json(StatusCode::OK, &self.version())),
            _ => {}
        }
        let caller = head.extensions.get::<Caller>().cloned().unwrap_or_default();
        let token = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|text| text.strip_prefix("Bearer ")).map(str::trim);
        let user = self.access.user(&caller, token).await?;
        let body = match head.method {
            Method::GET | Method::HEAD => Bytes::new(),
            _ => whole(body).await?,
        };
        let asked = Asked::new(&head, body, user);
        match parts.as_slice() {
            ["openapi", "v3", rest @ ..] if asked.method == Method::GET => {
                self.documents.get_or_init(|| Documents::of(self.store.registry())).answer(rest)
            }
            ["api"] | ["apis"] | ["api", _] | ["apis", _] | ["apis", _, _] => match asked.method {
                Method::GET => discovery::answer(self.store.registry(), &asked, &parts),
                _ => Err(Failure::not_allowed()),
            },
            ["api" | "apis", ..] => self.object(&asked, &parts).await,
            _ => Err(Failure::no_such_path()),
        }
    }

    async fn object(&self, asked: &Asked, path: &[&str]) -> Result<Response<Body>, Failure> {
        let target = self.target(path)?;
        let verb = verb(asked, &target)?;
        let resource = &target.resource;
        self.require(asked, verb, resource, &target.subresource, &target.namespace, &target.name).await?;
        if resource.verbs == Verbs::Read && !matches!(verb, "get" | "list" | "watch") {
            return Err(Failure::not_allowed());
        }
        if target.other.is_some() && verb != "get" {
            return Err(Failure::not_allowed());
        }
        self.look(asked, &target).await?;
        match verb {
            "get" | "list" | "watch" => read::answer(self, &target, asked).await,
            "create" => create::answer(self, &target, asked).await,
            "update" => replace::answer(self, &target, asked).await,
            "patch" => patch::answer(self, &target, asked).await,
            _ => delete::answer(self, &target, asked).await,
        }
    }

    /// Has the store know what whoever keeps these objects knows.
    async fn look(&self, asked: &Asked, target: &Target) -> Result<(), Failure> {
        let resource = &target.resource;
        let Some(source) = &resource.source else { return Ok(()) };
        let wanted = Wanted { resource, namespace: &target.namespace, name: &target.name };
        let since = self.store.revision();
        let seen = source.look(&asked.user, wanted).await;
        let seen = seen.map_err(|refusal| Failure::new(refusal.reason, refusal.message))?;
        self.store.observe_within(wanted, seen, since);
        Ok(())
    }

    /// Whether the one who asks may do something.
    ///
    /// # Errors
    /// If they may not.
    pub(crate) async fn require(
        &self,
        asked: &Asked,
        verb: &'static str,
        resource: &Resource,
        subresource: &str,
        namespace: &str,
        name: &str,
    ) -> Result<(), Failure> {
        let act =
            Act { verb, group: &resource.group, plural: &resource.plural, subresource, namespace, name };
        if self.access.may(&asked.user, &act).await {
            return Ok(());
        }
        let place = match namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let message = format!(
            "{} \"{name}\" is forbidden: User \"{}\" cannot {verb} resource \"{}\" in API group \"{}\" {place}",
            resource.qualified(),
            asked.user.name,
            resource.plural,
            resource.group,
        );
        Err(Failure::new(Reason::Forbidden, message).of(resource, name))
    }

    /// `/api/v1/…` or `/apis/GROUP/VERSION/…`, then `PLURAL[/NAME[/PART]]`, perhaps in a namespace.
    fn target(&self, path: &[&str]) -> Result<Target, Failure> {
        let (group, version, rest) = match path {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Failure::no_such_path()),
        };
        let find = |plural: &str| {
            let found = self.store.registry().find(group, plural)?;
            let version = found.versions.iter().find(|served| ***served == *version)?;
            Some((Arc::clone(found), Arc::clone(version)))
        };
        // `namespaces/x/status` is the status of the namespace, `namespaces/x/pods` are the pods in it.
        let (namespace, plural, below) = match rest {
            ["namespaces", namespace, plural, below @ ..] if find(plural).is_some() => {
                (*namespace, *plural, below)
            }
            [plural, below @ ..] => ("", *plural, below),
            [] => return Err(Failure::no_such_path()),
        };
        let (resource, version) = find(plural).ok_or_else(Failure::no_such_path)?;
        let (name, part, other, subresource) = match below {
            [] => ("", Part::Main, None, ""),
            [name] => (*name, Part::Main, None, ""),
            [name, "status"] if resource.has_status => (*name, Part::Status, None, "status"),
            [name, below] => {
                let mut others = resource.subresources.iter();
                let other = others.find(|(known, _)| **known == **below).map(|(_, other)| Arc::clone(other));
                (*name, Part::Main, Some(other.ok_or_else(Failure::no_such_path)?), *below)
            }
            _ => return Err(Failure::no_such_path()),
        };
        if namespace.is_empty() && resource.is_namespaced() && !name.is_empty()
            || !namespace.is_empty() && !resource.is_namespaced()
        {
            return Err(Failure::no_such_path());
        }
        Ok(Target {
            resource,
            version,
            namespace: namespace.into(),
            name: name.into(),
            part,
            other,
            subresource: subresource.to_owned(),
        })
    }

    fn version(&self) -> serde_json::Value {
        json!({
            "major": "1", "minor": "32", "gitVersion": self.settings.software, "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
            "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        })
    }
}

// === impl Target ===

impl Target {
    /// What else answers the path.
    pub(crate) fn other(&self) -> Option<&dyn Subresource> {
        self.other.as_deref()
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            software: concat!("v1.32.0+igw-", env!("CARGO_PKG_VERSION")).to_owned(),
            names: vec!["localhost".to_owned()],
        }
    }
}

fn verb(asked: &Asked, target: &Target) -> Result<&'static str, Failure> {
    let is_one = !target.name.is_empty();
    match asked.method {
        Method::GET | Method::HEAD if asked.query.is_true("watch") => Ok("watch"),
        Method::GET | Method::HEAD if is_one => Ok("get"),
        Method::GET | Method::HEAD => Ok("list"),
        Method::POST if !is_one => Ok("create"),
        Method::PUT if is_one => Ok("update"),
        Method::PATCH if is_one => Ok("patch"),
        Method::DELETE if is_one && target.part == Part::Main => Ok("delete"),
        Method::DELETE if !is_one => Ok("deletecollection"),
        _ => Err(Failure::not_allowed()),
    }
}

/// The body, bounded in size and time.
async fn whole(body: Incoming) -> Result<Bytes, Failure> {
    let too_large = || {
        let message = format!("Request entity too large: limit is {BODY_BYTES} bytes");
        Failure::new(Reason::RequestEntityTooLarge, message)
    };
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Failure::bad_request(format!("the body cannot be read: {error}"))),
        Err(_) => Err(Failure::bad_request("the body did not come in time")),
    }
}

/// Largest body: what a Kubernetes server takes.
const BODY_BYTES: usize = 3 * 1024 * 1024;
/// Time for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
