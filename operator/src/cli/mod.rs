//! The command line: verbs, flags, exit codes.
//!
//! Standard output carries what was asked for, standard error everything else. Exit codes: 0 done and ready,
//! 1 not ready or failed, 2 usage, 3 invalid input, 4 cluster or store unreachable.

mod apply;
mod cert;
mod completion;
mod connection;
mod delete;
mod describe;
mod explain;
mod get;
mod kubeconfig;
mod log;
mod operator;
mod render;
mod schema;
mod selection;
mod status;
mod target;
mod token;
mod up;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::text::complain;

/// Ingress gateway for OpenSVC clusters: Gateway API objects in, traffic out.
#[derive(Debug, Parser)]
#[command(name = "igw", version, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Not ready, no match, not found, or failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The input is invalid.
    Invalid = 3,
    /// Nothing answers.
    Unreachable = 4,
}

/// Why a verb failed.
#[derive(Debug)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// What is wrong and what to do next, for people.
    pub message: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a gateway on this machine from a directory of objects.
    Up(up::UpArgs),
    /// Watch a cluster's objects and run its gateways.
    Operator(operator::OperatorArgs),
    /// Compile objects into the files that `igw-proxy --snapshot` serves.
    Render(render::RenderArgs),
    /// Check objects, offline, and say everything that is wrong with them.
    Validate(validate::ValidateArgs),
    /// Say which rule a request meets, where it goes, and why the others lost.
    Explain(explain::ExplainArgs),
    /// Store objects in a cluster.
    Apply(apply::ApplyArgs),
    /// Show what apply would change; exit code 1 if anything.
    Diff(apply::SourceArgs),
    /// Delete objects from a cluster.
    Delete(delete::DeleteArgs),
    /// Show how all gateways fare.
    Status(status::StatusArgs),
    /// Print the addresses of a gateway.
    Ip(status::IpArgs),
    /// List objects and their states.
    Get(get::GetArgs),
    /// Show objects with their conditions in words.
    Describe(describe::DescribeArgs),
    /// Print the configuration with which kubectl reaches an `igw up --kube`, or the operator of a cluster.
    Kubeconfig(kubeconfig::KubeconfigArgs),
    /// Print a token of a cluster as kubectl wants it from a credential plugin.
    Token(token::TokenArgs),
    /// Certificates: list, show, renew, make.
    Cert(cert::CertArgs),
    /// Print the JSON Schema of a kind.
    Schema(schema::SchemaArgs),
    /// Print a completion script for a shell.
    Completion(completion::CompletionArgs),
}

/// Parses the command line and runs the verb.
pub fn run() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Up(args) => up::run(args),
        Verb::Operator(args) => operator::run(args),
        Verb::Render(args) => render::run(&args),
        Verb::Validate(args) => validate::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Apply(args) => apply::apply(&args),
        Verb::Diff(args) => apply::diff(&args),
        Verb::Delete(args) => delete::delete(&args),
        Verb::Status(args) => status::status(&args),
        Verb::Ip(args) => status::ip(&args),
        Verb::Get(args) => get::run(&args),
        Verb::Describe(args) => describe::run(&args),
        Verb::Kubeconfig(args) => kubeconfig::run(&args),
        Verb::Token(args) => token::run(&args),
        Verb::Cert(args) => cert::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Completion(args) => completion::run(&args),
    };
    let exit = done.unwrap_or_else(|failure| {
        complain(&format!("igw: {}\n", failure.message));
        failure.exit
    });
    ExitCode::from(exit as u8)
}

// === impl Failure ===

impl Failure {
    /// A failure with its exit code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Failed, format!("{error:#}"))
    }
}

impl From<igw_opensvc::Error> for Failure {
    fn from(error: igw_opensvc::Error) -> Self {
        use igw_opensvc::Error;
        let exit = match error {
            Error::Unreachable { .. }
            | Error::Timeout { .. }
            | Error::Lost { .. }
            | Error::Unauthorized { .. } => Exit::Unreachable,
            _ => Exit::Failed,
        };
        let hint = match exit {
            Exit::Unreachable => "; name the cluster with --socket or --server, and see that its agent runs",
            _ => "",
        };
        Self::new(exit, format!("{error}{hint}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
