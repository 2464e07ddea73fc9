//! Who may: roles, scopes, claims, services, networks, owners; and that no issuer speaks for another's callers.

use serde_json::{Value, json};

use crate::gate::{Gate, Request, get, partner, plain, user};

fn gate(rules: &str) -> Gate {
    Gate::new(&format!(
        "roles: {{ admin: [manager], manager: [user] }}\ndefaults: {{ authenticate: [jwt, service] }}\n{rules}"
    ))
}

fn may(gate: &mut Gate, request: Request) -> bool {
    match gate.send(request).status {
        None => true,
        Some(403) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_role_stands_for_those_below_it_and_for_no_other() {
    let mut gate = gate(
        "
routes:
  - { match: { path: /user }, allow: [{ roles: [user] }] }
  - { match: { path: /admin }, allow: [{ roles: [admin, auditor] }] }",
    );
    let cases: [(Value, bool, bool); 9] = [
        (json!(["admin"]), true, true),
        (json!(["manager"]), true, false),
        (json!(["user"]), true, false),
        (json!(["auditor"]), false, true),
        (json!("x user"), true, false),
        (json!("auditor"), false, true),
        // A name with a space is one role.
        (json!(["super admin"]), false, false),
        (json!(["Admin", "admin2", ""]), false, false),
        (json!({ "admin": true }), false, false),
    ];
    for (roles, user_may, admin_may) in cases {
        let token = user(json!({ "roles": roles }));
        let found = ["/user", "/admin"].map(|path| may(&mut gate, get(path).bearer(&token)));
        assert_eq!(found, [user_may, admin_may], "{roles}");
    }
}

#[test]
fn a_token_of_one_issuer_never_gains_what_another_maps() {
    let mut gate = gate(
        "
routes:
  - { match: { path: /admin }, allow: [{ roles: [admin] }] }
  - { match: { path: '/users/{id}' }, allow: [{ owner: { path: id, claim: user_id } }] }
  - { match: { path: '/partners/{id}' }, allow: [{ owner: { path: id, claim: sub } }] }
  - { match: { path: '/teams/{id}' }, allow: [{ owner: { path: id, claim: team } }] }
  - { match: { path: /write }, allow: [{ scopes: [write] }] }",
    );
    let everything = json!({ "roles": ["admin"], "user_id": "7", "sub": "7", "scope": "write", "team": "7" });
    let tokens = [user(everything.clone()), partner(everything.clone()), plain(everything)];
    let mut all = |path: &str| tokens.each_ref().map(|token| may(&mut gate, get(path).bearer(token)));
    assert_eq!(all("/admin"), [true, false, false]);
    assert_eq!(all("/users/7"), [true, false, true], "the subject of users and of plain");
    assert_eq!(all("/partners/7"), [false, true, false], "the subject of partners only");
    assert_eq!(all("/teams/7"), [true, true, true], "nobody's subject");
    assert_eq!(all("/write"), [true, true, false]);
}

#[test]
fn equal_subjects_of_two_issuers_have_limits_of_their_own() {
    let mut gate = gate("limits: { l: { key: [subject], rate: 1/m } }\nroutes: [{ match: { path: /a }, limits: [l] }]");
    for token in [user(json!({})), partner(json!({})), plain(json!({})), user(json!({ "user_id": "service" }))] {
        assert_eq!(gate.status(get("/a").bearer(&token)), None);
        assert_eq!(gate.status(get("/a").bearer(&token)), Some(429));
    }
    assert_eq!(gate.status(get("/a").bearer(&user(json!({ "jti": "another token of 7" })))), Some(429));
}

#[test]
fn scopes_are_all_needed_claims_are_compared_by_type_and_conditions_add_up() {
    let mut gate = gate(
        "
routes:
  - match: { path: /reports }
    allow:
      - { scopes: [reports.read, reports.write], claims: { department: finance } }
      - { claims: { level: 3, staff: true } }",
    );
    let cases = [
        (json!({ "scope": "reports.read reports.write", "department": "finance" }), true),
        (json!({ "scope": ["reports.write", "reports.read"], "department": ["law", "finance"] }), true),
        (json!({ "scope": "reports.read", "department": "finance" }), false),
        (json!({ "scope": "reports.read reports.write" }), false),
        (json!({ "scope": "reports.read reports.write", "department": "Finance" }), false),
        (json!({ "level": 3, "staff": true }), true),
        (json!({ "level": "3", "staff": true }), false),
        (json!({ "level": 3, "staff": "true" }), false),
        (json!({ "level": 3 }), false),
        (json!({}), false),
    ];
    for (claims, expected) in cases {
        assert_eq!(may(&mut gate, get("/reports").bearer(&user(claims.clone()))), expected, "{claims}");
    }
}

#[test]
fn who_lacks_nothing_but_scopes_is_told_which() {
    let mut gate = gate(
        "
routes:
  - match: { path: /reports }
    deny: [{ claims: { barred: true } }]
    allow:
      - { roles: [auditor], scopes: [reports.read] }
      - { claims: { department: finance }, scopes: [reports.read, reports.write] }
  - { match: { path: /write }, allow: [{ scopes: [write] }] }
  - { match: { path: /strange }, allow: [{ scopes: ['a\"b'] }] }",
    );
    let both = "Bearer realm=\"user-service\", error=\"insufficient_scope\", scope=\"reports.read reports.write\"";
    let one = "Bearer realm=\"user-service\", error=\"insufficient_scope\", scope=\"reports.read\"";
    let cases = [
        ("/reports", json!({ "department": "finance", "scope": "reports.read" }), Some(both)),
        ("/reports", json!({ "department": "finance", "roles": ["auditor"] }), Some(one)),
        ("/reports", json!({ "department": "law", "scope": "reports.read" }), None),
        ("/reports", json!({ "department": "finance", "barred": true }), None),
        ("/strange", json!({}), None),
    ];
    for (path, claims, expected) in cases {
        let outcome = gate.send(get(path).bearer(&user(claims.clone())));
        assert_eq!((outcome.status, outcome.response("www-authenticate")), (Some(403), expected), "{claims}");
    }
    // A signature has no scopes to ask for.
    let outcome = gate.send(get("/write").signed("order-service"));
    assert_eq!((outcome.status, outcome.response("www-authenticate")), (Some(403), None));
}

/// Numbers this long are one as floats, and tenants are numbered so.
#[test]
fn whole_numbers_in_claims_are_compared_exactly() {
    let mut gate = gate(
        "routes: [{ match: { path: /a }, allow: [{ claims: { tenant: 1234567890123456789 } }, { claims: { tenant: 7 } }] }]",
    );
    let cases = [
        (json!(1_234_567_890_123_456_789_u64), true),
        (json!(1_234_567_890_123_456_790_u64), false),
        (json!(1_234_567_890_123_456_789_f64), false),
        (json!(u64::MAX), false),
        (json!(7), true),
        (json!(7.0), true),
        (json!(7.5), false),
        (json!(-7), false),
    ];
    for (tenant, expected) in cases {
        let token = user(json!({ "tenant": tenant }));
        assert_eq!(may(&mut gate, get("/a").bearer(&token)), expected, "{tenant}");
    }
}

#[test]
fn a_principal_is_a_verified_service_and_no_token_that_says_so() {
    let mut gate = gate(
        "
routes:
  - { match: { path: /exact }, allow: [{ principals: ['service:order-service'] }] }
  - { match: { path: /prefix }, allow: [{ principals: ['service:order*'] }] }
  - { match: { path: /not }, deny: [{ principals: ['service:orders-*'] }] }",
    );
    for (path, order, admin) in [("/exact", true, false), ("/prefix", true, true), ("/not", true, false)] {
        assert_eq!(may(&mut gate, get(path).signed("order-service")), order, "{path}");
        assert_eq!(may(&mut gate, get(path).signed("orders-admin")), admin, "{path}");
    }
    for path in ["/exact", "/prefix"] {
        assert!(!may(&mut gate, get(path).bearer(&user(json!({ "user_id": "order-service" })))));
    }
}

#[test]
fn an_owner_is_the_decoded_path_parameter_exactly() {
    let mut gate = gate(
        "
routes:
  - match: { path: '/users/{id}/files/{name}' }
    allow: [{ owner: { path: id, claim: user_id } }, { roles: [admin] }]",
    );
    let token = user(json!({ "user_id": "7" }));
    for (path, expected) in [
        ("/users/7/files/a", true),
        ("/users/%37/files/a", true),
        ("/users/8/../7/files/a", true),
        ("/users/7/files/../../8/files/a", false),
        ("/users/8/files/7", false),
        ("/users/07/files/a", false),
        ("/users/7%20/files/a", false),
    ] {
        assert_eq!(may(&mut gate, get(path).bearer(&token)), expected, "{path}");
    }
    assert!(may(&mut gate, get("/users/8/files/a").bearer(&user(json!({ "roles": ["admin"] })))));
    assert!(may(&mut gate, get("/users/7/files/a").bearer(&user(json!({ "user_id": 7 })))));
    assert!(!may(&mut gate, get("/users/7/files/a").signed("order-service")));
}

#[test]
fn deny_comes_before_allow_except_for_whom_it_says() {
    let mut gate = gate(
        "
client_ip: { trusted_proxies: [10.0.0.1/32] }
routes:
  - match: { path: /admin }
    allow: [{ roles: [admin] }]
    deny:
      - { client_ip: [0.0.0.0/0, '::/0'], except: { client_ip: [10.0.0.0/8] } }
      - { roles: [admin], claims: { suspended: true }, except: { scopes: [emergency], client_ip: [10.9.0.0/16] } }",
    );
    let admin = user(json!({ "roles": ["admin"] }));
    assert!(may(&mut gate, get("/admin").bearer(&admin).from("10.1.2.3")));
    assert!(!may(&mut gate, get("/admin").bearer(&user(json!({}))).from("10.1.2.3")));
    let outside = gate.send(get("/admin").bearer(&admin));
    assert_eq!((outside.status, &outside.events[0]["details"]["rule"]), (Some(403), &json!("routes[0].deny[0]")));
    let claimed = get("/admin").bearer(&admin).header("x-forwarded-for", "10.1.1.1");
    assert!(!may(&mut gate, claimed), "a client's own word about its address");
    let vouched = get("/admin").bearer(&admin).header("x-forwarded-for", "203.0.113.7").from("10.0.0.1");
    assert!(!may(&mut gate, vouched), "a trusted proxy's word");
    let suspended = user(json!({ "roles": ["admin"], "suspended": true, "scope": "emergency" }));
    assert!(!may(&mut gate, get("/admin").bearer(&suspended).from("10.1.2.3")), "an exception holds as a whole");
    assert!(may(&mut gate, get("/admin").bearer(&suspended).from("10.9.2.3")));
}

#[test]
fn rules_of_the_defaults_hold_where_a_route_has_none_and_unmatched_decides_the_rest() {
    let rules = "
defaults: { authenticate: [jwt], allow: [{ roles: [admin] }] }
unmatched: allow
routes:
  - { match: { path: /open }, authenticate: none, allow: [{ client_ip: [203.0.113.0/24] }] }
  - { match: { path: /closed }, authenticate: none }";
    let mut gate = Gate::new(rules);
    assert!(may(&mut gate, get("/open")));
    assert!(!may(&mut gate, get("/closed")), "nobody has no role");
    assert_eq!(gate.status(get("/elsewhere")), Some(401));
    assert!(may(&mut gate, get("/elsewhere").bearer(&user(json!({ "roles": ["admin"] })))));
    assert_eq!(Gate::new("").send(get("/")).told(), ["ACCESS_DENIED no_route"]);
}

#[test]
fn every_refusal_names_the_rule_that_spoke() {
    let rules = "
defaults:
  authenticate: { optional: [jwt, service] }
  deny: [{ client_ip: [192.0.2.0/24] }]
  allow: [{ roles: [admin] }]
routes:
  - { match: { path: /inherits } }
  - match: { path: /denied }
    deny: [{ roles: [auditor] }, { claims: { suspended: true } }, { principals: ['service:orders-*'] }]
    allow: [{ client_ip: [0.0.0.0/0] }]
  - { match: { path: /roles }, deny: [], allow: [{ roles: [admin] }, { scopes: [write] }] }
  - { match: { path: '/users/{id}' }, allow: [{ owner: { path: id, claim: user_id } }] }
  - { match: { path: /services }, allow: [{ principals: ['service:order-service'] }] }
  - { match: { path: /networks }, allow: [{ client_ip: [10.0.0.0/8] }] }
  - { match: { path: '/mine/{id}' }, deny: [{ owner: { path: id, claim: user_id } }] }";
    let token = |claims: Value| user(claims);
    let cases = [
        (get("/inherits").from("192.0.2.1"), "defaults.deny[0]"),
        (get("/inherits"), "defaults.allow"),
        (get("/denied").bearer(&token(json!({ "roles": ["auditor"] }))), "routes[1].deny[0]"),
        (get("/denied").bearer(&token(json!({ "suspended": true }))), "routes[1].deny[1]"),
        (get("/denied").signed("orders-admin"), "routes[1].deny[2]"),
        (get("/denied").bearer(&token(json!({ "roles": ["auditor"], "suspended": true }))), "routes[1].deny[0]"),
        (get("/roles").bearer(&token(json!({ "roles": ["user"], "scope": "read" }))), "routes[2].allow"),
        (get("/users/8").bearer(&token(json!({}))), "routes[3].allow"),
        (get("/services").signed("orders-admin"), "routes[4].allow"),
        (get("/networks"), "routes[5].allow"),
        (get("/mine/7").bearer(&token(json!({ "roles": ["admin"] }))), "routes[6].deny[0]"),
        (get("/elsewhere"), "unmatched"),
    ];
    for (mode, status) in [("enforce", Some(403)), ("monitor", None)] {
        let mut gate = Gate::new(&format!("mode: {mode}{rules}"));
        for (request, rule) in cases.clone() {
            let outcome = gate.send(request);
            let (event, known) = (&outcome.events[0], if mode == "monitor" { json!("monitor") } else { Value::Null });
            assert_eq!(outcome.status, status, "{mode} {rule}");
            assert_eq!((&event["event_type"], &event["details"]["rule"]), (&json!("ACCESS_DENIED"), &json!(rule)));
            assert_eq!(event["details"]["mode"], known, "{mode} {rule}");
            assert!(!outcome.body.contains("routes") && !outcome.body.contains(rule), "the client is not told");
        }
    }
}
