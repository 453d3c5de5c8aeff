//! Patches that know lists by the keys of their items.

pub(crate) mod apply;
pub(crate) mod strategic;
