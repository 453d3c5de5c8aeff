//! The shell of `igw up`: processes, sockets, signals.
//!
//! Order of the start: lock, sockets, reconciler, proxy; nothing waits for anything but the lock. Order of
//! the end: the proxy drains while sync and admin still answer, then the reconciler writes its files, then
//! sockets and ready file are removed.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, anyhow};
use igw_crds::sync::SyncRequest;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::Event;
use super::issuance::Issuance;
use super::proxy::{ProxyCommand, ProxyProcess, Wish, find_binary};
use super::reconciler::{Outlets, Reconciler, Subject};
use super::shelf::Folder;
use super::state::{KUBECONFIG, State, write_atomic};
use crate::acme::exchange::Exchange;
use crate::acme::runner::{Lines, Runner};
use crate::acme::standing::Outputs;
use crate::dialect::{self, Dialect};
use crate::doors::admin::Admin;
use crate::doors::http::{Caller, Door};
use crate::doors::metrics::Metrics;
use crate::doors::sync_server::{Board, Newest, SyncServer};
use crate::embedded::{Engine, Link};
use crate::objects::view::View;
use crate::output::text::complain;

/// What `igw up` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files and folders, cluster name and nameservers.
    pub subject: Subject,
    /// State folder.
    pub state: PathBuf,
    /// Workers of the proxy; `None` leaves it to the proxy.
    pub workers: Option<u16>,
    /// Own admin address.
    pub admin: SocketAddr,
    /// Admin address of the proxy.
    pub proxy_admin: SocketAddr,
    /// File that appears when everything is ready.
    pub ready_file: Option<PathBuf>,
    /// Time the proxy has for requests under way at the end; `None` = what the gateways say.
    pub drain_timeout: Option<Duration>,
    /// Where the dialect of Kubernetes is spoken, if anywhere.
    pub dialect: Option<dialect::Place>,
    /// More arguments for the proxy: how it logs.
    pub proxy_args: Vec<String>,
}

