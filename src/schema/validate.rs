//! A document held against a schema: recursion with an explicit bound, a budget of steps, violations where they count.

use super::canonical;
use super::node::{Keyword, Node, NodeId, Properties, position};
use super::scalar::{self, Budget, Exhausted};
use super::{MOST_VIOLATIONS, Refusal, Schema, Violation};
use crate::document::{Document, Place, Value};
use crate::media::json::written;
use crate::order;

/// Schemas held against values within one another: every level of a document may take several.
const DEEPEST: usize = 256;
/// What one document may cost.
pub(super) const MOST: Budget = Budget(500_000);
/// Bytes of a pointer in a violation.
const LONGEST_POINTER: usize = 256;

pub(super) fn validate(schema: &Schema, document: &Document<'_>) -> Result<(), Refusal> {
    let mut run =
        Run { schema, document, budget: MOST, depth: 0, scope: Vec::new(), silent: 0, violations: Vec::new() };
    match run.hold(schema.root, document.root(), "schema", None) {
        Ok(true) => Ok(()),
        Ok(false) | Err(Stop::Enough) => Err(Refusal::Invalid(run.violations)),
        Err(Stop::Exhausted) => Err(Refusal::TooComplex),
    }
}

/// Why the validation ends before the document does.
enum Stop {
    /// There are as many violations as are told.
    Enough,
    /// It would cost too much.
    Exhausted,
}

impl From<Exhausted> for Stop {
    fn from(_: Exhausted) -> Self {
        Self::Exhausted
    }
}

/// Which children of a value have been looked at, by their order.
#[derive(Default)]
struct Seen(Vec<bool>);

impl Seen {
    fn mark(&mut self, at: usize) {
        if self.0.len() <= at {
            self.0.resize(at + 1, false);
        }
        if let Some(seen) = self.0.get_mut(at) {
            *seen = true;
        }
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at).copied().unwrap_or_default()
    }

    fn add(&mut self, other: &Self) {
        let marked = other.0.iter().enumerate().filter(|(_, seen)| **seen);
        marked.for_each(|(at, _)| self.mark(at));
    }
}

struct Run<'r, 'd> {
    schema: &'r Schema,
    document: &'r Document<'d>,
    budget: Budget,
    depth: usize,
    /// The schema resources that were entered, the outermost first.
    scope: Vec<u32>,
    /// Above zero: whether something holds is asked, not required.
    silent: usize,
    violations: Vec<Violation>,
}

