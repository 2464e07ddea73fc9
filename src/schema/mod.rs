//! JSON Schema, draft 2020-12 (core and validation): a schema compiled once into a flat arena, and documents held
//! against it.
//!
//! One document is all there is: references stay in it, nothing is fetched. What is not supported is refused when the
//! schema is compiled, never ignored: `docs/validation.md` lists it. Work and nesting are bounded for every document.

mod access;
mod canonical;
mod compile;
mod decimal;
mod format;
mod node;
mod pattern;
mod plan;
mod reading;
mod reference;
mod scalar;
mod spelling;
#[cfg(test)]
mod tests;
mod validate;

use std::fmt;
use std::ops::ControlFlow;

use crate::document::{Document, FieldPath, Limits, PathSet, without_byte_order_mark};
use crate::media::json;
use node::{Node, NodeId};

pub use reading::Reading;

/// Violations beyond which a document is not looked at any further.
pub const MOST_VIOLATIONS: usize = 20;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    nodes: Box<[Node]>,
    root: NodeId,
    /// The dynamic anchors of each resource, sorted.
    dynamic: Box<[DynamicAnchor]>,
    read_only: PathSet,
    write_only: Box<[FieldPath]>,
    plan: plan::Plan,
}

/// A `$dynamicAnchor`: its resource, its name and where it stands.
type DynamicAnchor = (u32, Box<str>, NodeId);

/// One way in which a document is not what the schema says. It never holds a value of the document.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// JSON Pointer (RFC 6901) of the value; of the missing member for `required`. At most 256 bytes: of an outer value
    /// where it would be longer.
    pub pointer: String,
    /// The keyword that it violates.
    pub keyword: &'static str,
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It violates the schema: at least one way, at most [`MOST_VIOLATIONS`].
    Invalid(Vec<Violation>),
    /// To tell would take more steps or deeper nesting than one document may cost.
    TooComplex,
}

/// What is wrong with a schema, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaError {
    /// JSON Pointer (RFC 6901) of the keyword in the schema.
    pub pointer: String,
    /// What.
    pub problem: Problem,
}

/// What is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The keyword is none of draft 2020-12, or not supported.
    UnknownKeyword,
    /// Its value is not what it must be.
    Expected(&'static str),
    /// The reference leads nowhere in this document.
    Unresolved(String),
    /// Two schemas have this name.
    Twice(String),
    /// References lead back to where they came from without going into the document.
    Circular,
    /// Schemas are nested too deep, or there are too many.
    TooLarge,
    /// The regular expression is none that can be used.
    Pattern(String),
    /// `readOnly` or `writeOnly` where the fields it concerns have no path of their own.
    Access,
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.pointer.is_empty() { "the schema" } else { &self.pointer };
        match &self.problem {
            Problem::UnknownKeyword => write!(f, "{at}: no keyword that is supported; docs/validation.md lists them"),
            Problem::Expected(what) => write!(f, "{at}: expected {what}"),
            Problem::Unresolved(target) => {
                write!(f, "{at}: {target:?} is not in this schema; documents elsewhere are not fetched")
            }
            Problem::Twice(name) => write!(f, "{at}: {name:?} is already the name of another schema"),
            Problem::Circular => write!(f, "{at}: refers to itself without going into the document"),
            Problem::TooLarge => write!(f, "{at}: too many schemas, or nested too deep"),
            Problem::Pattern(why) => write!(f, "{at}: {why}"),
            Problem::Access => write!(
                f,
                "{at}: expected below properties, items, allOf and $ref alone, at a named field, and not in a recursion"
            ),
        }
    }
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(schema: &serde_json::Value) -> Result<Self, Vec<SchemaError>> {
        compile::compile(schema)
    }

    /// Holds a document against the schema.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn validate(&self, document: &Document<'_>) -> Result<(), Refusal> {
        validate::validate(self, document)
    }

    /// Whether `document` is certainly one that [`Document::parse`] takes within `limits`, that is valid, and that has no
    /// field in it which a request cannot set. `false` says nothing. A tenth of the work of finding out with a
    /// [`Document`], for most.
    pub fn surely_accepts(&self, document: &[u8], limits: &Limits) -> bool {
        // That no key occurs twice is seen by the reading.
        let limits = Limits { unique_keys: false, ..*limits };
        let mut reading = self.reading();
        let ended = json::build(without_byte_order_mark(document), &limits, &mut reading);
        matches!(ended, Ok(ControlFlow::Continue(()))) && reading.accepts()
    }

    /// Holds a document against the schema while it is read.
    pub fn reading(&self) -> Reading<'_> {
        Reading::new(&self.plan, &self.nodes)
    }

    /// The fields that a request cannot set.
    pub fn read_only(&self) -> &PathSet {
        &self.read_only
    }

    /// The fields that no response may show.
    pub fn write_only(&self) -> &[FieldPath] {
        &self.write_only
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())
    }
}
