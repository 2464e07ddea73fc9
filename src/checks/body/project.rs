//! Which fields of a response go out.

use crate::document::{Document, PathSet, Place, Reading, Value, Word};
use crate::exchange::Exchange;
use crate::policy::roles::RoleSet;

/// The fields that go out. What is denied goes to nobody, whatever else is said.
#[derive(Debug, Default)]
pub struct Projection {
    /// Never; read widely.
    pub deny: PathSet,
    /// Only these and what is in them; read narrowly. `None`: all but the denied.
    pub allow: Option<PathSet>,
    /// Who gets all but the denied.
    pub allow_all: RoleSet,
}

/// The document is one text, number or truth value: it has no fields of which only some go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoFields;

impl Projection {
    /// Takes out what does not go to this caller.
    pub(super) fn apply(&self, document: &mut Document<'_>, exchange: &Exchange) -> Result<(), NoFields> {
        remove(document, self.deny.places(document));
        let all = exchange.caller.as_ref().is_some_and(|caller| caller.roles.intersects(self.allow_all));
        let Some(allow) = self.allow.as_ref().filter(|_| !all) else { return Ok(()) };
        let mut outside = Vec::new();
        allow.walk(document, Reading::Narrow, |place, word| match word {
            Word::Named => {}
            Word::Elsewhere => outside.push(place),
            // On the way to an allowed field there are only arrays and objects.
            Word::Towards(_) if is_scalar(document, place) => outside.push(place),
            Word::Towards(_) => {}
        });
        if outside.first() == Some(&document.root()) {
            return if document.value(document.root()) == Value::Null { Ok(()) } else { Err(NoFields) };
        }
        remove(document, outside);
        Ok(())
    }
}

fn is_scalar(document: &Document<'_>, place: Place) -> bool {
    !matches!(document.value(place), Value::Array | Value::Object)
}

fn remove(document: &mut Document<'_>, places: Vec<Place>) {
    for place in places {
        document.remove(place);
    }
}
