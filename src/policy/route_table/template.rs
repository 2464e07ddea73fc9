//! Path templates: `/api/v1/users/{id}`, `/files/*`, `/admin/**`.

use std::fmt;

use crate::canonical::path::{CanonicalPath, PathError, PathOptions};

/// The deepest template: bounds the recursion of a match.
pub const MAX_SEGMENTS: usize = 64;

/// A template as the table compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub segments: Vec<TemplateSegment>,
    /// Ends in `/**`: whatever follows, or nothing.
    pub open: bool,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TemplateSegment {
    /// Text, decoded.
    Literal(Box<str>),
    /// `*`: any one segment.
    Any,
    /// `{name}`: any one segment, by name.
    Parameter(Box<str>),
}

/// What is wrong with a template; `Display` says what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It does not start with `/`.
    Unrooted,
    /// An empty segment in the middle.
    EmptySegment,
    /// `.` or `..`, which no canonical path holds.
    DotSegment,
    /// A query or fragment, which no path holds.
    Query,
    /// `**` before the end.
    OpenBeforeEnd,
    /// `*`, `{` or `}` within a segment that holds more.
    PartialWildcard(String),
    /// A parameter name other than letters, digits, `_` and `-`, not starting with a digit or `-`.
    ParameterName(String),
    /// A parameter name used twice.
    RepeatedParameter(String),
    /// A segment that no request can have.
    Literal(String, PathError),
    /// More than [`MAX_SEGMENTS`] segments.
    TooDeep,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::Unrooted)?;
        if rest.contains(['?', '#']) {
            return Err(TemplateError::Query);
        }
        let (rest, open) = match rest.strip_suffix("**") {
            Some(rest) if rest.is_empty() || rest.ends_with('/') => (rest, true),
            _ => (rest, false),
        };
        if rest == "/" {
            return Err(TemplateError::EmptySegment);
        }
        // One trailing slash means none.
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut segments: Vec<TemplateSegment> = Vec::new();
        for part in rest.split('/').take_while(|_| !rest.is_empty()) {
            let segment = TemplateSegment::parse(part)?;
            if let (TemplateSegment::Parameter(name), true) = (&segment, segments.contains(&segment)) {
                return Err(TemplateError::RepeatedParameter(name.to_string()));
            }
            segments.push(segment);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(TemplateError::TooDeep);
        }
        Ok(Self { segments, open })
    }

    /// One text for all templates that match the same paths; no path holds a NUL.
    pub fn shape(&self) -> String {
        let segments = self.segments.iter().map(|segment| match segment {
            TemplateSegment::Literal(text) => text,
            TemplateSegment::Any | TemplateSegment::Parameter(_) => "\0",
        });
        let shape = segments.flat_map(|segment| ["/", segment]).collect::<String>();
        if self.open { shape + "/**" } else { shape }
    }

    /// The names of parameters, and which segment each is.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, usize)> {
        self.segments.iter().enumerate().filter_map(|(at, segment)| match segment {
            TemplateSegment::Parameter(name) => Some((&**name, at)),
            _ => None,
        })
    }
}

impl TemplateSegment {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        match text {
            "" => return Err(TemplateError::EmptySegment),
            "*" => return Ok(Self::Any),
            "**" => return Err(TemplateError::OpenBeforeEnd),
            _ => {}
        }
        if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
                && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            return valid
                .then(|| Self::Parameter(name.into()))
                .ok_or_else(|| TemplateError::ParameterName(name.into()));
        }
        if text.contains(['*', '{', '}']) {
            return Err(TemplateError::PartialWildcard(text.to_owned()));
        }
        Self::literal(text)
    }

    fn literal(text: &str) -> Result<Self, TemplateError> {
        let rooted = format!("/{text}");
        let path =
            CanonicalPath::parse(b"GET", rooted.as_bytes(), PathOptions::default()).map_err(|error| match error {
                PathError::AboveRoot => TemplateError::DotSegment,
                error => TemplateError::Literal(text.to_owned(), error),
            })?;
        // `/.` resolves to no segment at all.
        let segment = path.segments().next().ok_or(TemplateError::DotSegment)?;
        Ok(Self::Literal(segment.value().into()))
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrooted => formatter.write_str("expected a path that starts with /"),
            Self::EmptySegment => formatter.write_str("expected no // in the path"),
            Self::DotSegment => formatter.write_str("expected a path without . and .. segments"),
            Self::Query => formatter.write_str("expected a path without ? and #"),
            Self::OpenBeforeEnd => formatter.write_str("expected ** at the end only"),
            Self::PartialWildcard(text) => {
                write!(formatter, "`{text}`: expected *, {{name}} or ** to be a whole segment (%2A, %7B, %7D as text)")
            }
            Self::ParameterName(name) => {
                write!(formatter, "`{{{name}}}`: expected a name of letters, digits, _ and - that starts with a letter")
            }
            Self::RepeatedParameter(name) => write!(formatter, "`{{{name}}}`: expected each name once"),
            Self::Literal(text, error) => write!(formatter, "`{text}`: no request can have it, since {error}"),
            Self::TooDeep => write!(formatter, "expected at most {MAX_SEGMENTS} segments"),
        }
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> TemplateSegment {
        TemplateSegment::Literal(text.into())
    }

    #[test]
    fn reads_literals_parameters_wildcards_and_open_ends() {
        use TemplateSegment::{Any, Parameter};
        for (text, segments, open) in [
            ("/", vec![], false),
            ("/**", vec![], true),
            ("/health", vec![literal("health")], false),
            ("/health/", vec![literal("health")], false),
            ("/users/{user_id}/*", vec![literal("users"), Parameter("user_id".into()), Any], false),
            ("/admin/**", vec![literal("admin")], true),
            ("/%61dmin/caf%C3%A9/café", vec![literal("admin"), literal("café"), literal("café")], false),
            ("/a%3Ab/%2A/%7Bx%7D", vec![literal("a:b"), literal("*"), literal("{x}")], false),
        ] {
            assert_eq!(Template::parse(text), Ok(Template { segments, open }), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_template() {
        use TemplateError::*;
        for (text, expected) in [
            ("", Unrooted),
            ("users", Unrooted),
            ("**", Unrooted),
            ("/a//b", EmptySegment),
            ("//", EmptySegment),
            ("//**", EmptySegment),
            ("/a//", EmptySegment),
            ("/a//**", EmptySegment),
            ("/a/../b", DotSegment),
            ("/a/.", DotSegment),
            ("/%2e%2e", DotSegment),
            ("/a?b", Query),
            ("/a#b", Query),
            ("/**/a", OpenBeforeEnd),
            ("/a**", PartialWildcard("a**".into())),
            ("/v{n}", PartialWildcard("v{n}".into())),
            ("/{a}{b}", ParameterName("a}{b".into())),
            ("/*.js", PartialWildcard("*.js".into())),
            ("/{}", ParameterName("".into())),
            ("/{1a}", ParameterName("1a".into())),
            ("/{id}/{id}", RepeatedParameter("id".into())),
            ("/a%2fb", Literal("a%2fb".into(), PathError::EncodedSlash)),
            ("/a;b", Literal("a;b".into(), PathError::Parameters)),
            ("/%", Literal("%".into(), PathError::MalformedEscape)),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
        assert!(Template::parse(&"/a".repeat(MAX_SEGMENTS)).is_ok());
        assert_eq!(Template::parse(&"/a".repeat(MAX_SEGMENTS + 1)), Err(TooDeep));
    }
}
