//! Trailers of requests: what is stripped of a head is stripped of them, and what may not pass in a head passes in none.

use serde_json::json;

use crate::requests::{End, Request, configuration, plain};
use crate::vm::Vm;

fn with(trailers: &[(&str, &str)]) -> Request {
    Request::post("/api/a", &["{}"]).by("ada").trailers(trailers)
}

/// A call whose head and messages go on before its trailers come.
fn grpc(path: &str) -> Request {
    let request = Request::new("POST", path).header("content-type", "application/grpc");
    Request { chunks: vec![b"\0\0\0\0\x01a".to_vec(), b"\0\0\0\0\x01b".to_vec()], end: End::Body, ..request }
}

#[test]
fn trailers_lose_what_only_the_proxy_may_say() {
    let mut vm = Vm::serving(&plain());
    let outcome = vm.request(&with(&[("x-auth-subject", "root"), ("x_auth_roles", "admin"), ("x-checksum", "1")]));
    assert!(outcome.passed);
    assert_eq!(outcome.trailers, [(b"x-checksum".to_vec(), b"1".to_vec())]);
}

#[test]
fn trailers_lose_what_only_a_head_may_say_in_every_spelling() {
    let mut configuration = configuration();
    configuration["secrets"]["key"] = json!({ "inline": "api-key-0123456789abcdef" });
    configuration["authentication"]["jwt"]["users"]["from"] =
        json!([{ "header": "authorization", "prefix": "Bearer " }, { "header": "x-token" }]);
    configuration["authentication"]["api_keys"] =
        json!({ "from": [{ "header": "x-our-key" }], "keys": { "reporting": { "secret": "key" } } });
    configuration["routes"][0]["match"]["headers"] = json!({ "x-beta": "1" });
    let mut vm = Vm::serving(&configuration.to_string());
    let forged = [
        "authorization",
        "x-token",
        "x_our_key",
        "x-beta",
        "cookie",
        "host",
        "content-length",
        "content_type",
        "transfer-encoding",
        "x-forwarded-for",
        "x_forwarded_proto",
        "x-forwarded-host",
        "x-real-ip",
        "x-http-method-override",
        "origin",
    ];
    let forged = forged.map(|name| (name, "forged"));
    let outcome = vm.request(&with(&[&forged[..], &[("x-checksum", "1"), ("grpc-status", "0")]].concat()));
    assert!(outcome.passed);
    let left: Vec<_> = outcome.trailers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    assert_eq!(left, ["x-checksum", "grpc-status"]);
}

#[test]
fn trailers_that_the_host_does_not_show_or_change_do_not_go_on() {
    // Nothing else of this request asks for a change.
    let request = grpc("/health").trailers(&[("x-auth-subject", "root")]);
    let mut vm = Vm::serving(&plain());
    let outcome = vm.request(&request);
    assert!(outcome.passed && outcome.trailers.is_empty());
    for status in [1, 2, 3, 4, 5, 7, 8, 10, 12, 99] {
        vm.host().fault = Some(("proxy_remove_header_map_value", status));
        let outcome = vm.request(&request);
        assert!(!outcome.passed && outcome.status() == 503, "{status}");
    }
}

const INJECTION: &str = "1' UNION SELECT secret FROM staff--";

#[test]
fn an_injection_in_a_trailer_is_refused_as_in_a_header() {
    let mut vm = Vm::serving(&plain());
    for (request, leaked) in [(with(&[("x-note", INJECTION)]), 0), (grpc("/api/a").by("ada"), 12)] {
        let outcome = vm.request(&request.trailers(&[("x-checksum", "1"), ("x-note", INJECTION)]));
        assert_eq!((outcome.status(), outcome.passed, outcome.leaked), (403, false, leaked));
        for part in [r#""rule":"sql-union-select""#, r#""parameter":"x-note""#, r#""in":"header""#] {
            assert!(outcome.property.contains(part), "{part}: {}", outcome.property);
        }
    }
}

#[test]
fn who_is_refused_for_another_reason_hears_nothing_of_its_trailers() {
    let mut vm = Vm::serving(&plain());
    let outcome = vm.request(&Request::post("/api/a", &["{}"]).trailers(&[("x-note", INJECTION)]));
    assert_eq!(outcome.status(), 401);
    let outcome = vm.request(&Request::post("/api/a", &["{"]).by("ada").trailers(&[("x-note", INJECTION)]));
    assert_eq!(outcome.status(), 400);
}

#[test]
fn trailers_follow_the_mode_and_the_exclusions_of_the_inspection() {
    let mut configuration = configuration();
    configuration["inspection"]["classes"] = json!({ "sqli": "monitor" });
    let outcome = Vm::serving(&configuration.to_string()).request(&with(&[("x-note", INJECTION)]));
    assert!(outcome.passed && outcome.property.contains(r#""mode":"monitor""#), "{}", outcome.property);
    configuration["inspection"] = json!({});
    configuration["routes"][1]["inspection"] = json!({ "exclude": [{ "parameter": "x-note" }] });
    let mut vm = Vm::serving(&configuration.to_string());
    assert!(vm.request(&with(&[("x-note", INJECTION)])).passed);
    assert_eq!(vm.request(&with(&[("x-other", INJECTION)])).status(), 403);
    configuration["routes"][1]["inspection"] = json!({ "mode": "off" });
    assert!(Vm::serving(&configuration.to_string()).request(&with(&[("x-note", INJECTION)])).passed);
}
