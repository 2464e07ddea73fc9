//! Responses that are held, and bodies that are changed: what goes out however they arrive and whatever the host answers.

use serde_json::{Value, json};

use crate::imports::SERVING;
use crate::requests::{Request, configuration};
use crate::vm::{Outcome, Vm};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const ORDER: &[u8] = br#"{"user_id":"ada","password":"s3cret","total":1.50}"#;
const SHOWN: &str = r#"{"user_id":"ada","total":1.50}"#;

fn rules(hold: &str) -> Vm {
    let mut configuration = configuration();
    configuration["bodies"] = json!({ "hold": hold });
    configuration["secrets"]["pii_key"] = json!({ "inline": KEY });
    configuration["encryption"] = json!({ "keys": [{ "secret": "pii_key" }] });
    configuration["routes"] = json!([{
        "match": { "path": "/api/**" },
        "body": { "encrypt": ["ssn"] },
        "response": {
            "fields": { "deny": ["password"] },
            "owner": { "field": "user_id", "claim": "user_id" },
        },
    }]);
    Vm::serving(&configuration.to_string())
}

fn header(outcome: &Outcome, name: &str) -> Option<String> {
    let found = outcome.response.iter().find(|(known, _)| known == name.as_bytes());
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// The same body whole, byte by byte, before an empty end, before trailers.
fn arrivals(body: &[u8]) -> Vec<Request> {
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    let mut requests = Vec::new();
    for chunks in [vec![body], bytes, vec![body, b""], vec![b"", body]] {
        for trailers in [false, true] {
            let mut request = Request::get("/api/a").by("ada").answered(&chunks);
            request.response_headers.push((b"etag".to_vec(), b"1".to_vec()));
            request.response_trailers = trailers;
            requests.push(request);
        }
    }
    requests
}

#[test]
fn a_response_goes_out_projected_with_its_length_however_it_arrives() {
    let mut vm = rules("headers");
    for request in arrivals(ORDER) {
        let outcome = vm.request(&request);
        assert_eq!(String::from_utf8_lossy(&outcome.client_body), SHOWN);
        assert_eq!(header(&outcome, "content-length").as_deref(), Some("30"));
        assert!(outcome.complete && header(&outcome, "etag").is_none());
        assert!(outcome.response_trailers.iter().all(|(name, _)| name != b"etag"));
        assert_eq!(outcome.response_trailers.len(), if request.response_trailers { 2 } else { 0 });
        assert_eq!(outcome.upstream("accept-encoding").as_deref(), Some("identity"));
    }
}

#[test]
fn what_is_not_the_callers_or_cannot_be_read_is_replaced() {
    let mut vm = rules("headers");
    let theirs = String::from_utf8_lossy(ORDER).replace("ada", "bob");
    for (body, status) in [(theirs.as_str(), "403"), ("{\"password\":\"s3cret\"", "502")] {
        for request in arrivals(body.as_bytes()) {
            let outcome = vm.request(&request);
            assert_eq!(header(&outcome, ":status").as_deref(), Some(status));
            let problem: Value = serde_json::from_slice(&outcome.client_body).unwrap();
            assert_eq!(problem["status"].to_string(), status);
            assert_eq!(header(&outcome, "content-length"), Some(outcome.client_body.len().to_string()));
            assert!(outcome.complete && outcome.response_trailers.is_empty());
        }
    }
}

#[test]
fn a_grpc_caller_whose_response_is_replaced_gets_the_matching_status() {
    for hold in ["headers", "buffer_filter"] {
        let mut vm = rules(hold);
        for mut request in arrivals(&ORDER[..20]).into_iter().filter(|request| request.response_trailers) {
            request = request.header("content-type", "application/grpc");
            let outcome = vm.request(&request);
            assert!(outcome.client_body.is_empty());
            match hold {
                "headers" => assert_eq!(outcome.reply.unwrap().grpc_status, 14),
                _ => assert_eq!(outcome.response_trailers, [(b"grpc-status".to_vec(), b"14".to_vec())]),
            }
        }
    }
}

#[test]
fn a_length_over_the_limit_is_refused_while_the_head_is_here() {
    for hold in ["headers", "buffer_filter"] {
        let mut request = Request::get("/api/a").by("ada").answered(&[ORDER, ORDER]);
        request.response_headers.extend([
            (b"content-length".to_vec(), b"131073".to_vec()),
            (b"cache-control".to_vec(), b"public".to_vec()),
        ]);
        assert_answered(&rules(hold).request(&request), hold);
    }
}

#[test]
fn a_stream_of_events_is_refused_while_the_head_is_here() {
    for hold in ["headers", "buffer_filter"] {
        let mut request = Request::get("/api/a").by("ada").answered(&[ORDER, ORDER]);
        request.response_headers = vec![(b"content-type".to_vec(), b"text/event-stream; charset=utf-8".to_vec())];
        assert_answered(&rules(hold).request(&request), hold);
    }
}

/// What takes the place of a body ends with it, and some have no end.
#[test]
fn a_response_that_grows_over_the_limit_is_answered_without_waiting_for_its_end() {
    let long = [ORDER, " ".repeat(128 << 10).as_bytes()].concat();
    for request in &arrivals(&long)[..2] {
        assert_answered(&rules("headers").request(request), "headers");
    }
}

/// The client got a problem document of its own, and nothing of the upstream's.
fn assert_answered(outcome: &Outcome, hold: &str) {
    let reply = outcome.reply.as_ref().unwrap_or_else(|| panic!("{hold}: {outcome:?}"));
    let problem: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!((reply.status, &problem["status"]), (502, &json!(502)), "{hold}");
    assert!(outcome.client_body.is_empty(), "{hold}");
}

#[test]
fn the_head_of_a_response_without_a_body_tells_nothing_of_one() {
    let mut vm = rules("headers");
    for chunks in [&[][..], &[&b""[..]][..]] {
        let mut request = Request::new("DELETE", "/api/a").by("ada").answered(chunks);
        for name in ["etag", "content-digest", "content-length"] {
            request.response_headers.push((name.as_bytes().to_vec(), b"50".to_vec()));
        }
        let outcome = vm.request(&request);
        assert!(outcome.complete && header(&outcome, "content-type").is_some());
        assert!(["etag", "content-digest", "content-length"].iter().all(|name| header(&outcome, name).is_none()));
    }
}

#[test]
fn the_proxys_own_answers_pass_and_those_that_others_play_back_do_not() {
    let mut vm = rules("headers");
    for (details, status) in [
        ("local_rate_limited", "429"),
        ("upstream_reset_before_response_started{connection_termination}", "429"),
        ("rbac_access_denied_matched_policy[none]", "429"),
        ("max_duration_timeout", "429"),
        ("reached_concurrency_limit", "429"),
        ("csrf_origin_mismatch", "429"),
        ("via_upstream", "502"),
        ("cache.response_from_cache_filter", "502"),
        ("", "502"),
    ] {
        let mut request = Request::get("/api/a").by("ada").answered(&[b"local_rate_limited"]);
        (request.upstream_status, request.code_details) = (429, details);
        let outcome = vm.request(&request);
        assert_eq!(header(&outcome, ":status").as_deref(), Some(status), "{details}");
    }
}

#[test]
fn an_upgrade_shows_nothing() {
    let mut vm = rules("headers");
    let mut request = Request::get("/api/a").by("ada").answered(&[b"s3cret", b"s3cret"]);
    request.upstream_status = 101;
    assert_answered(&vm.request(&request), "headers");
}

#[test]
fn behind_a_buffer_filter_the_head_goes_on_without_a_length() {
    let mut vm = rules("buffer_filter");
    for mut request in arrivals(ORDER) {
        request.response_headers.push((b"content-length".to_vec(), ORDER.len().to_string().into_bytes()));
        let outcome = vm.request(&request);
        assert_eq!(String::from_utf8_lossy(&outcome.client_body), SHOWN);
        assert!(header(&outcome, "etag").is_none());
    }
}

#[test]
fn nothing_that_is_withheld_goes_out_whatever_the_host_answers() {
    for hold in ["headers", "buffer_filter"] {
        let mut vm = rules(hold);
        for import in SERVING {
            for status in [1, 2, 10, 99] {
                vm.host().fault = Some((import, status));
                for request in arrivals(ORDER) {
                    let outcome = vm.request(&request);
                    let got = String::from_utf8_lossy(&outcome.client_body).into_owned();
                    assert!(!got.contains("s3cret"), "{hold}: {got} with {import} answering {status}");
                }
                let sent = Request::post("/api/a", &[r#"{"ssn":""#, r#"078-05-1120"}"#]).by("ada");
                let outcome = vm.request(&sent);
                assert!(
                    !outcome.passed || !String::from_utf8_lossy(&outcome.body).contains("078"),
                    "{import} {status}"
                );
            }
        }
    }
}

#[test]
fn the_upstream_gets_fields_encrypted() {
    let mut vm = rules("headers");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let outcome = vm.request(&Request::post("/api/a", &[r#"{"ssn":""#, r#"078-05-1120","a":1.0}"#]).by("ada"));
        let body: Value = serde_json::from_slice(&outcome.body).unwrap();
        assert!(outcome.passed && body["ssn"].as_str().unwrap().starts_with("gAAAAA"));
        seen.push(body["ssn"].to_string());
    }
    assert_ne!(seen[0], seen[1]);
}
