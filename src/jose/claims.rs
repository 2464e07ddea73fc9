//! JWT claims (RFC 7519 section 4), parsed once and looked up by path.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::json::{Json, JsonError, Object};
use super::reason::Reason;

/// Nested arrays and objects in a payload, itself counted.
pub const MAX_CLAIM_DEPTH: usize = 16;

/// The last second of the year 9999; later dates are mistakes.
const MAX_DATE: u64 = 253_402_300_799;

/// The claims of a token, with registered ones of the right shape.
#[derive(Clone, Debug)]
pub struct Claims {
    members: Object,
    expires: Option<NumericDate>,
    not_before: Option<NumericDate>,
    issued_at: Option<NumericDate>,
}

/// Time since the Unix epoch, up to the year 9999 (RFC 7519 section 2).
pub type NumericDate = Duration;

/// Where a claim is: its name, or names joined by dots on the way through nested objects (`realm_access.roles`).
/// A member whose name is the whole path (`https://example.com/roles`) goes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(Box<str>);

/// Why a payload is not a set of claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsError {
    /// Not acceptable JSON.
    Json(JsonError),
    /// A registered claim is not of its type, or a date negative or beyond the year 9999.
    Claim(&'static str),
}

impl ClaimsError {
    /// The published reason.
    pub const fn reason(self) -> Reason {
        Reason::Malformed
    }
}

impl Claims {
    /// Parses a decoded payload.
    ///
    /// # Errors
    /// [`ClaimsError`].
    pub fn parse(payload: &[u8]) -> Result<Self, ClaimsError> {
        Self::new(Object::parse(payload, MAX_CLAIM_DEPTH).map_err(ClaimsError::Json)?)
    }

    /// The claims that `members` are.
    ///
    /// # Errors
    /// [`ClaimsError::Claim`].
    pub fn new(members: Object) -> Result<Self, ClaimsError> {
        for name in ["iss", "jti"] {
            if members.member(name).is_some_and(|value| value.as_str().is_none()) {
                return Err(ClaimsError::Claim(name));
            }
        }
        if members.member("sid").is_some_and(|value| name(value).is_none()) {
            return Err(ClaimsError::Claim("sid"));
        }
        if members.member("aud").is_some_and(|value| !is_audience(value)) {
            return Err(ClaimsError::Claim("aud"));
        }
        let (expires, not_before, issued_at) = (date(&members, "exp")?, date(&members, "nbf")?, date(&members, "iat")?);
        Ok(Self { members, expires, not_before, issued_at })
    }

    /// `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.members.member("iss")?.as_str()
    }

    /// `aud`, one or several.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.members.member("aud").into_iter().flat_map(strings)
    }

    /// `jti`.
    pub fn token_id(&self) -> Option<&str> {
        self.members.member("jti")?.as_str()
    }

    /// `sid`, the session (OpenID Connect Front-Channel Logout 1.0 section 3), a text or an integer in decimal.
    pub fn session_id(&self) -> Option<Cow<'_, str>> {
        name(self.members.member("sid")?)
    }

    /// `exp`.
    pub const fn expires(&self) -> Option<NumericDate> {
        self.expires
    }

    /// `nbf`.
    pub const fn not_before(&self) -> Option<NumericDate> {
        self.not_before
    }

    /// `iat`.
    pub const fn issued_at(&self) -> Option<NumericDate> {
        self.issued_at
    }

    /// The SHA-256 of the certificate that the token is bound to, `cnf.x5t#S256` (RFC 8705 section 3.1). `Err` when it
    /// claims a binding that cannot be read.
    #[allow(clippy::result_unit_err)]
    pub fn certificate_digest(&self) -> Result<Option<[u8; 32]>, ()> {
        let Some(confirmation) = self.members.member("cnf") else { return Ok(None) };
        let Some(digest) = confirmation.as_object().ok_or(())?.member("x5t#S256") else { return Ok(None) };
        let digest = URL_SAFE_NO_PAD.decode(digest.as_str().ok_or(())?).map_err(|_| ())?;
        digest.try_into().map(Some).map_err(|_| ())
    }

    /// The claim at `path`.
    pub fn value(&self, path: &ClaimPath) -> Option<&Json> {
        walk(&self.members, &path.0)
    }

    /// A claim that is a string, or an integer in decimal (accounts are often numbered).
    pub fn text(&self, path: &ClaimPath) -> Option<Cow<'_, str>> {
        name(self.value(path)?)
    }

    /// The same claims with a text for the claim `name`, which is no registered one.
    #[must_use]
    pub fn with_text(self, name: &str, text: &str) -> Self {
        Self { members: self.members.with(name, Json::String(text.into())), ..self }
    }

    /// A claim that is a list: an array's strings (other elements are passed over), or one string taken whole.
    pub fn list(&self, path: &ClaimPath) -> impl Iterator<Item = &str> {
        self.value(path).into_iter().flat_map(strings)
    }

    /// A claim that is a list of scopes: like [`Self::list`], but strings are split at spaces (RFC 8693 section 4.2).
    pub fn scopes(&self, path: &ClaimPath) -> impl Iterator<Item = &str> {
        self.list(path).flat_map(|text| text.split(' ')).filter(|scope| !scope.is_empty())
    }

    /// A claim that is `true` or `false`.
    pub fn flag(&self, path: &ClaimPath) -> Option<bool> {
        self.value(path)?.as_bool()
    }

    /// A claim that is a whole number, also written as `3.0`; beyond 2⁵³ such a text stands for several numbers and is none.
    pub fn integer(&self, path: &ClaimPath) -> Option<i64> {
        const EXACT: f64 = (1_u64 << 53) as f64;
        let number = self.value(path)?.as_number()?;
        let written = || number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() < EXACT);
        number.as_i64().or_else(|| written().map(|value| value as i64))
    }

    /// All claims.
    pub const fn members(&self) -> &Object {
        &self.members
    }
}

