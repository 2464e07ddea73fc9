//! The module: the adapter to Envoy, the only code that names the proxy, with the allocator under it.
//!
//! `exports` are the callbacks that the host looks for and `vm` finds whose they are; `root` takes configurations, ticks and
//! works in the background, `stream` carries one request's callbacks to the pipeline and back, `callouts` knows who waits for
//! which answer, `response` changes what goes to the client, `kept` is a body while it is judged, `room` what
//! bodies may take here, `stopwatch` times decisions, `environment` is what the core sees of the host, `abi` are the host's
//! functions. Natively there is nothing of these, and `allocator` and `room` only for their tests.
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

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(any(test, target_family = "wasm"))]
mod allocator;
#[cfg(target_family = "wasm")]
mod callouts;
#[cfg(target_family = "wasm")]
mod environment;
#[cfg(target_family = "wasm")]
mod exports;
#[cfg(target_family = "wasm")]
mod kept;
#[cfg(target_family = "wasm")]
mod response;
#[cfg(any(test, target_family = "wasm"))]
mod room;
#[cfg(target_family = "wasm")]
mod root;
#[cfg(target_family = "wasm")]
mod stopwatch;
#[cfg(target_family = "wasm")]
mod stream;
#[cfg(target_family = "wasm")]
mod vm;

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: allocator::KeptBlocks<std::alloc::System> = allocator::KeptBlocks::new(std::alloc::System);
