//! Tables of objects: one per kind, with kubectl's columns for kinds it knows.
//!
//! Objects are JSON here, as they come from the directory, from a running `igw up`, or from its state file.

use jiff::Timestamp;
use serde_json::Value;

use super::table::Table;
use super::text::{age, list};

/// What a table shows besides the columns of the kind.
#[derive(Clone, Copy, Debug)]
pub struct TableForm {
    /// A first column with the namespace.
    pub namespace: bool,
    /// Names carry their kind: several kinds are shown.
    pub kind: bool,
    /// More columns.
    pub wide: bool,
    /// The present, for ages.
    pub now: Timestamp,
}

/// The objects, all of one kind, as a table.
#[must_use]
pub fn table(objects: &[&Value], form: TableForm) -> String {
    let kind = objects.first().map_or("", |object| text(object, "/kind"));
    let columns = columns(kind);
    let shown: Vec<_> = columns.iter().filter(|column| form.wide || !column.wide).collect();
    let mut header = vec![];
    if form.namespace {
        header.push("NAMESPACE");
    }
    header.push("NAME");
    header.extend(shown.iter().filter(|column| !column.wide).map(|column| column.name));
    header.push("AGE");
    header.extend(shown.iter().filter(|column| column.wide).map(|column| column.name));
    let mut table = Table::new(header);
    for object in objects {
        let mut cells = vec![];
        if form.namespace {
            cells.push(text(object, "/metadata/namespace").to_owned());
        }
        let name = text(object, "/metadata/name");
        cells.push(if form.kind { format!("{}/{name}", kind.to_lowercase()) } else { name.to_owned() });
        cells.extend(shown.iter().filter(|column| !column.wide).map(|column| (column.cell)(object)));
        cells.push(age(text(object, "/metadata/creationTimestamp").parse().ok(), form.now));
        cells.extend(shown.iter().filter(|column| column.wide).map(|column| (column.cell)(object)));
        table.row(cells);
    }
    table.render()
}

/// The string at a JSON pointer, or nothing.
#[must_use]
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The items at a JSON pointer, or none.
#[must_use]
pub fn items<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The status of a condition in a list of conditions, `Unknown` where it is not there.
#[must_use]
pub fn condition<'a>(conditions: &'a [Value], kind: &str) -> &'a str {
    conditions
        .iter()
        .find(|condition| text(condition, "/type") == kind)
        .map_or("Unknown", |condition| text(condition, "/status"))
}

struct Column {
    name: &'static str,
    wide: bool,
    cell: fn(&Value) -> String,
}

fn columns(kind: &str) -> Vec<Column> {
    let column = |name, cell| Column { name, wide: false, cell };
    let wide = |name, cell| Column { name, wide: true, cell };
    match kind {
        "GatewayClass" => vec![
            column("CONTROLLER", |object| text(object, "/spec/controllerName").to_owned()),
            column("ACCEPTED", |object| {
                condition(items(object, "/status/conditions"), "Accepted").to_owned()
            }),
            wide("DESCRIPTION", |object| text(object, "/spec/description").to_owned()),
        ],
        "Gateway" => vec![
            column("CLASS", |object| text(object, "/spec/gatewayClassName").to_owned()),
            column("ADDRESS", |object| {
                list(items(object, "/status/addresses").iter().map(|address| text(address, "/value")))
            }),
            column("PROGRAMMED", |object| {
                condition(items(object, "/status/conditions"), "Programmed").to_owned()
            }),
            wide("LISTENERS", |object| {
                list(items(object, "/spec/listeners").iter().map(|listener| {
                    let port = listener.pointer("/port").map(Value::to_string).unwrap_or_default();
                    format!("{}:{port}/{}", text(listener, "/name"), text(listener, "/protocol"))
                }))
            }),
            wide("ROUTES", |object| {
                let attached = |listener: &Value| listener.pointer("/attachedRoutes").and_then(Value::as_u64);
                items(object, "/status/listeners").iter().filter_map(attached).sum::<u64>().to_string()
            }),
        ],
        "ListenerSet" => vec![
            column("ACCEPTED", |object| {
                condition(items(object, "/status/conditions"), "Accepted").to_owned()
            }),
            column("PROGRAMMED", |object| {
                condition(items(object, "/status/conditions"), "Programmed").to_owned()
            }),
            wide("GATEWAY", |object| text(object, "/spec/parentRef/name").to_owned()),
        ],
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" => vec![
            column("HOSTNAMES", hostnames),
            wide("PARENTS", |object| {
                list(items(object, "/spec/parentRefs").iter().map(|parent| text(parent, "/name")))
            }),
            wide("ACCEPTED", |object| parents_condition(object, "Accepted")),
            wide("RESOLVED", |object| parents_condition(object, "ResolvedRefs")),
        ],
        "Backend" => {
            vec![column("ENDPOINTS", |object| list(items(object, "/spec/endpoints").iter().map(endpoint)))]
        }
        "TCPRoute" | "UDPRoute" => vec![
            column("PARENTS", |object| {
                list(items(object, "/spec/parentRefs").iter().map(|parent| text(parent, "/name")))
            }),
            wide("ACCEPTED", |object| parents_condition(object, "Accepted")),
            wide("RESOLVED", |object| parents_condition(object, "ResolvedRefs")),
        ],
        "BackendPolicy" | "ClientPolicy" | "XTelemetryPolicy" => vec![
            column("TARGETS", |object| {
                list(items(object, "/spec/targetRefs").iter().map(|target| {
                    format!("{}/{}", text(target, "/kind").to_lowercase(), text(target, "/name"))
                }))
            }),
            column("ACCEPTED", |object| parents_condition(object, "Accepted")),
        ],
        "Certificate" => vec![
            column("READY", |object| condition(items(object, "/status/conditions"), "Ready").to_owned()),
            column("SECRET", |object| text(object, "/spec/secretName").to_owned()),
            column("UNTIL", |object| text(object, "/status/notAfter").to_owned()),
            wide("HOSTNAMES", hostnames),
            wide("ISSUER", |object| text(object, "/spec/issuerRef/name").to_owned()),
        ],
        "CertificateIssuer" => vec![
            column("READY", |object| condition(items(object, "/status/conditions"), "Ready").to_owned()),
            wide("DIRECTORY", |object| text(object, "/spec/acme/directory").to_owned()),
        ],
        "Resolver" => vec![column("NAMESERVERS", |object| {
            let servers = items(object, "/spec/nameservers").iter().map(|server| {
                let port = server.pointer("/port").and_then(Value::as_u64).unwrap_or(53);
                format!("{}:{port}", text(server, "/address"))
            });
            let follows = object.pointer("/spec/fromResolvConf").and_then(Value::as_bool).unwrap_or(false);
            list(servers.chain(follows.then(|| "resolv.conf".to_owned())))
        })],
        "Secret" => vec![
            column("TYPE", |object| text(object, "/type").to_owned()),
            column("DATA", |object| entries(object, &["/data", "/stringData"])),
        ],
        "ConfigMap" => vec![column("DATA", |object| entries(object, &["/data", "/binaryData"]))],
        "Namespace" => vec![column("STATUS", |_| "Active".into())],
        _ => vec![],
    }
}

