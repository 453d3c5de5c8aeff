//! Rules of Certificate and CertificateIssuer.

use std::net::{IpAddr, SocketAddr};

use super::Problems;
use crate::objects::certificate::CertificateSpec;
use crate::objects::certificate_issuer::{AcmeIssuer, CertificateIssuerSpec};

pub(crate) fn certificate(spec: &CertificateSpec, problems: &mut Problems) {
    problems.length("spec.hostnames", spec.hostnames.len(), 1, 100, "names");
    problems.unique("spec.hostnames", "", spec.hostnames.iter().map(|hostname| hostname.as_str()));
}

pub(crate) fn issuer(spec: &CertificateIssuerSpec, problems: &mut Problems) {
    match (&spec.acme, &spec.self_signed) {
        (Some(acme), None) => self::acme(acme, problems),
        (None, Some(_)) => {}
        (None, None) => {
            problems.add("spec", "neither `acme` nor `selfSigned`").allows("exactly one of the two");
        }
        (Some(_), Some(_)) => {
            problems
                .add("spec", "`acme` and `selfSigned` exclude each other")
                .hints("make an issuer for each of the two");
        }
    }
}

fn acme(acme: &AcmeIssuer, problems: &mut Problems) {
    let is_url = acme.directory.strip_prefix("https://").is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty() && rest.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
    });
    if !is_url {
        problems
            .add("spec.acme.directory", format!("`{}` is no URL of a directory", acme.directory))
            .allows("an https URL, like https://acme-v02.api.letsencrypt.org/directory");
    }
    let is_address = acme.email.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && acme.email.bytes().all(|byte| (0x21..=0x7e).contains(&byte))
    });
    if !acme.email.is_empty() && !is_address {
        problems
            .add("spec.acme.email", format!("`{}` is no mail address", acme.email))
            .allows("an address like ops@shop.example");
    }
    if acme.external_account_binding.as_ref().is_some_and(|binding| binding.key_id.is_empty()) {
        problems
            .add("spec.acme.externalAccountBinding.keyID", "is empty")
            .hints("write the key's name that the authority gave you, or remove externalAccountBinding");
    }
    problems.length("spec.acme.solvers", acme.solvers.len(), 0, 16, "solvers");
    for (index, solver) in acme.solvers.iter().enumerate() {
        let field = format!("spec.acme.solvers[{index}]");
        let forms = [solver.http01.is_some(), solver.tls_alpn01.is_some(), solver.dns01.is_some()];
        let n_forms = forms.into_iter().filter(|form| *form).count();
        if n_forms != 1 {
            problems
                .add(&field, format!("{n_forms} of `http01`, `tlsAlpn01` and `dns01`"))
                .allows("exactly one");
        }
        if let Some(dns) = &solver.dns01 {
            let server = &dns.rfc2136.server;
            if server.parse::<SocketAddr>().is_err() && server.parse::<IpAddr>().is_err() {
                problems
                    .add(format!("{field}.dns01.rfc2136.server"), format!("`{server}` is no address"))
                    .allows("an IP address, or address:port ([address]:port for IPv6)");
            }
        }
        if let Some(selector) = &solver.selector {
            let n_names = selector.hostnames.len();
            problems.length(&format!("{field}.selector.hostnames"), n_names, 1, 64, "names");
        }
    }
}
