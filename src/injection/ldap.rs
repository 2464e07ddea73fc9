//! LDAP search filters (RFC 4515): a value that closes its own part of one and begins another.

use super::bytes::{at, from, is_word, skip_space};
use super::rules::{Findings, Rule};
use super::triggers::{Bytes, Trigger};

/// Where one part of a filter follows another, and where a NUL cuts one off.
pub(super) const TRIGGERS: [Trigger; 2] = [
    Trigger::new(Bytes::of(b")* \t"), b"(", Bytes::LETTERS.or(Bytes::of(b"&|!("))),
    Trigger::new(Bytes::of(b")*"), b"\0", Bytes::ANY),
];

/// How far back the bracket that is closed may stand.
const REACH: usize = 8;

/// Reports what the mark at `i` of `view` would do to a filter.
#[inline(never)]
pub(super) fn read(view: &[u8], i: usize, findings: &mut Findings) {
    if at(view, i) == 0 {
        // Past the end stands no NUL of the value's own.
        let cut_off =
            i < view.len() && view.get(..i).is_some_and(|before| before.ends_with(b"*)") || before_is_filter(view, i));
        if cut_off {
            findings.report(Rule::LdapTruncation);
        }
        return;
    }
    let closed = view.get(i.saturating_sub(REACH)..i).unwrap_or_default().trim_ascii_end().last() == Some(&b')');
    // `*(|(mail=*))`
    let starred =
        at(view, i.wrapping_sub(1)) == b'*' && matches!(at(view, i + 1), b'&' | b'|' | b'!') && at(view, i + 2) == b'(';
    let begins = if at(view, i + 1) == b'(' { i + 2 } else { i + 1 };
    if starred || closed && is_unopened(view, i) && is_filter(view, begins) {
        findings.report(Rule::LdapFilter);
    }
}

/// `))` before a NUL, of a value that opens none.
fn before_is_filter(view: &[u8], i: usize) -> bool {
    view.get(..i).is_some_and(|before| before.ends_with(b"))") && before.len() <= 64 && !before.contains(&b'('))
}

/// Whether the bracket closed before `i` is none that the value opens itself: in the first part of a value.
fn is_unopened(view: &[u8], i: usize) -> bool {
    let before = view.get(i.saturating_sub(64)..i).unwrap_or_default();
    let opened = before.iter().filter(|&&byte| byte == b'(').count();
    let closed = before.iter().filter(|&&byte| byte == b')').count();
    closed > opened
}

/// Whether an attribute with a comparison, or an operator with its filters, stands at `i`.
fn is_filter(view: &[u8], i: usize) -> bool {
    if matches!(at(view, i), b'&' | b'|' | b'!') {
        let next = skip_space(view, i + 1);
        return next >= view.len() || matches!(at(view, next), b'(' | b')') || is_compared(view, next);
    }
    is_compared(view, i)
}

/// Whether an attribute with a comparison stands at `i`.
fn is_compared(view: &[u8], i: usize) -> bool {
    let len = from(view, i)
        .iter()
        .take(48)
        .take_while(|&&byte| is_word(byte) || matches!(byte, b'-' | b'.' | b';' | b':'))
        .count();
    let end = i + len;
    let compared = match at(view, end) {
        b'=' => end + 1,
        b'~' | b'<' | b'>' if at(view, end + 1) == b'=' => end + 2,
        _ => return false,
    };
    // `==` and `=>` are code.
    len > 0 && !matches!(at(view, compared), b'=' | b'>' | b' ')
}

#[cfg(test)]
mod tests {
    use super::super::{Class, ClassSet, scan};

    fn found(value: &str) -> Option<&'static str> {
        scan(value.as_bytes(), ClassSet::NONE.with(Class::Ldap)).map(|finding| finding.rule)
    }

    #[test]
    fn finds_a_filter_that_is_closed_and_another_begun() {
        for value in [
            "*)(uid=*))(|(uid=*",
            "x)(|(cn=*))",
            "ann)(&)",
            "ann)(!(&(a=b",
            "*)(objectClass=*",
            "a) (mail>=a",
            "%2a%29%28uid=%2a",
            "x)(cn:dn:=a)",
            "admin*)((|userPassword=*)",
            "*(|(mail=*))",
            "*)(&",
        ] {
            assert_eq!(found(value), Some("ldap-filter"), "{value}");
        }
        assert_eq!(found("admin*)\0"), Some("ldap-truncation"));
        assert_eq!(found("admin))%00"), Some("ldap-truncation"));
    }

    #[test]
    fn brackets_of_prose_and_code_raise_nothing() {
        for value in [
            "(a) (b)",
            "f(a)(b)",
            "f(x)(y=1)",
            "smile :) (really)",
            "1) (see below)",
            "a) (b == c)",
            "x) (y => z)",
            "*",
            "(555) 123",
            "a\0b",
            "see (1), (2) and (3)",
            "list: a) one b) two",
            "a * (|b| + c)",
            "5*(&a)",
            "f(a)((b))",
        ] {
            assert_eq!(found(value), None, "{value}");
        }
    }
}
