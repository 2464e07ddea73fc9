//! The checks, one per file, in the order in which a route asks them.

pub mod browser;
pub mod authenticate;
pub mod authorize;
pub mod limit;
pub mod inspect;
