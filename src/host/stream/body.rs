//! The body of a request: how it waits, is shown to the checks that ask for it, and goes on.

use super::{Action, HeadIs, Phase, Stream};
use crate::abi::{self, Buffer, Map};
use crate::kept::Kept;
use crate::room::Room;
use portcullis::check::{Arrival, BodyArrival};
use portcullis::pipeline::Passage;
use portcullis_config::Hold;

/// What has arrived of the request's body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Body {
    /// Bytes that have arrived and wait.
    pub(super) size: usize,
    /// How many of them we have taken from the host.
    pub(super) taken: usize,
    /// There is no more.
    pub(super) ended: bool,
    /// The host shows nothing of it before the head goes on.
    pub(super) behind_head: bool,
}

impl Stream {
    /// Gives the request the body that the checks made of it, and says its length. A length that does not hold would let
    /// the upstream take the rest for a request of its own. False when the host refuses.
    pub(super) fn replace_body(&mut self) -> bool {
        let Some(body) = self.passage.as_mut().and_then(|passage| passage.exchange.rewritten_body.take()) else {
            return self.give_back();
        };
        self.body.taken = 0;
        if abi::replace_buffer(Buffer::RequestBody, &body).is_err() {
            return false;
        }
        let states_length = abi::header(Map::RequestHeaders, "content-length").is_some();
        self.head == HeadIs::Released
            || !states_length
            || abi::set_header(Map::RequestHeaders, b"content-length", body.len().to_string().as_bytes()).is_ok()
    }

    /// Nobody asks for it any more.
    pub(super) fn forget_body(&mut self) {
        self.kept = None;
        self.room = Room::of_requests();
    }

    pub(super) fn await_body(&mut self, limit: usize) -> Action {
        self.phase = Phase::AwaitingBody { limit };
        // The body may have arrived whole while an answer was on its way.
        if self.body.ended || self.body.size > limit {
            return self.body_arrived(limit);
        }
        if self.body.behind_head {
            return self.refuse();
        }
        self.stopwatch.pause();
        if self.head == HeadIs::Released {
            return self.take_body();
        }
        if !self.behind_buffer_filter() {
            return Action::Pause;
        }
        if !self.edit_head() || !self.forget_length() {
            return self.refuse();
        }
        self.head = HeadIs::Released;
        if let Some(passage) = &mut self.passage {
            passage.head_goes_on();
        }
        Action::Continue
    }

    /// Takes out the length of a body that may be changed when the head cannot be changed any more; the buffer filter
    /// states the new one. False when the host refuses.
    fn forget_length(&self) -> bool {
        let rewrites = self.passage.as_ref().is_some_and(Passage::rewrites_body);
        !rewrites || abi::remove_header(Map::RequestHeaders, b"content-length").is_ok()
    }

    /// The request waits for an answer, and after that nobody here waits for its body.
    pub(super) fn body_may_wait(&self) -> bool {
        let awaits_reply = matches!(self.phase, Phase::AwaitingReply { .. });
        let needed = || self.passage.as_ref().is_none_or(Passage::may_await_body);
        awaits_reply && !self.body.ended && !needed()
    }

    /// A body that is longer than the host's buffers must not be refused for the time that the answer takes. A buffer filter
    /// refuses it all the same, but never if the host has stopped to read: it would wait for the rest of what nobody reads.
    pub(super) fn pause_with_body(&mut self) -> Action {
        if self.behind_buffer_filter() {
            return Action::PauseWithin;
        }
        self.body.behind_head = true;
        Action::PauseAll
    }

