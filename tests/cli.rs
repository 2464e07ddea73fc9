//! The command line tool as it is called: output, and the exit code that scripts rely on.
#![cfg(feature = "cli")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn portcullis(args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A file that lasts as long as the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn check(name: &str, text: &str) -> (i32, String, String) {
    let file = File::new(name, text);
    let (code, out, err) = portcullis(&["check", file.path()], "");
    let plain = |text: String| text.replace(&format!("{}: ", file.path()), "");
    (code, plain(out), plain(err))
}

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
fn exits_2_with_the_usage_when_it_is_called_wrongly() {
    for args in [&[][..], &["chekc"], &["check"], &["check", "a", "b"], &["schema", "x"], &["--what"]] {
        let (code, out, err) = portcullis(args, "");
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains("usage: portcullis"), "{args:?}");
    }
}

#[test]
fn check_exits_0_for_a_good_configuration_and_warns_of_an_inline_secret_once() {
    let text = "secrets: { a: { inline: 0123456789abcdef0123456789abcdef } }\nroutes: [{ match: { path: /a } }]";
    let (code, out, err) = check("good.yaml", text);
    assert_eq!((code, out.as_str()), (0, "good, routes: 1\n"));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.starts_with("warning: secrets.a.inline: "), "{err}");
}

#[test]
fn check_needs_no_environment() {
    let text = "
secrets: { k: { env: PORTCULLIS_NOT_SET_ANYWHERE } }
authentication: { jwt: { a: { algorithms: [HS512], keys: [{ secret: k }] } } }";
    assert_eq!(check("environment.yaml", text), (0, "good, routes: 0\n".into(), String::new()));
}

#[test]
fn check_takes_no_two_variables_for_the_same_key() {
    let text = "
secrets: { a: { env: A }, b: { env: B } }
authentication: { api_keys: { keys: { one: { secret: a }, two: { secret: b } } } }";
    assert_eq!(check("environment.yaml", text), (0, "good, routes: 0\n".into(), String::new()));
}

#[test]
fn check_names_the_field_of_what_only_compiling_finds() {
    let cases = [
        ("inspection: { patterns: [{ id: a, regex: 'a.*b' }] }", "inspection.patterns[0].regex: expected a literal"),
        ("inspection: { patterns: [{ id: a, regex: '(abc' }] }", "inspection.patterns[0].regex: not a regular"),
        (
            "authentication: { jwt: { a: { algorithms: [ES256], jwks: { inline: { keys: [{ kty: EC }] } } } } }",
            "authentication.jwt.a.jwks.inline.keys[0]: ",
        ),
        (
            "authentication: { jwt: { a: { algorithms: [ES256], jwks: { inline: {} } } } }",
            "authentication.jwt.a.jwks.inline: ",
        ),
        (
            "routes: [{ match: { path: /a }, inspection: { exclude: [{ rule: sql-comet }] } }]",
            "routes[0].inspection.exclude[0].rule: there is no rule or pattern \"sql-comet\"",
        ),
        ("routes: [{ match: { path: '/{a}/{a}' } }]", "routes[0].match"),
        ("roles: { a: [b] }\nlimits: { l: { key: [client_ip], rate: 1/400d } }", "limits.l.rate: "),
        (
            "secrets: { k: { env: K } }
authentication: { jwt: { a: { algorithms: [HS256], keys: [{ secret: k }], claims: { subject: '' } } } }",
            "authentication.jwt.a.claims.subject: expected the name of a claim",
        ),
        (
            "authentication: { oauth2: { a: { userinfo: { cluster: c, uri: idp/userinfo } } } }",
            "authentication.oauth2.a.userinfo.uri: expected an address such as https://",
        ),
        (
            "authentication: { oauth2: { a: { userinfo: { cluster: c, uri: 'http://i/' }, claims: { roles: '' } } } }",
            "authentication.oauth2.a.claims.roles: expected the name of a claim",
        ),
        (
            "secrets: { k: { inline: a }, l: { inline: a } }
authentication: { api_keys: { keys: { one: { secret: k }, two: { secret: l } } } }",
            "authentication.api_keys.keys.two.secret: has the value of that of one",
        ),
        (
            "secrets: { k: { inline: a } }
authentication: { api_keys: { keys: { one: { secret: k, roles: ['a,b'] } } } }",
            "authentication.api_keys.keys.one.roles: expected names without commas",
        ),
    ];
    for (text, expected) in cases {
        let (code, out, err) = check("bad.yaml", text);
        assert_eq!((code, out.as_str()), (2, ""), "{text}");
        assert!(err.lines().any(|line| line.starts_with(expected)), "{text}: {err}");
    }
}

#[test]
fn check_exits_2_for_a_file_that_is_not_there() {
    let (code, out, err) = portcullis(&["check", "/nowhere/portcullis.yaml"], "");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("/nowhere/portcullis.yaml: "), "{err}");
}

#[test]
fn scan_reads_values_and_schema_prints_json() {
    assert_eq!(portcullis(&["scan"], "hello\n<script>alert(7)</script>\n").1, "none\nxss\n");
    let (code, out, _) = portcullis(&["schema"], "");
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["title"], "Portcullis configuration");
}

const EXPLAINED: &str = "
limits: { l: { key: [client_ip], rate: 1/m } }
inspection: { classes: { template: monitor } }
routes:
  - { match: { path: /public }, authenticate: none, limits: [l] }
  - { match: { path: /office }, authenticate: none, deny: [{ client_ip: [0.0.0.0/0], except: { client_ip: [10.0.0.0/8] } }] }
  - { match: { path: /watched }, authenticate: none, mode: monitor, allow: [{ roles: [admin] }] }
