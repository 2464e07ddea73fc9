//! XML (XML 1.0, fifth edition) scanned for what it carries: names, attribute values, text, comments, instructions and
//! declarations. Not a parser: well-formedness is not checked, nothing is expanded.
//!
//! The promise is that nothing is skipped: every byte other than white space, quotes and markup characters is part of
//! some [`Node`], and what fits no construct is yielded raw. Text is yielded as an application gets it: joined across CDATA
//! sections, comments and instructions, entities decoded once. Entities a DTD defines are unknown here; a document
//! with a DTD is told by [`Node::Declaration`], and refusing it is the answer to XXE.

mod entity;
mod scanner;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use super::content_type::Charset;

/// The bounds of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Elements open at once.
    pub depth: usize,
    /// Nodes in the whole document.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, nodes: 20_000 }
    }
}

/// Why a document is refused, and the byte where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The bytes are not what a recipient would read: UTF-16, UTF-32, EBCDIC, a NUL, text before the first `<`, or an
    /// `encoding` other than UTF-8, US-ASCII, ISO-8859-1 and Windows-1252.
    Encoding {
        /// Bytes from the start of the document.
        offset: usize,
    },
    /// The start tag that opens one level too many.
    TooDeep {
        /// Bytes from the start of the document.
        offset: usize,
    },
    /// The construct beyond the limit of nodes.
    TooManyNodes {
        /// Bytes from the start of the document.
        offset: usize,
    },
}

/// What the visitor sees, in document order; text comes when its run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node<'n> {
    /// The name of an element, at its start tag.
    Element(&'n [u8]),
    /// An attribute of the element last named.
    Attribute {
        /// As written, with any prefix.
        name: &'n [u8],
        /// Decoded; empty where there is none.
        value: &'n [u8],
        /// It holds a reference that was kept: an unknown entity, an impossible character.
        irregular: bool,
    },
    /// Text between two tags; and at its end all text of an element that has other elements between, without theirs.
    Text {
        /// The innermost open element; empty outside.
        element: &'n [u8],
        /// Decoded and joined. Runs of white space alone are not yielded.
        value: &'n [u8],
        /// It holds a reference that was kept: an unknown entity, an impossible character.
        irregular: bool,
    },
    /// Between `<!--` and `-->`.
    Comment(&'n [u8]),
    /// Between `<?` and `?>`.
    Instruction(&'n [u8]),
    /// Between `<!` and its `>`: DOCTYPE, ENTITY, ELEMENT, ATTLIST, NOTATION. A DOCTYPE ends at its `[` already, so that
    /// the declarations inside are yielded one by one.
    Declaration(&'n [u8]),
    /// What fits nothing above, as written: an unterminated construct, an end tag of no open element.
    Raw(&'n [u8]),
}

/// Scans the whole document, or until `visit` breaks off.
///
/// Linear; memory is the decoded text of the open elements, and a slice for each.
///
/// # Errors
/// The first [`Error`]; nodes before it have been visited.
pub fn scan<B>(
    document: &[u8],
    limits: &Limits,
    visit: impl FnMut(Node<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error> {
    scanner::Scanner::new(document, limits, visit).run()
}

/// The charset that a document without a byte order mark declares for itself, and what follows the declaration.
pub fn declared_charset(document: &[u8]) -> (Charset, &[u8]) {
    let text = document.trim_ascii_start();
    let Some(inner) = text.strip_prefix(b"<?") else { return (Charset::Unstated, text) };
    let end = memchr::memmem::find(inner, b"?>").map_or(inner.len(), |end| end + 2);
    (scanner::declared_charset(inner), inner.get(end..).unwrap_or_default())
}
