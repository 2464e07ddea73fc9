//! Configurations, tokens and requests that the tests send.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::host::{EPOCH, Headers};

pub const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// JWTs of one issuer, a limit per user, a public route, inspection of everything.
pub fn configuration() -> Value {
    json!({
        "service": "user-service",
        "secrets": { "jwt_secret": { "env": "JWT_SECRET_KEY" } },
        "authentication": {
            "unverified_credentials": "100000/m",
            "jwt": { "users": {
                "issuer": "https://auth.example.com",
                "audiences": ["microservices-api"],
                "algorithms": ["HS256"],
                "keys": [{ "secret": "jwt_secret" }],
                "claims": { "subject": "user_id", "roles": "roles" },
                "claim_to_headers": { "x-user-email": "email" },
            } },
        },
        "limits": { "per_user": { "key": ["subject"], "rate": "100000/hour", "burst": "100000/s" } },
        "inspection": { "body_limit": "128KiB" },
        "headers": { "cors": { "origins": ["https://app.example.com"], "methods": ["GET", "POST"] } },
        "events": { "sensitive_paths": ["/api/payments/**"] },
        "defaults": { "authenticate": ["jwt"], "limits": ["per_user"] },
        "routes": [
            { "match": { "path": "/health" }, "authenticate": "none", "limits": [] },
            { "match": { "path": "/api/**" }, "allow": [{ "roles": ["user"] }] },
        ],
    })
}

/// The configuration as text.
pub fn plain() -> String {
    configuration().to_string()
}

/// The plain claims of `user`, valid for an hour.
pub fn claims(user: &str) -> Value {
    let now = EPOCH / 1_000_000_000;
    json!({
        "iss": "https://auth.example.com", "aud": "microservices-api", "user_id": user, "roles": ["user"],
        "email": "ada@example.com", "iat": now, "exp": now + 3600,
    })
}

pub fn token(claims: &Value) -> String {
    signed(claims, SECRET)
}

pub fn signed(claims: &Value, secret: &str) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&json!({ "alg": "HS256", "typ": "JWT" })), encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Where a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Head,
    Body,
    Trailers,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub headers: Headers,
    pub raw_headers: Option<Vec<u8>>,
    pub chunks: Vec<Vec<u8>>,
    pub trailers: Headers,
    pub end: End,
    pub source_address: Option<String>,
    pub upstream_status: u16,
    /// Of the upstream's response.
    pub response_headers: Headers,
    /// Of the upstream's response; none: it ends with its head.
    pub response_chunks: Vec<Vec<u8>>,
    pub response_trailers: bool,
    /// How the proxy says that the response came about.
    pub code_details: &'static str,
}

impl Request {
    pub fn new(method: &str, path: &str) -> Self {
        let mut request = Self {
            headers: Headers::new(),
            raw_headers: None,
            chunks: Vec::new(),
            trailers: Headers::new(),
            end: End::Head,
            source_address: Some("203.0.113.7:40000".to_owned()),
            upstream_status: 200,
            response_headers: Headers::new(),
            response_chunks: Vec::new(),
            response_trailers: false,
            code_details: "via_upstream",
        };
        for (name, value) in [
            (":method", method),
            (":path", path),
            (":authority", "api.example.com"),
            (":scheme", "https"),
            ("user-agent", "test/1.0"),
            ("accept", "*/*"),
            ("x-request-id", "5e1f"),
        ] {
            request = request.header(name, value);
        }
        request
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A request with a JSON body in these chunks.
    pub fn post(path: &str, chunks: &[&str]) -> Self {
        let mut request = Self::new("POST", path).header("content-type", "application/json");
        request.chunks = chunks.iter().map(|chunk| chunk.as_bytes().to_vec()).collect();
        request.end = End::Body;
        request
    }

    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// With a good token of `user`.
    pub fn by(self, user: &str) -> Self {
        self.bearer(&token(&claims(user)))
    }

    pub fn trailers(mut self, trailers: &[(&str, &str)]) -> Self {
        self.end = End::Trailers;
        self.trailers = trailers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self
    }

    /// Answered by the upstream with a JSON body in these chunks.
    pub fn answered(mut self, chunks: &[&[u8]]) -> Self {
        self.response_headers = vec![(b"content-type".to_vec(), b"application/json".to_vec())];
        self.response_chunks = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        self
    }

    pub fn from(mut self, address: &str) -> Self {
        self.source_address = Some(address.to_owned());
        self
    }
}
