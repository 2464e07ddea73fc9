//! The order of a request, waiting and resuming, and monitor mode: the page to read first.
//!
//! 1. [`Pipeline::begin`] gives the request its canonical form, shuts out blocked addresses, finds its route and strips
//!    what only the proxy may say.
//! 2. `advance` walks the route's list of guards: preflight, HTTPS, authenticate, authorise, limit, inspect the head,
//!    inspect the body, change the body. The list is the program, written in that order when a configuration is assembled.
//! 3. A guard that waits for the body or for a callout stops the walk; [`Pipeline::resume`] goes on at the same guard.
//!    [`Pipeline::trailers`] decides about trailers when all guards are through, if there are any.
//! 4. [`Pipeline::response_head`] counts what the upstream refused, and has a response held where its route decides about it
//!    ([`Pipeline::response_body`]); [`Pipeline::record`] closes the exchange.
//!
//! An exchange's place is one field: the position of the guard that decides next.

mod admission;
mod report;
mod response;

use std::rc::Rc;

pub use response::{ResponseArrival, ResponseGuard, ResponseGuards, ResponseNext};

use crate::canonical::networks::Networks;
use crate::canonical::path::PathOptions;
use crate::canonical::strip::{Misspelt, StripSet};
use crate::check::{Arrival, Await, Background, Callout, CalloutReply, Check, Env, Failure, Step};
use crate::checks::browser::cookies::CookieAttributes;
use crate::checks::intrusion::Intrusion;
use crate::config::{Mode, Verdict};
use crate::denial::{Denial, LocalReply};
use crate::event::{Details, EventType};
use crate::exchange::Exchange;
use crate::head::Head;
use crate::health::Health;
use crate::metrics::Counter;
use crate::policy::route_table::{PathPatterns, RouteTable};
use crate::watch::{Watched, Watcher};

/// Everything that one configuration decides, ready to serve.
pub struct Pipeline {
    /// The configured name of the service.
    pub service: Rc<str>,
    /// How paths are read.
    pub paths: PathOptions,
    /// Who may say in `x-forwarded-for` where a request comes from.
    pub trusted_proxies: Networks,
    /// The headers that only the proxy may say.
    pub strip: StripSet,
    /// What is for a head to say: what comes under these names in trailers goes no further.
    pub head_only: StripSet,
    /// The same in other spellings than the one in which it is looked at.
    pub misspelt: Misspelt,
    /// Whether trusted proxies may forward the certificates of their clients.
    pub forwarded_certificates: Verdict,
    /// `None`: nobody is blocked, nothing is counted.
    pub intrusion: Option<Rc<Intrusion>>,
    /// What is decided for the requests of each route; those of [`Pipeline::ours`] come first.
    pub routes: RouteTable<Rc<Route>>,
    /// What people call the routes that come before the operator's.
    pub ours: Vec<&'static str>,
    /// What is decided for the requests that no route matches.
    pub unmatched: Rc<Route>,
    /// What speaks to browsers where a request is refused before it has a route: security headers and CORS.
    pub unrouted: Rc<Route>,
    /// The paths whose use is an event.
    pub sensitive: PathPatterns,
    /// What is measured beside the requests.
    pub health: Health,
    /// What is added to the cookies that the upstream sets; `None`: they are not looked at.
    pub cookies: Option<CookieAttributes>,
    /// What is fetched beside the requests.
    pub background: Vec<Rc<dyn Background>>,
}

/// What is decided for the requests of one route.
#[derive(Clone)]
pub struct Route {
    /// In the order in which they decide.
    pub guards: Rc<[Guard]>,
    /// Percent of the requests whose denials are enforced; the rest is in monitor mode.
    pub enforce_percent: u8,
    /// One of the guards answers CORS preflights.
    pub answers_preflights: bool,
    /// One of the guards may change the request's body.
    pub rewrites_body: bool,
    /// Its refusals say in a member `error` as well what went wrong.
    pub names_error: bool,
    /// What decides about the upstream's response; empty: it streams by.
    pub response: ResponseGuards,
}

/// A check with what is done with its word.
pub struct Guard {
    /// What people call it.
    pub step: &'static str,
    /// What decides.
    pub check: Rc<dyn Check>,
    /// What is done with its refusals.
    pub mode: Mode,
}

/// An exchange and its place in the list of its route.
pub struct Passage {
    /// The exchange.
    pub exchange: Exchange,
    route: Rc<Route>,
    at: usize,
    /// How many edits the head had when it went on before its body; `None`: it is still held.
    gone_with: Option<usize>,
    monitored: bool,
    answered: bool,
}

/// What the host does next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Apply the edits of the exchange and let the request go on.
    Continue,
    /// Keep the request until its body, at most `limit` bytes, has arrived.
    AwaitBody {
        /// Bytes.
        limit: usize,
    },
    /// Keep the request, send this, resume with the answer.
    Call(Callout),
    /// Answer the client; the upstream sees nothing.
    Reply(LocalReply),
}

