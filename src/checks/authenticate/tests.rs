//! What several kinds of credentials mean together.

use std::cell::RefCell;

use super::*;
use crate::check::Call;
use crate::denial::CertificateReason;
use crate::head::Head;
use crate::native::NativeHost;
use crate::time::Timestamp;
use crate::worker::Worker;

/// Credentials of a kind that always fare the same, and who was asked or withheld.
struct Fares(&'static str, Rc<RefCell<Vec<String>>>);

impl Credential for Fares {
    fn attempt(&self, _exchange: &mut Exchange, _env: &mut Env<'_>) -> Attempt {
        self.1.borrow_mut().push(self.0.to_owned());
        match self.0 {
            "absent" => Attempt::Absent,
            "no-certificate" => Attempt::Refused(AuthReason::Certificate(CertificateReason::Missing)),
            "peer" => Attempt::Verified(Rc::new(Identity::new(Method::Mtls, Rc::from("mtls"), "peer".to_owned()))),
            "bad" => Attempt::Refused(AuthReason::Token(Reason::BadSignature)),
            "busy" => Attempt::Busy { retry_after: 3 },
            "lost" => Attempt::Fail(Failure::Store),
            "waived" => Attempt::undecided("test", Undecided::Anonymous { without: "test" }),
            "asks" | "asks-again" => Attempt::Wait(Errand::Account, callout()),
            name => Attempt::Verified(Rc::new(Identity::new(Method::Jwt, Rc::from("p"), name.to_owned()))),
        }
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        assert_eq!((errand, reply), (Errand::Account, &CalloutReply::Lost));
        match self.0 {
            "asks" => Attempt::Verified(Rc::new(Identity::new(Method::Jwt, Rc::from("p"), "asked".to_owned()))),
            _ => self.attempt(exchange, env),
        }
    }

    fn withhold(&self, _exchange: &mut Exchange) {
        self.1.borrow_mut().push(format!("-{}", self.0));
    }
}

fn callout() -> Callout {
    let call = Call::Http { headers: Vec::new() };
    let (cluster, timeout) = (Rc::from("users"), std::time::Duration::from_secs(1));
    Callout { cluster, call, body: Vec::new(), timeout, flight: None }
}

/// Who calls or why not, and who was asked or, with a dash, withheld.
fn decided(requirement: Requirement, kinds: &[&'static str]) -> (String, String) {
    let host = NativeHost::default();
    let mut worker = Worker::empty(&host.store);
    let mut env = Env { now: Timestamp::default(), host: &host, worker: &mut worker };
    let asked = Rc::new(RefCell::new(Vec::new()));
    let credentials = kinds.iter().map(|kind| Rc::new(Fares(kind, asked.clone())) as Rc<dyn Credential>).collect();
    let guard = Authenticate { requirement, credentials, unverified: None, challenge: Rc::from("Bearer") };
    let mut exchange = Exchange::new(Head::default(), Timestamp::default());
    let mut step = guard.start(&mut exchange, &mut env);
    while let Step::Await(Await::Callout(_)) = step {
        assert!(asked.borrow().iter().all(|asked| !asked.starts_with('-')), "withheld while it may still be needed");
        step = guard.resume(&mut exchange, Arrival::Reply(&CalloutReply::Lost), &mut env);
    }
    let caller = match step {
        Step::Pass => exchange.caller.map_or("anonymous".to_owned(), |caller| caller.subject.clone()),
        Step::Deny(denial) => denial.reason().to_owned(),
        Step::Fail(failure) => failure.as_str().to_owned(),
        other => panic!("{other:?}"),
    };
    let asked = asked.borrow().join(" ");
    (caller, asked)
}

#[test]
fn asks_as_many_kinds_as_the_requirement_needs_and_withholds_the_rest() {
    use Requirement::{All, Any, Optional};
    for (requirement, kinds, caller, asked) in [
        (Any, &["absent", "ann", "bob"][..], "ann", "absent ann -bob"),
        (Any, &["bad", "ann"], "bad_signature", "bad -ann"),
        (Any, &["absent", "absent"], "missing", "absent absent"),
        (Any, &["busy", "ann"], "unverified_credentials", "busy -ann"),
        (Any, &["lost", "ann"], "shared_data_unavailable", "lost -ann"),
        (Any, &["waived", "ann"], "anonymous", "waived -ann"),
        (Optional, &["waived", "ann"], "anonymous", "waived -ann"),
        (All, &["ann", "waived", "bob"], "anonymous", "ann waived bob"),
        (All, &["waived", "bad"], "bad_signature", "waived bad"),
        (All, &["waived", "absent"], "missing", "waived absent"),
        (Any, &[], "missing", ""),
        (Any, &["absent", "asks", "bob"], "asked", "absent asks -bob"),
        (All, &["ann", "asks", "bob"], "ann", "ann asks bob"),
        (All, &["asks", "bad"], "bad_signature", "asks bad"),
        (All, &["ann", "bob"], "ann", "ann bob"),
        (All, &["peer", "ann", "bob"], "ann", "peer ann bob"),
        (All, &["ann", "peer"], "ann", "ann peer"),
        (All, &["peer"], "peer", "peer"),
        (All, &["ann", "no-certificate"], "no_certificate", "ann no-certificate"),
        (Any, &["absent", "peer"], "peer", "absent peer"),
        (All, &["ann", "absent", "bob"], "missing", "ann absent -bob"),
        (All, &["ann", "bad"], "bad_signature", "ann bad"),
        (All, &[], "missing", ""),
        (Optional, &["absent", "absent"], "anonymous", "absent absent"),
        (Optional, &["absent", "bad"], "bad_signature", "absent bad"),
        (Optional, &["ann", "bob"], "ann", "ann -bob"),
    ] {
        assert_eq!(decided(requirement, kinds), (caller.to_owned(), asked.to_owned()), "{requirement:?} {kinds:?}");
    }
}

#[test]
fn credentials_that_never_stop_asking_are_not_waited_for_for_ever() {
    assert_eq!(decided(Requirement::Any, &["asks-again"]).0, "internal");
}

#[test]
fn a_refused_caller_is_nobody() {
    for kinds in [&["ann", "bad"][..], &["ann", "lost"], &["ann", "busy"]] {
        assert_ne!(decided(Requirement::All, kinds).0, "ann");
    }
}

#[test]
fn a_value_is_safe_in_a_header_only_when_it_is_read_as_it_was_written() {
    for good in ["", "7", "a b", "é", "https://a/b?c=d"] {
        assert!(header_safe(good), "{good:?}");
    }
    for bad in ["a,b", "a;b", "a\nb", "a\r", "\0", "\u{7f}", "\u{85}", " a", "a ", "\ta", "a\u{a0}"] {
        assert!(!header_safe(bad), "{bad:?}");
    }
}
