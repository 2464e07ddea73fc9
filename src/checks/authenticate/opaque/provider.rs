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
mod tests {
    use super::*;
    use crate::check::Call;

    const NOW: u64 = 1_800_000_000;

    fn endpoint() -> Endpoint {
        Endpoint::new("idp", "https://idp.example.com/token?a=b", Duration::from_secs(5)).unwrap()
    }

    fn provider(source: Source, subject: &str, username: &str) -> Provider {
        Provider {
            name: Rc::from("p"),
            prefix: None,
            source,
            subject: ClaimPath::new(subject),
            username: (!username.is_empty()).then(|| ClaimPath::new(username)),
            grants: Grants::default(),
            cache: Duration::from_secs(60),
            on_error: Verdict::Deny,
        }
    }

    fn slot(value: &[u8]) -> Rc<SecretSlot> {
        SecretSlot::fixed("client", crate::secrets::SecretValue::new(value.to_vec()).unwrap())
    }

    fn introspection() -> Provider {
        provider(Source::introspection(endpoint(), "portcullis", slot(b"s3cret")), "sub", "")
    }

    fn userinfo() -> Provider {
        provider(Source::Userinfo(endpoint()), "email", "")
    }

    fn said(provider: &Provider, status: u16, body: &str) -> String {
        let reply = CalloutReply::Answered { status, body: body.into() };
        match provider.judge(&reply, Timestamp::from_unix_seconds(NOW)) {
            Judgement::Good(known, good) => {
                let username = known.claims.text(&ClaimPath::new(USERNAME)).unwrap_or_default().into_owned();
                let left = good.expires.map_or("ever".to_owned(), |at| (at.unix_seconds() - NOW).to_string());
                format!("{} {username} for {left}", known.subject)
            }
            Judgement::Bad(reason) => reason.to_string(),
            Judgement::Early(from) => format!("in {}", from.unix_seconds() - NOW),
            Judgement::Unclear => "unclear".to_owned(),
            Judgement::None => "nothing".to_owned(),
        }
    }

