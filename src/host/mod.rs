//! The adapter to Envoy: the only code that names the proxy.
//!
//! [`root`] takes configurations and ticks, [`stream`] carries one request's callbacks to the pipeline and back,
//! [`environment`] is what the core sees of the host, [`abi`] are the host's functions.

mod abi;
mod environment;
mod root;
mod stream;

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}
