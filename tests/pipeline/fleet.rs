//! Limits that a service counts for a fleet: proxies and workers as they are, a service that is exact, and time that
//! passes as the test says.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use portcullis::check::{Arrival, Call, Callout, CalloutReply, Env, GrpcStatus};
use portcullis::denial::LocalReply;
use portcullis::head::Head;
use portcullis::native::NativeHost;
use portcullis::pipeline::{Next, Passage, Pipeline};
use portcullis::time::Timestamp;
use portcullis::worker::Worker;
use portcullis_assembly::{Surroundings, assemble};

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;
const START: u64 = 1_800_000_000 * SECOND;
/// How long the service takes.
const LATENCY: u64 = MILLI;

/// An exact service with fixed windows that begin with the first hit.
struct Service {
    limit: u64,
    window: u64,
    style: Style,
    fault: Fault,
    calls: u64,
    asked: Vec<u64>,
    counts: HashMap<Vec<u8>, (u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    /// A code and nothing more.
    Bare,
    /// What is left, and until when.
    Statuses,
    /// The same, and hits that were refused are counted, too.
    Greedy,
}

#[derive(Clone, Debug, PartialEq)]
enum Fault {
    None,
    /// No answer before the timeout.
    Silent,
    /// No connection.
    Refuses,
    /// These bytes for every question.
    Says(Vec<u8>),
    /// Every other question is not answered.
    EveryOther,
}

impl Service {
    fn new(limit: u64, window: u64, style: Style) -> Self {
        let (fault, counts) = (Fault::None, HashMap::new());
        Self { limit, window, style, fault, calls: 0, asked: Vec::new(), counts }
    }

    /// The answer, and how long it takes.
    fn answer(&mut self, callout: &Callout, now: u64) -> (CalloutReply, u64) {
        self.calls += 1;
        let timeout = callout.timeout.as_nanos() as u64;
        match &self.fault {
            Fault::Silent => return (CalloutReply::Grpc { status: GrpcStatus(14), message: Vec::new() }, timeout),
            Fault::EveryOther if self.calls.is_multiple_of(2) => return (CalloutReply::Lost, timeout),
            Fault::Refuses => return (CalloutReply::Grpc { status: GrpcStatus(14), message: Vec::new() }, LATENCY),
            Fault::Says(message) => {
                return (CalloutReply::Grpc { status: GrpcStatus::OK, message: message.clone() }, LATENCY);
            }
            Fault::None | Fault::EveryOther => {}
        }
        assert!(matches!(callout.call, Call::Grpc { service: portcullis::quota::message::SERVICE, .. }));
        let (value, hits) = question(&callout.body);
        self.asked.push(hits);
        let (began, used) = self.counts.entry(value).or_insert((now, 0));
        if now >= *began + self.window {
            (*began, *used) = (now, 0);
        }
        let granted = *used + hits <= self.limit;
        if granted || self.style == Style::Greedy {
            *used += hits;
        }
        let mut message = vec![0x08, if granted { 1 } else { 2 }];
        if self.style != Style::Bare {
            let mut status = vec![0x12, 0, 0x18];
            varint(self.limit.saturating_sub(*used), &mut status);
            let mut reset = vec![0x08];
            varint((*began + self.window - now).div_ceil(SECOND), &mut reset);
            status.extend([0x22, reset.len() as u8]);
            status.extend(reset);
            message.extend([0x12, status.len() as u8]);
            message.extend(status);
        }
        (CalloutReply::Grpc { status: GrpcStatus::OK, message }, LATENCY)
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The descriptor and the hits: two fields of bytes, each shorter than 128, then a number.
fn question(body: &[u8]) -> (Vec<u8>, u64) {
    let after_domain = 2 + usize::from(body[1]);
    let end = after_domain + 2 + usize::from(body[after_domain + 1]);
    assert_eq!(body[end], 0x18);
    let hits = body[end + 1..].iter().rev().fold(0, |hits, byte| hits << 7 | u64::from(byte & 0x7f));
    (body[after_domain..end].to_vec(), hits)
}

/// One worker of one proxy.
struct Node {
    process: usize,
    pipeline: Pipeline,
    worker: Worker,
    /// A task of the background waits for its answer.
    running: bool,
    /// Requests by what they wait for.
    waiting: HashMap<Rc<str>, Vec<(u64, Passage)>>,
}

enum Event {
    Request { node: usize, from: [u8; 4] },
    Answer { node: usize, flight: Option<Rc<str>>, reply: CalloutReply },
    Tick { node: usize },
}

/// Two proxies or more of two workers each, and their service.
struct Fleet {
    hosts: Vec<NativeHost>,
    nodes: Vec<Node>,
    service: Service,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    /// When requests were decided, how, and how long they waited.
    decided: Vec<(u64, Option<u16>, u64)>,
}

impl Fleet {
    fn new(limits: &str, names: &str, service: Service) -> Self {
        Self::of(2, limits, names, service)
    }

    fn of(processes: usize, limits: &str, names: &str, service: Service) -> Self {
        let config = format!(
            r#"{{"limits": {{{limits}}}, "events": {{"sample": "10/s"}},
                "routes": [{{"match": {{"path": "/**"}}, "authenticate": "none", "limits": [{names}]}}]}}"#
        );
        let hosts: Vec<NativeHost> = (0..processes).map(|_| NativeHost::default()).collect();
        let mut fleet = Self {
            hosts,
            nodes: Vec::new(),
            service,
            now: START,
            events: BTreeMap::new(),
            number: 0,
            decided: Vec::new(),
        };
        for node in 0..2 * processes {
            let process = node / 2;
            let store = &fleet.hosts[process].store;
            let surroundings = Surroundings { store, variable: &|_| None, random: [1, 2, 3, node as u64] };
            let assembled = assemble(config.as_bytes(), &surroundings).unwrap_or_else(|e| panic!("{e:?}"));
            let (pipeline, worker) = (assembled.pipeline, assembled.worker);
            fleet.nodes.push(Node { process, pipeline, worker, running: false, waiting: HashMap::new() });
            fleet.at(START + 10 * MILLI, Event::Tick { node });
        }
        fleet
    }

