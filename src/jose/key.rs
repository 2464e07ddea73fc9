//! Verifying keys, typed by algorithm family: a public key can never serve as a shared secret, whatever a token says.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::algorithm::{Algorithm, AlgorithmSet, Hash, KeyType};
use super::der;
use super::json::JsonError;
use super::pure::PublicKey;

/// The smallest RSA modulus accepted, in bits (RFC 7518 section 3.3).
pub const MIN_RSA_BITS: usize = 2048;
/// The largest RSA modulus accepted, in bits; beyond it a verification costs too much.
pub const MAX_RSA_BITS: usize = 4096;
/// Largest RSA exponent in bytes; hosts refuse more than 33 bits.
const MAX_RSA_EXPONENT_BYTES: usize = 4;

/// A key that verifies signatures, with its name and the algorithms it may be used for.
pub struct VerifyingKey {
    kid: Option<Box<str>>,
    algorithms: AlgorithmSet,
    material: Material,
}

/// What makes two public keys the same: name, algorithms and material, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId([u8; 32]);

/// A shared secret, kept as keyed HMAC states that are overwritten when dropped.
pub struct Secret {
    sha256: Hmac<Sha256>,
    sha384: Hmac<Sha384>,
    sha512: Hmac<Sha512>,
    bytes: usize,
}

/// Why material is not an acceptable key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    /// The JWK member that is wrong (RFC 7517 section 4, RFC 7518 section 6).
    pub member: &'static str,
    /// What is wrong with it.
    pub fault: KeyFault,
}

/// What is wrong with a member of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Not acceptable JSON.
    Unreadable(JsonError),
    /// Absent.
    Missing,
    /// Not of the expected JSON type.
    WrongType,
    /// Not canonical base64url without padding.
    Encoding,
    /// A value this product has no use for: another key type, curve, use, operation or algorithm.
    Unsupported,
    /// The key's algorithm does not belong to its type.
    Mismatched,
    /// A size, in bits, that is not accepted.
    Size(usize),
    /// Not a sensible modulus or exponent.
    Invalid,
    /// Not a point of the curve, or one of small order.
    NotOnCurve,
    /// Private key material, which has no place in a key set: whoever can read the set can forge tokens.
    Private,
    /// A shared secret in a key set that was fetched.
    PublishedSecret,
}

pub(super) enum Material {
    Secret(Box<Secret>),
    Rsa(Box<RsaKey>),
    P256(Box<CurveKey>),
    P384(Box<CurveKey>),
    Ed25519(Box<Ed25519Key>),
}

pub(super) struct RsaKey {
    modulus: Box<[u8]>,
    spki: Box<[u8]>,
    pub(super) key: PublicKey,
}

pub(super) struct CurveKey {
    spki: Box<[u8]>,
    pub(super) key: PublicKey,
}

pub(super) struct Ed25519Key {
    encoding: [u8; 32],
    pub(super) key: PublicKey,
}

impl VerifyingKey {
    /// A shared secret for `HS*`, with a name if it has one.
    pub fn from_secret(kid: Option<&str>, secret: Secret) -> Self {
        Self::new(kid, Material::Secret(Box::new(secret)))
    }

