//! What the proxy tells: access log, metrics, admin.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use igw_e2e::client::{Connection, eventually, get};
use igw_e2e::objects::{backend, beside, gateway, route, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};

#[test]
fn requests_are_logged_and_counted_and_endpoints_are_administered() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let one = Origin::start("one", SocketAddr::new(beside(up.ip, 250), 0))?;
    let two = Origin::start("two", SocketAddr::new(beside(up.ip, 251), 0))?;
    let log = up.folder.with_file_name("access.log");
    let settings = format!(
        "---\napiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: default, namespace: system}}\nspec:\n  accessLog: {{format: json, output: {}}}\n",
        log.display()
    );
    up.write(
        "all.yaml",
        &(gateway(address)
            + &route("r", "a.test", &to_backend("b"))
            + &backend("b", &[one.address, two.address])
            + &settings),
    )?;
    up.start(&[])?;

    let mut connection = Connection::open(address)?;
    connection.get("a.test", "/p?secret=1")?;
    connection.get("other.test", "/")?;
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    eventually("two lines", Duration::from_secs(3), || lines().len() == 2)?;
    let lines = lines();
    assert_eq!(lines[0]["status"], 200);
    assert_eq!(lines[0]["route"], "default/r");
    assert_eq!(lines[0]["listener"], "web");
    assert_eq!(lines[0]["backend"], "Backend/default/b");
    assert_eq!(lines[0]["path"], "/p?-", "queries are redacted");
    assert_eq!((&lines[1]["status"], &lines[1]["cause"]), (&404.into(), &"no_route".into()));

    let metrics = String::from_utf8(get(up.proxy_admin, "admin", "/metrics")?.body)?;
    for wanted in [
        "igw_http_requests_total{gateway=\"default/main\",listener=\"web\",route=\"default/r\",rule=\"0\",backend=\"Backend/default/b\",code=\"2xx\"} 1",
        "igw_http_requests_total{gateway=\"default/main\",listener=\"web\",route=\"\",rule=\"\",backend=\"\",code=\"4xx\"} 1",
        "igw_backend_endpoints{backend=\"Backend/default/b\",state=\"ready\"} 2",
        "igw_snapshot_generation 1",
    ] {
        assert!(metrics.contains(wanted), "{wanted} is not in\n{metrics}");
    }
    // A thousand hosts make no series.
    let n_series = metrics.lines().count();
    for index in 0..1_000 {
        connection.get(&format!("x{index}.test"), "/")?;
    }
    let metrics = String::from_utf8(get(up.proxy_admin, "admin", "/metrics")?.body)?;
    assert_eq!(metrics.lines().count(), n_series);

    assert_eq!(get(up.proxy_admin, "admin", "/readyz")?.status, 200);
    assert_eq!(get(up.admin, "admin", "/readyz")?.status, 200);
    assert!(String::from_utf8_lossy(&get(up.proxy_admin, "admin", "/")?.body).contains("default/main"));
    let mut tcp = Connection::open(up.proxy_admin)?;
    tcp.send(b"POST /api/v1/endpoints HTTP/1.1\r\nhost: admin\r\ncontent-length: 0\r\n\r\n")?;
    assert_eq!(tcp.read("POST")?.status, 403, "TCP only reads");

    // Drained on the socket, an endpoint gets no more requests.
    let body = format!(
        "{{\"backend\":\"Backend/default/b\",\"endpoint\":\"{}\",\"state\":\"draining\"}}",
        two.address
    );
    let mut socket = UnixStream::connect(up.state.join("proxy/admin.sock"))?;
    write!(
        socket,
        "POST /api/v1/endpoints HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let before = two.n_requests();
    for _ in 0..20 {
        connection.get("a.test", "/")?;
    }
    assert_eq!(two.n_requests(), before);
    Ok(())
}
