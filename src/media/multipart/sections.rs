//! Other multipart types (RFC 2046; RFC 2387, related): documents without names. Unlike forms they come from many writers of
//! mail: header lines may be folded, lines may be empty around the parts, and content may be in base64.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Boundary, Cut, Cuts, Error, Limits, field, is_identity, lines};

/// One document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Its own Content-Type, unfolded.
    pub content_type: Option<Vec<u8>>,
    /// All header lines, unfolded.
    pub headers: Vec<u8>,
    /// The content, decoded.
    pub body: Cow<'a, [u8]>,
}

/// Reads the sections of `body` in order; ends after an error or the closing delimiter.
pub fn sections<'a>(body: &'a [u8], boundary: &Boundary<'_>, limits: &Limits) -> Sections<'a> {
    let blank = body.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let starts_a_line = body.get(..blank).is_some_and(|blank| blank.ends_with(b"\n"));
    let at = Some(if starts_a_line { blank } else { 0 });
    Sections(Cuts { at, blank_around: true, ..Cuts::new(body, boundary, limits) })
}

/// The iterator of [`sections`].
#[derive(Clone, Debug)]
pub struct Sections<'a>(Cuts<'a>);

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let section = self.0.next()?.and_then(|cut| section(&cut));
        if section.is_err() {
            self.0.at = None;
        }
        Some(section)
    }
}

fn section<'a>(cut: &Cut<'a>) -> Result<Section<'a>, Error> {
    let Cut { headers, body, offset } = *cut;
    let malformed = Error::Header { offset };
    let headers = unfolded(headers);
    let (mut content_type, mut encoding) = (None, None);
    for line in lines(&headers) {
        let (name, value) = field(line).ok_or(malformed)?;
        let slot = match &*name.to_ascii_lowercase() {
            b"content-type" => &mut content_type,
            b"content-transfer-encoding" => &mut encoding,
            _ => continue,
        };
        if slot.replace(value).is_some() {
            return Err(malformed);
        }
    }
    let body = match encoding {
        Some(encoding) if !is_identity(encoding) => {
            Cow::Owned(decoded(encoding, body).ok_or(Error::TransferEncoding { offset })?)
        }
        _ => Cow::Borrowed(body),
    };
    Ok(Section { content_type: content_type.map(<[u8]>::to_vec), body, headers })
}

/// Without the line ends before white space (RFC 5322 section 2.2.3).
fn unfolded(headers: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::with_capacity(headers.len());
    for line in lines(headers) {
        if !unfolded.is_empty() && !line.starts_with(b" ") && !line.starts_with(b"\t") {
            unfolded.extend_from_slice(b"\r\n");
        }
        unfolded.extend_from_slice(line);
    }
    unfolded
}

fn decoded(encoding: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    if !encoding.eq_ignore_ascii_case(b"base64") {
        return None;
    }
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<(Option<String>, String)>, Error> {
        let boundary = Boundary::new(Cow::Borrowed(b"b")).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        sections(body.as_bytes(), &boundary, &Limits::default())
            .map(|section| section.map(|section| (section.content_type.as_deref().map(text), text(&section.body))))
            .collect()
    }

    #[test]
    fn reads_documents_as_writers_of_mail_send_them() {
        let body = "\r\n\n--b\r\n\r\nbare\r\n--b\r\nContent-Type: text/xml;\r\n\tcharset=utf-8;\r\n type=a\r\nX: 1\r\n\r\n<a/>\r\n\
            --b\r\nContent-Transfer-Encoding: Base64\r\n\r\naGVs\r\nbG8=\r\n--b--\r\n \r\n";
        let folded = Some("text/xml;\tcharset=utf-8; type=a".to_owned());
        let expected = [(None, "bare".to_owned()), (folded, "<a/>".to_owned()), (None, "hello".to_owned())];
        assert_eq!(read(body).unwrap(), expected);
    }

    #[test]
    fn refuses_what_would_be_read_differently() {
        let header = |headers: &str| format!("--b\r\n{headers}\r\n\r\nx\r\n--b--");
        for (body, error) in [
            (header("Content-Type: a/b\r\nContent-Type: a/b"), Error::Header { offset: 5 }),
            (header(" Content-Type: a/b"), Error::Header { offset: 5 }),
            (header("Content-Type : a/b"), Error::Header { offset: 5 }),
            (header("Content-Transfer-Encoding: quoted-printable"), Error::TransferEncoding { offset: 5 }),
            (header("Content-Transfer-Encoding: base64"), Error::TransferEncoding { offset: 5 }),
            (format!(" {}", header("X: 1")), Error::Delimiter { offset: 0 }),
            (format!("preamble\r\n{}", header("X: 1")), Error::Delimiter { offset: 0 }),
            (format!("{}epilogue", header("X: 1")), Error::Delimiter { offset: 21 }),
            ("--b\r\n\r\nx".to_owned(), Error::Unterminated),
            (header("X: 1").replace("x\r\n", "x\n"), Error::LineEnd { offset: 15 }),
        ] {
            assert_eq!(read(&body), Err(error), "{body:?}");
        }
    }
}
