//! The JSON Schema and the reader say the same: what one refuses, so does the other.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use portcullis::config::Config;
use portcullis_cli::{document, schema};
use regex_lite::Regex;
use serde_json::{Map, Value, json};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn load(file: &str) -> Value {
    let found = document::configurations(&fs::read_to_string(root().join(file)).unwrap()).unwrap();
    serde_json::from_slice(found[0].json.as_ref().unwrap()).unwrap()
}

fn reads(value: &Value) -> bool {
    Config::from_json(value.to_string().as_bytes()).is_ok()
}

#[test]
fn the_schema_and_the_reader_take_the_reference() {
    let reference = load("envoy/examples/reference.yaml");
    assert!(reads(&reference));
    assert_eq!(Schema::new().problem(&reference), None);
}

#[test]
fn the_schema_and_the_reader_refuse_an_unknown_field_anywhere() {
    let (reference, schema) = (load("envoy/examples/reference.yaml"), Schema::new());
    let mut places = Vec::new();
    objects(&reference, String::new(), &mut places);
    assert!(places.len() > 120, "only {} objects", places.len());
    for place in places {
        let mut changed = reference.clone();
        let object = changed.pointer_mut(&place).unwrap().as_object_mut().unwrap();
        object.insert("un known".to_owned(), json!({}));
        assert!(!reads(&changed), "the reader takes an unknown field in {place}");
        assert!(schema.problem(&changed).is_some(), "the schema takes an unknown field in {place}");
    }
}

#[test]
fn the_schema_and_the_reader_refuse_a_value_of_another_type_anywhere() {
    let (reference, schema) = (load("envoy/examples/reference.yaml"), Schema::new());
    let mut places = Vec::new();
    leaves(&reference, String::new(), &mut places);
    assert!(places.len() > 250, "only {} values", places.len());
    for place in places {
        for other in [json!(null), json!({ "un known": 1 })] {
            let mut changed = reference.clone();
            *changed.pointer_mut(&place).unwrap() = other;
            assert!(!reads(&changed), "the reader takes something else at {place}");
            assert!(schema.problem(&changed).is_some(), "the schema takes something else at {place}");
        }
    }
}

#[test]
fn the_schema_and_the_reader_refuse_an_empty_text_anywhere() {
    let (reference, schema) = (load("envoy/examples/reference.yaml"), Schema::new());
    let mut places = Vec::new();
    leaves(&reference, String::new(), &mut places);
    places.retain(|place| reference.pointer(place).unwrap().is_string());
    assert!(places.len() > 150, "only {} texts", places.len());
    for place in places {
        let mut changed = reference.clone();
        *changed.pointer_mut(&place).unwrap() = json!("");
        let is_compared =
            place.contains("/match/headers/") || place.contains("/claims/") && !place.starts_with("/authentication");
        let may_be_empty = is_compared || place.ends_with("/prefix") || place.ends_with("/parameter");
        assert_eq!(reads(&changed), may_be_empty, "the reader at {place}");
        assert_eq!(schema.problem(&changed).is_none(), may_be_empty, "the schema at {place}");
    }
}

/// As a block of YAML leaves at the end: what is compared with it would never be the same.
#[test]
fn the_schema_and_the_reader_refuse_white_space_around_a_text_anywhere() {
    let (reference, schema) = (load("envoy/examples/reference.yaml"), Schema::new());
    let mut places = Vec::new();
    leaves(&reference, String::new(), &mut places);
    places.retain(|place| reference.pointer(place).unwrap().is_string());
    for place in places {
        let is_compared =
            place.contains("/match/headers/") || place.contains("/claims/") && !place.starts_with("/authentication");
        let is_literal = ["/prefix", "/parameter", "/regex", "/inline"].iter().any(|name| place.ends_with(name));
        for around in [|text: &str| format!("{text}\n"), |text: &str| format!(" {text}")] {
            let mut changed = reference.clone();
            let text = changed.pointer_mut(&place).unwrap();
            *text = json!(around(text.as_str().unwrap()));
            assert_eq!(reads(&changed), is_compared || is_literal, "the reader at {place}");
            assert_eq!(schema.problem(&changed).is_none(), is_compared || is_literal, "the schema at {place}");
        }
    }
    for (text, good) in [("a", true), ("a b", true), ("a\nb", true), (" ", false), ("a\u{b}", false), ("\u{a0}", true)]
    {
        for changed in [json!({ "roles": { "a": [text] } }), json!({ "roles": { text: ["c"] } })] {
            assert_eq!((reads(&changed), schema.problem(&changed).is_none()), (good, good), "{changed}");
        }
    }
}

#[test]
fn the_schema_and_the_reader_refuse_a_prefix_that_is_not_beside_a_header() {
    for (place, good) in [
        (json!({ "header": "x-token", "prefix": "Token " }), true),
        (json!({ "cookie": "token", "prefix": "Token " }), false),
        (json!({ "query": "token", "prefix": "Token " }), false),
    ] {
        let mut changed = load("envoy/examples/reference.yaml");
        changed["authentication"]["api_keys"]["from"][0] = place.clone();
        assert_eq!(reads(&changed), good, "the reader: {place}");
        assert_eq!(Schema::new().problem(&changed).is_none(), good, "the schema: {place}");
    }
}

