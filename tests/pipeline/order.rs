//! Which step speaks first, and what every answer carries.

use serde_json::json;

use crate::gate::{Gate, Request, errors, get, post, told, user};

const BROWSER: &str = r#"
headers:
  security: strict
  cors: { origins: ["https://app.example.com"], methods: [PUT], headers: [authorization], credentials: allow, max_age: 60s }
limits: { few: { key: [client_ip], rate: 2/m } }
routes:
  - match: { path: /public, methods: [GET] }
    authenticate: none
  - match: { path: "/users/{id}", methods: [GET, PUT] }
    authenticate: [jwt.users]
    allow: [{ roles: [admin] }]
    limits: [few]
"#;

fn preflight(path: &str, method: &str) -> Request {
    let request = Request::new("OPTIONS", path).header("origin", "https://app.example.com");
    request.header("access-control-request-method", method)
}

#[test]
fn neither_unauthenticated_nor_forbidden_requests_are_charged() {
    let mut gate = Gate::new(BROWSER);
    let admin = user(json!({ "roles": ["admin"] }));
    let other = user(json!({ "roles": ["user"] }));
    for _ in 0..4 {
        assert_eq!(gate.status(get("/users/1")), Some(401));
        assert_eq!(gate.status(get("/users/1").bearer(&other)), Some(403));
        // The limit is not asked by what is forbidden, nor the body or the head inspected.
        assert_eq!(gate.status(get("/users/1?q=%3Cscript%3Ealert(1)%3C/script%3E").bearer(&other)), Some(403));
    }
    let statuses = [(); 3].map(|()| gate.status(get("/users/1").bearer(&admin)));
    assert_eq!(statuses, [None, None, Some(429)]);
    let flood = gate.send(get("/users/1?q=%3Cscript%3Ealert(1)%3C/script%3E").bearer(&admin));
    assert_eq!(flood.told(), ["RATE_LIMITED rate_limit"]);
}

