//! Bodies: nothing goes on before the verdict, however the body arrives.

use portcullis::injection::{Class, ClassSet, scan};
use serde_json::json;

use crate::requests::{End, Request, configuration, plain};
use crate::vm::{Outcome, Vm};

const GOOD: [&str; 3] = [r#"{"name":"Ada","#, r#""note":"an ordinary "#, r#"sentence"}"#];
const BAD: [&str; 3] = [r#"{"name":"Ada","#, r#""note":"1' OR "#, r#"'1'='1' UNION SELECT password FROM users--"}"#];

fn answered(outcome: &Outcome) -> (u32, bool, usize) {
    (outcome.status(), outcome.passed, outcome.leaked)
}

/// The same body whole, in pieces, byte by byte, ended by itself, by an empty last piece or by trailers.
fn arrivals(chunks: [&str; 3]) -> Vec<(&'static str, Request)> {
    let whole = chunks.concat();
    let bytes: Vec<String> = whole.chars().map(String::from).collect();
    let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
    let [first, second, third] = chunks;
    vec![
        ("whole", Request::post("/api/a", &[&whole])),
        ("in pieces", Request::post("/api/a", &chunks)),
        ("byte by byte", Request::post("/api/a", &bytes)),
        ("with an empty end", Request::post("/api/a", &[first, second, third, ""])),
        ("with an empty start", Request::post("/api/a", &["", first, second, third])),
        ("with trailers", Request::post("/api/a", &chunks).trailers(&[("x-checksum", "1")])),
        ("whole with trailers", Request::post("/api/a", &[&whole]).trailers(&[("x-checksum", "1")])),
    ]
}

#[test]
fn a_good_body_goes_on_only_when_all_of_it_was_seen() {
    let mut vm = Vm::serving(&plain());
    for (how, request) in arrivals(GOOD) {
        let outcome = vm.request(&request.by("ada"));
        assert_eq!(answered(&outcome), (200, true, 0), "{how}");
        assert_eq!(outcome.upstream("x-auth-subject").as_deref(), Some("ada"), "{how}");
    }
}

#[test]
fn an_injection_in_the_last_piece_is_refused_and_nothing_has_gone_on() {
    let mut vm = Vm::serving(&plain());
    for (how, request) in arrivals(BAD) {
        let outcome = vm.request(&request.by("ada"));
        assert_eq!(answered(&outcome), (403, false, 0), "{how}");
        assert!(outcome.property.contains(r#""parameter":"note""#), "{how}: {}", outcome.property);
    }
}

#[test]
fn a_body_without_a_token_is_refused_at_its_head() {
    let mut vm = Vm::serving(&plain());
    for (how, request) in arrivals(GOOD) {
        assert_eq!(answered(&vm.request(&request)), (401, false, 0), "{how}");
    }
    assert!(!vm.host().calls.contains_key("proxy_get_buffer_bytes") || vm.host().calls["proxy_get_buffer_bytes"] == 1);
}

#[test]
fn a_body_over_the_limit_is_refused_as_soon_as_it_is() {
    let mut vm = Vm::serving(&plain());
    let chunk = "a".repeat(64 << 10);
    for count in [3, 8] {
        let mut request = Request::post("/api/a", &vec![chunk.as_str(); count]).by("ada");
        assert_eq!(answered(&vm.request(&request)), (413, false, 0));
        request = request.trailers(&[]);
        assert_eq!(answered(&vm.request(&request)), (413, false, 0));
    }
    let exactly = format!("\"{}\"", "a".repeat((64 << 10) - 2));
    assert_eq!(answered(&vm.request(&Request::post("/api/a", &[&exactly]).by("ada"))), (200, true, 0));
}

#[test]
fn a_request_that_ends_with_its_head_or_with_nothing_passes() {
    let mut vm = Vm::serving(&plain());
    let mut ended = Request::post("/api/a", &[]).by("ada");
    ended.end = End::Head;
    assert_eq!(answered(&vm.request(&ended)), (200, true, 0));
    assert_eq!(answered(&vm.request(&Request::post("/api/a", &[""]).by("ada"))), (200, true, 0));
    let trailers = Request::post("/api/a", &[]).by("ada").trailers(&[("x-checksum", "1")]);
    assert_eq!(answered(&vm.request(&trailers)), (200, true, 0));
}

#[test]
fn behind_a_buffer_filter_the_head_goes_on_decided_and_the_body_waits() {
    let mut configuration = configuration();
    configuration["bodies"] = json!({ "hold": "buffer_filter" });
    let mut vm = Vm::serving(&configuration.to_string());
    for (how, request) in arrivals(GOOD) {
        let outcome = vm.request(&request.by("ada").header("x-auth-roles", "admin"));
        assert_eq!(answered(&outcome), (200, true, 0), "{how}");
        assert_eq!(outcome.upstream("x-auth-subject").as_deref(), Some("ada"), "{how}");
        assert_eq!(outcome.upstream("x-auth-roles").as_deref(), Some("user"), "{how}");
        assert_eq!(outcome.upstream("authorization"), None, "{how}");
    }
    for (how, request) in arrivals(BAD) {
        assert_eq!(answered(&vm.request(&request.clone().by("ada"))), (403, false, 0), "{how}");
        assert_eq!(answered(&vm.request(&request)), (401, false, 0), "{how}");
    }
}

/// A signature over name and time alone needs no body, and a head that has gone on takes none.
#[test]
fn behind_a_buffer_filter_a_request_with_a_body_leaves_signed() {
    let mut vm = Vm::serving(
        &json!({
            "service": "user-service",
            "secrets": { "key": { "inline": "service-key-0123456789abcdef" }, "token": { "inline": "order-token" } },
            "bodies": { "hold": "buffer_filter" },
            "unmatched": "allow",
            "outbound": { "sign": { "service": "user-service", "token": { "secret": "token" },
                "keys": [{ "secret": "key" }], "signature": "v1" } },
        })
        .to_string(),
    );
    for (how, request) in arrivals(GOOD) {
        let outcome = vm.request(&request);
        assert_eq!(outcome.upstream("x-service-name").as_deref(), Some("user-service"), "{how}");
        assert_eq!(outcome.upstream("x-signature").map(|code| code.len()), Some(64), "{how}");
    }
}

#[test]
fn calls_that_must_stream_are_not_held() {
    let mut vm = Vm::serving(&plain());
    let mut grpc = Request::new("POST", "/api/a").header("content-type", "application/grpc").by("ada");
    grpc.chunks = vec![b"\0\0\0\0\x01a".to_vec(), b"\0\0\0\0\x01b".to_vec()];
    grpc.end = End::Body;
    let outcome = vm.request(&grpc);
    assert_eq!(answered(&outcome), (200, true, 6));
}

/// The module judges with vector instructions what the same code judges byte by byte here.
#[test]
fn a_value_is_judged_as_it_is_natively_wherever_it_stands() {
    const PIECES: [&str; 24] = [
        "union",
        " select ",
        "a, b from c",
        "1",
        " or ",
        " like ",
        "--",
        "..",
        "/",
        "etc/passwd",
        "; cat ",
        "'",
        "<script>",
        "exec ",
        "boot.ini",
        ".bash_history",
        "ann@example.com",
        "@@version",
        "javascript:",
        "the quick brown fox",
        "12:30",
        "drop table",
        "O",
        "é",
    ];
    let enforced = [Class::Sqli, Class::Xss, Class::Path, Class::Command].into_iter().collect::<ClassSet>();
    let mut vm = Vm::serving(&plain());
    let mut seed = 7_usize;
    let mut refused = 0;
    for n in 0..300 {
        let mut pick = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            PIECES[(seed >> 33) % PIECES.len()]
        };
        let value = [pick(), pick(), pick()].concat();
        let body = format!(r#"{{"{}": ["plain text", "{value}", 7]}}"#, "k".repeat(n % 70));
        let status = vm.request(&Request::post("/api/a", &[&body]).by("ada")).status();
        let found = scan(value.as_bytes(), enforced).is_some();
        assert_eq!(status, if found { 403 } else { 200 }, "{body}");
        refused += usize::from(found);
    }
    assert!((30..270).contains(&refused), "{refused}");
}
