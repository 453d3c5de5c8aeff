//! Everything that can be reconfigured is, again and again, under every kind of traffic: nothing is lost.
//! `IGW_EDITS` is how often. About 1,000 requests are under way for each edit.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use igw_e2e::client::{Connection, answers, eventually};
use igw_e2e::load::Load;
use igw_e2e::objects::{backend, beside, gateway_with, http_listener, https_listener, route, to_backend};
use igw_e2e::ongoing::{Download, Ongoing, Tunnel, over_http2, over_new_tls, over_tls};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};
use igw_e2e::tls::{Authority, Client, Use};
use igw_e2e::usage::number;

/// What an edit changes.
struct Scene {
    up: Up,
    plain: SocketAddr,
    secure: SocketAddr,
    /// Of a listener that comes and goes.
    passing: SocketAddr,
    authority: Authority,
    origins: [Origin; 2],
}

// === impl Scene ===

impl Scene {
    fn prepare() -> anyhow::Result<Self> {
        let up = Up::prepare()?;
        let place = |index| SocketAddr::new(beside(up.ip, index), 0);
        Ok(Self {
            plain: free(up.ip)?,
            secure: free(up.ip)?,
            passing: free(up.ip)?,
            authority: Authority::new("tests")?,
            origins: [Origin::start("1", place(250))?, Origin::start("2", place(251))?],
            up,
        })
    }

    /// Writes what edit `n` changes. The route is written last: when it is live, so is the rest.
    fn edit(&self, n: u32) -> anyhow::Result<()> {
        let [first, second] = self.origins.each_ref().map(|origin| origin.address);
        let endpoints = match n % 3 {
            0 => vec![first, second],
            1 => vec![first],
            _ => vec![second],
        };
        self.up.write("backend.yaml", &backend("b", &endpoints))?;
        if n.is_multiple_of(5) {
            let pair = self.authority.issue(Use::Server, &[HOST])?;
            self.up.write("pair.yaml", &pair.secret("pair"))?;
        }
        let mut listeners =
            vec![http_listener("web", self.plain), https_listener("websecure", self.secure, "pair")];
        if n % 4 >= 2 {
            listeners.push(http_listener("passing", self.passing));
        }
        let mut routes = gateway_with(self.up.ip, &listeners) + &route("www", HOST, &to_backend("b"));
        if n.is_multiple_of(2) {
            routes += &route(&format!("more-{n}"), "more.test", &to_backend("b"));
        }
        self.up.write("routes.yaml", &routes)?;
        let header = format!("responseHeaderModifier: {{set: [{{name: x-edit, value: \"{n}\"}}]}}");
        let rule = format!("rules: [{{filters: [{{type: ResponseHeaderModifier, {header}}}], ");
        let edited = route("edited", "edited.test", &to_backend("b")).replace("rules: [{", &rule);
        self.up.write("s-edited.yaml", &edited)
    }

    fn is_live(&self, probe: &mut Connection, n: u32) -> anyhow::Result<Duration> {
        let (started, wanted) = (Instant::now(), n.to_string());
        loop {
            let answer = probe.get("edited.test", "/")?;
            ensure!(answer.status == 200, "status {} to the probe", answer.status);
            if answer.field("x-edit") == Some(&wanted) {
                return Ok(started.elapsed());
            }
            ensure!(started.elapsed() < Duration::from_secs(3), "not live");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn reconfigurations_lose_nothing() -> anyhow::Result<()> {
    let n_edits: u32 = number("IGW_EDITS", 60);
    let mut scene = Scene::prepare()?;
    scene.edit(0)?;
    scene.up.start(&[])?;
    let (plain, secure) = (scene.plain, scene.secure);
    let limit = PAUSE * n_edits * 2 + Duration::from_secs(60);
    let client = Client::trusting(&[&scene.authority.certificate])?;
    // New and kept connections, GET and POST.
    let load = Load::start(plain, HOST, 2_000, 8, limit);
    let mut others = Ongoing::default();
    for _ in 0..2 {
        others.add("TLS", Duration::from_millis(3), over_tls(client.clone(), secure, HOST));
        others.add("HTTP/2", Duration::from_millis(3), over_http2(plain, HOST));
    }
    others.add("new TLS connection", Duration::from_millis(20), over_new_tls(client, secure, HOST));
    let n_many = n_edits * MANY_PER_EDIT;
    let many = Command::new("h2load")
        .args(["-n", &n_many.to_string(), "-c", "4", "-m", "8", "-t", "1"])
        .args(["--rps", &MANY_RATE.to_string(), "-H", &format!(":authority: {HOST}")])
        .arg(format!("https://{secure}/"))
        .stdout(Stdio::piped())
        .spawn()
        .context("h2load not started")?;
    let mut tunnel = Tunnel::open(plain, HOST)?;
    let mut downloads = Vec::new();
    let mut n_downloads = 0;
    let mut probe = Connection::open(plain)?;
    let mut slowest = Duration::ZERO;
    for n in 1..=n_edits {
        let next = Instant::now() + PAUSE;
        if n % 8 == 1 {
            downloads
                .push(Download::begin(plain, HOST, 8 * 1024 * 1024).with_context(|| format!("edit {n}"))?);
        }
        scene.edit(n).with_context(|| format!("edit {n}"))?;
        slowest = slowest.max(scene.is_live(&mut probe, n).with_context(|| format!("edit {n}"))?);
        tunnel.exchange(format!("edit {n}").as_bytes()).with_context(|| format!("the tunnel at edit {n}"))?;
        // Each has lived through 24 edits.
        if downloads.len() > 3 {
            downloads.remove(0).finish().with_context(|| format!("edit {n}"))?;
            n_downloads += 1;
        }
        if n % 4 >= 2 {
            eventually("the new listener serves", Duration::from_secs(3), || answers(scene.passing, HOST))
                .with_context(|| format!("edit {n}"))?;
        }
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    for download in downloads {
        download.finish()?;
        n_downloads += 1;
    }
    let printed = String::from_utf8(many.wait_with_output()?.stdout)?;
    let seen = load.stop();
    let (n_others, failures) = others.stop();
    let n_requests = seen.n_good + n_others + u64::from(n_many) + n_downloads;
    println!(
        "{n_edits} edits, the slowest live after {slowest:?}; {n_requests} requests: {} over HTTP/1, {n_many} and {n_others} over TLS and HTTP/2, {n_downloads} downloads",
        seen.n_good
    );
    ensure!((seen.n_failed, seen.n_closed) == (0, 0), "{seen:?}");
    ensure!(failures.is_empty(), "{failures:?}");
    ensure!(printed.contains(&format!("{n_many} succeeded, 0 failed, 0 errored, 0 timeout")), "{printed}");
    ensure!(printed.contains(&format!("status codes: {n_many} 2xx")), "{printed}");
    ensure!(n_requests >= u64::from(n_edits) * 1_000, "{n_requests} requests are too few");
    for origin in &scene.origins {
        ensure!(origin.n_requests() > n_requests / 10, "one back end got {} requests", origin.n_requests());
    }
    Ok(())
}

const HOST: &str = "www.test";
const PAUSE: Duration = Duration::from_millis(160);
/// Requests in a second of each of four connections over HTTP/2.
const MANY_RATE: u32 = 1_250;
/// Of the four together.
const MANY_PER_EDIT: u32 = 800;
