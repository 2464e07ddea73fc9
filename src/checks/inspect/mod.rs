//! Is what they send safe: every decoded value of the head ([`head`]) and of the body ([`body`]) against the injection
//! engine and the operator's patterns ([`pattern`]).

pub mod body;
pub mod head;
pub mod pattern;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::rc::Rc;

use crate::check::Step;
use crate::denial::{Denial, Detection, Place};
use crate::injection::{ClassSet, Effort, Finding, KnownHarmless, RuleSet, scan_within};
use crate::media::joined::Joined;
use crate::media::{Item, Kind, query};

use pattern::Pattern;

/// What one route looks for, and what it leaves out.
#[derive(Debug, Default)]
pub struct Inspector {
    /// Classes whose findings refuse the request.
    pub enforced: ClassSet,
    /// Classes whose findings are only reported.
    pub monitored: ClassSet,
    /// Names of fields that are not looked at, lower-case; but what others could read further pairs in is.
    pub skip_fields: Vec<Box<[u8]>>,
    /// What is left out.
    pub exclusions: Vec<Exclusion>,
    /// The operator's patterns, and whether their findings refuse the request.
    pub patterns: Vec<(Rc<Pattern>, bool)>,
    /// Bytes of the offending value in the event.
    pub excerpt: usize,
}

/// What is left out; all that is said must fit.
#[derive(Clone, Debug, Default)]
pub struct Exclusion {
    /// This parameter only.
    pub parameter: Option<Box<[u8]>>,
    /// These classes only; empty: whatever class.
    pub classes: ClassSet,
    /// These rules only; empty: whatever rule.
    pub rules: RuleSet,
    /// In this part of the request only.
    pub place: Option<Place>,
    /// This pattern of the operator only.
    pub pattern: Option<Rc<str>>,
}

impl Exclusion {
    fn concerns(&self, place: Place, parameter: &[u8]) -> bool {
        self.place.is_none_or(|named| named == place)
            && self.parameter.as_deref().is_none_or(|named| named == parameter)
    }

