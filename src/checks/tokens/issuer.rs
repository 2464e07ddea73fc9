//! The tokens themselves: what access and refresh tokens claim, how they are signed, and which are taken back.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::account::Account;
use crate::check::{Env, Failure};
use crate::jose::algorithm::Algorithm;
use crate::jose::claims::{ClaimPath, Claims};
use crate::jose::compact::MAX_TOKEN_BYTES;
use crate::jose::key::Secret;
use crate::jose::key_set::KeySet;
use crate::jose::reason::Reason;
use crate::jose::sign::sign;
use crate::jose::token::Token;
use crate::jose::validate::{DEFAULT_CLOCK_SKEW, Rules};
use crate::jose::verify::Means;
use crate::media::json::written;
use crate::revocation::RevokedTokens;
use crate::secrets::Derived;

/// Who signs tokens, and what they say.
pub struct Issuer {
    /// `iss`.
    pub issuer: Option<Box<str>>,
    /// `aud` of access tokens.
    pub audience: Option<Box<str>>,
    /// One of `HS*`.
    pub algorithm: Algorithm,
    /// What signs and verifies.
    pub keys: Derived<Keys>,
    /// Of access tokens.
    pub access_lifetime: Duration,
    /// Of refresh tokens.
    pub refresh_lifetime: Duration,
    /// For how long after its end a token may still be taken somewhere.
    pub clock_skew: Duration,
    /// What was revoked.
    pub revoked: Rc<RevokedTokens>,
    /// The claim `user_id`, which every token has.
    pub subject: ClaimPath,
    /// The claim `type`.
    pub token_type: ClaimPath,
}

/// The keys at one moment.
#[derive(Debug)]
pub struct Keys {
    /// `None`: the secret has not arrived.
    pub signing: Option<Secret>,
    /// The same and those beside it.
    pub verifying: KeySet,
}

/// The kinds of tokens: the values of the claim `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Refresh,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

impl Issuer {
    /// A token for `user`; one of `account` says more. Fails where there is no key or no randomness, or where it would be
    /// too long for anybody to take.
    pub(super) fn issue(
        &self,
        kind: Kind,
        (user, session): (&Value, &str),
        account: Option<&Account>,
        env: &Env<'_>,
    ) -> Result<String, Failure> {
        let lifetime = match kind {
            Kind::Access => self.access_lifetime,
            Kind::Refresh => self.refresh_lifetime,
        };
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("user_id", user.clone());
        put("type", kind.as_str().into());
        put("iat", env.now.unix_seconds().into());
        put("exp", (env.now.unix_seconds() + lifetime.as_secs()).into());
        put("jti", identifier(env)?.into());
        put("sid", session.into());
        if let Some(issuer) = &self.issuer {
            put("iss", (**issuer).into());
        }
        if let (Kind::Access, Some(audience)) = (kind, &self.audience) {
            put("aud", (**audience).into());
        }
        if let Some(account) = account {
            put("username", json!(account.username));
            put("email", json!(account.email));
            put("roles", json!(account.roles));
        }
        let keys = self.keys.current();
        let secret = keys.signing.as_ref().ok_or(Failure::Secret)?;
        let claims = written(&Value::Object(claims));
        let token = sign(self.algorithm, secret, None, claims.as_bytes()).ok_or(Failure::Secret)?;
        if token.len() > MAX_TOKEN_BYTES { Err(super::NO_ANSWER) } else { Ok(token) }
    }

    /// The claims of a token of ours. Whether it is revoked is another question.
    pub(super) fn verify(&self, token: &[u8], kind: Kind, env: &mut Env<'_>) -> Result<Claims, Reason> {
        let token = Token::parse(token).map_err(|error| error.reason())?;
        // What names another issuer is not ours, even where one key serves both.
        if token.unverified_issuer() != self.issuer.as_deref() {
            return Err(Reason::UnknownIssuer);
        }
        let keys = self.keys.current();
        let budget = env.worker.pure_verifications.as_mut();
        let mut means = Means { host: env.host.verifier(), budget, now: env.now };
        let claims = token.verify(&keys.verifying, self.algorithm.into(), &mut means);
        let claims = claims.map_err(|error| error.reason().unwrap_or(Reason::Malformed))?;
        self.rules(kind).validate(&claims, env.now)?;
        claims.session_id().ok_or(Reason::Malformed)?;
        Ok(claims)
    }

    fn rules(&self, kind: Kind) -> Rules {
        Rules {
            issuer: self.issuer.clone(),
            audiences: self.audience.iter().filter(|_| kind == Kind::Access).cloned().collect(),
            require_expiration: true,
            clock_skew: DEFAULT_CLOCK_SKEW,
            max_lifetime: None,
            token_type: Some((self.token_type.clone(), kind.as_str().into())),
            subject: self.subject.clone(),
            active: None,
        }
    }
}

/// 128 random bits, base64url.
pub(super) fn identifier(env: &Env<'_>) -> Result<String, Failure> {
    let block = env.host.random_block().ok_or(Failure::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(block))
}
