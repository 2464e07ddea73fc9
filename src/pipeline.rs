//! The order of a request, waiting and resuming, monitor mode and `on_error`: the page to read first.
//!
//! 1. [`Pipeline::begin`] gives the request its canonical form, shuts out blocked addresses, finds its route and strips
//!    what only the proxy may say.
//! 2. `advance` walks the route's list of guards: preflight, HTTPS, authenticate, authorise, limit, inspect the head,
//!    inspect the body. The list is the program, written in that order when a configuration is assembled.
//! 3. A guard that waits for the body or for a callout stops the walk; [`Pipeline::resume`] goes on at the same guard.
//! 4. [`Pipeline::response_head`] adds what the response must say; [`Pipeline::record`] closes the exchange.
//!
//! An exchange's place is one field: the position of the guard that decides next.

mod report;
mod response;

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

pub use response::{ResponseArrival, ResponseGuard, ResponseGuards, ResponseNext};

use crate::canonical::Rejection;
use crate::canonical::client::{ClientAddress, comes_from_a_proxy};
use crate::canonical::host::CanonicalHost;
use crate::canonical::networks::Networks;
use crate::canonical::path::{CanonicalPath, PathOptions};
use crate::canonical::strip::{FORWARDED_HOSTS, StripSet};
use crate::check::{Arrival, Await, Background, Callout, CalloutReply, Check, Env, Failure, Step};
use crate::checks::browser::cookies::CookieAttributes;
use crate::checks::browser::preflight_method;
use crate::checks::intrusion::Intrusion;
use crate::config::{Mode, Verdict};
use crate::denial::{Denial, LocalReply};
use crate::event::{Details, EventType};
use crate::exchange::{Exchange, HeaderEdit, Target};
use crate::head::Head;
use crate::health::Health;
use crate::metrics::Counter;
use crate::peer::xfcc;
use crate::policy::route_table::{Matched, PathPatterns, RouteRequest, RouteTable};
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
    /// What speaks to browsers where there is no route: security headers and CORS.
    pub unrouted: Rc<[Guard]>,
    /// The paths whose use is an event.
    pub sensitive: PathPatterns,
    /// What is measured beside the requests.
    pub health: Health,
    /// What is added to the cookies that the upstream sets.
    pub cookies: Option<CookieAttributes>,
    /// What is fetched beside the requests.
    pub background: Vec<Rc<dyn Background>>,
}

/// What is decided for the requests of one route.
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
    /// What is done where it cannot decide.
    pub on_error: Verdict,
}

