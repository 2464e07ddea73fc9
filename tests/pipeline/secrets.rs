//! Secrets that come from a store: who waits, who is refused, and what a rotation changes.

use std::rc::Rc;
use std::time::Duration;

use portcullis::check::{Arrival, BodyArrival, Call, Callout, CalloutReply, Env};
use portcullis::exchange::HeaderEdit;
use portcullis::head::Head;
use portcullis::jose::algorithm::Algorithm;
use portcullis::native::NativeHost;
use portcullis::pipeline::{Next, Passage, Pipeline};
use portcullis::secrets::SecretSlot;
use portcullis::time::Timestamp;
use portcullis::worker::Worker;
use portcullis_assembly::{Surroundings, assemble};
use portcullis_cli::document;
use serde_json::{Value, json};

use crate::gate::{START, signed_with};

const CONFIGURATION: &str = r#"
service: user-service
secrets:
  jwt_key: { vault: { cluster: vault, path: secret/data/jwt, field: key, token: { env: VAULT_TOKEN } } }
  service_key: { vault: { cluster: vault, path: secret/data/service, field: key, token: { env: VAULT_TOKEN } } }
  order_token: { vault: { cluster: vault, path: secret/data/order, field: token, token: { env: VAULT_TOKEN } } }
authentication:
  jwt: { users: { algorithms: [HS256], keys: [{ secret: jwt_key }], claims: { subject: sub, roles: roles } } }
  service: { keys: [{ secret: service_key }], services: { orders: { token: { secret: order_token } } }, signatures: [v1] }
intrusion: { failures: 10000, admin: { roles: [admin] } }
routes:
  - match: { path: /jwt }
    authenticate: [jwt]
  - match: { path: /service }
    authenticate: [service]
"#;

const OLD: &str = "old-key-0123456789abcdef0123456789abcdef";
const NEW: &str = "new-key-0123456789abcdef0123456789abcdef";

struct World {
    pipeline: Pipeline,
    secrets: Vec<Rc<SecretSlot>>,
    worker: Worker,
    host: NativeHost,
    now: Timestamp,
    /// What the store says, by the path that it is asked for; what is not here is not answered.
    store: Vec<(&'static str, String)>,
    asked: usize,
}

impl World {
    fn new() -> Self {
        Self::of(CONFIGURATION)
    }

    fn of(configuration: &str) -> Self {
        let found = document::configurations(configuration).unwrap();
        let host = NativeHost { source_address: Some("203.0.113.7:1".to_owned()), ..NativeHost::default() };
        let variable = |_: &str| Some("s.vault-token".to_owned());
        let surroundings = Surroundings { store: &host.store, variable: &variable, random: [1, 2, 3, 4] };
        let assembled = assemble(found[0].json.as_ref().unwrap(), &surroundings);
        let assembled = assembled.unwrap_or_else(|errors| panic!("{errors:?}"));
        let (pipeline, worker, secrets) = (assembled.pipeline, assembled.worker, assembled.secrets);
        let (now, store) = (Timestamp::from_unix_seconds(START), Vec::new());
        Self { pipeline, secrets, worker, host, now, store, asked: 0 }
    }

    fn holds(mut self, key: &str) -> Self {
        self.store = vec![("jwt", key.to_owned()), ("service", key.to_owned()), ("order", "order-token".to_owned())];
        self
    }

    fn answer(&mut self, callout: &Callout) -> CalloutReply {
        if &*callout.cluster == "users" {
            let account = json!({ "id": 7, "username": "ann", "email": "a@b", "roles": [], "is_active": true });
            return CalloutReply::Answered { status: 200, body: account.to_string().into_bytes() };
        }
        self.asked += 1;
        let Call::Http { headers } = &callout.call else { panic!() };
        let path = &headers.iter().find(|(name, _)| name == ":path").unwrap().1;
        let held = self.store.iter().find(|(secret, _)| path.ends_with(secret));
        held.map_or(CalloutReply::Lost, |(_, value)| CalloutReply::Answered {
            status: 200,
            body: json!({ "data": { "data": { "key": value, "token": value } } }).to_string().into_bytes(),
        })
    }

