//! Cross-site request forgery: what browsers send by themselves is not enough to change something.

use serde_json::json;

use crate::gate::{Gate, Outcome, Request, get, post, user};

const GUARDED: &str = r#"
  api_keys:
    from: [{ header: x-api-key }, { cookie: key }]
    keys: { reporting: { secret: order_token } }
  mtls: {}
headers:
  csrf: { origins: ["https://trusted.example.com"] }
  cors: { origins: ["https://app.example.com", "https://trusted.example.com:443"], methods: [POST], credentials: allow }
defaults: { authenticate: [jwt.users, api_keys] }
intrusion: { admin: { path: /.portcullis, roles: [admin] } }
routes:
  - { match: { path: /watched }, mode: monitor }
  - { match: { path: /off }, mode: off, authenticate: [jwt.users] }
  - { match: { path: /public }, authenticate: none }
  - { match: { path: /optional }, authenticate: { optional: [jwt.users] } }
  - { match: { path: /both }, authenticate: { all: [jwt.users, api_keys] } }
  - { match: { path: /signed }, authenticate: { all: [jwt.users, service] } }
  - { match: { path: "/**" } }
"#;

fn with_cookie(request: Request) -> Request {
    request.header("cookie", format!("theme=dark; token={}", user(json!({}))))
}

fn sent(request: Request) -> Outcome {
    Gate::new(GUARDED).send(request)
}

#[test]
fn a_cookie_alone_changes_nothing_unless_a_page_of_ours_sent_it() {
    let evil = "https://evil.example";
    for (headers, refusal) in [
        (&[("sec-fetch-site", "same-origin")][..], None),
        (&[("origin", "https://api.example.com")], None),
        (&[("origin", "https://trusted.example.com"), ("sec-fetch-site", "same-site")], None),
        (&[], Some("no_origin")),
        (&[("referer", "https://api.example.com/")], Some("no_origin")),
        (&[("origin", evil)], Some("cross_origin")),
        (&[("origin", "null")], Some("cross_origin")),
        (&[("origin", evil), ("sec-fetch-site", "same-origin")], Some("cross_origin")),
        (&[("sec-fetch-site", "cross-site")], Some("cross_site")),
        (&[("sec-fetch-site", "same-site")], Some("cross_site")),
        // To read answers is not to act: those who may do both are named twice.
        (&[("origin", "https://app.example.com"), ("sec-fetch-site", "same-site")], Some("cross_origin")),
    ] {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let request = with_cookie(Request::new(method, "/orders"));
            let outcome = sent(headers.iter().fold(request, |request, (name, value)| request.header(name, value)));
            let expected = refusal.map(|_| 403);
            assert_eq!(
                (outcome.status, outcome.upstream.is_empty()),
                (expected, refusal.is_some()),
                "{method} {headers:?}"
            );
            let told: Vec<_> = refusal.iter().map(|reason| format!("ACCESS_DENIED {reason}")).collect();
            assert_eq!(outcome.told(), told, "{method} {headers:?}");
        }
    }
}

#[test]
fn the_refusal_names_the_setting_and_counts_as_forbidden() {
    let mut gate = Gate::new(GUARDED);
    let outcome = gate.send(with_cookie(post("/orders")).header("origin", "https://evil.example"));
    let details = &outcome.events[0]["details"];
    assert_eq!((&details["rule"], &details["user"]), (&json!("headers.csrf"), &json!("7")));
    assert!(outcome.body.contains("does not come from a page that may send it"), "{}", outcome.body);
    assert_eq!(gate.count("blocked_requests_total~reason=forbidden"), 1);
}

#[test]
fn a_page_that_may_read_answers_reads_this_refusal_as_well() {
    let outcome = sent(with_cookie(post("/orders")).header("origin", "https://app.example.com"));
    assert_eq!(outcome.status, Some(403));
    assert_eq!(outcome.response("access-control-allow-origin"), Some("https://app.example.com"));
    let outcome = sent(with_cookie(post("/orders")).header("origin", "https://evil.example"));
    assert_eq!((outcome.status, outcome.response("access-control-allow-origin")), (Some(403), None));
}

#[test]
fn a_preflight_needs_no_credentials_and_no_proof() {
    let preflight = Request::new("OPTIONS", "/orders").header("origin", "https://trusted.example.com");
    let outcome =
        sent(preflight.header("access-control-request-method", "POST").header("sec-fetch-site", "cross-site"));
    assert_eq!((outcome.status, outcome.upstream.is_empty()), (Some(204), true));
    assert_eq!(outcome.response("access-control-allow-origin"), Some("https://trusted.example.com"));
}

#[test]
fn who_shows_what_a_page_would_have_to_know_needs_no_page() {
    let (token, cross) = (user(json!({})), ("sec-fetch-site", "cross-site"));
    for request in [
        post("/orders").bearer(&token),
        post("/orders").bearer(&token).header("cookie", format!("token={token}")),
        post(&format!("/orders?token={token}")),
        post("/orders").header("x-api-key", "order-token"),
        post("/public").header("cookie", format!("token={token}")),
        post("/optional"),
    ] {
        assert_eq!(sent(request.clone()).status, None);
        assert_eq!(sent(request.header(cross.0, cross.1)).status, None);
    }
}

