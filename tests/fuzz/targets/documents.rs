//! JSON documents: what is parsed is what another parser reads, writing gives the same document back, and what is accepted
//! while it is read is parsed and valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::document::Document;
use portcullis::media::json::Limits;
use portcullis::schema::Schema;

thread_local! {
    static SCHEMAS: Vec<Schema> = SCHEMAS_WRITTEN.map(|text| {
        Schema::compile(&serde_json::from_str(text).expect("JSON")).expect("a schema")
    }).into();
}

const SCHEMAS_WRITTEN: [&str; 3] = [
    "{}",
    r##"{"type":"object","required":["a"],"properties":{"a":true,"b":{"maxLength":2},"c":{"$ref":"#"}},"maxProperties":3}"##,
    r##"{"items":{"type":["integer","null","array"],"minimum":-1,"items":{"enum":["x",1.5,true]}},"minItems":1}"##,
];

fuzz_target!(|bytes: &[u8]| {
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
