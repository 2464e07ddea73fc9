//! The host's functions (proxy-wasm ABI 0.2.1), declared here because the SDK's own wrappers panic on a status that they
//! do not expect, and a panic ends the VM of a worker. Every function says what it got, none panics.
//!
//! Calling a wasm import is unsafe by definition. Each block passes pointers to live
//! slices with their lengths, or to locals that the host writes before it returns.
#![allow(unsafe_code)]

use std::alloc::Layout;
use std::ptr::null_mut;

/// A status other than `Ok`, as the host gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

impl Status {
    /// There is no such key, property, function or buffer.
    pub const NOT_FOUND: Self = Self(1);
    /// Compare-and-set lost.
    pub const CAS_MISMATCH: Self = Self(8);
}

/// A header block.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Map {
    /// The request's head.
    RequestHeaders = 0,
    /// The request's trailers.
    RequestTrailers = 1,
    /// The response's head.
    ResponseHeaders = 2,
    /// The response's trailers.
    ResponseTrailers = 3,
    /// The head of the answer to an HTTP callout.
    CalloutHeaders = 6,
}

/// A buffer.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Buffer {
    /// What is buffered of the request's body.
    RequestBody = 0,
    /// What is buffered of the response's body.
    ResponseBody = 1,
    /// The body of the answer to an HTTP callout.
    CalloutBody = 4,
    /// The message that answers a gRPC callout.
    GrpcMessage = 5,
    /// The plugin's configuration.
    PluginConfiguration = 7,
}

/// A kind of metric.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Metric {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// How often which values were seen.
    Histogram = 2,
}

/// A log level.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Level {
    /// Worth knowing.
    Info = 2,
    /// Worth a look.
    Warn = 3,
    /// Something is broken.
    Error = 4,
    /// Somebody was shut out, or nothing can be served.
    Critical = 5,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(kind: u32, start: usize, length: usize, data: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, data: *const u8, size: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, data: *const u8, size: usize, cas: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_grpc_call(
        cluster: *const u8,
        cluster_size: usize,
        service: *const u8,
        service_size: usize,
        method: *const u8,
        method_size: usize,
        metadata: *const u8,
        metadata_size: usize,
        message: *const u8,
        message_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
}

/// Writes one line of the host's log.
pub fn log(level: Level, line: &str) {
    let _ = unsafe { proxy_log(level as u32, line.as_ptr(), line.len()) };
}

/// Nanoseconds since the Unix epoch; `None` when the host has no clock.
pub fn now() -> Option<u64> {
    let mut time = 0;
    let status = unsafe { proxy_get_current_time_nanoseconds(&mut time) };
    (status == 0).then_some(time)
}

/// Asks for a tick every `millis` milliseconds.
pub fn tick_every(millis: u32) {
    let _ = unsafe { proxy_set_tick_period_milliseconds(millis) };
}

/// At most `max` bytes of a buffer; empty when there is none.
pub fn buffer(kind: Buffer, max: usize) -> Vec<u8> {
    let (mut data, mut size) = (null_mut(), 0);
    let status = unsafe { proxy_get_buffer_bytes(kind as u32, 0, max, &mut data, &mut size) };
    if status == 0 { owned(data, size) } else { Vec::new() }
}

/// Puts `bytes` in the place of everything that a buffer holds.
///
/// # Errors
/// The host's status: the buffer is not to be had in this phase.
pub fn replace_buffer(kind: Buffer, bytes: &[u8]) -> Result<(), Status> {
    outcome(unsafe { proxy_set_buffer_bytes(kind as u32, 0, usize::MAX, bytes.as_ptr(), bytes.len()) })
}

/// Puts bytes before those that the host holds.
///
/// # Errors
/// The host's status: the buffer is not to be had in this phase.
pub fn prepend_to_buffer(kind: Buffer, bytes: &[u8]) -> Result<(), Status> {
    outcome(unsafe { proxy_set_buffer_bytes(kind as u32, 0, 0, bytes.as_ptr(), bytes.len()) })
}

/// A whole header block in the host's serialisation.
///
/// # Errors
/// The host's status: the block is not to be had in this phase.
pub fn header_map(map: Map) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    outcome(unsafe { proxy_get_header_map_pairs(map as u32, &mut data, &mut size) })?;
    Ok(owned(data, size))
}

/// The first value of a header.
pub fn header(map: Map, name: &str) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    let status = unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), &mut data, &mut size) };
    (status == 0).then(|| owned(data, size))
}

