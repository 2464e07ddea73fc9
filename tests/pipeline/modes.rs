//! `off`, `monitor` and `enforce`: for the whole, a section, a route, a share of the requests.

use serde_json::json;

use crate::gate::{Gate, get, partner, post, user};

const ATTACK: &str = "/a?q=%3Cscript%3Ealert(1)%3C/script%3E";

#[test]
fn monitor_lets_pass_what_it_would_refuse_and_says_so() {
    let mut gate = Gate::new(
        "
mode: monitor
limits: { one: { key: [client_ip], rate: 1/m } }
defaults: { limits: [one] }
routes:
  - { match: { path: /a }, authenticate: [jwt.users], allow: [{ roles: [admin] }] }",
    );
    assert_eq!(
        gate.send(get(ATTACK)).told(),
        ["AUTH_FAILURE missing monitor", "ACCESS_DENIED forbidden monitor", "SUSPICIOUS_REQUEST injection monitor"]
    );
    let second = gate.send(get(ATTACK));
    assert_eq!(second.status, None);
    assert_eq!(second.told()[2], "RATE_LIMITED rate_limit monitor");
    assert_eq!(second.events[0]["details"].get("status"), None);
    assert_eq!(gate.send(get("/nowhere")).told()[0], "ACCESS_DENIED no_route monitor");
    assert_eq!(gate.status(get("/nowhere")), None);
    let malformed = gate.send(get("/a%2fb"));
    assert_eq!((malformed.status, malformed.told()), (Some(400), vec!["SUSPICIOUS_REQUEST path_encoded_slash".into()]));
    assert_eq!(gate.count("blocked_requests_total~reason=injection"), 0);
    assert_eq!(gate.count("blocked_requests_total~reason=malformed_request"), 1);
}

#[test]
fn monitor_never_grants_an_identity_from_a_token_that_was_not_verified() {
    let mut gate = Gate::new(
        "
mode: monitor
routes:
  - { match: { path: /b }, authenticate: [jwt.users], allow: [{ roles: [admin] }] }",
    );
    let mut forged = user(json!({ "roles": ["admin"] }));
    forged.push('A');
    let outcome = gate.send(get("/b?x=1").bearer(&forged).header("x-auth-subject", "root"));
    assert_eq!(outcome.status, None);
    assert!(outcome.passage.exchange.caller.is_none());
    for header in ["x-auth-subject", "x-auth-roles", "x-user-email", "authorization"] {
        assert_eq!(outcome.upstream(header), None, "{header}");
    }
    assert_eq!(outcome.told()[1], "ACCESS_DENIED forbidden monitor");
}

#[test]
fn a_monitored_authentication_leaves_the_rules_enforced() {
    let mut gate = Gate::bare(
        "
secrets: { users_key: { env: USERS_KEY } }
authentication: { mode: monitor, jwt: { users: { algorithms: [HS384], keys: [{ secret: users_key }] } } }
routes:
  - { match: { path: /a }, authenticate: [jwt] }
  - { match: { path: /b }, authenticate: [jwt], deny: [{ client_ip: [203.0.113.0/24] }] }",
    );
    assert_eq!(gate.send(get("/a").bearer("x")).status, None);
    assert_eq!(gate.send(get("/b").bearer("x")).told(), ["AUTH_FAILURE malformed monitor", "ACCESS_DENIED forbidden"]);
}

#[test]
fn a_route_has_its_own_mode() {
    let mut gate = Gate::new(
        "
routes:
  - { match: { path: /a }, authenticate: [jwt.users], mode: monitor }
  - { match: { path: /b }, authenticate: [jwt.users], mode: off }
  - { match: { path: /c }, authenticate: [jwt.users] }",
    );
    assert_eq!(gate.send(get("/a")).told(), ["AUTH_FAILURE missing monitor"]);
    let off = gate.send(get("/b?q=%3Cscript%3Ealert(1)%3C/script%3E").header("x-auth-roles", "admin"));
    assert_eq!((off.status, off.events.len(), off.upstream("x-auth-roles")), (None, 0, None));
    assert_eq!(off.response("x-content-type-options"), Some("nosniff"));
    assert_eq!(gate.status(get("/b/%2e%2e%2f")), Some(400), "off disables no canonicalisation");
    assert_eq!(gate.status(get("/c")), Some(401));
}