    /// Whether it leaves out this pattern of the operator, by name or with everything else.
    fn leaves_out(&self, pattern: &Pattern) -> bool {
        match &self.pattern {
            Some(id) => **id == *pattern.id(),
            None => self.classes.is_empty() && self.rules.is_empty(),
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Findings {
    enforced: Option<Detection>,
    monitored: Option<Detection>,
    /// What reading the values has cost.
    effort: Effort,
    /// What servers may join of them.
    joined: Joined,
}

impl Findings {
    /// Notes what a first reading leaves of the effort where that is nothing: the value is not read to its end again.
    const fn note_cost(&mut self, effort: Effort) {
        if effort.is_exceeded() {
            self.effort = effort;
        }
    }

    /// The check's word on what was found.
    pub fn step(self) -> Step {
        match (self.enforced, self.monitored) {
            (Some(detection), _) => Step::Deny(Denial::Injection(Box::new(detection))),
            (None, Some(detection)) => Step::Observe(Denial::Injection(Box::new(detection))),
            (None, None) => Step::Pass,
        }
    }
}

impl Inspector {
    /// Whatever is looked for.
    const fn classes(&self) -> ClassSet {
        self.enforced.union(self.monitored)
    }

    /// What is still to be looked for: one finding that refuses nothing is told.
    const fn wanted(&self, findings: &Findings) -> ClassSet {
        if findings.monitored.is_some() { self.enforced } else { self.classes() }
    }

    /// Looks at one name or value. Breaks off when the request is to be refused.
    fn item(&self, place: Place, item: Item<'_>, findings: &mut Findings) -> ControlFlow<()> {
        findings.effort = findings.effort.with(item.value.len());
        self.alone(place, item, findings)?;
        if item.kind == Kind::Value {
            findings.joined.note(item.name, item.value);
        }
        ControlFlow::Continue(())
    }

    /// Looks at what servers may join of the values so far, within what these may cost.
    #[inline]
    fn joined(&self, place: Place, findings: &mut Findings) -> ControlFlow<()> {
        if findings.joined.is_empty() { ControlFlow::Continue(()) } else { self.read_joined(place, findings) }
    }

    #[cold]
    fn read_joined(&self, place: Place, findings: &mut Findings) -> ControlFlow<()> {
        let joined = std::mem::take(&mut findings.joined);
        for (name, value) in joined.texts() {
            self.alone(place, Item { name, value, kind: Kind::Value, irregular: false }, findings)?;
        }
        findings.joined = joined;
        ControlFlow::Continue(())
    }

    /// Looks at one name or value by itself.
    fn alone(&self, place: Place, item: Item<'_>, findings: &mut Findings) -> ControlFlow<()> {
        if !self.patterns.is_empty() {
            return self.suspect(place, item, None, findings);
        }
        let wanted = self.wanted(findings);
        let mut effort = findings.effort;
        // Most values are harmless in every respect: one look, and no more.
        let found = scan_within(item.value, wanted, &RuleSet::default(), &mut effort);
        findings.note_cost(effort);
        let flow = match found {
            Some(found) => self.suspect(place, item, Some((wanted, found)), findings),
            None => ControlFlow::Continue(()),
        };
        findings.effort = findings.effort.dearer(effort);
        flow
    }

    /// As [`Inspector::item`], for values that come again and again.
    fn recurring(
        &self,
        place: Place,
        item: Item<'_>,
        known: &mut KnownHarmless,
        findings: &mut Findings,
    ) -> ControlFlow<()> {
        findings.effort = findings.effort.with(item.value.len());
        if !self.patterns.is_empty() {
            return self.suspect(place, item, None, findings);
        }
        let mut effort = findings.effort;
        let harmless = known.is_harmless(item.value, self.wanted(findings), &mut effort);
        findings.note_cost(effort);
        let flow = match harmless {
            true => ControlFlow::Continue(()),
            false => self.suspect(place, item, None, findings),
        };
        findings.effort = findings.effort.dearer(effort);
        flow
    }

    /// Looks at what may be something, class by class and with what is left out; perhaps it is known what was `found` when these
    /// classes were looked for.
    fn suspect(
        &self,
        place: Place,
        item: Item<'_>,
        found: Option<(ClassSet, Finding)>,
        findings: &mut Findings,
    ) -> ControlFlow<()> {
        if item.kind == Kind::Value && self.skips(item.name) && !query::holds_a_pair(item.value) {
            return ControlFlow::Continue(());
        }
        // A name that is an attack is a value, and no value is told.
        let detection = |hit: Hit| Detection {
            rule: hit.rule,
            class: hit.class,
            score: hit.score,
            place,
            parameter: if item.kind == Kind::Name { String::new() } else { shown(item.name, MAX_PARAMETER) },
            excerpt: shown(item.value, self.excerpt),
        };
        if let Some(finding) = self.find(self.enforced, place, true, item, found, &mut findings.effort) {
            findings.enforced = Some(detection(finding));
            return ControlFlow::Break(());
        }
        if findings.monitored.is_none()
            && let Some(finding) = self.find(self.monitored, place, false, item, found, &mut findings.effort)
        {
            findings.monitored = Some(detection(finding));
        }
        ControlFlow::Continue(())
    }

    fn find(
        &self,
        classes: ClassSet,
        place: Place,
        enforced: bool,
        item: Item<'_>,
        found: Option<(ClassSet, Finding)>,
        effort: &mut Effort,
    ) -> Option<Hit> {
        let (classes, rules) = self.without_exclusions(classes, place, item.name);
        // The strongest of all classes is the strongest of these as well, if it is theirs.
        let is_theirs = |(looked_for, found): &(ClassSet, Finding)| {
            looked_for.contains_all(classes) && (classes.contains(found.class) || *looked_for == classes)
        };
        let known = found.filter(|found| rules.is_empty() && is_theirs(found));
        let scanned = known.map(|(_, finding)| finding).or_else(|| scan_within(item.value, classes, &rules, effort));
        scanned.map(Hit::from).or_else(|| {
            let patterns = self.patterns.iter().filter(|(_, refuses)| *refuses == enforced);
            let mut here = patterns.map(|(pattern, _)| pattern).filter(|pattern| pattern.places.contains(&place));
            let left_out = |pattern: &Pattern| {
                self.exclusions
                    .iter()
                    .any(|exclusion| exclusion.concerns(place, item.name) && exclusion.leaves_out(pattern))
            };
            here.find(|pattern| pattern.matches(item.value) && !left_out(pattern)).map(|pattern| pattern.hit())
        })
    }

    fn without_exclusions(&self, mut classes: ClassSet, place: Place, parameter: &[u8]) -> (ClassSet, RuleSet) {
        let mut rules = RuleSet::default();
        for exclusion in self.exclusions.iter().filter(|exclusion| exclusion.concerns(place, parameter)) {
            if exclusion.pattern.is_some() {
                continue;
            }
            if !exclusion.rules.is_empty() {
                rules = rules.union(exclusion.rules);
            } else if exclusion.classes.is_empty() {
                classes = ClassSet::NONE;
            } else {
                classes = classes.difference(exclusion.classes);
            }
        }
        (classes, rules)
    }

    fn skips(&self, name: &[u8]) -> bool {
        self.skip_fields.iter().any(|skipped| skipped.eq_ignore_ascii_case(name))
    }
}

/// A rule that spoke.
struct Hit {
    rule: Cow<'static, str>,
    class: &'static str,
    score: u8,
}

impl From<Finding> for Hit {
    fn from(finding: Finding) -> Self {
        Self { rule: Cow::Borrowed(finding.rule), class: finding.class.name(), score: finding.score }
    }
}

/// The longest name of a parameter in an event, in bytes.
const MAX_PARAMETER: usize = 128;

fn shown(bytes: &[u8], most: usize) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(most)).unwrap_or_default()).into_owned()
}
