//! JSON (RFC 8259) walked in one pass without building a tree: a visitor sees every key, string, number and literal.
//!
//! A visitor can say which bytes concern it, and then sees only the strings that hold one: most of a document is text in
//! which nothing is to be found, and 64 bytes are judged faster than one value.
//!
//! The grammar is strict: one document, UTF-8 without byte order mark, nothing else accepted. UTF-16 and UTF-32 bodies
//! therefore are malformed at their first byte. One liberty RFC 8259 section 8.2 takes itself stays open: an escaped
//! surrogate without its pair is accepted, because recipients accept it, and flagged.

mod beside;
mod glide;
mod records;
mod string;
#[cfg(test)]
mod tests;
mod walker;
mod window;

pub use beside::Beside;

use std::borrow::Cow;
use std::ops::{ControlFlow, Range};

use crate::lanes::{self, Lanes};

/// The bounds of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arrays and objects open at once; 0 admits a bare scalar only.
    pub depth: usize,
    /// Keys and array elements in the whole document.
    pub entries: usize,
    /// Decoded bytes of one key or string.
    pub string_length: usize,
    /// Bytes of one number as written.
    pub number_length: usize,
    /// Refuse a key that occurs twice in one object, compared decoded: recipients differ in which one they take.
    pub unique_keys: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 32, entries: 10_000, string_length: 65_536, number_length: 128, unique_keys: false }
    }
}

/// Why a document is refused, and the byte where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not RFC 8259: the first byte that cannot continue a document, or its length when it ends too early.
    Malformed {
        /// Bytes from the start of the document.
        offset: usize,
    },
    /// The bracket that opens one level too many.
    TooDeep {
        /// Bytes from the start of the document.
        offset: usize,
    },
    /// The key or element beyond the limit.
    TooManyEntries {
        /// Bytes from the start of the document.
        offset: usize,
    },
    /// The opening quote of a key or string beyond the limit.
    StringTooLong {
        /// Bytes from the start of the document.
        offset: usize,
    },
    /// The first byte of a number beyond the limit.
    NumberTooLong {
        /// Bytes from the start of the document.
        offset: usize,
    },
    /// The opening quote of a key its object already has; found when the object ends.
    DuplicateKey {
        /// Bytes from the start of the document.
        offset: usize,
    },
}

/// `value` as it is sent: without white space. Displaying it would say the same by writers of its own, 16 KB of module.
pub fn written(value: &serde_json::Value) -> String {
    // Writing a tree into memory cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// The string of which the opening quote is at `start`, decoded, and where what follows it begins. `None`: there is no valid one.
pub fn string_at(document: &[u8], start: usize) -> Option<(Cow<'_, [u8]>, usize)> {
    if document.get(start) != Some(&b'"') {
        return None;
    }
    let raw = string::read(document, start + 1).ok()?;
    let after = start + raw.bytes.len() + 2;
    if !raw.escaped {
        return Some((Cow::Borrowed(raw.bytes), after));
    }
    let mut decoded = Vec::with_capacity(raw.bytes.len());
    string::unescape(raw.bytes, &mut decoded);
    Some((Cow::Owned(decoded), after))
}

/// What the visitor sees, in document order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'t> {
    /// An object's key; its value follows.
    Key(Text<'t>),
    /// A string value.
    String(Text<'t>),
    /// A number as written.
    Number(&'t str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// A key or string, decoded; borrowed from the document when it holds no escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'t> {
    /// UTF-8, except that a lone surrogate takes the three bytes UTF-8 would give it (WTF-8).
    pub bytes: &'t [u8],
    /// It holds an escaped surrogate without its pair, which recipients keep, replace or drop.
    pub lone_surrogate: bool,
}

/// Where a token stands.
#[derive(Debug)]
pub struct Location<'w> {
    frames: &'w [Frame<'w>],
    span: (usize, usize),
}

impl Location<'_> {
    /// The nearest key: of the token itself, or of the array it stands in; empty at the top. Costs nothing.
    pub fn name(&self) -> &[u8] {
        let owner = self.frames.last().and_then(|frame| self.frames.get(frame.owner));
        owner.map_or(&[], |frame| &frame.key)
    }

    /// Open arrays and objects around the token.
    pub fn depth(&self) -> usize {
        self.frames.len()
    }

    /// The token's bytes in the document, quotes included: what a rewriter replaces.
    pub fn span(&self) -> Range<usize> {
        self.span.0..self.span.1
    }

    /// The way from the top to the token.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.frames.iter().map(|frame| match frame.container {
            Container::Object => Step::Key(&frame.key),
            Container::Array => Step::Index(frame.count.saturating_sub(1)),
        })
    }

    /// The JSON Pointer (RFC 6901) of the token, or of the value of a key. Built anew at each call: linear in its length.
    pub fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in self.steps() {
            pointer.push('/');
            match step {
                Step::Key(key) => pointer.push_str(&String::from_utf8_lossy(key).replace('~', "~0").replace('/', "~1")),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }
}

