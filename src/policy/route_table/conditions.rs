//! The conditions of a route besides its path: hosts and methods as numbers, headers as they are.

use std::{collections::BTreeMap, fmt};

use super::{Key, RouteErrorReason, RouteMatch};
use crate::{canonical::host::CanonicalHost, head::Head, order};

/// The number of "any host", "any method" and "no header condition".
pub(super) const ANY: u32 = 0;

/// A header that a request must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderCondition {
    /// Its name, in any case.
    pub name: String,
    /// Its exact value; `None`: that it is there. A header that is repeated has no one value and meets none.
    pub value: Option<String>,
}

impl HeaderCondition {
    pub(super) fn holds(&self, head: &Head) -> bool {
        match &self.value {
            None => head.contains(&self.name),
            Some(value) => head.single(&self.name).is_ok_and(|found| found == Some(value.as_bytes())),
        }
    }
}

/// A host pattern that no canonical host can meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPatternError(pub String);

impl fmt::Display for HostPatternError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`: expected a host without port, like example.com, *.example.com or *", self.0)
    }
}

impl std::error::Error for HostPatternError {}

/// Hosts, methods and header conditions of one route by their numbers.
pub(super) struct Conditions {
    hosts: Vec<u32>,
    methods: Vec<u32>,
    header_ids: Vec<u32>,
    pub headers: Vec<HeaderCondition>,
}

impl Conditions {
    pub fn compile(route: &RouteMatch, interned: &mut Interned) -> Result<Self, RouteErrorReason> {
        let mut hosts = Vec::new();
        for (at, pattern) in route.hosts.iter().enumerate() {
            hosts.push(interned.host(pattern).map_err(|error| RouteErrorReason::Host(at, error))?);
        }
        let mut methods = Vec::new();
        for (at, name) in route.methods.iter().enumerate() {
            let id = interned.method(name).ok_or_else(|| RouteErrorReason::Method(at, name.clone()))?;
            methods.push(id);
        }
        if let Some(header) = route.headers.iter().find(|header| !is_token(&header.name)) {
            return Err(RouteErrorReason::Header(header.name.clone()));
        }
        for list in [&mut hosts, &mut methods] {
            if list.is_empty() {
                list.push(ANY);
            }
        }
        let header_ids = route.headers.iter().map(|condition| interned.headers.intern(condition)).collect();
        Ok(Self { hosts, methods, header_ids, headers: route.headers.clone() })
    }

    /// One key for each host and method, all with the header condition that fewest routes have.
    pub fn keys(&self, index: usize, interned: &Interned) -> impl Iterator<Item = Key> {
        let header = interned.headers.rarest(&self.header_ids).unwrap_or(ANY);
        self.hosts.iter().flat_map(move |host| self.methods.iter().map(move |method| (*host, *method, header, index)))
    }
}

/// The numbers of the host patterns that one host meets, the first for any host.
pub(super) struct HostIds {
    few: [u32; 4],
    length: usize,
    many: Vec<u32>,
}

impl HostIds {
    pub fn as_slice(&self) -> &[u32] {
        if self.many.is_empty() { self.few.get(..self.length).unwrap_or_default() } else { &self.many }
    }

    fn push(&mut self, id: u32) {
        match self.few.get_mut(self.length) {
            Some(slot) => {
                *slot = id;
                self.length += 1;
            }
            None => {
                if self.many.is_empty() {
                    self.many.extend(self.few);
                }
                self.many.push(id);
            }
        }
    }
}

/// Every host pattern and method of a table, numbered from 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Interned {
    exact: BTreeMap<Box<str>, u32>,
    /// By the name below which everything is meant.
    below: BTreeMap<Box<str>, u32>,
    /// Most labels of any key of `below`: longer suffixes need no look.
    deepest: usize,
    methods: BTreeMap<Box<[u8]>, u32>,
    pub headers: Headers,
}

/// Every header condition of a table, numbered from 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Headers {
    /// By name, in lower case.
    names: BTreeMap<Box<[u8]>, Values>,
    /// How many conditions of routes have each number; the first place is nobody's.
    uses: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Values {
    present: Option<u32>,
    exact: BTreeMap<Box<[u8]>, u32>,
}

impl Headers {
    /// The numbers of the conditions that a head meets, at most two for each of its fields.
    pub fn met_by(&self, head: &Head) -> Vec<u32> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let mut fields: Vec<_> =
            head.iter().filter_map(|(name, value)| Some((name, value, self.names.get(name)?))).collect();
        order::sort_by(&mut fields, |one, other| one.0 < other.0);
        let mut met = Vec::new();
        for same in fields.chunk_by(|one, next| one.0 == next.0) {
            met.extend(same.first().and_then(|(_, _, values)| values.present));
            // A header that is repeated has no one value.
            if let [(_, value, values)] = same {
                met.extend(values.exact.get(*value));
            }
        }
        met
    }

    /// Whether a field that a route asks about occurs more than once: who reads it next may take either.
    pub fn is_repeated_in(&self, head: &Head) -> bool {
        let repeated = |(at, (name, _)): (usize, (&[u8], &[u8]))| {
            self.names.contains_key(name) && head.iter().skip(at + 1).any(|(other, _)| other == name)
        };
        !self.names.is_empty() && head.iter().enumerate().any(repeated)
    }

    fn intern(&mut self, condition: &HeaderCondition) -> u32 {
        let values = self.names.entry(condition.name.to_ascii_lowercase().into_bytes().into()).or_default();
        let next = self.uses.len().max(1);
        let id = match &condition.value {
            None => *values.present.get_or_insert(next as u32),
            Some(value) => *values.exact.entry(value.as_bytes().into()).or_insert(next as u32),
        };
        self.uses.resize(next.max(id as usize + 1), 0);
        if let Some(uses) = self.uses.get_mut(id as usize) {
            *uses += 1;
        }
        id
    }

    fn rarest(&self, ids: &[u32]) -> Option<u32> {
        ids.iter().copied().min_by_key(|id| self.uses.get(*id as usize).copied())
    }
}

impl Interned {
    /// The patterns that a canonical host meets: any, its own, and one for each name above it, which
    /// are at most as many as the deepest pattern has labels.
    pub fn hosts_of(&self, host: &str) -> HostIds {
        let mut ids = HostIds { few: [ANY; 4], length: 1, many: Vec::new() };
        if let Some(id) = self.exact.get(host) {
            ids.push(*id);
        }
        for (at, _) in host.rmatch_indices('.').take(self.deepest) {
            if let Some(id) = host.get(at + 1..).and_then(|name| self.below.get(name)) {
                ids.push(*id);
            }
        }
        ids
    }

    /// The number of a method that some route names.
    pub fn method_of(&self, method: &[u8]) -> Option<u32> {
        self.methods.get(method).copied()
    }

    fn host(&mut self, pattern: &str) -> Result<u32, HostPatternError> {
        if pattern == "*" {
            return Ok(ANY);
        }
        let (name, below) = match pattern.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (pattern, false),
        };
        let parsed = CanonicalHost::parse(name.as_bytes()).ok().filter(|host| host.port().is_none());
        let host = parsed.ok_or_else(|| HostPatternError(pattern.to_owned()))?;
        if below && host.name().starts_with('[') {
            return Err(HostPatternError(pattern.to_owned()));
        }
        let next = (self.exact.len() + self.below.len()) as u32 + 1;
        let known = if below { &mut self.below } else { &mut self.exact };
        if below {
            self.deepest = self.deepest.max(host.name().split('.').count());
        }
        Ok(*known.entry(host.name().into()).or_insert(next))
    }

    fn method(&mut self, name: &str) -> Option<u32> {
        let valid =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
        let next = self.methods.len() as u32 + 1;
        valid.then(|| *self.methods.entry(name.as_bytes().into()).or_insert(next))
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