    pub(super) fn behind_buffer_filter(&self) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.hold == Hold::BufferFilter)
    }

    fn body_arrived(&mut self, limit: usize) -> Action {
        let size = self.body.size.min(limit.saturating_add(1));
        let bytes = self.first_bytes(size);
        // What the host does not show cannot be judged.
        let Some(shown) = bytes.get(..size) else { return self.refuse() };
        let body = if self.body.size > limit { BodyArrival::OverLimit(shown) } else { BodyArrival::Whole(shown) };
        let Some(next) = self.resumed(Arrival::Body(body)) else { return self.refuse() };
        self.kept = Some(bytes);
        self.apply(next)
    }

    /// The first `size` bytes of the body, or as many as the host shows. Two checks that wait for them get the same, read once.
    fn first_bytes(&mut self, size: usize) -> Kept {
        match self.kept.take() {
            Some(kept) if kept.len() >= size => kept,
            Some(mut kept) if self.body.taken > 0 => {
                kept.truncate(self.body.taken);
                kept.add(&abi::buffer(Buffer::RequestBody, size.saturating_sub(kept.len())));
                kept
            }
            _ => Kept::new(abi::buffer(Buffer::RequestBody, size)),
        }
    }

    /// What a body callback answers: nothing passes before the verdict is in.
    pub(super) fn body_progressed(&mut self) -> Action {
        match self.phase {
            Phase::AwaitingBody { limit } if self.body.ended || self.body.size > limit => self.body_arrived(limit),
            Phase::Released => Action::Continue,
            // There are no trailers to come.
            Phase::Leaving { .. } if self.body.ended => {
                self.phase = Phase::Released;
                Action::Continue
            }
            Phase::Leaving { .. } => self.leave_soon(),
            Phase::AwaitingBody { .. } if self.head == HeadIs::Released => self.take_body(),
            _ => Action::Pause,
        }
    }

    /// Lets a request go on of which there may be more, or trailers, from a callback of its body. Where a filter in front has kept
    /// all of it, the host has the trailers already: told by this callback to go on, it sends them past us, and then again by way
    /// of us.
    ///
    /// Nor may the host have been told last to add the body to what it holds, when it goes on in any other way: it would add what
    /// still comes as well, and show a filter behind us that keeps the body (a buffer filter, which counts it) all of it again.
    pub(super) fn leave_soon(&mut self) -> Action {
        let asked = self.phase == Phase::Leaving { asked: true };
        // It waits for the end behind us, and may be refused there for its length: not so where the host has stopped to read.
        let waits_for_end = self.behind_buffer_filter() && !self.calls_grpc();
        if !asked && !waits_for_end && !self.serving.as_ref().is_some_and(|serving| serving.let_go(self.context)) {
            return self.refuse();
        }
        self.phase = Phase::Leaving { asked: !waits_for_end };
        if waits_for_end { Action::Pause } else { Action::PauseReading }
    }

    /// Takes what the host holds of a body whose head went on. A filter behind us that keeps the head for a while, until a service
    /// has answered say, lets go with it whatever the host holds: unjudged, and then a buffer filter counts it twice.
    pub(super) fn take_body(&mut self) -> Action {
        let size = self.body.size.saturating_sub(self.body.taken);
        // Without room it waits where it is.
        if size == 0 || !self.room.take(size) {
            return Action::Pause;
        }
        let more = Kept::new(abi::buffer(Buffer::RequestBody, size));
        if more.len() < size || abi::replace_buffer(Buffer::RequestBody, b"").is_err() {
            return self.refuse();
        }
        match &mut self.kept {
            Some(kept) if self.body.taken > 0 => {
                kept.truncate(self.body.taken);
                kept.add(&more);
            }
            kept => *kept = Some(more),
        }
        self.body.taken = self.body.size;
        Action::Pause
    }

    /// Gives the host back what was taken of the body. False when it refuses.
    fn give_back(&mut self) -> bool {
        let taken = std::mem::take(&mut self.body.taken);
        let bytes = self.kept.as_deref().and_then(|kept| kept.get(..taken));
        taken == 0 || bytes.is_some_and(|bytes| abi::prepend_to_buffer(Buffer::RequestBody, bytes).is_ok())
    }

    /// The host adds to the body what still comes of it, and only a callback of the body can end that. Messages of gRPC may have
    /// to be answered before there is another.
    pub(super) fn is_shown_its_body(&self) -> bool {
        self.body.size > 0 && !self.body.ended && !self.calls_grpc()
    }
}
