//! `igw delete`: delete objects from a cluster.

use std::collections::BTreeMap;

use igw_crds::objects::ObjectKey;

use super::apply::{run, store};
use super::connection::ConnectionArgs;
use super::selection::SelectionArgs;
use super::{Exit, Failure};
use crate::cluster::plan::{Stock, home};
use crate::output::text::complain;

/// Arguments of `igw delete`.
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Delete also what somebody else changed meanwhile
    #[arg(long)]
    force: bool,
}

/// Deletes the objects.
///
/// # Errors
/// Usage; what the cluster refuses.
pub fn delete(args: &DeleteArgs) -> Result<Exit, Failure> {
    let selection = args.selection.parse()?;
    let Some(namespace) = selection.namespace.as_deref() else {
        return Err(Failure::new(Exit::Usage, "objects are deleted in one namespace: give -n NS, not -A"));
    };
    if selection.parts.iter().any(|part| part.names.is_empty()) {
        return Err(Failure::new(Exit::Usage, "name what is to be deleted: KIND/NAME, or KIND NAME NAME"));
    }
    let mut by_home: BTreeMap<String, Vec<ObjectKey>> = BTreeMap::new();
    for part in &selection.parts {
        for name in &part.names {
            let key = ObjectKey::new(part.kind, namespace, name);
            by_home.entry(home(&key).to_owned()).or_default().push(key);
        }
    }
    run(async {
        let client = args.connection.client()?;
        let mut exit = Exit::Done;
        for (home, keys) in &by_home {
            let (plan, missing) = Stock::load(&client, home).await?.delete(keys);
            for key in missing {
                complain(&format!("igw: {} \"{}\" not found\n", key.kind.plural(), key.name));
                exit = Exit::Failed;
            }
            store(&client, &plan, args.force).await?;
        }
        Ok(exit)
    })
}
