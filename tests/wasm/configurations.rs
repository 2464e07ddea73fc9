//! Configurations that are broken in every way: refused with a line for each fault, the same each time, in bounded work and
//! memory, and never a trap.

use std::rc::Rc;

use serde_json::{Value, json};

use crate::requests::{Request, configuration, plain};
use crate::vm::Vm;

/// The lines of a module that is given `configuration`, and whether it is taken.
fn given(vm: &mut Vm, configuration: &[u8]) -> (bool, Vec<String>) {
    vm.host().log.clear();
    let taken = vm.configure_with(configuration).is_ok();
    (taken, vm.host().log.iter().map(|(_, line)| line.clone()).collect())
}

fn refused_the_same_twice(vm: &mut Vm, configuration: &[u8]) -> Vec<String> {
    let shown = || String::from_utf8_lossy(configuration).chars().take(200).collect::<String>();
    let (taken, lines) = given(vm, configuration);
    // A hundred errors, and which configuration it is.
    assert!(!taken && !lines.is_empty() && lines.len() <= 101, "{}: {lines:?}", shown());
    for line in &lines {
        let is_line = line.starts_with("portcullis: configuration refused: ") && !line.contains(char::is_control);
        assert!(is_line, "{}: {line:?}", shown());
    }
    assert_eq!(given(vm, configuration), (false, lines.clone()), "{}", shown());
    lines
}

#[test]
fn texts_that_are_cut_off_or_of_another_form_are_refused_and_the_good_one_goes_on_serving() {
    let mut vm = Vm::serving(&plain());
    let good = plain();
    let utf16 = |to_bytes: fn(u16) -> [u8; 2]| good.encode_utf16().flat_map(to_bytes).collect::<Vec<u8>>();
    let nested = |open: &str, close: &str, depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
    let mut broken: Vec<Vec<u8>> = (0..good.len()).step_by(61).map(|end| good.as_bytes()[..end].to_vec()).collect();
    broken.extend([utf16(u16::to_le_bytes), utf16(u16::to_be_bytes), [b"\xef\xbb\xbf", good.as_bytes()].concat()]);
    let depths = [127, 128, 200_000];
    broken.extend(depths.map(|depth| nested("[", "]", depth).into_bytes()));
    broken.extend(depths.map(|depth| nested("{\"a\":", "}", depth).into_bytes()));
    broken.extend(
        [&b"service: a\nroutes: []\n"[..], b"\0", b"\xff", b"{}{}", b"{},", b"{\"service\":\"\xff\"}"]
            .map(<[u8]>::to_vec),
    );
    for text in broken {
        refused_the_same_twice(&mut vm, &text);
    }
    assert_eq!(vm.request(&Request::get("/api/a").by("ada")).status(), 200);
}

#[test]
fn values_that_nothing_has_are_refused_where_they_stand() {
    let mut vm = Vm::new();
    for value in ["1e999", "-1e999", "01", "NaN", "'a'", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\u{1}\"", "\"\\x41\""]
    {
        let lines = refused_the_same_twice(&mut vm, format!("{{\"service\":{value}}}").as_bytes());
        assert!(lines[0].contains("expected JSON: ") && lines[0].contains(" at line 1 column "), "{value}: {lines:?}");
    }
    let huge = "9".repeat(300);
    let values =
        ["null", "0", "-0.0", "1e300", "18446744073709551616", &huge, "\"\"", "\"\\u0000\"", "[]", "{\"a\":{}}"];
    for value in values {
        for (field, path) in [("service", "service: "), ("tables\":{\"limits", "tables.limits: ")] {
            let end = "}".repeat(1 + field.matches('{').count());
            let lines = refused_the_same_twice(&mut vm, format!("{{\"{field}\":{value}{end}").as_bytes());
            assert!(lines[0].starts_with(&format!("portcullis: configuration refused: {path}")), "{value}: {lines:?}");
        }
    }
    let (deep, end) = ("{\"a\":".repeat(20), "}".repeat(20));
    let twice = format!("{{\"bodies\":{deep}{{\"b\":1,\"b\":2}}{end}}}");
    let lines = refused_the_same_twice(&mut vm, twice.as_bytes());
    assert!(lines[0].ends_with(&format!("bodies{}.b: occurs twice in the same map", ".a".repeat(20))), "{lines:?}");
}

