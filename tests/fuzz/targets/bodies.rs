//! Bodies of every kind: the first byte says which. What is visited is bounded by the body, and percent-decoding by its
//! input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::media::content_type::ContentType;
use portcullis::media::{Item, body, cookie, percent, query};
use std::ops::ControlFlow;

const TYPES: [&[u8]; 6] = [
    b"application/json",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=b",
    b"application/xml",
    b"text/plain",
    b"application/soap+xml; charset=utf-8",
];

fuzz_target!(|data: &[u8]| {
    let Some((&choice, body)) = data.split_first() else { return };
    if let Some(named) = TYPES.get(usize::from(choice) % (TYPES.len() + 1)) {
        let content_type = ContentType::parse(named).expect("a type of our own");
        let mut visited = 0;
        let _ = body::items(&content_type, body, &body::Limits::default(), |item: Item<'_>| {
            visited += item.value.len();
            ControlFlow::<()>::Continue(())
        });
        assert!(visited <= 8 * body.len() + 64, "{visited} bytes of {}", body.len());
        return;
    }
    let _ = ContentType::parse(body);
    assert!(percent::decode(body).bytes.len() <= body.len());
    assert!(percent::decode_form(body).bytes.len() <= body.len());
    let pairs = query::pairs(body, 100).count();
    assert!(pairs <= 101);
    let cookies = cookie::pairs([body], 100).count();
    assert!(cookies <= 101);
});
