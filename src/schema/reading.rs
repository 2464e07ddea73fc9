//! A document held against a schema while it is read, without a tree: for schemas and documents as most are, a tenth of
//! the work. It says that a document is valid, or nothing: whatever is unusual, and whatever violates the schema, is for
//! [`super::validate`], which alone refuses.

use std::ops::ControlFlow;
use std::ptr;

use super::canonical;
use super::node::{Keyword, Node, Types};
use super::plan::{Asked, NodeKeyword, Plan, start};
use super::scalar::{self, Budget};
use super::validate::MOST;
use crate::document::{Value, is_same_field};
use crate::media::json::{self, Container, Limits, Location, Scalar, Token, Visitor};

/// Members of one object that no name is known of.
const MOST_OTHERS: usize = 16;

/// Equal for equal texts, and seldom for others.
fn mark(text: &[u8]) -> u64 {
    let end = text.last_chunk::<8>().map_or(0, |last| u64::from_le_bytes(*last));
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    start(text) ^ end.rotate_left(29) ^ length.rotate_left(57)
}

/// A document that is being read: a visitor of its bytes.
///
/// What it has seen to the end it accepts or not: then the document is one that [`crate::document::Document`] parses within
/// the limits of the walk and with unique keys, that is valid, and that has no field in it which a request cannot set. That
/// it does not accept says nothing. It marks no bytes.
#[derive(Debug)]
pub struct Reading<'s> {
    plan: &'s Plan,
    nodes: &'s [Node],
    budget: Budget,
    /// Something was unusual, or violated the schema.
    lost: bool,
    /// What the root, or the value of the last key, is held against.
    next: Option<&'s Asked>,
    open: Vec<Open<'s>>,
    /// Keys of the open objects that no name is known of.
    others: Vec<u64>,
    /// What the scalars are held against of a record that repeats, and what it is itself.
    record: Vec<&'s Asked>,
    record_asked: Option<&'s Asked>,
    /// What the scalars so far were held against, where that is learnt.
    learnt: Option<Vec<&'s Asked>>,
}

/// An array or object that has begun.
#[derive(Debug)]
struct Open<'s> {
    asked: &'s Asked,
    container: Container,
    /// What the elements of an array are held against.
    elements: Option<&'s Asked>,
    /// The names that were there.
    seen: u64,
    /// Members or elements.
    count: u64,
    /// Keys in [`Reading::others`] before its own.
    others: usize,
}

impl<'s> Reading<'s> {
    pub(super) fn new(plan: &'s Plan, nodes: &'s [Node]) -> Self {
        Self::of(plan, nodes, plan.asked(Some(plan.root)))
    }

    fn of(plan: &'s Plan, nodes: &'s [Node], next: Option<&'s Asked>) -> Self {
        let (open, others, record) = (Vec::new(), Vec::new(), Vec::new());
        let (record_asked, learnt) = (None, None);
        Self { plan, nodes, budget: MOST, lost: false, next, open, others, record, record_asked, learnt }
    }

    /// Whether it accepts the document that it has seen to the end.
    pub fn accepts(&self) -> bool {
        !self.lost
    }

