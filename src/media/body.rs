//! A whole body as [`Item`]s, by its Content-Type, and by what its bytes open where that says nothing.

use std::ops::ControlFlow;

use super::content_type::{Charset, ContentType, Media};
use super::json::{self, Block, Location, Text, Token, Visitor};
use super::multipart::{self, Boundary, Part};
use super::xml::{self, Node};
use super::{Item, Kind, framed, nature, query};
use crate::document::without_byte_order_mark;

/// The bounds of every kind of body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pairs of a form.
    pub pairs: usize,
    /// Of JSON bodies and parts.
    pub json: json::Limits,
    /// Of multipart forms.
    pub multipart: multipart::Limits,
    /// Of XML bodies and parts.
    pub xml: xml::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pairs: 1000,
            json: json::Limits::default(),
            multipart: multipart::Limits::default(),
            xml: xml::Limits::default(),
        }
    }
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The Content-Type names a charset in which the bytes mean something else.
    Charset,
    /// A form has more pairs than the limit.
    TooManyPairs,
    /// Of a JSON body.
    Json(json::Error),
    /// Of a multipart body.
    Multipart(multipart::Error),
    /// Of an XML body.
    Xml(xml::Error),
    /// Of framed messages.
    Framed(framed::Error),
}

/// Who is shown the names and values of a body. A closure is one that sees them all.
pub trait Reader {
    /// What it breaks off with.
    type Break;