/// An exchange and its place in the list of its route.
pub struct Passage {
    /// The exchange.
    pub exchange: Exchange,
    guards: Rc<[Guard]>,
    response: ResponseGuards,
    rewrites_body: bool,
    names_error: bool,
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
    /// The configured name of the service.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// How many routes there are.
    pub fn routes(&self) -> usize {
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
            let Route { enforce_percent, answers_preflights, rewrites_body, names_error, .. } = **route;
            let response = route.response.clone();
            *route =
                Rc::new(Route { guards, enforce_percent, answers_preflights, rewrites_body, names_error, response });
        }
    }

    /// Refuses nothing that a check decides: every step is heard, and reports only. For tools.
    pub fn monitor_all(&mut self) {
        for route in self.routes.values_mut().chain([&mut self.unmatched]) {
            let Route { ref guards, answers_preflights, names_error, rewrites_body, ref response, .. } = **route;
            let (guards, response) = (guards.clone(), response.clone());
            *route =
                Rc::new(Route { guards, enforce_percent: 0, answers_preflights, rewrites_body, names_error, response });
        }
    }

    /// What is fetched beside the requests.
    pub fn background(&self) -> &[Rc<dyn Background>] {
        &self.background
    }

    /// Lets work in the background hear the answer to a callout that exchanges share. Call it before any of them is
    /// resumed, also when the host refused to send the callout.
    pub fn heard(&self, flight: &str, reply: &CalloutReply, env: &mut Env<'_>) {
        for task in &self.background {
            task.heard(flight, reply, env);
        }
        self.tell_left(env);
    }

    /// Whether a header of this name is only the proxy's to say.
    pub fn strips(&self, name: &[u8]) -> bool {
        self.strip.strips(name)
    }

    /// What is measured beside the requests.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// What is added to the cookies that the upstream sets; `None`: they are not looked at.
    pub fn cookies(&self) -> Option<CookieAttributes> {
        self.cookies
    }

    /// Takes the head of a request as far as it goes without waiting.
    pub fn begin(&self, head: Head, ends_with_head: bool, env: &mut Env<'_>) -> (Passage, Next) {
        let mut exchange = Exchange::new(head, env.now);
        exchange.ends_with_head = ends_with_head;
        match self.admit(&mut exchange, env) {
            Err(denial) => {
                let mut passage = Passage::unrouted(exchange);
                let reply = self.refuse_unrouted(&mut passage, denial, env);
                (passage, reply)
            }
            Ok(route) => {
                let monitored = route.enforce_percent < 100 && env.worker.lot.percentile() >= route.enforce_percent;
                let mut passage = Passage::new(exchange, &route, monitored);
                let next = self.advance(&mut passage, env);
                (passage, next)
            }
        }
    }

    /// A page may read this denial as well: the headers are set, whatever the guards say beyond that.
    fn refuse_unrouted(&self, passage: &mut Passage, denial: Denial, env: &mut Env<'_>) -> Next {
        for guard in self.unrouted.iter() {
            let _ = guard.check.start(&mut passage.exchange, env);
        }
        self.refuse(passage, denial, env)
    }

    /// Steps 1 to 4: neither `monitor` nor `off` ever disables them, but for blocks.
    fn admit(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Result<Rc<Route>, Denial> {
        let source = self.locate(exchange, env).ok_or(Denial::Unavailable { what: "source_address" })?;
        self.canonicalise(exchange).map_err(Denial::Malformed)?;
        self.shut_out(exchange, env)?;
        self.strip(exchange, &source);
        Ok(self.route(exchange))
    }

    /// The one form of method, host and path; what two recipients would read in two ways is refused.
    fn canonicalise(&self, exchange: &mut Exchange) -> Result<(), Rejection> {
        let head = &exchange.head;
        if head.is_padded() {
            return Err(Rejection::PaddedHeader);
        }
        if SINGLE_HEADERS.iter().any(|name| head.single(name).is_err()) || self.routes.asks_about_repeated(head) {
            return Err(Rejection::RepeatedHeader);
        }
        // A proxy behind us would take it for a header of this hop (RFC 9110 section 7.6.1), and drop what we say in it.
        let mut nominated = head.all("connection").flat_map(|names| names.split(|byte| *byte == b','));
        if nominated.any(|name| self.strip.strips(name.trim_ascii())) {
            return Err(Rejection::NominatedHeader);
        }
        let method = head.method().unwrap_or_default();
        if method.iter().any(u8::is_ascii_lowercase) {
            return Err(Rejection::Method);
        }
        let target = head.path().unwrap_or_default();
        let canonical = CanonicalPath::parse(method, target, self.paths).map_err(Rejection::Path)?;
        let host = CanonicalHost::of(head).map_err(Rejection::Host)?;
        if !host.is_as_sent() {
            respell(&host, head, &mut exchange.request_edits);
        }
        let host = host.name().to_owned();
        let (query, canonical) = (canonical.query().map(str::to_owned), canonical.into_owned());
        exchange.target = Target { canonical, query, host, ..Target::default() };
        Ok(())
    }

    fn route(&self, exchange: &mut Exchange) -> Rc<Route> {
        let Some(matched) = self.matched(exchange) else { return self.unmatched.clone() };
        let route = matched.route.clone();
        let parameters = matched.parameters.iter().map(|(name, value)| (Box::from(name), value.into_owned()));
        exchange.target.parameters = parameters.collect();
        route
    }

    /// A preflight belongs to the route of the request that it asks about, where that route answers it.
    fn matched<'r>(&self, exchange: &'r Exchange) -> Option<Matched<'_, 'r, Rc<Route>>> {
        let request = RouteRequest {
            path: &exchange.target.canonical,
            host: &exchange.target.host,
            method: exchange.head.method().unwrap_or_default(),
            head: &exchange.head,
        };
        let asked = preflight_method(&exchange.head).map(|method| RouteRequest { method, ..request });
        let asked = asked.and_then(|asked| self.routes.find(&asked)).filter(|found| found.route.answers_preflights);
        asked.or_else(|| self.routes.find(&request))
    }

    fn shut_out(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Result<(), Denial> {
        let Some(intrusion) = &self.intrusion else { return Ok(()) };
        match intrusion.refusal(exchange.client, env) {
            Some(denial) if intrusion.mode == Mode::Monitor => self.report(exchange, &denial, "monitor", env),
            Some(denial) => return Err(denial),
            None => {}
        }
        Ok(())
    }

    /// Whoever was blocked since the head came gets no further with the body, nor with what somebody else answers.
    fn shut_out_meanwhile(&self, exchange: &Exchange, env: &mut Env<'_>) -> Option<Denial> {
        let intrusion = self.intrusion.as_ref().filter(|intrusion| intrusion.mode == Mode::Enforce)?;
        intrusion.refusal(exchange.client, env)
    }

    /// The client's address, and whether a trusted proxy speaks for it; returns the connection's. `None` when the host does not say where the
    /// connection comes from: rules about addresses could not be decided.
    ///
    /// Peers whose address is none, behind a Unix socket, count as one client.
    fn locate(&self, exchange: &mut Exchange, env: &Env<'_>) -> Option<Vec<u8>> {
        let source = env.host.source_address()?;
        let client = ClientAddress::of(&source, &exchange.head, &self.trusted_proxies);
        exchange.client = client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), ClientAddress::ip);
        exchange.forwarded = self.forwarded_certificates == Verdict::Allow
            && comes_from_a_proxy(&source, &exchange.head, &self.trusted_proxies);
        Some(source)
    }

    /// Takes out what only the proxy may say, or a trusted one in front, and of that only in the one spelling that is read:
    /// any other that an upstream takes for it goes.
    fn strip(&self, exchange: &mut Exchange, source: &[u8]) {
        let head = &exchange.head;
        let certificate = |name: &[u8]| exchange.forwarded && name == xfcc::HEADER.as_bytes();
        let host = |name: &[u8]| {
            FORWARDED_HOSTS.iter().any(|known| name == known.as_bytes())
                && comes_from_a_proxy(source, head, &self.trusted_proxies)
        };
        let stripped = self.strip.found_in(head).filter(|name| !certificate(name) && !host(name));
        exchange.request_edits.extend(stripped.map(|name| HeaderEdit::Remove(name.to_vec())));
    }

    /// Goes on with what the exchange waited for.
    pub fn resume(&self, passage: &mut Passage, arrival: Arrival<'_>, env: &mut Env<'_>) -> Next {
        let guards = passage.guards.clone();
        let Some(guard) = guards.get(passage.at) else {
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
        let guards = passage.guards.clone();
        while let Some(guard) = guards.get(passage.at) {
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

    /// Applies `on_error` and monitor mode to a check's word. `None`: on to the next guard.
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
            Step::Await(Await::Body { limit }) => return Some(Next::AwaitBody { limit }),
            Step::Await(Await::Callout(callout)) => return Some(Next::Call(callout)),
            Step::Answer(reply) => return Some(Next::Reply(passage.answer(reply))),
            Step::Refuse(denial) => return Some(self.refuse(passage, denial, env)),
            Step::Fail(failure) if guard.on_error == Verdict::Allow && failure.may_be_allowed() => {
                self.report_failure(passage, failure, env);
                passage.at += 1;
                return None;
            }
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
        let reply = if passage.names_error { denial.reply_with_error(&request_id) } else { denial.reply(&request_id) };
        passage.answer(reply)
    }
}

impl Guard {
    fn watched(&self, watcher: &Rc<dyn Watcher>) -> Self {
        let Self { step, ref check, mode, on_error } = *self;
        Self { step, check: Rc::new(Watched::new(step, mode, check.clone(), watcher.clone())), mode, on_error }
    }
}

impl Passage {
    fn new(exchange: Exchange, route: &Route, monitored: bool) -> Self {
        let (guards, response) = (route.guards.clone(), route.response.clone());
        let (rewrites_body, names_error) = (route.rewrites_body, route.names_error);
        Self {
            exchange,
            guards,
            response,
            rewrites_body,
            names_error,
            at: 0,
            gone_with: None,
            monitored,
            answered: false,
        }
    }

    fn unrouted(exchange: Exchange) -> Self {
        Self {
            exchange,
            guards: Rc::from([]),
            response: ResponseGuards::none(),
            rewrites_body: false,
            names_error: false,
            at: 0,
            gone_with: None,
            monitored: false,
            answered: false,
        }
    }

    /// The head goes on as it is now, while the guards wait for the body.
    pub fn head_goes_on(&mut self) {
        self.gone_with = Some(self.exchange.request_edits.len());
    }

    /// What is done with the response, and whether refusals of it count, for people.
    pub fn response_steps(&self) -> impl Iterator<Item = (&'static str, Mode)> {
        self.response.guards.iter().flat_map(|guard| guard.check.steps().into_iter().map(|step| (step, guard.mode)))
    }

    /// The request's body may be changed: what its head says of its length will not hold.
    pub fn rewrites_body(&self) -> bool {
        self.rewrites_body
    }

    /// What goes out is for its caller alone: no shared cache may keep it.
    pub fn is_private(&self) -> bool {
        self.response.is_private
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
        self.at = self.guards.len();
        reply.headers.append(&mut self.exchange.response_headers);
        reply
    }
}

/// What two recipients would read in two ways if it came twice.
const SINGLE_HEADERS: [&str; 5] = ["authorization", "content-type", "content-length", "x-forwarded-proto", "origin"];

/// What decides on the host behind us, a virtual host or the upstream, decides on the one that our rules saw.
fn respell(host: &CanonicalHost<'_>, head: &Head, edits: &mut Vec<HeaderEdit>) {
    let sent = [":authority", "host"].into_iter().filter(|name| head.contains(name));
    edits.extend(sent.map(|name| HeaderEdit::Set(Rc::from(name), host.authority().into_bytes())));
}

#[cfg(test)]
mod tests;
