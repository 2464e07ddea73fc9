//! What comes when the guards are through: the request's trailers, and the response's way back, counted, held and decided on where its
//! route says so, and recorded.

use std::rc::Rc;

use super::{Passage, Pipeline};
use crate::check::{Env, Failure, ResponseCheck, Step};
use crate::config::{self, Mode};
use crate::denial::{AuthReason, BlockReason, Denial, LocalReply, ResponseRejection};
use crate::event::{Details, EventType};
use crate::exchange::Issuance;
use crate::head::Head;
use crate::metrics::Counter;
use crate::response::{Author, Response};

/// What decides about a response, in order, with its whole body.
#[derive(Clone)]
pub struct ResponseGuards {
    /// In the order in which they decide.
    pub guards: Rc<[ResponseGuard]>,
    /// Bytes of a body that can be held.
    pub limit: usize,
    /// What goes out is for its caller alone: no shared cache may keep it.
    pub is_private: bool,
}

/// A check of responses with what is done with its word.
pub struct ResponseGuard {
    /// What decides.
    pub check: Rc<dyn ResponseCheck>,
    /// What is done with its refusals.
    pub mode: Mode,
}

impl ResponseGuards {
    /// Nothing decides.
    pub fn none() -> Self {
        Self { guards: Rc::from([]), limit: 0, is_private: false }
    }
}

/// What the host does with the upstream's response.
#[derive(Debug, PartialEq)]
pub enum ResponseNext {
    /// It goes to the client as it is.
    Continue,
    /// Keep it until its body, at most `limit` bytes, has arrived.
    AwaitBody {
        /// Bytes.
        limit: usize,
    },
    /// It goes to the client with this body.
    Rewrite(Vec<u8>),
    /// This goes to the client instead.
    Replace(LocalReply),
}

/// The body of a response as it arrived.
#[derive(Debug)]
pub enum ResponseArrival {
    /// All of it.
    Whole(Response),
    /// More than the limit that was asked for.
    OverLimit,
    /// A stream of events, which may have no end.
    Stream,
}

impl Pipeline {
    /// Whether [`Pipeline::response_head`] has anything to say about a response of this status.
    pub fn heeds_response(&self, passage: &Passage, status: u16) -> bool {
        !passage.route.response.guards.is_empty() || refused_by_upstream(status).is_some()
    }

    /// Counts what the upstream refused, and says whether a response is to be held. Call once, for no response of ours.
    pub fn response_head(&self, passage: &mut Passage, status: u16, author: Author, env: &mut Env<'_>) -> ResponseNext {
        // What a filter behind us refuses is that filter's to count: it may be a token that has only expired.
        if author == Author::Upstream {
            self.count_refusal(passage, status, env);
        }
        if passage.route.response.guards.is_empty() {
            return ResponseNext::Continue;
        }
        // What follows a switch of protocols is no response whose fields could be read.
        if status == 101 {
            return self.unreadable(passage, ResponseRejection::Upgraded, env);
        }
        ResponseNext::AwaitBody { limit: passage.route.response.limit }
    }

    fn count_refusal(&self, passage: &mut Passage, status: u16, env: &mut Env<'_>) {
        let Some(reason) = refused_by_upstream(status) else { return };
        env.host.count(Counter::BlockedRequests(reason), 1);
        if status == 401 {
            env.host.count(Counter::AuthFailures(AuthReason::Upstream), 1);
            let details = Details { reason: AuthReason::Upstream.as_str(), status: Some(status), ..Details::default() };
            self.emit(&mut passage.exchange, EventType::AuthFailure, details, env);
            self.feed(&mut passage.exchange, Some(config::Failure::Upstream401), true, env);
        }
    }

