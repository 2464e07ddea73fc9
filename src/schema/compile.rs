//! From a schema as written to the arena: every keyword read, every reference resolved, or an error with its pointer.

mod keywords;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::node::{Keyword, Node, NodeId};
use super::{Problem, Schema, SchemaError, access, plan, reference};
use crate::document::PathSet;

/// The dialect, the only one.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Schemas within schemas.
const DEEPEST: usize = 64;
/// Schemas in one.
const MOST_NODES: usize = 10_000;

/// Compiles a schema.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn compile(schema: &Value) -> Result<Schema, Vec<SchemaError>> {
    let mut compiler = Compiler::default();
    compiler.resources.push(Resource::default());
    let root = compiler.schema(schema, "", Scope { resource: 0, depth: 0 });
    compiler.resolve();
    if compiler.errors.is_empty() {
        compiler.refuse_circles();
    }
    if !compiler.errors.is_empty() {
        return Err(compiler.errors);
    }
    let anchors = compiler.anchors.iter().filter(|(_, anchor)| anchor.dynamic);
    let dynamic =
        anchors.map(|((resource, name), anchor)| (*resource, Box::from(name.as_str()), anchor.node)).collect();
    let mut schema = Schema {
        nodes: compiler.nodes.into(),
        root,
        dynamic,
        read_only: PathSet::default(),
        write_only: Box::default(),
        plan: plan::Plan::new(&[], root, &PathSet::default()),
    };
    access::compile(&mut schema, &compiler.pointers)?;
    schema.plan = plan::Plan::new(&schema.nodes, schema.root, &schema.read_only);
    Ok(schema)
}

/// Where a schema stands.
#[derive(Clone, Copy)]
struct Scope {
    resource: u32,
    depth: usize,
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    /// Each node's pointer, in the order of the arena.
    pointers: Vec<String>,
    /// The nodes by their pointers.
    places: BTreeMap<String, NodeId>,
    resources: Vec<Resource>,
    anchors: BTreeMap<(u32, String), Anchor>,
    pending: Vec<Pending>,
    errors: Vec<SchemaError>,
}

/// A schema with an identifier of its own; the first is the document.
#[derive(Default)]
struct Resource {
    uri: String,
    pointer: String,
}

struct Anchor {
    node: NodeId,
    dynamic: bool,
}

/// A reference, resolved when every schema is known.
struct Pending {
    node: NodeId,
    reference: String,
    dynamic: bool,
    resource: u32,
    pointer: String,
}

impl Compiler {
    fn error(&mut self, pointer: impl Into<String>, problem: Problem) {
        self.errors.push(SchemaError { pointer: pointer.into(), problem });
    }

