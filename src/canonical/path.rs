//! The canonical path of a request target (RFC 3986 section 6, RFC 9112 section 3.2).
//!
//! Rules and upstream must read the same path, or a request is judged as one thing and served as another. So
//! everything that two servers are known to read differently is either brought to one form here or refused.

use std::{borrow::Cow, fmt, ops::Range};

/// A request target whose path is canonical; [`target`](Self::target) is what goes upstream, byte for byte.
///
/// The path is ASCII, starts with `/` and holds no empty segment, no dot segment and no escape of an unreserved
/// character; escapes that remain are upper-case and decode to UTF-8 without control characters, `/`, `\` or `;`.
/// Canonicalising it again gives the same bytes.
///
/// - A trailing slash that the client sent (or that `/.` or `/..` at the end leaves, RFC 3986 section 5.2.4) stays in
///   the path and goes upstream. [`segments`](Self::segments), which rules compare, does not show it.
/// - Escaped reserved characters stay escaped, because `%2C` and `,` may differ to the upstream, but rules compare
///   [decoded segments](Segment::value): `/users%3Adelete` meets the rule for `/users:delete`.
/// - `//` collapses before dot segments are resolved: `/a//../b` is `/b`.
/// - Case is kept: an upstream that ignores it needs rules for each spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    target: Cow<'a, str>,
    path_length: usize,
    rewritten: bool,
}

/// What an operator may loosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathOptions {
    /// Lets `;name=value` path parameters through. Rules then compare segments without them, as the servers that
    /// know them do; on `.`, `..` and empty segments, and as `%3B`, they stay refused.
    pub allow_parameters: bool,
}

/// Why a target is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// No path at all.
    Empty,
    /// `http://host/path`: the proxy has taken such targets apart; one that is left names a second host.
    AbsoluteForm,
    /// `*` with a method other than OPTIONS.
    AsteriskForm,
    /// A path that does not start with `/`.
    Unrooted,
    /// `#`, which belongs to the client alone.
    Fragment,
    /// `%` without two hexadecimal digits.
    MalformedEscape,
    /// `%2F`: a separator to some servers and a character to others.
    EncodedSlash,
    /// `\` or `%5C`: a separator to some servers.
    Backslash,
    /// A control character (C0, DEL, C1), raw or escaped; NUL among them.
    Control,
    /// A raw space.
    Space,
    /// An escape that decodes to an escape, like `%252e`.
    DoubleEncoding,
    /// Bytes that are not UTF-8 once decoded, overlong forms among them.
    InvalidUtf8,
    /// A `;` parameter, raw or escaped.
    Parameters,
    /// More `..` than segments. RFC 3986 would drop them, servers differ, and no client that means well sends them.
    AboveRoot,
}

impl<'a> CanonicalPath<'a> {
    /// The canonical form of `:path`. Borrows when the target is canonical already, as most are.
    ///
    /// Time and memory are linear in the target: three times its length at most.
    ///
    /// # Errors
    /// [`PathError`], each answered with 400.
    pub fn parse(method: &[u8], target: &'a [u8], options: PathOptions) -> Result<Self, PathError> {
        if target.first() != Some(&b'/') {
            return other_form(method, target);
        }
        if let Some(path_length) = canonical_length(target) {
            check_query(target.get(path_length..).unwrap_or_default())?;
            let target = std::str::from_utf8(target).map_err(|_| PathError::InvalidUtf8)?;
            return Ok(Self { target: Cow::Borrowed(target), path_length, rewritten: false });
        }
        Self::rewrite(target, options)
    }

    /// `/` without a query.
    pub const fn root() -> CanonicalPath<'static> {
        CanonicalPath { target: Cow::Borrowed("/"), path_length: 1, rewritten: false }
    }

    /// Path and query as they go upstream.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path without its query; `*` for a request about the server itself.
    pub fn path(&self) -> &str {
        self.target.get(..self.path_length).unwrap_or_default()
    }

    /// The query after `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path_length..)?.strip_prefix('?')
    }

    /// Whether [`target`](Self::target) differs from what the client sent, so that `:path` must be set.
    pub fn is_rewritten(&self) -> bool {
        self.rewritten
    }

    /// Whether this is `OPTIONS *`.
    pub fn is_asterisk(&self) -> bool {
        self.path() == "*"
    }

    /// The segments that rules compare; none for `/` and `*`, and none for a trailing slash.
    pub fn segments(&self) -> Segments<'_> {
        Segments { path: self.path(), at: 1 }
    }

    /// The same path, owned: one allocation.
    pub fn into_owned(self) -> CanonicalPath<'static> {
        CanonicalPath { target: Cow::Owned(self.target.into_owned()), ..self }
    }

    fn rewrite(target: &'a [u8], options: PathOptions) -> Result<Self, PathError> {
        let path_length = memchr::memchr2(b'?', b'#', target).unwrap_or(target.len());
        let (path, query) = target.split_at_checked(path_length).unwrap_or((target, &[]));
        check_query(query)?;
        let mut canonical = Rewriter::new(path.len(), options).run(path)?;
        let path_length = canonical.len();
        canonical.extend_from_slice(query);
        if canonical == target {
            let target = std::str::from_utf8(target).map_err(|_| PathError::InvalidUtf8)?;
            return Ok(Self { target: Cow::Borrowed(target), path_length, rewritten: false });
        }
        let target = String::from_utf8(canonical).map_err(|_| PathError::InvalidUtf8)?;
        Ok(Self { target: Cow::Owned(target), path_length, rewritten: true })
    }
}