#[test]
fn each_section_has_its_own_mode() {
    let mut gate = Gate::new(
        "
inspection: { mode: monitor }
limits: { watched: { key: [client_ip], rate: 1/m, mode: monitor }, kept: { key: [client_ip], rate: 3/m } }
routes:
  - { match: { path: /a }, authenticate: none, limits: [watched, kept] }
  - { match: { path: /b }, authenticate: none, inspection: { mode: enforce } }",
    );
    assert_eq!(gate.send(get(ATTACK)).told(), ["SUSPICIOUS_REQUEST injection monitor"]);
    assert_eq!(gate.status(get(&ATTACK.replace("/a", "/b"))), Some(403));
    let second = gate.send(get("/a"));
    assert_eq!(second.told(), ["RATE_LIMITED rate_limit monitor"]);
    assert_eq!(second.response("ratelimit-policy"), Some("\"kept\";q=3;w=60"), "only what is enforced is told");
    assert_eq!((gate.status(get("/a")), gate.status(get("/a"))), (None, Some(429)));
}

#[test]
fn a_share_of_the_requests_is_enforced() {
    let mut gate = Gate::new(
        "
events: { sample: 1000/s }
routes:
  - { match: { path: /none }, authenticate: [jwt], enforce_percent: 0 }
  - { match: { path: /some }, authenticate: [jwt], enforce_percent: 25 }
  - { match: { path: /all }, authenticate: [jwt], enforce_percent: 100 }",
    );
    let mut refused = |path: &str| (0..200).filter(|_| gate.status(get(path)) == Some(401)).count();
    assert_eq!((refused("/none"), refused("/all")), (0, 200));
    let some = refused("/some");
    assert!((30..70).contains(&some), "{some}");
    assert_eq!(gate.count("auth_failures_total~reason=missing"), 600);
}

#[test]
fn a_share_holds_for_every_check_of_its_route_and_one_request_is_judged_as_one() {
    let mut gate = Gate::new(
        "
events: { sample: 1000/s }
limits: { none: { key: [client_ip], rate: 1/h } }
defaults: { authenticate: none }
routes:
  - { match: { path: /rules }, enforce_percent: 30, allow: [{ roles: [admin] }] }
  - { match: { path: /limits }, enforce_percent: 30, limits: [none] }
  - { match: { path: /a }, enforce_percent: 30 }
  - { match: { path: /several }, authenticate: [jwt], enforce_percent: 30, allow: [{ roles: [admin] }] }
  - { match: { path: /watched }, mode: monitor, enforce_percent: 100, allow: [{ roles: [admin] }] }",
    );
    for (path, status, told) in [
        ("/rules", 403, "ACCESS_DENIED forbidden"),
        ("/limits", 429, "RATE_LIMITED rate_limit"),
        (ATTACK, 403, "SUSPICIOUS_REQUEST injection"),
    ] {
        let _ = gate.status(get("/limits"));
        let (mut enforced, mut watched) = (0, 0);
        for _ in 0..200 {
            let outcome = gate.send(get(path));
            match outcome.status {
                None => {
                    assert_eq!(outcome.told(), [format!("{told} monitor")], "{path}");
                    watched += 1;
                }
                Some(found) => {
                    assert_eq!((found, outcome.told()), (status, vec![told.to_owned()]), "{path}");
                    enforced += 1;
                }
            }
        }
        assert!((35..90).contains(&enforced) && enforced + watched == 200, "{path}: {enforced}");
    }
    // Without a token and without the role: the first check refuses, or both only tell.
    for _ in 0..100 {
        let told = gate.send(get("/several")).told();
        let both = ["AUTH_FAILURE missing monitor".to_owned(), "ACCESS_DENIED forbidden monitor".to_owned()];
        assert!(told == ["AUTH_FAILURE missing"] || told == both, "{told:?}");
    }
    assert_eq!(gate.send(get("/watched")).told(), ["ACCESS_DENIED forbidden monitor"]);
}

#[test]
fn a_body_that_is_monitored_goes_on_after_its_event() {
    let mut gate = Gate::new("mode: monitor\nroutes: [{ match: { path: /a }, authenticate: none }]");
    let outcome = gate.send(post("/a").body("application/json", "{\"a\":\"<script>alert(1)</script>\"}"));
    assert_eq!((outcome.status, outcome.told()), (None, vec!["SUSPICIOUS_REQUEST injection monitor".into()]));
    let outcome = gate.send(post("/a").header("content-encoding", "gzip").body("application/json", "x"));
    assert_eq!((outcome.status, outcome.told()), (None, vec!["SUSPICIOUS_REQUEST body_encoded monitor".into()]));
}

#[test]
fn a_monitored_route_still_knows_good_callers() {
    let mut gate = Gate::new("mode: monitor\nroutes: [{ match: { path: /a }, authenticate: [jwt] }]");
    let outcome = gate.send(get("/a").bearer(&partner(json!({}))));
    assert_eq!((outcome.upstream("x-auth-subject"), outcome.events.len()), (Some("7"), 0));
}