    /// What the elements of the innermost array are held against.
    fn elements(&self) -> Option<&'s Asked> {
        self.open.last().and_then(|open| open.elements)
    }

    /// A value begins: what it is held against.
    #[inline]
    fn begin(&mut self) -> Option<&'s Asked> {
        match self.open.last_mut() {
            Some(open) if open.container == Container::Array => {
                open.count += 1;
                open.elements
            }
            _ => self.next.take(),
        }
    }

    /// Writes down what became of a key or a value.
    #[inline]
    fn keep(&mut self, known: Option<()>) -> bool {
        self.lost |= known.is_none();
        !self.lost
    }

    fn key(&mut self, key: &[u8]) -> Option<()> {
        if self.plan.unset.iter().any(|name| is_same_field(name, key)) {
            return None;
        }
        let open = self.open.last_mut()?;
        let members = &open.asked.members;
        open.count += 1;
        let schema = match members.position(key) {
            Some(at) => {
                let bit = 1 << at;
                if open.seen & bit != 0 {
                    return None;
                }
                open.seen |= bit;
                members.named.get(at)?.schema
            }
            None => {
                let own = self.others.get(open.others..)?;
                let mark = mark(key);
                if own.len() >= MOST_OTHERS || own.contains(&mark) {
                    return None;
                }
                self.others.push(mark);
                members.additional
            }
        };
        self.next = self.plan.asked(schema);
        Some(())
    }

    /// A scalar begins.
    #[inline]
    fn begin_scalar(&mut self) -> Option<&'s Asked> {
        let asked = self.begin()?;
        if let Some(learnt) = &mut self.learnt {
            learnt.push(asked);
        }
        Some(asked)
    }

    /// A string, decoded.
    #[inline]
    fn string(&mut self, text: &[u8]) -> Option<()> {
        let asked = self.begin_scalar()?;
        self.holds_string(asked, text)
    }

    #[inline]
    fn holds_string(&mut self, asked: &Asked, text: &[u8]) -> Option<()> {
        let (least, most) = asked.length;
        if !asked.types.overlaps(Types::STRING) || !scalar::has_length(text, least, most) {
            return None;
        }
        if asked.keywords.is_empty() {
            return Some(());
        }
        self.keywords(asked, Value::String(std::str::from_utf8(text).ok()?))
    }

    /// A number, a truth value or `null`.
    fn bare(&mut self, value: Value<'_>) -> Option<()> {
        let asked = self.begin_scalar()?;
        self.holds_bare(asked, value)
    }

    fn holds_bare(&mut self, asked: &Asked, value: Value<'_>) -> Option<()> {
        if !asked.types.overlaps(scalar::types_of(value)) {
            return None;
        }
        self.keywords(asked, value)
    }

    fn keywords(&mut self, asked: &Asked, value: Value<'_>) -> Option<()> {
        let holds = |&(node, at): &NodeKeyword| {
            let keyword = self.nodes.get(node.index())?.keywords.get(at)?;
            let (holds, _) = match keyword {
                Keyword::Enum(_) | Keyword::Const(_) => {
                    let mut form = Vec::new();
                    canonical::push_scalar(value, &mut form);
                    scalar::is_listed(keyword, &form)
                }
                _ => scalar::holds(keyword, value, &mut self.budget).ok()?,
            };
            holds.then_some(())
        };
        asked.keywords.iter().try_for_each(holds)
    }

    fn open(&mut self, container: Container) -> Option<()> {
        let asked = self.begin()?;
        let (kind, elements) = match container {
            Container::Array => (Types::ARRAY, self.plan.asked(asked.elements)),
            Container::Object => (Types::OBJECT, None),
        };
        let others = self.others.len();
        self.open.push(Open { asked, container, elements, seen: 0, count: 0, others });
        (asked.types.overlaps(kind) && !asked.is_listed).then_some(())
    }

    /// Another element of the innermost array, with the names of the one that was learnt.
    fn repeated(&mut self, scalars: &[Scalar<'_>]) -> Option<()> {
        self.open.last_mut()?.count += 1;
        let record = std::mem::take(&mut self.record);
        let mut pairs = record.iter().zip(scalars);
        let known = pairs.try_for_each(|(asked, Scalar { written, is_string })| match is_string {
            true => self.holds_string(asked, written),
            false => self.holds_bare(asked, value(written)?),
        });
        let complete = record.len() == scalars.len();
        if let Some(learnt) = &mut self.learnt {
            learnt.extend(&record);
        }
        self.record = record;
        known.filter(|()| complete)
    }

    fn close(&mut self) -> Option<()> {
        let Open { asked, container, seen, count, others, .. } = self.open.pop()?;
        self.others.truncate(others);
        let ((least, most), required) = match container {
            Container::Array => (asked.element_count, 0),
            Container::Object => (asked.members.count, asked.members.required),
        };
        (count >= least && count <= most && seen & required == required).then_some(())
    }
}

impl Visitor for &mut Reading<'_> {
    type Break = ();

    fn token(&mut self, token: Token<'_>, _location: &Location<'_>) -> ControlFlow<()> {
        let known = match token {
            Token::Key(text) | Token::String(text) if text.lone_surrogate => None,
            Token::Key(text) => self.key(text.bytes),
            Token::String(text) => self.string(text.bytes),
            Token::Number(written) => self.bare(Value::Number(written)),
            Token::Bool(value) => self.bare(Value::Bool(value)),
            Token::Null => self.bare(Value::Null),
        };
        if self.keep(known) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn open(&mut self, container: Container) {
        let known = Reading::open(self, container);
        self.keep(known);
    }

    fn close(&mut self) {
        let known = Reading::close(self);
        self.keep(known);
    }

    const PASSES_OVER: bool = true;

    #[inline]
    fn passes_over(&mut self, text: &[u8]) -> bool {
        let known = self.string(text);
        self.keep(known)
    }

    #[inline]
    fn passes_over_key(&mut self, key: &[u8]) -> bool {
        let known = self.key(key);
        self.keep(known)
    }

    #[inline]
    fn passes_over_bare(&mut self, written: &[u8]) -> bool {
        let known = value(written).and_then(|value| self.bare(value));
        self.keep(known)
    }

    fn learns(&mut self, record: &[u8]) -> bool {
        let elements = self.elements();
        let mut reading = Reading { learnt: Some(Vec::new()), ..Reading::of(self.plan, self.nodes, elements) };
        let read = json::build(record, &Limits { depth: usize::MAX, ..Limits::default() }, &mut reading);
        // What is lost stays so: then nothing need be learnt.
        let learns = self.lost || read.is_ok() && !reading.lost;
        (self.record, self.record_asked) = (reading.learnt.unwrap_or_default(), elements);
        learns
    }

    fn has_learnt(&self) -> bool {
        match (self.record_asked, self.elements()) {
            (Some(learnt), Some(here)) => ptr::eq(learnt, here),
            _ => self.lost,
        }
    }

    #[inline]
    fn would_pass_over(&mut self, _text: &[u8]) -> bool {
        true
    }

    #[inline]
    fn would_pass_over_number(&mut self, _written: &[u8]) -> bool {
        true
    }

    const HEEDS_SCALARS: bool = true;

    #[inline]
    fn repeated(&mut self, scalars: &[Scalar<'_>]) {
        let known = Reading::repeated(self, scalars);
        self.keep(known);
    }
}

fn value(written: &[u8]) -> Option<Value<'_>> {
    Some(match written {
        b"true" => Value::Bool(true),
        b"false" => Value::Bool(false),
        b"null" => Value::Null,
        _ => Value::Number(std::str::from_utf8(written).ok()?),
    })
}