#[test]
fn every_kind_of_cookie_credential_needs_a_page() {
    let token = user(json!({}));
    for request in [
        post("/orders").header("cookie", "key=order-token"),
        post("/optional").header("cookie", format!("token={token}")),
        post("/both").header("cookie", format!("token={token}; key=order-token")),
    ] {
        assert_eq!(sent(request.clone()).told(), ["ACCESS_DENIED no_origin"]);
        assert_eq!(sent(request.header("sec-fetch-site", "same-origin")).status, None);
    }
    // Who is not let in is told that.
    assert_eq!(sent(post("/orders").header("cookie", "token=forged")).status, Some(401));
}

/// Where several credentials are asked for. What stands in the query may belong to whoever made the page; a header is sent
/// for no page of another origin that was not asked about.
#[test]
fn beside_a_cookie_a_credential_in_a_header_is_proof_and_one_in_the_query_is_none() {
    let token = user(json!({}));
    let foreign = ("origin", "https://evil.example");
    for request in [
        post("/both").bearer(&token).header("cookie", "key=order-token"),
        post("/both").header("cookie", format!("token={token}")).header("x-api-key", "order-token"),
        post("/signed").header("cookie", format!("token={token}")).signed("order-service"),
    ] {
        assert_eq!(sent(request.header(foreign.0, foreign.1)).status, None);
    }
    let request = post(&format!("/both?token={token}")).header("cookie", "key=order-token");
    assert_eq!(sent(request.header(foreign.0, foreign.1)).status, Some(403));
}

#[test]
fn what_only_reads_is_not_looked_at_but_a_handshake_is() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let request = with_cookie(Request::new(method, "/orders")).header("origin", "https://evil.example");
        assert_eq!(sent(request).status, None, "{method}");
    }
    let handshake = |origin: &str| {
        let request = with_cookie(get("/live")).header("connection", "upgrade").header("upgrade", "websocket");
        sent(request.header("origin", origin)).status
    };
    assert_eq!(handshake("https://api.example.com"), None);
    assert_eq!(handshake("https://evil.example"), Some(403));
}

/// The upstream must not take for a POST what was let pass as a GET.
#[test]
fn no_header_makes_another_method_of_a_request() {
    for name in ["x-http-method-override", "x-http-method", "x-method-override", "X_HTTP_Method_Override"] {
        let outcome = sent(with_cookie(get("/orders")).header(name, "DELETE").header("origin", "https://evil.example"));
        assert_eq!((outcome.status, outcome.upstream(name)), (None, None), "{name}");
    }
}

#[test]
fn two_origins_are_none() {
    let request = with_cookie(post("/orders")).header("origin", "https://api.example.com");
    assert_eq!(sent(request.header("origin", "https://evil.example")).told(), ["SUSPICIOUS_REQUEST header_repeated"]);
}

#[test]
fn monitor_reports_and_off_is_silent() {
    let watched = sent(with_cookie(post("/watched")));
    assert_eq!((watched.status, watched.told()), (None, vec!["ACCESS_DENIED no_origin monitor".to_owned()]));
    let off = sent(with_cookie(post("/off")));
    assert_eq!((off.status, off.told().len()), (None, 0));
}

#[test]
fn administration_is_guarded_as_well() {
    let admin = format!("token={}", user(json!({ "roles": ["admin"] })));
    let lift = Request::new("DELETE", "/.portcullis/blocked/203.0.113.9").header("cookie", admin);
    assert_eq!(sent(lift.clone()).told(), ["ACCESS_DENIED no_origin"]);
    assert_eq!(sent(lift.header("sec-fetch-site", "same-origin")).status, Some(404));
}

/// Without `headers.csrf`: what a browser says comes from elsewhere is refused, and what says nothing is no browser.
#[test]
fn cookies_are_guarded_against_other_sites_even_where_nothing_is_configured() {
    let mut gate = Gate::new(
        r#"
headers: { cors: { origins: ["https://app.example.com"], credentials: allow } }
defaults: { authenticate: [jwt.users] }
routes:
  - match: { path: /readable }
    cors: { origins: ["https://other.example.com"] }
  - match: { path: "/**" }
"#,
    );
    for (path, headers, status) in [
        ("/orders", &[][..], None),
        ("/orders", &[("origin", "https://api.example.com")], None),
        ("/orders", &[("origin", "https://app.example.com"), ("sec-fetch-site", "same-site")], None),
        ("/orders", &[("origin", "https://evil.example")], Some(403)),
        ("/orders", &[("origin", "null")], Some(403)),
        ("/orders", &[("sec-fetch-site", "cross-site")], Some(403)),
        // A page that may read without credentials may not act with them, and a route's own CORS replaces the other.
        ("/readable", &[("origin", "https://other.example.com")], Some(403)),
        ("/readable", &[("origin", "https://app.example.com")], Some(403)),
    ] {
        let request =
            headers.iter().fold(with_cookie(post(path)), |request, (name, value)| request.header(name, value));
        assert_eq!(gate.status(request), status, "{path} {headers:?}");
    }
}
