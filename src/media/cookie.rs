//! Cookie header values (RFC 6265bis section 4.2), read as leniently as servers read them.
//!
//! Servers disagree about quotes: most split at every `;` (RFC 6265bis), some let a quoted value hold one (RFC 2109)
//! and undo `\"` and octal escapes. Both readings are yielded where they differ.

use std::borrow::Cow;

use memchr::{memchr_iter, memchr2};

use super::query::split_once;
use super::space::{trim, trim_end, trim_start};

/// A cookie's name and value; repeated names stay repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The name without surrounding space; empty when the piece has no `=`.
    pub name: &'a [u8],
    /// The value without surrounding space, quotes and their escapes.
    pub value: Cow<'a, [u8]>,
    /// Servers differ in reading it: escapes, an unclosed quote, or a quoted `;`.
    pub irregular: bool,
    /// Behind a byte that ends a value for some servers an `=` follows: another cookie begins there, to Python's `http.cookies` behind
    /// white space, to CGI.pm behind a comma, to WebOb behind a quote or bracket as well.
    pub divided: bool,
}

impl Pair<'_> {
    /// The name that every server gives to all of the value; empty where some give another to a part of it.
    pub fn sure_name(&self) -> &[u8] {
        if self.divided { b"" } else { self.name }
    }
}

/// More pairs than the limit; those before it were yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyCookies;

/// Reads the pairs of every `Cookie` header in turn, at most `limit` readings together.
///
/// # Errors
/// [`TooManyCookies`] once, as the last item.
pub fn pairs<'a>(
    headers: impl IntoIterator<Item = &'a [u8]>,
    limit: usize,
) -> impl Iterator<Item = Result<Pair<'a>, TooManyCookies>> {
    let mut left = Some(limit);
    headers.into_iter().flat_map(|header| Readings { rest: Some(header), second: None }).map_while(move |pair| {
        let before = left?;
        left = before.checked_sub(1);
        Some(left.map(|_| pair).ok_or(TooManyCookies))
    })
}

/// The values of a cookie called `name` that stand within another one, behind white space, where Python's `http.cookies`
/// begins the next, or behind a comma, where RFC 2965 section 3.3.4 lets a server do so.
///
/// Linear: no byte between two `=` is looked at more than a few times.
pub fn hidden<'a>(header: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    memchr_iter(b'=', header).filter_map(move |at| {
        let (before, value) = header.split_at_checked(at)?;
        let before = trim_end(before).strip_suffix(name)?;
        let other = trim_end(before);
        let behind_space = other.len() < before.len() && !matches!(other.last(), None | Some(b';'));
        (behind_space || other.ends_with(b",")).then(|| word(value.get(1..).unwrap_or_default()))
    })
}

/// The value at the beginning, without its quotes.
fn word(bytes: &[u8]) -> &[u8] {
    let ends = |byte: u8| matches!(byte, b'\t'..=b'\r' | b' ' | b',' | b';');
    let word = trim_start(bytes).split(|byte| ends(*byte)).next().unwrap_or_default();
    word.strip_prefix(b"\"").and_then(|word| word.strip_suffix(b"\"")).unwrap_or(word)
}

struct Readings<'a> {
    rest: Option<&'a [u8]>,
    /// The RFC 2109 reading of the pair just yielded.
    second: Option<Pair<'a>>,
}

impl<'a> Iterator for Readings<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        if let Some(second) = self.second.take() {
            return Some(second);
        }
        loop {
            let rest = self.rest?;
            let (piece, after) = split_once(rest, b';');
            self.rest = after;
            let piece = trim(piece);
            if piece.is_empty() {
                continue;
            }
            let (name, value) = match split_once(piece, b'=') {
                (name, Some(value)) => (trim(name), value),
                (value, None) => (&b""[..], value),
            };
            // White space of some kinds is another end of the value where others pass over it.
            let divided = is_divided(value);
            let value = trim(value);
            if !value.starts_with(b"\"") {
                return Some(Pair { name, value: Cow::Borrowed(value), irregular: false, divided });
            }
            self.second = quoted_across_separators(name, rest, piece.len() - value.len(), after.is_some());
            return Some(Pair { divided, ..quoted(name, value) });
        }
    }
}

/// A value that starts with a quote, read up to the end of its piece.
fn quoted<'a>(name: &'a [u8], value: &'a [u8]) -> Pair<'a> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return Pair { name, value: Cow::Borrowed(value), irregular: true, divided: false };
    };
    if !inner.contains(&b'\\') {
        return Pair { name, value: Cow::Borrowed(inner), irregular: false, divided: false };
    }
    Pair { name, value: Cow::Owned(unescape(inner)), irregular: true, divided: false }
}

#[inline(never)]
fn is_divided(value: &[u8]) -> bool {
    let ends = |byte: &u8| !matches!(byte, b'!' | b'#'..=b'+' | b'-'..=b'Z' | b'^'..=b'z' | b'|' | b'~');
    value.iter().skip_while(|byte| !ends(byte)).any(|byte| *byte == b'=')
}

