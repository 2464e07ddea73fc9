//! One request's callbacks, carried to the pipeline and back. `apply` is the only place that pauses, resumes, replies or
//! sends a callout.

mod response;

use std::rc::Rc;

use response::ResponseIs;

use crate::abi::{self, Buffer, Map};
use crate::kept::Kept;
use crate::response::vouches;
use crate::room::Room;
use crate::root::Serving;
use crate::stopwatch::Stopwatch;
use portcullis::check::{Arrival, BodyArrival, Callout, CalloutReply, Env};
use portcullis::denial::{Denial, LocalReply};
use portcullis::exchange::HeaderEdit;
use portcullis::head::Head;
use portcullis::pipeline::{Next, Passage};
use portcullis::time::Timestamp;
use portcullis_config::Hold;

/// What the host does after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// What was shown goes on.
    Continue = 0,
    /// It waits.
    Pause = 1,
    /// The body waits, and the host takes no more of it than it has room for.
    PauseReading = 2,
    /// The head waits, and whatever follows it with it: the host refuses more of that than it has room for.
    PauseWithin = 3,
    /// The head waits, and whatever follows it with it: the host takes no more of that than it has room for.
    PauseAll = 4,
}

/// One request and its response.
pub struct Stream {
    context: u32,
    serving: Option<Rc<Serving>>,
    passage: Option<Passage>,
    phase: Phase,
    head: HeadIs,
    body: Body,
    /// Some of the request waits at our word.
    waits: bool,
    /// The body as it was shown to the first check that waited for it.
    kept: Option<Kept>,
    /// For what of it was taken from the host.
    room: Room,
    /// The trailers, until they are judged.
    trailers: Option<Head>,
    status: Option<u16>,
    response: ResponseIs,
    response_head: HeadIs,
    stopwatch: Stopwatch,
}

/// What has arrived of the request's body.
#[derive(Clone, Copy, Debug, Default)]
struct Body {
    /// Bytes that have arrived and wait.
    size: usize,
    /// How many of them we have taken from the host.
    taken: usize,
    /// There is no more.
    ended: bool,
    /// The host shows nothing of it before the head goes on.
    behind_head: bool,
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
    /// Nothing is against it. It goes on with its end, or with the root's next turn where that was `asked` for and is first.
    Leaving { asked: bool },
    /// The request went on.
    Released,
    /// The client was answered here.
    Answered,
}

