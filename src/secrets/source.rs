//! The stores that secrets are fetched from: what each is asked, and what its answer means.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

pub use super::aws::SecretsManager;
pub use super::kubernetes::KubernetesSecret;
pub use super::sigv4::Credentials;
use super::value::SecretValue;
pub use super::vault::VaultKv;
use crate::check::{Call, Callout, CalloutReply};
use crate::time::Timestamp;

/// How long a store may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A store and the one value in it.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// HashiCorp Vault, KV version 2.
    Vault(VaultKv),
    /// AWS Secrets Manager.
    SecretsManager(SecretsManager),
    /// The Kubernetes API.
    Kubernetes(KubernetesSecret),
}

/// Why a store gave no value. What it said beyond that is not told to anybody: it may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No answer in time, none at all, or one that says that the store cannot serve.
    Unreachable,
    /// Our credentials do not open it.
    Denied,
    /// There is no such secret, no such field, or its version was deleted.
    NotFound,
    /// The answer is none of this store, or the value is not of the expected form.
    Malformed,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Unreachable, Self::Denied, Self::NotFound, Self::Malformed];

    /// The published reason.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "secret_unreachable",
            Self::Denied => "secret_denied",
            Self::NotFound => "secret_not_found",
            Self::Malformed => "secret_malformed",
        }
    }

    /// What a status other than 200 says in all of these interfaces.
    pub(super) const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            404 => Self::NotFound,
            _ => Self::Unreachable,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Fault {}

impl Source {
    /// What is asked at `now`.
    pub fn request(&self, now: Timestamp) -> Callout {
        match self {
            Self::Vault(vault) => vault.request(),
            Self::SecretsManager(manager) => manager.request(now),
            Self::Kubernetes(secret) => secret.request(),
        }
    }

    /// The value in an answer.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read(&self, reply: &CalloutReply) -> Result<SecretValue, Fault> {
        let CalloutReply::Answered { status, body } = reply else { return Err(Fault::Unreachable) };
        match self {
            Self::Vault(vault) => vault.read(*status, body),
            Self::SecretsManager(manager) => manager.read(*status, body),
            Self::Kubernetes(secret) => secret.read(*status, body),
        }
    }
}

/// A request to a store.
pub(super) fn http(cluster: &Rc<str>, headers: Vec<(String, String)>, body: Vec<u8>) -> Callout {
    Callout { cluster: cluster.clone(), call: Call::Http { headers }, body, timeout: TIMEOUT, flight: None }
}

/// The `:authority` for a cluster whose host the configuration does not say: its name, or the host in the name that
/// Istio gives to a service's cluster (`outbound|8200||vault.vault.svc.cluster.local`).
pub(super) fn authority(cluster: &str) -> &str {
    cluster.rsplit('|').next().unwrap_or(cluster)
}

/// A path of segments that hold anything: RFC 3986 section 3.3, everything but unreserved characters encoded.
pub(super) fn encoded<'a>(segments: impl Iterator<Item = &'a str>) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    path
}

/// The text at `path` of a JSON document.
///
/// # Errors
/// [`Fault::NotFound`] where it, or something on the way, is absent or null, [`Fault::Malformed`] where it is anything
/// else than a text, the document is not JSON, or a member on the way stands in it twice.
pub(super) fn text_at(document: &[u8], path: &[&str]) -> Result<Zeroizing<String>, Fault> {
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let found = At(path).deserialize(&mut deserializer).map_err(|_| Fault::Malformed)?;
    deserializer.end().map_err(|_| Fault::Malformed)?;
    match found {
        Found::Text(text) => Ok(text),
        Found::Nothing => Err(Fault::NotFound),
        Found::Other => Err(Fault::Malformed),
    }
}

/// A value of `text`, which is not empty.
pub(super) fn value_of(mut text: Zeroizing<String>) -> Result<SecretValue, Fault> {
    SecretValue::new(std::mem::take(&mut *text).into_bytes()).ok_or(Fault::Malformed)
}

/// The value that `text` is the base64 form of.
pub(super) fn decoded(text: &str) -> Result<SecretValue, Fault> {
    let bytes = STANDARD.decode(text).map_err(|_| Fault::Malformed)?;
    SecretValue::new(bytes).ok_or(Fault::Malformed)
}

