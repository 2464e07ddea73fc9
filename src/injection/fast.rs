//! The proof that most values are harmless, from their bytes alone.
//!
//! Plain text is letters, digits, space and the marks of prose and identifiers, without the few pairs that begin an
//! attack: comparisons without a branch, which vector instructions do for many bytes at once.

use super::bytes::{Words, at, contains, is_word};
use super::{Class, ClassSet, decode, ssrf};

/// How many bytes are judged before the first answer is looked at.
const BLOCK: usize = 64;
/// How many of text, where constants cost as much as the comparisons.
const LARGE: usize = 2 * BLOCK;
/// The longest value that is judged in one small block, a quarter of the large one.
const SMALL: usize = BLOCK / 4;
/// The longest value in which a line of its own may be a command.
const SHORT: usize = 160;

/// Whether none of `classes` can find anything in any view of `value`.
pub(super) fn is_harmless(value: &[u8], classes: ClassSet) -> bool {
    let addressed = classes.contains(Class::Ssrf) && (contains(value, b"//") || ssrf::may_be_host(value));
    is_plain(value)
        && !addressed
        && if value.iter().any(|&byte| byte <= b' ') { is_prose(value) } else { is_identifier(value) }
}

/// Whether `value` is plain text that does not begin like a statement or a command line: nothing that SQL could run.
pub(super) fn is_plain(value: &[u8]) -> bool {
    all_plain(value) && !begins_a_statement(value)
}

/// Plain text with spaces; space around base64 does not make it prose.
fn is_prose(value: &[u8]) -> bool {
    let first = at(value, 0);
    (is_word(first) || first == b' ')
        && (value.len() > SHORT || memchr::memchr(b'\n', value).is_none())
        && !is_padded_base64(value)
}

/// Whether space stands only around what may be base64.
fn is_padded_base64(value: &[u8]) -> bool {
    let inner = value.trim_ascii();
    memchr::memchr(b' ', inner).is_none() && decode::may_be_base64(inner)
}

/// Plain text without spaces: no path, nothing that could be base64.
fn is_identifier(value: &[u8]) -> bool {
    let rooted = matches!(at(value, 0), b'/' | b'.') || memchr::memchr(b'/', value).is_some();
    !rooted && !decode::may_be_base64(value)
}

/// Whether every byte is plain and no pair begins an attack.
fn all_plain(value: &[u8]) -> bool {
    if at(value, 0) == b'@' {
        return false;
    }
    let mut pos = 0;
    // Each block with the two bytes behind it, in three arrays that vector instructions read side by side.
    loop {
        if pos + LARGE + 2 <= value.len()
            && let Some([first, second, third]) = triple::<LARGE>(value, pos)
            && !any_unusual(first, second, third)
        {
            pos += LARGE;
            continue;
        }
        if pos + BLOCK + 2 > value.len() {
            break;
        }
        let Some([first, second, third]) = triple::<BLOCK>(value, pos) else { break };
        if any_odd(first, second, third) {
            return false;
        }
        pos += BLOCK;
    }
    let tail = value.get(pos..).unwrap_or_default();
    // Most values are a word or two.
    match tail.len().div_ceil(SMALL) {
        0 | 1 => is_clean::<SMALL, { SMALL + 2 }>(tail),
        2..=4 => is_clean::<BLOCK, { BLOCK + 2 }>(tail),
        _ => is_clean::<{ 2 * BLOCK }, { 2 * BLOCK + 2 }>(tail),
    }
}

/// Whether nothing in `tail` is odd, which is no longer than `SIZE`.
fn is_clean<const SIZE: usize, const PADDED: usize>(tail: &[u8]) -> bool {
    // Two spaces behind the last byte complete nothing.
    let mut padded = [b' '; PADDED];
    let Some(slot) = padded.get_mut(..tail.len()) else { return false };
    slot.copy_from_slice(tail);
    triple::<SIZE>(&padded, 0).is_some_and(|[first, second, third]| !any_odd(first, second, third))
}

/// The blocks at `pos`, at the byte behind it and at the next.
fn triple<const SIZE: usize>(text: &[u8], pos: usize) -> Option<[&[u8; SIZE]; 3]> {
    let block = |pos: usize| text.get(pos..pos + SIZE)?.try_into().ok();
    Some([block(pos)?, block(pos + 1)?, block(pos + 2)?])
}

/// Whether anything stands there that [`is_odd`] must be asked about: half of its comparisons, for what text is made of.
#[inline]
fn any_unusual(first: &[u8; LARGE], second: &[u8; LARGE], third: &[u8; LARGE]) -> bool {
    // A mark that what stands before it decides on, where that is in this block.
    let mut unusual = u8::from(matches!(second.last(), Some(b'@' | b':')));
    for ((&a, &b), &c) in first.iter().zip(second).zip(third) {
        unusual |= unusualness(a, b, c);
    }
    unusual != 0
}