impl ClaimPath {
    /// The path of this text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What names something: a string, or an integer in decimal.
fn name(value: &Json) -> Option<Cow<'_, str>> {
    match value {
        Json::String(text) => Some(Cow::Borrowed(text)),
        Json::Number(number) if !number.is_f64() => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// The whole path as a name, else the longest prefix that names an object and the rest inside it.
fn walk<'a>(mut object: &'a Object, mut path: &str) -> Option<&'a Json> {
    'level: loop {
        if let Some(value) = object.member(path) {
            return Some(value);
        }
        for (dot, _) in path.rmatch_indices('.') {
            let (name, rest) = (path.get(..dot)?, path.get(dot + 1..)?);
            if let Some(inner) = object.member(name).and_then(Json::as_object) {
                (object, path) = (inner, rest);
                continue 'level;
            }
        }
        return None;
    }
}

/// A string by itself or the strings of an array.
fn strings(value: &Json) -> impl Iterator<Item = &str> {
    value.as_array().unwrap_or(std::slice::from_ref(value)).iter().filter_map(Json::as_str)
}

fn is_audience(value: &Json) -> bool {
    match value {
        Json::String(_) => true,
        Json::Array(elements) => elements.iter().all(|element| element.as_str().is_some()),
        _ => false,
    }
}

