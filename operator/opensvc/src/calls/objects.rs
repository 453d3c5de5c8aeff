//! Objects and lists of them (§5.1). Lists have no order; a list right after a daemon start is empty or partial
//! (§15.8), and objects of lost nodes are missing in it (§15.7).

use reqwest::Method;
use tracing::debug;

use crate::client::{Client, unparsed};
use crate::error::Error;
use crate::model::{List, ObjectItem, RawObjectItem};
use crate::path::ObjectPath;
use crate::request::{Area, Request};

// === impl Client ===

impl Client {
    /// Lists the paths that a selector names and we may see: `GET /api/object/path?path=`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownObject`] when the selector is one exact path that the daemon does not know; see [`Error`].
    pub async fn paths(&self, selector: &str) -> Result<Vec<ObjectPath>, Error> {
        let request =
            Request::new(Method::GET, Area::Object, ["api", "object", "path"]).with_query("path", selector);
        let texts: Vec<String> = self.read(&request).await?;
        Ok(texts.iter().filter_map(|text| known(text)).collect())
    }

    /// Lists objects with state and instances: `GET /api/object?path=`. One call says which objects changed, by
    /// their checksums.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn objects(&self, selector: &str) -> Result<Vec<ObjectItem>, Error> {
        let request = Request::new(Method::GET, Area::Object, ["api", "object"]).with_query("path", selector);
        let answer = self.fetch(&request).await?;
        let list: List<RawObjectItem<'_>> =
            serde_json::from_slice(&answer.body).map_err(|error| unparsed(&request, &answer, &error))?;
        let mut items = Vec::with_capacity(list.items.len());
        for raw in list.items {
            if let Some(path) = known(&raw.meta.object) {
                items.push(raw.into_item(path).map_err(|error| unparsed(&request, &answer, &error))?);
            }
        }
        Ok(items)
    }

    /// Reads one object: `GET /api/object/path/{ns}/{kind}/{name}`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownObject`], also where we lack the grant to see it; see [`Error`].
    pub async fn object(&self, path: &ObjectPath) -> Result<ObjectItem, Error> {
        let request = Request::object(Method::GET, Area::Object, path, &[]);
        let answer = self.fetch(&request).await?;
        let raw: RawObjectItem<'_> =
            serde_json::from_slice(&answer.body).map_err(|error| unparsed(&request, &answer, &error))?;
        raw.into_item(path.clone()).map_err(|error| unparsed(&request, &answer, &error))
    }
}

/// A path of a list; one that breaks the rules of paths can be named by no call, and is left out.
pub(crate) fn known(text: &str) -> Option<ObjectPath> {
    match text.parse() {
        Ok(path) => Some(path),
        Err(error) => {
            debug!(%error, "object left out of a list");
            None
        }
    }
}
