//! Content-Type (RFC 9110 section 8.3), and which reader a body belongs to.

use super::multipart::Boundary;
use super::parameters::{self, Parameter, find, is_token};

/// A parsed Content-Type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType<'a> {
    /// What the body is.
    pub media: Media<'a>,
    /// How its characters are written, as far as the header says.
    pub charset: Charset,
}

/// Which reader a body belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media<'a> {
    /// `application/json`, `text/json`, any `+json`.
    Json,
    /// `application/x-www-form-urlencoded`, and whatever has `urlencoded` in its name.
    Form,
    /// `multipart/form-data`.
    Multipart(Boundary<'a>),
    /// Any other `multipart/*`: documents without names.
    Parts(Boundary<'a>),
    /// `application/xml`, `text/xml`, any `+xml` (HTML is text).
    Xml,
    /// Any other `text/*`; `application/json-seq`, any `+json-seq`.
    Text,
    /// `application/grpc`, `application/grpc-web`, `application/connect`, each with or without `+...`: framed messages, never
    /// held.
    Grpc,
    /// `application/grpc-web-text`, with or without `+...`: the same in base64.
    GrpcText,
    /// `application/connect+json`: framed JSON.
    ConnectJson,
    /// `text/event-stream`: never held.
    EventStream,
    /// Anything else.
    Other,
}

/// The `charset` parameter, as far as inspection must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// No parameter.
    Unstated,
    /// UTF-8 or its subset US-ASCII.
    Utf8,
    /// ISO-8859-1 or Windows-1252: the same ASCII bytes.
    Latin1,
    /// Another in which each character of ASCII is one byte, its own. Beyond it a byte may seem to be one, such as a
    /// backslash: texts can be looked at, but no grammar holds.
    AsciiBased,
    /// Any other: a recipient that honours it reads other characters than the bytes show (UTF-16, UTF-7, EBCDIC).
    Other,
}

/// Why a Content-Type is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not `type/subtype` with well-formed parameters, or several values joined by a comma.
    Malformed,
    /// `boundary` or `charset` occurs twice, or in the form of RFC 2231 (`boundary*=`, `boundary*0=`); or a word stands where only
    /// some recipients heed it.
    AmbiguousParameter,
    /// `multipart/*` without a boundary, or with one that RFC 2046 does not allow.
    Boundary,
}

impl<'a> ContentType<'a> {
    /// Parses the one value of the header. A repeated header is the caller's to refuse.
    ///
    /// # Errors
    /// [`Error`], for whatever two recipients could read in two ways.
    pub fn parse(value: &'a [u8]) -> Result<Self, Error> {
        // What most bodies are, and several checks of one request ask.
        if value == b"application/json" {
            return Ok(Self { media: Media::Json, charset: Charset::Unstated });
        }
        let (essence, parameters) = parameters::split(value);
        let (kind, subtype) = type_and_subtype(essence).ok_or(Error::Malformed)?;
        let mut boundary = None;
        let mut charset = None;
        for parameter in parameters {
            let Parameter { name, value } = parameter.map_err(|_| Error::Malformed)?;
            // Everything up to a `*` is the name by RFC 2231.
            let base = name.split(|byte| *byte == b'*').next().unwrap_or(name);
            let slot = match base {
                _ if base.eq_ignore_ascii_case(b"boundary") => &mut boundary,
                _ if base.eq_ignore_ascii_case(b"charset") => &mut charset,
                _ => continue,
            };
            if base.len() != name.len() || slot.replace(value).is_some() {
                return Err(Error::AmbiguousParameter);
            }
        }
        let charset = charset.map_or(Charset::Unstated, |name| Charset::named(&name));
        let boundary = boundary.and_then(Boundary::new).map(|boundary| boundary.in_quotes(is_quoted(value)));
        let media = media(kind, subtype, boundary)?;
        if misleads(&media, value) {
            return Err(Error::AmbiguousParameter);
        }
        Ok(Self { media, charset })
    }
}

