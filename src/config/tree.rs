//! A JSON document as the types read it: strict about duplicates, empty values and positions, and every error knows
//! its path. JSON (RFC 8259); integers may be written as floats, as `google.protobuf.Struct` carries them.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::{Map, Number, Value};

use super::ConfigError;

/// The largest integer that a double holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Parses one document.
///
/// # Errors
/// Text that is not JSON, with line and column; every key that occurs twice in a map, with its path. Never empty.
pub(super) fn parse(json: &[u8]) -> Result<Value, Vec<Fault>> {
    let not_json = |error: serde_json::Error| vec![Fault::new(format!("expected JSON: {error}"))];
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut seen = Seen::default();
    let value = Strict(&mut seen).deserialize(&mut parser).map_err(not_json)?;
    parser.end().map_err(not_json)?;
    if seen.twice.is_empty() { Ok(value) } else { Err(seen.twice) }
}

/// Reads a value of type `T` out of `value`.
pub(super) fn read<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, Fault> {
    T::deserialize(Reader(value))
}

/// What is wrong and where, while the path is still made of parts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    /// The innermost step first.
    steps: Vec<Step>,
    message: String,
    missing: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Fault {
    fn new(message: impl Into<String>) -> Self {
        Self { steps: Vec::new(), message: message.into(), missing: false }
    }

    fn under(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The path from the root.
    fn path(&self) -> Vec<Step> {
        self.steps.iter().rev().cloned().collect()
    }
}

/// Every fault, at most `most`: what is wrong is taken out of the document, which is then read again.
pub(super) fn every_fault<T: DeserializeOwned>(mut document: Value, most: usize) -> Vec<Fault> {
    let mut faults = Vec::new();
    // Paths as they were in the whole document.
    let mut removed: Vec<Vec<Step>> = Vec::new();
    while faults.len() < most && removed.len() < 2 * most {
        let Err(fault) = read::<T>(&document) else { break };
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
        let mut gone: Vec<usize> = removed
            .iter()
            .filter_map(|other| match other.split_last() {
                Some((Step::Index(index), list)) if *list == *original => Some(*index),
                _ => None,
            })
            .collect();
        gone.sort_unstable();
        let shifted = gone.iter().fold(*index, |index, gone| if *gone <= index { index + 1 } else { index });
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

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("expected {expected}, found {}", kind(&found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        match found {
            Unexpected::Signed(number) => Self::new(format!("expected {expected}, found {number}")),
            Unexpected::Unsigned(number) => Self::new(format!("expected {expected}, found {number}")),
            Unexpected::Float(number) => Self::new(format!("expected {expected}, found {number}")),
            // A text may be a secret in the wrong place: only its kind is told.
            other => Self::new(format!("expected {expected}, found {}", kind(&other))),
        }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("expected one of {}", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("unknown field, expected {}", listed(expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { steps: vec![Step::Key(field.to_owned())], message: "is required".to_owned(), missing: true }
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing here".to_owned(),
        [one] => format!("only {one}"),
        _ => format!("one of {}", names.join(", ")),
    }
}

fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a fraction",
        Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::Bytes(_) => "a string",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        _ => "a map",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Where a document is being parsed, and the duplicate keys found on the way.
#[derive(Default)]
struct Seen {
    path: Vec<Step>,
    twice: Vec<Fault>,
}

/// Any JSON value, integral floats turned into integers.
struct Strict<'a>(&'a mut Seen);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
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
            if map.insert(key, value).is_some() {
                let steps = self.0.path.iter().rev().cloned().collect();
                self.0.twice.push(Fault { steps, ..Fault::new("occurs twice in the same map") });
            }
            self.0.path.pop();
        }
        Ok(Value::Object(map))
    }
}

#[derive(Clone, Copy)]
struct Reader<'de>(&'de Value);

impl<'de> Reader<'de> {
    fn refuse<T>(self, expected: impl fmt::Display) -> Result<T, Fault> {
        match self.0 {
            Value::Null => Err(Fault::new(format!("is empty, expected {expected}"))),
            other => Err(Fault::new(format!("expected {expected}, found {}", kind_of(other)))),
        }
    }

    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::Number(number) = self.0 else { return self.refuse(&visitor as &dyn de::Expected) };
        if let Some(number) = number.as_u64() {
            return visitor.visit_u64(number);
        }
        if let Some(number) = number.as_i64() {
            return visitor.visit_i64(number);
        }
        visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.number(visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Fault;

    /// The only way that lets a null through: schemas hold nulls, settings do not.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Number(_) => self.number(visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(list) => visitor.visit_seq(Items { list, next: 0 }),
            Value::Object(map) => visitor.visit_map(Entries { entries: map.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Null => Err(Fault::new("is empty: give it a value or leave it out")),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Bool(flag) => visitor.visit_bool(*flag),
            _ => self.refuse("true or false"),
        }
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => self.refuse(&visitor as &dyn de::Expected),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Array(list) => visitor.visit_seq(Items { list, next: 0 }),
            _ => self.refuse("a list"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Entries { entries: map.iter(), value: None }),
            _ => self.refuse("a map"),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::Object(map) => visitor.visit_map(Entries { entries: map.iter(), value: None }),
            _ => self.refuse(format_args!("a map of {}", fields.join(", "))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            // YAML 1.1 readers, Envoy's and Kubernetes' among them, turn a bare `off` into false.
            Value::Bool(false) if variants.contains(&"off") => visitor.visit_enum("off".into_deserializer()),
            _ => self.refuse(format_args!("one of {}", variants.join(", "))),
        }
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'de> {
    list: &'de [Value],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let index = self.next;
        let Some(item) = self.list.get(index) else { return Ok(None) };
        self.next += 1;
        seed.deserialize(Reader(item)).map(Some).map_err(|fault| fault.under(Step::Index(index)))
    }
}

struct Entries<'de> {
    entries: serde_json::map::Iter<'de>,
    value: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some((key, value));
        let reader = de::value::BorrowedStrDeserializer::new(key);
        seed.deserialize(reader).map(Some).map_err(|fault: Fault| fault.under(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, value)) = self.value.take() else { return Err(Fault::new("a value without its key")) };
        seed.deserialize(Reader(value)).map_err(|fault| fault.under(Step::Key(key.to_owned())))
    }
}
