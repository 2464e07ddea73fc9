//! Quota leased from a rate limit service: its protocol, and what one worker knows of it.
//!
//! A service counts for many proxies. Asking it for every request would put it into every request's path, so quota is
//! leased: one call takes many hits, and the requests that follow use them up. The leases of a process are shared data
//! ([`leases`]); which service answers, and what it was asked, each worker knows for itself ([`client`]).

pub mod circuit;
pub mod client;
pub mod lease;
pub mod leases;
pub mod message;
