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
fn explain_says_what_becomes_of_a_response() {
    let file = File::new(
        "responses.yaml",
        "
routes:
  - { match: { path: /plain }, authenticate: none }
  - match: { path: /users }
    authenticate: none
    response: { fields: { deny: [password] } }
",
    );
    let user = File::new("user.json", r#"{"id":7,"password":"x"}"#);
    let broken = File::new("broken.json", r#"{"id":7,"password":"#);
    for (request, args, last) in [
        ("GET /users", &[][..], "response          is held for: fields"),
        ("GET /users", &["--response", user.path()], r#"client            receives 200 with another body: {"id":7}"#),
        (
            "GET /users",
            &["--response", broken.path()],
            "client            is answered 502 (response_malformed) instead",
        ),
        ("GET /plain", &["--response", user.path(), "--status", "404"], "client            receives 404 as it came"),
    ] {
        let (code, out, err) = portcullis(&[&["explain", file.path(), "--request", request], args].concat(), "");
        assert_eq!((code, err.as_str(), out.lines().last()), (0, "", Some(last)), "{request} {args:?}");
    }
    let (code, _, err) = portcullis(&["explain", file.path(), "--request", "GET /plain", "--status", "7"], "");
    assert_eq!((code, err.trim()), (2, "--status: expected a number from 100 to 599, found \"7\""));
}

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

/// As [`portcullis`], with the variables of the secrets set.
fn with_secrets(args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(args).env("SIGN_KEY", "service-key").env("SIGN_TOKEN", "tok").env("JWT_KEY", JWT_KEY);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
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

const JWT_KEY: &str = "jwt-key-0123456789abcdef0123456789abcdef0123456789";

const SIGN: [&str; 7] = ["sign", "--service", "order-service", "--token-env", "SIGN_TOKEN", "--key-env", "SIGN_KEY"];

#[test]
fn sign_prints_the_headers_of_the_worked_example() {
    let body = File::new("signed.json", "{}");
    let page = std::fs::read_to_string("docs/signatures.md").unwrap();
    let request = "POST https://users.example.com/api/v1/users?page=2&q=a%20b";
    let more = [
        "--timestamp",
        "1700000000.25",
        "--nonce",
        "3b1f6c0c9d2e4a7f8a5b",
        "--request",
        request,
        "--body",
        body.path(),
    ];
    let (code, out, err) = with_secrets(&[&SIGN[..], &more].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let signature = out.lines().find(|line| line.starts_with("X-Signature: v2=")).unwrap();
    assert!(page.contains(&format!("`{signature}`")), "{signature}");
    for line in [
        "X-Service-Name: order-service",
        "X-Service-Token: tok",
        "X-Timestamp: 1700000000.25",
        "X-Nonce: 3b1f6c0c9d2e4a7f8a5b",
        "Content-Digest: sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}");
        assert!(line.starts_with("X-Service-Token") || page.contains(line.split_once(": ").unwrap().1), "{line}");
    }
    let (_, curl, _) = with_secrets(&[&SIGN[..], &more, &["--curl"]].concat());
    assert!(curl.contains(&format!("-H '{signature}'")), "{curl}");
}

#[test]
fn sign_makes_the_first_form_as_python_does() {
    let more = ["--signature", "v1", "--timestamp", "1700000000"];
    let (code, out, _) = with_secrets(&[&SIGN[..], &more].concat());
    // `hmac.new(b"service-key", b"order-service:1700000000:tok", sha256).hexdigest()`
    assert_eq!(code, 0);
    assert!(out.contains("X-Signature: 40fe832b0a647c07c886f12f086ec8d7350bae78bd0c1ffcccd85a4487d0c257\n"), "{out}");
    assert!(!out.contains("X-Nonce"));
}

#[test]
fn sign_says_what_it_lacks_and_never_a_secret() {
    for (more, problem) in [
        (&[][..], "--request is missing"),
        (&["--request", "GET"], "expected 'METHOD URL'"),
        (&["--request", "GET /a%2fb"], "--request: "),
        (&["--request", "GET /", "--nonce", "short"], "--nonce: expected"),
        (&["--signature", "v3"], "expected v1 or v2"),
        (&["--timestamp", "now"], "--timestamp: expected"),
        (&["--service", "x"], "given twice"),
        (&["--what"], "unknown option --what"),
    ] {
        let (code, out, err) = with_secrets(&[&SIGN[..], more].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{more:?}");
        assert!(err.contains(problem) && !err.contains("service-key"), "{err}");
    }
    let unset = ["sign", "--service", "a", "--token-env", "SIGN_TOKEN", "--key-env", "PORTCULLIS_NOT_SET"];
    assert!(with_secrets(&unset).2.contains("PORTCULLIS_NOT_SET to be set"));
}

const PROVIDER: &str = "
secrets: { k: { env: JWT_KEY } }
authentication:
  jwt:
    users:
      issuer: https://auth.example.com
      audiences: [api]
      algorithms: [HS384]
      keys: [{ secret: k }]
      claims: { subject: sub, roles: roles, type: type }
routes: [{ match: { path: /** }, authenticate: [jwt], allow: [{ roles: [admin] }] }]";

#[test]
fn token_makes_one_that_the_configuration_takes() {
    let file = File::new("provider.yaml", PROVIDER);
    let made = |claims: &str| {
        let (code, out, err) = with_secrets(&["token", file.path(), "--provider", "users", "--claims", claims]);
        assert_eq!((code, err.as_str()), (0, ""));
        out.trim().to_owned()
    };
    let explained = |token: &str| {
        let header = format!("authorization: Bearer {token}");
        with_secrets(&["explain", file.path(), "--request", "GET /x", "--header", &header]).0
    };
    assert_eq!(explained(&made(r#"{"sub":"ann","roles":["admin"]}"#)), 0);
    assert_eq!(explained(&made(r#"{"sub":"ann"}"#)), 1);
    assert_eq!(explained(&made(r#"{"sub":"ann","roles":["admin"],"type":null}"#)), 1);
    assert_eq!(explained(&made(r#"{"sub":"ann","roles":["admin"],"exp":1}"#)), 1);
    let first = made("{}");
    assert_ne!(first, made("{}"), "each has an identifier of its own");
}

#[test]
fn token_says_what_it_lacks() {
    let file = File::new("no-provider.yaml", PROVIDER);
    for (args, problem) in [
        (&["token"][..], "--key-env is missing"),
        (&["token", "--key-env", "JWT_KEY", "--algorithm", "RS256"], "expected HS256"),
        (&["token", "--key-env", "JWT_KEY", "--claims", "[]"], "--claims: expected a JSON object"),
        (&["token", "--provider", "users"], "--provider needs FILE"),
        (&["token", file.path(), "--provider", "other"], "is called other"),
    ] {
        let (code, out, err) = with_secrets(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains(problem) && !err.contains(JWT_KEY), "{err}");
    }
}

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

#[test]
fn every_policy_that_is_shipped_is_good_wherever_it_is_carried() {
    let envoy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("envoy");
    let carriers = [
        ("policies/edge.yaml", 1),
        ("policies/inbound.yaml", 1),
        ("policies/outbound.yaml", 1),
        ("front-proxy/envoy.yaml", 1),
        ("sidecar/envoy.yaml", 2),
        ("istio/portcullis.yaml", 1),
        ("envoy-gateway/portcullis.yaml", 1),
    ];
    for (name, plugins) in carriers {
        let (code, out, err) = portcullis(&["check", envoy.join(name).to_str().unwrap()], "");
        assert_eq!((code, err.as_str()), (0, ""), "{name}");
        assert_eq!(out.matches("good, routes: ").count(), plugins, "{name}: {out}");
    }
}
