//! `igw cert`: certificates, how long they are good, and new ones.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use igw_crds::objects::certificate::KeyAlgorithm;
use igw_crds::objects::names::{Hostname, ObjectName};
use igw_opensvc::{Error, KeyChange, KeyName, Kind, ObjectPath};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::apply::run as within;
use super::connection::ConnectionArgs;
use super::target::TargetArgs;
use super::{Exit, Failure};
use crate::acme::made::{MARK, Mark, Values, self_signed};
use crate::acme::standing::Shown;
use crate::cluster::change::save_secret;
use crate::objects::listing::Listing;
use crate::output::rows::{items, text};
use crate::output::table::Table;
use crate::output::text::{complain, emit};
use crate::output::yaml;
use crate::standalone::state::write_atomic;

/// Arguments of `igw cert`.
#[derive(Debug, clap::Args)]
pub struct CertArgs {
    #[command(subcommand)]
    verb: CertVerb,
}

#[derive(Debug, Subcommand)]
enum CertVerb {
    /// List the certificates that are served or issued, with the days that are left.
    List(ListArgs),
    /// Show one certificate.
    Show(ShowArgs),
    /// Ask for a new certificate now; the old one is served until it is there.
    Renew(RenewArgs),
    /// Make a certificate that signs itself: print it as a Secret, or write it into a folder or a cluster.
    SelfSigned(SelfSignedArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Namespace [default: all]
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Secret, as NAME or NAMESPACE/NAME
    #[arg(value_name = "SECRET")]
    secret: String,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, clap::Args)]
struct RenewArgs {
    /// Secrets, as NAME or NAMESPACE/NAME
    #[arg(value_name = "SECRET", required = true)]
    secrets: Vec<String>,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, clap::Args)]
struct SelfSignedArgs {
    /// Secret to make, as NAME or NAMESPACE/NAME
    #[arg(value_name = "SECRET")]
    secret: String,
    /// Host name or *.name; may be repeated
    #[arg(long = "hostname", value_name = "NAME", required = true, value_parser = parse_hostname)]
    hostnames: Vec<String>,
    /// Days that it is good
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Algorithm of the key
    #[arg(long = "algorithm", value_enum, default_value_t = Algorithm::EcdsaP256)]
    algorithm: Algorithm,
    /// Write tls.crt and tls.key into this folder; NAMESPACE/NAME below a folder of igw up is a Secret
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Cluster to write the sec object into
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table.
    Table,
    /// JSON.
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// ECDSA on P-256.
    #[value(name = "ECDSA-P256")]
    EcdsaP256,
    /// ECDSA on P-384.
    #[value(name = "ECDSA-P384")]
    EcdsaP384,
    /// RSA of 2,048 bits.
    #[value(name = "RSA-2048")]
    Rsa2048,
    /// RSA of 4,096 bits.
    #[value(name = "RSA-4096")]
    Rsa4096,
}

/// Runs the verb.
///
/// # Errors
/// Usage, a target that does not answer, an unknown certificate.
pub fn run(args: &CertArgs) -> Result<Exit, Failure> {
    match &args.verb {
        CertVerb::List(args) => list(args),
        CertVerb::Show(args) => show(args),
        CertVerb::Renew(args) => renew(args),
        CertVerb::SelfSigned(args) => sign(args),
    }
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    let mut certificates = certificates(&args.target)?;
    certificates
        .retain(|shown| args.namespace.as_ref().is_none_or(|namespace| shown.namespace == *namespace));
    if args.output == Form::Json {
        let rows: Vec<Value> = certificates.iter().map(|shown| value(shown, now)).collect();
        emit(&format!("{:#}\n", Value::Array(rows)))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["NAMESPACE", "SECRET", "READY", "DAYS", "HOSTNAMES", "ISSUER", "REASON"]);
    for shown in &certificates {
        let days = days(shown, now).map_or_else(|| "-".to_owned(), |days| days.to_string());
        table.row([
            shown.namespace.clone(),
            shown.secret.clone(),
            shown.ready.clone(),
            days,
            shown.hostnames.join(","),
            shown.issuer.clone(),
            shown.reason.clone(),
        ]);
    }
    match certificates.is_empty() {
        true => complain("igw: no certificates\n"),
        false => emit(&table.render())?,
    }
    Ok(Exit::Done)
}