    /// Passes so many seconds, and does what is due in the background after each.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.now = self.now.after(Duration::from_secs(1));
            for task in self.pipeline.background.clone() {
                let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
                let Some(callout) = task.due(&mut env) else { continue };
                let reply = self.answer(&callout);
                let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
                assert_eq!(task.arrived(&reply, &mut env), None);
            }
            let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
            self.pipeline.tell_background(&mut env);
        }
    }

    fn begin(&mut self, method: &str, path: &str, headers: &[(&str, String)]) -> (Passage, Next) {
        let pairs = [(":method", method), (":path", path), (":authority", "h"), (":scheme", "https")];
        let pairs = pairs.map(|(name, value)| (name, value.to_owned()));
        let head = Head::from_pairs(pairs.iter().chain(headers).map(|(name, value)| (name, value)));
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        self.pipeline.begin(head, true, &mut env)
    }

    /// Status, `Retry-After` and body of the reply; 200 for what goes on.
    fn send(&mut self, method: &str, path: &str, headers: &[(&str, String)]) -> (u16, String, String) {
        let (mut passage, mut next) = self.begin(method, path, headers);
        while let Next::Call(callout) = next {
            let reply = self.answer(&callout);
            let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
            next = self.pipeline.resume(&mut passage, Arrival::Reply(&reply), &mut env);
        }
        match next {
            Next::Continue => (200, String::new(), String::new()),
            Next::Reply(reply) => {
                let retry = reply.headers.iter().find(|(name, _)| name == "retry-after");
                (reply.status, retry.map_or_else(String::new, |(_, value)| value.to_string()), reply.body)
            }
            other => panic!("{other:?}"),
        }
    }

    fn bearer(&mut self, key: &str) -> u16 {
        self.send("GET", "/jwt", &[bearer(key, json!({}))]).0
    }

    fn signed(&mut self, key: &str) -> u16 {
        use hmac::{Hmac, Mac};
        let at = self.now.unix_seconds();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("orders:{at}:order-token").as_bytes());
        let mac: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = [("x-service-name", "orders"), ("x-service-token", "order-token"), ("x-signature", &mac)];
        let mut headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        headers.push(("x-timestamp", at.to_string()));
        self.send("GET", "/service", &headers).0
    }

    /// A token that is issued now.
    fn login(&mut self) -> (&'static str, String) {
        let pairs = [(":method", "POST"), (":path", "/auth/login"), (":authority", "h"), (":scheme", "https")];
        let head = Head::from_pairs(pairs.into_iter().chain([("content-type", "application/json")]));
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        let (mut passage, mut next) = self.pipeline.begin(head, false, &mut env);
        loop {
            let body = BodyArrival::Whole(br#"{"username":"ann","password":"x"}"#);
            let reply = if let Next::Call(callout) = &next { self.answer(callout) } else { CalloutReply::Lost };
            let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
            next = match next {
                Next::AwaitBody { .. } => self.pipeline.resume(&mut passage, Arrival::Body(body), &mut env),
                Next::Call(_) => self.pipeline.resume(&mut passage, Arrival::Reply(&reply), &mut env),
                Next::Reply(reply) => {
                    let said: Value = serde_json::from_str(&reply.body).unwrap();
                    return ("authorization", format!("Bearer {}", said["access_token"].as_str().unwrap()));
                }
                Next::Continue => panic!(),
            };
        }
    }

    /// The signature with which a request leaves now.
    fn signature(&mut self) -> Vec<(&'static str, String)> {
        let (passage, next) = self.begin("GET", "/leaves", &[]);
        assert_eq!(next, Next::Continue);
        let set = |wanted: &str| {
            passage.exchange.request_edits.iter().find_map(|edit| match edit {
                HeaderEdit::Set(name, value) if &**name == wanted => Some(String::from_utf8(value.clone()).unwrap()),
                _ => None,
            })
        };
        let names = ["x-service-name", "x-service-token", "x-timestamp", "x-signature"];
        names.into_iter().map(|name| (name, set(name).unwrap())).collect()
    }

    fn told(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.host.lines.borrow_mut());
        let of = |line: &String| {
            let event: Value = serde_json::from_str(line).unwrap();
            let words = [&event["event_type"], &event["details"]["reason"], &event["details"]["dependency"]];
            words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
        };
        lines.iter().map(of).collect()
    }
}

fn bearer(key: &str, changes: Value) -> (&'static str, String) {
    let mut claims = json!({ "sub": "7", "exp": START + 86_400 });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    ("authorization", format!("Bearer {}", signed_with(Algorithm::Hs256, key, &claims)))
}

