//! `portcullis check FILE`: every error of every configuration in a file, with the path of its field.

mod carrier;
mod doubts;

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::io::{self, Write};

use super::document::{self, Carrier, Chain, Found};
use super::input;
use super::lines::Lines;
use portcullis::policy::route_table::reach::Reach;
use portcullis::store::MemoryStore;
use portcullis_assembly::{Assembled, Surroundings, assemble, fingerprint, route_match};
use portcullis_config::{Config, ConfigError, SecretSource};

/// The configuration is good.
const GOOD: u8 = 0;
/// The configuration, or the file, is bad.
const BAD: u8 = 2;

/// Checks `file` (`-`: the standard input) and returns the exit code: 0 and a line to `out` for each good configuration, or 2 and a line to `err`
/// for every error, `FILE: PATH: MESSAGE (line N)`.
///
/// # Errors
/// What the writers say.
pub fn run(file: &str, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let text = match input::text(file) {
        Ok(text) => text,
        Err(error) => {
            writeln!(err, "{file}: {error}")?;
            return Ok(BAD);
        }
    };
    check(file, &text, out, err)
}

/// Checks the text of a file that is called `name`.
///
/// # Errors
/// What the writers say.
pub fn check(name: &str, text: &str, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let found = match document::configurations(text) {
        Ok(found) => found,
        Err(error) => {
            writeln!(err, "{name}: {error}")?;
            return Ok(BAD);
        }
    };
    let mut code = GOOD;
    let lines = LazyCell::new(|| Lines::of(text));
    for Found { place: within, json, carrier, chain } in &found {
        let line = |path: &str| lines.line(within, path).map(|line| format!(" (line {line})")).unwrap_or_default();
        let place = if within.is_empty() { name.to_owned() } else { format!("{name}: {within}") };
        let json = match json {
            Ok(json) => json,
            Err(unreadable) => {
                writeln!(err, "{place}: {unreadable}{}", line(""))?;
                code = BAD;
                continue;
            }
        };
        match assembled(json) {
            Ok(assembled) => {
                for warning in assembled.warnings.iter().chain(&advice(json, carrier.as_ref(), chain.as_ref())) {
                    writeln!(err, "{place}: warning: {warning}{}", line(&warning.path))?;
                }
                let (routes, fingerprint) = (assembled.pipeline.route_count(), fingerprint(json).unwrap_or_default());
                writeln!(out, "{place}: good, routes: {routes}, fingerprint {fingerprint}")?;
            }
            Err(errors) => {
                for error in &errors {
                    writeln!(err, "{place}: {error}{}", line(&error.path))?;
                }
                code = BAD;
            }
        }
    }
    Ok(code)
}

/// What the tool says of a good configuration beside the warnings of whoever assembles it.
fn advice(json: &[u8], carrier: Option<&Carrier>, chain: Option<&Chain>) -> Vec<ConfigError> {
    let Ok(config) = Config::from_json(json) else { return Vec::new() };
    let around = carrier.map(|carrier| carrier::doubts(carrier, &config, json)).unwrap_or_default();
    let misplaced = chain.map(|chain| carrier::misplaced(chain, &config)).unwrap_or_default();
    [doubts::doubts(&config, json), covered(&config), around, misplaced].concat()
}

/// Routes that are never taken, because one that comes before them takes more than all of their requests; those with the
/// same requests are warned of by whoever assembles.
fn covered(config: &Config) -> Vec<ConfigError> {
    let matches: Vec<_> = config.routes.iter().map(|route| route_match(&route.matching)).collect();
    let (mut known, mut before, mut found) = (BTreeSet::new(), Vec::new(), Vec::new());
    for (at, route) in matches.iter().enumerate() {
        let (Some(reach), Some(key)) = (Reach::new(route), route.key()) else { continue };
        let first = before.iter().find(|(_, earlier): &&(usize, Reach)| earlier.covers(&reach));
        if let (true, Some((first, _))) = (known.insert(key), first) {
            let message =
                format!("is never taken: routes[{first}].match comes before it and takes all of its requests");
            found.push(ConfigError { path: format!("routes[{at}].match"), message });
        }
        before.push((at, reach));
    }
    found
}

/// Compiles a configuration as the module does, so that patterns, keys, claims and rates are looked into as well. The
/// environment is the proxy's and is not here: every variable counts as set, each to something else.
pub(super) fn assembled(json: &[u8]) -> Result<Assembled, Vec<ConfigError>> {
    let store = MemoryStore::default();
    let sealing = sealing_variables(json);
    let variable = |name: &str| {
        let seals = sealing.iter().any(|known| known == name);
        Some(if seals { FERNET_PLACEHOLDER.to_owned() } else { format!("{PLACEHOLDER}{name}") })
    };
    assemble(json, &Surroundings { store: &store, variable: &variable, random: [1, 2, 3, 4] })
}

/// The variables with keys of `encryption`, which have a form of their own.
fn sealing_variables(json: &[u8]) -> Vec<String> {
    let Ok(config) = Config::from_json(json) else { return Vec::new() };
    let keys = config.encryption.iter().flat_map(|encryption| &encryption.keys);
    let sources = keys.filter_map(|key| config.secrets.get(&key.secret)).map(|secret| &secret.source);
    let variables = sources.filter_map(|source| match source {
        SecretSource::Env(variable) => Some(variable.clone()),
        _ => None,
    });
    variables.collect()
}

/// 32 bytes in base64url.
const FERNET_PLACEHOLDER: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Long enough for every algorithm, so that nothing is said about a secret that is not known.
const PLACEHOLDER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
