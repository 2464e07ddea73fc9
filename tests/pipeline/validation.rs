//! What bodies must be: schemas, fields that no request can set, HTML of which only harmless tags stay.

use serde_json::{Value, json};

use crate::gate::{Gate, Outcome, Request, get, post};

const SIGN_UP: &str = "
routes:
  - match: { path: /users, methods: [POST] }
    authenticate: none
    body:
      schema:
        type: object
        additionalProperties: false
        required: [id, username, password]
        properties:
          id: { type: integer, readOnly: true }
          username: { type: string, format: username }
          password: { type: string, format: password, minLength: 8, writeOnly: true }
          bio: { type: string, maxLength: 2000 }
          links: { items: { properties: { bio: { type: string } } } }
      sanitize_html: { fields: [bio] }
  - match: { path: /any }
    authenticate: none
    body: { schema: { minProperties: 1 } }
";

fn gate(more: &str) -> Gate {
    Gate::new(&format!("{more}{SIGN_UP}"))
}

fn sign_up(body: &str) -> Request {
    post("/users").body("application/json", body)
}

fn received(outcome: &Outcome) -> Option<String> {
    assert_eq!(outcome.status, None, "{}", outcome.body);
    outcome.passage.exchange.rewritten_body.clone().map(|body| String::from_utf8(body).unwrap())
}

