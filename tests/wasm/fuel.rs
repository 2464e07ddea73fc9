//! What fixed requests cost in the interpreter's instructions, against `fuel.json`. A change that makes one dearer, or
//! cheaper, shows there in review. `UPDATE_FUEL=1` writes the file anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::host::Host;
use crate::requests::{Request, SECRET, claims, plain, signed};
use crate::vm::Vm;

/// Percent that a cost may differ: another order of a hash map, a few more bytes in an event.
const TOLERANCE: u64 = 10;

fn requests() -> Vec<(&'static str, Request)> {
    let sentence = r#""the quick brown fox jumps over the lazy dog, as ever","#;
    let body = format!("{{\"words\":[{}\"end\"]}}", sentence.repeat((64 << 10) / sentence.len()));
    let padded = (0..40).fold(Request::get("/api/a").by("ada"), |request, number| {
        request.header(format!("x-header-{number}"), "an ordinary value of some length")
    });
    let preflight = Request::new("OPTIONS", "/api/a")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST");
    vec![
        ("public", Request::get("/health")),
        ("first HS256 token", Request::get("/api/a").by("eve")),
        ("cached token", Request::get("/api/a").by("ada")),
        ("cached token, forty headers", padded),
        ("cached token, small JSON body", Request::post("/api/a", &[r#"{"name":"Ada","note":"hello"}"#]).by("ada")),
        ("cached token, 64 KB JSON body", Request::post("/api/a", &[&body]).by("ada")),
        ("no token", Request::get("/api/a")),
        ("forged signature", Request::get("/api/a").bearer(&signed(&claims("ada"), &SECRET.to_uppercase()))),
        (
            "injection in the query",
            Request::get("/api/a?q=1'%20OR%20'1'='1'%20UNION%20SELECT%20a%20FROM%20b--").by("ada"),
        ),
        ("preflight", preflight),
    ]
}

fn measured() -> BTreeMap<String, u64> {
    let cost = |request: &Request| {
        let mut vm = Vm::serving(&plain());
        for path in ["/health", "/api/a"] {
            vm.request(&Request::get(path).by("ada"));
        }
        let host: &mut Host = vm.host();
        host.log.clear();
        let before = vm.fuel;
        vm.request(request);
        vm.fuel - before
    };
    requests().iter().map(|(name, request)| ((*name).to_owned(), cost(request))).collect()
}

#[test]
fn fixed_requests_cost_what_they_did() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/wasm/fuel.json");
    let measured = measured();
    if std::env::var_os("UPDATE_FUEL").is_some() {
        std::fs::write(&file, serde_json::to_string_pretty(&measured).unwrap() + "\n").unwrap();
    }
    let known: BTreeMap<String, u64> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert!(known.keys().eq(measured.keys()), "UPDATE_FUEL=1 records other requests");
    let far: Vec<_> = measured
        .iter()
        .filter(|(name, fuel)| fuel.abs_diff(known[*name]) * 100 > known[*name] * TOLERANCE)
        .map(|(name, fuel)| format!("{name}: {} before, {fuel} now", known[name]))
        .collect();
    assert!(far.is_empty(), "UPDATE_FUEL=1 records what is meant: {far:#?}");
}

#[test]
fn a_cost_does_not_depend_on_the_run() {
    assert_eq!(measured(), measured());
}
