//! Strings of a JSON document: found eight bytes at a time, decoded only when they hold an escape.

use super::super::percent::hex_digit;
use super::Error;

/// A string as it stands in the document, valid by RFC 8259 section 7 and UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    /// Between the quotes.
    pub bytes: &'a [u8],
    pub escaped: bool,
}

/// Reads the string whose first byte after the opening quote is at `start`.
pub(super) fn read(document: &[u8], start: usize) -> Result<Raw<'_>, Error> {
    let mut at = start;
    let (mut escaped, mut ascii) = (false, true);
    loop {
        let run = plain_run(document.get(at..).unwrap_or_default());
        at += run.length;
        ascii &= run.ascii;
        match document.get(at) {
            Some(b'"') => break,
            Some(b'\\') => at += escape_length(document, at)?,
            _ => return Err(Error::Malformed { offset: at }),
        }
        escaped = true;
    }
    let bytes = document.get(start..at).unwrap_or_default();
    if !ascii && let Err(error) = std::str::from_utf8(bytes) {
        return Err(Error::Malformed { offset: start + error.valid_up_to() });
    }
    Ok(Raw { bytes, escaped })
}

/// Appends the decoded form of a valid string to `out`; true when it holds a lone surrogate.
pub(super) fn unescape(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let mut lone = false;
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let (unit, after) = unit(rest.get(at..).unwrap_or_default());
        rest = after;
        match unit {
            0xD800..=0xDBFF => match self::unit(after) {
                (low @ 0xDC00..=0xDFFF, after) => {
                    push_code_point(0x1_0000 + ((unit - 0xD800) << 10 | (low - 0xDC00)), out);
                    rest = after;
                }
                _ => lone = push_surrogate(unit, out),
            },
            0xDC00..=0xDFFF => lone = push_surrogate(unit, out),
            _ => push_code_point(unit, out),
        }
    }
    out.extend_from_slice(rest);
    lone
}

struct Run {
    length: usize,
    ascii: bool,
}

const LOWS: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The bytes before the first quote, backslash or control character.
#[inline]
fn plain_run(bytes: &[u8]) -> Run {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut seen = 0;
    let mut length = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let stops = stops(word);
        if stops != 0 {
            let before = stops.trailing_zeros() / 8;
            seen |= word & ((1 << (8 * before)) - 1);
            return Run { length: length + before as usize, ascii: seen & HIGHS == 0 };
        }
        seen |= word;
        length += 8;
    }
    let before = tail.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
    let ascii = seen & HIGHS == 0 && tail.iter().take(before).all(u8::is_ascii);
    Run { length: length + before, ascii }
}

/// The high bit of every byte below 0x20 or equal to a quote or backslash. Only the lowest set bit is exact: a match
/// borrows from the byte above it.
#[inline]
const fn stops(word: u64) -> u64 {
    let control = word.wrapping_sub(LOWS * 0x20);
    let quote = (word ^ (LOWS * b'"' as u64)).wrapping_sub(LOWS);
    let backslash = (word ^ (LOWS * b'\\' as u64)).wrapping_sub(LOWS);
    (control | quote | backslash) & !word & HIGHS
}

/// The length of the escape whose backslash is at `at`.
fn escape_length(document: &[u8], at: usize) -> Result<usize, Error> {
    match document.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => {
            let valid = document.iter().skip(at + 2).take(4).take_while(|byte| byte.is_ascii_hexdigit()).count();
            if valid == 4 { Ok(6) } else { Err(Error::Malformed { offset: at + 2 + valid }) }
        }
        _ => Err(Error::Malformed { offset: at + 1 }),
    }
}

/// The UTF-16 unit of the escape at the start of valid `bytes`, and what follows it; 0 where there is none.
fn unit(bytes: &[u8]) -> (u32, &[u8]) {
    if let Some((&[b'\\', b'u', a, b, c, d], after)) = bytes.split_first_chunk::<6>() {
        let digits = [a, b, c, d].into_iter().filter_map(hex_digit);
        return (digits.fold(0, |value, digit| value << 4 | u32::from(digit)), after);
    }
    match bytes.split_first_chunk::<2>() {
        Some((&[b'\\', short], after)) => (u32::from(short_escape(short)), after),
        _ => (0, &[]),
    }
}

const fn short_escape(byte: u8) -> u8 {
    match byte {
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        itself => itself,
    }
}

fn push_code_point(code_point: u32, out: &mut Vec<u8>) {
    let mut buffer = [0; 4];
    let character = char::from_u32(code_point).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
}

fn push_surrogate(unit: u32, out: &mut Vec<u8>) -> bool {
    out.extend([0xE0 | (unit >> 12), 0x80 | (unit >> 6 & 0x3F), 0x80 | (unit & 0x3F)].map(|byte| byte as u8));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_special_byte_at_every_position_of_a_word() {
        for special in (0..=255u8).filter(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
            for length in 0..20 {
                for filler in [b' ', b'!', b'#', b'[', b']', 0x7F, 0x80, 0xFF] {
                    let mut bytes = vec![filler; length];
                    bytes.push(special);
                    bytes.resize(40, 0);
                    let run = plain_run(&bytes);
                    assert_eq!((run.length, run.ascii), (length, length == 0 || filler < 0x80));
                    assert_eq!(plain_run(&bytes[..=length]).length, length);
                    assert_eq!(plain_run(&bytes[..length]).length, length);
                }
            }
        }
    }
}
