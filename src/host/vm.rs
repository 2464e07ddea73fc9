//! The contexts of one VM, and which of them a callback is for. A callback for a context that is not there, or that is
//! already in one, does nothing and lets nothing pass.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use crate::abi::{self, Buffer, Map};
use crate::root::Root;
use crate::stream::{Action, Stream};
use portcullis::check::{CalloutReply, GrpcStatus};

/// An answer to a callout beyond this is treated as lost.
const CALLOUT_REPLY_BYTES: usize = 1 << 20;

thread_local! {
    static VM: Vm = Vm::default();
}

#[derive(Default)]
struct Vm {
    roots: RefCell<Contexts<Root>>,
    streams: RefCell<Contexts<RefCell<Stream>>>,
}

type Contexts<T> = HashMap<u32, Rc<T>, BuildHasherDefault<ContextHasher>>;

/// Context numbers are the host's own and count up: multiplied, they spread.
#[derive(Default)]
struct ContextHasher(u64);

impl Hasher for ContextHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A new root context, or a stream of one.
pub fn create(context: u32, root: u32) {
    VM.with(|vm| {
        if root == 0 {
            vm.roots.borrow_mut().insert(context, Rc::new(Root::new(context)));
            return;
        }
        let serving = vm.root(root).and_then(|root| root.serving());
        vm.streams.borrow_mut().insert(context, Rc::new(RefCell::new(Stream::new(context, serving))));
    });
}

/// A configuration for a root context. False: it is refused.
pub fn configure(root: u32, size: usize) -> bool {
    let Some(root) = VM.with(|vm| vm.root(root)) else { return false };
    let earlier = VM.with(|vm| vm.roots.borrow().values().filter_map(|root| root.serving()).collect::<Vec<_>>());
    root.configure(size, &earlier)
}

/// Time has passed.
pub fn tick(root: u32) {
    let Some(root) = VM.with(|vm| vm.root(root)) else { return };
    let leaving = root.take_leaving();
    let early = !leaving.is_empty();
    on_each(leaving, Stream::on_turn);
    for (waiters, reply) in root.tick(early) {
        wake(&waiters, &reply);
    }
}

/// One callback of a stream.
pub fn on_stream(context: u32, callback: impl FnOnce(&mut Stream) -> Action) -> Action {
    let Some(stream) = VM.with(|vm| vm.stream(context)) else { return Action::Pause };
    // Called back while in a callback: our own reply passes by.
    let Ok(mut stream) = stream.try_borrow_mut() else { return Action::Continue };
    callback(&mut stream)
}

/// The exchange is over.
pub fn log(context: u32) {
    let Some(stream) = VM.with(|vm| vm.stream(context)) else { return };
    if let Ok(mut stream) = stream.try_borrow_mut() {
        stream.on_log();
    }
}

/// The context is gone.
pub fn delete(context: u32) {
    // Dropped outside the borrow.
    let gone = VM.with(|vm| (vm.streams.borrow_mut().remove(&context), vm.roots.borrow_mut().remove(&context)));
    drop(gone);
}

/// The answer to an HTTP callout.
pub fn http_call_answered(context: u32, token: u32, headers: usize, body_size: usize) {
    answered(context, token, http_reply(headers, body_size));
}

/// The message that answers a gRPC callout.
pub fn grpc_received(context: u32, token: u32, size: usize) {
    let reply = if size > CALLOUT_REPLY_BYTES {
        CalloutReply::Lost
    } else {
        CalloutReply::Grpc { status: GrpcStatus::OK, message: abi::buffer(Buffer::GrpcMessage, size) }
    };
    answered(context, token, reply);
}

/// The end of a gRPC callout; the only answer there is when no message came.
pub fn grpc_closed(context: u32, token: u32, status: u32) {
    answered(context, token, CalloutReply::Grpc { status: GrpcStatus(status), message: Vec::new() });
}

impl Vm {
    fn root(&self, context: u32) -> Option<Rc<Root>> {
        self.roots.borrow().get(&context).cloned()
    }

    fn stream(&self, context: u32) -> Option<Rc<RefCell<Stream>>> {
        self.streams.borrow().get(&context).cloned()
    }
}

/// Hands an answer to whom it is for, and leaves nothing of it behind. Every call is the root context's.
fn answered(context: u32, token: u32, mut reply: CalloutReply) {
    if let Some(root) = VM.with(|vm| vm.root(context)) {
        wake(&root.answered(token, &reply), &reply);
    }
    reply.wipe();
}

/// Gives the answer to streams that wait for it. One that is gone meanwhile is left alone.
fn wake(waiters: &[(u32, u32)], reply: &CalloutReply) {
    for (context, token) in waiters {
        on_each([*context], |stream| stream.on_reply(*token, reply));
    }
}

/// Does something for streams from a callback of their root.
fn on_each(contexts: impl IntoIterator<Item = u32>, work: impl Fn(&mut Stream)) {
    for context in contexts {
        let Some(stream) = VM.with(|vm| vm.stream(context)) else { continue };
        if abi::set_effective_context(context).is_err() {
            continue;
        }
        if let Ok(mut stream) = stream.try_borrow_mut() {
            work(&mut stream);
        }
    }
}

fn http_reply(headers: usize, body_size: usize) -> CalloutReply {
    // Envoy delivers a lost callout as a reply with no headers at all.
    if headers == 0 || body_size > CALLOUT_REPLY_BYTES {
        return CalloutReply::Lost;
    }
    let status = abi::header(Map::CalloutHeaders, ":status").and_then(|text| parse_status(&text));
    let body = abi::buffer(Buffer::CalloutBody, body_size);
    match status {
        // Half a body is none.
        Some(status) if body.len() == body_size => CalloutReply::Answered { status, body },
        _ => CalloutReply::Lost,
    }
}

/// An HTTP status out of its three digits.
pub fn parse_status(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
