//! The proof of [`super::fast`] for many values that stand side by side in one text: the bytes that none may hold are
//! marked in all of the text at once, and what is left of each value is how it begins.

use super::bytes::at;
use super::fast::{FIRST_WORDS, begins_a_statement, is_odd};
use super::{Class, ClassSet, decode, fast};
use crate::lanes::{self, Lanes};

/// Bytes that are judged at once.
const SIZE: usize = 64;

/// A bit for each byte of `bytes` that keeps a value it stands in from being harmless by its beginning. `second` is the
/// byte behind each, `third` the one behind that.
#[inline]
pub fn mark(bytes: &[u8; SIZE], [second, third]: [&[u8; SIZE]; 2]) -> u64 {
    let mut flags = [0; SIZE];
    for (((flag, &a), &b), &c) in flags.iter_mut().zip(bytes).zip(second).zip(third) {
        // A slash is plain where there are spaces; whoever has one is judged by itself.
        *flag = u8::from(is_odd(a, b, c) | (a == b'/')).wrapping_neg();
    }
    lanes::bits(&flags)
}

/// A first look at the same bytes, for a fraction of the comparisons: a bit for every byte but letters, digits, space, `,`,
/// `-`, `.` and `_`, and for those of these that [`mark`] has.
#[inline]
pub fn suspect(bytes: &[u8; SIZE], second: &[u8; SIZE]) -> u64 {
    let (quarters, _) = bytes.as_chunks::<16>();
    let (following, _) = second.as_chunks::<16>();
    let both = quarters.iter().zip(following);
    both.rev().fold(0, |bits, (a, b)| bits << 16 | suspect_sixteen(Lanes::load(a), Lanes::load(b)))
}

#[inline(always)]
fn suspect_sixteen(a: Lanes, b: Lanes) -> u64 {
    let kind = a.classify(&PLAIN_LOW, &PLAIN_HIGH);
    // No other kind has the highest bit.
    let doubled = a.equals(b).and(kind);
    let completed = kind.and(b.classify_lower(&SECOND_OF_LETTERS)).and(b.exceeds(b'@')).exceeds(0);
    kind.equals(Lanes::splat(0)).or(doubled).or(completed).bits()
}

/// Kinds of plain bytes: space and marks, digits, the first and the second half of the alphabet, the underscore.
const MARK: u8 = 0x80;
const DIGITS: u8 = 1;
const LETTERS: u8 = 2;
const MORE_LETTERS: u8 = 4;
const UNDERSCORE: u8 = 8;
/// Plain bytes that an attack may begin with, and what completes each: `un`, `.i` and `_h`.
const UNION: u8 = 0x10;
const FILE: u8 = 0x20;
const HISTORY: u8 = 0x40;

/// The kinds of a byte by its lower and by its upper half.
const PLAIN_LOW: [u8; 16] = {
    const ALL: u8 = DIGITS | LETTERS | MORE_LETTERS;
    [
        ALL & !LETTERS | MARK,
        ALL,
        ALL,
        ALL,
        ALL,
        ALL | UNION,
        ALL,
        ALL,
        ALL,
        ALL,
        LETTERS | MORE_LETTERS,
        LETTERS,
        LETTERS | MARK,
        LETTERS | MARK,
        LETTERS | MARK | FILE,
        LETTERS | UNDERSCORE | HISTORY,
    ]
};
const PLAIN_HIGH: [u8; 16] = {
    const LATTER: u8 = MORE_LETTERS | UNION;
    [0, 0, MARK | FILE, DIGITS, LETTERS, LATTER | UNDERSCORE | HISTORY, LETTERS, LATTER, 0, 0, 0, 0, 0, 0, 0, 0]
};
/// What a letter completes by its lower half: `h`, `i` and `n` in either case, and as it happens `x` and `y`.
const SECOND_OF_LETTERS: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, HISTORY, FILE, 0, 0, 0, 0, UNION, 0];

