//! `igw get`: list objects and their states.

use std::collections::BTreeMap;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::selection::{Selection, SelectionArgs};
use super::target::TargetArgs;
use super::{Exit, Failure};
use crate::objects::listing::{Listing, Severity};
use crate::output::rows::{TableForm, table, text};
use crate::output::text::{complain, emit};
use crate::output::yaml;

/// Arguments of `igw get`.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
    /// Go on, and show each object again when it changes
    #[arg(short, long)]
    watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table per kind.
    Table,
    /// A table with more columns.
    Wide,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// `<kind>.<group>/<name>`, one per line.
    Name,
}

/// Lists the objects.
///
/// # Errors
/// Usage, a target that does not answer, standard output's.
pub fn run(args: &GetArgs) -> Result<Exit, Failure> {
    let selection = args.selection.parse()?;
    let listing = args.target.listing_of(selection.namespace.as_deref())?;
    let exit = show(args, &selection, &listing)?;
    if !args.watch {
        return Ok(exit);
    }
    let mut before = seen(&selection, &listing);
    args.target.follow(selection.namespace.as_deref(), |listing| {
        let now = seen(&selection, &listing);
        for (key, object) in now.iter().filter(|(key, object)| before.get(*key) != Some(object)) {
            let form = TableForm {
                namespace: selection.namespace.is_none() && !key.1.is_empty(),
                kind: selection.parts.len() > 1,
                wide: args.output == Form::Wide,
                now: Timestamp::now(),
            };
            emit(&match args.output {
                // The header has been shown.
                Form::Table | Form::Wide => {
                    table(&[object], form).lines().skip(1).map(|line| format!("{line}\n")).collect()
                }
                Form::Yaml => format!("---\n{}", yaml::document(object)),
                Form::Json => format!("{object:#}\n"),
                Form::Name => name_line(object),
            })?;
        }
        for key in before.keys().filter(|key| !now.contains_key(*key)) {
            complain(&format!("igw: {} {} is gone\n", key.0.to_lowercase(), key.2));
        }
        before = now;
        Ok(())
    })
}

/// The objects of a selection by kind, namespace and name.
fn seen(selection: &Selection, listing: &Listing) -> BTreeMap<(String, String, String), Value> {
    let found = selection.parts.iter().flat_map(|part| selection.pick(part, &listing.objects).0);
    let key = |object: &Value| {
        let of = |pointer: &str| text(object, pointer).to_owned();
        (of("/kind"), of("/metadata/namespace"), of("/metadata/name"))
    };
    found.map(|object| (key(object), object.clone())).collect()
}

fn show(args: &GetArgs, selection: &Selection, listing: &Listing) -> Result<Exit, Failure> {
    let mut page = String::new();
    let mut items: Vec<&Value> = Vec::new();
    let mut exit = Exit::Done;
    let n_kinds = selection.parts.len();
    for part in &selection.parts {
        let (found, missing) = selection.pick(part, &listing.objects);
        for name in missing {
            complain(&format!("igw: {} \"{name}\" not found\n", part.kind.plural()));
            exit = Exit::Failed;
        }
        if matches!(args.output, Form::Table | Form::Wide) && !found.is_empty() {
            if !page.is_empty() {
                page.push('\n');
            }
            let form = TableForm {
                namespace: selection.namespace.is_none() && part.kind.is_namespaced(),
                kind: n_kinds > 1,
                wide: args.output == Form::Wide,
                now: Timestamp::now(),
            };
            page.push_str(&table(&found, form));
        }
        items.extend(found);
    }
    match args.output {
        Form::Table | Form::Wide if items.is_empty() && exit == Exit::Done => {
            let place = selection
                .namespace
                .as_ref()
                .map_or_else(String::new, |namespace| format!(" in {namespace} namespace"));
            complain(&format!("No resources found{place}.\n"));
        }
        Form::Table | Form::Wide => {}
        Form::Yaml => page = yaml::document(&one_or_list(&items, &selection.parts)),
        Form::Json => page = format!("{:#}\n", one_or_list(&items, &selection.parts)),
        Form::Name => page = items.iter().map(|object| name_line(object)).collect(),
    }
    if matches!(args.output, Form::Table | Form::Wide) {
        complain_of_errors(listing);
    }
    emit(&page)?;
    Ok(exit)
}

/// Says what is not taken as written, so that a table does not look better than things are.
fn complain_of_errors(listing: &Listing) {
    let errors: Vec<_> = listing.notices.iter().filter(|notice| notice.severity == Severity::Error).collect();
    for notice in errors.iter().take(MAX_ERRORS) {
        complain(&format!("igw: {}\n", notice.line()));
    }
    if errors.len() > MAX_ERRORS {
        complain(&format!(
            "igw: and {} more errors; igw validate lists them all\n",
            errors.len() - MAX_ERRORS
        ));
    }
}

/// One object where one was asked for by name, else a list, as kubectl does.
fn one_or_list(items: &[&Value], parts: &[super::selection::Part]) -> Value {
    let asked_for_one = parts.len() == 1 && parts.iter().all(|part| part.names.len() == 1);
    match items {
        [one] if asked_for_one => (*one).clone(),
        _ => json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}),
    }
}

fn name_line(object: &Value) -> String {
    let kind = text(object, "/kind").to_lowercase();
    let name = text(object, "/metadata/name");
    match text(object, "/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{name}\n"),
        None => format!("{kind}/{name}\n"),
    }
}

/// Errors that are printed below a table; the rest is counted.
const MAX_ERRORS: usize = 20;
