//! Which requests a rule of Istio's is about, and what several are about together.

use serde_json::{Value, json};

use super::{map, some};

/// Which requests; empty: all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Operations {
    pub(super) host: Option<String>,
    pub(super) path: Option<String>,
    pub(super) methods: Vec<String>,
}

impl Operations {
    /// `match` of their route.
    pub(super) fn matching(&self) -> Value {
        map([
            ("path", self.path.clone().map(Value::from)),
            ("hosts", self.host.clone().map(|host| json!([host]))),
            ("methods", some(self.methods.clone())),
        ])
    }

    /// Exact paths before longer prefixes before shorter ones; then hosts in the same way; then fewer methods.
    pub(super) fn narrowness(&self) -> (bool, usize, bool, usize, usize) {
        let (path, host) = (self.path.as_deref().unwrap_or_default(), self.host.as_deref().unwrap_or_default());
        let exact = |text: &str| !text.is_empty() && !text.contains('*');
        let methods = if self.methods.is_empty() { 0 } else { usize::MAX.saturating_sub(self.methods.len()) };
        (exact(path), path.len(), exact(host), host.len(), methods)
    }

    /// Every request of `other` is one of these.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covers = |own: &Option<String>, other: &Option<String>, covers: fn(&str, &str) -> bool| {
            own.as_deref().is_none_or(|own| other.as_deref().is_some_and(|other| covers(own, other)))
        };
        let methods = self.methods.is_empty()
            || !other.methods.is_empty() && other.methods.iter().all(|method| self.methods.contains(method));
        methods && covers(&self.host, &other.host, host_covers) && covers(&self.path, &other.path, path_covers)
    }

    /// The requests that are of both; `None`: there are none.
    fn both(&self, other: &Self) -> Option<Self> {
        let host = narrower(&self.host, &other.host, host_covers)?;
        let path = narrower(&self.path, &other.path, path_covers)?;
        let (one, two) = (&self.methods, &other.methods);
        let mut methods = if one.is_empty() { two.clone() } else { one.clone() };
        methods.retain(|method| two.is_empty() || two.contains(method));
        let apart = methods.is_empty() && !(one.is_empty() && two.is_empty());
        (!apart).then_some(Self { host, path, methods })
    }
}

/// What is of both, where one covers the other; without one it is everything.
fn narrower(one: &Option<String>, two: &Option<String>, covers: fn(&str, &str) -> bool) -> Option<Option<String>> {
    match (one, two) {
        (None, any) | (any, None) => Some(any.clone()),
        (Some(wide), Some(narrow)) if covers(wide, narrow) => Some(two.clone()),
        (Some(narrow), Some(wide)) if covers(wide, narrow) => Some(one.clone()),
        _ => None,
    }
}

fn path_covers(own: &str, other: &str) -> bool {
    let whole = own.strip_suffix("/**").is_some_and(|base| other == base || is_below(other, base));
    // `/a/**` is `/a` too.
    let below = |base: &str| is_below(other, base) && other.strip_suffix("/**") != Some(base);
    own == other || whole || own.strip_suffix("/*/**").is_some_and(below)
}

/// `*.example.com` is every name below.
fn host_covers(own: &str, other: &str) -> bool {
    own == other || own.strip_prefix('*').is_some_and(|suffix| other.len() > suffix.len() && other.ends_with(suffix))
}

/// Adds what any two are both about. The first route decides, and every rule counts: where the rule of one and that of the
/// other are about a request, a route of its own has both. False: there are too many.
pub(super) fn add_what_is_both(all: &mut Vec<Operations>) -> bool {
    let mut at = 0;
    while let Some(one) = all.get(at).cloned() {
        if all.len() > MOST_ROUTES {
            return false;
        }
        let known = all.get(..at).unwrap_or_default();
        let both: Vec<_> = known.iter().filter_map(|other| one.both(other)).collect();
        for operations in both {
            if !all.contains(&operations) {
                all.push(operations);
            }
        }
        at += 1;
    }
    true
}

/// Routes beyond which no more are made of what several rules are about.
const MOST_ROUTES: usize = 1_000;

fn is_below(path: &str, base: &str) -> bool {
    path.strip_prefix(base).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}
