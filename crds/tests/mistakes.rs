//! Every kind of mistake, with its exact place and what is said about it.
//!
//! The table is `mistakes.txt`: documents, each ended by a line `=> line:column field: message | allowed |
//! hint`. A line `@route` or `@gateway` stands for the head of such a document. `IGW_BLESS=1` writes the
//! lines anew, to be read before they are committed.

use std::path::Path;

use igw_crds::yaml::{Cache, Severity, read, read_in};

/// The documents of the table with what is expected of them.
fn table(text: &str) -> Vec<(String, String, String)> {
    let mut entries = Vec::new();
    let (mut source, mut document) = (String::new(), String::new());
    for line in text.lines() {
        if let Some(expected) = line.strip_prefix("=> ") {
            entries.push((std::mem::take(&mut source), std::mem::take(&mut document), expected.to_owned()));
            continue;
        }
        source += &format!("{line}\n");
        document += &match line {
            "@route" => format!("{API}kind: HTTPRoute\nmetadata: {{name: bad}}\nspec:\n"),
            "@gateway" => {
                format!("{API}kind: Gateway\nmetadata: {{name: bad}}\nspec:\n  gatewayClassName: igw\n")
            }
            line => format!("{line}\n"),
        };
    }
    entries
}

/// The first finding, as the table writes it.
fn first_finding(document: &str) -> Option<String> {
    let reading = read("f", document);
    let first = reading.diagnostics.first()?;
    assert_eq!(first.severity, Severity::Error, "in\n{document}");
    assert!(reading.documents.is_empty(), "a broken document is not used:\n{document}");
    assert_eq!(reading.broken.len(), 1, "in\n{document}");
    Some(format!(
        "{}:{} {}: {} | {} | {}",
        first.line,
        first.column,
        first.field,
        first.message.replace('\n', " "),
        first.allowed.as_deref().unwrap_or("-"),
        first.hint.as_deref().unwrap_or("-")
    ))
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes.txt");
    let entries = table(&std::fs::read_to_string(&path).expect("the table"));
    assert!(entries.len() >= 100, "{} mistakes", entries.len());
    let found: Vec<String> = entries
        .iter()
        .map(|(_, document, _)| first_finding(document).unwrap_or_else(|| format!("nothing in\n{document}")))
        .collect();
    if std::env::var_os("IGW_BLESS").is_some() {
        let blessed: String =
            entries.iter().zip(&found).map(|((source, ..), found)| format!("{source}=> {found}\n")).collect();
        std::fs::write(&path, blessed).expect("the table is written");
        return;
    }
    for ((_, document, expected), found) in entries.iter().zip(&found) {
        assert_eq!(found, expected, "in\n{document}");
    }
}

#[test]
fn one_bad_document_hides_no_other() {
    let good = |name: &str| {
        format!(
            "apiVersion: igw.opensvc.com/v1alpha1\nkind: Resolver\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        )
    };
    let text = format!("{}---\nkind: [\n---\n{}---\n- 1\n---\n{}", good("a"), good("b"), good("c"));
    let reading = read("f", &text);
    let names: Vec<&str> = reading.documents.iter().map(|document| &*document.object.key.name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(reading.broken.len(), 2);
    assert_eq!(reading.documents.iter().map(|document| document.line).collect::<Vec<_>>(), [1, 8, 15]);
}

#[test]
fn a_carriage_return_alone_is_refused_in_its_place() {
    let expected = "3:6 : carriage return without a line feed | - | end lines with a line feed";
    assert_eq!(first_finding("---\na: 1\r\nb: # \rc: 2\n").as_deref(), Some(expected));
    let reading = read("f", "apiVersion: v1\r\nkind: Namespace\r\nmetadata: {name: n}\r\n");
    assert!(reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
}

#[test]
fn hostile_input_ends() {
    for text in [
        "[".repeat(200_000),
        "{".repeat(200_000),
        "- ".repeat(100_000),
        "a: ".repeat(50_000),
        "\u{0}".repeat(1_000),
        "? ".repeat(50_000),
    ] {
        let reading = read("f", &text);
        assert!(reading.documents.is_empty() && !reading.broken.is_empty(), "{}", &text[..4]);
    }
    let reading = read("f", &"a".repeat(17 * 1024 * 1024));
    assert_eq!(reading.diagnostics.len(), 1);
    let many = "---\na: 1\n".repeat(20_100);
    assert!(read("f", &many).diagnostics.iter().any(|finding| finding.message.contains("20000 documents")));
}

#[test]
fn foreign_kinds_and_later_kinds_are_no_errors() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n---\napiVersion: igw.opensvc.com/v1alpha1\nkind: RateLimit\nmetadata: {name: u}\n";
    let reading = read("f", text);
    assert_eq!((reading.foreign[0].kind.as_str(), reading.foreign[0].line), ("Deployment", 1));
    assert_eq!(reading.diagnostics.len(), 1);
    assert_eq!(reading.diagnostics[0].severity, Severity::Warning);
    assert!(reading.broken.is_empty());
}

/// First line of objects of the Gateway API.
const API: &str = "apiVersion: gateway.networking.k8s.io/v1\n";

#[test]
fn what_is_stored_may_hold_fields_that_are_not_known_yet() {
    let document = format!(
        "{API}kind: HTTPRoute\nmetadata: {{name: new}}\nspec:\n  future: {{a: 1}}\n  rules:\n    - sooner: true\n      matches: [{{path: {{value: /a}}}}]\nlater: 1\n"
    );
    assert!(read("f", &document).documents.is_empty(), "an error where people write");
    let reading = read_in("a", "f", &document, &mut Cache::lenient());
    let lines: Vec<(u32, &str)> =
        reading.diagnostics.iter().map(|found| (found.line, found.message.as_str())).collect();
    let wanted =
        [(10, "unknown field `later`"), (6, "unknown field `future`"), (8, "unknown field `sooner`")];
    let shift = lines.first().map_or(0, |(line, _)| line.abs_diff(10));
    assert_eq!(lines, wanted.map(|(line, text)| (line - shift, text)));
    assert!(reading.diagnostics.iter().all(|found| found.severity == Severity::Warning));
    assert_eq!(reading.documents.len(), 1, "and it counts");
    // What is wrong otherwise stays wrong.
    let bad = document.replace("value: /a", "value: 1, kind: Else");
    assert!(read_in("a", "f", &bad, &mut Cache::lenient()).documents.is_empty());
}
