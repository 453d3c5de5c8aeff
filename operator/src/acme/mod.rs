//! Certificates that renew themselves: ACME (RFC 8555), and certificates that sign themselves.
//!
//! ```text
//! objects --(compile::issued)--> wishes --(plan: what next?)--> step --(job: a few requests)--> gain --(settle)--> book
//!                                            ^                                                                  |
//!                                            +------------------------------------------------------------------+
//! ```
//!
//! `plan` and `settle` are pure; `runner` keeps the book and has `job`s done. Where things rest is a `shelf`'s matter.

pub mod authority;
pub mod documents;
pub mod exchange;
pub mod issuers;
pub mod job;
pub mod jose;
pub mod made;
pub mod plan;
pub mod record;
pub mod runner;
pub mod settle;
pub mod shelf;
pub mod standing;
pub mod trouble;
mod trust;
pub mod update;
