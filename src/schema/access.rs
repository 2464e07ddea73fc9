//! `readOnly` and `writeOnly`: which fields they concern, as paths.
//!
//! A path is known only below `properties`, `items`, `allOf` and `$ref`; anywhere else the two are refused, so that they
//! are never believed to hold where they do not.

use super::node::{Keyword, Node, NodeId};
use super::{Problem, Schema, SchemaError};
use crate::document::{FieldPath, PathSet};
use crate::order;

/// Steps of the search: a schema can be reached in many ways.
const MOST_STEPS: usize = 20_000;

/// Fills in the paths, and takes fields that no request can set out of `required`.
pub(super) fn compile(schema: &mut Schema, pointers: &[String]) -> Result<(), Vec<SchemaError>> {
    if !schema.nodes.iter().any(|node| node.read_only || node.write_only) {
        return Ok(());
    }
    let mut search = Search { nodes: &schema.nodes, around: Vec::new(), steps: 0, found: Vec::new(), lost: Vec::new() };
    search.enter(schema.root, &mut Vec::new());
    let reached = |id: &NodeId| search.found.iter().any(|(found, _)| found == id);
    let flagged = |(_, node): &(usize, &Node)| node.read_only || node.write_only;
    let ids =
        schema.nodes.iter().enumerate().filter(flagged).map(|(at, _)| NodeId(u32::try_from(at).unwrap_or(u32::MAX)));
    let mut lost: Vec<NodeId> = ids.filter(|id| !reached(id)).chain(search.lost.iter().copied()).collect();
    if search.steps > MOST_STEPS {
        lost.push(schema.root);
    }
    order::sort(&mut lost);
    lost.dedup();
    if !lost.is_empty() {
        let at = |id: NodeId| SchemaError {
            pointer: pointers.get(id.index()).cloned().unwrap_or_default(),
            problem: Problem::Access,
        };
        return Err(lost.into_iter().map(at).collect());
    }
    let paths = |wanted: fn(&Node) -> bool| {
        let found = search.found.iter().filter(|(id, _)| schema.node(*id).is_some_and(wanted));
        let parsed = found.filter_map(|(_, path)| FieldPath::parse(path).ok());
        parsed.map(|path| schema.told_apart(path)).collect::<Vec<_>>()
    };
    let (read_only, write_only) = (paths(|node| node.read_only), paths(|node| node.write_only));
    schema.read_only = PathSet::new(read_only);
    schema.write_only = write_only.into();
    release(schema);
    Ok(())
}

/// What a request cannot set is not required of it.
fn release(schema: &mut Schema) {
    let nodes = &schema.nodes;
    let unset: Vec<Vec<Box<str>>> = nodes
        .iter()
        .map(|node| {
            let named = node.keywords.iter().filter_map(|keyword| match keyword {
                Keyword::Properties(properties) => Some(&properties.named),
                _ => None,
            });
            named
                .flatten()
                .filter(|(_, schema)| is_read_only(nodes, *schema, 0))
                .map(|(name, _)| name.clone())
                .collect()
        })
        .collect();
    for (node, unset) in schema.nodes.iter_mut().zip(unset) {
        for keyword in &mut node.keywords {
            if let Keyword::Required(names) = keyword {
                *names = std::mem::take(names).into_iter().filter(|name| !unset.contains(name)).collect();
            }
        }
    }
}

/// Circles in place were refused before; `depth` keeps long chains short.
fn is_read_only(nodes: &[Node], id: NodeId, depth: usize) -> bool {
    let Some(node) = nodes.get(id.index()).filter(|_| depth < 16) else { return false };
    let joined = node.keywords.iter().filter(|keyword| matches!(keyword, Keyword::AllOf(_) | Keyword::Ref(_)));
    node.read_only || joined.flat_map(Keyword::in_place).any(|next| is_read_only(nodes, next, depth + 1))
}

struct Search<'s> {
    nodes: &'s [Node],
    /// The schemas that the current one is reached through.
    around: Vec<NodeId>,
    steps: usize,
    found: Vec<(NodeId, String)>,
    /// Flagged schemas that are reached where they have no path.
    lost: Vec<NodeId>,
}

impl Search<'_> {
    fn enter(&mut self, id: NodeId, path: &mut Vec<String>) {
        self.steps += 1;
        let Some(node) = self.nodes.get(id.index()).filter(|_| self.steps <= MOST_STEPS) else { return };
        if self.around.contains(&id) || self.around.len() > 64 {
            return self.lose(id);
        }
        if node.read_only || node.write_only {
            // The document itself, and elements without a name, are no fields.
            match path.last() {
                Some(last) if last != EVERY => self.found.push((id, path.join("."))),
                _ => self.lost.push(id),
            }
        }
        self.around.push(id);
        for keyword in &node.keywords {
            self.keyword(keyword, path);
        }
        for next in [node.unevaluated_items, node.unevaluated_properties].into_iter().flatten() {
            self.lose(next);
        }
        self.around.pop();
    }

    fn keyword(&mut self, keyword: &Keyword, path: &mut Vec<String>) {
        match keyword {
            Keyword::AllOf(_) | Keyword::Ref(_) => {
                for next in keyword.in_place() {
                    self.enter(next, path);
                }
            }
            Keyword::Items { prefix, rest: Some(rest) } if prefix.is_empty() => {
                path.push(EVERY.to_owned());
                self.enter(*rest, path);
                path.pop();
            }
            Keyword::Properties(properties) => {
                for (name, next) in &properties.named {
                    if name.is_empty() {
                        self.lose(*next);
                        continue;
                    }
                    path.push(step(name));
                    self.enter(*next, path);
                    path.pop();
                }
                let unnamed = properties.patterns.iter().map(|(_, next)| *next).chain(properties.additional);
                unnamed.for_each(|next| self.lose(next));
            }
            _ => {
                for next in keyword.in_place().into_iter().chain(keyword.within()) {
                    self.lose(next);
                }
            }
        }
    }

    /// Whatever is flagged from here on has no path.
    fn lose(&mut self, from: NodeId) {
        let mut seen = vec![false; self.nodes.len()];
        let mut next = vec![from];
        while let Some(id) = next.pop() {
            let (Some(node), Some(seen)) = (self.nodes.get(id.index()), seen.get_mut(id.index())) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            self.steps += 1;
            if node.read_only || node.write_only {
                self.lost.push(id);
            }
            next.extend(
                node.keywords.iter().flat_map(|keyword| keyword.in_place().into_iter().chain(keyword.within())),
            );
            next.extend([node.unevaluated_items, node.unevaluated_properties].into_iter().flatten());
        }
    }
}

const EVERY: &str = "*";

/// A name as a step of a path.
fn step(name: &str) -> String {
    name.replace('\\', "\\\\").replace('.', "\\.").replace('*', "\\*")
}
