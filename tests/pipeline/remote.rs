//! What providers have elsewhere: published keys, and services that keep accounts.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use portcullis::check::{Call, Callout, CalloutReply};
use portcullis::jose::algorithm::Algorithm;
use serde_json::{Value, json};

use crate::gate::{Gate, Held, Outcome, Request, START, USERS_KEY, get, signed_with, user};

/// What passes between two requests: a set that was asked for before a request may lack its key.
const INSTANT: Duration = Duration::from_millis(1);
const ISSUER: &str = "https://idp.example.com";

const KEYS: &str = r#"
events: { sample: 100000/s }
service: user-service
authentication:
  jwt:
    partners:
      issuer: https://idp.example.com
      algorithms: [ES384]
      jwks: { cluster: idp, uri: "https://idp.example.com/keys?v=1", refresh: 300s, timeout: 5s }
      claims: { roles: roles }
    others:
      issuer: https://other.example.com
      algorithms: [ES384]
      jwks: { cluster: other, uri: "https://other.example.com/keys" }
routes:
  - { match: { path: /any }, authenticate: [jwt] }
"#;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 48]).unwrap()
}

/// The key set with these keys, each named `kN` after its seed.
fn key_set(seeds: &[u8]) -> Value {
    let jwk = |seed: &u8| {
        let point = key(*seed).verifying_key().to_encoded_point(false);
        let [x, y] = [point.x(), point.y()].map(|part| URL_SAFE_NO_PAD.encode(part.unwrap()));
        json!({ "kty": "EC", "crv": "P-384", "kid": format!("k{seed}"), "x": x, "y": y })
    };
    json!({ "keys": seeds.iter().map(jwk).collect::<Vec<_>>() })
}

fn signed(seed: u8, kid: Option<&str>, issuer: &str, subject: &str) -> String {
    let header = json!({ "alg": "ES384", "kid": kid.unwrap_or_default() });
    let header = if kid.is_some() { header } else { json!({ "alg": "ES384" }) };
    let claims = json!({ "iss": issuer, "sub": subject, "iat": START, "exp": START + 86_400, "roles": ["user"] });
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature: Signature = key(seed).sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

/// A request with a good token of this key.
fn by(seed: u8) -> Request {
    get("/any").bearer(&signed(seed, Some(&format!("k{seed}")), ISSUER, "ann"))
}

fn answered(status: u16, body: &Value) -> CalloutReply {
    CalloutReply::Answered { status, body: body.to_string().into_bytes() }
}

fn text(body: &str) -> CalloutReply {
    CalloutReply::Answered { status: 200, body: body.as_bytes().to_vec() }
}

fn published(seeds: &[u8]) -> CalloutReply {
    answered(200, &key_set(seeds))
}

/// A gate that has fetched the set with these keys; the other provider's fetch failed.
fn fetched(seeds: &[u8]) -> Gate {
    let mut gate = Gate::bare(KEYS);
    assert_eq!(
        gate.tick(|asked| if &*asked.cluster == "idp" { published(seeds) } else { CalloutReply::Lost }).len(),
        2
    );
    gate
}

fn reason(outcome: &Outcome) -> String {
    match outcome.status {
        None => "passed".to_owned(),
        Some(status) => format!("{status} {}", outcome.events.last().unwrap()["details"]["reason"].as_str().unwrap()),
    }
}

/// Sends a request that must not wait.
fn at_once(gate: &mut Gate, request: &Request) -> String {
    gate.now = gate.now.after(INSTANT);
    let held = gate.begin(request);
    assert!(held.callout().is_none(), "it waits for {:?}", held.callout());
    reason(&gate.outcome(held))
}

/// Sends a request that must wait, and answers.
fn after(gate: &mut Gate, request: &Request, reply: &CalloutReply) -> String {
    gate.now = gate.now.after(INSTANT);
    let mut held = gate.begin(request);
    assert!(held.callout().is_some(), "it does not wait");
    gate.answer([&mut held], reply);
    reason(&gate.outcome(held))
}

fn header<'c>(callout: &'c Callout, wanted: &str) -> &'c str {
    let Call::Http { headers } = &callout.call else { panic!("{callout:?}") };
    &headers.iter().find(|(name, _)| name == wanted).unwrap().1
}