/// Where the head of the request or the response is.
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
            waits: false,
            kept: None,
            room: Room::of_requests(),
            trailers: None,
            status: None,
            response: ResponseIs::Passing,
            response_head: HeadIs::Held,
            stopwatch: Stopwatch::default(),
        }
    }

    /// Gives the pipeline what it waited for.
    fn arrived(&mut self, arrival: Arrival<'_>) -> Action {
        match self.resumed(arrival) {
            Some(next) => self.apply(next),
            None => self.refuse(),
        }
    }

    fn resumed(&mut self, arrival: Arrival<'_>) -> Option<Next> {
        let serving = self.serving.clone()?;
        let passage = self.passage.as_mut()?;
        let mut worker = serving.worker.try_borrow_mut().ok()?;
        let now = now()?;
        self.stopwatch.run(now);
        let mut env = Env { now, host: &serving.environment, worker: &mut worker };
        let next = serving.pipeline.resume(passage, arrival, &mut env);
        let stirred = std::mem::take(&mut worker.stirred);
        drop(worker);
        if stirred {
            serving.stir(self.context);
        }
        Some(next)
    }

    fn apply(&mut self, next: Next) -> Action {
        match next {
            Next::Continue => self.release(),
            Next::Reply(reply) => self.reply(&reply),
            Next::Call(mut callout) => {
                let action = self.call(&callout);
                callout.wipe();
                action
            }
            Next::AwaitBody { limit } => self.await_body(limit),
        }
    }

    fn note_decision(&mut self) {
        if let Some((spent, serving)) = self.stopwatch.stop().zip(self.serving.as_ref()) {
            serving.environment.decided_in(spent);
        }
    }

    fn release(&mut self) -> Action {
        if self.trailers.is_some()
            && let Some(action) = self.refuse_trailers()
        {
            return action;
        }
        if (self.head == HeadIs::Held && !self.edit_head()) || !self.replace_body() {
            return self.refuse();
        }
        self.phase = Phase::Released;
        self.forget_body();
        self.note_decision();
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
            // Whatever came under such a name was removed before, and to add is half of what to replace costs the host.
            .all(|(name, value)| abi::add_header(Map::RequestHeaders, name.as_bytes(), value.as_bytes()).is_ok())
    }

    /// Gives the request the body that the checks made of it, and says its length. A length that does not hold would let
    /// the upstream take the rest for a request of its own. False when the host refuses.
    fn replace_body(&mut self) -> bool {
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
    fn forget_body(&mut self) {
        self.kept = None;
        self.room = Room::of_requests();
    }

    fn await_body(&mut self, limit: usize) -> Action {
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
    fn body_may_wait(&self) -> bool {
        let awaits_reply = matches!(self.phase, Phase::AwaitingReply { .. });
        let needed = || self.passage.as_ref().is_none_or(Passage::may_await_body);
        awaits_reply && !self.body.ended && !needed()
    }

    /// A body that is longer than the host's buffers must not be refused for the time that the answer takes. A buffer filter
    /// refuses it all the same, but never if the host has stopped to read: it would wait for the rest of what nobody reads.
    fn pause_with_body(&mut self) -> Action {
        if self.behind_buffer_filter() {
            return Action::PauseWithin;
        }
        self.body.behind_head = true;
        Action::PauseAll
    }

    fn behind_buffer_filter(&self) -> bool {
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
    fn body_progressed(&mut self) -> Action {
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

    fn call(&mut self, callout: &Callout) -> Action {
        let Some(serving) = self.serving.clone() else { return self.refuse() };
        let Some(now) = now() else { return self.refuse() };
        match serving.callouts.send(self.context, callout, now) {
            Ok(token) => {
                self.phase = Phase::AwaitingReply { token };
                if self.head == HeadIs::Released { self.take_body() } else { Action::Pause }
            }
            Err(_) => {
                serving.environment.heard_of(&callout.cluster, &CalloutReply::Lost);
                if let Some(flight) = &callout.flight {
                    serving.heard(flight, &CalloutReply::Lost);
                }
                self.arrived(Arrival::Reply(&CalloutReply::Lost))
            }
        }
    }

    fn reply(&mut self, reply: &LocalReply) -> Action {
        self.phase = Phase::Answered;
        self.status = Some(reply.status);
        self.forget_body();
        self.note_decision();
        send(reply);
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
        if self.arrived(Arrival::Reply(reply)) != Action::Continue {
            return;
        }
        if self.phase == Phase::Released && self.is_shown_its_body() {
            self.phase = Phase::Leaving { asked: false };
            return;
        }
        self.waits = false;
        abi::continue_request();
    }

    /// The request's head.
    pub fn on_request_headers(&mut self, end_of_stream: bool) -> Action {
        let Some(serving) = self.serving.clone() else { return self.refuse() };
        let Some(head) = abi::header_map(Map::RequestHeaders).ok().and_then(Head::from_host_map) else {
            return self.refuse();
        };
        let Some(now) = now() else { return self.refuse() };
        self.stopwatch.run(now);
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
        let action = match self.apply(next) {
            Action::Pause if self.body_may_wait() => self.pause_with_body(),
            action => action,
        };
        self.waits = action != Action::Continue;
        action
    }

    /// Some of the request's body: `size` bytes are held.
    pub fn on_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        // What the host does not add to the rest it shows by itself.
        let size = self.body.size.max(self.body.taken.saturating_add(size));
        self.body = Body { size, ended: end_of_stream || self.body.ended, ..self.body };
        let action = match self.body_progressed() {
            Action::Continue if self.waits && !self.body.ended && self.phase == Phase::Released => self.leave_soon(),
            action => action,
        };
        self.waits = action != Action::Continue;
        action
    }

    /// With trailers the body's callback never sees the end of the stream.
    pub fn on_request_trailers(&mut self) -> Action {
        let known = std::mem::replace(&mut self.body.ended, true);
        match self.phase {
            Phase::Answered => return Action::Pause,
            // They go on by way of this callback.
            Phase::Released if known => return Action::Continue,
            _ => {}
        }
        self.trailers = self.stripped_trailers();
        if self.trailers.is_none() {
            return self.refuse();
        }
        match self.phase {
            // A body that nobody waited for is on its way: without its end, it is no request yet.
            Phase::Released => self.refuse_trailers().unwrap_or(Action::Continue),
            Phase::Leaving { .. } => self.refuse_trailers().unwrap_or_else(|| {
                self.phase = Phase::Released;
                self.go_on_in_order()
            }),
            _ => match self.body_progressed() {
                Action::Continue => self.go_on_in_order(),
                _ => Action::Pause,
            },
        }
    }

    /// Lets a body go on with its trailers. Where both came before the head went on, the host shows them in one go, and would give
    /// the buffer filter the trailers first: it makes a request without content of the head, and the upstream takes the body
    /// for its next request. Told to go on from here, the host keeps their order.
    fn go_on_in_order(&self) -> Action {
        if self.head == HeadIs::Held || self.body.size == 0 {
            return Action::Continue;
        }
        abi::continue_request();
        Action::Pause
    }

    /// The root's turn has come.
    pub fn on_turn(&mut self) {
        if matches!(self.phase, Phase::Leaving { .. }) {
            self.phase = Phase::Released;
            self.waits = false;
            abi::continue_request();
        }
    }

    /// The exchange is over.
    pub fn on_log(&mut self) {
        let status = self.status_told();
        let (Some(serving), Some(passage)) = (self.serving.clone(), self.passage.as_mut()) else { return };
        let Ok(mut worker) = serving.worker.try_borrow_mut() else { return };
        // Asking for the time is a host call, and few exchanges are recorded with it.
        let timed = serving.pipeline.records_time(passage).then(now).flatten();
        let now = timed.unwrap_or(passage.exchange.received);
        let mut env = Env { now, host: &serving.environment, worker: &mut worker };
        serving.pipeline.record(passage, status, &mut env);
        if !passage.exchange.lines.is_empty() {
            tell(&passage.exchange.lines);
        }
    }
}

impl Stream {
    /// Lets a request go on of which there may be more, or trailers, from a callback of its body. Where a filter in front has kept
    /// all of it, the host has the trailers already: told by this callback to go on, it sends them past us, and then again by way
    /// of us.
    ///
    /// Nor may the host have been told last to add the body to what it holds, when it goes on in any other way: it would add what
    /// still comes as well, and show a filter behind us that keeps the body (a buffer filter, which counts it) all of it again.
    fn leave_soon(&mut self) -> Action {
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
    fn take_body(&mut self) -> Action {
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
    fn is_shown_its_body(&self) -> bool {
        self.body.size > 0 && !self.body.ended && !self.calls_grpc()
    }

    /// Trailers say nothing that belongs in the head, either, and vouch for no body that the upstream may not get. `None`: the
    /// host refuses to show or to change them.
    fn stripped_trailers(&self) -> Option<Head> {
        let serving = self.serving.as_ref()?;
        let trailers = abi::header_map(Map::RequestTrailers).ok().and_then(Head::from_host_map)?;
        let rewrites = self.passage.as_ref().is_some_and(Passage::rewrites_body);
        let goes = |name: &[u8]| serving.pipeline.strips_trailer(name) || rewrites && vouches(name);
        let mut going = trailers.iter().map(|(name, _)| name).filter(|name| goes(name));
        let gone = going.all(|name| abi::remove_header(Map::RequestTrailers, name).is_ok());
        drop(going);
        gone.then_some(trailers)
    }

    /// Trailers are judged last: nothing is said of them to whom the request is refused for another reason. `None`: they go on.
    fn refuse_trailers(&mut self) -> Option<Action> {
        match self.judge_trailers() {
            Some(None) => None,
            Some(Some(reply)) => Some(self.reply(&reply)),
            None => Some(self.refuse()),
        }
    }

    /// `None`: they cannot be judged. Else the reply that refuses them, if one does.
    fn judge_trailers(&mut self) -> Option<Option<LocalReply>> {
        let trailers = self.trailers.take()?;
        let serving = self.serving.clone()?;
        let passage = self.passage.as_mut()?;
        let mut worker = serving.worker.try_borrow_mut().ok()?;
        let mut env = Env { now: now()?, host: &serving.environment, worker: &mut worker };
        Some(serving.pipeline.trailers(passage, &trailers, &mut env))
    }
}

/// Answers the client in the upstream's place. False when the host refuses.
fn send(reply: &LocalReply) -> bool {
    let headers = abi::serialise(reply.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    abi::send_local_response(reply.status, reply.details, &headers, reply.body.as_bytes(), reply.grpc_status).is_ok()
}

/// Shows the access log the event lines of an exchange, after those of another plugin in its filter chain.
fn tell(lines: &[String]) {
    const NAME: &[u8] = b"portcullis";
    let mut told = abi::property(NAME).unwrap_or_default();
    for line in lines {
        if !told.is_empty() {
            told.push(b'\n');
        }
        told.extend_from_slice(line.as_bytes());
    }
    abi::set_property(NAME, &told);
}

/// Without a clock no credential can be judged: at the epoch none has expired.
pub fn now() -> Option<Timestamp> {
    abi::now().map(Timestamp::from_unix_nanos)
}