    fn at(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.events.insert((time, self.number), event);
    }

    /// Random arrivals at `rate` per second for `seconds` from now, at any node, from one of `clients`.
    fn load(&mut self, rate: u64, seconds: u64, clients: u64) {
        let mut seed = 0x9E37_79B9_7F4A_7C15 ^ self.now;
        let mut random = |most: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % most
        };
        for _ in 0..rate * seconds {
            let (time, node) = (self.now + random(seconds * 1_000_000) * 1_000, random(self.nodes.len() as u64));
            let from = [10, 0, 0, random(clients) as u8];
            self.at(time, Event::Request { node: node as usize, from });
        }
        self.pass(seconds * SECOND);
    }

    /// One request at one node, decided when it is.
    fn one(&mut self, node: usize) -> Option<u16> {
        self.at(self.now, Event::Request { node, from: [10, 0, 0, 0] });
        self.pass(50 * MILLI);
        self.decided.last().unwrap().1
    }

    /// What the first node answers a request that it refuses at once.
    fn refused(&mut self) -> LocalReply {
        let head = Head::from_pairs([(":method", "GET"), (":path", "/a"), (":authority", "h")]);
        match self.with(0, |pipeline, env| pipeline.begin(head, true, env)) {
            (_, Next::Reply(reply)) => reply,
            (_, other) => panic!("{other:?}"),
        }
    }