/// Zero if `a` is a letter, digit, space, line feed, comma, hyphen or dot, and no such mark doubled or before an `i`, and
/// does not begin `uni`.
///
/// Minima of differences, and comparisons for equality: vector instructions of one step each, which a comparison by order
/// of bytes without a sign is not.
#[inline]
fn unusualness(a: u8, b: u8, c: u8) -> u8 {
    let (letter, next) = (a | 0x20, b | 0x20);
    // `,-./` and the digits are 0 to 13.
    let strange = letter
        .wrapping_sub(b'a')
        .saturating_sub(25)
        .min(a.wrapping_sub(b',').saturating_sub(13))
        .min(a ^ b' ')
        .min(a ^ b'\n');
    let doubled = (a & 0xFC == b',') & ((a == b) | (next == b'i'));
    let union = (letter == b'u') & (next == b'n') & (c | 0x20 == b'i');
    strange | 0u8.wrapping_sub(u8::from((a == b'/') | doubled | union))
}

/// Whether three bytes in a row anywhere are not those of plain text. Compares without a branch.
#[inline]
fn any_odd<const SIZE: usize>(first: &[u8; SIZE], second: &[u8; SIZE], third: &[u8; SIZE]) -> bool {
    let mut odd = 0;
    for ((&a, &b), &c) in first.iter().zip(second).zip(third) {
        odd |= u8::from(is_odd(a, b, c));
    }
    odd != 0
}

/// Whether `a` is no byte of plain text, or begins an attack with `b` and `c`.
#[inline]
pub(super) fn is_odd(a: u8, b: u8, c: u8) -> bool {
    let within = |byte: u8, first: u8, last: u8| byte.wrapping_sub(first) <= last - first;
    let letter = within(a | 0x20, b'a', b'z');
    let word = letter | within(a, b'0', b'9');
    // `,` to `:` are `,-./`, the digits and `:`.
    let plain = letter
        | within(a, b',', b':')
        | within(a, b' ', b'!')
        | within(a, b'?', b'@')
        | within(a, b'\t', b'\n')
        | (a == b'\r')
        | (a == b'_');
    let doubled = (a == b) & ((a == b'.') | (a == b'-'));
    // `@name`, but not `ann@example.com`
    let variable = (b == b'@') & !word;
    let scheme = (a == b':') & (b > b' ') & !within(b, b'0', b'9');
    // `javascript:`, whatever follows; browsers skip line ends and tabs in a scheme
    let script = (b == b':') & ((a | 0x20 == b't') | (a < b' '));
    // `/bin`, `/dev`
    let system = (a == b'/') & ((b | 0x20 == b'b') | (b | 0x20 == b'd'));
    let union = (a | 0x20 == b'u') & (b | 0x20 == b'n') & (c | 0x20 == b'i');
    // `boot.ini`, `.bash_history`
    let file = ((a == b'.') & (b | 0x20 == b'i') & (c | 0x20 == b'n'))
        | ((a == b'_') & (b | 0x20 == b'h') & (c | 0x20 == b'i'));
    !plain | doubled | variable | scheme | script | system | union | file
}

/// First words of statements and of command lines.
pub(super) const FIRST_WORDS: &[&str] = &[
    "alter",
    "bash",
    "bitsadmin",
    "bulk",
    "cat",
    "certutil",
    "class",
    "cmd",
    "create",
    "declare",
    "delete",
    "drop",
    "exec",
    "execute",
    "insert",
    "lua",
    "mshta",
    "msiexec",
    "nc",
    "ncat",
    "netcat",
    "node",
    "perl",
    "php",
    "ping",
    "powershell",
    "pwsh",
    "python",
    "reg",
    "regsvr",
    "replace",
    "rm",
    "ruby",
    "rundll",
    "schtasks",
    "select",
    "set",
    "sh",
    "shutdown",
    "truncate",
    "union",
    "update",
    "wmic",
];
static FIRST: Words = Words::new(FIRST_WORDS);

