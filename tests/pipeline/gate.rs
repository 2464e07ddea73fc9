//! A proxy in this process: what the adapter does with a pipeline's word, so that tests see what clients and upstreams see.

use std::time::Duration;

use hmac::{Hmac, Mac};
use portcullis::check::{Arrival, BodyArrival, Call, Callout, CalloutReply, Env};
use portcullis::document::{Document, Limits};
use portcullis::exchange::HeaderEdit;
use portcullis::head::Head;
use portcullis::jose::algorithm::Algorithm;
use portcullis::jose::key::Secret;
use portcullis::jose::sign::sign;
use portcullis::metrics::Counter;
use portcullis::native::NativeHost;
use portcullis::pipeline::{Next, Passage, Pipeline, ResponseArrival, ResponseNext};
use portcullis::response::{Author, Response};
use portcullis::schema::Schema;
use portcullis::time::Timestamp;
use portcullis::worker::Worker;
use portcullis_assembly::{Surroundings, assemble};
use portcullis_cli::document;
use serde_json::{Value, json};

/// When every test starts, in seconds.
pub const START: u64 = 1_800_000_000;
pub const USERS_KEY: &str = "users-key-0123456789abcdef0123456789abcdef";
pub const PARTNERS_KEY: &str = "partners-key-0123456789abcdef0123456789abcdef";
pub const SERVICE_KEY: &str = "service-key-0123456789abcdef0123456789abcdef";
pub const ORDER_TOKEN: &str = "order-token";

/// Two issuers, one provider of tokens without an issuer, and a signing service.
pub const CALLERS: &str = r#"
service: user-service
secrets:
  users_key: { env: USERS_KEY }
  partners_key: { env: PARTNERS_KEY }
  service_key: { env: SERVICE_KEY }
  order_token: { env: ORDER_TOKEN }
authentication:
  unverified_credentials: 5/m
  jwt:
    users:
      issuer: https://users.example.com
      algorithms: [HS256]
      keys: [{ secret: users_key }]
      from: [{ header: authorization, prefix: "Bearer " }, { cookie: token }, { query: token }]
      claims: { subject: user_id, roles: roles, scopes: scope }
      claim_to_headers: { x-user-email: email }
      payload_header: x-jwt-payload
    partners:
      issuer: https://partners.example.com
      algorithms: [HS256]
      keys: [{ secret: partners_key }]
      claims: { scopes: scope }
      forward: allow
    plain:
      algorithms: [HS384]
      keys: [{ secret: users_key }]
      claims: { subject: user_id }
  service:
    keys: [{ secret: service_key }]
    services: { order-service: { token: { secret: order_token } }, orders-admin: { token: { secret: order_token } } }
    signatures: [v1]
"#;

pub struct Gate {
    pipeline: Pipeline,
    worker: Worker,
    pub host: NativeHost,
    pub now: Timestamp,
    /// What other services answer; a test sets it.
    pub services: fn(&Called) -> CalloutReply,
    /// What they were asked.
    pub called: Vec<Called>,
}

/// A request of the module to another service.
#[derive(Clone, Debug, PartialEq)]
pub struct Called {
    pub cluster: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub flight: String,
}

impl Called {
    fn new(callout: &Callout) -> Self {
        let Call::Http { headers } = &callout.call else { panic!("{callout:?}") };
        let body = String::from_utf8(callout.body.clone()).unwrap();
        let flight = callout.flight.as_deref().unwrap_or_default().to_owned();
        Self { cluster: callout.cluster.to_string(), headers: headers.clone(), body, flight }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        value(&self.headers, name)
    }
}

/// An answer of another service.
pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> CalloutReply {
    CalloutReply::Answered { status, body: body.into() }
}

/// A request that may wait.
pub struct Held {
    passage: Passage,
    next: Next,
}

impl Held {
    /// What it waits for.
    pub fn callout(&self) -> Option<&Callout> {
        if let Next::Call(callout) = &self.next { Some(callout) } else { None }
    }
}

/// What became of a request.
pub struct Outcome {
    /// Status of a local reply; `None`: it went on.
    pub status: Option<u16>,
    pub body: String,
    /// The head that the upstream received; empty when it received none.
    pub upstream: Vec<(String, String)>,
    /// Of the reply, or for the upstream's response.
    pub response: Vec<(String, String)>,
    pub events: Vec<Value>,
    pub passage: Passage,
}

