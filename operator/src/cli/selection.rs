//! Which objects a verb is about: `KIND[/NAME]…`, `-n`, `-A`, as kubectl spells them.

use igw_crds::objects::Kind;
use serde_json::Value;

use super::{Exit, Failure};
use crate::output::rows::text;

/// The arguments that choose objects.
#[derive(Debug, clap::Args)]
pub struct SelectionArgs {
    /// KIND, KIND/NAME, KIND,KIND, `all`, or KIND NAME…
    #[arg(required = true, value_name = "KIND[/NAME]")]
    objects: Vec<String>,
    /// Namespace
    #[arg(short, long, value_name = "NS", env = "OSVC_NAMESPACE", default_value = "default")]
    namespace: String,
    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Selection {
    /// Kinds in the order of the command line, each with the names asked for; none = all.
    pub parts: Vec<Part>,
    /// The namespace; `None` = all.
    pub namespace: Option<String>,
}

/// One kind of a selection.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The kind.
    pub kind: Kind,
    /// Names; empty = all.
    pub names: Vec<String>,
}

// === impl SelectionArgs ===

impl SelectionArgs {
    /// Understands the arguments.
    ///
    /// # Errors
    /// [`Exit::Usage`] for a kind that nobody knows, or names without a kind.
    pub fn parse(&self) -> Result<Selection, Failure> {
        let namespace = (!self.all_namespaces).then(|| self.namespace.clone());
        let parts = if self.objects.iter().any(|object| object.contains('/')) {
            self.slashed()?
        } else {
            let (kinds, names) = self.objects.split_first().ok_or_else(no_kind)?;
            let kinds = kinds_of(kinds)?;
            kinds.into_iter().map(|kind| Part { kind, names: names.to_vec() }).collect()
        };
        if self.all_namespaces && parts.iter().any(|part| !part.names.is_empty()) {
            return Err(Failure::new(
                Exit::Usage,
                "a name is looked for in one namespace: give -n NS, not -A",
            ));
        }
        Ok(Selection { parts, namespace })
    }

    fn slashed(&self) -> Result<Vec<Part>, Failure> {
        let mut parts: Vec<Part> = Vec::new();
        for object in &self.objects {
            let Some((kind, name)) = object.split_once('/').filter(|(_, name)| !name.is_empty()) else {
                let message = format!("{object}: write KIND/NAME for each object, or KIND NAME NAME");
                return Err(Failure::new(Exit::Usage, message));
            };
            let kind = kind_of(kind)?;
            match parts.iter_mut().find(|part| part.kind == kind) {
                Some(part) => part.names.push(name.to_owned()),
                None => parts.push(Part { kind, names: vec![name.to_owned()] }),
            }
        }
        Ok(parts)
    }
}

// === impl Selection ===

impl Selection {
    /// The objects of one part, and the names that are missing.
    pub fn pick<'a>(&self, part: &'a Part, objects: &'a [Value]) -> (Vec<&'a Value>, Vec<&'a str>) {
        let of_kind = |object: &&Value| {
            text(object, "/kind") == part.kind.as_str()
                && (!part.kind.is_namespaced()
                    || self
                        .namespace
                        .as_deref()
                        .is_none_or(|namespace| text(object, "/metadata/namespace") == namespace))
        };
        let candidates: Vec<&Value> = objects.iter().filter(of_kind).collect();
        if part.names.is_empty() {
            return (candidates, Vec::new());
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for name in &part.names {
            match candidates.iter().find(|object| text(object, "/metadata/name") == name) {
                Some(object) => found.push(*object),
                None => missing.push(name.as_str()),
            }
        }
        (found, missing)
    }
}

/// The kind of a spelling.
///
/// # Errors
/// [`Exit::Usage`], naming the kinds there are.
pub fn kind_of(text: &str) -> Result<Kind, Failure> {
    Kind::parse(text).ok_or_else(|| {
        let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.singular()).collect();
        Failure::new(Exit::Usage, format!("there is no kind \"{text}\"; known kinds: {}", known.join(", ")))
    })
}

fn kinds_of(text: &str) -> Result<Vec<Kind>, Failure> {
    if text.eq_ignore_ascii_case("all") {
        return Ok(Kind::ALL.to_vec());
    }
    text.split(',').map(kind_of).collect()
}

fn no_kind() -> Failure {
    Failure::new(Exit::Usage, "name a kind")
}
