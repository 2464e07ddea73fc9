//! Portcullis: a security filter for microservices, as one proxy-wasm module.
//!
//! This is the core: what decides about requests. Read [`pipeline`] first: it is the order of a request. All of it is pure
//! and compiles natively: no host calls, time as an argument. On it are built, as crates of their own, what makes a pipeline
//! from a configuration (`src/assembly`), the module (`src/host`) and the command line tool (`src/cli`).
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::string_slice
    )
)]

pub mod account;
pub mod caching;
pub mod canonical;
pub mod check;
pub mod checks;
pub use portcullis_config as config;
pub mod denial;
pub mod document;
pub mod endpoint;
pub mod event;
pub mod exchange;
pub mod fernet;
pub mod head;
pub mod health;
pub mod injection;
pub mod jose;
mod lanes;
pub mod media;
pub mod metrics;
#[cfg(not(target_family = "wasm"))]
pub mod native;
pub mod order;
pub mod peer;
pub mod pipeline;
pub mod policy;
pub mod quota;
pub mod response;
pub mod revocation;
pub mod sanitize;
pub mod schema;
pub mod secrets;
pub mod signature;
pub mod store;
pub mod table;
pub mod time;
pub mod traceparent;
pub mod watch;
pub mod worker;