#[test]
fn keys_are_fetched_before_the_first_request_and_renewed_when_due() {
    let mut gate = Gate::bare(KEYS);
    let asked = gate.tick(|_| published(&[1]));
    let first = asked.iter().find(|callout| &*callout.cluster == "idp").unwrap();
    assert_eq!(header(first, ":path"), "/keys?v=1");
    assert_eq!((header(first, ":method"), header(first, ":authority")), ("GET", "idp.example.com"));
    assert_eq!(first.timeout.as_secs(), 5);
    assert_eq!(at_once(&mut gate, &by(1)), "passed");
    gate.wait(200);
    assert_eq!(gate.tick(|_| published(&[1])), []);
    gate.wait(100);
    assert_eq!(gate.tick(|_| published(&[2])).len(), 2);
    assert_eq!(at_once(&mut gate, &by(2)), "passed");
}

#[test]
fn requests_wait_for_the_first_set_and_share_one_fetch() {
    let mut gate = Gate::bare(KEYS);
    let mut held: Vec<Held> = (0..3).map(|_| gate.begin(&by(1))).collect();
    let flights: Vec<_> = held.iter().map(|held| held.callout().unwrap().flight.clone()).collect();
    assert!(flights[0].is_some() && flights.iter().all(|flight| *flight == flights[0]));
    gate.answer(&mut held, &published(&[1]));
    for held in held {
        assert_eq!(reason(&gate.outcome(held)), "passed");
    }
    assert_eq!(gate.tick(|_| CalloutReply::Lost).len(), 1, "only the other provider's set is due");
}

#[test]
fn an_unknown_key_is_asked_for_and_found() {
    let mut gate = fetched(&[1]);
    assert_eq!(at_once(&mut gate, &by(1)), "passed");
    assert_eq!(after(&mut gate, &by(2), &published(&[1, 2])), "passed");
    assert_eq!(at_once(&mut gate, &by(2)), "passed");
    let unnamed = get("/any").bearer(&signed(3, None, ISSUER, "ann"));
    assert_eq!(after(&mut gate, &unnamed, &published(&[1, 2, 3])), "passed", "a token that names no key");
}

#[test]
fn who_joined_a_fetch_that_came_too_early_waits_for_another() {
    let mut gate = fetched(&[1]);
    gate.wait(1);
    let mut first = gate.begin(&by(9));
    gate.wait(1);
    let mut second = gate.begin(&by(2));
    gate.answer([&mut first, &mut second], &published(&[1]));
    assert_eq!(reason(&gate.outcome(first)), "401 unknown_key");
    assert!(second.callout().is_some(), "its key may have been published after the fetch was sent");
    gate.answer([&mut second], &published(&[1, 2]));
    assert_eq!(reason(&gate.outcome(second)), "passed");
}

#[test]
fn a_spent_budget_says_unknown_key_at_once_and_regains() {
    let mut gate = fetched(&[1]);
    gate.wait(1);
    let (unknown, set) = (by(9), published(&[1]));
    for _ in 0..5 {
        assert_eq!(after(&mut gate, &unknown, &set), "401 unknown_key");
    }
    assert_eq!(at_once(&mut gate, &unknown), "401 unknown_key");
    assert_eq!(at_once(&mut gate, &by(1)), "passed");
    gate.wait(5);
    assert_eq!(after(&mut gate, &by(2), &published(&[1, 2])), "passed");
}

#[test]
fn no_answer_ever_replaces_a_good_set() {
    let half = key_set(&[2]).to_string();
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "k2", "k": "c2VjcmV0" }] });
    let rsa_only = json!({ "keys": [{ "kty": "RSA", "kid": "k2", "n": "AQAB", "e": "AQAB" }] });
    for bad in [
        CalloutReply::Lost,
        answered(500, &key_set(&[2])),
        answered(204, &key_set(&[2])),
        text("<!doctype html>"),
        text(half.split_at(half.len() / 2).0),
        text(&"[".repeat(1 << 20)),
        answered(200, &json!({ "keys": [] })),
        answered(200, &secret),
        answered(200, &rsa_only),
    ] {
        let mut gate = fetched(&[1]);
        gate.wait(1);
        assert_eq!(after(&mut gate, &by(2), &bad), "401 unavailable", "{bad:?}");
        assert_eq!(gate.count("auth_failures_total~reason=unavailable"), 1);
        gate.wait(300);
        assert_eq!(gate.tick(|_| bad.clone()).len(), 2);
        assert!(gate.host.lines.borrow().iter().any(|line| line.contains("key_set_unavailable")));
        assert_eq!(at_once(&mut gate, &by(1)), "passed", "{bad:?}");
    }
}

