//! What a command reads: a file, or `-` for the standard input.

use std::fs;
use std::io::{self, Read};

/// The bytes of `file`.
///
/// # Errors
/// It cannot be read.
pub fn bytes(file: &str) -> io::Result<Vec<u8>> {
    if file != "-" {
        return fs::read(file);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A text that is longer is none that somebody wrote; a file of a device has no end.
const LONGEST_TEXT: u64 = 64 << 20;

/// The text of `file`, at most 64 MiB.
///
/// # Errors
/// It cannot be read, is longer, or is not UTF-8.
pub fn text(file: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    let source: &mut dyn Read = if file == "-" { &mut io::stdin().lock() } else { &mut fs::File::open(file)? };
    source.take(LONGEST_TEXT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_TEXT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected a text of at most 64 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected UTF-8, found a byte of something else (line {line})"),
        )
    })
}
