//! The addresses of a gateway's status: its own where it has some, else where proxies are reached.

use std::net::IpAddr;
use std::sync::Arc;

use igw_compile::{Facts, ObjectSet, Proxies, Status, Stored, compile, program};
use igw_crds::sync::{ListenerReport, Report};
use igw_crds::yaml::read;
use jiff::Timestamp;

/// The addresses of gateway `g` once a proxy has bound one and is reached at another.
fn shown(addresses: &str, leases: &[&str], bound: &str) -> Vec<String> {
    let text = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {{name: igw}}\nspec: {{controllerName: igw.opensvc.com/gateway}}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g}}\nspec: {{gatewayClassName: igw, addresses: [{addresses}], listeners: [{{name: a, port: 80, protocol: HTTP}}]}}\n"
    );
    let reading = read("case", &text);
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
    let mut set = ObjectSet::default();
    for document in reading.documents {
        let stored = Stored {
            object: document.object.clone(),
            uid: "".into(),
            created: Timestamp::UNIX_EPOCH,
            generation: 1,
        };
        set.insert(document.object.key.clone(), stored);
    }
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    let leases = leases.iter().map(|text| ("default/g".to_owned(), address(text))).collect();
    let compiled = compile(&set, &Facts { cluster: "test".to_owned(), leases, ..Facts::default() });
    let listener = ListenerReport {
        gateway: "default/g".to_owned(),
        listener: "a".to_owned(),
        bound: vec![(address(bound), 80).into()],
        error: None,
    };
    let proxies = Proxies {
        report: Report { listeners: vec![listener], serving: true, refused: None },
        addresses: [("default/g".to_owned(), vec![address("10.9.9.9")])].into(),
        ..Proxies::default()
    };
    let statuses = program(&compiled, &proxies);
    let of_gateway = statuses.iter().find_map(|(_, status): &(_, Arc<Status>)| match &**status {
        Status::Gateway(gateway) => Some(gateway.addresses.iter().map(|one| one.value.clone()).collect()),
        _ => None,
    });
    of_gateway.expect("a gateway")
}

#[test]
fn a_gateway_without_addresses_is_where_its_proxies_are() {
    assert_eq!(shown("", &[], "0.0.0.0"), ["10.9.9.9"]);
    assert_eq!(shown("{type: IPAddress}", &[], "0.0.0.0"), ["10.9.9.9"]);
}

#[test]
fn a_gateway_with_addresses_is_at_those_that_are_bound() {
    let both = "{type: IPAddress, value: 127.0.0.7}, {type: IPAddress, value: 192.0.2.1}";
    assert_eq!(shown(both, &[], "127.0.0.7"), ["127.0.0.7"]);
    assert_eq!(shown("", &["127.0.0.8"], "127.0.0.8"), ["127.0.0.8"]);
}
