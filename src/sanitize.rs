//! HTML of which only harmless tags stay: a string of text and tags that any browser reads as just those.
//!
//! What comes out is made of three things alone, and that is what makes it safe, however the input was read: text without
//! `<` and `>`, whose `&` begin complete character references; start tags of allowed elements without attributes; and the
//! end tags that match them. Nothing of the input's markup is copied. Elements that a browser reads in another way than
//! text and tags (scripts, foreign content, tables, forms) cannot be allowed.
//!
//! The input is read as the HTML standard's tokenizer does (section 13.2.5): tags end where a browser ends them, comments
//! and what a browser never shows (scripts, styles, titles) are dropped with what is in them. One pass; linear.

use std::fmt;

/// The tags that stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sanitizer {
    allowed: Vec<&'static Element>,
}

/// A tag that cannot be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagError;

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a tag that is harmless without attributes: ")?;
        for (at, element) in ELEMENTS.iter().enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { " " }, element.name)?;
        }
        Ok(())
    }
}

impl Sanitizer {
    /// Lets these tags stay; their case does not matter.
    ///
    /// # Errors
    /// The places of the tags that cannot be allowed.
    pub fn new(tags: &[String]) -> Result<Self, Vec<(usize, TagError)>> {
        let known = tags.iter().map(|tag| element(tag.as_bytes()));
        let unknown = known.clone().enumerate().filter(|(_, element)| element.is_none());
        let errors: Vec<_> = unknown.map(|(at, _)| (at, TagError)).collect();
        if errors.is_empty() { Ok(Self { allowed: known.flatten().collect() }) } else { Err(errors) }
    }

    /// `html` with its allowed tags, without attributes, well nested, and its text. At most five times as long, and the end
    /// tags of [`DEEPEST`] elements. What has been sanitised stays as it is.
    pub fn clean(&self, html: &str) -> String {
        let mut writer = Writer { out: String::with_capacity(html.len()), open: Vec::new() };
        let mut rest = html.as_bytes();
        while let Some(at) = memchr::memchr(b'<', rest) {
            let (text, markup) = rest.split_at_checked(at).unwrap_or((rest, b""));
            writer.text(text);
            let (token, after) = Token::read(markup);
            rest = after;
            match token {
                Token::Text => writer.text(b"<"),
                Token::Nothing => {}
                Token::Start(name) => match self.allowed(name) {
                    Some(element) => writer.start(element),
                    None => rest = after_hidden(name, rest),
                },
                Token::End(name) => {
                    if let Some(element) = self.allowed(name) {
                        writer.end(element);
                    }
                }
            }
        }
        writer.text(rest);
        writer.finish()
    }

    fn allowed(&self, name: &[u8]) -> Option<&'static Element> {
        self.allowed.iter().find(|element| name.eq_ignore_ascii_case(element.name.as_bytes())).copied()
    }
}

/// Elements in one another; tags beyond that are dropped.
pub const DEEPEST: usize = 100;

/// An element that is harmless without attributes.
#[derive(Debug, PartialEq, Eq)]
struct Element {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// In the flow of text.
    Inline,
    /// Ends a paragraph that is open.
    Block,
    /// Ends an item of the same list that is open.
    Item,
    /// Has no content and no end tag.
    Void,
    /// Has none, and ends a paragraph that is open.
    VoidBlock,
}

static ELEMENTS: [Element; 45] = [
    Element { name: "abbr", kind: Kind::Inline },
    Element { name: "b", kind: Kind::Inline },
    Element { name: "bdi", kind: Kind::Inline },
    Element { name: "bdo", kind: Kind::Inline },
    Element { name: "big", kind: Kind::Inline },
    Element { name: "blockquote", kind: Kind::Block },
    Element { name: "br", kind: Kind::Void },
    Element { name: "cite", kind: Kind::Inline },
    Element { name: "code", kind: Kind::Inline },
    Element { name: "del", kind: Kind::Inline },
    Element { name: "dfn", kind: Kind::Inline },
    Element { name: "div", kind: Kind::Block },
    Element { name: "em", kind: Kind::Inline },
    Element { name: "figcaption", kind: Kind::Block },
    Element { name: "figure", kind: Kind::Block },
    Element { name: "h1", kind: Kind::Block },
    Element { name: "h2", kind: Kind::Block },
    Element { name: "h3", kind: Kind::Block },
    Element { name: "h4", kind: Kind::Block },
    Element { name: "h5", kind: Kind::Block },
    Element { name: "h6", kind: Kind::Block },
    Element { name: "hr", kind: Kind::VoidBlock },
    Element { name: "i", kind: Kind::Inline },
    Element { name: "ins", kind: Kind::Inline },
    Element { name: "kbd", kind: Kind::Inline },
    Element { name: "li", kind: Kind::Item },
    Element { name: "mark", kind: Kind::Inline },
    Element { name: "ol", kind: Kind::Block },
    Element { name: "p", kind: Kind::Block },
    Element { name: "pre", kind: Kind::Block },
    Element { name: "q", kind: Kind::Inline },
    Element { name: "s", kind: Kind::Inline },
    Element { name: "samp", kind: Kind::Inline },
    Element { name: "section", kind: Kind::Block },
    Element { name: "small", kind: Kind::Inline },
    Element { name: "span", kind: Kind::Inline },
    Element { name: "strike", kind: Kind::Inline },
    Element { name: "strong", kind: Kind::Inline },
    Element { name: "sub", kind: Kind::Inline },
    Element { name: "sup", kind: Kind::Inline },
    Element { name: "tt", kind: Kind::Inline },
    Element { name: "u", kind: Kind::Inline },
    Element { name: "ul", kind: Kind::Block },
    Element { name: "var", kind: Kind::Inline },
    Element { name: "wbr", kind: Kind::Void },
];