/// The segments of a canonical path, from the left.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    path: &'a str,
    at: usize,
}

/// One segment: its place in the path and its text there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Bytes of [`CanonicalPath::path`].
    pub range: Range<usize>,
    /// The text in the path, escapes and parameters included.
    pub raw: &'a str,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let rest = self.path.get(self.at..).filter(|rest| !rest.is_empty())?;
        // Segments are short: a plain loop beats a vectorised search.
        let length = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
        let range = self.at..self.at + length;
        self.at = range.end + 1;
        Some(Segment { raw: self.path.get(range.clone())?, range })
    }
}

impl<'a> Segment<'a> {
    /// What the segment means: parameters cut off, escapes decoded.
    pub fn value(&self) -> Cow<'a, str> {
        if !self.raw.bytes().any(|byte| matches!(byte, b'%' | b';')) {
            return Cow::Borrowed(self.raw);
        }
        let text = self.raw.split(';').next().unwrap_or_default();
        let mut bytes = text.as_bytes();
        let mut decoded = Vec::with_capacity(bytes.len());
        while let Some(unit) = Unit::take(&mut bytes) {
            decoded.push(unit.map_or(b'%', |unit| unit.byte));
        }
        // A canonical path decodes to UTF-8, and no character spans a `/`.
        String::from_utf8(decoded).map_or(Cow::Borrowed(text), Cow::Owned)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "the path is empty",
            Self::AbsoluteForm => "the path is a whole URI",
            Self::AsteriskForm => "the path * is for OPTIONS only",
            Self::Unrooted => "the path does not start with /",
            Self::Fragment => "the path has a fragment",
            Self::MalformedEscape => "the path has a malformed percent escape",
            Self::EncodedSlash => "the path has an encoded slash",
            Self::Backslash => "the path has a backslash",
            Self::Control => "the path has a control character",
            Self::Space => "the path has a space",
            Self::DoubleEncoding => "the path is encoded twice",
            Self::InvalidUtf8 => "the path is not UTF-8",
            Self::Parameters => "the path has parameters",
            Self::AboveRoot => "the path leads above the root",
        })
    }
}

impl std::error::Error for PathError {}

fn other_form<'a>(method: &[u8], target: &'a [u8]) -> Result<CanonicalPath<'a>, PathError> {
    match target {
        b"" => Err(PathError::Empty),
        b"*" if method == b"OPTIONS" => {
            Ok(CanonicalPath { target: Cow::Borrowed("*"), path_length: 1, rewritten: false })
        }
        b"*" => Err(PathError::AsteriskForm),
        _ if memchr::memmem::find(target, b"://").is_some() => Err(PathError::AbsoluteForm),
        _ => Err(PathError::Unrooted),
    }
}

/// A query is not rewritten, so what would break a request line in it is refused.
fn check_query(query: &[u8]) -> Result<(), PathError> {
    if !query.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7f | b'#')) {
        return Ok(());
    }
    Err(query
        .iter()
        .find_map(|byte| match byte {
            b' ' => Some(PathError::Space),
            b'#' => Some(PathError::Fragment),
            0..b' ' | 0x7f => Some(PathError::Control),
            _ => None,
        })
        .unwrap_or(PathError::Control))
}

