//! Signature verification: by the host where it can, in pure Rust on a budget where it cannot.

use super::algorithm::{Algorithm, AlgorithmSet, KeyType};
use super::budget::PureBudget;
use super::compact::Compact;
use super::der;
use super::key::{Material, VerifyingKey};
use super::key_set::KeySet;
use super::reason::Reason;
use crate::time::Timestamp;

/// The order of P-256 (SEC 2 section 2.4.2), big-endian.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, //
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// The order of P-384 (SEC 2 section 2.5.1), big-endian.
const P384_ORDER: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, //
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, //
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

/// The bytes of a signature of Ed25519 (RFC 8032 section 5.1.6).
const ED25519_BYTES: usize = 64;

/// What one verification on P-384 in pure Rust costs, in units of [`PureBudget`].
const P384_COST: u32 = 5;

/// The host's signature verification.
pub trait HostVerifier {
    /// Verifies PKCS#1 v1.5 or ECDSA (`signature` in DER) with `hash` (`sha256`, `sha384`, `sha512`) over `text`.
    /// `None` when the host has no such function or could not run it.
    fn verify(&self, hash: &str, spki_der: &[u8], signature: &[u8], text: &[u8]) -> Option<bool>;
}

/// A host that verifies nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl HostVerifier for NoHost {
    fn verify(&self, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

/// What verification may use.
pub struct Means<'a> {
    /// The host.
    pub host: &'a dyn HostVerifier,
    /// What this worker may still spend in pure Rust; `None` where the build has nothing to verify with.
    pub budget: Option<&'a mut PureBudget>,
    /// The time.
    pub now: Timestamp,
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The provider does not allow the token's algorithm.
    UnsupportedAlgorithm,
    /// No key fits the token's `kid` and algorithm, or its `kid` is unknown and no unnamed public key verified it:
    /// newer keys may help.
    UnknownKey,
    /// No candidate verifies the signature.
    BadSignature,
    /// The budget for pure Rust is spent: nothing is known about the token (429).
    Busy,
    /// The host does not verify it, and this build has no verification in pure Rust: nothing is known about the token.
    NoVerifier,
}

impl VerifyError {
    /// The published reason; none for [`Self::Busy`] and [`Self::NoVerifier`], which say nothing about the token.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::UnsupportedAlgorithm => Some(Reason::UnsupportedAlgorithm),
            Self::UnknownKey => Some(Reason::UnknownKey),
            Self::BadSignature => Some(Reason::BadSignature),
            Self::Busy | Self::NoVerifier => None,
        }
    }
}

/// Verifies `jws` with the keys of a provider that allows the algorithms `allowed`: the key that verified it.
///
/// # Errors
/// [`VerifyError`]; at most [`super::key_set::MAX_CANDIDATES`] public keys are tried.
pub fn verify<'k>(
    jws: &Compact<'_>,
    keys: &'k KeySet,
    allowed: AlgorithmSet,
    means: &mut Means<'_>,
) -> Result<&'k VerifyingKey, VerifyError> {
    let (algorithm, kid) = (jws.header().algorithm, jws.header().kid.as_deref());
    if !allowed.contains(algorithm) {
        return Err(VerifyError::UnsupportedAlgorithm);
    }
    let mut tried = false;
    for key in keys.candidates(kid, algorithm) {
        if verify_with(key, algorithm, jws.signing_input(), jws.signature(), means)? {
            return Ok(key);
        }
        tried = true;
    }
    let rotated = algorithm.key_type() != KeyType::Secret && kid.is_some_and(|kid| !keys.knows(kid));
    Err(if tried && !rotated { VerifyError::BadSignature } else { VerifyError::UnknownKey })
}

/// Whether `signature`, as JWS carries it, is `key`'s over `text`.
fn verify_with(
    key: &VerifyingKey,
    algorithm: Algorithm,
    text: &[u8],
    signature: &[u8],
    means: &mut Means<'_>,
) -> Result<bool, VerifyError> {
    if !key.allows(algorithm) {
        return Ok(false);
    }
    let hosted = algorithm.host_hash().zip(key.spki_der());
    match key.material() {
        Material::Secret(secret) => Ok(secret.verify(algorithm.hash(), text, signature)),
        Material::Rsa(rsa) => {
            if !rsa.is_in_range(signature) {
                return Ok(false);
            }
            let pure = || rsa.key.verifies(algorithm, text, signature);
            means.verify(hosted, signature, text, rsa_cost(rsa.bits()), &pure)
        }
        Material::P256(point) => {
            let Some(der) = ecdsa_signature(signature, &P256_ORDER) else { return Ok(false) };
            means.verify(hosted, &der, text, 1, &|| point.key.verifies(algorithm, text, signature))
        }
        Material::P384(point) => {
            let Some(der) = ecdsa_signature(signature, &P384_ORDER) else { return Ok(false) };
            means.verify(hosted, &der, text, P384_COST, &|| point.key.verifies(algorithm, text, signature))
        }
        Material::Ed25519(point) => {
            if signature.len() != ED25519_BYTES {
                return Ok(false);
            }
            means.verify(None, &[], text, 1, &|| point.key.verifies(algorithm, text, signature))
        }
    }
}

impl Means<'_> {
    fn verify(
        &mut self,
        hosted: Option<(&str, &[u8])>,
        signature: &[u8],
        text: &[u8],
        pure_cost: u32,
        pure: &dyn Fn() -> bool,
    ) -> Result<bool, VerifyError> {
        if let Some(verdict) = hosted.and_then(|(hash, spki)| self.host.verify(hash, spki, signature, text)) {
            return Ok(verdict);
        }
        let Some(budget) = &mut self.budget else { return Err(VerifyError::NoVerifier) };
        if !budget.take(pure_cost, self.now) {
            return Err(VerifyError::Busy);
        }
        Ok(pure())
    }
}

/// The DER form of a signature (RFC 7518 section 3.4) whose two numbers are above zero and below the order of the curve.
fn ecdsa_signature(signature: &[u8], order: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(order.len())?;
    let in_range = |number: &[u8]| number < order && number.iter().any(|byte| *byte != 0);
    if s.len() != order.len() || !in_range(r) || !in_range(s) {
        return None;
    }
    Some(der::ecdsa_signature(r, s))
}

/// A verification squares and multiplies numbers of the modulus's size.
const fn rsa_cost(bits: usize) -> u32 {
    let kilobits = (bits / 1024) as u32;
    kilobits * kilobits / 4
}
