//! Addresses that fail too often, on shared data in memory, under a clock that the tests move.

#[path = "intrusion/admin.rs"]
mod admin;
#[path = "intrusion/broken.rs"]
mod broken;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use portcullis::check::{Arrival, BodyArrival, Env};
use portcullis::denial::BlockReason;
use portcullis::event::{EventType, Severity};
use portcullis::head::Head;
use portcullis::metrics::Counter;
use portcullis::native::NativeHost;
use portcullis::pipeline::{Next, Passage};
use portcullis::response::Author;
use portcullis::time::Timestamp;
use portcullis_assembly::{Assembled, Surroundings, assemble};
use serde_json::{Value, json};
use sha2::Sha256;

const KEY: &str = "a-secret-that-is-long-enough-for-hs256-0123456789";
const START: u64 = 1_790_000_000;
const HOUR: u64 = 3600;

/// Everything on one store: a host, and workers that were configured one after the other.
struct World {
    host: NativeHost,
    workers: Vec<Assembled>,
    seconds: u64,
}

/// What became of one request.
struct Outcome {
    passage: Passage,
    next: Next,
}

impl Outcome {
    /// 200 stands for "to the upstream".
    fn status(&self) -> u16 {
        match &self.next {
            Next::Continue => 200,
            Next::Reply(reply) => reply.status,
            other => panic!("{other:?}"),
        }
    }

    fn events(&self) -> Vec<Value> {
        self.passage.exchange.lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn event(&self, kind: &str) -> Option<Value> {
        self.events().into_iter().find(|event| event["event_type"] == kind).map(|mut event| event["details"].take())
    }
}

impl World {
    fn new(intrusion: Value) -> Self {
        let mut world = Self { host: NativeHost::default(), workers: Vec::new(), seconds: 0 };
        world.configure(json!({ "intrusion": intrusion }));
        world
    }

    /// Another worker, or the next configuration, on the same shared data.
    fn configure(&mut self, changes: Value) -> usize {
        self.workers.push(configured(&self.host, changes));
        self.workers.len() - 1
    }

    fn send(&mut self, from: &str, method: &str, path: &str, headers: &[(&str, String)]) -> Outcome {
        let last = self.workers.len() - 1;
        self.send_to(last, from, method, path, headers)
    }

    fn send_to(&mut self, worker: usize, from: &str, method: &str, path: &str, headers: &[(&str, String)]) -> Outcome {
        self.host.source_address = Some(match from {
            socket if socket.starts_with('/') => socket.to_owned(),
            v6 if v6.contains(':') => format!("[{v6}]:4711"),
            v4 => format!("{v4}:4711"),
        });
        let pseudo = [(":method", method), (":path", path), (":authority", "api.example.com"), (":scheme", "https")];
        let pseudo = pseudo.into_iter().map(|(name, value)| (name, value.to_owned()));
        let head = Head::from_pairs(pseudo.chain(headers.iter().cloned()));
        let Assembled { pipeline, worker, .. } = &mut self.workers[worker];
        let now = Timestamp::from_unix_seconds(START + self.seconds);
        let (passage, next) = pipeline.begin(head, true, &mut Env { now, host: &self.host, worker });
        Outcome { passage, next }
    }

    fn answered(&mut self, outcome: &mut Outcome, status: u16) {
        let Assembled { pipeline, worker, .. } = self.workers.last_mut().unwrap();
        let now = Timestamp::from_unix_seconds(START + self.seconds);
        let mut env = Env { now, host: &self.host, worker };
        pipeline.response_head(&mut outcome.passage, status, Author::Upstream, &mut env);
    }

    fn get(&mut self, from: &str, path: &str) -> Outcome {
        self.send(from, "GET", path, &[])
    }

    /// A failure of the usual kind: a token under a wrong signature.
    fn fail(&mut self, from: &str) -> Outcome {
        self.send(from, "GET", "/things", &[bearer(&token("another key", json!({})))])
    }

    fn fail_times(&mut self, from: &str, times: usize) {
        (0..times).for_each(|_| assert_eq!(self.fail(from).status(), 401));
    }

    fn is_blocked(&mut self, from: &str) -> bool {
        self.get(from, "/public/x").status() == 403
    }

    fn counted(&self, counter: Counter) -> u64 {
        self.host.counts.borrow().get(&counter).copied().unwrap_or_default()
    }

