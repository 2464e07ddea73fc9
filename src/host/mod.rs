//! The adapter to Envoy: the only code that names the proxy.
//!
//! [`exports`] are the callbacks that the host looks for and [`vm`] finds whose they are; [`root`] takes configurations,
//! ticks and works in the background, [`stream`] carries one request's callbacks to the pipeline and back, [`callouts`]
//! knows who waits for which answer, [`response`] changes what goes to the client, [`kept`] is a body while it is judged, [`stopwatch`] times decisions,
//! [`environment`] is what the core sees of the host, [`abi`] are the host's functions.

mod abi;
mod callouts;
mod environment;
mod exports;
mod kept;
mod response;
mod root;
mod stopwatch;
mod stream;
mod vm;

use std::alloc::System;

use crate::allocator::KeptBlocks;

#[global_allocator]
static ALLOCATOR: KeptBlocks<System> = KeptBlocks::new(System);
