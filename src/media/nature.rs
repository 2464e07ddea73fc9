//! What bytes are, where no type says it or none is believed: text, text in wider characters, or binary.

use super::query;
use crate::document::without_byte_order_mark;
use crate::lanes::Lanes;

/// Wider characters than bytes, told as parsers tell them (RFC 4627 section 3; XML 1.0, appendix F).
#[derive(Clone, Copy)]
enum Wide {
    Utf16(fn([u8; 2]) -> u16),
    Utf32(fn([u8; 4]) -> u32),
}

/// The text in UTF-8, if it is in UTF-16 or UTF-32: by its byte order mark, or because its first character is of ASCII. The mark
/// is left out, and what is no character becomes U+FFFD.
pub fn from_wide(bytes: &[u8]) -> Option<String> {
    let (wide, mark) = wide(bytes)?;
    let bytes = bytes.get(mark..).unwrap_or_default();
    Some(match wide {
        Wide::Utf16(read) => {
            let units = bytes.as_chunks().0.iter().map(|unit| read(*unit));
            char::decode_utf16(units).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        Wide::Utf32(read) => {
            let units = bytes.as_chunks().0.iter().map(|unit| read(*unit));
            units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
    })
}

/// The encoding, and how long its mark is.
fn wide(bytes: &[u8]) -> Option<(Wide, usize)> {
    const BIG: (Wide, Wide) = (Wide::Utf16(u16::from_be_bytes), Wide::Utf32(u32::from_be_bytes));
    const LITTLE: (Wide, Wide) = (Wide::Utf16(u16::from_le_bytes), Wide::Utf32(u32::from_le_bytes));
    Some(match *bytes {
        [0xff, 0xfe, 0, 0, ..] => (LITTLE.1, 4),
        [0, 0, 0xfe, 0xff, ..] => (BIG.1, 4),
        [0xff, 0xfe, ..] => (LITTLE.0, 2),
        [0xfe, 0xff, ..] => (BIG.0, 2),
        // No character has a number above 10FFFF: the boxes of MP4 begin like a space.
        [first, 0, 0, 0, _, _, 0..=0x10, 0, ..] if is_text(first) => (LITTLE.1, 0),
        [0, 0, 0, first, 0, 0..=0x10, _, _, ..] if is_text(first) => (BIG.1, 0),
        [0, 0, 0, first] | [first, 0, 0, 0] if is_text(first) => return None,
        [first, 0, ..] if is_text(first) => (LITTLE.0, 0),
        [0, first, ..] if is_text(first) => (BIG.0, 0),
        _ => return None,
    })
}

/// Whether no server reads the bytes as a text: they are no UTF-8, open no document and no form, and one in
/// [`RARITY`] or more is a control character that texts have no use for. Of random bytes, as of compressed ones, one in ten is.
pub fn is_binary(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err()
        && !opens_a_document(bytes)
        && !query::opens_a_form(bytes)
        && has_foreign(bytes, bytes.len().div_ceil(RARITY))
}

const RARITY: usize = 32;

/// JSON, XML and HTML begin like this, and no form that a program made: it escapes these.
pub fn opens_a_document(bytes: &[u8]) -> bool {
    matches!(without_byte_order_mark(bytes).trim_ascii_start().first(), Some(b'{' | b'[' | b'"' | b'<'))
}

/// XML that says so (XML 1.0, section 2.8).
pub fn opens_xml(bytes: &[u8]) -> bool {
    without_byte_order_mark(bytes).trim_ascii_start().starts_with(b"<?xml")
}

/// `<?xml` in EBCDIC, by which parsers know it (XML 1.0, appendix F).
pub fn opens_xml_in_ebcdic(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x4c\x6f\xa7\x94")
}

const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' '..=b'~')
}

/// Controls but tabs, ends of lines and pages, and the escape of terminals.
const fn is_foreign(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)
}

/// Whether `least` bytes or more are foreign to texts. What is compressed shows it before a third of it is read.
fn has_foreign(bytes: &[u8], least: usize) -> bool {
    let mut found = 0;
    bytes.chunks(PIECE).any(|piece| {
        found += count_foreign(piece);
        found >= least
    })
}

