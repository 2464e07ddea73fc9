//! `portcullis explain`: what becomes of one request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::tool::{File, portcullis};

const EXPLAINED: &str = "
limits: { l: { key: [client_ip], rate: 1/m } }
inspection: { classes: { template: monitor } }
routes:
  - { match: { path: /public }, authenticate: none, limits: [l] }
  - { match: { path: /office }, authenticate: none, deny: [{ client_ip: [0.0.0.0/0], except: { client_ip: [10.0.0.0/8] } }] }
  - { match: { path: /watched }, authenticate: none, mode: monitor, allow: [{ roles: [admin] }] }
";

#[test]
fn explain_says_what_becomes_of_a_response() {
    let file = File::new(
        "responses.yaml",
        "
routes:
  - { match: { path: /plain }, authenticate: none }
  - match: { path: /users }
    authenticate: none
    response: { fields: { deny: [password] } }
",
    );
    let user = File::new("user.json", r#"{"id":7,"password":"x"}"#);
    let broken = File::new("broken.json", r#"{"id":7,"password":"#);
    for (request, args, last) in [
        ("GET /users", &[][..], "response          is held for: fields"),
        ("GET /users", &["--response", user.path()], r#"client            receives 200 with another body: {"id":7}"#),
        (
            "GET /users",
            &["--response", broken.path()],
            "client            is answered 502 (response_malformed) instead",
        ),
        ("GET /plain", &["--response", user.path(), "--status", "404"], "client            receives 404 as it came"),
    ] {
        let (code, out, err) = portcullis(&[&["explain", file.path(), "--request", request], args].concat(), "");
        assert_eq!((code, err.as_str(), out.lines().last()), (0, "", Some(last)), "{request} {args:?}");
    }
    let (code, _, err) = portcullis(&["explain", file.path(), "--request", "GET /plain", "--status", "7"], "");
    assert_eq!((code, err.trim()), (2, "--status: expected a number from 100 to 599, found \"7\""));
}

#[test]
fn explain_says_which_body_the_upstream_receives() {
    let text = r#"
routes:
  - match: { path: /bio }
    authenticate: none
    body: { sanitize_html: { fields: [bio] } }"#;
    let (file, body) = (File::new("bodies.yaml", text), File::new("bio.json", r#"{"bio":"<p id=a>b</p>"}"#));
    let args = ["explain", file.path(), "--request", "POST /bio", "--body", body.path()];
    let (code, out, err) = portcullis(&args, "");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains(r#"with another body: {"bio":"<p>b</p>"}"#), "{out}");
}

#[test]
fn explain_takes_the_host_for_the_authority_as_envoy_does() {
    let text = "routes: [{ match: { path: /a, hosts: [a.example] }, authenticate: none }]";
    for (request, hosts, code) in [
        ("GET /a", &[][..], 1),
        ("GET /a", &["a.example:8443"], 0),
        ("GET /a", &["b.example"], 1),
        ("GET /a", &["a.example", "a.example"], 1),
        ("GET https://a.example/a", &["a.example"], 0),
        ("GET https://a.example/a", &["b.example"], 1),
    ] {
        let headers: Vec<_> = hosts.iter().map(|host| format!("Host: {host}")).collect();
        let mut args = vec!["explain", "-", "--request", request];
        args.extend(headers.iter().flat_map(|header| ["--header", header]));
        assert_eq!(portcullis(&args, text).0, code, "{request} {hosts:?}");
    }
}

#[test]
fn explain_says_where_the_configurations_of_a_file_are_if_there_are_several() {
    let (code, _, err) = portcullis(&["explain", "-", "--request", "GET /"], "mode: off\n---\nmode: monitor\n");
    assert_eq!(code, 2);
    assert_eq!(err, "-: expected one configuration, found 2 (document 1, document 2): put one of them into a file\n");
}

#[test]
fn explain_takes_each_option_once_and_no_header_that_cannot_arrive() {
    let text = "routes: [{ match: { path: /plain }, authenticate: none }]";
    let explain = |args: &[&str]| portcullis(&[&["explain", "-"], args].concat(), text);
    let request = ["--request", "GET /plain"];
    assert_eq!(explain(&request).0, 0, "of the standard input");
    assert_eq!(explain(&[&request[..], &["--header", "a: b\tc", "--header", "a: é"]].concat()).0, 0);
    for again in [["--request", "GET /"], ["--client", "192.0.2.1"], ["--status", "200"], ["--body", "x"]] {
        let (code, _, err) = explain(&[&request[..], &again, &again].concat());
        assert_eq!((code, err.trim()), (2, format!("{} is given twice", again[0]).as_str()));
    }
    for header in ["a b: c", "a: b\r\nc: d", "a: \u{1}", "é: b", ": b", "a"] {
        let (code, _, err) = explain(&[&request[..], &["--header", header]].concat());
        assert!(code == 2 && err.starts_with("--header: expected 'NAME: VALUE'"), "{header:?} {err}");
    }
}

#[test]
fn explain_says_where_lots_leave_a_request_unenforced() {
    let file = File::new(
        "lots.yaml",
        "
routes:
  - { match: { path: / }, authenticate: none, allow: [{ roles: [admin] }], enforce_percent: 0 }
  - { match: { path: /all }, authenticate: none, allow: [{ roles: [admin] }] }
",
    );
    // An address may end with its host, or go on with its query.
    for (url, expected) in [
        ("https://a", "routes[0], by lot in monitor mode: what refuses only reports"),
        ("https://a?b=c", "routes[0], by lot in monitor mode: what refuses only reports"),
        ("https://a/all", "routes[1]"),
        ("/all", "routes[1]"),
        // The address in the query is not that of the request.
        ("/all?next=https://app.example.com/", "routes[1]"),
        ("/?next=https://app.example.com/all", "routes[0], by lot in monitor mode: what refuses only reports"),
    ] {
        let (code, out, _) = portcullis(&["explain", file.path(), "--request", &format!("GET {url}")], "");
        let first = out.lines().next().unwrap();
        assert!(first.ends_with(&format!(" from 127.0.0.1: {expected}")), "{first}");
        assert_eq!(code, i32::from(expected == "routes[1]"), "{url}");
    }
}

#[test]
fn explain_says_what_a_token_that_is_refused_says_of_itself() {
    let provider = |name: &str, more: &str| format!("{name}: {{ issuer: 'https://{name}.example.com', {more} }}");
    let users = provider("users", "audiences: [api], algorithms: [HS256], keys: [{ secret: key }]");
    let partners =
        provider("partners", "algorithms: [ES256], jwks: { cluster: idp, uri: 'https://idp.example.com/keys' }");
    let key = "{ inline: 0123456789abcdef0123456789abcdef }";
    let text = format!(
        "secrets: {{ key: {key} }}\nauthentication: {{ jwt: {{ {users}, {partners} }} }}\nroutes: [{{ match: {{ path: /a }}, authenticate: [jwt] }}]"
    );
    let file = File::new("refused.yaml", &text);
    let token =
        |header: &str, payload: &str| [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".") + ".AAAA";
    let old = r#"{"iss":"https://users.example.com","aud":"other","exp":1000}"#;
    let theirs = r#"{"iss":"https://partners.example.com","sub":"7"}"#;
    for (header, payload, expected) in [
        (r#"{"alg":"HS256"}"#, old, vec![r#"the token says {"alg":"HS256"} "#, r#""aud":"other""#, "exp was "]),
        (r#"{"alg":"HS384"}"#, old, vec!["401 unsupported_algorithm", r#"the token says {"alg":"HS384"}"#]),
        (r#"{"alg":"ES256"}"#, theirs, vec!["asks idp"]),
    ] {
        let shown = format!("authorization: Bearer {}", token(header, payload));
        let (code, out, _) = portcullis(&["explain", file.path(), "--request", "GET /a", "--header", &shown], "");
        assert_eq!(code, 1, "{out}");
        expected.iter().for_each(|text| assert!(out.contains(text), "{text} is missing: {out}"));
    }
    let args = ["explain", file.path(), "--request", "GET /a", "--header", "authorization: Bearer a.b.c"];
    assert!(!portcullis(&args, "").1.contains("the token says"));
}

#[test]
fn explain_says_what_each_step_makes_of_a_request() {
    let file = File::new("explained.yaml", EXPLAINED);
    let body = File::new("body.json", "{\"a\":\"<script>alert(1)</script>\"}");
    let explain = |args: &[&str]| portcullis(&[&["explain", file.path()], args].concat(), "");
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (
            &["--request", "GET /a/../public?x=1", "--header", "x-auth-roles: admin"],
            0,
            &[
                "request localhost/public from 127.0.0.1: routes[0]",
                "limit passes",
                "inspect body passes",
                "upstream receives /public?x=1",
                "without x-auth-roles",
            ],
        ),
        (
            &["--request", "GET https://a.example/office", "--client", "203.0.113.7"],
            1,
            &[
                "request a.example/office from 203.0.113.7: routes[1]",
                "authorize refuses: 403 forbidden, by routes[1].deny[0]",
                "client is answered 403 (forbidden)",
            ],
        ),
        (&["--request", "GET /office", "--client", "10.1.1.1"], 0, &["authorize passes"]),
        (
            &["--request", "GET /watched"],
            0,
            &["authorize refuses: 403 forbidden, by routes[2].allow (monitor: goes on all the same)"],
        ),
        (
            &["--request", "POST /public", "--header", "content-type: application/json", "--body", body.path()],
            1,
            &["inspect body waits for the body", "inspect body refuses: 403 injection, by xss-", "in body \"a\""],
        ),
        (
            &["--request", "GET /nowhere"],
            1,
            &["localhost/nowhere from 127.0.0.1: no route", "unmatched refuses: 403 no_route"],
        ),
    ];
    for (args, expected_code, expected) in cases {
        let (code, out, err) = explain(args);
        assert_eq!((code, err.as_str()), (expected_code, ""), "{args:?} {out}");
        let plain = out.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in expected {
            assert!(plain.contains(text), "{args:?}: {text}: {out}");
        }
    }
    assert_eq!(explain(&["--request", "GET /a%2fb"]).0, 1);
    for wrong in [
        &[][..],
        &["--request", "GET"],
        &["--request", "GET /", "--client", "x"],
        &["--request", "GET /", "--header", "x"],
        &["--what"],
    ] {
        let (code, out, err) = explain(wrong);
        assert_eq!((code, out.as_str()), (2, ""), "{wrong:?}");
        assert!(!err.is_empty());
    }
}
