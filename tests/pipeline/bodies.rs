//! Bodies that are changed on their way: for whom, in which mode, and what is told.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis::pipeline::ResponseNext;
use serde_json::{Value, json};

use crate::gate::{Gate, Outcome, get, partner, post, told, user};

/// The usual callers, with a key for encryption.
fn gate(sections: &str) -> Gate {
    let usual = "secrets:\n  users_key: { env: USERS_KEY }";
    let callers =
        crate::gate::CALLERS.replace(usual, "secrets:\n  pii_key: { env: PII_KEY }\n  users_key: { env: USERS_KEY }");
    assert!(callers.contains("pii_key"));
    Gate::bare(&format!("{callers}encryption: {{ keys: [{{ secret: pii_key }}] }}\n{sections}"))
}

/// What the client gets: the body as it is now, or the status of what takes its place.
fn shown(next: &ResponseNext, sent: &str) -> Result<String, u16> {
    match next {
        ResponseNext::Continue => Ok(sent.to_owned()),
        ResponseNext::Rewrite(body) => Ok(String::from_utf8(body.clone()).unwrap()),
        ResponseNext::Replace(reply) => Err(reply.status),
        other => panic!("{other:?}"),
    }
}

const PERSON: &str = r#"{"id":1,"email":"e","password":"x"}"#;

