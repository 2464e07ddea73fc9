use super::*;
use crate::document::tests::{any_json, any_records};
use proptest::prelude::*;
use serde_json::{Value, json};

fn compiled(schema: &Value) -> Schema {
    Schema::compile(schema).unwrap_or_else(|errors| panic!("{schema}: {errors:?}"))
}

/// What becomes of a document; what is accepted while it is read is valid.
fn refusal(schema: &Value, document: &str) -> Result<(), Refusal> {
    let limits = Limits { depth: 128, ..Limits::default() };
    let schema = compiled(schema);
    let sure = schema.surely_accepts(document.as_bytes(), &limits);
    let refusal = schema.validate(&Document::parse(document.as_bytes(), &limits).unwrap());
    assert!(!sure || refusal.is_ok(), "{document}: {refusal:?}");
    refusal
}

/// `pointer keyword` of every violation.
fn violations(schema: &Value, document: &str) -> Vec<String> {
    match refusal(schema, document) {
        Ok(()) => Vec::new(),
        Err(Refusal::Invalid(violations)) => {
            violations.iter().map(|violation| format!("{} {}", violation.pointer, violation.keyword)).collect()
        }
        Err(Refusal::TooComplex) => vec!["too complex".to_owned()],
    }
}

/// `pointer` and problem of every error.
fn errors(schema: &Value) -> Vec<(String, Problem)> {
    let errors = Schema::compile(schema).expect_err(&schema.to_string());
    errors.into_iter().map(|error| (error.pointer, error.problem)).collect()
}

fn sign_up() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["username", "email", "password"],
        "properties": {
            "username": { "type": "string", "format": "username" },
            "email": { "type": "string", "format": "email", "maxLength": 100 },
            "password": { "type": "string", "format": "password", "minLength": 8, "maxLength": 50 },
            "bio": { "type": "string", "maxLength": 2000 }
        }
    })
}

