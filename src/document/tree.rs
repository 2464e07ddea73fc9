//! From bytes to nodes and back, without recursion.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::{Content, Document, Error, Node, Place, Text};
use crate::media::json::{self, Container, Limits, Location, Token, Visitor};

/// The nodes of a document in document order; the first is its root.
pub(super) fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Vec<Node<'a>>, Error> {
    let limits = Limits { unique_keys: true, ..*limits };
    // What is not UTF-8 is not JSON: the walk says where, and nothing is kept of it.
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let nodes = Vec::with_capacity((bytes.len() / USUAL_VALUE).min(limits.entries) + 1);
    let mut builder = Builder { text, nodes, open: Vec::new(), key: None };
    match json::build(bytes, &limits, &mut builder) {
        Ok(ControlFlow::Continue(())) => Ok(builder.nodes),
        Ok(ControlFlow::Break(error)) => Err(error),
        Err(error) => Err(Error::Json(error)),
    }
}

/// Bytes of a document for each of its values, with its key: fewer take more room than was made at first.
const USUAL_VALUE: usize = 16;

struct Builder<'a> {
    text: &'a str,
    nodes: Vec<Node<'a>>,
    /// Arrays and objects that have not ended, each with the number of its children so far.
    open: Vec<(usize, usize)>,
    /// Of the member that is next.
    key: Option<Text<'a>>,
}

impl<'a> Builder<'a> {
    fn push(&mut self, content: Content<'a>) {
        let at = self.nodes.len();
        let (parent, index) = match self.open.last_mut() {
            Some((parent, children)) => {
                *children += 1;
                (*parent, *children - 1)
            }
            None => (0, 0),
        };
        self.nodes.push(Node { key: self.key.take(), content, parent, index, end: at + 1, removed: false });
    }

    /// A key or string at its place in the document: borrowed from there unless it holds an escape.
    fn text(&self, decoded: &[u8], location: &Location<'_>) -> Text<'a> {
        let written = self.text.get(location.span()).unwrap_or_default();
        let plain = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
        let decoded = if std::ptr::eq(plain.as_bytes(), decoded) {
            Cow::Borrowed(plain)
        } else {
            Cow::Owned(String::from_utf8_lossy(decoded).into_owned())
        };
        Text { decoded, written: Some(written.as_bytes()) }
    }
}

impl Visitor for &mut Builder<'_> {
    type Break = Error;

    fn token(&mut self, token: Token<'_>, location: &Location<'_>) -> ControlFlow<Error> {
        match token {
            Token::Key(text) if text.lone_surrogate => {
                return ControlFlow::Break(Error::LoneSurrogate { offset: location.span().start });
            }
            Token::Key(text) => self.key = Some(self.text(text.bytes, location)),
            Token::String(text) => self.push(Content::String(self.text(text.bytes, location))),
            Token::Number(_) | Token::Bool(_) | Token::Null => {
                self.push(Content::Bare(self.text.get(location.span()).unwrap_or("null")));
            }
        }
        ControlFlow::Continue(())
    }

    fn open(&mut self, container: Container) {
        let at = self.nodes.len();
        self.push(Content::Container(container));
        self.open.push((at, 0));
    }

    fn close(&mut self) {
        let end = self.nodes.len();
        let closed = self.open.pop().and_then(|(at, _)| self.nodes.get_mut(at));
        if let Some(node) = closed {
            node.end = end;
        }
    }
}

/// The document without white space.
pub(super) fn serialise(document: &Document<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    // Where the open arrays and objects end, and how.
    let mut open: Vec<(usize, u8)> = Vec::new();
    document.visit(document.root(), |Place(at)| {
        close_before(at, &mut open, &mut out);
        let Some(node) = document.nodes.get(at) else { return false };
        if !matches!(out.last(), None | Some(b'[' | b'{')) {
            out.push(b',');
        }
        if let Some(key) = &node.key {
            push_text(key, &mut out);
            out.push(b':');
        }
        match &node.content {
            Content::Bare(written) => out.extend_from_slice(written.as_bytes()),
            Content::String(text) => push_text(text, &mut out),
            Content::Container(container) => {
                let (begin, end) = match container {
                    Container::Array => (b'[', b']'),
                    Container::Object => (b'{', b'}'),
                };
                out.push(begin);
                open.push((node.end, end));
            }
        }
        true
    });
    close_before(usize::MAX, &mut open, &mut out);
    if out.is_empty() {
        out.extend_from_slice(b"null");
    }
    out
}

/// Ends the arrays and objects that the node at `at` is not in.
fn close_before(at: usize, open: &mut Vec<(usize, u8)>, out: &mut Vec<u8>) {
    while let Some((_, bracket)) = open.pop_if(|(end, _)| *end <= at) {
        out.push(bracket);
    }
}

fn push_text(text: &Text<'_>, out: &mut Vec<u8>) {
    match text.written {
        Some(written) => out.extend_from_slice(written),
        None => push_quoted(&text.decoded, out),
    }
}

/// Escapes what RFC 8259 section 7 requires, and nothing else.
fn push_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
