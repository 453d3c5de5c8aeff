//! Bodies in protobuf: what clients with compiled kinds send unless they are told not to.

use bytes::Bytes;
use serde_json::Value;

use crate::failure::{Failure, Reason};

/// Reads a body in protobuf.
pub(crate) fn document(_: &Bytes) -> Result<Value, Failure> {
    let message = "the body of the request was in an unknown format - accepted media types include: \
                   application/json, application/yaml; with kubectl, add `--dry-run=client -o yaml` and pass the \
                   result to `kubectl apply -f -`";
    Err(Failure::new(Reason::UnsupportedMediaType, message))
}
