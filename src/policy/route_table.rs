//! The first route, in the order of the configuration, whose conditions a request meets.

mod conditions;
pub mod reach;
mod template;

use std::{borrow::Cow, fmt, ops::Range};

use conditions::{Conditions, Interned};
pub use conditions::{HeaderCondition, HostPatternError};
pub use template::{MAX_SEGMENTS, TemplateError};
use template::{Template, TemplateSegment};

use crate::{
    canonical::path::{CanonicalPath, Segments},
    config::Case,
    head::Head,
    order,
};

/// How many places of a table one path may lead to, at most; see [`RouteTable`].
pub const MAX_VISITS: usize = 1024;

/// What a request must meet; an empty list is met by any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// A path template: literal segments, `{name}` and `*` for any one segment, `/**` at the end for any number of
    /// them, none included. Compared decoded, without a trailing slash.
    pub path: String,
    /// Host names, `*.example.com` for every name below `example.com` at any depth, `*` for any. Without port.
    pub hosts: Vec<String>,
    /// Methods, upper-case. HEAD is not GET.
    pub methods: Vec<String>,
    /// All of these headers.
    pub headers: Vec<HeaderCondition>,
}

impl RouteMatch {
    /// One text for all that match the same requests, whatever the spelling and the order; `None` where the path is no
    /// template. No part of one holds a line end.
    pub fn key(&self) -> Option<String> {
        let sorted = |mut list: Vec<String>| {
            order::sort(&mut list);
            list.dedup();
            list.join("\n")
        };
        let headers = self.headers.iter().map(|header| {
            let value = header.value.as_ref().map_or(String::new(), |value| format!(":{value}"));
            header.name.to_ascii_lowercase() + &value
        });
        let path = Template::parse(&self.path).ok()?.shape();
        let hosts = self.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Some([path, sorted(hosts), sorted(self.methods.clone()), sorted(headers.collect())].join("\n\n"))
    }
}

impl Default for RouteMatch {
    fn default() -> Self {
        Self { path: "/**".to_owned(), hosts: Vec::new(), methods: Vec::new(), headers: Vec::new() }
    }
}

/// What a route table asks of a request.
#[derive(Clone, Copy, Debug)]
pub struct RouteRequest<'a> {
    /// The canonical path.
    pub path: &'a CanonicalPath<'a>,
    /// The canonical host's name.
    pub host: &'a str,
    /// The method as sent.
    pub method: &'a [u8],
    /// The headers.
    pub head: &'a Head,
}

/// Routes in the order of their declaration, indexed by path, host and method.
///
/// Path segments lead through a trie: at each node to at most one literal child (binary search) and one wildcard
/// child. At the end of a path the routes of one host pattern, one method and one header condition, of several the one
/// that fewest routes have, are found by binary search. Cost therefore grows with the logarithm of the number of routes;
/// only routes that share all of these are tried in turn.
///
/// Both children of a node can apply, so a path may lead to several nodes: without bound that is two to the power of
/// its depth. Let `v(n)` be the most nodes that any path can lead to from node `n` on. Then
/// `v(n) <= 1 + max(v(literal children)) + v(wildcard child)`, which [`new`](Self::new) computes and refuses above
/// [`MAX_VISITS`]. So no request, whatever its path, costs more than that many steps; usual tables stay below 20.
/// Nodes whose routes are all declared after the best one found are skipped.
#[derive(Clone, Debug)]
pub struct RouteTable<T> {
    routes: Vec<Route<T>>,
    nodes: Vec<Node>,
    interned: Interned,
    case: Case,
}

/// A route that a request meets.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'t, 'r, T> {
    /// What belongs to the route.
    pub route: &'t T,
    /// Its place in the order of declaration, from 0.
    pub index: usize,
    /// The values of its path parameters.
    pub parameters: Parameters<'t, 'r>,
}

/// The path parameters of a match; values are found in the path when asked for.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'t, 'r> {
    names: &'t [(Box<str>, usize)],
    path: &'r CanonicalPath<'r>,
}

