//! One request's callbacks, carried to the pipeline and back. `apply` is the only place that pauses, resumes, replies or
//! sends a callout.

mod body;
mod response;

use std::rc::Rc;

use body::Body;
use response::ResponseIs;

use crate::abi::{self, Map};
use crate::kept::Kept;
use crate::response::vouches;
use crate::room::Room;
use crate::root::Serving;
use crate::stopwatch::Stopwatch;
use portcullis::check::{Arrival, Callout, CalloutReply};
use portcullis::denial::{Denial, LocalReply};
use portcullis::exchange::HeaderEdit;
use portcullis::head::Head;
use portcullis::pipeline::{Next, Passage};
use portcullis::time::Timestamp;

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
        let now = now()?;
        self.stopwatch.run(now);
        serving.decide_for(self.context, now, |pipeline, env| pipeline.resume(passage, arrival, env))
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
        let begun = serving.decide_for(self.context, now, |pipeline, env| pipeline.begin(head, end_of_stream, env));
        let Some((passage, next)) = begun else { return self.refuse() };
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
        // Asking for the time is a host call, and few exchanges are recorded with it.
        let timed = serving.pipeline.records_time(passage).then(now).flatten();
        let now = timed.unwrap_or(passage.exchange.received);
        serving.decide(now, |pipeline, env| pipeline.record(passage, status, env));
        if !passage.exchange.lines.is_empty() {
            tell(&passage.exchange.lines);
        }
    }
}

impl Stream {
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
        serving.decide(now()?, |pipeline, env| pipeline.trailers(passage, &trailers, env))
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
