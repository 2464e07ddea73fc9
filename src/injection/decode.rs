//! The encodings in which a value may hide something, each undone by a step of its own.
//!
//! Each step only shortens its input. A malformed sequence stays as it is and hides nothing that stands around it.

use super::bytes::{at, bits, cut, from, is_word, starts_at};
use super::edits::Edits;
use super::work::look;
use crate::media::basic::sextet;
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, GeneralPurpose as Engine};
use std::ops::Range;

/// The longest value that is tried as base64 as a whole.
const MAX_BASE64: usize = 64 * 1024;

/// Stands for an overlong or malformed sequence that some servers read as a dot or a slash.
pub(super) const OBSCURED: u8 = 0x1A;

/// A decoding of a text, of what begins `within` parts of it; None when there is nothing to undo.
pub(super) type Step = fn(text: &[u8], within: &[Range<usize>]) -> Option<Decoded>;

/// Every decoding, in the order in which they are tried: the first is what servers do once more than they should.
pub(super) const STEPS: [Step; 7] = [percent, entities, escapes, fold, base64_text, utf7, plus];

/// What a step made of a text, and where it did.
#[derive(Default)]
pub(super) struct Decoded {
    pub(super) text: Vec<u8>,
    pub(super) edits: Edits,
}

/// Whether any step could have something to do.
pub(super) fn may_be_encoded(text: &[u8]) -> bool {
    let begins = |byte: u8| matches!(byte, b'%' | b'&' | b'\\' | b'+' | 0) | (byte >= 0xC0);
    text.iter().fold(false, |any, &byte| any | begins(byte)) || may_be_base64(text.trim_ascii())
}

/// `%41`, and `%u0041` as old servers read it.
fn percent(text: &[u8], within: &[Range<usize>]) -> Option<Decoded> {
    replace(
        text,
        within,
        |byte| byte == b'%',
        |pos| {
            let rest = from(text, pos);
            if let Some(byte) = hex2(rest, 1) {
                return Some((Char::Byte(byte), 3));
            }
            // `%2%f` and `%qf`: digits that some servers put together or take for hexadecimal.
            if at(rest, 2) == b'%' && at(rest, 1).is_ascii_digit() {
                let high = char::from(at(rest, 1)).to_digit(16)?;
                let low = char::from(at(rest, 3)).to_digit(16)?;
                return u8::try_from(high << 4 | low)
                    .ok()
                    .filter(|byte| matches!(byte, b'.' | b'/' | b'\\'))
                    .map(|byte| (Char::Byte(byte), 4));
            }
            let before = cut(text, pos.saturating_sub(3), pos);
            let paired = starts_at(before, 0, b"%c0")
                || starts_at(before, 0, b"%c1")
                || at(before, 0) == b'%' && before != b"%25" && hex2(before, 1).is_none();
            if at(rest, 1).is_ascii_alphanumeric()
                && at(rest, 2).is_ascii_alphabetic()
                && (paired || at(rest, 3) == b'%')
                && at(rest, 1) | 0x20 != b'u'
            {
                return Some((Char::Byte(OBSCURED), 3));
            }
            if at(rest, 1) | 0x20 == b'u' {
                return hex4(rest, 2).map(|code| (Char::Code(code), 6));
            }
            None
        },
    )
}

/// `&#65;`, `&#x41`, and the named references that stand for ASCII.
fn entities(text: &[u8], within: &[Range<usize>]) -> Option<Decoded> {
    replace(
        text,
        within,
        |byte| byte == b'&',
        |pos| {
            let rest = from(text, pos);
            match at(rest, 1) {
                b'#' => numeric_reference(rest),
                b'a'..=b'z' | b'A'..=b'Z' => named_reference(rest),
                _ => None,
            }
        },
    )
}

/// The most digits of a reference behind its zeros: enough to be sure of the intent.
const MAX_DIGITS: usize = 24;

fn numeric_reference(rest: &[u8]) -> Option<(Char, usize)> {
    let hex = at(rest, 2) | 0x20 == b'x';
    let (radix, start) = if hex { (16, 3) } else { (10, 2) };
    let mut code: u32 = 0;
    // Browsers accept any number of leading zeros.
    let zeros = from(rest, start).iter().take_while(|&&byte| byte == b'0').count();
    look(zeros);
    let mut end = start + zeros;
    while end < start + zeros + MAX_DIGITS {
        let Some(digit) = char::from(at(rest, end)).to_digit(radix) else { break };
        code = code.saturating_mul(radix).saturating_add(digit);
        end += 1;
    }
    if end == start {
        return None;
    }
    let end = if at(rest, end) == b';' { end + 1 } else { end };
    Some((Char::Code(code), end))
}

