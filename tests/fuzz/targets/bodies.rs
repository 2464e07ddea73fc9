//! Bodies of every kind: the first byte says which. What is visited is bounded by the body, and percent-decoding by its
//! input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::media::content_type::{ContentType, Media};
use portcullis::media::{Item, body, cookie, framed, percent, query};
use std::ops::ControlFlow;

const TYPES: [&[u8]; 12] = [
    b"application/json",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=b",
    b"application/xml",
    b"text/plain",
    b"application/soap+xml; charset=utf-8",
    // None of them: what is no body.
    b"",
    b"multipart/related; boundary=b",
    b"application/connect+json",
    b"application/grpc-web-text",
    // These say nothing about the body.
    b"text/csv",
    b"application/octet-stream",
];

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    match TYPES[usize::from(choice) % TYPES.len()] {
        b"" => texts(bytes),
        named => whole(named, bytes),
    }
});

fn whole(named: &[u8], bytes: &[u8]) {
    let content_type = ContentType::parse(named).expect("a type of our own");
    let limits = body::Limits::default();
    let mut visited = 0;
    let reader = |item: Item<'_>| {
        visited += item.value.len();
        ControlFlow::<()>::Continue(())
    };
    let _ = match content_type.media {
        Media::Text => body::undeclared(bytes, false, &limits, reader),
        Media::Other => body::undeclared(bytes, true, &limits, reader),
        _ => body::items(&content_type, bytes, &limits, reader),
    };
    assert!(visited <= 32 * bytes.len() + 64, "{visited} bytes of {}", bytes.len());
}

fn texts(text: &[u8]) {
    let _ = ContentType::parse(text);
    let (plausible, awaited) = (framed::is_plausible(text), framed::lacks_its_message(text));
    assert!(!(plausible && awaited), "held for what is known");
    assert!(percent::decode(text).bytes.len() <= text.len());
    assert!(percent::decode_form(text).bytes.len() <= text.len());
    let pairs = query::pairs(text, 100).count();
    assert!(pairs <= 101);
    let cookies = cookie::pairs([text], 100).count();
    assert!(cookies <= 101);
    assert!(cookie::hidden(text, b"a").all(|value| value.len() < text.len()));
}