    /// Compiles the schema at `pointer` with all in it.
    fn schema(&mut self, schema: &Value, pointer: &str, scope: Scope) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        if scope.depth > DEEPEST || self.nodes.len() >= MOST_NODES {
            // Once is enough: what is in it is not looked at.
            if !self.errors.iter().any(|error| error.problem == Problem::TooLarge) {
                self.error(pointer, Problem::TooLarge);
            }
            return id;
        }
        self.nodes.push(Node { resource: scope.resource, ..Node::default() });
        self.pointers.push(pointer.to_owned());
        self.places.insert(pointer.to_owned(), id);
        match schema {
            Value::Bool(always) => self.edit(id, |node| node.always = Some(*always)),
            Value::Object(keywords) => self.object(id, keywords, pointer, scope),
            _ => self.error(pointer, Problem::Expected("a schema: an object, true or false")),
        }
        id
    }

    fn object(&mut self, id: NodeId, schema: &Map<String, Value>, pointer: &str, mut scope: Scope) {
        if let Some(identifier) = schema.get("$id") {
            scope.resource = self.resource(identifier, pointer, scope.resource);
            self.edit(id, |node| node.resource = scope.resource);
        }
        let within = Scope { depth: scope.depth + 1, ..scope };
        for (keyword, value) in schema {
            self.keyword(id, keyword, value, schema, &below(pointer, keyword), within);
        }
    }

    fn edit(&mut self, id: NodeId, edit: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(id.index()) {
            edit(node);
        }
    }

    fn push(&mut self, id: NodeId, keyword: Keyword) {
        self.edit(id, |node| node.keywords.push(keyword));
    }

    /// A schema resource of its own, for `$id`.
    fn resource(&mut self, identifier: &Value, pointer: &str, outer: u32) -> u32 {
        let at = below(pointer, "$id");
        let Some(identifier) = identifier.as_str().filter(|uri| uri.trim_end_matches('#').split('#').count() == 1)
        else {
            self.error(at, Problem::Expected("a URI reference without a fragment"));
            return outer;
        };
        let uri = reference::resolve(&self.base(outer), identifier);
        if pointer.is_empty() {
            // The document itself is the first resource.
            if let Some(document) = self.resources.first_mut() {
                document.uri = uri;
            }
            return 0;
        }
        if self.resources.iter().any(|resource| resource.uri == uri) {
            self.error(at, Problem::Twice(uri));
            return outer;
        }
        self.resources.push(Resource { uri, pointer: pointer.to_owned() });
        u32::try_from(self.resources.len() - 1).unwrap_or(u32::MAX)
    }

    fn base(&self, resource: u32) -> String {
        let resource = usize::try_from(resource).ok().and_then(|at| self.resources.get(at));
        resource.map(|resource| resource.uri.clone()).unwrap_or_default()
    }

    fn anchor(&mut self, node: NodeId, name: &Value, dynamic: bool, pointer: &str, resource: u32) {
        let plain = |name: &str| {
            name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        let Some(name) = name.as_str().filter(|name| plain(name)) else {
            self.error(pointer, Problem::Expected("a name of letters, digits, _, - and ."));
            return;
        };
        let name = name.to_owned();
        match self.anchors.get_mut(&(resource, name.clone())) {
            // The same schema may be called the same in both ways.
            Some(anchor) if anchor.node == node => anchor.dynamic |= dynamic,
            Some(_) => self.error(pointer, Problem::Twice(name)),
            None => {
                self.anchors.insert((resource, name), Anchor { node, dynamic });
            }
        }
    }

    fn resolve(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match self.target(&pending) {
                Some(keyword) => self.push(pending.node, keyword),
                None => self.error(pending.pointer, Problem::Unresolved(pending.reference)),
            }
        }
    }

    fn target(&self, pending: &Pending) -> Option<Keyword> {
        let uri = reference::resolve(&self.base(pending.resource), &pending.reference);
        let at = self.resources.iter().position(|resource| resource.uri == uri)?;
        let fragment = reference::fragment(&pending.reference)?;
        if fragment.is_empty() || fragment.starts_with('/') {
            let pointer = format!("{}{fragment}", self.resources.get(at)?.pointer);
            return self.places.get(&pointer).map(|node| Keyword::Ref(*node));
        }
        let anchor = self.anchors.get(&(u32::try_from(at).ok()?, fragment.clone()))?;
        let here = anchor.node;
        // Only where the reference itself leads to a dynamic anchor is it more than `$ref`.
        if pending.dynamic && anchor.dynamic {
            return Some(Keyword::DynamicRef { anchor: fragment.into(), here });
        }
        Some(Keyword::Ref(here))
    }

    /// Refuses schemas that would be held against one value without end. Takes away, again and again, what needs nothing
    /// that is left.
    fn refuse_circles(&mut self) {
        let needed: Vec<Vec<NodeId>> =
            self.nodes.iter().map(|node| node.keywords.iter().flat_map(Keyword::in_place).collect()).collect();
        let mut needs: Vec<usize> = needed.iter().map(Vec::len).collect();
        let mut users: Vec<Vec<usize>> = vec![Vec::new(); needed.len()];
        for (user, needed) in needed.iter().enumerate() {
            for node in needed {
                if let Some(users) = users.get_mut(node.index()) {
                    users.push(user);
                }
            }
        }
        let mut free: Vec<usize> =
            needs.iter().enumerate().filter(|(_, needs)| **needs == 0).map(|(at, _)| at).collect();
        while let Some(at) = free.pop() {
            for user in users.get_mut(at).map(std::mem::take).unwrap_or_default() {
                if let Some(needs) = needs.get_mut(user) {
                    *needs -= 1;
                    if *needs == 0 {
                        free.push(user);
                    }
                }
            }
        }
        let circular = needs.iter().position(|needs| *needs > 0).and_then(|at| self.pointers.get(at));
        if let Some(pointer) = circular.cloned() {
            self.error(pointer, Problem::Circular);
        }
    }
}

/// The pointer to a member.
fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
