//! The request's body as a JSON document, changed step by step: what the upstream receives.

use std::rc::Rc;

use crate::canonical::strip::is_same_folded;
use crate::check::{Arrival, Await, BodyArrival, Check, Env, Failure, Step};
use crate::denial::{BodyRejection, Denial};
use crate::document::{Document, Error, Limits, Place, Value, is_same_field};
use crate::exchange::{Exchange, HeaderEdit};
use crate::media::content_type::{ContentType, Media};
use crate::media::{json, query};

/// One rule about the fields of a request's body.
pub trait BodyStep {
    /// Looks at the document and may change it. A refusal does not keep the next steps from their work: it may only be
    /// reported. [`Step::Await`] and [`Step::Answer`] are no words for a document.
    fn apply(&self, document: &mut Document<'_>, exchange: &mut Exchange, env: &mut Env<'_>) -> Step;

    /// Whether it certainly lets the document go on as it is, told from its bytes or from what is known of them. `false` says
    /// nothing.
    fn surely_passes(&self, _document: &[u8], _limits: &Limits, _exchange: &Exchange) -> bool {
        false
    }

    /// There must be a JSON document: any other content is refused, and so is none where the method has content.
    fn requires_json(&self) -> bool {
        false
    }

    /// Whether it names what stands in `value` of the operations of a patch, of which this is one. What the schema says of the
    /// whole document it says of a patch as well.
    fn reaches(&self, _patch: &Document<'_>) -> bool {
        true
    }

    /// Whether it may change a document. Then a body whose fields cannot be found goes on in no mode: it would go on without
    /// its protection.
    fn changes(&self) -> bool {
        false
    }
}

/// Changes the body of a request, in the order of `steps`. An empty body has no fields: it goes on unless a step requires
/// a document.
pub struct TransformBody {
    /// The rules.
    pub steps: Vec<Rc<dyn BodyStep>>,
    /// The bounds of the document.
    pub limits: Limits,
    /// Bytes of a body that can be held.
    pub limit: usize,
}

impl Check for TransformBody {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        if exchange.ends_with_head {
            return self.nothing(exchange);
        }
        if exchange.is_tunnel() {
            return self.unreadable(BodyRejection::Malformed("upgrade"));
        }
        Step::Await(Await::Body { limit: self.limit })
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, env: &mut Env<'_>) -> Step {
        match arrival {
            Arrival::Body(BodyArrival::Whole(b"")) => self.nothing(exchange),
            Arrival::Body(BodyArrival::Whole(body)) => self.whole(body, exchange, env),
            Arrival::Body(BodyArrival::OverLimit(_)) => self.unreadable(BodyRejection::TooLarge),
            Arrival::Reply(_) => Step::Fail(Failure::UnexpectedArrival),
        }
    }

    fn asks_for_client(&self) -> bool {
        false
    }

    fn may_await_body(&self, _exchange: &Exchange) -> bool {
        true
    }
}

impl TransformBody {
    /// Whether the upstream may get another body than was sent.
    pub fn changes(&self) -> bool {
        self.steps.iter().any(|step| step.changes())
    }

    fn whole(&self, body: &[u8], exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        if is_encoded(exchange) {
            return self.unreadable(BodyRejection::Encoded);
        }
        // Rack, WebOb and CGI.pm take a body without a type for a form.
        let is_form_to_some = || exchange.head.first("content-type").is_none() && query::holds_a_pair(body);
        if !may_be_json(exchange) || is_form_to_some() {
            let strict = self.requires_json();
            return self.unreadable(if strict {
                BodyRejection::NotJson
            } else {
                BodyRejection::Malformed("content_type")
            });
        }
        if self.steps.iter().all(|step| step.surely_passes(body, &self.limits, exchange)) {
            return Step::Pass;
        }
        match Document::parse(body, &self.limits) {
            Ok(document) if !self.reaches(&document) => self.unreadable(BodyRejection::Malformed("json_patch")),
            Ok(document) => self.apply(document, exchange, env),
            Err(error) => self.unreadable(rejection(error)),
        }
    }

    /// Whether every rule finds its fields in this document, should it be a patch.
    fn reaches(&self, document: &Document<'_>) -> bool {
        let Some(example) = patch_like(document) else { return true };
        let reach = |patch: Document<'_>| self.steps.iter().all(|step| step.reaches(&patch));
        Document::parse(example, &Limits::default()).is_ok_and(reach)
    }

    fn requires_json(&self) -> bool {
        self.steps.iter().any(|step| step.requires_json())
    }

    /// There is no content, so there are no fields.
    fn nothing(&self, exchange: &Exchange) -> Step {
        let method = exchange.head.method().unwrap_or_default();
        if self.requires_json() && !WITHOUT_CONTENT.contains(&method) {
            return Step::Deny(Denial::Body(BodyRejection::Malformed("json")));
        }
        Step::Pass
    }

