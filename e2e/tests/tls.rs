//! TLS that listeners end: names, certificates, what is refused.

use std::net::SocketAddr;

use igw_e2e::client::{Connection, eventually};
use igw_e2e::objects::{backend, beside, to_backend};
use igw_e2e::origin::Origin;
use igw_e2e::process::{Up, free};
use igw_e2e::tls::{Authority, Client, Use};
use rustls::HandshakeKind;

/// One HTTPS listener: name, hostname (empty for all), Secrets, and more of its `tls`.
struct Listener<'a>(&'a str, &'a str, &'a [&'a str], &'a str);

fn gateway(address: SocketAddr, listeners: &[Listener<'_>], more: &str) -> String {
    let mut text = format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: main}}
spec:
  gatewayClassName: igw
  addresses: [{{value: {}}}]
{more}  listeners:
",
        address.ip()
    );
    for Listener(name, hostname, secrets, options) in listeners {
        let hostname = match *hostname {
            "" => String::new(),
            hostname => format!(", hostname: \"{hostname}\""),
        };
        let secrets: Vec<String> = secrets.iter().map(|secret| format!("{{name: {secret}}}")).collect();
        text.push_str(&format!(
            "    - {{name: {name}, port: {}, protocol: HTTPS{hostname}, tls: {{certificateRefs: [{}]{options}}}}}\n",
            address.port(),
            secrets.join(", ")
        ));
    }
    text
}

fn route() -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec:\n  \
         parentRefs: [{{name: main}}]\n  rules: [{{backendRefs: [{{{}}}]}}]\n",
        to_backend("one")
    )
}

fn serial(connection: &mut igw_e2e::tls::Secured) -> Vec<u8> {
    let certificates = connection.stream().conn.peer_certificates().unwrap_or_default();
    certificates.first().map(|certificate| certificate.to_vec()).unwrap_or_default()
}

#[test]
fn names_choose_listeners_and_certificates() -> anyhow::Result<()> {
    let mut up = Up::prepare()?;
    let address = free(up.ip)?;
    let origin = Origin::start("one", SocketAddr::new(beside(up.ip, 250), 0))?;
    let authority = Authority::new("tests")?;
    let exact = authority.issue(Use::Server, &["a.test"])?;
    let wild = authority.issue(Use::Server, &["*.w.test"])?;
    let any = authority.issue(Use::Server, &["any.test", "127.0.0.1"])?;
    let listeners = [
        Listener("exact", "a.test", &["exact"], ""),
        Listener("wild", "*.w.test", &["wild"], ""),
        Listener("inner", "in.w.test", &["wild"], ""),
    ];
    let secrets = exact.secret("exact") + &wild.secret("wild") + &any.secret("any");
    let objects = |listeners: &[Listener<'_>]| {
        gateway(address, listeners, "") + &route() + &backend("one", &[origin.address]) + &secrets
    };
    up.write("all.yaml", &objects(&listeners))?;
    up.start(&[])?;
    let client = Client::trusting(&[&authority.certificate])?;

    let mut connection = client.connect(address, "a.test")?;
    let answer = connection.get("a.test", "/x")?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.seen("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(connection.get("A.TEST:443", "/x")?.status, 200);
    // Another listener's host, and nobody's: this connection is for neither.
    for host in ["b.w.test", "unknown.test"] {
        let answer = connection.get(host, "/x")?;
        assert_eq!((answer.status, answer.field("igw-cause")), (421, Some("misdirected")), "{host}");
    }
    let mut connection = client.connect(address, "b.w.test")?;
    assert_eq!(connection.get("b.w.test", "/x")?.status, 200);
    assert_eq!(connection.get("c.w.test", "/x")?.status, 200, "a sibling under the same wildcard");
    assert_eq!(connection.get("in.w.test", "/x")?.status, 421, "a listener of its own");

    // Without a listener for all, unknown names and none at all are refused.
    for name in ["unknown.test", "127.0.0.1"] {
        let refused = client.connect(address, name).err().map(|error| format!("{error:#}"));
        assert!(
            refused.as_ref().is_some_and(|error| error.contains("UnrecognisedName")),
            "{name}: {refused:?}"
        );
    }
    let with_any: Vec<Listener<'_>> =
        listeners.into_iter().chain([Listener("any", "", &["any"], "")]).collect();
    up.write("all.yaml", &objects(&with_any))?;
    eventually("the new listener serves", std::time::Duration::from_secs(5), || {
        client.connect(address, "any.test").is_ok()
    })?;
    let mut connection = client.connect(address, "any.test")?;
    assert_eq!(connection.get("other.test", "/x")?.status, 200);
    assert_eq!(connection.get("a.test", "/x")?.status, 421);
    assert_ne!(serial(&mut connection), serial(&mut client.connect(address, "a.test")?));

    // Protocols: none in common, and none offered.
    let mut strange = client.clone();
    strange.alpn = vec!["spdy/3".to_owned()];
    let refused = strange.connect(address, "a.test").err().map(|error| format!("{error:#}"));
    assert!(refused.is_some_and(|error| error.contains("NoApplicationProtocol")));
    strange.alpn.clear();
    assert_eq!(strange.connect(address, "a.test")?.get("a.test", "/")?.status, 200);

    // TLS 1.2, and plain text.
    let mut older = client.clone();
    older.versions = vec![&rustls::version::TLS12];
    assert_eq!(older.connect(address, "a.test")?.get("a.test", "/")?.status, 200);
    let answer = Connection::open(address)?.get("a.test", "/")?;
    assert_eq!((answer.status, answer.field("igw-cause")), (400, Some("tls_expected")));

    // Sessions are resumed for the same name alone.
    for versions in [vec![&rustls::version::TLS13], vec![&rustls::version::TLS12]] {
        let mut again = client.clone();
        again.versions = versions;
        again.keep_sessions()?;
        let mut kinds = Vec::new();
        for name in ["a.test", "a.test", "b.w.test", "b.w.test"] {
            let mut connection = again.connect(address, name)?;
            assert_eq!(connection.get(name, "/")?.status, 200);
            kinds.push(connection.stream().conn.handshake_kind());
        }
        let (full, resumed) = (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed));
        assert_eq!(kinds, [full, resumed, full, resumed]);
    }
    let group = client.connect(address, "a.test")?.stream().conn.negotiated_key_exchange_group();
    assert_eq!(group.map(|group| group.name()), Some(rustls::NamedGroup::X25519MLKEM768));
    Ok(())
}
