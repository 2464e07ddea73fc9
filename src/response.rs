//! The upstream's response as the checks see it.

use crate::head::Head;
use crate::media::content_type::{ContentType, Media};

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
