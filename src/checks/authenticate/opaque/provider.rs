//! How a provider is asked about a token, and what its answer means: introspection (RFC 7662) with client credentials
//! (RFC 6749 section 2.3.1), or userinfo (OpenID Connect Core section 5.3).

use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::check::{Callout, CalloutReply};
use crate::checks::authenticate::identity::Grants;
use crate::config::Verdict;
use crate::endpoint::Endpoint;
use crate::jose::claims::{ClaimPath, Claims, MAX_CLAIM_DEPTH};
use crate::jose::json::{Json, Object};
use crate::jose::reason::Reason;
use crate::jose::validate::DEFAULT_CLOCK_SKEW;
use crate::secrets::{Derived, SecretSlot};
use crate::time::Timestamp;
use crate::worker::TokenDigest;

/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// The most members of an answer that is read although some of them are null.
const MAX_MEMBERS: usize = 256;
/// The members by which providers name what a token is for, and what they call one that only their own endpoint takes.
const TOKEN_TYPES: [&str; 4] = ["token_use", "token_type", "typ", "type"];
const REFRESH_TOKENS: [&str; 3] = ["refresh", "refresh_token", "offline"];

/// The claim under which the caller's readable name is known to rules, whatever the provider calls it.
pub const USERNAME: &str = "username";

/// One provider of opaque tokens.
pub struct Provider {
    /// Its name in the configuration.
    pub name: Rc<str>,
    /// What its tokens begin with. `None`: those of no other provider are its own.
    pub prefix: Option<Box<str>>,
    /// Whom to ask.
    pub source: Source,
    /// The claim that names the caller.
    pub subject: ClaimPath,
    /// The claim with the caller's readable name.
    pub username: Option<ClaimPath>,
    /// The claims by which its tokens grant something.
    pub grants: Grants,
    /// How long an answer is kept.
    pub cache: Duration,
    /// What happens where it says nothing.
    pub on_error: Verdict,
}

/// Whom to ask.
pub enum Source {
    /// An introspection endpoint, with our own credentials for it.
    Introspection(Endpoint, Derived<Option<Zeroizing<String>>>),
    /// A userinfo endpoint, which takes the token itself for proof.
    Userinfo(Endpoint),
}

/// What a provider's answer makes of a token.
#[derive(Debug)]
pub enum Judgement {
    /// It is good.
    Good(Box<Known>, Keep),
    /// It is bad.
    Bad(Reason),
    /// It will be good from this moment on.
    Early(Timestamp),
    /// The question was refused. What the caller chose of it may be why, so that it must not gain by it; or what we did,
    /// so that it must not be blamed.
    Unclear,
    /// The provider did not answer, or not what it must.
    None,
}

/// What is known of the caller.
#[derive(Debug)]
pub struct Known {
    /// Who.
    pub subject: String,
    /// All that the provider says.
    pub claims: Claims,
}

/// How long and at what price a good answer may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// The token's end.
    pub expires: Option<Timestamp>,
    /// About how many bytes the claims take.
    pub bytes: usize,
}

impl Source {
    /// Introspection with HTTP Basic, name and secret each in the form encoding.
    pub fn introspection(endpoint: Endpoint, client_id: &str, client_secret: Rc<SecretSlot>) -> Self {
        let client = form(client_id.as_bytes());
        let authorization = Derived::new(vec![client_secret], move |slots| {
            let secret = slots.iter().find_map(|slot| slot.current())?;
            // Each is made at its full length: what outgrows its place leaves a copy there.
            let secret = Zeroizing::new(form(secret.reveal()));
            let pair = Zeroizing::new([&client, ":", &secret].concat());
            let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
            Some(Zeroizing::new(["Basic ", &encoded].concat()))
        });
        Self::Introspection(endpoint, authorization)
    }

    /// The name of its settings.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Introspection(..) => "introspection",
            Self::Userinfo(_) => "userinfo",
        }
    }

    /// The secrets that asking takes.
    pub fn slots(&self) -> &[Rc<SecretSlot>] {
        match self {
            Self::Introspection(_, authorization) => authorization.slots(),
            Self::Userinfo(_) => &[],
        }
    }
}

impl Provider {
    /// What stands for a token of this provider in caches and flights.
    pub fn digest(&self, token: &str) -> TokenDigest {
        let digest = Sha256::new().chain_update(self.name.as_bytes()).chain_update([0]);
        digest.chain_update(token.as_bytes()).finalize().into()
    }

    /// The token of this provider that a flight asks about.
    pub fn asked_in(&self, flight: &str) -> Option<TokenDigest> {
        let digest = flight.strip_prefix("oauth2 ")?.strip_prefix(&*self.name)?.strip_prefix(' ')?;
        URL_SAFE_NO_PAD.decode(digest).ok()?.try_into().ok()
    }

    /// The question about a token, which all who ask it at the same time share; `None` while our own secret has not
    /// arrived.
    pub fn question(&self, token: &str, digest: &TokenDigest) -> Option<Callout> {
        let flight = format!("oauth2 {} {}", self.name, URL_SAFE_NO_PAD.encode(digest));
        let (flight, accept) = (Some(Rc::from(flight)), ("accept", "application/json"));
        match &self.source {
            Source::Introspection(endpoint, authorization) => {
                let authorization = authorization.current();
                let authorization = authorization.as_ref().as_ref()?;
                let headers = [
                    ("authorization", authorization.as_str()),
                    ("content-type", "application/x-www-form-urlencoded"),
                    accept,
                ];
                let token = Zeroizing::new(form(token.as_bytes()));
                let body = ["token=", &token, "&token_type_hint=access_token"].concat();
                Some(endpoint.ask("POST", headers, body.into_bytes(), flight))
            }
            Source::Userinfo(endpoint) => {
                let authorization = Zeroizing::new(["Bearer ", token].concat());
                Some(endpoint.ask("GET", [("authorization", authorization.as_str()), accept], Vec::new(), flight))
            }
        }
    }

