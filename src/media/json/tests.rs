//! The walker against a table of known-tricky documents and against serde_json.

use std::ops::ControlFlow;

use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::*;
use crate::document::tests::{any_json, any_records};

const WIDE: Limits =
    Limits { depth: 100, entries: 100_000, string_length: 100_000, number_length: 1000, unique_keys: false };

fn check(document: &[u8], limits: &Limits) -> Result<(), Error> {
    walk(document, limits, |_, _| ControlFlow::<()>::Continue(())).map(|_| ())
}

/// Every token as `pointer name token`.
fn lines(document: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let ended = walk(document, &WIDE, |token, location| {
        let token = match token {
            Token::Key(text) => format!("key {}", text.bytes.escape_ascii()),
            Token::String(text) => format!("{:?}", text.bytes.escape_ascii().to_string()),
            Token::Number(number) => number.to_owned(),
            Token::Bool(value) => value.to_string(),
            Token::Null => "null".to_owned(),
        };
        lines.push(format!("{} {} {token}", location.pointer(), location.name().escape_ascii()));
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(ended, Ok(ControlFlow::Continue(())), "{}", document.escape_ascii());
    lines
}

#[test]
fn names_every_token_by_its_nearest_key_and_its_pointer() {
    let document = br#" {"a": [1, {"b/c": "x"}, [true]], "d~": {"": null}, "\u0065": ["y"]} "#;
    assert_eq!(
        lines(document),
        [
            "/a a key a",
            "/a/0 a 1",
            "/a/1/b~1c b/c key b/c",
            "/a/1/b~1c b/c \"x\"",
            "/a/2/0 a true",
            "/d~0 d~ key d~",
            "/d~0/  key ",
            "/d~0/  null",
            "/e e key e",
            "/e/0 e \"y\"",
        ]
    );
    assert_eq!(lines(b"[[\"x\"]]"), ["/0/0  \"x\""]);
    assert_eq!(lines(b"7"), ["  7"]);
}

#[test]
fn spans_cover_the_token_as_written() {
    let document = br#"{"k\u0041" : "v\n", "n": -1.5e3}"#;
    let mut written = Vec::new();
    let _ = walk(document, &WIDE, |_, location| {
        written.push(document[location.span()].escape_ascii().to_string());
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(written, [r#"\"k\\u0041\""#, r#"\"v\\n\""#, r#"\"n\""#, "-1.5e3"]);
}

#[test]
fn refuses_what_is_not_rfc_8259_at_the_byte_where_it_shows() {
    for (document, offset) in [
        (&b""[..], 0),
        (b"  ", 2),
        (b"\xEF\xBB\xBF{}", 0),
        (b"\xFF\xFE{\x00}\x00", 0),
        (b"\x00\x00\x00{\x00\x00\x00}", 0),
        (b"{\x00}\x00", 1),
        (b"{}\x00", 2),
        (b"{} {}", 3),
        (b"[1,]", 3),
        (b"[,1]", 1),
        (b"[1 2]", 3),
        (b"{\"a\":1,}", 7),
        (b"{\"a\" 1}", 5),
        (b"{a:1}", 1),
        (b"{'a':1}", 1),
        (b"{\"a\":}", 5),
        (b"[1}", 2),
        (b"{\"a\":1]", 6),
        (b"]", 0),
        (b"[", 1),
        (b"\"abc", 4),
        (b"\"ab\\", 4),
        (b"\"ab\\\"", 5),
        (b"\"\\x41\"", 2),
        (b"\"\\u12g4\"", 5),
        (b"\"\\u12", 5),
        (b"\"a\x00b\"", 2),
        (b"\"a\nb\"", 2),
        (b"\"abcdefgh\x1f\"", 9),
        (b"\"ab\xFF\"", 3),
        (b"\"\xC0\xAF\"", 1),
        (b"\"\xED\xA0\x80\"", 1),
        (b"\"abcdefgh\xE2\x82\"", 9),
        (b"\xC2\xA0{}", 0),
        (b"\x0B{}", 0),
        (b"01", 1),
        (b"-", 1),
        (b"+1", 0),
        (b".5", 0),
        (b"1.", 2),
        (b"1.e5", 2),
        (b"1e", 2),
        (b"1e+", 3),
        (b"0x10", 1),
        (b"NaN", 0),
        (b"nul", 3),
        (b"True", 0),
        (b"truefalse", 4),
        (b"// c\n1", 0),
        (b"1 /* c */", 2),
    ] {
        assert_eq!(check(document, &WIDE), Err(Error::Malformed { offset }), "{}", document.escape_ascii());
    }
}

#[test]
fn holds_every_limit_exactly() {
    let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    let limits = Limits { depth: 3, entries: 4, string_length: 5, number_length: 4, unique_keys: false };
    for (document, expected) in [
        (&nested(3)[..], Ok(())),
        (&nested(4), Err(Error::TooDeep { offset: 3 })),
        (&vec![b'['; 100_000], Err(Error::TooDeep { offset: 3 })),
        (b"[1,2,3,4]", Ok(())),
        (b"[1,2,3,4, 5]", Err(Error::TooManyEntries { offset: 10 })),
        (b"{\"a\":[1,2],\"b\":3}", Ok(())),
        (b"{\"a\":[1,2,3],\"b\":3}", Err(Error::TooManyEntries { offset: 13 })),
        (b"\"12345\"", Ok(())),
        (b"\"123456\"", Err(Error::StringTooLong { offset: 0 })),
        (b"\"\\u0031\\u0032345\"", Ok(())),
        (b"[ \"\\u20ac\\u20ac\"]", Err(Error::StringTooLong { offset: 2 })),
        (b"{\"123456\":1}", Err(Error::StringTooLong { offset: 1 })),
        (b"-1e9", Ok(())),
        (b"[-1e99]", Err(Error::NumberTooLong { offset: 1 })),
    ] {
        assert_eq!(check(document, &limits), expected, "{}", document.escape_ascii());
    }
    assert_eq!(check(b"1", &Limits { depth: 0, ..limits }), Ok(()));
    assert_eq!(check(b"[]", &Limits { depth: 0, ..limits }), Err(Error::TooDeep { offset: 0 }));
}

#[test]
fn refuses_duplicate_keys_of_one_object_compared_decoded_when_asked() {
    let unique = Limits { unique_keys: true, ..WIDE };
    for (document, expected) in [
        (&br#"{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}"#[..], Ok(())),
        (br#"{"a":1,"a":2}"#, Err(Error::DuplicateKey { offset: 7 })),
        (br#"{"a":1,"\u0061":2}"#, Err(Error::DuplicateKey { offset: 7 })),
        (br#"{"z":1,"b":2,"b":3,"z":4}"#, Err(Error::DuplicateKey { offset: 13 })),
        (br#"{"a":{"b":1,"b":2}}"#, Err(Error::DuplicateKey { offset: 12 })),
        (br#"{"a":{"b":1},"c":{},"a":2}"#, Err(Error::DuplicateKey { offset: 20 })),
        (br#"{"":1,"":2}"#, Err(Error::DuplicateKey { offset: 6 })),
    ] {
        assert_eq!(check(document, &unique), expected, "{}", document.escape_ascii());
        assert_eq!(check(document, &WIDE), Ok(()));
    }
}

#[test]
fn accepts_and_flags_lone_surrogates() {
    for (document, expected, lone) in [
        (&br#""\ud83d\ude00""#[..], "\u{1F600}".as_bytes(), false),
        (br#""\uD800""#, b"\xED\xA0\x80", true),
        (br#""\udfff""#, b"\xED\xBF\xBF", true),
        (br#""\ud800\u0041""#, b"\xED\xA0\x80A", true),
        (br#""\ud800x""#, b"\xED\xA0\x80x", true),
        (br#""\ud800\n""#, b"\xED\xA0\x80\n", true),
        (br#""\ud800\ud83d\ude00""#, b"\xED\xA0\x80\xF0\x9F\x98\x80", true),
        (br#""\ude00\ud83d""#, b"\xED\xB8\x80\xED\xA0\xBD", true),
        (br#""\u0000\/\b\f\n\r\t\"\\""#, b"\x00/\x08\x0C\n\r\t\"\\", false),
    ] {
        let mut visited = 0;
        let ended = walk(document, &WIDE, |token, _| {
            visited += 1;
            assert_eq!(token, Token::String(Text { bytes: expected, lone_surrogate: lone }));
            ControlFlow::<()>::Continue(())
        });
        assert_eq!((ended, visited), (Ok(ControlFlow::Continue(())), 1));
    }
}

#[test]
fn stops_where_the_visitor_breaks_off() {
    let mut seen = 0;
    let ended = walk(b"[1,2,3,", &WIDE, |token, location| {
        seen += 1;
        if token == Token::Number("2") { ControlFlow::Break(location.span().start) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((ended, seen), (Ok(ControlFlow::Break(3)), 2));
}

#[test]
fn borrows_strings_without_escapes() {
    let document = br#"{"key":"value"}"#;
    let _ = walk(document, &WIDE, |token, location| {
        let (Token::Key(text) | Token::String(text)) = token else { panic!() };
        assert_eq!(text.bytes.as_ptr(), document[location.span().start + 1..].as_ptr());
        ControlFlow::<()>::Continue(())
    });
}

/// serde_json's reading, in document order, duplicate keys kept.
#[derive(Default)]
struct Oracle(Vec<String>);

impl<'de> Deserialize<'de> for Oracle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Oracle;
            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Oracle, E> {
                Ok(Oracle(vec!["null".into()]))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Oracle, E> {
                Ok(Oracle(vec![value.to_string()]))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Oracle, E> {
                Ok(Oracle(vec![value.to_string()]))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Oracle, E> {
                Ok(Oracle(vec![value.to_string()]))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Oracle, E> {
                Ok(Oracle(vec![rounded(value)]))
            }
            fn visit_str<E>(self, value: &str) -> Result<Oracle, E> {
                Ok(Oracle(vec![format!("string {value}")]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Oracle, A::Error> {
                let mut all = Vec::new();
                while let Some(Oracle(element)) = seq.next_element()? {
                    all.extend(element);
                }
                Ok(Oracle(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Oracle, A::Error> {
                let mut all = Vec::new();
                while let Some((key, Oracle(value))) = map.next_entry::<String, Oracle>()? {
                    all.push(format!("key {key}"));
                    all.extend(value);
                }
                Ok(Oracle(all))
            }
        }
        deserializer.deserialize_any(Collect)
    }
}

/// A number that is not kept exactly: how the oracle rounds the last bits of its fraction is its own affair.
fn rounded(value: f64) -> String {
    f32::to_string(&(value as f32))
}

fn number(written: &str) -> String {
    match written.parse::<i128>() {
        Ok(whole) if written != "-0" && (i64::MIN.into()..=u64::MAX.into()).contains(&whole) => whole.to_string(),
        _ => rounded(written.parse().unwrap()),
    }
}

/// Our reading in the oracle's words, and whether a lone surrogate occurred.
fn ours(document: &[u8]) -> Result<(Vec<String>, bool), Error> {
    let mut tokens = Vec::new();
    let mut lone = false;
    let _ = walk(document, &WIDE, |token, _| {
        tokens.push(match token {
            Token::Key(text) => {
                lone |= text.lone_surrogate;
                format!("key {}", String::from_utf8_lossy(text.bytes))
            }
            Token::String(text) => {
                lone |= text.lone_surrogate;
                format!("string {}", String::from_utf8_lossy(text.bytes))
            }
            Token::Number(written) => number(written),
            Token::Bool(value) => value.to_string(),
            Token::Null => "null".to_owned(),
        });
        ControlFlow::<()>::Continue(())
    })?;
    Ok((tokens, lone))
}

fn agrees(document: &[u8]) -> Result<(), TestCaseError> {
    match (serde_json::from_slice::<Oracle>(document), ours(document)) {
        (Ok(Oracle(theirs)), Ok((ours, lone))) => {
            prop_assert!(!lone);
            prop_assert_eq!(theirs, ours);
        }
        // Where we accept more: numbers beyond f64 and surrogates without their pair.
        (Err(error), Ok((_, lone))) => {
            prop_assert!(lone || error.to_string().contains("number out of range"), "{error}");
        }
        (Ok(_), Err(error)) => prop_assert!(false, "{error:?}"),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

fn value() -> impl Strategy<Value = String> {
    let string = || {
        let piece = prop_oneof![
            "[ -~é€😀]{0,12}".prop_map(|text| text.replace(['"', '\\'], "")),
            prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\ud83d\\ude00", "\\u0000", "\\ud800"])
                .prop_map(str::to_owned),
        ];
        proptest::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    };
    let space = || prop::sample::select(vec!["", "", " ", "\n\t", "\r "]);
    let leaf = prop_oneof![
        string(),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
        prop::sample::select(vec!["true", "false", "null", "[]", "{}", "{ }"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let element = (space(), inner.clone(), space()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let member = (space(), string(), space(), element.clone()).prop_map(|(a, k, b, v)| format!("{a}{k}{b}:{v}"));
        prop_oneof![
            proptest::collection::vec(element, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn reads_valid_documents_as_serde_json_does(document in value()) {
        prop_assert!(ours(document.as_bytes()).is_ok(), "{document}");
        agrees(document.as_bytes())?;
    }

    #[test]
    fn judges_damaged_documents_as_serde_json_does(
        document in value(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3
    ) {
        let mut document = document.into_bytes();
        let at = at.index(document.len());
        match how {
            0 => document[at] = byte,
            1 => document.truncate(at),
            _ => document.insert(at, byte),
        }
        agrees(&document)?;
    }

    #[test]
    fn judges_token_soup_as_serde_json_does(pieces in proptest::collection::vec(prop::sample::select(vec![
        "[", "]", "{", "}", ",", ":", "\"a\"", "\"", "\\", "1", "-", "0", ".", "e", "true", "null", " ", "\u{e9}"
    ]), 0..12)) {
        agrees(pieces.concat().as_bytes())?;
    }

    #[test]
    fn unique_keys_agree_with_a_naive_set(
        keys in prop_oneof![proptest::collection::vec("[ab]{0,2}", 0..8), proptest::collection::vec("[abc]{3,7}", 8..40)]
    ) {
        let members: Vec<_> = keys.iter().map(|key| format!("\"{key}\":0")).collect();
        let document = format!("{{{}}}", members.join(","));
        let unique = Limits { unique_keys: true, ..WIDE };
        let repeated = (0..keys.len()).find(|at| keys[..*at].contains(&keys[*at]));
        let offset = repeated.map(|at| 1 + members[..at].iter().map(|member| member.len() + 1).sum::<usize>());
        let expected = offset.map_or(Ok(()), |offset| Err(Error::DuplicateKey { offset }));
        prop_assert_eq!(check(document.as_bytes(), &unique), expected);
    }
}

/// Passes over what has no `b` and no `7` in it.
struct Passing<'t>(&'t mut Vec<String>);

impl super::Visitor for Passing<'_> {
    type Break = ();

    fn token(&mut self, token: Token<'_>, location: &Location<'_>) -> ControlFlow<()> {
        self.0.push(line(token, location));
        ControlFlow::Continue(())
    }

    const PASSES_OVER: bool = true;

    fn passes_over(&mut self, text: &[u8]) -> bool {
        !text.contains(&b'b')
    }

    fn passes_over_bare(&mut self, written: &[u8]) -> bool {
        !written.contains(&b'7')
    }
}

fn line(token: Token<'_>, location: &Location<'_>) -> String {
    format!("{} {:?} {:?} {token:?}", location.pointer(), location.name(), location.span())
}

fn must_be_shown(token: Token<'_>) -> bool {
    match token {
        Token::Key(text) | Token::String(text) => {
            text.bytes.iter().any(|&byte| byte == b'b' || !(b' '..0x80).contains(&byte))
        }
        Token::Number(written) => written.contains('7'),
        Token::Bool(_) | Token::Null => false,
    }
}

/// Compact, as many programs write it, or with line breaks.
fn written(value: &serde_json::Value, manner: u8) -> String {
    match manner {
        0 => value.to_string(),
        1 => value.to_string().replace(',', ", ").replace(':', ": "),
        _ => serde_json::to_string_pretty(value).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_passed_over_changes_nothing_about_the_rest(
        value in prop_oneof![
            any_records(["a", "b", "c"]), any_records(["id", "describes", "a_name_of_some_length"]), any_json(),
        ],
        manner in 0_u8..3, tight in any::<bool>(),
        damage in prop::option::of((any::<prop::sample::Index>(), prop::sample::select(&b"bbbb7x\"\\,:{}[]0-.e \n\xff"[..]))),
    ) {
        let mut document = written(&value, manner).into_bytes();
        if let Some((at, byte)) = damage {
            let at = at.index(document.len());
            document[at] = byte;
        }
        let limits = Limits { depth: 4, entries: 30, string_length: 3, number_length: 6, unique_keys: false };
        let limits = if tight { limits } else { WIDE };
        let (mut shown, mut all, mut must) = (Vec::new(), Vec::new(), Vec::new());
        let ended = build(&document, &limits, Passing(&mut shown));
        let all_ended = walk(&document, &limits, |token, location| {
            all.push(line(token, location));
            if must_be_shown(token) {
                must.push(line(token, location));
            }
            ControlFlow::Continue(())
        });
        prop_assert_eq!(ended, all_ended);
        let mut rest = all.iter();
        prop_assert!(shown.iter().all(|one| rest.any(|other| one == other)), "{:?} {:?}", shown, all);
        let mut rest = shown.iter();
        prop_assert!(must.iter().all(|one| rest.any(|other| one == other)), "{:?} {:?}", must, shown);
    }
}