    /// An RSA key from its big-endian modulus and exponent.
    ///
    /// # Errors
    /// [`KeyError`] for a modulus outside [`MIN_RSA_BITS`] to [`MAX_RSA_BITS`] or an exponent that is even, one or huge.
    pub fn from_rsa(kid: Option<&str>, modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let (modulus, exponent) = (der::trimmed(modulus), der::trimmed(exponent));
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) || !bits.is_multiple_of(8) {
            return Err(KeyError { member: "n", fault: KeyFault::Size(bits) });
        }
        if modulus.last().is_none_or(|byte| byte % 2 == 0) {
            return Err(KeyError { member: "n", fault: KeyFault::Invalid });
        }
        if exponent.len() > MAX_RSA_EXPONENT_BYTES
            || exponent == [1]
            || exponent.last().is_none_or(|byte| byte % 2 == 0)
        {
            return Err(KeyError { member: "e", fault: KeyFault::Invalid });
        }
        let key = PublicKey::rsa(modulus, exponent).ok_or(KeyError { member: "n", fault: KeyFault::Invalid })?;
        let spki = der::rsa_public_key(modulus, exponent).into();
        Ok(Self::new(kid, Material::Rsa(Box::new(RsaKey { modulus: modulus.into(), spki, key }))))
    }

    /// A P-256 key from its affine coordinates.
    ///
    /// # Errors
    /// [`KeyError`] for coordinates that are no point of the curve.
    pub fn from_p256(kid: Option<&str>, x: &[u8; 32], y: &[u8; 32]) -> Result<Self, KeyError> {
        let point = [&[4], &x[..], y].concat();
        let key = PublicKey::p256(&point).ok_or_else(not_on_curve)?;
        let spki = der::p256_public_key(&point).into();
        Ok(Self::new(kid, Material::P256(Box::new(CurveKey { spki, key }))))
    }

    /// A P-384 key from its affine coordinates.
    ///
    /// # Errors
    /// [`KeyError`] for coordinates that are no point of the curve.
    pub fn from_p384(kid: Option<&str>, x: &[u8; 48], y: &[u8; 48]) -> Result<Self, KeyError> {
        let point = [&[4], &x[..], y].concat();
        let key = PublicKey::p384(&point).ok_or_else(not_on_curve)?;
        let spki = der::p384_public_key(&point).into();
        Ok(Self::new(kid, Material::P384(Box::new(CurveKey { spki, key }))))
    }

    /// An Ed25519 key from its encoding (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// [`KeyError`] for bytes that are no point of the curve or one of small order.
    pub fn from_ed25519(kid: Option<&str>, x: &[u8; 32]) -> Result<Self, KeyError> {
        let key = PublicKey::ed25519(x).ok_or_else(not_on_curve)?;
        Ok(Self::new(kid, Material::Ed25519(Box::new(Ed25519Key { encoding: *x, key }))))
    }

    fn new(kid: Option<&str>, material: Material) -> Self {
        let algorithms = AlgorithmSet::of_key_type(material.key_type());
        Self { kid: kid.map(Into::into), algorithms, material }
    }

    /// The same key for `algorithm` only.
    ///
    /// # Errors
    /// [`KeyFault::Mismatched`] when keys of this type cannot verify it.
    pub fn restricted_to(mut self, algorithm: Algorithm) -> Result<Self, KeyError> {
        if algorithm.key_type() != self.key_type() {
            return Err(KeyError { member: "alg", fault: KeyFault::Mismatched });
        }
        self.algorithms = algorithm.into();
        Ok(self)
    }

    /// The key's name.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The key's type.
    pub fn key_type(&self) -> KeyType {
        self.material.key_type()
    }

    /// Whether the key may verify `algorithm`.
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(algorithm)
    }

    /// What tells a public key from every other one; `None` for a shared secret.
    pub fn id(&self) -> Option<KeyId> {
        let material: &[u8] = match &self.material {
            Material::Ed25519(key) => &key.encoding,
            _ => self.spki_der()?,
        };
        let mut digest = Sha256::new();
        for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| self.allows(*algorithm)) {
            digest.update(algorithm.as_str());
            digest.update([0]);
        }
        // A name has no length of its own: one that is absent is not an empty one.
        digest.update([0, u8::from(self.kid.is_some())]);
        digest.update((material.len() as u64).to_le_bytes());
        digest.update(material);
        digest.update(self.kid().unwrap_or_default());
        Some(KeyId(digest.finalize().into()))
    }

    /// The public key as DER SubjectPublicKeyInfo, for the types that a host verifies.
    pub fn spki_der(&self) -> Option<&[u8]> {
        match &self.material {
            Material::Rsa(key) => Some(&key.spki),
            Material::P256(key) => Some(&key.spki),
            Material::P384(key) => Some(&key.spki),
            Material::Secret(_) | Material::Ed25519(_) => None,
        }
    }

    pub(super) const fn material(&self) -> &Material {
        &self.material
    }
}

/// Names and types only: nothing of the material.
impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("kid", &self.kid).field("type", &self.key_type()).finish_non_exhaustive()
    }
}

