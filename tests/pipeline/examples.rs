//! The configurations in `envoy/examples`, against series of requests: what the web framework's throttles, the limiter and
//! the mesh's policy that they stand for would have said.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use portcullis::jose::algorithm::Algorithm;
use serde_json::{Value, json};

use crate::gate::{Gate, Request, START, USERS_KEY, get, post, signed_with};
use crate::peers::connect;

fn example(name: &str) -> Gate {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("envoy/examples").join(name);
    Gate::bare(&fs::read_to_string(path).unwrap())
}

fn user(id: u64, roles: &[&str]) -> String {
    let claims = json!({
        "iss": "https://auth.example.com", "aud": "microservices-api", "exp": START + 100_000, "type": "access",
        "user_id": id, "roles": roles,
    });
    signed_with(Algorithm::Hs256, USERS_KEY, &claims)
}

/// The framework's throttle: the times of the admissions within one period, the newest first; refused requests leave no
/// trace.
struct Throttle {
    limit: usize,
    period: u64,
    history: VecDeque<u64>,
}

impl Throttle {
    fn new(limit: usize, period: u64) -> Self {
        Self { limit, period, history: VecDeque::new() }
    }

    fn allows(&mut self, now: u64) -> bool {
        while self.history.back().is_some_and(|at| *at + self.period <= now) {
            self.history.pop_back();
        }
        self.history.len() < self.limit
    }
}

/// Requests at these seconds: how many the gate and the throttles admitted of each thousand, and never one more than the
/// throttles within any period.
fn replay(gate: &mut Gate, throttles: &mut [Throttle], seconds: impl Iterator<Item = u64>, send: impl Fn() -> Request) {
    let (mut ours, mut theirs, mut at) = (0_u32, 0_u32, 0);
    let mut admitted: Vec<u64> = Vec::new();
    for second in seconds {
        gate.wait(second - at);
        at = second;
        if gate.status(send()).is_none() {
            ours += 1;
            admitted.push(second);
        }
        if throttles.iter_mut().all(|throttle| throttle.allows(second)) {
            theirs += 1;
            throttles.iter_mut().for_each(|throttle| throttle.history.push_front(second));
        }
    }
    for throttle in throttles {
        let within = |start: u64| admitted.iter().filter(|at| (start..start + throttle.period).contains(at)).count();
        assert!(admitted.iter().all(|start| within(*start) <= throttle.limit), "more than the throttle's limit");
    }
    assert!(ours <= theirs && ours * 50 >= theirs * 49, "{ours} here, {theirs} there");
}

#[test]
fn anonymous_callers_get_a_hundred_an_hour_by_address() {
    let mut gate = example("throttles.yaml");
    // One every ten seconds: the hundred are gone after a quarter of an hour, and come back an hour after they were used.
    replay(&mut gate, &mut [Throttle::new(100, 3600)], (0..900).map(|n| n * 10), || get("/api/a").from("192.0.2.1"));
    assert_eq!(example("throttles.yaml").status(get("/api/a").from("192.0.2.2")), None);
}

#[test]
fn known_callers_get_the_rate_of_their_group_whatever_their_address() {
    let mut gate = example("throttles.yaml");
    let throttles = &mut [Throttle::new(1000, 3600), Throttle::new(20, 1)];
    let token = user(7, &[]);
    replay(&mut gate, throttles, (0..150).flat_map(|n| [2 * n; 18]), || get("/api/a").bearer(&token));
    assert_eq!(gate.status(get("/api/a").bearer(&user(8, &[]))), None, "a colleague");
    for (id, roles, policy) in [(9, &["user"][..], 1000), (10, &["pro"], 5000), (11, &["pro", "premium"], 10_000)] {
        let admitted = gate.send(get("/api/a").bearer(&user(id, roles)));
        let told = admitted.response("ratelimit-policy").unwrap().to_owned();
        assert!(told.contains(&format!("q={policy};w=3600")), "{roles:?}: {told}");
    }
}

#[test]
fn a_burst_is_cut_for_everybody_and_charged_to_nothing_else() {
    let mut gate = example("throttles.yaml");
    let token = user(7, &[]);
    let throttles = &mut [Throttle::new(1000, 3600), Throttle::new(20, 1)];
    replay(&mut gate, throttles, (0..90).step_by(3).flat_map(|second| [second; 60]), || get("/api/a").bearer(&token));
}

#[test]
fn the_limiter_admits_a_hundred_in_a_quarter_of_an_hour_from_one_address() {
    let mut gate = example("address-limiter.yaml");
    replay(&mut gate, &mut [Throttle::new(100, 900)], (0..1500).map(|n| n * 3), || {
        post("/api/v1/auth/login").from("[2001:db8:1:2::3]")
    });
    let mut gate = example("address-limiter.yaml");
    let admitted = (0..200).filter(|n| gate.status(get("/public/a").from(&format!("[2001:db8::{n:x}]"))).is_none());
    assert_eq!(admitted.count(), 100, "addresses of one /64 are one client");
    assert_eq!(gate.status(get("/public/a").from("[2001:db8:0:1::1]")), None);
}

