//! `portcullis schema`: the configuration as a JSON Schema (draft 2020-12), made from the types that load it.

use std::io::{self, Write};

use serde_json::Value;

use crate::config::Config;

/// The schema.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".to_owned(), "Portcullis configuration".into());
    schema.to_value()
}

/// Prints the schema and returns the exit code, 0.
///
/// # Errors
/// What `out` says.
pub fn run(out: &mut dyn Write) -> io::Result<u8> {
    serde_json::to_writer_pretty(&mut *out, &schema())?;
    writeln!(out)?;
    Ok(0)
}