    fn pass(&mut self, nanos: u64) {
        let end = self.now + nanos;
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= end
        {
            let ((time, _), event) = entry.remove_entry();
            self.now = self.now.max(time);
            self.happen(event);
        }
        self.now = end;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Request { node, from: [a, b, c, d] } => {
                let process = self.nodes[node].process;
                self.hosts[process].source_address = Some(format!("{a}.{b}.{c}.{d}:1"));
                let head = Head::from_pairs([(":method", "GET"), (":path", "/a"), (":authority", "h")]);
                let (passage, next) = self.with(node, |pipeline, env| pipeline.begin(head, true, env));
                self.apply(node, self.now, passage, next);
                self.stir(node, true);
            }
            Event::Answer { node, flight: Some(flight), reply } => {
                self.with(node, |pipeline, env| pipeline.heard(&flight, &reply, env));
                for (since, mut passage) in self.nodes[node].waiting.remove(&flight).unwrap_or_default() {
                    let next =
                        self.with(node, |pipeline, env| pipeline.resume(&mut passage, Arrival::Reply(&reply), env));
                    self.apply(node, since, passage, next);
                }
                self.stir(node, true);
            }
            Event::Answer { node, flight: None, reply } => {
                let next = self.with(node, |pipeline, env| pipeline.background[0].arrived(&reply, env));
                self.nodes[node].running = false;
                self.background(node, next);
            }
            Event::Tick { node } => {
                self.stir(node, false);
                self.at(self.now + SECOND, Event::Tick { node });
            }
        }
    }

    fn with<T>(&mut self, node: usize, work: impl FnOnce(&Pipeline, &mut Env<'_>) -> T) -> T {
        let Node { process, pipeline, worker, .. } = &mut self.nodes[node];
        let now = Timestamp::from_unix_nanos(self.now);
        let mut env = Env { now, host: &self.hosts[*process], worker };
        let result = work(pipeline, &mut env);
        pipeline.tell_background(&mut env);
        result
    }

    fn apply(&mut self, node: usize, since: u64, passage: Passage, next: Next) {
        let status = match next {
            Next::Continue => None,
            Next::Reply(reply) => Some(reply.status),
            Next::Call(callout) => {
                let flight = callout.flight.clone().unwrap();
                let others = self.nodes[node].waiting.entry(flight.clone()).or_default();
                others.push((since, passage));
                if others.len() == 1 {
                    self.send(node, Some(flight), &callout);
                }
                return;
            }
            Next::AwaitBody { .. } => panic!("nobody reads bodies"),
        };
        self.decided.push((self.now, status, self.now - since));
    }

    fn send(&mut self, node: usize, flight: Option<Rc<str>>, callout: &Callout) {
        let (reply, takes) = self.service.answer(callout, self.now);
        self.at(self.now + takes, Event::Answer { node, flight, reply });
    }

    fn stir(&mut self, node: usize, urgent: bool) {
        let stirred = std::mem::take(&mut self.nodes[node].worker.stirred);
        if self.nodes[node].running || (urgent && !stirred) {
            return;
        }
        let next = self.with(node, |pipeline, env| {
            let task = pipeline.background.first()?;
            if urgent { task.urgent(env) } else { task.due(env) }
        });
        self.background(node, next);
    }

    fn background(&mut self, node: usize, next: Option<Callout>) {
        if let Some(callout) = next {
            self.nodes[node].running = true;
            self.send(node, None, &callout);
        }
    }

    fn admitted(&self) -> u64 {
        self.decided.iter().filter(|(_, status, _)| status.is_none()).count() as u64
    }

    /// The share of the requests that waited longer than the service takes, and the longest wait.
    fn delayed(&self) -> (f64, u64) {
        let late = self.decided.iter().filter(|(_, _, waited)| *waited > 10 * MILLI).count();
        let longest = self.decided.iter().map(|(_, _, waited)| *waited).max().unwrap_or_default();
        (late as f64 / self.decided.len() as f64, longest)
    }

    /// Reasons of the `DEGRADED` events so far, each with its number.
    fn degraded(&self) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for line in self.hosts.iter().flat_map(|host| host.lines.borrow().clone()) {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event_type"] == "DEGRADED" {
                let reason = event["details"]["reason"].as_str().unwrap();
                let dependency = reason.starts_with("rate_limit_service").then_some("limits.fleet.rate_limit_service");
                assert_eq!(event["details"]["dependency"].as_str(), dependency, "{line}");
                *reasons.entry(reason.to_owned()).or_default() += 1;
            }
        }
        reasons
    }
}

