//! What a kind is to clients.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::admission::Admission;
use crate::column::Column;
use crate::failure::Failure;
use crate::list_keys::ListKeys;
use crate::reply::Body;
use crate::request::Query;
use crate::source::Source;

/// A kind that is served.
pub struct Resource {
    /// Group; empty for the core group.
    pub group: Arc<str>,
    /// Versions, the preferred one first; objects are stored in it.
    pub versions: Vec<Arc<str>>,
    /// Kind, like `HTTPRoute`.
    pub kind: Arc<str>,
    /// Plural in lower case, as in paths.
    pub plural: Arc<str>,
    /// Singular in lower case.
    pub singular: Arc<str>,
    /// Short names of kubectl.
    pub short_names: Vec<Arc<str>>,
    /// Groups of kinds that kubectl can list at once.
    pub categories: Vec<Arc<str>>,
    /// Where objects live.
    pub scope: Scope,
    /// Which rules of Kubernetes hold.
    pub style: Style,
    /// What may be done.
    pub verbs: Verbs,
    /// Status is a part of its own, written at a path of its own.
    pub has_status: bool,
    /// OpenAPI schema of an object, without apiVersion, kind and metadata.
    pub schema: Value,
    /// Columns of tables, after the name.
    pub columns: Vec<Column>,
    /// Lists whose items have keys.
    pub list_keys: ListKeys,
    /// Judges content.
    pub admission: Arc<dyn Admission>,
    /// Paths below an object that something else answers, by name.
    pub subresources: Vec<(Arc<str>, Arc<dyn Subresource>)>,
    /// Who keeps the objects, if not the owner of the store: they are looked up whenever a client asks.
    pub source: Option<Arc<dyn Source>>,
    /// Place in the registry, which the registry sets.
    pub id: usize,
}

/// Where objects live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the whole cluster.
    Cluster,
    /// In namespaces.
    Namespaced,
}

/// Which rules of Kubernetes hold for a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Those of kinds that are compiled into Kubernetes: strategic merge patches, replacement without a version.
    Core,
    /// Those of kinds that are added to it.
    Custom,
}

/// What may be done with objects of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbs {
    /// Everything.
    All,
    /// Reading.
    Read,
}

/// Answers a path below an object, like the log of a pod.
pub trait Subresource: Send + Sync {
    /// The answer to a GET.
    fn get<'a>(
        &'a self,
        object: &'a Value,
        query: &'a Query,
    ) -> BoxFuture<'a, Result<hyper::Response<Body>, Failure>>;
}

// === impl Resource ===

impl Resource {
    /// A kind with one version of everything that is usual: all verbs, no status, any content.
    #[must_use]
    pub fn new(group: &str, version: &str, kind: &str, plural: &str, scope: Scope) -> Self {
        Self {
            group: group.into(),
            versions: vec![version.into()],
            kind: kind.into(),
            plural: plural.into(),
            singular: kind.to_lowercase().into(),
            short_names: Vec::new(),
            categories: Vec::new(),
            scope,
            style: Style::Custom,
            verbs: Verbs::All,
            has_status: false,
            schema: serde_json::json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
            columns: vec![Column::age()],
            list_keys: ListKeys::default(),
            admission: Arc::new(crate::admission::Open),
            subresources: Vec::new(),
            source: None,
            id: 0,
        }
    }

    /// Objects live in namespaces.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// The version that is stored.
    #[must_use]
    pub fn stored_version(&self) -> &str {
        self.versions.first().map_or("", |version| version)
    }

    /// `apiVersion` of objects in a version.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        match self.group.as_ref() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }

    /// Plural and group as messages name them.
    #[must_use]
    pub fn qualified(&self) -> String {
        match self.group.as_ref() {
            "" => self.plural.to_string(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// Names of verbs.
    #[must_use]
    pub fn verb_names(&self) -> &'static [&'static str] {
        match self.verbs {
            Verbs::All => {
                &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
            }
            Verbs::Read => &["get", "list", "watch"],
        }
    }
}
