//! Callouts: what is sent, who gets the answer, and what a host makes of them that does not do as it should.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::host::{Callout, EPOCH};
use crate::imports::SERVING;
use crate::requests::{Request, configuration};
use crate::vm::Vm;

const ISSUER: &str = "https://idp.example.com";

/// Published keys of one issuer, accounts of the other.
fn remote(on_error: &str) -> String {
    let mut configuration = configuration();
    let jwt = &mut configuration["authentication"]["jwt"];
    jwt["users"]["account"] = json!({
        "cluster": "users", "uri": "http://users/accounts/{subject}", "on_error": on_error,
    });
    jwt["partners"] = json!({
        "issuer": ISSUER, "algorithms": ["ES256"], "claims": { "roles": "roles" },
        "jwks": { "cluster": "idp", "uri": "https://idp.example.com/keys" },
    });
    configuration.to_string()
}

/// The base point of P-256 under these names: whether a signature is good is the host's word here.
fn key_set(kids: &[&str]) -> Vec<u8> {
    let jwk = |kid: &&str| {
        json!({
            "kty": "EC", "crv": "P-256", "kid": kid,
            "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY", "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
        })
    };
    json!({ "keys": kids.iter().map(jwk).collect::<Vec<_>>() }).to_string().into_bytes()
}

fn by(kid: &str) -> Request {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let now = EPOCH / 1_000_000_000;
    let claims = json!({ "iss": ISSUER, "sub": "p-7", "roles": ["user"], "iat": now, "exp": now + 3600 });
    let signature = URL_SAFE_NO_PAD.encode([1; 64]);
    let header = encode(json!({ "alg": "ES256", "kid": kid }));
    Request::get("/api/a").bearer(&format!("{header}.{}.{signature}", encode(claims)))
}

fn vm(on_error: &str) -> Vm {
    let mut vm = Vm::serving(&remote(on_error));
    vm.host().verify_signature = Some(vec![8, 1]);
    vm
}

fn sent(vm: &mut Vm) -> Vec<Callout> {
    std::mem::take(&mut vm.host().callouts)
}

/// A VM that has the key `a`.
fn with_key() -> Vm {
    let mut vm = vm("deny");
    vm.tick(1);
    let [callout] = &sent(&mut vm)[..] else { panic!("one callout") };
    assert_eq!((callout.context, callout.cluster.as_str(), callout.timeout), (1, "idp", 5000));
    assert!(callout.headers.contains(&(b":path".to_vec(), b"/keys".to_vec())), "{:?}", callout.headers);
    vm.answer(callout, Some((200, &key_set(&["a"]))));
    // A set that is older than a request may lack its key.
    vm.host().now += 1_000_000;
    vm
}

#[test]
fn keys_come_before_requests_and_an_unknown_one_is_fetched_once_for_all_that_wait() {
    let mut vm = with_key();
    assert_eq!(vm.request(&by("a")).status(), 200);
    let opened: Vec<_> = (0..5).map(|_| vm.open(1, &by("b"))).collect();
    let [callout] = &sent(&mut vm)[..] else { panic!("one callout") };
    assert_eq!(callout.context, 1, "it belongs to the root context");
    vm.answer(callout, Some((200, &key_set(&["a", "b"]))));
    for (context, outcome) in opened {
        let outcome = vm.close(context, &by("b"), outcome);
        assert_eq!((outcome.status(), outcome.upstream("x-auth-subject").as_deref()), (200, Some("p-7")));
    }
}