    fn told(&self, event: EventType) -> u64 {
        self.counted(Counter::SecurityEvents(event))
    }
}

fn configured(host: &NativeHost, changes: Value) -> Assembled {
    let mut configuration = json!({
        "service": "user-service",
        "secrets": { "key": { "inline": KEY }, "token": { "inline": "order-token" } },
        "authentication": {
            "jwt": { "users": {
                "issuer": "auth", "audiences": ["api"], "algorithms": ["HS256"], "keys": [{ "secret": "key" }],
                "claims": { "subject": "sub", "roles": "roles" },
            } },
            "service": {
                "keys": [{ "secret": "key" }], "services": { "orders": { "token": { "secret": "token" } } },
                "signatures": ["v1"], "replay": { "v1": "allow" },
            },
        },
        "events": { "sample": "1000000/s" },
        "defaults": { "authenticate": ["jwt", "service"] },
        "routes": [
            { "match": { "path": "/public/**" }, "authenticate": "none" },
            { "match": { "path": "/watched/**" }, "authenticate": { "optional": ["jwt"] }, "mode": "monitor" },
            { "match": { "path": "/**" } },
        ],
    });
    for (name, value) in changes.as_object().unwrap() {
        configuration[name] = value.clone();
    }
    let surroundings = Surroundings { store: &host.store, variable: &|_| None, random: [1, 2, 3, 4] };
    let assembled = assemble(configuration.to_string().as_bytes(), &surroundings);
    assembled.unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn hmac(key: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn token(key: &str, changes: Value) -> String {
    let mut claims = json!({ "iss": "auth", "aud": "api", "sub": "ann", "exp": START + 100 * HOUR, "roles": [] });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac(key, &signed)))
}

fn bearer(token: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {token}"))
}

fn signature(name: &str, at: u64, token: &str, key: &str) -> Vec<(&'static str, String)> {
    let mac: String = hmac(key, &format!("{name}:{at}:{token}")).iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("x-service-name", name.to_owned()),
        ("x-timestamp", at.to_string()),
        ("x-service-token", token.to_owned()),
        ("x-signature", mac),
    ]
}

const CLIENT: &str = "203.0.113.7";

#[test]
fn the_fifth_failure_blocks_the_address_and_says_so() {
    let mut world = World::new(json!({}));
    world.fail_times(CLIENT, 4);
    assert!(!world.is_blocked(CLIENT));
    assert_eq!(world.told(EventType::IpBlocked), 0);
    let fifth = world.fail(CLIENT);
    assert_eq!(fifth.status(), 401, "the failure itself is answered as ever");
    let kinds: Vec<_> = fifth.events().into_iter().map(|mut event| event["event_type"].take()).collect();
    assert_eq!(kinds, ["AUTH_FAILURE", "IP_BLOCKED"]);
    let blocked = fifth.event("IP_BLOCKED").unwrap();
    assert_eq!((&blocked["ip_address"], &blocked["failed_attempts"]), (&json!(CLIENT), &json!(5)));
    assert_eq!(
        (&blocked["until"], &blocked["mode"], &blocked["network"]),
        (&json!(START + HOUR), &json!(null), &json!(null))
    );
    assert_eq!(EventType::IpBlocked.severity(), Severity::Critical);

    let good = [bearer(&token(KEY, json!({})))];
    let refused = world.send(CLIENT, "GET", "/things", &good);
    assert_eq!(refused.status(), 403);
    let denied = refused.event("ACCESS_DENIED").unwrap();
    assert_eq!((&denied["reason"], &denied["status"]), (&json!("blocked_address"), &json!(403)));
    assert_eq!(world.counted(Counter::BlockedRequests(BlockReason::BlockedAddress)), 1);
    assert_eq!(world.send("203.0.113.8", "GET", "/things", &good).status(), 200, "its neighbour is not blocked");
}

