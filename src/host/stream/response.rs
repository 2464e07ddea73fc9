//! The upstream's response on its way back: held where its route says so, then let go, rewritten or replaced.

use super::{Action, HeadIs, Phase, Stream, now, send};
use crate::abi::{self, Buffer, Map};
use crate::response::{
    author, forget_absent_body, harden_cookies, is_grpc, keep_from_shared_caches, remove_trailers,
    replace_response_body, replace_response_head, vouches, withdraw_digests,
};
use crate::room::Room;
use crate::vm::parse_status;
use portcullis::checks::browser::adds_up;
use portcullis::denial::{Denial, LocalReply};
use portcullis::head::Head;
use portcullis::pipeline::{Passage, ResponseArrival, ResponseNext};
use portcullis::response::{Author, Response};

/// Where the upstream's response stands.
#[derive(Debug)]
pub(super) enum ResponseIs {
    /// It goes by.
    Passing,
    /// Its body is on its way; nothing of it goes on.
    Awaited {
        limit: usize,
        head: Head,
        /// Bytes that the host holds.
        size: usize,
        /// Those before them, which we have taken from the host.
        taken: Vec<u8>,
        /// For those.
        room: Room,
    },
    /// It went to the client with another body.
    Rewritten,
    /// The client was answered here: nothing that still comes of it, or is held, goes on.
    Answered,
    /// Something else goes to the client: what still comes of it is dropped.
    Replaced {
        /// Takes the place of what comes next of the body.
        document: Vec<u8>,
        /// What the trailers say to a gRPC caller who got the upstream's head.
        grpc_status: Option<u8>,
    },
}

/// The callbacks of the host.
impl Stream {
    /// The response's head, the upstream's or ours.
    pub fn on_response_headers(&mut self, end_of_stream: bool) -> Action {
        let (Some(serving), Some(passage)) = (self.serving.clone(), self.passage.as_mut()) else {
            return Action::Continue;
        };
        // Our own replies come by here as well; they carry their headers already.
        if self.phase == Phase::Answered {
            return Action::Continue;
        }
        self.status = abi::header(Map::ResponseHeaders, ":status").and_then(|text| parse_status(&text));
        for name in &passage.exchange.withheld_headers {
            let _ = abi::remove_header(Map::ResponseHeaders, name.as_bytes());
        }
        for (name, value) in &passage.exchange.response_headers {
            let write = if adds_up(name) { abi::add_header } else { abi::set_header };
            let _ = write(Map::ResponseHeaders, name.as_bytes(), value.as_bytes());
        }
        if let Some(attributes) = serving.pipeline.cookies {
            harden_cookies(attributes);
        }
        let status = self.status.unwrap_or_default();
        if !serving.pipeline.heeds_response(passage, status) {
            return Action::Continue;
        }
        let author = author();
        let now = now().unwrap_or_default();
        let next = serving.decide(now, |pipeline, env| pipeline.response_head(passage, status, author, env));
        match next.unwrap_or_else(undecided) {
            ResponseNext::AwaitBody { .. } if author == Author::Proxy => Action::Continue,
            ResponseNext::AwaitBody { limit } => self.await_response(limit, end_of_stream),
            ResponseNext::Replace(reply) => self.replace_by_head(reply),
            next => self.apply_to_response(next, 0),
        }
    }

    /// Some of the response's body: `size` bytes are held.
    pub fn on_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match &mut self.response {
            ResponseIs::Passing | ResponseIs::Rewritten => Action::Continue,
            ResponseIs::Answered => Action::Pause,
            // What cannot be dropped is kept.
            ResponseIs::Replaced { document, .. } => {
                match abi::replace_buffer(Buffer::ResponseBody, &std::mem::take(document)) {
                    Err(_) if size > 0 => Action::Pause,
                    _ => Action::Continue,
                }
            }
            ResponseIs::Awaited { limit, size: held, taken, .. } => {
                *held = size;
                if end_of_stream || taken.len().saturating_add(size) > *limit {
                    return self.response_arrived();
                }
                if self.response_head == HeadIs::Released { self.take_response() } else { Action::Pause }
            }
        }
    }

    /// With trailers the body's callback never sees the end of the stream. They say nothing of a response that was
    /// replaced, and vouch for no body that was rewritten.
    pub fn on_response_trailers(&mut self) -> Action {
        let action = match self.response {
            ResponseIs::Awaited { .. } => self.response_arrived(),
            ResponseIs::Answered => Action::Pause,
            ResponseIs::Passing | ResponseIs::Rewritten | ResponseIs::Replaced { .. } => Action::Continue,
        };
        let clean = match self.response {
            ResponseIs::Passing | ResponseIs::Awaited { .. } | ResponseIs::Answered => true,
            ResponseIs::Rewritten => remove_trailers(vouches),
            ResponseIs::Replaced { grpc_status, .. } => {
                let clean = remove_trailers(|_| true);
                if let Some(status) = grpc_status {
                    let _ = abi::set_header(Map::ResponseTrailers, b"grpc-status", status.to_string().as_bytes());
                }
                clean
            }
        };
        if clean { action } else { Action::Pause }
    }
}

