//! What they send: every place, every kind of body, and what is left out.

use crate::gate::{Gate, Request, get, post};

const SCRIPT: &str = "<script>alert(1)</script>";

fn gate(inspection: &str, route: &str) -> Gate {
    Gate::new(&format!(
        "inspection: {{ {inspection} }}\nroutes: [{{ match: {{ path: '/a/**' }}, authenticate: none{route} }}]"
    ))
}

/// Where the event says the finding stands.
fn found(gate: &mut Gate, request: Request) -> Option<(u16, String)> {
    let outcome = gate.send(request);
    let details = outcome.events.first().map(|event| event["details"].clone());
    outcome.status.map(|status| {
        let details = details.unwrap();
        let place = details["in"].as_str().unwrap_or_default();
        (
            status,
            format!(
                "{place} {} {}",
                details["parameter"].as_str().unwrap_or_default(),
                details["reason"].as_str().unwrap()
            ),
        )
    })
}

#[test]
fn looks_at_every_place_of_the_head() {
    let mut gate = gate("", "");
    let encoded = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let cases = [
        (get("/a/%3Cscript%3Ealert(1)"), "path  injection"),
        (get(&format!("/a?x=1&q={encoded}")), "query q injection"),
        (get(&format!("/a?{encoded}=1")), "query  injection"),
        (get("/a").header("referer", SCRIPT), "header referer injection"),
        (get("/a").header("user-agent", "() { :; }; /bin/cat /etc/passwd"), "header user-agent injection"),
        (get("/a").header("cookie", format!("x=1; c={SCRIPT}")), "cookie c injection"),
        (get("/a").header("cookie", format!("c={encoded}")), "cookie c injection"),
    ];
    for (request, expected) in cases {
        assert_eq!(found(&mut gate, request), Some((403, expected.to_owned())));
    }
    let benign =
        get("/a/o'brien?q=rock+%26+roll").header("cookie", "a=b").header("user-agent", "Mozilla/5.0 (X11; Linux)");
    assert_eq!(found(&mut gate, benign), None);
    let pairs = vec!["a=1"; 1001].join("&");
    assert_eq!(found(&mut gate, get(&format!("/a?{pairs}"))), Some((400, "  too_many_parameters".to_owned())));
}

#[test]
fn looks_at_the_user_of_basic_credentials_and_not_at_the_password() {
    let mut gate = gate("", "");
    // nobody' OR 'a'='a:x
    let user = get("/a").header("authorization", "Basic bm9ib2R5JyBPUiAnYSc9J2E6eA==");
    assert_eq!(found(&mut gate, user), Some((403, "header authorization injection".to_owned())));
    // ann:nobody' OR 'a'='a
    let password = get("/a").header("authorization", "Basic YW5uOm5vYm9keScgT1IgJ2EnPSdh");
    assert_eq!(found(&mut gate, password), None);
}

#[test]
fn a_query_that_names_its_charset_is_taken_at_its_word() {
    let mut gate = gate("", "");
    for hiding in ["ibm037", "UTF-16", "%75tf-7", "+utf-16"] {
        let word = found(&mut gate, get(&format!("/a?q=x&_charset_={hiding}")));
        assert_eq!(word, Some((400, "  query_charset".to_owned())), "{hiding}");
    }
    for harmless in ["", "UTF-8", "windows-1251", "Shift_JIS"] {
        assert_eq!(found(&mut gate, get(&format!("/a?q=x&_charset_={harmless}"))), None, "{harmless}");
    }
    assert_eq!(found(&mut gate, get("/a?charset=utf-16")), None);
}

