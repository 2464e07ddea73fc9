//! Where in a request a credential is looked for.

use crate::setting::Setting;

use super::super::scalar::{HeaderName, Verbatim};

/// One place of a credential.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A header, with what stands before the credential in it.
    Header {
        /// The header.
        name: HeaderName,
        /// Such as `Bearer `; may be empty.
        prefix: String,
    },
    /// A cookie of this name.
    Cookie(String),
    /// A query parameter of this name.
    Query(String),
}

impl Place {
    /// `Authorization: Bearer` (RFC 6750, section 2.1).
    pub(super) fn bearer() -> Self {
        Self::Header { name: HeaderName::known("authorization"), prefix: "Bearer ".to_owned() }
    }
}

/// Where a credential is looked for: exactly one of header, cookie, query.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = one_of(), "dependentRequired" = { "prefix": ["header"] })))]
struct PlaceFields {
    /// A header.
    header: Option<HeaderName>,
    /// What stands before the credential in the header. Default: nothing.
    prefix: Option<Verbatim>,
    /// A cookie.
    cookie: Option<String>,
    /// A query parameter.
    query: Option<String>,
}

#[cfg(feature = "schema")]
fn one_of() -> serde_json::Value {
    super::super::exactly_one(&["header", "cookie", "query"])
}

crate::made_of!(Place is PlaceFields);

impl TryFrom<PlaceFields> for Place {
    type Error = &'static str;

    fn try_from(fields: PlaceFields) -> Result<Self, Self::Error> {
        match (fields.header, fields.prefix, fields.cookie, fields.query) {
            (Some(name), prefix, None, None) => {
                Ok(Self::Header { name, prefix: prefix.as_deref().unwrap_or_default().to_owned() })
            }
            (None, None, Some(cookie), None) => Ok(Self::Cookie(cookie)),
            (None, None, None, Some(query)) => Ok(Self::Query(query)),
            (None, Some(_), ..) => Err("expected a prefix beside a header only"),
            _ => Err("expected exactly one of header, cookie, query"),
        }
    }
}