impl Stream {
    /// Holds the response until its body is whole. Where the head cannot be held it goes on without a length, so that
    /// another body fits it.
    fn await_response(&mut self, limit: usize, ends_with_head: bool) -> Action {
        let head = abi::header_map(Map::ResponseHeaders).ok().and_then(Head::from_host_map).unwrap_or_default();
        if self.passage.as_ref().is_some_and(Passage::is_private) {
            keep_from_shared_caches(&head);
        }
        if !ends_with_head && self.announces_more_than(limit, &head) {
            return self.refuse_by_head(ResponseArrival::OverLimit);
        }
        if !ends_with_head && self.withholds_streams() && Response::streams_events(&head) {
            return self.refuse_by_head(ResponseArrival::Stream);
        }
        self.response = ResponseIs::Awaited { limit, head, size: 0, taken: Vec::new(), room: Room::of_responses() };
        if ends_with_head {
            return self.response_arrived();
        }
        if !self.behind_buffer_filter() {
            return Action::Pause;
        }
        withdraw_digests();
        let _ = abi::remove_header(Map::ResponseHeaders, b"content-length");
        self.response_head = HeadIs::Released;
        Action::Continue
    }

    /// A body is coming that will be too long, and the head still is here.
    fn announces_more_than(&self, limit: usize, head: &Head) -> bool {
        let announced = head.first("content-length").and_then(|length| std::str::from_utf8(length).ok()?.parse().ok());
        announced.is_some_and(|length: u64| length > limit as u64)
            && self.status != Some(304)
            && self.passage.as_ref().is_some_and(|passage| passage.exchange.head.method() != Some(b"HEAD"))
    }

    fn withholds_streams(&self) -> bool {
        self.passage.as_ref().is_some_and(Passage::withholds_streams)
    }

    fn refuse_by_head(&mut self, arrival: ResponseArrival) -> Action {
        match self.response_decided(arrival) {
            ResponseNext::Replace(reply) => self.replace_by_head(reply),
            _ => Action::Continue,
        }
    }

    fn replace_by_head(&mut self, reply: LocalReply) -> Action {
        if self.answer(&reply) {
            return Action::Pause;
        }
        self.status = Some(reply.status);
        replace_response_head(&reply);
        self.response = ResponseIs::Replaced { document: reply.body.into_bytes(), grpc_status: None };
        Action::Continue
    }

    /// The status that the client got. Where the exchange ends while the response is held, none of that went out: the proxy
    /// answered in its place, past the filters, or nobody did.
    pub(super) fn status_told(&self) -> Option<u16> {
        match self.response {
            ResponseIs::Awaited { .. } if self.response_head == HeadIs::Held => {
                status_by_host().filter(|status| Some(*status) != self.status)
            }
            _ => self.status,
        }
    }

    fn response_arrived(&mut self) -> Action {
        let ResponseIs::Awaited { limit, head, size, taken, room } = std::mem::replace(&mut self.response, NOTHING)
        else {
            return Action::Continue;
        };
        drop(room);
        let whole = taken.len().saturating_add(size);
        let arrival = if whole > limit {
            ResponseArrival::OverLimit
        } else {
            let rest = if size == 0 { Vec::new() } else { abi::buffer(Buffer::ResponseBody, size) };
            let body = if taken.is_empty() { rest } else { [taken.as_slice(), &rest].concat() };
            // What the host does not show cannot be judged.
            if body.len() < whole {
                ResponseArrival::OverLimit
            } else {
                ResponseArrival::Whole(Response::new(self.status.unwrap_or_default(), head, body))
            }
        };
        let unread = matches!(arrival, ResponseArrival::OverLimit);
        let next = self.response_decided(arrival);
        if let ResponseNext::Replace(reply) = &next
            && unread
            && self.answer(reply)
        {
            return Action::Pause;
        }
        // A response without a body, to HEAD say, tells nothing of the one that is held back or changed.
        if whole == 0 && next == ResponseNext::Continue {
            forget_absent_body();
        }
        if next == ResponseNext::Continue
            && !taken.is_empty()
            && abi::prepend_to_buffer(Buffer::ResponseBody, &taken).is_err()
        {
            return self.apply_to_response(undecided(), whole);
        }
        self.apply_to_response(next, whole)
    }

