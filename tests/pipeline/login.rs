//! Log in, refresh and log out at the proxy, and what is revoked by it or by the feed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::check::{Call, Callout, CalloutReply};
use portcullis::jose::algorithm::Algorithm;
use serde_json::{Value, json};

use crate::gate::{CALLERS, Called, Gate, Outcome, PARTNERS_KEY, Request, START, USERS_KEY, answer, errors, get, post};
use crate::gate::{partner, signed_with, user};

const SECTIONS: &str = r#"
tokens:
  issuer: https://users.example.com
  audience: api
  keys: [{ secret: users_key }]
  login: { verify: { cluster: identity, uri: "http://identity/verify?v=1" } }
  refresh: { lookup: { cluster: identity, uri: "http://identity/accounts/{user_id}" } }
  logout: {}
  limits: [per_address]
limits: { per_address: { key: [client_ip], rate: 300/m } }
headers: { cors: { origins: ["https://app.example.com"], methods: [POST] } }
intrusion: { failures: 5, count: [bad_login, bad_signature] }
events: { sample: 10000/s }
unmatched: deny
routes:
  - { match: { path: /any }, authenticate: [jwt] }
  - { match: { path: "/auth/**" }, authenticate: none }
"#;

fn gate() -> Gate {
    let mut gate = Gate::new(SECTIONS);
    gate.services = identity;
    gate
}

/// Ann's password is `pa'ss`, Bob is inactive.
fn identity(called: &Called) -> CalloutReply {
    let account = |id: Value, name: &str, active: bool| json!({ "id": id, "username": name, "email": format!("{name}@example.com"), "roles": ["user"], "is_active": active });
    if called.header(":method") == Some("GET") {
        return match called.header(":path").unwrap() {
            "/accounts/7" => answer(200, account(json!(7), "ann", true).to_string()),
            "/accounts/8" => answer(200, account(json!(8), "bob", false).to_string()),
            "/accounts/9" => answer(200, account(json!(7), "ann", true).to_string()),
            "/accounts/10" => answer(500, "{}"),
            _ => answer(404, ""),
        };
    }
    let asked: Value = serde_json::from_str(&called.body).unwrap();
    match (asked["username"].as_str().unwrap(), asked["password"].as_str().unwrap()) {
        ("ann", "pa'ss") => answer(200, account(json!(7), "ann", true).to_string()),
        ("bob", _) => answer(200, account(json!(8), "bob", false).to_string()),
        ("status", status) => answer(status.parse().unwrap(), "{}"),
        ("says", body) => answer(200, body),
        ("lost", _) => CalloutReply::Lost,
        _ => answer(401, r#"{"error":"no"}"#),
    }
}

fn login(username: &str, password: &str) -> Request {
    post("/auth/login").body("application/json", json!({ "username": username, "password": password }).to_string())
}

fn with_token(path: &str, token: &str) -> Request {
    post(path).body("application/json", json!({ "refresh_token": token }).to_string())
}

fn document(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.body).unwrap_or_else(|_| panic!("{:?} {}", outcome.status, outcome.body))
}

fn tokens(gate: &mut Gate) -> (String, String) {
    let outcome = gate.send(login("ann", "pa'ss"));
    assert_eq!(outcome.status, Some(200), "{}", outcome.body);
    let tokens = document(&outcome);
    ["access_token", "refresh_token"].map(|name| tokens[name].as_str().unwrap().to_owned()).into()
}