/// One step of a [`Location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'w> {
    /// Into an object, by its decoded key.
    Key(&'w [u8]),
    /// Into an array, counted from zero.
    Index(usize),
}

/// Who is shown a document. A closure is one that sees tokens only.
pub trait Visitor {
    /// What it breaks off with.
    type Break;

    /// A key, string, number or literal.
    fn token(&mut self, token: Token<'_>, location: &Location<'_>) -> ControlFlow<Self::Break>;

    /// An array or object begins.
    fn open(&mut self, _container: Container) {}

    /// The array or object that began last ends.
    fn close(&mut self) {}

    /// Whether anything is ever passed over.
    const PASSES_OVER: bool = false;

    /// A bit for each byte that [`Visitor::passes_over`] must not miss; whatever stands around a byte may count. All bytes
    /// of the document are shown, in and out of strings.
    fn mark(_block: &Block<'_>) -> u64 {
        0
    }

    /// A first look, which most blocks are left with: at least all bits of [`Visitor::mark`], and those of quotes,
    /// backslashes, control characters and what is no ASCII.
    #[inline]
    fn suspect(block: &Block<'_>) -> u64 {
        block.suspects()
    }

    /// Whether a string need not be shown. Only asked of ASCII without escapes in which no byte is marked; what is not
    /// passed over is shown next.
    fn passes_over(&mut self, _text: &[u8]) -> bool {
        false
    }

    /// The same of a key.
    #[inline]
    fn passes_over_key(&mut self, key: &[u8]) -> bool {
        self.passes_over(key)
    }

    /// Whether a number or a literal need not be shown.
    fn passes_over_bare(&mut self, _written: &[u8]) -> bool {
        false
    }

    /// Whether records like this one, which was passed over, may be passed over by their scalars alone: others that follow
    /// it in its array and have the same names.
    fn learns(&mut self, _record: &[u8]) -> bool {
        true
    }

    /// Whether the same holds for the innermost array, which is another one.
    fn has_learnt(&self) -> bool {
        true
    }

    /// As [`Visitor::passes_over`], of a string in what may be a record like the one learnt: nothing is to be concluded.
    #[inline]
    fn would_pass_over(&mut self, text: &[u8]) -> bool {
        self.passes_over(text)
    }

    /// The same of a number. Literals are passed over without a question.
    #[inline]
    fn would_pass_over_number(&mut self, written: &[u8]) -> bool {
        self.passes_over_bare(written)
    }

    /// Whether [`Visitor::repeated`] looks at the scalars; they are not kept otherwise.
    const HEEDS_SCALARS: bool = false;

    /// A record like the one learnt was passed over.
    #[inline]
    fn repeated(&mut self, _scalars: &[Scalar<'_>]) {}
}

/// A scalar of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar<'d> {
    /// A string without its quotes, which has no escapes and is ASCII; anything else as it is.
    pub written: &'d [u8],
    /// It is a string.
    pub is_string: bool,
}

/// 64 bytes of a document, and the two that follow: spaces where there is nothing more.
#[derive(Debug)]
pub struct Block<'d> {
    bytes: &'d [u8; Block::SIZE + 2],
}

