//! The access rules of one route.

use std::rc::Rc;

use super::{Findings, Shared, networks};
use portcullis::checks::authorize::{Authorize, Condition, Entry, OwnClaim, Principal};
use portcullis::jose::claims::ClaimPath;
use portcullis::peer::spiffe;
use portcullis_config::{self as config, ClaimValue, DenyEntry, Dictionary, Network, Owner};

/// Compiles `deny` and `allow`, each with the path by which the configuration names it. Bearers of tokens are
/// told which scopes they lack in `realm`, if there is one.
pub(super) fn compile(
    deny: (&[DenyEntry], &str),
    allow: (&[config::Condition], &str),
    realm: Option<&str>,
    shared: &Shared,
    findings: &mut Findings,
) -> Authorize {
    let mut compiled = Authorize { allow_rule: Rc::from(allow.1), ..Authorize::default() };
    for (at, entry) in deny.0.iter().enumerate() {
        let path = format!("{}[{at}]", deny.1);
        let conditions = conditions(&Asked::of_denial(entry), &path, shared, findings);
        let except = entry
            .except
            .as_ref()
            .map(|except| self::conditions(&Asked::of_condition(except), &format!("{path}.except"), shared, findings));
        compiled.deny.push(Entry {
            rule: Rc::from(path),
            conditions,
            except: except.unwrap_or_default(),
            challenge: None,
        });
    }
    for (at, entry) in allow.0.iter().enumerate() {
        let path = format!("{}[{at}]", allow.1);
        let conditions = conditions(&Asked::of_condition(entry), &path, shared, findings);
        let challenge = realm.and_then(|realm| challenge(realm, &entry.scopes));
        compiled.allow.push(Entry { rule: Rc::from(path), conditions, except: Vec::new(), challenge });
    }
    compiled
}

/// What a bearer of a token is told who lacks `scopes` (RFC 6750 section 3.1); `None` where there are none, or one that is
/// no scope of OAuth (RFC 6749 section 3.3).
fn challenge(realm: &str, scopes: &[String]) -> Option<Rc<str>> {
    let is_scope = |scope: &String| scope.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'));
    let told = !scopes.is_empty() && scopes.iter().all(is_scope);
    told.then(|| {
        let scopes = scopes.join(" ");
        Rc::from(format!("Bearer realm=\"{realm}\", error=\"insufficient_scope\", scope=\"{scopes}\""))
    })
}

/// What `allow` and `deny` entries have in common.
struct Asked<'c> {
    roles: &'c [String],
    scopes: &'c [String],
    claims: &'c Dictionary<String, ClaimValue>,
    principals: &'c [String],
    client_ip: &'c [Network],
    owner: Option<&'c Owner>,
}

impl<'c> Asked<'c> {
    fn of_condition(entry: &'c config::Condition) -> Self {
        Self {
            roles: &entry.roles,
            scopes: &entry.scopes,
            claims: &entry.claims,
            principals: &entry.principals,
            client_ip: &entry.client_ip,
            owner: entry.owner.as_ref(),
        }
    }

    fn of_denial(entry: &'c DenyEntry) -> Self {
        Self {
            roles: &entry.roles,
            scopes: &entry.scopes,
            claims: &entry.claims,
            principals: &entry.principals,
            client_ip: &entry.client_ip,
            owner: entry.owner.as_ref(),
        }
    }
}

fn conditions(asked: &Asked<'_>, path: &str, shared: &Shared, findings: &mut Findings) -> Vec<Condition> {
    let mut compiled = Vec::new();
    if !asked.roles.is_empty() {
        compiled.push(Condition::Roles(shared.roles.asked(asked.roles.iter().map(String::as_str))));
    }
    if !asked.scopes.is_empty() {
        compiled.push(Condition::Scopes(asked.scopes.to_vec()));
    }
    compiled.extend(claims(asked.claims));
    if !asked.principals.is_empty() {
        let principals = asked.principals.iter().enumerate();
        let principals = principals.filter_map(|(at, text)| {
            let error =
                |error: spiffe::PatternError| findings.error(format!("{path}.principals[{at}]"), error.to_string());
            principal(text).map_err(error).ok()
        });
        compiled.push(Condition::Principals(principals.collect()));
    }
    if !asked.client_ip.is_empty() {
        compiled.push(Condition::Client(networks(asked.client_ip)));
    }
    if let Some(owner) = asked.owner {
        let claim = own_claim(&owner.claim, shared);
        compiled.push(Condition::Owner { parameter: owner.path.as_str().to_owned(), claim });
    }
    compiled
}

/// The claim `name`, which says what is a caller's own.
pub(super) fn own_claim(name: &str, shared: &Shared) -> OwnClaim {
    OwnClaim { claim: ClaimPath::new(name), providers: shared.subjects.get(name).cloned().unwrap_or_default() }
}

/// A condition for each claim.
pub(super) fn claims(claims: &Dictionary<String, ClaimValue>) -> impl Iterator<Item = Condition> {
    claims.iter().map(|(name, value)| Condition::Claim { claim: ClaimPath::new(name), value: value.clone() })
}

/// `service:NAME` or `spiffe://...`, with a final `*` for any ending.
fn principal(text: &str) -> Result<Principal, spiffe::PatternError> {
    let Some(name) = text.strip_prefix("service:") else { return spiffe::Pattern::parse(text).map(Principal::Peer) };
    let prefix = name.strip_suffix('*');
    Ok(Principal::Service { name: prefix.unwrap_or(name).to_owned(), prefix: prefix.is_some() })
}
