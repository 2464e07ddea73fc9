//! Properties whose names some recipient takes for one, told apart where a path is read as any recipient does.

use super::Schema;
use super::node::{Keyword, NodeId, Properties};
use crate::document::{FieldPath, is_same_field};

impl Schema {
    /// `path`, which names no property that the schema lists beside its own in another spelling.
    pub fn told_apart(&self, path: FieldPath) -> FieldPath {
        let mut at = vec![self.root];
        path.told_apart(|name| {
            let reached = self.reached(std::mem::take(&mut at));
            let Some(name) = name else {
                at = reached.iter().flat_map(|id| self.keywords(*id)).flat_map(Keyword::within).collect();
                return Vec::new();
            };
            let lists = reached.iter().flat_map(|id| self.keywords(*id)).filter_map(properties);
            let same = lists.flat_map(|list| list.named.iter());
            let (own, others): (Vec<_>, Vec<_>) = same
                .filter(|(one, _)| is_same_field(one.as_bytes(), name.as_bytes()))
                .partition(|(one, _)| **one == *name);
            at = own.iter().map(|(_, schema)| *schema).collect();
            if own.is_empty() { Vec::new() } else { others.into_iter().map(|(one, _)| one.clone()).collect() }
        })
    }

    /// What is held against the same value as one of `from`, or against an element of it: a name that is asked of an array is
    /// asked of its elements.
    fn reached(&self, from: Vec<NodeId>) -> Vec<NodeId> {
        let mut seen = vec![false; self.nodes.len()];
        let (mut found, mut next) = (Vec::new(), from);
        while let Some(id) = next.pop() {
            let Some(seen) = seen.get_mut(id.index()) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            found.push(id);
            let elements = |keyword: &Keyword| matches!(keyword, Keyword::Items { .. });
            let keywords = self.keywords(id).iter();
            next.extend(keywords.clone().flat_map(Keyword::in_place));
            next.extend(keywords.filter(|keyword| elements(keyword)).flat_map(Keyword::within));
        }
        found
    }

    fn keywords(&self, id: NodeId) -> &[Keyword] {
        self.node(id).map_or(&[], |node| &node.keywords)
    }
}

fn properties(keyword: &Keyword) -> Option<&Properties> {
    match keyword {
        Keyword::Properties(properties) => Some(properties),
        _ => None,
    }
}
