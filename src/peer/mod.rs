//! The peer of an exchange: whose certificate stands behind the connection, or behind the hop before it.

pub mod spiffe;
pub mod xfcc;

use spiffe::{SpiffeError, SpiffeId};

/// Who holds the certificate that was validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A workload: the certificate has a SPIFFE ID.
    Workload(SpiffeId),
    /// Anybody else, by the certificate's subject, or by its digest where that is empty. Never looks like a SPIFFE ID.
    Named(String),
}

/// What a certificate says of its holder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// The first URI of its subject alternative names; empty when there is none.
    pub uri: &'a [u8],
    /// It is known to have more of them.
    pub several_uris: bool,
    /// Its subject as one text (RFC 2253); empty when there is none.
    pub subject: &'a [u8],
    /// SHA-256 of the certificate.
    pub digest: Option<[u8; 32]>,
}

/// Why a certificate names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamesNobody {
    /// It calls itself a SPIFFE ID and is none.
    Spiffe(SpiffeError),
    /// A SPIFFE ID stands alone (X.509-SVID, section 2).
    SeveralUris,
    /// Neither a SPIFFE ID nor a subject that can be told further, nor a digest.
    Nameless,
}

/// The longest subject that becomes a name, in bytes.
const MAX_SUBJECT: usize = 2048;

impl Peer {
    /// The peer that a certificate names.
    ///
    /// # Errors
    /// [`NamesNobody`]: such a certificate counts as none.
    pub fn of(names: &Names<'_>) -> Result<Self, NamesNobody> {
        if spiffe::is_meant(names.uri) {
            if names.several_uris {
                return Err(NamesNobody::SeveralUris);
            }
            return SpiffeId::parse(names.uri).map(Self::Workload).map_err(NamesNobody::Spiffe);
        }
        if !names.subject.is_empty() {
            return subject(names.subject).map(Self::Named).ok_or(NamesNobody::Nameless);
        }
        let digest = names.digest.ok_or(NamesNobody::Nameless)?;
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self::Named(format!("sha256:{hex}")))
    }

    /// The name for limits, events and headers.
    pub fn name(&self) -> &str {
        match self {
            Self::Workload(id) => id.as_str(),
            Self::Named(name) => name,
        }
    }

    /// The SPIFFE ID, where it has one.
    pub fn spiffe_id(&self) -> Option<&SpiffeId> {
        match self {
            Self::Workload(id) => Some(id),
            Self::Named(_) => None,
        }
    }
}

/// A subject as a name: text that is read as it was written and that nobody takes for a SPIFFE ID.
fn subject(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_SUBJECT)?;
    let plain = text.trim() == text && !text.chars().any(char::is_control) && !spiffe::is_meant(bytes);
    plain.then(|| text.to_owned())
}

/// SHA-256 in hexadecimal, of either case, as Envoy writes it.
pub fn digest(hex: &[u8]) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let (pairs, rest) = hex.as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(uri: &str, subject: &str, digest: Option<[u8; 32]>) -> Option<String> {
        let names = Names { uri: uri.as_bytes(), several_uris: false, subject: subject.as_bytes(), digest };
        Peer::of(&names).ok().map(|peer| peer.name().to_owned())
    }

    #[test]
    fn a_certificate_is_named_by_its_spiffe_id_then_its_subject_then_its_digest() {
        let digest = Some([0xab; 32]);
        let named = |text: &str| Some(text.to_owned());
        assert_eq!(name("spiffe://a/b", "CN=x", digest), named("spiffe://a/b"));
        assert_eq!(name("https://a/b", "CN=x,O=y", digest), named("CN=x,O=y"));
        assert_eq!(name("", "CN=x", None), named("CN=x"));
        assert_eq!(name("", "", digest), Some(format!("sha256:{}", "ab".repeat(32))));
        assert_eq!(name("", "", None), None);
    }

    #[test]
    fn what_is_meant_for_a_spiffe_id_and_is_none_names_nobody() {
        for uri in ["spiffe://", "SPIFFE://a/b", "spiffe:a", "spiffe://a//b", "Spiffe://a/b"] {
            assert_eq!(name(uri, "CN=x", Some([1; 32])), None, "{uri}");
        }
        for subject in ["spiffe://a/b", "SPIFFE://a", "CN=a\nb", " CN=a", "CN=\u{85}", &"x".repeat(2049)] {
            assert_eq!(name("", subject, Some([1; 32])), None, "{subject:?}");
        }
        let several = Names { uri: b"spiffe://a/b", several_uris: true, ..Names::default() };
        assert_eq!(Peer::of(&several), Err(NamesNobody::SeveralUris));
        let names = Names { subject: b"CN=\xff", ..Names::default() };
        assert_eq!(Peer::of(&names), Err(NamesNobody::Nameless));
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        assert_eq!(digest("0aF".repeat(22).get(..64).unwrap().as_bytes()).unwrap()[..3], [0x0a, 0xf0, 0xaf]);
        for bad in ["", "00", &"0".repeat(63), &"0".repeat(65), &"0".repeat(66), &"g".repeat(64), &"+1".repeat(32)] {
            assert_eq!(digest(bad.as_bytes()), None, "{bad}");
        }
    }
}