fn date(members: &Object, name: &'static str) -> Result<Option<NumericDate>, ClaimsError> {
    let Some(value) = members.member(name) else { return Ok(None) };
    let number = value.as_number().ok_or(ClaimsError::Claim(name))?;
    let date = match number.as_u64() {
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    };
    date.filter(|date| date.as_secs() <= MAX_DATE).map(Some).ok_or(ClaimsError::Claim(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(payload: &str) -> Claims {
        Claims::parse(payload.as_bytes()).unwrap()
    }

    fn path(text: &str) -> ClaimPath {
        ClaimPath::new(text)
    }

    #[test]
    fn refuses_registered_claims_of_another_shape() {
        let cases = [
            (r#"{"iss":1}"#, "iss"),
            (r#"{"iss":null}"#, "iss"),
            (r#"{"iss":["a"]}"#, "iss"),
            (r#"{"jti":1}"#, "jti"),
            (r#"{"sid":null}"#, "sid"),
            (r#"{"sid":1.5}"#, "sid"),
            (r#"{"sid":["a"]}"#, "sid"),
            (r#"{"aud":1}"#, "aud"),
            (r#"{"aud":["a",1]}"#, "aud"),
            (r#"{"aud":{"a":1}}"#, "aud"),
            (r#"{"aud":null}"#, "aud"),
            (r#"{"exp":"1800000000"}"#, "exp"),
            (r#"{"exp":-1}"#, "exp"),
            (r#"{"exp":-0.5}"#, "exp"),
            (r#"{"exp":null}"#, "exp"),
            (r#"{"exp":[1]}"#, "exp"),
            (r#"{"exp":true}"#, "exp"),
            (r#"{"exp":1e300}"#, "exp"),
            (r#"{"exp":18446744073709551615}"#, "exp"),
            (r#"{"exp":18446744073709551616}"#, "exp"),
            (r#"{"exp":253402300800}"#, "exp"),
            (r#"{"nbf":"0"}"#, "nbf"),
            (r#"{"iat":-1}"#, "iat"),
        ];
        for (payload, name) in cases {
            assert_eq!(Claims::parse(payload.as_bytes()).unwrap_err(), ClaimsError::Claim(name), "{payload}");
        }
        let duplicate = Claims::parse(br#"{"exp":1,"exp":9999999999}"#).unwrap_err();
        assert_eq!(duplicate, ClaimsError::Json(JsonError::DuplicateMember));
    }

    #[test]
    fn reads_dates_as_integers_and_fractions() {
        let claims = claims(r#"{"exp":1800000000,"nbf":1700000000.25,"iat":1.6e9}"#);
        assert_eq!(claims.expires(), Some(Duration::from_secs(1_800_000_000)));
        assert_eq!(claims.not_before(), Some(Duration::from_millis(1_700_000_000_250)));
        assert_eq!(claims.issued_at(), Some(Duration::from_secs(1_600_000_000)));
    }

    #[test]
    fn reads_one_audience_and_several() {
        assert_eq!(claims(r#"{"aud":"a"}"#).audiences().collect::<Vec<_>>(), ["a"]);
        assert_eq!(claims(r#"{"aud":["a","b"]}"#).audiences().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(claims(r#"{"aud":[]}"#).audiences().count(), 0);
        assert_eq!(claims("{}").audiences().count(), 0);
    }

    #[test]
    fn finds_claims_by_whole_name_before_going_inside() {
        let claims = claims(
            r#"{"realm_access":{"roles":["a"]},"https://example.com/roles":["b"],"x":{"y":{"z":"c"},"y.z":"d"},
                "x.y":{"w":"e"},"p":"text"}"#,
        );
        for (name, expected) in [
            ("realm_access.roles", vec!["a"]),
            ("https://example.com/roles", vec!["b"]),
            ("x.y.z", vec![]),
            ("x.y.w", vec!["e"]),
            ("p.q", vec![]),
            ("p", vec!["text"]),
            (".", vec![]),
            ("realm_access..roles", vec![]),
            ("realm_access", vec![]),
        ] {
            assert_eq!(claims.list(&path(name)).collect::<Vec<_>>(), expected, "{name}");
        }
    }

    #[test]
    fn splits_scopes_but_never_a_role_with_a_space() {
        let claims = claims(r#"{"scope":"read  write ","roles":"super admin","mixed":["a b",1,null,["c"],"d"]}"#);
        assert_eq!(claims.scopes(&path("scope")).collect::<Vec<_>>(), ["read", "write"]);
        assert_eq!(claims.list(&path("roles")).collect::<Vec<_>>(), ["super admin"]);
        assert_eq!(claims.list(&path("mixed")).collect::<Vec<_>>(), ["a b", "d"]);
        assert_eq!(claims.scopes(&path("mixed")).collect::<Vec<_>>(), ["a", "b", "d"]);
    }

    #[test]
    fn names_accounts_by_string_or_integer_only() {
        let claims = claims(r#"{"a":"7","b":7,"c":-7,"d":7.0,"e":true,"f":null,"g":["7"],"h":{}}"#);
        assert_eq!(["a", "b", "c"].map(|name| claims.text(&path(name)).unwrap().into_owned()), ["7", "7", "-7"]);
        assert_eq!(["d", "e", "f", "g", "h", "i"].map(|name| claims.text(&path(name))), [const { None }; 6]);
        assert_eq!(claims.flag(&path("e")), Some(true));
        assert_eq!(claims.flag(&path("b")), None);
        assert_eq!(["b", "c", "d", "a"].map(|name| claims.integer(&path(name))), [Some(7), Some(-7), Some(7), None]);
    }

    #[test]
    fn reads_the_certificate_a_token_is_bound_to() {
        let digest = URL_SAFE_NO_PAD.encode([9; 32]);
        assert_eq!(claims("{}").certificate_digest(), Ok(None));
        assert_eq!(claims(r#"{"cnf":{"jkt":"x"}}"#).certificate_digest(), Ok(None));
        assert_eq!(claims(&format!(r#"{{"cnf":{{"x5t#S256":"{digest}"}}}}"#)).certificate_digest(), Ok(Some([9; 32])));
        for unreadable in [r#"{"cnf":1}"#, r#"{"cnf":{"x5t#S256":1}}"#, r#"{"cnf":{"x5t#S256":"AAAA"}}"#] {
            assert_eq!(claims(unreadable).certificate_digest(), Err(()), "{unreadable}");
        }
    }
}
