//! The command line tool as it is called: output, and the exit code that scripts rely on.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "cli/check.rs"]
mod check;
#[path = "cli/credentials.rs"]
mod credentials;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/replay.rs"]
mod replay;
#[path = "cli/seal.rs"]
mod seal;
#[path = "cli/tool.rs"]
mod tool;

use tool::{File, portcullis, portcullis_with, unread};

#[test]
fn says_how_it_is_called_and_which_version_it_is() {
    let (code, out, err) = portcullis(&["--help"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    for command in ["check FILE", "explain FILE", "scan", "schema", "encrypt FILE", "decrypt FILE"] {
        assert!(out.contains(command), "{command}");
    }
    assert_eq!(portcullis(&["--version"], "").1, concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn exits_2_with_what_is_wrong_and_the_usage_when_it_is_called_wrongly() {
    for (args, problem) in [
        (&[][..], "a command is missing"),
        (&["chekc"], "there is no command chekc"),
        (&["check"], "check takes one file"),
        (&["check", "a", "b"], "check takes one file"),
        (&["check", "-x"], "check has no option -x"),
        (&["schema", "x"], "schema takes nothing"),
        (&["--what"], "there is no command --what"),
        (&["explain"], "explain takes a file"),
        (&["explain", "a"], "--request is missing"),
        (&["explain", "a", "-X", "GET"], "unknown option -X"),
        (&["replay"], "takes one file"),
        (&["replay", "a"], "--log is missing"),
        (&["convert"], "takes one file"),
        (&["convert", "-x"], "unknown option -x"),
        (&["scan", "-x"], "unknown option -x"),
        (&["token", "-x"], "unknown option -x"),
        (&["sign", "-x"], "unknown option -x"),
    ] {
        let (code, out, err) = portcullis(args, "");
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        let first = err.lines().next().unwrap();
        assert!(first.ends_with(problem) && err.contains("\nusage: portcullis"), "{args:?} {err}");
    }
}

#[test]
fn every_command_says_how_it_is_called() {
    for command in ["check", "explain", "convert", "scan", "replay", "sign", "token", "schema", "encrypt", "decrypt"] {
        for help in ["--help", "-h"] {
            let (code, out, err) = portcullis(&[command, help], "");
            assert!((code, err.as_str()) == (0, "") && out.starts_with("usage: portcullis"), "{command} {help} {err}");
        }
    }
}

/// As behind `| head -1` and `2>&1 | grep -q`.
#[test]
fn exits_with_the_same_code_when_nobody_reads_what_it_says() {
    let bad = File::new("unread-bad.yaml", "mode: enforced\n");
    let good = File::new("unread-good.yaml", "unmatched: deny\n");
    // What is said of it is more than is written at once.
    let log = "{\"start_time\":\"2026-01-31T12:00:00Z\",\"method\":\"GET\",\"path\":\"/\"}\n".repeat(1_000);
    let log = File::new("unread.log", &log);
    for (args, code) in [
        (&[][..], 2),
        (&["chekc"], 2),
        (&["check", bad.path()], 2),
        (&["check", good.path()], 0),
        (&["explain", good.path(), "--request", "GET https://a/"], 1),
        (&["explain", bad.path(), "--request", "GET https://a/"], 2),
        (&["token", "--what"], 2),
        (&["replay", good.path(), "--log", log.path(), "--each"], 0),
        (&["--version"], 0),
    ] {
        assert_eq!(unread(args), code, "{args:?}");
    }
}

#[test]
fn what_has_no_end_is_refused_at_a_bound_whoever_reads_it() {
    let good = File::new("endless.yaml", "unmatched: deny\n");
    let explain = ["explain", good.path(), "--request", "POST https://a/"];
    let sign = ["sign", "--service", "a", "--token-env", "KEY", "--key-env", "KEY", "--request", "POST https://a/"];
    let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    for args in [
        &[&explain[..], &["--body", "/dev/zero"]].concat()[..],
        &[&explain[..], &["--response", "/dev/zero"]].concat(),
        &[&sign[..], &["--body", "/dev/zero"]].concat(),
        &["token", "--key-env", "KEY", "--claims", "@/dev/zero"],
        &["encrypt", "/dev/zero", "--key", "KEY"],
        &["decrypt", "/dev/zero", "--key", "KEY"],
    ] {
        let (code, out, err) = portcullis_with(&[("KEY", key)], args, "");
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.lines().next().unwrap().ends_with("/dev/zero: expected at most 64 MiB"), "{args:?}: {err}");
    }
}

#[test]
fn the_standard_input_is_read_for_one_file_only() {
    let config = "service: a\n";
    for args in [
        &["explain", "-", "--request", "POST https://a/", "--body", "-"][..],
        &["explain", "a.yaml", "--request", "POST https://a/", "--body", "-", "--response", "-"],
        &["replay", "-", "--log", "-"],
        &["token", "-", "--provider", "users", "--claims", "@-"],
    ] {
        let (code, out, err) = portcullis(args, config);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.lines().next().unwrap().ends_with("only one of the files can be the standard input"), "{err}");
    }
    let good = File::new("stdin.yaml", "routes: [{ match: { path: / }, authenticate: none }]\n");
    let args = ["explain", good.path(), "--request", "POST https://a/", "--body", "-"];
    assert_eq!(portcullis(&args, "comment=1' OR '1'='1").0, 1);
    assert_eq!(portcullis(&args, "comment=hello").0, 0);
}

#[test]
fn scan_reads_values_and_schema_prints_json() {
    assert_eq!(portcullis(&["scan"], "hello\n<script>alert(7)</script>\n").1, "none\nxss\n");
    let (code, out, _) = portcullis(&["schema"], "");
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["title"], "Portcullis configuration");
}
