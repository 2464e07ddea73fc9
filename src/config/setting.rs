//! How a setting is read out of a document: by tables of names and places, so that a type adds hardly any code. Strict
//! about unknown fields and empty values.

pub(crate) use portcullis_config_derive::Setting;
use serde_json::{Map, Number, Value};

use super::tree::{Fault, Step};

/// What can be read from a value.
pub(crate) trait Setting: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// What was expected in its place.
    fn read(value: &Value) -> Result<Self, Fault>;
}

/// A value to begin with, over which a required one is read.
pub(crate) trait Blank {
    fn blank() -> Self;
}

/// A place that takes the value of a setting.
pub(crate) trait Slot {
    fn set(&mut self, value: &Value) -> Result<(), Fault>;
}

impl<T: Setting> Slot for T {
    fn set(&mut self, value: &Value) -> Result<(), Fault> {
        *self = T::read(value)?;
        Ok(())
    }
}

/// What a map of settings is made of.
pub(crate) trait Fields {
    fn names(&self) -> &'static Names;
    /// The place of the name at `index`.
    fn place(&mut self, index: usize) -> Option<&mut dyn Slot>;
}

/// The names of fields.
pub(crate) struct Names {
    pub(crate) all: &'static [&'static str],
    /// Those that must be said.
    pub(crate) required: &'static [&'static str],
    /// Lists and maps of which left out means any: one without entries would mean the same, and look like none.
    pub(crate) filled: &'static [&'static str],
}

/// Reads the fields of a map into their places.
pub(crate) fn fill(into: &mut dyn Fields, value: &Value) -> Result<(), Fault> {
    let Names { all, required, filled } = into.names();
    let Value::Object(map) = value else { return Err(refused(value, &format!("a map of {}", all.join(", ")))) };
    for (key, value) in map {
        let place = all.iter().position(|name| name == key).and_then(|index| into.place(index));
        let read = match place {
            Some(_) if is_without_entries(value) && filled.contains(&key.as_str()) => {
                Err(Fault::new("expected at least one entry"))
            }
            Some(place) => place.set(value),
            None => Err(Fault::new(format!("unknown field, expected {}", listed(all)))),
        };
        read.map_err(|fault| fault.under(Step::Key(key.clone())))?;
    }
    match required.iter().find(|name| !map.contains_key(**name)) {
        Some(name) => Err(Fault::missing(name)),
        None => Ok(()),
    }
}

fn is_without_entries(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [one] => format!("only {one}"),
        _ => format!("one of {}", names.join(", ")),
    }
}

/// The index of the name that is written.
pub(crate) fn variant(value: &Value, names: &[&str]) -> Result<usize, Fault> {
    let text = match value {
        Value::String(text) => text,
        // YAML 1.1 readers, Envoy's and Kubernetes' among them, turn a bare `off` into false.
        Value::Bool(false) if names.contains(&"off") => "off",
        _ => return Err(refused(value, &format!("one of {}", names.join(", ")))),
    };
    let index = names.iter().position(|name| *name == text);
    index.ok_or_else(|| Fault::new(format!("expected one of {}", names.join(", "))))
}

/// The fault of a value of another kind.
pub(crate) fn refused(value: &Value, expected: &str) -> Fault {
    let found = match value {
        Value::Null => return Fault::new(format!("is empty, expected {expected}")),
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a whole number",
        // It may be a secret in the wrong place: only its kind is told.
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    };
    Fault::new(format!("expected {expected}, found {found}"))
}

/// The fault of a number that is too small, too large, or no whole one.
pub(crate) fn out_of_range(number: &Number, expected: &str) -> Fault {
    Fault::new(format!("expected {expected}, found {number}"))
}

/// The text that a value is.
pub(crate) fn text<'v>(value: &'v Value, expected: &str) -> Result<&'v str, Fault> {
    value.as_str().ok_or_else(|| refused(value, expected))
}

impl Setting for bool {
    fn read(value: &Value) -> Result<Self, Fault> {
        value.as_bool().ok_or_else(|| refused(value, "true or false"))
    }
}

/// Hardly any setting means something without a text, or with white space around it, as a block of YAML leaves: those that do are
/// [`Verbatim`](crate::Verbatim) and [`Literal`](crate::Literal).
impl Setting for String {
    fn read(value: &Value) -> Result<Self, Fault> {
        Self::of(text(value, "a string")?)
    }
}

impl Blank for String {
    fn blank() -> Self {
        Self::new()
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(value: &Value) -> Result<Self, Fault> {
        match value {
            Value::Null => Err(Fault::new("is empty: give it a value or leave it out")),
            _ => T::read(value).map(Some),
        }
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(value: &Value) -> Result<Self, Fault> {
        let mut read = Self::new();
        each_item(value, &mut |item| {
            read.push(T::read(item)?);
            Ok(())
        })?;
        Ok(read)
    }
}

/// Gives `push` every item of a list.
fn each_item(value: &Value, push: &mut dyn FnMut(&Value) -> Result<(), Fault>) -> Result<(), Fault> {
    let Value::Array(list) = value else { return Err(refused(value, "a list")) };
    for (index, item) in list.iter().enumerate() {
        push(item).map_err(|fault| fault.under(Step::Index(index)))?;
    }
    Ok(())
}

impl<T> Blank for Vec<T> {
    fn blank() -> Self {
        Self::new()
    }
}

/// What is read from a text, the keys of maps among it.
pub(crate) trait FromText: Sized {
    fn of(text: &str) -> Result<Self, Fault>;
}

impl FromText for String {
    fn of(text: &str) -> Result<Self, Fault> {
        let text = filled(text)?;
        if text.starts_with(is_space) || text.ends_with(is_space) {
            return Err(Fault::new("expected no white space around it"));
        }
        Ok(text.to_owned())
    }
}

/// The text itself, unless it is empty.
pub(crate) fn filled(text: &str) -> Result<&str, Fault> {
    if text.is_empty() { Err(Fault::new("expected at least one character")) } else { Ok(text) }
}

/// White space of ASCII.
const fn is_space(character: char) -> bool {
    matches!(character, '\t'..='\r' | ' ')
}

/// A document within the document, as it is.
impl Setting for Map<String, Value> {
    fn read(value: &Value) -> Result<Self, Fault> {
        entries(value).cloned()
    }
}

/// The entries of a map.
pub(crate) fn entries(value: &Value) -> Result<&Map<String, Value>, Fault> {
    value.as_object().ok_or_else(|| refused(value, "a map"))
}
