//! The scan: one construct after the other, each consumed whole.

use std::ops::ControlFlow;

use memchr::memmem;

use super::super::content_type::Charset;
use super::{Error, Limits, Node, entity};

pub(super) struct Scanner<'a, V> {
    document: &'a [u8],
    at: usize,
    limits: &'a Limits,
    nodes: usize,
    open: Vec<Element<'a>>,
    text: TextRun,
    /// Decoded value of the attribute being visited.
    scratch: Vec<u8>,
    visit: V,
}

#[derive(Default)]
struct TextRun {
    value: Vec<u8>,
    irregular: bool,
}

/// An open element.
struct Element<'a> {
    name: &'a [u8],
    /// Its own text so far, across the elements in it, and how many runs of it were not blank.
    own: TextRun,
    runs: usize,
}

impl Element<'_> {
    fn keep(&mut self, run: &TextRun, blank: bool) {
        if blank && self.runs == 0 {
            return;
        }
        self.own.value.extend_from_slice(&run.value);
        self.own.irregular |= run.irregular;
        self.runs += usize::from(!blank);
    }
}

/// Why the scan ends before the document does.
enum Stop<B> {
    Broken(B),
    Refused(Error),
}

impl<B> From<Error> for Stop<B> {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

type Scanned<B> = Result<(), Stop<B>>;

impl<'a, B, V: FnMut(Node<'_>) -> ControlFlow<B>> Scanner<'a, V> {
    pub(super) fn new(document: &'a [u8], limits: &'a Limits, visit: V) -> Self {
        let (open, text, scratch) = (Vec::new(), TextRun::default(), Vec::new());
        Self { document, at: 0, limits, nodes: 0, open, text, scratch, visit }
    }

    pub(super) fn run(mut self) -> Result<ControlFlow<B>, Error> {
        match self.document() {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(Stop::Broken(with)) => Ok(ControlFlow::Break(with)),
            Err(Stop::Refused(error)) => Err(error),
        }
    }

    fn document(&mut self) -> Scanned<B> {
        self.check_encoding()?;
        while let Some(byte) = self.rest().first() {
            if *byte != b'<' {
                self.text();
                continue;
            }
            self.markup()?;
        }
        self.end_text(false)?;
        while let Some(element) = self.open.pop() {
            self.end_element(&element)?;
        }
        Ok(())
    }

    /// A recipient that detects another encoding reads other characters than these bytes show (XML 1.0, appendix F).
    fn check_encoding(&mut self) -> Result<(), Error> {
        if self.document.starts_with(b"\xEF\xBB\xBF") {
            self.at = 3;
        }
        let blank = self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let first = self.at + blank;
        if self.document.get(first).is_some_and(|byte| *byte != b'<') {
            return Err(Error::Encoding { offset: first });
        }
        match memchr::memchr(0, self.document) {
            Some(offset) => Err(Error::Encoding { offset }),
            None => Ok(()),
        }
    }

    fn markup(&mut self) -> Scanned<B> {
        let rest = self.rest();
        if let Some(inner) = rest.strip_prefix(b"<![CDATA[") {
            return self.cdata(inner);
        }
        if let Some(inner) = rest.strip_prefix(b"<!--") {
            return self.until(inner, b"-->", Node::Comment);
        }
        if let Some(inner) = rest.strip_prefix(b"<?") {
            self.check_declared_encoding(inner)?;
            return self.until(inner, b"?>", Node::Instruction);
        }
        match rest.get(1) {
            Some(b'!') => self.declaration(),
            Some(b'/') => self.end_tag(),
            Some(byte) if is_name(*byte) => self.start_tag(),
            _ => {
                // A lone `<` is not XML; it stays in the text for whoever reads it so.
                self.text.value.push(b'<');
                self.text.irregular = true;
                self.at += 1;
                Ok(())
            }
        }
    }

    fn text(&mut self) {
        let rest = self.rest();
        let length = memchr::memchr(b'<', rest).unwrap_or(rest.len());
        let raw = rest.get(..length).unwrap_or_default();
        self.text.irregular |= entity::decode(raw, &mut self.text.value);
        self.at += length;
    }

    fn cdata(&mut self, inner: &'a [u8]) -> Scanned<B> {
        let Some(length) = memmem::find(inner, b"]]>") else { return self.unterminated() };
        self.text.value.extend_from_slice(inner.get(..length).unwrap_or_default());
        self.move_to(inner, length + 3);
        Ok(())
    }

    /// A comment or instruction: does not end a run of text.
    fn until(&mut self, inner: &'a [u8], end: &[u8], node: fn(&'a [u8]) -> Node<'a>) -> Scanned<B> {
        let Some(length) = memmem::find(inner, end) else { return self.unterminated() };
        self.yield_node(node(inner.get(..length).unwrap_or_default()))?;
        self.move_to(inner, length + end.len());
        Ok(())
    }

    /// `<?xml version="1.0" encoding="..."?>`, wherever it stands.
    fn check_declared_encoding(&self, inner: &[u8]) -> Result<(), Error> {
        if declared_charset(inner).has_grammar() { Ok(()) } else { Err(Error::Encoding { offset: self.at }) }
    }

    fn declaration(&mut self) -> Scanned<B> {
        self.end_text(true)?;
        let inner = self.rest().get(2..).unwrap_or_default();
        let doctype = inner.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"DOCTYPE"));
        let Some(length) = declaration_length(inner, doctype) else { return self.unterminated() };
        self.yield_node(Node::Declaration(inner.get(..length).unwrap_or_default()))?;
        self.move_to(inner, length + 1);
        Ok(())
    }

    fn end_tag(&mut self) -> Scanned<B> {
        self.end_text(false)?;
        let inner = self.rest().get(2..).unwrap_or_default();
        let Some(length) = memchr::memchr(b'>', inner) else { return self.unterminated() };
        let name = inner.get(..length).unwrap_or_default().trim_ascii_end();
        match self.open.pop_if(|element| element.name == name) {
            Some(element) => self.end_element(&element)?,
            None => self.yield_node(Node::Raw(name))?,
        }
        self.move_to(inner, length + 1);
        Ok(())
    }

    fn start_tag(&mut self) -> Scanned<B> {
        self.end_text(true)?;
        let start = self.at;
        self.at += 1;
        let name = self.name();
        self.yield_node(Node::Element(name))?;
        loop {
            self.skip_space();
            match self.rest() {
                [] => return Ok(()),
                [b'>', ..] => {
                    self.at += 1;
                    return self.enter(name, start);
                }
                [b'/', b'>', ..] => {
                    self.at += 2;
                    return Ok(());
                }
                // The tag never ended; what follows is read as if it had.
                [b'<', ..] => return self.enter(name, start),
                _ => self.attribute()?,
            }
        }
    }

    fn enter(&mut self, name: &'a [u8], start: usize) -> Scanned<B> {
        if self.open.len() >= self.limits.depth {
            return Err(Error::TooDeep { offset: start }.into());
        }
        self.open.push(Element { name, own: TextRun::default(), runs: 0 });
        Ok(())
    }

    fn attribute(&mut self) -> Scanned<B> {
        let name = self.name();
        self.skip_space();
        let mut raw: &'a [u8] = &[];
        if self.rest().first() == Some(&b'=') {
            self.at += 1;
            self.skip_space();
            raw = self.attribute_value();
        } else if name.is_empty() {
            // A quote, slash or other byte that begins nothing: pass it, so that the loop goes on.
            raw = self.rest().get(..1).unwrap_or_default();
            self.at += 1;
        }
        self.count_node()?;
        let mut value = raw;
        let mut irregular = false;
        if raw.contains(&b'&') {
            self.scratch.clear();
            irregular = entity::decode(raw, &mut self.scratch);
            value = &self.scratch;
        }
        broken((self.visit)(Node::Attribute { name, value, irregular }))
    }

    /// A quoted value, to the end of the document if its quote is missing; without quotes up to a space or `>`.
    fn attribute_value(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let Some((quote @ (b'"' | b'\''), inner)) = rest.split_first() else {
            let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'>';
            let length = rest.iter().position(ends).unwrap_or(rest.len());
            self.at += length;
            return rest.get(..length).unwrap_or_default();
        };
        let length = memchr::memchr(*quote, inner).unwrap_or(inner.len());
        self.move_to(inner, length + 1);
        inner.get(..length).unwrap_or_default()
    }

    fn name(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| is_name(**byte)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        self.at += self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    /// The rest of the document as it is: no recipient can read it as more than that.
    fn unterminated(&mut self) -> Scanned<B> {
        self.end_text(false)?;
        let rest = self.rest();
        self.at = self.document.len();
        self.yield_node(Node::Raw(rest))
    }

    /// Shows the text before a tag. Only of an element in which its text `goes_on` behind the tag has it to be kept.
    fn end_text(&mut self, goes_on: bool) -> Scanned<B> {
        let run = std::mem::take(&mut self.text);
        let blank = run.value.trim_ascii().is_empty();
        if let Some(element) = self.open.last_mut()
            && (goes_on || element.runs > 0)
        {
            element.keep(&run, blank);
        }
        if !blank {
            let element = self.open.last().map(|element| element.name).unwrap_or_default();
            self.yield_node(Node::Text { element, value: &run.value, irregular: run.irregular })?;
        }
        // Keeps the allocation for the next run.
        self.text.value = run.value;
        self.text.value.clear();
        Ok(())
    }

    /// Some recipients leave out the elements in an element, and join what stands around them.
    fn end_element(&mut self, Element { name, own, runs }: &Element<'a>) -> Scanned<B> {
        if *runs < 2 {
            return Ok(());
        }
        self.yield_node(Node::Text { element: name, value: &own.value, irregular: own.irregular })
    }

    fn yield_node(&mut self, node: Node<'_>) -> Scanned<B> {
        self.count_node()?;
        broken((self.visit)(node))
    }

    fn count_node(&mut self) -> Result<(), Error> {
        if self.nodes >= self.limits.nodes {
            return Err(Error::TooManyNodes { offset: self.at.min(self.document.len()) });
        }
        self.nodes += 1;
        Ok(())
    }

    /// Moves `length` bytes into `inner`, which reaches to the end of the document.
    fn move_to(&mut self, inner: &[u8], length: usize) {
        self.at = (self.document.len() - inner.len() + length).min(self.document.len());
    }

    fn rest(&self) -> &'a [u8] {
        self.document.get(self.at..).unwrap_or_default()
    }
}