/// A route that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    /// Its place in the order of declaration, from 0; of the last route for an error of the whole table.
    pub index: usize,
    /// What is wrong.
    pub reason: RouteErrorReason,
}

/// What is wrong with a route, and with which of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteErrorReason {
    /// `path`.
    Path(TemplateError),
    /// `hosts`, at this place of the list.
    Host(usize, HostPatternError),
    /// `methods`, at this place of the list: not upper-case letters, `-` and `_`.
    Method(usize, String),
    /// `headers`: a name that is no token of RFC 9110.
    Header(String),
    /// The table's templates overlap so much that one path could lead to this many places.
    TooManyOverlaps(usize),
}

impl<T> RouteTable<T> {
    /// Compiles routes in the order of their declaration; `case` is that of the letters in their paths.
    ///
    /// # Errors
    /// [`RouteError`] with the first route that is wrong.
    pub fn new(routes: impl IntoIterator<Item = (RouteMatch, T)>, case: Case) -> Result<Self, RouteError> {
        let mut table = Self { routes: Vec::new(), nodes: vec![Node::default()], interned: Interned::default(), case };
        let mut compiled = Vec::new();
        for (index, (conditions, value)) in routes.into_iter().enumerate() {
            let parts = table.compile(&conditions).map_err(|reason| RouteError { index, reason })?;
            compiled.push((parts, value));
        }
        // Which header condition is the rarest is known when all of them are.
        for ((template, conditions), value) in compiled {
            table.add(&template, conditions, value);
        }
        for node in &mut table.nodes {
            node.seal();
        }
        let visits = table.most_visits();
        if visits > MAX_VISITS {
            let index = table.routes.len().saturating_sub(1);
            return Err(RouteError { index, reason: RouteErrorReason::TooManyOverlaps(visits) });
        }
        Ok(table)
    }

    /// Whether a header that some route asks about is repeated: it has no one value to decide by.
    pub fn asks_about_repeated(&self, head: &Head) -> bool {
        self.interned.headers.is_repeated_in(head)
    }

    /// The first declared route that `request` meets.
    pub fn find<'t, 'r>(&'t self, request: &RouteRequest<'r>) -> Option<Matched<'t, 'r, T>> {
        let mut search = Search {
            table: self,
            head: request.head,
            hosts: self.interned.hosts_of(request.host),
            method: self.interned.method_of(request.method),
            headers: self.interned.headers.met_by(request.head),
            best: usize::MAX,
        };
        let root = self.nodes.first()?;
        if request.path.is_asterisk() {
            // The server itself is no path: only `/**` means it too.
            search.choose(&root.open);
        } else {
            search.visit(root, request.path.segments());
        }
        let route = self.routes.get(search.best)?;
        let parameters = Parameters { names: &route.parameters, path: request.path };
        Some(Matched { route: &route.value, index: search.best, parameters })
    }

