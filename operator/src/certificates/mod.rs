//! Certificates with their keys: looked at before they are used, kept while what replaces them is broken.

pub mod authorities;
pub mod pair;
pub mod pem;
pub mod sessions;
pub mod vault;
