//! `portcullis replay`: what would have been refused of a log.

use crate::tool::{File, portcullis};

const REPLAYED: &str = "
secrets: { k: { env: K } }
authentication: { jwt: { users: { algorithms: [HS256], keys: [{ secret: k }] } } }
limits:
  per_address: { key: [client_ip], rate: 3/m }
  per_user: { key: [subject], rate: 1/m }
inspection: { classes: { sqli: enforce, xss: monitor } }
routes:
  - match: { path: /users/** }
    authenticate: [jwt]
    allow: [{ roles: [admin] }]
    limits: [per_user]
  - match: { path: /admin/** }
    deny: [{ client_ip: [0.0.0.0/0], except: { client_ip: [10.0.0.0/8] } }]
  - match: { path: /search }
    limits: [per_address]";

#[test]
fn replay_says_what_would_have_been_refused_and_what_a_log_cannot_tell() {
    let file = File::new("replayed.yaml", REPLAYED);
    let line = |second: u32, target: &str, client: &str| {
        format!(
            "[2026-01-31T12:00:{second:02}.000Z] \"GET {target} HTTP/1.1\" 200 - 0 5 3 2 \"{client}\" \"curl/8\" \"id\" \"api.example.com\" \"10.0.0.9:80\"\n"
        )
    };
    let json = r#"{"start_time":"2026-01-31T12:00:30.000Z","method":"GET","path":"/search?q=1'%20OR%201=1--%20","authority":"h","response_code":200,"downstream_remote_address":"203.0.113.9:4000"}"#;
    let mut log = String::new();
    for second in 0..5 {
        log += &line(second, "/search?q=x", "203.0.113.7");
    }
    log += &line(6, "/users/7?token=s3cr3t", "203.0.113.8");
    log += &line(7, "/admin/x", "203.0.113.8");
    log += &line(8, "/admin/x", "10.1.2.3");
    log += &line(9, "/nowhere", "203.0.113.8");
    log += &line(10, "/a%2fb", "203.0.113.8");
    log += &line(11, "/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "203.0.113.10");
    log += &format!("{json}\nnonsense\n{}\n", "x".repeat(200_000));
    // A minute later the limit has room again.
    log += "[2026-01-31T12:05:00.000Z] \"GET /search HTTP/2\" 200 - 0 5 3 2 \"203.0.113.7\" \"-\" \"-\" \"-\" \"-\"\n";
    let log = File::new("access.log", &log);
    let (code, out, err) = portcullis(&["replay", file.path(), "--log", log.path()], "");
    assert_eq!((code, err.as_str()), (0, ""));
    let of = |what: &str| {
        let found = out.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what} in {out}"));
        found.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap()
    };
    for (what, expected) in [
        ("requests  ", 13),
        ("lines not understood", 2),
        ("would pass", 6),
        ("would be refused", 6),
        ("not decided", 1),
        ("authenticate", 1),
        ("rate_limit             per_address", 2),
        ("forbidden              routes[1].deny[0]", 1),
        ("no_route               unmatched", 1),
        ("injection              sql", 1),
        ("injection              xss", 1),
    ] {
        assert_eq!(of(what), expected, "{what}: {out}");
    }
    assert!(out.contains("GET /a%2fb at ") && !out.contains("s3cr3t"), "{out}");

    let (code, each, _) = portcullis(&["replay", file.path(), "--log", log.path(), "--each"], "");
    assert_eq!((code, each.strip_suffix(&out).is_some()), (0, true), "{each}");
    let words = [
        "passed",
        "passed",
        "passed",
        "refused limit rate_limit per_address",
        "refused limit rate_limit per_address",
        "undecided authenticate",
        "refused authorize forbidden routes[1].deny[0]",
        "passed",
        "refused unmatched no_route unmatched",
    ];
    assert_eq!(each.lines().take(words.len()).collect::<Vec<_>>(), words);
    assert_eq!(each.lines().nth(12), Some("unreadable"));
}

#[test]
fn replay_decides_nothing_where_the_route_hangs_on_what_a_log_does_not_hold() {
    let file = File::new(
        "replayed-routes.yaml",
        r#"
routes:
  - { match: { path: /beta, headers: { x-beta: "1" } } }
  - { match: { path: /agent, headers: { user-agent: curl } } }
  - { match: { path: /host, hosts: [a.example] } }
  - { match: { path: "/open/**" } }
  - { match: { path: "/open/x", headers: { x-beta: "1" } } }"#,
    );
    let line = |path: &str, more: &str| {
        format!(r#"{{"start_time":"2026-01-31T12:00:00Z","method":"GET","path":"{path}"{more}}}"#)
    };
    let host = |name: &str| format!(r#","authority":"{name}""#);
    let cases = [
        (line("/beta", &host("a.example")), "undecided route"),
        (line("/other", &host("a.example")), "refused unmatched no_route unmatched"),
        (line("/agent", &(host("a.example") + r#","user_agent":"curl""#)), "passed"),
        (line("/agent", &host("a.example")), "refused unmatched no_route unmatched"),
        (line("/host", &host("a.example")), "passed"),
        (line("/host", &host("b.example")), "refused unmatched no_route unmatched"),
        (line("/host", ""), "undecided route"),
        (line("/open/x", &host("a.example")), "passed"),
        (line("/a%2fb", ""), "refused request path_encoded_slash"),
    ];
    let log = cases.iter().map(|(line, _)| format!("{line}\n")).collect::<String>();
    let (code, out, err) = portcullis(&["replay", file.path(), "--log", "-", "--each"], &log);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out.lines().take(cases.len()).collect::<Vec<_>>(), cases.each_ref().map(|(_, expected)| *expected));
}

#[test]
fn replay_needs_a_configuration_and_a_log() {
    let file = File::new("replay-good.yaml", REPLAYED);
    for (args, problem) in [
        (&["replay"][..], "usage: portcullis replay"),
        (&["replay", file.path()], "usage: portcullis replay"),
        (&["replay", file.path(), "--log", "/nowhere.log"], "/nowhere.log: "),
        (&["replay", "/nowhere.yaml", "--log", file.path()], "/nowhere.yaml: "),
    ] {
        let (code, out, err) = portcullis(args, "");
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains(problem), "{err}");
    }
}

#[test]
fn replay_reads_the_standard_input_and_fails_where_no_line_is_one_of_a_log() {
    let file = File::new("replayed-stdin.yaml", REPLAYED);
    let line =
        "[2026-01-31T12:05:00.000Z] \"GET /search HTTP/2\" 200 - 0 5 3 2 \"203.0.113.7\" \"-\" \"-\" \"-\" \"-\"\n";
    for (log, expected) in [(format!("{line}nonsense\n"), 0), (String::new(), 0), ("nonsense\n".repeat(3), 2)] {
        let (code, out, err) = portcullis(&["replay", file.path(), "--log", "-"], &log);
        let problem = "portcullis replay: -: expected lines of Envoy's default format, or of JSON\n";
        assert_eq!((code, err.as_str()), (expected, if expected == 2 { problem } else { "" }), "{log}");
        assert_eq!(out.contains("lines not understood"), log.contains("nonsense"));
    }
}
