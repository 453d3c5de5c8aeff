//! One object in words: `igw describe`.

use serde_json::Value;

use super::rows::{items, text};
use super::table::Table;
use super::yaml;
use crate::objects::listing::{Listing, object_id};

/// The description of an object of `listing`.
#[must_use]
pub fn description(object: &Value, listing: &Listing) -> String {
    let id = object_id(object);
    let mut page = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            page.push_str(&format!("{:<14}{value}\n", format!("{name}:")));
        }
    };
    field("Name", text(object, "/metadata/name"));
    field("Namespace", text(object, "/metadata/namespace"));
    field("Kind", &format!("{} ({})", text(object, "/kind"), text(object, "/apiVersion")));
    field("Labels", &pairs(object, "/metadata/labels"));
    field("Annotations", &pairs(object, "/metadata/annotations"));
    field("Created", text(object, "/metadata/creationTimestamp"));
    field("Generation", &object.pointer("/metadata/generation").map(Value::to_string).unwrap_or_default());
    if let Some(source) = listing.sources.get(&id) {
        field("Source", &format!("{}:{}", source.file, source.line));
        if source.kept {
            field("Note", "the file is broken now; this is the last good version, and it serves");
        }
    }
    for part in ["spec", "type", "data"] {
        if let Some(value) = object.get(part) {
            page.push_str(&format!("{}{}:\n", part[..1].to_uppercase(), &part[1..]));
            page.push_str(&indent(&yaml::document(value), "  "));
        }
    }
    conditions(&mut page, "Conditions:", "  ", items(object, "/status/conditions"));
    for (group, name) in [("/status/parents", "Parent"), ("/status/ancestors", "Target")] {
        for parent in items(object, group) {
            let reference =
                parent.get("parentRef").or_else(|| parent.get("ancestorRef")).unwrap_or(&Value::Null);
            let title =
                format!("{name} {}:", reference_in_words(reference, text(object, "/metadata/namespace")));
            conditions(&mut page, &title, "  ", items(parent, "/conditions"));
        }
    }
    for listener in items(object, "/status/listeners") {
        let routes = listener.get("attachedRoutes").map(Value::to_string).unwrap_or_else(|| "0".into());
        let title = format!("Listener {} ({routes} attached):", text(listener, "/name"));
        conditions(&mut page, &title, "  ", items(listener, "/conditions"));
    }
    if text(object, "/kind") == "Gateway" {
        attached(&mut page, object, listing);
    }
    let notices: Vec<_> =
        listing.notices.iter().filter(|notice| notice.object.as_ref() == Some(&id)).collect();
    if !notices.is_empty() {
        page.push_str("Warnings:\n");
        for notice in notices {
            page.push_str(&format!("  {}\n", notice.line()));
        }
    }
    page
}

fn conditions(page: &mut String, title: &str, margin: &str, conditions: &[Value]) {
    if conditions.is_empty() {
        return;
    }
    page.push_str(title);
    page.push('\n');
    let mut table = Table::new(["TYPE", "STATUS", "REASON", "MESSAGE"]);
    for condition in conditions {
        table.row(["/type", "/status", "/reason", "/message"].map(|pointer| text(condition, pointer)));
    }
    page.push_str(&indent(&table.render(), margin));
}

/// The routes that the gateway has accepted.
fn attached(page: &mut String, gateway: &Value, listing: &Listing) {
    let mut table = Table::new(["ROUTE", "LISTENER", "ACCEPTED", "HOSTNAMES"]);
    let mut n_routes = 0_usize;
    for route in &listing.objects {
        for parent in items(route, "/status/parents") {
            let namespace = match text(parent, "/parentRef/namespace") {
                "" => text(route, "/metadata/namespace"),
                namespace => namespace,
            };
            if text(parent, "/parentRef/name") != text(gateway, "/metadata/name")
                || namespace != text(gateway, "/metadata/namespace")
            {
                continue;
            }
            n_routes += 1;
            if n_routes > MAX_ROUTES {
                continue;
            }
            let section = match text(parent, "/parentRef/sectionName") {
                "" => "*",
                section => section,
            };
            let accepted = super::rows::condition(items(parent, "/conditions"), "Accepted");
            let hostnames: Vec<_> =
                items(route, "/spec/hostnames").iter().filter_map(Value::as_str).collect();
            table.row([&object_id(route), section, accepted, &super::text::list(hostnames)]);
        }
    }
    if n_routes > 0 {
        page.push_str("Routes:\n");
        page.push_str(&indent(&table.render(), "  "));
    }
    if n_routes > MAX_ROUTES {
        page.push_str(&format!("  ... and {} more\n", n_routes - MAX_ROUTES));
    }
}

fn reference_in_words(reference: &Value, own_namespace: &str) -> String {
    let namespace = match text(reference, "/namespace") {
        "" => own_namespace,
        namespace => namespace,
    };
    let kind = match text(reference, "/kind") {
        "" => "Gateway",
        kind => kind,
    };
    let mut words = format!("{kind} {namespace}/{}", text(reference, "/name"));
    if !text(reference, "/sectionName").is_empty() {
        words.push_str(&format!(", listener {}", text(reference, "/sectionName")));
    }
    if let Some(port) = reference.get("port").filter(|port| port.is_number()) {
        words.push_str(&format!(", port {port}"));
    }
    words
}

fn pairs(object: &Value, pointer: &str) -> String {
    let Some(map) = object.pointer(pointer).and_then(Value::as_object) else { return String::new() };
    let pair = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
    map.iter().map(pair).collect::<Vec<_>>().join(", ")
}

fn indent(text: &str, margin: &str) -> String {
    text.lines().map(|line| format!("{margin}{line}\n")).collect()
}

/// Routes of a gateway that are named; the rest is counted.
const MAX_ROUTES: usize = 200;