/// Whether a recipient that looks for a word in the whole header finds another type or another boundary than stands there: PHP, CGI.pm
/// and formidable do so, in names and values of other parameters too.
fn misleads(media: &Media<'_>, header: &[u8]) -> bool {
    let says = |word: &[u8]| find(header, word).is_some();
    if matches!(media, Media::Multipart(_) | Media::Parts(_)) {
        // The first such word and the last such parameter are the one that was read; its value may hold the word again.
        let read = find(header, b"boundary").unwrap_or_default();
        let behind = header.get(read + 1..).unwrap_or_default();
        return find(header, b"boundary=") != Some(read) || find(behind, b"boundary=").is_some() || says(b"urlencoded");
    }
    says(b"multipart") || *media != Media::Form && says(b"urlencoded")
}

impl Charset {
    /// The charset of that name, in any case.
    pub fn named(name: &[u8]) -> Self {
        let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
        if ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(is) {
            return Self::Utf8;
        }
        if ["iso-8859-1", "latin1", "windows-1252"].iter().any(is) {
            return Self::Latin1;
        }
        let based = ASCII_BASED.iter().any(is) || is_of_a_family(&name.to_ascii_lowercase());
        if based { Self::AsciiBased } else { Self::Other }
    }

    /// Whether the grammars of JSON, XML and forms are found in such bytes.
    pub const fn has_grammar(self) -> bool {
        matches!(self, Self::Unstated | Self::Utf8 | Self::Latin1)
    }
}

/// Of the Encoding Standard, and `binary`, by which some tools say that there is none.
const ASCII_BASED: [&str; 27] = [
    "binary",
    "big5",
    "big5-hkscs",
    "cp866",
    "cp932",
    "cp936",
    "cp949",
    "cp950",
    "euc-jp",
    "euc-kr",
    "euc-tw",
    "gb18030",
    "gb2312",
    "gbk",
    "ibm866",
    "koi8-r",
    "koi8-u",
    "ks_c_5601-1987",
    "latin2",
    "latin9",
    "macintosh",
    "ms932",
    "shift-jis",
    "shift_jis",
    "sjis",
    "tis-620",
    "windows-31j",
];

/// ISO 8859 and the code pages of Windows.
fn is_of_a_family(name: &[u8]) -> bool {
    let number =
        |family: &[u8]| name.strip_prefix(family).and_then(|rest| std::str::from_utf8(rest).ok()?.parse().ok());
    let iso = [&b"iso-8859-"[..], b"iso8859-", b"iso_8859-"].into_iter().find_map(number);
    let windows = [&b"windows-"[..], b"cp"].into_iter().find_map(number);
    matches!(iso, Some(1..=16_u16)) || matches!(windows, Some(874 | 1250..=1258_u16))
}

fn type_and_subtype(essence: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = memchr::memchr(b'/', essence)?;
    let (kind, subtype) = (essence.get(..slash)?, essence.get(slash + 1..)?);
    let valid = |name: &[u8]| !name.is_empty() && name.iter().all(|byte| is_token(*byte));
    (valid(kind) && valid(subtype)).then_some((kind, subtype))
}

/// Whether the boundary stands in quotes.
fn is_quoted(header: &[u8]) -> bool {
    find(header, b"boundary=\"").is_some()
}

