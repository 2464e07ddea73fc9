//! Percent-decoding (RFC 3986 section 2.1), once, keeping what is not a valid sequence.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// Decoded bytes, borrowed when nothing had to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The bytes, not necessarily UTF-8.
    pub bytes: Cow<'a, [u8]>,
    /// A `%` not followed by two hexadecimal digits was kept as it is.
    pub malformed: bool,
}

/// Decodes `%XX`; `+` stays a plus sign, as in a path.
pub fn decode(raw: &[u8]) -> Decoded<'_> {
    match memchr(b'%', raw) {
        None => Decoded { bytes: Cow::Borrowed(raw), malformed: false },
        Some(first) => decode_from(raw, first, b'+'),
    }
}

/// Decodes `%XX` and `+` as a space, as in application/x-www-form-urlencoded (WHATWG URL, section 5.1).
pub fn decode_form(raw: &[u8]) -> Decoded<'_> {
    match memchr2(b'%', b'+', raw) {
        None => Decoded { bytes: Cow::Borrowed(raw), malformed: false },
        Some(first) => decode_from(raw, first, b' '),
    }
}

fn decode_from(raw: &[u8], first: usize, plus: u8) -> Decoded<'_> {
    let (clean, mut rest) = raw.split_at_checked(first).unwrap_or((raw, &[]));
    let mut bytes = Vec::with_capacity(raw.len());
    bytes.extend_from_slice(clean);
    let mut malformed = false;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(if byte == b'+' { plus } else { byte });
            continue;
        }
        match tail.split_first_chunk::<2>().and_then(|(digits, after)| Some((hex_pair(digits)?, after))) {
            Some((value, after)) => {
                bytes.push(value);
                rest = after;
            }
            None => {
                bytes.push(b'%');
                malformed = true;
            }
        }
    }
    Decoded { bytes: Cow::Owned(bytes), malformed }
}

/// The byte that two hexadecimal digits in either case stand for.
pub(crate) fn hex_pair(&[high, low]: &[u8; 2]) -> Option<u8> {
    Some(hex_digit(high)? << 4 | hex_digit(low)?)
}

/// The value of one hexadecimal digit in either case.
pub(super) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once_and_keeps_malformed_sequences_flagged() {
        for (raw, expected, malformed) in [
            (&b""[..], &b""[..], false),
            (b"plain", b"plain", false),
            (b"%41%6a%6A", b"Ajj", false),
            (b"%2527", b"%27", false),
            (b"%00%ff", b"\x00\xff", false),
            (b"%", b"%", true),
            (b"%4", b"%4", true),
            (b"%zz%41", b"%zzA", true),
            (b"%%41", b"%A", true),
            (b"%u0041", b"%u0041", true),
            (b"%+1", b"%+1", true),
        ] {
            let decoded = decode(raw);
            assert_eq!((&*decoded.bytes, decoded.malformed), (expected, malformed), "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn a_plus_is_a_space_in_forms_only() {
        assert_eq!(&*decode(b"a+b%2b").bytes, b"a+b+");
        assert_eq!(&*decode_form(b"a+b%2b").bytes, b"a b+");
    }

    #[test]
    fn borrows_what_needs_no_decoding() {
        assert!(matches!(decode_form(b"untouched").bytes, Cow::Borrowed(_)));
        assert!(matches!(decode(b"un+touched").bytes, Cow::Borrowed(_)));
    }
}
