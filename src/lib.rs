//! Portcullis: a security filter for microservices, as one proxy-wasm module.
//!
//! Read [`pipeline`] first: it is the order of a request. Everything but `host` is pure and compiles natively;
//! `host` exists only in the module and is the only code that names the proxy.
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

pub mod store;
pub mod table;
pub mod time;
