//! Whole requests through a configuration: who gets through, what the upstream receives, what the client and the events
//! are told.
#![cfg(feature = "cli")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "pipeline/access.rs"]
mod access;
#[path = "pipeline/credentials.rs"]
mod credentials;
#[path = "pipeline/fleet.rs"]
mod fleet;
#[path = "pipeline/gate.rs"]
mod gate;
#[path = "pipeline/inspection.rs"]
mod inspection;
#[path = "pipeline/limits.rs"]
mod limits;
#[path = "pipeline/modes.rs"]
mod modes;
#[path = "pipeline/order.rs"]
mod order;