#[test]
fn trailers_that_come_while_an_answer_is_awaited_are_judged_when_it_is_there() {
    for (note, status) in [("1' UNION SELECT secret FROM staff--", 403), ("fine", 200)] {
        let mut vm = vm("deny");
        sent(&mut vm);
        let request = Request::post("/api/a", &["{}"]).by("ada").trailers(&[("x-note", note), ("cookie", "a=b")]);
        let (context, outcome) = vm.open(1, &request);
        let [callout] = &sent(&mut vm)[..] else { panic!("one callout") };
        vm.answer(callout, Some((200, br#"{"is_active":true}"#)));
        let outcome = vm.close(context, &request, outcome);
        assert_eq!((outcome.status(), outcome.passed), (status, status == 200));
        assert_eq!(outcome.trailers, [(b"x-note".to_vec(), note.as_bytes().to_vec())]);
    }
}

#[test]
fn an_answer_changes_nothing_for_a_request_that_was_refused_meanwhile() {
    let mut vm = vm("deny");
    // The host does not take a header out of the trailers that come while it waits.
    vm.host().fault = Some(("proxy_remove_header_map_value", 1));
    let request = Request::post("/api/a", &["{}"]).by("ada").trailers(&[("cookie", "a=b")]);
    let (context, outcome) = vm.open(1, &request);
    vm.host().fault = None;
    let [callout] = &sent(&mut vm)[..] else { panic!("one callout") };
    vm.answer(callout, Some((200, br#"{"is_active":true}"#)));
    assert_eq!(vm.host().calls.get("proxy_continue_stream"), None);
    assert_eq!(vm.close(context, &request, outcome).status(), 503);
}

#[test]
fn the_answer_counts_although_the_client_that_asked_has_gone() {
    let mut vm = with_key();
    let (context, _) = vm.open(1, &by("b"));
    vm.abandon(context);
    let callouts = sent(&mut vm);
    vm.answer(&callouts[0], Some((200, &key_set(&["a", "b"]))));
    assert_eq!(vm.request(&by("b")).status(), 200);
    assert_eq!(sent(&mut vm).len(), 0);
}

#[test]
fn workers_share_the_set_and_one_fetches_it() {
    let shared = Rc::default();
    let mut vms = [(); 2].map(|()| Vm::sharing(Rc::clone(&shared)));
    for vm in &mut vms {
        vm.host().verify_signature = Some(vec![8, 1]);
        vm.configure(&remote("deny")).unwrap();
        vm.tick(1);
    }
    let [first, second] = &mut vms;
    let callouts = [sent(first), sent(second)].concat();
    assert_eq!(callouts.len(), 1);
    first.answer(&callouts[0], Some((200, &key_set(&["a"]))));
    assert_eq!((first.request(&by("a")).status(), second.request(&by("a")).status()), (200, 200));
    // Withdrawn: the other takes the new set with its next look.
    first.host().now += 301 * 1_000_000_000;
    second.host().now += 301 * 1_000_000_000;
    first.tick(1);
    let callouts = sent(first);
    first.answer(&callouts[0], Some((200, &key_set(&["b"]))));
    second.tick(1);
    assert_eq!((sent(second).len(), second.request(&by("b")).status()), (0, 200));
    second.host().now += 1_000_000;
    let (context, outcome) = second.open(1, &by("a"));
    let callouts = sent(second);
    second.answer(&callouts[0], Some((200, &key_set(&["b"]))));
    assert_eq!(second.close(context, &by("a"), outcome).status(), 401);
}

#[test]
fn an_account_is_asked_for_and_its_answer_decides() {
    for (reply, status) in [
        (Some((200, &b"{}"[..])), 200),
        (Some((200, b"{\"is_active\":false}")), 401),
        (Some((404, b"")), 401),
        (Some((500, b"{}")), 401),
        (None, 401),
    ] {
        let mut vm = vm("deny");
        for request in [Request::get("/api/a").by("ada"), Request::post("/api/a", &["{", "}"]).by("eve")] {
            let (context, outcome) = vm.open(1, &request);
            assert!(!outcome.passed && outcome.leaked == 0, "it went on before the answer");
            let [callout] = &sent(&mut vm)[..] else { panic!("one callout") };
            vm.answer(callout, reply);
            assert_eq!(vm.close(context, &request, outcome).status(), status, "{reply:?}");
        }
    }
}

#[test]
fn a_host_that_sends_nothing_refuses_and_nothing_hangs() {
    for status in [1, 2, 5, 10, 99] {
        let mut vm = vm("deny");
        vm.host().fault = Some(("proxy_http_call", status));
        vm.tick(1);
        assert_eq!(vm.request(&by("a")).status(), 401);
        assert_eq!(vm.request(&Request::get("/api/a").by("ada")).status(), 401);
        assert!(vm.host().logged("key_set_unavailable"));
    }
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    let mut vm = vm("deny");
    let opened = [by("a"), Request::get("/api/a").by("ada")].map(|request| (vm.open(1, &request), request));
    vm.host().now += 60 * 1_000_000_000;
    vm.tick(1);
    for ((context, outcome), request) in opened {
        assert_eq!(vm.close(context, &request, outcome).status(), 401);
    }
}

#[test]
fn answers_that_nobody_waits_for_do_nothing() {
    let mut vm = with_key();
    for (context, token) in [(1, 77), (2, 1), (99, 1), (0, 0)] {
        let stray = Callout { context, token, cluster: String::new(), headers: Vec::new(), timeout: 0 };
        vm.answer(&stray, Some((200, &key_set(&["b"]))));
        vm.answer(&stray, None);
    }
    let (context, outcome) = vm.open(1, &by("b"));
    assert_eq!(vm.close(context, &by("b"), outcome).status(), 0, "it waits still");
}

/// Whatever the host answers, and to which import, a request that waits goes on only with a good answer.
#[test]
fn what_must_not_pass_does_not_pass_whatever_the_host_answers_around_callouts() {
    let gone = Request::get("/api/a").by("ada");
    for import in SERVING {
        for status in [1, 2, 7, 12] {
            let mut vm = vm("deny");
            vm.host().fault = Some((import, status));
            vm.tick(1);
            let opened = [&gone, &by("a")].map(|request| (vm.open(1, request), request.clone()));
            for callout in sent(&mut vm) {
                let bad = if callout.cluster == "users" { (404, Vec::new()) } else { (200, key_set(&["z"])) };
                vm.answer(&callout, Some((bad.0, &bad.1)));
            }
            for callout in sent(&mut vm) {
                vm.answer(&callout, None);
            }
            for ((context, outcome), request) in opened {
                let outcome = vm.close(context, &request, outcome);
                assert!(!outcome.passed && outcome.leaked == 0, "passed with {import} answering {status}");
            }
        }
    }
}

#[test]
fn calls_that_fail_are_counted_by_cluster_once_for_all_that_share_them() {
    let mut vm = with_key();
    let failures = |vm: &mut Vm, cluster: &str| {
        vm.host().metric(&format!("callout_failures_total~service=user-service~name={cluster}"))
    };
    let opened: Vec<_> = (0..3).map(|_| vm.open(1, &Request::get("/api/a").by("ada"))).collect();
    let [callout] = &sent(&mut vm)[..] else { panic!("one callout") };
    vm.answer(callout, Some((503, b"")));
    for (context, outcome) in opened {
        vm.close(context, &Request::get("/api/a").by("ada"), outcome);
    }
    assert_eq!((failures(&mut vm, "users"), failures(&mut vm, "idp")), (1, 0));
    vm.open(1, &by("b"));
    let [callout] = &sent(&mut vm)[..] else { panic!("one callout") };
    vm.answer(callout, None);
    assert_eq!((failures(&mut vm, "users"), failures(&mut vm, "idp")), (1, 1));
    vm.host().fault = Some(("proxy_http_call", 1));
    vm.request(&Request::get("/api/a").by("bob"));
    assert_eq!((failures(&mut vm, "users"), failures(&mut vm, "idp")), (2, 1), "the host sends none");
}
