//! A value that holds a JSON document: a form's `payload`, a query's `variables`, a cookie, a string within a string. Whoever
//! expects one takes it apart, and each of its names and strings is a value then.

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use super::{Class, ClassSet};
use crate::media::{json, percent};

/// What opens a document that holds strings, and what closes it.
const BRACKETS: [(u8, u8); 2] = [(b'{', b'}'), (b'[', b']')];
/// How a bracket is written where marks are percent-encoded.
const ENCODED: [&[u8]; 2] = [b"%7", b"%5"];

/// What is looked for in the strings of a document: a query's operator is told by its place, which the document shows.
pub const fn classes_of_strings(classes: ClassSet) -> ClassSet {
    classes.without(Class::Nosql)
}

/// Shows the names and strings of the document that `value` holds, decoded, until `show` breaks off or what stands between them is
/// no JSON. Linear in `value`.
pub fn each_string(value: &[u8], mut show: impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    if !matches!(value.trim_ascii_start().first(), Some(b'{' | b'[' | b'%')) {
        return ControlFlow::Continue(());
    }
    let document = document(value);
    let mut at = 0;
    while let Some(start) = next_quote(&document, at)
        && let Some((string, end)) = json::string_at(&document, start)
        && is_between_marks(&document, at..start, end)
    {
        show(&string)?;
        at = end;
    }
    ControlFlow::Continue(())
}

/// The document in `value`, decoded where its marks are percent-encoded; else nothing.
fn document(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    let is_encoded = ENCODED.iter().any(|mark| value.starts_with(mark));
    let document = if is_encoded { percent::decode(value).bytes } else { Cow::Borrowed(value) };
    let ends = (document.first().copied(), document.last().copied());
    if BRACKETS.iter().any(|&(opens, closes)| ends == (Some(opens), Some(closes))) { document } else { Cow::default() }
}

fn next_quote(document: &[u8], from: usize) -> Option<usize> {
    memchr::memchr(b'"', document.get(from..)?).map(|at| from + at)
}

/// Whether what stands `before` a string, and what stands behind its `end`, are what a document has there.
fn is_between_marks(document: &[u8], before: Range<usize>, end: usize) -> bool {
    let last = document.get(before).and_then(|before| before.trim_ascii_end().last());
    let next = document.get(end..).and_then(|after| after.trim_ascii_start().first());
    matches!(last, Some(b'{' | b'[' | b',' | b':')) && matches!(next, Some(b'}' | b']' | b',' | b':'))
}

#[cfg(test)]
mod tests {
    use super::super::{rules, scan};
    use super::*;

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
            (r#"{"a":"b""#, &[]),
            (r#"[see "a" and "b"]"#, &[]),
            (r#"{"a" or "b"}"#, &[]),
            (r#"{"a":"b" + "c"}"#, &["a"]),
            (r#"{"a":"\x41"}"#, &["a"]),
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
            for value in [&document, &encoded, &format!(" {document}\n")] {
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
