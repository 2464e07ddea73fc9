//! Lines of a YAML text, by the paths that errors name.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Where the fields of a text stand.
pub struct Lines(Vec<Node>);

/// A value, and the line on which its key stands, or it begins.
struct Node {
    line: u64,
    content: Content,
}

enum Content {
    Scalar,
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// One step of a path.
enum Step<'p> {
    Name(&'p str),
    Index(usize),
}

impl Lines {
    /// The lines of `text`, which is YAML or JSON; none where its reader finds fault with it.
    pub fn of(text: &str) -> Self {
        let duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
        let options = serde_saphyr::options! { with_snippet: false, duplicate_keys: duplicate_keys };
        let documents: Result<Vec<Spanned<Content>>, _> = serde_saphyr::from_multiple_with_options(text, options);
        Self(documents.unwrap_or_default().into_iter().map(Node::from).collect())
    }

    /// The line of the field at `path` of the configuration at `place`, as [`super::document::Found`] says that. Of a field that
    /// is not there, such as one that is missed, it is the line of what it should be in. `None` where that is the whole.
    pub fn line(&self, place: &str, path: &str) -> Option<u64> {
        let (document, place) = match place.strip_prefix("document ") {
            Some(rest) => {
                let (number, place) = rest.split_once(": ").unwrap_or((rest, ""));
                (number.parse::<usize>().ok()?.checked_sub(1)?, place)
            }
            None => (0, place),
        };
        let (mut at, mut line) = (self.0.get(document)?, None);
        for step in steps(place) {
            at = at.inner(&step)?;
            line = Some(at.line);
        }
        // What Envoy takes stands in a message of a type: a structure, or a text with lines of its own.
        at = at.inner(&Step::Name("@type")).and_then(|_| at.inner(&Step::Name("value"))).unwrap_or(at);
        for step in steps(path) {
            let Some(inner) = at.inner(&step) else { break };
            at = inner;
            line = Some(at.line);
        }
        line
    }
}

/// The steps of a path such as `routes[0].match.headers["x y"]`.
fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches('.');
        let quoted = rest.strip_prefix("[\"").and_then(|rest| rest.split_once("\"]"));
        let index = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (step, after) = match (quoted, index) {
            (Some((name, after)), _) => (Step::Name(name), after),
            (None, Some((index, after))) => (Step::Index(index.parse().ok()?), after),
            (None, None) => {
                let (name, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
                if name.is_empty() {
                    return None;
                }
                (Step::Name(name), after)
            }
        };
        rest = after;
        Some(step)
    })
}

impl Node {
    fn inner(&self, step: &Step<'_>) -> Option<&Self> {
        match (step, &self.content) {
            (Step::Name(name), Content::Map(members)) => {
                members.iter().rfind(|(key, _)| key == name).map(|(_, node)| node)
            }
            (Step::Index(index), Content::List(elements)) => elements.get(*index),
            _ => None,
        }
    }
}

impl From<Spanned<Content>> for Node {
    fn from(spanned: Spanned<Content>) -> Self {
        Self { line: spanned.referenced.line(), content: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

/// Of every scalar only that it is one.
macro_rules! scalars {
    ($($visit:ident: $of:ty),*) => {
        $(fn $visit<E>(self, _: $of) -> Result<Content, E> {
            Ok(Content::Scalar)
        })*
    };
}

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    scalars!(visit_bool: bool, visit_i64: i64, visit_i128: i128, visit_u64: u64, visit_u128: u128, visit_f64: f64, visit_str: &str, visit_bytes: &[u8]);

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element::<Spanned<Content>>()? {
            elements.push(element.into());
        }
        Ok(Content::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            let content = map.next_value()?;
            members.push((key.value, Node { line, content }));
        }
        Ok(Content::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_line_of_a_field_or_of_what_it_should_be_in() {
        let text = "service: a\nroutes:\n  - match:\n      headers: { \"x y\": 1 }\n  - match: { path: /a }\n    limits:\n      - 7\n";
        for (path, line) in [
            ("", None),
            ("service", Some(1)),
            ("routes", Some(2)),
            ("routes[0]", Some(3)),
            ("routes[0].match.headers[\"x y\"]", Some(4)),
            ("routes[1].match.path", Some(5)),
            ("routes[1].limits[0]", Some(7)),
            ("routes[1].limits[1]", Some(6)),
            ("routes[1].match.hosts[0]", Some(5)),
            ("rules.a.b", None),
        ] {
            assert_eq!(Lines::of(text).line("", path), line, "{path}");
        }
    }

    #[test]
    fn finds_configurations_within_other_documents() {
        let text = "kind: A\n---\nspec:\n  pluginConfig:\n    service: 1\n  wasm:\n    - configuration:\n        \"@type\": x\n        value:\n          mode: 2\n    - configuration:\n        \"@type\": x\n        value: |\n          mode: 2\n";
        for (place, path, line) in [
            ("document 2: spec.pluginConfig", "service", Some(5)),
            ("document 2: spec.pluginConfig", "", Some(4)),
            ("document 2: spec.wasm[0].configuration", "mode", Some(10)),
            ("document 2: spec.wasm[1].configuration", "mode", Some(11)),
            ("document 1: spec", "mode", None),
            ("document 3", "mode", None),
        ] {
            assert_eq!(Lines::of(text).line(place, path), line, "{place} {path}");
        }
        assert_eq!(Lines::of("{\n \"a\": {\n\"b\": [1,\n2]}}").line("", "a.b[1]"), Some(4));
        assert_eq!(Lines::of("a: [").line("", "a"), None);
    }
}
