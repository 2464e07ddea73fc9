//! Verification in pure Rust, for hosts and algorithms that the host does not verify. A build without the feature
//! `signatures` has none of it: what the host does not verify, nobody does there.

#[cfg(feature = "signatures")]
pub(super) use built::PublicKey;
#[cfg(not(feature = "signatures"))]
pub(super) use left_out::PublicKey;

#[cfg(feature = "signatures")]
mod built {
    use jwt_compact::AlgorithmSignature;
    use jwt_compact::alg::{Ed25519, Es256, Rsa, RsaPublicKey, VerifyingKey as _};
    use jwt_compact::jwk::JsonWebKey;
    use p384::ecdsa::signature::Verifier as _;

    use crate::jose::algorithm::Algorithm;

    /// A public key that was found to be one.
    pub enum PublicKey {
        Rsa(RsaPublicKey),
        P256(<Es256 as jwt_compact::Algorithm>::VerifyingKey),
        P384(p384::ecdsa::VerifyingKey),
        Ed25519(<Ed25519 as jwt_compact::Algorithm>::VerifyingKey),
    }

    impl PublicKey {
        /// Whether there are keys of this kind in this build.
        pub const BUILT: bool = true;

        pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
            let (modulus, public_exponent) = (modulus.into(), exponent.into());
            let jwk = JsonWebKey::Rsa { modulus, public_exponent, private_parts: None };
            RsaPublicKey::try_from(&jwk).ok().map(Self::Rsa)
        }

        /// A point of P-256 as SEC 1 has it (section 2.3.3), not compressed.
        pub fn p256(point: &[u8]) -> Option<Self> {
            <Es256 as jwt_compact::Algorithm>::VerifyingKey::from_slice(point).ok().map(Self::P256)
        }

        /// A point of P-384.
        pub fn p384(point: &[u8]) -> Option<Self> {
            p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Self::P384)
        }

        /// A point of Ed25519 that is not of small order.
        pub fn ed25519(point: &[u8; 32]) -> Option<Self> {
            let key = <Ed25519 as jwt_compact::Algorithm>::VerifyingKey::new(*point);
            key.validate().is_ok().then_some(Self::Ed25519(key))
        }

        /// Whether `signature`, as JWS carries it, is this key's over `text`.
        pub fn verifies(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
            match self {
                Self::Rsa(key) => algorithm.as_str().parse().is_ok_and(|scheme: Rsa| by(&scheme, key, text, signature)),
                Self::P256(key) => by(&Es256, key, text, signature),
                Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.verify(text, &signature).is_ok()),
                Self::Ed25519(key) => by(&Ed25519, key, text, signature),
            }
        }
    }

    fn by<A: jwt_compact::Algorithm>(algorithm: &A, key: &A::VerifyingKey, text: &[u8], signature: &[u8]) -> bool {
        A::Signature::try_from_slice(signature).is_ok_and(|signature| algorithm.verify_signature(&signature, key, text))
    }
}

#[cfg(not(feature = "signatures"))]
mod left_out {
    use crate::jose::algorithm::Algorithm;

    /// A public key that only the host can judge: it also says whether a point is on the curve.
    pub struct PublicKey(());

    impl PublicKey {
        pub const BUILT: bool = false;

        pub const fn rsa(_: &[u8], _: &[u8]) -> Option<Self> {
            Some(Self(()))
        }

        pub const fn p256(_: &[u8]) -> Option<Self> {
            Some(Self(()))
        }

        pub const fn p384(_: &[u8]) -> Option<Self> {
            Some(Self(()))
        }

        /// No host verifies it.
        pub const fn ed25519(_: &[u8; 32]) -> Option<Self> {
            None
        }

        pub const fn verifies(&self, _: Algorithm, _: &[u8], _: &[u8]) -> bool {
            false
        }
    }
}
