//! Why a request's head has no canonical form, as a closed list of reason codes.

use super::host::HostError;
use super::path::PathError;

/// Why a head is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The path.
    Path(PathError),
    /// The host.
    Host(HostError),
    /// The method has a lower-case letter: methods are told apart by case (RFC 9110 section 9.1), and many applications do
    /// not.
    Method,
    /// A header that may occur once occurs again.
    RepeatedHeader,
    /// The value of a header begins or ends with white space.
    PaddedHeader,
    /// `Connection` names a header that only the proxy may say.
    NominatedHeader,
    /// More parameters or cookies than anyone needs.
    TooManyParameters,
    /// The query says that it is written in characters that its bytes do not show.
    QueryCharset,
}

impl Rejection {
    /// The reason code for events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path(error) => path(error),
            Self::Host(HostError::Missing) => "host_missing",
            Self::Host(HostError::Repeated) => "host_repeated",
            Self::Host(HostError::Contradiction) => "host_contradiction",
            Self::Host(_) => "host_malformed",
            Self::Method => "method_malformed",
            Self::RepeatedHeader => "header_repeated",
            Self::PaddedHeader => "header_padded",
            Self::NominatedHeader => "header_nominated",
            Self::TooManyParameters => "too_many_parameters",
            Self::QueryCharset => "query_charset",
        }
    }
}

const fn path(error: PathError) -> &'static str {
    match error {
        PathError::Empty => "path_empty",
        PathError::AbsoluteForm => "path_absolute_form",
        PathError::AsteriskForm => "path_asterisk_form",
        PathError::Unrooted => "path_unrooted",
        PathError::Fragment => "path_fragment",
        PathError::MalformedEscape => "path_malformed_escape",
        PathError::EncodedSlash => "path_encoded_slash",
        PathError::Backslash => "path_backslash",
        PathError::Control => "path_control",
        PathError::Space => "path_space",
        PathError::DoubleEncoding => "path_double_encoding",
        PathError::InvalidUtf8 => "path_invalid_utf8",
        PathError::Parameters => "path_parameters",
        PathError::AboveRoot => "path_above_root",
    }
}
