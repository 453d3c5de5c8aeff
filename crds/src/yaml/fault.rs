//! What sort of mistake a finding tells of, for callers that must name it in words of their own.

/// Sort of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A field that the kind does not have.
    UnknownField,
    /// A field that must be there.
    Missing,
    /// A word that is not among those that are allowed.
    Unsupported,
    /// A value of another type.
    Type,
    /// Fewer items, or less text, than must be.
    TooFew,
    /// More items than are allowed.
    TooMany,
    /// More text than is allowed.
    TooLong,
    /// Something that stands twice.
    Duplicate,
    /// Any other rule.
    Invalid,
}
