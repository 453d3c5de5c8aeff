//! The request target (RFC 9112 3.2).

use crate::authority;
use crate::error::RequestError;
use crate::field::begins_with;
use crate::span::Span;

/// A request target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Form of the target.
    pub form: TargetForm,
    /// Path without the query; begins with a slash unless it is the asterisk. The path `/` where an absolute target
    /// has none.
    pub path: Span,
    /// What follows the question mark, if there is one.
    pub query: Option<Span>,
}

/// Form of a request target. The authority form belongs to CONNECT, which is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// A path.
    Origin,
    /// A URI with scheme and authority.
    Absolute,
    /// The server as a whole: `*`, or a URI without path and query, both for OPTIONS alone.
    Asterisk,
}

/// Tells the form of a target apart and takes it into parts. The authority is that of an absolute target.
///
/// # Errors
///
/// Where the target has none of the forms that are allowed, or its authority is not valid.
pub(crate) fn parse(
    buf: &[u8],
    span: Span,
    is_options: bool,
) -> Result<(Target, Option<Span>), RequestError> {
    let target = span.of(buf);
    match target {
        [b'/', ..] => Ok((split_query(TargetForm::Origin, target, span.start), None)),
        b"*" if is_options => Ok((Target { form: TargetForm::Asterisk, path: span, query: None }, None)),
        _ => absolute(target, span.start, is_options).map(|(target, authority)| (target, Some(authority))),
    }
}

fn absolute(target: &[u8], start: u32, is_options: bool) -> Result<(Target, Span), RequestError> {
    let n_scheme = match target {
        _ if begins_with(target, b"http://") => 7,
        _ if begins_with(target, b"https://") => 8,
        _ => return Err(RequestError::TargetForm),
    };
    let rest = target.get(n_scheme..).unwrap_or_default();
    let n_authority = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (name, path) = rest.split_at_checked(n_authority).unwrap_or_default();
    if !authority::is_valid(name) {
        return Err(RequestError::TargetAuthority);
    }
    let authority_start = start.saturating_add(n_scheme as u32);
    let path_start = authority_start.saturating_add(n_authority as u32);
    let authority = Span { start: authority_start, end: path_start };
    // Where there is no path, the last slash of the scheme stands in for it.
    let slash = Span { start: authority_start.saturating_sub(1), end: authority_start };
    let parts = match path {
        [b'/', ..] => split_query(TargetForm::Absolute, path, path_start),
        [] if is_options => Target { form: TargetForm::Asterisk, path: slash, query: None },
        [] => Target { form: TargetForm::Absolute, path: slash, query: None },
        _ => Target { path: slash, ..split_query(TargetForm::Absolute, path, path_start) },
    };
    Ok((parts, authority))
}

fn split_query(form: TargetForm, target: &[u8], start: u32) -> Target {
    let end = start.saturating_add(target.len() as u32);
    match target.iter().position(|byte| *byte == b'?') {
        Some(n_path) => {
            let mark = start.saturating_add(n_path as u32);
            Target {
                form,
                path: Span { start, end: mark },
                query: Some(Span { start: mark.saturating_add(1), end }),
            }
        }
        None => Target { form, path: Span { start, end }, query: None },
    }
}
