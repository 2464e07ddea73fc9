//! What is measured, and the trace that an event belongs to.

use serde_json::json;

use crate::gate::{CALLERS, Gate, answer, get, user};

const ROUTES: &str = "
tokens: { keys: [{ secret: users_key }], access_lifetime: 5m, login: { verify: { cluster: users, uri: http://users/verify } } }
routes:
  - { match: { path: /open }, authenticate: none }
  - { match: { path: \"/**\" }, authenticate: [jwt.users, service], allow: [{ roles: [user] }, { principals: [\"service:*\"] }] }
";

fn seen(gate: &mut Gate, request: crate::gate::Request) {
    let mut outcome = gate.send(request);
    let status = outcome.status.unwrap_or(200);
    gate.finish(&mut outcome, status);
}

#[test]
fn active_sessions_are_the_different_callers_within_the_lifetime_of_a_token() {
    let mut gate = Gate::new(ROUTES);
    let token = |id: u32| user(json!({ "user_id": id, "roles": ["user"] }));
    assert_eq!(gate.gauge("active_sessions"), Some(0));
    for id in [1, 2, 2, 3, 1] {
        seen(&mut gate, get("/a").bearer(&token(id)));
    }
    seen(&mut gate, get("/a").signed("order-service"));
    seen(&mut gate, get("/a"));
    seen(&mut gate, get("/a").bearer("forged"));
    seen(&mut gate, get("/open"));
    assert_eq!(gate.gauge("active_sessions"), Some(4));
    // Somebody is somebody, whatever is allowed.
    seen(&mut gate, get("/a").bearer(&user(json!({ "user_id": 9 }))));
    assert_eq!(gate.gauge("active_sessions"), Some(5));
    gate.wait(200);
    seen(&mut gate, get("/a").bearer(&token(1)));
    gate.wait(180);
    assert_eq!(gate.gauge("active_sessions"), Some(1));
}

#[test]
fn the_age_of_keys_and_secrets_runs_from_the_last_good_answer_or_the_start() {
    let yaml = CALLERS.replace(
        "secrets:\n",
        "secrets:\n  stored: { vault: { cluster: vault, path: secret/data/a, field: f, token: { env: USERS_KEY } }, refresh: 60s }\n",
    );
    let yaml = yaml.replace(
        "    plain:\n",
        "    remote:\n      issuer: https://r.example\n      algorithms: [RS256]\n      jwks: { cluster: idp, uri: https://r.example/jwks }\n    plain:\n",
    );
    let mut gate = Gate::bare(&format!("{yaml}{ROUTES}"));
    assert_eq!(gate.gauge("secret_age_seconds~name=stored"), Some(0));
    gate.tick(|_| answer(503, ""));
    gate.wait(7);
    let gauges = ["secret_age_seconds~name=stored", "secret_failures~name=stored", "jwks_age_seconds~name=remote"];
    assert_eq!(gauges.map(|name| gate.gauge(name)), [Some(7), Some(1), Some(7)]);
    gate.tick(|callout| match &*callout.cluster {
        "vault" => answer(200, r#"{"data":{"data":{"f":"value"},"metadata":{"version":1}}}"#),
        _ => answer(500, ""),
    });
    gate.wait(3);
    assert_eq!(gauges.map(|name| gate.gauge(name)), [Some(3), Some(0), Some(10)]);
}

#[test]
fn the_use_of_a_table_is_seen_and_there_is_none_for_what_is_not_there() {
    let sections = "
tables: { addresses: 64, limits: 64 }
limits: { l: { key: [client_ip], rate: 100/m } }
routes: [{ match: { path: \"/**\" }, authenticate: none, limits: [l] }]";
    let mut gate = Gate::new(sections);
    assert_eq!(gate.gauge("table_use_percent~name=addresses"), Some(0));
    for host in 1..=32 {
        gate.send(get("/a").from(&format!("192.0.2.{host}")));
    }
    for _ in 0..100 {
        gate.gauge("active_sessions");
    }
    let half = gate.gauge("table_use_percent~name=addresses").unwrap();
    assert!((35..=65).contains(&half), "{half}");
    assert_eq!(gate.gauge("table_use_percent~name=limits"), Some(0));
    assert_eq!(gate.gauge("table_use_percent~name=blocks"), None);
}

#[test]
fn an_event_names_the_trace_that_the_request_belongs_to() {
    let mut gate = Gate::new(ROUTES);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let outcome = gate.send(get("/a").header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01")));
    assert_eq!(outcome.events[0]["details"]["trace_id"], json!(trace));
    let outcome = gate.send(get("/a").header("traceparent", format!("00-{trace}-\"}},{{-01")));
    assert_eq!(outcome.events[0]["details"].get("trace_id"), None);
}