fn element(name: &[u8]) -> Option<&'static Element> {
    ELEMENTS.iter().find(|element| name.eq_ignore_ascii_case(element.name.as_bytes()))
}

/// What begins with `<`.
enum Token<'h> {
    /// Only the character.
    Text,
    /// A comment, a declaration, or what ends with the input before it is a tag.
    Nothing,
    Start(&'h [u8]),
    End(&'h [u8]),
}

impl<'h> Token<'h> {
    /// Reads one token of `markup`, which begins with `<`, and gives what follows it.
    fn read(markup: &'h [u8]) -> (Self, &'h [u8]) {
        let rest = markup.get(1..).unwrap_or_default();
        match rest {
            [b'!', b'-', b'-', comment @ ..] => (Self::Nothing, after_comment(comment)),
            [b'!' | b'?', ..] => (Self::Nothing, after(b'>', rest)),
            [b'/', first, ..] if first.is_ascii_alphabetic() => {
                let (name, after) = tag(rest.get(1..).unwrap_or_default());
                (name.map_or(Self::Nothing, Self::End), after)
            }
            // `</>` is nothing, `</` and anything else a comment; at the end of the input it is text.
            [b'/', _, ..] => (Self::Nothing, after(b'>', rest)),
            [first, ..] if first.is_ascii_alphabetic() => {
                let (name, after) = tag(rest);
                (name.map_or(Self::Nothing, Self::Start), after)
            }
            _ => (Self::Text, rest),
        }
    }
}

/// What follows the first `byte`; nothing where there is none.
fn after(byte: u8, html: &[u8]) -> &[u8] {
    memchr::memchr(byte, html).and_then(|at| html.get(at + 1..)).unwrap_or_default()
}

/// After `<!--`: ends with `-->` or `--!>`, or at once with `>` or `->`.
fn after_comment(comment: &[u8]) -> &[u8] {
    if let [b'>', rest @ ..] | [b'-', b'>', rest @ ..] = comment {
        return rest;
    }
    for at in memchr::memchr_iter(b'>', comment) {
        let before = comment.get(..at).unwrap_or_default();
        if before.ends_with(b"--") || before.ends_with(b"--!") {
            return comment.get(at + 1..).unwrap_or_default();
        }
    }
    b""
}

/// Where a tag's attributes are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Between attributes, or in the name of one.
    Name,
    /// After `=`.
    BeforeValue,
    Quoted(u8),
    Unquoted,
}

/// The name of a tag and what follows the tag; no name where the input ends in it.
fn tag(html: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let is_space = |byte: u8| matches!(byte, b'\t' | b'\n' | 0x0C | b'\r' | b' ');
    let length = html.iter().position(|byte| is_space(*byte) || matches!(byte, b'/' | b'>')).unwrap_or(html.len());
    let (name, attributes) = html.split_at_checked(length).unwrap_or((html, b""));
    let mut state = At::Name;
    // Whether the name of an attribute has begun: `=` is its first character, or ends it.
    let mut named = false;
    for (at, byte) in attributes.iter().copied().enumerate() {
        state = match (state, byte) {
            (At::Quoted(quote), _) if byte == quote => {
                named = false;
                At::Name
            }
            (At::Quoted(_), _) => state,
            (_, b'>') => return (Some(name), attributes.get(at + 1..).unwrap_or_default()),
            (At::Name, b'=') if named => At::BeforeValue,
            (At::Name, b'/') => {
                named = false;
                state
            }
            // White space may stand between a name and its `=`.
            (At::Name, _) => {
                named |= !is_space(byte);
                state
            }
            (At::BeforeValue, b'"' | b'\'') => At::Quoted(byte),
            (At::BeforeValue | At::Unquoted, _) if is_space(byte) => {
                if state == At::Unquoted {
                    named = false;
                    At::Name
                } else {
                    state
                }
            }
            (At::BeforeValue | At::Unquoted, _) => At::Unquoted,
        };
    }
    (None, b"")
}

