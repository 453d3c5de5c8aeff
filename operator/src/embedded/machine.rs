//! What `igw up` does with a folder, and three things from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use igw_compile::Services;
use igw_crds::objects::ObjectKey;
use igw_crds::yaml::value_to_yaml;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use xxhash_rust::xxh3::xxh3_64;

use super::Running;
use crate::objects::view::{Record, View};
use crate::standalone::Event;
use crate::standalone::app::{self, Options};
use crate::standalone::files::{below, plain};
use crate::standalone::outside::Write;
use crate::standalone::reconciler::Subject;

/// Where an engine lives.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder with the objects.
    pub folder: PathBuf,
    /// State folder.
    pub state: PathBuf,
    /// Own admin address.
    pub admin: SocketAddr,
    /// Admin address of the proxy.
    pub proxy_admin: SocketAddr,
    /// Services there are when it starts. None of them is asked of DNS.
    pub services: Services,
}

/// What may be asked of an engine.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Where objects are written that no file holds.
    folder: Option<PathBuf>,
    events: Sender<Event>,
    view: watch::Receiver<Arc<View>>,
}

/// What leads into a running engine.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) events: Sender<Event>,
    pub(crate) view: watch::Receiver<Arc<View>>,
}

// === impl Engine ===

impl Engine {
    /// Starts an engine and its proxy.
    ///
    /// # Errors
    /// As `igw up`: a state folder in use, no proxy binary, no socket.
    pub async fn start(settings: Settings) -> anyhow::Result<(Self, Running)> {
        let folder = settings.folder.clone();
        let options = Options {
            subject: Subject {
                paths: vec![settings.folder],
                cluster: "default".to_owned(),
                nameservers: Vec::new(),
                services: Some(settings.services),
            },
            state: settings.state,
            workers: None,
            admin: settings.admin,
            proxy_admin: settings.proxy_admin,
            ready_file: None,
            drain_timeout: Some(DRAIN),
            dialect: None,
            proxy_args: Vec::new(),
        };
        let (sender, linked) = oneshot::channel();
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || {
            app::run_linked(options, |link| {
                // Whoever started it may have gone; then signals end it.
                let _ = sender.send(link);
            })
        })?;
        match linked.await {
            Ok(link) => Ok((Self::linked(Some(folder), link), Running::Thread(thread))),
            Err(_) => match thread.join() {
                Ok(done) => Err(done.err().unwrap_or_else(|| anyhow!("the engine ended at once"))),
                Err(_) => Err(anyhow!("the engine failed")),
            },
        }
    }

    /// The one that a link leads into.
    pub(crate) fn linked(folder: Option<PathBuf>, link: Link) -> Self {
        Self { folder, events: link.events, view: link.view }
    }

    /// What there is, with statuses; it changes whenever something does.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Writes an object, or deletes it. The engine has got it when this returns; what is known of the object is known
    /// when the future ends: nothing if it is deleted.
    ///
    /// # Errors
    /// Without a place for the object; and the future says why it is not taken, and the one before stays.
    pub fn write(
        &self,
        key: ObjectKey,
        object: Option<&Value>,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<Option<Record>>> + Send + use<>> {
        let file = self.file(&key)?;
        let (done, answer) = oneshot::channel();
        let write = Write { key, file, text: object.map(value_to_yaml), done };
        self.events.send(Event::Write(Box::new(write))).ok().context("the engine has ended")?;
        Ok(async move { answer.await.context("the engine has ended")?.map_err(|message| anyhow!(message)) })
    }

    /// Says which Services there are, with their endpoints.
    pub fn tell_services(&self, services: Services) {
        // An engine that has ended wants none.
        let _ = self.events.send(Event::Services(services));
    }

    /// Where an object is written.
    fn file(&self, key: &ObjectKey) -> anyhow::Result<PathBuf> {
        let folder =
            self.folder.as_ref().context("igw up has files alone; start it with a folder for new objects")?;
        Ok(below(&plain(folder), &place(key)))
    }
}

/// Where an object is written below the folder.
fn place(key: &ObjectKey) -> PathBuf {
    let folder = Path::new(key.kind.plural()).join(&*key.namespace);
    match key.name.get(..LONGEST_STEM) {
        None => folder.join(format!("{}.yaml", key.name)),
        // Names of objects may be longer than those of files.
        Some(start) => folder.join(format!("{start}-{:016x}.yaml", xxh3_64(key.name.as_bytes()))),
    }
}

/// Bytes of a name that stand in the name of its file, with a digest behind them if there are more.
const LONGEST_STEM: usize = 200;
/// Time that the proxy has for requests under way at the end.
const DRAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use igw_crds::objects::Kind;

    use super::*;

    fn engine(folder: Option<&str>) -> Engine {
        let (events, _) = std::sync::mpsc::channel();
        let (_, view) = watch::channel(Arc::default());
        Engine::linked(folder.map(PathBuf::from), Link { events, view })
    }

    #[test]
    fn objects_are_written_where_a_walk_finds_them() {
        let key = ObjectKey::new(Kind::HttpRoute, "shop", "www");
        for (folder, wanted) in [
            (".", "httproutes/shop/www.yaml"),
            ("./objects", "objects/httproutes/shop/www.yaml"),
            ("/etc/igw", "/etc/igw/httproutes/shop/www.yaml"),
        ] {
            assert_eq!(engine(Some(folder)).file(&key).unwrap().display().to_string(), wanted);
        }
        let class = ObjectKey::new(Kind::GatewayClass, "", "igw");
        assert_eq!(engine(Some("/a")).file(&class).unwrap(), Path::new("/a/gatewayclasses/igw.yaml"));
        assert!(engine(None).file(&key).unwrap_err().to_string().contains("folder"));
    }

    #[test]
    fn names_that_are_too_long_for_files_stay_apart() {
        let name = "a".repeat(252);
        let of = |last: &str| {
            let key = ObjectKey::new(Kind::Gateway, "shop", &format!("{name}{last}"));
            engine(Some("/a")).file(&key).unwrap()
        };
        assert_ne!(of("b"), of("c"));
        assert!(of("b").file_name().is_some_and(|name| name.len() < 255));
    }
}
