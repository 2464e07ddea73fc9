//! Every keyword that is supported, and what its value must be.

use serde_json::{Map, Value};

use super::super::Problem;
use super::super::canonical;
use super::super::decimal::Decimal;
use super::super::format::Format;
use super::super::node::{Keyword, Named, Names, NodeId, Properties, Types};
use super::super::pattern::Pattern;
use super::{Compiler, DIALECT, Pending, Scope, below};
use crate::document::{Document, Limits};
use crate::media::json::written;
use crate::order;

impl Compiler {
    /// One keyword of the schema `id`; `beside` are all of its keywords.
    pub(super) fn keyword(
        &mut self,
        id: NodeId,
        keyword: &str,
        value: &Value,
        beside: &Map<String, Value>,
        at: &str,
        scope: Scope,
    ) {
        let compiled = match keyword {
            // What identifies: `$id` was read before everything else.
            "$id" => None,
            "$schema" => {
                if value.as_str().map(|uri| uri.trim_end_matches('#')) != Some(DIALECT) {
                    self.error(at, Problem::Expected("https://json-schema.org/draft/2020-12/schema"));
                }
                None
            }
            "$anchor" | "$dynamicAnchor" => {
                self.anchor(id, value, keyword == "$dynamicAnchor", at, scope.resource);
                None
            }
            "$ref" | "$dynamicRef" => {
                match value.as_str() {
                    Some(reference) => self.pending.push(Pending {
                        node: id,
                        reference: reference.to_owned(),
                        dynamic: keyword == "$dynamicRef",
                        resource: scope.resource,
                        pointer: at.to_owned(),
                    }),
                    None => self.error(at, Problem::Expected("a URI reference")),
                }
                None
            }
            "$defs" => {
                self.named(value, at, scope);
                None
            }
            // Annotations.
            "$comment" | "title" | "description" | "default" | "examples" | "deprecated" => None,
            "readOnly" | "writeOnly" => {
                match value.as_bool() {
                    Some(set) if keyword == "readOnly" => self.edit(id, |node| node.read_only = set),
                    Some(set) => self.edit(id, |node| node.write_only = set),
                    None => self.error(at, Problem::Expected("true or false")),
                }
                None
            }
            "type" => self.types(value, at).map(Keyword::Type),
            "enum" => self.list(value, at).map(|values| {
                let mut forms: Vec<Box<[u8]>> = values.iter().map(canonical_form).collect();
                order::sort(&mut forms);
                Keyword::Enum(forms.into())
            }),
            "const" => Some(Keyword::Const(canonical_form(value))),
            "multipleOf" => self.number(value, at).and_then(|step| {
                if step.is_step() {
                    return Some(Keyword::MultipleOf(step));
                }
                self.error(at, Problem::Expected("a number above zero"));
                None
            }),
            "maximum" => self.number(value, at).map(Keyword::Maximum),
            "exclusiveMaximum" => self.number(value, at).map(Keyword::ExclusiveMaximum),
            "minimum" => self.number(value, at).map(Keyword::Minimum),
            "exclusiveMinimum" => self.number(value, at).map(Keyword::ExclusiveMinimum),
            "maxLength" => self.count(value, at).map(Keyword::MaxLength),
            "minLength" => self.count(value, at).map(Keyword::MinLength),
            "maxItems" => self.count(value, at).map(Keyword::MaxItems),
            "minItems" => self.count(value, at).map(Keyword::MinItems),
            "maxProperties" => self.count(value, at).map(Keyword::MaxProperties),
            "minProperties" => self.count(value, at).map(Keyword::MinProperties),
            "pattern" => match value.as_str() {
                Some(expression) => self.pattern(expression, at).map(Keyword::Pattern),
                None => self.expected(at, "a regular expression"),
            },
            "format" => match value.as_str().and_then(Format::named) {
                Some(format) => Some(Keyword::Format(format)),
                None => self.expected(
                    at,
                    "date, date-time, email, hostname, ipv4, ipv6, password, time, uri, username or uuid",
                ),
            },
            "uniqueItems" => match value.as_bool() {
                Some(unique) => unique.then_some(Keyword::UniqueItems),
                None => self.expected(at, "true or false"),
            },
            "items" => {
                let rest = Some(self.schema(value, at, scope));
                // The items after the prefix, which is read beside it.
                if beside.contains_key("prefixItems") {
                    self.edit(id, |node| {
                        let items = node.keywords.iter_mut().find_map(|keyword| match keyword {
                            Keyword::Items { rest, .. } => Some(rest),
                            _ => None,
                        });
                        match items {
                            Some(after) => *after = rest,
                            None => node.keywords.push(Keyword::Items { prefix: Box::default(), rest }),
                        }
                    });
                    None
                } else {
                    Some(Keyword::Items { prefix: Box::default(), rest })
                }
            }
            "prefixItems" => self.schemas(value, at, scope).and_then(|prefix| {
                let mut prefix = Some(prefix);
                self.edit(id, |node| {
                    let items = node.keywords.iter_mut().find_map(|keyword| match keyword {
                        Keyword::Items { prefix, .. } => Some(prefix),
                        _ => None,
                    });
                    if let Some(before) = items {
                        *before = prefix.take().unwrap_or_default();
                    }
                });
                prefix.map(|prefix| Keyword::Items { prefix, rest: None })
            }),
            "contains" => {
                let schema = self.schema(value, at, scope);
                let bound = |name: &str| beside.get(name).and_then(Value::as_number).map(ToString::to_string);
                let (least, most) = (bound("minContains"), bound("maxContains"));
                let count = |written: Option<String>| written.and_then(|written| Decimal::parse(&written).as_count());
                Some(Keyword::Contains {
                    schema,
                    at_least: count(least).unwrap_or(1),
                    at_most: count(most).unwrap_or(u64::MAX),
                })
            }
            // Read with `contains`, and without effect where there is none.
            "minContains" | "maxContains" => {
                self.count(value, at);
                None
            }
            "required" => self.names(value, at).map(Keyword::Required),
            "dependentRequired" => match value.as_object() {
                Some(members) => {
                    let members = members.iter();
                    let names = members.filter_map(|(name, names)| {
                        Some((Box::from(name.as_str()), self.names(names, &below(at, name))?))
                    });
                    Some(Keyword::DependentRequired(names.collect()))
                }
                None => self.expected(at, "an object of lists of names"),
            },
            "properties" => self.named(value, at, scope).and_then(|named| self.properties(id, |all| all.named = named)),
            "patternProperties" => {
                let named = self.named(value, at, scope).unwrap_or_default();
                let compiled = named.into_iter().filter_map(|(expression, schema)| {
                    Some((self.pattern(&expression, &below(at, &expression))?, schema))
                });
                let patterns = compiled.collect();
                self.properties(id, |all| all.patterns = patterns)
            }
            "additionalProperties" => {
                let schema = self.schema(value, at, scope);
                self.properties(id, |all| all.additional = Some(schema))
            }
            "propertyNames" => Some(Keyword::PropertyNames(self.schema(value, at, scope))),
            "dependentSchemas" => self.named(value, at, scope).map(Keyword::DependentSchemas),
            "allOf" => self.some_schemas(value, at, scope).map(Keyword::AllOf),
            "anyOf" => self.some_schemas(value, at, scope).map(Keyword::AnyOf),
            "oneOf" => self.some_schemas(value, at, scope).map(Keyword::OneOf),
            "not" => Some(Keyword::Not(self.schema(value, at, scope))),
            "if" => {
                let condition = self.schema(value, at, scope);
                let mut branch = |name: &str| {
                    let pointer = format!("{}{name}", at.strip_suffix("if").unwrap_or(at));
                    beside.get(name).map(|schema| self.schema(schema, &pointer, scope))
                };
                let (then, otherwise) = (branch("then"), branch("else"));
                Some(Keyword::If { condition, then, otherwise })
            }
            // Read with `if`; without it they have no effect, but may be referred to.
            "then" | "else" => {
                if !beside.contains_key("if") {
                    self.schema(value, at, scope);
                }
                None
            }
            "unevaluatedItems" => {
                let schema = self.schema(value, at, scope);
                self.edit(id, |node| node.unevaluated_items = Some(schema));
                None
            }
            "unevaluatedProperties" => {
                let schema = self.schema(value, at, scope);
                self.edit(id, |node| node.unevaluated_properties = Some(schema));
                None
            }
            _ => {
                self.error(at, Problem::UnknownKeyword);
                None
            }
        };
        if let Some(compiled) = compiled {
            self.push(id, compiled);
        }
    }

