//! Opaque tokens: whom they are asked of, what the answers make of them, and how long that holds.

use portcullis::check::{Arrival, CalloutReply};
use portcullis::pipeline::Next;
use serde_json::json;

use crate::gate::{Called, Gate, Outcome, Request, START, answer, get, user};

const PROVIDERS: &str = r#"
service: user-service
secrets:
  users_key: { env: USERS_KEY }
  client: { inline: "s3cret" }
  order_token: { env: ORDER_TOKEN }
authentication:
  unverified_credentials: 5/m
  jwt:
    users:
      issuer: https://users.example.com
      algorithms: [HS256]
      keys: [{ secret: users_key }]
      from: [{ header: authorization, prefix: "Bearer " }, { cookie: token }]
      claims: { subject: user_id }
  oauth2:
    opaque:
      introspection: { cluster: idp, uri: "https://idp.example.com/introspect", client_id: portcullis,
                       client_secret: { secret: client } }
      claims: { subject: sub, scopes: scope, roles: groups }
    legacy:
      token_prefix: lgc_
      userinfo: { cluster: old, uri: "http://old.example.com/userinfo" }
      claims: { subject: email }
      cache: 10s
    lenient:
      token_prefix: len_
      introspection: { cluster: idp, uri: "https://idp.example.com/lenient", client_id: portcullis,
                       client_secret: { secret: client } }
      on_error: allow
  api_keys: { keys: { reporting: { secret: order_token } } }
roles: { admin: [manager] }
limits: { each: { key: [subject], rate: 2/hour } }
routes:
  - { match: { path: /opaque }, authenticate: [oauth2] }
  - { match: { path: /legacy }, authenticate: [oauth2.legacy] }
  - { match: { path: /mixed }, authenticate: [jwt, oauth2] }
  - { match: { path: /mixed-legacy }, authenticate: [jwt, oauth2.legacy] }
  - { match: { path: /keys-first }, authenticate: [api_keys, jwt, oauth2] }
  - { match: { path: /optional }, authenticate: { optional: [oauth2] } }
  - { match: { path: /twice }, authenticate: { all: [jwt, oauth2] } }
  - { match: { path: /managers }, authenticate: [oauth2], allow: [{ roles: [manager], scopes: [read, write] }] }
  - { match: { path: "/named/{name}" }, authenticate: [oauth2], allow: [{ owner: { path: name, claim: username } }] }
  - { match: { path: "/own/{id}" }, authenticate: [oauth2], allow: [{ owner: { path: id, claim: sub } }] }
  - { match: { path: /limited }, authenticate: [oauth2], limits: [each] }
  - { match: { path: /public }, authenticate: none }
"#;

/// Says of every token what its beginning tells.
fn idp(called: &Called) -> CalloutReply {
    let token = match called.header(":method") {
        Some("POST") => called.body.strip_prefix("token=").unwrap().split('&').next().unwrap(),
        _ => called.header("authorization").unwrap().strip_prefix("Bearer ").unwrap(),
    };
    let kind = token.trim_start_matches("lgc_").trim_start_matches("len_");
    let mut said = json!({
        "active": true, "sub": "7", "email": "ann@example.com", "preferred_username": "ann", "given_name": "Ann",
        "scope": "read write", "groups": ["admin"], "exp": START + 900,
    });
    match kind.split('-').next().unwrap() {
        "good" => {}
        "brief" => said["exp"] = json!(START + 5),
        "late" => said["exp"] = json!(START),
        "early" => said["nbf"] = json!(START + 90),
        "nobody" => said = json!({ "active": true }),
        "split" => said["sub"] = json!("7,8"),
        "line" => said["groups"] = json!(["a\r\nx-auth-roles: root"]),
        "inactive" => said = json!({ "active": false }),
        "refused" => return answer(401, ""),
        "broken" => return answer(400, ""),
        "large" => return answer(431, ""),
        "odd" => return answer(406, ""),
        "html" => return answer(200, "<html>"),
        "down" => return CalloutReply::Lost,
        _ => return answer(500, ""),
    }
    answer(200, said.to_string())
}

fn gate() -> Gate {
    let mut gate = Gate::bare(PROVIDERS);
    gate.services = idp;
    gate
}

fn send(gate: &mut Gate, path: &str, token: &str) -> Outcome {
    gate.send(get(path).bearer(token))
}

