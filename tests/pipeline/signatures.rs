//! Signatures of services: the second form, replays, and the signing of what leaves.

use hmac::{Hmac, Mac};
use portcullis::check::CalloutReply;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::gate::{self, Gate, ORDER_TOKEN, Request, SERVICE_KEY, START, get, post};

const ROUTES: &str = "routes: [{ match: { path: /** }, authenticate: [service] }]\n";
const NONCE: &str = "7f9c2ba4e88f827d616045507605853e";
const BODY: &[u8] = br#"{"item":7}"#;

/// Under these settings of `authentication.service`.
fn services(settings: &str, sections: &str) -> Gate {
    Gate::bare(&configured(settings, sections))
}

fn configured(settings: &str, sections: &str) -> String {
    format!(
        "service: s
secrets: {{ service_key: {{ env: SERVICE_KEY }}, old_key: {{ inline: the-key-before }}, order_token: {{ env: ORDER_TOKEN }} }}
authentication:
  unverified_credentials: 1000/m
  service:
    keys: [{{ secret: service_key }}, {{ secret: old_key }}]
    services: {{ order-service: {{ token: {{ secret: order_token }} }} }}
{settings}
{sections}"
    )
}

fn usual() -> Gate {
    services("", ROUTES)
}

/// RFC 9530, on its own two feet.
fn content_digest(body: &[u8]) -> String {
    use base64::Engine as _;
    format!("sha-256=:{}:", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(body)))
}

