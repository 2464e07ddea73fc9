//! `POST /auth/refresh`: a refresh token becomes an access token, where the account is still there and active.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};

use super::account::Account;
use super::issuer::Kind;
use super::{Issuer, NO_ANSWER, Outcome, TokenService, members};
use crate::check::{CalloutReply, Env, Failure};
use crate::denial::{AuthReason, TokenRefusal};
use crate::endpoint::EndpointOf;
use crate::exchange::{Exchange, Issuance, Session};
use crate::jose::claims::Claims;
use crate::jose::json::Json;
use crate::jose::reason::Reason;
use crate::media::json::written;
use crate::revocation::{Marks, Unknown};

/// What stands for the account in the address of the lookup.
pub const PLACEHOLDER: &str = "{user_id}";

/// The endpoint's service.
pub struct Refresh {
    /// Who knows the accounts.
    pub lookup: EndpointOf,
}

/// What a client sends.
#[derive(Deserialize)]
struct Shown<'a> {
    #[serde(borrow)]
    refresh_token: Cow<'a, str>,
}

impl TokenService for Refresh {
    fn asks(&self) -> &'static str {
        "tokens.refresh.lookup"
    }

    fn takes(&self, body: &[u8]) -> Result<(), TokenRefusal> {
        refresh_token(body).map(drop).ok_or(TokenRefusal::RefreshTokenRequired)
    }

    fn asked(&self, body: &[u8], issuer: &Issuer, _: &mut Exchange, env: &mut Env<'_>) -> Outcome {
        let Some(token) = refresh_token(body) else {
            return Outcome::NotTaken(TokenRefusal::RefreshTokenRequired);
        };
        let session = match issuer.verify(token.as_bytes(), Kind::Refresh, env) {
            Ok(claims) => session(&claims),
            Err(reason) => return refused(reason),
        };
        let Some(session) = session else { return refused(Reason::Malformed) };
        if let Some(outcome) = revoked(&session, issuer, env) {
            return outcome;
        }
        let name = text(&session.user);
        // As a segment these would lead out of the accounts, encoded or not.
        if matches!(&*name, "." | "..") {
            return refused(Reason::UnknownUser);
        }
        // Not shared: who was signed in before an account went must not live on an answer from before.
        Outcome::Ask(self.lookup.get(&name, None), Issuance::Refresh(Box::new(session)))
    }

    fn answered(&self, reply: &CalloutReply, issuer: &Issuer, about: Issuance, env: &mut Env<'_>) -> Outcome {
        let Issuance::Refresh(session) = about else { return Outcome::Fail(Failure::UnexpectedArrival) };
        let account = match reply {
            CalloutReply::Answered { status: 200, body } => Account::read(body),
            CalloutReply::Answered { status: 404 | 410, .. } => return refused(Reason::UnknownUser),
            _ => None,
        };
        let Some(account) = account else { return Outcome::Fail(NO_ANSWER) };
        // An answer about somebody else is none.
        if account.id.as_ref().is_some_and(|id| text(id) != text(&session.user)) {
            return Outcome::Fail(NO_ANSWER);
        }
        if !account.is_active {
            return refused(Reason::Inactive);
        }
        // Somebody may have logged out meanwhile.
        if let Some(outcome) = revoked(&session, issuer, env) {
            return outcome;
        }
        match issuer.issue(Kind::Access, (&session.user, &session.id), Some(&account), env) {
            Ok(access) => Outcome::Granted(written(&json!({ "access_token": access }))),
            Err(failure) => Outcome::Fail(failure),
        }
    }
}

/// The token of a body; `None` where there is none that could be one.
pub(super) fn refresh_token(body: &[u8]) -> Option<Cow<'_, str>> {
    let shown: Shown<'_> = members(body)?;
    Some(shown.refresh_token).filter(|token| !token.is_empty())
}

fn session(claims: &Claims) -> Option<Session> {
    let user = match claims.members().member("user_id")? {
        Json::String(text) => Value::from(&**text),
        Json::Number(number) => Value::from(number.clone()),
        _ => return None,
    };
    Some(Session { user, id: claims.session_id()?.into_owned().into(), marks: Marks::of(claims) })
}

/// The refusal of what was revoked, or could not be looked up.
fn revoked(session: &Session, issuer: &Issuer, env: &mut Env<'_>) -> Option<Outcome> {
    match issuer.revoked.contains(&session.marks, env) {
        Ok(false) => None,
        Ok(true) => Some(refused(Reason::Revoked)),
        Err(Unknown::Feed) => Some(Outcome::Fail(Failure::Dependency("revocation_feed_unavailable"))),
        Err(Unknown::Full) => Some(Outcome::Fail(Failure::Dependency("revocations_table_full"))),
        Err(Unknown::Table(_)) => Some(Outcome::Fail(Failure::Store)),
    }
}

fn text(id: &Value) -> Cow<'_, str> {
    id.as_str().map_or_else(|| Cow::Owned(written(id)), Cow::Borrowed)
}

pub(super) const fn refused(reason: Reason) -> Outcome {
    Outcome::Refused(AuthReason::Token(reason))
}
