//! TLS and credentials against a server with a daemon's certificate.

mod served;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use igw_opensvc::{
    Client, ClientCertificate, Credentials, Error, Retry, Settings, SetupError, SocketProtocol, Target,
    TlsError, Trust,
};
use secrecy::SecretString;
use served::{Reply, Served};

const IDENTITY: &str =
    r#"{"auth":"jwt","grant":{"root":null},"name":"igw","namespace":"system","raw_grant":"root"}"#;

fn target(served: &Served, credentials: Credentials) -> Target {
    Target::Tcp {
        url: format!("https://{}", served.address),
        trust: Trust::Authority(served.authority.file("ca.pem")),
        server_name: Some("n1".to_owned()),
        credentials,
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// An answer with a token that lives so long.
fn token_answer(name: &str, life: Duration) -> Reply {
    let end = jiff::Timestamp::now() + life;
    Reply::json(
        200,
        &format!(
            "{{\"access_token\":\"{name}\",\"access_expired_at\":\"{end}\",\"refresh_token\":\"renewer\"}}"
        ),
    )
}

#[tokio::test]
async fn the_authority_is_pinned_and_the_name_may_be_given() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let with = |trust: Trust, server_name: Option<&str>| Target::Tcp {
        url: format!("https://{}", served.address),
        trust,
        server_name: server_name.map(str::to_owned),
        credentials: Credentials::Anonymous,
    };
    let pinned = || Trust::AuthorityPem(served.authority.ca.clone());
    // The certificate names n1 and 127.0.0.1, and we connect to 127.0.0.1.
    for (trust, name) in
        [(pinned(), None), (pinned(), Some("n1")), (Trust::Anybody, None), (Trust::Anybody, Some("n9"))]
    {
        served.will_answer(Reply::json(200, IDENTITY));
        let identity = Client::connect(with(trust, name))?.whoami().await?;
        assert!(identity.is_root());
    }
    let stranger = Served::start().await?;
    for (trust, name) in
        [(pinned(), Some("n2")), (Trust::AuthorityPem(stranger.authority.ca.clone()), Some("n1"))]
    {
        let error = Client::connect(with(trust, name))?.whoami().await.expect_err("not to be trusted");
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert_eq!(error.retry(), Retry::Elsewhere);
    }
    assert_eq!(stranger.take_asked(), []);
    let unset = Client::connect(with(Trust::Unset, None)).map(|_| ());
    assert!(matches!(unset, Err(SetupError::Tls(TlsError::NoAuthority))));
    Ok(())
}

#[tokio::test]
async fn urls_that_are_not_a_daemons_are_refused() -> anyhow::Result<()> {
    for url in [
        "http://n1:1215",
        "https://n1:1215/api",
        "https://u:secret@n1:1215",
        "n1:1215",
        "https://n1/?x=1",
        "",
    ] {
        let target = Target::Tcp {
            url: url.to_owned(),
            trust: Trust::Anybody,
            server_name: None,
            credentials: Credentials::Anonymous,
        };
        let error = Client::connect(target).map(|_| ()).expect_err(url);
        assert!(matches!(error, SetupError::Url(_)) && !error.to_string().contains("secret"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_shown() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let certificate = served.authority.file("client.pem");
    let identity = ClientCertificate { certificate, key: served.authority.file("client.key") };
    served.will_answer(Reply::json(200, IDENTITY));
    Client::connect(target(&served, Credentials::X509(identity)))?.whoami().await?;
    let asked = served.take_asked();
    assert!(
        asked.len() == 1 && asked[0].has_certificate && asked[0].header("authorization").is_none(),
        "{asked:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_password_is_sent_with_each_request_or_exchanged_for_a_token() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let basic = format!("Basic {}", STANDARD.encode("igw:pass word"));
    let credentials = Credentials::Basic { user: "igw".to_owned(), password: secret("pass word") };
    served.will_answer(Reply::json(200, IDENTITY));
    Client::connect(target(&served, credentials))?.whoami().await?;
    assert_eq!(served.take_asked()[0].header("authorization"), Some(basic.as_str()));

    let credentials = Credentials::Login { user: "igw".to_owned(), password: secret("pass word") };
    let client = Client::connect(target(&served, credentials))?;
    served.will_answer(token_answer("first", Duration::from_secs(600)));
    for _ in 0..3 {
        served.will_answer(Reply::json(200, IDENTITY));
        client.whoami().await?;
    }
    let asked = served.take_asked();
    let seen: Vec<_> =
        asked.iter().map(|asked| (asked.path.as_str(), asked.header("authorization"))).collect();
    let whoami = ("/api/auth/whoami", Some("Bearer first"));
    assert_eq!(seen, [("/api/auth/token", Some(basic.as_str())), whoami, whoami, whoami]);
    assert_eq!(asked[0].query, "refresh=true");
    Ok(())
}

#[tokio::test]
async fn a_token_is_renewed_at_half_its_life_and_the_old_one_serves_while_renewal_fails() -> anyhow::Result<()>
{
    let served = Served::start().await?;
    let credentials = Credentials::Login { user: "igw".to_owned(), password: secret("p") };
    let client = Client::connect(target(&served, credentials))?;
    // A life of 20 s is halved; a renewal is due after 10 s.
    served.will_answer(token_answer("first", Duration::from_secs(20)));
    served.will_answer(Reply::json(200, IDENTITY));
    client.whoami().await?;
    served.take_asked();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    // Neither the renewal nor a new login works.
    served.will_answer(Reply::json(500, "{}"));
    served.will_answer(Reply::json(500, "{}"));
    served.will_answer(Reply::json(200, IDENTITY));
    client.whoami().await?;
    let asked = served.take_asked();
    assert_eq!(asked[0].path, "/api/auth/refresh");
    assert_eq!(asked[0].header("authorization"), Some("Bearer renewer"));
    assert_eq!(asked.last().and_then(|asked| asked.header("authorization")), Some("Bearer first"));
    Ok(())
}

#[tokio::test]
async fn one_renewal_serves_all_who_wait() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let credentials = Credentials::Login { user: "igw".to_owned(), password: secret("p") };
    let client = Client::connect(target(&served, credentials))?;
    served.will_answer(token_answer("first", Duration::from_secs(600)));
    for _ in 0..20 {
        served.will_answer(Reply::json(200, IDENTITY));
    }
    let calls = (0..20).map(|_| {
        let client = client.clone();
        async move { client.whoami().await }
    });
    for result in futures::future::join_all(calls).await {
        assert!(result?.is_root());
    }
    let n_logins = served.take_asked().iter().filter(|asked| asked.path == "/api/auth/token").count();
    assert_eq!(n_logins, 1);
    Ok(())
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let credentials = Credentials::Token { access: secret("old"), refresh: Some(secret("renewer")) };
    let client = Client::connect(target(&served, credentials))?;
    served.will_answer(Reply::json(
        401,
        "{\"detail\":\"token has expired\",\"status\":401,\"title\":\"Unauthorized\"}",
    ));
    served.will_answer(token_answer("new", Duration::from_secs(600)));
    served.will_answer(Reply::json(200, IDENTITY));
    client.whoami().await?;
    let asked = served.take_asked();
    let seen: Vec<_> = asked.iter().map(|asked| asked.header("authorization").unwrap_or_default()).collect();
    assert_eq!(seen, ["Bearer old", "Bearer renewer", "Bearer new"]);

    // Without a way to renew, the daemon's own words come back, after one question.
    let client =
        Client::connect(target(&served, Credentials::Token { access: secret("old"), refresh: None }))?;
    served.will_answer(Reply::json(
        401,
        "{\"detail\":\"token has expired\",\"status\":401,\"title\":\"Unauthorized\"}",
    ));
    let error = client.whoami().await.expect_err("refused");
    assert!(error.to_string().contains("token has expired"), "{error}");
    assert_eq!(error.retry(), Retry::AfterLogin);
    assert_eq!(served.take_asked().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_token_file_is_read_again_when_its_token_is_refused() -> anyhow::Result<()> {
    let served = Served::start().await?;
    let file = served.authority.file("token");
    std::fs::write(&file, "old\n")?;
    let client = Client::connect(target(&served, Credentials::TokenFile(file.clone())))?;
    served.will_answer(Reply::json(200, IDENTITY));
    client.whoami().await?;
    std::fs::write(&file, "new\n")?;
    served.will_answer(Reply::json(401, "{}"));
    served.will_answer(Reply::json(200, IDENTITY));
    client.whoami().await?;
    let asked = served.take_asked();
    let seen: Vec<_> = asked.iter().map(|asked| asked.header("authorization").unwrap_or_default()).collect();
    assert_eq!(seen, ["Bearer old", "Bearer old", "Bearer new"]);
    std::fs::remove_file(&file)?;
    let client = Client::connect(target(&served, Credentials::TokenFile(file.clone())))?;
    let error = client.whoami().await.expect_err("no token");
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
    Ok(())
}

#[tokio::test]
async fn the_socket_is_spoken_to_in_both_versions() -> anyhow::Result<()> {
    let served = Served::start().await?;
    for socket_protocol in [SocketProtocol::Http1, SocketProtocol::Http2] {
        let settings = Settings { socket_protocol, ..Settings::default() };
        let client = Client::connect_with(Target::Unix(served.socket.clone()), &settings)?;
        for _ in 0..3 {
            served.will_answer(Reply::empty(204));
            client.ping("n1").await?;
        }
    }
    let asked = served.take_asked();
    assert_eq!(asked.len(), 6);
    assert!(asked[0].header("host").is_some() && asked[5].header("host").is_none(), "{asked:?}");
    Ok(())
}