#[derive(Clone)]
pub struct Request {
    pairs: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    address: String,
}

impl Gate {
    /// A gate with the usual callers and these sections.
    pub fn new(sections: &str) -> Self {
        Self::bare(&format!("{CALLERS}{sections}"))
    }

    pub fn bare(yaml: &str) -> Self {
        let host = NativeHost::default();
        let (pipeline, worker) = assembled(yaml, &host);
        let now = Timestamp::from_unix_seconds(START);
        let services: fn(&Called) -> CalloutReply = |called| panic!("nobody answers {called:?}");
        Self { pipeline, worker, host, now, services, called: Vec::new() }
    }

    /// Takes another configuration; what all workers share stays.
    pub fn reload(&mut self, yaml: &str) {
        (self.pipeline, self.worker) = assembled(yaml, &self.host);
    }

    pub fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// A request as far as it comes without waiting.
    pub fn start(&mut self, request: &Request) -> (Passage, Next) {
        self.host.source_address = Some(format!("{}:50000", request.address));
        self.host.lines.borrow_mut().clear();
        let head = Head::from_pairs(request.pairs.iter().map(|(name, value)| (name, value)));
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        self.pipeline.begin(head, request.body.is_none(), &mut env)
    }

    pub fn resume_with(&mut self, passage: &mut Passage, arrival: Arrival<'_>) -> Next {
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        self.pipeline.resume(passage, arrival, &mut env)
    }

    pub fn send(&mut self, request: Request) -> Outcome {
        let (mut passage, mut next) = self.start(&request);
        loop {
            next = match next {
                Next::AwaitBody { limit } => self.deliver(&mut passage, &request, limit),
                Next::Call(callout) => {
                    let called = Called::new(&callout);
                    let reply = (self.services)(&called);
                    self.called.push(called);
                    self.hear(callout.flight.as_deref(), &reply);
                    self.resume_with(&mut passage, Arrival::Reply(&reply))
                }
                other => {
                    next = other;
                    break;
                }
            };
        }
        self.outcome(Held { passage, next })
    }

    fn deliver(&mut self, passage: &mut Passage, request: &Request, limit: usize) -> Next {
        let body = request.body.as_deref().expect("a request without a body waits for it");
        let arrival = match body.get(..=limit) {
            Some(start) => BodyArrival::OverLimit(start),
            None => BodyArrival::Whole(body),
        };
        self.resume_with(passage, Arrival::Body(arrival))
    }

    /// A request, with its body, as far as it goes without an answer, to be answered later.
    pub fn begin(&mut self, request: &Request) -> Held {
        let (mut passage, mut next) = self.start(request);
        while let Next::AwaitBody { limit } = next {
            next = self.deliver(&mut passage, request, limit);
        }
        Held { passage, next }
    }

    fn hear(&mut self, flight: Option<&str>, reply: &CalloutReply) {
        let Some(flight) = flight else { return };
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        self.pipeline.heard(flight, reply, &mut env);
        self.pipeline.tell_background(&mut env);
    }

    /// Lets a client leave before the answer comes; what is told of it then.
    pub fn leave(&mut self, mut held: Held, reply: &CalloutReply) -> Vec<String> {
        self.host.lines.borrow_mut().clear();
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        self.pipeline.record(&mut held.passage, None, &mut env);
        self.hear(held.callout().and_then(|callout| callout.flight.as_deref()), reply);
        told(&self.events())
    }