    fn apply(&self, mut document: Document<'_>, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let mut word = Step::Pass;
        for step in &self.steps {
            match step.apply(&mut document, exchange, env) {
                Step::Pass => {}
                said @ (Step::Deny(_) | Step::Observe(_)) => word = first_refusal(word, said),
                ends => return ends,
            }
        }
        if document.is_changed() {
            exchange.rewritten_body = Some(document.to_bytes());
        }
        word
    }

    fn unreadable(&self, why: BodyRejection) -> Step {
        let denial = Denial::Body(why);
        if self.changes() { Step::Refuse(denial) } else { Step::Deny(denial) }
    }
}

/// A patch in the form of this document, if it is one by what stands in it: a JSON Patch (RFC 6902), which some servers take as plain
/// JSON too, or a PATCH of SCIM (RFC 7644 section 3.5.2). Its operations name fields of another document.
fn patch_like(document: &Document<'_>) -> Option<&'static [u8]> {
    let root = document.root();
    if holds_operations(document, root) {
        return Some(br#"[{"value":0}]"#);
    }
    let mut members = document.children(root);
    let found = members.any(|place| is_called(document, place, "operations") && holds_operations(document, place));
    found.then_some(br#"{"Operations":[{"value":0}]}"#)
}

/// An array of which some element says what is to be done, and where or with what.
fn holds_operations(document: &Document<'_>, place: Place) -> bool {
    const WORDS: [&str; 6] = ["add", "remove", "replace", "move", "copy", "test"];
    if document.value(place) != Value::Array {
        return false;
    }
    let is_operation = |element: Place| {
        let (mut says, mut holds) = (false, false);
        for member in document.children(element) {
            holds |= is_called(document, member, "path") || is_called(document, member, "value");
            if let Value::String(word) = document.value(member) {
                let mut known = WORDS.iter();
                says |= known.any(|known| is_same(word, known)) && is_called(document, member, "op");
            }
        }
        says && holds
    };
    document.children(place).any(is_operation)
}

fn is_called(document: &Document<'_>, place: Place, name: &str) -> bool {
    document.key(place).is_some_and(|key| is_same(key, name))
}

/// Once in the module: SCIM passes over the case of names and of words alike.
#[inline(never)]
fn is_same(word: &str, known: &str) -> bool {
    is_same_field(word.as_bytes(), known.as_bytes())
}

/// Methods whose requests need no content (RFC 9110 section 9.3).
const WITHOUT_CONTENT: [&[u8]; 6] = [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT"];

/// What is refused outweighs what is only reported; else the first word stays.
fn first_refusal(word: Step, said: Step) -> Step {
    match (&word, &said) {
        (Step::Pass, _) | (Step::Observe(_), Step::Deny(_)) => said,
        _ => word,
    }
}

fn rejection(error: Error) -> BodyRejection {
    match error {
        Error::Json(json::Error::DuplicateKey { .. }) => BodyRejection::Malformed("json_duplicate_key"),
        error if error.is_limit() => BodyRejection::TooComplex("json_limits"),
        _ => BodyRejection::Malformed("json"),
    }
}

/// It is compressed: neither are its fields there to be found, nor does a coding fit what is made of it. To many applications
/// `Content_Encoding` is the same (RFC 3875 section 4.1.18).
pub(crate) fn is_encoded(exchange: &Exchange) -> bool {
    let mut fields = exchange.head.iter();
    fields.any(|(name, coding)| is_same_folded(name, b"content-encoding") && !coding.eq_ignore_ascii_case(b"identity"))
}

/// A form that happens to be JSON as well would have other fields for the upstream than it has here.
///
/// So has a JSON Patch (RFC 6902): its operations name fields of another document in their values.
pub(crate) fn may_be_json(exchange: &Exchange) -> bool {
    if is_typed_otherwise(exchange) {
        return false;
    }
    let Some(sent) = exchange.head.first("content-type") else { return true };
    let essence = sent.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_json = |declared: ContentType<'_>| declared.media == Media::Json && declared.charset.has_grammar();
    !essence.eq_ignore_ascii_case(b"application/json-patch+json") && ContentType::parse(sent).is_ok_and(is_json)
}

/// Whether a header says what the body is that only some servers take for `Content-Type`: `Content_Type`, say.
pub(crate) fn is_typed_otherwise(exchange: &Exchange) -> bool {
    let mut names = exchange.head.iter().map(|(name, _)| name);
    names.any(|name| name != b"content-type" && is_same_folded(name, b"content-type"))
}

/// Takes out what vouches for the bytes that were sent: it does not for those that are received. A check of its own,
/// because the head may go on before the body is looked at for the first time.
#[derive(Clone, Copy, Debug)]
pub struct WithdrawDigests;

impl Check for WithdrawDigests {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        let told = DIGESTS.into_iter().filter(|name| exchange.head.contains(name));
        let edits: Vec<_> = told.map(|name| HeaderEdit::Remove(name.as_bytes().to_vec())).collect();
        exchange.request_edits.extend(edits);
        Step::Pass
    }

    fn asks_for_client(&self) -> bool {
        false
    }
}

const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];
