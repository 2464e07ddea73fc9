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
mod tests {
    use super::*;
    use crate::checks::body::validate::ValidateBeside;
    use crate::injection::{Class, RuleSet};
    use crate::schema::Schema;
    use proptest::prelude::*;
    use serde_json::json;

    /// What becomes of a JSON document of which every value is judged by itself, or whole.
    fn judged(inspector: &Inspector, limits: &body::Limits, document: &[u8], each: bool) -> (String, Step) {
        let json = ContentType { media: Media::Json, charset: Charset::Unstated };
        let mut findings = Findings::default();
        let ended = if each {
            body::items(&json, document, limits, |item: Item<'_>| inspector.item(Place::Body, item, &mut findings))
        } else {
            body::items(&json, document, limits, Judge::new(inspector, &mut findings))
        };
        (format!("{ended:?}"), findings.step())
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-z]{1,8}",
            2 => "[a-zA-Z0-9 .,:@?!_/-]{0,12}",
            1 => prop::sample::select(
                &[
                    "' or 1=1--",
                    "<script>",
                    "../../etc/passwd",
                    "union select a from b",
                    "; cat /etc/passwd",
                    "drop table users",
                    "exec ",
                    "javascript:alert(1)",
                    "@@version",
                    "{{7*7}}",
                    "//169.254.169.254/",
                    "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg",
                    "\\u0027 or 1=1--",
                    "\\u003cscript\\u003e",
                    "{\\\"a\\\":\\\"/var/log/mysql.log\\\"}",
                    "eyJhIjoiL3Zhci9sb2cvbXlzcWwubG9nIn0",
                    "\\ud800",
                    "\\n",
                    "é",
                    "O'Hara",
                    "https://a.example/b?c=d",
                    "shutdown",
                ][..]
            )
            .prop_map(str::to_owned),
            1 => "[a-z ]{50,140}",
        ];
        prop::collection::vec(piece, 0..3).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    }

    fn document() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            6 => text(),
            1 => "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?",
            1 => prop::sample::select(vec!["true", "null", "[]", "{}", "169.16689662"]).prop_map(str::to_owned),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            let member = (text(), inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(|all| format!("[{}]", all.join(", "))),
                prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
            ]
        })
    }

    /// Arrays of records that have the same names, as they are mostly written; what stands in them, and one name, may be
    /// anything.
    fn records() -> impl Strategy<Value = String> {
        let names = prop::collection::vec("[a-z_]{1,20}", 1..4);
        let leaf = || {
            prop_oneof![
                6 => "\"[a-z][a-z ]{0,30}\"",
                1 => text(),
                3 => "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,2})?",
                1 => prop::sample::select(vec!["true", "false", "null", "01", "1.", "-", "[]", "nul"]).prop_map(str::to_owned),
            ]
        };
        let columns = prop::collection::vec(
            prop_oneof![
                3 => prop::collection::vec("\"[a-z][a-zA-Z0-9 ,-]{0,20}\"", 8),
                3 => prop::collection::vec("0|[1-9][0-9]{0,9}", 8),
                1 => prop::collection::vec(leaf(), 8),
            ],
            3,
        );
        let space = || prop::sample::select(vec!["", " ", "\n  ", "\t"]);
        (names, columns, 2_usize..8, space(), space(), prop::option::of((0_usize..8, leaf())), any::<bool>()).prop_map(
            |(names, columns, count, before, after, odd, nested)| {
                let record = |row: usize| {
                    let members = names.iter().zip(&columns).map(|(name, column)| {
                        let cell = match &odd {
                            Some((at, other)) if *at == row => other,
                            _ => &column[row],
                        };
                        let cell = if nested { format!("[{cell},{after}{{\"x\":{cell}}}]") } else { cell.clone() };
                        format!("\"{name}\":{after}{cell}")
                    });
                    format!("{{{before}{}{before}}}", members.collect::<Vec<_>>().join(&format!(",{after}")))
                };
                format!("[{}]", (0..count).map(record).collect::<Vec<_>>().join(&format!(",{after}")))
            },
        )
    }

    #[test]
    fn holds_every_limit_of_a_document_in_which_all_is_plain() {
        let inspector = Inspector { enforced: ClassSet::USUAL, ..Inspector::default() };
        let tight = json::Limits { depth: 3, entries: 6, string_length: 9, number_length: 4, unique_keys: false };
        let limits = body::Limits { json: tight, ..body::Limits::default() };
        for (document, ends) in [
            (r#"{"a": [1, {"b": "green"}], "c": true, "d": null}"#, "Ok(Continue"),
            (r#"[[["a"]]]"#, "Ok(Continue"),
            (r#"[[[["a"]]]]"#, "Err(Json(TooDeep { offset: 3 }))"),
            (r#"{"a":{"b":{"c":{"d":1}}}}"#, "Err(Json(TooDeep { offset: 15 }))"),
            (r#"["a","b","c","d","e","f"]"#, "Ok(Continue"),
            (r#"["a","b","c","d","e","f", "g"]"#, "Err(Json(TooManyEntries { offset: 26 }))"),
            (r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}"#, "Err(Json(TooManyEntries { offset: 37 }))"),
            (r#"["a","b","c","d","e",["f"]]"#, "Err(Json(TooManyEntries { offset: 22 }))"),
            (r#"["nine is ok"]"#, "Err(Json(StringTooLong { offset: 1 }))"),
            (r#"{"nine is ok":1}"#, "Err(Json(StringTooLong { offset: 1 }))"),
            ("[1234]", "Ok(Continue"),
            ("[12345]", "Err(Json(NumberTooLong { offset: 1 }))"),
            ("[01]", "Err(Json(Malformed { offset: 2 }))"),
            ("[1.]", "Err(Json(Malformed { offset: 3 }))"),
            ("[tru]", "Err(Json(Malformed { offset: 4 }))"),
            (r#"["a","b"}"#, "Err(Json(Malformed { offset: 8 }))"),
            (r#"{"a":1]"#, "Err(Json(Malformed { offset: 6 }))"),
            (r#"["a",]"#, "Err(Json(Malformed { offset: 5 }))"),
            (r#"{"a":1,}"#, "Err(Json(Malformed { offset: 7 }))"),
            (r#"["a" "b"]"#, "Err(Json(Malformed { offset: 5 }))"),
            (r#"[{"a":1},{"a":2},{"a":3}]"#, "Ok(Continue"),
            (r#"[{"a":1},{"a":2},{"a":3},{"a":4}]"#, "Err(Json(TooManyEntries { offset: 25 }))"),
            (r#"[{"a":1},{"a":2},{"a":3,"b":4}]"#, "Err(Json(TooManyEntries { offset: 24 }))"),
            (r#"[{"a":"b"},{"a":"c"},{"a":"nine is ok"}]"#, "Err(Json(StringTooLong { offset: 26 }))"),
            (r#"[{"a":1},{"a":2},{"a":12345}]"#, "Err(Json(NumberTooLong { offset: 22 }))"),
            (r#"[{"a":1},{"a":2},{"a":03}]"#, "Err(Json(Malformed { offset: 23 }))"),
            (r#"[{"a":1},{"a":2},{"a":3]"#, "Err(Json(Malformed { offset: 23 }))"),
            (r#"[{"a":1},{"a":2}},{"a":3}]"#, "Err(Json(Malformed { offset: 16 }))"),
            (r#"[{"a":1},{"a":2},"#, "Err(Json(Malformed { offset: 17 }))"),
            (r#"[{"a":"b"},{"a":"c"},{"a":""#, "Err(Json(Malformed { offset: 27 }))"),
            // Long enough behind them that eight bytes are there to be compared.
            (r#"[{"a":1},{"a":2},{"a":12345},"and more of it"]"#, "Err(Json(NumberTooLong { offset: 22 }))"),
            (r#"[{"a":1},{"a":2},{"a":03},"and more of it"]"#, "Err(Json(Malformed { offset: 23 }))"),
            (r#"[{"a":"b"},{"a":"nine is ok"},"and more of it"]"#, "Err(Json(StringTooLong { offset: 16 }))"),
            (
                r#"[{"a":1,"b":1,"c":1},{"a":2,"b":2,"c":2},"and more of it"]"#,
                "Err(Json(TooManyEntries { offset: 28 }))",
            ),
            (r#"["a",{"a":1,"b":1},{"a":2,"b":2},"and more of it"]"#, "Err(Json(TooManyEntries { offset: 26 }))"),
            // Of a record that was shown nothing is concluded.
            (r#"[{"a":"b\"c"},{"a":"b"true},"and more of it"]"#, "Err(Json(Malformed { offset: 22 }))"),
            (r#"["a"]]"#, "Err(Json(Malformed { offset: 5 }))"),
            (r#"["a"#, "Err(Json(Malformed { offset: 3 }))"),
        ] {
            let one_by_one = judged(&inspector, &limits, document.as_bytes(), true);
            assert!(one_by_one.0.starts_with(ends), "{document}: {one_by_one:?}");
            assert_eq!(judged(&inspector, &limits, document.as_bytes(), false), one_by_one, "{document}");
        }
    }

    #[test]
    fn what_a_value_cost_counts_for_those_behind_it_whether_something_was_found_in_it_or_not() {
        let both = ClassSet::USUAL;
        let skipping = Inspector { skip_fields: vec![b"note".as_slice().into()], ..Inspector::default() };
        for inspector in [
            Inspector { enforced: both, ..Inspector::default() },
            Inspector { monitored: both, ..Inspector::default() },
            Inspector { monitored: ClassSet::NONE.with(Class::Sqli), enforced: both.without(Class::Sqli), ..skipping },
        ] {
            for value in [&b"if(if(if(a<b)))"[..], b"' or 1=1 -- ", b"<script>alert(1)</script>"] {
                for name in [&b"a"[..], b"note"] {
                    let mut findings = Findings::default();
                    let item = Item { name, value, kind: Kind::Value, irregular: false };
                    let _ = inspector.item(Place::Body, item, &mut findings);
                    let mut effort = crate::injection::Effort::default().with(value.len());
                    crate::injection::scan_within(value, both, &RuleSet::default(), &mut effort);
                    assert_eq!(findings.effort, effort, "{} {}", name.escape_ascii(), value.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn where_nothing_refuses_one_finding_is_enough() {
        let inspector = Inspector { monitored: ClassSet::USUAL, ..Inspector::default() };
        let mut findings = Findings::default();
        for value in [&b"' or 1=1 -- "[..], b"<script>alert(1)</script>"] {
            let item = Item { name: b"a", value, kind: Kind::Value, irregular: false };
            assert_eq!(inspector.item(Place::Body, item, &mut findings), ControlFlow::Continue(()));
        }
        let Step::Observe(Denial::Injection(told)) = findings.step() else { panic!() };
        assert_eq!(told.class, "sqli");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]

        #[test]
        fn judges_a_document_as_it_would_each_of_its_values(
            document in prop_oneof![document(), records()], ssrf in any::<bool>(), tight in any::<bool>(), unique in any::<bool>(),
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let inspector = Inspector {
                enforced: if ssrf { ClassSet::USUAL.with(Class::Ssrf) } else { ClassSet::USUAL },
                monitored: ClassSet::NONE.with(Class::Template),
                skip_fields: vec![b"ann".as_slice().into()],
                excerpt: 40,
                ..Inspector::default()
            };
            let mut limits = body::Limits::default();
            limits.json.unique_keys = unique;
            if tight {
                limits.json =
                    json::Limits { depth: 2, entries: 6, string_length: 40, number_length: 12, unique_keys: unique };
            }
            let mut document = document.into_bytes();
            if let Some((at, byte)) = damage {
                let at = at.index(document.len());
                document[at] = byte;
            }
            let one_by_one = judged(&inspector, &limits, &document, true);
            prop_assert_eq!(judged(&inspector, &limits, &document, false), one_by_one);
        }

        #[test]
        fn whoever_reads_along_changes_no_verdict_and_accepts_what_it_would_alone(
            document in prop_oneof![document(), records()], which in 0_usize..3, monitor in any::<bool>(),
        ) {
            let schema = [
                json!({}),
                json!({"type": ["object", "array"], "items": {"maxLength": 9}, "additionalProperties": {"not": {"type": "null"}}}),
                json!({"maxProperties": 2, "maxItems": 2, "additionalProperties": {"maxLength": 20, "minimum": 0}}),
            ];
            let schema = Rc::new(Schema::compile(&schema[which]).unwrap());
            let (enforced, monitored) =
                if monitor { (ClassSet::NONE, ClassSet::USUAL) } else { (ClassSet::USUAL, ClassSet::NONE) };
            let inspector = Inspector { enforced, monitored, ..Inspector::default() };
            let limits = body::Limits::default();
            let mut findings = Findings::default();
            let read = ValidateBeside(schema.clone()).read(
                document.as_bytes(), &limits.json, &mut Judge::new(&inspector, &mut findings),
            );
            let accepted = matches!(read, Ok((ControlFlow::Continue(()), true)));
            if let Ok((ControlFlow::Continue(()), _)) = read {
                prop_assert_eq!(accepted, schema.surely_accepts(document.as_bytes(), &limits.json));
            }
            let ended = read.map(|(ended, _)| ended).map_err(body::Error::Json);
            let verdict = (format!("{ended:?}"), findings.step());
            prop_assert_eq!(verdict, judged(&inspector, &limits, document.as_bytes(), false));
        }
    }
}