/// Whether [`super::scan`] finds nothing in `value`, in which no byte is marked, and none is a control character: it has no quote
/// and no percent sign either, and so holds no document.
#[inline]
pub fn is_harmless(value: &[u8], classes: ClassSet) -> bool {
    let (first, second) = (at(value, 0), at(value, 1));
    let beginning = BEGINNINGS.get(usize::from(first)).copied().unwrap_or(ODD);
    // Most words begin with a letter that a statement or base64 begins with, and go on or end otherwise.
    let simple = beginning == 0
        || beginning & !(STATEMENT | BASE64) == 0
            && (beginning & BASE64 == 0 || value.len() < SHORTEST_BASE64)
            && (beginning & STATEMENT == 0 || !may_begin_a_statement(first, second, at(value, 2)));
    simple || begins_well(value, beginning, classes) || fast::is_harmless(value, classes)
}

/// The same of a value that begins with a byte of which something is to be asked.
#[inline(never)]
fn begins_well(value: &[u8], beginning: u8, classes: ClassSet) -> bool {
    let asks = |what: u8| beginning & what != 0;
    !(asks(ODD)
        // A number that an expression goes on from has a space behind it.
        || asks(DIGIT) && memchr::memchr(b' ', value).is_some()
        || asks(HOST) && classes.contains(Class::Ssrf)
        || asks(BASE64) && value.len() >= SHORTEST_BASE64 && !has_words(value) && decode::may_be_base64(value.trim_ascii())
        || asks(STATEMENT)
            && may_begin_a_statement(at(value, 0), at(value, 1), at(value, 2))
            && begins_a_statement(value))
}

/// Whether one of the first eight bytes is a space: then it is no base64, unless it is too short for it.
#[inline]
fn has_words(value: &[u8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let first = value.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first) ^ (0x20 * EACH));
    // The lowest byte that is zero is told for sure.
    first.wrapping_sub(EACH) & !first & (0x80 * EACH) != 0
}

/// No letter and no digit.
const ODD: u8 = 1;
const DIGIT: u8 = 1 << 1;
/// A host that must not be reached may begin so.
const HOST: u8 = 1 << 2;
/// Text may begin so in base64: the highest bit of its first byte is clear.
const BASE64: u8 = 1 << 3;
/// A word of [`FIRST_WORDS`] begins so.
const STATEMENT: u8 = 1 << 4;

/// What is to be asked of a value, by its first byte.
static BEGINNINGS: [u8; 256] = beginnings();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn beginnings() -> [u8; 256] {
    let mut asked = [ODD; 256];
    let mut byte = 0;
    while byte < 128 {
        let c = byte as u8;
        if c.is_ascii_digit() {
            asked[byte] = DIGIT | HOST;
        } else if c.is_ascii_alphabetic() {
            asked[byte] = if c <= b'f' { BASE64 } else { 0 }
                | if matches!(c | 0x20, b'm' | b'i') { HOST } else { 0 }
                | if SECOND[byte & 31] != 0 { STATEMENT } else { 0 };
        }
        byte += 1;
    }
    asked
}

/// A shorter value is not read as base64.
const SHORTEST_BASE64: usize = 12;

/// Whether [`super::scan`] finds nothing in a number of JSON: it has no words, no quotes and no marks but signs, a dot and
/// an exponent. Only a server's address may be written as one, with a dot.
#[inline]
pub fn is_harmless_number(written: &[u8], classes: ClassSet) -> bool {
    !classes.contains(Class::Ssrf) || memchr::memchr(b'.', written).is_none()
}

/// Whether a statement's first word may begin so.
fn may_begin_a_statement(first: u8, second: u8, third: u8) -> bool {
    follows(&SECOND, first, second) && follows(&THIRD, second, third)
}

