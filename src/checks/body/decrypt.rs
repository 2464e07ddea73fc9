//! What the client gets decrypted: fields of a JSON response, or all of it. What does not decrypt stays as it is.

use std::rc::Rc;

use super::KeyRing;
use crate::document::{Document, PathSet, Place, Value};
use crate::event::{EventType, Notice};
use crate::exchange::Exchange;

/// Decrypts fields; of an array or object everything in it.
pub struct DecryptFields {
    /// Which.
    pub fields: PathSet,
    /// With what.
    pub keys: Rc<KeyRing>,
}

impl DecryptFields {
    /// Puts texts where their tokens were, and notes which fields did not decrypt.
    pub(super) fn apply(&self, document: &mut Document<'_>, exchange: &mut Exchange) {
        let mut failed: Vec<String> = Vec::new();
        for field in self.fields.places(document) {
            for place in document.scalars(field) {
                let text = match document.value(place) {
                    Value::String(token) => self.text(token),
                    Value::Null | Value::Array | Value::Object => continue,
                    Value::Bool(_) | Value::Number(_) => None,
                };
                match text {
                    Some(text) => document.set_string(place, text),
                    None => note(&mut failed, self.name(document, place)),
                }
            }
        }
        exchange.notices.extend(failed.into_iter().map(|name| failure(Some(name))));
    }

    /// The nearest key that a path has: what else the keys of a response are is as secret as its values.
    fn name<'d>(&self, document: &'d Document<'_>, place: Place) -> &'d str {
        std::iter::successors(Some(place), |place| document.parent(*place))
            .filter_map(|place| document.key(place))
            .find(|key| self.fields.mentions(key))
            .unwrap_or_default()
    }

    fn text(&self, token: &str) -> Option<String> {
        String::from_utf8(decrypted(&self.keys, token.as_bytes())?).ok()
    }
}

/// What the token that is all of `body` says; `None`, and a notice, where it is none.
pub(super) fn whole(keys: &KeyRing, body: &[u8], exchange: &mut Exchange) -> Option<Vec<u8>> {
    let plain = decrypted(keys, body.trim_ascii());
    if plain.is_none() {
        exchange.notices.push(failure(None));
    }
    plain
}

/// `None` also while the secrets of the keys have not arrived.
fn decrypted(keys: &KeyRing, token: &[u8]) -> Option<Vec<u8>> {
    keys.current().as_ref().as_ref()?.decrypt_stored(token, None).ok()
}

/// A response does not decrypt, or cannot be read to find out.
pub(super) fn failure(parameter: Option<String>) -> Notice {
    Notice { parameter, ..Notice::new(EventType::Degraded, "decrypt_failed") }
}

/// A list of a thousand fields that do not decrypt is told once for each name.
const MAX_NOTICES: usize = 8;

fn note(failed: &mut Vec<String>, name: &str) {
    if failed.len() < MAX_NOTICES && !failed.iter().any(|known| known == name) {
        failed.push(name.to_owned());
    }
}
