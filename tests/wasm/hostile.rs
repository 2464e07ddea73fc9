//! What clients and a confused host can send: no trap, an answer in bounded time and memory.

use serde_json::json;

use crate::host::{Headers, serialise};
use crate::requests::{Request, claims, configuration, plain, token};
use crate::vm::Vm;

#[test]
fn header_values_of_any_bytes_are_survived_and_escaped_in_events() {
    let mut vm = Vm::serving(&plain());
    let any: Vec<u8> = (1..=255).collect();
    for name in [
        "user-agent",
        "authorization",
        "cookie",
        "x-request-id",
        "content-type",
        "x-forwarded-for",
        ":path",
        ":authority",
        ":method",
        "origin",
    ] {
        for value in [&any[..], b"\xff", b"", b"\xc3\x28", b"\n{}", b"a\x01\x7f"] {
            let mut request = Request::get("/api/a");
            request.headers.retain(|(known, _)| known != name.as_bytes());
            let outcome = vm.request(&request.header(name, value));
            assert!(!outcome.passed, "{name}: {value:?}");
            assert!(!outcome.property.contains('\n'));
        }
    }
    let kept = vm.request(
        &Request::get("/api/a").by("ada").header("x-note", "caf\u{e9}".as_bytes()).header("x-raw", b"\xff\xfe"),
    );
    assert_eq!(kept.status(), 200);
    for (_, line) in &vm.host().log {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok() && !line.contains('\n'), "{line:?}");
    }
}

#[test]
fn odd_header_names_are_survived() {
    let mut vm = Vm::serving(&plain());
    for name in
        [&b""[..], b" ", b":", b":unknown", b"\xff", b"__proto__", b"x auth", b"X-AUTH-SUBJECT", &[b'a'; 70_000]]
    {
        let outcome = vm.request(&Request::get("/api/a").by("ada").header(name, "1"));
        assert_ne!(outcome.status(), 0, "{name:?}");
        let outcome = vm.request(&Request::get("/api/a").header(name, "1"));
        assert!(!outcome.passed, "{name:?}");
    }
}

#[test]
fn huge_values_are_answered() {
    let mut vm = Vm::serving(&plain());
    let huge = "a".repeat(100 << 10);
    for name in ["user-agent", "cookie", "x-request-id", "accept", "x-forwarded-for", "referer"] {
        assert_ne!(vm.request(&Request::get("/api/a").by("ada").header(name, &huge)).status(), 0, "{name}");
    }
    for token in [huge.clone(), format!("{huge}.{huge}.{huge}"), ".".repeat(100 << 10), "[".repeat(100 << 10)] {
        assert_eq!(vm.request(&Request::get("/api/a").bearer(&token)).status(), 401);
    }
    assert!(!vm.request(&Request::get(&format!("/api/{huge}?{huge}={huge}"))).passed);
    assert!(!vm.request(&Request::get(&format!("/{}", "../".repeat(30_000)))).passed);
}

/// Twice as much costs about twice as much, however often a credential is in it: nobody has to be known to send that.
#[test]
fn the_work_of_a_head_full_of_credentials_grows_with_its_length() {
    let mut configuration = configuration();
    configuration["authentication"]["jwt"]["users"]["from"] = json!([{ "cookie": "t" }, { "query": "t" }]);
    configuration["inspection"] = json!({ "mode": "off" });
    let mut vm = Vm::serving(&configuration.to_string());
    let mut cost = |path: &str, times: usize| {
        let (query, cookie) = (["t&", "a&"].map(|pair| pair.repeat(times)).concat(), "t=;a;".repeat(times));
        let before = vm.fuel;
        let outcome = vm.request(&Request::get(&format!("{path}?{query}")).header("cookie", &cookie));
        assert_eq!(outcome.passed, path == "/health");
        vm.fuel - before
    };
    for path in ["/health", "/api/a"] {
        cost(path, 100);
        let (once, twice) = (cost(path, 2_000), cost(path, 4_000));
        assert!(twice * 10 < once * 25, "{path}: {once}, then {twice}");
    }
}

#[test]
fn five_thousand_headers_are_answered() {
    let mut vm = Vm::serving(&plain());
    let (mut distinct, mut same) = (Request::get("/api/a").by("ada"), Request::get("/api/a").by("ada"));
    for number in 0..5_000 {
        distinct = distinct.header(format!("x-header-{number}"), "v");
        same = same.header("x-auth-subject", "root");
    }
    assert_ne!(vm.request(&distinct).status(), 0);
    let outcome = vm.request(&same);
    assert_ne!(outcome.status(), 0);
    assert!(!outcome.passed || outcome.upstream("x-auth-subject").as_deref() == Some("ada"));
}