#[test]
fn without_a_secret_a_request_passes_in_monitor_mode_alone_and_is_nobodys() {
    for (mode, status) in [("enforce", 503), ("monitor", 200)] {
        let watched = format!("authenticate: [jwt]\n    mode: {mode}");
        let mut world = World::of(&CONFIGURATION.replace("authenticate: [jwt]", &watched));
        assert_eq!(world.bearer(OLD), status, "{mode}");
        assert_eq!(world.told(), ["DEGRADED unavailable secrets.jwt_key"]);
        world.now = world.now.after(Duration::from_secs(5));
        let (mut passage, next) = world.begin("GET", "/jwt", &[bearer(OLD, json!({}))]);
        let Next::Call(_) = next else { panic!("{next:?}") };
        let mut env = Env { now: world.now, host: &world.host, worker: &mut world.worker };
        let _ = world.pipeline.resume(&mut passage, Arrival::Reply(&CalloutReply::Lost), &mut env);
        assert!(passage.exchange.caller.is_none(), "{mode}");
    }
}

#[test]
fn a_request_before_the_first_value_waits_for_it() {
    let mut world = World::new().holds(OLD);
    assert_eq!((world.bearer(OLD), world.asked), (200, 1));
    assert_eq!((world.signed(OLD), world.asked), (200, 3), "the key and the token");
    assert_eq!((world.bearer(OLD), world.signed(OLD), world.asked), (200, 200, 3));
    assert_eq!((world.bearer(NEW), world.signed(NEW)), (401, 401));
}

#[test]
fn the_credentials_stay_until_they_were_judged_and_go_no_further_then() {
    let mut world = World::new().holds(OLD);
    let (mut passage, next) = world.begin("GET", "/jwt", &[bearer(OLD, json!({}))]);
    let Next::Call(callout) = next else { panic!("{next:?}") };
    assert_eq!(callout.flight.as_deref(), Some("secrets/jwt_key"), "shared by all that wait");
    assert!(passage.exchange.request_edits.is_empty());
    let reply = world.answer(&callout);
    let mut env = Env { now: world.now, host: &world.host, worker: &mut world.worker };
    assert_eq!(world.pipeline.resume(&mut passage, Arrival::Reply(&reply), &mut env), Next::Continue);
    assert!(!passage.exchange.request_edits.is_empty());
}

#[test]
fn what_cannot_be_judged_without_a_secret_is_503_and_nobodys_fault() {
    let mut world = World::new();
    for _ in 0..5 {
        let (status, retry_after, _) = world.send("GET", "/jwt", &[bearer(OLD, json!({}))]);
        assert_eq!((status, &*retry_after), (503, "5"));
    }
    assert_eq!(world.asked, 1, "after a failure nobody waits in vain");
    assert_eq!(world.signed(OLD), 503);
    assert_eq!(world.told().first().map(String::as_str), Some("DEGRADED unavailable secrets.jwt_key"));
    world.store = World::new().holds(OLD).store;
    world.pass(2);
    assert_eq!((world.bearer(OLD), world.signed(OLD)), (200, 200));
}

#[test]
fn what_no_secret_could_make_good_is_refused_without_one() {
    let mut world = World::new();
    assert_eq!(world.send("GET", "/jwt", &[("authorization", "Bearer x.y.z".to_owned())]).0, 401);
    assert_eq!(world.send("GET", "/jwt", &[]).0, 401);
    assert_eq!(world.asked, 0);
}

#[test]
fn a_rotation_refuses_no_good_token_and_ends() {
    let mut world = World::new().holds(OLD);
    world.pass(1);
    assert_eq!((world.bearer(OLD), world.signed(OLD)), (200, 200));
    world = world.holds(NEW);
    let (mut refused_new, mut accepted_both) = (0, 0);
    for _ in 0..1301 {
        world.pass(1);
        match (world.bearer(OLD), world.bearer(NEW), world.signed(OLD)) {
            (200, 401, _) => refused_new += 1,
            (200, 200, _) => accepted_both += 1,
            (401, 200, _) => break,
            other => panic!("{other:?}"),
        }
    }
    // The service's key was read again at a time of its own.
    world.pass(60);
    assert!((200..=300).contains(&refused_new), "{refused_new}: not yet read again");
    assert!((920..=931).contains(&accepted_both), "{accepted_both}: the overlap");
    assert_eq!((world.bearer(OLD), world.signed(OLD)), (401, 401), "a token that was remembered is none any more");
    assert_eq!((world.bearer(NEW), world.signed(NEW)), (200, 200));
}

