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
}

/// More pairs than the limit; those before it were yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPairs;

/// Reads the pairs of `raw` (without the `?`), at most `limit` of them.
///
/// Empty pieces (`a=1&&b=2`) are no pairs. `;` separates nothing: a value that holds it is yielded whole.
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

fn pair(piece: &[u8]) -> Pair<'_> {
    let (name, value) = split_once(piece, b'=');
    let Decoded { bytes: name, malformed: name_malformed } = percent::decode_form(name);
    let Decoded { bytes: value, malformed: value_malformed } = percent::decode_form(value.unwrap_or_default());
    Pair { name, value, malformed: name_malformed || value_malformed }
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