fn media<'a>(kind: &[u8], subtype: &[u8], boundary: Option<Boundary<'a>>) -> Result<Media<'a>, Error> {
    let (kind, subtype) = (kind.to_ascii_lowercase(), subtype.to_ascii_lowercase());
    Ok(match (&*kind, &*subtype) {
        (b"multipart", subtype) => {
            let boundary = boundary.ok_or(Error::Boundary)?;
            if subtype == b"form-data" { Media::Multipart(boundary) } else { Media::Parts(boundary) }
        }
        // `x-www-form-urlencoded`, or what some recipients take for it.
        (_, subtype) if find(subtype, b"urlencoded").is_some() => Media::Form,
        // Before `+json`: these are framed, too.
        (b"application", b"connect+json") => Media::ConnectJson,
        (b"application", subtype) if is_coded(subtype, b"grpc-web-text") => Media::GrpcText,
        (b"application", subtype) if FRAMED.iter().any(|base| is_coded(subtype, base)) => Media::Grpc,
        (b"text", b"event-stream") => Media::EventStream,
        (b"application" | b"text", b"json") => Media::Json,
        (b"application" | b"text", b"xml") => Media::Xml,
        (_, suffixed) if suffixed.ends_with(b"+json") => Media::Json,
        (_, suffixed) if suffixed.ends_with(b"+xml") => Media::Xml,
        (b"text", _) => Media::Text,
        // Its readers pass over what is no JSON in it: no byte makes it binary (RFC 7464, RFC 8091).
        (_, suffixed) if suffixed.ends_with(b"json-seq") => Media::Text,
        _ => Media::Other,
    })
}

const FRAMED: [&[u8]; 3] = [b"grpc", b"grpc-web", b"connect"];