/// Goes down the path and copies nothing but the text at its end.
struct At<'p>(&'p [&'p str]);

enum Found {
    Text(Zeroizing<String>),
    Nothing,
    Other,
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Found, A::Error> {
        let Some((name, rest)) = self.0.split_first() else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Found::Other);
        };
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Is(name))? {
            if !is_it {
                members.next_value::<IgnoredAny>()?;
            } else if found.replace(members.next_value_seed(At(rest))?).is_some() {
                return Err(de::Error::custom("twice"));
            }
        }
        Ok(found.unwrap_or(Found::Nothing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Found, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::Other)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Found, E> {
        Ok(if self.0.is_empty() { Found::Text(Zeroizing::new(text.to_owned())) } else { Found::Other })
    }

    fn visit_unit<E: de::Error>(self) -> Result<Found, E> {
        Ok(Found::Nothing)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Other)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Other)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Other)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Other)
    }
}

/// Whether a member's name is this one.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> SecretValue {
        SecretValue::new(text.into()).unwrap()
    }

    fn vault() -> Source {
        let (path, field, token) = ("secret/data/order service".into(), "token".into(), value("s.vault-token"));
        Source::Vault(VaultKv { cluster: "outbound|8200||vault.svc".into(), path, field, token })
    }

    fn kubernetes(field: &str) -> Source {
        let (namespace, name, token) = ("default".into(), "pii".into(), value("service-account-token"));
        Source::Kubernetes(KubernetesSecret { cluster: "k".into(), namespace, name, field: field.into(), token })
    }

    fn aws(field: Option<&str>) -> Source {
        let credentials = Credentials {
            access_key_id: value("AKIDEXAMPLE"),
            secret_access_key: value("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: Some(value("session-token")),
        };
        let (region, secret_id) = ("eu-west-1".into(), "prod/oauth".into());
        let field = field.map(Into::into);
        Source::SecretsManager(SecretsManager { cluster: "sm".into(), region, secret_id, field, credentials })
    }

    fn headers(callout: &Callout) -> Vec<String> {
        let Call::Http { headers } = &callout.call else { panic!() };
        headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    fn read(source: &Source, status: u16, body: &str) -> Result<String, &'static str> {
        let reply = CalloutReply::Answered { status, body: body.into() };
        let read = source.read(&reply).map_err(Fault::as_str)?;
        Ok(String::from_utf8(read.reveal().to_vec()).unwrap())
    }

    #[test]
    fn asks_vault_for_the_path_with_its_token() {
        let asked = vault().request(Timestamp::default());
        assert_eq!(&*asked.cluster, "outbound|8200||vault.svc");
        let expected = [
            ":method: GET",
            ":path: /v1/secret/data/order%20service",
            ":authority: vault.svc",
            ":scheme: https",
            "accept: application/json",
            "x-vault-request: true",
            "x-vault-token: s.vault-token",
        ];
        assert_eq!(headers(&asked), expected);
    }

    #[test]
    fn reads_what_vault_answers() {
        let deleted = r#"{"data":{"data":null,"metadata":{"deletion_time":"2026-01-01T00:00:00Z","version":2}}}"#;
        for (status, body, expected) in [
            (200, r#"{"request_id":"1","data":{"data":{"other":"x","token":"a\"\u00e9"},"metadata":{}}}"#, Ok("a\"é")),
            (200, r#"{"data":{"data":{"other":"x"}}}"#, Err("secret_not_found")),
            (200, deleted, Err("secret_not_found")),
            (404, deleted, Err("secret_not_found")),
            (404, r#"{"errors":[]}"#, Err("secret_not_found")),
            (403, r#"{"errors":["permission denied"]}"#, Err("secret_denied")),
            (503, r#"{"errors":["Vault is sealed"]}"#, Err("secret_unreachable")),
            (500, "", Err("secret_unreachable")),
            (302, "", Err("secret_unreachable")),
            (200, r#"{"data":{"data":{"token":""}}}"#, Err("secret_malformed")),
            (200, r#"{"data":{"data":{"token":7}}}"#, Err("secret_malformed")),
            (200, r#"{"data":{"data":{"token":"a","token":"b"}}}"#, Err("secret_malformed")),
            (200, r#"{"data":{"data":{"token":"a"}}"#, Err("secret_malformed")),
            (200, r#"{"data":{"data":{"token":"a"}}} x"#, Err("secret_malformed")),
            (200, r#"{"data":["a"]}"#, Err("secret_malformed")),
            (200, "<!doctype html><p>Please sign in.", Err("secret_malformed")),
            (200, "", Err("secret_malformed")),
        ] {
            assert_eq!(read(&vault(), status, body), expected.map(str::to_owned), "{status} {body}");
        }
        assert_eq!(vault().read(&CalloutReply::Lost), Err(Fault::Unreachable));
    }

    #[test]
    fn bounds_the_depth_of_an_answer() {
        let deep = format!("{}{}", r#"{"data":"#.repeat(100_000), "[".repeat(100_000));
        assert_eq!(read(&vault(), 200, &deep), Err("secret_malformed"));
    }

    #[test]
    fn asks_the_kubernetes_api_as_its_service_account() {
        let asked = headers(&kubernetes("key").request(Timestamp::default()));
        assert!(asked.contains(&":path: /api/v1/namespaces/default/secrets/pii".to_owned()));
        assert!(asked.contains(&"authorization: Bearer service-account-token".to_owned()));
    }

    #[test]
    fn reads_what_the_kubernetes_api_answers() {
        let secret = r#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"pii"},"data":{"key":"czNjcjN0","no":"%"},"type":"Opaque"}"#;
        let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"x","code":0}"#;
        for (field, code, body, expected) in [
            ("key", 200, secret, Ok("s3cr3t")),
            ("other", 200, secret, Err("secret_not_found")),
            ("no", 200, secret, Err("secret_malformed")),
            ("key", 200, r#"{"kind":"Secret"}"#, Err("secret_not_found")),
            ("key", 200, &secret.replace("Secret", "SecretList"), Err("secret_malformed")),
            ("key", 200, status, Err("secret_malformed")),
            ("key", 401, status, Err("secret_denied")),
            ("key", 403, status, Err("secret_denied")),
            ("key", 404, status, Err("secret_not_found")),
            ("key", 429, status, Err("secret_unreachable")),
        ] {
            assert_eq!(read(&kubernetes(field), code, body), expected.map(str::to_owned), "{code} {body}");
        }
    }

    /// The signature is what botocore makes of the same request.
    #[test]
    fn asks_secrets_manager_with_a_signed_request() {
        let asked = aws(None).request(Timestamp::from_unix_seconds(1_440_938_160));
        assert_eq!(asked.body, br#"{"SecretId":"prod/oauth"}"#);
        let expected = [
            ":method: POST",
            ":path: /",
            ":authority: secretsmanager.eu-west-1.amazonaws.com",
            ":scheme: https",
            "content-type: application/x-amz-json-1.1",
            "x-amz-target: secretsmanager.GetSecretValue",
            "x-amz-date: 20150830T123600Z",
            "x-amz-security-token: session-token",
            "authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/secretsmanager/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature=93c4fd986c23eeef7ca59f463dc171a8c5bcca2fbcd08554873b14d1c591c5ce",
        ];
        assert_eq!(headers(&asked), expected);
    }

    #[test]
    fn reads_what_secrets_manager_answers() {
        let text = r#"{"ARN":"a","Name":"prod/oauth","SecretString":"{\"client_secret\":\"s3cr3t\",\"n\":1}"}"#;
        let error = |kind: &str| format!(r#"{{"__type":"{kind}","Message":"m"}}"#);
        for (field, status, body, expected) in [
            (None, 200, text.to_owned(), Ok(r#"{"client_secret":"s3cr3t","n":1}"#)),
            (Some("client_secret"), 200, text.to_owned(), Ok("s3cr3t")),
            (Some("other"), 200, text.to_owned(), Err("secret_not_found")),
            (Some("n"), 200, text.to_owned(), Err("secret_malformed")),
            (Some("a"), 200, r#"{"SecretString":"plain"}"#.to_owned(), Err("secret_malformed")),
            (None, 200, r#"{"SecretBinary":"czNjcjN0"}"#.to_owned(), Ok("s3cr3t")),
            (None, 200, "{}".to_owned(), Err("secret_not_found")),
            (None, 400, error("ResourceNotFoundException"), Err("secret_not_found")),
            (None, 400, error("com.amazonaws.secretsmanager#ResourceNotFoundException"), Err("secret_not_found")),
            (None, 400, error("InvalidRequestException"), Err("secret_not_found")),
            (None, 400, error("UnrecognizedClientException"), Err("secret_denied")),
            (None, 400, error("InvalidSignatureException"), Err("secret_denied")),
            (None, 400, error("ThrottlingException"), Err("secret_unreachable")),
            (None, 400, "<html>".to_owned(), Err("secret_malformed")),
            (None, 500, error("InternalServiceError"), Err("secret_unreachable")),
        ] {
            assert_eq!(read(&aws(field), status, &body), expected.map(str::to_owned), "{status} {body}");
        }
    }

    #[test]
    fn prints_nothing_that_opens_a_store() {
        for source in [vault(), kubernetes("key"), aws(None)] {
            let asked = source.request(Timestamp::default());
            let reply = CalloutReply::Answered { status: 200, body: b"s3cr3t".to_vec() };
            let printed = format!("{source:?} {asked:?} {reply:?} {:?}", value("s3cr3t"));
            for secret in ["s.vault", "account-token", "AKID", "wJalr", "session-token", "s3cr3t"] {
                assert!(!printed.contains(secret), "{printed}");
            }
        }
    }
}
