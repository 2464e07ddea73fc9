//! The reply to a refused request: a problem document (RFC 9457), headers, the matching gRPC status.

use std::borrow::Cow;

use serde::Serialize;

use super::{AdminRefusal, AuthReason, Denial, TokenRefusal};
use crate::jose::reason::Reason;
use crate::schema::Violation;

/// A response header: name and value, most of them fixed.
pub type HeaderLine = (Cow<'static, str>, Cow<'static, str>);

/// What goes to the client.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalReply {
    /// HTTP status.
    pub status: u16,
    /// Headers beyond the content type.
    pub headers: Vec<HeaderLine>,
    /// The problem document.
    pub body: String,
    /// The matching gRPC status, for gRPC callers.
    pub grpc_status: u8,
    /// For `%RESPONSE_CODE_DETAILS%`: the reason code.
    pub details: &'static str,
}

#[derive(Serialize)]
struct Problem<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Violation],
}

impl Denial {
    /// The whole reply. `request_id` may be empty.
    pub fn reply(&self, request_id: &str) -> LocalReply {
        self.reply_with("", request_id)
    }

    /// The whole reply, whose document says what went wrong in a member `error` as well: what clients of a login read.
    pub fn reply_with_error(&self, request_id: &str) -> LocalReply {
        self.reply_with(self.detail(), request_id)
    }

    fn reply_with(&self, error: &str, request_id: &str) -> LocalReply {
        let status = self.status();
        let errors = if let Self::Invalid(violations) = self { &**violations } else { &[] };
        let problem = Problem { error, title: title(status), status, detail: self.detail(), request_id, errors };
        let mut headers = vec![fixed("content-type", "application/problem+json")];
        match self {
            Self::HttpsRequired { location } => headers.push(made("location", location.clone())),
            Self::Unauthenticated { reason, challenge } => {
                headers.push(made("www-authenticate", challenge_for(*reason, challenge)));
            }
            Self::Forbidden { challenge: Some(challenge), .. } => {
                headers.push(made("www-authenticate", challenge.as_ref().to_owned()));
            }
            Self::UnverifiedCredentials { retry_after } | Self::RateLimited { retry_after, .. } => {
                headers.push(made("retry-after", retry_after.to_string()));
            }
            Self::Unavailable { .. } => headers.push(fixed("retry-after", UNAVAILABLE_SECONDS)),
            Self::TokenRequest(TokenRefusal::MethodNotAllowed) => headers.push(fixed("allow", "POST")),
            Self::Admin(refusal) => {
                headers.push(fixed("cache-control", "no-store"));
                if let AdminRefusal::MethodNotAllowed(allowed) = refusal {
                    headers.push(fixed("allow", allowed));
                }
            }
            _ => {}
        }
        let body = serde_json::to_string(&problem).unwrap_or_default();
        LocalReply { status, headers, body, grpc_status: grpc_status(status), details: self.reason() }
    }
}

/// When to come again after a 503: what failed is tried again every few seconds.
const UNAVAILABLE_SECONDS: &str = "5";

/// A header that is the same in every response.
pub const fn fixed(name: &'static str, value: &'static str) -> HeaderLine {
    (Cow::Borrowed(name), Cow::Borrowed(value))
}

/// A header whose value is made for this response.
pub const fn made(name: &'static str, value: String) -> HeaderLine {
    (Cow::Borrowed(name), Cow::Owned(value))
}

/// RFC 6750 section 3: no error code where no credentials came, `invalid_token` where they were refused.
fn challenge_for(reason: AuthReason, challenge: &str) -> String {
    match reason {
        AuthReason::Token(Reason::Missing | Reason::Unavailable) => challenge.to_owned(),
        AuthReason::Token(_) if challenge.starts_with("Bearer") => {
            format!("{challenge}, error=\"invalid_token\", error_description=\"{}\"", reason.detail())
        }
        _ => challenge.to_owned(),
    }
}

const fn title(status: u16) -> &'static str {
    match status {
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        502 => "Bad Gateway",
        _ => "Service Unavailable",
    }
}

/// The gRPC status for an HTTP status: Envoy's and gRPC's mapping, with 400 as INVALID_ARGUMENT and 413 and 429 as
/// RESOURCE_EXHAUSTED, which say more than INTERNAL and UNAVAILABLE do.
const fn grpc_status(http: u16) -> u8 {
    match http {
        400 | 415 | 422 => 3,
        401 => 16,
        403 => 7,
        404 | 405 => 12,
        413 | 429 => 8,
        308 | 502 | 503 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_missing_token_is_challenged_without_an_error_code_and_a_bad_one_with() {
        let challenge: Rc<str> = Rc::from("Bearer realm=\"s\"");
        let reply = |reason| {
            let denial = Denial::Unauthenticated { reason: AuthReason::Token(reason), challenge: challenge.clone() };
            denial.reply("id-1").headers.into_iter().find(|(name, _)| name == "www-authenticate").unwrap().1
        };
        assert_eq!(reply(Reason::Missing), "Bearer realm=\"s\"");
        let expired = "Bearer realm=\"s\", error=\"invalid_token\", error_description=\"Token has expired\"";
        assert_eq!(reply(Reason::Expired), expired);
    }

    #[test]
    fn a_reply_is_a_problem_document_and_names_the_request() {
        let denial = Denial::RateLimited { limit: Rc::from("per_user"), retry_after: 7 };
        let reply = denial.reply("id-1");
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(body["title"], "Too Many Requests");
        assert_eq!(body["status"], 429);
        assert_eq!(body["request_id"], "id-1");
        assert!(reply.headers.iter().any(|(name, value)| name == "retry-after" && value == "7"));
        assert_eq!(reply.grpc_status, 8);
    }
}
