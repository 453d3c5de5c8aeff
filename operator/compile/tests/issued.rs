//! What may be certified, and what is told of the rest.

mod documents;

use igw_compile::issued::{Wishes, quota, wishes};

use documents::objects;

/// Wishes of documents of namespace `a` unless they name another; those written first are older.
#[track_caller]
fn wanted(text: &str) -> Wishes {
    let objects = objects(text);
    wishes(&objects, quota(&objects))
}

fn certificate(namespace: &str, name: &str, hostname: &str) -> String {
    format!(
        "apiVersion: igw.opensvc.com/v1alpha1\nkind: Certificate\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{secretName: {name}, hostnames: [{hostname}], issuerRef: {{name: own}}}}\n---\n"
    )
}

fn issuer(namespace: &str) -> String {
    format!(
        "apiVersion: igw.opensvc.com/v1alpha1\nkind: CertificateIssuer\nmetadata: {{name: own, namespace: {namespace}}}\nspec: {{selfSigned: {{}}}}\n---\n"
    )
}

fn config(spec: &str) -> String {
    format!(
        "apiVersion: igw.opensvc.com/v1alpha1\nkind: GatewayConfig\nmetadata: {{name: default, namespace: system}}\nspec: {{{spec}}}\n---\n"
    )
}

/// Reason of the refusal of a Secret's wish, empty if there is none.
#[track_caller]
fn refusal<'w>(wishes: &'w Wishes, namespace: &str, name: &str) -> &'w str {
    let wish = wishes.by_secret.get(&(namespace.to_owned(), name.to_owned())).expect("a wish");
    wish.refused.as_ref().map_or("", |(reason, _)| reason)
}

#[test]
fn a_namespace_has_its_quota_of_certificates_and_the_older_ones_count() {
    let objects = config("quotas: {certificates: 2}")
        + &issuer("a")
        + &issuer("b")
        + &certificate("a", "z", "z.test")
        + &certificate("a", "y", "y.test")
        + &certificate("a", "x", "x.test")
        + &certificate("b", "w", "w.test");
    let wishes = wanted(&objects);
    let reasons = [("a", "z"), ("a", "y"), ("a", "x"), ("b", "w")]
        .map(|(namespace, name)| refusal(&wishes, namespace, name));
    assert_eq!(reasons, ["", "", "QuotaExceeded", ""]);
}

#[test]
fn a_namespace_is_certified_for_its_own_names_and_by_its_own_issuers() {
    let objects = config("allowedHostnames: [{namespaces: [a], hostnames: [\"*.a.test\"]}]")
        + &issuer("a")
        + &certificate("a", "own", "www.a.test")
        + &certificate("a", "others", "www.b.test")
        + &certificate("b", "none", "www.a.test");
    let wishes = wanted(&objects);
    let reasons = [("a", "own"), ("a", "others"), ("b", "none")]
        .map(|(namespace, name)| refusal(&wishes, namespace, name));
    assert_eq!(reasons, ["", "HostnameNotAllowed", "IssuerNotFound"]);
}