/// The ASCII character that a name stands for; its semicolon is required but for the first five of HTML's history.
const fn named(name: &[u8]) -> Option<u8> {
    Some(match name {
        b"NewLine" => b'\n',
        b"Tab" => b'\t',
        b"amp" => b'&',
        b"apos" => b'\'',
        b"ast" => b'*',
        b"bsol" => b'\\',
        b"colon" => b':',
        b"comma" => b',',
        b"commat" => b'@',
        b"dollar" => b'$',
        b"equals" => b'=',
        b"excl" => b'!',
        b"grave" => b'`',
        b"gt" => b'>',
        b"lbrace" => b'{',
        b"lbrack" => b'[',
        b"lowbar" => b'_',
        b"lpar" => b'(',
        b"lsqb" => b'[',
        b"lt" => b'<',
        b"nbsp" => b' ',
        b"num" => b'#',
        b"percnt" => b'%',
        b"period" => b'.',
        b"plus" => b'+',
        b"quest" => b'?',
        b"quot" => b'"',
        b"rbrace" => b'}',
        b"rpar" => b')',
        b"rsqb" => b']',
        b"semi" => b';',
        b"sol" => b'/',
        _ => return None,
    })
}

fn named_reference(rest: &[u8]) -> Option<(Char, usize)> {
    // The usual ones, and what they are nested in.
    match rest {
        [_, b'a', b'm', b'p', b';', ..] => return Some((Char::Byte(b'&'), 5)),
        [_, b'l', b't', b';', ..] => return Some((Char::Byte(b'<'), 4)),
        [_, b'g', b't', b';', ..] => return Some((Char::Byte(b'>'), 4)),
        [_, b'q', b'u', b'o', b't', b';', ..] => return Some((Char::Byte(b'"'), 6)),
        _ => {}
    }
    let mut end = 1;
    while end < 9 && at(rest, end).is_ascii_alphabetic() {
        end += 1;
    }
    if end < 3 {
        return None;
    }
    let name = cut(rest, 1, end);
    if at(rest, end) == b';' {
        return named(name).map(|byte| (Char::Byte(byte), end + 1));
    }
    if !matches!((at(rest, 1) | 0x20, at(rest, 2) | 0x20), (b'l' | b'g', b't') | (b'a', b'm') | (b'q', b'u')) {
        return None;
    }
    let bare = [(&b"lt"[..], b'<'), (b"gt", b'>'), (b"amp", b'&'), (b"quot", b'"')];
    let (known, byte) = bare.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known))?;
    Some((Char::Byte(byte), 1 + known.len()))
}

/// `\x41`, `\u0041`, `\u{41}` and `\101`, as in JavaScript, Python and C.
fn escapes(text: &[u8], within: &[Range<usize>]) -> Option<Decoded> {
    replace(
        text,
        within,
        |byte| byte == b'\\',
        |pos| {
            let rest = from(text, pos);
            escape(rest)
        },
    )
}

fn escape(rest: &[u8]) -> Option<(Char, usize)> {
    match at(rest, 1) {
        b'x' | b'X' => hex2(rest, 2).map(|byte| (Char::Byte(byte), 4)),
        b'u' | b'U' if at(rest, 2) == b'{' => {
            let close = cut(rest, 3, 11).iter().position(|&byte| byte == b'}')?;
            let digits = std::str::from_utf8(cut(rest, 3, 3 + close)).ok()?;
            u32::from_str_radix(digits, 16).ok().map(|code| (Char::Code(code), close + 4))
        }
        b'u' | b'U' => hex4(rest, 2).map(|code| (Char::Code(code), 6)),
        b'n' | b'r' => Some((Char::Byte(b'\n'), 2)),
        b'0' | b'1' => {
            let mut code = 0u32;
            for i in 1..4 {
                code = code * 8 + char::from(at(rest, i)).to_digit(8)?;
            }
            Some((Char::Code(code), 4))
        }
        _ => None,
    }
}

/// Characters that servers and databases take for ASCII: overlong UTF-8, full-width forms, typographic quotes and
/// slashes, and the NULs of UTF-16.
fn fold(text: &[u8], within: &[Range<usize>]) -> Option<Decoded> {
    replace(text, within, is_foldable, |pos| fold_one(from(text, pos)))
}

