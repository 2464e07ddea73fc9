//! A JSON document as the types read it: strict about duplicates, empty values and positions, and every error knows
//! its path. JSON (RFC 8259); integers may be written as floats, as `google.protobuf.Struct` carries them.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{ConfigError, MOST_ERRORS};

/// The largest integer that a double holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Bytes of a text. A configuration is small; a larger one is a mistake.
const MOST_BYTES: usize = 16 << 20;
/// Values of a document, lists and maps among them. The smallest take two bytes of text, and many times as much when they are
/// read: what a VM may use would not be enough for a text full of them.
pub(super) const MOST_VALUES: usize = 250_000;

/// Parses one document.
///
/// # Errors
/// Text that is not JSON, with line and column; more than [`MOST_BYTES`] of it, or [`MOST_VALUES`]; every key that occurs twice in
/// a map, with its path. Never empty.
pub(super) fn parse(json: &[u8]) -> Result<Value, Vec<Fault>> {
    if json.len() > MOST_BYTES {
        return Err(vec![Fault::new("expected at most 16 MiB")]);
    }
    let not_json = |error: serde_json::Error| vec![Fault::new(format!("expected JSON: {error}"))];
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut seen = Seen::default();
    let value = Strict(&mut seen).deserialize(&mut parser);
    if seen.values > MOST_VALUES {
        return Err(vec![Fault::new(format!("expected at most {MOST_VALUES} values"))]);
    }
    let value = value.map_err(not_json)?;
    parser.end().map_err(not_json)?;
    if seen.twice.is_empty() { Ok(value) } else { Err(seen.twice) }
}

/// What is wrong and where, while the path is still made of parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// The innermost step first.
    steps: Vec<Step>,
    message: String,
    missing: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { steps: Vec::new(), message: message.into(), missing: false }
    }

    /// A field that must be said.
    pub(crate) fn missing(field: &str) -> Self {
        Self { steps: vec![Step::Key(field.to_owned())], message: "is required".to_owned(), missing: true }
    }

    /// The fault as one of what holds the value.
    pub(crate) fn under(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The path from the root.
    fn path(&self) -> Vec<Step> {
        self.steps.iter().rev().cloned().collect()
    }
}

/// Every fault, at most `most`: what is wrong is taken out of the document, which is then read again.
pub(super) fn every_fault(mut document: Value, read: &dyn Fn(&Value) -> Option<Fault>, most: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    // Paths as they were in the whole document.
    let mut removed: Vec<Vec<Step>> = Vec::new();
    while faults.len() < most && removed.len() < 2 * most {
        let Some(fault) = read(&document) else { break };
        let mut current = fault.path();
        let original = before_removal(&current, &removed);
        // What is missing or incomplete only because it was taken out is no fault of its own.
        let follows = removed.iter().any(|path| match fault.missing {
            true => *path == original,
            false => path.starts_with(&original),
        });
        if !follows {
            faults.push(Fault { steps: original.iter().rev().cloned().collect(), ..fault.clone() });
        }
        let mut origin = original;
        if fault.missing {
            current.pop();
            origin.pop();
        }
        if !remove(&mut document, &current) {
            break;
        }
        removed.push(origin);
    }
    faults
}

/// Where `path` was before elements of lists were taken out.
fn before_removal(path: &[Step], removed: &[Vec<Step>]) -> Vec<Step> {
    let mut original: Vec<Step> = Vec::with_capacity(path.len());
    for step in path {
        let Step::Index(index) = step else {
            original.push(step.clone());
            continue;
        };
        let gone: Vec<usize> = removed
            .iter()
            .filter_map(|other| match other.split_last() {
                Some((Step::Index(index), list)) if *list == *original => Some(*index),
                _ => None,
            })
            .collect();
        // As many places on as elements before it are gone.
        let mut shifted = *index;
        loop {
            let before = gone.iter().filter(|gone| **gone <= shifted).count();
            if shifted == index + before {
                break;
            }
            shifted = index + before;
        }
        original.push(Step::Index(shifted));
    }
    original
}

fn remove(document: &mut Value, path: &[Step]) -> bool {
    let Some((last, way)) = path.split_last() else { return false };
    let mut place = document;
    for step in way {
        let next = match (step, place) {
            (Step::Key(key), Value::Object(map)) => map.get_mut(key),
            (Step::Index(index), Value::Array(list)) => list.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        place = next;
    }
    match (last, place) {
        (Step::Key(key), Value::Object(map)) => map.remove(key).is_some(),
        (Step::Index(index), Value::Array(list)) if *index < list.len() => {
            list.remove(*index);
            true
        }
        _ => false,
    }
}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        let mut path = String::new();
        for step in fault.steps.iter().rev() {
            match step {
                Step::Key(key) => push_key(&mut path, key),
                Step::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        Self { path, message: fault.message }
    }
}

/// The path of `key` below `path`.
pub(super) fn under(path: &str, key: &str) -> String {
    let mut path = path.to_owned();
    push_key(&mut path, key);
    path
}

/// Appends `.key`, or `["key"]` where the key would read as more than one step.
fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/{}".contains(&byte));
    match (plain, path.is_empty()) {
        (true, true) => path.push_str(key),
        (true, false) => {
            path.push('.');
            path.push_str(key);
        }
        (false, _) => path.push_str(&format!("[{key:?}]")),
    }
}

/// Where a document is being parsed, and the duplicate keys found on the way, at most [`MOST_ERRORS`]: each holds its path.
#[derive(Default)]
struct Seen {
    path: Vec<Step>,
    values: usize,
    twice: Vec<Fault>,
}

/// Any JSON value, integral floats turned into integers.
struct Strict<'a>(&'a mut Seen);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.values += 1;
        if self.0.values > MOST_VALUES {
            // What is told of it is told by whoever parses.
            return Err(de::Error::custom(""));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        if number.fract() == 0.0 && number.abs() <= EXACT {
            return Ok((number as i64).into());
        }
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            self.0.path.push(Step::Index(list.len()));
            let item = items.next_element_seed(Strict(self.0))?;
            self.0.path.pop();
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.0.path.push(Step::Key(key.clone()));
            let value = entries.next_value_seed(Strict(self.0))?;
            if map.insert(key, value).is_some() && self.0.twice.len() < MOST_ERRORS {
                let steps = self.0.path.iter().rev().cloned().collect();
                self.0.twice.push(Fault { steps, ..Fault::new("occurs twice in the same map") });
            }
            self.0.path.pop();
        }
        Ok(Value::Object(map))
    }
}
