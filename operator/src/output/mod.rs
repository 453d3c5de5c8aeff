//! What people and scripts read: tables, documents, diagnostics.

pub mod description;
pub mod diagnostics;
pub mod page;
pub mod rows;
pub mod table;
pub mod text;
pub mod yaml;
