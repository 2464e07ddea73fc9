//! `portcullis sign` and `portcullis token`: credentials for people and scripts.

use crate::tool::{File, portcullis_with};

const JWT_KEY: &str = "jwt-key-0123456789abcdef0123456789abcdef0123456789";

/// With the variables of the secrets set.
fn with_secrets(args: &[&str]) -> (i32, String, String) {
    portcullis_with(&[("SIGN_KEY", "service-key"), ("SIGN_TOKEN", "tok"), ("JWT_KEY", JWT_KEY)], args, "")
}

const SIGN: [&str; 7] = ["sign", "--service", "order-service", "--token-env", "SIGN_TOKEN", "--key-env", "SIGN_KEY"];

#[test]
fn sign_prints_the_headers_of_the_worked_example() {
    let body = File::new("signed.json", "{}");
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/signatures.md")).unwrap();
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
fn sign_takes_no_address_in_a_query_for_that_of_the_request() {
    let signed = |request: &str| {
        let more = ["--timestamp", "1700000000", "--nonce", "3b1f6c0c9d2e4a7f8a5b", "--request", request];
        with_secrets(&[&SIGN[..], &more].concat()).1
    };
    let of_path = signed("GET /admin/x?next=https://app.example.com/home");
    assert!(of_path.contains("X-Signature: v2="), "{of_path}");
    assert_eq!(of_path, signed("GET https://users.example.com/admin/x?next=https://app.example.com/home"));
    assert_ne!(of_path, signed("GET /home"));
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
        (&["--request", "get /x"], "--request: expected a method in upper case"),
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
    let spaced =
        ["sign", "--service", " a ", "--token-env", "SIGN_TOKEN", "--key-env", "SIGN_KEY", "--signature", "v1"];
    assert!(with_secrets(&spaced).2.contains("X-Service-Name: expected no spaces around it"));
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
    let rsa = File::new("rsa-provider.yaml", &PROVIDER.replace("HS384", "RS256"));
    for (args, problem) in [
        (&["token"][..], "--key-env is missing"),
        (&["token", "--key-env", "JWT_KEY", "--algorithm", "RS256"], "expected HS256"),
        (&["token", "--key-env", "JWT_KEY", "--claims", "[]"], "--claims: expected a JSON object"),
        (&["token", "--provider", "users"], "--provider needs FILE"),
        (&["token", file.path(), "--provider", "other"], "is called other"),
        (&["token", rsa.path(), "--provider", "users", "--key-env", "JWT_KEY"], "takes no token made with a shared"),
    ] {
        let (code, out, err) = with_secrets(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.contains(problem) && !err.contains(JWT_KEY), "{err}");
    }
}
