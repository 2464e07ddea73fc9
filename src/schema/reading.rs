//! A document held against a schema while it is read, without a tree: for schemas and documents as most are, a tenth of
//! the work. It says that a document is valid, or nothing: whatever is unusual, and whatever violates the schema, is for
//! [`super::validate`], which alone refuses.

use std::ops::ControlFlow;
use std::ptr;

use super::canonical;
use super::node::{Keyword, Node, NodeId, Types};
use super::scalar::{self, Budget};
use super::validate::MOST;
use crate::document::{PathSet, Value, is_same_field};
use crate::media::json::{self, Container, Limits, Location, Scalar, Token, Visitor};

/// What a schema asks, as far as that can be told while a document is read.
#[derive(Debug)]
pub(super) struct Plan {
    /// In the order of the arena; `None` where only the whole value tells.
    values: Box<[Option<Asked>]>,
    root: NodeId,
    /// Where there is no schema.
    nothing: Asked,
    /// What the fields are called that no request can set: wherever one of these names stands, as some recipient takes
    /// it, the whole document tells.
    unset: Box<[Box<[u8]>]>,
}

/// What is asked of one value.
#[derive(Debug)]
struct Asked {
    types: Types,
    /// Characters of a string, at least and at most.
    length: (u64, u64),
    /// What else is asked of a scalar.
    keywords: Box<[NodeKeyword]>,
    /// It must be one of some values.
    is_listed: bool,
    elements: Option<NodeId>,
    element_count: (u64, u64),
    members: Members,
}

/// A keyword, by its node and its place there.
type NodeKeyword = (NodeId, usize);

/// What is asked of the members of an object.
#[derive(Debug)]
struct Members {
    /// With a bit for each in [`Members::required`].
    named: Box<[Name]>,
    required: u64,
    additional: Option<NodeId>,
    count: (u64, u64),
}

#[derive(Debug)]
struct Name {
    start: u64,
    name: Box<[u8]>,
    schema: Option<NodeId>,
}

const ANY_NUMBER: (u64, u64) = (0, u64::MAX);
/// Names of one object: a bit each.
const MOST_NAMES: usize = 64;
/// Members of one object that no name is known of.
const MOST_OTHERS: usize = 16;
/// References that follow one another.
const LONGEST_CHAIN: usize = 16;

impl Plan {
    /// The plan of a schema, whose references are no circles. `read_only`: the fields that no request can set.
    pub(super) fn new(nodes: &[Node], root: NodeId, read_only: &PathSet) -> Self {
        // Without a node nothing is accepted.
        let (nodes, unset) = read_only.names().map_or((&[][..], Vec::new()), |names| (nodes, names));
        let ids = (0..nodes.len()).map(|at| NodeId(u32::try_from(at).unwrap_or(u32::MAX)));
        let values = ids.map(|id| asked(nodes, id)).collect();
        let unset = unset.into_iter().map(|name| name.as_bytes().into()).collect();
        Self { values, root: target(nodes, root), nothing: Asked::nothing(), unset }
    }

    fn asked(&self, schema: Option<NodeId>) -> Option<&Asked> {
        match schema {
            Some(id) => self.values.get(id.index())?.as_ref(),
            None => Some(&self.nothing),
        }
    }
}

/// Where a node leads that is nothing but a reference.
fn target(nodes: &[Node], mut id: NodeId) -> NodeId {
    for _ in 0..LONGEST_CHAIN {
        match nodes.get(id.index()) {
            Some(node) if !is_more_than_keywords(node) => match node.keywords.as_slice() {
                [Keyword::Ref(next)] => id = *next,
                _ => break,
            },
            _ => break,
        }
    }
    id
}

/// What nobody has asked for is known at the end alone.
fn is_more_than_keywords(node: &Node) -> bool {
    node.unevaluated_items.is_some() || node.unevaluated_properties.is_some()
}