/// Whether the subtype is `base`, alone or with the name of a codec behind a plus.
fn is_coded(subtype: &[u8], base: &[u8]) -> bool {
    subtype.strip_prefix(base).is_some_and(|codec| matches!(codec.first(), None | Some(b'+')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media_of(value: &str) -> Result<Media<'_>, Error> {
        ContentType::parse(value.as_bytes()).map(|parsed| parsed.media)
    }

    #[test]
    fn classifies_by_type_and_suffix_in_any_case() {
        for (value, expected) in [
            ("application/json", Media::Json),
            ("Application/JSON; charset=utf-8", Media::Json),
            ("text/json", Media::Json),
            ("application/vnd.api+json;v=1", Media::Json),
            ("application/problem+JSON", Media::Json),
            ("application/x-www-form-urlencoded", Media::Form),
            ("application/x-www-form-urlencoded2", Media::Form),
            ("image/URLencoded", Media::Form),
            ("application/xml", Media::Xml),
            ("text/xml", Media::Xml),
            ("application/soap+xml; action=\"a/b\"", Media::Xml),
            ("image/svg+xml", Media::Xml),
            ("text/html", Media::Text),
            ("text/plain", Media::Text),
            ("text/event-stream", Media::EventStream),
            ("application/grpc", Media::Grpc),
            ("application/grpc+json", Media::Grpc),
            ("application/grpc-web+proto", Media::Grpc),
            ("application/grpc-web-text", Media::GrpcText),
            ("application/grpc-web-text+proto", Media::GrpcText),
            ("application/connect+proto", Media::Grpc),
            ("application/connect+json", Media::ConnectJson),
            ("application/grpc-like", Media::Other),
            ("application/connected+json", Media::Json),
            ("application/octet-stream", Media::Other),
            ("application/jsonp", Media::Other),
            ("application/json-seq", Media::Text),
            ("application/geo+json-seq", Media::Text),
        ] {
            assert_eq!(media_of(value), Ok(expected), "{value}");
        }
    }

    #[test]
    fn every_multipart_type_has_parts() {
        for value in
            ["multipart/related; boundary=x", "Multipart/Mixed; boundary=x", "multipart/form-data2; boundary=x"]
        {
            assert!(matches!(media_of(value), Ok(Media::Parts(_))), "{value}");
        }
    }

    #[test]
    fn multipart_carries_a_valid_boundary() {
        for (value, expected) in [
            ("multipart/form-data; boundary=abc", "abc"),
            ("multipart/form-data; BOUNDARY=\"a b\"", "a b"),
            ("multipart/form-data; charset=utf-8; boundary=----=_Part_1.2", "----=_Part_1.2"),
            ("multipart/form-data; boundary=----WebKitFormBoundaryAb1", "----WebKitFormBoundaryAb1"),
            ("Multipart/Form-Data; Boundary=boundary_boundary", "boundary_boundary"),
        ] {
            let Ok(Media::Multipart(boundary)) = media_of(value) else { panic!("{value}") };
            assert_eq!(boundary.as_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn refuses_what_two_recipients_could_read_differently() {
        let long = format!("multipart/form-data; boundary={}", "a".repeat(71));
        for (value, error) in [
            ("", Error::Malformed),
            ("json", Error::Malformed),
            ("/json", Error::Malformed),
            ("application/", Error::Malformed),
            ("application/json, text/plain", Error::Malformed),
            ("application /json", Error::Malformed),
            ("text/plain; a", Error::Malformed),
            ("multipart/form-data; boundary=a, multipart/form-data; boundary=b", Error::Malformed),
            ("multipart/form-data; boundary=a; boundary=b", Error::AmbiguousParameter),
            ("multipart/form-data; boundary=a; Boundary=a", Error::AmbiguousParameter),
            ("multipart/form-data; boundary*=utf-8''b", Error::AmbiguousParameter),
            ("multipart/form-data; boundary*0=a; boundary*1=b", Error::AmbiguousParameter),
            ("application/json; charset=utf-8; charset=utf-16", Error::AmbiguousParameter),
            ("multipart/form-data; xboundary=a; boundary=b", Error::AmbiguousParameter),
            ("multipart/form-data; Boundary2=a; boundary=b", Error::AmbiguousParameter),
            ("multipart/form-data; x=boundary=a; boundary=b", Error::AmbiguousParameter),
            ("multipart/form-data; x=\"; Boundary=a; \"; boundary=b", Error::AmbiguousParameter),
            ("multipart/form-data; boundary=b; xboundary=a", Error::AmbiguousParameter),
            ("multipart/form-data; boundary=b; x=\"boundary=a\"", Error::AmbiguousParameter),
            ("multipart/form-data; boundary=\"b boundary=a\"", Error::AmbiguousParameter),
            ("multipart/form-data; boundary=b; x=urlencoded", Error::AmbiguousParameter),
            ("application/x-multipart; boundary=b", Error::AmbiguousParameter),
            ("image/png; x=Multipart; boundary=b", Error::AmbiguousParameter),
            ("image/png; x=URLencoded", Error::AmbiguousParameter),
            ("multipart/form-data; boundary=\"a,b\"", Error::Boundary),
            ("multipart/form-data", Error::Boundary),
            ("multipart/mixed", Error::Boundary),
            ("multipart/form-data; boundary=\"\"", Error::Boundary),
            ("multipart/form-data; boundary=\"a \"", Error::Boundary),
            ("multipart/form-data; boundary=\"a\\\"b\"", Error::Boundary),
            ("multipart/form-data; boundary=a<b", Error::Boundary),
            (&long, Error::Boundary),
        ] {
            assert_eq!(media_of(value), Err(error), "{value}");
        }
    }

    #[test]
    fn tells_charsets_that_hide_ascii() {
        for (value, expected) in [
            ("application/json", Charset::Unstated),
            ("application/json; charset=UTF-8", Charset::Utf8),
            ("application/json; charset=\"utf-8\"", Charset::Utf8),
            ("text/plain; charset=ISO-8859-1", Charset::Latin1),
            ("text/csv; charset=ISO-8859-15", Charset::AsciiBased),
            ("text/csv; charset=cp1251", Charset::AsciiBased),
            ("text/csv; charset=Shift_JIS", Charset::AsciiBased),
            ("text/csv; charset=iso-8859-17", Charset::Other),
            ("text/csv; charset=cp037", Charset::Other),
            ("application/json; charset=utf-16", Charset::Other),
            ("application/x-www-form-urlencoded; charset=ibm037", Charset::Other),
            ("text/xml; charset=utf-7", Charset::Other),
        ] {
            assert_eq!(ContentType::parse(value.as_bytes()).unwrap().charset, expected, "{value}");
        }
    }
}
