//! Whole requests through a configuration: who gets through, what the upstream receives, what the client and the events
//! are told.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "pipeline/access.rs"]
mod access;
#[path = "pipeline/api_keys.rs"]
mod api_keys;
#[path = "pipeline/bodies.rs"]
mod bodies;
#[path = "pipeline/browser.rs"]
mod browser;
#[path = "pipeline/callouts.rs"]
mod callouts;
#[path = "pipeline/credentials.rs"]
mod credentials;
#[path = "pipeline/differentials.rs"]
mod differentials;
#[path = "pipeline/disguises.rs"]
mod disguises;
#[path = "pipeline/examples.rs"]
mod examples;
#[path = "pipeline/fleet.rs"]
mod fleet;
#[path = "pipeline/floods.rs"]
mod floods;
#[path = "pipeline/gate.rs"]
mod gate;
#[path = "pipeline/inspection.rs"]
mod inspection;
#[path = "pipeline/intrusion.rs"]
mod intrusion;
#[path = "pipeline/limits.rs"]
mod limits;
#[path = "pipeline/login.rs"]
mod login;
#[path = "pipeline/metrics.rs"]
mod metrics;
#[path = "pipeline/modes.rs"]
mod modes;
#[path = "pipeline/opaque.rs"]
mod opaque;
#[path = "pipeline/order.rs"]
mod order;
#[path = "pipeline/peers.rs"]
mod peers;
#[path = "pipeline/remote.rs"]
mod remote;
#[path = "pipeline/secrets.rs"]
mod secrets;
#[path = "pipeline/signatures.rs"]
mod signatures;
#[path = "pipeline/validation.rs"]
mod validation;
