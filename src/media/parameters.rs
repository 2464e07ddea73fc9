//! `; name=value` parameters of Content-Type and Content-Disposition (RFC 9110 section 5.6.6), read strictly.

use std::borrow::Cow;

use super::query::split_once;

/// One parameter, its value without quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parameter<'a> {
    pub name: &'a [u8],
    pub value: Cow<'a, [u8]>,
}

/// The parameters cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Splits `type/subtype; a=b; c="d"` into what stands before the first `;`, trimmed, and the parameters.
pub(super) fn split(value: &[u8]) -> (&[u8], Parameters<'_>) {
    let (head, rest) = split_once(value, b';');
    (head.trim_ascii(), Parameters { rest })
}

/// The iterator over what follows the first `;`. Ends after an error.
pub(super) struct Parameters<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.take()?.trim_ascii_start();
            if rest.is_empty() {
                return None;
            }
            if let Some(after) = rest.strip_prefix(b";") {
                self.rest = Some(after);
                continue;
            }
            let Some((parameter, after)) = parameter(rest) else { return Some(Err(Malformed)) };
            let after = after.trim_ascii_start();
            self.rest = after.strip_prefix(b";");
            if self.rest.is_none() && !after.is_empty() {
                return Some(Err(Malformed));
            }
            return Some(Ok(parameter));
        }
    }
}

fn parameter(rest: &[u8]) -> Option<(Parameter<'_>, &[u8])> {
    let length = rest.iter().take_while(|byte| is_token(**byte)).count();
    let (name, after) = rest.split_at_checked(length).filter(|(name, _)| !name.is_empty())?;
    let after = after.strip_prefix(b"=")?;
    let (value, after) = match after.strip_prefix(b"\"") {
        Some(inner) => quoted(inner)?,
        None => unquoted(after)?,
    };
    Some((Parameter { name, value }, after))
}

/// Up to the closing quote. A backslash escapes a quote or itself only: browsers send `C:\path` as it is.
fn quoted(inner: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut at = 0;
    let mut escaped = false;
    loop {
        at += memchr::memchr2(b'"', b'\\', inner.get(at..)?)?;
        match (inner.get(at), inner.get(at + 1)) {
            (Some(b'"'), _) => break,
            (_, Some(b'"' | b'\\')) => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    let (value, after) = (inner.get(..at)?, inner.get(at + 1..)?);
    let value = if escaped { Cow::Owned(unescape(value)) } else { Cow::Borrowed(value) };
    Some((value, after))
}

fn unescape(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after.split_first()) {
            (b'\\', Some((&next @ (b'"' | b'\\'), after))) => {
                out.push(next);
                rest = after;
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Wider than a token, since boundaries such as `----=_Part/1` travel without quotes.
fn unquoted(after: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let plain = |byte: &&u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
    let length = after.iter().take_while(plain).count();
    let (value, after) = after.split_at_checked(length).filter(|(value, _)| !value.is_empty())?;
    Some((Cow::Borrowed(value), after))
}

/// Where a word begins, in any case: in short texts, and once in the module.
#[inline(never)]
pub(super) fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|here| here.eq_ignore_ascii_case(word))
}

/// RFC 9110 section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<String, Malformed> {
        let (head, parameters) = split(value.as_bytes());
        let mut out = String::from_utf8_lossy(head).into_owned();
        for parameter in parameters {
            let Parameter { name, value } = parameter?;
            out += &format!("|{}={}", name.escape_ascii(), String::from_utf8_lossy(&value));
        }
        Ok(out)
    }

    #[test]
    fn reads_quoted_and_plain_values() {
        for (value, expected) in [
            ("a/b", "a/b"),
            (" a/b ; ", "a/b"),
            ("a/b;;x=1; ;y=2;", "a/b|x=1|y=2"),
            ("f; name=\"a;b\\\"c\\\\d\"; x=\"\"", "f|name=a;b\"c\\d|x="),
            ("f; filename=\"C:\\temp\\é.txt\"", "f|filename=C:\\temp\\é.txt"),
            ("m; boundary=----=_Part/1", "m|boundary=----=_Part/1"),
            ("f; filename*=UTF-8''%e2%82%ac", "f|filename*=UTF-8''%e2%82%ac"),
        ] {
            assert_eq!(read(value).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn refuses_what_recipients_read_differently() {
        for value in [
            "a; x",
            "a; =1",
            "a; x=",
            "a; x =1",
            "a; x= 1",
            "a; x=1 y=2",
            "a; x=1, b; x=2",
            "a; x=\"1",
            "a; x=\"1\\\"",
            "a; x=\"1\"2",
            "a; x=1\"2\"",
            "a; x=é",
            "a; x=a\\b",
        ] {
            assert_eq!(read(value), Err(Malformed), "{value}");
        }
    }
}