/// Host names as the API server prints them: a JSON list, or nothing.
fn hostnames(object: &Value) -> String {
    object
        .pointer("/spec/hostnames")
        .filter(|names| names.as_array().is_some_and(|names| !names.is_empty()))
        .map(Value::to_string)
        .unwrap_or_default()
}

/// The worst status of a condition over all parents.
fn parents_condition(object: &Value, kind: &str) -> String {
    let parents = ["/status/parents", "/status/ancestors"].iter().flat_map(|pointer| items(object, pointer));
    let states: Vec<_> = parents.map(|parent| condition(items(parent, "/conditions"), kind)).collect();
    let worst = ["False", "Unknown", "True"].into_iter().find(|state| states.contains(state));
    worst.unwrap_or("Unknown").to_owned()
}

fn endpoint(endpoint: &Value) -> String {
    let port =
        |kind: &str| endpoint.pointer(&format!("/{kind}/port")).map(Value::to_string).unwrap_or_default();
    match endpoint {
        _ if endpoint.get("ip").is_some() => format!("{}:{}", text(endpoint, "/ip/address"), port("ip")),
        _ if endpoint.get("fqdn").is_some() => {
            format!("{}:{}", text(endpoint, "/fqdn/hostname"), port("fqdn"))
        }
        _ => format!("unix:{}", text(endpoint, "/unix/path")),
    }
}

fn entries(object: &Value, pointers: &[&str]) -> String {
    let maps = pointers.iter().filter_map(|pointer| object.pointer(pointer).and_then(Value::as_object));
    maps.map(serde_json::Map::len).sum::<usize>().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(objects: &[Value], form: TableForm, want: &str) {
        assert_eq!(table(&objects.iter().collect::<Vec<_>>(), form), want);
    }

    #[test]
    fn tables_have_the_columns_of_kubectl() {
        let now = Timestamp::from_second(1_000_090).unwrap();
        let gateway = json!({
            "kind": "Gateway",
            "metadata": {"name": "public", "namespace": "edge", "creationTimestamp": "1970-01-12T13:46:40Z"},
            "spec": {"gatewayClassName": "igw", "listeners": [{"name": "web", "port": 80, "protocol": "HTTP"}]},
            "status": {
                "addresses": [{"value": "192.0.2.1"}],
                "conditions": [{"type": "Programmed", "status": "True"}],
                "listeners": [{"name": "web", "attachedRoutes": 3}],
            },
        });
        let form = TableForm { namespace: false, kind: false, wide: false, now };
        check(
            std::slice::from_ref(&gateway),
            form,
            "NAME     CLASS   ADDRESS     PROGRAMMED   AGE\npublic   igw     192.0.2.1   True         90s\n",
        );
        check(
            &[gateway],
            TableForm { namespace: true, kind: true, wide: true, now },
            "NAMESPACE   NAME             CLASS   ADDRESS     PROGRAMMED   AGE   LISTENERS     ROUTES\n\
             edge        gateway/public   igw     192.0.2.1   True         90s   web:80/HTTP   3\n",
        );
        let route = json!({
            "kind": "HTTPRoute", "metadata": {"name": "a", "namespace": "b"},
            "spec": {"hostnames": ["x.test"], "parentRefs": [{"name": "public"}]},
            "status": {"parents": [
                {"conditions": [{"type": "Accepted", "status": "True"}]},
                {"conditions": [{"type": "Accepted", "status": "False"}]},
            ]},
        });
        check(
            &[route],
            TableForm { namespace: false, kind: false, wide: true, now },
            "NAME   HOSTNAMES    AGE         PARENTS   ACCEPTED   RESOLVED\n\
             a      [\"x.test\"]   <unknown>   public    False      Unknown\n",
        );
    }
}
