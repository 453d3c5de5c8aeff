//! The status page: gateways, routes, conditions, problems. Plain HTML without scripts.

use igw_crds::objects::Kind;
use serde_json::Value;

use super::rows::{condition, items, text};
use super::text::list;
use crate::objects::listing::{Listing, object_id};

/// The page for a listing.
#[must_use]
pub fn status(listing: &Listing) -> String {
    let mut html = String::from(HEAD);
    let ready = if listing.ready { "ready" } else { "not ready" };
    html.push_str(&format!(
        "<p>{ready}, generation {} of epoch {}, {} objects, {} notices</p>\n",
        listing.generation,
        listing.epoch,
        listing.objects.len(),
        listing.notices.len()
    ));
    rows(
        &mut html,
        "Gateways",
        &["gateway", "listener", "routes", "accepted", "programmed", "message"],
        gateways(listing),
    );
    rows(
        &mut html,
        "Routes",
        &["route", "host names", "parent", "accepted", "references", "message"],
        routes(listing),
    );
    rows(
        &mut html,
        "Errors and warnings",
        &["notice"],
        listing.notices.iter().map(|notice| vec![notice.line()]).collect(),
    );
    html.push_str("</body></html>\n");
    html
}

fn gateways(listing: &Listing) -> Vec<Vec<String>> {
    let mut rows = vec![];
    for gateway in of_kind(listing, "Gateway") {
        for listener in items(gateway, "/status/listeners") {
            let conditions = items(listener, "/conditions");
            rows.push(vec![
                object_id(gateway),
                text(listener, "/name").to_owned(),
                listener.get("attachedRoutes").map(Value::to_string).unwrap_or_default(),
                condition(conditions, "Accepted").to_owned(),
                condition(conditions, "Programmed").to_owned(),
                complaints(conditions),
            ]);
        }
    }
    rows
}

fn routes(listing: &Listing) -> Vec<Vec<String>> {
    let mut rows = vec![];
    for route in Kind::ROUTES.into_iter().flat_map(|kind| of_kind(listing, kind.as_str())) {
        for parent in items(route, "/status/parents") {
            let conditions = items(parent, "/conditions");
            rows.push(vec![
                object_id(route),
                list(items(route, "/spec/hostnames").iter().filter_map(Value::as_str)),
                text(parent, "/parentRef/name").to_owned(),
                condition(conditions, "Accepted").to_owned(),
                condition(conditions, "ResolvedRefs").to_owned(),
                complaints(conditions),
            ]);
        }
    }
    rows
}

/// Messages of the conditions that are not true.
fn complaints(conditions: &[Value]) -> String {
    let bad = conditions.iter().filter(|condition| text(condition, "/status") != "True");
    bad.map(|condition| format!("{}: {}", text(condition, "/reason"), text(condition, "/message")))
        .collect::<Vec<_>>()
        .join("; ")
}

fn of_kind<'a>(listing: &'a Listing, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    listing.objects.iter().filter(move |object| text(object, "/kind") == kind)
}

fn rows(html: &mut String, title: &str, header: &[&str], rows: Vec<Vec<String>>) {
    html.push_str(&format!("<h2>{title} ({})</h2>\n<table><tr>", rows.len()));
    for name in header {
        html.push_str(&format!("<th>{name}</th>"));
    }
    html.push_str("</tr>\n");
    for row in rows.iter().take(MAX_ROWS) {
        html.push_str("<tr>");
        for cell in row {
            html.push_str(&format!("<td>{}</td>", escape(cell)));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
    if rows.len() > MAX_ROWS {
        html.push_str(&format!("<p>and {} more</p>\n", rows.len() - MAX_ROWS));
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Rows of one table; the rest is counted.
const MAX_ROWS: usize = 1000;
/// Start of the page.
const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>igw</title><style>\
body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}\
td,th{border:1px solid #ccc;padding:.2em .6em;text-align:left;vertical-align:top}</style></head><body>\n<h1>igw</h1>\n";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::objects::listing::Notice;

    #[test]
    fn the_page_shows_states_and_escapes_what_people_wrote() {
        let listing = Listing {
            generation: 4,
            ready: true,
            objects: vec![json!({
                "kind": "Gateway", "metadata": {"name": "a", "namespace": "b"},
                "status": {"listeners": [{"name": "web", "attachedRoutes": 2, "conditions": [
                    {"type": "Programmed", "status": "False", "reason": "Invalid", "message": "port <80>"},
                ]}]},
            })],
            notices: vec![Notice { message: "<script>".into(), ..Notice::default() }],
            ..Listing::default()
        };
        let html = status(&listing);
        for part in ["ready, generation 4", "Gateway/b/a", "Invalid: port &lt;80&gt;", "&lt;script&gt;"] {
            assert!(html.contains(part), "{part} is not in\n{html}");
        }
        assert!(!html.contains("<script>"));
    }
}