fn show(args: &ShowArgs) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    let shown = find(certificates(&args.target)?, &args.secret)?;
    let moment = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let days = days(&shown, now).map(|days| format!(" ({days} days)")).unwrap_or_default();
    let lines = [
        ("Secret", format!("{}/{}", shown.namespace, shown.secret)),
        ("Hostnames", shown.hostnames.join(", ")),
        ("Wanted by", shown.owner.clone()),
        ("Issuer", shown.issuer.clone()),
        ("Serial number", shown.serial.clone().unwrap_or_else(|| "-".to_owned())),
        ("Good until", format!("{}{days}", moment(shown.not_after))),
        ("Renewed at", moment(shown.renews_at)),
        ("Ready", format!("{} ({})", shown.ready, shown.reason)),
        ("Message", shown.message.clone()),
    ];
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        emit(&format!("{name:<15}{value}\n"))?;
    }
    Ok(if shown.ready == "True" { Exit::Done } else { Exit::Failed })
}

fn renew(args: &RenewArgs) -> Result<Exit, Failure> {
    if args.target.is_directory() {
        let message = "files renew nothing: name the state folder of an igw up with --state, or a cluster with --socket or --server";
        return Err(Failure::new(Exit::Usage, message));
    }
    let known = certificates(&args.target)?;
    for secret in &args.secrets {
        let shown = find(known.clone(), secret)?;
        args.target.renew(&shown.namespace, &shown.secret)?;
        complain(&format!("igw: a new certificate for {}/{} is asked for\n", shown.namespace, shown.secret));
    }
    Ok(Exit::Done)
}

fn sign(args: &SelfSignedArgs) -> Result<Exit, Failure> {
    let (namespace, name) = args.secret.split_once('/').unwrap_or(("default", &args.secret));
    if ObjectName::parse(name).is_err() || ObjectName::parse(namespace).is_err() {
        return Err(Failure::new(Exit::Usage, format!("`{}` is no name of a Secret", args.secret)));
    }
    let algorithm = match args.algorithm {
        Algorithm::EcdsaP256 => KeyAlgorithm::EcdsaP256,
        Algorithm::EcdsaP384 => KeyAlgorithm::EcdsaP384,
        Algorithm::Rsa2048 => KeyAlgorithm::Rsa2048,
        Algorithm::Rsa4096 => KeyAlgorithm::Rsa4096,
    };
    let made = self_signed(algorithm, &args.hostnames, args.days, &Mark::default(), Timestamp::now());
    let mut values = made.map_err(|error| Failure::new(Exit::Usage, error))?;
    // It is a person's own: igw never replaces it.
    values.0.remove(MARK);
    let value = |name: &str| values.text(name).unwrap_or_default().to_owned();
    if let Some(folder) = &args.out {
        crate::standalone::state::private_folder(folder)?;
        write_atomic(&folder.join("tls.key"), value("private_key").as_bytes())?;
        write_atomic(&folder.join("tls.crt"), value("certificate_chain").as_bytes())?;
        complain(&format!("igw: {} holds tls.crt and tls.key\n", folder.display()));
        return Ok(Exit::Done);
    }
    if args.connection.is_named() {
        return write_to_cluster(args, namespace, name, &values);
    }
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": value("certificate_chain"), "tls.key": value("private_key")},
    });
    emit(&yaml::document(&secret))?;
    Ok(Exit::Done)
}

