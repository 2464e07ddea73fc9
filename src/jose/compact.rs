//! Compact JWS (RFC 7515 section 7.1), read strictly: one text, one meaning.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use super::json::{Json, JsonError, Object};
use super::reason::Reason;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The longest signature, in bytes: RSA with a modulus of 4096 bits.
pub const MAX_SIGNATURE_BYTES: usize = 512;

/// Nested arrays and objects in a header, the header itself counted. A `jwk` member, which is ignored, needs three.
const MAX_HEADER_DEPTH: usize = 4;

/// A compact JWS taken apart; nothing about it is proven.
#[derive(Debug)]
pub struct Compact<'a> {
    header: Header,
    signing_input: &'a [u8],
    payload: &'a [u8],
    signature: Vec<u8>,
}

/// The members of a protected header that matter. `jku`, `jwk`, `x5u` and `x5c` are never followed: a token does not
/// choose its own key.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// The signature algorithm.
    pub algorithm: Algorithm,
    /// The key's name, if the token gives one.
    pub kid: Option<Box<str>>,
}

/// Why a text is not an acceptable compact JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompactError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    TooLong,
    /// Not exactly three parts, none of them empty.
    Parts,
    /// A part is not canonical base64url without padding, or the signature is longer than any algorithm's.
    Encoding,
    /// The header is not acceptable JSON.
    HeaderJson(JsonError),
    /// A header member is absent or not a string.
    HeaderMember(&'static str),
    /// The header demands an extension (`crit`, or `b64` of RFC 7797).
    Extension,
    /// The algorithm is `none` or not known.
    UnsupportedAlgorithm,
}

impl CompactError {
    /// The published reason.
    pub const fn reason(self) -> Reason {
        match self {
            Self::UnsupportedAlgorithm => Reason::UnsupportedAlgorithm,
            _ => Reason::Malformed,
        }
    }
}

impl<'a> Compact<'a> {
    /// Takes `text` apart; the payload stays encoded until [`Self::payload`].
    ///
    /// # Errors
    /// [`CompactError`].
    pub fn parse(text: &'a [u8]) -> Result<Self, CompactError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(CompactError::TooLong);
        }
        let (header, rest) = split(text).ok_or(CompactError::Parts)?;
        let (payload, signature) = split(rest).ok_or(CompactError::Parts)?;
        if header.is_empty() || payload.is_empty() || signature.is_empty() || signature.contains(&b'.') {
            return Err(CompactError::Parts);
        }
        let signing_input = text.get(..header.len() + 1 + payload.len()).ok_or(CompactError::Parts)?;
        let header = Header::parse(&decode(header)?)?;
        let signature = decode(signature)?;
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(CompactError::Encoding);
        }
        Ok(Self { header, signing_input, payload, signature })
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The bytes under the signature: encoded header, dot, encoded payload.
    pub const fn signing_input(&self) -> &'a [u8] {
        self.signing_input
    }

    /// The decoded signature.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The decoded payload.
    ///
    /// # Errors
    /// [`CompactError::Encoding`].
    pub fn payload(&self) -> Result<Vec<u8>, CompactError> {
        decode(self.payload)
    }
}

/// Whether a text means to be a compact JWS, good or bad: three parts, and a header that is a JSON object. The signature
/// may be missing, as in the unsecured JWS of RFC 7515 appendix A.5.
pub fn is_jws(text: &[u8]) -> bool {
    let Some((header, rest)) = split(text).filter(|(header, _)| header.len() <= MAX_TOKEN_BYTES) else { return false };
    let parts = split(rest).is_some_and(|(_, signature)| !signature.contains(&b'.'));
    let is_object = |header: Vec<u8>| match Object::parse(&header, MAX_HEADER_DEPTH) {
        Ok(_) | Err(JsonError::DuplicateMember | JsonError::TooDeep) => true,
        Err(JsonError::Syntax | JsonError::NotAnObject) => false,
    };
    parts && decode(header).is_ok_and(is_object)
}

