//! `POST /auth/logout`: every token of one login is revoked. The refresh token in the body says which login, or, where the
//! body is empty, the access token in `Authorization`.

use super::issuer::Kind;
use super::refresh::{refresh_token, refused};
use super::{Issuer, Outcome, TokenService};
use crate::check::{Env, Failure};
use crate::checks::authenticate::opaque;
use crate::checks::authenticate::place::{self, Shown};
use crate::denial::TokenRefusal;
use crate::exchange::Exchange;
use crate::jose::claims::Claims;
use crate::jose::reason::Reason;
use crate::revocation::Revocable;
use crate::table::revocation::Revoked;
use crate::time::Timestamp;

/// The endpoint's service.
pub struct Logout;

impl TokenService for Logout {
    fn takes(&self, body: &[u8]) -> Result<(), TokenRefusal> {
        let is_token = body.is_empty() || refresh_token(body).is_some();
        is_token.then_some(()).ok_or(TokenRefusal::TokenRequired)
    }

    fn asked(&self, body: &[u8], issuer: &Issuer, exchange: &mut Exchange, env: &mut Env<'_>) -> Outcome {
        let shown = if body.is_empty() {
            bearer(exchange)
                .map(|token| (token.and_then(|token| issuer.verify(&token, Kind::Access, env)), Kind::Access))
        } else {
            refresh_token(body).map(|token| (issuer.verify(token.as_bytes(), Kind::Refresh, env), Kind::Refresh))
        };
        match shown {
            None => Outcome::NotTaken(TokenRefusal::TokenRequired),
            Some((Err(reason), _)) => refused(reason),
            Some((Ok(claims), kind)) => end(&claims, kind, issuer, env),
        }
    }
}

/// Who has logged out before does so again.
fn end(claims: &Claims, kind: Kind, issuer: &Issuer, env: &mut Env<'_>) -> Outcome {
    let Some(session) = claims.session_id() else { return refused(Reason::Malformed) };
    let until = last_use(claims, kind, issuer, env.now);
    match issuer.revoked.revoke(&Revocable::session(claims.issuer(), &session), until, env) {
        Ok(Revoked::Held) => Outcome::Done,
        Ok(Revoked::Full) => Outcome::Fail(Failure::Dependency("revocations_table_full")),
        Err(_) => Outcome::Fail(Failure::Store),
    }
}

/// When the last token of the login has expired, wherever clocks may differ. The refresh token is no younger than any
/// access token, and from now on it makes none.
fn last_use(claims: &Claims, kind: Kind, issuer: &Issuer, now: Timestamp) -> Timestamp {
    let moment = |date: Option<std::time::Duration>| date.map(|date| Timestamp::default().after(date)).unwrap_or(now);
    let refresh = match kind {
        Kind::Refresh => moment(claims.expires()),
        Kind::Access => moment(claims.issued_at()).after(issuer.refresh_lifetime),
    };
    refresh.max(now.after(issuer.access_lifetime)).after(issuer.clock_skew)
}

/// The token that other routes would take, if any.
fn bearer(exchange: &Exchange) -> Option<Result<Vec<u8>, Reason>> {
    let place = opaque::place();
    let found = place::find(&[&place], exchange);
    match place::shown(&found) {
        Shown::One(token) => (!token.is_empty()).then(|| Ok(token.to_vec())),
        Shown::Different => Some(Err(Reason::Ambiguous)),
        Shown::Nothing => None,
    }
}
