//! `portcullis schema`: the configuration as a JSON Schema (draft 2020-12), made from the types that load it.

use std::io::{self, Write};

use serde_json::{Value, json};

use portcullis_config::Config;

/// The schema.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".to_owned(), "Portcullis configuration".into());
    let mut schema = schema.to_value();
    drop_null(&mut schema);
    want_texts(&mut schema);
    schema
}

/// No white space of ASCII around it (ECMA-262).
const PLAIN: &str = "^[^\\t-\\r ]([\\s\\S]*[^\\t-\\r ])?$";

/// A text, and the name of an entry, has at least one character, and no white space around it, where nothing else is said of its form.
fn want_texts(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let is_said = ["pattern", "enum", "const", "minLength"].iter().any(|keyword| map.contains_key(*keyword));
            if map.get("type").is_some_and(|name| name == "string") && !is_said {
                map.insert("minLength".to_owned(), 1.into());
                map.insert("pattern".to_owned(), PLAIN.into());
            }
            if map.get("additionalProperties").is_some_and(Value::is_object) {
                map.insert("propertyNames".to_owned(), json!({ "minLength": 1, "pattern": PLAIN }));
            }
            map.values_mut().for_each(want_texts);
        }
        Value::Array(list) => list.iter_mut().for_each(want_texts),
        _ => {}
    }
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
