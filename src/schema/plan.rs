//! What a schema asks of a document, as far as that can be told while the document is read: made once, when the schema is
//! compiled.

use super::node::{Keyword, Node, NodeId, Types};
use crate::document::PathSet;

/// What a schema asks, as far as that can be told while a document is read.
#[derive(Debug)]
pub(super) struct Plan {
    /// In the order of the arena; `None` where only the whole value tells.
    pub(super) values: Box<[Option<Asked>]>,
    pub(super) root: NodeId,
    /// Where there is no schema.
    pub(super) nothing: Asked,
    /// What the fields are called that no request can set: wherever one of these names stands, as some recipient takes
    /// it, the whole document tells.
    pub(super) unset: Box<[Box<[u8]>]>,
}

/// What is asked of one value.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) types: Types,
    /// Characters of a string, at least and at most.
    pub(super) length: (u64, u64),
    /// What else is asked of a scalar.
    pub(super) keywords: Box<[NodeKeyword]>,
    /// It must be one of some values.
    pub(super) is_listed: bool,
    pub(super) elements: Option<NodeId>,
    pub(super) element_count: (u64, u64),
    pub(super) members: Members,
}

/// A keyword, by its node and its place there.
pub(super) type NodeKeyword = (NodeId, usize);

/// What is asked of the members of an object.
#[derive(Debug)]
pub(super) struct Members {
    /// With a bit for each in [`Members::required`].
    pub(super) named: Box<[Name]>,
    pub(super) required: u64,
    pub(super) additional: Option<NodeId>,
    pub(super) count: (u64, u64),
}

#[derive(Debug)]
pub(super) struct Name {
    pub(super) start: u64,
    pub(super) name: Box<[u8]>,
    pub(super) schema: Option<NodeId>,
}

const ANY_NUMBER: (u64, u64) = (0, u64::MAX);
/// Names of one object: a bit each.
const MOST_NAMES: usize = 64;
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

    pub(super) fn asked(&self, schema: Option<NodeId>) -> Option<&Asked> {
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

    pub(super) fn position(&self, key: &[u8]) -> Option<usize> {
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
pub(super) fn start(text: &[u8]) -> u64 {
    if let Some(first) = text.first_chunk::<8>() {
        return u64::from_le_bytes(*first);
    }
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        return half(first) | half(last) << 32;
    }
    text.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}
