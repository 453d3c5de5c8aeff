//! From an object and a patch to another object.

pub(crate) mod apply;
pub(crate) mod operations;
pub(crate) mod strategic;
