//! JSON patches (RFC 6902), bounded: copies of copies would grow without end, and so would nesting.

use json_patch::{Patch, PatchOperation};
use serde_json::Value;

use crate::failure::{Failure, Reason};
use crate::server::Target;
use crate::tree;

/// The object that a patch makes of another.
///
/// # Errors
/// If an operation does not fit the object, or the patch is out of bounds.
pub(crate) fn operate(target: &Target, before: &Value, patch: &Patch) -> Result<Value, Failure> {
    let too_large =
        || Failure::new(Reason::RequestEntityTooLarge, "the JSON patch makes the object too large");
    if patch.0.len() > OPERATIONS_MAX {
        return Err(too_large());
    }
    let mut wanted = before.clone();
    let mut n_copied = 0_usize;
    for operation in &patch.0 {
        let (from, path) = match operation {
            PatchOperation::Copy(copy) => (Some(copy.from.as_ptr()), copy.path.as_ptr()),
            PatchOperation::Move(moving) => (Some(moving.from.as_ptr()), moving.path.as_ptr()),
            PatchOperation::Add(add) => (None, add.path.as_ptr()),
            PatchOperation::Replace(replace) => (None, replace.path.as_ptr()),
            PatchOperation::Remove(remove) => (None, remove.path.as_ptr()),
            PatchOperation::Test(test) => (None, test.path.as_ptr()),
        };
        let source = from.and_then(|from| wanted.pointer(from.as_str()));
        if let Some(source) = source {
            // A tree always encodes.
            n_copied += serde_json::to_vec(source).map_or(0, |bytes| bytes.len());
        }
        let depth = path.tokens().count() + source.map_or(0, tree::depth);
        if n_copied > COPIED_BYTES || depth > DEPTH_MAX {
            return Err(too_large());
        }
        json_patch::patch_unsafe(&mut wanted, std::slice::from_ref(operation)).map_err(|error| {
            let message = format!("the server rejected our request due to an error in our request: {error}");
            Failure::new(Reason::Invalid, message).of(&target.resource, &target.name)
        })?;
    }
    Ok(wanted)
}

/// Operations of one patch, as a Kubernetes server takes.
const OPERATIONS_MAX: usize = 10_000;
/// What the operations of one patch may copy and move, in JSON.
const COPIED_BYTES: usize = 3 * 1024 * 1024;
/// Nesting that a patch may make.
const DEPTH_MAX: usize = 128;
