//! From what a client sent to what may be stored.

use serde_json::Value;

use crate::failure::{Cause, Failure};
use crate::metadata;
use crate::request::FieldValidation;
use crate::server::Target;
use crate::store::Part;

/// Judges an object for a place. Returns it with defaults, and warnings.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn admit(
    target: &Target,
    mut tree: Value,
    twice: &[String],
    before: Option<&Value>,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), Failure> {
    let resource = &target.resource;
    let Some(fields) = tree.as_object_mut() else {
        return Err(Failure::bad_request("the body is not an object"));
    };
    let said = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (said("apiVersion"), said("kind"));
    let is_served = |version: &std::sync::Arc<str>| resource.api_version(version) == api_version;
    if (!kind.is_empty() && kind != *resource.kind)
        || (!api_version.is_empty() && !resource.versions.iter().any(is_served))
    {
        let expected = resource.api_version(&target.version);
        return Err(Failure::bad_request(format!(
            "the object ({kind} of {api_version}) does not match what the path takes ({} of {expected})",
            resource.kind
        )));
    }
    fields.insert("apiVersion".to_owned(), resource.api_version(resource.stored_version()).into());
    fields.insert("kind".to_owned(), resource.kind.as_ref().into());
    // Typed clients send an empty status that would not be valid: it goes before anything is judged.
    if resource.has_status && target.part == Part::Main {
        fields.remove("status");
    }
    let (mut unknown, mut causes) = metadata::check(resource, &target.namespace, &target.name, fields)?;
    if target.part == Part::Main {
        let admitted = resource.admission.admit(&mut tree, before);
        unknown.extend(admitted.unknown);
        causes.extend(admitted.causes);
    }
    let warnings = told(target, &unknown, twice, validation)?;
    if !causes.is_empty() {
        return Err(invalid(target, &tree, causes));
    }
    Ok((tree, warnings))
}

fn told(
    target: &Target,
    unknown: &[String],
    twice: &[String],
    validation: FieldValidation,
) -> Result<Vec<String>, Failure> {
    let unknown = unknown.iter().map(|path| format!("unknown field \"{path}\""));
    let twice = twice.iter().map(|path| format!("duplicate field \"{path}\""));
    let found: Vec<String> = twice.chain(unknown).collect();
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Strict if !found.is_empty() => {
            let (kind, version) = (&target.resource.kind, &target.version);
            Err(Failure::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
                found.join(", ")
            )))
        }
        FieldValidation::Strict | FieldValidation::Warn => Ok(found),
    }
}

fn invalid(target: &Target, tree: &Value, causes: Vec<Cause>) -> Failure {
    let name = crate::tree::text(tree, "metadata.name");
    Failure::invalid(&target.resource, name, causes)
}