const ISSUING: &str = r#"
service: user-service
secrets:
  jwt_key: { vault: { cluster: vault, path: secret/data/jwt, field: key, token: { env: VAULT_TOKEN } } }
  service_key: { vault: { cluster: vault, path: secret/data/service, field: key, token: { env: VAULT_TOKEN } } }
  order_token: { vault: { cluster: vault, path: secret/data/order, field: token, token: { env: VAULT_TOKEN } } }
authentication:
  jwt:
    users: { issuer: "https://u.example.com", algorithms: [HS256], keys: [{ secret: jwt_key }], claims: { subject: user_id } }
  service: { keys: [{ secret: service_key }], services: { orders: { token: { secret: order_token } } }, signatures: [v1] }
tokens:
  issuer: https://u.example.com
  keys: [{ secret: jwt_key }]
  login: { verify: { cluster: users, uri: "http://users/verify" } }
outbound: { sign: { service: orders, token: { secret: order_token }, keys: [{ secret: service_key }], signature: v1 } }
routes:
  - { match: { path: /jwt }, authenticate: [jwt] }
  - { match: { path: /service }, authenticate: [service] }
  - { match: { path: /leaves }, authenticate: none }
"#;

#[test]
fn through_a_rotation_no_worker_refuses_what_another_issues_or_signs() {
    let mut first = World::of(ISSUING).holds(OLD);
    first.pass(110);
    let mut second = World::of(ISSUING).holds(OLD);
    second.now = first.now;
    let pass = |first: &mut World, second: &mut World| {
        first.pass(3);
        second.pass(3);
    };
    (0..30).for_each(|_| pass(&mut first, &mut second));
    (first, second) = (first.holds(NEW), second.holds(NEW));
    first.store[2].1 = "another-token".to_owned();
    second.store[2].1 = "another-token".to_owned();
    for moment in 0..500 {
        pass(&mut first, &mut second);
        let issued = [first.login(), second.login()];
        let signed = [first.signature(), second.signature()];
        for world in [&mut first, &mut second] {
            let opened = issued.each_ref().map(|token| world.send("GET", "/jwt", std::slice::from_ref(token)).0);
            let let_in = signed.each_ref().map(|signature| world.send("GET", "/service", signature).0);
            assert_eq!((opened, let_in), ([200, 200], [200, 200]), "{moment}");
        }
    }
    for world in [&first, &second] {
        let signing = world.secrets.iter().map(|slot| slot.signing().unwrap());
        let signing: Vec<_> = signing.map(|value| String::from_utf8(value.reveal().to_vec()).unwrap()).collect();
        assert_eq!(signing, [NEW, "another-token", NEW]);
        assert_eq!(world.told(), Vec::<String>::new());
    }
}

#[test]
fn while_a_token_is_missing_the_services_that_are_known_and_those_that_are_not_fare_alike() {
    let fare = |token_is_there: bool| {
        let mut world = World::new().holds(OLD);
        world.store.retain(|(name, _)| token_is_there || *name != "order");
        world.pass(1);
        let at = world.now.unix_seconds().to_string();
        ["orders", "strangers"].map(|name| {
            let headers = [("x-service-name", name), ("x-service-token", "t"), ("x-signature", "00")];
            let headers = headers.into_iter().chain([("x-timestamp", &*at)]);
            let headers: Vec<_> = headers.map(|(name, value)| (name, value.to_owned())).collect();
            world.send("GET", "/service", &headers).0
        })
    };
    assert_eq!((fare(true), fare(false)), ([401, 401], [503, 503]));
}

#[test]
fn while_a_token_is_missing_a_code_that_no_key_made_is_charged_and_one_that_a_key_made_is_not() {
    let mut world = World::of(&CONFIGURATION.replace("  jwt:", "  unverified_credentials: 3/m\n  jwt:"));
    world.store = vec![("service", OLD.to_owned())];
    world.pass(2);
    assert_eq!([(); 9].map(|()| world.signed(OLD)), [503; 9]);
    assert_eq!([(); 5].map(|()| world.signed(NEW)), [503, 503, 503, 429, 429]);
    let mut keyless = World::of(&CONFIGURATION.replace("  jwt:", "  unverified_credentials: 3/m\n  jwt:"));
    keyless.store = vec![("order", "order-token".to_owned())];
    keyless.pass(2);
    assert_eq!([(); 9].map(|()| keyless.signed(NEW)), [503; 9], "which keys there are is not known");
}