#[inline]
fn follows(table: &[u32; 32], one: u8, other: u8) -> bool {
    table.get(usize::from(one & 31)).copied().unwrap_or(u32::MAX) >> (other & 31) & 1 != 0
}

/// For each letter that [`FIRST_WORDS`] begin with, which letters follow it.
static SECOND: [u32; 32] = neighbours(0);
/// For each second letter, which letters follow it; all, where a word ends with it.
static THIRD: [u32; 32] = neighbours(1);

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn neighbours(place: usize) -> [u32; 32] {
    let mut followers = [0; 32];
    let mut i = 0;
    while i < FIRST_WORDS.len() {
        let word = FIRST_WORDS[i].as_bytes();
        followers[(word[place] & 31) as usize] |=
            if place + 1 < word.len() { 1 << (word[place + 1] & 31) } else { u32::MAX };
        i += 1;
    }
    followers
}

#[cfg(test)]
mod tests {
    use super::super::{scan, scan_carefully};
    use super::*;
    use proptest::prelude::*;

    /// The bits of `text`, window by window.
    fn bits(text: &[u8], of: impl Fn(&[u8; SIZE], [&[u8; SIZE]; 2]) -> u64) -> Vec<bool> {
        let padded = [text, &[b' '; SIZE + 2]].concat();
        let block = |start: usize| padded[start..start + SIZE].try_into().unwrap();
        let windows = (0..text.len()).step_by(SIZE);
        windows
            .flat_map(|start| {
                let bits = of(block(start), [block(start + 1), block(start + 2)]);
                (0..SIZE).map(move |at| bits >> at & 1 != 0)
            })
            .collect()
    }

    /// Whether a byte of `value` is marked where it stands in `text`.
    fn is_marked(text: &str, value: std::ops::Range<usize>) -> bool {
        bits(text.as_bytes(), mark)[value].contains(&true)
    }

    fn is_suspect(a: u8, b: u8) -> bool {
        bits(&[a, b], |bytes, [second, _]| suspect(bytes, second))[0]
    }

    /// Whether `value` between quotes is passed over.
    fn is_passed(before: &str, value: &str, classes: ClassSet) -> bool {
        let start = before.len() + 1;
        let text = format!("{before}\"{value}\", \"b\"");
        !is_marked(&text, start..start + value.len()) && is_harmless(value.as_bytes(), classes)
    }

    #[test]
    fn passes_the_words_and_numbers_of_a_usual_document() {
        for value in [
            "",
            "a",
            "id",
            "created_at",
            "Ann",
            "the quick brown fox",
            "ann@example.com",
            "2024-01-31T12:30:00Z",
            "Where, then?",
        ] {
            assert!(is_passed("", value, ClassSet::USUAL), "{value}");
        }
        for value in ["1 b", "@a", " a", "a/b", "Drop it", "x'", "QUFBQUFBQUFBQUE", "-1", ".", "é", "a:b", "_ a"] {
            assert!(!is_passed("", value, ClassSet::USUAL) || !value.contains(['\'', '/', '@']), "{value}");
        }
    }

    #[test]
    fn leaves_a_word_that_a_statement_begins_with_to_the_judge_of_single_values() {
        for word in FIRST_WORDS {
            for word in [(*word).to_owned(), word.to_ascii_uppercase()] {
                for text in [word.clone(), format!("{word} a")] {
                    let [first, second, third] = [0, 1, 2].map(|i| at(text.as_bytes(), i));
                    assert!(may_begin_a_statement(first, second, third), "{text}");
                }
                assert_eq!(
                    is_harmless(word.as_bytes(), ClassSet::ALL),
                    fast::is_harmless(word.as_bytes(), ClassSet::ALL)
                );
                assert!(!is_harmless(format!("{word} a").as_bytes(), ClassSet::ALL), "{word}");
            }
        }
    }

