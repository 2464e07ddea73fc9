//! What a command reads: a file, or `-` for the standard input. Either may be hostile: what is kept of it is bounded.

use std::fs;
use std::io::{self, BufRead, Read};

/// What is longer is none that somebody wrote; a file of a device has no end.
const LONGEST: u64 = 64 << 20;

/// The bytes of `file`, at most 64 MiB.
///
/// # Errors
/// It cannot be read, or is longer.
pub fn bytes(file: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let source: &mut dyn Read = if file == "-" { &mut io::stdin().lock() } else { &mut fs::File::open(file)? };
    source.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected at most 64 MiB"));
    }
    Ok(bytes)
}

/// The text of `file`, at most 64 MiB.
///
/// # Errors
/// It cannot be read, is longer, or is not UTF-8.
pub fn text(file: &str) -> io::Result<String> {
    String::from_utf8(bytes(file)?).map_err(|error| {
        let good = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        let line = good.filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("expected UTF-8, found a byte of something else (line {line})"),
        )
    })
}

/// The standard input is read once: by one of `files` at most.
///
/// # Errors
/// Several of them are `-`.
pub fn stdin_once<'f>(files: impl IntoIterator<Item = &'f str>) -> Result<(), String> {
    match files.into_iter().filter(|file| *file == "-").count() {
        0 | 1 => Ok(()),
        _ => Err("only one of the files can be the standard input".to_owned()),
    }
}

/// What [`read_line`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// All of a line is there.
    Whole,
    /// It is longer than asked for, and passed over.
    TooLong,
}

/// Reads the next line, without its end, into `line`, which takes `longest` bytes at most. `None`: there is no further one.
///
/// # Errors
/// What `reader` says.
pub fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>, longest: usize) -> io::Result<Option<Line>> {
    line.clear();
    if reader.by_ref().take(longest as u64 + 1).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() > longest {
        line.clear();
        reader.skip_until(b'\n')?;
        return Ok(Some(Line::TooLong));
    }
    Ok(Some(Line::Whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_takes_no_more_memory_and_the_next_one_is_read() {
        // 64 MiB without an end of line, then a short line.
        let mut endless = io::BufReader::new(io::repeat(b'a').take(64 << 20)).chain(&b"\nabcd\nabc\n\nab"[..]);
        let mut line = Vec::new();
        let mut found = Vec::new();
        while let Some(kind) = read_line(&mut endless, &mut line, 3).unwrap() {
            found.push((kind, String::from_utf8(line.clone()).unwrap()));
        }
        let whole = |text: &str| (Line::Whole, text.to_owned());
        let long = (Line::TooLong, String::new());
        assert_eq!(found, [long.clone(), long, whole("abc"), whole(""), whole("ab")]);
        assert!(line.capacity() < 1 << 10);
    }

    #[test]
    fn the_standard_input_is_for_one_file() {
        assert!(stdin_once(["a", "-", "b"]).is_ok());
        assert!(stdin_once(["-", "-"]).is_err());
    }
}
