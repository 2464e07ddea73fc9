//! `POST /auth/login`: username and password go to the service that knows them, and its word becomes two tokens.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroize;

use super::account::Account;
use super::issuer::{Kind, identifier};
use super::{Issuer, NO_ANSWER, Outcome, TokenService, members};
use crate::check::{Background, CalloutReply, Env, Failure};
use crate::denial::{AuthReason, LoginReason, TokenRefusal};
use crate::endpoint::Endpoint;
use crate::exchange::{Exchange, Issuance};
use crate::media::json::written;

/// The endpoint's service.
pub struct Login {
    /// Who checks username and password.
    pub verify: Endpoint,
}

/// What a client sends. Wiped where it is our own copy; the rest is wiped with the body that it stands in.
#[derive(Deserialize)]
struct Credentials<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    password: Cow<'a, str>,
}

impl TokenService for Login {
    fn asks(&self) -> &'static str {
        "tokens.login.verify"
    }

    fn takes(&self, body: &[u8]) -> Result<(), TokenRefusal> {
        Credentials::read(body).map(drop).ok_or(TokenRefusal::CredentialsRequired)
    }

    fn asked(&self, body: &[u8], _: &Issuer, _: &mut Exchange, env: &mut Env<'_>) -> Outcome {
        let Some(credentials) = Credentials::read(body) else {
            return Outcome::NotTaken(TokenRefusal::CredentialsRequired);
        };
        let headers = [("content-type", "application/json"), ("accept", "application/json")];
        // Named so that it is known when its client has left; no two have one name.
        let flight = env.worker.left_logins.name_next();
        let callout = self.verify.ask("POST", headers, credentials.to_json(), Some(flight.clone()));
        Outcome::Ask(callout, Issuance::Login(flight))
    }

    fn answered(&self, reply: &CalloutReply, issuer: &Issuer, _: Issuance, env: &mut Env<'_>) -> Outcome {
        match read(reply) {
            Ok(account) => self.admit(&account, issuer, env),
            Err(Some(reason)) => Outcome::Refused(AuthReason::Login(reason)),
            Err(None) => Outcome::Fail(NO_ANSWER),
        }
    }
}

impl Background for Login {
    /// Who leaves as soon as an answer is late would learn from that, and never be told nor counted as a guess.
    fn heard(&self, flight: &str, reply: &CalloutReply, env: &mut Env<'_>) {
        let Some(client) = env.worker.left_logins.answered(flight) else { return };
        if let Err(Some(reason)) = read(reply) {
            env.worker.left_logins.failed.push((client, reason));
        }
    }
}

impl Login {
    fn admit(&self, account: &Account, issuer: &Issuer, env: &Env<'_>) -> Outcome {
        let Some(id) = &account.id else { return Outcome::Fail(NO_ANSWER) };
        match self.grant(id, account, issuer, env) {
            Ok(document) => Outcome::Granted(document),
            Err(failure) => Outcome::Fail(failure),
        }
    }

    fn grant(&self, id: &Value, account: &Account, issuer: &Issuer, env: &Env<'_>) -> Result<String, Failure> {
        let session = identifier(env)?;
        let access = issuer.issue(Kind::Access, (id, &session), Some(account), env)?;
        let refresh = issuer.issue(Kind::Refresh, (id, &session), None, env)?;
        let user = json!({ "id": id, "username": account.username, "email": account.email });
        Ok(written(&json!({ "access_token": access, "refresh_token": refresh, "user": user })))
    }
}

impl<'a> Credentials<'a> {
    /// Two texts that are not empty. A member that comes twice would be read in two ways.
    fn read(body: &'a [u8]) -> Option<Self> {
        let read: Self = members(body)?;
        (!read.username.is_empty() && !read.password.is_empty()).then_some(read)
    }

    /// Nothing but the two, in a buffer that never moves: what it left behind would not be wiped.
    fn to_json(&self) -> Vec<u8> {
        let longest_escape = 6;
        let mut out = Vec::with_capacity(64 + longest_escape * (self.username.len() + self.password.len()));
        for (name, value) in [(r#"{"username":"#, &self.username), (r#","password":"#, &self.password)] {
            out.extend_from_slice(name.as_bytes());
            // Writing a text into memory cannot fail.
            let _ = serde_json::to_writer(&mut out, value);
        }
        out.push(b'}');
        out
    }
}

impl Drop for Credentials<'_> {
    fn drop(&mut self) {
        for text in [&mut self.username, &mut self.password] {
            if let Cow::Owned(copy) = text {
                copy.zeroize();
            }
        }
    }
}

/// Whose credentials they are; without a reason the answer says nothing about them.
fn read(reply: &CalloutReply) -> Result<Account, Option<LoginReason>> {
    match reply {
        CalloutReply::Answered { status: 200, body } => match Account::read(body).ok_or(None)? {
            account if account.is_active => Ok(account),
            _ => Err(Some(LoginReason::InactiveAccount)),
        },
        CalloutReply::Answered { status, .. } if is_refusal(*status) => Err(Some(LoginReason::BadLogin)),
        _ => Err(None),
    }
}

/// Whether a status says that the credentials are bad, and not that nobody looked at them.
const fn is_refusal(status: u16) -> bool {
    matches!(status, 400 | 401 | 403 | 404 | 409 | 410 | 422 | 423)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &str) -> Option<String> {
        Credentials::read(body.as_bytes()).map(|read| String::from_utf8(read.to_json()).unwrap())
    }

    #[test]
    fn sends_two_texts_on_and_nothing_else() {
        for (body, expected) in [
            (r#"{"username":"ann","password":"pa ss"}"#, r#"{"username":"ann","password":"pa ss"}"#),
            (r#" {"more":{"a":[1]},"password":"p","username":"a"} "#, r#"{"username":"a","password":"p"}"#),
            (r#"{"username":"\u00e9\"","password":"\u0000\n"}"#, r#"{"username":"é\"","password":"\u0000\n"}"#),
        ] {
            assert_eq!(sent(body).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn takes_nothing_else_for_credentials() {
        for body in [
            "",
            "null",
            "[]",
            "username=a&password=b",
            "{}",
            r#"{"username":"a"}"#,
            r#"{"password":"a"}"#,
            r#"{"username":"","password":"a"}"#,
            r#"{"username":"a","password":""}"#,
            r#"{"username":"a","password":null}"#,
            r#"{"username":1,"password":"a"}"#,
            r#"{"username":"a","password":["a"]}"#,
            r#"{"username":"a","password":"a","password":"b"}"#,
            r#"{"username":"a","password":"a"} x"#,
            r#"{"username":"a","password":"a""#,
        ] {
            assert_eq!(sent(body), None, "{body}");
        }
    }

    #[test]
    fn the_buffer_of_credentials_never_moves() {
        let worst = "\u{1}".repeat(1000);
        let credentials = Credentials { username: Cow::Borrowed(&worst), password: Cow::Borrowed(&worst) };
        let expected = 64 + 6 * 2000;
        let json = credentials.to_json();
        assert!(json.len() <= expected && json.capacity() == expected, "{}", json.capacity());
    }
}
