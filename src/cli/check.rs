//! `portcullis check FILE`: every error of every configuration in a file, with the path of its field.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::document::{self, Found};
use crate::config::{self, Config};

/// The configuration is good.
const GOOD: u8 = 0;
/// The configuration, or the file, is bad.
const BAD: u8 = 2;

/// Checks `file` and returns the exit code: 0 and a line to `out` for each good configuration, or 2 and a line to `err`
/// for every error, `FILE: PATH: MESSAGE`.
///
/// # Errors
/// What the writers say.
pub fn run(file: &Path, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let name = file.display().to_string();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            writeln!(err, "{name}: {error}")?;
            return Ok(BAD);
        }
    };
    check(&name, &text, out, err)
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
    for Found { place, json } in &found {
        let place = if place.is_empty() { name.to_owned() } else { format!("{name}: {place}") };
        let json = match json {
            Ok(json) => json,
            Err(unreadable) => {
                writeln!(err, "{place}: {unreadable}")?;
                code = BAD;
                continue;
            }
        };
        let errors = config::every_error(json);
        for error in &errors {
            writeln!(err, "{place}: {error}")?;
        }
        if !errors.is_empty() {
            code = BAD;
        } else if let Ok(config) = Config::from_json(json) {
            for warning in config::warnings(&config) {
                writeln!(err, "{place}: warning: {warning}")?;
            }
            writeln!(out, "{place}: good, routes: {}", config.routes.len())?;
        }
    }
    Ok(code)
}
