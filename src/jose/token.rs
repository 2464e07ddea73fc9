//! A bearer token as a JWT: its claims stay closed until the signature is proven.

use super::algorithm::AlgorithmSet;
use super::claims::{Claims, ClaimsError};
use super::compact::{Compact, CompactError, Header};
use super::key::VerifyingKey;
use super::key_set::KeySet;
use super::reason::Reason;
use super::verify::{Means, VerifyError, verify};

/// A JWT taken apart, not yet verified.
#[derive(Debug)]
pub struct Token<'a> {
    jws: Compact<'a>,
    claims: Claims,
}

/// Why a text is not a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not a compact JWS.
    Compact(CompactError),
    /// The payload is not a set of claims.
    Claims(ClaimsError),
}

impl TokenError {
    /// The published reason.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Compact(error) => error.reason(),
            Self::Claims(error) => error.reason(),
        }
    }
}

impl<'a> Token<'a> {
    /// Takes a token apart, without surrounding whitespace or prefix.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn parse(text: &'a [u8]) -> Result<Self, TokenError> {
        let jws = Compact::parse(text).map_err(TokenError::Compact)?;
        let payload = jws.payload().map_err(TokenError::Compact)?;
        let claims = Claims::parse(&payload).map_err(TokenError::Claims)?;
        Ok(Self { jws, claims })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        self.jws.header()
    }

    /// What the token says of its issuer: enough to choose whose keys must prove it, and not proven.
    pub fn unverified_issuer(&self) -> Option<&str> {
        self.claims.issuer()
    }

    /// Verifies the signature and gives the claims out.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify(self, keys: &KeySet, allowed: AlgorithmSet, means: &mut Means<'_>) -> Result<Claims, VerifyError> {
        self.verify_by(keys, allowed, means).map(|(claims, _)| claims)
    }

    /// The same, with the key that verified it.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_by<'k>(
        self,
        keys: &'k KeySet,
        allowed: AlgorithmSet,
        means: &mut Means<'_>,
    ) -> Result<(Claims, &'k VerifyingKey), VerifyError> {
        let key = verify(&self.jws, keys, allowed, means)?;
        Ok((self.claims, key))
    }
}
