//! The head: segments of the path, names and values of the query, headers, cookies. Trailers are headers that come late.

use std::ops::ControlFlow;
use std::rc::Rc;

use crate::canonical::Rejection;
use crate::check::{Check, Env, Step};
use crate::checks::inspect::{Findings, Inspector};
use crate::denial::{Denial, Place};
use crate::exchange::Exchange;
use crate::head::Head;
use crate::injection::KnownHarmless;
use crate::media::body::names_hiding_charset;
use crate::media::{Item, Kind, basic, cookie, percent, query};

/// Pairs of a query, and cookies, beyond which a request is malformed: no honest client sends that many.
const MOST_PAIRS: usize = 1_000;

/// Headers that are not read as they are: of credentials the name of a user at most, since tokens and passwords may look like
/// anything; cookies are taken apart.
const READ_OTHERWISE: [&[u8]; 3] = [b"authorization", b"proxy-authorization", b"cookie"];

/// Inspection of a request's head.
pub struct InspectHead(pub Rc<Inspector>);

/// Why the inspection of a head ends early.
enum Stop {
    Found,
    Malformed(Rejection),
}

const TOO_MANY: Stop = Stop::Malformed(Rejection::TooManyParameters);

impl Check for InspectHead {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let mut look = self.look(env);
        let looked = look.at_head(exchange);
        exchange.joined = std::mem::take(&mut look.findings.joined);
        match looked {
            Err(Stop::Malformed(rejection)) => Step::Deny(Denial::Malformed(rejection)),
            Ok(()) | Err(Stop::Found) => look.findings.step(),
        }
    }

    fn trailers(&self, trailers: &Head, env: &mut Env<'_>) -> Step {
        let mut look = self.look(env);
        // What ends it early was found.
        let _ = look.at_fields(trailers);
        look.findings.step()
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

fn proceed(flow: ControlFlow<()>) -> Result<(), Stop> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stop::Found),
    }
}

/// One look at a head, or at trailers.
struct Look<'l> {
    inspector: &'l Inspector,
    known: &'l mut KnownHarmless,
    findings: Findings,
}

impl InspectHead {
    fn look<'l>(&'l self, env: &'l mut Env<'_>) -> Look<'l> {
        Look { inspector: &self.0, known: &mut env.worker.harmless, findings: Findings::default() }
    }
}

impl Look<'_> {
    fn at(&mut self, place: Place, name: &[u8], value: &[u8], kind: Kind) -> Result<(), Stop> {
        let item = Item { name, value, kind, irregular: false };
        proceed(self.inspector.recurring(place, item, self.known, &mut self.findings))
    }

    fn at_head(&mut self, exchange: &Exchange) -> Result<(), Stop> {
        for segment in exchange.target.path().split('/').filter(|segment| !segment.is_empty()) {
            self.at(Place::Path, b"", &percent::decode(segment.as_bytes()).bytes, Kind::Value)?;
        }
        for pair in query::pairs(exchange.target.query.as_deref().unwrap_or_default().as_bytes(), MOST_PAIRS) {
            let pair = pair.map_err(|_| TOO_MANY)?;
            if names_hiding_charset(&pair.name, &pair.value) {
                return Err(Stop::Malformed(Rejection::QueryCharset));
            }
            self.at(Place::Query, &pair.name, &pair.name, Kind::Name)?;
            self.at(Place::Query, pair.sure_name(), &pair.value, Kind::Value)?;
            self.findings.joined.note(pair.sure_name(), &pair.value);
        }
        proceed(self.inspector.joined(Place::Query, &mut self.findings))?;
        self.at_fields(&exchange.head)?;
        for pair in cookie::pairs(exchange.head.all("cookie"), MOST_PAIRS) {
            let pair = pair.map_err(|_| TOO_MANY)?;
            self.at(Place::Cookie, pair.name, pair.name, Kind::Name)?;
            self.at(Place::Cookie, pair.sure_name(), &pair.value, Kind::Value)?;
        }
        Ok(())
    }

    fn at_fields(&mut self, fields: &Head) -> Result<(), Stop> {
        for (name, value) in fields.iter() {
            if READ_OTHERWISE.contains(&name) {
                self.at_user(name, value)?;
            } else if !name.starts_with(b":") {
                self.at(Place::Header, name, value, Kind::Value)?;
            }
        }
        Ok(())
    }

    /// Few requests have such credentials: out of the loop that all go through.
    #[cold]
    #[inline(never)]
    fn at_user(&mut self, name: &[u8], value: &[u8]) -> Result<(), Stop> {
        match basic::user_id(value).as_slice() {
            user @ [_, ..] if name != b"cookie" => self.at(Place::Header, name, user, Kind::Value),
            _ => Ok(()),
        }
    }
}
