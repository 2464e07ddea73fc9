//! Credentials that other services judge: how many of one address may be under way, what becomes of an answer whose client
//! did not wait for it, and what is told of one that did not come.

use portcullis::check::{CalloutReply, GrpcStatus};
use portcullis::jose::algorithm::Algorithm;
use serde_json::{Value, json};

use crate::gate::{Gate, Held, Request, START, USERS_KEY, answer, get, post, signed_with, user};

/// A provider whose accounts are elsewhere; others may follow.
const USERS: &str = r#"
  jwt:
    users:
      issuer: https://users.example.com
      algorithms: [HS256]
      keys: [{ secret: users_key }]
      claims: { subject: user_id }
      account: { cluster: users, uri: "http://users/accounts/{subject}", cache: 5m }
"#;

/// A provider of opaque tokens; others may follow.
const OPAQUE: &str = r#"
  oauth2:
    opaque:
      introspection: { cluster: idp, uri: "https://idp.example.com/introspect", client_id: portcullis,
                       client_secret: { secret: client } }
      cache: 5m
"#;

/// And what is neither a secret nor about authentication.
const LOGIN: &str = r#"
service: user-service
tokens:
  issuer: https://users.example.com
  keys: [{ secret: users_key }]
  login: { verify: { cluster: users, uri: "http://users/verify" } }
events: { sample: 10000/s }
"#;

const SECRETS: &str = r#"
secrets: { users_key: { env: USERS_KEY }, client: { inline: "s3cret" } }
authentication:
  unverified_credentials: 5/m
"#;

const ROUTES: &str = r#"
limits:
  fleet: { key: [client_ip], rate: 1000/h, rate_limit_service: { cluster: ratelimit, descriptor: caller, lease: 10 } }
intrusion: { failures: 100, count: [bad_login] }
routes:
  - { match: { path: /opaque }, authenticate: [oauth2] }
  - { match: { path: /jwt }, authenticate: [jwt] }
  - { match: { path: /leased }, authenticate: none, limits: [fleet] }
"#;

fn elsewhere() -> String {
    [SECRETS, USERS, OPAQUE, LOGIN, ROUTES].concat()
}

fn gate() -> Gate {
    Gate::bare(&elsewhere())
}

fn opaque(token: &str) -> Request {
    get("/opaque").bearer(token)
}

fn token(subject: u32) -> String {
    user(json!({ "user_id": subject, "type": "access" }))
}

fn login(password: &str) -> Request {
    post("/auth/login").body("application/json", json!({ "username": "ann", "password": password }).to_string())
}

fn says(body: Value) -> CalloutReply {
    answer(200, body.to_string())
}

fn inactive() -> CalloutReply {
    says(json!({ "active": false }))
}

fn account() -> CalloutReply {
    says(json!({ "id": 7, "username": "ann" }))
}

/// Those of many requests at once for which somebody is asked, and what the others were answered.
fn at_once(gate: &mut Gate, requests: impl Iterator<Item = Request>) -> (Vec<Held>, Vec<Option<u16>>) {
    let held: Vec<_> = requests.map(|request| gate.begin(&request)).collect();
    let (asked, others): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.callout().is_some());
    (asked, others.into_iter().map(|held| gate.outcome(held).status).collect())
}

fn answered(gate: &mut Gate, mut held: Held, reply: &CalloutReply) -> Option<u16> {
    gate.answer([&mut held], reply);
    gate.outcome(held).status
}

#[test]
fn no_more_credentials_are_asked_about_at_once_than_may_turn_out_bad() {
    let kinds: [fn(usize) -> Request; 2] = [|n| opaque(&format!("token-{n}")), |n| login(&n.to_string())];
    for (kind, bad) in kinds.into_iter().zip([inactive(), answer(401, "")]) {
        let mut gate = gate();
        let (asked, others) = at_once(&mut gate, (0..20).map(kind));
        assert_eq!((asked.len(), others), (5, vec![Some(429); 15]));
        for held in asked {
            assert_eq!(answered(&mut gate, held, &bad), Some(401));
        }
        gate.wait(2);
        assert_eq!(at_once(&mut gate, (20..22).map(kind)).1, [Some(429); 2], "each was charged");
        gate.wait(62);
        let (asked, others) = at_once(&mut gate, (30..40).map(kind));
        assert_eq!((asked.len(), others.len()), (5, 5), "and once");
    }
}

#[test]
fn what_proves_good_and_what_nobody_judges_is_given_back() {
    let replies = [says(json!({ "active": true, "sub": "7" })), answer(500, ""), CalloutReply::Lost, answer(400, "")];
    for (round, reply) in replies.iter().enumerate() {
        let mut gate = gate();
        for turn in 0..3 {
            let (asked, _) = at_once(&mut gate, (0..6).map(|n| opaque(&format!("token-{round}-{turn}-{n}"))));
            assert_eq!(asked.len(), 5, "{reply:?}");
            for held in asked {
                answered(&mut gate, held, reply);
            }
        }
    }
    let mut gate = gate();
    for reply in [account(), answer(503, ""), CalloutReply::Lost] {
        let (asked, _) = at_once(&mut gate, (0..6).map(|n| login(&n.to_string())));
        assert_eq!(asked.len(), 5, "{reply:?}");
        for held in asked {
            answered(&mut gate, held, &reply);
        }
    }
}