    /// What the answer makes of the token.
    pub fn judge(&self, reply: &CalloutReply, now: Timestamp) -> Judgement {
        let CalloutReply::Answered { status, body } = reply else { return Judgement::None };
        match (&self.source, status) {
            (_, 200) if body.len() <= MAX_ANSWER_BYTES => self.read(body, now),
            // It is the token that makes a question too large.
            (_, 413 | 414 | 431) => Judgement::Bad(Reason::Malformed),
            (_, 408 | 429) => Judgement::None,
            // RFC 6750 section 3.1.
            (Source::Userinfo(_), 401 | 403) => Judgement::Bad(Reason::Inactive),
            (Source::Userinfo(_), 400) => Judgement::Bad(Reason::Malformed),
            // About our own credentials, or our address of it.
            (Source::Introspection(..), 401 | 403 | 404) => Judgement::None,
            (_, 400..=499) => Judgement::Unclear,
            _ => Judgement::None,
        }
    }

    fn read(&self, body: &[u8], now: Timestamp) -> Judgement {
        let Ok(members) = Object::parse(body, MAX_CLAIM_DEPTH) else { return Judgement::None };
        if let Source::Introspection(..) = self.source {
            match members.member("active").and_then(Json::as_bool) {
                Some(true) => {}
                // Nothing else that is said of such a token counts (RFC 7662 section 2.2).
                Some(false) => return Judgement::Bad(Reason::Inactive),
                None => return Judgement::None,
            }
        }
        let Some(claims) = without_nulls(members).and_then(|members| Claims::new(members).ok()) else {
            return Judgement::None;
        };
        if matches!(self.source, Source::Introspection(..)) && is_refresh_token(&claims) {
            return Judgement::Bad(Reason::WrongType);
        }
        let expires = claims.expires().map(moment);
        if expires.is_some_and(|expires| now >= expires) {
            return Judgement::Bad(Reason::Expired);
        }
        let starts =
            claims.not_before().max(claims.issued_at()).map(|starts| moment(starts).before(DEFAULT_CLOCK_SKEW));
        if let Some(starts) = starts.filter(|starts| now < *starts) {
            return Judgement::Early(starts);
        }
        match self.known(claims) {
            // A parsed claim takes a few times its text.
            Some(known) => Judgement::Good(Box::new(known), Keep { expires, bytes: 3 * body.len() }),
            None => Judgement::Bad(Reason::NoSubject),
        }
    }

    /// `None` where the caller has no name.
    fn known(&self, claims: Claims) -> Option<Known> {
        let named = |path: &ClaimPath| claims.text(path).filter(|text| !text.is_empty());
        let subject = named(&self.subject)?.into_owned();
        let claim = |name: &str| named(&ClaimPath::new(name)).map(|text| text.into_owned());
        let username = self.username.as_ref().and_then(named).map(|text| text.into_owned());
        let username = match self.source {
            Source::Introspection(..) => username,
            Source::Userinfo(_) => {
                let email = claim("email")?;
                let preferred = || self.username.is_none().then(|| claim("preferred_username")).flatten();
                Some(username.or_else(preferred).unwrap_or(email))
            }
        };
        let claims = match username {
            Some(username) => claims.with_text(USERNAME, &username),
            None => claims,
        };
        Some(Known { subject, claims })
    }
}

/// The members that say something: to many providers `null` is the same as to leave a member out. `None` where so many
/// are there that it would take too long.
fn without_nulls(members: Object) -> Option<Object> {
    let said = |(_, value): &(&str, &Json)| **value != Json::Null;
    if members.members().all(|member| said(&member)) {
        return Some(members);
    }
    let few = members.members().nth(MAX_MEMBERS).is_none();
    let said = members.members().filter(said);
    few.then(|| said.fold(Object::default(), |object, (name, value)| object.with(name, value.clone())))
}

/// Whether the provider calls the token one that opens nothing but its own endpoint (RFC 6749 section 1.5).
fn is_refresh_token(claims: &Claims) -> bool {
    let named = |name: &str| claims.members().member(name).and_then(Json::as_str);
    let is_one = |kind: &str| REFRESH_TOKENS.iter().any(|refresh| kind.eq_ignore_ascii_case(refresh));
    TOKEN_TYPES.into_iter().filter_map(named).any(is_one)
}

/// The moment of a date since the epoch; dates beyond what a timestamp holds are its end.
fn moment(date: Duration) -> Timestamp {
    Timestamp::default().after(date)
}

/// `application/x-www-form-urlencoded`, escaping whatever any reader of it could take for something else.
fn form(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(3 * text.len());
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => encoded.push(char::from(*byte)),
            b' ' => encoded.push('+'),
            other => encoded.extend(['%', hex(other >> 4), hex(other & 15)]),
        }
    }
    encoded
}

fn hex(nibble: u8) -> char {
    char::from(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 })
}

#[cfg(test)]
mod tests;
