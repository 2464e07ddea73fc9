//! The body: names and values of JSON, forms, multipart and XML, held until the verdict.
//!
//! What a body is, its `Content-Type` says; because many servers do not ask, a body is also read as what its bytes open where
//! the type says nothing about them. Only a form may look like another document and be one all the same: it is read as both.

use std::ops::ControlFlow;
use std::rc::Rc;

use crate::check::{Arrival, Await, BodyArrival, Check, Env, Failure, Step};
use crate::checks::body::request::{is_encoded, is_typed_otherwise, may_be_json};
use crate::checks::inspect::{Findings, Inspector};
use crate::config::Verdict;
use crate::denial::{BodyRejection, Denial, Place};
use crate::exchange::Exchange;
use crate::injection::{ClassSet, bulk};
use crate::media::body::Reader;
use crate::media::content_type::{Charset, ContentType, Media};
use crate::media::json::Block;
use crate::media::{Item, Kind, body, framed, json, multipart, xml};

/// Bounds of what is inspected.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub body: usize,
    /// What happens to a longer body: refused, or the rest passes uninspected.
    pub over_limit: Verdict,
    /// What a body is made of.
    pub items: body::Limits,
}

/// Inspection of a request's body.
pub struct InspectBody {
    /// What is looked for.
    pub inspector: Rc<Inspector>,
    /// What is looked for in a body that is no JSON by its type: nobody sanitises its fields.
    pub elsewhere: Rc<Inspector>,
    /// How much is looked at.
    pub limits: Limits,
    /// Who reads JSON documents along.
    pub beside: Option<Rc<dyn ReadBeside>>,
}

/// Whoever has to read a JSON document as well, and does so in the walk of the inspection.
pub trait ReadBeside {
    /// Shows `judge` the document, and whether it certainly lets it go on as it is.
    ///
    /// # Errors
    /// As of [`json::walk`].
    fn read(
        &self,
        document: &[u8],
        limits: &json::Limits,
        judge: &mut Judge<'_>,
    ) -> Result<(ControlFlow<()>, bool), json::Error>;
}

/// Why the inspection of a body ends early.
enum Stop {
    Found,
    Rejected(BodyRejection),
}

impl Check for InspectBody {
    fn start(&self, exchange: &mut Exchange, _env: &mut Env<'_>) -> Step {
        if exchange.ends_with_head {
            return Step::Pass;
        }
        if exchange.is_tunnel() {
            return tunnel(exchange);
        }
        let limit = if is_grpc(exchange) { framed::PREFIX - 1 } else { self.limits.body };
        Step::Await(Await::Body { limit })
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, _env: &mut Env<'_>) -> Step {
        let mut findings = Findings { joined: std::mem::take(&mut exchange.joined), ..Findings::default() };
        match arrival {
            Arrival::Body(arrival) if is_grpc(exchange) => grpc(arrival),
            Arrival::Body(BodyArrival::Whole(b"")) => Step::Pass,
            Arrival::Body(BodyArrival::Whole(body)) => match self.whole(exchange, body, &mut findings) {
                Err(Stop::Rejected(rejection)) => Step::Deny(Denial::Body(rejection)),
                Ok(()) | Err(Stop::Found) => findings.step(),
            },
            Arrival::Body(BodyArrival::OverLimit(start)) if self.limits.over_limit == Verdict::Allow => {
                // A document that is cut off has no grammar: its beginning is looked at as it stands.
                let _ = look(self.inspector_for(exchange), b"", start, Kind::Value, &mut findings);
                match findings.step() {
                    Step::Pass => Step::Observe(Denial::Body(BodyRejection::TooLarge)),
                    found => found,
                }
            }
            Arrival::Body(BodyArrival::OverLimit(_)) => Step::Deny(Denial::Body(BodyRejection::TooLarge)),
            Arrival::Reply(_) => Step::Fail(Failure::UnexpectedArrival),
        }
    }

    fn asks_for_client(&self) -> bool {
        false
    }

    fn may_await_body(&self, exchange: &Exchange) -> bool {
        !exchange.is_tunnel()
    }
}

/// What goes through a tunnel is no body. Content before it is one, whose end nobody sees.
fn tunnel(exchange: &Exchange) -> Step {
    if exchange.announces_content() {
        return Step::Deny(Denial::Body(BodyRejection::Malformed("upgrade")));
    }
    Step::Pass
}

impl InspectBody {
    fn inspector_for(&self, exchange: &Exchange) -> &Inspector {
        if may_be_json(exchange) { &self.inspector } else { &self.elsewhere }
    }

