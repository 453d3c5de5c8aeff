//! The file that stores an object, and its keywords (§5.1).
//!
//! The daemon normalises what it stores and adds an `id`, so texts are never compared to find a difference (§1.3).

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;

use crate::client::Client;
use crate::error::Error;
use crate::model::{KeywordItem, List};
use crate::path::ObjectPath;
use crate::request::{Answer, Area, OCTETS, Request};

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// INI text.
    pub text: Bytes,
    /// The file's time, to the nanosecond.
    pub modified: Option<Timestamp>,
    /// The same in whole seconds and the words of HTTP, to ask again with.
    pub last_modified: Option<String>,
}

/// How keywords are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Evaluate<'a> {
    /// As they are written.
    #[default]
    No,
    /// With references resolved, by the node that answers.
    Here,
    /// With references resolved, as that node would.
    As(&'a str),
}

/// Changes of keywords, done in this order: sections deleted, keywords unset, keywords set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeywordChanges {
    /// Sections to delete.
    pub delete: Vec<String>,
    /// Keywords to unset, `section.option`.
    pub unset: Vec<String>,
    /// `keyword=value`, and the operators `+=`, `-=`, `|=`, `^=`, `[n]=`.
    pub set: Vec<String>,
}

#[derive(Deserialize)]
struct Changed {
    is_changed: bool,
}

// === impl Client ===

impl Client {
    /// Creates an object from INI text: `POST {O}/config/file`. The daemon knows it some 0.2 s later, all nodes of
    /// its scope some 0.5 s later.
    ///
    /// # Errors
    ///
    /// [`Error::ObjectExists`]; [`Error::Invalid`] and [`Error::Denied`] for contents; see [`Error`].
    pub async fn create(&self, path: &ObjectPath, text: Bytes) -> Result<(), Error> {
        let request = Request::object(Method::POST, Area::Stored, path, &["config", "file"]);
        self.write(&request.with_body(OCTETS, text)).await
    }

    /// Replaces the file of an object, damaged ones too: `PUT {O}/config/file`. Running resources are not touched.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownObject`], also for half a second after its creation; as [`Client::create`]; see [`Error`].
    pub async fn replace(&self, path: &ObjectPath, text: Bytes) -> Result<(), Error> {
        let request = Request::object(Method::PUT, Area::Stored, path, &["config", "file"]);
        self.write(&request.with_body(OCTETS, text)).await
    }

    /// Reads the file of an object: `GET {O}/config/file`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownObject`]; see [`Error`].
    pub async fn stored(&self, path: &ObjectPath) -> Result<StoredFile, Error> {
        let request = Request::object(Method::GET, Area::Stored, path, &["config", "file"]);
        Ok(StoredFile::from(self.fetch(&request).await?))
    }

    /// Reads the file of an object if it is not from the second named by an earlier answer. `None`: it is. A cheap
    /// question, but two writes within one second look like one.
    ///
    /// # Errors
    ///
    /// As [`Client::stored`].
    pub async fn stored_since(
        &self,
        path: &ObjectPath,
        last_modified: &str,
    ) -> Result<Option<StoredFile>, Error> {
        let request = Request::object(Method::GET, Area::Stored, path, &["config", "file"])
            .with_header("if-modified-since", last_modified);
        let answer = self.fetch(&request).await?;
        Ok((answer.status != 304).then(|| StoredFile::from(answer)))
    }

    /// Reads the file of an object from the disk of one node: `GET {I}/config/file`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownInstance`], [`Error::UnknownNode`]; see [`Error`].
    pub async fn stored_on(&self, node: &str, path: &ObjectPath) -> Result<StoredFile, Error> {
        let request = Request::instance(Method::GET, node, path, &["config", "file"]);
        Ok(StoredFile::from(self.fetch(&request).await?))
    }

    /// Reads keywords, all of them if none is named: `GET {O}/config?kw=`. An object that is not known has none.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn keywords(
        &self,
        path: &ObjectPath,
        names: &[&str],
        evaluate: Evaluate<'_>,
    ) -> Result<Vec<KeywordItem>, Error> {
        let mut request = Request::object(Method::GET, Area::Stored, path, &["config"]);
        for name in names {
            request = request.with_query("kw", *name);
        }
        request = match evaluate {
            Evaluate::No => request,
            Evaluate::Here => request.with_query("evaluate", "true"),
            Evaluate::As(node) => request.with_query("evaluate", "true").with_query("impersonate", node),
        };
        Ok(self.read::<List<KeywordItem>>(&request).await?.items)
    }

    /// Changes keywords and says whether that changed anything: `PATCH {O}/config?set=…&unset=…&delete=…`. Keywords
    /// the daemon does not know are accepted.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] and [`Error::Denied`] for contents; [`Error::UnknownObject`]; see [`Error`].
    pub async fn change_keywords(&self, path: &ObjectPath, changes: &KeywordChanges) -> Result<bool, Error> {
        let mut request = Request::object(Method::PATCH, Area::Stored, path, &["config"]);
        for (name, values) in [("set", &changes.set), ("unset", &changes.unset), ("delete", &changes.delete)]
        {
            for value in values {
                request = request.with_query(name, value);
            }
        }
        Ok(self.read::<Changed>(&request).await?.is_changed)
    }
}

// === impl StoredFile ===

impl From<Answer> for StoredFile {
    fn from(answer: Answer) -> Self {
        let modified = answer.modified.as_deref().and_then(|text| text.parse().ok());
        Self { text: answer.body, modified, last_modified: answer.last_modified }
    }
}
