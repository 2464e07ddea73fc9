//! API keys: whose they are, where they may stand, and that they go no further.

use crate::gate::{Gate, Outcome, Request, get, user};

const KEYS: &str = r#"
service: user-service
secrets:
  users_key: { env: USERS_KEY }
  reporting: { inline: "reporting-key" }
  billing: { inline: "billing-key" }
authentication:
  unverified_credentials: 5/m
  jwt:
    users:
      issuer: https://users.example.com
      algorithms: [HS256]
      keys: [{ secret: users_key }]
      from: [{ header: authorization, prefix: "Bearer " }, { cookie: token }]
      claims: { subject: user_id }
  api_keys:
    from: [{ header: x-api-key }, { header: authorization, prefix: "ApiKey " }, { query: key }, { cookie: key }]
    keys: { reporting: { secret: reporting, roles: [admin] }, billing: { secret: billing } }
  mtls: { trust_domains: [cluster.local] }
roles: { admin: [user] }
intrusion: { failures: 3, count: [bad_signature] }
routes:
  - { match: { path: /keys }, authenticate: [api_keys] }
  - { match: { path: /either }, authenticate: [jwt, api_keys] }
  - { match: { path: /both }, authenticate: { all: [api_keys, jwt] } }
  - { match: { path: /optional }, authenticate: { optional: [api_keys] } }
  - { match: { path: /users }, authenticate: [api_keys], allow: [{ roles: [user] }] }
  - { match: { path: /public }, authenticate: none }
  - { match: { path: /jwt }, authenticate: [jwt] }
  - { match: { path: /certificate }, authenticate: [mtls, api_keys] }
"#;

fn keyed(path: &str, key: &str) -> Request {
    get(path).header("x-api-key", key)
}