/// Whether what begins with `byte` may be taken for something else. Without a branch.
const fn is_foldable(byte: u8) -> bool {
    let overlong = (byte & 0xFE == 0xC0) | (byte == 0xE0) | (byte == 0xF0) | (byte & 0xFB == 0xF8);
    let lookalike = (byte == 0xC2) | (byte & 0xFE == 0xC4) | (byte == 0xCA) | (byte == 0xE2) | (byte & 0xFE == 0xEE);
    overlong | lookalike | (byte == 0)
}

fn fold_one(rest: &[u8]) -> Option<(Char, usize)> {
    let first = at(rest, 0);
    let tail = |n: usize| rest.get(n).map(|byte| u32::from(byte & 0x3F));
    match first {
        0 => Some((Char::Nothing, 1)),
        0xC0 | 0xC1 if rest.len() > 1 => {
            let low = at(rest, 1) & 0x3F;
            let decoded = if first == 0xC0 { low } else { 0x40 | low };
            let continued = at(rest, 1) & 0xC0 == 0x80 || at(rest, 1) == 0xEE;
            let plain = continued
                && match at(rest, 1) {
                    0xEE => decoded == b'.',
                    // `%c1%af` is a slash to some.
                    _ => matches!(decoded, b' '..=b'~') && decoded != b'o',
                };
            let literal = matches!(at(rest, 1), b'.' | b'/' | b'\\');
            let byte = if literal {
                at(rest, 1)
            } else if plain {
                decoded
            } else {
                OBSCURED
            };
            Some((Char::Byte(byte), 2))
        }
        0xC2 if at(rest, 1) == 0xA0 => Some((Char::Byte(b' '), 2)),
        0xC2 if matches!(at(rest, 1), 0xB4 | 0xAB | 0xBB) => Some((Char::Byte(b'\''), 2)),
        0xE0 if at(rest, 1) < 0xA0 => overlong(&[tail(1), tail(2)]),
        0xF0 if at(rest, 1) < 0x90 => overlong(&[tail(1), tail(2), tail(3)]),
        0xF8 => overlong(&[tail(1), tail(2), tail(3), tail(4)]),
        0xFC => overlong(&[tail(1), tail(2), tail(3), tail(4), tail(5)]),
        0xE2 | 0xEE | 0xEF | 0xCA | 0xC4 | 0xC5 => {
            let len = if first < 0xE0 { 2 } else { 3 };
            let char = std::str::from_utf8(cut(rest, 0, len)).ok()?.chars().next()?;
            Some((Char::Byte(lookalike(char)?), len))
        }
        _ => None,
    }
}

fn overlong(tail: &[Option<u32>]) -> Option<(Char, usize)> {
    let code = tail.iter().try_fold(0u32, |code, part| Some(code << 6 | (*part)?));
    Some(match code.and_then(|code| u8::try_from(code).ok()) {
        Some(byte) if byte < 0x80 => (Char::Byte(byte), tail.len() + 1),
        _ => (Char::Byte(OBSCURED), 1),
    })
}

/// The ASCII character that databases or servers map `c` to by best fit.
const fn lookalike(c: char) -> Option<u8> {
    match c {
        '\u{FF01}'..='\u{FF5E}' => Some((c as u32 - 0xFF01 + 0x21) as u8),
        '\u{2018}' | '\u{2019}' | '\u{2032}' | '\u{02B9}' | '\u{02BC}' => Some(b'\''),
        '\u{201C}' | '\u{201D}' | '\u{2033}' => Some(b'"'),
        '\u{2044}' | '\u{2215}' => Some(b'/'),
        '\u{2216}' => Some(b'\\'),
        // They become ASCII when the case is changed.
        '\u{0131}' => Some(b'i'),
        '\u{017F}' => Some(b's'),
        '\u{212A}' => Some(b'k'),
        '\u{EFC8}' | '\u{F025}' => Some(OBSCURED),
        '\u{2000}'..='\u{200B}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}' => Some(b' '),
        _ => None,
    }
}

/// `+ADw-` and the like: UTF-7 of one ASCII character, which old browsers could be made to read.
fn utf7(text: &[u8], within: &[Range<usize>]) -> Option<Decoded> {
    replace(
        text,
        within,
        |byte| byte == b'+',
        |pos| {
            let rest = from(text, pos);
            if at(rest, 1) != b'A' || at(rest, 4) != b'-' {
                return None;
            }
            let decoded = STANDARD.decode(cut(rest, 1, 4)).ok()?;
            Some((Char::Byte(at(&decoded, 1)), 5))
        },
    )
}