fn header<'r>(reply: &'r LocalReply, name: &str) -> &'r str {
    &reply.headers.iter().find(|(header, _)| header == name).unwrap().1
}

fn fleet_limit(rate: &str, more: &str) -> String {
    format!(
        r#""fleet": {{"key": ["client_ip"], "rate": "{rate}",
            "rate_limit_service": {{"cluster": "ratelimit", "descriptor": "address"{more}}}}}"#
    )
}

#[test]
fn two_proxies_of_two_workers_admit_what_the_service_counts_and_hardly_ever_ask() {
    let usual = [Style::Bare, Style::Statuses, Style::Greedy].map(|style| (style, 2_000, 50));
    for (style, limit, lease) in usual.into_iter().chain([(Style::Statuses, 5_000, 100)]) {
        let service = Service::new(limit, 10 * SECOND, style);
        let config = fleet_limit(&format!("{limit}/10s"), &format!(", \"lease\": {lease}"));
        let mut fleet = Fleet::new(&config, "\"fleet\"", service);
        fleet.load(limit / 5, 8, 1);
        let (admitted, requests, calls) = (fleet.admitted(), fleet.decided.len() as u64, fleet.service.calls);
        assert!(limit * 99 / 100 <= admitted && admitted <= limit, "{style:?}: {admitted} of {limit}");
        assert!(calls < requests / 20, "{style:?}: {calls} calls for {requests} requests");
        assert!(fleet.delayed().0 == 0.0, "{style:?}: {:?}", fleet.delayed());
        assert_eq!(fleet.service.asked.iter().max(), Some(&lease), "{style:?}");
    }
}

#[test]
fn over_several_windows_the_total_stays_within_one_percent() {
    for style in [Style::Bare, Style::Statuses, Style::Greedy] {
        let mut fleet = Fleet::new(&fleet_limit("2000/10s", ""), "\"fleet\"", Service::new(2_000, 10 * SECOND, style));
        fleet.load(300, 29, 1);
        let (admitted, calls) = (fleet.admitted(), fleet.service.calls);
        assert!((5_940..=6_060).contains(&admitted), "{style:?}: {admitted}");
        assert!(calls < 8_700 / 20, "{style:?}: {calls}");
    }
}

#[test]
fn hardly_any_request_waits_while_there_is_quota() {
    let service = Service::new(1_000_000, 3_600 * SECOND, Style::Bare);
    let mut fleet = Fleet::new(&fleet_limit("1000000/h", ""), "\"fleet\"", service);
    fleet.load(1_000, 5, 4);
    let waited = fleet.decided.iter().filter(|(_, _, waited)| *waited > 0).count();
    assert!(waited < 40, "{waited} of 5000 waited; leases are renewed before they are used up");
    assert_eq!(fleet.admitted(), 5_000);
}

#[test]
fn while_the_service_is_away_each_proxy_admits_its_share_and_then_it_recovers() {
    for fault in [Fault::Silent, Fault::Refuses] {
        let config = fleet_limit("2000/10s", ", \"local_share\": 0.25");
        let mut fleet = Fleet::new(&config, "\"fleet\"", Service::new(2_000, 10 * SECOND, Style::Bare));
        fleet.service.fault = fault.clone();
        fleet.load(400, 8, 1);
        assert_eq!(fleet.admitted(), 1_000, "a quarter for each of two proxies");
        let (late, longest) = fleet.delayed();
        assert!(late <= 0.01, "{fault:?}: {late}");
        assert!(longest <= 20 * MILLI, "{fault:?}: {longest}");
        assert_eq!(fleet.degraded(), BTreeMap::from([("rate_limit_service_unavailable".to_owned(), 4)]));
        assert!(fleet.service.calls < 60, "{} calls to a service that is away", fleet.service.calls);
        fleet.service.fault = Fault::None;
        fleet.load(400, 6, 1);
        let both = [("rate_limit_service_recovered".to_owned(), 4), ("rate_limit_service_unavailable".to_owned(), 4)];
        assert_eq!(fleet.degraded(), BTreeMap::from(both));
        fleet.pass(10 * SECOND);
        let before = fleet.admitted();
        fleet.load(400, 8, 1);
        let admitted = fleet.admitted() - before;
        assert!((1_980..=2_020).contains(&admitted), "{fault:?}: {admitted}");
    }
}