pub(super) fn begins_a_statement(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    let len = value.iter().take(12).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if len == 0 {
        // A number, a sign or a bracket that an expression goes on from; a lone token has nothing to go on with.
        return at(value, 0) != 0 && value.iter().any(|&byte| byte <= b' ')
            || matches!(at(value, 0), b'-' | b'@' | b'/' | b'.');
    }
    len < 12 && FIRST.contains(value.get(..len).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::scan_carefully;
    use super::*;
    use proptest::prelude::*;

    /// What the careful engine finds, whatever the fast path says.
    fn careful(value: &[u8]) -> Option<&'static str> {
        scan_carefully(value, ClassSet::ALL).0.map(|finding| finding.rule)
    }

    #[test]
    fn passes_everyday_values_and_no_pair_that_begins_an_attack() {
        for value in [
            "",
            "a",
            "Ann",
            "ann.bo@example.com",
            "Where is the fuse box of a 2003 model?",
            "2024-01-31",
            "en-GB,en",
            "a 12:30: b",
        ] {
            assert!(is_harmless(value.as_bytes(), ClassSet::USUAL), "{value}");
        }
        for value in [
            "a..b",
            "a--",
            "1 b",
            "x:y",
            "@@a",
            " @a",
            "reunite",
            "a/bin",
            "a'b",
            "a\nb",
            "/a",
            "QUFBQUFBQUFBQUE",
            " QUFBQUFBQUFBQUE ",
        ] {
            assert!(!is_harmless(value.as_bytes(), ClassSet::ALL), "{value}");
        }
    }

    const PIECES: &[&str] = &[
        "union",
        " select ",
        "select",
        " or ",
        " and ",
        "1",
        "0x41",
        " like ",
        " is null",
        "--",
        "'",
        "@@version",
        "@a",
        "drop table ",
        "from ",
        "..",
        "/",
        "etc/passwd",
        "../",
        "boot.ini",
        "php://",
        "file:",
        "javascript:",
        "alert",
        "data:text/html,",
        "onload",
        "\n",
        "id",
        "cat ",
        "/bin/sh -c",
        "nc -e ",
        "bash -i",
        "cmd /c ",
        ":",
        ".",
        "-",
        " ",
        ",",
        "waitfor delay ",
        "exec xp_cmdshell",
        "order by 1,2",
        "limit 1",
        "into outfile ",
        "java.lang.Runtime",
        "master..sysdatabases",
        "information_schema.tables",
        "a",
        "Zoe",
        "_",
        "?",
        "!",
        "web-inf/",
        "meta-inf/",
        "/.git/",
        "/.env",
        "wp-config.php",
        "metadata.tencentyun.com",
        "host.docker.internal",
        "kill -9 ",
        "env a",
        "function",
        "top.",
        "=",
        "(",
        ")",
        "PHNjcmlwdD4=",
        "insert into a values ",
        "update a set b is ",
        "shutdown",
        "declare ",
        "true",
        "having ",
        "case when ",
        "in",
        "between",
        "//",
        "169.254.169.254",
        "metadata.google.internal",
        "localhost",
        "$ne",
        "this.a",
        "[",
        "<!doctype",
    ];

    #[test]
    fn leaves_a_script_url_to_the_careful_engine_whatever_follows_it() {
        for value in ["javascript: select alert", "vbscript: execute", "javascript\n: alert", "JAVASCRIPT: alert"] {
            assert!(!is_harmless(value.as_bytes(), ClassSet::ALL), "{value}");
        }
    }

    #[test]
    fn a_letter_with_a_colon_is_a_drive_only_before_a_name() {
        assert_eq!(careful(b"a: select web-inf/"), None);
        for value in [&b"c:boot.ini"[..], b"c:/x/boot.ini", b"c:\\x\\boot.ini"] {
            assert!(careful(value).is_some() && !is_harmless(value, ClassSet::ALL), "{}", value.escape_ascii());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn never_passes_what_the_careful_engine_reports(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..7)) {
            let value = pieces.concat();
            if is_harmless(value.as_bytes(), ClassSet::ALL) {
                prop_assert_eq!(careful(value.as_bytes()), None, "{}", value);
            }
        }

        #[test]
        fn never_passes_what_the_careful_engine_reports_of_any_bytes(value in prop::collection::vec(any::<u8>(), 0..24)) {
            if is_harmless(&value, ClassSet::ALL) {
                prop_assert_eq!(careful(&value), None);
            }
        }

        #[test]
        fn judges_every_pair_wherever_it_stands(value in "[a-z@./:,unUNI '-]{0,150}|[a-z ]{0,300}([a-z@./:,unUNI '-]{0,3}[a-z ]{0,40}){0,4}") {
            let bytes = value.as_bytes();
            let ahead = |i: usize| bytes.get(i).copied().unwrap_or(b' ');
            let naive = (0..bytes.len()).any(|i| {
                let (a, b, c) = (bytes[i], ahead(i + 1), ahead(i + 2));
                let word = a.is_ascii_alphanumeric();
                a == b'\''
                    || (a, b) == (b'.', b'.')
                    || (a, b) == (b'-', b'-')
                    || b == b'@' && !word
                    || a == b':' && b > b' ' && !b.is_ascii_digit()
                    || b == b':' && matches!(a, b't' | b'T' | 0..b' ')
                    || a == b'/' && matches!(b | 0x20, b'b' | b'd')
                    || (a | 0x20, b | 0x20, c | 0x20) == (b'u', b'n', b'i')
                    || (a, b | 0x20, c | 0x20) == (b'.', b'i', b'n')
            });
            prop_assert_eq!(all_plain(bytes), !naive && bytes.first() != Some(&b'@'));
        }
    }
}