    /// Gives the answer to one callout to the requests that share it.
    pub fn answer<'h>(&mut self, held: impl IntoIterator<Item = &'h mut Held>, reply: &CalloutReply) {
        let mut held = held.into_iter().peekable();
        let flight = held.peek().and_then(|first| first.callout().and_then(|callout| callout.flight.clone()));
        self.hear(flight.as_deref(), reply);
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        for waiting in held {
            assert_eq!(
                waiting.callout().map(|callout| &callout.flight),
                Some(&flight),
                "they wait for different things"
            );
            waiting.next = self.pipeline.resume(&mut waiting.passage, Arrival::Reply(reply), &mut env);
        }
    }

    /// One look at what is due in the background: what was asked for.
    pub fn tick(&mut self, answer: impl Fn(&Callout) -> CalloutReply) -> Vec<Callout> {
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        let mut asked = Vec::new();
        for task in &self.pipeline.background {
            let mut due = task.due(&mut env);
            while let Some(callout) = due {
                due = task.arrived(&answer(&callout), &mut env);
                asked.push(callout);
            }
        }
        self.pipeline.tell_background(&mut env);
        asked
    }

    /// What became of a request that waits no more.
    pub fn outcome(&mut self, held: Held) -> Outcome {
        let Held { passage, next } = held;
        let text = |pairs: &[(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)]| {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>()
        };
        let (status, body, response, upstream) = match next {
            Next::Reply(reply) => (Some(reply.status), reply.body.clone(), text(&reply.headers), Vec::new()),
            Next::Continue => (None, String::new(), text(&passage.exchange.response_headers), received(&passage)),
            other => panic!("{other:?}"),
        };
        assert_eq!(passage.answered(), status.is_some());
        Outcome { status, body, upstream, response, events: self.events(), passage }
    }

    pub fn status(&mut self, request: Request) -> Option<u16> {
        self.send(request).status
    }

    /// The upstream's response and the end of the exchange; returns the events of both.
    pub fn finish(&mut self, outcome: &mut Outcome, status: u16) -> Vec<Value> {
        self.host.lines.borrow_mut().clear();
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        if outcome.status.is_none() {
            self.pipeline.response_head(&mut outcome.passage, status, Author::Upstream, &mut env);
        }
        self.pipeline.record(&mut outcome.passage, Some(status), &mut env);
        self.events()
    }

    /// The upstream's response with its whole body: what is done with it, and the events.
    pub fn respond(&mut self, outcome: &mut Outcome, status: u16, body: &str) -> (ResponseNext, Vec<Value>) {
        self.host.lines.borrow_mut().clear();
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        let mut next = self.pipeline.response_head(&mut outcome.passage, status, Author::Upstream, &mut env);
        if let ResponseNext::AwaitBody { limit } = next {
            let arrival = if body.len() > limit {
                ResponseArrival::OverLimit
            } else {
                ResponseArrival::Whole(Response::new(status, Head::default(), body.as_bytes().to_vec()))
            };
            next = self.pipeline.response_body(&mut outcome.passage, arrival, &mut env);
        }
        (next, self.events())
    }

    /// What arrives although nobody waits for it.
    pub fn resume(&mut self, outcome: &mut Outcome, body: &[u8]) -> Next {
        self.resume_with(&mut outcome.passage, Arrival::Body(BodyArrival::Whole(body)))
    }

    /// How often a counter with this name, labels included, was raised.
    pub fn count(&self, name: &str) -> u64 {
        let counts = self.host.counts.borrow();
        let found = Counter::all().find(|counter| counter.name("s").replace("~service=s", "") == name);
        counts.get(&found.unwrap_or_else(|| panic!("{name}"))).copied().unwrap_or_default()
    }

    fn events(&self) -> Vec<Value> {
        self.host.lines.borrow().iter().map(|line| event(line)).collect()
    }

    /// Where a measure stands, by its name without the service.
    pub fn gauge(&mut self, name: &str) -> Option<u64> {
        let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
        self.pipeline.health.report(&mut env);
        let gauges = self.pipeline.health.gauges("s");
        let (gauge, _) = gauges.iter().find(|(_, known)| known.replace("~service=s", "") == name)?;
        self.host.gauges.borrow().get(gauge).copied()
    }
}

thread_local! {
    static EVENT: Schema = Schema::compile(&serde_json::from_str(include_str!("../../docs/event.schema.json")).unwrap()).unwrap();
}

