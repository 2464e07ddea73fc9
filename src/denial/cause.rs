//! What was found in a request, a body or a response that must not pass.

use std::borrow::Cow;

/// Where an offending value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A segment of the path.
    Path,
    /// The query string.
    Query,
    /// A header other than `Cookie`.
    Header,
    /// A cookie.
    Cookie,
    /// The body.
    Body,
}

impl Place {
    /// The word that events and the configuration use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Body => "body",
        }
    }
}

/// An injection and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// The rule, ours or the operator's.
    pub rule: Cow<'static, str>,
    /// The class of the rule; `custom` for the operator's patterns.
    pub class: &'static str,
    /// How sure the rule is: 1 to 10.
    pub score: u8,
    /// Where.
    pub place: Place,
    /// The parameter's name, bounded, lossily decoded. Never its value.
    pub parameter: String,
    /// A bounded part of the value, when the operator asked for one.
    pub excerpt: String,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyRejection {
    /// 413.
    TooLarge,
    /// 400: not what its content type says.
    Malformed(&'static str),
    /// 415: compressed, so that it cannot be looked at.
    Encoded,
    /// 415: no JSON where the fields of JSON are looked at.
    NotJson,
    /// 413: nested too deep, too many entries or parts, or too long a string.
    TooComplex(&'static str),
}

/// Why a response cannot be let out: 502.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseRejection {
    /// Its body is longer than what can be held.
    TooLarge,
    /// It is compressed.
    Encoded,
    /// It is not what can be read.
    Malformed,
    /// The upstream switched to another protocol.
    Upgraded,
}

impl ResponseRejection {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "response_too_large",
            Self::Encoded => "response_encoded",
            Self::Malformed => "response_malformed",
            Self::Upgraded => "response_upgraded",
        }
    }
}

/// Why a request is not taken for one of our own pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossSite {
    /// The browser says that another site had it sent.
    Site,
    /// Its origin is another.
    Origin,
    /// Nothing says where it comes from.
    Unproven,
}

impl CrossSite {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Site => "cross_site",
            Self::Origin => "cross_origin",
            Self::Unproven => "no_origin",
        }
    }
}
