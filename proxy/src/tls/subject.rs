//! The subject of a certificate as text (RFC 4514), in printable ASCII so that it fits a header field.

use std::fmt::Write as _;

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::AttributeTypeAndValue;

/// The subject of a certificate in DER; `None` if it has none, or is longer than a field may be.
pub(crate) fn of(certificate: &[u8]) -> Option<Box<[u8]>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut text = String::new();
    let names: Vec<_> = certificate.subject().iter_rdn().collect();
    // The most specific name stands first.
    for (at, name) in names.iter().rev().enumerate() {
        for (part, attribute) in name.iter().enumerate() {
            if part > 0 {
                text.push('+');
            } else if at > 0 {
                text.push(',');
            }
            write_attribute(&mut text, attribute);
        }
    }
    (!text.is_empty() && text.len() <= LENGTH_MAX).then(|| text.into_bytes().into_boxed_slice())
}

fn write_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(known, _)| *known == oid).map(|(_, short)| *short);
    text.push_str(short.unwrap_or(&oid));
    text.push('=');
    match (short, attribute.as_str()) {
        (Some(_), Ok(value)) => write_value(text, value.as_bytes()),
        _ => {
            text.push('#');
            for byte in attribute.as_slice() {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02X}");
            }
        }
    }
}

fn write_value(text: &mut String, value: &[u8]) {
    for (at, byte) in value.iter().enumerate() {
        let is_edge = at == 0 || at + 1 == value.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if is_edge => text.push_str("\\ "),
            0x20..=0x7e => text.push(char::from(*byte)),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
}

/// Attributes that have a short name (RFC 4514 3).
const SHORT: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];
/// Longest subject that is told, in bytes.
const LENGTH_MAX: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        let cases: [(&[u8], &str); 6] = [
            (b"James \"Jim\" Smith, III", r#"James \"Jim\" Smith\, III"#),
            (b" a ", r"\ a\ "),
            (b"#1#", r"\#1#"),
            (b"a\r\nx-evil: 1", r"a\0D\0Ax-evil: 1"),
            ("Lu\u{10d}i\u{107}".as_bytes(), r"Lu\C4\8Di\C4\87"),
            (b"a+b;c<d>e\\f", r"a\+b\;c\<d\>e\\f"),
        ];
        for (value, wanted) in cases {
            let mut text = String::new();
            write_value(&mut text, value);
            assert_eq!(text, wanted);
        }
    }
}