impl<'d> Block<'d> {
    /// Bytes of a block.
    pub const SIZE: usize = 64;

    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &'d [u8; Block::SIZE] {
        self.from(0)
    }

    /// What follows each of them, and what follows that.
    #[inline]
    pub fn following(&self) -> [&'d [u8; Block::SIZE]; 2] {
        [self.from(1), self.from(2)]
    }

    /// Quotes, backslashes and control characters: where a string may end.
    #[inline]
    pub fn stops(&self) -> u64 {
        let mut flags = [0; Block::SIZE];
        for (flag, &byte) in flags.iter_mut().zip(self.bytes()) {
            *flag = u8::from((byte < 0x20) | (byte == b'"') | (byte == b'\\')).wrapping_neg();
        }
        lanes::bits(&flags)
    }

    /// Both: all that does not continue a plain string.
    #[inline]
    pub fn suspects(&self) -> u64 {
        /// By the upper half of a byte: control characters, and what is no ASCII.
        const UPPER: [u8; 16] = [128, 128, 0, 0, 0, 0, 0, 0, 128, 128, 128, 128, 128, 128, 128, 128];
        let (quarters, _) = self.bytes().as_chunks::<16>();
        let suspects = |quarter: &[u8; 16]| {
            let bytes = Lanes::load(quarter);
            let ends = bytes.equals(Lanes::splat(b'"')).or(bytes.equals(Lanes::splat(b'\\')));
            bytes.classify(&[128; 16], &UPPER).or(ends).bits()
        };
        quarters.iter().rev().fold(0, |bits, quarter| bits << 16 | suspects(quarter))
    }

    /// What is no ASCII.
    #[inline]
    pub fn high(&self) -> u64 {
        lanes::bits(self.bytes())
    }

    #[inline]
    fn from(&self, start: usize) -> &'d [u8; Block::SIZE] {
        let bytes = self.bytes.get(start..start + Block::SIZE).and_then(|bytes| bytes.try_into().ok());
        bytes.unwrap_or(&[0; Block::SIZE])
    }
}

impl<B, F: FnMut(Token<'_>, &Location<'_>) -> ControlFlow<B>> Visitor for F {
    type Break = B;

    fn token(&mut self, token: Token<'_>, location: &Location<'_>) -> ControlFlow<B> {
        self(token, location)
    }
}

/// Walks the whole document, or until `visit` breaks off; what follows a break is not validated.
///
/// Memory: one frame per open level, and the longest escaped string; with `unique_keys` also the keys of open objects.
///
/// # Errors
/// The first [`Error`] in document order, except [`Error::DuplicateKey`], found at the end of its object. Tokens before
/// an error have been visited.
pub fn walk<B>(
    document: &[u8],
    limits: &Limits,
    visit: impl FnMut(Token<'_>, &Location<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, Error> {
    build(document, limits, visit)
}

/// [`walk`] for a visitor that sees arrays and objects begin and end as well.
///
/// # Errors
/// As of [`walk`].
pub fn build<V: Visitor>(document: &[u8], limits: &Limits, visitor: V) -> Result<ControlFlow<V::Break>, Error> {
    walker::Walker::new(document, limits, visitor).run()
}

/// An open array or object.
#[derive(Debug)]
struct Frame<'a> {
    container: Container,
    /// Where its bracket stands.
    start: usize,
    /// Members or elements begun.
    count: usize,
    /// The key of the current member; unused in an array.
    key: Cow<'a, [u8]>,
    /// The frame whose `key` names what is in this one: itself for an object; no frame in an array at the top.
    owner: usize,
}

/// What holds other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `[...]`
    Array,
    /// `{...}`
    Object,
}