    /// Takes what the host holds of a response whose head went on. A filter between us and the client that keeps the head for a
    /// while lets go with it whatever the host holds. What the host does not give stays there, and is judged with the rest.
    fn take_response(&mut self) -> Action {
        let ResponseIs::Awaited { size, taken, room, .. } = &mut self.response else { return Action::Pause };
        if !room.take(*size) {
            return self.response_crowded_out();
        }
        let more = abi::buffer(Buffer::ResponseBody, *size);
        if more.len() == *size && abi::replace_buffer(Buffer::ResponseBody, b"").is_ok() {
            taken.extend(more);
            *size = 0;
        }
        Action::Pause
    }

    /// Without room for it no response can be held safely. What of it comes yet is dropped.
    fn response_crowded_out(&mut self) -> Action {
        let ResponseIs::Awaited { size, .. } = std::mem::replace(&mut self.response, NOTHING) else {
            return Action::Pause;
        };
        self.apply_to_response(undecided(), size)
    }

    fn response_decided(&mut self, arrival: ResponseArrival) -> ResponseNext {
        let (Some(serving), Some(passage)) = (self.serving.clone(), self.passage.as_mut()) else { return undecided() };
        let Some(now) = now() else { return undecided() };
        let next = serving.decide(now, |pipeline, env| pipeline.response_body(passage, arrival, env));
        next.unwrap_or_else(undecided)
    }

    /// `held` bytes of the body wait at the host: where they cannot be replaced they go nowhere.
    fn apply_to_response(&mut self, next: ResponseNext, held: usize) -> Action {
        let replaced = match next {
            ResponseNext::Continue => {
                self.response = ResponseIs::Passing;
                return Action::Continue;
            }
            ResponseNext::AwaitBody { .. } => return Action::Pause,
            ResponseNext::Rewrite(body) => {
                withdraw_digests();
                self.response = ResponseIs::Rewritten;
                replace_response_body(&body)
            }
            ResponseNext::Replace(reply) => {
                if self.answer_grpc(&reply) {
                    return Action::Pause;
                }
                self.replace_response(&reply)
            }
        };
        if replaced {
            return Action::Continue;
        }
        if !matches!(self.response, ResponseIs::Replaced { .. }) {
            self.response = NOTHING;
        }
        if held > 0 { Action::Pause } else { Action::Continue }
    }

    fn replace_response(&mut self, reply: &LocalReply) -> bool {
        self.status = Some(reply.status);
        let speaks_grpc = self.response_head == HeadIs::Released && self.calls_grpc();
        let grpc_status = speaks_grpc.then_some(reply.grpc_status);
        self.response = ResponseIs::Replaced { document: Vec::new(), grpc_status };
        replace_response_head(reply);
        // A document is no message of gRPC.
        replace_response_body(if grpc_status.is_some() { b"" } else { reply.body.as_bytes() })
    }

    /// Answers a gRPC caller in the words of gRPC, where the response's head still is here. False where it is not, where
    /// the caller speaks something else, or where the host refuses.
    fn answer_grpc(&mut self, reply: &LocalReply) -> bool {
        self.calls_grpc() && self.answer(reply)
    }

    /// Answers in the upstream's place, where the response's head still is here; the upstream need not send the rest, which
    /// may have no end: what takes the place of a body ends with it. False where the head is gone, or the host refuses.
    fn answer(&mut self, reply: &LocalReply) -> bool {
        if self.response_head == HeadIs::Released || !send(reply) {
            return false;
        }
        self.status = Some(reply.status);
        self.response = ResponseIs::Answered;
        true
    }

    /// The caller speaks gRPC.
    pub(super) fn calls_grpc(&self) -> bool {
        self.passage.as_ref().and_then(|passage| passage.exchange.head.first("content-type")).is_some_and(is_grpc)
    }
}

/// The status of the response as the host knows it, a number of 64 bits.
fn status_by_host() -> Option<u16> {
    let code = abi::property(b"response\0code")?;
    code.first_chunk().copied().map(u16::from_le_bytes)
}

/// Nothing of the response goes on, and nothing takes its place.
const NOTHING: ResponseIs = ResponseIs::Replaced { document: Vec::new(), grpc_status: None };

/// A response that nobody could decide about goes to nobody.
fn undecided() -> ResponseNext {
    ResponseNext::Replace(Denial::Unavailable { what: "internal" }.reply(""))
}