/// Elements whose content a browser does not read as markup, or never shows: dropped with it.
const HIDDEN: [&str; 10] =
    ["script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "noscript", "template"];

/// What follows the element `name`, which was just opened, where its content is dropped with it; else `rest`.
fn after_hidden<'h>(name: &[u8], rest: &'h [u8]) -> &'h [u8] {
    if name.eq_ignore_ascii_case(b"plaintext") {
        return b"";
    }
    if !HIDDEN.iter().any(|hidden| name.eq_ignore_ascii_case(hidden.as_bytes())) {
        return rest;
    }
    for at in memchr::memchr_iter(b'<', rest) {
        let end = rest.get(at..).unwrap_or_default();
        let Some((named, after_name)) = end.strip_prefix(b"</").and_then(|end| end.split_at_checked(name.len())) else {
            continue;
        };
        let ends = matches!(after_name.first(), Some(b'\t' | b'\n' | 0x0C | b'\r' | b' ' | b'/' | b'>'));
        if ends && named.eq_ignore_ascii_case(name) {
            return tag(end.get(2..).unwrap_or_default()).1;
        }
    }
    b""
}

struct Writer {
    out: String,
    open: Vec<&'static Element>,
}

impl Writer {
    /// Text in which nothing is markup.
    fn text(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let mut rest = &*text;
        while let Some(at) = rest.find(['<', '>', '&', '\0']) {
            let (before, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.out.push_str(before);
            rest = special.get(1..).unwrap_or_default();
            match special.as_bytes().first() {
                Some(b'<') => self.out.push_str("&lt;"),
                Some(b'>') => self.out.push_str("&gt;"),
                Some(b'&') if is_reference(rest.as_bytes()) => self.out.push('&'),
                Some(b'&') => self.out.push_str("&amp;"),
                _ => {}
            }
        }
        self.out.push_str(rest);
    }

    fn start(&mut self, element: &'static Element) {
        match element.kind {
            Kind::Block | Kind::VoidBlock => self.end_open(|open| open.name == "p", |_| false),
            Kind::Item => {
                self.end_open(|open| open.name == "p", |_| false);
                self.end_open(|open| open.kind == Kind::Item, |open| matches!(open.name, "ul" | "ol"));
            }
            Kind::Inline | Kind::Void => {}
        }
        let void = matches!(element.kind, Kind::Void | Kind::VoidBlock);
        if !void {
            if self.open.len() >= DEEPEST {
                return;
            }
            self.open.push(element);
        }
        self.tag("<", element);
    }

    fn end(&mut self, element: &'static Element) {
        self.end_open(|open| open == element, |_| false);
    }

    /// Ends the innermost open element that is `wanted`, with all in it, unless a `barrier` stands between.
    fn end_open(&mut self, wanted: impl Fn(&Element) -> bool, barrier: impl Fn(&Element) -> bool) {
        let found = self.open.iter().rposition(|open| wanted(open) || barrier(open));
        let Some(at) = found.filter(|at| self.open.get(*at).is_some_and(|open| wanted(open))) else { return };
        while self.open.len() > at
            && let Some(open) = self.open.pop()
        {
            self.tag("</", open);
        }
    }

    fn tag(&mut self, bracket: &str, element: &Element) {
        self.out.push_str(bracket);
        self.out.push_str(element.name);
        self.out.push('>');
    }

    fn finish(mut self) -> String {
        while let Some(open) = self.open.pop() {
            self.tag("</", open);
        }
        self.out
    }
}

/// The longest character reference that is kept as it is: the longest name has 31 letters.
const LONGEST_REFERENCE: usize = 32;

/// Whether what follows `&` is a complete character reference: it stands for text, whatever it says.
fn is_reference(rest: &[u8]) -> bool {
    let Some(end) = rest.iter().take(LONGEST_REFERENCE + 1).position(|byte| *byte == b';') else { return false };
    let inside = rest.get(..end).unwrap_or_default();
    match inside {
        [b'#', b'x' | b'X', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        [b'#', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        [first, ..] => first.is_ascii_alphabetic() && inside.iter().all(u8::is_ascii_alphanumeric),
        [] => false,
    }
}

#[cfg(test)]
mod tests;
