//! Where accounts, certificates and the book rest: the state folder of an `igw up`, or a cluster.

use std::future::Future;

use super::made::Values;
use super::record::Book;
use crate::certificates::vault::Place;

/// A Secret that is there.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its values.
    pub values: Values,
    /// It is igw's: new values may take the place of these.
    pub is_ours: bool,
}

/// Keeps what the certificates' reconciler knows and makes.
pub trait Shelf: Send + Sync + 'static {
    /// A Secret; nothing if there is none.
    ///
    /// # Errors
    /// Says why nobody can tell.
    fn secret(&self, place: &Place) -> impl Future<Output = Result<Option<Stored>, String>> + Send;

    /// A value of a ConfigMap.
    ///
    /// # Errors
    /// As [`Shelf::secret`].
    fn config(
        &self,
        place: &Place,
        name: &str,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, String>> + Send;

    /// Puts values in place of those of a Secret, all at once. The caller has seen that it may.
    ///
    /// # Errors
    /// Says why they are not kept.
    fn put(&self, place: &Place, values: &Values) -> impl Future<Output = Result<(), String>> + Send;

    /// The book that an earlier run left; what of it cannot be read begins anew.
    ///
    /// # Errors
    /// Says why nobody can tell.
    fn book(&self) -> impl Future<Output = Result<Book, String>> + Send;

    /// Keeps the book.
    ///
    /// # Errors
    /// Says why it is not kept.
    fn keep_book(&self, book: &Book) -> impl Future<Output = Result<(), String>> + Send;
}
