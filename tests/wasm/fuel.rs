//! What fixed requests cost in the interpreter's instructions, against `fuel.json`. A change that makes one dearer, or
//! cheaper, shows there in review. `UPDATE_FUEL=1` writes the file anew.
//!
//! The interpreter charges the body of a loop whole each time round, with what is not run of it: what is rare in a hot loop
//! counts for more here than it costs. `make bench-counted` counts what is executed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::host::Host;
use crate::requests::{Request, SECRET, claims, configuration, plain, signed};
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

/// The same body under rules that ask more of it each time: 64 KB of records, as the bench in Envoy has them.
fn rules_for_records() -> [(&'static str, String); 3] {
    let under = |schema: Value| {
        let mut configuration = configuration();
        configuration["routes"][1]["body"] = json!({ "schema": schema });
        configuration.to_string()
    };
    let text = |most: u32| json!({ "type": "string", "maxLength": most });
    let record = json!({
        "type": "object", "required": ["id", "name"], "additionalProperties": false,
        "properties": {
            "id": { "type": "integer", "minimum": 0 },
            "name": { "type": "string", "minLength": 1, "maxLength": 100 },
            "note": text(2000),
            "tags": { "type": "array", "maxItems": 10, "items": text(50) },
        },
    });
    let items = json!({ "type": "array", "maxItems": 1000, "items": record });
    let schema = json!({
        "type": "object", "required": ["items"], "additionalProperties": false, "properties": { "items": items },
    });
    [
        ("64 KB of records, inspected", plain()),
        ("64 KB of records, inspected and decoded", under(json!({}))),
        ("64 KB of records, inspected and validated", under(schema)),
    ]
}

fn records() -> Request {
    let words = ["alpha", "beta", "gamma", "delta", "the quick brown fox", "jumps over", "a lazy dog"];
    let note = words.join(" ");
    let record = |id: usize| {
        let name = words[id % words.len()];
        format!(r#"{{"id": {id}, "name": "{name}", "note": "{note}", "tags": ["alpha", "beta", "gamma"]}}"#)
    };
    let records: Vec<_> = (0..440).map(record).collect();
    Request::post("/api/a", &[&format!(r#"{{"items": [{}]}}"#, records.join(", "))]).by("ada")
}

fn cost(configuration: &str, request: &Request) -> u64 {
    let mut vm = Vm::serving(configuration);
    for path in ["/health", "/api/a"] {
        vm.request(&Request::get(path).by("ada"));
    }
    let host: &mut Host = vm.host();
    host.log.clear();
    let before = vm.fuel;
    vm.request(request);
    vm.fuel - before
}

fn measured() -> BTreeMap<String, u64> {
    let plain = plain();
    let records = records();
    let fixed = requests().into_iter().map(|(name, request)| (name.to_owned(), cost(&plain, &request)));
    let under = rules_for_records().map(|(name, rules)| (name.to_owned(), cost(&rules, &records)));
    fixed.chain(under).collect()
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
fn records_go_on_under_every_rule() {
    for (name, rules) in rules_for_records() {
        assert!(Vm::serving(&rules).request(&records()).passed, "{name}");
    }
}

#[test]
fn a_value_in_which_something_is_found_is_read_once_whatever_else_is_only_monitored() {
    let mut configuration = configuration();
    let attack = "the quick brown fox's ".repeat(1000) + "' union select a, b from c --";
    // What costs too much as a template, which is told as that and not refused for it.
    let costly = "${} ".repeat(16 << 10);
    for text in [attack, costly] {
        let request = Request::post("/api/a", &[&json!({ "a": text }).to_string()]).by("ada");
        let mut with_templates = |mode: &str| {
            configuration["inspection"] = json!({ "classes": { "template": mode }, "body_limit": "128KiB" });
            cost(&configuration.to_string(), &request)
        };
        let (enforced, monitored) = (with_templates("enforce"), with_templates("monitor"));
        assert!(monitored * 10 < enforced * 15, "{monitored}, {enforced}");
    }
}

#[test]
fn a_cost_does_not_depend_on_the_run() {
    assert_eq!(measured(), measured());
}
