//! Who asks, and what they may do. The owner of the objects decides both.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::failure::Failure;

/// Somebody who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name, as messages show it.
    pub name: Arc<str>,
    /// The token that was shown, for owners that act in the user's name.
    pub token: Option<Token>,
}

/// A token. It never shows in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

/// What is known of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who may use the door.
    #[default]
    Anybody,
    /// The holder of a certificate, in DER, which the door has verified.
    Certified(Arc<[u8]>),
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act<'a> {
    /// Like `get`, `list`, `create`.
    pub verb: &'static str,
    /// Group of the kind.
    pub group: &'a str,
    /// Plural of the kind.
    pub plural: &'a str,
    /// Path below the object, or empty.
    pub subresource: &'a str,
    /// Namespace; empty for all, or for kinds of the whole cluster.
    pub namespace: &'a str,
    /// Name; empty for all.
    pub name: &'a str,
}

/// Decides who somebody is and what they may do.
pub trait Access: Send + Sync {
    /// Who it is. Discovery and versions are told to everybody who is somebody.
    fn user<'a>(&'a self, caller: &'a Caller, token: Option<&'a str>)
    -> BoxFuture<'a, Result<User, Failure>>;

    /// Whether they may. Reading Secrets is reading their values.
    fn may<'a>(&'a self, user: &'a User, act: &'a Act<'a>) -> BoxFuture<'a, bool>;
}

/// Everybody who reaches the door may do everything: for loopback and Unix sockets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everybody;

// === impl User ===

impl User {
    /// Somebody without a token.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), token: None }
    }
}

// === impl Token ===

impl Token {
    /// A token.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Its text, for those who must show it to somebody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

// === impl Everybody ===

impl Access for Everybody {
    fn user<'a>(&'a self, _: &'a Caller, token: Option<&'a str>) -> BoxFuture<'a, Result<User, Failure>> {
        let user = User { name: "local".into(), token: token.map(Token::new) };
        Box::pin(async move { Ok(user) })
    }

    fn may<'a>(&'a self, _: &'a User, _: &'a Act<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async { true })
    }
}
