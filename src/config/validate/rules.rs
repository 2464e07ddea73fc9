//! The entries of `allow` and `deny`.

use super::Checker;
use crate::{Condition, DenyEntry, Owner, Roles};

impl Checker<'_> {
    /// `template` is the route's path, empty where it has none; defaults have no route.
    pub(super) fn allow(&mut self, entries: Option<&[Condition]>, template: Option<&str>, path: &str) {
        let Some(entries) = entries else { return };
        self.not_empty(entries, path);
        for (index, entry) in entries.iter().enumerate() {
            self.condition(entry, template, &format!("{path}[{index}]"));
        }
    }

    pub(super) fn deny(&mut self, entries: Option<&[DenyEntry]>, template: Option<&str>, path: &str) {
        let Some(entries) = entries else { return };
        for (index, entry) in entries.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let empty = DenyEntry { except: entry.except.clone(), ..DenyEntry::default() };
            if *entry == empty {
                self.error(&path, SAYS_NOTHING);
            }
            self.principals(&entry.principals, &format!("{path}.principals"));
            self.owner(entry.owner.as_ref(), template, &path);
            if let Some(except) = &entry.except {
                self.condition(except, template, &format!("{path}.except"));
            }
        }
    }

    fn condition(&mut self, condition: &Condition, template: Option<&str>, path: &str) {
        if *condition == Condition::default() {
            self.error(path, SAYS_NOTHING);
        }
        self.principals(&condition.principals, &format!("{path}.principals"));
        self.owner(condition.owner.as_ref(), template, path);
    }

    fn principals(&mut self, principals: &[String], path: &str) {
        for (index, principal) in principals.iter().enumerate() {
            let name = principal.strip_prefix("spiffe://").or_else(|| principal.strip_prefix("service:"));
            let good = name.is_some_and(|name| {
                let exact = name.strip_suffix('*').unwrap_or(name);
                !name.is_empty() && !exact.contains('*')
            });
            if good && principal.starts_with("spiffe://") && self.config.authentication.mtls.is_none() {
                self.error(format!("{path}[{index}]"), "authentication.mtls is not set");
            }
            if !good {
                self.error(
                    format!("{path}[{index}]"),
                    "expected spiffe://... or service:NAME, exact or with a final *",
                );
            }
        }
    }

    fn owner(&mut self, owner: Option<&Owner>, template: Option<&str>, path: &str) {
        let (Some(owner), Some(template)) = (owner, template) else { return };
        let segment = format!("{{{}}}", owner.path);
        if !template.split('/').any(|part| part == segment) {
            self.error(format!("{path}.owner.path"), format!("the path of this route has no {segment}"));
        }
    }

    pub(super) fn some_role(&mut self, roles: Option<&Roles>, path: &str) {
        if let Some(roles) = roles {
            self.not_empty(&roles.roles, &format!("{path}.roles"));
        }
    }
}

const SAYS_NOTHING: &str = "expected at least one condition";
