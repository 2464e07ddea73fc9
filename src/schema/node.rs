//! What a schema is compiled into.

use super::decimal::Decimal;
use super::format::Format;
use super::pattern::Pattern;

/// Names, sorted.
pub(super) type Names = Box<[Box<str>]>;

/// Something for each of several names.
pub(super) type Named<T> = Box<[(Box<str>, T)]>;

/// A schema's place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u32);

impl NodeId {
    pub(super) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// One schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Of a schema that is `true` or `false`.
    pub(super) always: Option<bool>,
    pub(super) keywords: Vec<Keyword>,
    /// For what no other keyword has looked at; last of all.
    pub(super) unevaluated_items: Option<NodeId>,
    pub(super) unevaluated_properties: Option<NodeId>,
    /// The schema resource it belongs to.
    pub(super) resource: u32,
    pub(super) read_only: bool,
    pub(super) write_only: bool,
}

/// One thing that a schema asserts. What concerns one kind of value accepts every other.
#[derive(Debug)]
pub(super) enum Keyword {
    Type(Types),
    /// Sorted canonical forms.
    Enum(Box<[Box<[u8]>]>),
    Const(Box<[u8]>),
    MultipleOf(Decimal<'static>),
    Maximum(Decimal<'static>),
    ExclusiveMaximum(Decimal<'static>),
    Minimum(Decimal<'static>),
    ExclusiveMinimum(Decimal<'static>),
    MaxLength(u64),
    MinLength(u64),
    Pattern(Pattern),
    Format(Format),
    MaxItems(u64),
    MinItems(u64),
    UniqueItems,
    Items {
        prefix: Box<[NodeId]>,
        rest: Option<NodeId>,
    },
    Contains {
        schema: NodeId,
        at_least: u64,
        at_most: u64,
    },
    MaxProperties(u64),
    MinProperties(u64),
    Required(Names),
    DependentRequired(Named<Names>),
    Properties(Properties),
    PropertyNames(NodeId),
    DependentSchemas(Named<NodeId>),
    AllOf(Box<[NodeId]>),
    AnyOf(Box<[NodeId]>),
    OneOf(Box<[NodeId]>),
    Not(NodeId),
    If {
        condition: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    Ref(NodeId),
    /// The outermost schema resource that has a dynamic anchor of this name, or what it means here.
    DynamicRef {
        anchor: Box<str>,
        here: NodeId,
    },
}

/// `properties`, `patternProperties`, `additionalProperties`.
#[derive(Debug, Default)]
pub(super) struct Properties {
    /// Sorted by name.
    pub(super) named: Named<NodeId>,
    pub(super) patterns: Box<[(Pattern, NodeId)]>,
    pub(super) additional: Option<NodeId>,
}

impl Properties {
    pub(super) fn named(&self, name: &str) -> Option<NodeId> {
        position(&self.named, |(known, _)| known, name).and_then(|at| self.named.get(at)).map(|(_, schema)| *schema)
    }
}

/// Names that are compared one by one: most differ in length or at their ends, which costs less than their order.
const FEW: usize = 16;

/// Where `name` is among `all`, which are sorted by their names.
pub(super) fn position<T>(all: &[T], name_of: impl Fn(&T) -> &str, name: &str) -> Option<usize> {
    if all.len() > FEW {
        return all.binary_search_by(|one| name_of(one).cmp(name)).ok();
    }
    let ends = |name: &str| (name.len(), name.as_bytes().first().copied(), name.as_bytes().last().copied());
    let wanted = ends(name);
    all.iter().position(|one| ends(name_of(one)) == wanted && name_of(one) == name)
}

impl Keyword {
    /// The schemas that it holds against the same value.
    pub(super) fn in_place(&self) -> Vec<NodeId> {
        match self {
            Self::AllOf(all) | Self::AnyOf(all) | Self::OneOf(all) => all.to_vec(),
            Self::Not(one) | Self::Ref(one) | Self::DynamicRef { here: one, .. } => vec![*one],
            Self::If { condition, then, otherwise } => {
                [Some(*condition), *then, *otherwise].into_iter().flatten().collect()
            }
            Self::DependentSchemas(all) => all.iter().map(|(_, schema)| *schema).collect(),
            _ => Vec::new(),
        }
    }

    /// The schemas that it holds against what is in the value.
    pub(super) fn within(&self) -> Vec<NodeId> {
        match self {
            Self::Items { prefix, rest } => prefix.iter().copied().chain(*rest).collect(),
            Self::Contains { schema, .. } | Self::PropertyNames(schema) => vec![*schema],
            Self::Properties(properties) => {
                let named = properties.named.iter().map(|(_, schema)| *schema);
                let patterns = properties.patterns.iter().map(|(_, schema)| *schema);
                named.chain(patterns).chain(properties.additional).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A set of types, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(pub(super) u8);

impl Types {
    pub(super) const ALL: Self = Self(u8::MAX);
    pub(super) const NUMBER: Self = Self(1 << 4);
    pub(super) const INTEGER: Self = Self(1 << 5);
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(1 << 1);
    pub(super) const OBJECT: Self = Self(1 << 2);
    pub(super) const ARRAY: Self = Self(1 << 3);
    pub(super) const STRING: Self = Self(1 << 6);

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "object" => Self::OBJECT,
            "array" => Self::ARRAY,
            "number" => Self::NUMBER,
            "integer" => Self::INTEGER,
            "string" => Self::STRING,
            _ => return None,
        })
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}