#[test]
fn every_violation_is_told_by_pointer_and_keyword_and_no_value() {
    let good = r#"{"username":"joe","email":"joe@example.com","password":"Passw0rd!"}"#;
    assert_eq!(violations(&sign_up(), good), Vec::<String>::new());
    for (document, expected) in [
        (r#"{"username":"joe","email":"joe@example.com","password":"password"}"#, &["/password format"][..]),
        (r#"{"username":"joe","email":"joe@example.com","password":"aA1!"}"#, &["/password minLength"]),
        (r#"{"username":"joe","email":"joe@example.com","password":1}"#, &["/password type"]),
        (
            r#"{"username":"j o","email":"joe","password":"x"}"#,
            &["/username format", "/email format", "/password format", "/password minLength"],
        ),
        (
            r#"{"email":"joe@example.com","is_admin":true}"#,
            &["/is_admin additionalProperties", "/password required", "/username required"],
        ),
        ("[]", &[" type"]),
    ] {
        assert_eq!(violations(&sign_up(), document), expected, "{document}");
    }
}

#[test]
fn what_alternatives_say_among_themselves_is_not_told() {
    let schema = json!({ "properties": { "a/~": { "anyOf": [{ "type": "null" }, { "minimum": 5 }] } } });
    assert_eq!(violations(&schema, r#"{"a/~":3}"#), ["/a~1~0 anyOf"]);
    assert_eq!(violations(&json!({ "not": { "type": "string" } }), r#""x""#), [" not"]);
    let schema = json!({ "if": { "required": ["a"] }, "then": { "required": ["b"] }, "else": false });
    assert_eq!(violations(&schema, r#"{"a":1}"#), ["/b required"]);
    assert_eq!(violations(&schema, "{}"), [" else"]);
}

#[test]
fn violations_and_pointers_are_capped() {
    let document = Value::from(vec!["x"; 1000]).to_string();
    assert_eq!(violations(&json!({ "items": { "type": "null" } }), &document).len(), MOST_VIOLATIONS);
    let long = json!({ "outer": { "k".repeat(300): 1 } }).to_string();
    let schema = json!({ "properties": { "outer": { "additionalProperties": false } } });
    assert_eq!(violations(&schema, &long), ["/outer additionalProperties"]);
}

#[test]
fn a_value_never_shows_in_a_violation() {
    let schema = json!({ "items": { "enum": ["a"], "const": "b", "pattern": "^c$", "maxLength": 1 } });
    let told = format!("{:?}", refusal(&schema, r#"["hunter2"]"#));
    assert!(told.contains("/0") && !told.contains("hunter2"), "{told}");
}

#[test]
fn what_is_not_supported_is_refused_with_its_pointer() {
    for (schema, pointer, problem) in [
        (json!({ "properties": { "a": { "foo": 1 } } }), "/properties/a/foo", Problem::UnknownKeyword),
        (json!({ "definitions": {} }), "/definitions", Problem::UnknownKeyword),
        (json!({ "contentMediaType": "text/html" }), "/contentMediaType", Problem::UnknownKeyword),
        (json!({ "$vocabulary": {} }), "/$vocabulary", Problem::UnknownKeyword),
        (
            json!({ "type": "text" }),
            "/type",
            Problem::Expected("null, boolean, object, array, number, integer, string, or a list of them"),
        ),
        (json!({ "minLength": -1 }), "/minLength", Problem::Expected("a whole number from 0 on")),
        (json!({ "multipleOf": 0 }), "/multipleOf", Problem::Expected("a number above zero")),
        (json!({ "required": ["a", "a"] }), "/required", Problem::Expected("every name once")),
        (json!({ "allOf": [] }), "/allOf", Problem::Expected("at least one schema")),
        (json!({ "items": [1] }), "/items", Problem::Expected("a schema: an object, true or false")),
        (json!({ "$ref": "#/$defs/a" }), "/$ref", Problem::Unresolved("#/$defs/a".to_owned())),
        (json!({ "$ref": "http://h/x" }), "/$ref", Problem::Unresolved("http://h/x".to_owned())),
        (json!({ "$ref": "#" }), "", Problem::Circular),
        (json!({ "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }] } } }), "/$defs/a", Problem::Circular),
        (
            json!({ "$schema": "http://json-schema.org/draft-07/schema#" }),
            "/$schema",
            Problem::Expected("https://json-schema.org/draft/2020-12/schema"),
        ),
        (
            json!({ "$defs": { "a": { "$anchor": "x" }, "b": { "$anchor": "x" } } }),
            "/$defs/b/$anchor",
            Problem::Twice("x".to_owned()),
        ),
    ] {
        assert_eq!(errors(&schema), [(pointer.to_owned(), problem)], "{schema}");
    }
    assert!(matches!(&errors(&json!({ "format": "regex" }))[..], [(at, Problem::Expected(_))] if at == "/format"));
    assert!(matches!(&errors(&json!({ "pattern": "(?=a)" }))[..], [(at, Problem::Pattern(_))] if at == "/pattern"));
    let mut deep = json!({});
    for _ in 0..100 {
        deep = json!({ "not": deep });
    }
    assert!(matches!(&errors(&deep)[..], [(_, Problem::TooLarge)]));
}

#[test]
fn annotations_say_nothing_and_every_error_is_told() {
    let schema =
        json!({ "title": "t", "description": "d", "default": 1, "examples": [2], "deprecated": true, "$comment": "c" });
    assert_eq!(violations(&schema, "3"), Vec::<String>::new());
    assert_eq!(errors(&json!({ "a": 1, "b": 2 })).len(), 2);
}

#[test]
fn numbers_are_compared_exactly() {
    for (schema, document, holds) in [
        (json!({ "maximum": 9_007_199_254_740_992_u64 }), "9007199254740993", false),
        (json!({ "multipleOf": 0.01 }), "4.35", true),
        (json!({ "multipleOf": 0.01 }), "4.355", false),
        (json!({ "const": 1 }), "1.0", true),
        (json!({ "enum": [100] }), "1e2", true),
        (json!({ "const": 9_007_199_254_740_992_u64 }), "9007199254740993", false),
        (json!({ "uniqueItems": true }), r#"[{"a":1,"b":2},{"b":2.0,"a":1}]"#, false),
        (json!({ "uniqueItems": true }), "[1,true,\"1\",[1],[[1]]]", true),
        (json!({ "type": "integer" }), "1e400", true),
        (json!({ "type": "integer" }), "1.5", false),
    ] {
        assert_eq!(refusal(&schema, document).is_ok(), holds, "{schema} {document}");
    }
}

#[test]
fn lengths_are_counted_in_code_points() {
    let schema = json!({ "maxLength": 2, "minLength": 2 });
    for (document, holds) in [("\"💩💩\"", true), (r#""\ud83d\udca9é""#, true), ("\"💩\"", false), ("\"abc\"", false)]
    {
        assert_eq!(refusal(&schema, document).is_ok(), holds, "{document}");
    }
}

#[test]
fn work_and_nesting_are_bounded() {
    // Twice the work with every level.
    let twice = json!({ "anyOf": [{ "items": { "$ref": "#" }, "maxItems": 0 }, { "items": { "$ref": "#" }, "maxItems": 0 }, { "type": "string" }] });
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(violations(&twice, &nested(100)), ["too complex"]);
    let deep = json!({ "allOf": [{ "allOf": [{ "items": { "$ref": "#" } }] }] });
    assert_eq!(violations(&deep, &nested(60)), Vec::<String>::new());
    assert_eq!(violations(&deep, &nested(128)), ["too complex"]);
    // A dynamic reference that leads back to where it is.
    let round = json!({
        "$id": "http://h/root", "$ref": "list",
        "$defs": {
            "here": { "$dynamicAnchor": "item", "$ref": "list" },
            "list": { "$id": "list", "$dynamicRef": "#item", "$defs": { "item": { "$dynamicAnchor": "item" } } }
        }
    });
    assert_eq!(violations(&round, "1"), ["too complex"]);
    // Every byte that a regular expression reads counts.
    let slow = json!({ "items": { "pattern": "(a|b|c|d){1,60}x" } });
    let text = Value::from(vec!["abcd".repeat(10_000); 20]).to_string();
    assert_eq!(violations(&slow, &text), ["too complex"]);
}

#[test]
fn read_only_fields_are_known_by_path_and_not_required() {
    let schema = json!({
        "required": ["id", "name"],
        "properties": {
            "id": { "$ref": "#/$defs/id" },
            "name": { "type": "string" },
            "a.b": { "readOnly": true },
            "secret": { "writeOnly": true },
            "list": { "items": { "allOf": [{ "properties": { "at": { "readOnly": true }, "key": { "writeOnly": true } } }] } }
        },
        "$defs": { "id": { "readOnly": true } }
    });
    let schema = compiled(&schema);
    let path = |text: &str| FieldPath::parse(text).unwrap();
    assert_eq!(*schema.read_only(), PathSet::new([path("a\\.b"), path("id"), path("list.*.at")]));
    assert_eq!(schema.write_only(), [path("list.*.key"), path("secret")]);
    let document = Document::parse(br#"{"name":"x"}"#, &Limits::default()).unwrap();
    assert_eq!(schema.validate(&document), Ok(()));
}

#[test]
fn read_only_and_write_only_without_a_path_are_refused() {
    for (schema, pointer) in [
        (json!({ "readOnly": true }), ""),
        (json!({ "anyOf": [{ "properties": { "a": { "readOnly": true } } }] }), "/anyOf/0/properties/a"),
        (json!({ "additionalProperties": { "writeOnly": true } }), "/additionalProperties"),
        (json!({ "patternProperties": { "^a": { "writeOnly": true } } }), "/patternProperties/^a"),
        (json!({ "items": { "readOnly": true } }), "/items"),
        (json!({ "prefixItems": [{ "properties": { "a": { "readOnly": true } } }] }), "/prefixItems/0/properties/a"),
        (json!({ "properties": { "": { "readOnly": true } } }), "/properties/"),
        (json!({ "$defs": { "a": { "readOnly": true } } }), "/$defs/a"),
        (
            json!({ "properties": { "id": { "readOnly": true }, "children": { "items": { "$ref": "#" } } } }),
            "/properties/id",
        ),
    ] {
        assert_eq!(errors(&schema), [(pointer.to_owned(), Problem::Access)], "{schema}");
    }
}

fn surely(schema: &Value, document: &str) -> bool {
    compiled(schema).surely_accepts(document.as_bytes(), &Limits::default())
}

#[test]
fn what_most_documents_and_schemas_are_is_accepted_while_it_is_read() {
    let good = r#" {"username":"joe", "email":"joe@example.com","password":"Passw0rd!","bio":"\u00e9 \"é\" \n"} "#;
    assert!(surely(&sign_up(), good));
    assert!(surely(&sign_up(), &format!("\u{feff}{good}")));
    for (schema, document) in [
        (json!(true), r#"{"a":[1,{"a":[],"b":{}}],"b":null}"#),
        (json!({ "type": ["integer", "null"], "minimum": 1, "maximum": 3 }), "3"),
        (json!({ "type": "number", "multipleOf": 0.01 }), "4.35"),
        (json!({ "type": "integer" }), "1.0"),
        (json!({ "enum": ["a", 1, null] }), "1.0"),
        (json!({ "const": "a" }), "\"\\u0061\""),
        (
            json!({ "items": { "$ref": "#/$defs/a" }, "minItems": 2, "$defs": { "a": { "pattern": "^a+$" } } }),
            r#"["a","aa"]"#,
        ),
        (
            json!({ "required": ["x"], "minProperties": 2, "additionalProperties": { "type": "string" } }),
            r#"{"y":"","x":""}"#,
        ),
        (json!({ "properties": { "children": { "items": { "$ref": "#" } } } }), r#"{"children":[{"children":[{}]}]}"#),
        (json!({ "properties": { "id": { "readOnly": true } }, "required": ["id"] }), r#"{"name":"x"}"#),
    ] {
        assert!(surely(&schema, document), "{schema} {document}");
    }
}

#[test]
fn what_is_refused_changed_or_needs_a_second_look_is_not_accepted_while_it_is_read() {
    let others = |count: usize| (0..count).map(|at| (format!("k{at}"), Value::Null)).collect::<Value>().to_string();
    assert!(surely(&json!({}), &others(16)) && !surely(&json!({}), &others(17)));
    for (schema, document) in [
        (sign_up(), r#"{"username":"joe","email":"joe@example.com","password":"Passw0rd!","admin":true}"#),
        (sign_up(), r#"{"username":"joe","email":"joe@example.com"}"#),
        (sign_up(), r#"{"username":"joe","email":"joe@example.com","password":"password"}"#),
        (json!({}), r#"{"a":1,"a":1}"#),
        (json!({}), r#"{"a":1,"\u0061":1}"#),
        (json!({ "properties": { "a": true } }), r#"{"a":1,"b":{"a":1},"\u0061":1}"#),
        (json!({}), r#"{"a\ud800":1}"#),
        (json!({}), r#"{"a":1}}"#),
        (json!({}), r#"{"a":1"#),
        (json!({}), ""),
        (json!(false), "1"),
        (json!({ "properties": { "id": { "readOnly": true } } }), r#"{"id":1}"#),
        // A path that leads into an object leads into every object of a list.
        (json!({ "properties": { "id": { "readOnly": true } } }), r#"[{"id":1}]"#),
        (
            json!({ "properties": { "a": { "properties": { "id": { "readOnly": true } } } } }),
            r#"{"a":[[{"\u0069d":1}]]}"#,
        ),
        (json!({ "properties": { "*": { "readOnly": true } } }), r#"{"*":1}"#),
        (
            json!({ "properties": { "a": { "$ref": "#/$defs/id" } }, "$defs": { "id": { "readOnly": true } } }),
            r#"{"a":1}"#,
        ),
        (json!({ "const": [1] }), "[1]"),
        (json!({ "uniqueItems": true }), "[1,1]"),
        (
            json!({ "items": { "pattern": "(a|b|c|d){1,60}x" } }),
            &Value::from(vec!["abcd".repeat(10_000); 20]).to_string(),
        ),
    ] {
        assert!(!surely(&schema, document), "{schema} {document}");
    }
}

/// Schemas as a description of an interface has them, and some keywords that it seldom has.
fn any_schema() -> impl Strategy<Value = Value> {
    let types = prop::sample::select(&["null", "boolean", "integer", "number", "string", "array", "object"][..]);
    let leaf = prop_oneof![
        Just(json!({})),
        any::<bool>().prop_map(Value::from),
        types.prop_map(|name| json!({ "type": name })),
        Just(json!({ "type": ["string", "array"], "maxLength": 2, "maxItems": 2 })),
        (-9_i32..9, -9_i32..9).prop_map(|(a, b)| json!({ "minimum": a, "exclusiveMaximum": b, "multipleOf": 1.5 })),
        (0_u32..3, "[a-c]?").prop_map(|(least, pattern)| json!({ "minLength": least, "pattern": pattern })),
        prop::collection::vec(any_json(), 1..3).prop_map(|all| json!({ "enum": all })),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let named = prop::collection::btree_map("[a-c]", inner.clone(), 0..3);
        let required = prop::collection::btree_set("[a-c]", 0..2);
        prop_oneof![
            2 => (inner.clone(), 0_u32..2).prop_map(|(items, least)| json!({ "items": items, "minItems": least })),
            4 => (named, required, inner.clone(), 0_u32..4).prop_map(|(named, required, rest, most)| json!({
                "properties": named, "required": required, "additionalProperties": rest, "maxProperties": most
            })),
            1 => inner.prop_map(|schema| json!({ "anyOf": [schema] })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_accepted_while_it_is_read_is_parsed_and_valid(
        schema in any_schema(), document in prop_oneof![any_json(), any_records(["a", "b", "c"])], pretty in any::<bool>(),
        from in "\"[a-c]\"|:|\\{|,", to in "\"[a-c]\"|\"\\\\u006[1-3]\"|,|\\[|1",
    ) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let reference = json!({ "$ref": "#/$defs/x", "$defs": { "x": schema } });
        let unset = json!({ "properties": { "a": { "readOnly": true }, "b": { "properties": { "c": { "readOnly": true } } } } });
        for schema in [compiled(&reference), compiled(&unset)] {
            for text in [text.clone(), text.replacen(&from, &to, 1)] {
                let limits = Limits { depth: 4, entries: 24, string_length: 3, ..Limits::default() };
                let sure = schema.surely_accepts(text.as_bytes(), &limits);
                let parsed = Document::parse(text.as_bytes(), &limits);
                let is_good = |document: Document<'_>| {
                    schema.read_only().places(&document).is_empty() && schema.validate(&document).is_ok()
                };
                prop_assert!(!sure || parsed.is_ok_and(is_good), "{text}");
            }
        }
    }
}
