//! Bearer tokens of both kinds on one route: one look for the token, and then the kind it belongs to decides.
//!
//! A token that is a JWT belongs to the JWT providers, any other to the opaque provider that claims it by its beginning.
//! One that nobody claims is a broken JWT.

use crate::check::{CalloutReply, Env};
use crate::denial::AuthReason;
use crate::exchange::{Errand, Exchange};
use crate::jose::compact::is_jws;
use crate::jose::reason::Reason;

use super::jwt::BearerTokens;
use super::opaque::OpaqueTokens;
use super::place::{self, Found, Place, Shown};
use super::{Attempt, Credential};

/// JWTs and opaque tokens, of which a request shows one.
pub struct AnyBearer {
    /// The JWTs that count.
    pub jwt: BearerTokens,
    /// The opaque tokens that count.
    pub opaque: OpaqueTokens,
}

/// Whose a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Jwt,
    Opaque,
}

impl Credential for AnyBearer {
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let found = place::find(&self.places(), exchange);
        let kind = match place::shown(&found) {
            Shown::Nothing => return Attempt::Absent,
            Shown::Different => {
                place::strip_all(&found, exchange);
                return Attempt::Refused(AuthReason::Token(Reason::Ambiguous));
            }
            Shown::One(token) => self.kind(token, &found),
        };
        let attempt = match kind {
            Kind::Jwt => self.jwt.attempt(exchange, env),
            Kind::Opaque => self.opaque.attempt(exchange, env),
        };
        self.strip_elsewhere(kind, &attempt, exchange);
        attempt
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let (kind, attempt) = match errand {
            // Its number says whose it is.
            Errand::Secret(number) => {
                self.jwt.secret_arrived(number, reply, env);
                self.opaque.secret_arrived(number, reply, env);
                return self.attempt(exchange, env);
            }
            Errand::Token => (Kind::Opaque, self.opaque.arrived(errand, reply, exchange, env)),
            Errand::KeySet | Errand::Account => (Kind::Jwt, self.jwt.arrived(errand, reply, exchange, env)),
        };
        self.strip_elsewhere(kind, &attempt, exchange);
        attempt
    }

    fn withhold(&self, exchange: &mut Exchange) {
        self.jwt.withhold(exchange);
        self.opaque.withhold(exchange);
    }
}

impl AnyBearer {
    /// Where a token of either kind may stand, each place once.
    fn places(&self) -> Vec<&Place> {
        let mut places = self.jwt.places();
        if !places.contains(&self.opaque.place()) {
            places.push(self.opaque.place());
        }
        places
    }

    /// A token that stands only where one kind looks is of that kind.
    fn kind(&self, token: &[u8], found: &[Found<'_>]) -> Kind {
        let jwt_places = self.jwt.places();
        let looked_at_by_jwt = found.iter().any(|found| jwt_places.contains(&found.place));
        let looked_at_by_opaque = found.iter().any(|found| found.place == self.opaque.place());
        match (looked_at_by_jwt, looked_at_by_opaque) {
            (false, _) => Kind::Opaque,
            (true, true) if !is_jws(token) && self.opaque.claims(token) => Kind::Opaque,
            (true, _) => Kind::Jwt,
        }
    }

    /// Each kind takes its token out of its own places; the same token may stand in those of the other as well.
    fn strip_elsewhere(&self, kind: Kind, attempt: &Attempt, exchange: &mut Exchange) {
        if matches!(attempt, Attempt::Wait(..)) {
            return;
        }
        let own = match kind {
            Kind::Jwt => self.jwt.places(),
            Kind::Opaque => vec![self.opaque.place()],
        };
        let elsewhere: Vec<&Place> = self.places().into_iter().filter(|place| !own.contains(place)).collect();
        place::strip_all(&place::find(&elsewhere, exchange), exchange);
    }
}
