//! The tables of settings: all of them, with the defaults and the bounds that the reader has.

use std::collections::{BTreeMap, BTreeSet};

use portcullis::config::{Config, ConfigError};
use portcullis_cli::{document, schema};
use serde_json::Value;

use crate::{codes, page, rows};

/// Every setting of the page by its path, with the cells of its row.
fn documented_settings() -> BTreeMap<String, Vec<String>> {
    let page = page("docs/configuration.md");
    let (_, settings) = page.split_once("\n## Settings\n").unwrap();
    let mut found = BTreeMap::new();
    for (heading, cells) in rows(settings).iter().filter(|(_, cells)| cells[0].starts_with('`')) {
        let sections = if heading == "Top level" { vec![""] } else { codes(heading) };
        assert!(!sections.is_empty(), "the heading {heading} names no section");
        assert_eq!(cells.len(), 5, "{heading}: {cells:?}");
        for section in sections {
            let path = [section, codes(&cells[0])[0]].join(".");
            let path = path.trim_start_matches('.').to_owned();
            let twice = found.insert(path.clone(), cells.clone());
            assert_eq!(twice, None, "{path} is documented twice");
        }
    }
    found
}

/// Every setting that the schema knows, by its path: `NAME` for the keys of maps, `[]` for the entries of lists.
fn settings(schema: &Value, node: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(target) = node.get("$ref").and_then(Value::as_str) {
        // References to secrets and to variables are one form each.
        if !["#/$defs/SecretRef", "#/$defs/Env"].contains(&target) {
            settings(schema, schema.pointer(target.trim_start_matches('#')).unwrap(), path, found);
        }
    }
    for choice in ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| node.get(key)?.as_array()).flatten() {
        settings(schema, choice, path, found);
    }
    for (name, inner) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if inner.is_object() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            settings(schema, inner, &path, found);
            found.insert(path);
        }
    }
    let patterns = node.get("patternProperties").and_then(Value::as_object);
    for inner in patterns.into_iter().flat_map(|map| map.values()).chain(node.get("additionalProperties")) {
        settings(schema, inner, &format!("{path}.NAME"), found);
    }
    if let Some(inner) = node.get("items") {
        settings(schema, inner, &format!("{path}[]"), found);
    }
}

#[test]
fn every_setting_is_documented_and_nothing_else() {
    let schema = schema::schema();
    let mut known = BTreeSet::new();
    settings(&schema, &schema, "", &mut known);
    assert!(known.len() > 250, "only {} settings", known.len());
    let documented: BTreeSet<String> = documented_settings().into_keys().collect();
    let missing: Vec<_> = known.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&known).collect();
    assert_eq!((missing, invented), (vec![], vec![]), "missing, and documented without being there");
}

#[test]
fn every_setting_is_marked_as_supported() {
    for (path, cells) in documented_settings() {
        assert!(["yes", "no effect"].contains(&cells[4].as_str()), "{path}: {}", cells[4]);
    }
}

/// Every place of a configuration at which a setting of the page may stand: the pointers of what it is a field of.
fn parents(node: &Value, path: &[&str], pointer: String, found: &mut Vec<String>) {
    let Some((step, rest)) = path.split_first().filter(|_| path.len() > 1) else {
        found.extend(node.is_object().then_some(pointer));
        return;
    };
    let (name, lists) = (step.trim_end_matches("[]"), step.ends_with("[]"));
    let inner: Vec<(String, &Value)> = match node.as_object() {
        Some(map) if name == "NAME" => map.iter().map(|(key, inner)| (key.clone(), inner)).collect(),
        Some(map) => map.get(name).map(|inner| (name.to_owned(), inner)).into_iter().collect(),
        None => return,
    };
    for (key, inner) in inner {
        let pointer = format!("{pointer}/{key}");
        match inner.as_array().filter(|_| lists) {
            Some(items) => {
                for (at, item) in items.iter().enumerate() {
                    parents(item, rest, format!("{pointer}/{at}"), found);
                }
            }
            None => parents(inner, rest, pointer, found),
        }
    }
}

/// The example with most settings.
fn example() -> Value {
    serde_json::from_slice(&document::only(&page("envoy/examples/reference.yaml")).unwrap()).unwrap()
}

/// `config` with one setting in one place as it is told, or left out.
fn with(config: &Value, pointer: &str, name: &str, value: Option<Value>) -> Result<Config, ConfigError> {
    let mut config = config.clone();
    let parent = config.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    Config::from_json(config.to_string().as_bytes())
}

/// A setting of the page, and where it may stand in the example.
struct Placed {
    path: String,
    name: String,
    places: Vec<String>,
    form: String,
    default: String,
}

fn placed_settings(config: &Value) -> Vec<Placed> {
    let place = |(path, cells): (String, Vec<String>)| {
        let (mut places, steps) = (Vec::new(), path.split('.').collect::<Vec<_>>());
        parents(config, &steps, String::new(), &mut places);
        let name = (*steps.last().unwrap()).to_owned();
        Placed { path, name, places, form: cells[1].clone(), default: cells[2].clone() }
    };
    documented_settings().into_iter().map(place).collect()
}

#[test]
fn a_setting_that_is_left_out_is_what_the_page_says_it_is_then() {
    let (config, mut compared) = (example(), BTreeSet::new());
    for Placed { path, name, places, default, .. } in placed_settings(&config) {
        let said = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')).filter(|said| !said.contains('`'));
        for place in places {
            if default == "required" {
                assert!(with(&config, &place, &name, None).is_err(), "{path} may be left out at {place}");
                compared.insert(path.clone());
            }
            let Some(said) = said else { continue };
            let value: Value = serde_saphyr::from_str(said).unwrap();
            // A choice of several forms may have it in one of them only.
            let (left_out, Ok(set)) = (with(&config, &place, &name, None), with(&config, &place, &name, Some(value)))
            else {
                continue;
            };
            let left_out = left_out.unwrap_or_else(|error| panic!("{path}: {error}"));
            // What is inherited is told apart from what is said; tests of routes hold what comes of it.
            assert!(left_out == set || name == "authenticate", "{path} is not {said} where {place} leaves it out");
            compared.insert(path.clone());
        }
    }
    assert!(compared.len() > 140, "only {}", compared.len());
}

#[test]
fn a_number_is_taken_within_the_bounds_that_the_page_says_and_not_beyond() {
    let (config, mut tried) = (example(), 0);
    for Placed { path, name, places, form, .. } in placed_settings(&config) {
        let Some((least, most)) = form.split_once(" to ") else { continue };
        let (Ok(least), Ok(most)) = (least.parse::<i64>(), most.parse::<i64>()) else { continue };
        for place in places {
            for (value, taken) in [(least, true), (most, true), (least - 1, false), (most + 1, false)] {
                assert_eq!(
                    with(&config, &place, &name, Some(value.into())).is_ok(),
                    taken,
                    "{path}: {value} at {place}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "only {tried}");
}
