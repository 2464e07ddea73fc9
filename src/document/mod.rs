//! A JSON document that is looked at and changed by several rules: one parse, one serialisation.
//!
//! A small tree in one vector, in document order. What no rule changes keeps its spelling: order, escapes and the text of
//! numbers; only white space goes. The grammar is the strict one of [`crate::media::json`]; beyond it, keys that occur
//! twice in an object, and keys with half a surrogate pair, are refused: recipients read them in different ways.

mod case;
mod path;
#[cfg(test)]
pub(crate) mod tests;
mod tree;

use std::borrow::Cow;

pub use crate::media::json::Limits;
use crate::media::json::{self, Container};
pub(crate) use case::is_same_field;
pub(crate) use path::Word;
pub use path::{FieldPath, PathError, PathSet, Reading};

/// A parsed document, which borrows what it did not have to decode.
#[derive(Debug)]
pub struct Document<'a> {
    nodes: Vec<Node<'a>>,
    changed: bool,
}

/// One value of a document. Only of use with the document that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(usize);

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'d> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as written.
    Number(&'d str),
    /// A string, decoded; half a surrogate pair shows as U+FFFD.
    String(&'d str),
    /// Its elements are [`Document::children`].
    Array,
    /// Its members are [`Document::children`], with their [`Document::key`].
    Object,
}

/// Why a document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not JSON, a key twice, or beyond a limit.
    Json(json::Error),
    /// A key holds half a surrogate pair.
    LoneSurrogate {
        /// Bytes from the start of the document.
        offset: usize,
    },
}

impl Error {
    /// It is too deep, too long or has too many entries; else it is malformed.
    pub const fn is_limit(self) -> bool {
        matches!(
            self,
            Self::Json(
                json::Error::TooDeep { .. }
                    | json::Error::TooManyEntries { .. }
                    | json::Error::StringTooLong { .. }
                    | json::Error::NumberTooLong { .. }
            )
        )
    }
}

#[derive(Debug)]
struct Node<'a> {
    key: Option<Text<'a>>,
    content: Content<'a>,
    parent: usize,
    /// Which of its parent's children it is.
    index: usize,
    /// The node after its last descendant.
    end: usize,
    removed: bool,
}

#[derive(Debug)]
enum Content<'a> {
    /// `null`, `true`, `false` or a number as written.
    Bare(&'a str),
    String(Text<'a>),
    Container(Container),
}

/// A key or string.
#[derive(Debug)]
struct Text<'a> {
    decoded: Cow<'a, str>,
    /// As written, with its quotes; `None`: it was set here.
    written: Option<&'a [u8]>,
}

/// The document without UTF-8's byte order mark, which some servers send and lenient ones drop before they read JSON.
pub fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

