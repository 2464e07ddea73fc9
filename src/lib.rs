//! Portcullis: a security filter for microservices, as one proxy-wasm module.
//!
//! The core is pure and compiles natively: no host calls, time as an argument.
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

pub mod canonical;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod head;
pub mod injection;
pub mod jose;
pub mod media;
pub mod policy;
pub mod store;
pub mod table;
pub mod time;