#[test]
fn who_comes_back_when_told_to_gets_through() {
    for (name, path) in [("address-limiter.yaml", "/public/a"), ("throttles.yaml", "/api/a")] {
        let mut gate = example(name);
        let (mut admitted, mut refused) = (0, 0);
        while admitted < 400 {
            let outcome = gate.send(get(path));
            match outcome.status {
                None => {
                    admitted += 1;
                    assert!(refused < 2, "{name}: refused although it waited");
                    refused = 0;
                }
                Some(status) => {
                    assert_eq!(status, 429);
                    refused += 1;
                    assert!(refused < 2, "{name}: refused although it waited");
                    gate.wait(outcome.response("retry-after").unwrap().parse().unwrap());
                }
            }
        }
    }
}

#[test]
fn what_is_refused_says_which_limit_and_how_much_is_left() {
    let mut gate = example("throttles.yaml");
    let token = user(7, &["pro"]);
    let outcome = gate.send(get("/api/a").bearer(&token));
    assert!(outcome.response("ratelimit-policy").unwrap().contains("q=5000;w=3600"));
    for _ in 0..30 {
        gate.status(get("/api/a").bearer(&token));
    }
    let refused = gate.send(get("/api/a").bearer(&token));
    assert_eq!(refused.status, Some(429));
    let event: &Value = &refused.events[0];
    assert_eq!((&event["event_type"], &event["details"]["limit"]), (&json!("RATE_LIMITED"), &json!("per_user")));
}

const ORDER_SERVICE: &str = "spiffe://cluster.local/ns/microservices/sa/order-service";

/// The mesh's policy with the action ALLOW: a source, a method and a path of the lists, or 403.
fn mesh_allows(source: Option<&str>, method: &str, path: &str) -> bool {
    let sources = ["cluster.local/ns/microservices/sa/order-service", "cluster.local/ns/microservices/sa/api-gateway"];
    let source = source.and_then(|uri| uri.strip_prefix("spiffe://"));
    source.is_some_and(|source| sources.contains(&source))
        && ["GET", "POST", "PUT", "DELETE"].contains(&method)
        && path.strip_prefix("/api/v1/users/").is_some()
}

#[test]
fn the_service_policy_says_what_the_meshs_policy_says() {
    let mut gate = example("service-policy.yaml");
    let sources = [
        Some(ORDER_SERVICE),
        Some("spiffe://cluster.local/ns/microservices/sa/api-gateway"),
        Some("spiffe://cluster.local/ns/microservices/sa/order-service-2"),
        Some("spiffe://cluster.local/ns/microservices/sa/user-service"),
        Some("spiffe://cluster.local/ns/default/sa/order-service"),
        Some("spiffe://example.org/ns/microservices/sa/order-service"),
        None,
    ];
    let paths = [
        "/api/v1/users/7",
        "/api/v1/users/7/orders/8",
        "/api/v1/users",
        "/api/v1/users2/7",
        "/api/v1/orders/7",
        "/api/v2/users/7",
        "/",
    ];
    let mut admitted = 0;
    for source in sources {
        gate.host.peer_certificate.clear();
        if let Some(uri) = source {
            connect(&mut gate, uri, 1);
        }
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"] {
            for path in paths {
                let allowed = mesh_allows(source, method, path);
                let outcome = gate.send(Request::new(method, path));
                assert_eq!(
                    outcome.status,
                    (!allowed).then_some(403),
                    "{source:?} {method} {path} {:?}",
                    outcome.events
                );
                admitted += u32::from(allowed);
            }
        }
    }
    assert_eq!(admitted, 2 * 4 * 2);
}

#[test]
fn the_service_policy_takes_no_word_for_a_certificate() {
    let mut gate = example("service-policy.yaml");
    let told = |outcome: crate::gate::Outcome| (outcome.status, outcome.events[0]["details"]["rule"].clone());
    let path = "/api/v1/users/7";
    assert_eq!(
        told(gate.send(get(path).header("x-forwarded-client-cert", format!("URI={ORDER_SERVICE}")))).0,
        Some(403)
    );
    connect(&mut gate, ORDER_SERVICE, 0);
    assert_eq!(told(gate.send(get(path))).0, Some(403), "presented, not verified");
    connect(&mut gate, "spiffe://cluster.local/ns/microservices/sa/cart-service", 1);
    assert_eq!(told(gate.send(get(path))), (Some(403), json!("routes[0].allow")));
    connect(&mut gate, ORDER_SERVICE, 1);
    assert_eq!(gate.status(get("/api/v1/orders/../users/7")), None, "the path that the upstream gets");
    assert_eq!(told(gate.send(get("/api/v1/users/7/../../orders"))), (Some(403), json!("unmatched")));
}