/// Up to the `>` outside quotes; for a DOCTYPE also up to the `[` of its internal subset.
/// The charset of the instruction after `<?`, if it is the one that declares it.
pub(super) fn declared_charset(inner: &[u8]) -> Charset {
    let is_declaration = inner.starts_with(b"xml") && inner.get(3).is_some_and(u8::is_ascii_whitespace);
    if !is_declaration {
        return Charset::Unstated;
    }
    let end = memmem::find(inner, b"?>").unwrap_or(inner.len());
    let declaration = inner.get(..end).unwrap_or_default();
    let Some(at) = memmem::find(declaration, b"encoding") else { return Charset::Unstated };
    let value = declaration.get(at + 8..).unwrap_or_default().trim_ascii_start();
    let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii_start();
    let name = value.split_first().and_then(|(quote, name)| {
        let end = memchr::memchr(*quote, name)?;
        matches!(quote, b'"' | b'\'').then_some(name.get(..end)?)
    });
    name.map_or(Charset::Other, Charset::named)
}

fn declaration_length(inner: &[u8], doctype: bool) -> Option<usize> {
    let mut quote = None;
    inner.iter().position(|byte| match (quote, byte) {
        (Some(open), byte) => {
            if *byte == open {
                quote = None;
            }
            false
        }
        (None, b'"' | b'\'') => {
            quote = Some(*byte);
            false
        }
        (None, byte) => *byte == b'>' || doctype && *byte == b'[',
    })
}

/// Wider than XML's names: whatever cannot end one.
const fn is_name(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'<' | b'>' | b'=' | b'/' | b'"' | b'\'' | b'!' | b'?')
}

fn broken<B>(flow: ControlFlow<B>) -> Scanned<B> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(with) => Err(Stop::Broken(with)),
    }
}