fn asked(nodes: &[Node], id: NodeId) -> Option<Asked> {
    let node = nodes.get(id.index()).filter(|node| !is_more_than_keywords(node))?;
    if node.always == Some(false) {
        return None;
    }
    let mut asked = Asked::nothing();
    let (mut keywords, mut required): (Vec<NodeKeyword>, &[Box<str>]) = (Vec::new(), &[]);
    for (at, keyword) in node.keywords.iter().enumerate() {
        match keyword {
            Keyword::Type(types) => asked.types = *types,
            Keyword::MinLength(least) => asked.length.0 = *least,
            Keyword::MaxLength(most) => asked.length.1 = *most,
            Keyword::MultipleOf(_)
            | Keyword::Maximum(_)
            | Keyword::ExclusiveMaximum(_)
            | Keyword::Minimum(_)
            | Keyword::ExclusiveMinimum(_)
            | Keyword::Pattern(_)
            | Keyword::Format(_) => keywords.push((id, at)),
            Keyword::Enum(_) | Keyword::Const(_) => {
                asked.is_listed = true;
                keywords.push((id, at));
            }
            Keyword::MinItems(least) => asked.element_count.0 = *least,
            Keyword::MaxItems(most) => asked.element_count.1 = *most,
            Keyword::Items { prefix, rest } if prefix.is_empty() => {
                asked.elements = rest.map(|schema| target(nodes, schema));
            }
            Keyword::MinProperties(least) => asked.members.count.0 = *least,
            Keyword::MaxProperties(most) => asked.members.count.1 = *most,
            Keyword::Required(names) => required = names,
            Keyword::Properties(properties) if properties.patterns.is_empty() => {
                let named = properties.named.iter();
                asked.members.named =
                    named.map(|(name, schema)| Name::new(name, Some(target(nodes, *schema)))).collect();
                asked.members.additional = properties.additional.map(|schema| target(nodes, schema));
            }
            _ => return None,
        }
    }
    asked.keywords = keywords.into();
    asked.members.require(required)?;
    Some(asked)
}

impl Asked {
    fn nothing() -> Self {
        Self {
            types: Types::ALL,
            length: ANY_NUMBER,
            keywords: Box::default(),
            is_listed: false,
            elements: None,
            element_count: ANY_NUMBER,
            members: Members { named: Box::default(), required: 0, additional: None, count: ANY_NUMBER },
        }
    }
}

impl Members {
    /// Writes down which names are required; `None`: there are too many names.
    fn require(&mut self, required: &[Box<str>]) -> Option<()> {
        let mut named = std::mem::take(&mut self.named).into_vec();
        for name in required {
            let known = named.iter().position(|one| *one.name == *name.as_bytes());
            let at = known.unwrap_or(named.len());
            if known.is_none() {
                // Named only here: what `additionalProperties` says holds for it.
                named.push(Name::new(name, self.additional));
            }
            self.required |= 1_u64.checked_shl(u32::try_from(at).ok()?)?;
        }
        self.named = named.into();
        (self.named.len() <= MOST_NAMES).then_some(())
    }

    fn position(&self, key: &[u8]) -> Option<usize> {
        let start = start(key);
        let is =
            |name: &Name| name.start == start && name.name.len() == key.len() && (key.len() <= 8 || *name.name == *key);
        self.named.iter().position(is)
    }
}

impl Name {
    fn new(name: &str, schema: Option<NodeId>) -> Self {
        Self { start: start(name.as_bytes()), name: name.as_bytes().into(), schema }
    }
}

/// The first eight bytes, or all bytes of a shorter text, the middle ones perhaps twice: what is the same for two texts of the
/// same length up to eight says that they are.
#[inline]
fn start(text: &[u8]) -> u64 {
    if let Some(first) = text.first_chunk::<8>() {
        return u64::from_le_bytes(*first);
    }
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return half(first) | half(last) << 32;
    }
    text.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

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
