//! May they: `deny` entries first, then any `allow` entry; within an entry every condition.

use std::borrow::Cow;
use std::rc::Rc;

use crate::canonical::networks::Networks;
use crate::check::{Check, Env, Step};
use crate::config::ClaimValue;
use crate::denial::Denial;
use crate::exchange::{Exchange, Method};
use crate::jose::claims::{ClaimPath, Claims};
use crate::peer::{Peer, spiffe};
use crate::policy::roles::RoleSet;

/// The access rules of one route.
#[derive(Debug, Default)]
pub struct Authorize {
    /// Any of these refuses.
    pub deny: Vec<Entry>,
    /// One of these must be met; when there are none, everyone who came this far may.
    pub allow: Vec<Entry>,
    /// How the configuration names `allow`, for events.
    pub allow_rule: Rc<str>,
}

/// One entry: all conditions, and none of the exceptions.
#[derive(Debug)]
pub struct Entry {
    /// How the configuration names it, for events.
    pub rule: Rc<str>,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    /// When all of these hold the entry is not met; empty: no exception.
    pub except: Vec<Condition>,
    /// `WWW-Authenticate` for a bearer of a token who meets everything but [`Condition::Scopes`] (RFC 6750 section 3.1).
    pub challenge: Option<Rc<str>>,
}

/// One condition.
#[derive(Debug)]
pub enum Condition {
    /// The caller has at least one of these roles.
    Roles(RoleSet),
    /// The token has all of these scopes in the named claim.
    Scopes(Vec<String>),
    /// A claim of the token is, or contains, this value.
    Claim {
        /// Which.
        claim: ClaimPath,
        /// The value.
        value: ClaimValue,
    },
    /// The caller is one of these services, or the peer one of these workloads.
    Principals(Vec<Principal>),
    /// The client's address is in one of these networks.
    Client(Networks),
    /// A path parameter equals a claim of the token.
    Owner {
        /// Path parameter.
        parameter: String,
        /// The claim.
        claim: OwnClaim,
    },
}

/// The claim that says what is a caller's own.
#[derive(Debug)]
pub struct OwnClaim {
    /// Which.
    pub claim: ClaimPath,
    /// The providers whose subject that claim is; empty: of none, and any provider's word counts. Equal subjects of two
    /// providers are two callers.
    pub providers: Vec<(Method, Rc<str>)>,
}

/// A calling service or a peer, exactly or by its beginning. What one calls itself never matches the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A caller that signs as this service.
    Service {
        /// Name, without `service:`.
        name: String,
        /// `name` is only the beginning.
        prefix: bool,
    },
    /// A peer whose certificate has such a SPIFFE ID.
    Peer(spiffe::Pattern),
}

impl Check for Authorize {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        if let Some(entry) = self.deny.iter().find(|entry| entry.is_met(exchange)) {
            return Step::Deny(Denial::Forbidden { rule: entry.rule.clone(), challenge: None });
        }
        if self.allow.is_empty() || self.allow.iter().any(|entry| entry.is_met(exchange)) {
            return Step::Pass;
        }
        let challenge =
            self.allow.iter().find(|entry| entry.lacks_scopes(exchange)).and_then(|entry| entry.challenge.clone());
        Step::Deny(Denial::Forbidden { rule: self.allow_rule.clone(), challenge })
    }

    fn asks_for_client(&self) -> bool {
        self.conditions().any(|condition| matches!(condition, Condition::Client(_)))
    }
}

/// Refuses what no route matches.
#[derive(Debug)]
pub struct RefuseUnmatched;

impl Check for RefuseUnmatched {
    fn start(&self, _exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        Step::Deny(Denial::Unmatched)
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

impl Authorize {
    /// Whether a decision needs to know the peer.
    pub fn asks_for_peer(&self) -> bool {
        self.conditions().any(Condition::asks_for_peer)
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let entries = self.deny.iter().chain(&self.allow);
        entries.flat_map(|entry| entry.conditions.iter().chain(&entry.except))
    }
}

impl Entry {
    fn is_met(&self, exchange: &Exchange) -> bool {
        let met = |condition: &Condition| condition.holds(exchange);
        self.conditions.iter().all(met) && (self.except.is_empty() || !self.except.iter().all(met))
    }

    /// Whether a token with its scopes, of the same caller, would meet it.
    fn lacks_scopes(&self, exchange: &Exchange) -> bool {
        let bears_token = exchange.caller.as_deref().is_some_and(|caller| caller.method.is_token());
        let mut others = self.conditions.iter().filter(|condition| !matches!(condition, Condition::Scopes(_)));
        self.challenge.is_some() && bears_token && others.all(|condition| condition.holds(exchange))
    }
}

impl Condition {
    fn asks_for_peer(&self) -> bool {
        let Self::Principals(principals) = self else { return false };
        principals.iter().any(|principal| matches!(principal, Principal::Peer(_)))
    }

    pub(crate) fn holds(&self, exchange: &Exchange) -> bool {
        let caller = exchange.caller.as_deref();
        let claims = caller.and_then(|caller| caller.claims.as_ref());
        match self {
            Self::Client(networks) => networks.contains(exchange.client()),
            Self::Roles(roles) => caller.is_some_and(|caller| caller.roles.intersects(*roles)),
            Self::Principals(principals) => principals.iter().any(|principal| principal.is(exchange)),
            Self::Scopes(scopes) => {
                caller.is_some_and(|caller| scopes.iter().all(|scope| caller.scopes.contains(scope)))
            }
            Self::Claim { claim, value } => claims.is_some_and(|claims| holds(claims, claim, value)),
            Self::Owner { parameter, claim } => {
                let owner = exchange.target.parameter(parameter);
                let claimed = claim.of(exchange);
                matches!((owner, claimed), (Some(owner), Some(claimed)) if !owner.is_empty() && claimed == owner)
            }
        }
    }
}

impl OwnClaim {
    /// What the caller's own claim says, where its word counts.
    pub fn of<'e>(&self, exchange: &'e Exchange) -> Option<Cow<'e, str>> {
        let caller = exchange.caller.as_deref()?;
        let is_its = |(method, provider): &(Method, Rc<str>)| (*method, provider) == (caller.method, &caller.provider);
        let counts = self.providers.is_empty() || self.providers.iter().any(is_its);
        caller.claims.as_ref().filter(|_| counts)?.text(&self.claim)
    }
}

/// A text is the claim's value or an element of its list; numbers and truth values are compared as such.
fn holds(claims: &Claims, claim: &ClaimPath, value: &ClaimValue) -> bool {
    match value {
        ClaimValue::Text(text) => claims.list(claim).any(|held| held == text),
        ClaimValue::Flag(flag) => claims.flag(claim) == Some(*flag),
        ClaimValue::Number(number) => claims.integer(claim) == Some(*number),
    }
}

impl Principal {
    fn is(&self, exchange: &Exchange) -> bool {
        match self {
            Self::Service { name, prefix } => {
                let caller = exchange.caller.as_deref().filter(|caller| caller.method == Method::Service);
                let said = |known: &str| if *prefix { known.starts_with(name) } else { known == name };
                caller.is_some_and(|caller| said(&caller.subject))
            }
            Self::Peer(pattern) => {
                let id = exchange.peer.as_ref().ok().and_then(Peer::spiffe_id);
                id.is_some_and(|id| pattern.matches(id))
            }
        }
    }
}
