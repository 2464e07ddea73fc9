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

/// The text of `file`.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn text(file: &str) -> io::Result<String> {
    String::from_utf8(bytes(file)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}