#[test]
fn a_header_block_that_cannot_be_read_is_refused() {
    let mut vm = Vm::serving(&plain());
    let request = Request::get("/health");
    let whole = serialise(&request.headers);
    let mut blocks: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    blocks.push([&whole[..], &[0]].concat());
    for at in (0..4 + 8 * request.headers.len()).step_by(4) {
        for length in [u32::MAX, i32::MAX as u32, 0, 1 << 20] {
            let mut block = whole.clone();
            block[at..at + 4].copy_from_slice(&length.to_le_bytes());
            if block != whole {
                blocks.push(block);
            }
        }
    }
    for block in blocks {
        let raw = Request { raw_headers: Some(block.clone()), ..request.clone() };
        let outcome = vm.request(&raw);
        assert!(!outcome.passed && outcome.status() >= 400, "{block:?}");
    }
    assert_eq!(vm.request(&request).status(), 200);
}

#[test]
fn a_source_address_that_is_none_is_survived_and_one_that_is_withheld_refuses() {
    let mut vm = Vm::serving(&plain());
    for address in ["", "@", "/run/envoy.sock", "[::1]:1", "256.1.1.1:1", "1.2.3.4", &"9".repeat(5_000)] {
        assert_eq!(vm.request(&Request::get("/api/a").by("ada").from(address)).status(), 200, "{address}");
    }
    let mut unknown = Request::get("/api/a").by("ada");
    unknown.source_address = None;
    assert_eq!(vm.request(&unknown).status(), 503, "rules about addresses cannot be decided");
}

#[test]
fn the_source_address_is_asked_for_once_and_only_where_something_depends_on_it() {
    let mut vm = Vm::serving(&plain());
    let asked = |vm: &mut Vm| vm.host().calls.get("proxy_get_property").copied().unwrap_or_default();
    let attack = "/health?q=1'%20UNION%20SELECT%20a%20FROM%20b--";
    // Where there is an event, what the access log has of other plugins is asked for as well.
    for (request, times) in [
        (Request::get("/health"), 0),
        (Request::get(attack), 2),
        (Request::get("/api/a").by("ada"), 1),
        (Request::get("/api/a"), 2),
        (Request::get("/nowhere"), 2),
    ] {
        let before = asked(&mut vm);
        vm.request(&request);
        assert_eq!(asked(&mut vm) - before, times, "{:?}", request.headers);
    }
}

#[test]
fn bodies_of_every_shape_are_survived() {
    let mut vm = Vm::serving(&plain());
    let deep = "[".repeat(100_000);
    for kind in [
        "application/json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=a",
        "multipart/form-data",
        "\u{ff}",
        "text/plain",
    ] {
        for body in [
            deep.as_str(),
            "{\"a\":",
            "<a><![CDATA[",
            "--a\r\n\r\n--a",
            "&&&=%",
            "\0",
            "\u{fffd}",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        ] {
            let mut request = Request::post("/api/a", &[body]).by("ada");
            request.headers.retain(|(name, _)| name != b"content-type");
            let outcome = vm.request(&request.header("content-type", kind));
            assert_ne!(outcome.status(), 0, "{kind}");
        }
    }
}

/// Memory of a warm VM stays what it is: the token cache is bounded, counters live in shared data, streams end.
#[test]
fn ten_thousand_callers_do_not_grow_the_memory_beyond_the_token_cache() {
    let mut configuration = configuration();
    configuration["limits"]["per_address"] = json!({ "key": ["client_ip"], "rate": "1000/m" });
    configuration["defaults"]["limits"] = json!(["per_user", "per_address"]);
    configuration["tables"] = json!({ "limits": 1024, "addresses": 1024 });
    // Keeps nothing between requests, and its instructions are most of a request's.
    configuration["inspection"] = json!({ "mode": "off" });
    let mut vm = Vm::serving(&configuration.to_string());
    let before = vm.memory();
    let mut keys = Vec::new();
    for number in 0..10_000u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let request = Request::get("/api/a").from(&format!("10.{a}.{b}.{c}:4000"));
        let request = if number % 2 == 0 {
            request.by(&format!("user-{number}"))
        } else {
            request.bearer(&format!("{number}.a.b"))
        };
        assert_ne!(vm.request(&request).status(), 0);
        if number % 5_000 == 4_999 {
            keys.push(vm.host().shared.borrow().len());
        }
        vm.host().log.clear();
    }
    let grown = vm.memory() - before;
    assert!(grown <= 16 << 20, "the memory grew by {grown} bytes");
    assert!(keys[1] <= 2_048, "shared data has {keys:?} keys");
}

#[test]
fn the_same_requests_again_and_again_cost_no_memory() {
    let mut vm = Vm::serving(&plain());
    let request = Request::post("/api/a", &[r#"{"a":"b"}"#]).bearer(&token(&claims("ada")));
    let refused = Request::get("/api/a").header("x-padding", "p".repeat(4_096));
    let mut once = |count: u32| {
        for _ in 0..count {
            assert_eq!(vm.request(&request).status(), 200);
            assert_eq!(vm.request(&refused).status(), 401);
            vm.host().log.clear();
        }
        vm.memory()
    };
    let warm = once(100);
    assert_eq!(once(500), warm);
}

#[test]
fn an_empty_head_is_refused() {
    let mut vm = Vm::serving(&plain());
    let request = Request { headers: Headers::new(), ..Request::get("/health") };
    let outcome = vm.request(&request);
    assert!(!outcome.passed && outcome.status() >= 400, "{outcome:?}");
}
