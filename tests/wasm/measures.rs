//! What the host is told beside requests: measures, and cookies of the upstream on their way to the client.

use std::rc::Rc;

use serde_json::json;

use crate::requests::{Request, configuration, plain};
use crate::vm::Vm;

#[test]
fn every_request_is_one_decision_and_a_body_on_its_way_takes_no_time() {
    let mut vm = Vm::serving(&plain());
    let decided = |vm: &mut Vm| vm.host().metric("decision_microseconds~service=user-service");
    for (request, count) in [
        (Request::get("/api/a").by("ada"), 1),
        (Request::get("/api/a"), 2),
        (Request::post("/api/a", &["{\"a\":", "1}"]).by("ada"), 3),
        (Request::get("/api/a%2f"), 4),
    ] {
        vm.request(&request);
        assert_eq!(decided(&mut vm), count);
    }
}

#[test]
fn workers_count_callers_together_once_a_second_and_not_on_every_request() {
    let shared = Rc::default();
    let mut workers = [["ada", "bob"], ["bob", "eve"]].map(|names| {
        let mut vm = Vm::sharing(Rc::clone(&shared));
        let root = vm.configure(&plain()).unwrap();
        for name in names {
            vm.request_under(root, &Request::get("/api/a").by(name));
        }
        (vm, root)
    });
    for _ in 0..2 {
        workers.iter_mut().for_each(|(vm, root)| vm.tick(*root));
    }
    for (vm, _) in &mut workers {
        assert_eq!(vm.host().metric("active_sessions~service=user-service"), 3);
    }
    let writes = |vm: &mut Vm| vm.host().calls.get("proxy_set_shared_data").copied().unwrap_or_default();
    let [(first, root), _] = &mut workers;
    first.request_under(*root, &Request::get("/api/a").by("ada"));
    let before = writes(first);
    first.tick(*root);
    assert_eq!(writes(first), before);
}

#[test]
fn cookies_of_the_upstream_get_what_they_lack_each_and_in_their_order() {
    let mut configuration = configuration();
    configuration["headers"] = json!({ "cookies": { "same_site": "strict" } });
    let mut vm = Vm::serving(&configuration.to_string());
    let mut request = Request::get("/health");
    for cookie in ["a=1; Path=/", "b=2; Secure; HttpOnly; SameSite=None", "c=\u{e9}"] {
        request.response_headers.push((b"set-cookie".to_vec(), cookie.as_bytes().to_vec()));
    }
    let outcome = vm.request(&request);
    let set = outcome.response.iter().filter(|(name, _)| name == b"set-cookie");
    let set: Vec<_> = set.map(|(_, value)| String::from_utf8_lossy(value)).collect();
    assert_eq!(
        set,
        [
            "a=1; Path=/; Secure; HttpOnly; SameSite=Strict",
            "b=2; Secure; HttpOnly; SameSite=None",
            "c=\u{e9}; Secure; HttpOnly; SameSite=Strict",
        ]
    );
    let mut bare = Vm::serving(&plain());
    let outcome = bare.request(&request);
    assert!(outcome.response.iter().any(|(_, value)| value == b"a=1; Path=/"), "nothing is added unless asked for");
}
