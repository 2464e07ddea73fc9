//! Several VMs on one map of shared data decide as one.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;

use crate::host::SharedData;
use crate::requests::{Request, configuration};
use crate::vm::Vm;

fn limited(rate: &str) -> String {
    let mut configuration = configuration();
    configuration["limits"] = json!({
        "per_user": { "key": ["subject"], "rate": rate },
        "per_address": { "key": ["client_ip"], "rate": "100000/hour" },
    });
    configuration["defaults"]["limits"] = json!(["per_user", "per_address"]);
    configuration.to_string()
}

/// Workers of one process. Their random bytes differ, as they do between VMs.
fn workers(count: u64, configuration: &str) -> (Rc<RefCell<SharedData>>, Vec<Rc<RefCell<Vm>>>) {
    let shared = Rc::new(RefCell::new(SharedData::default()));
    let vms = (0..count).map(|number| {
        let mut vm = Vm::sharing(shared.clone());
        vm.host().random = number;
        vm.configure(configuration).unwrap();
        Rc::new(RefCell::new(vm))
    });
    let vms = vms.collect();
    (shared, vms)
}

fn admitted(vm: &Rc<RefCell<Vm>>, request: &Request) -> usize {
    let outcome = vm.borrow_mut().request(request);
    assert!(matches!(outcome.status(), 200 | 429), "{outcome:?}");
    usize::from(outcome.passed)
}

#[test]
fn workers_that_take_turns_admit_exactly_the_limit() {
    let (_, vms) = workers(3, &limited("10/hour"));
    let request = Request::get("/api/a").by("ada");
    let passed: usize = (0..30).map(|turn| admitted(&vms[turn % 3], &request)).sum();
    assert_eq!(passed, 10);
    let other = Request::get("/api/a").by("eve");
    assert_eq!(admitted(&vms[0], &other), 1);
}

#[test]
fn a_refused_caller_is_told_when_to_come_back_and_is_admitted_then() {
    let (_, vms) = workers(2, &limited("3/m"));
    let request = Request::get("/api/a").by("ada");
    let passed: usize = (0..6).map(|turn| admitted(&vms[turn % 2], &request)).sum();
    assert_eq!(passed, 3);
    let reply = vms[0].borrow_mut().request(&request).reply.unwrap();
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=62).contains(&wait), "{wait}");
    for vm in &vms {
        vm.borrow_mut().host().now += wait * 1_000_000_000;
    }
    assert_eq!(admitted(&vms[1], &request), 1);
}

/// Before each write of the one worker the other sends a request for the same key: on the key's very first use, and
/// in the middle of every later decision.
#[test]
fn a_rival_between_read_and_write_never_makes_one_too_many() {
    for interruptions in 1..=6 {
        let (_, vms) = workers(2, &limited("10/hour"));
        let request = Request::get("/api/a").by("ada");
        let passed = Rc::new(RefCell::new(0));
        let (rival, count, asked) = (vms[1].clone(), passed.clone(), request.clone());
        let mut left = interruptions;
        vms[0].borrow_mut().host().rival = Some(Box::new(move || {
            if left > 0 {
                left -= 1;
                *count.borrow_mut() += admitted(&rival, &asked);
            }
        }));
        for _ in 0..20 {
            let own = admitted(&vms[0], &request);
            *passed.borrow_mut() += own;
        }
        assert_eq!(*passed.borrow(), 10, "{interruptions} interruptions");
    }
}

#[test]
fn lost_races_are_tried_again_and_endless_ones_refuse() {
    let (shared, vms) = workers(1, &limited("10/hour"));
    let request = Request::get("/api/a").by("ada");
    assert_eq!(admitted(&vms[0], &request), 1);
    let mut losses = 20;
    let map = shared.clone();
    vms[0].borrow_mut().host().rival = Some(Box::new(move || {
        if losses > 0 {
            losses -= 1;
            map.borrow_mut().touch_all();
        }
    }));
    let passed: usize = (0..12).map(|_| admitted(&vms[0], &request)).sum();
    assert_eq!(passed, 9);

    let map = shared.clone();
    vms[0].borrow_mut().host().rival = Some(Box::new(move || map.borrow_mut().touch_all()));
    let outcome = vms[0].borrow_mut().request(&Request::get("/api/a").by("eve"));
    assert_eq!((outcome.status(), outcome.passed), (503, false));
}

#[test]
fn counters_survive_a_new_configuration_in_the_same_vm() {
    let (_, vms) = workers(1, &limited("3/hour"));
    let request = Request::get("/api/a").by("ada");
    let passed: usize = (0..2).map(|_| admitted(&vms[0], &request)).sum();
    assert_eq!(passed, 2);
    let mut vm = vms[0].borrow_mut();
    let renewed = vm.configure(&limited("3/hour")).unwrap();
    let passed = (0..3).filter(|_| vm.request_under(renewed, &request).passed).count();
    assert_eq!(passed, 1);
}
