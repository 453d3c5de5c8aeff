//! Why a message is refused. Every error names the rule that the message breaks.

use thiserror::Error;

/// A field line that breaks the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// A line begins with white space: the obsolete folding of a field over several lines.
    #[error("field folded over several lines")]
    Fold,
    /// A line begins with a colon.
    #[error("field without a name")]
    NameEmpty,
    /// White space stands between the name and its colon.
    #[error("white space before the colon of a field")]
    NameSpace,
    /// The name has a byte that is not a token byte, or the line has no colon.
    #[error("field name is not a token")]
    Name,
    /// The value has a control byte.
    #[error("control byte in a field value")]
    Value,
    /// A line ends with a line feed alone.
    #[error("line feed without a carriage return")]
    BareLineFeed,
    /// A carriage return is not followed by a line feed.
    #[error("carriage return without a line feed")]
    BareCarriageReturn,
    /// A Connection field lists something that is not a token.
    #[error("connection option is not a token")]
    ConnectionOption,
    /// Connection fields list more options than any honest sender does.
    #[error("too many connection options")]
    ConnectionOptions,
}

/// A message whose length cannot be told for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FramingError {
    /// Content-Length is not a decimal number.
    #[error("content-length is not a number")]
    Length,
    /// Content-Length is more than 2^63-1.
    #[error("content-length is too large")]
    LengthTooLarge,
    /// Content-Length is there more than once, or is a list.
    #[error("content-length is repeated")]
    LengthRepeated,
    /// Content-Length and Transfer-Encoding are both there.
    #[error("content-length and transfer-encoding together")]
    LengthAndCoding,
    /// Transfer-Encoding in HTTP/1.0.
    #[error("transfer-encoding in HTTP/1.0")]
    CodingVersion,
    /// Transfer-Encoding is not a list of tokens, or is there more than once.
    #[error("transfer-encoding is malformed or repeated")]
    Coding,
    /// Transfer-Encoding lists a coding other than `chunked`.
    #[error("transfer coding is not known")]
    CodingUnknown,
}

/// A request that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The request line does not begin with a method, or more than one empty line stands before it.
    #[error("method is not a token")]
    Method,
    /// The request target has a control byte, a byte that is not ASCII, or is empty.
    #[error("invalid byte in the request target")]
    Target,
    /// The request target has a fragment.
    #[error("fragment in the request target")]
    TargetFragment,
    /// The request target is in none of the forms that its method allows.
    #[error("form of the request target is not allowed here")]
    TargetForm,
    /// The authority of the request target is not valid.
    #[error("invalid authority in the request target")]
    TargetAuthority,
    /// The request line does not end with a version.
    #[error("malformed version")]
    Version,
    /// The version is neither 1.0 nor 1.1.
    #[error("version is not supported")]
    VersionUnsupported,
    /// The request line, or the empty line before it, does not end with carriage return and line feed.
    #[error("malformed end of the request line")]
    LineEnd,
    /// The request line is longer than allowed.
    #[error("request line is too long")]
    LineTooLong,
    /// The head is longer than allowed.
    #[error("head is too long")]
    HeadTooLong,
    /// The head has more fields than allowed.
    #[error("head has too many fields")]
    TooManyFields,
    /// The method asks for a tunnel to an arbitrary place.
    #[error("method CONNECT is not implemented")]
    Connect,
    /// A TRACE request has a body.
    #[error("TRACE with a body")]
    TraceBody,
    /// Host is missing in HTTP/1.1.
    #[error("no host field")]
    HostMissing,
    /// Host is there more than once.
    #[error("more than one host field")]
    HostRepeated,
    /// Host is not a host with an optional port.
    #[error("invalid host field")]
    Host,
    /// Expect asks for something other than `100-continue`.
    #[error("expectation is not known")]
    Expectation,
    /// A field line breaks the grammar.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The length of the body cannot be told for certain.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// A response that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// The status line does not begin with a version of HTTP/1.
    #[error("malformed or unsupported version")]
    Version,
    /// The status is not three digits from 100 to 599.
    #[error("malformed status")]
    Status,
    /// The reason phrase has a control byte.
    #[error("control byte in the reason phrase")]
    Reason,
    /// The status line does not end with carriage return and line feed.
    #[error("malformed end of the status line")]
    LineEnd,
    /// The status line is longer than allowed.
    #[error("status line is too long")]
    LineTooLong,
    /// The head is longer than allowed.
    #[error("head is too long")]
    HeadTooLong,
    /// The head has more fields than allowed.
    #[error("head has too many fields")]
    TooManyFields,
    /// A field line breaks the grammar.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The length of the body cannot be told for certain.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