#[test]
fn a_role_gets_all_but_the_denied_fields() {
    let mut gate = gate(
        "
roles: { root: [admin] }
routes:
  - match: { path: /a }
    authenticate: { optional: [jwt.users] }
    response: { fields: { deny: [password], allow: [id, password], allow_all: { roles: [admin] } } }",
    );
    let mut asked = |roles: Option<Value>| {
        let request = roles.map_or(get("/a"), |roles| get("/a").bearer(&user(json!({ "roles": roles }))));
        let mut outcome = gate.send(request);
        assert_eq!(outcome.upstream("accept-encoding"), Some("identity"));
        let (next, events) = gate.respond(&mut outcome, 200, PERSON);
        assert_eq!(events, Vec::<Value>::new());
        shown(&next, PERSON).unwrap()
    };
    let all = r#"{"id":1,"email":"e"}"#;
    assert_eq!([asked(Some(json!(["admin"]))), asked(Some(json!(["root"])))], [all, all]);
    assert_eq!([asked(Some(json!(["user"]))), asked(None)], [r#"{"id":1}"#, r#"{"id":1}"#]);
}

#[test]
fn neither_monitor_nor_off_nor_a_share_disables_projection_and_encryption() {
    for mode in ["mode: monitor", "mode: \"off\"", "enforce_percent: 0"] {
        let mut gate = gate(&format!(
            "
routes:
  - match: {{ path: /a }}
    authenticate: none
    {mode}
    body: {{ encrypt: [ssn] }}
    response: {{ fields: {{ deny: [password] }}, owner: {{ field: id, claim: user_id }} }}
  - {{ match: {{ path: /b }}, authenticate: none, {mode}, response: {{ decrypt: [ssn] }} }}",
        ));
        let mut outcome = gate.send(post("/a").body("application/json", r#"{"ssn":"078"}"#));
        assert_eq!(outcome.status, None, "{mode}");
        let stored = String::from_utf8(outcome.passage.exchange.rewritten_body.clone().unwrap()).unwrap();
        assert!(stored.starts_with(r#"{"ssn":"gAAAAA"#), "{mode}: {stored}");
        let (next, _) = gate.respond(&mut outcome, 200, PERSON);
        assert_eq!(shown(&next, ""), Ok(r#"{"id":1,"email":"e"}"#.to_owned()), "{mode}");
        let unreadable = format!("{}{}", "x".repeat(2 << 20), PERSON);
        for (status, body, reason) in
            [(200, "password=x", "malformed"), (200, &*unreadable, "too_large"), (101, "", "upgraded")]
        {
            let mut outcome = gate.send(get("/a"));
            let (next, events) = gate.respond(&mut outcome, status, body);
            assert_eq!(shown(&next, ""), Err(502), "{mode}");
            assert_eq!(told(&events), [format!("DEGRADED response_{reason}")], "{mode}");
        }
        let mut outcome = gate.send(get("/b"));
        assert_eq!(shown(&gate.respond(&mut outcome, 200, &"x".repeat(16 << 20)).0, ""), Err(502), "{mode}");
        let form = post("/a").body("application/x-www-form-urlencoded", "ssn=078");
        assert_eq!(gate.status(form), Some(400), "{mode}");
    }
}

#[test]
fn only_the_caller_whose_it_is_sees_an_object() {
    let mut gate = gate(
        "
routes:
  - match: { path: /open }
    authenticate: none
  - match: { path: /a }
    authenticate: { optional: [jwt] }
    response: { owner: { field: owner.id, claim: user_id, unless: { roles: [admin] } } }
  - match: { path: /b }
    authenticate: none
    mode: monitor
    response: { owner: { field: id, claim: user_id } }",
    );
    let mine = r#"{"owner":{"id":7}}"#;
    let by = |claims: Value| get("/a").bearer(&user(claims));
    for (request, body, expected) in [
        (by(json!({})), mine, Ok(())),
        (by(json!({})), r#"{"owner":[{"id":"7"},{"id":7}]}"#, Ok(())),
        (by(json!({})), r#"{"owner":{"id":8}}"#, Err(403)),
        (by(json!({})), r#"{"owner":[{"id":7},{}]}"#, Err(403)),
        (by(json!({})), r#"{"owner":{"id":7.0}}"#, Err(403)),
        (by(json!({})), "nothing", Err(502)),
        (by(json!({ "roles": ["admin"] })), r#"{"owner":{"id":8}}"#, Ok(())),
        (by(json!({ "roles": ["admin"] })), "anything", Ok(())),
        (get("/a"), mine, Err(403)),
        // Partner 7 is another caller than user 7, whose subject that claim is.
        (get("/a").bearer(&partner(json!({ "user_id": 7 }))), mine, Err(403)),
    ] {
        let mut outcome = gate.send(request);
        let (next, events) = gate.respond(&mut outcome, 200, body);
        assert_eq!(shown(&next, body).map(|_| ()), expected, "{body}");
        if expected == Err(403) {
            assert_eq!(told(&events), ["ACCESS_DENIED forbidden"]);
            assert_eq!(events[0]["details"]["rule"], "routes[1].response.owner");
        }
    }
    let mut monitored = gate.send(get("/b"));
    let (next, events) = gate.respond(&mut monitored, 200, PERSON);
    assert_eq!(
        (shown(&next, PERSON), told(&events)),
        (Ok(PERSON.to_owned()), vec!["ACCESS_DENIED forbidden monitor".to_owned()])
    );
    let mut monitored = gate.send(get("/b"));
    let (next, events) = gate.respond(&mut monitored, 200, "text");
    assert_eq!(
        (shown(&next, "text"), told(&events)),
        (Ok("text".to_owned()), vec!["DEGRADED response_malformed monitor".to_owned()])
    );
    let mut free: Outcome = gate.send(get("/open").header("accept-encoding", "gzip"));
    assert_eq!(free.upstream("accept-encoding"), Some("gzip"));
    assert_eq!(gate.respond(&mut free, 101, "").0, ResponseNext::Continue);
}

#[test]
fn a_whole_body_is_encrypted_and_comes_back() {
    let mut gate = gate(
        "
routes:
  - { match: { path: /f, methods: [PUT] }, authenticate: none, body: { encrypt_whole: true } }
  - { match: { path: /f }, authenticate: none, response: { decrypt_whole: true } }",
    );
    let put = |headers: &[(&str, &str)]| {
        let request = crate::gate::Request::new("PUT", "/f");
        headers.iter().fold(request, |request, (name, value)| request.header(name, value)).body("image/png", "bytes")
    };
    let outcome = gate.send(put(&[("content-digest", "x"), ("digest", "y")]));
    assert_eq!((outcome.upstream("content-digest"), outcome.upstream("digest")), (None, None));
    let stored = String::from_utf8(outcome.passage.exchange.rewritten_body.clone().unwrap()).unwrap();
    let mut read = gate.send(get("/f"));
    assert_eq!(shown(&gate.respond(&mut read, 200, &stored).0, ""), Ok("bytes".to_owned()));
    let (next, events) = gate.respond(&mut read, 200, "no token");
    assert_eq!(
        (shown(&next, "no token"), told(&events)),
        (Ok("no token".to_owned()), vec!["DEGRADED decrypt_failed".to_owned()])
    );
    assert_eq!(gate.status(put(&[("content-encoding", "gzip")])), Some(415));
    gate.host.without_random = true;
    assert_eq!(gate.status(put(&[])), Some(503));
}

#[test]
fn what_was_encrypted_can_be_read_back_however_long_it_may_be() {
    let mut gate = gate(
        "inspection: { body_limit: 64KiB }
bodies: { string_length: 50000 }
routes:
  - { match: { path: /f, methods: [PUT] }, authenticate: none, body: { encrypt_whole: true } }
  - { match: { path: /f }, authenticate: none, response: { decrypt_whole: true } }
  - { match: { path: /u, methods: [PUT] }, authenticate: none, body: { encrypt: [ssn] } }
  - { match: { path: /u }, authenticate: none, response: { decrypt: [ssn], fields: { deny: [x] } } }",
    );
    let file = "z".repeat(64 << 10);
    let document = format!(r#"{{"ssn":"{}"}}"#, "s".repeat(50_000));
    for (path, content_type, sent) in [("/f", "image/png", &file), ("/u", "application/json", &document)] {
        let outcome = gate.send(crate::gate::Request::new("PUT", path).body(content_type, sent));
        let stored = String::from_utf8(outcome.passage.exchange.rewritten_body.clone().unwrap()).unwrap();
        let mut read = gate.send(get(path));
        assert_eq!(shown(&gate.respond(&mut read, 200, &stored).0, ""), Ok(sent.clone()), "{path}");
    }
}

#[test]
fn a_field_is_encrypted_decrypted_and_denied_in_whatever_case_its_name_is_written() {
    let mut gate = gate(
        "
routes:
  - match: { path: /u, methods: [PUT] }
    authenticate: none
    body: { encrypt: [ssn, tax.Key], schema: { properties: { tax: { properties: { Key: {}, key: {} } } } } }
  - { match: { path: /u }, authenticate: none, response: { decrypt: [ssn, tax.Key], fields: { deny: [password] } } }
  - { match: { path: /allow }, authenticate: none, response: { fields: { allow: [id] } } }",
    );
    let sent = r#"{"ssn":"1","SSN":"2","\u017fsn":"3","TAX":{"Key":"4","KEY":"5","key":"6"}}"#;
    let outcome = gate.send(crate::gate::Request::new("PUT", "/u").body("application/json", sent));
    let stored = String::from_utf8(outcome.passage.exchange.rewritten_body.clone().unwrap()).unwrap();
    let tokens = stored.matches("gAAAAA").count();
    assert_eq!((tokens, stored.contains(r#""key":"6""#)), (5, true), "{stored}");
    let stored = stored.replacen('{', r#"{"PassWord":"x","#, 1).replace(r#","key":"6""#, "");
    let mut read = gate.send(get("/u"));
    let expected = sent.replace(r#","key":"6""#, "");
    assert_eq!(shown(&gate.respond(&mut read, 200, &stored).0, ""), Ok(expected));
    let mut read = gate.send(get("/allow"));
    assert_eq!(shown(&gate.respond(&mut read, 200, r#"{"ID":1,"id":2}"#).0, ""), Ok(r#"{"id":2}"#.to_owned()));
}

#[test]
fn a_name_with_underscores_and_the_same_in_camel_case_are_one_field() {
    let mut gate = gate(
        "
routes:
  - match: { path: /u, methods: [PUT] }
    authenticate: none
    body: { encrypt: [phone_number, taxId] }
  - { match: { path: /u }, authenticate: none, response: { decrypt: [phone_number, taxId], fields: { deny: [pin_code] } } }",
    );
    let sent = r#"{"phone_number":"1","phoneNumber":"2","tax_id":"3","taxId":"4","phonenumber":"5"}"#;
    let outcome = gate.send(crate::gate::Request::new("PUT", "/u").body("application/json", sent));
    let stored = String::from_utf8(outcome.passage.exchange.rewritten_body.clone().unwrap()).unwrap();
    assert_eq!((stored.matches("gAAAAA").count(), stored.contains(r#""phonenumber":"5""#)), (4, true), "{stored}");
    let stored = stored.replacen('{', r#"{"pinCode":"x","#, 1);
    let mut read = gate.send(get("/u"));
    assert_eq!(shown(&gate.respond(&mut read, 200, &stored).0, ""), Ok(sent.to_owned()));
}

#[test]
fn many_short_values_and_tokens_coded_twice_can_be_read_back() {
    let mut gate = gate(
        "inspection: { body_limit: 64KiB }
bodies: { string_length: 100 }
routes:
  - { match: { path: /u, methods: [PUT] }, authenticate: none, body: { encrypt: [ssn] } }
  - { match: { path: /u }, authenticate: none, response: { decrypt: [ssn], fields: { deny: [x] } } }",
    );
    let many = format!(r#"{{"ssn":[{}]}}"#, vec!["\"\""; 9_990].join(","));
    let long = format!(r#"{{"ssn":"{}"}}"#, "s".repeat(100));
    for sent in [&many, &long] {
        let outcome = gate.send(crate::gate::Request::new("PUT", "/u").body("application/json", sent));
        let stored = String::from_utf8(outcome.passage.exchange.rewritten_body.clone().unwrap()).unwrap();
        let mut read = gate.send(get("/u"));
        assert_eq!(shown(&gate.respond(&mut read, 200, &stored).0, ""), Ok(sent.clone()));
        let Some(token) = stored.strip_prefix(r#"{"ssn":""#).and_then(|rest| rest.strip_suffix(r#""}"#)) else {
            continue;
        };
        let twice = stored.replace(token, &STANDARD.encode(token));
        assert_eq!(shown(&gate.respond(&mut read, 200, &twice).0, ""), Ok(sent.clone()));
    }
}

#[test]
fn what_depends_on_who_asks_is_its_callers_alone() {
    for (response, is_private) in [
        ("fields: { deny: [a] }", false),
        ("fields: { allow: [a] }", false),
        ("fields: { allow: [a], allow_all: { roles: [admin] } }", true),
        ("owner: { field: a, claim: user_id }", true),
        ("decrypt: [a]", true),
        ("decrypt_whole: true", true),
    ] {
        let mut gate =
            gate(&format!("routes: [{{ match: {{ path: /a }}, authenticate: none, response: {{ {response} }} }}]"));
        assert_eq!(gate.send(get("/a")).passage.is_private(), is_private, "{response}");
    }
}

#[test]
fn a_json_patch_does_not_carry_a_field_past_its_encryption() {
    let mut gate =
        gate("routes: [{ match: { path: /u }, authenticate: none, mode: monitor, body: { encrypt: [ssn] } }]");
    let patch = r#"[{"op":"replace","path":"/ssn","value":"078-05-1120"}]"#;
    assert_eq!(gate.status(post("/u").body("application/json-patch+json", patch)), Some(400));
    let merged = gate.send(post("/u").body("application/merge-patch+json", r#"{"ssn":"078-05-1120"}"#));
    assert!(merged.passage.exchange.rewritten_body.is_some());
}

#[test]
fn a_patch_by_another_name_carries_no_field_past_its_encryption_either() {
    let mut gate = gate(
        "defaults: { authenticate: none }
routes:
  - { match: { path: /u }, mode: monitor, body: { encrypt: [ssn] } }
  - { match: { path: /html }, mode: monitor, body: { sanitize_html: { fields: [bio] } } }
  - { match: { path: /patch }, body: { encrypt: [value, operations.value] } }
  - { match: { path: /schema }, body: { schema: { properties: { id: { readOnly: true } } } } }
  - { match: { path: /object }, body: { schema: { type: object, properties: { id: { readOnly: true } }, additionalProperties: false } } }",
    );
    let patch = r#"[{"op":"replace","path":"/ssn","value":"078-05-1120"}]"#;
    let scim = r#"{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","value":{"ssn":"078-05-1120"}}]}"#;
    for (kind, body) in [
        ("application/json", patch),
        ("", patch),
        ("application/vnd.api+json", r#"[{},{"Path":"/ssn","OP":"add","value":"078-05-1120"}]"#),
        ("application/scim+json", scim),
        ("application/json", r#"{"operations":[{"op":"add","path":"ssn","value":"078-05-1120"}]}"#),
    ] {
        for path in ["/u", "/html"] {
            let outcome = gate.send(post(path).body(kind, body));
            assert_eq!(
                (outcome.status, told(&outcome.events)),
                (Some(400), vec!["SUSPICIOUS_REQUEST json_patch".into()]),
                "{path} {body}"
            );
        }
        // Who names what the operations hold finds it there.
        let rewritten = gate.send(post("/patch").body(kind, body)).passage.exchange.rewritten_body;
        let rewritten = String::from_utf8(rewritten.unwrap()).unwrap();
        assert!(rewritten.contains("gAAAAA") && !rewritten.contains("078-05"), "{rewritten}");
        assert_eq!(gate.status(post("/schema").body(kind, body)), None, "{body}");
        assert_eq!(gate.status(post("/object").body(kind, body)), Some(422), "{body}");
    }
    for body in [
        r#"[{"op":"sum","value":1,"ssn":"1"}]"#,
        r#"[{"op":"add","of":1}]"#,
        r#"{"op":"add","path":"/a","value":1}"#,
        r#"{"a":{"op":"add","path":"/a","value":1}}"#,
        r#"{"operations":3}"#,
    ] {
        assert_eq!(gate.status(post("/u").body("application/json", body)), None, "{body}");
    }
}

#[test]
fn a_form_that_is_json_as_well_does_not_carry_a_field_past_its_encryption() {
    let mut gate =
        gate("routes: [{ match: { path: /u }, authenticate: none, mode: monitor, body: { encrypt: [ssn] } }]");
    let both = r#"{"a":"&ssn=078-05-1120&"}"#;
    let form = "application/x-www-form-urlencoded";
    assert_eq!(gate.status(post("/u").body(form, both)), Some(400));
    // Unicorn takes the one header for the other.
    assert_eq!(gate.status(post("/u").header("content_type", form).body("", both)), Some(400));
    // Rack, WebOb and CGI.pm take what has no type for a form.
    for pair in [both, r#"{"a":";ssn=078-05-1120"}"#] {
        assert_eq!(gate.status(post("/u").body("", pair)), Some(400));
        assert_eq!(gate.status(post("/u").body("application/json", pair)), None);
    }
    for harmless in [r#"{"a":"b=c"}"#, r#"{"a":"b & c; d"}"#] {
        assert_eq!(gate.status(post("/u").body("", harmless)), None);
    }
}

#[test]
fn an_answer_without_a_body_says_nothing_of_an_object_whose_owner_it_does_not_show() {
    let mut gate = gate(
        "routes: [{ match: { path: /o }, response: { owner: { field: user_id, claim: user_id, unless: { roles: [admin] } } } }]
defaults: { authenticate: [jwt] }",
    );
    for (roles, method, status, expected) in [
        (&["user"][..], "HEAD", 200, Err(403)),
        (&["admin"], "HEAD", 200, Ok(String::new())),
        (&["user"], "HEAD", 404, Ok(String::new())),
        (&["user"], "HEAD", 304, Err(403)),
        (&["user"], "GET", 304, Err(403)),
        (&["admin"], "GET", 304, Ok(String::new())),
        (&["user"], "DELETE", 204, Ok(String::new())),
    ] {
        let request = crate::gate::Request::new(method, "/o")
            .bearer(&user(json!({ "roles": roles })))
            .header("if-none-match", "*");
        let mut outcome = gate.send(request);
        assert_eq!((outcome.status, outcome.upstream("if-none-match")), (None, None));
        assert_eq!(shown(&gate.respond(&mut outcome, status, "").0, ""), expected, "{method} {roles:?} {status}");
    }
}

#[test]
fn an_object_whose_owner_is_an_empty_list_is_nobodys() {
    let mut gate = gate(
        "defaults: { authenticate: [jwt] }
routes:
  - { match: { path: /o }, response: { owner: { field: owner.id, claim: user_id } } }
  - { match: { path: /list }, response: { owner: { field: results.*.id, claim: user_id } } }",
    );
    for (path, body, expected) in [
        // What PHP writes where an object has no members.
        ("/o", r#"{"owner":[],"total":99}"#, Err(403)),
        ("/o", r#"{"owner":{},"total":99}"#, Err(403)),
        ("/o", r#"{"owner":{"id":[]},"total":99}"#, Err(403)),
        ("/o", r#"{"owner":{"id":{}},"total":99}"#, Err(403)),
        ("/o", r#"[{"owner":{"id":"ada"}},{"owner":[]}]"#, Err(403)),
        ("/o", r#"{"owner":[{"id":"ada"},[]]}"#, Err(403)),
        ("/o", "[]", Ok(())),
        ("/o", "{}", Err(403)),
        ("/list", r#"{"results":[],"count":0}"#, Ok(())),
        ("/list", r#"{"results":{},"count":0}"#, Ok(())),
        ("/list", r#"{"results":[[]],"count":0}"#, Err(403)),
        ("/list", r#"{"count":0}"#, Err(403)),
        ("/list", "[]", Ok(())),
    ] {
        let mut outcome = gate.send(get(path).bearer(&user(json!({ "user_id": "ada" }))));
        let went = shown(&gate.respond(&mut outcome, 200, body).0, body).map(drop);
        assert_eq!(went, expected, "{path} {body}");
    }
}

#[test]
fn the_upstream_is_asked_for_no_part_of_a_document() {
    let mut gate =
        gate("routes: [{ match: { path: /a }, authenticate: none, response: { fields: { deny: [password] } } }]");
    for part in ["range", "request-range"] {
        let outcome = gate.send(get("/a").header(part, "bytes=12-19").header("if-range", "\"1\""));
        assert_eq!((outcome.upstream(part), outcome.upstream("if-range")), (None, None));
    }
}