#[test]
fn a_token_that_was_good_before_has_its_account_looked_up_although_the_budget_is_spent() {
    let mut gate = gate();
    let known = token(7);
    let held = gate.begin(&get("/jwt").bearer(&known));
    assert_eq!(answered(&mut gate, held, &says(json!({}))), None);
    gate.wait(300);
    let (asked, _) = at_once(&mut gate, (0..5).map(|n| opaque(&format!("token-{n}"))));
    assert_eq!(asked.len(), 5);
    assert_eq!(gate.status(get("/jwt").bearer(&token(8))), Some(429));
    let held = gate.begin(&get("/jwt").bearer(&known));
    assert_eq!(answered(&mut gate, held, &says(json!({}))), None);
}

#[test]
fn an_answer_is_kept_although_its_client_has_gone_and_its_credentials_stay_charged() {
    let mut gate = gate();
    for (n, reply) in [inactive(), inactive(), says(json!({ "active": true, "sub": "7" }))].iter().enumerate() {
        let held = gate.begin(&opaque(&format!("token-{n}")));
        assert!(gate.leave(held, reply).is_empty());
    }
    for (subject, reply) in [(8, answer(404, "")), (9, says(json!({})))] {
        let held = gate.begin(&get("/jwt").bearer(&token(subject)));
        assert!(gate.leave(held, &reply).is_empty());
    }
    assert_eq!(gate.status(opaque("token-7")), Some(429), "five were charged");
    gate.wait(62);
    assert_eq!([0, 1, 2].map(|n| gate.status(opaque(&format!("token-{n}")))), [Some(401), Some(401), None]);
    assert_eq!([8, 9].map(|id| gate.status(get("/jwt").bearer(&token(id)))), [Some(401), None]);
}

#[test]
fn a_login_counts_although_its_client_has_gone() {
    let mut gate = Gate::bare(&elsewhere().replace("failures: 100", "failures: 3").replace("5/m", "100/m"));
    let left = |gate: &mut Gate, reply: &CalloutReply| {
        let held = gate.begin(&login("guess"));
        gate.leave(held, reply)
    };
    assert!(left(&mut gate, &account()).is_empty() && left(&mut gate, &CalloutReply::Lost).is_empty());
    assert_eq!(left(&mut gate, &answer(401, "")), ["AUTH_FAILURE bad_login"]);
    let line: Value = serde_json::from_str(&gate.host.lines.borrow()[0]).unwrap();
    assert_eq!(line["details"].get("status"), None, "the client got none");
    let mut held = gate.begin(&login("guess"));
    gate.answer([&mut held], &answer(401, ""));
    assert_eq!(gate.outcome(held).told(), ["AUTH_FAILURE bad_login"], "once, where the client waits");
    assert_eq!(left(&mut gate, &answer(401, "")), ["AUTH_FAILURE bad_login", "IP_BLOCKED failures"]);
    assert_eq!(gate.send(login("guess")).told(), ["ACCESS_DENIED blocked_address"]);
    assert_eq!(gate.count("auth_failures_total~reason=bad_login"), 3);
}

#[test]
fn an_address_that_was_blocked_meanwhile_is_not_told_whether_its_credentials_were_good() {
    let mut gate = Gate::bare(&elsewhere().replace("failures: 100", "failures: 3").replace("5/m", "100/m"));
    let (asked, _) = at_once(&mut gate, (0..6).map(|n| login(&n.to_string())));
    let said: Vec<_> = asked
        .into_iter()
        .enumerate()
        .map(|(at, mut held)| {
            gate.answer([&mut held], &if at % 4 == 3 { account() } else { answer(401, "") });
            let outcome = gate.outcome(held);
            (outcome.status.unwrap(), outcome.body.contains("token"))
        })
        .collect();
    assert_eq!(said, [(401, false), (401, false), (401, false), (403, false), (403, false), (403, false)]);
}

#[test]
fn quota_that_was_granted_to_clients_that_have_gone_serves_those_who_come_next() {
    let mut gate = gate();
    let held = gate.begin(&get("/leased"));
    assert!(held.callout().is_some());
    let granted = CalloutReply::Grpc { status: GrpcStatus::OK, message: vec![0x08, 1] };
    assert!(gate.leave(held, &granted).is_empty());
    let (asked, others) = at_once(&mut gate, (0..10).map(|_| get("/leased")));
    assert_eq!((asked.len(), others), (0, vec![None; 10]));
}

const STORES: &str = r#"
secrets:
  users_key: { env: USERS_KEY }
  client: { inline: "s3cret" }
  stored: { vault: { cluster: vault, path: secret/data/stored, field: key, token: { env: ORDER_TOKEN } } }
  sealing: { vault: { cluster: vault, path: secret/data/sealing, field: key, token: { env: ORDER_TOKEN } } }
