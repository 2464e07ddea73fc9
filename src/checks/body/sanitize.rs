//! Fields that keep only harmless HTML.

use super::request::BodyStep;
use crate::check::{Env, Step};
use crate::document::{Document, PathSet, Place, Value};
use crate::exchange::Exchange;
use crate::sanitize::Sanitizer;

/// Sanitises every string of the named fields, and of any field that is called the same: the inspection knows fields by
/// their names, and leaves script in these to this step.
pub struct SanitizeFields {
    /// Which.
    pub fields: PathSet,
    /// What they are called.
    pub names: Vec<Box<str>>,
    /// What stays.
    pub sanitizer: Sanitizer,
}

impl BodyStep for SanitizeFields {
    fn apply(&self, document: &mut Document<'_>, _exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        let named = self.fields.places(document);
        let mut places: Vec<Place> = named.into_iter().flat_map(|place| document.scalars(place)).collect();
        places.extend(self.called(document));
        for place in places {
            let Value::String(text) = document.value(place) else { continue };
            let clean = self.sanitizer.clean(text);
            if clean != text {
                document.set_string(place, clean);
            }
        }
        Step::Pass
    }

    fn requires_json(&self) -> bool {
        true
    }

    fn reaches(&self, patch: &Document<'_>) -> bool {
        !self.fields.places(patch).is_empty()
    }

    fn changes(&self) -> bool {
        true
    }
}

impl SanitizeFields {
    /// Strings whose nearest key is one of the names, as the inspection takes it: elements are called what their array is.
    fn called(&self, document: &Document<'_>) -> Vec<Place> {
        let (mut found, mut next) = (Vec::new(), vec![(document.root(), false)]);
        while let Some((place, called)) = next.pop() {
            if called && matches!(document.value(place), Value::String(_)) {
                found.push(place);
            }
            next.extend(document.children(place).map(|child| {
                let called = document.key(child).map_or(called, |key| self.names.iter().any(|name| **name == *key));
                (child, called)
            }));
        }
        found
    }
}