impl Secret {
    /// Keys HMAC with `bytes`, which the caller wipes.
    ///
    /// # Errors
    /// [`KeyError`] for an empty secret.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        let invalid = |_| KeyError { member: "k", fault: KeyFault::Invalid };
        if bytes.is_empty() {
            return Err(KeyError { member: "k", fault: KeyFault::Size(0) });
        }
        Ok(Self {
            sha256: Hmac::new_from_slice(bytes).map_err(invalid)?,
            sha384: Hmac::new_from_slice(bytes).map_err(invalid)?,
            sha512: Hmac::new_from_slice(bytes).map_err(invalid)?,
            bytes: bytes.len(),
        })
    }

    /// Whether it is shorter than RFC 7518 section 3.2 demands for this hash: worth a warning.
    pub const fn is_short(&self, hash: Hash) -> bool {
        self.bytes < hash.output_bytes()
    }

    /// The authentication code of `text`.
    pub fn authenticate(&self, hash: Hash, text: &[u8]) -> Vec<u8> {
        match hash {
            Hash::Sha256 => self.sha256.clone().chain_update(text).finalize().into_bytes().to_vec(),
            Hash::Sha384 => self.sha384.clone().chain_update(text).finalize().into_bytes().to_vec(),
            Hash::Sha512 => self.sha512.clone().chain_update(text).finalize().into_bytes().to_vec(),
        }
    }

    /// Whether `code` is the whole authentication code of `text`, in constant time.
    pub fn verify(&self, hash: Hash, text: &[u8], code: &[u8]) -> bool {
        match hash {
            Hash::Sha256 => self.sha256.clone().chain_update(text).verify_slice(code).is_ok(),
            Hash::Sha384 => self.sha384.clone().chain_update(text).verify_slice(code).is_ok(),
            Hash::Sha512 => self.sha512.clone().chain_update(text).verify_slice(code).is_ok(),
        }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // The states stand for the secret: whoever has them can sign. They offer no wiping of their own.
        if let (Ok(sha256), Ok(sha384), Ok(sha512)) =
            (Hmac::new_from_slice(&[]), Hmac::new_from_slice(&[]), Hmac::new_from_slice(&[]))
        {
            (self.sha256, self.sha384, self.sha512) = (sha256, sha384, sha512);
            std::hint::black_box(self);
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Material {
    const fn key_type(&self) -> KeyType {
        match self {
            Self::Secret(_) => KeyType::Secret,
            Self::Rsa(_) => KeyType::Rsa,
            Self::P256(_) => KeyType::P256,
            Self::P384(_) => KeyType::P384,
            Self::Ed25519(_) => KeyType::Ed25519,
        }
    }
}

impl RsaKey {
    /// Whether `signature` is a number of the modulus's size and below it (RFC 8017 section 8.2.2).
    pub(super) fn is_in_range(&self, signature: &[u8]) -> bool {
        signature.len() == self.modulus.len() && signature < &*self.modulus
    }

    /// The modulus in bits.
    pub(super) const fn bits(&self) -> usize {
        self.modulus.len() * 8
    }
}

const fn not_on_curve() -> KeyError {
    KeyError { member: "x", fault: KeyFault::NotOnCurve }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.member)?;
        match self.fault {
            KeyFault::Unreadable(error) => write!(f, "{error}"),
            KeyFault::Missing => f.write_str("missing"),
            KeyFault::WrongType => f.write_str("wrong JSON type"),
            KeyFault::Encoding => f.write_str("expected base64url without padding"),
            KeyFault::Unsupported => f.write_str("not supported for verifying signatures"),
            KeyFault::Mismatched => f.write_str("does not belong to this key type"),
            KeyFault::Size(0) => f.write_str("empty"),
            KeyFault::Size(bits) if self.member == "n" => {
                write!(f, "{bits} bits, expected {MIN_RSA_BITS} to {MAX_RSA_BITS} in whole bytes")
            }
            KeyFault::Size(bits) => write!(f, "{bits} bits, expected the size of the curve"),
            KeyFault::Invalid => f.write_str("not a usable value"),
            KeyFault::NotOnCurve => f.write_str("not a usable point of the curve"),
            KeyFault::Private => f.write_str("private key material does not belong into a key set"),
            KeyFault::PublishedSecret => f.write_str("a shared secret in a fetched key set is public"),
        }
    }
}

impl std::error::Error for KeyError {}
