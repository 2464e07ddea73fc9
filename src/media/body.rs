//! A whole body as [`Item`]s, by its Content-Type.

use std::ops::ControlFlow;

use super::content_type::{Charset, ContentType, Media};
use super::json::{self, Text, Token};
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

/// Visits every name and value of `body`. A body no reader knows is one value without a name.
///
/// Each part of a multipart form is a value as sent; a JSON or XML part is read as well, as far as it is well-formed.
///
/// # Errors
/// The first [`Error`]; items before it have been visited.
pub fn items<B>(
    content_type: &ContentType<'_>,
    body: &[u8],
    limits: &Limits,
    mut visit: impl FnMut(Item<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error> {
    if content_type.charset == Charset::Other {
        return Err(Error::Charset);
    }
    match &content_type.media {
        Media::Json => json_items(body, &limits.json, &mut visit).map_err(Error::Json),
        Media::Xml => xml_items(body, &limits.xml, &mut visit).map_err(Error::Xml),
        Media::Form => form_items(body, limits.pairs, &mut visit),
        Media::Multipart(boundary) => multipart_items(body, boundary, limits, &mut visit),
        Media::Text | Media::Grpc | Media::EventStream | Media::Other => Ok(visit(value(b"", body, false))),
    }
}

/// `?` for a visitor that broke off.
macro_rules! proceed {
    ($flow:expr) => {
        if let ControlFlow::Break(with) = $flow {
            return Ok(ControlFlow::Break(with));
        }
    };
}

fn form_items<B>(
    body: &[u8],
    limit: usize,
    visit: &mut impl FnMut(Item<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error> {
    for pair in query::pairs(body, limit) {
        let query::Pair { name: field, value: content, malformed } = pair.map_err(|_| Error::TooManyPairs)?;
        proceed!(visit(name(&field, malformed)));
        proceed!(visit(value(&field, &content, malformed)));
    }
    Ok(ControlFlow::Continue(()))
}

fn multipart_items<B>(
    body: &[u8],
    boundary: &Boundary<'_>,
    limits: &Limits,
    visit: &mut impl FnMut(Item<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error> {
    for part in multipart::parts(body, boundary, &limits.multipart) {
        let part = part.map_err(Error::Multipart)?;
        proceed!(visit(name(&part.name, false)));
        for filename in [&part.filename, &part.filename_extended].into_iter().flatten() {
            proceed!(visit(value(&part.name, filename, false)));
        }
        proceed!(part_items(&part, limits, visit));
    }
    Ok(ControlFlow::Continue(()))
}

fn part_items<B>(
    part: &Part<'_>,
    limits: &Limits,
    visit: &mut impl FnMut(Item<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let declared = part.content_type.map(ContentType::parse);
    let odd = matches!(declared, Some(Err(_) | Ok(ContentType { charset: Charset::Other, .. })));
    visit(value(&part.name, part.body, odd))?;
    // An uploaded file may be broken JSON; its bytes were visited above, so an error hides nothing.
    let read = match declared {
        Some(Ok(ContentType { media: Media::Json, .. })) => json_items(part.body, &limits.json, visit).ok(),
        Some(Ok(ContentType { media: Media::Xml, .. })) => xml_items(part.body, &limits.xml, visit).ok(),
        _ => None,
    };
    read.unwrap_or(ControlFlow::Continue(()))
}

fn json_items<B>(
    body: &[u8],
    limits: &json::Limits,
    visit: &mut impl FnMut(Item<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, json::Error> {
    json::walk(body, limits, |token, location| match token {
        Token::Key(Text { bytes, lone_surrogate }) => visit(name(bytes, lone_surrogate)),
        Token::String(Text { bytes, lone_surrogate }) => visit(value(location.name(), bytes, lone_surrogate)),
        Token::Number(number) => visit(value(location.name(), number.as_bytes(), false)),
        Token::Bool(_) | Token::Null => ControlFlow::Continue(()),
    })
}

fn xml_items<B>(
    body: &[u8],
    limits: &xml::Limits,
    visit: &mut impl FnMut(Item<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, xml::Error> {
    xml::scan(body, limits, |node| match node {
        Node::Element(element) => visit(name(element, false)),
        Node::Attribute { name: attribute, value: content, irregular } => {
            visit(name(attribute, false))?;
            visit(value(attribute, content, irregular))
        }
        Node::Text { element, value: text, irregular } => visit(value(element, text, irregular)),
        Node::Comment(text) | Node::Instruction(text) => visit(value(b"", text, false)),
        Node::Declaration(text) | Node::Raw(text) => visit(value(b"", text, true)),
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
        let _ = items(&content_type, body.as_bytes(), &Limits::default(), |item| {
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
        let ended = items(&content_type, b"a=1&b=2", &Limits::default(), |item| {
            seen += 1;
            if item.value == b"1" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((ended, seen), (Ok(ControlFlow::Break(())), 2));
    }
}
