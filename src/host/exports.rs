//! The callbacks that the host looks for by name (proxy-wasm ABI 0.2.1). What is not exported is not called: connections,
//! queues and foreign functions cost nothing. In the order in which a VM and then an exchange meet them.
//!
//! Exporting a symbol is unsafe by definition, because the name may collide; these names belong to the ABI.
#![allow(unsafe_code)]

use crate::abi;
use crate::vm;

unsafe extern "C" {
    /// Runs the constructors of the module's libraries.
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    unsafe { __wasm_call_ctors() };
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    abi::allocate(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _configuration_size: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> u32 {
    u32::from(vm::configure(root, size))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    vm::create(context, root);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    vm::tick(root);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _headers: usize, end_of_stream: u32) -> u32 {
    vm::on_stream(context, |stream| stream.on_request_headers(end_of_stream != 0)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, end_of_stream: u32) -> u32 {
    vm::on_stream(context, |stream| stream.on_request_body(size, end_of_stream != 0)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _trailers: usize) -> u32 {
    vm::on_stream(context, |stream| stream.on_request_trailers()) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(context: u32, token: u32, headers: usize, body: usize, _trailers: usize) {
    vm::http_call_answered(context, token, headers, body);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_receive(context: u32, token: u32, size: usize) {
    vm::grpc_received(context, token, size);
}

/// Also the answer of a call that got no message: refused, timed out, or an error.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_grpc_close(context: u32, token: u32, status: u32) {
    vm::grpc_closed(context, token, status);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, end_of_stream: u32) -> u32 {
    vm::on_stream(context, |stream| stream.on_response_headers(end_of_stream != 0)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: usize, end_of_stream: u32) -> u32 {
    vm::on_stream(context, |stream| stream.on_response_body(size, end_of_stream != 0)) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _trailers: usize) -> u32 {
    vm::on_stream(context, |stream| stream.on_response_trailers()) as u32
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    vm::log(context);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    vm::delete(context);
}
