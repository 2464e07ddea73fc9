//! A value that holds a document of its own: JSON in a form's `payload`, a query's `variables`, a cookie, a string within a string,
//! and GraphQL. Whoever expects one takes it apart, and each of its names and strings is a value then.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use super::bytes::is_word;
use super::{Class, ClassSet, decode};
use crate::media::{json, percent};

/// What a document of GraphQL begins with (specification of October 2021, section 2.2), but for `{`.
const GRAPHQL: [&[u8]; 4] = [b"query", b"mutation", b"subscription", b"fragment"];

/// What is looked for in the strings of a document: a query's operator is told by its place, which the document shows.
pub const fn classes_of_strings(classes: ClassSet) -> ClassSet {
    classes.without(Class::Nosql)
}

/// Shows the names and strings of the document that `value` holds, decoded, until `show` breaks off. Linear in `value`.
#[inline]
pub fn each_string(value: &[u8], mut show: impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    if !may_open(value) {
        return ControlFlow::Continue(());
    }
    show_strings(value, &mut show)
}

/// Whether `value` may hold a document, by its first bytes: what most values are told by.
#[inline]
const fn may_open(value: &[u8]) -> bool {
    match value {
        [b'{' | b'[' | b'%' | b'#' | b' ' | b'\t'..=b'\r', ..] => true,
        // `{` and `[` in base64.
        [b'e' | b'W', b'w'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'-' | b'_', ..] => true,
        [b'q' | b'm' | b's', b'u', ..] | [b'f', b'r', ..] => true,
        _ => false,
    }
}

#[cold]
fn show_strings(value: &[u8], show: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    let document = document(value.trim_ascii()).unwrap_or_default();
    let mut at = 0;
    while let Some(start) = find(b'"', &document, at) {
        if let Some((string, end)) = json::string_at(&document, start) {
            if is_behind_mark(&document, at..start) {
                show(&string)?;
            }
            at = end;
        } else if let Some(end) = find(b'\n', &document, start) {
            // A quote in a comment.
            at = end;
        } else {
            break;
        }
    }
    ControlFlow::Continue(())
}

/// The document in `value`, decoded where it is percent-encoded or base64. `None`: it begins as none does.
fn document(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value.first()? {
        b'{' | b'[' => Some(Cow::Borrowed(value)),
        b'#' => document(behind_comments(value)),
        b'%' => Some(percent::decode(value).bytes),
        b'e' | b'W' => decode::text_of_base64(value).map(Cow::Owned),
        b'f' | b'm' | b'q' | b's' => begins_graphql(value).then_some(Cow::Borrowed(value)),
        _ => None,
    }
}

fn behind_comments(mut value: &[u8]) -> &[u8] {
    while value.first() == Some(&b'#') {
        let end = memchr::memchr(b'\n', value).unwrap_or(value.len());
        value = value.get(end..).unwrap_or_default().trim_ascii_start();
    }
    value
}

fn begins_graphql(value: &[u8]) -> bool {
    let after = GRAPHQL.iter().find_map(|word| value.strip_prefix(*word));
    after.is_some_and(|after| after.first().is_some_and(|&byte| !is_word(byte)))
}

fn find(byte: u8, document: &[u8], from: usize) -> Option<usize> {
    memchr::memchr(byte, document.get(from..)?).map(|at| from + at)
}

/// Whether what stands `before` a string is what a document has there: a mark, or nothing but the string before.
fn is_behind_mark(document: &[u8], before: Range<usize>) -> bool {
    let last = document.get(before).unwrap_or_default().trim_ascii_end().last();
    matches!(last, None | Some(b'{' | b'[' | b'(' | b',' | b':' | b'='))
}

#[cfg(test)]
mod tests {
    use super::super::{rules, scan};
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    fn strings(value: &str) -> Vec<String> {
        let mut strings = Vec::new();
        let _ = each_string(value.as_bytes(), |string| {
            strings.push(String::from_utf8(string.to_vec()).unwrap());
            ControlFlow::Continue(())
        });
        strings
    }

    #[test]
    fn shows_the_names_and_strings_of_a_document_and_nothing_of_what_is_none() {
        for (value, shown) in [
            (r#"{"a":"b"}"#, &["a", "b"][..]),
            (r#" [ "a" , {"b" : ["c", 1, null]} ] "#, &["a", "b", "c"]),
            (r#"{"a":"\"b\"\u002f\n"}"#, &["a", "\"b\"/\n"]),
            (r"%7B%22a%22:%22b%20c%22%7D", &["a", "b c"]),
            (r"%5b%22a%22%5d", &["a"]),
            (r#"["", "a"]"#, &["", "a"]),
            ("[]", &[]),
            (r#""a""#, &[]),
            (r#"{"a":"b","c"#, &["a", "b"]),
            (r#"[see "a" and "b", "c"]"#, &["c"]),
            (r#"{"a":"b" + "c"}"#, &["a", "b"]),
            (r#"{"a":"\x41"}"#, &["a"]),
            ("{# a \" in a comment\n a(b:\"c\")}", &["c"]),
            ("# \"\nquery { a(b: [\"c\" \"d\"], e: \"\"\"f\"\"\") }", &["c", "d", "", "f", ""]),
            (r#"query($a: String = "b") { c(d: $a) }"#, &["b"]),
            (r#"mutation{a(b:"c")}"#, &["c"]),
            ("# A heading\n\nand (\"a\")", &[]),
            ("#", &[]),
            (r#"queries ("a")"#, &[]),
            (r#"say ("a")"#, &[]),
            ("eyJhIjoiYi9jIn0", &["a", "b/c"]),
            ("WyJhIiwiYiJd", &["a", "b"]),
            (r#"["a"#, &[]),
            ("{\"", &[]),
            ("", &[]),
        ] {
            assert_eq!(strings(value), shown, "{value}");
        }
    }

    #[test]
    fn what_every_rule_finds_it_finds_in_a_string_of_a_document_too() {
        let found = |value: &str| scan(value.as_bytes(), ClassSet::ALL).map(|finding| finding.rule);
        for rule in rules().iter().filter(|rule| rule.class != Class::Nosql && !rule.id.ends_with("-cost")) {
            let document = serde_json::json!({ "user": "ann", "of": [{ "text": rule.example }] }).to_string();
            let encoded: String = document.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let base64 = BASE64_STANDARD.encode(&document);
            let graphql = format!("query Of {{ user(text: {}) {{ name }} }}", serde_json::json!(rule.example));
            for value in [&document, &encoded, &base64, &graphql, &format!(" {document}\n")] {
                assert!(found(value).is_some(), "{}: {value}", rule.id);
            }
        }
    }

    #[test]
    fn a_name_that_is_an_attack_is_found() {
        assert!(scan(br#"{"/var/log/mysql.log":1}"#, ClassSet::USUAL).is_some());
        assert!(scan(br#"{"var/log/mysql.log":1}"#, ClassSet::USUAL).is_none());
    }
}
