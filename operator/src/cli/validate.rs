//! `igw validate`: check objects, offline, and say everything that is wrong with them.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::json;

use super::{Exit, Failure};
use crate::objects::listing::Severity;
use crate::output::diagnostics::Texts;
use crate::output::text::{complain, emit};
use crate::standalone::offline::{Offline, STDIN};

/// Arguments of `igw validate`.
#[derive(Debug, clap::Args)]
pub struct ValidateArgs {
    /// File, folder, or - for standard input; may be repeated
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", required_unless_present = "paths")]
    filename: Vec<PathBuf>,
    /// Files and folders, as with -f
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Cluster name that completes service names
    #[arg(long, value_name = "NAME", env = "CLUSTERNAME", default_value = "default", value_parser = super::up::parse_cluster)]
    cluster: String,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Words and lines of the files, on standard error.
    Text,
    /// JSON, on standard output.
    Json,
}

/// Checks and prints.
///
/// # Errors
/// Standard input's and output's.
pub fn run(args: &ValidateArgs) -> Result<Exit, Failure> {
    let mut texts = Texts::default();
    let mut paths = Vec::new();
    let mut stdin = None;
    for path in args.filename.iter().chain(&args.paths) {
        if path == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text)?;
            texts.add(STDIN, text.clone());
            stdin = Some(text);
        } else {
            paths.push(path.clone());
        }
    }
    let offline = Offline::load(&paths, stdin.as_deref(), &args.cluster);
    let mut notices = offline.notices();
    notices.sort();
    let n_errors = notices.iter().filter(|notice| notice.severity == Severity::Error).count();
    let summary = format!(
        "{n_errors} errors, {} warnings in {} documents of {} files",
        notices.len() - n_errors,
        offline.gathered.n_documents,
        offline.gathered.n_files
    );
    match args.output {
        Form::Text => {
            for notice in &notices {
                complain(&format!("{}\n", texts.render(notice)));
            }
            complain(&format!("{summary}\n"));
        }
        Form::Json => {
            let result = json!({
                "errors": n_errors,
                "warnings": notices.len() - n_errors,
                "documents": offline.gathered.n_documents,
                "files": offline.gathered.n_files,
                "notices": notices,
            });
            emit(&format!("{result:#}\n"))?;
        }
    }
    Ok(if n_errors == 0 { Exit::Done } else { Exit::Invalid })
}