#[test]
fn a_violation_is_answered_with_pointer_and_keyword_and_reported_without_suspicion() {
    let mut gate = gate("intrusion: { failures: 2 }\n");
    for _ in 0..5 {
        let outcome = gate.send(sign_up(r#"{"username":"joe","password":"weakword","x":"hunter2"}"#));
        assert_eq!(outcome.status, Some(422));
        let problem: Value = serde_json::from_str(&outcome.body).unwrap();
        assert_eq!(problem["title"], "Unprocessable Content");
        let expected = json!([{ "pointer": "/password", "keyword": "format" }, { "pointer": "/x", "keyword": "additionalProperties" }]);
        assert_eq!(problem["errors"], expected);
        let details = &outcome.events[0]["details"];
        assert_eq!(outcome.told(), ["SUSPICIOUS_REQUEST body_invalid"]);
        assert_eq!(
            (&details["rule"], &details["parameter"], &details["in"]),
            (&json!("format"), &json!("/password"), &json!("body"))
        );
        let told = format!("{}{:?}", outcome.body, outcome.events);
        assert!(!told.contains("hunter2") && !told.contains("weakword"), "{told}");
    }
}

#[test]
fn fields_that_no_request_can_set_are_dropped_and_the_rest_keeps_its_spelling() {
    let mut gate = gate("");
    let body = r#"{ "id": "x", "username": "j\u006fe", "password": "Passw0rd!" }"#;
    let outcome = gate.send(sign_up(body));
    assert_eq!(received(&outcome).unwrap(), r#"{"username":"j\u006fe","password":"Passw0rd!"}"#);
    let untouched = gate.send(sign_up(r#"{ "username": "joe", "password": "Passw0rd!" }"#));
    assert_eq!(received(&untouched), None);
}

#[test]
fn sanitised_fields_keep_harmless_tags_and_are_no_matter_for_the_inspection() {
    let mut gate = gate("");
    let bio = r#""<p onclick=alert(1)>Hi <b>you</b></p><script>alert(1)</script>""#;
    let user = |rest: &str| format!(r#"{{"username":"joe","password":"Passw0rd!",{rest}}}"#);
    let outcome = gate.send(sign_up(&user(&format!(r#""bio":{bio}"#))));
    assert_eq!(received(&outcome).unwrap(), user(r#""bio":"<p>Hi you</p>""#));
    // A field that is called the same is sanitised as well: the inspection would not look at it.
    let outcome = gate.send(sign_up(&user(&format!(r#""links":[{{"bio":{bio}}}]"#))));
    assert_eq!(received(&outcome).unwrap(), user(r#""links":[{"bio":"<p>Hi you</p>"}]"#));
    // Everything else is looked at, and so is the field for what is no script.
    let script = r#""links":["<script>alert(1)</script>"]"#;
    assert_eq!(gate.status(sign_up(&user(script))), Some(403));
    assert_eq!(gate.status(sign_up(&user(r#""bio":"1' UNION SELECT login, secret FROM staff-- ""#))), Some(403));
    let query = post("/users?bio=%3Cscript%3Ealert(1)%3C%2Fscript%3E").body("application/json", user(r#""bio":"x""#));
    assert_eq!(gate.status(query), Some(403));
}

#[test]
fn script_in_a_sanitised_field_is_looked_for_where_nobody_sanitises_it() {
    let mut gate = gate("mode: monitor\ninspection: { mode: enforce }\n");
    let script = "<script>alert(1)</script>";
    let json = format!(r#"{{"username":"joe","password":"Passw0rd!","bio":"{script}"}}"#);
    for (content_type, body, status) in [
        ("application/json", &json, None),
        ("", &json, None),
        ("text/plain", &json, Some(403)),
        ("application/json-patch+json", &json, Some(403)),
        ("application/x-www-form-urlencoded", &format!("bio={script}"), Some(403)),
        (
            "multipart/form-data; boundary=b",
            &format!("--b\r\nContent-Disposition: form-data; name=bio\r\n\r\n{script}\r\n--b--\r\n"),
            Some(403),
        ),
    ] {
        let outcome = gate.send(post("/users").body(content_type, body));
        let sanitised = outcome
            .passage
            .exchange
            .rewritten_body
            .as_deref()
            .is_some_and(|body| !body.windows(7).any(|at| at == b"<script"));
        assert_eq!((outcome.status, sanitised), (status, status.is_none()), "{content_type}: {}", outcome.body);
    }
}

#[test]
fn a_body_that_cannot_be_read_goes_on_in_no_mode_where_fields_are_dropped_or_sanitised() {
    let bio = r#"{"\ud800":1,"bio":"<script>alert(1)</script>"}"#;
    let id = r#"{"\ud800":1,"id":7}"#;
    let twice = r#"{"a":1,"a":2,"id":7}"#;
    let long = format!(r#"{{"id":7,"a":"{}"}}"#, "x".repeat(100_000));
    for (changing, body) in
        [("sanitize_html: { fields: [bio] }", bio), ("schema: { properties: { id: { readOnly: true } } }", id)]
    {
        for mode in ["mode: monitor", "mode: monitor\n    inspection: { mode: enforce }", "enforce_percent: 0"] {
            let mut gate = Gate::new(&format!(
                "
routes:
  - match: {{ path: /a }}
    authenticate: none
    {mode}
    body: {{ {changing} }}"
            ));
            for (content_type, body, status) in [
                ("application/json", body, 400),
                ("application/json", twice, 400),
                ("application/json", long.as_str(), 413),
                ("text/plain", r#"{"id":7}"#, 415),
                ("application/x-www-form-urlencoded", "bio=x", 415),
            ] {
                let sent = || post("/a").body(content_type, body);
                assert_eq!(gate.status(sent()), Some(status), "{changing} {mode} {content_type}");
                assert_eq!(gate.status(sent().header("content-encoding", "gzip")), Some(415), "{changing} {mode}");
            }
            // There is nothing to be changed.
            assert_eq!(gate.status(post("/a")), None, "{changing} {mode}");
        }
    }
    let mut gate =
        Gate::new("mode: monitor\nroutes: [{ match: { path: /a }, authenticate: none, body: { schema: {} } }]");
    assert_eq!(gate.status(post("/a").body("application/json", id)), None);
    assert_eq!(gate.status(post("/a").body("text/plain", twice)), None);
}

#[test]
fn what_is_no_json_document_within_the_limits_is_refused() {
    let mut gate = gate("bodies: { json_depth: 4, json_entries: 20, string_length: 100 }\n");
    let good = r#"{"username":"joe","password":"Passw0rd!"}"#;
    for (content_type, body, expected) in [
        ("application/json", good, None),
        ("application/scim+json; charset=utf-8", good, None),
        ("", good, None),
        ("application/x-www-form-urlencoded", "username=joe", Some((415, "body_not_json"))),
        ("text/plain", good, Some((415, "body_not_json"))),
        ("application/json-patch+json", good, Some((415, "body_not_json"))),
        ("Application/JSON-Patch+json; charset=utf-8", "[]", Some((415, "body_not_json"))),
        ("application/merge-patch+json", good, None),
        ("application/json", "", Some((400, "json"))),
        ("application/json", "{", Some((400, "json"))),
        ("application/json", r#"{"username":"a","username":"b"}"#, Some((400, "json_duplicate_key"))),
        ("application/json", "[[[[[]]]]]", Some((413, "json_limits"))),
        ("application/json", "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", Some((413, "json_limits"))),
        ("application/json", &format!("[\"{}\"]", "x".repeat(101)), Some((413, "json_limits"))),
    ] {
        let outcome = gate.send(post("/users").body(content_type, body));
        let reason = outcome.events.first().map(|event| event["details"]["reason"].as_str().unwrap().to_owned());
        assert_eq!(outcome.status.zip(reason.as_deref()), expected, "{content_type} {body}");
    }
    assert_eq!(gate.status(post("/users")), Some(400));
    assert_eq!(gate.status(get("/any")), None);
    assert_eq!(gate.status(Request::new("PUT", "/any")), Some(400));
}

#[test]
fn what_vouches_for_a_body_goes_on_with_it_where_nothing_changes_it() {
    for (body, digest) in [
        ("schema: { type: object }", Some("sha-256=:x:")),
        ("schema: { properties: { id: { readOnly: true } } }", None),
        ("sanitize_html: { fields: [bio] }", None),
    ] {
        let mut gate =
            Gate::new(&format!("routes: [{{ match: {{ path: /a }}, authenticate: none, body: {{ {body} }} }}]"));
        let sent = post("/a").header("content-digest", "sha-256=:x:").body("application/json", "{}");
        let outcome = gate.send(sent);
        assert_eq!((outcome.status, outcome.upstream("content-digest")), (None, digest), "{body}");
        assert_eq!(outcome.passage.rewrites_body(), digest.is_none(), "{body}");
    }
}

#[test]
fn a_field_is_dropped_or_sanitised_in_whatever_case_its_name_is_written() {
    let mut gate = Gate::new(
        "
routes:
  - match: { path: /a }
    authenticate: none
    body:
      schema:
        properties:
          is_admin: { readOnly: true }
          id: { readOnly: true }
          ID: { type: integer }
          in: { properties: { at: { readOnly: true }, ID: {} } }
      sanitize_html: { fields: [bio, in.bio] }",
    );
    for (sent, expected) in [
        (r#"{"Is_Admin":1,"i\u017f_admin":1,"IS_ADMIN":true,"isAdmin":1,"x":1}"#, r#"{"x":1}"#),
        (r#"{"ID":1,"Id":2,"iD":3,"id":4}"#, r#"{"ID":1}"#),
        (r#"{"IN":{"At":1,"ID":"x"}}"#, r#"{"IN":{"ID":"x"}}"#),
        (
            r#"{"Bio":"<i>a</i>","IN":[{"BIO":"<i>a</i>","no":"<i>a</i>"}]}"#,
            r#"{"Bio":"a","IN":[{"BIO":"a","no":"<i>a</i>"}]}"#,
        ),
    ] {
        let outcome = gate.send(post("/a").body("application/json", sent));
        assert_eq!(received(&outcome).as_deref(), Some(expected), "{sent}");
    }
    assert_eq!(received(&gate.send(post("/a").body("application/json", r#"{"ID": 1}"#))), None);
}

#[test]
fn monitor_mode_reports_what_it_would_refuse() {
    let mut gate = gate("mode: monitor\n");
    let outcome = gate.send(sign_up(r#"{"username":"j o"}"#));
    assert_eq!(outcome.status, None);
    assert_eq!(outcome.told(), ["SUSPICIOUS_REQUEST body_invalid monitor"]);
    let mut gate = self::gate("mode: off\n");
    let outcome = gate.send(sign_up(r#"{"bio":"<b>x</b>"}"#));
    assert_eq!((received(&outcome), outcome.told()), (None, Vec::new()));
}