#[test]
fn before_the_first_set_a_failed_fetch_is_said_and_not_held_against_the_client() {
    let mut gate = Gate::bare(KEYS);
    let request = by(1);
    for _ in 0..5 {
        assert_eq!(after(&mut gate, &request, &CalloutReply::Lost), "401 unavailable");
    }
    for _ in 0..700 {
        assert_eq!(at_once(&mut gate, &request), "401 unavailable");
    }
    assert_eq!(gate.tick(|_| published(&[1])).len(), 2);
    assert_eq!(at_once(&mut gate, &request), "passed");
}

#[test]
fn renewals_that_fail_come_less_and_less_often() {
    let mut gate = Gate::bare(KEYS);
    let mut asked = Vec::new();
    for second in 0..300 {
        if !gate.tick(|_| CalloutReply::Lost).is_empty() {
            asked.push(second);
        }
        gate.wait(1);
    }
    assert!((10..40).contains(&asked.len()), "{asked:?}");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= 60), "{asked:?}");
}

#[test]
fn a_withdrawn_key_ends_what_it_verified_and_no_other() {
    let mut gate = fetched(&[1, 2]);
    assert_eq!((at_once(&mut gate, &by(1)), at_once(&mut gate, &by(2))), ("passed".into(), "passed".into()));
    gate.wait(300);
    assert_eq!(gate.tick(|_| published(&[2])).len(), 2);
    assert_eq!(after(&mut gate, &by(1), &published(&[2])), "401 unknown_key");
    assert_eq!(at_once(&mut gate, &by(2)), "passed");
}

#[test]
fn keys_of_one_provider_never_verify_tokens_of_another() {
    let mut gate = Gate::bare(KEYS);
    gate.tick(|asked| if &*asked.cluster == "idp" { published(&[1]) } else { published(&[2]) });
    let own = get("/any").bearer(&signed(2, Some("k2"), "https://other.example.com", "ann"));
    assert_eq!(at_once(&mut gate, &own), "passed");
    assert_eq!(at_once(&mut gate, &by(1)), "passed");
    gate.wait(1);
    let others = get("/any").bearer(&signed(1, Some("k1"), "https://other.example.com", "ann"));
    assert_eq!(after(&mut gate, &others, &published(&[2])), "401 unknown_key");
    let disguised = get("/any").bearer(&signed(1, Some("k2"), "https://other.example.com", "ann"));
    assert_eq!(at_once(&mut gate, &disguised), "401 bad_signature");
}

#[test]
fn nobody_waits_for_published_keys_that_could_not_verify_the_token() {
    let algorithms = "algorithms: [ES384]\n      jwks: { cluster: idp";
    let both = "algorithms: [ES384, HS256]\n      keys: [{ secret: users_key }]\n      jwks: { cluster: idp";
    let mut gate =
        Gate::bare(&format!("secrets: {{ users_key: {{ env: USERS_KEY }} }}{}", KEYS.replace(algorithms, both)));
    let claims = |issuer: &str| json!({ "iss": issuer, "sub": "ann", "exp": START + 900 });
    let shared = |issuer| get("/any").bearer(&signed_with(Algorithm::Hs256, USERS_KEY, &claims(issuer)));
    assert_eq!(at_once(&mut gate, &shared(ISSUER)), "passed", "the configuration has its key");
    assert_eq!(at_once(&mut gate, &shared("https://other.example.com")), "401 unsupported_algorithm");
    let parts = [json!({ "alg": "RS256" }), claims("https://other.example.com")];
    let [header, payload] = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let other = get("/any").bearer(&format!("{header}.{payload}.AAAA"));
    assert_eq!(at_once(&mut gate, &other), "401 unsupported_algorithm");
    assert!(gate.begin(&by(1)).callout().is_some(), "there are no published keys yet");
}