#[test]
fn a_service_that_answers_every_other_time_delays_one_request_in_a_hundred_at_most() {
    let config = fleet_limit("1000/10s", ", \"lease\": 10");
    let mut fleet = Fleet::new(&config, "\"fleet\"", Service::new(1_000, 10 * SECOND, Style::Bare));
    fleet.service.fault = Fault::EveryOther;
    fleet.load(1_000, 5, 200);
    let (late, longest) = fleet.delayed();
    assert!(late <= 0.01 && longest <= 20 * MILLI, "{late} {longest}");
}

#[test]
fn an_answer_that_decides_nothing_is_no_answer() {
    for message in [&b""[..], b"\x08\x00", b"\x08\x07", b"\x08", b"<html>", b"\x08\x01\xff", &[0xff; 4096]] {
        let config = fleet_limit("40/h", ", \"local_share\": 0.1");
        let mut fleet = Fleet::of(1, &config, "\"fleet\"", Service::new(40, 3_600 * SECOND, Style::Bare));
        fleet.service.fault = Fault::Says(message.to_vec());
        let statuses: Vec<_> = (0..6).map(|n| fleet.one(n % 2)).collect();
        assert_eq!(statuses, [None, None, None, None, Some(429), Some(429)], "{message:?}");
    }
}

#[test]
fn what_another_window_refuses_costs_no_quota_and_what_has_no_quota_costs_no_window() {
    let few = r#""few": {"key": ["client_ip"], "rate": "3/m"}, "#;
    let config = format!("{few}{}", fleet_limit("5/h", ", \"lease\": 1"));
    let mut fleet = Fleet::of(1, &config, "\"few\", \"fleet\"", Service::new(5, 3_600 * SECOND, Style::Statuses));
    let mut minute = |requests: usize| {
        let statuses: Vec<_> = (0..requests).map(|n| fleet.one(n % 2)).collect();
        fleet.pass(62 * SECOND);
        statuses.iter().filter(|status| status.is_none()).count()
    };
    // Three by the minute; the rest of the five only because what was refused cost nothing.
    assert_eq!([minute(10), minute(10), minute(10)], [3, 2, 0]);
    let lines = fleet.hosts[0].lines.borrow();
    let limit = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()["details"]["limit"].clone();
    assert_eq!(limit(&lines[0]), "few");
    assert_eq!(limit(lines.last().unwrap()), "fleet");
    drop(lines);
    // What the service refuses leaves the third of the hour for when it has quota again.
    let config = format!("{}{}", few.replace("3/m", "3/h"), fleet_limit("2/10s", ", \"lease\": 1"));
    let mut fleet = Fleet::of(1, &config, "\"few\", \"fleet\"", Service::new(2, 10 * SECOND, Style::Statuses));
    assert_eq!([0; 4].map(|node| fleet.one(node)), [None, None, Some(429), Some(429)]);
    fleet.pass(30 * SECOND);
    assert_eq!([0; 2].map(|node| fleet.one(node)), [None, Some(429)]);
}

#[test]
fn a_client_that_waits_as_long_as_the_service_says_is_admitted() {
    let service = Service::new(3, 30 * SECOND, Style::Statuses);
    let mut fleet = Fleet::of(1, &fleet_limit("3/30s", ""), "\"fleet\"", service);
    assert_eq!([0, 1, 0].map(|node| fleet.one(node)), [None; 3]);
    // The lease is used up: this one is the service's to refuse.
    assert_eq!(fleet.one(0), Some(429));
    let refused = fleet.refused();
    let retry_after: u64 = header(&refused, "retry-after").parse().unwrap();
    assert!((28..=30).contains(&retry_after), "{retry_after}");
    assert_eq!(header(&refused, "ratelimit-policy"), "\"fleet\";q=3;w=30");
    assert_eq!(header(&refused, "ratelimit"), format!("\"fleet\";r=0;t={retry_after}"));
    fleet.pass(retry_after * SECOND);
    assert_eq!(fleet.one(1), None);
}

