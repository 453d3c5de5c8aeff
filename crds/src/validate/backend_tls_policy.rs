//! Rules of BackendTLSPolicy.

use super::Problems;
use crate::objects::backend_tls_policy::{
    BackendTlsPolicySpec, FINGERPRINTS, SubjectAltName, SubjectAltNameType,
};
use crate::yaml::Fault;

pub(crate) fn backend_tls_policy(spec: &BackendTlsPolicySpec, problems: &mut Problems) {
    problems.length("spec.targetRefs", spec.target_refs.len(), 1, 16, "targets");
    for (index, target) in spec.target_refs.iter().enumerate() {
        let is_same = |other: &&crate::objects::backend_policy::PolicyTargetReference| {
            (&other.group, &other.kind, &other.name) == (&target.group, &target.kind, &target.name)
        };
        let before = spec.target_refs.iter().take(index).filter(is_same);
        let clashes = |other: &crate::objects::backend_policy::PolicyTargetReference| {
            other.section_name == target.section_name
                || other.section_name.is_none()
                || target.section_name.is_none()
        };
        if before.into_iter().any(clashes) {
            problems
                .add(format!("spec.targetRefs[{index}]"), "the same target stands twice")
                .is_a(Fault::Duplicate)
                .hints("tell them apart by `sectionName`, or remove one");
        }
    }
    problems.length("spec.options", spec.options.len(), 0, 16, "options");
    let validation = &spec.validation;
    let field = "spec.validation";
    let well_known = validation.well_known_ca_certificates.as_deref();
    match (validation.ca_certificate_refs.is_empty(), well_known) {
        (true, None) => {
            problems
                .add(field, "neither `caCertificateRefs` nor `wellKnownCACertificates`")
                .allows("exactly one of them");
        }
        (false, Some(_)) => {
            problems
                .add(field, "`caCertificateRefs` and `wellKnownCACertificates` exclude each other")
                .hints("remove one of the two");
        }
        _ => {}
    }
    problems.length(
        &format!("{field}.caCertificateRefs"),
        validation.ca_certificate_refs.len(),
        0,
        8,
        "references",
    );
    if well_known == Some(FINGERPRINTS) {
        fingerprints(spec.options.get(FINGERPRINTS).map(String::as_str), problems);
    }
    problems.length(&format!("{field}.subjectAltNames"), validation.subject_alt_names.len(), 0, 5, "names");
    for (index, name) in validation.subject_alt_names.iter().enumerate() {
        subject_alt_name(&format!("{field}.subjectAltNames[{index}]"), name, problems);
    }
}

fn fingerprints(value: Option<&str>, problems: &mut Problems) {
    let field = format!("spec.options.{FINGERPRINTS}");
    let Some(value) = value else {
        problems
            .add(field, "is missing")
            .hints("add the SHA-256 of each certificate, as `openssl x509 -fingerprint -sha256` prints it");
        return;
    };
    for one in value.split(',') {
        let digits = one.trim().replace(':', "");
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            problems
                .add(&field, format!("`{}` is no fingerprint", one.trim()))
                .allows("64 hexadecimal digits, with or without colons, separated by commas");
        }
    }
}

fn subject_alt_name(field: &str, name: &SubjectAltName, problems: &mut Problems) {
    let (wanted, is_there, other, is_other_there) = match name.r#type {
        SubjectAltNameType::Hostname => ("hostname", name.hostname.is_some(), "uri", name.uri.is_some()),
        SubjectAltNameType::Uri => ("uri", name.uri.is_some(), "hostname", name.hostname.is_some()),
    };
    if !is_there {
        problems.add(field, format!("`{wanted}` is missing")).hints(format!("add `{wanted}`"));
    }
    if is_other_there {
        problems
            .add(format!("{field}.{other}"), "does not belong to this type")
            .hints("remove it, or change `type`");
    }
    if let Some(uri) = &name.uri {
        problems.length(&format!("{field}.uri"), uri.chars().count(), 1, 253, "characters");
        let has_scheme = uri.split_once(':').is_some_and(|(scheme, rest)| {
            !rest.is_empty() && !scheme.contains(['/', '?', '#']) && !scheme.is_empty()
        });
        if !has_scheme {
            problems
                .add(format!("{field}.uri"), format!("`{uri}` is no URI"))
                .allows("a scheme, a colon and more, like spiffe://cluster/ns/shop");
        }
    }
}