impl<'a> Document<'a> {
    /// Parses one document; a byte order mark before it is passed over. `limits.unique_keys` counts as set.
    ///
    /// # Errors
    /// [`Error`].
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        Ok(Self { nodes: tree::parse(without_byte_order_mark(bytes), limits)?, changed: false })
    }

    /// The whole document.
    pub const fn root(&self) -> Place {
        Place(0)
    }

    /// What stands at `place`.
    pub fn value(&self, place: Place) -> Value<'_> {
        match self.nodes.get(place.0).map(|node| &node.content) {
            None => Value::Null,
            Some(Content::Container(Container::Array)) => Value::Array,
            Some(Content::Container(Container::Object)) => Value::Object,
            Some(Content::String(text)) => Value::String(&text.decoded),
            Some(Content::Bare(written)) => match written.as_bytes().first() {
                Some(b'n') => Value::Null,
                Some(b't') => Value::Bool(true),
                Some(b'f') => Value::Bool(false),
                _ => Value::Number(written),
            },
        }
    }

    /// The key, decoded, of a member of an object.
    pub fn key(&self, place: Place) -> Option<&str> {
        self.nodes.get(place.0)?.key.as_ref().map(|key| &*key.decoded)
    }

    /// The array or object that `place` is in; `None` of the root.
    pub fn parent(&self, place: Place) -> Option<Place> {
        self.nodes.get(place.0).filter(|_| place != self.root()).map(|node| Place(node.parent))
    }

    /// The members of an object or the elements of an array, less the removed ones; nothing in anything else.
    pub fn children(&self, place: Place) -> impl Iterator<Item = Place> {
        let end = self.nodes.get(place.0).map_or(0, |node| node.end);
        let mut next = place.0 + 1;
        let children = std::iter::from_fn(move || {
            let child = Some(next).filter(|at| *at < end)?;
            next = self.nodes.get(child)?.end;
            Some(Place(child))
        });
        children.filter(|child| !self.is_removed(*child))
    }

    /// The member of an object by its key. Linear in their number: for many keys walk [`Self::children`].
    pub fn member(&self, place: Place, key: &str) -> Option<Place> {
        self.children(place).find(|child| self.key(*child) == Some(key))
    }

    /// `place` itself or all in it that is neither array nor object, in document order.
    pub fn scalars(&self, place: Place) -> Vec<Place> {
        let mut found = Vec::new();
        self.visit(place, |at| {
            if !self.is_container(at) {
                found.push(at);
            }
            true
        });
        found
    }

    /// Every place that `path` names, the outermost where one is in another; [`Reading::Wide`].
    pub fn places(&self, path: &FieldPath) -> Vec<Place> {
        PathSet::new([path.clone()]).places(self)
    }

    /// The places that `path` names, where it leads to its end everywhere: in every element of every array on its way;
    /// `None` where it does not. A document that is an empty array has no place, and so has what is empty where the path says
    /// `*` of it.
    pub fn at_every(&self, path: &FieldPath) -> Option<Vec<Place>> {
        path::at_every(self, path)
    }

    /// The JSON Pointer (RFC 6901) of a place in the document as it was parsed. Linear in its length.
    pub fn pointer(&self, place: Place) -> String {
        let mut steps = Vec::new();
        let mut at = place.0;
        while at != 0
            && let Some(node) = self.nodes.get(at)
        {
            steps.push(match &node.key {
                Some(key) => key.decoded.replace('~', "~0").replace('/', "~1"),
                None => node.index.to_string(),
            });
            at = node.parent;
        }
        steps.iter().rev().flat_map(|step| ["/", step]).collect()
    }

    /// Puts a string where any value was; what was in it is gone.
    pub fn set_string(&mut self, place: Place, text: String) {
        let Some(node) = self.nodes.get_mut(place.0) else { return };
        node.content = Content::String(Text { decoded: Cow::Owned(text), written: None });
        let end = node.end;
        // What was in it is in nothing any more.
        for inner in self.nodes.get_mut(place.0 + 1..end).unwrap_or_default() {
            inner.removed = true;
        }
        self.changed = true;
    }

    /// Takes a member or element out, with all that is in it. Without its root a document is `null`.
    pub fn remove(&mut self, place: Place) {
        if let Some(node) = self.nodes.get_mut(place.0) {
            node.removed = true;
            self.changed = true;
        }
    }

    /// Something was set or removed.
    pub const fn is_changed(&self) -> bool {
        self.changed
    }

    /// The document as it is now.
    pub fn to_bytes(&self) -> Vec<u8> {
        tree::serialise(self)
    }

    fn is_removed(&self, place: Place) -> bool {
        self.nodes.get(place.0).is_none_or(|node| node.removed)
    }

    fn is_container(&self, place: Place) -> bool {
        matches!(self.nodes.get(place.0).map(|node| &node.content), Some(Content::Container(_)))
    }

    /// Shows `place` and all in it, in document order, to `enter`; false: what is in this one is passed over.
    fn visit(&self, place: Place, mut enter: impl FnMut(Place) -> bool) {
        let end = self.nodes.get(place.0).map_or(0, |node| node.end);
        let mut at = place.0;
        while at < end
            && let Some(node) = self.nodes.get(at)
        {
            let within = !node.removed && enter(Place(at));
            at = if within { at + 1 } else { node.end };
        }
    }
}
