//! Names: of headers, methods, and what the operator names.

use std::fmt;

use super::Text;
use crate::setting::Blank;

/// The name of a header field (RFC 9110, section 5.1), in lower case; at most 128 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(String);

impl HeaderName {
    /// The name in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl Blank for HeaderName {
    fn blank() -> Self {
        Self(String::new())
    }
}

impl Text for HeaderName {
    const FORM: &'static str = "the name of a header";
    const PATTERN: &'static str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$";

    fn parse(text: &str) -> Option<Self> {
        is_token(text, 128).then(|| Self(text.to_ascii_lowercase()))
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str, longest: usize) -> bool {
    let tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=longest).contains(&text.len()) && text.bytes().all(tchar)
}

/// A request method in upper case, such as `GET`; at most 32 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// The method as it stands in a request.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Method {
    const FORM: &'static str = "a method in upper case, such as GET";
    const PATTERN: &'static str = "^[A-Z][A-Z0-9_-]{0,31}$";

    fn parse(text: &str) -> Option<Self> {
        let upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
        (starts && text.len() <= 32 && text.bytes().all(upper)).then(|| Self(text.to_owned()))
    }
}

/// A name that the operator gives: letters, digits, `_`, `-`, `.`; at most 128 bytes. Safe in metrics, events and paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn known(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Blank for Name {
    fn blank() -> Self {
        Self(String::new())
    }
}

impl Text for Name {
    const FORM: &'static str = "a name of letters, digits, _, - and .";
    const PATTERN: &'static str = "^[0-9A-Za-z_.-]{1,128}$";

    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        ((1..=128).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_headers_are_lower_cased() {
        assert_eq!(HeaderName::parse("X-Beta").as_ref().map(HeaderName::as_str), Some("x-beta"));
        for text in ["", "a b", "a:b", "a\r\nb", ":path"] {
            assert!(HeaderName::parse(text).is_none(), "{text:?}");
        }
    }
}