fn mac(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a caller signs and sends; the tests change one and not the other.
#[derive(Clone)]
struct Caller {
    key: &'static str,
    name: &'static str,
    timestamp: String,
    nonce: String,
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: Option<&'static [u8]>,
    digest: String,
}

impl Caller {
    fn new() -> Self {
        Self {
            key: SERVICE_KEY,
            name: "order-service",
            timestamp: START.to_string(),
            nonce: NONCE.to_owned(),
            method: "POST",
            path: "/orders/7",
            query: "?page=2",
            body: Some(BODY),
            digest: content_digest(BODY),
        }
    }

    fn signature(&self) -> String {
        let lines = [
            "portcullis-signature-v2",
            self.name,
            &self.timestamp,
            &self.nonce,
            self.method,
            self.path,
            self.query,
            &self.digest,
        ];
        format!("v2={}", mac(self.key, &lines.join("\n")))
    }

    fn send(&self, signature: &str) -> Request {
        let request = Request::new(self.method, &format!("{}{}", self.path, self.query));
        let request = request.header("x-service-name", self.name).header("x-service-token", ORDER_TOKEN);
        let request = request.header("x-timestamp", &self.timestamp).header("x-nonce", &self.nonce);
        let request = request.header("x-signature", signature);
        let request = if self.digest.is_empty() { request } else { request.header("content-digest", &self.digest) };
        match self.body {
            Some(body) => request.body("application/json", body),
            None => request,
        }
    }

    fn request(&self) -> Request {
        self.send(&self.signature())
    }
}

#[test]
fn accepts_a_signed_request_once_and_takes_the_signature_away() {
    let mut gate = usual();
    let outcome = gate.send(Caller::new().request());
    assert_eq!((outcome.status, outcome.told()), (None, vec![]));
    for name in ["x-service-name", "x-service-token", "x-timestamp", "x-nonce", "x-signature"] {
        assert_eq!(outcome.upstream(name), None, "{name}");
    }
    assert_eq!(outcome.upstream("x-auth-subject"), Some("order-service"));
    assert_eq!(outcome.upstream("content-digest"), Some(content_digest(BODY).as_str()));
    let again = gate.send(Caller::new().request());
    assert_eq!((again.status, again.told()), (Some(401), vec!["REPLAY replayed".to_owned()]));
    assert_eq!(again.response("www-authenticate"), Some("Signature realm=\"s\""));
    assert_eq!(gate.count("auth_failures_total~reason=replayed"), 1);
    assert_eq!(gate.count("security_events_total~event_type=REPLAY"), 1);
    let other = Caller { nonce: "another-nonce-0123".to_owned(), ..Caller::new() };
    assert_eq!(gate.status(other.request()), None);
}

#[test]
fn a_signature_stays_recorded_until_it_is_too_old() {
    let mut gate = usual();
    let ahead = Caller { timestamp: format!("{}.5", START + 299), ..Caller::new() };
    assert_eq!(gate.status(ahead.request()), None);
    for (wait, told) in [(598, "REPLAY replayed"), (1, "REPLAY replayed"), (1, "AUTH_FAILURE timestamp_too_old")] {
        gate.wait(wait);
        let again = gate.send(ahead.request());
        assert_eq!((again.status, again.told()), (Some(401), vec![told.to_owned()]));
    }
}

#[test]
fn a_signature_counts_once_whatever_becomes_of_the_table_and_the_skew() {
    let numbered = |n: u32| Caller { nonce: format!("nonce-number-{n:06}"), ..Caller::new() };
    let mut gate = services("    max_clock_skew: 2s", ROUTES);
    let passing = |gate: &mut Gate| (0..20).filter(|n| gate.status(numbered(*n).request()).is_none()).count();
    assert_eq!(passing(&mut gate), 20);
    gate.reload(&configured("    max_clock_skew: 2s", &format!("tables: {{ replay: 131072 }}\n{ROUTES}")));
    assert_eq!(passing(&mut gate), 0, "another size");
    gate.wait(4);
    assert_eq!(passing(&mut gate), 0, "too old");
    gate.reload(&configured("", ROUTES));
    assert_eq!(passing(&mut gate), 0, "another skew");
    let late = |n: u32| Caller { timestamp: (START + 9).to_string(), ..numbered(n) };
    gate.wait(200);
    assert_eq!(gate.send(numbered(21).request()).told(), ["AUTH_FAILURE timestamp_too_old"]);
    assert_eq!((gate.status(late(22).request()), gate.status(late(22).request())), (None, Some(401)));
}

#[test]
fn refuses_what_was_changed_since_it_was_signed() {
    let good = Caller::new();
    let signature = good.signature();
    let changed: [(&str, Caller); 9] = [
        ("unknown_service", Caller { name: "orders", ..good.clone() }),
        ("bad_service_signature", Caller { timestamp: (START + 1).to_string(), ..good.clone() }),
        ("bad_service_signature", Caller { nonce: NONCE.replace('7', "8"), ..good.clone() }),
        ("bad_service_signature", Caller { method: "PUT", ..good.clone() }),
        ("bad_service_signature", Caller { path: "/orders/8", ..good.clone() }),
        ("bad_service_signature", Caller { query: "?page=3", ..good.clone() }),
        ("bad_service_signature", Caller { query: "", ..good.clone() }),
        ("bad_service_signature", Caller { digest: content_digest(b"{}"), body: Some(b"{}"), ..good.clone() }),
        ("wrong_body", Caller { body: Some(br#"{"item":8}"#), ..good.clone() }),
    ];
    for (reason, changed) in changed {
        let outcome = usual().send(changed.send(&signature));
        assert_eq!((outcome.status, outcome.told()), (Some(401), vec![format!("AUTH_FAILURE {reason}")]));
        assert!(outcome.passage.exchange.caller.is_none(), "{reason}");
    }
    assert_eq!(usual().status(good.send(&signature)), None);
}

#[test]
fn refuses_what_is_no_signature_of_the_second_form() {
    let good = Caller::new();
    for (reason, wrong) in [
        ("invalid_nonce", Caller { nonce: String::new(), ..good.clone() }),
        ("invalid_nonce", Caller { nonce: "short".to_owned(), ..good.clone() }),
        ("invalid_nonce", Caller { nonce: format!("{NONCE} x"), ..good.clone() }),
        ("invalid_digest", Caller { digest: "sha-512=:AAAA:".to_owned(), ..good.clone() }),
        ("invalid_digest", Caller { digest: format!("{}, md5=:AA==:", content_digest(BODY)), ..good.clone() }),
        ("unsigned_body", Caller { digest: String::new(), ..good.clone() }),
        ("wrong_body", Caller { body: None, ..good.clone() }),
        ("wrong_body", Caller { body: Some(b""), ..good.clone() }),
        ("timestamp_too_old", Caller { timestamp: (START - 301).to_string(), ..good.clone() }),
        ("invalid_timestamp", Caller { timestamp: "1.8e9".to_owned(), ..good.clone() }),
        ("bad_service_signature", Caller { key: "another", ..good.clone() }),
    ] {
        let outcome = usual().send(wrong.request());
        assert_eq!((outcome.status, outcome.told()), (Some(401), vec![format!("AUTH_FAILURE {reason}")]));
    }
    let repeated = good.request().header("x-nonce", NONCE);
    assert_eq!(usual().send(repeated).told(), ["AUTH_FAILURE ambiguous"]);
    let upgrade = Caller { method: "GET", digest: String::new(), body: Some(b""), ..good };
    let upgrade = upgrade.request().header("upgrade", "websocket").header("connection", "upgrade");
    assert_eq!(usual().send(upgrade).told(), ["AUTH_FAILURE unsigned_body"]);
}

#[test]
fn a_request_without_a_body_needs_no_digest() {
    let bare = Caller { method: "GET", body: None, digest: String::new(), ..Caller::new() };
    assert_eq!(usual().status(bare.request()), None);
    let empty = Caller { body: Some(b""), ..bare.clone() };
    assert_eq!(usual().status(empty.request()), None);
    let stated = Caller { digest: content_digest(b""), ..bare };
    assert_eq!(usual().status(stated.request()), None);
}

#[test]
fn signs_the_path_that_is_decided_on_and_the_query_as_it_was_sent() {
    let caller = Caller { query: "?a=%2e%2E&b=+", ..Caller::new() };
    let sent = caller.request().pseudo(":path", "/x/../orders/%37?a=%2e%2E&b=+");
    assert_eq!(usual().status(sent), None);
}

#[test]
fn neither_form_passes_for_the_other() {
    let second = Caller::new();
    let code = second.signature().replace("v2=", "");
    assert_eq!(usual().send(second.send(&code)).told(), ["AUTH_FAILURE bad_service_signature"]);
    let first = mac(SERVICE_KEY, &format!("order-service:{START}:{ORDER_TOKEN}"));
    assert_eq!(usual().send(second.send(&format!("v2={first}"))).told(), ["AUTH_FAILURE bad_service_signature"]);
    for (only, told) in [("v1", "AUTH_FAILURE unsupported_signature"), ("v2", "")] {
        let mut gate = services(&format!("    signatures: [{only}]"), ROUTES);
        assert_eq!(gate.send(second.request()).told().concat(), told);
    }
    let mut gate = services("    signatures: [v2]", ROUTES);
    assert_eq!(gate.send(get("/x").signed("order-service")).told(), ["AUTH_FAILURE unsupported_signature"]);
}

#[test]
fn every_key_signs_while_keys_rotate() {
    for key in [SERVICE_KEY, "the-key-before"] {
        assert_eq!(usual().status(Caller { key, ..Caller::new() }.request()), None, "{key}");
    }
}

#[test]
fn whether_a_signature_counts_again_is_said_for_each_form() {
    for (settings, first_form, second_form) in [
        ("", None, Some(401)),
        ("    replay: { v1: deny }", Some(401), Some(401)),
        ("    replay: { v2: allow }", None, None),
    ] {
        let mut gate = services(settings, ROUTES);
        let first = || get("/x").signed("order-service");
        let second = || Caller::new().request();
        assert_eq!((gate.status(first()), gate.status(second())), (None, None));
        assert_eq!((gate.status(first()), gate.status(second())), (first_form, second_form), "{settings}");
    }
}

#[test]
fn a_bad_signature_uses_up_no_good_one_and_a_full_set_refuses() {
    let mut gate = services("", &format!("tables: {{ replay: 64 }}\n{ROUTES}"));
    let numbered = |n: u32| Caller { nonce: format!("nonce-number-{n:06}"), ..Caller::new() };
    for n in 0..100 {
        assert_eq!(gate.status(Caller { key: "wrong", ..numbered(n) }.request()), Some(401));
    }
    // Two sets of 32: the first that is full refuses, at the latest with the last place taken.
    let fits = (0..65).take_while(|n| gate.status(numbered(*n).request()).is_none()).count() as u32;
    assert!((32..=64).contains(&fits), "{fits}");
    let full = gate.send(numbered(fits).request());
    assert_eq!((full.status, full.told()), (Some(503), vec!["DEGRADED replay_table_full".to_owned()]));
    assert_eq!(gate.status(numbered(0).request()), Some(401), "what was seen is known still");
    gate.wait(302);
    let late = Caller { timestamp: (START + 302).to_string(), ..numbered(1000) };
    assert_eq!(gate.status(late.request()), None, "old signatures make room");
}

#[test]
fn a_monitored_replay_is_nobodys_and_a_wrong_body_goes_nowhere() {
    let mut gate = services("", &format!("  mode: monitor\n{ROUTES}"));
    assert_eq!(gate.status(Caller::new().request()), None);
    let again = gate.send(Caller::new().request());
    assert_eq!((again.status, again.told()), (None, vec!["REPLAY replayed monitor".to_owned()]));
    assert_eq!(again.upstream("x-auth-subject"), None);
    // Authorisation has let in whom the signature names: that must hold.
    let wrong = Caller { body: Some(b"{}"), nonce: "another-nonce-0123".to_owned(), ..Caller::new() };
    assert_eq!(gate.send(wrong.request()).status, Some(401));
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let mut gate = services("", &format!("inspection: {{ body_limit: 8 }}\n{ROUTES}"));
    let outcome = gate.send(Caller::new().request());
    assert_eq!((outcome.status, outcome.told()), (Some(413), vec!["SUSPICIOUS_REQUEST body_too_large".to_owned()]));
}

#[test]
fn behind_a_buffer_filter_nobody_is_told_of_a_caller_whose_body_is_wrong_whatever_the_mode() {
    for (hold, status) in [("headers", None), ("buffer_filter", Some(401))] {
        for (monitored, routes) in [
            ("  mode: monitor\nmode: monitor\n", ROUTES.to_owned()),
            ("", ROUTES.replace("match:", "enforce_percent: 0, match:")),
        ] {
            let mut gate = services("", &format!("{monitored}bodies: {{ hold: {hold} }}\n{routes}"));
            let good = gate.send(Caller::new().request());
            assert_eq!((good.status, good.upstream("x-auth-subject")), (None, Some("order-service")));
            for body in [&b"{}"[..], b""] {
                let nonce = format!("another-nonce-{:04}", body.len());
                let wrong = gate.send(Caller { body: Some(body), nonce, ..Caller::new() }.request());
                assert_eq!(wrong.status, status, "{hold} {monitored}");
                assert!(wrong.told().concat().starts_with("AUTH_FAILURE wrong_body"), "{:?}", wrong.told());
                assert!(wrong.passage.exchange.caller.is_none());
            }
        }
    }
}

const SIGNING: &str = "service: e
secrets: { service_key: { env: SERVICE_KEY }, old_key: { inline: the-key-before }, order_token: { env: ORDER_TOKEN } }
unmatched: allow
routes: [{ match: { path: /orders/** } }]
outbound: { sign: { service: order-service, token: { secret: order_token }, keys: [{ secret: service_key }, { secret: old_key }], signature: FORM } }
";

fn signing(form: &str) -> Gate {
    Gate::bare(&SIGNING.replace("FORM", form))
}

/// A request as the next proxy receives it.
fn forwarded(outcome: &gate::Outcome, body: Option<&[u8]>) -> Request {
    assert_eq!(outcome.status, None, "{:?}", outcome.told());
    let of = |name: &str| outcome.upstream.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let mut request = Request::new(&of(":method"), &of(":path"));
    for (name, value) in outcome.upstream.iter().filter(|(name, _)| !name.starts_with(':')) {
        request = request.header(name, value);
    }
    match body {
        Some(body) => request.body("", body),
        None => request,
    }
}

#[test]
fn what_leaves_signed_is_let_in_by_the_next_proxy() {
    for form in ["v1", "v2"] {
        for (path, body) in
            [("/orders/7?q=1", Some(BODY)), ("/orders/../orders/%37?q=%20", Some(BODY)), ("/elsewhere", None)]
        {
            let sent = post(path).header("X-Service-Name", "intruder").header("x_signature", "00");
            let sent = sent.header("x-nonce", "mine").header("X-Service-Token", "mine");
            let sent = if let Some(body) = body { sent.body("application/json", body) } else { sent };
            let mut signer = signing(form);
            let left = signer.send(sent);
            assert_eq!(left.upstream("x-service-name"), Some("order-service"));
            assert_eq!(left.upstream("x_signature"), None);
            assert_eq!(left.upstream("x-nonce").is_some(), form == "v2");
            let mut next = usual();
            assert_eq!(next.status(forwarded(&left, body)), None, "{form} {path}");
            if body.is_some() && form == "v2" {
                assert_eq!(usual().status(forwarded(&left, Some(b"{}"))), Some(401));
            }
        }
    }
}

#[test]
fn every_request_that_leaves_is_signed_as_no_other() {
    let mut signer = signing("v2");
    let mut next = usual();
    for _ in 0..3 {
        let left = signer.send(get("/orders/7"));
        assert_eq!(next.status(forwarded(&left, None)), None);
    }
}

#[test]
fn the_first_form_is_what_a_plain_verifier_computes() {
    let left = signing("v1").send(get("/orders/7"));
    let timestamp = left.upstream("x-timestamp").unwrap();
    assert_eq!(timestamp, format!("{START}.000000"));
    let expected = mac(SERVICE_KEY, &format!("order-service:{timestamp}:{ORDER_TOKEN}"));
    assert_eq!(left.upstream("x-signature"), Some(expected.as_str()));
    assert_eq!(left.upstream("x-service-token"), Some(ORDER_TOKEN));
}

#[test]
fn what_is_signed_of_a_body_is_what_was_made_of_it() {
    let signing = SIGNING.replace("FORM", "v2").replace("secrets: {", "secrets: { pii_key: { env: PII_KEY },");
    let encrypting = signing.replace("/orders/** }", "/orders/** }, body: { encrypt: [item] }");
    let mut signer = Gate::bare(&format!("{encrypting}encryption: {{ keys: [{{ secret: pii_key }}] }}\n"));
    let left = signer.send(post("/orders/7").body("application/json", BODY));
    let body = left.passage.exchange.rewritten_body.clone().unwrap();
    assert_eq!(left.upstream("content-digest"), Some(content_digest(&body).as_str()));
    assert_eq!(usual().status(forwarded(&left, Some(&body))), None);
}

#[test]
fn a_digest_of_the_client_is_replaced_by_that_of_the_body() {
    let sent = post("/orders/7").header("content-digest", "sha-256=:AAAA:").body("text/plain", "x");
    let left = signing("v2").send(sent);
    assert_eq!(left.upstream("content-digest"), Some(content_digest(b"x").as_str()));
    let bare = signing("v2").send(get("/orders/7").header("content-digest", "sha-256=:AAAA:"));
    assert_eq!(bare.upstream("content-digest"), None);
}

#[test]
fn what_cannot_be_signed_does_not_leave_whatever_the_mode() {
    for mode in ["enforce", "monitor"] {
        let mut signer = Gate::bare(&format!("mode: {mode}\n{}", SIGNING.replace("FORM", "v2")));
        signer.host.without_random = true;
        let refused = signer.send(get("/orders/7"));
        assert_eq!((refused.status, refused.told()), (Some(503), vec!["DEGRADED no_randomness".to_owned()]));
        let mut signer = Gate::bare(&format!(
            "mode: {mode}\ninspection: {{ classes: {{ }}, body_limit: 8 }}\n{}",
            SIGNING.replace("FORM", "v2")
        ));
        let refused = signer.send(post("/orders/7").body("text/plain", "0123456789"));
        assert_eq!(refused.status, Some(413));
        let refused = signer.send(get("/orders/7").header("upgrade", "websocket").body("", ""));
        assert_eq!(refused.status, Some(400));
    }
}

#[test]
fn a_request_waits_for_a_secret_and_does_not_leave_without_it() {
    let vault = "{ vault: { cluster: vault, path: secret/data/order, field: f, token: { env: ORDER_TOKEN } } }";
    let fetched =
        SIGNING.replace("FORM", "v1").replace("{ env: ORDER_TOKEN } }\nunmatched", &format!("{vault} }}\nunmatched"));
    let mut signer = Gate::bare(&fetched);
    signer.services = |_| gate::answer(200, json!({ "data": { "data": { "f": ORDER_TOKEN } } }).to_string());
    let left = signer.send(get("/orders/7"));
    assert_eq!((left.status, left.upstream("x-service-token")), (None, Some(ORDER_TOKEN)));
    assert_eq!(signer.called.len(), 1);
    assert_eq!(usual().status(forwarded(&left, None)), None);
    let mut signer = Gate::bare(&fetched);
    signer.services = |_| CalloutReply::Lost;
    assert_eq!(signer.status(get("/orders/7")), Some(503));
}

#[test]
fn a_form_that_signs_bodies_needs_them_before_the_head_goes() {
    let held = format!("bodies: {{ hold: buffer_filter }}\n{}", SIGNING.replace("FORM", "v2"));
    let errors = gate::errors(&held);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("outbound.sign.signature: expected v1"), "{errors:?}");
    assert_eq!(gate::errors(&held.replace("v2", "v1")), Vec::<String>::new());
}