fn reason(outcome: &Outcome) -> String {
    assert_eq!(outcome.status, Some(401), "{:?}", outcome.events);
    outcome.events[0]["details"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn a_good_token_tells_the_upstream_who_calls_and_goes_no_further() {
    let mut gate = gate();
    let outcome = send(&mut gate, "/opaque", "good-1");
    assert_eq!((outcome.status, outcome.upstream("x-auth-subject")), (None, Some("7")));
    assert_eq!((outcome.upstream("x-auth-method"), outcome.upstream("x-auth-roles")), (Some("oauth2"), Some("admin")));
    assert_eq!(outcome.upstream("authorization"), None);
    let [called] = gate.called.as_slice() else { panic!("{:?}", gate.called) };
    assert_eq!((called.cluster.as_str(), called.header(":path")), ("idp", Some("/introspect")));
    assert_eq!(called.header("authorization"), Some("Basic cG9ydGN1bGxpczpzM2NyZXQ="));
    assert_eq!(called.body, "token=good-1&token_type_hint=access_token");
}

#[test]
fn the_beginning_of_a_token_chooses_its_provider() {
    let mut gate = gate();
    assert_eq!(send(&mut gate, "/opaque", "lgc_good-1").upstream("x-auth-subject"), Some("ann@example.com"));
    assert_eq!(gate.called[0].header("authorization"), Some("Bearer lgc_good-1"));
    assert_eq!(send(&mut gate, "/opaque", "good-1").upstream("x-auth-subject"), Some("7"));
    assert_eq!(gate.called.iter().map(|called| called.cluster.as_str()).collect::<Vec<_>>(), ["old", "idp"]);
    assert_eq!(reason(&send(&mut gate, "/legacy", "good-2")), "unknown_issuer");
    assert_eq!(gate.called.len(), 2);
}

#[test]
fn says_why_a_token_is_refused_and_says_it_again_without_asking() {
    for (token, expected) in [
        ("inactive-1", "inactive"),
        ("late-1", "expired"),
        ("early-1", "not_yet_valid"),
        ("nobody-1", "no_subject"),
        ("split-1", "malformed"),
        ("line-1", "malformed"),
        ("lgc_refused-1", "inactive"),
        ("lgc_broken-1", "malformed"),
        ("lgc_nobody-1", "no_subject"),
    ] {
        let mut gate = gate();
        for _ in 0..3 {
            let outcome = send(&mut gate, "/opaque", token);
            assert_eq!(reason(&outcome), expected, "{token}");
            assert!(outcome.response("www-authenticate").unwrap().contains("error=\"invalid_token\""));
            assert!(!outcome.events[0].to_string().contains(token) && !outcome.body.contains(token));
        }
        assert_eq!(gate.called.len(), 1, "{token}");
    }
}

#[test]
fn what_cannot_be_a_token_is_refused_without_asking() {
    let long = "x".repeat(8 * 1024 + 1);
    for (token, expected) in [("a b", "malformed"), ("é", "malformed"), ("a,b", "ambiguous"), (&*long, "malformed")] {
        let mut gate = gate();
        assert_eq!(reason(&send(&mut gate, "/opaque", token)), expected, "{token:?}");
        assert!(gate.called.is_empty());
    }
}

#[test]
fn a_provider_that_does_not_answer_well_decides_by_on_error_and_is_asked_again() {
    for token in ["down-1", "html-1", "fails-1"] {
        let mut gate = gate();
        for _ in 0..8 {
            let outcome = send(&mut gate, "/opaque", token);
            assert_eq!(reason(&outcome), "unavailable", "nobody's budget is charged: {token}");
            assert_eq!(outcome.response("www-authenticate"), Some("Bearer realm=\"user-service\""));
            assert_eq!(reason(&send(&mut gate, "/opaque", token)), "unavailable", "and nobody is asked again at once");
            gate.wait(1);
        }
        let anonymous = gate.send(get("/opaque").bearer(&format!("len_{token}")).header("x-auth-subject", "root"));
        assert_eq!((anonymous.status, anonymous.told()), (None, vec!["DEGRADED oauth2_unavailable".to_owned()]));
        assert_eq!((anonymous.upstream("x-auth-subject"), anonymous.upstream("authorization")), (None, None));
        let managers = send(&mut gate, "/managers", &format!("len_{token}"));
        assert_eq!((managers.status, managers.events.len()), (Some(403), 2));
        assert_eq!(gate.called.len(), 9);
    }
}

/// The caller chose the token, and must not become anonymous by one that the provider does not read.
#[test]
fn a_question_that_the_provider_refuses_lets_nobody_pass_as_anonymous() {
    for (token, expected, asked) in [
        (format!("large-{}", "x".repeat(8000)), "malformed", 1),
        ("broken-1".to_owned(), "unavailable", 8),
        ("odd-1".to_owned(), "unavailable", 8),
    ] {
        let mut gate = gate();
        for _ in 0..8 {
            let outcome = send(&mut gate, "/opaque", &format!("len_{token}"));
            assert!(outcome.status == Some(429) || reason(&outcome) == expected, "{:?}", outcome.events);
            let again = send(&mut gate, "/opaque", &format!("len_{token}"));
            assert!(again.status == Some(429) || reason(&again) == expected, "{:?}", again.events);
            gate.wait(1);
        }
        assert_eq!(gate.called.len(), asked, "what may be our own fault is soon asked again, nor held against anybody");
    }
}

#[test]
fn an_answer_holds_for_its_time_and_never_past_the_end_of_the_token() {
    for (token, seconds) in [("good-1", 60), ("brief-1", 5), ("lgc_good-1", 10), ("inactive-1", 60), ("early-1", 30)] {
        let mut gate = gate();
        let first = send(&mut gate, "/opaque", token).status;
        gate.wait(seconds - 1);
        assert_eq!((send(&mut gate, "/opaque", token).status, gate.called.len()), (first, 1), "{token}");
        gate.wait(1);
        send(&mut gate, "/opaque", token);
        assert_eq!(gate.called.len(), 2, "{token}");
    }
}

/// Requests that wait for the same answer name the same flight, and all are judged by it.
#[test]
fn requests_that_wait_together_share_one_question_and_its_answer() {
    let mut gate = gate();
    let mut waiting: Vec<_> = (0..3).map(|_| gate.start(&get("/opaque").bearer("good-1"))).collect();
    let Next::Call(question) = &waiting[0].1 else { panic!("{:?}", waiting[0].1) };
    let question = question.clone();
    assert!(question.flight.as_ref().is_some_and(|flight| !flight.contains("good-1")));
    let reply = answer(200, json!({ "active": true, "sub": "7" }).to_string());
    for (passage, next) in &mut waiting {
        assert_eq!(*next, Next::Call(question.clone()));
        assert!(passage.exchange.request_edits.is_empty(), "stripped before the verdict");
        assert_eq!(gate.resume_with(passage, Arrival::Reply(&reply)), Next::Continue);
        assert_eq!(passage.exchange.caller.as_ref().unwrap().subject, "7");
    }
    let callers: Vec<_> = waiting.iter().map(|(passage, _)| passage.exchange.caller.clone().unwrap()).collect();
    assert!(callers.iter().all(|caller| std::rc::Rc::ptr_eq(caller, &callers[0])), "judged once");
}

#[test]
fn a_jwt_and_an_opaque_token_share_a_header_on_one_route() {
    let mut gate = gate();
    let jwt = user(json!({}));
    let by_jwt = send(&mut gate, "/mixed", &jwt);
    assert_eq!((by_jwt.status, by_jwt.upstream("x-auth-method")), (None, Some("jwt")));
    assert_eq!(by_jwt.upstream("authorization"), None);
    assert!(gate.called.is_empty());
    let by_opaque = send(&mut gate, "/mixed", "good-1");
    assert_eq!((by_opaque.status, by_opaque.upstream("x-auth-method")), (None, Some("oauth2")));
    assert_eq!(reason(&send(&mut gate, "/mixed", &user(json!({ "exp": START - 100 })))), "expired");
    assert_eq!(reason(&send(&mut gate, "/mixed-legacy", "good-1")), "malformed", "no provider of the route claims it");
    assert_eq!(send(&mut gate, "/mixed-legacy", "lgc_good-1").status, None);
    assert_eq!(gate.called.len(), 2);
}

#[test]
fn a_token_where_only_one_kind_looks_is_of_that_kind() {
    let header = r#"{ header: authorization, prefix: "Bearer " }, "#;
    let mut gate = Gate::bare(&PROVIDERS.replace(header, ""));
    gate.services = idp;
    assert_eq!(send(&mut gate, "/mixed", "good-1").status, None);
    assert_eq!(reason(&send(&mut gate, "/mixed", &user(json!({})))), "unavailable", "asked about, though it is a JWT");
    assert_eq!(gate.called.len(), 2);
}

#[test]
fn a_route_that_names_only_oauth2_asks_about_any_token() {
    let mut gate = gate();
    assert_eq!(reason(&send(&mut gate, "/opaque", &user(json!({})))), "unavailable");
    assert_eq!(gate.called.len(), 1);
}

#[test]
fn different_tokens_in_two_places_are_ambiguous_whatever_their_kinds() {
    let jwt = user(json!({}));
    for (header, cookie) in [("good-1", &*jwt), (&*jwt, "good-1"), ("good-1", "good-2"), ("good-1", "")] {
        let mut gate = gate();
        let outcome = gate.send(get("/mixed").bearer(header).header("cookie", format!("token={cookie}")));
        assert_eq!(reason(&outcome), "ambiguous", "{header} {cookie}");
        assert!(gate.called.is_empty());
    }
    let mut gate = gate();
    let same = gate.send(get("/mixed").bearer("good-1").header("cookie", "token=good-1; a=b"));
    assert_eq!((same.status, same.upstream("authorization"), same.upstream("cookie")), (None, None, Some("a=b")));
    let cookie = gate.send(get("/mixed").header("cookie", "token=good-1"));
    assert_eq!(reason(&cookie), "malformed", "opaque tokens stand in the header only");
}

#[test]
fn all_of_jwt_and_oauth2_verifies_and_asks_about_the_same_token() {
    let mut gate = gate();
    gate.services = |_| answer(200, r#"{"active":true,"sub":"x"}"#);
    let outcome = send(&mut gate, "/twice", &user(json!({})));
    assert_eq!((outcome.status, outcome.upstream("x-auth-subject")), (None, Some("7")));
    assert_eq!(outcome.upstream("authorization"), None);
    gate.services = |_| answer(200, r#"{"active":false}"#);
    assert_eq!(reason(&send(&mut gate, "/twice", &user(json!({ "jti": "2" })))), "inactive");
}

#[test]
fn optional_takes_nobody_for_anonymous_and_refuses_a_bad_token() {
    let mut gate = gate();
    assert_eq!(gate.send(get("/optional")).upstream("x-auth-subject"), None);
    assert_eq!(send(&mut gate, "/optional", "good-1").upstream("x-auth-subject"), Some("7"));
    assert_eq!(reason(&send(&mut gate, "/optional", "inactive-1")), "inactive");
}

#[test]
fn roles_scopes_and_names_count_where_they_are_mapped() {
    let mut gate = gate();
    assert_eq!(send(&mut gate, "/managers", "good-1").status, None);
    assert_eq!(send(&mut gate, "/managers", "lgc_good-1").status, Some(403), "nothing is mapped");
    assert_eq!(send(&mut gate, "/named/ann", "lgc_good-1").status, None);
    assert_eq!(send(&mut gate, "/named/bob", "lgc_good-1").status, Some(403));
    assert_eq!(send(&mut gate, "/own/7", "good-1").status, None);
    assert_eq!(
        send(&mut gate, "/own/7", "lgc_good-1").status,
        Some(403),
        "no provider of legacy calls that its subject"
    );
}

#[test]
fn equal_subjects_of_two_providers_are_two_callers() {
    let mut gate = gate();
    for token in ["good-1", "len_good-1"] {
        for expected in [None, None, Some(429)] {
            let outcome = send(&mut gate, "/limited", token);
            assert_eq!(outcome.status, expected, "{token}");
        }
    }
}

#[test]
fn bad_tokens_exhaust_the_budget_before_the_provider_is_asked() {
    let mut gate = gate();
    assert_eq!(send(&mut gate, "/opaque", "good-1").status, None);
    for number in 0..5 {
        assert_eq!(send(&mut gate, "/opaque", &format!("inactive-{number}")).status, Some(401));
    }
    assert_eq!(gate.called.len(), 6);
    for token in ["inactive-9", "inactive-1", "good-2"] {
        assert_eq!(send(&mut gate, "/opaque", token).status, Some(429), "{token}");
    }
    assert_eq!(send(&mut gate, "/opaque", "good-1").status, None, "known already");
    assert_eq!(gate.called.len(), 6);
    assert_eq!(gate.status(get("/opaque").bearer("good-2").from("198.51.100.9")), None);
}

#[test]
fn a_token_that_a_route_does_not_look_at_goes_no_further() {
    let mut gate = gate();
    for request in [get("/public"), get("/keys-first").header("x-api-key", crate::gate::ORDER_TOKEN)] {
        let outcome = gate.send(request.bearer("good-1").header("cookie", "token=x.y.z"));
        assert_eq!((outcome.status, outcome.upstream("authorization")), (None, None));
        assert_eq!(outcome.upstream("cookie"), None);
    }
    assert!(gate.called.is_empty());
}

#[test]
fn a_reply_that_nobody_waits_for_lets_nobody_through() {
    let mut gate = gate();
    let request: Request = get("/opaque").bearer("good-1");
    let (mut passage, _) = gate.start(&request);
    let reply = answer(200, json!({ "active": false }).to_string());
    let Next::Reply(refused) = gate.resume_with(&mut passage, Arrival::Reply(&reply)) else { panic!("went on") };
    assert_eq!(refused.status, 401);
    let good = answer(200, json!({ "active": true, "sub": "7" }).to_string());
    assert!(matches!(gate.resume_with(&mut passage, Arrival::Reply(&good)), Next::Reply(reply) if reply.status == 503));
    assert!(passage.exchange.caller.is_none());
}
