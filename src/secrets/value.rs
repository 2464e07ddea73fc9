//! The bytes of a secret: shared without copies, wiped with the last holder, never printed.

use std::fmt;
use std::rc::Rc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret's value.
#[derive(Clone)]
pub struct SecretValue(Rc<Zeroizing<Vec<u8>>>);

impl SecretValue {
    /// Takes the bytes over; `None` for none at all, which are no secret.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        (!bytes.is_empty()).then(|| Self(Rc::new(bytes)))
    }

    /// The bytes. What is made of them has to be wiped as well.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The value as the text of a header; `None` where it holds anything but visible ASCII.
    pub fn as_header_text(&self) -> Option<&str> {
        std::str::from_utf8(self.reveal()).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
    }
}

impl PartialEq for SecretValue {
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.reveal().ct_eq(other.reveal()))
    }
}

impl Eq for SecretValue {}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}
