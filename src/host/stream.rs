//! One request's callbacks, carried to the pipeline and back. `apply` is the only place that pauses, resumes, replies or
//! sends a callout.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::check::{Arrival, BodyArrival, Callout, CalloutReply, Env};
use crate::checks::browser::adds_up;
use crate::config::Hold;
use crate::denial::{Denial, LocalReply};
use crate::exchange::HeaderEdit;
use crate::head::Head;
use crate::host::abi::{self, Buffer, Map};
use crate::host::root::Serving;
use crate::pipeline::{Next, Passage};
use crate::time::Timestamp;

/// An answer to a callout beyond this is treated as lost.
const CALLOUT_REPLY_BYTES: usize = 1 << 20;

/// One request and its response.
pub struct Stream {
    serving: Option<Rc<Serving>>,
    passage: Option<Passage>,
    phase: Phase,
    body: Body,
    status: Option<u16>,
}

/// What has arrived of the request's body.
#[derive(Clone, Copy, Debug, Default)]
struct Body {
    /// Bytes that the host holds.
    size: usize,
    /// There is no more.
    ended: bool,
}

/// Where the request stands with the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was decided yet.
    Head,
    /// The body is on its way; the head is held, or was released to a buffer filter behind us.
    AwaitingBody { limit: usize, head: HeadIs },
    /// An answer is on its way.
    AwaitingReply { token: u32 },
    /// The request went on.
    Released,
    /// The client was answered here.
    Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadIs {
    Held,
    Released,
}

impl Stream {
    /// A stream under the configuration in force; without one everything is refused.
    pub fn new(serving: Option<Rc<Serving>>) -> Self {
        Self { serving, passage: None, phase: Phase::Head, body: Body::default(), status: None }
    }

    /// Gives the pipeline what it waited for.
    fn arrived(&mut self, arrival: Arrival<'_>) -> Action {
        let Some(serving) = self.serving.clone() else { return self.refuse() };
        let Some(passage) = self.passage.as_mut() else { return self.refuse() };
        let Some(now) = now() else { return self.refuse() };
        let Ok(mut worker) = serving.worker.try_borrow_mut() else { return self.refuse() };
        let mut env = Env { now, host: &serving.environment, worker: &mut worker };
        let next = serving.pipeline.resume(passage, arrival, &mut env);
        drop(worker);
        self.apply(next)
    }

    fn apply(&mut self, next: Next) -> Action {
        match next {
            Next::Continue => self.release(),
            Next::Reply(reply) => self.reply(&reply),
            Next::Call(callout) => self.call(&callout),
            Next::AwaitBody { limit } => self.await_body(limit),
        }
    }

    fn release(&mut self) -> Action {
        let edited = matches!(self.phase, Phase::AwaitingBody { head: HeadIs::Released, .. });
        if !edited && !self.edit_head() {
            return self.refuse();
        }
        self.phase = Phase::Released;
        Action::Continue
    }

    /// Writes what the checks decided into the request's head. False when the host refuses a change: the request must
    /// not go on with a head that was not decided on.
    fn edit_head(&self) -> bool {
        let Some(passage) = &self.passage else { return false };
        let exchange = &passage.exchange;
        if exchange.target.is_rewritten()
            && abi::set_header(Map::RequestHeaders, b":path", exchange.target.path_and_query().as_bytes()).is_err()
        {
            return false;
        }
        let told = exchange.caller.iter().flat_map(|caller| &caller.headers);
        exchange.request_edits.iter().all(|edit| match edit {
            HeaderEdit::Remove(name) => abi::remove_header(Map::RequestHeaders, name).is_ok(),
            HeaderEdit::Set(name, value) => abi::set_header(Map::RequestHeaders, name.as_bytes(), value).is_ok(),
        }) && told
            .into_iter()
            .all(|(name, value)| abi::set_header(Map::RequestHeaders, name.as_bytes(), value.as_bytes()).is_ok())
    }

    fn await_body(&mut self, limit: usize) -> Action {
        let head = match self.phase {
            Phase::AwaitingBody { head, .. } => head,
            _ if self.body.ended || !self.behind_buffer_filter() => HeadIs::Held,
            _ if self.edit_head() => HeadIs::Released,
            _ => return self.refuse(),
        };
        let waits_at_head = self.phase == Phase::Head;
        self.phase = Phase::AwaitingBody { limit, head };
        // The body may have arrived whole while an answer was on its way.
        if self.body.ended || self.body.size > limit {
            return self.body_arrived(limit);
        }
        if waits_at_head && head == HeadIs::Released { Action::Continue } else { Action::Pause }
    }