impl Header {
    fn parse(text: &[u8]) -> Result<Self, CompactError> {
        let members = Object::parse(text, MAX_HEADER_DEPTH).map_err(CompactError::HeaderJson)?;
        if members.member("crit").is_some() || members.member("b64").is_some() {
            return Err(CompactError::Extension);
        }
        let name = members.member("alg").and_then(Json::as_str).ok_or(CompactError::HeaderMember("alg"))?;
        let algorithm = Algorithm::parse(name).ok_or(CompactError::UnsupportedAlgorithm)?;
        let kid = text_member(&members, "kid")?.map(Into::into);
        // Media types of the token and of its payload decide nothing, but nobody may read them in another way.
        for name in ["typ", "cty"] {
            text_member(&members, name)?;
        }
        Ok(Self { algorithm, kid })
    }
}

fn text_member<'m>(members: &'m Object, name: &'static str) -> Result<Option<&'m str>, CompactError> {
    let Some(value) = members.member(name) else { return Ok(None) };
    value.as_str().map(Some).ok_or(CompactError::HeaderMember(name))
}

fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = memchr::memchr(b'.', text)?;
    Some((text.get(..dot)?, text.get(dot + 1..)?))
}

/// base64url without padding; stray bits in the last character are an error, so that no two texts decode alike.
fn decode(part: &[u8]) -> Result<Vec<u8>, CompactError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| CompactError::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn tells_a_broken_jwt_from_a_text_that_is_none() {
        let unknown = token(r#"{"alg":"XS1"}"#);
        let good = token(r#"{"alg":"ES256"}"#);
        let (header, _) = good.split_once('.').unwrap();
        for jws in [&good, &unknown, &token("{}"), &token(r#"{"a":1,"a":1}"#), &format!("{header}.e30.")] {
            assert!(is_jws(jws.as_bytes()), "{jws}");
        }
        for other in ["", "abc", "a.b.c", "..", "lgc_x.y.z", &format!("{good}.x"), header, &token("[]"), &token("{")] {
            assert!(!is_jws(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn reads_the_header_and_leaves_key_locations_alone() {
        let text =
            token(r#"{"typ":"JWT","kid":"a","alg":"ES256","jku":"https://evil.example","jwk":{"kty":"EC"},"cty":"x"}"#);
        let jws = Compact::parse(text.as_bytes()).unwrap();
        assert_eq!(*jws.header(), Header { algorithm: Algorithm::Es256, kid: Some("a".into()) });
        assert_eq!(jws.payload().unwrap(), b"{}");
        assert_eq!(jws.signature(), [0, 0, 0]);
        assert_eq!(jws.signing_input(), text.strip_suffix(".AAAA").unwrap().as_bytes());
    }

    #[test]
    fn refuses_every_text_that_is_not_three_canonical_parts() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let cases = [
            ("".to_owned(), CompactError::Parts),
            (".".to_owned(), CompactError::Parts),
            ("..".to_owned(), CompactError::Parts),
            (header.clone(), CompactError::Parts),
            (format!("{header}.e30"), CompactError::Parts),
            (format!("{header}.e30."), CompactError::Parts),
            (format!("{header}..AAAA"), CompactError::Parts),
            (format!(".e30.AAAA{header}"), CompactError::Parts),
            (format!("{header}.e30.AAAA."), CompactError::Parts),
            (format!("{header}.e30.AAAA.AAAA"), CompactError::Parts),
            (format!("{header}.e30.AAAA.."), CompactError::Parts),
            (format!("{header}.e30.AA=="), CompactError::Encoding),
            (format!("{header}=.e30.AAAA"), CompactError::Encoding),
            (format!("{header}.e30.AB"), CompactError::Encoding),
            (format!("{header}.e30.AAB"), CompactError::Encoding),
            (format!("{header}.e30.A"), CompactError::Encoding),
            (format!("{header}.e30.AA+A"), CompactError::Encoding),
            (format!("{header}.e30.AA/A"), CompactError::Encoding),
            (format!("{header}.e30.AA A"), CompactError::Encoding),
            (format!(" {header}.e30.AAAA"), CompactError::Encoding),
            (format!("{header}.e30.AAAA\n"), CompactError::Encoding),
            (format!("{header}.e30.AAAA "), CompactError::Encoding),
            (format!("{header}.e30.AAA\0"), CompactError::Encoding),
            (format!("{header}.e30.{}", "A".repeat(1000)), CompactError::Encoding),
            (format!("{header}.{}.AAAA", "A".repeat(MAX_TOKEN_BYTES)), CompactError::TooLong),
            (format!(r#"{{"payload":"e30","protected":"{header}","signature":"AAAA"}}"#), CompactError::Parts),
            (format!(r#"{{"payload":"e30","signatures":[{{"protected":"{header}.a.b"}}]}}"#), CompactError::Encoding),
        ];
        for (text, error) in cases {
            assert_eq!(Compact::parse(text.as_bytes()).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn reads_the_longest_token_and_the_longest_signature() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let parse = |payload: usize, signature: usize| {
            let signature = URL_SAFE_NO_PAD.encode(vec![1; signature]);
            let text = format!("{header}.{}.{signature}", "A".repeat(payload));
            (text.len(), Compact::parse(text.as_bytes()).map(|jws| jws.signature().len()))
        };
        let longest = MAX_TOKEN_BYTES - parse(0, 3).0;
        assert_eq!(parse(longest, 3), (MAX_TOKEN_BYTES, Ok(3)));
        assert_eq!(parse(longest + 1, 3).1, Err(CompactError::TooLong));
        assert_eq!(parse(4, MAX_SIGNATURE_BYTES).1, Ok(MAX_SIGNATURE_BYTES));
        assert_eq!(parse(4, MAX_SIGNATURE_BYTES + 1).1, Err(CompactError::Encoding));
    }

    #[test]
    fn refuses_headers_that_are_ambiguous_or_ask_for_more() {
        let cases = [
            (r#"{}"#, CompactError::HeaderMember("alg")),
            (r#"{"alg":null}"#, CompactError::HeaderMember("alg")),
            (r#"{"alg":["HS256"]}"#, CompactError::HeaderMember("alg")),
            (r#"{"alg":256}"#, CompactError::HeaderMember("alg")),
            (r#"{"ALG":"HS256"}"#, CompactError::HeaderMember("alg")),
            (r#"{"alg":"HS256","kid":1}"#, CompactError::HeaderMember("kid")),
            (r#"{"alg":"HS256","typ":{}}"#, CompactError::HeaderMember("typ")),
            (r#"{"alg":"HS256","cty":null}"#, CompactError::HeaderMember("cty")),
            (r#"{"alg":"none"}"#, CompactError::UnsupportedAlgorithm),
            (r#"{"alg":"HS256","crit":[]}"#, CompactError::Extension),
            (r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, CompactError::Extension),
            // RFC 7797 section 4.1
            (r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, CompactError::Extension),
            (r#"{"alg":"HS256","b64":true}"#, CompactError::Extension),
            (r#"{"alg":"HS256","alg":"none"}"#, CompactError::HeaderJson(JsonError::DuplicateMember)),
            (r#"{"alg":"HS256","x":[[[[]]]]}"#, CompactError::HeaderJson(JsonError::TooDeep)),
            (r#"["alg","HS256"]"#, CompactError::HeaderJson(JsonError::NotAnObject)),
            (r#"{"alg":"HS256"}{}"#, CompactError::HeaderJson(JsonError::Syntax)),
        ];
        for (header, error) in cases {
            assert_eq!(Compact::parse(token(header).as_bytes()).unwrap_err(), error, "{header}");
        }
    }
}