/// A chunked body that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// The chunk size does not begin with a hexadecimal digit or is followed by something else than an extension.
    #[error("malformed chunk size")]
    Size,
    /// The chunk size has more than 16 digits or is more than 2^63-1.
    #[error("chunk size is too large")]
    SizeTooLarge,
    /// A chunk extension breaks the grammar.
    #[error("malformed chunk extension")]
    Extension,
    /// Chunk extensions are longer than allowed.
    #[error("chunk extensions are too long")]
    ExtensionTooLong,
    /// A chunk line or chunk does not end with carriage return and line feed.
    #[error("malformed end of a chunk or chunk line")]
    LineEnd,
    /// A trailer line breaks the grammar.
    #[error(transparent)]
    Trailer(#[from] FieldError),
    /// The trailer section is longer than allowed.
    #[error("trailer section is too long")]
    TrailersTooLong,
}

/// A trailer section that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrailerError {
    /// A trailer line breaks the grammar.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The section has more fields than allowed.
    #[error("trailer section has too many fields")]
    TooManyFields,
    /// The section is longer than allowed.
    #[error("trailer section is too long")]
    TooLong,
    /// The section does not end with an empty line, or something follows that line.
    #[error("trailer section is not complete")]
    Incomplete,
}

/// What reading a section of fields can end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionError {
    Field(FieldError),
    TooManyFields,
    TooLong,
}

// === impl FieldError ===

impl FieldError {
    /// The section of the standard that the field line breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Fold => "RFC 9112 5.2",
            Self::NameEmpty | Self::NameSpace | Self::Name => "RFC 9112 5.1",
            Self::Value => "RFC 9110 5.5",
            Self::BareLineFeed | Self::BareCarriageReturn => "RFC 9112 2.2",
            Self::ConnectionOption | Self::ConnectionOptions => "RFC 9110 7.6.1",
        }
    }
}

// === impl FramingError ===

impl FramingError {
    /// The section of the standard that the framing breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Length | Self::LengthTooLarge | Self::LengthRepeated => "RFC 9110 8.6",
            Self::LengthAndCoding => "RFC 9112 6.3",
            Self::CodingVersion | Self::Coding | Self::CodingUnknown => "RFC 9112 6.1",
        }
    }
}

// === impl RequestError ===

impl RequestError {
    /// Status of the answer to the request. The connection cannot go on after it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::LineTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLong | Self::TooManyFields => 431,
            Self::Connect | Self::Framing(FramingError::CodingUnknown) => 501,
            Self::VersionUnsupported => 505,
            _ => 400,
        }
    }

    /// The section of the standard that the request breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Method | Self::LineTooLong => "RFC 9112 3",
            Self::Target | Self::TargetFragment | Self::TargetForm => "RFC 9112 3.2",
            Self::TargetAuthority => "RFC 9112 3.2.2",
            Self::Version => "RFC 9112 2.3",
            Self::VersionUnsupported => "RFC 9110 15.6.6",
            Self::LineEnd => "RFC 9112 2.2",
            Self::HeadTooLong | Self::TooManyFields => "RFC 6585 5",
            Self::Connect => "RFC 9110 9.3.6",
            Self::TraceBody => "RFC 9110 9.3.8",
            Self::HostMissing | Self::HostRepeated => "RFC 9112 3.2",
            Self::Host => "RFC 9110 7.2",
            Self::Expectation => "RFC 9110 10.1.1",
            Self::Field(error) => error.rule(),
            Self::Framing(error) => error.rule(),
        }
    }
}

impl From<SectionError> for RequestError {
    fn from(error: SectionError) -> Self {
        match error {
            SectionError::Field(error) => Self::Field(error),
            SectionError::TooManyFields => Self::TooManyFields,
            SectionError::TooLong => Self::HeadTooLong,
        }
    }
}

// === impl ResponseError ===

impl ResponseError {
    /// The section of the standard that the response breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Version => "RFC 9112 2.3",
            Self::Status | Self::Reason | Self::LineTooLong => "RFC 9112 4",
            Self::LineEnd => "RFC 9112 2.2",
            Self::HeadTooLong | Self::TooManyFields => "RFC 9110 5.4",
            Self::Field(error) => error.rule(),
            Self::Framing(error) => error.rule(),
        }
    }
}

impl From<SectionError> for ResponseError {
    fn from(error: SectionError) -> Self {
        match error {
            SectionError::Field(error) => Self::Field(error),
            SectionError::TooManyFields => Self::TooManyFields,
            SectionError::TooLong => Self::HeadTooLong,
        }
    }
}

// === impl ChunkError ===

impl ChunkError {
    /// The section of the standard that the body breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Size | Self::SizeTooLarge | Self::LineEnd => "RFC 9112 7.1",
            Self::Extension | Self::ExtensionTooLong => "RFC 9112 7.1.1",
            Self::TrailersTooLong => "RFC 9112 7.1.2",
            Self::Trailer(error) => error.rule(),
        }
    }
}

// === impl TrailerError ===

impl From<SectionError> for TrailerError {
    fn from(error: SectionError) -> Self {
        match error {
            SectionError::Field(error) => Self::Field(error),
            SectionError::TooManyFields => Self::TooManyFields,
            SectionError::TooLong => Self::TooLong,
        }
    }
}