    /// What belongs to each route, in the order of declaration.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &T> {
        self.routes.iter().map(|route| &route.value)
    }

    /// The same, to change.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut T> {
        self.routes.iter_mut().map(|route| &mut route.value)
    }

    fn compile(&mut self, conditions: &RouteMatch) -> Result<(Template, Conditions), RouteErrorReason> {
        let template = Template::parse(&conditions.path).map_err(RouteErrorReason::Path)?;
        Ok((template, Conditions::compile(conditions, &mut self.interned)?))
    }

    fn add(&mut self, template: &Template, conditions: Conditions, value: T) {
        let index = self.routes.len();
        let node = self.node_for(template, index);
        if let Some(node) = self.nodes.get_mut(node) {
            let list = if template.open { &mut node.open } else { &mut node.closed };
            list.extend(conditions.keys(index, &self.interned));
        }
        let parameters = template.parameters().map(|(name, at)| (name.into(), at)).collect();
        self.routes.push(Route { value, parameters, headers: conditions.headers });
    }

    /// The node that a template leads to; made where there is none.
    fn node_for(&mut self, template: &Template, index: usize) -> usize {
        let mut at = 0;
        for segment in &template.segments {
            let next = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { break };
            let child = match segment {
                TemplateSegment::Literal(text) => {
                    let text = match self.case {
                        Case::Exact => text.clone(),
                        Case::Ignore => in_lower_case(text).into(),
                    };
                    match node.literal_at(&text) {
                        Ok(child) => child,
                        Err(place) => {
                            node.literals.insert(place, (text, next));
                            next
                        }
                    }
                }
                TemplateSegment::Any | TemplateSegment::Parameter(_) => *node.wildcard.get_or_insert(next),
            };
            if child == next {
                self.nodes.push(Node { first: index, ..Node::default() });
            }
            at = child;
        }
        at
    }

    fn literal_at(&self, node: &Node, segment: &str) -> Result<usize, usize> {
        match self.case {
            Case::Exact => node.literal_at(segment),
            Case::Ignore => node.literal_at(&in_lower_case(segment)),
        }
    }

    /// `v(root)`. Children are made after their parents, so one pass from the back knows them all.
    fn most_visits(&self) -> usize {
        let mut visits = vec![0_usize; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let of = |child: usize| visits.get(child).copied().unwrap_or_default();
            let literal = node.literals.iter().map(|(_, child)| of(*child)).max().unwrap_or_default();
            let sum = literal.saturating_add(node.wildcard.map_or(0, of)).saturating_add(1);
            if let Some(slot) = visits.get_mut(at) {
                *slot = sum;
            }
        }
        visits.first().copied().unwrap_or_default()
    }
}

impl<'r> Parameters<'_, 'r> {
    /// The decoded value of a parameter.
    pub fn value(&self, name: &str) -> Option<Cow<'r, str>> {
        let at = self.place(name)?;
        self.path.segments().nth(at).map(|segment| segment.value())
    }

    /// Where a parameter's segment lies in [`CanonicalPath::path`].
    pub fn range(&self, name: &str) -> Option<Range<usize>> {
        let at = self.place(name)?;
        self.path.segments().nth(at).map(|segment| segment.range)
    }

    /// Every parameter's name and decoded value, in the order of the template.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'r, str>)> {
        self.names.iter().filter_map(|(name, _)| Some((&**name, self.value(name)?)))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(known, _)| **known == *name).map(|(_, at)| *at)
    }
}

/// Paths as a list of templates, for settings that name paths and nothing else.
#[derive(Clone, Debug)]
pub struct PathPatterns(RouteTable<()>);

impl PathPatterns {
    /// Compiles templates like `/admin/**` and `/api/*/users/**`.
    ///
    /// # Errors
    /// [`RouteError`] with the first one that is wrong.
    pub fn new<S: AsRef<str>>(templates: impl IntoIterator<Item = S>, case: Case) -> Result<Self, RouteError> {
        let routes = templates.into_iter().map(|template| {
            let path = template.as_ref().to_owned();
            (RouteMatch { path, ..RouteMatch::default() }, ())
        });
        RouteTable::new(routes, case).map(Self)
    }

    /// Whether one of the templates means `path`.
    pub fn contains(&self, path: &CanonicalPath<'_>) -> bool {
        let head = Head::default();
        self.0.find(&RouteRequest { path, host: "", method: b"", head: &head }).is_some()
    }
}

impl RouteError {
    /// The field that is wrong, such as `hosts[1]`.
    pub fn field(&self) -> String {
        match &self.reason {
            RouteErrorReason::Path(_) | RouteErrorReason::TooManyOverlaps(_) => "path".to_owned(),
            RouteErrorReason::Host(at, _) => format!("hosts[{at}]"),
            RouteErrorReason::Method(at, _) => format!("methods[{at}]"),
            RouteErrorReason::Header(_) => "headers".to_owned(),
        }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            RouteErrorReason::Path(error) => error.fmt(formatter),
            RouteErrorReason::Host(_, error) => error.fmt(formatter),
            RouteErrorReason::Method(_, text) => {
                write!(formatter, "`{text}`: expected a method in upper case, like GET")
            }
            RouteErrorReason::Header(name) => write!(formatter, "`{name}`: expected a header name"),
            RouteErrorReason::TooManyOverlaps(visits) => write!(
                formatter,
                "one request could match {visits} combinations of literal and wildcard segments: expected at most \
                 {MAX_VISITS}"
            ),
        }
    }
}

