//! The upstream's response as the checks see it.

use crate::head::Head;
use crate::media::content_type::{ContentType, Media};

/// Who made a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The upstream, as far as anybody says.
    Upstream,
    /// The proxy: nothing in it is the upstream's.
    Proxy,
    /// Another filter, which may play back what an upstream once said.
    Filter,
}

impl Author {
    /// The author by the proxy's response code details; its own answers are a closed list.
    pub fn of(details: &[u8]) -> Self {
        let word = details.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').next().unwrap_or_default();
        match word {
            b"" | b"via_upstream" => Self::Upstream,
            word if OWN_ANSWERS.contains(&word) => Self::Proxy,
            _ => Self::Filter,
        }
    }
}

/// Up to the first character that is neither letter, digit nor `_`.
const OWN_ANSWERS: [&[u8]; 27] = [
    b"admission_control_denied",
    b"cluster_not_found",
    b"csrf_origin_mismatch",
    b"direct_response",
    b"ext_authz_denied",
    b"ext_authz_error",
    b"fault_filter_abort",
    b"jwt_authn_access_denied",
    b"local_rate_limited",
    b"maintenance_mode",
    b"max_duration_timeout",
    b"no_healthy_upstream",
    b"overload",
    b"rate_limited_by_quota",
    b"rbac_access_denied_matched_policy",
    b"reached_concurrency_limit",
    b"request_overall_timeout",
    b"request_payload_too_large",
    b"request_rate_limited",
    b"response_timeout",
    b"route_not_found",
    b"stream_idle_timeout",
    b"upstream_max_stream_duration_reached",
    b"upstream_per_try_idle_timeout",
    b"upstream_per_try_timeout",
    b"upstream_reset_before_response_started",
    b"upstream_response_timeout",
];

/// One response, whole.
#[derive(Debug, Default)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Its head as it arrived.
    pub head: Head,
    body: Vec<u8>,
    rewritten: bool,
}

impl Response {
    /// A response with its whole body.
    pub const fn new(status: u16, head: Head, body: Vec<u8>) -> Self {
        Self { status, head, body, rewritten: false }
    }

    /// The body, as the checks before left it.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The client gets this body instead.
    pub fn rewrite(&mut self, body: Vec<u8>) {
        self.body = body;
        self.rewritten = true;
    }

    /// The body that replaces the one that arrived; `None`: it stays.
    pub fn rewritten(self) -> Option<Vec<u8>> {
        self.rewritten.then_some(self.body)
    }

    /// It is some bytes of a document (RFC 9110 section 14.4): they may look like another one, with none of its names.
    pub fn is_range_of_bytes(&self) -> bool {
        let of_bytes = |range: &[u8]| range.get(..5).is_some_and(|unit| unit.eq_ignore_ascii_case(b"bytes"));
        self.status == 206 && self.head.all("content-range").any(of_bytes)
    }

    /// A response with this head is a stream of events (the HTML standard, server-sent events), which may have no end.
    pub fn streams_events(head: &Head) -> bool {
        let declared = head.first("content-type").and_then(|value| ContentType::parse(value).ok());
        declared.is_some_and(|declared| declared.media == Media::EventStream)
    }

    /// It is compressed: its fields cannot be read here.
    pub fn is_encoded(&self) -> bool {
        self.head.all("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"))
    }
}
