//! `portcullis token`: a JWT made with a shared secret, to try what takes tokens.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::document;
use super::input;
use super::options::{Options, asks_for_help, now, random, secret};
use portcullis::jose::algorithm::Algorithm;
use portcullis::jose::key::Secret;
use portcullis::jose::sign::sign;
use portcullis_config::{self as config, Config, JwtProvider, SecretSource};

/// How the command is called.
pub const USAGE: &str = "usage: portcullis token [FILE --provider NAME] [--key-env VARIABLE] [--algorithm HS256|HS384|HS512]
                        [--claims JSON|@CLAIMS_FILE] [--lifetime SECONDS]

Prints a JSON Web Token with iat, exp (900 seconds from now) and jti, and with the claims given; null takes one away.
With --provider, issuer, audience, type, algorithm and the key's variable are those of authentication.jwt.NAME in FILE.";

/// Makes one token and returns the exit code; `args` are what follows `token`.
///
/// # Errors
/// What the writers say.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if asks_for_help(args) {
        return writeln!(out, "{USAGE}").map(|()| 0);
    }
    match token(args) {
        Ok(token) => writeln!(out, "{token}").map(|()| 0),
        Err(problem) => writeln!(err, "portcullis token: {problem}\n\n{USAGE}").map(|()| 2),
    }
}

const WITH_VALUE: [&str; 5] = ["--provider", "--key-env", "--algorithm", "--claims", "--lifetime"];

fn token(args: &[String]) -> Result<String, String> {
    let options = Options::parse(args, &WITH_VALUE, &[])?;
    let claims = options.value("--claims").and_then(|claims| claims.strip_prefix('@'));
    input::stdin_once(options.rest.iter().copied().chain(claims))?;
    let provider = match (options.rest.as_slice(), options.value("--provider")) {
        ([], None) => None,
        ([file], Some(name)) => Some(Provider::read(file, name)?),
        ([], Some(_)) => return Err("--provider needs FILE".to_owned()),
        ([_], None) => return Err("FILE needs --provider".to_owned()),
        _ => return Err("expected one file".to_owned()),
    };
    let configured = provider.as_ref().and_then(|provider| provider.algorithm);
    let algorithm = match options.value("--algorithm") {
        Some(text) => algorithm(text).ok_or("--algorithm: expected HS256, HS384 or HS512")?,
        None if provider.is_some() => configured.ok_or("the provider takes no token made with a shared secret")?,
        None => Algorithm::Hs256,
    };
    let variable = options.value("--key-env").or(provider.as_ref().and_then(|provider| provider.variable.as_deref()));
    let key = secret(variable.ok_or("--key-env is missing")?)?;
    let key = Secret::new(key.as_bytes()).map_err(|error| error.to_string())?;
    let lifetime = options.value("--lifetime").unwrap_or("900");
    let lifetime: u64 = lifetime.parse().map_err(|_| "--lifetime: expected a number of seconds")?;
    let now = now().unix_seconds();
    let mut claims = provider.map(|provider| provider.claims).unwrap_or_default();
    claims.insert("iat".to_owned(), json!(now));
    claims.insert("exp".to_owned(), json!(now.saturating_add(lifetime)));
    claims.insert("jti".to_owned(), json!(random()?));
    for (name, value) in given(options.value("--claims").unwrap_or("{}"))? {
        match value {
            Value::Null => drop(claims.remove(&name)),
            value => drop(claims.insert(name, value)),
        }
    }
    let claims = Value::Object(claims).to_string();
    sign(algorithm, &key, None, claims.as_bytes()).ok_or_else(|| "the algorithm has no shared secret".to_owned())
}

fn given(claims: &str) -> Result<Map<String, Value>, String> {
    let text = match claims.strip_prefix('@') {
        Some(path) => input::text(path).map_err(|error| format!("{path}: {error}"))?,
        None => claims.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| format!("--claims: expected a JSON object: {error}"))
}

fn algorithm(text: &str) -> Option<Algorithm> {
    match text {
        "HS256" => Some(Algorithm::Hs256),
        "HS384" => Some(Algorithm::Hs384),
        "HS512" => Some(Algorithm::Hs512),
        _ => None,
    }
}

/// What a configuration says of a provider's tokens.
struct Provider {
    claims: Map<String, Value>,
    algorithm: Option<Algorithm>,
    /// The variable of its first key.
    variable: Option<String>,
}

impl Provider {
    fn read(file: &str, name: &str) -> Result<Self, String> {
        let text = input::text(file).map_err(|error| format!("{file}: {error}"))?;
        let json = document::only(&text).map_err(|problem| format!("{file}: {problem}"))?;
        let config = Config::from_json(&json).map_err(|error| format!("{file}: {error}"))?;
        let provider = config.authentication.jwt.get(name);
        let provider = provider.ok_or_else(|| format!("{file}: no provider of authentication.jwt is called {name}"))?;
        let mut algorithms = provider.algorithms.iter().filter_map(|algorithm| match algorithm {
            config::Algorithm::HS256 => Some(Algorithm::Hs256),
            config::Algorithm::HS384 => Some(Algorithm::Hs384),
            config::Algorithm::HS512 => Some(Algorithm::Hs512),
            _ => None,
        });
        let key = provider.keys.first().and_then(|key| config.secrets.get(key.secret.as_str()));
        let variable = key.and_then(|secret| match &secret.source {
            SecretSource::Env(variable) => Some(variable.to_string()),
            _ => None,
        });
        Ok(Self { claims: claims(provider), algorithm: algorithms.next(), variable })
    }
}

fn claims(provider: &JwtProvider) -> Map<String, Value> {
    let mut claims = Map::new();
    let issuer = provider.issuer.as_ref().map(|issuer| ("iss", issuer));
    let audience = provider.audiences.first().map(|audience| ("aud", audience));
    for (name, value) in issuer.into_iter().chain(audience) {
        claims.insert(name.to_owned(), json!(value));
    }
    if let Some(path) = &provider.claims.token_type {
        // A path of names: the inmost object holds the type.
        let mut names = path.rsplit('.');
        let inmost = json!({ names.next().unwrap_or_default(): provider.token_type });
        let nested = names.fold(inmost, |inner, name| json!({ name: inner }));
        claims.extend(nested.as_object().cloned().unwrap_or_default());
    }
    claims
}