const ACCOUNTS: &str = r#"
service: user-service
roles: { admin: [user] }
secrets: { users_key: { env: USERS_KEY } }
authentication:
  jwt:
    users:
      issuer: https://users.example.com
      algorithms: [HS256]
      keys: [{ secret: users_key }]
      claims: { subject: user_id, roles: roles }
      claim_to_headers: { x-user-email: email }
      account: { cluster: users, uri: "http://users/internal/accounts/{subject}", cache: 60s, on_error: ON_ERROR }
routes:
  - { match: { path: /any }, authenticate: [jwt] }
  - { match: { path: /all }, authenticate: { all: [jwt.users] } }
  - { match: { path: /admin }, authenticate: [jwt], allow: [{ roles: [admin] }] }
  - { match: { path: /user }, authenticate: [jwt], allow: [{ roles: [user] }] }
"#;

fn accounts(on_error: &str) -> Gate {
    Gate::bare(&ACCOUNTS.replace("ON_ERROR", on_error))
}

fn of(subject: &str, path: &str) -> Request {
    get(path).bearer(&user(json!({ "user_id": subject, "roles": ["user"], "email": "a@example.com" })))
}

#[test]
fn a_subject_is_looked_up_once_and_the_answer_is_kept_for_its_time() {
    let mut gate = accounts("deny");
    let mut held: Vec<Held> = (0..3).map(|_| gate.begin(&of("a b/../ü", "/any"))).collect();
    let callout = held[0].callout().unwrap().clone();
    assert_eq!(header(&callout, ":path"), "/internal/accounts/a%20b%2F..%2F%C3%BC");
    assert!(callout.flight.is_some());
    gate.answer(&mut held, &answered(200, &json!({})));
    for held in held {
        let outcome = gate.outcome(held);
        assert_eq!(outcome.upstream("authorization"), None, "stripped once it is decided");
        assert_eq!(outcome.upstream("x-user-email"), Some("a@example.com"));
    }
    gate.wait(59);
    assert_eq!(at_once(&mut gate, &of("a b/../ü", "/any")), "passed");
    gate.wait(1);
    assert_eq!(after(&mut gate, &of("a b/../ü", "/any"), &answered(404, &json!({}))), "401 unknown_user");
}

#[test]
fn gone_and_inactive_accounts_are_refused_also_for_tokens_that_were_good_before() {
    for (reply, expected) in [
        (answered(404, &json!({})), "401 unknown_user"),
        (answered(200, &json!({ "is_active": false })), "401 inactive"),
    ] {
        let mut gate = accounts("deny");
        let request = of("7", "/any");
        assert_eq!(after(&mut gate, &request, &answered(200, &json!({ "is_active": true }))), "passed");
        gate.wait(60);
        assert_eq!(after(&mut gate, &request, &reply), expected);
        assert_eq!(at_once(&mut gate, &request), expected, "bad answers are kept as well");
        gate.wait(60);
        assert_eq!(after(&mut gate, &request, &answered(200, &json!({}))), "passed");
    }
}

#[test]
fn says_that_a_user_is_not_found_in_reply_event_and_metric() {
    let mut gate = accounts("deny");
    let mut held = gate.begin(&of("7", "/any"));
    gate.answer([&mut held], &answered(404, &json!({})));
    let outcome = gate.outcome(held);
    assert!(outcome.body.contains("User not found"), "{}", outcome.body);
    assert_eq!(outcome.told(), ["AUTH_FAILURE unknown_user"]);
    assert_eq!(gate.count("auth_failures_total~reason=unknown_user"), 1);
}

