//! multipart/form-data (RFC 7578 over RFC 2046), read strictly from one slice; [`mod@sections`] reads the other types.
//!
//! Recipients differ in what they forgive: text around the parts, bare line feeds, folded headers, transfer encodings,
//! RFC 2231 names. A body that needs forgiveness is refused, since what one recipient skips another may read.

mod sections;

use std::borrow::Cow;

use memchr::memmem::{self, Finder};

use super::content_type::Charset;
use super::parameters::{self, Parameter, find, is_token};
use super::percent;
use super::query::split_once;

pub use sections::{Section, Sections, sections};

/// The delimiter of the parts: 1 to 70 bytes of RFC 2046's `bchars`, no space at the end, and no comma, where some recipients end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary<'a> {
    text: Cow<'a, [u8]>,
    /// It stood in quotes, so that no recipient takes the beginning for the whole.
    quoted: bool,
}

impl<'a> Boundary<'a> {
    /// The boundary, if RFC 2046 section 5.1.1 allows it.
    pub fn new(boundary: Cow<'a, [u8]>) -> Option<Self> {
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_-./:=? ".contains(byte);
        let valid = (1..=70).contains(&boundary.len()) && boundary.iter().all(allowed) && !boundary.ends_with(b" ");
        valid.then_some(Self { text: boundary, quoted: false })
    }

    /// The same, written in quotes if that is so.
    #[must_use]
    pub fn in_quotes(self, quoted: bool) -> Self {
        Self { quoted, ..self }
    }

    /// The bytes between the two hyphens and the line end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

/// The bounds of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Parts in the body.
    pub parts: usize,
    /// Bytes of one part's header lines.
    pub header_length: usize,
    /// Decoded bytes of a field name, and of a file name.
    pub name_length: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parts: 64, header_length: 4096, name_length: 1024 }
    }
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The field's name; browsers write a quote in it as `%22`, which stays.
    pub name: Cow<'a, [u8]>,
    /// `filename`, of a file field.
    pub filename: Option<Cow<'a, [u8]>>,
    /// `filename*` (RFC 8187), decoded to UTF-8; recipients that know it prefer it.
    pub filename_extended: Option<Cow<'a, [u8]>>,
    /// The part's own Content-Type as written.
    pub content_type: Option<&'a [u8]>,
    /// The values of its other headers, and of what else its Content-Disposition says.
    pub others: Vec<Cow<'a, [u8]>>,
    /// The content as sent.
    pub body: &'a [u8],
}

/// Why a body is refused, and the byte where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Text before the first delimiter, after the last, or directly behind one.
    Delimiter {
        /// Bytes from the start of the body.
        offset: usize,
    },
    /// A boundary in the middle of a line, or at the start of one that does not end in CRLF; or as much of it alone in a line
    /// as some recipients take for the whole.
    LineEnd {
        /// Bytes from the start of the body.
        offset: usize,
    },
    /// No closing delimiter: the body is cut off.
    Unterminated,
    /// A header line of the part that starts here is malformed, folded or repeated, or names an unknown form.
    Header {
        /// Bytes from the start of the body.
        offset: usize,
    },
    /// The part has a Content-Transfer-Encoding that changes its bytes.
    TransferEncoding {
        /// Bytes from the start of the body.
        offset: usize,
    },
    /// More parts than the limit.
    TooManyParts,
    /// The part's header lines are longer than the limit.
    HeaderTooLong {
        /// Bytes from the start of the body.
        offset: usize,
    },
    /// The part's name or file name is longer than the limit.
    NameTooLong {
        /// Bytes from the start of the body.
        offset: usize,
    },
}

/// Reads the parts of `body` in order; ends after an error or the closing delimiter.
pub fn parts<'a>(body: &'a [u8], boundary: &Boundary<'_>, limits: &Limits) -> Parts<'a> {
    Parts(Cuts::new(body, boundary, limits))
}

/// The iterator of [`parts`].
#[derive(Clone, Debug)]
pub struct Parts<'a>(Cuts<'a>);

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let cut = self.0.next()?.and_then(|cut| match self.0.is_cut_short(cut.body) {
            true => Err(Error::LineEnd { offset: cut.offset }),
            false => part(&cut, self.0.limits.name_length),
        });
        if cut.is_err() {
            self.0.at = None;
        }
        Some(cut)
    }
}

/// What stands between two delimiters.
struct Cut<'a> {
    headers: &'a [u8],
    body: &'a [u8],
    /// Bytes from the start of the body to that of its headers.
    offset: usize,
}