    /// A name or a value.
    fn item(&mut self, item: Item<'_>) -> ControlFlow<Self::Break>;

    /// As [`Visitor::PASSES_OVER`].
    const PASSES_OVER: bool = false;

    /// As [`Visitor::mark`].
    fn mark(_block: &Block<'_>) -> u64 {
        0
    }

    /// As [`Visitor::suspect`].
    #[inline]
    fn suspect(block: &Block<'_>) -> u64 {
        block.stops() | block.high()
    }

    /// As [`Visitor::passes_over`].
    fn passes_over(&mut self, _text: &[u8]) -> bool {
        false
    }

    /// Whether a number need not be shown.
    fn passes_over_number(&mut self, _written: &[u8]) -> bool {
        false
    }
}

impl<B, F: FnMut(Item<'_>) -> ControlFlow<B>> Reader for F {
    type Break = B;

    fn item(&mut self, item: Item<'_>) -> ControlFlow<B> {
        self(item)
    }
}

/// `?` for a reader that broke off.
macro_rules! proceed {
    ($flow:expr) => {
        if let ControlFlow::Break(with) = $flow {
            return Ok(ControlFlow::Break(with));
        }
    };
}

/// What becomes of a body.
type Shown<R> = Result<ControlFlow<<R as Reader>::Break>, Error>;

/// Shows `reader` every name and value of `body`. A body that no reader knows is one value without a name.
///
/// Each part of a multipart body is a value as sent, and so is what it says of itself; a JSON or XML part is read as well, as
/// far as it is well-formed. A form that holds what no encoder leaves is read as what else it could be, too.
///
/// # Errors
/// The first [`Error`]; items before it have been visited.
pub fn items<R: Reader>(content_type: &ContentType<'_>, body: &[u8], limits: &Limits, mut reader: R) -> Shown<R> {
    let reader = &mut reader;
    let is_text = matches!(content_type.media, Media::Text | Media::EventStream | Media::Other);
    if content_type.charset == Charset::Other || !is_text && !content_type.charset.has_grammar() {
        return Err(Error::Charset);
    }
    match &content_type.media {
        Media::Json => json_items(body, &limits.json, reader).map_err(Error::Json),
        Media::Xml => xml_items(body, &limits.xml, reader).map_err(Error::Xml),
        Media::Form => form_items(body, limits, reader),
        Media::Multipart(boundary) => multipart_items(body, boundary, limits, reader),
        Media::Parts(boundary) => section_items(body, boundary, limits, LEVELS, reader),
        Media::ConnectJson => message_items(body, limits, reader),
        Media::GrpcText if !framed::is_plausible_text(body) => Err(Error::Framed(framed::Error::Malformed)),
        Media::GrpcText => Ok(ControlFlow::Continue(())),
        Media::Text | Media::Grpc | Media::EventStream | Media::Other => Ok(reader.item(value(b"", body, false))),
    }
}

/// Shows `reader` what a body holds whose type says nothing about it: the fields of what it opens, and its text. A body that
/// may be binary by its type, and is by its bytes, holds nothing that a server would paste into a query.
///
/// # Errors
/// As of [`items`]; but what is malformed is a text.
pub fn undeclared<R: Reader>(body: &[u8], may_be_binary: bool, limits: &Limits, mut reader: R) -> Shown<R> {
    undeclared_items(body, may_be_binary, limits, &mut reader)
}

fn undeclared_items<R: Reader>(body: &[u8], may_be_binary: bool, limits: &Limits, reader: &mut R) -> Shown<R> {
    if nature::opens_xml_in_ebcdic(body) {
        return Err(Error::Xml(xml::Error::Encoding { offset: 0 }));
    }
    if let Some(text) = nature::from_wide(body) {
        proceed!(text_items(text.as_bytes(), true, limits, reader)?);
    }
    if may_be_binary && nature::is_binary(body) {
        return Ok(ControlFlow::Continue(()));
    }
    text_items(body, false, limits, reader)
}

fn text_items<R: Reader>(text: &[u8], was_wide: bool, limits: &Limits, reader: &mut R) -> Shown<R> {
    let document = without_byte_order_mark(text);
    if let Some(b'{' | b'[') = document.trim_ascii_start().first() {
        match json_items(document, &limits.json, reader) {
            // Not JSON after all, or only to servers that read it more leniently.
            Err(json::Error::Malformed { .. } | json::Error::DuplicateKey { .. }) => {}
            word => return word.map_err(Error::Json),
        }
    }
    if nature::opens_xml(document) {
        proceed!(undeclared_xml_items(document, was_wide, limits, reader)?);
    }
    Ok(reader.item(value(b"", text, false)))
}

/// What XML joins is told from its grammar only. Wide characters are told by their bytes, whatever the document declares.
fn undeclared_xml_items<R: Reader>(document: &[u8], was_wide: bool, limits: &Limits, reader: &mut R) -> Shown<R> {
    let (charset, content) = xml::declared_charset(document);
    if charset == Charset::Other && !was_wide {
        return Err(Error::Xml(xml::Error::Encoding { offset: 0 }));
    }
    match xml_items(content, &limits.xml, reader) {
        Err(xml::Error::Encoding { .. }) => Ok(ControlFlow::Continue(())),
        word => word.map_err(Error::Xml),
    }
}

fn form_items<R: Reader>(body: &[u8], limits: &Limits, reader: &mut R) -> Shown<R> {
    if nature::opens_a_document(body) {
        proceed!(undeclared_items(body, false, limits, reader)?);
    } else if query::is_unencoded(body) {
        proceed!(unencoded_items(body, limits, reader)?);
    }
    for pair in query::pairs(body, limits.pairs) {
        let pair = pair.map_err(|_| Error::TooManyPairs)?;
        heed_charset(&pair.name, &pair.value)?;
        proceed!(reader.item(name(&pair.name, pair.malformed)));
        proceed!(reader.item(value(pair.sure_name(), &pair.value, pair.malformed)));
    }
    Ok(ControlFlow::Continue(()))
}

/// A document in wide characters, or a text that `=` and `&` would take apart.
fn unencoded_items<R: Reader>(body: &[u8], limits: &Limits, reader: &mut R) -> Shown<R> {
    if let Some(text) = nature::from_wide(body) {
        proceed!(text_items(text.as_bytes(), true, limits, reader)?);
    }
    for (field, text) in query::texts(body) {
        proceed!(reader.item(value(field, text, false)));
    }
    Ok(ControlFlow::Continue(()))
}

fn message_items<R: Reader>(body: &[u8], limits: &Limits, reader: &mut R) -> Shown<R> {
    for message in framed::messages(body) {
        let message = message.map_err(Error::Framed)?;
        if !message.is_empty() {
            proceed!(json_items(message, &limits.json, reader).map_err(Error::Json)?);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Multipart bodies in multipart bodies, the outermost counted.
const LEVELS: usize = 3;

fn multipart_items<R: Reader>(body: &[u8], boundary: &Boundary<'_>, limits: &Limits, reader: &mut R) -> Shown<R> {
    for part in multipart::parts(body, boundary, &limits.multipart) {
        let part = part.map_err(Error::Multipart)?;
        heed_charset(&part.name, part.body)?;
        proceed!(reader.item(name(&part.name, false)));
        let described = [part.filename.as_deref(), part.filename_extended.as_deref(), part.content_type];
        for description in described.into_iter().flatten().chain(part.others.iter().map(|other| &**other)) {
            proceed!(reader.item(Item { kind: Kind::File, ..value(&part.name, description, false) }));
        }
        proceed!(part_items(&part, limits, reader)?);
    }
    Ok(ControlFlow::Continue(()))
}

fn heed_charset(field: &[u8], charset: &[u8]) -> Result<(), Error> {
    if names_hiding_charset(field, charset) { Err(Error::Charset) } else { Ok(()) }
}

/// A field of this name says how the other values of its form are written (RFC 7578 section 4.6), and some servers take it at
/// its word, in a query too. Left empty it says nothing.
pub fn names_hiding_charset(field: &[u8], charset: &[u8]) -> bool {
    field == b"_charset_" && !charset.is_empty() && Charset::named(charset.trim_ascii()) == Charset::Other
}

fn part_items<R: Reader>(part: &Part<'_>, limits: &Limits, reader: &mut R) -> Shown<R> {
    let media = media_of_part(part.content_type)?;
    if let Some(Media::Multipart(boundary) | Media::Parts(boundary)) = &media {
        return section_items(part.body, boundary, limits, LEVELS - 1, reader);
    }
    let is_file = part.filename.is_some() || part.filename_extended.is_some();
    let kind = if is_file { Kind::File } else { Kind::Value };
    proceed!(reader.item(Item { kind, ..value(&part.name, part.body, false) }));
    let wide = nature::from_wide(part.body);
    if let Some(text) = &wide {
        proceed!(reader.item(Item { kind, ..value(&part.name, text.as_bytes(), false) }));
    }
    let text = wide.as_ref().map_or(part.body, String::as_bytes);
    // An uploaded file may be broken JSON; its bytes were visited above, so an error hides nothing.
    let read = match media {
        Some(Media::Json) => json_items(text, &limits.json, reader).ok(),
        Some(Media::Xml) => xml_items(text, &limits.xml, reader).ok(),
        _ => None,
    };
    Ok(read.unwrap_or(ControlFlow::Continue(())))
}

fn section_items<R: Reader>(
    body: &[u8],
    boundary: &Boundary<'_>,
    limits: &Limits,
    levels: usize,
    reader: &mut R,
) -> Shown<R> {
    let inside = levels.checked_sub(1).ok_or(Error::Multipart(multipart::Error::TooManyParts))?;
    for section in multipart::sections(body, boundary, &limits.multipart) {
        let section = section.map_err(Error::Multipart)?;
        proceed!(reader.item(value(b"", &section.headers, false)));
        let media = media_of_part(section.content_type.as_deref())?;
        if let Some(Media::Multipart(boundary) | Media::Parts(boundary)) = &media {
            proceed!(section_items(&section.body, boundary, limits, inside, reader)?);
            continue;
        }
        proceed!(undeclared_items(&section.body, media == Some(Media::Other), limits, reader)?);
        if media == Some(Media::Xml) {
            proceed!(xml_items(&section.body, &limits.xml, reader).map_err(Error::Xml)?);
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// What a part says it is. One that says it in no way that is read says nothing, unless it may name a charset.
fn media_of_part(content_type: Option<&[u8]>) -> Result<Option<Media<'_>>, Error> {
    let Some(written) = content_type else { return Ok(None) };
    match ContentType::parse(written) {
        Ok(declared) if declared.charset != Charset::Other => Ok(Some(declared.media)),
        Err(_) if !written.to_ascii_lowercase().windows(7).any(|word| word == b"charset") => Ok(None),
        _ => Err(Error::Charset),
    }
}

fn json_items<R: Reader>(
    body: &[u8],
    limits: &json::Limits,
    reader: &mut R,
) -> Result<ControlFlow<R::Break>, json::Error> {
    json::build(body, limits, Fields(reader))
}

/// The fields of a JSON document as items: what [`items`] walks one with.
#[derive(Debug)]
pub struct Fields<'r, R>(pub &'r mut R);

impl<R: Reader> Visitor for Fields<'_, R> {
    type Break = R::Break;

    fn token(&mut self, token: Token<'_>, location: &Location<'_>) -> ControlFlow<R::Break> {
        match token {
            Token::Key(Text { bytes, lone_surrogate }) => self.0.item(name(bytes, lone_surrogate)),
            Token::String(Text { bytes, lone_surrogate }) => self.0.item(value(location.name(), bytes, lone_surrogate)),
            Token::Number(number) => self.0.item(value(location.name(), number.as_bytes(), false)),
            Token::Bool(_) | Token::Null => ControlFlow::Continue(()),
        }
    }

    const PASSES_OVER: bool = R::PASSES_OVER;

    #[inline]
    fn mark(block: &Block<'_>) -> u64 {
        R::mark(block)
    }

    #[inline]
    fn suspect(block: &Block<'_>) -> u64 {
        R::suspect(block)
    }

    #[inline]
    fn passes_over(&mut self, text: &[u8]) -> bool {
        self.0.passes_over(text)
    }

    #[inline]
    fn passes_over_bare(&mut self, written: &[u8]) -> bool {
        matches!(written, b"true" | b"false" | b"null") || self.0.passes_over_number(written)
    }

    #[inline]
    fn would_pass_over_number(&mut self, written: &[u8]) -> bool {
        self.0.passes_over_number(written)
    }
}

fn xml_items<R: Reader>(
    body: &[u8],
    limits: &xml::Limits,
    reader: &mut R,
) -> Result<ControlFlow<R::Break>, xml::Error> {
    xml::scan(body, limits, |node| match node {
        Node::Element(element) => reader.item(name(element, false)),
        Node::Attribute { name: attribute, value: content, irregular } => {
            reader.item(name(attribute, false))?;
            reader.item(value(attribute, content, irregular))
        }
        Node::Text { element, value: text, irregular } => reader.item(value(element, text, irregular)),
        Node::Comment(text) | Node::Instruction(text) => reader.item(value(b"", text, false)),
        Node::Declaration(text) | Node::Raw(text) => reader.item(value(b"", text, true)),
    })
}

fn name(name: &[u8], irregular: bool) -> Item<'_> {
    Item { name, value: name, kind: Kind::Name, irregular }
}

fn value<'a>(name: &'a [u8], value: &'a [u8], irregular: bool) -> Item<'a> {
    Item { name, value, kind: Kind::Value, irregular }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &str) -> Result<Vec<String>, Error> {
        let content_type = ContentType::parse(content_type.as_bytes()).unwrap();
        let mut read = Vec::new();
        let _ = items(&content_type, body.as_bytes(), &Limits::default(), |item: Item<'_>| {
            let show = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let flag = if item.irregular { "!" } else { "" };
            read.push(match item.kind {
                Kind::Name => format!("{}{flag}", show(item.value)),
                Kind::Value | Kind::File => format!("{}={}{flag}", show(item.name), show(item.value)),
            });
            ControlFlow::<()>::Continue(())
        })?;
        Ok(read)
    }

    #[test]
    fn reads_every_kind_of_body_into_names_and_values() {
        let form = "--b\r\nContent-Disposition: form-data; name=f; filename=x\r\nContent-Type: application/json\r\n\r\n\
            {\"k\":\"\\u003c\"}\r\n--b--";
        for (content_type, body, expected) in [
            ("application/json", "{\"a\":[\"x\",1,true]}", &["a", "a=x", "a=1"][..]),
            ("application/x-www-form-urlencoded", "a=%41&b=%", &["a", "a=A", "b!", "b=%!"]),
            (
                "multipart/form-data; boundary=b",
                form,
                &["f", "f=x", "f=application/json", "f={\"k\":\"\\u003c\"}", "k", "k=<"],
            ),
            ("text/xml", "<!DOCTYPE a><a b='c'>d</a>", &["=DOCTYPE a!", "a", "b", "b=c", "a=d"]),
            ("text/plain", "a=b", &["=a=b"]),
            ("application/octet-stream", "", &["="]),
        ] {
            assert_eq!(read(content_type, body).unwrap(), expected, "{content_type}");
        }
    }

    #[test]
    fn a_broken_part_is_still_visited_as_sent() {
        let form = "--b\r\nContent-Disposition: form-data; name=f\r\nContent-Type: application/json\r\n\r\n{]\r\n--b--";
        assert_eq!(read("multipart/form-data; boundary=b", form).unwrap(), ["f", "f=application/json", "f={]"]);
        for hidden in ["/json; charset=utf-16", "/json; charset=utf-8; charset=utf-16", "; Charset*=utf-16"] {
            assert_eq!(read("multipart/form-data; boundary=b", &form.replace("/json", hidden)), Err(Error::Charset));
        }
        let untyped = read("multipart/form-data; boundary=b", &form.replace("/json", ""));
        assert_eq!(untyped.unwrap(), ["f", "f=application", "f={]"]);
    }

    #[test]
    fn refuses_a_charset_that_hides_the_bytes() {
        for media in ["application/json", "application/x-www-form-urlencoded", "text/plain"] {
            assert_eq!(read(&format!("{media}; charset=utf-16"), "{}"), Err(Error::Charset));
        }
        assert_eq!(read("application/json", "{"), Err(Error::Json(json::Error::Malformed { offset: 1 })));
    }

    #[test]
    fn stops_where_the_visitor_breaks_off() {
        let content_type = ContentType::parse(b"application/x-www-form-urlencoded").unwrap();
        let mut seen = 0;
        let ended = items(&content_type, b"a=1&b=2", &Limits::default(), |item: Item<'_>| {
            seen += 1;
            if item.value == b"1" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((ended, seen), (Ok(ControlFlow::Break(())), 2));
    }
}
