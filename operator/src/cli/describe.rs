//! `igw describe`: objects with their conditions in words.

use super::selection::SelectionArgs;
use super::target::TargetArgs;
use super::{Exit, Failure};
use crate::output::description::description;
use crate::output::text::{complain, emit};

/// Arguments of `igw describe`.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Describes the objects.
///
/// # Errors
/// Usage, a target that does not answer, standard output's.
pub fn run(args: &DescribeArgs) -> Result<Exit, Failure> {
    let selection = args.selection.parse()?;
    let listing = args.target.listing_of(selection.namespace.as_deref())?;
    let mut pages = Vec::new();
    let mut exit = Exit::Done;
    for part in &selection.parts {
        let (found, missing) = selection.pick(part, &listing.objects);
        for name in missing {
            complain(&format!("igw: {} \"{name}\" not found\n", part.kind.plural()));
            exit = Exit::Failed;
        }
        pages.extend(found.into_iter().map(|object| description(object, &listing)));
    }
    if pages.is_empty() && exit == Exit::Done {
        complain("No resources found.\n");
    }
    emit(&pages.join("\n\n"))?;
    Ok(exit)
}
