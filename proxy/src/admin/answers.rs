//! What the admin server says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::AdminState;
use crate::clock;
use crate::upstream::endpoint::Administrative;

/// A back end as shown.
#[derive(Serialize)]
pub(crate) struct ShownBackend {
    key: String,
    generation: u64,
    /// State of each server template, by name.
    templates: BTreeMap<String, String>,
    endpoints: Vec<ShownEndpoint>,
}

#[derive(Serialize)]
struct ShownEndpoint {
    name: String,
    address: String,
    slot: usize,
    weight: u32,
    state: &'static str,
    active: u32,
    requests: u64,
    failures: u64,
}

/// What may be asked on the admin socket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    backend: String,
    endpoint: String,
    state: Wish,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Wish {
    Enabled,
    Draining,
    Disabled,
}

/// Every back end with its endpoints.
pub(crate) fn backends(state: &AdminState) -> Vec<ShownBackend> {
    let now_ms = clock::now_ms();
    let tables = state.shared.tables();
    tables
        .backends
        .iter()
        .map(|backend| {
            let set = backend.current();
            ShownBackend {
                key: backend.key.to_string(),
                generation: set.generation,
                templates: state.templates.of(&backend.key),
                endpoints: set
                    .all
                    .iter()
                    .map(|endpoint| ShownEndpoint {
                        name: endpoint.name.clone(),
                        address: endpoint.address.to_string(),
                        slot: endpoint.slot,
                        weight: endpoint.weight(),
                        state: endpoint.state(now_ms).as_str(),
                        active: endpoint.active(),
                        requests: endpoint.requests(),
                        failures: endpoint.failures(),
                    })
                    .collect(),
            }
        })
        .collect()
}

/// Drains, disables or enables an endpoint.
pub(crate) fn administer(state: &AdminState, body: &[u8]) -> (StatusCode, String) {
    let action: Action = match serde_json::from_slice(body) {
        Ok(action) => action,
        Err(error) => {
            let form = r#"{"backend": "Service/ns/name:port", "endpoint": "name or address", "state": "enabled|draining|disabled"}"#;
            return (StatusCode::BAD_REQUEST, format!("{error}; expected {form}\n"));
        }
    };
    let wish = match action.state {
        Wish::Enabled => Administrative::Enabled,
        Wish::Draining => Administrative::Draining,
        Wish::Disabled => Administrative::Disabled,
    };
    let tables = state.shared.tables();
    let Some(backend) = tables.backends.iter().find(|backend| *backend.key == action.backend) else {
        return (StatusCode::NOT_FOUND, format!("no back end `{}`; see /api/v1/backends\n", action.backend));
    };
    match backend.administer(&action.endpoint, wish) {
        true => (StatusCode::OK, "done\n".to_owned()),
        false => {
            (StatusCode::NOT_FOUND, format!("no endpoint `{}` in `{}`\n", action.endpoint, action.backend))
        }
    }
}

/// The status page.
pub(crate) fn page(state: &AdminState) -> String {
    let tables = state.shared.tables();
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>igw-proxy</title>\
         <style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:70rem}table{border-collapse:collapse;margin:0 0 2rem}\
         th,td{border:1px solid #bbb;padding:.3rem .6rem;text-align:left}</style></head><body><h1>igw-proxy</h1>",
    );
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<p>Version {}, {}. Snapshot {} of epoch {}. {} connections.</p><h2>Listeners</h2>\
         <table><tr><th scope=\"col\">Gateway</th><th scope=\"col\">Listener</th><th scope=\"col\">Bound</th><th scope=\"col\">Problem</th></tr>",
        env!("CARGO_PKG_VERSION"),
        if state.is_ready() { "ready" } else { "not ready" },
        tables.generation,
        tables.epoch,
        state.shared.n_connections(),
    );
    for listener in state.report().listeners {
        let bound: Vec<String> = listener.bound.iter().map(ToString::to_string).collect();
        let problem = listener.error.map(|error| error.message).unwrap_or_default();
        row(&mut page, &[&listener.gateway, &listener.listener, &bound.join(", "), &problem]);
    }
    page.push_str(
        "</table><h2>Back ends</h2><table><tr><th scope=\"col\">Back end</th><th scope=\"col\">Endpoint</th>\
         <th scope=\"col\">Address</th><th scope=\"col\">State</th><th scope=\"col\">Requests</th><th scope=\"col\">Failures</th></tr>",
    );
    for backend in backends(state) {
        if backend.endpoints.is_empty() {
            row(&mut page, &[&backend.key, "none", "", "", "", ""]);
        }
        for endpoint in &backend.endpoints {
            let (requests, failures) = (endpoint.requests.to_string(), endpoint.failures.to_string());
            row(
                &mut page,
                &[&backend.key, &endpoint.name, &endpoint.address, endpoint.state, &requests, &failures],
            );
        }
    }
    page.push_str("</table></body></html>\n");
    page
}

fn row(page: &mut String, cells: &[&str]) {
    page.push_str("<tr>");
    for cell in cells {
        page.push_str("<td>");
        for character in cell.chars() {
            match character {
                '<' => page.push_str("&lt;"),
                '>' => page.push_str("&gt;"),
                '&' => page.push_str("&amp;"),
                '"' => page.push_str("&quot;"),
                _ => page.push(character),
            }
        }
        page.push_str("</td>");
    }
    page.push_str("</tr>");
}
