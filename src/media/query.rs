//! application/x-www-form-urlencoded (WHATWG URL, section 5.1): the query of a URL and form bodies.

use std::borrow::Cow;

use memchr::memchr;

use super::percent::{self, Decoded};

/// A name and its value, decoded once, in the order sent; repeated names stay repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Everything before the first `=`; the whole piece when there is none.
    pub name: Cow<'a, [u8]>,
    /// Everything after the first `=`; empty when there is none.
    pub value: Cow<'a, [u8]>,
    /// The name or the value holds a malformed percent sequence, kept as it was.
    pub malformed: bool,
    /// A `;` stands in the value as it is: CGI.pm, WebOb and Rack's queries begin another pair there.
    pub divided: bool,
}

impl Pair<'_> {
    /// The name that every recipient gives to all of the value; empty where some give another to a part of it.
    pub fn sure_name(&self) -> &[u8] {
        if self.divided { b"" } else { &self.name }
    }
}

/// Whether whoever takes `text` for a form finds another pair in it.
#[inline(never)]
pub fn holds_a_pair(text: &[u8]) -> bool {
    let mut behind = text.iter().skip_while(|byte| !matches!(byte, b'&' | b';'));
    behind.any(|byte| *byte == b'=')
}

/// More pairs than the limit; those before it were yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPairs;

/// Reads the pairs of `raw` (without the `?`), at most `limit` of them.
///
/// Empty pieces (`a=1&&b=2`) are no pairs. `;` separates nothing: a value that holds it is yielded whole, and said to be divided.
///
/// # Errors
/// [`TooManyPairs`] once, as the last item.
pub fn pairs(raw: &[u8], limit: usize) -> Pairs<'_> {
    Pairs { rest: Some(raw), left: limit }
}

/// The iterator of [`pairs`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: Option<&'a [u8]>,
    left: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<Pair<'a>, TooManyPairs>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.next_piece()?;
        let Some(left) = self.left.checked_sub(1) else {
            self.rest = None;
            return Some(Err(TooManyPairs));
        };
        self.left = left;
        Some(Ok(pair(piece)))
    }
}

impl<'a> Pairs<'a> {
    fn next_piece(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest?;
            let (piece, after) = split_once(rest, b'&');
            self.rest = after;
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    }
}

/// Whether bytes occur that no encoder of forms leaves as they are. Sloppy clients do; so does what is no form.
pub fn is_unencoded(raw: &[u8]) -> bool {
    raw.iter().any(|byte| !matches!(byte, b'!'..=b'~') || b"\"'<>\\^`{|}".contains(byte))
}

/// What the pairs hide from whoever takes `raw` for a text: pieces in which the separators are text as well. A piece ends
/// where `&` and a plain pair follow. Of one that begins with a plain name and `=` the rest is given, under that name; one in
/// which nothing else is separated goes without.
pub fn texts(raw: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(raw);
    let pieces = std::iter::from_fn(move || {
        let piece = rest?;
        let mut separators = memchr::memchr_iter(b'&', piece);
        let end = separators.find(|at| piece.get(at + 1..).is_some_and(begins_plainly));
        rest = end.and_then(|end| piece.get(end + 1..));
        piece.get(..end.unwrap_or(piece.len()))
    });
    pieces.filter_map(|piece| match plain_name(piece) {
        (_, []) => None,
        (name @ [_, ..], [b'=', value @ ..]) => Some((name, value)).filter(|_| memchr(b'&', value).is_some()),
        _ => Some((&b""[..], piece)),
    })
}

/// Whether a name follows such as programs give, and its `=`.
pub(super) fn opens_a_form(bytes: &[u8]) -> bool {
    matches!(plain_name(bytes), ([_, ..], [b'=', ..]))
}

/// Whether a pair follows whose name is such, or a name without a value.
fn begins_plainly(bytes: &[u8]) -> bool {
    matches!(plain_name(bytes), ([_, ..], [] | [b'=' | b'&', ..]))
}

/// The name that begins `bytes`, empty where none does, and what follows it.
fn plain_name(bytes: &[u8]) -> (&[u8], &[u8]) {
    const LONGEST: usize = 128;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.[]%".contains(byte);
    let length = bytes.iter().take(LONGEST).take_while(|byte| plain(byte)).count();
    bytes.split_at_checked(length).unwrap_or_default()
}

fn pair(piece: &[u8]) -> Pair<'_> {
    let (name, value) = split_once(piece, b'=');
    let Decoded { bytes: name, malformed: name_malformed } = percent::decode_form(name);
    let value = value.unwrap_or_default();
    let divided = value.contains(&b';');
    let Decoded { bytes: value, malformed: value_malformed } = percent::decode_form(value);
    Pair { name, value, malformed: name_malformed || value_malformed, divided }
}