/// `+` as a space, where the value has no other; not that of a media type.
fn plus(text: &[u8], _: &[Range<usize>]) -> Option<Decoded> {
    let suffixed = |i: usize| starts_at(text, i, b"+xml") || starts_at(text, i, b"+json");
    if memchr::memchr(b' ', text).is_some() || memchr::memchr_iter(b'+', text).all(suffixed) {
        return None;
    }
    Some(Decoded::other(text, text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect()))
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
static STANDARD: Engine = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
static URL_SAFE: Engine = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

/// The value as base64, when that gives text.
fn base64_text(whole: &[u8], _: &[Range<usize>]) -> Option<Decoded> {
    text_of_base64(whole.trim_ascii()).map(|decoded| Decoded::other(whole, decoded))
}

/// What `text` is in base64, when that is text.
pub(super) fn text_of_base64(text: &[u8]) -> Option<Vec<u8>> {
    if !may_be_base64(text) {
        return None;
    }
    let engine = if text.iter().any(|byte| matches!(byte, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    let decoded = engine.decode(text).ok()?;
    decoded.iter().all(|&byte| is_text(byte)).then_some(decoded)
}

/// Whether `text` is long enough and of the right characters to be base64, and begins as text would.
pub(super) fn may_be_base64(text: &[u8]) -> bool {
    (12..=MAX_BASE64).contains(&text.len())
        && text.iter().all(|&byte| is_word(byte) || matches!(byte, b'+' | b'/' | b'-' | b'='))
        && begins_as_text(text)
}

/// Whether the first eight characters decode to text: identifiers seldom do.
fn begins_as_text(text: &[u8]) -> bool {
    let mut bits: u64 = 0;
    for &byte in text.iter().take(8) {
        let Some(value) = sextet(byte) else { return false };
        bits = bits << 6 | u64::from(value);
    }
    bits.to_be_bytes().iter().skip(2).all(|&byte| is_text(byte))
}

const fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')
}

/// One decoded character: a byte as it is, a code point to be written as UTF-8, or none at all.
enum Char {
    Nothing,
    Byte(u8),
    Code(u32),
}

/// `text` with each sequence replaced that begins with a byte of which `begins` holds and that `decode` understands; None when
/// there is none.
///
/// `decode` is given the place of the sequence and answers what it stands for and its length.
#[inline]
fn replace(
    text: &[u8],
    within: &[Range<usize>],
    begins: impl Fn(u8) -> bool,
    decode: impl Fn(usize) -> Option<(Char, usize)>,
) -> Option<Decoded> {
    let mut decoded = Decoded::default();
    let mut copied = 0;
    for part in within {
        let first = part.start / 64;
        let blocks = cut(text, first * 64, part.end).chunks(64);
        for (block, bytes) in (first..).zip(blocks) {
            let mut left = bits(bytes, &begins);
            while left != 0 {
                let start = block * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                if start < copied {
                    continue;
                }
                let Some((char, len)) = decode(start) else { continue };
                let end = start + len.max(1);
                decoded.put(text, copied, start..end, char);
                copied = end;
            }
        }
    }
    if copied == 0 {
        return None;
    }
    decoded.text.extend_from_slice(from(text, copied));
    Some(decoded)
}

impl Decoded {
    /// `text` in the place of all that was there.
    fn other(was: &[u8], text: Vec<u8>) -> Self {
        let edits = Edits::of_all(was.len(), text.len());
        Self { text, edits }
    }

    /// Goes on with what `text` has from `copied` on, and `char` in the place of `sequence`.
    #[inline(never)]
    fn put(&mut self, text: &[u8], copied: usize, sequence: Range<usize>, char: Char) {
        if copied == 0 {
            self.text.reserve(text.len());
        }
        self.text.extend_from_slice(cut(text, copied, sequence.start));
        let place = self.text.len();
        push(&mut self.text, char);
        self.edits.note(sequence, place..self.text.len());
    }
}

fn push(out: &mut Vec<u8>, char: Char) {
    match char {
        Char::Nothing => {}
        Char::Byte(byte) => out.push(byte),
        Char::Code(code) => {
            let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn hex2(rest: &[u8], i: usize) -> Option<u8> {
    let high = char::from(at(rest, i)).to_digit(16)?;
    let low = char::from(at(rest, i + 1)).to_digit(16)?;
    u8::try_from(high << 4 | low).ok()
}

fn hex4(rest: &[u8], i: usize) -> Option<u32> {
    Some(u32::from(hex2(rest, i)?) << 8 | u32::from(hex2(rest, i + 2)?))
}
