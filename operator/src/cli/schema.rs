//! `igw schema`: the JSON Schema of a kind.

use super::selection::kind_of;
use super::{Exit, Failure};
use crate::output::text::emit;

/// Arguments of `igw schema`.
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// The kind, as in `igw get`
    #[arg(value_name = "KIND")]
    kind: String,
}

/// Prints the schema.
///
/// # Errors
/// [`Exit::Usage`] for a kind that nobody knows.
pub fn run(args: &SchemaArgs) -> Result<Exit, Failure> {
    let kind = kind_of(&args.kind)?;
    let schema = igw_crds::schema::schema(kind);
    emit(&format!("{schema:#}\n"))?;
    Ok(Exit::Done)
}