/// What is before and after the first `separator`.
pub(super) fn split_once(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let Some(at) = memchr(separator, bytes) else { return (bytes, None) };
    (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Plain = (Vec<u8>, Vec<u8>, bool);

    #[test]
    fn yields_the_texts_that_pairs_take_apart() {
        for (raw, expected) in [
            ("", &[][..]),
            ("a=1&b=2", &[]),
            ("a=1 = 2&b[0]=it's", &[]),
            ("fish & chips", &[("", "fish & chips")]),
            ("a=fish & chips&b=2", &[("a", "fish & chips")]),
            ("a=fine, &b&c", &[]),
            ("flag", &[]),
            ("a&b c&d=1", &[("", "a&b c")]),
            ("hello <a b=c>&d=1", &[("", "hello <a b=c>")]),
            ("a=1&&b=2&=3", &[("a", "1&"), ("b", "2&=3")]),
        ] {
            let read: Vec<_> = texts(raw.as_bytes()).map(|(name, text)| (name.to_vec(), text.to_vec())).collect();
            let expected: Vec<_> =
                expected.iter().map(|(name, text)| (name.as_bytes().to_vec(), text.as_bytes().to_vec())).collect();
            assert_eq!(read, expected, "{raw}");
        }
    }

    fn read(raw: &[u8]) -> Vec<Plain> {
        pairs(raw, usize::MAX).map(|pair| pair.unwrap()).map(|p| (p.name.into(), p.value.into(), p.malformed)).collect()
    }

    /// The same by whole-string splitting and a decoder that looks at one byte at a time.
    fn naive(raw: &[u8]) -> Vec<Plain> {
        fn decode(raw: &[u8]) -> (Vec<u8>, bool) {
            let (mut out, mut bad, mut at) = (Vec::new(), false, 0);
            while at < raw.len() {
                let pair = raw.get(at + 1..at + 3).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
                match (raw[at], pair) {
                    (b'%', Some(pair)) => {
                        out.push(u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
                        at += 2;
                    }
                    (b'%', None) => {
                        out.push(b'%');
                        bad = true;
                    }
                    (b'+', _) => out.push(b' '),
                    (byte, _) => out.push(byte),
                }
                at += 1;
            }
            (out, bad)
        }
        raw.split(|byte| *byte == b'&')
            .filter(|piece| !piece.is_empty())
            .map(|piece| {
                let mut halves = piece.splitn(2, |byte| *byte == b'=');
                let (name, bad_name) = decode(halves.next().unwrap());
                let (value, bad_value) = decode(halves.next().unwrap_or_default());
                (name, value, bad_name || bad_value)
            })
            .collect()
    }

    #[test]
    fn splits_before_it_decodes() {
        for (raw, expected) in [
            (&b""[..], vec![]),
            (b"&&", vec![]),
            (b"a=1&b=2", vec![(&b"a"[..], &b"1"[..])]),
            (b"a=1&a=2", vec![(b"a", b"1"), (b"a", b"2")]),
            (b"flag", vec![(b"flag", b"")]),
            (b"=x", vec![(b"", b"x")]),
            (b"a=b=c", vec![(b"a", b"b=c")]),
            (b"a%3Db=%26c", vec![(b"a=b", b"&c")]),
            (b"a=1;b=2", vec![(b"a", b"1;b=2")]),
            (b"q=x+%00\xff", vec![(b"q", b"x \x00\xff")]),
        ] {
            let read = read(raw);
            for (at, (name, value)) in expected.iter().enumerate() {
                assert_eq!((&*read[at].0, &*read[at].1), (*name, *value), "{}", raw.escape_ascii());
            }
            assert_eq!(read.is_empty(), expected.is_empty());
        }
    }

    #[test]
    fn flags_a_malformed_sequence_in_a_name_or_a_value() {
        for (raw, malformed) in [(&b"a=1"[..], false), (b"a=%", true), (b"%=a", true), (b"%u0041=a", true)] {
            assert_eq!(read(raw)[0].2, malformed);
        }
    }

    #[test]
    fn stops_after_the_limit_with_one_error() {
        let read: Vec<_> = pairs(b"a&b&c&d", 2).collect();
        assert_eq!(read.len(), 3);
        assert_eq!(read[2], Err(TooManyPairs));
        assert_eq!(pairs(b"a&&b&", 2).filter(Result::is_ok).count(), 2);
        assert!(pairs(b"a&&b&", 2).all(|pair| pair.is_ok()));
    }

    proptest! {
        #[test]
        fn agrees_with_a_naive_decoder(raw in proptest::collection::vec(prop_oneof![
            4 => prop::sample::select(b"&=%+;ab1Ff".to_vec()), 1 => any::<u8>()
        ], 0..64)) {
            prop_assert_eq!(read(&raw), naive(&raw));
        }
    }
}
