//! The built module in an interpreter, on a fake host that keeps state as Envoy does: what the core's own tests cannot
//! see, from the bytes of the imports to what a failing host makes of a request.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod body;
mod callouts;
mod configurations;
mod faults;
mod fuel;
mod host;
mod hostile;
mod imports;
mod measures;
mod requests;
mod responses;
mod serving;
mod trailers;
mod vm;
mod workers;
