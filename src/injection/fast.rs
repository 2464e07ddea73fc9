//! The proof that most values are harmless, from their bytes alone.
//!
//! Plain text is letters, digits, space and the marks of prose and identifiers, without the few pairs that begin an
//! attack. The loop compares ranges and never branches on a byte, so the compiler can take many bytes at a time.

use super::bytes::{at, contains, in_sorted, is_word};
use super::decode;

/// How many bytes are judged before the first answer is looked at.
const BLOCK: usize = 32;
/// The longest value in which a line of its own may be a command.
const SHORT: usize = 160;

/// Whether no class can find anything in any view of `value`.
pub(super) fn is_harmless(value: &[u8]) -> bool {
    is_plain(value) && if value.iter().any(|&byte| byte <= b' ') { is_prose(value) } else { is_identifier(value) }
}

/// Whether `value` is plain text that does not begin like a statement or a command line: nothing that SQL could run.
pub(super) fn is_plain(value: &[u8]) -> bool {
    all_plain(value) && !begins_a_statement(value)
}

/// Plain text with spaces.
fn is_prose(value: &[u8]) -> bool {
    let first = at(value, 0);
    (is_word(first) || first == b' ') && (value.len() > SHORT || memchr::memchr(b'\n', value).is_none())
}

/// Plain text without spaces: no file name that is known, nothing that could be base64.
fn is_identifier(value: &[u8]) -> bool {
    let rooted = matches!(at(value, 0), b'/' | b'.') || memchr::memchr(b'/', value).is_some();
    !rooted && !decode::may_be_base64(value) && !contains(value, b".ini") && !contains(value, b"_hist")
}

/// Whether every byte is plain and no pair begins an attack.
fn all_plain(value: &[u8]) -> bool {
    let Some(rest) = plain_blocks(value) else { return false };
    // Spaces behind the last bytes make whole blocks of them and begin nothing.
    let mut padded = [b' '; 2 * BLOCK + 2];
    let Some(slot) = padded.get_mut(..rest.len()) else { return false };
    slot.copy_from_slice(rest);
    plain_blocks(&padded).is_some()
}

/// What is left behind the last whole block, less than a block and two bytes; None when a block is not plain.
fn plain_blocks(value: &[u8]) -> Option<&[u8]> {
    let mut rest = value;
    while let (Some(a), Some(b), Some(c)) = (block(rest, 0), block(rest, 1), block(rest, 2)) {
        let mut odd = [0; BLOCK];
        for (((odd, &a), &b), &c) in odd.iter_mut().zip(a).zip(b).zip(c) {
            *odd = odd_mask(a, b, c);
        }
        if odd.iter().fold(0, |any, &one| any | one) != 0 {
            return None;
        }
        rest = rest.get(BLOCK..).unwrap_or_default();
    }
    Some(rest)
}

fn block(text: &[u8], start: usize) -> Option<&[u8; BLOCK]> {
    text.get(start..)?.first_chunk()
}

/// Not zero when `a` is not plain, or begins a pair or a triple that is not.
///
/// Masks instead of branches: this is the loop that vector instructions run.
#[inline(always)]
const fn odd_mask(a: u8, b: u8, c: u8) -> u8 {
    let lower = b | 0x20;
    let letter = mask((a | 0x20).wrapping_sub(b'a') < 26);
    // , - . / digits :
    let mark = mask(a.wrapping_sub(b',') <= b':' - b',');
    // Space and !, ? and @, _, tab to carriage return.
    let other = mask(a.wrapping_sub(b' ') < 2)
        | mask(a.wrapping_sub(b'?') < 2)
        | mask(a == b'_')
        | mask(a.wrapping_sub(b'\t') < 5);
    let doubled = mask(a == b) & mask(a.wrapping_sub(b'-') < 2);
    let variable = mask(b == b'@') & !(letter | mask(a.wrapping_sub(b'0') < 10));
    let scheme = mask(a == b':') & !(mask(b <= b' ') | mask(b.wrapping_sub(b'0') < 10));
    // `/bin`, `/dev`
    let system = mask(a == b'/') & mask(lower.wrapping_sub(b'b') < 3);
    let union = mask(a | 0x20 == b'u') & mask(lower == b'n') & mask(c | 0x20 == b'i');
    !(letter | mark | other) | doubled | variable | scheme | system | union
}

#[inline(always)]
const fn mask(set: bool) -> u8 {
    0u8.wrapping_sub(set as u8)
}

/// First words of statements and of command lines. Sorted.
const FIRST: &[&str] = &[
    "alter",
    "bash",
    "bulk",
    "cat",
    "cmd",
    "create",
    "declare",
    "delete",
    "drop",
    "exec",
    "execute",
    "insert",
    "nc",
    "ncat",
    "netcat",
    "perl",
    "ping",
    "powershell",
    "python",
    "replace",
    "rm",
    "select",
    "set",
    "sh",
    "shutdown",
    "truncate",
    "union",
    "update",
];

fn begins_a_statement(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    let len = value.iter().take(12).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if len == 0 {
        // A number, a sign or a bracket that an expression goes on from; a lone token has nothing to go on with.
        return at(value, 0) != 0 && value.iter().any(|&byte| byte <= b' ')
            || matches!(at(value, 0), b'-' | b'@' | b'/' | b'.');
    }
    len < 12 && in_sorted(FIRST, value.get(..len).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::rules::{Findings, RuleSet};
    use super::super::{ClassSet, inspect};
    use super::*;
    use proptest::prelude::*;

    /// What the careful engine finds, whatever the fast path says.
    fn careful(value: &[u8]) -> Option<&'static str> {
        let mut findings = Findings::new(ClassSet::ALL, RuleSet::default());
        decode::each_view(value, |view| {
            inspect(view, &mut findings);
            findings.is_empty()
        });
        findings.strongest().map(|finding| finding.rule)
    }

    #[test]
    fn words_are_sorted() {
        assert!(FIRST.is_sorted());
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
            assert!(is_harmless(value.as_bytes()), "{value}");
        }
        for value in
            ["a..b", "a--", "1 b", "x:y", "@@a", " @a", "reunite", "a/bin", "a'b", "a\nb", "/a", "QUFBQUFBQUFBQUE"]
        {
            assert!(!is_harmless(value.as_bytes()), "{value}");
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
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn never_passes_what_the_careful_engine_reports(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..7)) {
            let value = pieces.concat();
            if is_harmless(value.as_bytes()) {
                prop_assert_eq!(careful(value.as_bytes()), None, "{}", value);
            }
        }

        #[test]
        fn never_passes_what_the_careful_engine_reports_of_any_bytes(value in prop::collection::vec(any::<u8>(), 0..24)) {
            if is_harmless(&value) {
                prop_assert_eq!(careful(&value), None);
            }
        }

        #[test]
        fn judges_blocks_as_it_judges_bytes(value in "[a-z@./:,unUNI -]{0,150}") {
            let bytes = value.as_bytes();
            let naive = (0..bytes.len()).all(|i| {
                let ahead = |n: usize| bytes.get(i + n).copied().unwrap_or(b' ');
                odd_mask(bytes[i], ahead(1), ahead(2)) == 0
            });
            prop_assert_eq!(all_plain(bytes), naive);
        }
    }
}