/// Bytes that are counted before it is asked whether they are enough.
const PIECE: usize = 1024;

/// How many bytes are foreign to texts: sixteen at a time, because uploads are long.
fn count_foreign(bytes: &[u8]) -> usize {
    let (sixteens, rest) = bytes.as_chunks::<16>();
    let usual = |sixteen: &[u8; 16]| {
        Lanes::load(sixteen).classify(&FOREIGN_LOW, &FOREIGN_HIGH).equals(Lanes::splat(0)).bits().count_ones()
    };
    let usual: usize = sixteens.iter().map(|sixteen| usual(sixteen) as usize).sum();
    16 * sixteens.len() - usual + rest.iter().filter(|byte| is_foreign(**byte)).count()
}

/// Foreign bytes by their lower half: with 1 those that begin with 0, with 2 those that begin with 1, with 4 those with 7.
const FOREIGN_LOW: [u8; 16] = [3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 1, 2, 2, 3, 7];
const FOREIGN_HIGH: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_wide_characters_by_mark_and_by_first_character() {
        for (bytes, expected) in [
            (&b"\xff\xfe\xe9\0"[..], Some("\u{e9}")),
            (b"\xfe\xff\0\xe9", Some("\u{e9}")),
            (b"\xff\xfe\0\0\xe9\0\0\0", Some("\u{e9}")),
            (b"\0\0\xfe\xff\0\0\0\xe9", Some("\u{e9}")),
            (b"{\0}\0", Some("{}")),
            (b"\0{\0}", Some("{}")),
            (b"{\0\0\0}\0\0\0", Some("{}")),
            (b"\0\0\0{\0\0\0}", Some("{}")),
            (b"\0\"\xd8\x3d\xde\0\xd8\x3d\0\"", Some("\"\u{1f600}\u{fffd}\"")),
            (b"\0\"\0", Some("\"")),
            (b"\xff\xfe", Some("")),
            (b"", None),
            (b"{", None),
            (b"{}", None),
            (b"\0\0\0\x20ftypisom", None),
            (b"\x01\0\x02\0", None),
        ] {
            assert_eq!(from_wide(bytes).as_deref(), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn foreign_bytes_are_counted_alike_in_sixteens_and_one_by_one() {
        let all: Vec<u8> = (0..=255).collect();
        for byte in 0..=255 {
            assert_eq!(count_foreign(&[byte; 16]), 16 * count_foreign(&[byte]), "{byte}");
            assert_eq!(count_foreign(&[byte]), usize::from(is_foreign(byte)), "{byte}");
        }
        for length in 0..=256 {
            assert_eq!(count_foreign(&all[..length]), all[..length].iter().filter(|byte| is_foreign(**byte)).count());
        }
    }

    #[test]
    fn enough_foreign_bytes_are_found_wherever_they_stand() {
        for (before, foreign, after) in
            [(0, 40, 3000), (3000, 40, 0), (1000, 40, 1000), (0, 0, 0), (0, 1, 0), (5000, 0, 1)]
        {
            let bytes = [vec![b'a'; before], vec![0; foreign], vec![b'a'; after]].concat();
            for least in 0..50 {
                assert_eq!(
                    has_foreign(&bytes, least),
                    least <= foreign && !bytes.is_empty(),
                    "{before} {foreign} {least}"
                );
            }
        }
    }

    #[test]
    fn binary_is_what_no_text_looks_like() {
        let once = |pad: usize| [b"\xff\0", &b"a".repeat(pad)[..]].concat();
        for (bytes, expected) in [
            (&b"\xff\0abc"[..], true),
            (b"\0abc", false),
            (b"caf\xe9", false),
            (b"", false),
            (b" {\"\xff\0\0\0\"", false),
            (b"\xef\xbb\xbf<\xff\0\0\0", false),
            (b"a[0]=\xff\0\0\0", false),
            (b"a\xff\0\0=", true),
            (&once(30), true),
            (&once(31), false),
        ] {
            assert_eq!(is_binary(bytes), expected, "{}", bytes.escape_ascii());
        }
    }
}
