//! JSON documents: what is parsed is what another parser reads, and writing gives the same document back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::document::Document;
use portcullis::media::json::Limits;

fuzz_target!(|bytes: &[u8]| {
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
