use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Document<'_> {
    Document::parse(text.as_bytes(), &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn pointers(document: &Document<'_>, text: &str) -> Vec<String> {
    document.places(&path(text)).into_iter().map(|place| document.pointer(place)).collect()
}

fn written(document: &Document<'_>) -> String {
    String::from_utf8(document.to_bytes()).unwrap()
}

#[test]
fn keeps_the_order_the_escapes_and_the_text_of_numbers() {
    let text = " {\"z\": 1.50e+02, \"a\":[ -0, 12345678901234567890.10 ,{},[ ]],\"\\u0061b\":\"\\/\\ud83d\\ude00\", \"n\":null }\n";
    let kept =
        "{\"z\":1.50e+02,\"a\":[-0,12345678901234567890.10,{},[]],\"\\u0061b\":\"\\/\\ud83d\\ude00\",\"n\":null}";
    let document = parsed(text);
    assert_eq!((written(&document).as_str(), document.is_changed()), (kept, false));
    for scalar in ["1", "\"a\"", "null", "true", "[]", "{}"] {
        assert_eq!(written(&parsed(scalar)), scalar);
    }
}

#[test]
fn refuses_what_recipients_read_in_different_ways() {
    for text in ["{\"a\":1,\"\\u0061\":2}", "{\"a\\ud800\":1}", "{\"a\":1,}", "", "{}{}", "\u{feff}\u{feff}{}", "nul"] {
        let refused = Document::parse(text.as_bytes(), &Limits::default());
        assert!(refused.is_err_and(|error| !error.is_limit()), "{text}");
    }
    for text in ["[[1]]", "[1,2,3,4]", "\"abcde\""] {
        let limits = Limits { depth: 1, entries: 3, string_length: 4, ..Limits::default() };
        assert!(Document::parse(text.as_bytes(), &limits).is_err_and(Error::is_limit), "{text}");
    }
    assert_eq!(written(&parsed("\u{feff}[1]")), "[1]");
}

#[test]
fn shows_values_decoded() {
    let document = parsed("{\"\\u0061\":\"\\u00e9\\n\",\"b\":[1,true,false,null],\"c\":\"\\ud800\"}");
    let root = document.root();
    let keys: Vec<_> = document.children(root).map(|child| document.key(child).unwrap_or_default()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    let values = |place| document.children(place).map(|child| document.value(child)).collect::<Vec<_>>();
    assert_eq!(values(root), [Value::String("é\n"), Value::Array, Value::String("\u{fffd}\u{fffd}\u{fffd}")]);
    let list = document.member(root, "b").unwrap();
    assert_eq!(values(list), [Value::Number("1"), Value::Bool(true), Value::Bool(false), Value::Null]);
    assert_eq!(document.member(root, "d"), None);
    assert_eq!(document.scalars(root).len(), 6);
}

#[test]
fn a_path_names_fields_of_objects_and_of_every_object_in_a_list() {
    let text = r#"{"a":{"b":1,"c":{"b":2}},"l":[{"b":3},[{"b":4}],5],"m":{"x":{"b":6},"y":7},"*":8,"a.b":9}"#;
    let document = parsed(text);
    for (path, expected) in [
        ("a", vec!["/a"]),
        ("a.b", vec!["/a/b"]),
        ("a.c.b", vec!["/a/c/b"]),
        ("l.b", vec!["/l/0/b", "/l/1/0/b"]),
        ("l.*", vec!["/l/0", "/l/1", "/l/2"]),
        ("l.*.b", vec!["/l/0/b", "/l/1/0/b"]),
        ("m.*", vec!["/m/x", "/m/y"]),
        ("m.*.b", vec!["/m/x/b"]),
        ("*.b", vec!["/a/b", "/l/0/b", "/l/1/0/b"]),
        ("a.b.c", vec![]),
        ("B", vec![]),
        (r"a\.b", vec!["/a.b"]),
        (r"\*", vec!["/*"]),
    ] {
        assert_eq!(pointers(&document, path), expected, "{path}");
    }
    let list = parsed(r#"[{"b":1,"a":{"b":2}},[{"b":3}]]"#);
    assert_eq!(pointers(&list, "b"), ["/0/b", "/1/0/b"]);
    assert_eq!(pointers(&list, "*.b"), ["/0/b", "/0/a/b", "/1/0/b"]);
}

#[test]
fn refuses_what_is_no_path() {
    for text in ["", ".", "a.", ".a", "a..b"] {
        assert_eq!(FieldPath::parse(text), Err(PathError::EmptyName), "{text}");
    }
    assert_eq!(FieldPath::parse(r"a\b"), Err(PathError::Escape));
    assert_eq!(FieldPath::parse("a\\"), Err(PathError::Escape));
    assert_eq!((path("a.b").name(), path("a.*").name()), (Some("b"), None));
}

#[test]
fn removes_and_sets_what_it_is_told_to() {
    let mut document = parsed(r#"{"a":[1,2,3],"b":{"c":4,"d":[5]},"e":6}"#);
    for path in [path("b.d"), path("e")] {
        document.places(&path).into_iter().for_each(|place| document.remove(place));
    }
    let list = document.member(document.root(), "a").unwrap();
    let second = document.children(list).nth(1).unwrap();
    document.remove(second);
    let last = document.children(list).nth(1).unwrap();
    document.set_string(last, "\"\\\n\u{1}é".to_owned());
    assert_eq!(written(&document), r#"{"a":[1,"\"\\\n\u0001é"],"b":{"c":4}}"#);
    assert_eq!(document.pointer(last), "/a/2", "as it was parsed");
    document.set_string(list, "gone".to_owned());
    assert_eq!(written(&document), r#"{"a":"gone","b":{"c":4}}"#);
    assert!(document.is_changed());
    document.remove(document.root());
    assert_eq!(written(&document), "null");
}

#[test]
fn a_pointer_escapes_what_rfc_6901_escapes() {
    let document = parsed(r#"{"a/b":{"m~n":[0,{"":1}]}}"#);
    let last = *document.scalars(document.root()).last().unwrap();
    assert_eq!((document.pointer(last).as_str(), document.pointer(document.root()).as_str()), ("/a~1b/m~0n/1/", ""));
}

/// Documents as another parser knows them.
pub(crate) fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        "[a-c\"\\\\é\n]{0,4}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec(("[a-c]", inner), 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Arrays of records with these names, alone or in an object, where one of them may be anything.
pub(crate) fn any_records(names: [&'static str; 3]) -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let bare = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop_oneof![any::<i32>(), -9..99].prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-999_i32..999).prop_map(|hundredths| Value::from(f64::from(hundredths) / 100.0)),
    ];
    let text = prop_oneof![9 => "[a-c]{0,3}", 1 => "[a-c\"\\\\é\n ]{0,4}"].prop_map(Value::from);
    let column = prop_oneof![prop::collection::vec(bare, 12), prop::collection::vec(text, 12)];
    let odd = prop::option::of((0_usize..7, any_json()));
    (prop::collection::vec(column, 1..4), 2_usize..7, 0..4, odd).prop_map(move |(columns, count, form, odd)| {
        let cell = |column: usize, row: usize| columns[column % columns.len()][row].clone();
        let record = |row: usize| {
            let [a, b, c] = names;
            let named = names.into_iter().zip(&columns);
            let mut record: serde_json::Map<_, _> =
                named.map(|(name, column)| (name.into(), column[row].clone())).collect();
            match form {
                1 => drop(record.insert(a.into(), json!([cell(0, row), cell(1, row)]))),
                2 => drop(record.insert(b.into(), json!({ a: cell(0, row), c: { b: cell(2, row) } }))),
                3 => drop(record.insert(c.into(), (row..row + 4).map(|row| json!({ a: cell(1, row) })).collect())),
                _ => {}
            }
            Value::Object(record)
        };
        let mut records: Vec<Value> = (0..count).map(record).collect();
        if let Some((at, other)) = odd {
            records.insert(at.min(count), other);
        }
        if count % 2 == 0 { json!({ "a": records }) } else { records.into() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_not_changed_means_the_same(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let document = parsed(&text);
        prop_assert_eq!(serde_json::from_slice::<serde_json::Value>(&document.to_bytes()).unwrap(), value.clone());
        for place in document.scalars(document.root()) {
            let there = value.pointer(&document.pointer(place)).unwrap();
            match document.value(place) {
                Value::String(text) => prop_assert_eq!(there.as_str(), Some(text)),
                Value::Number(number) => prop_assert_eq!(there.to_string(), number),
                Value::Bool(flag) => prop_assert_eq!(there.as_bool(), Some(flag)),
                other => prop_assert!(there.is_null() && other == Value::Null),
            }
        }
    }

    #[test]
    fn reads_any_bytes(bytes in prop::collection::vec(prop_oneof![Just(b'{'), Just(b'['), Just(b'"'), Just(b':'), Just(b','), Just(b'}'), Just(b']'), any::<u8>()], 0..40)) {
        let _ = Document::parse(&bytes, &Limits::default());
    }
}
