//! One request's callbacks, carried to the pipeline and back. `apply` is the only place that pauses, resumes, replies or
//! sends a callout.

use std::rc::Rc;

use crate::check::{Arrival, BodyArrival, Callout, CalloutReply, Env};
use crate::checks::browser::adds_up;
use crate::config::Hold;
use crate::denial::{Denial, LocalReply};
use crate::exchange::HeaderEdit;
use crate::head::Head;
use crate::host::abi::{self, Buffer, Map};
use crate::host::root::Serving;
use crate::host::vm::parse_status;
use crate::pipeline::{Next, Passage};
use crate::time::Timestamp;

/// What the host does after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// What was shown goes on.
    Continue = 0,
    /// It waits.
    Pause = 1,
}

/// One request and its response.
pub struct Stream {
    context: u32,
    serving: Option<Rc<Serving>>,
    passage: Option<Passage>,
    phase: Phase,
    head: HeadIs,
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
    /// The body is on its way.
    AwaitingBody { limit: usize },
    /// An answer is on its way.
    AwaitingReply { token: u32 },
    /// The request went on.
    Released,
    /// The client was answered here.
    Answered,
}

/// Where the request's head is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeadIs {
    /// With us: it can still be changed.
    Held,
    /// With a buffer filter behind us, which holds it until the body is whole.
    Released,
}

impl Stream {
    /// A stream under the configuration in force; without one everything is refused.
    pub fn new(context: u32, serving: Option<Rc<Serving>>) -> Self {
        Self {
            context,
            serving,
            passage: None,
            phase: Phase::Head,
            head: HeadIs::Held,
            body: Body::default(),
            status: None,
        }
    }

    /// Gives the pipeline what it waited for.
    fn arrived(&mut self, arrival: Arrival<'_>) -> Action {
        let Some(serving) = self.serving.clone() else { return self.refuse() };
        let Some(passage) = self.passage.as_mut() else { return self.refuse() };
        let Some(now) = now() else { return self.refuse() };
        let Ok(mut worker) = serving.worker.try_borrow_mut() else { return self.refuse() };
        let mut env = Env { now, host: &serving.environment, worker: &mut worker };
        let next = serving.pipeline.resume(passage, arrival, &mut env);
        let stirred = std::mem::take(&mut worker.stirred);
        drop(worker);
        if stirred {
            serving.stir(self.context);
        }
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
        if self.head == HeadIs::Held && !self.edit_head() {
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
        self.phase = Phase::AwaitingBody { limit };
        // The body may have arrived whole while an answer was on its way.
        if self.body.ended || self.body.size > limit {
            return self.body_arrived(limit);
        }
        if self.head == HeadIs::Released || !self.behind_buffer_filter() {
            return Action::Pause;
        }
        if !self.edit_head() {
            return self.refuse();
        }
        self.head = HeadIs::Released;
        Action::Continue
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
            Phase::AwaitingBody { limit } if self.body.ended || self.body.size > limit => self.body_arrived(limit),
            Phase::Released => Action::Continue,
            _ => Action::Pause,
        }
    }

    fn call(&mut self, callout: &Callout) -> Action {
        let Some(serving) = self.serving.clone() else { return self.refuse() };
        let Some(now) = now() else { return self.refuse() };
        match serving.callouts.send(self.context, callout, now) {
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
        let headers = abi::serialise(reply.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let _ =
            abi::send_local_response(reply.status, reply.details, &headers, reply.body.as_bytes(), reply.grpc_status);
        Action::Pause
    }

    /// What cannot be decided is refused.
    fn refuse(&mut self) -> Action {
        self.reply(&Denial::Unavailable { what: "not_configured" }.reply(""))
    }
}

/// The callbacks of the host.
impl Stream {
    /// The answer to a callout.
    pub fn on_reply(&mut self, token: u32, reply: &CalloutReply) {
        if self.phase != (Phase::AwaitingReply { token }) {
            return;
        }
        if self.arrived(Arrival::Reply(reply)) == Action::Continue {
            abi::continue_request();
        }
    }

    /// The request's head.
    pub fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        let Some(serving) = self.serving.clone() else { return self.refuse() };
        let Some(head) = abi::header_map(Map::RequestHeaders).ok().and_then(Head::from_host_map) else {
            return self.refuse();
        };
        let Some(now) = now() else { return self.refuse() };
        let Ok(mut worker) = serving.worker.try_borrow_mut() else { return self.refuse() };
        let mut env = Env { now, host: &serving.environment, worker: &mut worker };
        let (passage, next) = serving.pipeline.begin(head, end_of_stream, &mut env);
        let stirred = std::mem::take(&mut worker.stirred);
        drop(worker);
        if stirred {
            serving.stir(self.context);
        }
        self.passage = Some(passage);
        self.body.ended = end_of_stream;
        self.apply(next)
    }

    /// Some of the request's body: `size` bytes are held.
    pub fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.body = Body { size, ended: end_of_stream };
        self.body_progressed()
    }

    /// With trailers the body's callback never sees the end of the stream.
    pub fn on_request_trailers(&mut self) -> Action {
        self.strip_trailers();
        self.body.ended = true;
        self.body_progressed()
    }

    /// The response's head, the upstream's or ours.
    pub fn on_response_headers(&mut self) -> Action {
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

    /// The exchange is over.
    pub fn on_log(&mut self) {
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
pub fn now() -> Option<Timestamp> {
    abi::now().map(Timestamp::from_unix_nanos)
}