/// The board of the one proxy there is.
struct OneProxy {
    newest: Newest,
    events: Sender<Event>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// Runs until a signal ends it.
///
/// # Errors
/// Says what keeps the gateway from starting: a state folder in use, no proxy binary, no socket.
pub fn run(options: Options) -> anyhow::Result<()> {
    run_linked(options, |_| {})
}

/// Does the same, and gives what leads into it to `linked` as soon as it is there.
///
/// # Errors
/// As [`run`].
pub fn run_linked(options: Options, linked: impl FnOnce(Link)) -> anyhow::Result<()> {
    let state = State::open(&options.state)?;
    let binary = find_binary().ok_or_else(|| {
        anyhow!("igw-proxy is neither beside this igw nor in PATH; build it (cargo build -p igw-proxy) or install it there")
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options, &state, binary, linked))
}

async fn serve(
    options: Options,
    state: &State,
    binary: PathBuf,
    linked: impl FnOnce(Link),
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut hangup = signal(SignalKind::hangup())?;
    remove(options.ready_file.as_deref());
    let metrics = Metrics::new()?;
    let (events, received) = std::sync::mpsc::channel();
    let (newest_sender, newest) = watch::channel(None);
    let (view_sender, mut view) = watch::channel(Arc::new(View::default()));
    let (wish_sender, wish) = watch::channel(Wish::Run);

    let mut servers = JoinSet::new();
    let sync_socket = state.path("sync.sock");
    let door = SyncServer::bind(&sync_socket).with_context(|| sync_socket.display().to_string())?;
    let board = OneProxy { newest: newest.clone(), events: events.clone() };
    servers.spawn(SyncServer::new(Arc::new(board)).run(door));
    let (renewal_sender, renewals) = mpsc::unbounded_channel();
    let (shown_sender, certificates) = watch::channel(Arc::default());
    let admin = Admin { view: view.clone(), newest, metrics: metrics.clone(), certificates, renewals: None };
    let admin_socket = state.path("admin.sock");
    match SyncServer::bind(&admin_socket) {
        Ok(door) => {
            // Whoever may use the state folder may ask for more than to read.
            let admin = Admin { renewals: Some(renewal_sender), ..admin.clone() };
            servers.spawn(admin.run(door));
        }
        Err(error) => warn!(socket = %admin_socket.display(), %error, "admin socket cannot be opened"),
    }
    match TcpListener::bind(options.admin).await {
        Ok(listener) => {
            servers.spawn(admin.run(Door::Tcp(listener)));
        }
        Err(error) => warn!(
            address = %options.admin, %error,
            "admin address cannot be used; serving without it (choose another one with --admin)"
        ),
    }

    let shelf = Folder::open(state.root());
    let (wants, inputs) = watch::channel(None);
    let (outputs_sender, outputs) = watch::channel(Arc::default());
    let lines = Lines { inputs, commands: renewals, outputs: outputs_sender, metrics: metrics.clone() };
    servers.spawn(Runner::new(Arc::new(shelf.clone()), lines).run());
    servers.spawn(tell(outputs.clone(), events.clone()));
    let issuance = Issuance::new(shelf, Exchange::new(wants, outputs, shown_sender));
    let outlets = Outlets { newest: newest_sender, view: view_sender, metrics };
    let reconciler = Reconciler::new(options.subject.clone(), state, outlets, issuance, events.clone())?;
    let thread =
        std::thread::Builder::new().name("reconciler".into()).spawn(move || reconciler.run(&received))?;
    linked(Link { events: events.clone(), view: view.clone() });
    let kubeconfig = state.path(KUBECONFIG);
    if let Some(place) = &options.dialect {
        let dialect = Dialect::open(place.clone()).await?;
        if let Some(text) = dialect.place().kubeconfig()
            && let Err(error) = write_atomic(&kubeconfig, text.as_bytes())
        {
            warn!(file = %kubeconfig.display(), %error, "configuration of kubectl cannot be written");
        }
        let folder = options.subject.paths.iter().find(|path| path.is_dir()).cloned();
        let link = Link { events: events.clone(), view: view.clone() };
        servers.spawn(dialect.run(Engine::linked(folder, link)));
    }
    let command = proxy_command(&options, state, binary);
    let mut proxy = tokio::spawn(ProxyProcess::new(command, wish, events.clone()).run());

    let mut announced = false;
    loop {
        // Arms: a signal to end; a signal to read again; a new view, of which the first ready one is told.
        tokio::select! {
            name = signals.end() => {
                info!(signal = name, "draining");
                break;
            }
            _ = hangup.recv() => {
                info!("reading everything again");
                let _ = events.send(Event::Confirm);
            }
            changed = view.changed(), if !announced => {
                if changed.is_err() {
                    return Err(anyhow!("the reconciler ended unexpectedly"));
                }
                let view = view.borrow_and_update().clone();
                if view.ready {
                    announced = true;
                    announce(&view, options.ready_file.as_deref());
                }
            }
        }
    }
    let _ = wish_sender.send(Wish::Drain);
    loop {
        // Arms: the proxy has ended; a second signal wants it to end at once.
        tokio::select! {
            _ = &mut proxy => break,
            _ = signals.end() => {
                let _ = wish_sender.send(Wish::Now);
            }
        }
    }
    let _ = events.send(Event::Stop);
    let joined = tokio::task::spawn_blocking(move || thread.join()).await;
    if !matches!(joined, Ok(Ok(()))) {
        warn!("the reconciler did not end well");
    }
    servers.shutdown().await;
    remove(options.ready_file.as_deref());
    remove(Some(&sync_socket));
    remove(Some(&kubeconfig));
    if let Some(dialect::Place::Unix(path)) = &options.dialect {
        remove(Some(path));
    }
    remove(Some(&admin_socket));
    // The proxy's own, which one that was killed leaves behind.
    remove(Some(&state.path("proxy/admin.sock")));
    info!("ended");
    Ok(())
}

fn proxy_command(options: &Options, state: &State, binary: PathBuf) -> ProxyCommand {
    let folder = state.path("proxy");
    let mut args = vec![
        "--sync".to_owned(),
        format!("unix:{}", state.path("sync.sock").display()),
        "--state".to_owned(),
        folder.display().to_string(),
        "--admin".to_owned(),
        options.proxy_admin.to_string(),
    ];
    if let Some(drain_timeout) = options.drain_timeout {
        args.extend(["--drain-timeout".to_owned(), format!("{}ms", drain_timeout.as_millis())]);
    }
    if let Some(workers) = options.workers {
        args.extend(["--workers".to_owned(), workers.to_string()]);
    }
    args.extend(options.proxy_args.iter().cloned());
    ProxyCommand { binary, args, folder, patience: options.drain_timeout.unwrap_or(LONGEST_DRAIN) }
}

/// Tells the reconciler of objects what that of certificates has done.
async fn tell(mut outputs: watch::Receiver<Arc<Outputs>>, events: Sender<Event>) {
    while outputs.changed().await.is_ok() && events.send(Event::Certificates).is_ok() {}
}

/// Says that everything is ready.
fn announce(view: &View, ready_file: Option<&Path>) {
    complain(&view.announcement());
    if let Some(file) = ready_file
        && let Err(error) = std::fs::write(file, "ready\n")
    {
        warn!(file = %file.display(), %error, "ready file cannot be written");
    }
}

fn remove(file: Option<&Path>) {
    if let Some(file) = file
        && let Err(error) = std::fs::remove_file(file)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(file = %file.display(), %error, "file cannot be removed");
    }
}

// === impl OneProxy ===

impl Board for OneProxy {
    fn newest(&self, _: &SyncRequest, _: &Caller) -> Result<Newest, String> {
        Ok(self.newest.clone())
    }

    fn report(&self, asked: SyncRequest) {
        // The reconciler lives as long as the server; without it there is nobody left to tell.
        let _ = self.events.send(Event::Report(Box::new(asked)));
    }
}

// === impl Signals ===

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn end(&mut self) -> &'static str {
        // Arms: either of the two signals that end a program.
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Time after which a proxy is killed whose gateways say how long it may drain.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);