    fn whole(&self, exchange: &mut Exchange, body: &[u8], findings: &mut Findings) -> Result<(), Stop> {
        self.inspect(exchange, body, findings)?;
        match self.inspector_for(exchange).joined(Place::Body, findings) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Found),
        }
    }

    fn inspect(&self, exchange: &mut Exchange, body: &[u8], findings: &mut Findings) -> Result<(), Stop> {
        if is_encoded(exchange) {
            return Err(Stop::Rejected(BodyRejection::Encoded));
        }
        if is_typed_otherwise(exchange) {
            return Err(malformed("content_type"));
        }
        let inspector = self.inspector_for(exchange);
        let declared = exchange.head.first("content-type").map(ContentType::parse);
        let declared = declared.transpose().map_err(|_| malformed("content_type"))?;
        match (declared, &self.beside) {
            (Some(ContentType { charset: Charset::Other, .. }), _) => Err(malformed("charset")),
            (Some(ContentType { media: Media::Json, charset }), Some(beside)) if charset.has_grammar() => {
                exchange.accepted_within = self.document(inspector, beside.as_ref(), body, findings)?;
                Ok(())
            }
            (Some(declared), _) if !says_nothing(&declared.media) => {
                shown(body::items(&declared, body, &self.limits.items, Judge::new(inspector, findings)))
            }
            (declared, _) => {
                let may_be_binary = declared.is_some_and(|declared| declared.media == Media::Other);
                let judge = Judge::new(inspector, findings);
                shown(body::undeclared(body, may_be_binary, &self.limits.items, judge))
            }
        }
    }

    /// Limits that the document is within if whoever reads along lets it go on as it is.
    fn document(
        &self,
        inspector: &Inspector,
        beside: &dyn ReadBeside,
        document: &[u8],
        findings: &mut Findings,
    ) -> Result<Option<json::Limits>, Stop> {
        let limits = self.limits.items.json;
        let mut judge = Judge::new(inspector, findings);
        match beside.read(document, &limits, &mut judge) {
            Ok((ControlFlow::Continue(()), accepted)) => Ok(accepted.then_some(limits)),
            Ok((ControlFlow::Break(()), _)) => Err(Stop::Found),
            Err(error) => Err(Stop::Rejected(rejection(body::Error::Json(error)))),
        }
    }
}

/// What `items` of a body came to.
fn shown(items: Result<ControlFlow<()>, body::Error>) -> Result<(), Stop> {
    match items {
        Ok(ControlFlow::Continue(())) => Ok(()),
        Ok(ControlFlow::Break(())) => Err(Stop::Found),
        Err(error) => Err(Stop::Rejected(rejection(error))),
    }
}

fn look(inspector: &Inspector, name: &[u8], value: &[u8], kind: Kind, findings: &mut Findings) -> Result<(), Stop> {
    match inspector.item(Place::Body, Item { name, value, kind, irregular: false }, findings) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Stop::Found),
    }
}

/// Judges the items of a body.
pub struct Judge<'j> {
    inspector: &'j Inspector,
    findings: &'j mut Findings,
    classes: ClassSet,
    /// The operator has no patterns, which would have to see every value.
    passes: bool,
}

impl<'j> Judge<'j> {
    fn new(inspector: &'j Inspector, findings: &'j mut Findings) -> Self {
        Self { inspector, findings, classes: inspector.classes(), passes: inspector.patterns.is_empty() }
    }
}

impl Reader for Judge<'_> {
    type Break = ();

    fn item(&mut self, item: Item<'_>) -> ControlFlow<()> {
        self.inspector.item(Place::Body, item, self.findings)
    }

    const PASSES_OVER: bool = true;

    #[inline]
    fn suspect(block: &Block<'_>) -> u64 {
        let [second, _] = block.following();
        bulk::suspect(block.bytes(), second)
    }

    #[inline]
    fn mark(block: &Block<'_>) -> u64 {
        bulk::mark(block.bytes(), block.following())
    }

    #[inline]
    fn passes_over(&mut self, text: &[u8]) -> bool {
        self.passes && bulk::is_harmless(text, self.classes)
    }

    #[inline]
    fn passes_over_number(&mut self, written: &[u8]) -> bool {
        self.passes && bulk::is_harmless_number(written, self.classes)
    }
}

const fn malformed(what: &'static str) -> Stop {
    Stop::Rejected(BodyRejection::Malformed(what))
}

fn rejection(error: body::Error) -> BodyRejection {
    match error {
        body::Error::Charset => BodyRejection::Malformed("charset"),
        body::Error::TooManyPairs => BodyRejection::TooComplex("form_fields"),
        body::Error::Json(json::Error::Malformed { .. }) => BodyRejection::Malformed("json"),
        body::Error::Json(json::Error::DuplicateKey { .. }) => BodyRejection::Malformed("json_duplicate_key"),
        body::Error::Json(_) => BodyRejection::TooComplex("json_limits"),
        body::Error::Multipart(
            multipart::Error::TooManyParts
            | multipart::Error::HeaderTooLong { .. }
            | multipart::Error::NameTooLong { .. },
        ) => BodyRejection::TooComplex("multipart_limits"),
        body::Error::Multipart(_) => BodyRejection::Malformed("multipart"),
        body::Error::Xml(xml::Error::Encoding { .. }) => BodyRejection::Malformed("xml_encoding"),
        body::Error::Xml(_) => BodyRejection::TooComplex("xml_limits"),
        body::Error::Framed(framed::Error::Malformed) => GRPC_MALFORMED,
        body::Error::Framed(framed::Error::Compressed) => BodyRejection::Encoded,
    }
}

fn says_nothing(media: &Media<'_>) -> bool {
    matches!(media, Media::Text | Media::Other | Media::EventStream)
}

const GRPC_MALFORMED: BodyRejection = BodyRejection::Malformed("grpc");

/// Messages are answered one by one, so they are not held beyond the first prefix, and a byte of the message where there is
/// one: an empty one may be answered before there is more. So much has to be seen, or any body would pass uninspected under this
/// name.
fn grpc(arrival: BodyArrival<'_>) -> Step {
    match arrival {
        BodyArrival::OverLimit(start) if framed::lacks_its_message(start) => {
            Step::Await(Await::Body { limit: framed::PREFIX })
        }
        BodyArrival::Whole(start) | BodyArrival::OverLimit(start) if framed::is_plausible(start) => Step::Pass,
        _ => Step::Deny(Denial::Body(GRPC_MALFORMED)),
    }
}

/// Whether the body calls itself gRPC.
fn is_grpc(exchange: &Exchange) -> bool {
    let declared = exchange.head.first("content-type").and_then(|value| ContentType::parse(value).ok());
    declared.is_some_and(|declared| declared.media == Media::Grpc)
}

#[cfg(test)]
mod tests;