    #[test]
    fn no_short_number_is_anything_but_a_number() {
        const BYTES: &[u8] = b"0127.-+eE";
        let classes = ClassSet::ALL.without(Class::Ssrf);
        for n in 0..BYTES.len().pow(5) {
            let digits =
                (0..5).scan(n, |rest, _| Some(BYTES[std::mem::replace(rest, *rest / BYTES.len()) % BYTES.len()]));
            let number: Vec<u8> = digits.collect();
            if serde_json::from_slice::<serde_json::Value>(&number).is_ok() {
                assert_eq!(scan_carefully(&number, classes).0, None, "{}", number.escape_ascii());
            }
        }
    }

    #[test]
    fn a_number_that_is_the_address_of_the_metadata_is_seen() {
        let all = ClassSet::ALL;
        for number in ["169.16689662", "2852039166", "169.254", "-1.5e3"] {
            let found = scan(number.as_bytes(), all).is_some();
            assert!(!(found && is_harmless_number(number.as_bytes(), all)), "{number}");
            assert!(!(found && is_harmless(number.as_bytes(), all)), "{number}");
        }
    }

    #[test]
    fn suspects_every_pair_with_a_byte_that_is_marked_and_whatever_is_not_plain() {
        for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" ,-._".contains(&byte);
            // What stands beside a suspect makes no more of it; a quote is not in the string.
            let aside = !is_plain(b) && b != b'"';
            let marked = (0..=255).any(|c| is_odd(a, b, c)) || a == b'/';
            assert!(is_suspect(a, b) || is_plain(a) && (aside || !marked), "{a} {b}");
        }
    }

    #[test]
    fn nothing_shorter_is_read_as_base64() {
        let value = b"QUFBQUFBQUFBQUFB";
        assert!(decode::may_be_base64(&value[..SHORTEST_BASE64]));
        assert!(!decode::may_be_base64(&value[..SHORTEST_BASE64 - 1]));
    }

    fn any_value() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(FIRST_WORDS).prop_map(str::to_owned),
            prop::sample::select(
                &[
                    "union",
                    " or ",
                    "1",
                    "0x41",
                    "--",
                    "@@version",
                    "@a",
                    "..",
                    "/",
                    "etc/passwd",
                    "boot.ini",
                    "file:",
                    "php://",
                    "javascript:",
                    "data:",
                    "id",
                    "nc -e ",
                    ":",
                    ".",
                    "-",
                    " ",
                    "  ",
                    ",",
                    "_",
                    "?",
                    "!",
                    "=",
                    "(",
                    "true",
                    "in",
                    "//",
                    "169.254.169.254",
                    "metadata.google.internal",
                    "metadata.tencentyun.com",
                    "meta-inf/",
                    ".git/",
                    "localhost",
                    "PHNjcmlwdD4=",
                    "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg",
                    "Jy8qKi8gb3IgMT0x",
                    "Zoe",
                    "_",
                    "history",
                    "bash_history",
                    "$ne",
                    "&lt",
                    "%27",
                ][..]
            )
            .prop_map(str::to_owned),
            "[a-zA-Z0-9 ._:,@?!-]{1,6}",
            "[A-Za-z0-9]{8,24}",
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn passes_nothing_that_the_judge_of_single_values_does_not(
            before in "[a-z:@/ ]{0,40}", value in any_value(), ssrf in any::<bool>(),
        ) {
            let classes = if ssrf { ClassSet::ALL } else { ClassSet::USUAL };
            if is_passed(&before, &value, classes) {
                prop_assert!(fast::is_harmless(value.as_bytes(), classes), "{}", value);
            }
        }

        #[test]
        fn a_number_is_never_anything_but_a_number(
            number in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,9})?",
        ) {
            for classes in [ClassSet::ALL, ClassSet::ALL.without(Class::Ssrf)] {
                if is_harmless_number(number.as_bytes(), classes) {
                    prop_assert_eq!(scan_carefully(number.as_bytes(), classes).0, None, "{}", number);
                }
            }
        }
    }
}