#[test]
fn a_preflight_is_answered_before_anyone_is_asked_who_they_are() {
    let mut gate = Gate::new(BROWSER);
    let answer = gate.send(preflight("/users/1", "PUT"));
    assert_eq!(answer.status, Some(204));
    assert_eq!(answer.response("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(answer.response("access-control-allow-methods"), Some("PUT"));
    assert_eq!(answer.response("access-control-allow-headers"), Some("authorization"));
    assert_eq!(answer.response("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.response("access-control-max-age"), Some("60"));
    assert_eq!(answer.response("vary"), Some("Origin"));
    assert!(answer.events.is_empty());
}

#[test]
fn a_preflight_from_elsewhere_is_answered_without_permission() {
    let mut gate = Gate::new(BROWSER);
    let stranger = Request::new("OPTIONS", "/users/1").header("origin", "https://app.example.com.evil.example");
    let answer = gate.send(stranger.header("access-control-request-method", "PUT"));
    assert_eq!((answer.status, answer.response("access-control-allow-origin")), (Some(204), None));
    assert_eq!(answer.response("access-control-allow-methods"), None);
}

#[test]
fn options_that_is_no_preflight_is_a_request_like_any_other() {
    let mut gate = Gate::new(BROWSER);
    let asked = Request::new("OPTIONS", "/users/1").header("access-control-request-method", "GET");
    assert_eq!(gate.send(asked).told(), ["ACCESS_DENIED no_route"]);
    assert_eq!(gate.status(Request::new("OPTIONS", "/public").header("origin", "https://app.example.com")), Some(403));
}

/// Without CORS nobody answers a preflight, so it must not borrow the route of another method.
#[test]
fn a_preflight_reaches_no_upstream_by_the_route_of_another_method() {
    let mut gate = Gate::new("routes: [{ match: { path: /a, methods: [GET] }, authenticate: none }]");
    assert_eq!(gate.send(preflight("/a", "GET")).told(), ["ACCESS_DENIED no_route"]);
}

#[test]
fn a_route_with_its_own_cors_answers_preflights_for_its_methods() {
    let mut gate =
        Gate::new("routes: [{ match: { path: /a, methods: [PUT] }, cors: { origins: ['https://app.example.com'] } }]");
    assert_eq!(gate.status(preflight("/a", "PUT")), Some(204));
    assert_eq!(gate.status(preflight("/a", "DELETE")), Some(403));
}

#[test]
fn every_denial_can_be_read_by_the_page_and_carries_the_security_headers() {
    let mut gate = Gate::new(BROWSER);
    let admin = user(json!({ "roles": ["admin"] }));
    let attack = "/users/1?q=%3Cscript%3Ealert(1)%3C/script%3E";
    let requests = [
        (get("/users/1"), 401),
        (get("/users/1").bearer(&user(json!({}))), 403),
        (get(attack).bearer(&admin), 403),
        (get("/users/1").bearer(&admin), 200),
        (get("/users/1").bearer(&admin), 429),
        (get("/nowhere"), 403),
    ];
    for (request, expected) in requests {
        let outcome = gate.send(request.header("origin", "https://app.example.com"));
        assert_eq!(outcome.status.unwrap_or(200), expected);
        assert_eq!(outcome.response("access-control-allow-origin"), Some("https://app.example.com"), "{expected}");
        assert_eq!(outcome.response("x-content-type-options"), Some("nosniff"), "{expected}");
        assert_eq!(outcome.response("x-frame-options"), Some("DENY"), "{expected}");
        assert!(outcome.response("strict-transport-security").is_some(), "{expected}");
    }
}

#[test]
fn no_client_names_another_host_or_method_and_a_trusted_proxy_may_name_the_host_its_client_asked() {
    let sections =
        "client_ip: { trusted_proxies: [10.0.0.0/8] }\nroutes: [{ match: { path: /a }, authenticate: none }]";
    let mut gate = Gate::new(sections);
    let hosts = ["forwarded", "x-forwarded-host", "x-forwarded-prefix", "x-host", "x-original-host", "x-real-ip"];
    for name in hosts.into_iter().chain(["x-forwarded-method", "x-original-method"]) {
        let of_client = gate.send(get("/a").header(name, "admin.example.com"));
        assert_eq!((of_client.status, of_client.upstream(name)), (None, None), "{name}");
        let of_proxy = gate.send(get("/a").header(name, "admin.example.com").from("10.0.0.1"));
        let passes = hosts.contains(&name).then_some("admin.example.com");
        assert_eq!((of_proxy.status, of_proxy.upstream(name)), (None, passes), "{name}");
        let spelling = name.replace('-', "_");
        if spelling != name {
            let other = gate.send(get("/a").header(&spelling, "admin.example.com").from("10.0.0.1"));
            assert_eq!(other.upstream(&spelling), None, "{spelling}");
        }
    }
}

/// What reads the host behind the rules, Envoy's virtual hosts first of all, compares it as it is written.
#[test]
fn the_upstream_gets_the_host_that_the_rules_saw() {
    let mut gate = Gate::new("routes: [{ match: { hosts: [public.example.com, '[::1]'] }, authenticate: none }]");
    for (sent, received) in [
        ("public.example.com", "public.example.com"),
        ("public.example.com:8443", "public.example.com:8443"),
        ("Public.Example.com", "public.example.com"),
        ("public.example.com.", "public.example.com"),
        ("public.example.com.:0080", "public.example.com:80"),
        ("[::1]", "[::1]"),
        ("[0::0.0.0.1]:81", "[::1]:81"),
    ] {
        let outcome = gate.send(get("/a").pseudo(":authority", sent));
        assert_eq!((outcome.status, outcome.upstream(":authority")), (None, Some(received)), "{sent}");
    }
    let both = gate.send(get("/a").pseudo(":authority", "public.example.com").header("host", "public.example.com."));
    assert_eq!(both.upstream("host"), Some("public.example.com"));
}

#[test]
fn plain_http_is_sent_to_https_before_anything_is_asked() {
    let mut gate =
        Gate::new("headers: { https_redirect: true }\nroutes: [{ match: { path: '/a/**' }, authenticate: [jwt] }]");
    let redirect = gate.send(get("/a//b/../c?x=1").pseudo(":scheme", "http"));
    assert_eq!((redirect.status, redirect.response("location")), (Some(308), Some("https://api.example.com/a/c?x=1")));
    assert_eq!(redirect.response("strict-transport-security"), None, "RFC 6797 section 7.2");
    assert!(redirect.events.is_empty());
    for scheme in ["http", "HTTP", "", "https,http", "ftp"] {
        assert_eq!(gate.status(get("/a").header("x-forwarded-proto", scheme)), Some(308), "{scheme}");
    }
    assert_eq!(gate.status(get("/a")), Some(401));
    let repeated = get("/a").header("x-forwarded-proto", "https").header("x-forwarded-proto", "http");
    assert_eq!(gate.status(repeated), Some(400));
}

#[test]
fn a_denial_is_a_problem_document_that_says_no_more_than_a_client_may_know() {
    let mut gate = Gate::new(BROWSER);
    let admin = user(json!({}));
    let outcome = gate.send(get("/users/1").bearer(&admin).header("x-request-id", "r-1"));
    let problem: serde_json::Value = serde_json::from_str(&outcome.body).unwrap();
    let expected = json!({ "title": "Forbidden", "status": 403, "detail": "You may not do this", "request_id": "r-1" });
    assert_eq!(problem, expected);
    assert_eq!(outcome.response("content-type"), Some("application/problem+json"));
    assert_eq!(outcome.events[0]["details"]["rule"], "routes[1].allow");
}

#[test]
fn an_event_says_who_what_where_and_nothing_of_the_query() {
    let mut gate = Gate::new(BROWSER);
    let token = user(json!({}));
    let outcome =
        gate.send(get("/users/%31/?a=s3cret").bearer(&token).header("user-agent", "c\"\n").header("x-request-id", "r"));
    let event = &outcome.events[0];
    assert_eq!(event["service"], "user-service");
    assert_eq!(event["timestamp"], 1_800_000_000.0);
    let expected = json!({
        "path": "/users/1/", "method": "GET", "ip_address": "203.0.113.7", "user_agent": "c\"\n", "user": "7",
        "request_id": "r", "reason": "forbidden", "rule": "routes[1].allow", "status": 403,
    });
    assert_eq!(event["details"], expected);
    assert_eq!(gate.count("security_events_total~event_type=ACCESS_DENIED"), 1);
    assert_eq!(gate.count("blocked_requests_total~reason=forbidden"), 1);
}

#[test]
fn no_event_tells_a_parameter_of_the_path() {
    for allowed in ["", "paths: { parameters: allow }\n"] {
        let mut gate = Gate::new(&format!(
            "{allowed}mode: monitor\nroutes: [{{ match: {{ path: '/**' }}, authenticate: [jwt] }}]"
        ));
        for path in [
            "/a;jsessionid=s3cret/b;access_token=s3cret",
            "/a%3Bjsessionid=s3cret/b;x",
            "/a%253bjsessionid=s3cret/b?s3cret",
            "/a;..s3cret/b#s3cret",
        ] {
            let events = gate.send(get(path)).events;
            assert!(!events.is_empty() && events.iter().all(|event| event["details"]["path"] == "/a/b"), "{events:?}");
        }
        let events = gate.send(get("/a%3Ftoken=s3cret")).events;
        assert!(!events.is_empty() && events.iter().all(|event| event["details"]["path"] == "/a"), "{events:?}");
    }
}

#[test]
fn a_flood_of_events_is_cut_by_the_operators_rate_and_counted_whole() {
    let mut gate = Gate::new("events: { sample: 2/m }\nroutes: [{ match: { path: /a }, authenticate: [jwt] }]");
    let printed: usize = (0..5).map(|_| gate.send(get("/a")).events.len()).sum();
    gate.wait(30);
    assert_eq!((printed, gate.send(get("/a")).events.len()), (2, 0));
    gate.wait(60);
    assert_eq!(gate.send(get("/a")).events[0]["details"]["left_out"], 4);
    assert_eq!(gate.count("auth_failures_total~reason=missing"), 7);
}

#[test]
fn what_the_upstream_refuses_is_counted_and_its_401_is_told() {
    let mut gate = Gate::new("routes: [{ match: { path: /a }, authenticate: none }]");
    for (status, expected) in
        [(401, &["AUTH_FAILURE upstream_401"][..]), (403, &[]), (429, &[]), (200, &[]), (500, &[])]
    {
        let mut outcome = gate.send(get("/a"));
        let events = told(&gate.finish(&mut outcome, status));
        assert_eq!(events.len(), expected.len(), "{status} {events:?}");
    }
    for reason in ["invalid_credentials", "forbidden", "rate_limit"] {
        assert_eq!(gate.count(&format!("blocked_requests_total~reason={reason}")), 1, "{reason}");
    }
}

#[test]
fn use_of_a_sensitive_path_is_told_with_its_outcome_refused_or_not() {
    let mut gate = Gate::new(
        "events: { sensitive_paths: ['/admin/**'] }\nroutes: [{ match: { path: '/**' }, authenticate: { optional: [jwt] } }]",
    );
    let mut outcome = gate.send(get("/x/../admin/%75sers?a=b").bearer(&user(json!({}))));
    gate.wait(2);
    let events = gate.finish(&mut outcome, 200);
    let details = &events[0]["details"];
    assert_eq!(events[0]["event_type"], "SENSITIVE_ACCESS");
    assert_eq!(
        (&details["path"], &details["status"], &details["user"]),
        (&json!("/admin/users"), &json!(200), &json!("7"))
    );
    assert_eq!(details["response_time"], 2.0);
    let mut refused = gate.send(get("/admin").bearer("x"));
    assert_eq!(gate.finish(&mut refused, 401)[0]["details"]["status"], 401);
    let mut other = gate.send(get("/administrator"));
    assert!(gate.finish(&mut other, 200).is_empty());
}

#[test]
fn every_event_tells_the_address_also_where_nothing_decides_by_it() {
    let mut gate =
        Gate::new("events: { sensitive_paths: ['/s/**'] }\nroutes: [{ match: { path: '/**' }, authenticate: none }]");
    let from = |path: &str| get(path).from("198.51.100.9");
    let mut events: Vec<_> = ["/a/%00", "/a?q=1'%20OR%20'1'='1"].map(|path| gate.send(from(path)).events).concat();
    for (path, status) in [("/s/a", 200), ("/a", 401)] {
        let mut outcome = gate.send(from(path));
        events.append(&mut gate.finish(&mut outcome, status));
    }
    let kinds = ["SUSPICIOUS_REQUEST", "SUSPICIOUS_REQUEST", "SENSITIVE_ACCESS", "AUTH_FAILURE"];
    assert_eq!(events.iter().map(|event| &event["event_type"]).collect::<Vec<_>>(), kinds);
    assert!(events.iter().all(|event| event["details"]["ip_address"] == "198.51.100.9"), "{events:?}");
}

#[test]
fn nothing_that_arrives_unasked_lets_a_request_go_on() {
    let mut gate = Gate::new("routes: [{ match: { path: /a }, authenticate: none }]");
    for request in [
        get("/nowhere"),
        get("/a/%00"),
        get("/a"),
        post("/a").body("application/json", "{\"a\":\"<script>alert(1)</script>\"}"),
    ] {
        let mut outcome = gate.send(request);
        assert!(
            matches!(gate.resume(&mut outcome, b"{}"), portcullis::pipeline::Next::Reply(reply) if reply.status == 503)
        );
    }
}

#[test]
fn tricks_with_the_path_lead_to_the_rule_or_to_nothing() {
    let mut gate = Gate::new(
        "
routes:
  - { match: { path: '/admin/**' }, authenticate: [jwt.users], allow: [{ roles: [admin] }] }
  - { match: { path: '/**' }, authenticate: none }",
    );
    for path in [
        "/admin",
        "/admin/",
        "//admin/x",
        "/./admin",
        "/a/../admin",
        "/%61dmin",
        "/a/%2e%2e/admin/x",
        "/admin/.",
        "/admin?x=/../a",
    ] {
        assert_eq!(gate.status(get(path)), Some(401), "{path}");
    }
    for path in [
        "/a%2f..%2fadmin",
        "/a/..;/admin",
        "/admin;x",
        "/a\\..\\admin",
        "/%2561dmin",
        "/admin%00",
        "/../admin",
        "http://a/admin",
        "/%c0%afadmin",
        "/admin#x",
    ] {
        let outcome = gate.send(get(path));
        assert_eq!(outcome.status, Some(400), "{path}");
        assert_eq!(outcome.events[0]["event_type"], "SUSPICIOUS_REQUEST", "{path}");
    }
    for header in ["x-original-url", "X-Rewrite-URL", "x_http_method_override", "x-http-method", "x-method-override"] {
        assert_eq!(
            gate.send(get("/a").header(header, "/admin")).upstream(&header.to_ascii_lowercase()),
            None,
            "{header}"
        );
    }
    assert_eq!(gate.send(get("/a/./b//c?q=/../x")).upstream(":path"), Some("/a/b/c?q=/../x"));
}

#[test]
fn a_head_that_two_recipients_would_read_differently_is_refused() {
    let mut gate = Gate::new("routes: [{ match: { path: /a }, authenticate: none }]");
    for name in ["authorization", "content-type", "content-length", "origin", "host"] {
        assert_eq!(gate.status(get("/a").header(name, "a").header(name, "a")), Some(400), "{name}");
    }
    assert_eq!(gate.status(get("/a").header("host", "other.example.com")), Some(400));
}

#[test]
fn a_header_that_the_next_reader_would_trim_is_refused() {
    let mut gate = Gate::new("routes: [{ match: { path: /a }, authenticate: none }]");
    for value in [" Bearer x", "\tBearer x", "Bearer x ", "Bearer x\t", " "] {
        for name in ["authorization", "cookie", "x-api-key", "x-anything"] {
            let outcome = gate.send(get("/a").header(name, value));
            assert_eq!(
                (outcome.status, outcome.told()),
                (Some(400), vec!["SUSPICIOUS_REQUEST header_padded".to_owned()])
            );
        }
    }
    assert_eq!(gate.status(get("/a").header("x-anything", "a b\tc").header("x-empty", "")), None);
}

#[test]
fn a_method_has_one_case() {
    let mut gate = Gate::new(
        "routes:\n  - { match: { path: '/a', methods: [DELETE] }, authenticate: [jwt] }\n  - { match: { path: '/**' }, authenticate: none }",
    );
    assert_eq!(gate.status(Request::new("DELETE", "/a")), Some(401));
    for method in ["delete", "Delete", "dELETE", "get"] {
        let outcome = gate.send(Request::new(method, "/a"));
        assert_eq!(
            (outcome.status, outcome.told()),
            (Some(400), vec!["SUSPICIOUS_REQUEST method_malformed".to_owned()])
        );
    }
    assert_eq!(gate.status(Request::new("M-SEARCH", "/b")), None);
}

#[test]
fn a_service_that_reads_paths_in_any_case_is_protected_in_any() {
    const ROUTES: &str = "routes:\n  - { match: { path: '/api/admin/**' }, authenticate: [jwt] }\n  - { match: { path: '/**' }, authenticate: none }";
    for (sections, status) in [("", None), ("paths: { case: ignore }\n", Some(401))] {
        let mut gate = Gate::new(&format!("{sections}{ROUTES}"));
        assert_eq!(gate.status(get("/api/admin/x")), Some(401));
        for path in ["/API/admin/x", "/api/ADMIN/x", "/api/%41dmin"] {
            assert_eq!(gate.status(get(path)), status, "{path}");
        }
        let outcome = gate.send(get("/Files/Report.PDF"));
        assert_eq!(outcome.upstream(":path"), Some("/Files/Report.PDF"));
    }
}

#[test]
fn a_header_that_routes_are_told_apart_by_comes_once() {
    let mut gate = Gate::new(
        "routes:\n  - { match: { path: /a, headers: { x-beta: '1' } }, authenticate: [jwt] }\n  - { match: { path: /a }, authenticate: none }",
    );
    assert_eq!(gate.status(get("/a").header("x-beta", "1")), Some(401));
    assert_eq!(gate.status(get("/a").header("x-other", "1").header("x-other", "1")), None);
    for second in ["1", "2"] {
        let outcome = gate.send(get("/a").header("x-beta", "1").header("x-beta", second));
        assert_eq!(
            (outcome.status, outcome.told()),
            (Some(400), vec!["SUSPICIOUS_REQUEST header_repeated".to_owned()])
        );
    }
}

#[test]
fn no_client_has_the_next_hop_drop_what_the_proxy_says() {
    let mut gate = Gate::new(
        "routes:\n  - { match: { path: /a, headers: { x-beta: '1' } }, authenticate: none }\n  - { match: { path: /a }, authenticate: none }",
    );
    for names in [
        "x-auth-subject",
        "Upgrade, X-Auth-Roles",
        "close,x_auth_method",
        "upgrade,\tx-auth-peer ",
        "Upgrade, X-Forwarded-For",
        "upgrade,x_real_ip",
        "upgrade, cookie",
        "upgrade, x-beta",
    ] {
        let outcome = gate.send(get("/a").header("connection", names.trim()));
        assert_eq!(
            (outcome.status, outcome.told()),
            (Some(400), vec!["SUSPICIOUS_REQUEST header_nominated".to_owned()])
        );
    }
    assert_eq!(gate.status(get("/a").header("connection", "keep-alive, Upgrade, HTTP2-Settings, TE")), None);
}

#[test]
fn nothing_is_decided_by_a_header_that_is_stripped() {
    let refused = |what: &str| errors(&format!("limits: {{ a: {{ key: [client_ip], rate: 1/h }}, {what} }}"));
    let why = "is stripped from every request: what a client says in it counts nowhere";
    assert_eq!(
        refused("b: { key: [client_ip, { header: x-auth-subject }], rate: 1/h }"),
        [format!("limits.b.key[1]: x-auth-subject {why}")]
    );
    assert_eq!(
        refused("b: { key: [subject], anonymous: { key: [{ header: x_auth_roles }], rate: 1/h }, rate: 1/h }"),
        [format!("limits.b.anonymous.key[0]: x_auth_roles {why}")]
    );
    assert_eq!(
        errors(
            "routes: [{ match: { path: /a }, authenticate: none }, { match: { path: /b, headers: { x-original-url: /c } }, authenticate: none }]"
        ),
        [format!("routes[1].match.headers: x-original-url {why}")]
    );
    assert!(refused("b: { key: [{ header: x-tenant }], rate: 1/h }").is_empty());
}

#[test]
fn nobody_is_sent_on_to_a_host_that_nothing_is_served_for() {
    let mut gate = Gate::new(
        "headers: { https_redirect: true }\nunmatched: deny\nroutes: [{ match: { path: '/**', hosts: [api.example.com] }, authenticate: none }]",
    );
    assert_eq!(gate.status(get("/a").pseudo(":scheme", "http")), Some(308));
    let elsewhere = get("/a").pseudo(":scheme", "http").pseudo(":authority", "evil.example.com");
    assert_eq!(gate.status(elsewhere), Some(403));
}

#[test]
fn parameters_of_a_path_are_refused_unless_they_are_allowed_and_change_no_rule() {
    let routes = "routes:\n  - { match: { path: /admin }, authenticate: [jwt] }\n  - { match: { path: '/**' }, authenticate: none }";
    let mut gate = Gate::new(routes);
    for path in ["/a;v=1", "/admin;v=1", "/a%3bv=1"] {
        assert_eq!(gate.send(get(path)).told(), ["SUSPICIOUS_REQUEST path_parameters"], "{path}");
    }
    let mut gate = Gate::new(&format!("paths: {{ parameters: allow }}\n{routes}"));
    assert_eq!(gate.send(get("/a;v=1/b")).upstream(":path"), Some("/a;v=1/b"));
    for path in ["/admin;v=1", "/admin;", "/a/..;/admin", "/..;/admin", "/a%3bv=1"] {
        assert!(matches!(gate.status(get(path)), Some(400 | 401)), "{path}");
    }
    assert_eq!(gate.status(get("/admin;v=1")), Some(401));
    assert_eq!(gate.status(get("/a;v=1/b")), None);
}
