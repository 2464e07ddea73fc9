//! What is looked for in requests, for each route.

use std::rc::Rc;

use super::Findings;
use portcullis::checks::inspect::body::{InspectBody, Limits, ReadBeside};
use portcullis::checks::inspect::head::InspectHead;
use portcullis::checks::inspect::pattern::Pattern;
use portcullis::checks::inspect::{Exclusion, Inspector};
use portcullis::denial::Place;
use portcullis::injection::{Class, ClassSet, RuleSet};
use portcullis::media::{body, json, multipart, xml};
use portcullis_config::{self as config, Config, Mode, Part, RouteInspection};

/// What every route starts from.
pub(super) struct Inspection {
    mode: Option<Mode>,
    classes: [(Class, Mode); Class::ALL.len()],
    skip_fields: Vec<Box<[u8]>>,
    patterns: Vec<(Rc<Pattern>, Option<Mode>)>,
    excerpt: usize,
    limits: Limits,
}

pub(super) fn compile(config: &Config, findings: &mut Findings) -> Inspection {
    let inspection = &config.inspection;
    let classes = &inspection.classes;
    let mut patterns = Vec::new();
    for (at, pattern) in inspection.patterns.iter().enumerate() {
        let places = pattern.parts.iter().map(|part| place(*part)).collect();
        match Pattern::new(pattern.id.as_str(), &pattern.regex, places) {
            Ok(compiled) => patterns.push((Rc::new(compiled), pattern.mode)),
            Err(error) => findings.error(format!("inspection.patterns[{at}].regex"), error.to_string()),
        }
    }
    Inspection {
        mode: inspection.mode,
        classes: [
            (Class::Sqli, classes.sqli),
            (Class::Xss, classes.xss),
            (Class::Path, classes.path),
            (Class::Command, classes.command),
            (Class::Template, classes.template),
            (Class::Nosql, classes.nosql),
            (Class::Ldap, classes.ldap),
            (Class::Xxe, classes.xxe),
            (Class::Ssrf, classes.ssrf),
        ],
        skip_fields: inspection.skip_fields.iter().map(|name| Box::from(name.as_bytes())).collect(),
        patterns,
        excerpt: usize::try_from(inspection.excerpt.0).unwrap_or_default(),
        limits: limits(config),
    }
}

fn limits(config: &Config) -> Limits {
    let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let bodies = &config.bodies;
    Limits {
        body: size(config.inspection.body_limit.0),
        over_limit: config.inspection.over_limit,
        items: body::Limits {
            pairs: size(bodies.json_entries.0),
            json: json::Limits {
                depth: size(bodies.json_depth.0),
                entries: size(bodies.json_entries.0),
                string_length: size(bodies.string_length.0),
                ..json::Limits::default()
            },
            multipart: multipart::Limits { parts: size(bodies.multipart_parts.0), ..multipart::Limits::default() },
            xml: xml::Limits { depth: size(bodies.json_depth.0), nodes: size(bodies.json_entries.0) },
        },
    }
}

/// What else is done with the bodies of a route.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside<'b> {
    /// Fields that are sanitised: script in them is left to the sanitiser.
    pub(super) sanitized: &'b [Box<str>],
    /// Who reads a body along with the inspection.
    pub(super) reads: Option<&'b Rc<dyn ReadBeside>>,
}

impl Inspection {
    /// The guards of one route: head and body, in the mode of the route, or none when that is off.
    pub(super) fn guards(
        &self,
        route: Option<&RouteInspection>,
        path: &str,
        inherited: Mode,
        Beside { sanitized, reads }: Beside<'_>,
        findings: &mut Findings,
    ) -> Option<(InspectHead, InspectBody, Mode)> {
        let mode = route.and_then(|route| route.mode).or(self.mode).unwrap_or(inherited);
        if mode == Mode::Off {
            return None;
        }
        let mut exclusions = route.map(|route| self.exclusions(route, path, findings)).unwrap_or_default();
        let own = exclusions.clone();
        exclusions.extend(sanitized.iter().map(|name| Exclusion {
            parameter: Some(Box::from(name.as_bytes())),
            classes: [Class::Xss].into_iter().collect(),
            place: Some(Place::Body),
            ..Exclusion::default()
        }));
        let in_mode = |wanted: Mode| {
            self.classes
                .iter()
                .filter(|(_, mode)| *mode == wanted)
                .fold(ClassSet::NONE, |set, (class, _)| set.with(*class))
        };
        let patterns = self.patterns.iter().filter(|(_, own)| *own != Some(Mode::Off));
        let patterns: Vec<_> = patterns.map(|(pattern, own)| (pattern.clone(), *own != Some(Mode::Monitor))).collect();
        let inspector = |exclusions| {
            Rc::new(Inspector {
                enforced: in_mode(Mode::Enforce),
                monitored: in_mode(Mode::Monitor),
                skip_fields: self.skip_fields.clone(),
                exclusions,
                patterns: patterns.clone(),
                excerpt: self.excerpt,
            })
        };
        let elsewhere = inspector(own);
        let inspector = if sanitized.is_empty() { elsewhere.clone() } else { inspector(exclusions) };
        let (head, limits, beside) = (InspectHead(elsewhere.clone()), self.limits.clone(), reads.cloned());
        Some((head, InspectBody { inspector, elsewhere, limits, beside }, mode))
    }

    fn exclusions(&self, route: &RouteInspection, path: &str, findings: &mut Findings) -> Vec<Exclusion> {
        let mut compiled = Vec::new();
        for (at, exclusion) in route.exclude.iter().enumerate() {
            let mut rules = RuleSet::default();
            let mut pattern = None;
            if let Some(rule) = exclusion.rule.as_ref().map(config::Name::as_str)
                && !rules.insert(rule)
            {
                pattern = self.patterns.iter().find(|(pattern, _)| pattern.id() == rule).map(|_| Rc::from(rule));
                if pattern.is_none() {
                    findings.error(
                        format!("{path}.inspection.exclude[{at}].rule"),
                        format!("there is no rule or pattern {rule:?}; docs/injection.md lists the rules"),
                    );
                }
            }
            compiled.push(Exclusion {
                parameter: exclusion.parameter.as_ref().map(|name| Box::from(name.as_bytes())),
                classes: exclusion.classes.iter().map(|class| self::class(*class)).collect(),
                rules,
                place: None,
                pattern,
            });
        }
        compiled
    }
}

const fn class(class: config::Class) -> Class {
    match class {
        config::Class::Sqli => Class::Sqli,
        config::Class::Xss => Class::Xss,
        config::Class::Path => Class::Path,
        config::Class::Command => Class::Command,
        config::Class::Template => Class::Template,
        config::Class::Nosql => Class::Nosql,
        config::Class::Ldap => Class::Ldap,
        config::Class::Xxe => Class::Xxe,
        config::Class::Ssrf => Class::Ssrf,
    }
}

const fn place(part: Part) -> Place {
    match part {
        Part::Path => Place::Path,
        Part::Query => Place::Query,
        Part::Headers => Place::Header,
        Part::Cookies => Place::Cookie,
        Part::Body => Place::Body,
    }
}