/// The length of the path when nothing in it needs a second look. A dot after a slash does, even if harmless.
fn canonical_length(target: &[u8]) -> Option<usize> {
    let mut after_slash = false;
    for (at, &byte) in target.iter().enumerate() {
        match (byte, after_slash) {
            (b'?', _) => return Some(at),
            (b'/' | b'.', true) => return None,
            (b'/', false) => after_slash = true,
            _ if stands_raw(byte) => after_slash = false,
            _ => return None,
        }
    }
    Some(target.len())
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 `pchar` without escapes and `;`.
fn stands_raw(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let pchar = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@";
        let mut at = 0;
        #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        while at < pchar.len() {
            table[pchar[at] as usize] = true;
            at += 1;
        }
        table
    };
    TABLE.get(usize::from(byte)).copied().unwrap_or_default()
}

/// One byte of a path, and whether it was written as an escape.
struct Unit {
    byte: u8,
    escaped: bool,
}

impl Unit {
    /// Takes the next unit off the front; `Err` for a malformed escape, of which `%` is taken.
    fn take(bytes: &mut &[u8]) -> Option<Result<Self, PathError>> {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if byte != b'%' {
            return Some(Ok(Self { byte, escaped: false }));
        }
        let Some(([high, low], rest)) = rest.split_first_chunk::<2>() else {
            return Some(Err(PathError::MalformedEscape));
        };
        let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low)) else {
            return Some(Err(PathError::MalformedEscape));
        };
        *bytes = rest;
        Some(Ok(Self { byte: high << 4 | low, escaped: true }))
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The slow path: writes the canonical form, and beside it the text it decodes to.
struct Rewriter {
    canonical: Vec<u8>,
    decoded: Vec<u8>,
    options: PathOptions,
}

impl Rewriter {
    fn new(length: usize, options: PathOptions) -> Self {
        Self { canonical: Vec::with_capacity(length), decoded: Vec::with_capacity(length), options }
    }

    fn run(mut self, path: &[u8]) -> Result<Vec<u8>, PathError> {
        let mut rest = path;
        // Where the segment being written starts: after its slash.
        let mut start = 0;
        while let Some(unit) = Unit::take(&mut rest) {
            let unit = unit?;
            if unit.byte == b'/' && !unit.escaped {
                self.end_segment(start)?;
                if self.canonical.last() != Some(&b'/') {
                    self.canonical.push(b'/');
                }
                start = self.canonical.len();
                self.decoded.push(b'/');
            } else {
                self.write(&unit)?;
            }
        }
        self.end_segment(start)?;
        self.check_decoded()?;
        Ok(self.canonical)
    }

    fn write(&mut self, unit: &Unit) -> Result<(), PathError> {
        match unit.byte {
            b'/' => return Err(PathError::EncodedSlash),
            b'\\' => return Err(PathError::Backslash),
            0..b' ' | 0x7f => return Err(PathError::Control),
            // C1: 0xC2 is never inside a character.
            0x80..0xa0 if self.decoded.last() == Some(&0xc2) => return Err(PathError::Control),
            b' ' if !unit.escaped => return Err(PathError::Space),
            b';' if unit.escaped || !self.options.allow_parameters => return Err(PathError::Parameters),
            _ => self.decoded.push(unit.byte),
        }
        let raw = is_unreserved(unit.byte) || !unit.escaped && (stands_raw(unit.byte) || unit.byte == b';');
        if raw {
            self.canonical.push(unit.byte);
        } else {
            let digit = |value: u8| value + if value < 10 { b'0' } else { b'A' - 10 };
            self.canonical.extend([b'%', digit(unit.byte >> 4), digit(unit.byte & 15)]);
        }
        Ok(())
    }

    /// Resolves the segment from `start` on when it is a dot segment; each byte is taken back once at most.
    fn end_segment(&mut self, start: usize) -> Result<(), PathError> {
        let segment = self.canonical.get(start..).unwrap_or_default();
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if name.len() < segment.len() && matches!(name, b"" | b"." | b"..") {
            // Tomcat's `/..;/` is `/../` to it and a plain segment to others.
            return Err(PathError::Parameters);
        }
        match segment {
            b"." => self.canonical.truncate(start),
            b".." => {
                let above = self.canonical.get(..start.saturating_sub(1)).unwrap_or_default();
                let slash = above.iter().rposition(|byte| *byte == b'/').ok_or(PathError::AboveRoot)?;
                self.canonical.truncate(slash + 1);
            }
            _ => {}
        }
        Ok(())
    }

    fn check_decoded(&self) -> Result<(), PathError> {
        let decoded = std::str::from_utf8(&self.decoded).map_err(|_| PathError::InvalidUtf8)?;
        let escape = |at: usize| {
            let digits = decoded.as_bytes().get(at + 1..at + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        match memchr::memchr_iter(b'%', decoded.as_bytes()).any(escape) {
            true => Err(PathError::DoubleEncoding),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
