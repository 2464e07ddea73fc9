//! The checks, one per file. A route asks them in this order: [`browser`], [`authenticate`], whether the page was ours
//! ([`browser::csrf`]), [`authorize`], [`limit`], [`inspect`], [`body`], [`sign`]; before there is a route, [`intrusion`]. Behind
//! routes of ours answer [`tokens`], [`intrusion::admin`] and [`secrets`].

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