fn reason(outcome: &Outcome) -> String {
    assert_eq!(outcome.status, Some(401), "{:?}", outcome.events);
    outcome.events[0]["details"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_key_stands_for_its_caller_in_every_place_and_goes_no_further() {
    for request in [
        keyed("/keys?a=1&b=2", "reporting-key").header("cookie", "a=b"),
        get("/keys?a=1&b=2").header("authorization", "ApiKey reporting-key").header("cookie", "a=b"),
        get("/keys?a=1&key=reporting-key&b=2").header("cookie", "a=b"),
        get("/keys?a=1&%6bey=reporting%2Dkey&b=2").header("cookie", "a=b; key=reporting-key"),
        keyed("/keys?a=1&b=2", "reporting-key").header("cookie", "key=reporting-key; a=b"),
    ] {
        let outcome = Gate::bare(KEYS).send(request);
        assert_eq!((outcome.status, outcome.upstream("x-auth-subject")), (None, Some("reporting")));
        assert_eq!(outcome.upstream("x-auth-method"), Some("api_key"));
        assert_eq!(outcome.upstream("x-auth-roles"), Some("admin"));
        assert_eq!(outcome.upstream(":path"), Some("/keys?a=1&b=2"));
        assert_eq!(outcome.upstream("cookie"), Some("a=b"));
        assert!(outcome.upstream.iter().all(|(_, value)| !value.contains("-key")), "{:?}", outcome.upstream);
    }
}

#[test]
fn a_wrong_missing_or_second_key_is_refused() {
    let mut gate = Gate::bare(KEYS);
    let missing = gate.send(get("/keys"));
    assert_eq!(reason(&missing), "missing");
    assert_eq!(missing.response("www-authenticate"), Some("ApiKey realm=\"user-service\""));
    let wrong = gate.send(keyed("/keys", "reporting-kez"));
    assert_eq!(reason(&wrong), "bad_signature");
    assert_eq!(wrong.response("www-authenticate"), Some("ApiKey realm=\"user-service\""));
    assert!(!wrong.events[0].to_string().contains("reporting-kez") && !wrong.body.contains("reporting-kez"));
    for two in [
        keyed("/keys?key=billing-key", "reporting-key"),
        keyed("/keys", "reporting-key").header("x-api-key", "billing-key"),
        keyed("/keys", "reporting-key").header("cookie", "key="),
    ] {
        assert_eq!(reason(&gate.send(two)), "ambiguous");
    }
    assert_eq!(reason(&gate.send(get("/keys").header("x-api-key", ""))), "bad_signature");
}

#[test]
fn guessed_keys_are_failures_that_block() {
    let mut gate = Gate::bare(KEYS);
    for _ in 0..3 {
        assert_eq!(gate.status(keyed("/keys", "guess")), Some(401));
    }
    assert_eq!(gate.status(keyed("/keys", "reporting-key")), Some(403));
    assert_eq!(gate.status(keyed("/keys", "reporting-key").from("198.51.100.9")), None);
}

#[test]
fn a_key_has_the_roles_it_was_given() {
    let mut gate = Gate::bare(KEYS);
    assert_eq!(gate.status(keyed("/users", "reporting-key")), None);
    assert_eq!(gate.status(keyed("/users", "billing-key")), Some(403));
}

#[test]
fn a_key_stands_beside_other_methods() {
    let mut gate = Gate::bare(KEYS);
    let token = user(serde_json::json!({}));
    assert_eq!(gate.send(keyed("/either", "billing-key")).upstream("x-auth-subject"), Some("billing"));
    let first = gate.send(keyed("/either", "wrong").bearer(&token));
    assert_eq!((first.upstream("x-auth-subject"), first.upstream("x-api-key")), (Some("7"), None));
    let both = get("/both").header("cookie", format!("token={token}; key=billing-key; a=b"));
    let both = gate.send(both);
    assert_eq!((both.status, both.upstream("x-auth-subject")), (None, Some("billing")));
    assert_eq!(both.upstream("cookie"), Some("a=b"));
    assert_eq!(gate.status(keyed("/both", "billing-key")), Some(401));
    assert_eq!(gate.send(get("/optional")).upstream("x-auth-subject"), None);
    assert_eq!(gate.status(keyed("/optional", "wrong")), Some(401));
    let missing = gate.send(get("/either"));
    assert_eq!(missing.response("www-authenticate"), Some("Bearer realm=\"user-service\""));
    let neither = gate.send(get("/certificate"));
    assert_eq!(
        neither.response("www-authenticate"),
        Some("ApiKey realm=\"user-service\""),
        "a certificate is not sent"
    );
}

#[test]
fn a_key_that_a_route_does_not_look_at_goes_no_further() {
    let mut gate = Gate::bare(KEYS);
    for path in ["/public", "/jwt"] {
        let outcome = gate.send(keyed(&format!("{path}?key=a"), "a").bearer(&user(serde_json::json!({}))));
        assert_eq!((outcome.status, outcome.upstream("x-api-key")), (None, None));
        assert_eq!(outcome.upstream(":path"), Some(path));
    }
}

/// Services that take `_` for `-` read both as one header.
#[test]
fn a_key_under_another_spelling_of_its_header_goes_no_further_on_any_route() {
    let mut gate = Gate::bare(KEYS);
    for path in ["/public", "/jwt", "/keys", "/optional"] {
        for spelling in ["x_api_key", "X_Api-Key", "x.api.key"] {
            let request = keyed(path, "reporting-key").bearer(&user(serde_json::json!({})));
            let outcome = gate.send(request.header(spelling, "forged").header("x-api-keys", "another"));
            assert_eq!((outcome.status, outcome.upstream("x-api-keys")), (None, Some("another")), "{path} {spelling}");
            assert!(outcome.upstream.iter().all(|(_, value)| value != "forged"), "{path} {spelling}");
        }
    }
    assert_eq!(reason(&gate.send(get("/keys").header("x_api_key", "reporting-key"))), "missing");
}