impl<'r> Run<'r, '_> {
    fn spend(&mut self, steps: usize) -> Result<(), Stop> {
        Ok(self.budget.spend(steps)?)
    }

    /// Whether the value at `at` is what the schema says; `because` names the keyword that holds it against the value.
    fn hold(&mut self, id: NodeId, at: Place, because: &'static str, seen: Option<&mut Seen>) -> Result<bool, Stop> {
        self.spend(1)?;
        let Some(node) = self.schema.node(id) else { return Err(Stop::Exhausted) };
        match node.always {
            Some(true) => return Ok(true),
            Some(false) => return self.violated(at, because),
            None => {}
        }
        if self.depth >= DEEPEST {
            return Err(Stop::Exhausted);
        }
        self.depth += 1;
        let enters = self.scope.last() != Some(&node.resource);
        if enters {
            self.scope.push(node.resource);
        }
        let held = self.object(node, at, seen)?;
        if enters {
            self.scope.pop();
        }
        self.depth -= 1;
        Ok(held)
    }

    /// As [`Run::hold`], where nothing is said about what does not hold.
    fn holds_silently(&mut self, id: NodeId, at: Place, seen: Option<&mut Seen>) -> Result<bool, Stop> {
        self.silent += 1;
        let held = self.hold(id, at, "", seen)?;
        self.silent -= 1;
        Ok(held)
    }

    fn object(&mut self, node: &'r Node, at: Place, outer: Option<&mut Seen>) -> Result<bool, Stop> {
        let rest = node.unevaluated_items.is_some() || node.unevaluated_properties.is_some();
        let mut own = (rest || outer.is_some()).then(Seen::default);
        let value = self.document.value(at);
        let mut holds = true;
        for keyword in &node.keywords {
            holds &= self.keyword(keyword, at, value, own.as_mut())?;
            if !holds && self.silent > 0 {
                return Ok(false);
            }
        }
        // What did not hold has looked at nothing: all the rest would seem to be left over.
        let Some(own) = own.as_mut().filter(|_| holds) else { return Ok(holds) };
        let leftover = match value {
            Value::Array => node.unevaluated_items.map(|schema| (schema, "unevaluatedItems")),
            Value::Object => node.unevaluated_properties.map(|schema| (schema, "unevaluatedProperties")),
            _ => None,
        };
        if let Some((schema, because)) = leftover {
            for (index, child) in self.document.children(at).enumerate() {
                self.spend(1)?;
                if !own.has(index) {
                    holds &= self.hold(schema, child, because, None)?;
                    own.mark(index);
                }
            }
        }
        if let Some(outer) = outer.filter(|_| holds) {
            outer.add(own);
        }
        Ok(holds)
    }

    fn keyword(
        &mut self,
        keyword: &'r Keyword,
        at: Place,
        value: Value<'_>,
        seen: Option<&mut Seen>,
    ) -> Result<bool, Stop> {
        let (holds, name) = match keyword {
            Keyword::Type(_)
            | Keyword::MultipleOf(_)
            | Keyword::Maximum(_)
            | Keyword::ExclusiveMaximum(_)
            | Keyword::Minimum(_)
            | Keyword::ExclusiveMinimum(_)
            | Keyword::MaxLength(_)
            | Keyword::MinLength(_)
            | Keyword::Pattern(_)
            | Keyword::Format(_) => scalar::holds(keyword, value, &mut self.budget)?,
            Keyword::Enum(_) | Keyword::Const(_) => scalar::is_listed(keyword, &self.form(at)?),
            Keyword::MaxItems(_)
            | Keyword::MinItems(_)
            | Keyword::UniqueItems
            | Keyword::Items { .. }
            | Keyword::Contains { .. } => match value {
                Value::Array => return self.array(keyword, at, seen),
                _ => return Ok(true),
            },
            Keyword::MaxProperties(_)
            | Keyword::MinProperties(_)
            | Keyword::Required(_)
            | Keyword::DependentRequired(_)
            | Keyword::Properties(_)
            | Keyword::PropertyNames(_)
            | Keyword::DependentSchemas(_) => match value {
                Value::Object => return self.members(keyword, at, seen),
                _ => return Ok(true),
            },
            _ => return self.in_place(keyword, at, seen),
        };
        if holds { Ok(true) } else { self.violated(at, name) }
    }

    fn in_place(&mut self, keyword: &'r Keyword, at: Place, mut seen: Option<&mut Seen>) -> Result<bool, Stop> {
        match keyword {
            Keyword::AllOf(all) => {
                let mut holds = true;
                for schema in all {
                    holds &= self.hold(*schema, at, "allOf", seen.as_deref_mut())?;
                }
                Ok(holds)
            }
            Keyword::AnyOf(any) => {
                let mut holds = false;
                for schema in any {
                    holds |= self.holds_silently(*schema, at, seen.as_deref_mut())?;
                    if holds && seen.is_none() {
                        break;
                    }
                }
                if holds { Ok(true) } else { self.violated(at, "anyOf") }
            }
            Keyword::OneOf(one) => {
                let mut holding = 0;
                for schema in one {
                    holding += usize::from(self.holds_silently(*schema, at, seen.as_deref_mut())?);
                }
                if holding == 1 { Ok(true) } else { self.violated(at, "oneOf") }
            }
            Keyword::Not(schema) => match self.holds_silently(*schema, at, None)? {
                false => Ok(true),
                true => self.violated(at, "not"),
            },
            Keyword::If { condition, then, otherwise } => {
                let (branch, because) = match self.holds_silently(*condition, at, seen.as_deref_mut())? {
                    true => (then, "then"),
                    false => (otherwise, "else"),
                };
                branch.map_or(Ok(true), |schema| self.hold(schema, at, because, seen))
            }
            Keyword::Ref(schema) => self.hold(*schema, at, "$ref", seen),
            Keyword::DynamicRef { anchor, here } => {
                self.spend(self.scope.len())?;
                let named = |resource: &u32| {
                    let known = |(of, name, _): &super::DynamicAnchor| (*of, &**name).cmp(&(*resource, anchor));
                    let found = self.schema.dynamic.binary_search_by(known).ok()?;
                    self.schema.dynamic.get(found).map(|(.., schema)| *schema)
                };
                let schema = self.scope.iter().find_map(named).unwrap_or(*here);
                self.hold(schema, at, "$dynamicRef", seen)
            }
            _ => Ok(true),
        }
    }

    fn array(&mut self, keyword: &'r Keyword, at: Place, mut seen: Option<&mut Seen>) -> Result<bool, Stop> {
        let document = self.document;
        let (holds, name) = match keyword {
            Keyword::MaxItems(most) => (self.count(at)? <= *most, "maxItems"),
            Keyword::MinItems(least) => (self.count(at)? >= *least, "minItems"),
            Keyword::UniqueItems => (self.all_differ(at)?, "uniqueItems"),
            Keyword::Items { prefix, rest } => {
                let mut holds = true;
                for (index, element) in document.children(at).enumerate() {
                    let (schema, because) = match prefix.get(index) {
                        Some(schema) => (schema, "prefixItems"),
                        None => match rest {
                            Some(schema) => (schema, "items"),
                            None => break,
                        },
                    };
                    holds &= self.hold(*schema, element, because, None)?;
                    if let Some(seen) = seen.as_deref_mut() {
                        seen.mark(index);
                    }
                }
                return Ok(holds);
            }
            Keyword::Contains { schema, at_least, at_most } => {
                let mut found = 0;
                for (index, element) in document.children(at).enumerate() {
                    if self.holds_silently(*schema, element, None)? {
                        found += 1;
                        if let Some(seen) = seen.as_deref_mut() {
                            seen.mark(index);
                        }
                    }
                }
                match (found < *at_least, found > *at_most) {
                    (true, _) if *at_least == 1 => (false, "contains"),
                    (true, _) => (false, "minContains"),
                    (_, true) => (false, "maxContains"),
                    _ => (true, ""),
                }
            }
            _ => (true, ""),
        };
        if holds { Ok(true) } else { self.violated(at, name) }
    }

    fn members(&mut self, keyword: &'r Keyword, at: Place, seen: Option<&mut Seen>) -> Result<bool, Stop> {
        let document = self.document;
        let (holds, name) = match keyword {
            Keyword::MaxProperties(most) => (self.count(at)? <= *most, "maxProperties"),
            Keyword::MinProperties(least) => (self.count(at)? >= *least, "minProperties"),
            Keyword::Required(names) => return self.required(names, at, "required"),
            Keyword::DependentRequired(dependent) => {
                let mut holds = true;
                for (name, names) in dependent {
                    if self.member(at, name)? {
                        holds &= self.required(names, at, "dependentRequired")?;
                    }
                }
                return Ok(holds);
            }
            Keyword::DependentSchemas(dependent) => return self.dependent_schemas(dependent, at, seen),
            Keyword::Properties(properties) => return self.properties(properties, at, seen),
            Keyword::PropertyNames(schema) => {
                let mut holds = true;
                for member in document.children(at) {
                    if !self.name_holds(*schema, document.key(member).unwrap_or_default())? {
                        holds = self.violated(member, "propertyNames")?;
                    }
                }
                return Ok(holds);
            }
            _ => (true, ""),
        };
        if holds { Ok(true) } else { self.violated(at, name) }
    }

    fn dependent_schemas(
        &mut self,
        dependent: &[(Box<str>, NodeId)],
        at: Place,
        mut seen: Option<&mut Seen>,
    ) -> Result<bool, Stop> {
        let mut holds = true;
        for (name, schema) in dependent {
            if self.member(at, name)? {
                holds &= self.hold(*schema, at, "dependentSchemas", seen.as_deref_mut())?;
            }
        }
        Ok(holds)
    }

    fn properties(&mut self, properties: &Properties, at: Place, mut seen: Option<&mut Seen>) -> Result<bool, Stop> {
        let document = self.document;
        let mut holds = true;
        for (index, member) in document.children(at).enumerate() {
            self.spend(1)?;
            let key = document.key(member).unwrap_or_default();
            let named = properties.named(key);
            let mut known = named.is_some();
            if let Some(schema) = named {
                holds &= self.hold(schema, member, "properties", None)?;
            }
            for (pattern, schema) in &properties.patterns {
                self.spend(key.len().saturating_mul(pattern.weight()).max(1))?;
                if pattern.matches(key) {
                    known = true;
                    holds &= self.hold(*schema, member, "patternProperties", None)?;
                }
            }
            if !known && let Some(schema) = properties.additional {
                known = true;
                holds &= self.hold(schema, member, "additionalProperties", None)?;
            }
            if known && let Some(seen) = seen.as_deref_mut() {
                seen.mark(index);
            }
        }
        Ok(holds)
    }

    /// A name is a string of its own, which the document does not hold as a value.
    fn name_holds(&mut self, schema: NodeId, name: &str) -> Result<bool, Stop> {
        let text = written(&name.into());
        let limits = crate::document::Limits { string_length: usize::MAX, ..crate::document::Limits::default() };
        let Ok(document) = Document::parse(text.as_bytes(), &limits) else { return Ok(false) };
        let mut run = Run {
            schema: self.schema,
            document: &document,
            budget: self.budget,
            depth: self.depth,
            scope: self.scope.clone(),
            silent: 1,
            violations: Vec::new(),
        };
        let holds = run.hold(schema, document.root(), "", None);
        self.budget = run.budget;
        holds
    }

    fn required(&mut self, names: &[Box<str>], at: Place, keyword: &'static str) -> Result<bool, Stop> {
        let document = self.document;
        let named = |member: Place| position(names, |name| name, document.key(member).unwrap_or_default());
        // No key occurs twice.
        let mut missing = names.len();
        for member in document.children(at) {
            if missing == 0 {
                break;
            }
            self.spend(1)?;
            missing -= usize::from(named(member).is_some());
        }
        if missing == 0 || self.silent > 0 {
            return Ok(missing == 0);
        }
        let mut present = vec![false; names.len()];
        for known in document.children(at).filter_map(named) {
            if let Some(present) = present.get_mut(known) {
                *present = true;
            }
        }
        for (name, _) in names.iter().zip(present).filter(|(_, present)| !*present) {
            let step = name.replace('~', "~0").replace('/', "~1");
            let pointer = format!("{}/{step}", document.pointer(at));
            self.tell(pointer, keyword)?;
        }
        Ok(false)
    }

    fn member(&mut self, at: Place, name: &str) -> Result<bool, Stop> {
        let document = self.document;
        for member in document.children(at) {
            self.spend(1)?;
            if document.key(member) == Some(name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn count(&mut self, at: Place) -> Result<u64, Stop> {
        let count = self.document.children(at).count();
        self.spend(count)?;
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    fn all_differ(&mut self, at: Place) -> Result<bool, Stop> {
        let mut forms = Vec::new();
        for element in self.document.children(at) {
            forms.push(self.form(element)?);
        }
        order::sort(&mut forms);
        Ok(forms.windows(2).all(|pair| pair.first() != pair.last()))
    }

    /// The canonical form of a value, at the price of its length.
    fn form(&mut self, at: Place) -> Result<Vec<u8>, Stop> {
        let form = canonical::form(self.document, at);
        self.spend(1 + form.len() / 32)?;
        Ok(form)
    }

    fn violated(&mut self, at: Place, keyword: &'static str) -> Result<bool, Stop> {
        if self.silent == 0 {
            self.tell(self.document.pointer(at), keyword)?;
        }
        Ok(false)
    }

    fn tell(&mut self, mut pointer: String, keyword: &'static str) -> Result<(), Stop> {
        while pointer.len() > LONGEST_POINTER {
            pointer.truncate(pointer.rfind('/').unwrap_or_default());
        }
        let violation = Violation { pointer, keyword };
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
        if self.violations.len() >= MOST_VIOLATIONS { Err(Stop::Enough) } else { Ok(()) }
    }
}