/// Cuts a body at its delimiters; ends after an error.
#[derive(Clone, Debug)]
struct Cuts<'a> {
    body: &'a [u8],
    /// Where the next delimiter starts; nothing once ended.
    at: Option<usize>,
    left: usize,
    limits: Limits,
    /// Of the delimiter without its line end.
    finder: Finder<'static>,
    /// How much of the delimiter a recipient sees that reads a boundary without quotes as a token only, as Werkzeug does.
    token: usize,
    /// Lines may be empty before the first delimiter and after the last.
    blank_around: bool,
}

impl<'a> Iterator for Cuts<'a> {
    type Item = Result<Cut<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let delimiter = self.at.take()?;
        self.cut_after(delimiter).transpose()
    }
}

impl<'a> Cuts<'a> {
    fn new(body: &'a [u8], boundary: &Boundary<'_>, limits: &Limits) -> Self {
        let finder = Finder::new(&[b"--", boundary.as_bytes()].concat()).into_owned();
        let token = boundary.as_bytes().iter().take_while(|byte| boundary.quoted || is_token(**byte)).count();
        Self { body, at: Some(0), left: limits.parts, limits: *limits, finder, token, blank_around: false }
    }

    fn cut_after(&mut self, delimiter: usize) -> Result<Option<Cut<'a>>, Error> {
        let Some(after) = self.from(delimiter).strip_prefix(self.finder.needle()) else {
            return Err(Error::Delimiter { offset: delimiter });
        };
        if let Some(epilogue) = after.strip_prefix(b"--") {
            let clean = matches!(epilogue, b"" | b"\r\n") || self.blank_around && epilogue.trim_ascii().is_empty();
            return if clean { Ok(None) } else { Err(Error::Delimiter { offset: self.body.len() - epilogue.len() }) };
        }
        let offset = self.body.len() - after.len();
        if !after.starts_with(b"\r\n") {
            return Err(Error::Delimiter { offset });
        }
        self.left = self.left.checked_sub(1).ok_or(Error::TooManyParts)?;
        let start = offset + 2;
        let (headers, content) = self.headers(offset)?;
        let end = self.end_of_part(content)?;
        self.at = Some(end + 2);
        let body = self.body.get(content..end).unwrap_or_default();
        Ok(Some(Cut { headers, body, offset: start }))
    }

    /// The header lines behind the line end at `offset`, and where the content starts.
    fn headers(&self, offset: usize) -> Result<(&'a [u8], usize), Error> {
        let window = self.from(offset);
        let window = window.get(..self.limits.header_length.saturating_add(6)).unwrap_or(window);
        // Found from the delimiter's own line end, so that no headers at all are found as well.
        let Some(length) = memmem::find(window, b"\r\n\r\n") else {
            let whole = offset + window.len() == self.body.len();
            let cut = if whole { Error::Unterminated } else { Error::HeaderTooLong { offset: offset + 2 } };
            return Err(cut);
        };
        Ok((window.get(2..length).unwrap_or_default(), offset + length + 4))
    }

    /// Where the CRLF before the next delimiter is. At the start of a line a boundary must be a whole delimiter, since RFC 2046 lets
    /// recipients compare the beginning only. In the middle of one it is content, but not in a form: Django looks for it there.
    fn end_of_part(&self, content: usize) -> Result<usize, Error> {
        for found in self.finder.find_iter(self.from(content)) {
            let found = content + found;
            let before = self.body.get(content..found).unwrap_or_default();
            if before.ends_with(b"\r\n") {
                return Ok(found - 2);
            }
            if !self.blank_around || before.is_empty() || before.ends_with(b"\n") || before.ends_with(b"\r") {
                return Err(Error::LineEnd { offset: found });
            }
        }
        Err(Error::Unterminated)
    }

    /// Whether the content holds a line that is a delimiter to whoever takes the boundary for a token.
    fn is_cut_short(&self, content: &[u8]) -> bool {
        let delimiter = self.finder.needle();
        let Some(short) = delimiter.get(..self.token + 2).filter(|_| self.token > 0) else { return false };
        let is_blank = |rest: &[u8]| rest.iter().all(|byte| matches!(byte, b' ' | b'\t' | 0x0b | 0x0c));
        let mut lines = content.split(|byte| matches!(byte, b'\r' | b'\n'));
        short.len() < delimiter.len() && lines.any(|line| line.strip_prefix(short).is_some_and(is_blank))
    }

    fn from(&self, offset: usize) -> &'a [u8] {
        self.body.get(offset..).unwrap_or_default()
    }
}