    fn expected<T>(&mut self, at: &str, what: &'static str) -> Option<T> {
        self.error(at, Problem::Expected(what));
        None
    }

    /// The three keywords about members are one.
    fn properties(&mut self, id: NodeId, edit: impl FnOnce(&mut Properties)) -> Option<Keyword> {
        let mut made = None;
        self.edit(id, |node| {
            let found = node.keywords.iter_mut().find_map(|keyword| match keyword {
                Keyword::Properties(properties) => Some(properties),
                _ => None,
            });
            edit(found.unwrap_or_else(|| made.insert(Properties::default())));
        });
        made.map(Keyword::Properties)
    }

    fn types(&mut self, value: &Value, at: &str) -> Option<Types> {
        let one = |value: &Value| value.as_str().and_then(Types::named);
        let types = match value {
            Value::Array(names) if !names.is_empty() => {
                names.iter().try_fold(Types::default(), |types, name| Some(types.with(one(name)?)))
            }
            _ => one(value),
        };
        types.or_else(|| self.expected(at, "null, boolean, object, array, number, integer, string, or a list of them"))
    }

    fn number(&mut self, value: &Value, at: &str) -> Option<Decimal<'static>> {
        match value.as_number() {
            Some(number) => Some(Decimal::parse(&number.to_string()).into_owned()),
            None => self.expected(at, "a number"),
        }
    }

    fn count(&mut self, value: &Value, at: &str) -> Option<u64> {
        let count = value.as_number().and_then(|number| Decimal::parse(&number.to_string()).as_count());
        count.or_else(|| self.expected(at, "a whole number from 0 on"))
    }

    fn pattern(&mut self, expression: &str, at: &str) -> Option<Pattern> {
        Pattern::new(expression).map_err(|why| self.error(at, Problem::Pattern(why))).ok()
    }

    fn list<'v>(&mut self, value: &'v Value, at: &str) -> Option<&'v Vec<Value>> {
        value.as_array().or_else(|| self.expected(at, "a list"))
    }

    /// Sorted.
    fn names(&mut self, value: &Value, at: &str) -> Option<Names> {
        let names: Option<Vec<Box<str>>> =
            value.as_array().and_then(|names| names.iter().map(|name| name.as_str().map(Box::from)).collect());
        let mut names = names.or_else(|| self.expected(at, "a list of names"))?;
        order::sort(&mut names);
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return self.expected(at, "every name once");
        }
        Some(names.into())
    }

    fn schemas(&mut self, value: &Value, at: &str, scope: Scope) -> Option<Box<[NodeId]>> {
        let list = self.list(value, at)?.iter().enumerate();
        Some(list.map(|(index, schema)| self.schema(schema, &format!("{at}/{index}"), scope)).collect())
    }

    fn some_schemas(&mut self, value: &Value, at: &str, scope: Scope) -> Option<Box<[NodeId]>> {
        let schemas = self.schemas(value, at, scope)?;
        if schemas.is_empty() { self.expected(at, "at least one schema") } else { Some(schemas) }
    }

    /// Schemas by name, sorted.
    fn named(&mut self, value: &Value, at: &str, scope: Scope) -> Option<Named<NodeId>> {
        let Some(members) = value.as_object() else { return self.expected(at, "an object of schemas") };
        let schemas = members
            .iter()
            .map(|(name, schema)| (Box::from(name.as_str()), self.schema(schema, &below(at, name), scope)));
        let mut schemas: Vec<_> = schemas.collect();
        order::sort(&mut schemas);
        Some(schemas.into())
    }
}

/// As deep and as long as it is: the operator wrote it, and the reader of the configuration bounded it.
fn canonical_form(value: &Value) -> Box<[u8]> {
    let most = Limits {
        depth: 256,
        entries: usize::MAX,
        string_length: usize::MAX,
        number_length: usize::MAX,
        unique_keys: true,
    };
    let text = written(value);
    let document = Document::parse(text.as_bytes(), &most);
    document.map(|document| canonical::form(&document, document.root())).unwrap_or_default().into()
}
