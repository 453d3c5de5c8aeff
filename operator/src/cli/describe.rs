//! `igw describe`: objects with their conditions in words.

use igw_opensvc::{Kind, ObjectItem, ObjectPath};
use serde_json::Value;

use super::selection::SelectionArgs;
use super::target::TargetArgs;
use super::{Exit, Failure};
use crate::cluster::layout;
use crate::output::description::description;
use crate::output::rows::{items, text};
use crate::output::table::Table;
use crate::output::text::{complain, emit};

/// Arguments of `igw describe`.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Describes the objects.
///
/// # Errors
/// Usage, a target that does not answer, standard output's.
pub fn run(args: &DescribeArgs) -> Result<Exit, Failure> {
    let selection = args.selection.parse()?;
    let listing = args.target.listing_of(selection.namespace.as_deref())?;
    let found = selection.parts.iter().flat_map(|part| selection.pick(part, &listing.objects).0);
    let services = args.target.services(found.flat_map(services_of).collect())?;
    let mut pages = Vec::new();
    let mut exit = Exit::Done;
    for part in &selection.parts {
        let (found, missing) = selection.pick(part, &listing.objects);
        for name in missing {
            complain(&format!("igw: {} \"{name}\" not found\n", part.kind.plural()));
            exit = Exit::Failed;
        }
        pages.extend(found.into_iter().map(|object| {
            let services = services_of(object).into_iter().filter_map(|path| services.get(&path));
            let mut page = description(object, &listing);
            services.for_each(|service| page.push_str(&instances(service)));
            page
        }));
    }
    if pages.is_empty() && exit == Exit::Done {
        complain("No resources found.\n");
    }
    emit(&pages.join("\n\n"))?;
    Ok(exit)
}

/// Services of the cluster that an object is about: where proxies of a gateway run, where a route leads.
fn services_of(object: &Value) -> Vec<ObjectPath> {
    let namespace = text(object, "/metadata/namespace");
    let service = |namespace: &str, name: &str| layout::path(namespace, Kind::Svc, name);
    match text(object, "/kind") {
        "Gateway" => {
            service(namespace, &layout::gateway_object(text(object, "/metadata/name"))).into_iter().collect()
        }
        "HTTPRoute" | "GRPCRoute" | "TCPRoute" | "TLSRoute" | "UDPRoute" => {
            let rules = items(object, "/spec/rules").iter();
            let backends = rules.flat_map(|rule| items(rule, "/backendRefs"));
            let services = backends.filter(|backend| matches!(text(backend, "/kind"), "" | "Service"));
            let found = services.filter_map(|backend| {
                let of = Some(text(backend, "/namespace")).filter(|of| !of.is_empty()).unwrap_or(namespace);
                service(of, text(backend, "/name"))
            });
            // In the order of the rules, each once.
            found.fold(Vec::new(), |mut all, path| {
                if !all.contains(&path) {
                    all.push(path);
                }
                all
            })
        }
        _ => Vec::new(),
    }
}

/// A service and its instances, node by node.
fn instances(service: &ObjectItem) -> String {
    let mut table = Table::new(vec!["NODE", "STATE", "MONITOR", "ADDRESSES"]);
    for (node, instance) in &service.instances {
        let status = instance.status.as_ref();
        let state = match status {
            Some(status) if status.frozen_at.is_some() => format!("{}, frozen", status.avail),
            Some(status) => status.avail.to_string(),
            None => "unknown".to_owned(),
        };
        let monitor = instance.monitor.as_ref().map(|monitor| monitor.state.to_string());
        let addresses: Vec<String> = instance.addresses().iter().map(ToString::to_string).collect();
        table.row(vec![node.clone(), state, monitor.unwrap_or_default(), addresses.join(",")]);
    }
    let avail = service.status.avail.as_ref().map(ToString::to_string).unwrap_or_default();
    let lines = table.render();
    let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("Service {} ({avail}):\n{lines}", service.path)
}