#[test]
fn a_value_of_no_use_leaves_the_last_good_one_to_encrypt_and_to_sign() {
    let configuration = r#"
service: user-service
secrets:
  pii_key: { vault: { cluster: vault, path: secret/data/jwt, field: key, token: { env: VAULT_TOKEN } } }
  service_key: { vault: { cluster: vault, path: secret/data/service, field: key, token: { env: VAULT_TOKEN } } }
  order_token: { vault: { cluster: vault, path: secret/data/order, field: token, token: { env: VAULT_TOKEN } } }
encryption: { keys: [{ secret: pii_key }] }
outbound: { sign: { service: orders, token: { secret: order_token }, keys: [{ secret: service_key }], signature: v1 } }
routes: [{ match: { path: /leaves }, authenticate: none, body: { encrypt: [a] } }]
"#;
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let mut world = World::of(configuration).holds(key);
    world.pass(1);
    world = world.holds("no-key");
    world.store[2].1 = "order-token\n".to_owned();
    world.pass(1300);
    let current = world.secrets.iter().map(|slot| slot.accepted().iter().map(|v| v.reveal().len()).collect::<Vec<_>>());
    assert_eq!(current.collect::<Vec<_>>(), [vec!["order-token".len()], vec![key.len()], vec!["no-key".len()]]);
    assert_eq!(world.signature()[1].1, "order-token");
    let mut told = world.told();
    told.sort();
    assert_eq!(told, ["order_token", "pii_key"].map(|name| format!("DEGRADED secret_malformed secrets.{name}")));
}

#[test]
fn a_store_that_is_away_leaves_everything_as_it_was_and_is_told_once() {
    let mut world = World::new().holds(OLD);
    world.pass(1);
    world.store.clear();
    world.pass(900);
    assert_eq!((world.bearer(OLD), world.signed(OLD)), (200, 200));
    let secrets = ["jwt_key", "order_token", "service_key"];
    let mut told = world.told();
    told.sort();
    assert_eq!(told, secrets.map(|name| format!("DEGRADED secret_unreachable secrets.{name}")));
    world = world.holds(OLD);
    world.pass(61);
    let mut told = world.told();
    told.sort();
    assert_eq!(told, secrets.map(|name| format!("DEGRADED secret_recovered secrets.{name}")));
}

#[test]
fn an_admin_and_nobody_else_has_every_secret_read_again() {
    let mut world = World::new().holds(OLD);
    world.pass(1);
    world = world.holds(NEW);
    let path = "/.portcullis/secrets/refresh";
    let admin = [bearer(OLD, json!({ "roles": ["admin"] }))];
    assert_eq!(world.send("POST", path, &[]).0, 401);
    assert_eq!(world.send("POST", path, &[bearer(OLD, json!({}))]).0, 403);
    assert_eq!(world.send("GET", path, &admin).0, 405);
    assert_eq!(world.send("POST", &format!("{path}/x"), &admin).0, 404);
    assert_eq!(world.send("POST", "/.portcullis/secrets", &admin).0, 404);
    let asked = world.asked;
    world.pass(5);
    assert_eq!((world.asked, world.bearer(NEW)), (asked, 401));
    let (status, _, body) = world.send("POST", path, &admin);
    assert_eq!((status, &*body), (202, r#"{"refreshing":["jwt_key","order_token","service_key"]}"#));
    world.pass(1);
    assert_eq!((world.asked, world.bearer(NEW), world.bearer(OLD)), (asked + 3, 200, 200));
}

#[test]
fn no_secret_is_in_shared_data_events_replies_or_what_is_printed() {
    let mut world = World::new().holds(OLD);
    world.pass(1);
    let mut seen = String::new();
    for key in [OLD, NEW] {
        seen += &world.send("GET", "/jwt", &[bearer(key, json!({}))]).2;
    }
    world.store.clear();
    world.pass(400);
    seen += &format!("{:?}{:?}{:?}{:?}", world.secrets, world.worker, world.host.store, world.host.lines);
    let (passage, next) = World::new().begin("GET", "/jwt", &[bearer(OLD, json!({}))]);
    drop(passage);
    seen += &format!("{next:?}");
    for secret in [OLD, "order-token", "s.vault-token"] {
        let bytes = format!("{:?}", secret.as_bytes());
        assert!(!seen.contains(secret) && !seen.contains(bytes.trim_matches(['[', ']'])), "{secret}");
    }
}