/// Five requests of one kind, then whether the address is blocked.
#[test]
fn a_body_that_is_still_awaited_is_not_looked_at_for_who_is_blocked_meanwhile() {
    let held = |world: &mut World| {
        let pairs =
            [(":method", "POST"), (":path", "/public/x"), (":authority", "api.example.com"), (":scheme", "https")];
        world.host.source_address = Some("192.0.2.1:4711".to_owned());
        let Assembled { pipeline, worker, .. } = world.workers.last_mut().unwrap();
        let now = Timestamp::from_unix_seconds(START);
        pipeline.begin(Head::from_pairs(pairs), false, &mut Env { now, host: &world.host, worker })
    };
    let arrives = |world: &mut World, passage: &mut Passage| {
        let Assembled { pipeline, worker, .. } = world.workers.last_mut().unwrap();
        let now = Timestamp::from_unix_seconds(START);
        let arrival = Arrival::Body(BodyArrival::Whole(b"{}"));
        pipeline.resume(passage, arrival, &mut Env { now, host: &world.host, worker })
    };
    for (mode, blocked) in [("enforce", true), ("monitor", false)] {
        let mut world = World::new(json!({ "mode": mode }));
        let (mut passage, next) = held(&mut world);
        assert!(matches!(next, Next::AwaitBody { .. }), "{next:?}");
        world.fail_times("192.0.2.1", 5);
        let next = arrives(&mut world, &mut passage);
        let outcome = Outcome { passage, next };
        assert_eq!(outcome.status(), if blocked { 403 } else { 200 }, "{mode}");
        assert_eq!(outcome.event("ACCESS_DENIED").is_some(), blocked, "{mode}");
    }
}

#[test]
fn counts_what_no_honest_client_does_and_nothing_else() {
    let bad = "another key";
    let tokens = [
        (Some(token(bad, json!({}))), true),
        (None, false),
        (Some(token(KEY, json!({ "exp": START - 600 }))), false),
        (Some(token(KEY, json!({ "aud": "other" }))), false),
        (Some(token(bad, json!({ "iss": "stranger" }))), false),
        (Some("garbage".to_owned()), false),
    ];
    let tokens = tokens.map(|(token, counts)| ("/things", token.iter().map(|token| bearer(token)).collect(), counts));
    let signatures = [
        ("/things", signature("orders", START, "order-token", bad), true),
        ("/things", signature("orders", START, "guess", KEY), true),
        ("/things", signature("stranger", START, "order-token", KEY), true),
        ("/things", signature("orders", START - HOUR, "order-token", KEY), false),
    ];
    let paths = [
        ("/public/x?q=%3Cscript%3Ealert(1)%3C/script%3E", true),
        ("/public/../../etc/passwd", true),
        ("/public/%252e%252e/x", true),
        ("/public/a%2fb", true),
        ("/public/a%5cb", true),
        ("/public/a%00b", true),
        ("/public/%c0%af", true),
        ("/public/a;v=1", false),
        ("/public/100%", false),
        ("/public/x", false),
        ("/nowhere/else", false),
    ];
    let paths = paths.map(|(path, counts)| (path, Vec::new(), counts));
    for (path, headers, counts) in tokens.into_iter().chain(signatures).chain(paths) {
        let mut world = World::new(json!({}));
        (0..5).for_each(|_| drop(world.send(CLIENT, "GET", path, &headers)));
        assert_eq!(world.is_blocked(CLIENT), counts, "{path} {headers:?}");
        assert_eq!(world.told(EventType::IpBlocked), u64::from(counts), "{path} {headers:?}");
    }
}

#[test]
fn the_upstreams_401_counts_and_its_other_answers_do_not() {
    for (status, counts) in [(401, true), (403, false), (429, false), (500, false), (200, false)] {
        let mut world = World::new(json!({}));
        for _ in 0..5 {
            let mut passed = world.get(CLIENT, "/public/login");
            assert_eq!(passed.status(), 200);
            world.answered(&mut passed, status);
        }
        assert_eq!(world.is_blocked(CLIENT), counts, "{status}");
    }
}

#[test]
fn counts_only_the_kinds_that_the_operator_names() {
    let mut world = World::new(json!({ "count": ["unknown_service", "bad_login"] }));
    world.fail_times(CLIENT, 10);
    assert!(!world.is_blocked(CLIENT));
    let unknown = signature("stranger", START, "order-token", KEY);
    (0..5).for_each(|_| drop(world.send(CLIENT, "GET", "/things", &unknown)));
    assert!(world.is_blocked(CLIENT));
}

#[test]
fn a_request_counts_once_whatever_it_fails_at() {
    let mut world = World::new(json!({ "mode": "monitor" }));
    for _ in 0..4 {
        let mut passed = world.send(
            CLIENT,
            "GET",
            "/watched/x?q=%3Cscript%3Ealert(1)%3C/script%3E",
            &[bearer(&token("bad", json!({})))],
        );
        assert_eq!(passed.status(), 200);
        assert_eq!(passed.events().len(), 2, "{:?}", passed.events());
        world.answered(&mut passed, 401);
    }
    assert_eq!(world.told(EventType::IpBlocked), 0);
    world.fail(CLIENT);
    assert_eq!(world.told(EventType::IpBlocked), 1);
}

