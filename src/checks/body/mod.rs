//! Bodies that are judged and changed on their way: requests are held against a schema, their fields sanitised and encrypted, those of responses decrypted or left out.
//!
//! However many rules there are, a body is parsed once and written once, as a [`crate::document::Document`]; a request of
//! which every rule knows from its bytes that it passes, not even that. What cannot be parsed where a rule would change
//! something is refused in every mode.

pub mod decrypt;
pub mod encrypt;
pub mod owner;
pub mod project;
pub mod request;
pub mod response;
pub mod sanitize;
#[cfg(test)]
mod tests;
pub mod validate;

use crate::fernet::Keys;
use crate::secrets::Derived;

/// The keys of `encryption` as their secrets stand; `None` while the one that encrypts has not arrived.
pub type KeyRing = Derived<Option<Keys>>;