";

#[test]
fn explain_says_what_each_step_makes_of_a_request() {
    let file = File::new("explained.yaml", EXPLAINED);
    let body = File::new("body.json", "{\"a\":\"<script>alert(1)</script>\"}");
    let explain = |args: &[&str]| portcullis(&[&["explain", file.path()], args].concat(), "");
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (
            &["--request", "GET /a/../public?x=1", "--header", "x-auth-roles: admin"],
            0,
            &[
                "request localhost/public from 127.0.0.1: routes[0]",
                "limit passes",
                "inspect body passes",
                "upstream receives /public?x=1",
                "without x-auth-roles",
            ],
        ),
        (
            &["--request", "GET https://a.example/office", "--client", "203.0.113.7"],
            1,
            &[
                "request a.example/office from 203.0.113.7: routes[1]",
                "authorize refuses: 403 forbidden, by routes[1].deny[0]",
                "client is answered 403 (forbidden)",
            ],
        ),
        (&["--request", "GET /office", "--client", "10.1.1.1"], 0, &["authorize passes"]),
        (
            &["--request", "GET /watched"],
            0,
            &["authorize refuses: 403 forbidden, by routes[2].allow (monitor: goes on all the same)"],
        ),
        (
            &["--request", "POST /public", "--header", "content-type: application/json", "--body", body.path()],
            1,
            &["inspect body waits for the body", "inspect body refuses: 403 injection, by xss-", "in body \"a\""],
        ),
        (
            &["--request", "GET /nowhere"],
            1,
            &["localhost/nowhere from 127.0.0.1: no route", "unmatched refuses: 403 no_route"],
        ),
    ];
    for (args, expected_code, expected) in cases {
        let (code, out, err) = explain(args);
        assert_eq!((code, err.as_str()), (expected_code, ""), "{args:?} {out}");
        let plain = out.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in expected {
            assert!(plain.contains(text), "{args:?}: {text}: {out}");
        }
    }
    assert_eq!(explain(&["--request", "GET /a%2fb"]).0, 1);
    for wrong in [
        &[][..],
        &["--request", "GET"],
        &["--request", "GET /", "--client", "x"],
        &["--request", "GET /", "--header", "x"],
        &["--what"],
    ] {
        let (code, out, err) = explain(wrong);
        assert_eq!((code, out.as_str()), (2, ""), "{wrong:?}");
        assert!(!err.is_empty());
    }
}

/// Runs a command with a key in its environment.
fn sealed(args: &[&str], input: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(args).env("A_KEY", "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=");
    command.env("B_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").env("NO_KEY", "s3cret");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever does not read does not mind.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn encrypts_and_decrypts_files() {
    let plain = File::new("plain.txt", "größer\n");
    let (code, token, err) = sealed(&["encrypt", plain.path(), "--key", "A_KEY"], "");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(token.starts_with("gAAAAA"), "{token}");
    assert_ne!(sealed(&["encrypt", plain.path(), "--key", "A_KEY"], "").1, token);
    let token = File::new("token.txt", &format!("{token}\n"));
    let keys = ["decrypt", token.path(), "--key", "B_KEY", "--key", "A_KEY", "--ttl", "60"];
    assert_eq!(sealed(&keys, ""), (0, "größer\n".to_owned(), String::new()));
    let (code, out, err) = sealed(&["decrypt", token.path(), "--key", "B_KEY"], "");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("none of the keys made it"), "{err}");
    let made_in_1985 =
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
    assert_eq!(sealed(&["decrypt", "-", "--key", "A_KEY"], made_in_1985).1, "hello");
    assert_eq!(sealed(&["decrypt", "-", "--key", "A_KEY", "--ttl", "60"], made_in_1985).0, 1);
}

#[test]
fn exits_2_for_a_bad_key_and_never_prints_it() {
    for args in [
        &["encrypt"][..],
        &["encrypt", "-"],
        &["encrypt", "-", "--key"],
        &["encrypt", "-", "--key", "NO_KEY"],
        &["encrypt", "-", "--key", "NOT_SET_AT_ALL"],
        &["encrypt", "-", "--key", "A_KEY", "--ttl", "1"],
        &["decrypt", "-", "--key", "A_KEY", "--ttl", "soon"],
        &["decrypt", "/nowhere/at/all", "--key", "A_KEY"],
        &["decrypt", "a", "b", "--key", "A_KEY"],
    ] {
        let (code, out, err) = sealed(args, "");
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("portcullis: ") && !err.contains("s3cret"), "{args:?}: {err}");
    }
}

#[test]
fn check_takes_the_keys_of_encryption_for_granted_and_not_an_inline_one() {
    let with = |secret: &str| {
        let encryption =
            "encryption: { keys: [{ secret: a }] }\nroutes: [{ match: { path: /a }, body: { encrypt: [b] } }]";
        check("sealed.yaml", &format!("secrets: {{ a: {{ {secret} }} }}\n{encryption}"))
    };
    assert_eq!(with("env: A").0, 0);
    let (code, _, err) = with("inline: s3cret");
    assert_eq!(code, 2);
    assert!(err.contains("encryption.keys[0]: the secret a is no Fernet key") && !err.contains("s3cret"), "{err}");
}
