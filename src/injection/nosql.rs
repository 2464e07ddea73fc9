//! NoSQL: operators of document databases where a value was meant, and script that closes a `$where` string.

use super::bytes::{Words, at, cut, from, is_word, skip_space, starts_at};
use super::rules::{Findings, Rule};
use super::triggers::{Bytes, Trigger};

/// Where operators and script begin.
pub(super) const TRIGGERS: [Trigger; 2] = [
    Trigger::new(Bytes::of(b"\0[\"'{, \t\n"), b"$", Bytes::LETTERS),
    Trigger::new(Bytes::of(b"sSbB"), b".", Bytes::LETTERS),
];

/// Operators of queries and of updates, without their `$`.
static OPERATORS: Words = Words::new(&[
    "accumulator",
    "addfields",
    "all",
    "and",
    "bitsallclear",
    "bitsallset",
    "bitsanyclear",
    "bitsanyset",
    "elemmatch",
    "eq",
    "exists",
    "expr",
    "function",
    "geointersects",
    "geowithin",
    "group",
    "gt",
    "gte",
    "in",
    "inc",
    "jsonschema",
    "lookup",
    "lt",
    "lte",
    "match",
    "merge",
    "mod",
    "ne",
    "near",
    "nearsphere",
    "nin",
    "nor",
    "not",
    "or",
    "out",
    "project",
    "pull",
    "push",
    "regex",
    "rename",
    "set",
    "size",
    "text",
    "type",
    "unionwith",
    "unset",
    "where",
]);

/// How far a closed string is looked for before script.
const REACH: usize = 32;

/// Reports what the mark at `i` of `view` would do in a query.
#[inline(never)]
pub(super) fn read(view: &[u8], i: usize, findings: &mut Findings) {
    match at(view, i) {
        b'$' => operator(view, i, findings),
        _ => script(view, i, findings),
    }
}

/// `$` at `i`: `$ne` as the whole name, `user[$ne]`, `{"$gt": ""}`, `{$where: ...}`.
fn operator(view: &[u8], i: usize, findings: &mut Findings) {
    let len = from(view, i + 1).iter().take(24).take_while(|&&byte| is_word(byte)).count();
    let end = i + 1 + len;
    if !OPERATORS.contains(cut(view, i + 1, end)) {
        return;
    }
    let before = if i == 0 { 0 } else { at(view, i - 1) };
    let next = at(view, end);
    let named = match before {
        0 => i == 0 && (end == view.len() || matches!(next, b'[' | b':')),
        b'[' => next == b']',
        b'"' | b'\'' => next == before && at(view, skip_space(cut(view, 0, end + 16), end + 1)) == b':',
        _ => {
            cut(view, 0, i).iter().rev().find(|&&byte| byte > b' ').is_some_and(|&byte| matches!(byte, b'{' | b','))
                && at(view, skip_space(cut(view, 0, end + 16), end)) == b':'
        }
    };
    if named {
        findings.report(Rule::NosqlOperator);
    }
}

/// `.` at `i`: `this.name` or `db.name` after a string that is closed, or as the body of a function.
fn script(view: &[u8], i: usize, findings: &mut Findings) {
    let object =
        [&b"this"[..], b"db"].into_iter().find(|name| i >= name.len() && starts_at(view, i - name.len(), name));
    let Some(object) = object else { return };
    let start = i - object.len();
    if start == 0 || is_word(at(view, start - 1)) {
        return;
    }
    let before = cut(view, start.saturating_sub(REACH), start).trim_ascii_end();
    let joined = [&b"||"[..], b"&&", b";", b"return", b"if("].iter().any(|sign| before.ends_with(sign));
    let closed = before.iter().any(|byte| matches!(byte, b'\'' | b'"'));
    let function = starts_at(view, skip_space(view, 0), b"function") && cut(view, 0, 64).contains(&b'{');
    if joined && (closed || function) {
        findings.report(Rule::NosqlScript);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Class, ClassSet, scan};

    fn found(value: &str) -> Option<&'static str> {
        scan(value.as_bytes(), ClassSet::NONE.with(Class::Nosql)).map(|finding| finding.rule)
    }

    #[test]
    fn finds_operators_where_a_name_or_a_value_was_meant() {
        for value in [
            "$ne",
            "$where",
            "user[$ne]",
            "user[$regex]",
            "a[b][$in][]",
            "{\"$gt\":\"\"}",
            "{\"a\": {\"$ne\" : null}}",
            "{$where: '1'}",
            "%24ne",
            "user%5B%24gt%5D",
            "{ '$or' : [] }",
            "\\u0024gt",
            "$in[0]",
            "$where: '1 == 1'",
        ] {
            assert_eq!(found(value), Some("nosql-operator"), "{value}");
        }
    }

    #[test]
    fn finds_script_that_closes_its_string() {
        for value in [
            "' || this.password.match(/^a/)//",
            "a'; return this.role == 'x'; var b='",
            "'&&this.a=='b",
            "function() { return this.a == 1 }",
            "\" || db.users.count() > 0 || \"",
        ] {
            assert_eq!(found(value), Some("nosql-script"), "{value}");
        }
    }

    #[test]
    fn money_variables_and_prose_raise_nothing() {
        for value in [
            "$5",
            "$name",
            "$text is a variable",
            "costs $in total",
            "US$",
            "items[0]",
            "user[name]",
            "{\"price\":\"$10\"}",
            "use $match",
            "this. And that",
            "see this.md",
            "it's this.x || that",
            "db.example.com",
            "{\"a\":\"$ne\"}",
            "$schema",
            "[$x]",
            "jQuery.$",
        ] {
            assert_eq!(found(value), None, "{value}");
        }
    }
}
