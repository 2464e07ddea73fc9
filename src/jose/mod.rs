//! Signed tokens: compact JWS (RFC 7515), keys (RFC 7517), algorithms (RFC 7518, RFC 8037) and JWT claims (RFC 7519).
//!
//! A token's way: [`token::Token::parse`] takes it apart, its issuer chooses a provider, [`token::Token::verify`]
//! proves it against that provider's [`key_set::KeySet`], [`validate::Rules`] judge the claims, and
//! [`cache::TokenCache`] remembers the result. Nothing here reads a clock or calls the host by itself.

pub mod algorithm;
pub mod budget;
pub mod cache;
pub mod claims;
pub mod compact;
mod der;
pub mod fetched;
pub mod json;
pub mod jwk;
pub mod key;
pub mod key_set;
mod pure;
pub mod reason;
pub mod sign;
pub mod token;
pub mod validate;
pub mod verify;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