authentication:
"#;

const MORE_ISSUERS: &str = r#"
    partners:
      issuer: https://partners.example.com
      algorithms: [HS256]
      keys: [{ secret: users_key }]
      account: { cluster: partners, uri: "http://partners/{subject}", on_error: allow }
    published:
      issuer: https://idp.example.com
      algorithms: [ES256]
      jwks: { cluster: idp, uri: "https://idp.example.com/keys" }
    vaulted: { issuer: https://vaulted.example.com, algorithms: [HS256], keys: [{ secret: stored }] }
    session: { issuer: https://session.example.com, algorithms: [HS256], keys: [{ secret: users_key }] }
"#;

const MORE_METHODS: &str = r#"
    lenient: { token_prefix: len_, userinfo: { cluster: idp, uri: "https://idp.example.com/me" }, on_error: allow }
    secretive:
      token_prefix: sec_
      introspection: { cluster: idp, uri: "https://idp.example.com/introspect", client_id: portcullis,
                       client_secret: { secret: stored } }
  service: { keys: [{ secret: stored }], services: { order-service: { token: { secret: client } } } }
  api_keys: { keys: { reporting: { secret: stored } } }
  revocation: { feed: { cluster: users, uri: "http://users/revocations" } }
encryption: { keys: [{ secret: sealing }] }
routes:
  - { match: { path: /jwt }, authenticate: [jwt] }
  - { match: { path: /opaque }, authenticate: [oauth2] }
  - { match: { path: /service }, authenticate: [service] }
  - { match: { path: /key }, authenticate: [api_keys] }
  - { match: { path: /sealed, methods: [POST] }, authenticate: none, body: { encrypt: [ssn] } }
"#;

/// Everything that can be elsewhere, and nobody answers.
fn away() -> Gate {
    Gate::bare(&[STORES, USERS, MORE_ISSUERS, OPAQUE, MORE_METHODS, LOGIN].concat())
}

fn jwt(issuer: &str, claims: Value) -> Request {
    let mut all = json!({ "iss": format!("https://{issuer}.example.com"), "sub": "7", "exp": START + 900 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    get("/jwt").bearer(&signed_with(Algorithm::Hs256, USERS_KEY, &all))
}

/// The last event's reason, and what it names.
fn lacks(events: &[Value]) -> (String, String) {
    let text = |name: &str| events.last().unwrap()["details"][name].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("dependency"))
}

#[test]
fn an_event_of_a_request_names_what_could_not_be_had_by_the_path_of_its_settings() {
    // {"alg":"ES256"}.{"iss":"https://idp.example.com","sub":"7"} and any signature.
    let published = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbSIsInN1YiI6IjcifQ.AAAA";
    let ssn = post("/sealed").body("application/json", r#"{"ssn":"1"}"#);
    for (request, reason, dependency) in [
        (jwt("users", json!({ "user_id": 7, "type": "access" })), "unavailable", "authentication.jwt.users.account"),
        (jwt("partners", json!({})), "account_unavailable", "authentication.jwt.partners.account"),
        (get("/jwt").bearer(published), "unavailable", "authentication.jwt.published.jwks"),
        (jwt("vaulted", json!({})), "unavailable", "secrets.stored"),
        (jwt("session", json!({ "jti": "1" })), "unavailable", "authentication.revocation.feed"),
        (opaque("any"), "unavailable", "authentication.oauth2.opaque.introspection"),
        (opaque("len_any"), "oauth2_unavailable", "authentication.oauth2.lenient.userinfo"),
        (opaque("sec_any"), "unavailable", "secrets.stored"),
        (get("/service").signed("order-service"), "unavailable", "secrets.stored"),
        (get("/key").header("x-api-key", "any"), "unavailable", "secrets.stored"),
        (login("pass"), "identity_service_unavailable", "tokens.login.verify"),
        (ssn, "unavailable", "secrets.sealing"),
    ] {
        let mut gate = away();
        gate.services = |_| CalloutReply::Lost;
        for turn in ["the one that waited", "the next one"] {
            let outcome = gate.send(request.clone());
            assert_eq!(lacks(&outcome.events), (reason.to_owned(), dependency.to_owned()), "{turn}: {dependency}");
        }
    }
}

#[test]
fn an_event_of_work_in_the_background_names_what_could_not_be_had_by_the_path_of_its_settings() {
    let mut gate = away();
    gate.tick(|_| CalloutReply::Lost);
    let lines = gate.host.lines.borrow();
    let mut told: Vec<_> = lines.iter().map(|line| lacks(&[serde_json::from_str(line).unwrap()])).collect();
    told.sort();
    let expected = [
        ("key_set_unavailable", "authentication.jwt.published.jwks"),
        ("revocation_feed_unavailable", "authentication.revocation.feed"),
        ("secret_unreachable", "secrets.sealing"),
        ("secret_unreachable", "secrets.stored"),
    ];
    assert_eq!(told, expected.map(|(reason, dependency)| (reason.to_owned(), dependency.to_owned())));
}
