//! `portcullis sign`: the headers of a service signature, to call by hand what takes only signed requests.

use std::io::{self, Write};

use super::input;
use super::options::{Options, asks_for_help, now, random, secret};
use portcullis::canonical::path::{CanonicalPath, PathOptions};
use portcullis::signature::request::SignedRequest;
use portcullis::signature::{self, Key, V2_MARK, digest, format_timestamp, hex, parse_timestamp};

/// How the command is called.
pub const USAGE: &str = "usage: portcullis sign --service NAME --token-env VARIABLE --key-env VARIABLE
                       [--signature v1|v2] [--request 'METHOD URL'] [--body BODY_FILE]
                       [--timestamp SECONDS] [--nonce TEXT] [--curl]

Prints the headers of a signed request, or with --curl the arguments that have curl send them. Version 2, the default,
needs --request. Token and key come from environment variables.";

/// Signs one request and returns the exit code; `args` are what follows `sign`.
///
/// # Errors
/// What the writers say.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if asks_for_help(args) {
        return writeln!(out, "{USAGE}").map(|()| 0);
    }
    match signed(args) {
        Ok(text) => writeln!(out, "{text}").map(|()| 0),
        Err(problem) => writeln!(err, "portcullis sign: {problem}\n\n{USAGE}").map(|()| 2),
    }
}

const WITH_VALUE: [&str; 8] =
    ["--service", "--token-env", "--key-env", "--signature", "--request", "--body", "--timestamp", "--nonce"];

fn signed(args: &[String]) -> Result<String, String> {
    let options = Options::parse(args, &WITH_VALUE, &["--curl"])?;
    if let Some(extra) = options.rest.first() {
        return Err(format!("unexpected {extra}"));
    }
    let name = options.required("--service")?;
    if name.is_empty() || name.contains(':') {
        return Err("--service: expected a name without a colon".to_owned());
    }
    let token = secret(options.required("--token-env")?)?;
    let key = secret(options.required("--key-env")?)?;
    let key = Key::new(key.as_bytes()).ok_or("no key")?;
    let timestamp = options.value("--timestamp").map_or_else(|| format_timestamp(now()), str::to_owned);
    parse_timestamp(&timestamp).ok_or("--timestamp: expected decimal seconds")?;
    let mut headers = vec![("X-Service-Name", name.to_owned()), ("X-Service-Token", token.clone())];
    match options.value("--signature").unwrap_or("v2") {
        "v1" => headers.push(("X-Signature", hex(&key.v1(name, &timestamp, token.as_bytes())))),
        "v2" => headers.append(&mut second_form(&options, &key, name, &timestamp)?),
        other => return Err(format!("--signature: expected v1 or v2, found {other}")),
    }
    headers.push(("X-Timestamp", timestamp));
    if let Some((name, _)) = headers.iter().find(|(_, value)| value.bytes().any(|byte| byte.is_ascii_control())) {
        return Err(format!("{name}: expected no control characters"));
    }
    // No recipient sees them (RFC 9110 section 5.5), so that the signature would be over something else.
    if let Some((name, _)) = headers.iter().find(|(_, value)| value.trim_matches(' ') != value) {
        return Err(format!("{name}: expected no spaces around it"));
    }
    let shown = headers.iter().map(|(name, value)| format!("{name}: {value}"));
    let lines: Vec<String> = match options.has("--curl") {
        true => return Ok(shown.map(|line| format!("-H {}", quoted(&line))).collect::<Vec<_>>().join(" ")),
        false => shown.collect(),
    };
    Ok(lines.join("\n"))
}

fn second_form(
    options: &Options<'_>,
    key: &Key,
    name: &str,
    timestamp: &str,
) -> Result<Vec<(&'static str, String)>, String> {
    let line = options.required("--request")?;
    let (method, url) = line.split_once(' ').ok_or("--request: expected 'METHOD URL'")?;
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err("--request: expected a method in upper case".to_owned());
    }
    // In a target that is a path the address of another may stand in the query.
    let absolute = url.split_once("://").filter(|_| !url.starts_with('/'));
    let rest = absolute.map_or(url, |(_, rest)| rest.find(['/', '?']).map_or("/", |at| rest.split_at(at).1));
    let target = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let canonical = CanonicalPath::parse(method.as_bytes(), target.as_bytes(), PathOptions::default());
    let canonical = canonical.map_err(|error| format!("--request: {error}"))?;
    let body = options.value("--body").map(|path| input::bytes(path).map_err(|error| format!("{path}: {error}")));
    let body = body.transpose()?.unwrap_or_default();
    let digest = if body.is_empty() { String::new() } else { digest::format(&digest::of(&body)) };
    let nonce = options.value("--nonce").map_or_else(random, |nonce| Ok(nonce.to_owned()))?;
    if !signature::request::is_nonce(&nonce) {
        return Err("--nonce: expected 16 to 128 letters, digits, - and _".to_owned());
    }
    let query = target.find('?').map_or("", |at| target.split_at(at).1);
    let path = canonical.path();
    let (method, query) = (method.as_bytes(), query.as_bytes());
    let request = SignedRequest { name, timestamp, nonce: &nonce, method, path, query, digest: &digest };
    let code = format!("{V2_MARK}{}", hex(&key.v2(&request)));
    let mut headers = vec![("X-Nonce", nonce), ("X-Signature", code)];
    if !digest.is_empty() {
        headers.push(("Content-Digest", digest));
    }
    Ok(headers)
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