/// Each is told with its whole path.
#[test]
fn keys_that_occur_twice_take_no_memory_beyond_those_that_are_told() {
    let mut vm = Vm::new();
    let before = vm.memory();
    let text = format!("{}{{{}\"b\":1}}{}", "{\"a\":".repeat(100), "\"b\":1,".repeat(10_000), "}".repeat(100));
    assert_eq!(refused_the_same_twice(&mut vm, text.as_bytes()).len(), 100);
    let grown = vm.memory() - before;
    assert!(grown < 2 << 20, "{} bytes took {grown}", text.len());
}

#[test]
fn a_text_full_of_small_values_is_refused_before_they_take_much_memory() {
    for (item, mib) in [("0", 1), ("{}", 1), ("{\"match\":{}}", 2)] {
        let mut vm = Vm::new();
        let before = vm.memory();
        let text = format!("{{\"routes\":[{}]}}", vec![item; (mib << 20) / (item.len() + 1)].join(","));
        let (taken, lines) = given(&mut vm, text.as_bytes());
        let refused = "portcullis: configuration refused: expected at most 250000 values";
        assert_eq!((taken, lines), (false, vec![refused.to_owned()]), "{item}");
        let grown = vm.memory() - before;
        assert!(grown < 100 << 20, "{} bytes of {item} took {grown}", text.len());
    }
}

/// Whatever form it comes in: keys in another order, numbers in another spelling.
#[test]
fn says_once_for_all_workers_which_configuration_was_accepted() {
    let shared = Rc::default();
    let mut vms = [(); 2].map(|()| Vm::sharing(Rc::clone(&shared)));
    let mut told = |vm: usize, text: &str| {
        let (taken, lines) = given(&mut vms[vm], text.as_bytes());
        let lines =
            lines.into_iter().filter_map(|line| line.strip_prefix("portcullis: configuration ").map(str::to_owned));
        (taken, lines.collect::<Vec<_>>())
    };
    let (first, again) =
        (r#"{"service":"a","tables":{"limits":5000}}"#, r#"{ "tables": {"limits":5e3}, "service": "a" }"#);
    let (taken, lines) = told(0, first);
    let line = |fingerprint: &str| format!("accepted: fingerprint {fingerprint}, service a, routes: 0");
    let fingerprint = lines[0].split([' ', ',']).nth(2).unwrap().to_owned();
    assert!(taken && lines == [line(&fingerprint)] && fingerprint.len() == 12, "{lines:?}");
    assert_eq!(told(1, again), (true, vec![]), "the others say nothing");
    let (_, other) = told(1, r#"{"service":"a"}"#);
    assert!(other.len() == 1 && other != lines, "{other:?}");
    assert_eq!(told(0, again).1, lines, "and back");
    let (_, refused) = told(0, r#"{"service":"a","tables":{"limits":5000},"mode":"on"}"#);
    assert!(refused.len() == 2 && refused[1].starts_with("refused: its fingerprint is "), "{refused:?}");
    // What is inline must not be guessed from what is logged.
    let secret = |value: &str| format!(r#"{{"service":"b","secrets":{{"k":{{"inline":"{value}"}}}}}}"#);
    let accepted = |lines: Vec<String>| lines.iter().filter(|line| line.starts_with("accepted")).count();
    assert_eq!(accepted(told(0, &secret("one")).1), 1);
    assert_eq!(accepted(told(0, &secret("two")).1), 0);
}

#[test]
fn the_work_of_refusing_a_schema_grows_with_the_number_of_its_faults() {
    let cost = |faults: usize| {
        let mut configuration = configuration();
        let schema: Value =
            (0..faults).map(|at| (format!("fault{at}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
        configuration["routes"][1]["body"] = json!({ "schema": schema });
        let mut vm = Vm::new();
        assert_eq!(refused_the_same_twice(&mut vm, configuration.to_string().as_bytes()).len(), 1 + faults.min(100));
        vm.fuel
    };
    let (few, once, twice) = (cost(1), cost(1_000), cost(2_000));
    assert!((twice - few) * 10 < (once - few) * 25, "{few}, {once}, then {twice}");
}
