//! `portcullis encrypt FILE` and `portcullis decrypt FILE`: what the module does to whole bodies, for files.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use super::input;
use super::options::{asks_for_help, is_option};
use portcullis::fernet::{Freshness, Key, Keys};
use portcullis::time::Timestamp;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Text to token.
    Encrypt,
    /// Token to text.
    Decrypt,
}

/// How the commands are called.
pub const USAGE: &str = "usage: portcullis encrypt FILE --key VARIABLE
       portcullis decrypt FILE --key VARIABLE [--key VARIABLE]... [--ttl SECONDS]

Writes the Fernet token of FILE, or what the token in FILE says; - is the standard input. VARIABLE is an environment
variable that holds a key. decrypt tries every key, and exits 1 if none made the token, or too long ago.";

/// It is done.
const DONE: u8 = 0;
/// The file does not decrypt.
const REFUSED: u8 = 1;
/// The command line, a key or the file is bad.
const BAD: u8 = 2;

/// What the command line asks for.
struct Order<'a> {
    /// `-`: the standard input.
    file: &'a str,
    /// Names of variables, each with a key.
    keys: Vec<&'a str>,
    ttl: Option<Duration>,
}

/// Writes the token of a file, or what a token in a file says, to `out` and returns the exit code: 0, 1 when it does not
/// decrypt, 2 for a bad command line, key or file. Keys are read from variables, so that they are in no list of processes.
///
/// # Errors
/// What the writers say.
pub fn run(direction: Direction, args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if asks_for_help(args) {
        return writeln!(out, "{USAGE}").map(|()| DONE);
    }
    let variable = |name: &str| std::env::var(name).ok();
    match sealed(direction, args, &variable) {
        Ok(bytes) => out.write_all(&bytes).map(|()| DONE),
        Err((code, problem)) => {
            writeln!(err, "portcullis: {problem}")?;
            Ok(code)
        }
    }
}

fn sealed(
    direction: Direction,
    args: &[String],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<u8>, (u8, String)> {
    let bad = |problem: String| (BAD, problem);
    let order = order(direction, args).map_err(bad)?;
    let keys = order.keys.iter().map(|name| key(name, variable)).collect::<Result<Vec<_>, _>>().map_err(bad)?;
    let keys = Keys::new(keys).ok_or((BAD, "expected --key VARIABLE".to_owned()))?;
    let bytes = input::bytes(order.file).map_err(|error| bad(format!("{}: {error}", order.file)))?;
    let now = Timestamp::default().after(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    match direction {
        Direction::Encrypt => {
            let mut iv = [0; 16];
            getrandom::getrandom(&mut iv).map_err(|error| bad(error.to_string()))?;
            Ok(keys.encrypt(&bytes, now, iv).into_bytes())
        }
        Direction::Decrypt => {
            let freshness = order.ttl.map(|ttl| Freshness { now, ttl });
            let plain = keys.decrypt_stored(bytes.trim_ascii(), freshness);
            plain.map_err(|error| (REFUSED, format!("{} does not decrypt: {error}", order.file)))
        }
    }
}

fn order(direction: Direction, args: &[String]) -> Result<Order<'_>, String> {
    let mut order = Order { file: "", keys: Vec::new(), ttl: None };
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--key" => order.keys.push(args.next().ok_or("--key takes the name of a variable")?),
            "--ttl" if order.ttl.is_some() => return Err("--ttl is given twice".to_owned()),
            "--ttl" if direction == Direction::Decrypt => {
                let seconds = args.next().and_then(|text| text.parse().ok()).ok_or("--ttl takes seconds")?;
                order.ttl = Some(Duration::from_secs(seconds));
            }
            option if is_option(option) => return Err(format!("there is no option {option} here")),
            file if order.file.is_empty() => order.file = file,
            _ => return Err("expected one file".to_owned()),
        }
    }
    if order.file.is_empty() { Err("expected a file, or - for the standard input".to_owned()) } else { Ok(order) }
}

/// Says which variable is wrong and never what is in it.
fn key(name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Key, String> {
    let text = variable(name).ok_or_else(|| format!("{name} is not set"))?;
    let text = zeroize::Zeroizing::new(text);
    Key::parse(text.as_bytes()).ok_or_else(|| format!("{name} is no Fernet key: expected 32 bytes in base64url"))
}