/// The reading in which the quoted value ends at its closing quote, when a `;` comes before that.
///
/// Linear over a header: an opening quote follows `=` and so is never escaped, and each search ends at the next one.
fn quoted_across_separators<'a>(name: &'a [u8], rest: &'a [u8], quote: usize, more: bool) -> Option<Pair<'a>> {
    if !more {
        return None;
    }
    let start = rest.len() - trim_start(rest).len() + quote + 1;
    let inner = rest.get(start..)?;
    let inner = inner.get(..closing_quote(inner)?)?;
    if !inner.contains(&b';') {
        return None;
    }
    // To whoever ends cookies at every `;` there are others in it.
    Some(Pair { name, value: Cow::Owned(unescape(inner)), irregular: true, divided: true })
}

fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

/// Undoes `\c` and `\ooo` (octal, as several servers write them).
fn unescape(inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
        } else if let Some((&[a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7'], after)) = after.split_first_chunk() {
            out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else if let Some((&escaped, after)) = after.split_first() {
            out.push(escaped);
            rest = after;
        } else {
            out.push(b'\\');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[&[u8]]) -> Vec<(String, String, bool)> {
        pairs(headers.iter().copied(), 100)
            .map(|pair| pair.unwrap())
            .map(|p| (p.name.escape_ascii().to_string(), p.value.escape_ascii().to_string(), p.irregular))
            .collect()
    }

    #[test]
    fn reads_pairs_as_servers_do() {
        for (header, expected) in [
            (&b""[..], &[][..]),
            (b" ; ;", &[]),
            (b"a=1; b=2", &[("a", "1", false), ("b", "2", false)]),
            (b"a=1;a=2", &[("a", "1", false), ("a", "2", false)]),
            (b" a = 1 ", &[("a", "1", false)]),
            (b"\xc2\xa0a\xa0=\x851\xe3\x80\x80;\xa0", &[("a", "1", false)]),
            (b"lonely", &[("", "lonely", false)]),
            (b"=x", &[("", "x", false)]),
            (b"a=b=c", &[("a", "b=c", false)]),
            (b"a=\"1\"", &[("a", "1", false)]),
            (b"a=\"\"", &[("a", "", false)]),
            (b"a=\"", &[("a", "\\\"", true)]),
            (b"a=%41", &[("a", "%41", false)]),
            (b"a=\xff\x01", &[("a", "\\xff\\x01", false)]),
            (b"a=\"x\\\"y\\075z\"", &[("a", "x\\\"y=z", true)]),
            (b"a=\"x\\", &[("a", "\\\"x\\\\", true)]),
        ] {
            let expected: Vec<_> = expected.iter().map(|&(n, v, i)| (n.to_owned(), v.to_owned(), i)).collect();
            assert_eq!(read(&[header]), expected, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn yields_both_readings_of_a_quoted_separator() {
        assert_eq!(
            read(&[b" a=\"1; b=2\"; c=3"]),
            [
                ("a".into(), "\\\"1".into(), true),
                ("a".into(), "1; b=2".into(), true),
                ("b".into(), "2\\\"".into(), false),
                ("c".into(), "3".into(), false)
            ]
        );
        assert_eq!(read(&[b"a=\"1\"; b=\"2\""]).len(), 2);
    }

    #[test]
    fn finds_a_cookie_that_hides_in_another() {
        for (header, expected) in [
            (&b"t=1"[..], &[][..]),
            (b"a=b; t=1;\tt=2; \xa0t =3;t=4", &[]),
            (b" t=1", &[]),
            (b"a=b t=1", &["1"]),
            (b"a=b\tt = 1 c=d", &["1"]),
            (b"a=b;secure t=\"1\"; c=d", &["1"]),
            (b"a=b,t=1,t=2", &["1", "2"]),
            (b"a=b;,t=1", &["1"]),
            (b"a=\"b\"\xc2\xa0t=1;t=2", &["1"]),
            (b"t=1 t=2", &["2"]),
            (b"a=b xt=1 t2=1 =t t", &[]),
        ] {
            let found: Vec<_> = hidden(header, b"t").map(|value| value.escape_ascii().to_string()).collect();
            assert_eq!(found, expected, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn reads_every_header_under_one_limit() {
        assert_eq!(read(&[b"a=1", b"b=2"]).len(), 2);
        let read: Vec<_> = pairs([&b"a=1; b=2"[..], b"c=3; d=4"], 2).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(read[2], Err(TooManyCookies));
    }

    proptest! {
        #[test]
        fn splits_quoteless_cookies_like_a_naive_splitter(header in "[ab=; %\\\\]{0,40}") {
            let naive: Vec<_> = header.split(';').map(|piece| piece.trim_matches([' ', '\t'])).filter(|p| !p.is_empty())
                .map(|piece| piece.split_once('=').unwrap_or(("", piece)))
                .map(|(n, v)| (n.trim().as_bytes().escape_ascii().to_string(),
                    v.trim().as_bytes().escape_ascii().to_string(), false)).collect();
            prop_assert_eq!(read(&[header.as_bytes()]), naive);
        }

        #[test]
        fn never_panics(header in proptest::collection::vec(prop::sample::select(b"\"\\;= 017a\xff".to_vec()), 0..64)) {
            for pair in pairs([&header[..]], 1000) {
                prop_assert!(pair.unwrap().value.len() <= header.len());
            }
        }
    }
}