/// A line of the log, which must be what the published schema says.
fn event(line: &str) -> Value {
    let document = Document::parse(line.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(EVENT.with(|schema| schema.validate(&document)), Ok(()), "{line}");
    serde_json::from_str(line).unwrap()
}

/// The head as the adapter leaves it.
fn received(passage: &Passage) -> Vec<(String, String)> {
    let exchange = &passage.exchange;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut head: Vec<(String, String)> = exchange.head.iter().map(|(name, value)| (text(name), text(value))).collect();
    let set = |head: &mut Vec<(String, String)>, name: &str, value: String| {
        head.retain(|(known, _)| known != name);
        head.push((name.to_owned(), value));
    };
    if exchange.target.is_rewritten() {
        set(&mut head, ":path", exchange.target.path_and_query());
    }
    for edit in &exchange.request_edits {
        match edit {
            HeaderEdit::Remove(name) => head.retain(|(known, _)| known.as_bytes() != name),
            HeaderEdit::Set(name, value) => set(&mut head, name, text(value)),
        }
    }
    for (name, value) in exchange.caller.iter().flat_map(|caller| &caller.headers) {
        set(&mut head, name, value.clone());
    }
    head
}

impl Outcome {
    pub fn upstream(&self, name: &str) -> Option<&str> {
        value(&self.upstream, name)
    }

    pub fn response(&self, name: &str) -> Option<&str> {
        value(&self.response, name)
    }

    /// Type, reason and mode of each event: `AUTH_FAILURE expired monitor`.
    pub fn told(&self) -> Vec<String> {
        told(&self.events)
    }
}

fn assembled(yaml: &str, host: &NativeHost) -> (Pipeline, Worker) {
    let found = document::configurations(yaml).unwrap();
    let variable = |name: &str| match name {
        "USERS_KEY" | "JWT_SECRET_KEY" => Some(USERS_KEY.to_owned()),
        "PARTNERS_KEY" => Some(PARTNERS_KEY.to_owned()),
        "SERVICE_KEY" => Some(SERVICE_KEY.to_owned()),
        "ORDER_TOKEN" => Some(ORDER_TOKEN.to_owned()),
        "PII_KEY" => Some("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".to_owned()),
        _ => None,
    };
    let surroundings = Surroundings { store: &host.store, variable: &variable, random: [1, 2, 3, 4] };
    match assemble(found[0].json.as_ref().unwrap(), &surroundings) {
        Ok(assembled) => (assembled.pipeline, assembled.worker),
        Err(errors) => panic!("{errors:?}"),
    }
}

/// What is wrong with a configuration.
pub fn errors(yaml: &str) -> Vec<String> {
    let found = document::configurations(yaml).unwrap();
    let host = NativeHost::default();
    let variable = |_: &str| Some(USERS_KEY.to_owned());
    let surroundings = Surroundings { store: &host.store, variable: &variable, random: [1, 2, 3, 4] };
    let assembled = assemble(found[0].json.as_ref().unwrap(), &surroundings);
    assembled.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

pub fn told(events: &[Value]) -> Vec<String> {
    let of = |event: &Value| {
        let words = [&event["event_type"], &event["details"]["reason"], &event["details"]["mode"]];
        words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
    };
    events.iter().map(of).collect()
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let first = values.next();
    assert_eq!(values.next(), None, "{name} occurs twice");
    first
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        let pairs = [(":method", method), (":path", path), (":authority", "api.example.com"), (":scheme", "https")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec();
        Self { pairs, body: None, address: "203.0.113.7".to_owned() }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pairs.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn pseudo(mut self, name: &str, value: &str) -> Self {
        self.pairs.retain(|(known, _)| known != name);
        self.header(name, value)
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub fn signed(self, service: &str) -> Self {
        let text = format!("{service}:{START}:{ORDER_TOKEN}");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SERVICE_KEY.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let mac: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let signed = self.header("x-service-name", service).header("x-service-token", ORDER_TOKEN);
        signed.header("x-timestamp", START.to_string()).header("x-signature", mac)
    }

    pub fn from(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    pub fn body(mut self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        if content_type.is_empty() { self } else { self.header("content-type", content_type) }
    }
}

pub fn get(path: &str) -> Request {
    Request::new("GET", path)
}

pub fn post(path: &str) -> Request {
    Request::new("POST", path)
}

pub fn signed_with(algorithm: Algorithm, key: &str, claims: &Value) -> String {
    sign(algorithm, &Secret::new(key.as_bytes()).unwrap(), None, claims.to_string().as_bytes()).unwrap()
}

/// A token of `users` for user 7 with these claims beside or instead of the usual.
pub fn user(changes: Value) -> String {
    let claims = json!({ "iss": "https://users.example.com", "user_id": 7, "exp": START + 900 });
    signed_with(Algorithm::Hs256, USERS_KEY, &with(claims, changes))
}

/// A token of `partners` for partner 7.
pub fn partner(changes: Value) -> String {
    let claims = json!({ "iss": "https://partners.example.com", "sub": "7", "exp": START + 900 });
    signed_with(Algorithm::Hs256, PARTNERS_KEY, &with(claims, changes))
}

/// A token without an issuer for user 7.
pub fn plain(changes: Value) -> String {
    signed_with(Algorithm::Hs384, USERS_KEY, &with(json!({ "user_id": 7, "exp": START + 900 }), changes))
}

fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}
