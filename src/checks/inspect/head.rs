//! The head: segments of the path, names and values of the query, headers, cookies.

use std::ops::ControlFlow;
use std::rc::Rc;

use crate::canonical::Rejection;
use crate::check::{Check, Env, Step};
use crate::checks::inspect::{Findings, Inspector};
use crate::denial::{Denial, Place};
use crate::exchange::Exchange;
use crate::injection::KnownHarmless;
use crate::media::{Item, Kind, cookie, percent, query};

/// Pairs of a query, and cookies, beyond which a request is malformed: no honest client sends that many.
const MOST_PAIRS: usize = 1_000;

/// Headers that are read elsewhere: credentials are verified, cookies are taken apart.
const READ_ELSEWHERE: [&[u8]; 3] = [b"authorization", b"proxy-authorization", b"cookie"];

/// Inspection of a request's head.
pub struct InspectHead(pub Rc<Inspector>);

/// Why the inspection of a head ends early.
enum Stop {
    Found,
    TooMany,
}

impl Check for InspectHead {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let mut findings = Findings::default();
        match self.inspect(exchange, &mut env.worker.harmless, &mut findings) {
            Err(Stop::TooMany) => Step::Deny(Denial::Malformed(Rejection::TooManyParameters)),
            Ok(()) | Err(Stop::Found) => findings.step(),
        }
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

impl InspectHead {
    fn inspect(&self, exchange: &Exchange, known: &mut KnownHarmless, findings: &mut Findings) -> Result<(), Stop> {
        let mut look = |place, name: &[u8], value: &[u8], kind| {
            let item = Item { name, value, kind, irregular: false };
            match self.0.recurring(place, item, known, findings) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Stop::Found),
            }
        };
        for segment in exchange.target.path().split('/').filter(|segment| !segment.is_empty()) {
            look(Place::Path, b"", &percent::decode(segment.as_bytes()).bytes, Kind::Value)?;
        }
        for pair in query::pairs(exchange.target.query.as_deref().unwrap_or_default().as_bytes(), MOST_PAIRS) {
            let pair = pair.map_err(|_| Stop::TooMany)?;
            look(Place::Query, &pair.name, &pair.name, Kind::Name)?;
            look(Place::Query, &pair.name, &pair.value, Kind::Value)?;
        }
        for (name, value) in exchange.head.iter() {
            if !name.starts_with(b":") && !READ_ELSEWHERE.contains(&name) {
                look(Place::Header, name, value, Kind::Value)?;
            }
        }
        for pair in cookie::pairs(exchange.head.all("cookie"), MOST_PAIRS) {
            let pair = pair.map_err(|_| Stop::TooMany)?;
            look(Place::Cookie, pair.name, pair.name, Kind::Name)?;
            look(Place::Cookie, pair.name, &pair.value, Kind::Value)?;
        }
        Ok(())
    }
}