impl Pipeline {
    /// How many routes the operator has.
    pub fn route_count(&self) -> usize {
        self.routes.values().len() - self.ours.len()
    }

    /// What people call the route that `exchange` takes, by its place in the configuration.
    pub fn route_name(&self, exchange: &Exchange) -> String {
        let Some(index) = self.matched(exchange).map(|matched| matched.index) else { return "no route".to_owned() };
        match self.ours.get(index) {
            Some(name) => (*name).to_owned(),
            None => format!("routes[{}]", index - self.ours.len()),
        }
    }

    /// Lets `watcher` see what every check says. For tools: a pipeline that is not watched pays nothing for it.
    pub fn watch(&mut self, watcher: &Rc<dyn Watcher>) {
        for route in self.routes.values_mut().chain([&mut self.unmatched]) {
            let guards = route.guards.iter().map(|guard| guard.watched(watcher)).collect();
            Rc::make_mut(route).guards = guards;
        }
    }

    /// Refuses nothing that a check decides: every step is heard, and reports only. For tools.
    pub fn monitor_all(&mut self) {
        for route in self.routes.values_mut().chain([&mut self.unmatched]) {
            Rc::make_mut(route).enforce_percent = 0;
        }
    }

    /// Lets work in the background hear the answer to a callout that exchanges share. Call it before any of them is
    /// resumed, also when the host refused to send the callout.
    pub fn heard(&self, flight: &str, reply: &CalloutReply, env: &mut Env<'_>) {
        for task in &self.background {
            task.heard(flight, reply, env);
        }
        self.tell_left(env);
    }

    /// Whether a trailer of this name goes no further: it is only the proxy's to say, or belongs in the head.
    pub fn strips_trailer(&self, name: &[u8]) -> bool {
        [&self.strip, &self.head_only].into_iter().any(|set| set.strips(name))
    }

    /// Takes the head of a request as far as it goes without waiting.
    pub fn begin(&self, head: Head, ends_with_head: bool, env: &mut Env<'_>) -> (Passage, Next) {
        let mut exchange = Exchange::new(head, env.now);
        exchange.ends_with_head = ends_with_head;
        match self.admit(&mut exchange, env) {
            Err(denial) => {
                let mut passage = Passage::new(exchange, self.unrouted.clone(), false);
                let reply = self.refuse_unrouted(&mut passage, denial, env);
                (passage, reply)
            }
            Ok(route) => {
                let monitored = route.enforce_percent < 100 && env.worker.lot.percentile() >= route.enforce_percent;
                let mut passage = Passage::new(exchange, route, monitored);
                let next = self.advance(&mut passage, env);
                (passage, next)
            }
        }
    }

    /// A page may read this denial as well: the headers are set, whatever the guards say beyond that.
    fn refuse_unrouted(&self, passage: &mut Passage, denial: Denial, env: &mut Env<'_>) -> Next {
        for guard in self.unrouted.guards.iter() {
            let _ = guard.check.start(&mut passage.exchange, env);
        }
        self.refuse(passage, denial, env)
    }

    /// Whoever was blocked since the head came gets no further with the body, nor with what somebody else answers.
    fn shut_out_meanwhile(&self, exchange: &Exchange, env: &mut Env<'_>) -> Option<Denial> {
        let intrusion = self.intrusion.as_ref().filter(|intrusion| intrusion.mode == Mode::Enforce)?;
        intrusion.refusal(exchange.client(), env)
    }

    /// Goes on with what the exchange waited for.
    pub fn resume(&self, passage: &mut Passage, arrival: Arrival<'_>, env: &mut Env<'_>) -> Next {
        let route = passage.route.clone();
        let Some(guard) = route.guards.get(passage.at) else {
            // Nobody waits: whatever this is, it is no reason to let the request go on.
            return self.refuse(passage, Denial::Unavailable { what: Failure::UnexpectedArrival.as_str() }, env);
        };
        let step = match arrival {
            Arrival::Body(_) => match self.shut_out_meanwhile(&passage.exchange, env) {
                Some(denial) => return self.refuse(passage, denial, env),
                None => guard.check.resume(&mut passage.exchange, arrival, env),
            },
            Arrival::Reply(_) => {
                // What came is taken note of first; whose credentials were right is not told any more than whose were wrong.
                let step = guard.check.resume(&mut passage.exchange, arrival, env);
                self.shut_out_meanwhile(&passage.exchange, env).map_or(step, Step::Refuse)
            }
        };
        match self.settle(passage, guard, step, env) {
            Some(next) => next,
            None => self.advance(passage, env),
        }
    }

    fn advance(&self, passage: &mut Passage, env: &mut Env<'_>) -> Next {
        let route = passage.route.clone();
        while let Some(guard) = route.guards.get(passage.at) {
            let step = guard.check.start(&mut passage.exchange, env);
            if let Some(next) = self.settle(passage, guard, step, env) {
                return next;
            }
        }
        if passage.gone_with.is_some_and(|edits| edits != passage.exchange.request_edits.len()) {
            // What a guard decided would be lost, and nobody would be told.
            return self.refuse(passage, Denial::Unavailable { what: Failure::LateEdit.as_str() }, env);
        }
        Next::Continue
    }

