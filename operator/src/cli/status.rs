//! `igw status` and `igw ip`: how gateways fare, and where they are reached.

use serde_json::json;

use super::target::TargetArgs;
use super::{Exit, Failure};
use crate::cluster::rollout::{STOPPED, UP_TO_DATE};
use crate::objects::listing::Severity;
use crate::output::rows::{items, text};
use crate::output::table::Table;
use crate::output::text::{complain, emit};

/// Arguments of `igw status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// Form of the output
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "table")]
    output: Form,
    #[command(flatten)]
    target: TargetArgs,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Table,
    Json,
}

/// Arguments of `igw ip`.
#[derive(Debug, clap::Args)]
pub struct IpArgs {
    /// The gateway, NAME or NS/NAME
    #[arg(value_name = "GATEWAY")]
    gateway: String,
    /// Namespace
    #[arg(short, long, value_name = "NS", env = "OSVC_NAMESPACE", default_value = "default")]
    namespace: String,
    #[command(flatten)]
    target: TargetArgs,
}

/// Shows all gateways; [`Exit::Failed`] unless all take traffic and nothing is wrong.
///
/// # Errors
/// A target that does not answer.
pub fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let listing = args.target.listing()?;
    let mut table =
        Table::new(vec!["NAMESPACE", "GATEWAY", "PROGRAMMED", "ADDRESSES", "ROUTES", "MESSAGE", "RELEASE"]);
    let mut rows = Vec::new();
    let mut is_good = true;
    let mut n_gateways = 0;
    for gateway in listing.objects.iter().filter(|object| text(object, "/kind") == "Gateway") {
        n_gateways += 1;
        let conditions = items(gateway, "/status/conditions");
        let find = |name| conditions.iter().find(|condition| text(condition, "/type") == name);
        let programmed = find("Programmed");
        // Only an operator of a cluster knows binaries.
        let release = find(UP_TO_DATE);
        let state = programmed.map_or("Unknown", |condition| text(condition, "/status"));
        let message =
            programmed.map_or("the operator has not judged it yet", |condition| text(condition, "/message"));
        let told = release.map_or("", |release| text(release, "/message"));
        is_good &= state == "True" && release.is_none_or(|release| text(release, "/reason") != STOPPED);
        let addresses: Vec<&str> =
            items(gateway, "/status/addresses").iter().map(|item| text(item, "/value")).collect();
        let n_routes: u64 = items(gateway, "/status/listeners")
            .iter()
            .filter_map(|listener| listener.get("attachedRoutes")?.as_u64())
            .sum();
        let (namespace, name) = (text(gateway, "/metadata/namespace"), text(gateway, "/metadata/name"));
        rows.push(json!({
            "namespace": namespace, "name": name, "programmed": state, "message": message,
            "addresses": addresses, "routes": n_routes,
            "release": release.map(|release| json!({
                "upToDate": text(release, "/status") == "True",
                "reason": text(release, "/reason"),
                "message": told,
            })),
        }));
        table.row(vec![
            namespace.to_owned(),
            name.to_owned(),
            state.to_owned(),
            addresses.join(","),
            n_routes.to_string(),
            message.to_owned(),
            told.to_owned(),
        ]);
    }
    if args.output == Form::Json {
        let text = serde_json::to_string_pretty(&rows)
            .map_err(|error| Failure::new(Exit::Failed, format!("gateways cannot be shown: {error}")))?;
        emit(&(text + "\n"))?;
    } else if n_gateways == 0 {
        complain("No gateways.\n");
    } else {
        emit(&table.render())?;
    }
    let errors: Vec<_> = listing.notices.iter().filter(|notice| notice.severity == Severity::Error).collect();
    for notice in &errors {
        complain(&format!("igw: {}\n", notice.line()));
    }
    Ok(if is_good && errors.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Prints the addresses of a gateway, one per line.
///
/// # Errors
/// A target that does not answer; no such gateway.
pub fn ip(args: &IpArgs) -> Result<Exit, Failure> {
    let (namespace, name) = args.gateway.split_once('/').unwrap_or((&args.namespace, &args.gateway));
    let listing = args.target.listing()?;
    let found = listing.objects.iter().find(|object| {
        text(object, "/kind") == "Gateway"
            && text(object, "/metadata/namespace") == namespace
            && text(object, "/metadata/name") == name
    });
    let Some(gateway) = found else {
        return Err(Failure::new(
            Exit::Failed,
            format!("gateway {namespace}/{name} not found; igw get gateways -A lists them"),
        ));
    };
    let addresses: Vec<&str> =
        items(gateway, "/status/addresses").iter().map(|item| text(item, "/value")).collect();
    if addresses.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "gateway {namespace}/{name} has no address yet; igw describe gateway {name} -n {namespace} says why"
            ),
        ));
    }
    emit(&addresses.iter().map(|address| format!("{address}\n")).collect::<String>())?;
    Ok(Exit::Done)
}