/// `=` and `&` take these apart where they are read as forms only.
#[test]
fn reads_a_document_that_is_called_a_form_as_both() {
    let mut gate = gate("", "");
    let form = "application/x-www-form-urlencoded";
    let cases: [(&[u8], &str); 6] = [
        (br#"{"id": "' OR 1=1--"}"#, "body id injection"),
        (br#"  [{"id": "\u0027 OR 1=1--"}]"#, "body id injection"),
        (b"\xef\xbb\xbf{\"id\": \"' OR 1=1--\"}", "body id injection"),
        // Not quite JSON, but to lenient servers.
        (br#"{"id": "' OR 1=1--",}"#, "body id injection"),
        (b"<id>&#39; OR 1=1--</id>", "body  injection"),
        (b"{\"a\":1}&q=%3Cscript%3Ealert(1)%3C/script%3E", "body  injection"),
    ];
    for (body, expected) in cases {
        assert_eq!(
            found(&mut gate, post("/a").body(form, body)),
            Some((403, expected.to_owned())),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    for benign in [&br#"{"a": "x=1&y=2", "b": [1, 2]}"#[..], b"a=%7B%22b%22%3A1%7D&c=<3", b"{"] {
        assert_eq!(found(&mut gate, post("/a").body(form, benign)), None, "{}", String::from_utf8_lossy(benign));
    }
}

#[test]
fn looks_at_every_kind_of_body() {
    let mut gate = gate("", "");
    let part = format!("--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n{SCRIPT}\r\n--b--\r\n");
    let json = r#"{"a":{"b":["\u003cscript\u003ealert(1)\u003c/script\u003e"]}}"#;
    let not_utf8 = [b"{\"z\":\"\xff\",", json.as_bytes().get(1..).unwrap()].concat();
    let form_not_utf8 = [SCRIPT.as_bytes(), b"\xff"].concat();
    let cases: [(&str, &[u8], &str); 13] = [
        ("application/json", json.as_bytes(), "body b injection"),
        ("application/problem+json; charset=utf-8", json.as_bytes(), "body b injection"),
        ("application/x-www-form-urlencoded", b"a=1&f=%3Cscript%3Ealert(1)%3C/script%3E", "body f injection"),
        ("multipart/form-data; boundary=b", part.as_bytes(), "body f injection"),
        ("application/xml", b"<a b='&#60;script&#62;alert(1)'/>", "body b injection"),
        ("text/plain", json.as_bytes(), "body b injection"),
        ("", json.as_bytes(), "body b injection"),
        ("application/octet-stream", json.as_bytes(), "body b injection"),
        ("text/plain", SCRIPT.as_bytes(), "body  injection"),
        // Lenient servers read these all the same.
        ("text/plain", &not_utf8, "body  injection"),
        ("application/octet-stream", &not_utf8, "body  injection"),
        ("text/plain", &form_not_utf8, "body  injection"),
        ("text/plain", b"\xef\xbb\xbf{\"a\":\"<script>alert(1)</script>\"}", "body a injection"),
    ];
    for (content_type, body, expected) in cases {
        assert_eq!(
            found(&mut gate, post("/a").body(content_type, body)),
            Some((403, expected.to_owned())),
            "{content_type}"
        );
    }
    for (content_type, body) in [
        ("application/json", &b"{\"a\":\"fine\"}"[..]),
        ("image/png", b"\x89PNG\r\n\x1a\n<script>\xff"),
        ("application/json", b""),
    ] {
        assert_eq!(found(&mut gate, post("/a").body(content_type, body)), None, "{content_type}");
    }
}

#[test]
fn what_servers_join_is_looked_at_as_they_join_it() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let mut gate = gate("", "");
    let rest = "*/select login from staff";
    let part = |value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n{value}\r\n");
    for (request, place) in [
        (get("/a?q=1%20union/*&b=1&q=*/select%20login%20from%20staff"), "query q injection"),
        (post("/a").body(FORM, format!("q=1 union/*&q={rest}")), "body q injection"),
        (post("/a?q=1%20union/*").body(FORM, format!("q={rest}")), "body q injection"),
        (
            post("/a").body("multipart/form-data; boundary=b", format!("{}{}--b--\r\n", part("1 union/*"), part(rest))),
            "body q injection",
        ),
        (post("/a").body("application/json", format!(r#"{{"q":["1 union/*","{rest}"]}}"#)), "body q injection"),
        (
            post("/a").body("application/json", format!(r##"{{"a":{{"q":"#"}},"q":["1 union/*","{rest}"]}}"##)),
            "body q injection",
        ),
        (post("/a").body("application/json", r#"["1 union--","\nselect login from staff"]"#), "body  injection"),
    ] {
        assert_eq!(found(&mut gate, request), Some((403, place.to_owned())));
    }
    for request in [
        get("/a?q=1%20union/*&b=*/select%20login%20from%20staff"),
        post("/a?tag=C%23").body(FORM, "tag=F%23%0aand+more&tag=a--b&tag=*"),
        post("/a").body("application/json", r##"{"note":["# One\n", "/* two */", "- three -- four", "src/*"]}"##),
    ] {
        assert_eq!(found(&mut gate, request), None);
    }
}

#[test]
fn a_body_that_cannot_be_looked_at_is_refused() {
    let mut gate = gate("body_limit: 64B", "");
    let cases = [
        (post("/a").header("content-encoding", "gzip").body("application/json", "x"), (415, "  body_encoded")),
        (
            post("/a").header("content-encoding", "identity").header("content-encoding", "br").body("", "x"),
            (415, "  body_encoded"),
        ),
        (post("/a").header("content_encoding", "gzip").body("text/plain", "x"), (415, "  body_encoded")),
        (post("/a").body("application/json", "{"), (400, "  json")),
        (post("/a").body("application/json; charset=utf-16", "{}"), (400, "  charset")),
        (post("/a").body("application/json, text/plain", "{}"), (400, "  content_type")),
        (post("/a").header("content_type", "multipart/mixed").body("text/plain", "x"), (400, "  content_type")),
        (post("/a").body("multipart/form-data; boundary=b", "x"), (400, "  multipart")),
        (post("/a").body("application/json", "[".repeat(40)), (413, "  json_limits")),
        (post("/a").body("text/plain", "x".repeat(65)), (413, "  body_too_large")),
    ];
    for (request, (status, expected)) in cases {
        assert_eq!(found(&mut gate, request), Some((status, expected.to_owned())));
    }
    assert_eq!(gate.status(post("/a").header("content-encoding", "identity").body("text/plain", "x".repeat(64))), None);
}

#[test]
fn over_the_limit_the_rest_passes_where_the_operator_says_so_with_an_event() {
    let mut gate = gate("body_limit: 64B, over_limit: allow", "");
    let long = gate.send(post("/a").body("text/plain", "x".repeat(65)));
    assert_eq!((long.status, long.told()), (None, vec!["SUSPICIOUS_REQUEST body_too_large monitor".into()]));
    let attack = gate.send(post("/a").body("text/plain", format!("{SCRIPT}{}", "x".repeat(65))));
    assert_eq!(attack.status, Some(403), "its beginning is looked at");
}

/// Any body could call itself gRPC, and many servers do not ask what it is called.
#[test]
fn what_calls_itself_a_stream_must_be_one() {
    let mut gate = gate("", "");
    let json = format!("{{\"a\":\"{SCRIPT}\"}}");
    for content_type in ["application/grpc", "application/grpc+json"] {
        assert_eq!(found(&mut gate, post("/a").body(content_type, &json)), Some((400, "  grpc".to_owned())));
        assert_eq!(
            gate.status(post("/a").body(content_type, [&[0, 0, 0, 0, 9][..], b"\x0a\x07message"].concat())),
            None
        );
        assert_eq!(gate.status(post("/a").body(content_type, "")), None);
    }
}

/// The proxy shows no end of it: whoever waited would wait as long as the client likes.
#[test]
fn a_tunnel_is_not_waited_for_and_has_no_content_before_it() {
    let mut gate = gate("", "");
    for method in ["GET", "POST"] {
        let upgrade = |name, value| {
            let request = Request::new(method, "/a").header("connection", "upgrade").header("upgrade", "websocket");
            request.header(name, value).body("", "\u{81}")
        };
        assert_eq!(gate.status(upgrade("content-length", "0")), None);
        for (name, value) in [("content-length", "40"), ("transfer-encoding", "chunked")] {
            assert_eq!(found(&mut gate, upgrade(name, value)), Some((400, "  upgrade".to_owned())));
        }
    }
}

#[test]
fn leaves_out_what_the_operator_names() {
    let attack = |name: &str| get(&format!("/a?{name}=%3Cscript%3Ealert(1)%3C/script%3E"));
    let mut skipping = gate("skip_fields: [password, Secret]", "");
    for (name, expected) in
        [("password", None), ("PassWord", None), ("secret", None), ("passwords", Some(403)), ("q", Some(403))]
    {
        assert_eq!(skipping.status(attack(name)), expected, "{name}");
    }
    assert_eq!(skipping.status(post("/a").body("application/json", format!("{{\"password\":\"{SCRIPT}\"}}"))), None);
    assert_eq!(
        skipping.status(post("/a").body("application/json", format!("{{\"password\":{{\"x\":\"{SCRIPT}\"}}}}"))),
        Some(403)
    );

    let mut excluding = gate(
        "patterns: [{ id: no-secret-word, regex: 'xyzzy' }, { id: other-word, regex: 'plugh' }]",
        ", inspection: { exclude: [{ parameter: html, classes: [xss] }, { parameter: raw }, { rule: sql-comment }, { rule: no-secret-word, parameter: q }] }",
    );
    assert_eq!(excluding.status(attack("html")), None);
    assert_eq!(excluding.status(get("/a?html=1'+OR+'a'='a")), Some(403), "another class");
    assert_eq!(excluding.status(attack("raw")), None);
    assert_eq!(excluding.status(get("/a?raw=xyzzy")), None, "everything, patterns too");
    assert_eq!(excluding.status(get("/a?x=root'--")), None, "by rule");
    assert_eq!(excluding.status(attack("x")), Some(403));
    assert_eq!(
        (excluding.status(get("/a?q=xyzzy")), excluding.status(get("/a?q=plugh"))),
        (None, Some(403)),
        "a pattern by its id"
    );
    assert_eq!(excluding.status(get("/a?x=xyzzy")), Some(403));

    // What is found of a body is looked at once where there are no patterns.
    let mut by_rule = gate("", ", inspection: { exclude: [{ rule: sql-comment }] }");
    let body = |value: &str| post("/a").body("application/json", format!("{{\"x\":\"{value}\"}}"));
    assert_eq!((by_rule.status(body("root'--")), by_rule.status(body(SCRIPT))), (None, Some(403)));
}

#[test]
fn what_a_template_engine_would_run_is_told_and_refused_where_the_operator_says_so() {
    let field = |value: &str| post("/a").body("application/json", format!("{{\"a\":\"{value}\"}}"));
    let mut usual = gate("", "");
    let mut strict = gate("classes: { template: enforce }", "");
    for value in ["{{ user.__class__ }}", "{{config.__class__}}", "{{7*7}}"] {
        let outcome = usual.send(field(value));
        assert_eq!((outcome.status, outcome.told()), (None, vec!["SUSPICIOUS_REQUEST injection monitor".into()]));
        assert_eq!(outcome.events[0]["details"]["class"], "template", "{value}");
        assert_eq!(strict.status(field(value)), Some(403), "{value}");
    }
    let prose = "Write `{{ user.name }}` in the *template*.";
    assert!(usual.send(field(prose)).events.is_empty());
    assert_eq!(strict.status(field(prose)), None);
}

#[test]
fn a_class_or_a_pattern_may_be_monitored_or_off() {
    let mut gate = gate(
        "classes: { xss: monitor, sqli: off }, excerpt: 8, patterns: [{ id: word, regex: '(?i)xyzzy', in: [query], mode: monitor }, { id: host, regex: '[.]internal', in: [headers, body] }, { id: unused, regex: plugh, mode: off }]",
        "",
    );
    let outcome = gate.send(get("/a?q=%3Cscript%3Ealert(1)%3C/script%3E"));
    assert_eq!((outcome.status, outcome.told()), (None, vec!["SUSPICIOUS_REQUEST injection monitor".into()]));
    let details = &outcome.events[0]["details"];
    assert_eq!(
        (&details["class"], &details["excerpt"], &details["parameter"]),
        (&"xss".into(), &"<script>".into(), &"q".into())
    );
    assert!(gate.send(get("/a?q=1'+OR+'a'='a&r=plugh")).events.is_empty());
    let word = gate.send(get("/a?q=XyZZy"));
    assert_eq!((word.status, &word.events[0]["details"]["rule"]), (None, &"word".into()));
    assert!(gate.send(get("/a").header("referer", "xyzzy")).events.is_empty());
    let host = gate.send(get("/a?q=db.internal").header("referer", "http://db.internal/"));
    assert_eq!((host.status, &host.events[0]["details"]["class"]), (Some(403), &"custom".into()));
    assert_eq!(gate.status(get("/a?q=db.internal")), None);
    let both = gate.send(get("/a?q=xyzzy").header("referer", "http://db.internal/"));
    assert_eq!(both.status, Some(403), "a monitored finding hides none that is enforced");
}

#[test]
fn an_event_never_holds_the_value_unless_the_operator_asked() {
    let mut gate = gate("", "");
    let outcome = gate.send(post("/a").body("application/json", format!("{{\"comment\":\"{SCRIPT}\"}}")));
    assert!(!outcome.events[0].to_string().contains("alert"), "{:?}", outcome.events);
    assert_eq!(gate.count("blocked_requests_total~reason=injection"), 1);
}

/// A place for code is no hole in the rest: other routes report the same, and what its code is not is still an attack.
#[test]
fn a_route_takes_snippets_of_code_and_still_finds_attacks_of_other_classes() {
    let route = |path: &str, rest: &str| format!("{{ match: {{ path: '{path}' }}, authenticate: none{rest} }}");
    let taking = ", inspection: { exclude: [{ parameter: code, classes: [command, template, xss] }] }";
    let mut gate = Gate::new(&format!("routes: [{}, {}]", route("/snippets/**", taking), route("/comments/**", "")));
    let sent = |gate: &mut Gate, path: &str, name: &str, value: &str| {
        let body = format!("{{{}: {}}}", serde_json::json!(name), serde_json::json!(value));
        found(gate, post(path).body("application/json", body))
    };
    let snippets = [
        "import os\nos.system('ls -l /tmp')\n",
        "#!/bin/sh\ncd build; make && ./run | grep ok\nX=$(whoami)\n",
        "<script>document.getElementById('a').onclick = () => alert(1)</script>",
        "<a href=\"javascript:alert(1)\">run</a>",
        "<?php system($_GET['c']); ?>",
    ];
    for code in snippets {
        assert_eq!(sent(&mut gate, "/snippets/1", "code", code), None, "{code}");
        assert_eq!(
            sent(&mut gate, "/comments/1", "code", code),
            Some((403, "body code injection".to_owned())),
            "{code}"
        );
        assert_eq!(
            sent(&mut gate, "/snippets/1", "title", code),
            Some((403, "body title injection".to_owned())),
            "{code}"
        );
    }
    for attack in ["x' union select login, secret from staff-- ", "../../../../etc/shadow"] {
        assert_eq!(
            sent(&mut gate, "/snippets/1", "code", attack),
            Some((403, "body code injection".to_owned())),
            "{attack}"
        );
    }
}