#[test]
fn roles_of_the_account_stand_instead_of_those_of_the_token() {
    let mut gate = accounts("deny");
    assert_eq!(after(&mut gate, &of("7", "/admin"), &answered(200, &json!({}))), "403 forbidden");
    assert_eq!(after(&mut gate, &of("8", "/admin"), &answered(200, &json!({ "roles": ["admin"] }))), "passed");
    let held = gate.begin(&of("8", "/user"));
    let outcome = gate.outcome(held);
    assert_eq!(outcome.upstream("x-auth-roles"), Some("admin"));
    assert_eq!(outcome.upstream("x-auth-subject"), Some("8"));
    assert_eq!(outcome.upstream("x-user-email"), Some("a@example.com"));
    gate.wait(60);
    assert_eq!(after(&mut gate, &of("8", "/user"), &answered(200, &json!({ "roles": [] }))), "403 forbidden");
    gate.wait(60);
    assert_eq!(after(&mut gate, &of("8", "/user"), &answered(200, &json!({}))), "passed", "the token's count again");
}

fn faults() -> Vec<CalloutReply> {
    vec![
        CalloutReply::Lost,
        answered(500, &json!({ "is_active": true })),
        text("<!doctype html>"),
        text(r#"{"is_active":tr"#),
        text(&format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000))),
        answered(200, &json!({ "roles": ["user,admin"] })),
    ]
}

#[test]
fn a_service_that_does_not_answer_refuses_where_it_is_said_so() {
    for fault in faults() {
        let mut gate = accounts("deny");
        assert_eq!(after(&mut gate, &of("7", "/any"), &fault), "401 unavailable", "{fault:?}");
        assert_eq!(at_once(&mut gate, &of("7", "/any")), "401 unavailable", "nobody waits again at once");
        assert_eq!(gate.count("auth_failures_total~reason=unavailable"), 2);
        gate.wait(1);
        assert_eq!(after(&mut gate, &of("7", "/any"), &answered(200, &json!({}))), "passed");
    }
}

#[test]
fn a_service_that_does_not_answer_makes_nobody_of_the_caller_where_it_is_said_so() {
    for fault in faults() {
        for path in ["/any", "/all", "/user"] {
            let mut gate = accounts("allow");
            let mut held = gate.begin(&of("7", path));
            gate.answer([&mut held], &fault);
            let outcome = gate.outcome(held);
            assert!(outcome.passage.exchange.caller.is_none());
            assert_eq!(outcome.told()[0], "DEGRADED account_unavailable");
            let expected = if path == "/user" { Some(403) } else { None };
            assert_eq!((outcome.status, outcome.upstream("x-auth-subject")), (expected, None), "{path} {fault:?}");
            assert_eq!(outcome.upstream("authorization"), None);
        }
    }
}

/// The caller chose the subject, and must not become anonymous by one that the service does not take.
#[test]
fn an_account_that_is_gone_or_a_question_that_is_refused_lets_nobody_pass_as_anonymous() {
    for (statuses, expected) in
        [(&[404, 410][..], "401 unknown_user"), (&[400, 401, 403, 405, 413, 422, 451], "401 unavailable")]
    {
        for status in statuses {
            let mut gate = accounts("allow");
            assert_eq!(after(&mut gate, &of("7", "/any"), &answered(*status, &json!({}))), expected, "{status}");
            assert_eq!(at_once(&mut gate, &of("7", "/any")), expected, "nobody asks again at once: {status}");
        }
    }
    for status in [408, 429] {
        let mut gate = accounts("allow");
        let mut held = gate.begin(&of("7", "/any"));
        gate.answer([&mut held], &answered(status, &json!({})));
        assert_eq!(gate.outcome(held).told(), ["DEGRADED account_unavailable"], "{status}");
    }
}

#[test]
fn subjects_that_would_lead_out_of_the_accounts_are_unknown() {
    for subject in [".", ".."] {
        assert_eq!(at_once(&mut accounts("allow"), &of(subject, "/any")), "401 unknown_user");
    }
}

#[test]
fn addresses_that_cannot_be_asked_are_refused_with_their_field() {
    for (from, to, expected) in [
        (
            "http://users/internal/accounts/{subject}",
            "http://users/x",
            "authentication.jwt.users.account.uri: expected {subject}",
        ),
        ("http://users/internal", "users/internal", "authentication.jwt.users.account.uri: expected an address"),
    ] {
        let yaml = ACCOUNTS.replace("ON_ERROR", "deny").replace(from, to);
        let errors = crate::gate::errors(&yaml);
        assert!(errors[0].starts_with(expected), "{errors:?}");
    }
}