#[test]
fn a_burst_is_the_same_whether_the_service_counts_or_the_share() {
    let limits = fleet_limit("1000/h", "").replace(r#""rate""#, r#""burst": "2/h", "rate""#);
    let mut fleet = Fleet::of(1, &limits, "\"fleet\"", Service::new(1_000, 3_600 * SECOND, Style::Bare));
    fleet.service.fault = Fault::Refuses;
    assert_eq!([0, 0, 0].map(|node| fleet.one(node)), [None, None, Some(429)]);
    fleet.service.fault = Fault::None;
    for _ in 0..20 {
        fleet.pass(SECOND);
        assert_eq!(fleet.one(0), Some(429));
    }
    assert!(!fleet.service.asked.is_empty(), "the service counts again");
    let refused = fleet.refused();
    assert!(header(&refused, "ratelimit").starts_with("\"fleet-burst\";r=0;"), "{refused:?}");
    assert!(header(&refused, "ratelimit-policy").ends_with(", \"fleet-burst\";q=2;w=3600"), "{refused:?}");
}

#[test]
fn a_client_that_two_limits_refuse_is_told_the_longer_wait_and_all_policies() {
    let few = r#""few": {"key": ["client_ip"], "rate": "1/h"}"#;
    let other = fleet_limit("9/h", ", \"lease\": 1").replace("fleet", "other").replace("address", "others");
    let limits = format!("{few}, {}, {other}", fleet_limit("1/m", ""));
    for names in [r#""few", "fleet", "other""#, r#""fleet", "few", "other""#] {
        let mut fleet = Fleet::of(1, &limits, names, Service::new(1, 60 * SECOND, Style::Statuses));
        assert_eq!([0, 0, 0].map(|node| fleet.one(node)), [None, Some(429), Some(429)]);
        let refused = fleet.refused();
        let retry_after: u64 = header(&refused, "retry-after").parse().unwrap();
        assert!((3_590..3_700).contains(&retry_after), "{names}: {retry_after}");
        let policies = header(&refused, "ratelimit-policy");
        let all = [r#""few";q=1;w=3600"#, r#""fleet";q=1;w=60"#, r#""other";q=9;w=3600"#];
        assert!(all.iter().all(|policy| policies.contains(policy)), "{names}: {policies}");
    }
}

#[test]
fn without_a_share_nobody_is_admitted_while_the_service_is_away() {
    let config = fleet_limit("1000/h", ", \"local_share\": 0");
    let mut fleet = Fleet::of(1, &config, "\"fleet\"", Service::new(1_000, 3_600 * SECOND, Style::Bare));
    fleet.service.fault = Fault::Refuses;
    assert_eq!([0, 1, 0, 1].map(|node| fleet.one(node)), [Some(429); 4]);
    fleet.service.fault = Fault::None;
    fleet.pass(10 * SECOND);
    fleet.one(0);
    assert_eq!(fleet.one(0), None);
}

#[test]
fn where_nothing_is_known_the_request_is_refused() {
    let service = Service::new(10, SECOND, Style::Bare);
    let mut fleet = Fleet::of(1, &fleet_limit("10/s", ""), "\"fleet\"", service);
    let source_address = Some("10.0.0.1:1".to_owned());
    let broken = NativeHost { without_store: true, source_address, ..NativeHost::default() };
    let Node { pipeline, worker, .. } = &mut fleet.nodes[0];
    let now = Timestamp::from_unix_nanos(START).after(Duration::from_secs(1));
    let mut env = Env { now, host: &broken, worker };
    let head = Head::from_pairs([(":method", "GET"), (":path", "/a"), (":authority", "h")]);
    let (_, next) = pipeline.begin(head, true, &mut env);
    assert!(matches!(next, Next::Reply(reply) if reply.status == 503));
    assert!(broken.lines.borrow()[0].contains("shared_data_unavailable"));
}