#[test]
fn networks_that_are_never_blocked_are_neither_counted_nor_shut_out() {
    let mut world = World::new(json!({ "never_block": ["203.0.113.0/28", "2001:db8:a::/48"], "failures": 2 }));
    world.fail_times(CLIENT, 10);
    world.fail_times("2001:db8:a::1", 10);
    assert_eq!(world.told(EventType::IpBlocked), 0);
    assert!(!world.is_blocked(CLIENT) && !world.is_blocked("2001:db8:a::1"));
    // Allowed later, it was not counted before; blocked before, it is free as soon as it is allowed.
    world.configure(json!({ "intrusion": { "failures": 2 } }));
    world.fail_times(CLIENT, 1);
    assert!(!world.is_blocked(CLIENT));
    world.fail_times(CLIENT, 1);
    assert!(world.is_blocked(CLIENT));
    world.configure(json!({ "intrusion": { "failures": 2, "never_block": [CLIENT] } }));
    assert!(!world.is_blocked(CLIENT));
}

#[test]
fn a_block_ends_and_then_takes_as_many_failures_again() {
    let mut world = World::new(json!({ "block_for": "10m" }));
    world.fail_times(CLIENT, 5);
    world.seconds = 599;
    assert!(world.is_blocked(CLIENT));
    world.seconds = 601;
    assert!(!world.is_blocked(CLIENT));
    world.fail_times(CLIENT, 4);
    assert!(!world.is_blocked(CLIENT));
    world.fail_times(CLIENT, 1);
    assert!(world.is_blocked(CLIENT));
    assert_eq!(world.told(EventType::IpBlocked), 2);
}

#[test]
fn failures_add_up_within_their_time_only() {
    let mut world = World::new(json!({ "within": "10m" }));
    world.fail_times(CLIENT, 4);
    world.seconds = 1300;
    world.fail_times(CLIENT, 4);
    assert!(!world.is_blocked(CLIENT));
    world.fail_times(CLIENT, 1);
    assert!(world.is_blocked(CLIENT));
}

#[test]
fn a_block_for_ever_never_ends() {
    let mut world = World::new(json!({ "block_for": "forever" }));
    world.fail_times(CLIENT, 4);
    let blocked = world.fail(CLIENT).event("IP_BLOCKED").unwrap();
    assert_eq!(blocked["until"], json!(null));
    world.seconds = 20 * 365 * 24 * HOUR;
    assert!(world.is_blocked(CLIENT));
}

#[test]
fn an_ipv6_client_is_blocked_with_its_network() {
    let mut world = World::new(json!({}));
    (1..5).for_each(|n| world.fail_times(&format!("2001:db8:1:2::{n}"), 1));
    let fifth = world.fail("2001:db8:1:2:ffff::1");
    assert_eq!(fifth.event("IP_BLOCKED").unwrap()["network"], "2001:db8:1:2::/64");
    assert!(world.is_blocked("2001:db8:1:2::99"));
    assert!(!world.is_blocked("2001:db8:1:3::1"));
}

#[test]
fn workers_count_and_block_as_one() {
    let mut world = World::new(json!({}));
    let second = world.configure(json!({ "intrusion": {} }));
    let forged = [bearer(&token("another key", json!({})))];
    (0..5).for_each(|n| drop(world.send_to(n % 2, CLIENT, "GET", "/things", &forged)));
    for worker in [0, second] {
        assert_eq!(world.send_to(worker, CLIENT, "GET", "/public/x", &[]).status(), 403);
    }
    assert_eq!(world.told(EventType::IpBlocked), 1);
}

#[test]
fn blocks_and_counts_outlive_a_configuration() {
    let mut world = World::new(json!({}));
    world.fail_times(CLIENT, 5);
    world.fail_times("203.0.113.8", 4);
    world.configure(json!({ "intrusion": { "block_for": "1d" }, "routes": [{ "match": { "path": "/**" } }] }));
    assert_eq!(world.get(CLIENT, "/things").status(), 403);
    world.fail_times("203.0.113.8", 1);
    assert_eq!(world.get("203.0.113.8", "/things").status(), 403);
}