    /// Decides about a response that was held.
    pub fn response_body(&self, passage: &mut Passage, arrival: ResponseArrival, env: &mut Env<'_>) -> ResponseNext {
        let mut response = match arrival {
            ResponseArrival::Whole(response) => response,
            ResponseArrival::OverLimit => return self.unreadable(passage, ResponseRejection::TooLarge, env),
            ResponseArrival::Stream => return self.unreadable(passage, ResponseRejection::Malformed, env),
        };
        let route = passage.route.clone();
        for guard in route.response.guards.iter() {
            let step = guard.check.decide(&mut response, &mut passage.exchange, env);
            if let Some(denial) = self.settle_late(passage, guard.mode, step, env) {
                return self.replace(passage, denial, env);
            }
        }
        response.rewritten().map_or(ResponseNext::Continue, ResponseNext::Rewrite)
    }

    /// Decides about a response whose body cannot be shown to the guards.
    fn unreadable(&self, passage: &mut Passage, why: ResponseRejection, env: &mut Env<'_>) -> ResponseNext {
        let route = passage.route.clone();
        for guard in route.response.guards.iter() {
            let step = guard.check.unreadable(why);
            if let Some(denial) = self.settle_late(passage, guard.mode, step, env) {
                return self.replace(passage, denial, env);
            }
        }
        ResponseNext::Continue
    }

    /// Decides about the request's trailers, when its guards have let it go on. `Some`: the client gets this instead.
    pub fn trailers(&self, passage: &mut Passage, trailers: &Head, env: &mut Env<'_>) -> Option<LocalReply> {
        let route = passage.route.clone();
        for guard in route.guards.iter() {
            let step = guard.check.trailers(trailers, env);
            if let Some(denial) = self.settle_late(passage, guard.mode, step, env) {
                return Some(self.refusal(passage, denial, env));
            }
        }
        None
    }

    /// Applies monitor mode to a check's word about what comes late: trailers, a response. `None`: on to the next guard.
    fn settle_late(&self, passage: &mut Passage, mode: Mode, step: Step, env: &mut Env<'_>) -> Option<Denial> {
        self.tell(&mut passage.exchange, env);
        match step {
            Step::Pass => None,
            Step::Refuse(denial) => Some(denial),
            Step::Deny(denial) if mode == Mode::Enforce && !passage.monitored => Some(denial),
            Step::Deny(denial) | Step::Observe(denial) => {
                self.report(&mut passage.exchange, &denial, "monitor", env);
                None
            }
            Step::Fail(failure) => Some(Denial::Unavailable { what: failure.as_str() }),
            Step::Await(_) | Step::Answer(_) => Some(Denial::Unavailable { what: Failure::NoWord.as_str() }),
        }
    }

    fn replace(&self, passage: &mut Passage, denial: Denial, env: &mut Env<'_>) -> ResponseNext {
        ResponseNext::Replace(self.refusal(passage, denial, env))
    }

    /// Whether [`Pipeline::record`] needs to know the time.
    pub fn records_time(&self, passage: &Passage) -> bool {
        self.sensitive.contains(&passage.exchange.target.canonical)
    }

    /// Closes the exchange: its caller is counted, a login that it leaves is known, and what was asked of a sensitive path is
    /// recorded with its outcome.
    pub fn record(&self, passage: &mut Passage, status: Option<u16>, env: &mut Env<'_>) {
        if let Some(caller) = &passage.exchange.caller {
            env.worker.sessions.see(caller.fingerprint, passage.exchange.received);
        }
        if let Issuance::Login(login) = &passage.exchange.issuance {
            env.worker.left_logins.leave(login.clone(), passage.exchange.client());
        }
        if !self.records_time(passage) {
            return;
        }
        let response_time = env.now.since(passage.exchange.received).as_secs_f64();
        let details = Details { status, response_time: Some(response_time), ..Details::default() };
        self.emit(&mut passage.exchange, EventType::SensitiveAccess, details, env);
    }
}

/// As what a refusal of the upstream counts.
const fn refused_by_upstream(status: u16) -> Option<BlockReason> {
    match status {
        401 => Some(BlockReason::InvalidCredentials),
        403 => Some(BlockReason::Forbidden),
        429 => Some(BlockReason::RateLimit),
        _ => None,
    }
}
