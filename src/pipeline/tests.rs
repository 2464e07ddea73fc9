//! What the pipeline makes of the words of its guards.

use std::cell::{Cell, RefCell};

use super::*;
use crate::check::BodyArrival;
use crate::config::Case;
use crate::exchange::HeaderEdit;
use crate::native::NativeHost;
use crate::policy::route_table::RouteMatch;
use crate::revocation::RevokedTokens;
use crate::table::Space;
use crate::time::Timestamp;
use crate::worker::Worker;

/// Says the same of every request.
struct Says(fn() -> Step);

impl Check for Says {
    fn start(&self, _exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        (self.0)()
    }
}

fn guard(says: fn() -> Step, mode: Mode) -> Guard {
    Guard { step: "test", check: Rc::new(Says(says)), mode }
}

/// A pipeline whose every route has these guards and which does nothing else.
fn guarded(guards: Vec<Guard>, host: &NativeHost) -> Pipeline {
    let route = Rc::new(Route::of(guards));
    let revoked = Rc::new(RevokedTokens::new(Space::open(&host.store, "test", [1; 16]).unwrap(), 64));
    Pipeline {
        service: Rc::from("test"),
        paths: PathOptions::default(),
        trusted_proxies: Networks::default(),
        strip: StripSet::new([""; 0]),
        head_only: StripSet::default(),
        misspelt: Misspelt::default(),
        forwarded_certificates: Verdict::Deny,
        intrusion: None,
        routes: RouteTable::new(
            [(RouteMatch { path: "/a".to_owned(), ..RouteMatch::default() }, route.clone())],
            Case::Exact,
        )
        .unwrap(),
        ours: Vec::new(),
        unmatched: route,
        unrouted: Rc::new(Route::of([])),
        sensitive: PathPatterns::new([""; 0], Case::Exact).unwrap(),
        health: Health {
            key_sets: Vec::new(),
            secrets: Vec::new(),
            clusters: Vec::new(),
            revoked,
            intrusion: None,
            seen: RefCell::default(),
            since: Cell::default(),
        },
        cookies: None,
        background: Vec::new(),
    }
}

/// The pipeline's word and the reasons of the events, for a request whose route has these guards.
fn decided(guards: Vec<Guard>) -> (Option<u16>, Vec<String>) {
    let host = NativeHost { source_address: Some("192.0.2.1:1".to_owned()), ..NativeHost::default() };
    let (pipeline, mut worker) = (guarded(guards, &host), Worker::empty(&host.store));
    let mut env = Env { now: Timestamp::from_unix_seconds(1), host: &host, worker: &mut worker };
    let head = Head::from_pairs([(":method", "GET"), (":path", "/a"), (":authority", "h")]);
    let (_, next) = pipeline.begin(head, true, &mut env);
    let status = match next {
        Next::Continue => None,
        Next::Reply(reply) => Some(reply.status),
        other => panic!("{other:?}"),
    };
    let event = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let told =
        |line: &String| format!("{} {}", event(line)["event_type"], event(line)["details"]["reason"]).replace('"', "");
    (status, host.lines.borrow().iter().map(told).collect())
}

#[test]
fn what_cannot_be_decided_is_refused_unless_it_is_only_watched() {
    let failure = || Step::Fail(Failure::Dependency("idp"));
    for (mode, expected) in [(Mode::Enforce, Some(503)), (Mode::Monitor, None)] {
        assert_eq!(decided(vec![guard(failure, mode)]), (expected, vec!["DEGRADED idp".to_owned()]), "{mode:?}");
    }
}

#[test]
fn the_first_refusal_ends_the_walk_and_a_report_does_not() {
    let refuses = || Step::Deny(Denial::Unmatched);
    let reports = || Step::Observe(Denial::Unmatched);
    let unreachable = || Step::Deny(Denial::AddressBlocked);
    let guards = [refuses as fn() -> Step, unreachable].map(|says| guard(says, Mode::Enforce));
    assert_eq!(decided(guards.into()), (Some(403), vec!["ACCESS_DENIED no_route".to_owned()]));
    assert_eq!(decided(vec![guard(reports, Mode::Enforce)]).0, None);
}

/// Waits for the body and decides about the head then.
struct SetsLate;

impl Check for SetsLate {
    fn start(&self, _exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        Step::Await(Await::Body { limit: 10 })
    }

    fn resume(&self, exchange: &mut Exchange, _arrival: Arrival<'_>, _env: &mut Env<'_>) -> Step {
        exchange.request_edits.push(HeaderEdit::Set(Rc::from("x-late"), b"1".to_vec()));
        Step::Pass
    }

    fn may_await_body(&self, _exchange: &Exchange) -> bool {
        true
    }
}

#[test]
fn what_is_decided_about_a_head_that_has_gone_on_is_not_lost_silently() {
    let host = NativeHost { source_address: Some("192.0.2.1:1".to_owned()), ..NativeHost::default() };
    let guard = Guard { check: Rc::new(SetsLate), ..guard(|| Step::Pass, Mode::Monitor) };
    let (pipeline, mut worker) = (guarded(vec![guard], &host), Worker::empty(&host.store));
    let mut env = Env { now: Timestamp::from_unix_seconds(1), host: &host, worker: &mut worker };
    for (gone, status) in [(false, None), (true, Some(503))] {
        let head = Head::from_pairs([(":method", "POST"), (":path", "/a"), (":authority", "h")]);
        let (mut passage, next) = pipeline.begin(head, false, &mut env);
        assert_eq!(next, Next::AwaitBody { limit: 10 });
        if gone {
            passage.head_goes_on();
        }
        let next = pipeline.resume(&mut passage, Arrival::Body(BodyArrival::Whole(b"")), &mut env);
        let replied = if let Next::Reply(reply) = next { Some(reply.status) } else { None };
        assert_eq!(replied, status);
    }
    assert!(host.lines.borrow().concat().contains("\"internal\""));
}

#[test]
fn a_request_without_guards_goes_on() {
    assert_eq!(decided(Vec::new()), (None, Vec::new()));
}