/// Gives a header this one value.
///
/// # Errors
/// The host's status: the block cannot be changed in this phase.
pub fn set_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), Status> {
    outcome(unsafe {
        proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Adds a header beside those of the same name.
///
/// # Errors
/// The host's status: the block cannot be changed in this phase.
pub fn add_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), Status> {
    outcome(unsafe { proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Removes every header of this name.
///
/// # Errors
/// The host's status: the block cannot be changed in this phase.
pub fn remove_header(map: Map, name: &[u8]) -> Result<(), Status> {
    outcome(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// A property; the parts of `path` are separated by NUL.
pub fn property(path: &[u8]) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &mut data, &mut size) };
    (status == 0).then(|| owned(data, size))
}

/// Sets a property, which access logs read as filter state.
pub fn set_property(path: &[u8], value: &[u8]) {
    let _ = unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) };
}

/// A shared value with its version. A key that was set to nothing has a version and an empty value.
///
/// # Errors
/// [`Status::NOT_FOUND`] for a key that was never set.
pub fn shared_data(key: &[u8]) -> Result<(Vec<u8>, u32), Status> {
    let (mut data, mut size, mut cas) = (null_mut(), 0, 0);
    outcome(unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &mut data, &mut size, &mut cas) })?;
    Ok((owned(data, size), cas))
}

/// Sets a shared value if its version still is `cas`.
///
/// # Errors
/// [`Status::CAS_MISMATCH`] when it is not.
pub fn set_shared_data(key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
    outcome(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

/// Lets a paused request go on. Last in a callback: the host may call back at once.
pub fn continue_request() {
    let _ = unsafe { proxy_continue_stream(0) };
}

/// Answers the client. Last in a callback: the host calls the response callbacks before it returns.
///
/// # Errors
/// The host's status: the response has already begun.
pub fn send_local_response(
    status: u16,
    details: &str,
    headers: &[u8],
    body: &[u8],
    grpc_status: u8,
) -> Result<(), Status> {
    outcome(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            i32::from(grpc_status),
        )
    })
}

/// Calls a function that the host may or may not have.
///
/// # Errors
/// [`Status::NOT_FOUND`] when it has not.
pub fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    outcome(unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            &mut data,
            &mut size,
        )
    })?;
    Ok(owned(data, size))
}

/// Sends an HTTP request to a cluster: the token under which the answer arrives. `headers` and `trailers` as
/// [`serialise`] writes them, `timeout` in milliseconds.
///
/// # Errors
/// The host's status: there is no such cluster, or it refused at once.
pub fn http_call(cluster: &str, headers: &[u8], body: &[u8], timeout: u32) -> Result<u32, Status> {
    let trailers = serialise(std::iter::empty());
    let mut token = 0;
    outcome(unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout,
            &mut token,
        )
    })?;
    Ok(token)
}

/// Calls a gRPC method of a cluster: the token under which the answer arrives. `message` is the bare message, `timeout`
/// in milliseconds.
///
/// # Errors
/// The host's status: there is no such cluster, or it refused at once.
pub fn grpc_call(cluster: &str, service: &str, method: &str, message: &[u8], timeout: u32) -> Result<u32, Status> {
    let metadata = serialise(std::iter::empty());
    let mut token = 0;
    outcome(unsafe {
        proxy_grpc_call(
            cluster.as_ptr(),
            cluster.len(),
            service.as_ptr(),
            service.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            message.as_ptr(),
            message.len(),
            timeout,
            &mut token,
        )
    })?;
    Ok(token)
}

/// What follows concerns this context, whoever's callback runs.
///
/// # Errors
/// The host's status: the context is gone.
pub fn set_effective_context(context: u32) -> Result<(), Status> {
    outcome(unsafe { proxy_set_effective_context(context) })
}

/// Defines a metric, or finds it.
pub fn define_metric(kind: Metric, name: &str) -> Option<u32> {
    let mut id = 0;
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) };
    (status == 0).then_some(id)
}

/// Adds to a counter.
pub fn add_to_counter(id: u32, n: u64) {
    let _ = unsafe { proxy_increment_metric(id, i64::try_from(n).unwrap_or(i64::MAX)) };
}

/// Sets a gauge, or adds one value to a histogram.
pub fn record_metric(id: u32, value: u64) {
    let _ = unsafe { proxy_record_metric(id, value) };
}

const fn outcome(status: u32) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(Status(status)) }
}

/// The host's serialisation of a header block: the number of pairs, the sizes of all names and values, then the bytes of
/// each, NUL after each.
pub fn serialise<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
    let mut bytes = Vec::new();
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend_from_slice(&size(pairs.clone().count()));
    for (name, value) in pairs.clone() {
        bytes.extend_from_slice(&size(name.len()));
        bytes.extend_from_slice(&size(value.len()));
    }
    for part in pairs.flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(part);
        bytes.push(0);
    }
    bytes
}

/// Gives the host memory for `size` bytes, which [`owned`] takes back.
pub fn allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        Ok(layout) if size > 0 => unsafe { std::alloc::alloc(layout) },
        _ => null_mut(),
    }
}

/// Takes over what the host wrote into memory that [`allocate`] gave it: a boxed slice of exactly `size` bytes.
fn owned(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() || size == 0 {
        return Vec::new();
    }
    unsafe { Vec::from_raw_parts(data, size, size) }
}