    fn headers(callout: &Callout) -> Vec<String> {
        let Call::Http { headers } = &callout.call else { panic!("{callout:?}") };
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    /// RFC 7662 section 2.1; RFC 6749 section 2.3.1 and appendix B for the encoding of name and secret.
    #[test]
    fn asks_for_introspection_as_the_standards_say() {
        let provider = provider(Source::introspection(endpoint(), "a:b c", slot("p%é+".as_bytes())), "sub", "");
        let callout = provider.question("t+/=~", &provider.digest("t+/=~")).unwrap();
        let basic = STANDARD.encode("a%3Ab+c:p%25%C3%A9%2B");
        let expected = [
            ":method: POST",
            ":scheme: https",
            ":authority: idp.example.com",
            ":path: /token?a=b",
            &format!("authorization: Basic {basic}"),
            "content-type: application/x-www-form-urlencoded",
            "accept: application/json",
        ];
        assert_eq!(headers(&callout), expected);
        assert_eq!(callout.body, b"token=t%2B%2F%3D%7E&token_type_hint=access_token");
        assert_eq!((&*callout.cluster, callout.timeout), ("idp", Duration::from_secs(5)));
    }

    #[test]
    fn asks_userinfo_with_the_token_itself() {
        let callout = userinfo().question("abc", &[0; 32]).unwrap();
        assert_eq!(headers(&callout)[0], ":method: GET");
        assert!(headers(&callout).contains(&"authorization: Bearer abc".to_owned()));
        assert!(callout.body.is_empty());
    }

    #[test]
    fn questions_about_two_tokens_or_of_two_providers_never_meet() {
        let other = Provider { name: Rc::from("q"), ..introspection() };
        let flight =
            |provider: &Provider, token: &str| provider.question(token, &provider.digest(token)).unwrap().flight;
        assert_eq!(flight(&introspection(), "a"), flight(&introspection(), "a"));
        assert_ne!(flight(&introspection(), "a"), flight(&introspection(), "b"));
        assert_ne!(flight(&introspection(), "a"), flight(&other, "a"));
        assert!(!flight(&introspection(), "token-1").unwrap().contains("token-1"));
        let asked = |provider: &Provider, flight: &str| provider.asked_in(flight);
        let own = flight(&introspection(), "a").unwrap();
        assert_eq!(asked(&introspection(), &own), Some(introspection().digest("a")));
        for (provider, flight) in [(&other, &*own), (&introspection(), "oauth2 p "), (&introspection(), "account/p/a")]
        {
            assert_eq!(asked(provider, flight), None, "{flight}");
        }
    }

    #[test]
    fn reads_an_introspection_answer() {
        for (status, body, expected) in [
            (200, r#"{"active":true,"sub":"7"}"#, "7  for ever"),
            (200, r#"{"active":true,"sub":7,"username":"ann"}"#, "7 ann for ever"),
            (200, r#"{"active":true,"sub":"7","exp":1800000001,"nbf":1800000060,"iat":1800000059}"#, "7  for 1"),
            (200, r#"{"active":true,"sub":"7","exp":1800000000}"#, "expired"),
            (200, r#"{"active":true,"sub":"7","nbf":1800000100}"#, "in 40"),
            (200, r#"{"active":true,"sub":"7","iat":1800000061}"#, "in 1"),
            (200, r#"{"active":true}"#, "no_subject"),
            (200, r#"{"active":true,"sub":""}"#, "no_subject"),
            (200, r#"{"active":true,"sub":["7"]}"#, "no_subject"),
            (200, r#"{"active":false}"#, "inactive"),
            (200, r#"{"active":false,"sub":"7","exp":"soon"}"#, "inactive"),
            (200, r#"{"active":"true","sub":"7"}"#, "nothing"),
            (200, r#"{"active":1,"sub":"7"}"#, "nothing"),
            (200, r#"{"sub":"7"}"#, "nothing"),
            (200, r#"{"active":true,"active":false,"sub":"7"}"#, "nothing"),
            (200, r#"{"active":true,"sub":"7","exp":"soon"}"#, "nothing"),
            (200, r#"{"active":true,"sub":"7","iss":1}"#, "nothing"),
            (200, r#"[{"active":true}]"#, "nothing"),
            (200, r#"{"active":true,"sub":"7""#, "nothing"),
            (200, "<html>", "nothing"),
            (200, "", "nothing"),
            (201, r#"{"active":true,"sub":"7"}"#, "nothing"),
            (401, r#"{"active":true,"sub":"7"}"#, "nothing"),
            (403, "", "nothing"),
            (404, "", "nothing"),
            (408, "", "nothing"),
            (429, "", "nothing"),
            (400, r#"{"error":"invalid_request"}"#, "unclear"),
            (406, "", "unclear"),
            (413, "", "malformed"),
            (414, "", "malformed"),
            (431, "", "malformed"),
            (500, r#"{"active":true,"sub":"7"}"#, "nothing"),
        ] {
            assert_eq!(said(&introspection(), status, body), expected, "{status} {body}");
        }
    }

    /// As providers serialise what they do not know of a token.
    #[test]
    fn a_member_that_is_null_says_nothing() {
        let nulls = r#""exp":null,"nbf":null,"iat":null,"iss":null,"jti":null,"aud":null,"roles":null"#;
        assert_eq!(said(&introspection(), 200, &format!(r#"{{"active":true,"sub":"7",{nulls}}}"#)), "7  for ever");
        assert_eq!(said(&userinfo(), 200, &format!(r#"{{"email":"a@b",{nulls}}}"#)), "a@b a@b for ever");
        assert_eq!(said(&introspection(), 200, r#"{"active":null,"sub":"7"}"#), "nothing");
        assert_eq!(said(&introspection(), 200, r#"{"active":true,"sub":null}"#), "no_subject");
        let many: String = (0..MAX_MEMBERS).map(|at| format!(r#","m{at}":1"#)).collect();
        assert_eq!(said(&introspection(), 200, &format!(r#"{{"active":true,"sub":"7"{many}}}"#)), "7  for ever");
        assert_eq!(said(&introspection(), 200, &format!(r#"{{"active":true,"sub":"7","exp":null{many}}}"#)), "nothing");
    }

    #[test]
    fn what_the_provider_calls_a_refresh_token_opens_nothing() {
        for (name, kind, expected) in [
            ("token_use", "refresh", "wrong_type"),
            ("token_type", "refresh_token", "wrong_type"),
            ("typ", "Refresh", "wrong_type"),
            ("typ", "Offline", "wrong_type"),
            ("type", "REFRESH_TOKEN", "wrong_type"),
            ("token_use", "access", "7  for ever"),
            ("token_type", "Bearer", "7  for ever"),
            ("typ", "refreshing", "7  for ever"),
            ("purpose", "refresh", "7  for ever"),
        ] {
            let body = format!(r#"{{"active":true,"sub":"7","{name}":"{kind}"}}"#);
            assert_eq!(said(&introspection(), 200, &body), expected, "{name} {kind}");
        }
        assert_eq!(said(&introspection(), 200, r#"{"active":true,"sub":"7","type":["refresh"]}"#), "7  for ever");
        assert_eq!(said(&userinfo(), 200, r#"{"email":"a@b","type":"refresh"}"#), "a@b a@b for ever", "of a person");
    }

    #[test]
    fn reads_a_userinfo_answer() {
        for (status, body, expected) in [
            (200, r#"{"email":"a@b","preferred_username":"ann"}"#, "a@b ann for ever"),
            (200, r#"{"email":"a@b","username":"root"}"#, "a@b a@b for ever"),
            (200, r#"{"email":"a@b","preferred_username":""}"#, "a@b a@b for ever"),
            (200, r#"{"sub":"7"}"#, "no_subject"),
            (200, r#"{"email":""}"#, "no_subject"),
            (200, r#"{"email":"a@b","exp":1799999999}"#, "expired"),
            (401, "", "inactive"),
            (403, r#"{"email":"a@b"}"#, "inactive"),
            (400, "", "malformed"),
            (404, "", "unclear"),
            (413, "", "malformed"),
            (414, "", "malformed"),
            (431, "", "malformed"),
            (408, "", "nothing"),
            (429, "", "nothing"),
            (302, "", "nothing"),
            (503, "", "nothing"),
            (200, "<html>", "nothing"),
        ] {
            assert_eq!(said(&userinfo(), status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn maps_the_readable_name_where_the_configuration_says_so() {
        let by_sub = |username: &str| provider(Source::Userinfo(endpoint()), "sub", username);
        let body = r#"{"sub":"7","email":"a@b","preferred_username":"ann","nickname":"an"}"#;
        assert_eq!(said(&by_sub("nickname"), 200, body), "7 an for ever");
        assert_eq!(said(&by_sub("absent"), 200, body), "7 a@b for ever");
        let introspection = provider(Source::introspection(endpoint(), "a", slot(b"b")), "sub", "nickname");
        assert_eq!(said(&introspection, 200, r#"{"active":true,"sub":"7","nickname":"an"}"#), "7 an for ever");
        assert_eq!(
            said(&by_sub(""), 200, r#"{"email":"a@b"}"#),
            "no_subject",
            "email is required, and so is the subject"
        );
    }

    #[test]
    fn reads_no_answer_without_end() {
        let long = format!(r#"{{"active":true,"sub":"7","more":"{}"}}"#, "x".repeat(MAX_ANSWER_BYTES));
        assert_eq!(said(&introspection(), 200, &long), "nothing");
        let lost = introspection().judge(&CalloutReply::Lost, Timestamp::from_unix_seconds(NOW));
        assert!(matches!(lost, Judgement::None));
    }
}