    fn behind_buffer_filter(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.hold == Hold::BufferFilter)
    }

    fn body_arrived(&mut self, limit: usize) -> Action {
        let bytes = abi::buffer(Buffer::RequestBody, self.body.size.min(limit));
        // What the host does not show cannot be judged.
        if bytes.len() < self.body.size.min(limit) {
            return self.refuse();
        }
        let body = if self.body.size > limit { BodyArrival::OverLimit(&bytes) } else { BodyArrival::Whole(&bytes) };
        self.arrived(Arrival::Body(body))
    }

    /// What a body callback answers: nothing passes before the verdict is in.
    fn body_progressed(&mut self) -> Action {
        match self.phase {
            Phase::AwaitingBody { limit, .. } if self.body.ended || self.body.size > limit => self.body_arrived(limit),
            Phase::Released => Action::Continue,
            _ => Action::Pause,
        }
    }

    fn call(&mut self, callout: &Callout) -> Action {
        let headers = callout.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = Some(callout.body.as_slice()).filter(|body| !body.is_empty());
        match hostcalls::dispatch_http_call(&callout.cluster, headers, body, Vec::new(), callout.timeout) {
            Ok(token) => {
                self.phase = Phase::AwaitingReply { token };
                Action::Pause
            }
            Err(_) => self.arrived(Arrival::Reply(&CalloutReply::Lost)),
        }
    }

    fn reply(&mut self, reply: &LocalReply) -> Action {
        self.phase = Phase::Answered;
        self.status = Some(reply.status);
        let headers = serialise(reply.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let _ =
            abi::send_local_response(reply.status, reply.details, &headers, reply.body.as_bytes(), reply.grpc_status);
        Action::Pause
    }

    /// What cannot be decided is refused.
    fn refuse(&mut self) -> Action {
        self.reply(&Denial::Unavailable { what: "not_configured" }.reply(""))
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        if self.phase != (Phase::AwaitingReply { token }) {
            return;
        }
        let reply = callout_reply(headers, body_size);
        if self.arrived(Arrival::Reply(&reply)) == Action::Continue {
            abi::continue_request();
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, end_of_stream: bool) -> Action {
        let Some(serving) = self.serving.clone() else { return self.refuse() };
        let Some(head) = abi::header_map(Map::RequestHeaders).ok().and_then(Head::from_host_map) else {
            return self.refuse();
        };
        let Some(now) = now() else { return self.refuse() };
        let Ok(mut worker) = serving.worker.try_borrow_mut() else { return self.refuse() };
        let mut env = Env { now, host: &serving.environment, worker: &mut worker };
        let (passage, next) = serving.pipeline.begin(head, end_of_stream, &mut env);
        drop(worker);
        self.passage = Some(passage);
        self.body.ended = end_of_stream;
        self.apply(next)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.body = Body { size, ended: end_of_stream };
        self.body_progressed()
    }

    /// With trailers the body's callback never sees the end of the stream.
    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        self.strip_trailers();
        self.body.ended = true;
        self.body_progressed()
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        let (Some(serving), Some(passage)) = (self.serving.clone(), self.passage.as_mut()) else {
            return Action::Continue;
        };
        // Our own replies come by here as well; they carry their headers already.
        if self.phase == Phase::Answered {
            return Action::Continue;
        }
        let status = abi::header(Map::ResponseHeaders, ":status").and_then(|text| parse_status(&text));
        self.status = status;
        for (name, value) in &passage.exchange.response_headers {
            let write = if adds_up(name) { abi::add_header } else { abi::set_header };
            let _ = write(Map::ResponseHeaders, name.as_bytes(), value.as_bytes());
        }
        if let (Some(status), Ok(mut worker)) = (status, serving.worker.try_borrow_mut()) {
            let mut env = Env { now: now().unwrap_or_default(), host: &serving.environment, worker: &mut worker };
            serving.pipeline.response_head(passage, status, &mut env);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        let (Some(serving), Some(passage)) = (self.serving.clone(), self.passage.as_mut()) else { return };
        let Ok(mut worker) = serving.worker.try_borrow_mut() else { return };
        let mut env = Env { now: now().unwrap_or_default(), host: &serving.environment, worker: &mut worker };
        serving.pipeline.record(passage, self.status, &mut env);
        if !passage.exchange.lines.is_empty() {
            abi::set_property(b"portcullis", passage.exchange.lines.join("\n").as_bytes());
        }
    }
}

impl Stream {
    /// Trailers say nothing that only the proxy may say, either.
    fn strip_trailers(&self) {
        let Some(serving) = &self.serving else { return };
        let Some(trailers) = abi::header_map(Map::RequestTrailers).ok().and_then(Head::from_host_map) else { return };
        for (name, _) in trailers.iter().filter(|(name, _)| serving.pipeline.strips(name)) {
            let _ = abi::remove_header(Map::RequestTrailers, name);
        }
    }
}

/// Without a clock no credential can be judged: at the epoch none has expired.
fn now() -> Option<Timestamp> {
    abi::now().map(Timestamp::from_unix_nanos)
}

fn parse_status(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn callout_reply(headers: usize, body_size: usize) -> CalloutReply {
    // Envoy delivers a lost callout as a reply with no headers at all.
    if headers == 0 || body_size > CALLOUT_REPLY_BYTES {
        return CalloutReply::Lost;
    }
    match abi::header(Map::CalloutHeaders, ":status").and_then(|text| parse_status(&text)) {
        Some(status) => CalloutReply::Answered { status, body: abi::buffer(Buffer::CalloutBody, body_size) },
        None => CalloutReply::Lost,
    }
}

/// The host's serialisation of a header block: the number of pairs, the sizes of all names and values, then the bytes of
/// each, NUL after each.
fn serialise<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
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
