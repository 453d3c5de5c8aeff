//! `igw token`: a token of the cluster for kubectl, which runs this as its credential plugin.

use igw_opensvc::TokenRequest;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::apply::run as run_verb;
use super::connection::ConnectionArgs;
use super::{Exit, Failure};
use crate::output::text::emit;

/// Arguments of `igw token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Prints it.
///
/// # Errors
/// The cluster's; credentials that no token comes of.
pub fn run(args: &TokenArgs) -> Result<Exit, Failure> {
    run_verb(async {
        let client = args.connection.client()?;
        let mut status = json!({});
        let token = match client.access_token().await? {
            Some(token) => token,
            // Whoever may use the socket of the agent may have a token; others are told why not.
            None => {
                let made = client.create_token(&TokenRequest::default()).await?;
                if let Some(end) = made.access_expired_at {
                    status["expirationTimestamp"] = end.to_string().into();
                }
                made.access_token
            }
        };
        status["token"] = token.expose_secret().into();
        let credential = json!({
            "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status,
        });
        emit(&format!("{credential}\n"))?;
        Ok(Exit::Done)
    })
}