/// As `om <namespace>/sec/<name> certificate create`.
fn write_to_cluster(
    args: &SelfSignedArgs,
    namespace: &str,
    name: &str,
    values: &Values,
) -> Result<Exit, Failure> {
    let invalid = |error: String| Failure::new(Exit::Usage, error);
    let path = ObjectPath::new(namespace, Kind::Sec, name).map_err(|error| invalid(error.to_string()))?;
    within(async {
        let client = args.connection.client()?;
        match client.keys(&path).await {
            Ok(keys) if !keys.is_empty() => {
                let message = format!("{path} holds keys already; choose another name, or remove it first");
                return Err(Failure::new(Exit::Failed, message));
            }
            Ok(_) | Err(Error::UnknownObject { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let mut changes = Vec::new();
        for (name, value) in &values.0 {
            let value = secrecy::ExposeSecret::expose_secret(value).to_owned();
            let name = KeyName::parse(name).map_err(|error| invalid(error.to_string()))?;
            changes.push(KeyChange::Set { name, value: value.into() });
        }
        let saved = save_secret(&client, &path, &changes).await;
        saved.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        complain(&format!("igw: {path} holds the certificate\n"));
        Ok(Exit::Done)
    })
}

/// The certificates of a target: those that are issued, and those that people wrote and listeners use.
fn certificates(target: &TargetArgs) -> Result<Vec<Shown>, Failure> {
    let mut found = match target.issued()? {
        Some(issued) => issued,
        None => of_listing(&target.listing()?),
    };
    let mut seen: BTreeSet<String> =
        found.iter().map(|shown| format!("{}/{}", shown.namespace, shown.secret)).collect();
    // Without a snapshot nothing is served, and what is issued is all there is.
    let snapshot = target.snapshot().unwrap_or_default();
    for certificate in snapshot.certificates() {
        if !seen.insert(certificate.secret.clone()) {
            continue;
        }
        let Some((namespace, secret)) = certificate.secret.split_once('/') else { continue };
        let serial = serial(&certificate.chain);
        found.push(Shown {
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            owner: String::new(),
            hostnames: certificate.names.clone(),
            issuer: String::new(),
            ready: "True".to_owned(),
            reason: "Served".to_owned(),
            message: "served by a listener; not igw's to renew".to_owned(),
            serial,
            not_after: Timestamp::from_second(certificate.not_after).ok(),
            renews_at: None,
        });
    }
    found.sort_by(|one, other| (&one.namespace, &one.secret).cmp(&(&other.namespace, &other.secret)));
    Ok(found)
}

/// Certificates by the statuses of their objects.
fn of_listing(listing: &Listing) -> Vec<Shown> {
    let objects = listing.objects.iter().filter(|object| text(object, "/kind") == "Certificate");
    let rows = objects.map(|object| {
        let ready = items(object, "/status/conditions").iter().find(|one| text(one, "/type") == "Ready");
        let of_ready = |pointer: &str| ready.map_or("", |ready| text(ready, pointer)).to_owned();
        let names = items(object, "/spec/hostnames").iter().filter_map(Value::as_str);
        Shown {
            namespace: text(object, "/metadata/namespace").to_owned(),
            secret: text(object, "/spec/secretName").to_owned(),
            owner: format!("Certificate/{}", text(object, "/metadata/name")),
            hostnames: names.map(str::to_owned).collect(),
            issuer: text(object, "/spec/issuerRef/name").to_owned(),
            ready: if ready.is_some() { of_ready("/status") } else { "Unknown".to_owned() },
            reason: of_ready("/reason"),
            message: of_ready("/message"),
            serial: object.pointer("/status/serialNumber").and_then(Value::as_str).map(str::to_owned),
            not_after: text(object, "/status/notAfter").parse().ok(),
            renews_at: text(object, "/status/renewalTime").parse().ok(),
        }
    });
    rows.collect()
}

fn serial(chain: &str) -> Option<String> {
    let certificate = crate::certificates::pem::certificates(chain.as_bytes()).ok()?.into_iter().next()?;
    use x509_parser::prelude::FromDer as _;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&certificate).ok()?;
    Some(parsed.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn find(certificates: Vec<Shown>, secret: &str) -> Result<Shown, Failure> {
    let is_it = |shown: &Shown| match secret.split_once('/') {
        Some((namespace, name)) => shown.namespace == namespace && shown.secret == name,
        None => shown.secret == secret,
    };
    let mut found: Vec<Shown> = certificates.into_iter().filter(is_it).collect();
    match found.len() {
        0 => Err(Failure::new(
            Exit::Failed,
            format!("there is no certificate for Secret {secret}; igw cert list shows those that there are"),
        )),
        1 => Ok(found.remove(0)),
        _ => {
            let message = format!("several namespaces have a Secret {secret}; write NAMESPACE/{secret}");
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// Whole days until the end; below zero after it.
fn days(shown: &Shown, now: Timestamp) -> Option<i64> {
    let left = shown.not_after?.as_second() - now.as_second();
    Some(left.div_euclid(24 * 3600))
}

fn value(shown: &Shown, now: Timestamp) -> Value {
    // A row is a map of texts.
    let mut row: Map<String, Value> =
        serde_json::to_value(shown).ok().and_then(|row| row.as_object().cloned()).unwrap_or_default();
    row.insert("daysLeft".to_owned(), days(shown, now).into());
    Value::Object(row)
}

fn parse_hostname(text: &str) -> Result<String, String> {
    Hostname::parse(text).map(|hostname| hostname.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_down_to_the_end_and_beyond() {
        let shown = |second| Shown {
            not_after: Timestamp::from_second(second).ok(),
            ..of_listing(&Listing {
                objects: vec![json!({"kind": "Certificate", "spec": {"secretName": "a"}})],
                ..Listing::default()
            })
            .remove(0)
        };
        let now = Timestamp::from_second(1_000_000).unwrap();
        for (second, want) in [(1_000_000 + 86_400, 1), (1_000_000 + 86_399, 0), (999_999, -1)] {
            assert_eq!(days(&shown(second), now), Some(want), "{second}");
        }
        assert_eq!(shown(0).ready, "Unknown");
    }
}