fn claims(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// Status, `error` and the reasons of the events.
fn said(outcome: &Outcome) -> (u16, String, String) {
    let document = document(outcome);
    assert_eq!((&document["error"], document["status"].as_u64()), (&document["detail"], outcome.status.map(u64::from)));
    (outcome.status.unwrap(), document["error"].as_str().unwrap().to_owned(), outcome.told().join(", "))
}

fn opens(gate: &mut Gate, token: &str) -> String {
    let outcome = gate.send(get("/any").bearer(token));
    outcome.status.map_or("passed".to_owned(), |_| outcome.told().join(", "))
}

#[test]
fn a_login_becomes_two_tokens_of_one_session() {
    let mut gate = gate();
    let outcome = gate.send(login("ann", "pa'ss").header("origin", "https://app.example.com"));
    assert_eq!(outcome.status, Some(200));
    assert_eq!(outcome.response("cache-control"), Some("no-store"));
    assert_eq!(outcome.response("access-control-allow-origin"), Some("https://app.example.com"));
    assert!(outcome.events.is_empty());
    let called = &gate.called[0];
    assert_eq!((called.header(":method"), called.header(":path")), (Some("POST"), Some("/verify?v=1")));
    assert_eq!(called.body, r#"{"username":"ann","password":"pa'ss"}"#);
    let answer = document(&outcome);
    assert_eq!(answer["user"], json!({ "id": 7, "username": "ann", "email": "ann@example.com" }));
    let [access, refresh] = ["access_token", "refresh_token"].map(|name| claims(answer[name].as_str().unwrap()));
    let (sid, jti) = (&access["sid"], &access["jti"]);
    assert_eq!((sid.as_str().map(str::len), sid, jti != sid), (Some(22), &refresh["sid"], true));
    assert_ne!(jti, &refresh["jti"]);
    let expected = json!({
        "iss": "https://users.example.com", "aud": "api", "type": "access", "user_id": 7, "username": "ann",
        "email": "ann@example.com", "roles": ["user"], "iat": START, "exp": START + 900, "jti": jti, "sid": sid
    });
    assert_eq!(access, expected);
    let expected = json!({
        "iss": "https://users.example.com", "type": "refresh", "user_id": 7, "iat": START, "exp": START + 7 * 86_400,
        "jti": refresh["jti"], "sid": sid
    });
    assert_eq!(refresh, expected);
    let other = claims(&tokens(&mut gate).0);
    assert_ne!(gate.called[0].flight, gate.called[1].flight, "shared with nobody");
    assert!(other["sid"] != *sid && other["jti"] != *jti);
}

#[test]
fn tokens_open_what_their_type_says_although_the_provider_maps_none() {
    let mut gate = gate();
    let (access, refresh) = tokens(&mut gate);
    assert_eq!(opens(&mut gate, &access), "passed");
    assert_eq!(opens(&mut gate, &refresh), "AUTH_FAILURE wrong_type");
    // Other issuers are left alone.
    assert_eq!(opens(&mut gate, &partner(json!({}))), "passed");
}

#[test]
fn what_is_no_login_is_said_so_and_asks_nobody() {
    let mut gate = gate();
    let required = (400, "Username and password required".to_owned(), String::new());
    for body in
        ["", "x", "{}", "[]", r#"["ann","pa'ss"]"#, r#"{"username":"ann"}"#, r#"{"username":"ann","password":""}"#]
    {
        assert_eq!(said(&gate.send(post("/auth/login").body("application/json", body))), required, "{body}");
    }
    let other = gate.send(get("/auth/login"));
    assert_eq!((said(&other).0, other.response("allow")), (405, Some("POST")));
    let large = json!({ "username": "ann", "password": "x".repeat(33_000) }).to_string();
    let outcome = gate.send(post("/auth/login").body("application/json", large));
    assert_eq!(said(&outcome), (413, "The body is too large".into(), "SUSPICIOUS_REQUEST body_too_large".into()));
    let injected = login("1' UNION SELECT password FROM users --", "x");
    assert_eq!(said(&gate.send(injected)).2, "SUSPICIOUS_REQUEST injection");
    assert!(gate.called.is_empty());
    assert_eq!(
        gate.status(login("ann", "1' UNION SELECT password FROM users --")),
        Some(401),
        "a password may be that"
    );
}

#[test]
fn bad_credentials_are_401_and_a_service_that_cannot_say_is_503() {
    let mut gate = gate();
    let bad = (401, "Invalid credentials".to_owned(), "AUTH_FAILURE bad_login".to_owned());
    for (at, status) in ["400", "401", "403", "404", "422"].into_iter().enumerate() {
        let outcome = gate.send(login("status", status).from(&format!("198.51.100.{at}")));
        assert_eq!(said(&outcome), bad, "{status}");
        assert!(outcome.response("www-authenticate").is_some());
    }
    let inactive = (401, "Invalid credentials".to_owned(), "AUTH_FAILURE inactive_account".to_owned());
    assert_eq!(said(&gate.send(login("bob", "x"))), inactive);
    assert_eq!(gate.count("auth_failures_total~reason=bad_login"), 5);
    let unavailable = "DEGRADED identity_service_unavailable";
    let statuses = ["204", "301", "408", "429", "500", "502", "503"];
    let answers = ["<html>", "{}", r#"{"id":7"#, "[]", r#"{"id":7,"roles":[1]}"#, r#"{"id":[]}"#];
    let faults = statuses.map(|status| login("status", status)).into_iter();
    for fault in faults.chain(answers.map(|body| login("says", body))).chain([login("lost", "x")]) {
        let outcome = gate.send(fault);
        assert_eq!(
            (said(&outcome).0, said(&outcome).2),
            (503, unavailable.to_owned()),
            "{}",
            gate.called.last().unwrap().body
        );
    }
    let roles = vec!["r".repeat(100); 200];
    let outcome = gate.send(login("says", &json!({ "id": 7, "roles": roles }).to_string()));
    assert_eq!(outcome.told(), [unavailable], "a token that nobody would take");
    gate.host.without_random = true;
    assert_eq!(gate.send(login("ann", "pa'ss")).told(), ["DEGRADED no_randomness"]);
}

#[test]
fn guessing_is_blocked_and_limited() {
    let mut gate = gate();
    for _ in 0..5 {
        assert_eq!(gate.status(login("ann", "wrong")), Some(401));
    }
    let asked = gate.called.len();
    assert_eq!(gate.send(login("ann", "pa'ss")).told(), ["ACCESS_DENIED blocked_address"]);
    let elsewhere = |gate: &mut Gate| gate.send(login("nobody", "x").from("198.51.100.9"));
    // CALLERS give an address five bad credentials a minute.
    assert_eq!(gate.called.len(), asked);
    let mut limited = Gate::new(&SECTIONS.replace("intrusion: { failures: 5, count: [bad_login, bad_signature] }", ""));
    limited.services = identity;
    let told: Vec<_> = (0..6).map(|_| elsewhere(&mut limited).told().join(" ")).collect();
    assert_eq!(told[4..], ["AUTH_FAILURE bad_login", "RATE_LIMITED unverified_credentials"]);
    let mut limited = Gate::new(&SECTIONS.replace("300/m", "2/m"));
    limited.services = identity;
    let outcomes = [(); 3].map(|()| said(&limited.send(login("ann", "pa'ss!"))).0);
    assert_eq!(outcomes, [401, 401, 429]);
}

#[test]
fn a_refresh_token_becomes_an_access_token_of_the_same_session() {
    let mut gate = gate();
    let (access, refresh) = tokens(&mut gate);
    gate.wait(600);
    let outcome = gate.send(with_token("/auth/refresh", &refresh));
    assert_eq!((outcome.status, outcome.response("cache-control")), (Some(200), Some("no-store")));
    let answer = document(&outcome);
    assert_eq!(answer.as_object().unwrap().len(), 1);
    let new = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(
        (&new["sid"], &new["roles"], &new["exp"]),
        (&claims(&access)["sid"], &json!(["user"]), &json!(START + 1500))
    );
    assert_eq!(gate.called.last().unwrap().header(":path"), Some("/accounts/7"));
    let old = claims(&refresh);
    let forged = |key: &str, changes: Value| {
        let mut claims = old.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        signed_with(Algorithm::Hs256, key, &claims)
    };
    for (token, told) in [
        (access, "AUTH_FAILURE wrong_type"),
        ("x".to_owned(), "AUTH_FAILURE malformed"),
        (forged(PARTNERS_KEY, json!({})), "AUTH_FAILURE bad_signature"),
        (forged(USERS_KEY, json!({ "exp": START })), "AUTH_FAILURE expired"),
        (forged(USERS_KEY, json!({ "iss": "https://partners.example.com" })), "AUTH_FAILURE unknown_issuer"),
        (forged(USERS_KEY, json!({ "sid": null })), "AUTH_FAILURE malformed"),
        (forged(USERS_KEY, json!({ "user_id": null })), "AUTH_FAILURE no_subject"),
        (forged(USERS_KEY, json!({ "user_id": 8 })), "AUTH_FAILURE inactive"),
        (forged(USERS_KEY, json!({ "user_id": 11 })), "AUTH_FAILURE unknown_user"),
        (forged(USERS_KEY, json!({ "user_id": ".." })), "AUTH_FAILURE unknown_user"),
        (forged(USERS_KEY, json!({ "user_id": 9 })), "DEGRADED identity_service_unavailable"),
        (forged(USERS_KEY, json!({ "user_id": 10 })), "DEGRADED identity_service_unavailable"),
        (signed_with(Algorithm::Hs512, USERS_KEY, &old), "AUTH_FAILURE unsupported_algorithm"),
    ] {
        gate.wait(60);
        let outcome = gate.send(with_token("/auth/refresh", &token));
        assert_eq!(
            (said(&outcome).0, said(&outcome).2),
            (if told.starts_with('D') { 503 } else { 401 }, told.to_owned())
        );
    }
    assert!(
        gate.called.iter().all(|called| called.header(":path") != Some("/accounts/..")),
        "no account has this path"
    );
    let list = json!([refresh]).to_string();
    for body in ["", "{}", "x", &list, r#"{"refresh_token":7}"#, r#"{"refresh_token":""}"#] {
        let outcome = gate.send(post("/auth/refresh").body("application/json", body));
        assert_eq!(said(&outcome), (400, "Refresh token required".to_owned(), String::new()), "{body}");
    }
}

#[test]
fn who_logs_out_ends_every_token_of_the_login_and_of_no_other() {
    let mut gate = gate();
    let (access, refresh) = tokens(&mut gate);
    let renewed = document(&gate.send(with_token("/auth/refresh", &refresh)));
    let renewed = renewed["access_token"].as_str().unwrap().to_owned();
    let (other, _) = tokens(&mut gate);
    // A token of another issuer that happens to name the same session.
    let stranger = partner(json!({ "sid": claims(&access)["sid"] }));
    for token in [&access, &renewed, &other, &stranger] {
        assert_eq!(opens(&mut gate, token), "passed");
    }
    let outcome = gate.send(with_token("/auth/logout", &refresh));
    assert_eq!((outcome.status, outcome.body.as_str()), (Some(204), ""));
    for token in [&access, &renewed] {
        assert_eq!(opens(&mut gate, token), "AUTH_FAILURE revoked");
    }
    assert_eq!(said(&gate.send(with_token("/auth/refresh", &refresh))).2, "AUTH_FAILURE revoked");
    assert_eq!((opens(&mut gate, &other), opens(&mut gate, &stranger)), ("passed".into(), "passed".into()));
    assert_eq!(gate.status(with_token("/auth/logout", &refresh)), Some(204), "again");
    // As long as the refresh token would have lasted, and the skew of whoever takes it.
    gate.now = gate.now.after(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!(said(&gate.send(with_token("/auth/refresh", &refresh))).2, "AUTH_FAILURE revoked");
    gate.wait(60);
    assert_eq!(said(&gate.send(with_token("/auth/refresh", &refresh))).2, "AUTH_FAILURE revoked");
    gate.wait(1);
    assert_eq!(said(&gate.send(with_token("/auth/refresh", &refresh))).2, "AUTH_FAILURE expired");
}

#[test]
fn an_access_token_alone_logs_out_as_well() {
    let mut gate = gate();
    let (access, refresh) = tokens(&mut gate);
    for shown in [format!("Bearer {access}"), format!("bearer  {access}"), format!("Bearer\t{access}")] {
        let logout = post("/auth/logout").body("", "").header("authorization", shown);
        assert_eq!(gate.status(logout), Some(204), "as other routes take it");
    }
    assert_eq!(said(&gate.send(with_token("/auth/refresh", &refresh))).2, "AUTH_FAILURE revoked");
    gate.now = gate.now.after(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!(said(&gate.send(with_token("/auth/refresh", &refresh))).2, "AUTH_FAILURE revoked", "as long");
    for (request, status) in [
        (post("/auth/logout").body("", ""), 400),
        (post("/auth/logout").body("application/json", "{}"), 400),
        (post("/auth/logout").body("application/json", "{}").bearer(&access), 400),
        (post("/auth/logout").body("", "").header("authorization", "Bearer"), 400),
        (post("/auth/logout").body("", "").bearer("x"), 401),
        (post("/auth/logout").body("", "").bearer(&format!("{access}, Bearer {access}")), 401),
        (post("/auth/logout").body("", "").bearer(&refresh), 401),
        (with_token("/auth/logout", &access), 401),
        (with_token("/auth/logout", &user(json!({ "type": "refresh" }))), 401),
    ] {
        gate.wait(60);
        assert_eq!(said(&gate.send(request)).0, status);
    }
}

#[test]
fn a_full_table_does_not_pretend_to_have_logged_anybody_out() {
    let mut gate = Gate::new(&format!("{SECTIONS}tables: {{ revocations: 64 }}\n"));
    gate.services = identity;
    let mut full = 0;
    for _ in 0..65 {
        // Each token that is refused is a bad credential of this address.
        gate.wait(15);
        let (access, refresh) = tokens(&mut gate);
        let outcome = gate.send(with_token("/auth/logout", &refresh));
        if outcome.status == Some(204) {
            assert_eq!(opens(&mut gate, &access), "AUTH_FAILURE revoked");
            continue;
        }
        full += 1;
        assert_eq!((said(&outcome).0, said(&outcome).2.as_str()), (503, "DEGRADED revocations_table_full"));
        assert_eq!(opens(&mut gate, &access), "passed");
    }
    assert!((1..30).contains(&full), "{full}");
}

#[test]
fn these_endpoints_answer_whatever_the_mode() {
    let mut gate = Gate::new(&format!("{SECTIONS}mode: monitor\n"));
    gate.services = identity;
    assert_eq!(gate.status(login("ann", "wrong")), Some(401));
    assert_eq!(gate.status(get("/auth/logout")), Some(405));
    assert_eq!(gate.status(login("ann", "pa'ss")), Some(200));
}

const FEED: &str = r#"
authentication:
  jwt:
    users: { issuer: "https://users.example.com", algorithms: [HS256], keys: [{ secret: users_key }], claims: { subject: user_id } }
    plain: { algorithms: [HS384], keys: [{ secret: users_key }], claims: { subject: user_id } }
  revocation: { feed: { cluster: identity, uri: "http://identity/revocations", interval: 10s } }
secrets: { users_key: { env: USERS_KEY } }
routes: [{ match: { path: /any }, authenticate: [jwt] }]
"#;

fn revoked(entries: &[Value]) -> CalloutReply {
    answer(200, json!({ "revoked": entries }).to_string())
}

fn read(gate: &mut Gate, reply: &CalloutReply) -> usize {
    gate.tick(|asked: &Callout| {
        let Call::Http { headers } = &asked.call else { panic!() };
        assert!(headers.contains(&(":path".to_owned(), "/revocations".to_owned())));
        reply.clone()
    })
    .len()
}

#[test]
fn the_feed_revokes_what_it_names_and_forgets_nothing() {
    let mut gate = Gate::bare(FEED);
    let token = |changes: Value| user(changes);
    let [one, two, three] =
        [json!({ "jti": "1" }), json!({ "sid": "s", "jti": "2" }), json!({ "jti": "3" })].map(token);
    let plain = crate::gate::plain(json!({ "jti": "1" }));
    let users = "https://users.example.com";
    let entry = json!({ "iss": users, "jti": "1", "until": START + 900 });
    assert_eq!(read(&mut gate, &revoked(&[])), 1);
    assert_eq!(opens(&mut gate, &one), "passed");
    gate.wait(10);
    assert_eq!(read(&mut gate, &revoked(std::slice::from_ref(&entry))), 1);
    assert_eq!(opens(&mut gate, &one), "AUTH_FAILURE revoked", "although it was verified before");
    for other in [&two, &three, &plain] {
        assert_eq!(opens(&mut gate, other), "passed");
    }
    assert_eq!(read(&mut gate, &revoked(&[])), 0, "not yet due");
    gate.wait(10);
    let more = [json!({ "iss": users, "sid": "s", "until": START + 900 }), json!({ "jti": "1", "until": START + 900 })];
    assert_eq!(read(&mut gate, &revoked(&more)), 1);
    for revoked in [&one, &two, &plain] {
        assert_eq!(opens(&mut gate, revoked), "AUTH_FAILURE revoked");
    }
    assert_eq!(opens(&mut gate, &three), "passed");
    gate.wait(10);
    for fault in [
        CalloutReply::Lost,
        answer(500, json!({ "revoked": [] }).to_string()),
        answer(200, "<html>"),
        answer(200, r#"{"revoked":[{"iss":"https://users.example.com","jti":"3","until":18000"#),
        answer(
            200,
            json!({ "revoked": [{ "iss": users, "jti": "3", "until": START + 900 }, { "jti": 7 }] }).to_string(),
        ),
    ] {
        gate.host.lines.borrow_mut().clear();
        assert_eq!(read(&mut gate, &fault), 1);
        let lines = gate.host.lines.borrow().concat();
        assert!(lines.contains("revocation_feed_unavailable") && lines.contains("authentication.revocation.feed"));
        gate.wait(10);
    }
    assert_eq!((opens(&mut gate, &one), opens(&mut gate, &three)), ("AUTH_FAILURE revoked".into(), "passed".into()));
}

#[test]
fn a_clock_that_was_ahead_for_a_while_loses_nothing_that_the_feed_named() {
    let mut gate = Gate::bare(FEED);
    let entry = |jti: &str| json!({ "iss": "https://users.example.com", "jti": jti, "until": START + 900 });
    let [one, two] = ["1", "2"].map(|jti| user(json!({ "jti": jti })));
    assert_eq!(read(&mut gate, &revoked(&[entry("1")])), 1);
    gate.wait(8 * 86_400);
    assert_eq!(read(&mut gate, &revoked(&[entry("1"), entry("2")])), 1);
    gate.now = portcullis::time::Timestamp::from_unix_seconds(START + 10);
    assert_eq!(opens(&mut gate, &one), "AUTH_FAILURE revoked");
    assert_eq!(read(&mut gate, &revoked(&[entry("1"), entry("2")])), 1);
    assert_eq!(opens(&mut gate, &two), "AUTH_FAILURE revoked", "the same document, which seemed to have expired");
}

#[test]
fn a_feed_that_fails_is_told_each_time_however_much_was_told_before() {
    let mut gate = Gate::bare(&format!("{FEED}events: {{ sample: 1/h }}\n"));
    for _ in 0..3 {
        gate.host.lines.borrow_mut().clear();
        assert_eq!(read(&mut gate, &CalloutReply::Lost), 1);
        assert!(gate.host.lines.borrow().concat().contains("revocation_feed_unavailable"));
        gate.wait(60);
    }
}

#[test]
fn before_the_feed_was_read_nothing_is_known_of_tokens_that_can_be_revoked() {
    let mut gate = Gate::bare(FEED);
    let [token, session, neither] = [json!({ "jti": "1" }), json!({ "sid": "s" }), json!({})].map(user);
    for reply in [None, Some(CalloutReply::Lost), Some(answer(500, "{}")), Some(answer(200, "<html>"))] {
        if let Some(reply) = reply {
            assert_eq!(read(&mut gate, &reply), 1);
            gate.wait(10);
        }
        for shown in [&token, &session] {
            assert_eq!(opens(&mut gate, shown), "AUTH_FAILURE unavailable");
        }
        assert_eq!(opens(&mut gate, &neither), "passed");
    }
    assert_eq!(read(&mut gate, &revoked(&[])), 1);
    gate.wait(10);
    assert_eq!(read(&mut gate, &CalloutReply::Lost), 1);
    for shown in [&token, &session] {
        assert_eq!(opens(&mut gate, shown), "passed");
    }
}

#[test]
fn nothing_is_refreshed_before_the_feed_was_read() {
    let feed = "revocation: { feed: { cluster: identity, uri: \"http://identity/revocations\" } }";
    let mut gate = Gate::bare(&format!("{CALLERS}{SECTIONS}").replacen("  jwt:\n", &format!("  {feed}\n  jwt:\n"), 1));
    gate.services = identity;
    let (access, refresh) = tokens(&mut gate);
    let outcome = gate.send(with_token("/auth/refresh", &refresh));
    assert_eq!(outcome.status, Some(503));
    assert_eq!(outcome.events[0]["details"]["reason"], "revocation_feed_unavailable");
    assert_eq!(opens(&mut gate, &access), "AUTH_FAILURE unavailable");
    assert_eq!(read(&mut gate, &revoked(&[])), 1);
    assert_eq!(gate.status(with_token("/auth/refresh", &refresh)), Some(200));
    assert_eq!(opens(&mut gate, &access), "passed");
}

/// A provider takes a token for its `clock_skew` after `exp`, to which `until` is set.
#[test]
fn what_the_feed_revokes_stays_so_while_clocks_may_differ() {
    let mut gate = Gate::bare(&FEED.replace("algorithms: [HS256]", "clock_skew: 300s, algorithms: [HS256]"));
    let [one, two] = ["1", "2"].map(|jti| user(json!({ "jti": jti, "exp": START + 100 })));
    let entry = json!({ "iss": "https://users.example.com", "jti": "1", "until": START + 100 });
    assert_eq!(read(&mut gate, &revoked(&[entry])), 1);
    gate.wait(399);
    assert_eq!(opens(&mut gate, &two), "passed");
    assert_eq!(opens(&mut gate, &one), "AUTH_FAILURE revoked");
    gate.wait(1);
    assert_eq!(opens(&mut gate, &one), "AUTH_FAILURE expired");
}

#[test]
fn a_feed_that_finds_no_room_says_so_and_tries_again() {
    let mut gate = Gate::bare(&format!("{FEED}tables: {{ revocations: 64 }}\n"));
    let entries = (0..100).map(|n| json!({ "jti": n.to_string(), "until": START + if n < 99 { 15 } else { 900 } }));
    let entries = entries.collect::<Vec<_>>();
    assert_eq!(read(&mut gate, &revoked(&entries)), 1);
    assert!(gate.host.lines.borrow().concat().contains("revocations_table_full"));
    let other = crate::gate::plain(json!({ "jti": "other" }));
    assert_eq!(opens(&mut gate, &other), "AUTH_FAILURE unavailable", "it may be the one that found no room");
    gate.wait(80);
    gate.host.lines.borrow_mut().clear();
    assert_eq!(read(&mut gate, &revoked(&entries)), 1);
    assert_eq!(gate.host.lines.borrow().concat(), "");
    assert_eq!(opens(&mut gate, &crate::gate::plain(json!({ "jti": "99" }))), "AUTH_FAILURE revoked");
}

#[test]
fn wrong_addresses_are_named_by_their_fields() {
    let wrong = SECTIONS.replace("http://identity/verify?v=1", "identity").replace("/{user_id}", "");
    let yaml = format!(
        "secrets: {{ users_key: {{ env: USERS_KEY }} }}\n\
         authentication: {{ revocation: {{ feed: {{ cluster: c, uri: x }} }}, jwt: {{ a: {{ algorithms: [HS256], keys: [{{ secret: users_key }}] }} }} }}\n{wrong}"
    );
    let fields: Vec<_> = errors(&yaml).iter().map(|error| error.split(": ").next().unwrap().to_owned()).collect();
    let feed = "authentication.revocation.feed";
    let expected = ["tokens.login.verify.uri", "tokens.refresh.lookup.uri", &format!("{feed}.uri")];
    assert_eq!(fields, expected);
}
