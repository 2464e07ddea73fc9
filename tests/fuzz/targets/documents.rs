//! JSON documents: what is parsed is what another parser reads, writing gives the same document back, what is accepted
//! while it is read is parsed and valid, and who passes over a part is shown the rest as it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::document::Document;
use portcullis::media::json::{self, Limits, Location, Token, Visitor};
use portcullis::schema::Schema;
use std::ops::ControlFlow;

thread_local! {
    static SCHEMAS: Vec<Schema> = SCHEMAS_WRITTEN.map(|text| {
        Schema::compile(&serde_json::from_str(text).expect("JSON")).expect("a schema")
    }).into();
}

const SCHEMAS_WRITTEN: [&str; 4] = [
    "{}",
    r##"{"type":"object","required":["a"],"properties":{"a":true,"b":{"maxLength":2},"c":{"$ref":"#"}},"maxProperties":3}"##,
    r##"{"items":{"type":["integer","null","array"],"minimum":-1,"items":{"enum":["x",1.5,true]}},"minItems":1}"##,
    r##"{"items":{"properties":{"a":{"type":"integer"},"b":{"maxLength":2},"c":{"items":{"properties":{"a":{"enum":[1,"x"]}}}}},
        "required":["a"]},"maxItems":9}"##,
];

const TIGHT: Limits = Limits { depth: 4, entries: 40, string_length: 12, number_length: 6, unique_keys: false };

/// Passes over what has no `b` and no `7` in it.
struct Passing<'s>(&'s mut Vec<String>);

impl Visitor for Passing<'_> {
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
    format!("{} {token:?}", location.pointer())
}

fn is_plain(token: Token<'_>) -> bool {
    match token {
        Token::Key(text) | Token::String(text) => {
            !text.bytes.iter().any(|byte| *byte == b'b' || !(b' '..0x80).contains(byte))
        }
        Token::Number(written) => !written.contains('7'),
        Token::Bool(_) | Token::Null => true,
    }
}

fn pass_over(bytes: &[u8], limits: &Limits) {
    let (mut shown, mut all) = (Vec::new(), Vec::new());
    let ended = json::build(bytes, limits, Passing(&mut shown));
    let all_ended = json::walk(bytes, limits, |token, location| {
        all.push((is_plain(token), line(token, location)));
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(ended, all_ended);
    let mut shown = shown.into_iter().peekable();
    for (plain, line) in all {
        let is_shown = shown.next_if_eq(&line).is_some();
        assert!(is_shown || plain, "not shown: {line}");
    }
    assert_eq!(shown.next(), None);
}

fuzz_target!(|bytes: &[u8]| {
    pass_over(bytes, &Limits::default());
    pass_over(bytes, &TIGHT);
    SCHEMAS.with(|schemas| {
        for schema in schemas.iter().filter(|schema| schema.surely_accepts(bytes, &Limits::default())) {
            let document = Document::parse(bytes, &Limits::default()).expect("what is accepted is parsed");
            assert_eq!(schema.validate(&document), Ok(()));
        }
    });
    let Ok(document) = Document::parse(bytes, &Limits::default()) else { return };
    let written = document.to_bytes();
    let ours = serde_json::from_slice::<serde_json::Value>(&written);
    let theirs = serde_json::from_slice::<serde_json::Value>(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (ours, theirs) => assert_eq!(ours.is_ok(), theirs.is_ok()),
    }
    let again = Document::parse(&written, &Limits::default()).expect("what was written is read");
    assert_eq!(again.to_bytes(), written);
    for place in document.scalars(document.root()) {
        let _ = document.pointer(place);
    }
});
