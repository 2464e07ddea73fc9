//! Tokens and signatures: which count, which are refused, and what of them goes further.

use portcullis::jose::algorithm::Algorithm;
use serde_json::json;

use crate::gate::{Gate, Outcome, PARTNERS_KEY, Request, START, USERS_KEY, get, partner, plain, signed_with, user};

const ROUTES: &str = r#"
routes:
  - { match: { path: /users }, authenticate: [jwt.users] }
  - { match: { path: /both }, authenticate: [jwt.users, jwt.partners] }
  - { match: { path: /any }, authenticate: [jwt, service] }
  - { match: { path: /service-first }, authenticate: [service, jwt] }
  - { match: { path: /all }, authenticate: { all: [service, jwt.users] } }
  - { match: { path: /optional }, authenticate: { optional: [jwt] } }
  - { match: { path: /service }, authenticate: [service] }
  - { match: { path: /public }, authenticate: none }
"#;

fn reason(gate: &mut Gate, request: Request) -> String {
    let outcome = gate.send(request);
    assert_eq!(outcome.status, Some(401), "{:?}", outcome.events);
    gate.wait(60);
    outcome.events[0]["details"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_good_token_tells_the_upstream_who_calls_and_goes_no_further() {
    let token = user(json!({ "roles": ["admin", "editor"], "email": "a@example.com" }));
    let requests = [
        get("/users?a=1&b=2").bearer(&token),
        get("/users?a=1&b=2").header("authorization", format!("bEARER   {token}")),
        get("/users?a=1&b=2").header("cookie", format!("x=1; token={token}; y=2")),
        get(&format!("/users?a=1&token={token}&b=2")),
        get(&format!("/users?a=1&%74oken={token}&b=2")).bearer(&token).header("cookie", format!("token={token}")),
    ];
    for (at, request) in requests.into_iter().enumerate() {
        let outcome = Gate::new(ROUTES).send(request);
        assert_eq!(outcome.status, None, "{at} {:?}", outcome.events);
        assert_eq!(outcome.upstream("x-auth-subject"), Some("7"));
        assert_eq!(outcome.upstream("x-auth-roles"), Some("admin,editor"));
        assert_eq!(outcome.upstream("x-auth-method"), Some("jwt"));
        assert_eq!(outcome.upstream("x-user-email"), Some("a@example.com"));
        assert_eq!(outcome.upstream("x-jwt-payload"), token.split('.').nth(1));
        assert_eq!(outcome.upstream(":path"), Some("/users?a=1&b=2"));
        let signature = token.rsplit('.').next().unwrap();
        assert!(outcome.upstream.iter().all(|(_, value)| !value.contains(signature)), "{at} {:?}", outcome.upstream);
        assert_eq!(outcome.upstream("cookie"), (at == 2).then_some("x=1; y=2"));
    }
}

#[test]
fn a_token_goes_on_where_its_provider_says_so() {
    let mut gate = Gate::new(ROUTES);
    let token = partner(json!({}));
    let outcome = gate.send(get("/both").bearer(&token));
    assert_eq!(outcome.upstream("authorization"), Some(&*format!("Bearer {token}")));
    let refused = gate.send(get("/optional").bearer("x.y.z"));
    assert_eq!(refused.status, Some(401));
}

#[test]
fn a_token_that_a_route_does_not_look_at_goes_no_further() {
    for path in ["/public", "/service"] {
        for token in [user(json!({})), "x.y.z".to_owned()] {
            let request =
                get(&format!("{path}?a=1&token={token}")).bearer(&token).header("cookie", format!("token={token}"));
            let outcome = Gate::new(ROUTES).send(request);
            let passed_on = outcome.upstream.iter().find(|(_, value)| value.contains(&token));
            assert_eq!(passed_on, None, "{path}");
        }
    }
    let basic = Gate::new(ROUTES).send(get("/public").header("authorization", "Basic dTpw"));
    assert_eq!(basic.upstream("authorization"), Some("Basic dTpw"), "another scheme is the upstream's affair");
}

#[test]
fn says_why_a_token_is_refused() {
    let other_key = signed_with(
        Algorithm::Hs256,
        "another-key-0123456789abcdef0123456789",
        &json!({ "iss": "https://users.example.com" }),
    );
    let cases = [
        (get("/users"), "missing"),
        (get("/users").header("authorization", "Basic dTpw"), "missing"),
        (get("/users").bearer("x"), "malformed"),
        (get("/users").header("authorization", "Bearer"), "malformed"),
        (get("/users").bearer(&other_key), "bad_signature"),
        (get("/users").bearer(&user(json!({ "exp": START - 61 }))), "expired"),
        (get("/users").bearer(&user(json!({ "nbf": START + 5000 }))), "not_yet_valid"),
        (get("/users").bearer(&user(json!({ "user_id": "" }))), "no_subject"),
        (get("/users").bearer(&user(json!({ "iss": "https://elsewhere.example.com" }))), "unknown_issuer"),
        (get("/users").bearer(&partner(json!({}))), "unknown_issuer"),
        (get("/users").bearer(&plain(json!({}))), "unknown_issuer"),
        (get("/optional").bearer(&signed_with(Algorithm::Hs512, USERS_KEY, &json!({}))), "unsupported_algorithm"),
    ];
    let mut gate = Gate::new(ROUTES);
    for (request, expected) in cases {
        assert_eq!(reason(&mut gate, request), expected);
    }
    let missing = gate.send(get("/users"));
    assert_eq!(missing.response("www-authenticate"), Some("Bearer realm=\"user-service\""));
    let bad = gate.send(get("/users").bearer("x"));
    assert!(bad.response("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    assert_eq!(gate.send(get("/service")).response("www-authenticate"), Some("Signature realm=\"user-service\""));
}

#[test]
fn different_or_joined_tokens_are_ambiguous() {
    let (one, two) = (user(json!({ "user_id": 1 })), user(json!({ "user_id": 2 })));
    let mut gate = Gate::new(ROUTES);
    for path in ["/users", "/optional", "/any"] {
        for request in [
            get(path).bearer(&one).header("cookie", format!("token={two}")),
            get(&format!("{path}?token={two}")).bearer(&one),
            get(&format!("{path}?token={one}&token={two}")),
            get(path).header("cookie", format!("token={one}; token={two}")),
            get(path).header("cookie", format!("token={one},{two}")),
            get(&format!("{path}?token={one},{two}")),
            get(path).header("cookie", format!("token={one}")).header("cookie", format!("token={two}")),
            get(path).bearer(&format!("{one},Bearer {two}")),
            get(path).bearer(&format!("{one}, {one}")),
            get(path).bearer(&one).header("cookie", "token="),
            get(path).header("authorization", format!("Basic dTpw,Bearer {one}")),
            get(path).header("authorization", format!(",Bearer {one}")),
            get(path).bearer(&one).header("cookie", format!("{}token={two}", "a;".repeat(12_000))),
            get(path).bearer(&one).header("cookie", format!("a=1;\u{a0}token={two}")),
            get(path).bearer(&one).header("cookie", [b"a=1;\xa0token=".as_slice(), two.as_bytes()].concat()),
        ] {
            assert_eq!(reason(&mut gate, request), "ambiguous");
        }
    }
    assert_eq!(gate.status(get("/users").bearer(&one).header("authorization", format!("Bearer {one}"))), Some(400));
}

/// A service that trims or splits otherwise must not find a token where nobody looked.
#[test]
fn no_spelling_hides_a_token_from_being_stripped() {
    let token = "x.y.z";
    let routes = format!("{ROUTES}inspection: {{ mode: off }}\n");
    for path in ["/public", "/service", "/optional"] {
        for (name, value) in [
            ("authorization", format!("Bearer\u{a0}{token}")),
            ("authorization", format!("\u{a0}Bearer {token}")),
            ("authorization", format!("Basic dTpw,Bearer {token}")),
            ("authorization", format!(",\u{2003}bearer {token}")),
            ("authorization", format!("Basic dTpw Bearer {token}")),
            ("authorization", format!("xbearer\t{token}")),
            ("cookie", format!("a=1;\u{a0}token={token}")),
            ("cookie", format!("a=1; token\u{85}={token}")),
            ("cookie", format!("{}token={token}", "a;".repeat(12_000))),
        ] {
            let outcome = Gate::new(&routes).send(get(path).header(name, value.clone()));
            assert!(outcome.upstream.iter().all(|(_, value)| !value.contains(token)), "{path} {value:?}");
            assert_eq!(outcome.status.is_none(), path == "/public", "{path} {value:?}");
        }
    }
    let far = Gate::new(&routes).send(get(&format!("/public?{}token={token}&b", "a&".repeat(12_000))));
    assert!(far.upstream(":path").unwrap().ends_with("a&b"));
}

/// Recipients that split at white space see a token where a reader of one space sees none.
#[test]
fn a_scheme_ends_at_any_white_space() {
    let mut gate = Gate::new(ROUTES);
    assert_eq!(reason(&mut gate, get("/optional").header("authorization", "Bearer\tforged")), "malformed");
    assert_eq!(reason(&mut gate, get("/optional").header("authorization", "bearer")), "malformed");
    assert_eq!(gate.status(get("/optional").header("authorization", "Bearerx y")), None);
}

#[test]
fn optional_takes_nobody_for_anonymous_and_refuses_bad_credentials() {
    let mut gate = Gate::new(ROUTES);
    let anonymous = gate.send(get("/optional").header("x-auth-subject", "root"));
    assert_eq!((anonymous.status, anonymous.upstream("x-auth-subject")), (None, None));
    assert_eq!(gate.send(get("/optional").bearer(&plain(json!({})))).upstream("x-auth-subject"), Some("7"));
    assert_eq!(gate.status(get("/optional").bearer(&user(json!({ "exp": START - 100 })))), Some(401));
}

#[test]
fn any_takes_the_provider_that_the_issuer_names_among_those_of_the_route() {
    let mut gate = Gate::new(ROUTES);
    for token in [user(json!({})), partner(json!({}))] {
        assert_eq!(gate.status(get("/both").bearer(&token)), None);
        assert_eq!(gate.status(get("/both").bearer(&token)), None, "from the cache as well");
    }
    assert_eq!(reason(&mut gate, get("/both").bearer(&plain(json!({})))), "unknown_issuer");
    assert_eq!(gate.status(get("/any").bearer(&plain(json!({})))), None);
    assert_eq!(reason(&mut gate, get("/both").bearer(&plain(json!({})))), "unknown_issuer", "cached for /any only");
}

#[test]
fn all_needs_every_method_and_the_first_names_the_caller() {
    let mut gate = Gate::new(ROUTES);
    let token = user(json!({}));
    assert_eq!(reason(&mut gate, get("/all").bearer(&token)), "missing");
    gate.now = portcullis::time::Timestamp::from_unix_seconds(START);
    assert_eq!(gate.send(get("/all").signed("order-service")).told(), ["AUTH_FAILURE missing"]);
    assert_eq!(gate.status(get("/all").signed("order-service").bearer("x")), Some(401));
    let outcome = gate.send(get("/all").signed("order-service").bearer(&token));
    assert_eq!((outcome.status, outcome.upstream("x-auth-subject")), (None, Some("order-service")));
    assert_eq!(outcome.upstream("authorization"), None);
}

#[test]
fn a_token_that_nobody_looked_at_does_not_go_on_beside_a_verified_caller() {
    let mut gate = Gate::new(ROUTES);
    let request = get("/service-first?token=forged").signed("order-service").header("cookie", "token=forged; a=b");
    let outcome = gate.send(request);
    assert_eq!((outcome.status, outcome.upstream("x-auth-method")), (None, Some("service")));
    assert_eq!((outcome.upstream(":path"), outcome.upstream("cookie")), (Some("/service-first"), Some("a=b")));
}

#[test]
fn a_signature_is_verified_and_goes_no_further() {
    let mut gate = Gate::new(ROUTES);
    for path in ["/service", "/any"] {
        let outcome = gate.send(get(path).signed("order-service"));
        assert_eq!((outcome.status, outcome.upstream("x-auth-subject")), (None, Some("order-service")));
        assert_eq!(outcome.upstream("x-auth-roles"), Some(""));
        for header in ["x-service-token", "x-service-name", "x-timestamp", "x-signature"] {
            assert_eq!(outcome.upstream(header), None, "{header}");
        }
    }
    assert_eq!(gate.send(get("/public").signed("order-service")).upstream("x-service-token"), None);
    assert_eq!(gate.send(get("/service").signed("stranger")).told(), ["AUTH_FAILURE unknown_service"]);
    assert_eq!(
        gate.send(get("/any").signed("stranger").bearer(&user(json!({})))).status,
        None,
        "the token comes first"
    );
    gate.wait(301);
    assert_eq!(gate.send(get("/service").signed("order-service")).told(), ["AUTH_FAILURE timestamp_too_old"]);
}

#[test]
fn identity_headers_of_the_client_are_stripped_in_every_spelling_on_every_route() {
    let spoofed = [
        "x-auth-subject",
        "X-Auth-Subject",
        "x_auth_subject",
        "x-auth_roles",
        "X-AUTH-METHOD",
        "x-auth-peer",
        "x.auth.roles",
        "x-user-email",
        "X_User_Email",
        "x-jwt-payload",
        "x-client-cert",
        "x_forwarded_client_cert",
        "x-service_token",
    ];
    let mut gate = Gate::new(ROUTES);
    let token = user(json!({}));
    for path in ["/public", "/users", "/optional"] {
        let request = spoofed.iter().fold(get(path), |request, name| request.header(name, "root"));
        let request = if path == "/users" { request.bearer(&token) } else { request };
        let outcome = gate.send(request);
        assert_eq!(outcome.status, None);
        assert!(outcome.upstream.iter().all(|(_, value)| value != "root"), "{path} {:?}", outcome.upstream);
    }
}

/// Recipients that take `_` for `-` would find in it another address, length or tenant than the one that was decided on.
#[test]
fn what_was_decided_by_a_header_is_said_to_the_upstream_in_no_other_spelling() {
    let mut gate = Gate::new(
        "limits: { t: { key: [{ header: x-tenant }], rate: 9/h } }\n\
         routes: [{ match: { path: /a, headers: { x-beta: '1' } }, authenticate: none, limits: [t] }]",
    );
    let right = [
        ("x-beta", "1"),
        ("x-tenant", "a"),
        ("content-length", "0"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "192.0.2.7"),
    ];
    let request = right.into_iter().fold(get("/a"), |request, (name, value)| request.header(name, value));
    let request = right.into_iter().fold(request, |request, (name, _)| {
        [name.replace('-', "_"), name.replace('-', ".").to_uppercase()]
            .iter()
            .fold(request, |request, name| request.header(name, "other"))
    });
    let outcome = gate.send(request.header("x_harmless", "1"));
    assert_eq!(outcome.status, None);
    assert!(outcome.upstream.iter().all(|(_, value)| value != "other"), "{:?}", outcome.upstream);
    let kept = right.into_iter().chain([("x_harmless", "1")]);
    for (name, value) in kept {
        assert_eq!(outcome.upstream(name), Some(value), "{name}");
    }
}

#[test]
fn no_client_names_another_path_or_client_than_the_one_that_was_decided_on() {
    let mut gate = Gate::new("routes: [{ match: { path: '/public/**' }, authenticate: none }]");
    for name in [
        "script_name",
        "Script-Name",
        "PATH_INFO",
        "x-script-name",
        "X-Original-URL",
        "x_forwarded_prefix",
        "X-Real-IP",
        "client_ip",
        "true-client-ip",
    ] {
        let outcome = gate.send(get("/public/admin").header(name, "/public"));
        assert_eq!((outcome.status, outcome.upstream(name)), (None, None), "{name}");
    }
    assert_eq!(gate.send(get("/public/a").header("proxy", "http://evil.example")).upstream("proxy"), None);
}

#[test]
fn a_claim_goes_on_as_a_header_where_it_is_a_text_a_number_or_a_truth_value() {
    for (email, expected) in [
        (json!("a"), Some("a")),
        (json!(7), Some("7")),
        (json!(-1.5), Some("-1.5")),
        (json!(true), Some("true")),
        (json!(null), None),
        (json!(["a"]), None),
        (json!({ "a": 1 }), None),
    ] {
        let outcome = Gate::new(ROUTES).send(get("/users").bearer(&user(json!({ "email": email }))));
        assert_eq!((outcome.status, outcome.upstream("x-user-email")), (None, expected), "{email}");
    }
}

#[test]
fn a_claim_that_a_header_would_change_or_split_is_refused() {
    let mut gate = Gate::new(ROUTES);
    for changes in [
        json!({ "user_id": "a\r\nx-auth-roles: admin" }),
        json!({ "user_id": "1,2" }),
        json!({ "user_id": " 7" }),
        json!({ "user_id": "7 " }),
        json!({ "user_id": "7\u{0}" }),
        json!({ "roles": ["user,admin"] }),
        json!({ "roles": ["user;admin"] }),
        json!({ "roles": ["admin "] }),
        json!({ "email": "a@b\n" }),
        json!({ "email": "a@b, c@d" }),
    ] {
        assert_eq!(reason(&mut gate, get("/users").bearer(&user(changes.clone()))), "malformed", "{changes}");
    }
    for (email, expected) in
        [(json!(true), Some("true")), (json!(5), Some("5")), (json!(["a"]), None), (json!({}), None)]
    {
        let outcome = gate.send(get("/users").bearer(&user(json!({ "email": email }))).header("x-user-email", "root"));
        assert_eq!(outcome.upstream("x-user-email"), expected, "{email}");
    }
}

#[test]
fn bad_credentials_exhaust_the_budget_of_their_address_and_cached_tokens_are_unaffected() {
    let mut gate = Gate::new(ROUTES);
    let (known, fresh) = (user(json!({ "user_id": 1 })), user(json!({ "user_id": 2 })));
    assert_eq!(gate.status(get("/users").bearer(&known)), None);
    for _ in 0..5 {
        assert_eq!(gate.status(get("/users").bearer("x")), Some(401));
    }
    let stopped = gate.send(get("/users").bearer(&fresh));
    assert_eq!((stopped.status, stopped.told()), (Some(429), vec!["RATE_LIMITED unverified_credentials".into()]));
    assert!(stopped.response("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(gate.status(get("/service").signed("order-service")), Some(429));
    assert_eq!(gate.status(get("/users").bearer(&known)), None);
    assert_eq!(gate.status(get("/public")), None);
    assert_eq!(gate.status(get("/users").bearer(&fresh).from("198.51.100.9")), None);
    gate.wait(62);
    assert_eq!(gate.status(get("/users").bearer(&fresh)), None);
}

#[test]
fn a_spent_budget_is_known_without_the_counters_for_a_moment() {
    let mut gate = Gate::new(ROUTES);
    for _ in 0..5 {
        gate.send(get("/users").bearer("x"));
    }
    let wait = |stopped: Outcome| stopped.response("retry-after").unwrap().parse::<u64>().unwrap();
    let first = wait(gate.send(get("/users").bearer("x")));
    gate.host.without_store = true;
    gate.now = gate.now.after(std::time::Duration::from_millis(999));
    assert!((first - 1..=first).contains(&wait(gate.send(get("/users").bearer("x")))));
    assert_eq!(gate.status(get("/users").bearer("x").from("198.51.100.9")), Some(503));
    gate.now = gate.now.after(std::time::Duration::from_millis(1));
    assert_eq!(gate.status(get("/users").bearer("x")), Some(503), "another worker may have given something back");
    gate.host.without_store = false;
    gate.wait(first - 1);
    assert_eq!(gate.status(get("/users").bearer("x")), Some(401));
}

#[test]
fn good_and_missing_credentials_cost_no_budget() {
    let mut gate = Gate::new(ROUTES);
    for id in 0..10 {
        assert_eq!(gate.status(get("/users").bearer(&user(json!({ "user_id": id })))), None);
        assert_eq!(gate.status(get("/users")), Some(401));
    }
}

#[test]
fn a_cached_token_expires_to_the_second() {
    let mut gate = Gate::new(ROUTES);
    let token = user(json!({ "exp": START + 10 }));
    assert_eq!(gate.status(get("/users").bearer(&token)), None);
    gate.wait(69);
    assert_eq!(gate.status(get("/users").bearer(&token)), None);
    gate.wait(1);
    assert_eq!(reason(&mut gate, get("/users").bearer(&token)), "expired");
}

#[test]
fn a_token_counts_only_where_its_provider_looks_for_it() {
    let mut gate = Gate::new(ROUTES);
    let token = partner(json!({}));
    assert_eq!(gate.status(get("/both").bearer(&token)), None);
    assert_eq!(reason(&mut gate, get("/both").header("cookie", format!("token={token}"))), "unknown_issuer");
    let unknown = signed_with(
        Algorithm::Hs256,
        PARTNERS_KEY,
        &json!({ "iss": "https://users.example.com", "user_id": 1, "exp": START + 9 }),
    );
    assert_eq!(reason(&mut gate, get("/both").bearer(&unknown)), "bad_signature");
}
