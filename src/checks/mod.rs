//! The checks, one per file, in the order in which a route asks them.

pub mod authenticate;
pub mod authorize;
pub mod body;
pub mod browser;
pub mod inspect;
pub mod intrusion;
pub mod limit;
pub mod secrets;
pub mod sign;
pub mod tokens;
