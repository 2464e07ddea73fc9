//! Whose the object of a response is: a field of it equals a claim of the caller.

use std::rc::Rc;

use crate::checks::authorize::OwnClaim;
use crate::document::{Document, FieldPath, Place, Value};
use crate::exchange::Exchange;
use crate::policy::roles::RoleSet;

/// The rule that a response must be the caller's own. Of a list every element must be.
#[derive(Debug)]
pub struct OwnedByCaller {
    /// How the configuration names it, for events.
    pub rule: Rc<str>,
    /// The field that says whose it is.
    pub field: FieldPath,
    /// The claim that it must equal.
    pub claim: OwnClaim,
    /// Who need not own it.
    pub unless: RoleSet,
}

impl OwnedByCaller {
    /// The caller need not own what it reads.
    pub(super) fn spares(&self, exchange: &Exchange) -> bool {
        exchange.caller.as_ref().is_some_and(|caller| caller.roles.intersects(self.unless))
    }

    /// A success that speaks of an object and does not show it: the answer to HEAD, and 304, which is one by whatever the
    /// upstream took for a condition.
    pub(super) fn conceals(&self, status: u16, exchange: &Exchange) -> bool {
        status == 304 || exchange.head.method() == Some(b"HEAD") && !(300..600).contains(&status)
    }

    /// Every object in the document is the caller's. An answer that is no success (a status that is not known is one) and says of nothing whose it is holds
    /// no object: it is an error message.
    pub(super) fn holds(&self, document: &Document<'_>, status: u16, exchange: &Exchange) -> bool {
        if (300..600).contains(&status) && document.places(&self.field).is_empty() {
            return true;
        }
        let claimed = self.claim.of(exchange).filter(|claimed| !claimed.is_empty());
        let (Some(claimed), Some(owners)) = (claimed, document.at_every(&self.field)) else { return false };
        owners.into_iter().all(|place| is(document, place, &claimed))
    }
}

/// A text, or an integer as written: what claims are compared as.
fn is(document: &Document<'_>, place: Place, claimed: &str) -> bool {
    match document.value(place) {
        Value::String(text) | Value::Number(text) => text == claimed,
        _ => false,
    }
}
