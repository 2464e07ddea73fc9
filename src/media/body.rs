//! A whole body as [`Item`]s, by its Content-Type.

use std::ops::ControlFlow;

use super::content_type::{Charset, ContentType, Media};
use super::json::{self, Block, Location, Text, Token, Visitor};
use super::multipart::{self, Boundary, Part};
use super::xml::{self, Node};
use super::{Item, Kind, query};

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
    /// Of a multipart form.
    Multipart(multipart::Error),
    /// Of an XML body.
    Xml(xml::Error),
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

/// Shows `reader` every name and value of `body`. A body no reader knows is one value without a name.
///
/// Each part of a multipart form is a value as sent; a JSON or XML part is read as well, as far as it is well-formed.
///
/// # Errors
/// The first [`Error`]; items before it have been visited.
pub fn items<R: Reader>(
    content_type: &ContentType<'_>,
    body: &[u8],
    limits: &Limits,
    mut reader: R,
) -> Result<ControlFlow<R::Break>, Error> {
    let reader = &mut reader;
    if content_type.charset == Charset::Other {
        return Err(Error::Charset);
    }
    match &content_type.media {
        Media::Json => json_items(body, &limits.json, reader).map_err(Error::Json),
        Media::Xml => xml_items(body, &limits.xml, reader).map_err(Error::Xml),
        Media::Form => form_items(body, limits.pairs, reader),
        Media::Multipart(boundary) => multipart_items(body, boundary, limits, reader),
        Media::Text | Media::Grpc | Media::EventStream | Media::Other => Ok(reader.item(value(b"", body, false))),
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

fn form_items<R: Reader>(body: &[u8], limit: usize, reader: &mut R) -> Result<ControlFlow<R::Break>, Error> {
    for pair in query::pairs(body, limit) {
        let query::Pair { name: field, value: content, malformed } = pair.map_err(|_| Error::TooManyPairs)?;
        proceed!(reader.item(name(&field, malformed)));
        proceed!(reader.item(value(&field, &content, malformed)));
    }
    Ok(ControlFlow::Continue(()))
}

fn multipart_items<R: Reader>(
    body: &[u8],
    boundary: &Boundary<'_>,
    limits: &Limits,
    reader: &mut R,
) -> Result<ControlFlow<R::Break>, Error> {
    for part in multipart::parts(body, boundary, &limits.multipart) {
        let part = part.map_err(Error::Multipart)?;
        proceed!(reader.item(name(&part.name, false)));
        for filename in [&part.filename, &part.filename_extended].into_iter().flatten() {
            proceed!(reader.item(value(&part.name, filename, false)));
        }
        proceed!(part_items(&part, limits, reader));
    }
    Ok(ControlFlow::Continue(()))
}

fn part_items<R: Reader>(part: &Part<'_>, limits: &Limits, reader: &mut R) -> ControlFlow<R::Break> {
    let declared = part.content_type.map(ContentType::parse);
    let odd = matches!(declared, Some(Err(_) | Ok(ContentType { charset: Charset::Other, .. })));
    reader.item(value(&part.name, part.body, odd))?;
    // An uploaded file may be broken JSON; its bytes were visited above, so an error hides nothing.
    let read = match declared {
        Some(Ok(ContentType { media: Media::Json, .. })) => json_items(part.body, &limits.json, reader).ok(),
        Some(Ok(ContentType { media: Media::Xml, .. })) => xml_items(part.body, &limits.xml, reader).ok(),
        _ => None,
    };
    read.unwrap_or(ControlFlow::Continue(()))
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
                Kind::Value => format!("{}={}{flag}", show(item.name), show(item.value)),
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
            ("multipart/form-data; boundary=b", form, &["f", "f=x", "f={\"k\":\"\\u003c\"}", "k", "k=<"]),
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
        assert_eq!(read("multipart/form-data; boundary=b", form).unwrap(), ["f", "f={]"]);
        let form = form.replace("/json", "/json; charset=utf-16");
        assert_eq!(read("multipart/form-data; boundary=b", &form).unwrap(), ["f", "f={]!"]);
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
