//! Records other than plain addresses, a second real name server (Debian's dnsmasq), and servers that are dead.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use igw_e2e::client::{eventually, get};
use igw_e2e::dns::NameServer;
use igw_e2e::objects::{beside, gateway, route, service_policy};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};

const HOST: &str = "svc1.test";

/// dnsmasq with the records of its arguments.
struct Dnsmasq {
    child: Child,
    address: SocketAddr,
}

impl Dnsmasq {
    fn start(ip: IpAddr, records: &[String]) -> anyhow::Result<Self> {
        let address = free(ip)?;
        let child = Command::new("/usr/sbin/dnsmasq")
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--no-daemon",
                "--conf-file=/dev/null",
            ])
            .args(["--bind-interfaces", "--local=/test/", "--pid-file", "--local-ttl=1"])
            .arg(format!("--listen-address={ip}"))
            .arg(format!("--port={}", address.port()))
            .args(records)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("dnsmasq is installed by e2e/test")?;
        Ok(Self { child, address })
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn objects(address: SocketAddr, port: u16, discovery: &str) -> String {
    gateway(address)
        + &route("svc1", HOST, &format!("name: svc1, port: {port}"))
        + &service_policy(
            "svc1",
            &format!(
                "  healthCheck: {{active: {{}}}}\n  discovery: {{initAddr: [none], maxTTL: 1s{discovery}}}\n"
            ),
        )
}

/// How many of `n` answers came from the back end of this name.
fn n_from(address: SocketAddr, name: &str, n: usize) -> usize {
    let answered = |_: &usize| {
        get(address, HOST, "/")
            .is_ok_and(|answer| answer.status == 200 && answer.field("x-origin") == Some(name))
    };
    (0..n).filter(answered).count()
}

#[test]
fn service_records_bring_ports_and_weights() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    // Two ports of their own; the objects know the one in the name of the records.
    let light = Origin::start("light", SocketAddr::new(beside(up.ip, 201), 0))?;
    let heavy = Origin::start("heavy", SocketAddr::new(beside(up.ip, 202), 0))?;
    let target = |name: &str, origin: &Origin| format!("--host-record={name}.test,{}", origin.address.ip());
    let service = |name: &str, origin: &Origin, weight: u16| {
        format!("--srv-host=_9._tcp.svc1.default.svc.test,{name}.test,{},0,{weight}", origin.address.port())
    };
    let records = [
        target("light", &light),
        target("heavy", &heavy),
        service("light", &light, 1),
        service("heavy", &heavy, 4),
    ];
    let names = Dnsmasq::start(up.ip, &records)?;
    up.write("all.yaml", &objects(address, 9, ", record: SRV"))?;
    up.start(&["--nameserver", &names.address.to_string()])?;
    eventually("both are found", Duration::from_secs(8), || {
        n_from(address, "light", 20) > 0 && n_from(address, "heavy", 20) > 0
    })?;
    let n_light = n_from(address, "light", 100);
    assert!((10..=30).contains(&n_light), "{n_light} of 100 to the one of weight 1 in 5");
    Ok(())
}

#[test]
fn aliases_are_followed() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 201), 0))?;
    let records = [
        format!("--host-record=real.test,{}", origin.address.ip()),
        "--cname=alias.test,real.test".to_owned(),
        "--cname=svc1.default.svc.test,alias.test".to_owned(),
    ];
    let names = Dnsmasq::start(up.ip, &records)?;
    up.write("all.yaml", &objects(address, origin.address.port(), ""))?;
    up.start(&["--nameserver", &names.address.to_string()])?;
    eventually("found behind two aliases", Duration::from_secs(8), || n_from(address, "o", 2) == 2)?;
    Ok(())
}

#[test]
fn a_dead_server_is_passed_over() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 201), 0))?;
    let dead = free(up.ip)?;
    let names = NameServer::start(up.ip, 0)?;
    names.set("svc1.default.svc.test", &[origin.address.ip()]);
    up.write("all.yaml", &objects(address, origin.address.port(), ""))?;
    up.start(&["--nameserver", &dead.to_string(), "--nameserver", &names.address.to_string()])?;
    eventually("the second server is asked", Duration::from_secs(5), || n_from(address, "o", 2) == 2)?;
    Ok(())
}

#[test]
fn a_lifetime_of_zero_does_not_flood_the_server() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("o", SocketAddr::new(beside(up.ip, 201), 0))?;
    let names = NameServer::start(up.ip, 0)?;
    names.set_ttl_s(0);
    names.set("svc1.default.svc.test", &[origin.address.ip()]);
    up.write("all.yaml", &objects(address, origin.address.port(), ", record: A"))?;
    up.start(&["--nameserver", &names.address.to_string()])?;
    eventually("it is found", Duration::from_secs(5), || n_from(address, "o", 2) == 2)?;
    let (before, started) = (names.n_queries(), std::time::Instant::now());
    eventually("it is asked again", Duration::from_secs(8), || names.n_queries() >= before + 3)?;
    // At most one question in the shortest lifetime, which is 1 s.
    assert!(started.elapsed() >= Duration::from_millis(1_900), "{:?}", started.elapsed());
    Ok(())
}