    /// Applies monitor mode to a check's word; one that could not decide is taken for a refusal. `None`: on to the next guard.
    fn settle(&self, passage: &mut Passage, guard: &Guard, step: Step, env: &mut Env<'_>) -> Option<Next> {
        if let Some(reason) = passage.exchange.degraded.take() {
            self.emit(&mut passage.exchange, EventType::Degraded, Details { reason, ..Details::default() }, env);
        }
        self.tell(&mut passage.exchange, env);
        let denial = match step {
            Step::Pass => {
                passage.at += 1;
                return None;
            }
            Step::Await(Await::Body { limit }) => {
                debug_assert!(guard.check.may_await_body(&passage.exchange), "{} did not say so", guard.step);
                return Some(Next::AwaitBody { limit });
            }
            Step::Await(Await::Callout(callout)) => return Some(Next::Call(callout)),
            Step::Answer(reply) => return Some(Next::Reply(passage.answer(reply))),
            Step::Refuse(denial) => return Some(self.refuse(passage, denial, env)),
            Step::Fail(failure) => Denial::Unavailable { what: failure.as_str() },
            Step::Observe(denial) => {
                self.report(&mut passage.exchange, &denial, "monitor", env);
                passage.at += 1;
                return None;
            }
            Step::Deny(denial) => denial,
        };
        if passage.monitored || guard.mode == Mode::Monitor {
            self.report(&mut passage.exchange, &denial, "monitor", env);
            passage.at += 1;
            return None;
        }
        Some(self.refuse(passage, denial, env))
    }

    fn refuse(&self, passage: &mut Passage, denial: Denial, env: &mut Env<'_>) -> Next {
        Next::Reply(self.refusal(passage, denial, env))
    }

    fn refusal(&self, passage: &mut Passage, denial: Denial, env: &mut Env<'_>) -> LocalReply {
        self.report(&mut passage.exchange, &denial, "", env);
        if let Some(reason) = denial.block_reason() {
            env.host.count(Counter::BlockedRequests(reason), 1);
        }
        let request_id = passage.exchange.request_id();
        let reply =
            if passage.route.names_error { denial.reply_with_error(&request_id) } else { denial.reply(&request_id) };
        passage.answer(reply)
    }
}

impl Route {
    /// These guards, enforced for all requests; nothing decides about the response.
    pub fn of(guards: impl Into<Rc<[Guard]>>) -> Self {
        Self {
            guards: guards.into(),
            enforce_percent: 100,
            answers_preflights: false,
            rewrites_body: false,
            names_error: false,
            response: ResponseGuards::none(),
        }
    }
}

impl Guard {
    fn watched(&self, watcher: &Rc<dyn Watcher>) -> Self {
        let Self { step, ref check, mode } = *self;
        Self { step, check: Rc::new(Watched::new(step, mode, check.clone(), watcher.clone())), mode }
    }
}

impl Passage {
    fn new(exchange: Exchange, route: Rc<Route>, monitored: bool) -> Self {
        Self { exchange, route, at: 0, gone_with: None, monitored, answered: false }
    }

    /// The head goes on as it is now, while the guards wait for the body.
    pub fn head_goes_on(&mut self) {
        self.gone_with = Some(self.exchange.request_edits.len());
    }

    /// Whether what is still to decide may wait for the body.
    pub fn may_await_body(&self) -> bool {
        let left = self.route.guards.get(self.at..).unwrap_or_default();
        left.iter().any(|guard| guard.check.may_await_body(&self.exchange))
    }

    /// What is done with the response, and whether refusals of it count, for people.
    pub fn response_steps(&self) -> impl Iterator<Item = (&'static str, Mode)> {
        self.route
            .response
            .guards
            .iter()
            .flat_map(|guard| guard.check.steps().into_iter().map(|step| (step, guard.mode)))
    }

    /// The request's body may be changed: what its head says of its length will not hold.
    pub fn rewrites_body(&self) -> bool {
        self.route.rewrites_body
    }

    /// Something about the response shows nothing but documents.
    pub fn withholds_streams(&self) -> bool {
        self.route.response.guards.iter().any(|guard| guard.check.withholds_streams())
    }

    /// What goes out is for its caller alone: no shared cache may keep it.
    pub fn is_private(&self) -> bool {
        self.route.response.is_private
    }

    /// Lots were drawn, and nothing of it is enforced.
    pub fn monitored(&self) -> bool {
        self.monitored
    }

    /// The exchange was answered here: its response is ours, not the upstream's.
    pub fn answered(&self) -> bool {
        self.answered
    }

    fn answer(&mut self, mut reply: LocalReply) -> LocalReply {
        self.answered = true;
        // An answered exchange waits for nothing any more.
        self.at = self.route.guards.len();
        reply.headers.append(&mut self.exchange.response_headers);
        reply
    }
}

#[cfg(test)]
mod tests;