impl std::error::Error for RouteError {}

#[derive(Clone, Debug)]
struct Route<T> {
    value: T,
    /// Name and segment.
    parameters: Vec<(Box<str>, usize)>,
    headers: Vec<HeaderCondition>,
}

/// A place in the trie of path segments.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The first route that leads here or further.
    first: usize,
    /// Sorted by text.
    literals: Vec<(Box<str>, usize)>,
    wildcard: Option<usize>,
    /// Routes whose path ends here.
    closed: Vec<Key>,
    /// Routes whose path goes on with `/**`.
    open: Vec<Key>,
}

/// Host pattern, method, header condition and index of a route; sorted, so that those of one host, method and condition
/// are one run.
type Key = (u32, u32, u32, usize);

impl Node {
    fn literal_at(&self, text: &str) -> Result<usize, usize> {
        let found = self.literals.binary_search_by(|(known, _)| compared((**known).cmp(text)))?;
        self.literals.get(found).map(|(_, child)| *child).ok_or(found)
    }

    fn seal(&mut self) {
        for list in [&mut self.closed, &mut self.open] {
            order::sort(list);
            list.dedup();
        }
    }
}

struct Search<'s, T> {
    table: &'s RouteTable<T>,
    head: &'s Head,
    hosts: conditions::HostIds,
    method: Option<u32>,
    /// The conditions that the head meets.
    headers: Vec<u32>,
    best: usize,
}

impl<T> Search<'_, T> {
    /// Recursion ends with the trie, at [`MAX_SEGMENTS`].
    fn visit(&mut self, node: &Node, mut rest: Segments<'_>) {
        if node.first >= self.best {
            return;
        }
        self.choose(&node.open);
        let Some(segment) = rest.next() else { return self.choose(&node.closed) };
        let table = self.table;
        if !node.literals.is_empty()
            && let Ok(child) = table.literal_at(node, &segment.value())
            && let Some(child) = table.nodes.get(child)
        {
            self.visit(child, rest.clone());
        }
        if let Some(child) = node.wildcard.and_then(|child| table.nodes.get(child)) {
            self.visit(child, rest);
        }
    }

    /// Takes the first route of `keys` that the request meets, when it comes before the best so far.
    fn choose(&mut self, keys: &[Key]) {
        if keys.is_empty() {
            return;
        }
        for at in 0..self.hosts.as_slice().len() {
            let Some(&host) = self.hosts.as_slice().get(at) else { return };
            for method in [Some(conditions::ANY), self.method].into_iter().flatten() {
                self.choose_among(keys, (host, method, conditions::ANY));
                for at in 0..self.headers.len() {
                    let Some(&header) = self.headers.get(at) else { break };
                    self.choose_among(keys, (host, method, header));
                }
            }
        }
    }

    fn choose_among(&mut self, keys: &[Key], wanted: (u32, u32, u32)) {
        let start = keys.partition_point(|key| compared((key.0, key.1, key.2) < wanted));
        let run = keys.iter().skip(start).take_while(|key| (key.0, key.1, key.2) == wanted && key.3 < self.best);
        let head = self.head;
        let meets = |index: usize| {
            let route = self.table.routes.get(index);
            compared(route.is_some_and(|route| route.headers.iter().all(|header| header.holds(head))))
        };
        if let Some(key) = run.into_iter().find(|key| meets(key.3)) {
            self.best = key.3;
        }
    }
}

/// A literal where case is ignored. Out of the way of all tables in which it is not.
#[cold]
#[inline(never)]
fn in_lower_case(segment: &str) -> String {
    segment.to_ascii_lowercase()
}

/// What a comparison gave; the tests count how many there are.
#[inline]
fn compared<T>(outcome: T) -> T {
    #[cfg(test)]
    tests::COMPARISONS.with(|count| count.set(count.get() + 1));
    outcome
}

#[cfg(test)]
mod tests;