fn part<'a>(cut: &Cut<'a>, name_length: usize) -> Result<Part<'a>, Error> {
    let Cut { headers, body, offset } = *cut;
    let malformed = Error::Header { offset };
    let mut disposition = None;
    let mut content_type = None;
    let mut others = Vec::new();
    for line in lines(headers) {
        let (name, value) = field(line).ok_or(malformed)?;
        // Rack finds it in the midst of a line as well.
        if line.get(1..).is_some_and(|rest| find(rest, b"content-disposition:").is_some()) {
            return Err(malformed);
        }
        let repeated = match &*name.to_ascii_lowercase() {
            b"content-disposition" => disposition.replace(value).is_some(),
            b"content-type" => content_type.replace(value).is_some(),
            b"content-transfer-encoding" if !is_identity(value) => return Err(Error::TransferEncoding { offset }),
            _ => {
                others.push(Cow::Borrowed(value));
                false
            }
        };
        if repeated {
            return Err(malformed);
        }
    }
    let disposition = disposition.and_then(|value| parse_disposition(value, &mut others));
    let Disposition { name, filename, filename_extended } = disposition.ok_or(malformed)?;
    let too_long = |value: &Cow<'_, [u8]>| value.len() > name_length;
    if [Some(&name), filename.as_ref(), filename_extended.as_ref()].into_iter().flatten().any(too_long) {
        return Err(Error::NameTooLong { offset });
    }
    Ok(Part { name, filename, filename_extended, content_type, others, body })
}

fn lines(headers: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(headers).filter(|headers| !headers.is_empty());
    std::iter::from_fn(move || {
        let lines = rest?;
        let end = memmem::find(lines, b"\r\n");
        rest = end.and_then(|end| lines.get(end + 2..));
        lines.get(..end.unwrap_or(lines.len()))
    })
}

/// A header line; folded lines have no name of their own and are refused with it.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, value) = split_once(line, b':');
    let value = value?.trim_ascii();
    let named = !name.is_empty() && name.iter().all(|byte| is_token(*byte));
    let clean = !value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t');
    (named && clean).then_some((name, value))
}

/// Transfer encodings that leave the bytes as they are (RFC 2045 section 6.2).
fn is_identity(encoding: &[u8]) -> bool {
    [&b"7bit"[..], b"8bit", b"binary"].iter().any(|identity| encoding.eq_ignore_ascii_case(identity))
}

struct Disposition<'a> {
    name: Cow<'a, [u8]>,
    filename: Option<Cow<'a, [u8]>>,
    filename_extended: Option<Cow<'a, [u8]>>,
}

fn parse_disposition<'a>(value: &'a [u8], others: &mut Vec<Cow<'a, [u8]>>) -> Option<Disposition<'a>> {
    let (kind, parameters) = parameters::split(value);
    if !kind.eq_ignore_ascii_case(b"form-data") {
        return None;
    }
    let (mut name, mut filename, mut filename_extended) = (None, None, None);
    for parameter in parameters {
        let Parameter { name: parameter, value } = parameter.ok()?;
        // Recipients that look for `name=` find the first one, or the last behind a semicolon, in quotes too.
        if find(&value, b"name=").is_some()
            && (value.contains(&b';') || name.is_none() && !parameter.eq_ignore_ascii_case(b"name"))
        {
            return None;
        }
        let slot = match &*parameter.to_ascii_lowercase() {
            b"name" => &mut name,
            b"filename" => &mut filename,
            b"filename*" => &mut filename_extended,
            // RFC 2231 in any other place: `name*=` and `filename*0=` are read by few. `x-name=` is `name=` to formidable.
            other if other.contains(&b'*') || other.ends_with(b"name") => return None,
            _ => {
                others.push(value);
                continue;
            }
        };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    let filename_extended = match filename_extended {
        Some(encoded) => Some(Cow::Owned(extended_value(&encoded)?)),
        None => None,
    };
    Some(Disposition { name: name?, filename, filename_extended })
}

/// RFC 8187: `charset'language'percent-encoded`, as UTF-8.
fn extended_value(value: &[u8]) -> Option<Vec<u8>> {
    let (charset, rest) = split_once(value, b'\'');
    let (_language, encoded) = split_once(rest?, b'\'');
    let decoded = percent::decode(encoded?);
    if decoded.malformed {
        return None;
    }
    match Charset::named(charset) {
        Charset::Utf8 => std::str::from_utf8(&decoded.bytes).ok().map(|text| text.as_bytes().to_vec()),
        Charset::Latin1 => Some(decoded.bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()),
        Charset::Unstated | Charset::AsciiBased | Charset::Other => None,
    }
}

#[cfg(test)]
mod tests;
