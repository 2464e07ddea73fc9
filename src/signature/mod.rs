//! Signatures that services make for one another's requests, both forms: what is signed, by which key, in which headers.
//! `docs/signatures.md` publishes it.
//!
//! Version 1 is HMAC-SHA256 over `name:timestamp:token`. Version 2 is HMAC-SHA256 over the request ([`request`]): none of
//! its strings is one of version 1, which has no line end in it, so neither can be passed off as the other.

pub mod digest;
pub mod request;
mod timestamp;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

pub use timestamp::{format_timestamp, parse_timestamp};

use request::SignedRequest;

/// The service's token.
pub const TOKEN: &str = "x-service-token";
/// The service's name.
pub const NAME: &str = "x-service-name";
/// Seconds since the Unix epoch.
pub const TIMESTAMP: &str = "x-timestamp";
/// The code: of version 2 after [`V2_MARK`].
pub const SIGNATURE: &str = "x-signature";
/// Of version 2: what makes the signature unlike every other.
pub const NONCE: &str = "x-nonce";
/// Of version 2: the body's digest (RFC 9530).
pub const CONTENT_DIGEST: &str = "content-digest";

/// The headers without which there is no signature.
pub const HEADERS: [&str; 4] = [TOKEN, NAME, TIMESTAMP, SIGNATURE];

/// What a code of version 2 follows in its header.
pub const V2_MARK: &str = "v2=";

/// HMAC-SHA256.
pub type Mac = [u8; 32];

/// A signing key: the keyed state that stands for it, overwritten when dropped.
pub struct Key(Hmac<Sha256>);

impl Key {
    /// HMAC takes keys of any length.
    pub fn new(key: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// The code of version 1.
    pub fn v1(&self, name: &str, timestamp: &str, token: &[u8]) -> Mac {
        let mut mac = self.0.clone();
        for part in [name.as_bytes(), b":", timestamp.as_bytes(), b":", token] {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The code of version 2.
    pub fn v2(&self, request: &SignedRequest<'_>) -> Mac {
        let [first, rest @ ..] = request.lines();
        let mut mac = self.0.clone();
        mac.update(first);
        for line in rest {
            mac.update(b"\n");
            mac.update(line);
        }
        mac.finalize().into_bytes().into()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if let Ok(nothing) = Hmac::new_from_slice(&[]) {
            self.0 = nothing;
            std::hint::black_box(self);
        }
    }
}

/// Whether any of `codes` is this one; all are looked at.
pub fn is_one_of(mac: &Mac, codes: impl Iterator<Item = Mac>) -> Choice {
    codes.fold(Choice::from(0), |any, code| any | code.ct_eq(mac))
}

/// The code as its header says it: lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The code that a header says; `None` for anything but 64 lower-case hexadecimal digits.
pub fn unhex(text: &[u8]) -> Option<Mac> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut mac = Mac::default();
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != mac.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in mac.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_form() {
        let mac: Mac = std::array::from_fn(|at| (at * 9) as u8);
        let text = hex(&mac);
        assert_eq!(unhex(text.as_bytes()), Some(mac));
        let short = &text[1..];
        for other in [&text.to_uppercase(), short, &format!("{text}0"), &format!(" {short}"), ""] {
            assert_eq!(unhex(other.as_bytes()), None, "{other}");
        }
    }
}