#[test]
fn the_schema_refuses_every_wrong_form_that_the_reader_refuses() {
    for name in [
        "unknown_fields",
        "missing_fields",
        "wrong_types",
        "wrong_values",
        "secret_sources",
        "provider_forms",
        "empty_lists",
        "empty_texts",
    ] {
        let config = load(&format!("tests/config/{name}.yaml"));
        assert!(!reads(&config) && Schema::new().problem(&config).is_some(), "{name}");
    }
    assert_eq!(Schema::new().problem(&json!({})), None);
    assert_eq!(Schema::new().root["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

/// JSON of the operator's own, such as schemas and key sets, may hold anything.
fn is_free(place: &str) -> bool {
    place.contains("/schema") || place.contains("/inline")
}

fn objects(value: &Value, place: String, found: &mut Vec<String>) {
    if is_free(&place) {
        return;
    }
    if value.is_object() {
        found.push(place.clone());
    }
    for (step, inner) in children(value) {
        objects(inner, format!("{place}/{step}"), found);
    }
}

fn leaves(value: &Value, place: String, found: &mut Vec<String>) {
    if is_free(&place) {
        return;
    }
    if !value.is_object() && !value.is_array() {
        found.push(place.clone());
    }
    for (step, inner) in children(value) {
        leaves(inner, format!("{place}/{step}"), found);
    }
}

fn children(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Object(map) => map.iter().map(|(key, inner)| (key.replace('/', "~1"), inner)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, inner)| (index.to_string(), inner)).collect(),
        _ => Vec::new(),
    }
}

/// As much of JSON Schema as the schema uses; a keyword that is not known here fails the test.
struct Schema {
    root: Value,
    patterns: RefCell<HashMap<String, Regex>>,
}

impl Schema {
    fn new() -> Self {
        Self { root: schema::schema(), patterns: RefCell::default() }
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).unwrap()).is_match(text)
    }

    fn problem(&self, value: &Value) -> Option<String> {
        self.check(&self.root, value).err()
    }

    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return Err(format!("nothing may be here: {value}")),
            other => other.as_object().unwrap(),
        };
        for (keyword, wanted) in schema {
            if !self.holds(schema, keyword, wanted, value)? {
                return Err(format!("{keyword} {wanted}: {value}"));
            }
        }
        Ok(())
    }

    fn holds(&self, schema: &Map<String, Value>, keyword: &str, wanted: &Value, value: &Value) -> Result<bool, String> {
        let passing =
            |list: &Value| list.as_array().unwrap().iter().filter(|one| self.check(one, value).is_ok()).count();
        Ok(match keyword {
            "$schema" | "$defs" | "title" | "description" | "default" | "format" => true,
            "$ref" => {
                let target = self.root.pointer(wanted.as_str().unwrap().trim_start_matches('#')).unwrap();
                self.check(target, value).map(|()| true)?
            }
            "type" => match wanted {
                Value::Array(types) => types.iter().any(|name| is_type(name, value)),
                name => is_type(name, value),
            },
            "enum" => wanted.as_array().unwrap().contains(value),
            "const" => wanted == value,
            "pattern" => value.as_str().is_none_or(|text| self.matches(wanted.as_str().unwrap(), text)),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|map| map.len() as u64 <= wanted.as_u64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|map| map.len() as u64 >= wanted.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().unwrap()),
            "propertyNames" => {
                value.as_object().into_iter().flatten().all(|(key, _)| self.check(wanted, &json!(key)).is_ok())
            }
            "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= wanted.as_u64().unwrap()),
            "required" => {
                let present = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                !value.is_object() || wanted.as_array().unwrap().iter().all(present)
            }
            "dependentRequired" => wanted.as_object().unwrap().iter().all(|(field, needed)| {
                let has = |name: &str| value.get(name).is_some();
                !has(field) || needed.as_array().unwrap().iter().all(|name| has(name.as_str().unwrap()))
            }),
            "items" => value.as_array().into_iter().flatten().all(|item| self.check(wanted, item).is_ok()),
            "oneOf" => passing(wanted) == 1,
            "anyOf" => passing(wanted) > 0,
            "properties" | "patternProperties" => true,
            "additionalProperties" => self.members(schema, wanted, value)?,
            other => panic!("the keyword {other} is not known here"),
        } && (keyword != "properties"
            || schema.contains_key("additionalProperties")
            || self.members(schema, &Value::Bool(true), value)?))
    }

    fn members(&self, schema: &Map<String, Value>, others: &Value, value: &Value) -> Result<bool, String> {
        for (key, inner) in value.as_object().into_iter().flatten() {
            let named = schema.get("properties").and_then(|map| map.get(key));
            let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
            let mut patterns = patterns.filter(|(pattern, _)| self.matches(pattern, key));
            self.check(named.or(patterns.next().map(|(_, schema)| schema)).unwrap_or(others), inner)?;
        }
        Ok(true)
    }
}

fn is_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("the type {other} is not known here"),
    }
}
