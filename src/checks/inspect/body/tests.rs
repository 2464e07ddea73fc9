//! A body is judged as each of its values would be, within every limit.

use super::*;
use crate::checks::body::validate::ValidateBeside;
use crate::injection::{Class, RuleSet};
use crate::schema::Schema;
use proptest::prelude::*;
use serde_json::json;

/// What becomes of a JSON document of which every value is judged by itself, or whole.
fn judged(inspector: &Inspector, limits: &body::Limits, document: &[u8], each: bool) -> (String, Step) {
    let json = ContentType { media: Media::Json, charset: Charset::Unstated };
    let mut findings = Findings::default();
    let ended = if each {
        body::items(&json, document, limits, |item: Item<'_>| inspector.item(Place::Body, item, &mut findings))
    } else {
        body::items(&json, document, limits, Judge::new(inspector, &mut findings))
    };
    (format!("{ended:?}"), findings.step())
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z]{1,8}",
        2 => "[a-zA-Z0-9 .,:@?!_/-]{0,12}",
        1 => prop::sample::select(
            &[
                "' or 1=1--",
                "<script>",
                "../../etc/passwd",
                "union select a from b",
                "; cat /etc/passwd",
                "drop table users",
                "exec ",
                "javascript:alert(1)",
                "@@version",
                "{{7*7}}",
                "//169.254.169.254/",
                "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg",
                "\\u0027 or 1=1--",
                "\\u003cscript\\u003e",
                "{\\\"a\\\":\\\"/var/log/mysql.log\\\"}",
                "eyJhIjoiL3Zhci9sb2cvbXlzcWwubG9nIn0",
                "\\ud800",
                "\\n",
                "é",
                "O'Hara",
                "https://a.example/b?c=d",
                "shutdown",
            ][..]
        )
        .prop_map(str::to_owned),
        1 => "[a-z ]{50,140}",
    ];
    prop::collection::vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn document() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => text(),
        1 => "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?",
        1 => prop::sample::select(vec!["true", "null", "[]", "{}", "169.16689662"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let member = (text(), inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|all| format!("[{}]", all.join(", "))),
            prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

/// Arrays of records that have the same names, as they are mostly written; what stands in them, and one name, may be
/// anything.
fn records() -> impl Strategy<Value = String> {
    let names = prop::collection::vec("[a-z_]{1,20}", 1..4);
    let leaf = || {
        prop_oneof![
            6 => "\"[a-z][a-z ]{0,30}\"",
            1 => text(),
            3 => "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?",
            1 => prop::sample::select(vec!["true", "false", "null", "01", "1.", "-", "[]", "nul"]).prop_map(str::to_owned),
        ]
    };
    let columns = prop::collection::vec(
        prop_oneof![
            3 => prop::collection::vec("\"[a-z][a-zA-Z0-9 ,-]{0,20}\"", 8),
            3 => prop::collection::vec("0|[1-9][0-9]{0,9}", 8),
            1 => prop::collection::vec(leaf(), 8),
        ],
        3,
    );
    let space = || prop::sample::select(vec!["", " ", "\n  ", "\t"]);
    (names, columns, 2_usize..8, space(), space(), prop::option::of((0_usize..8, leaf())), any::<bool>()).prop_map(
        |(names, columns, count, before, after, odd, nested)| {
            let record = |row: usize| {
                let members = names.iter().zip(&columns).map(|(name, column)| {
                    let cell = match &odd {
                        Some((at, other)) if *at == row => other,
                        _ => &column[row],
                    };
                    let cell = if nested { format!("[{cell},{after}{{\"x\":{cell}}}]") } else { cell.clone() };
                    format!("\"{name}\":{after}{cell}")
                });
                format!("{{{before}{}{before}}}", members.collect::<Vec<_>>().join(&format!(",{after}")))
            };
            format!("[{}]", (0..count).map(record).collect::<Vec<_>>().join(&format!(",{after}")))
        },
    )
}

#[test]
fn holds_every_limit_of_a_document_in_which_all_is_plain() {
    let inspector = Inspector { enforced: ClassSet::USUAL, ..Inspector::default() };
    let tight = json::Limits { depth: 3, entries: 6, string_length: 9, number_length: 4, unique_keys: false };
    let limits = body::Limits { json: tight, ..body::Limits::default() };
    for (document, ends) in [
        (r#"{"a": [1, {"b": "green"}], "c": true, "d": null}"#, "Ok(Continue"),
        (r#"[[["a"]]]"#, "Ok(Continue"),
        (r#"[[[["a"]]]]"#, "Err(Json(TooDeep { offset: 3 }))"),
        (r#"{"a":{"b":{"c":{"d":1}}}}"#, "Err(Json(TooDeep { offset: 15 }))"),
        (r#"["a","b","c","d","e","f"]"#, "Ok(Continue"),
        (r#"["a","b","c","d","e","f", "g"]"#, "Err(Json(TooManyEntries { offset: 26 }))"),
        (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}"#, "Err(Json(TooManyEntries { offset: 37 }))"),
        (r#"["a","b","c","d","e",["f"]]"#, "Err(Json(TooManyEntries { offset: 22 }))"),
        (r#"["nine is ok"]"#, "Err(Json(StringTooLong { offset: 1 }))"),
        (r#"{"nine is ok":1}"#, "Err(Json(StringTooLong { offset: 1 }))"),
        ("[1234]", "Ok(Continue"),
        ("[12345]", "Err(Json(NumberTooLong { offset: 1 }))"),
        ("[01]", "Err(Json(Malformed { offset: 2 }))"),
        ("[1.]", "Err(Json(Malformed { offset: 3 }))"),
        ("[tru]", "Err(Json(Malformed { offset: 4 }))"),
        (r#"["a","b"}"#, "Err(Json(Malformed { offset: 8 }))"),
        (r#"{"a":1]"#, "Err(Json(Malformed { offset: 6 }))"),
        (r#"["a",]"#, "Err(Json(Malformed { offset: 5 }))"),
        (r#"{"a":1,}"#, "Err(Json(Malformed { offset: 7 }))"),
        (r#"["a" "b"]"#, "Err(Json(Malformed { offset: 5 }))"),
        (r#"[{"a":1},{"a":2},{"a":3}]"#, "Ok(Continue"),
        (r#"[{"a":1},{"a":2},{"a":3},{"a":4}]"#, "Err(Json(TooManyEntries { offset: 25 }))"),
        (r#"[{"a":1},{"a":2},{"a":3,"b":4}]"#, "Err(Json(TooManyEntries { offset: 24 }))"),
        (r#"[{"a":"b"},{"a":"c"},{"a":"nine is ok"}]"#, "Err(Json(StringTooLong { offset: 26 }))"),
        (r#"[{"a":1},{"a":2},{"a":12345}]"#, "Err(Json(NumberTooLong { offset: 22 }))"),
        (r#"[{"a":1},{"a":2},{"a":03}]"#, "Err(Json(Malformed { offset: 23 }))"),
        (r#"[{"a":1},{"a":2},{"a":3]"#, "Err(Json(Malformed { offset: 23 }))"),
        (r#"[{"a":1},{"a":2}},{"a":3}]"#, "Err(Json(Malformed { offset: 16 }))"),
        (r#"[{"a":1},{"a":2},"#, "Err(Json(Malformed { offset: 17 }))"),
        (r#"[{"a":"b"},{"a":"c"},{"a":""#, "Err(Json(Malformed { offset: 27 }))"),
        // Long enough behind them that eight bytes are there to be compared.
        (r#"[{"a":1},{"a":2},{"a":12345},"and more of it"]"#, "Err(Json(NumberTooLong { offset: 22 }))"),
        (r#"[{"a":1},{"a":2},{"a":03},"and more of it"]"#, "Err(Json(Malformed { offset: 23 }))"),
        (r#"[{"a":"b"},{"a":"nine is ok"},"and more of it"]"#, "Err(Json(StringTooLong { offset: 16 }))"),
        (r#"[{"a":1,"b":1,"c":1},{"a":2,"b":2,"c":2},"and more of it"]"#, "Err(Json(TooManyEntries { offset: 28 }))"),
        (r#"["a",{"a":1,"b":1},{"a":2,"b":2},"and more of it"]"#, "Err(Json(TooManyEntries { offset: 26 }))"),
        // Of a record that was shown nothing is concluded.
        (r#"[{"a":"b\"c"},{"a":"b"true},"and more of it"]"#, "Err(Json(Malformed { offset: 22 }))"),
        (r#"["a"]]"#, "Err(Json(Malformed { offset: 5 }))"),
        (r#"["a"#, "Err(Json(Malformed { offset: 3 }))"),
    ] {
        let one_by_one = judged(&inspector, &limits, document.as_bytes(), true);
        assert!(one_by_one.0.starts_with(ends), "{document}: {one_by_one:?}");
        assert_eq!(judged(&inspector, &limits, document.as_bytes(), false), one_by_one, "{document}");
    }
}

#[test]
fn what_a_value_cost_counts_for_those_behind_it_whether_something_was_found_in_it_or_not() {
    let both = ClassSet::USUAL;
    let skipping = Inspector { skip_fields: vec![b"note".as_slice().into()], ..Inspector::default() };
    for inspector in [
        Inspector { enforced: both, ..Inspector::default() },
        Inspector { monitored: both, ..Inspector::default() },
        Inspector { monitored: ClassSet::NONE.with(Class::Sqli), enforced: both.without(Class::Sqli), ..skipping },
    ] {
        for value in [&b"if(if(if(a<b)))"[..], b"' or 1=1 -- ", b"<script>alert(1)</script>"] {
            for name in [&b"a"[..], b"note"] {
                let mut findings = Findings::default();
                let item = Item { name, value, kind: Kind::Value, irregular: false };
                let _ = inspector.item(Place::Body, item, &mut findings);
                let mut effort = crate::injection::Effort::default().with(value.len());
                crate::injection::scan_within(value, both, &RuleSet::default(), &mut effort);
                assert_eq!(findings.effort, effort, "{} {}", name.escape_ascii(), value.escape_ascii());
            }
        }
    }
}

#[test]
fn where_nothing_refuses_one_finding_is_enough() {
    let inspector = Inspector { monitored: ClassSet::USUAL, ..Inspector::default() };
    let mut findings = Findings::default();
    for value in [&b"' or 1=1 -- "[..], b"<script>alert(1)</script>"] {
        let item = Item { name: b"a", value, kind: Kind::Value, irregular: false };
        assert_eq!(inspector.item(Place::Body, item, &mut findings), ControlFlow::Continue(()));
    }
    let Step::Observe(Denial::Injection(told)) = findings.step() else { panic!() };
    assert_eq!(told.class, "sqli");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn judges_a_document_as_it_would_each_of_its_values(
        document in prop_oneof![document(), records()], ssrf in any::<bool>(), tight in any::<bool>(), unique in any::<bool>(),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let inspector = Inspector {
            enforced: if ssrf { ClassSet::USUAL.with(Class::Ssrf) } else { ClassSet::USUAL },
            monitored: ClassSet::NONE.with(Class::Template),
            skip_fields: vec![b"ann".as_slice().into()],
            excerpt: 40,
            ..Inspector::default()
        };
        let mut limits = body::Limits::default();
        limits.json.unique_keys = unique;
        if tight {
            limits.json =
                json::Limits { depth: 2, entries: 6, string_length: 40, number_length: 12, unique_keys: unique };
        }
        let mut document = document.into_bytes();
        if let Some((at, byte)) = damage {
            let at = at.index(document.len());
            document[at] = byte;
        }
        let one_by_one = judged(&inspector, &limits, &document, true);
        prop_assert_eq!(judged(&inspector, &limits, &document, false), one_by_one);
    }

    #[test]
    fn whoever_reads_along_changes_no_verdict_and_accepts_what_it_would_alone(
        document in prop_oneof![document(), records()], which in 0_usize..3, monitor in any::<bool>(),
    ) {
        let schema = [
            json!({}),
            json!({"type": ["object", "array"], "items": {"maxLength": 9}, "additionalProperties": {"not": {"type": "null"}}}),
            json!({"maxProperties": 2, "maxItems": 2, "additionalProperties": {"maxLength": 20, "minimum": 0}}),
        ];
        let schema = Rc::new(Schema::compile(&schema[which]).unwrap());
        let (enforced, monitored) =
            if monitor { (ClassSet::NONE, ClassSet::USUAL) } else { (ClassSet::USUAL, ClassSet::NONE) };
        let inspector = Inspector { enforced, monitored, ..Inspector::default() };
        let limits = body::Limits::default();
        let mut findings = Findings::default();
        let read = ValidateBeside(schema.clone()).read(
            document.as_bytes(), &limits.json, &mut Judge::new(&inspector, &mut findings),
        );
        let accepted = matches!(read, Ok((ControlFlow::Continue(()), true)));
        if let Ok((ControlFlow::Continue(()), _)) = read {
            prop_assert_eq!(accepted, schema.surely_accepts(document.as_bytes(), &limits.json));
        }
        let ended = read.map(|(ended, _)| ended).map_err(body::Error::Json);
        let verdict = (format!("{ended:?}"), findings.step());
        prop_assert_eq!(verdict, judged(&inspector, &limits, document.as_bytes(), false));
    }
}
