//! `portcullis schema`: the configuration as a JSON Schema (draft 2020-12), made from the types that load it.

use std::io::{self, Write};

use serde_json::Value;

use portcullis_config::Config;

/// The schema.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".to_owned(), "Portcullis configuration".into());
    let mut schema = schema.to_value();
    drop_null(&mut schema);
    schema
}

/// An optional setting is left out, never null.
fn drop_null(schema: &mut Value) {
    if let Value::Object(map) = schema {
        if let Some(Value::Array(types)) = map.get_mut("type") {
            types.retain(|name| name != "null");
            if let [one] = types.as_slice() {
                let one = one.clone();
                map.insert("type".to_owned(), one);
            }
        }
        if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
            choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        }
        map.retain(|key, value| key != "default" || !value.is_null());
    }
    match schema {
        Value::Object(map) => map.values_mut().for_each(drop_null),
        Value::Array(list) => list.iter_mut().for_each(drop_null),
        _ => {}
    }
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