#[test]
fn monitor_mode_tells_who_would_be_blocked_and_lets_them_pass() {
    let mut world = World::new(json!({ "mode": "monitor" }));
    world.fail_times(CLIENT, 4);
    assert_eq!(world.fail(CLIENT).event("IP_BLOCKED").unwrap()["mode"], "monitor");
    let passed = world.get(CLIENT, "/public/x");
    assert_eq!(passed.status(), 200);
    let denied = passed.event("ACCESS_DENIED").unwrap();
    assert_eq!((&denied["reason"], &denied["mode"]), (&json!("blocked_address"), &json!("monitor")));
    assert_eq!(world.counted(Counter::BlockedRequests(BlockReason::BlockedAddress)), 0);
    world.fail_times(CLIENT, 10);
    assert_eq!(world.told(EventType::IpBlocked), 1, "who would be blocked is told once");
    // From the first enforced request on the count begins anew.
    world.configure(json!({ "intrusion": { "mode": "enforce" } }));
    assert!(!world.is_blocked(CLIENT));
    world.fail_times(CLIENT, 5);
    assert!(world.is_blocked(CLIENT));
}

#[test]
fn what_is_only_monitored_never_leads_to_an_enforced_block() {
    let forged = [bearer(&token("another key", json!({})))];
    for (mode, blocked) in [("enforce", 0), ("monitor", 1)] {
        let mut world = World::new(json!({ "mode": mode }));
        (0..10).for_each(|_| assert_eq!(world.send(CLIENT, "GET", "/watched/x", &forged).status(), 200));
        assert_eq!(world.told(EventType::IpBlocked), blocked, "{mode}");
        assert!(!world.is_blocked(CLIENT), "{mode}");
    }
}

#[test]
fn off_neither_counts_nor_blocks() {
    let mut world = World::new(json!({}));
    world.fail_times("203.0.113.9", 5);
    world.configure(json!({ "intrusion": { "mode": "off" } }));
    world.fail_times(CLIENT, 10);
    assert!(!world.is_blocked(CLIENT) && !world.is_blocked("203.0.113.9"));
    world.configure(json!({}));
    assert!(!world.is_blocked("203.0.113.9"), "without the section nobody is blocked");
    world.configure(json!({ "intrusion": {} }));
    assert!(world.is_blocked("203.0.113.9") && !world.is_blocked(CLIENT));
}

#[test]
fn failures_that_were_on_their_way_neither_prolong_a_block_nor_tell_it_again() {
    let mut world = World::new(json!({ "block_for": "10m" }));
    let mut late: Vec<_> = (0..10).map(|_| world.get(CLIENT, "/public/login")).collect();
    world.fail_times(CLIENT, 5);
    world.seconds = 300;
    late.iter_mut().for_each(|outcome| world.answered(outcome, 401));
    assert_eq!(world.told(EventType::IpBlocked), 1);
    world.seconds = 601;
    assert!(!world.is_blocked(CLIENT));
}

#[test]
fn peers_without_an_address_are_never_blocked_together() {
    let mut world = World::new(json!({}));
    world.fail_times("/run/envoy.sock", 10);
    assert_eq!(world.told(EventType::IpBlocked), 0);
    assert!(!world.is_blocked("/run/envoy.sock"));
}

/// A blocked address holds its place whatever number of others fail, and what gives way is said.
#[test]
fn a_flood_of_failing_addresses_cannot_free_a_blocked_one() {
    let mut world = World::new(json!({ "failures": 1, "block_for": "1d" }));
    world.configure(json!({ "intrusion": { "failures": 1 }, "tables": { "blocks": 64, "addresses": 64 } }));
    world.fail_times(CLIENT, 1);
    let keys = world.host.store.keys();
    let mut failed = 0;
    for n in 0..1_000_u32 {
        // Spread over the whole space, and some of one network.
        let bits = if n % 4 == 0 { 0x0a00_0000 + n } else { n.wrapping_mul(0x9E37_79B1) | 0x8000_0000 };
        let address = std::net::Ipv4Addr::from_bits(bits).to_string();
        failed += u32::from(world.fail(&address).status() == 401);
    }
    assert!(failed > 200, "{failed}");
    assert!(world.is_blocked(CLIENT));
    assert!(world.told(EventType::Degraded) > 0);
    let reasons = ["blocks_table_full", "no_room_to_block"];
    let lines = world.host.lines.borrow();
    for reason in reasons {
        assert!(lines.iter().any(|line| line.contains(reason)), "{reason}");
    }
    assert!(world.host.store.keys() < keys + 200, "memory is bounded: {}", world.host.store.keys());
}
