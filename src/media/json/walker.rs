//! The walk itself: an explicit stack of open containers instead of recursion.

use std::borrow::Cow;
use std::ops::ControlFlow;

use super::records::Records;
use super::string::{self, Raw};
use super::window::Window;
use super::{Container, Error, Frame, Limits, Location, Text, Token, Visitor};

/// No frame: what an array at the top is named after.
pub(super) const NOBODY: usize = usize::MAX;

pub(super) struct Walker<'a, V> {
    pub(super) document: &'a [u8],
    pub(super) at: usize,
    pub(super) limits: &'a Limits,
    pub(super) entries: usize,
    pub(super) frames: Vec<Frame<'a>>,
    /// Decoded string of the token being visited.
    scratch: Vec<u8>,
    /// Keys of all open objects, outermost first; only filled when they must be unique.
    keys: Vec<SeenKey<'a>>,
    pub(super) window: Window,
    /// By the depth of the array that they are in.
    pub(super) records: Vec<Records<'a>>,
    pub(super) visit: V,
}

/// Where a walk may be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// A member of an object is next.
    BeforeKey,
    /// A value is next.
    BeforeValue,
    /// The next entry or the end of a container is next, or the end of the document.
    AfterValue,
}

/// Ordered so that equal keys stand together, the earlier one first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct SeenKey<'a> {
    key: Cow<'a, [u8]>,
    offset: usize,
}

/// Why the walk ends before the document does.
enum Stop<B> {
    Broken(B),
    Refused(Error),
}

impl<B> From<Error> for Stop<B> {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl<'a, V: Visitor> Walker<'a, V> {
    pub(super) fn new(document: &'a [u8], limits: &'a Limits, visit: V) -> Self {
        let (frames, scratch, keys) = (Vec::new(), Vec::new(), Vec::new());
        let (window, records) = (Window::new(), Vec::new());
        Self { document, at: 0, limits, entries: 0, frames, scratch, keys, window, records, visit }
    }

    pub(super) fn run(mut self) -> Result<ControlFlow<V::Break>, Error> {
        match self.document() {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(Stop::Broken(with)) => Ok(ControlFlow::Break(with)),
            Err(Stop::Refused(error)) => Err(error),
        }
    }

    fn document(&mut self) -> Result<(), Stop<V::Break>> {
        let mut stands = Stands::BeforeValue;
        loop {
            if V::PASSES_OVER && !self.limits.unique_keys {
                stands = self.glide(stands);
            }
            stands = match stands {
                Stands::BeforeValue if self.value()? => Stands::BeforeValue,
                Stands::BeforeValue => Stands::AfterValue,
                Stands::BeforeKey => {
                    self.key()?;
                    Stands::BeforeValue
                }
                Stands::AfterValue if self.next_entry()? => Stands::BeforeValue,
                Stands::AfterValue => break,
            };
        }
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.malformed()),
        }
    }

    /// Reads a scalar, an empty container, or the beginning of a container: true when a value inside it is next.
    fn value(&mut self) -> Result<bool, Stop<V::Break>> {
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'{') => return self.open(Container::Object),
            Some(b'[') => return self.open(Container::Array),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal(b"true", Token::Bool(true))?,
            Some(b'f') => self.literal(b"false", Token::Bool(false))?,
            Some(b'n') => self.literal(b"null", Token::Null)?,
            _ => return Err(self.malformed()),
        }
        Ok(false)
    }

    /// After a value: closes what ends here and begins the next member or element; false at the end of the document.
    fn next_entry(&mut self) -> Result<bool, Stop<V::Break>> {
        loop {
            let Some(container) = self.frames.last().map(|frame| frame.container) else { return Ok(false) };
            match (container, self.peek()) {
                (Container::Object, Some(b',')) => {
                    self.at += 1;
                    self.key()?;
                    return Ok(true);
                }
                (Container::Array, Some(b',')) => {
                    self.at += 1;
                    self.element()?;
                    return Ok(true);
                }
                (Container::Object, Some(b'}')) | (Container::Array, Some(b']')) => self.close()?,
                _ => return Err(self.malformed()),
            }
        }
    }

    fn open(&mut self, container: Container) -> Result<bool, Stop<V::Break>> {
        let depth = self.frames.len();
        if depth >= self.limits.depth {
            return Err(Error::TooDeep { offset: self.at }.into());
        }
        let start = self.at;
        self.at += 1;
        let owner = match container {
            Container::Object => depth,
            Container::Array => self.frames.last().map_or(NOBODY, |frame| frame.owner),
        };
        self.frames.push(Frame { container, start, count: 0, key: Cow::Borrowed(&[]), owner });
        self.visit.open(container);
        match (container, self.peek()) {
            (Container::Object, Some(b'}')) | (Container::Array, Some(b']')) => {
                self.close()?;
                return Ok(false);
            }
            (Container::Object, _) => self.key()?,
            (Container::Array, _) => self.element()?,
        }
        Ok(true)
    }

    fn close(&mut self) -> Result<(), Stop<V::Break>> {
        self.at += 1;
        self.visit.close();
        let closed = self.frames.pop();
        if self.limits.unique_keys
            && let Some(Frame { container: Container::Object, count, .. }) = closed
        {
            self.refuse_duplicates(count)?;
        }
        Ok(())
    }

    /// Checks the last `count` keys seen and forgets them.
    fn refuse_duplicates(&mut self, count: usize) -> Result<(), Error> {
        let start = self.keys.len().saturating_sub(count);
        let members = self.keys.get_mut(start..).unwrap_or_default();
        let repeated = if members.len() <= FEW { repeated_of_few(members) } else { repeated_of_many(members) };
        if let Some(offset) = repeated {
            return Err(Error::DuplicateKey { offset });
        }
        self.keys.truncate(start);
        Ok(())
    }

    fn element(&mut self) -> Result<(), Stop<V::Break>> {
        // Skip the space first: the limit names the element.
        self.peek();
        self.count_entry()?;
        Ok(())
    }

    fn key(&mut self) -> Result<(), Stop<V::Break>> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed());
        }
        self.count_entry()?;
        let start = self.at;
        let raw = self.quoted()?;
        let (key, lone_surrogate) = self.decoded_key(raw, start)?;
        if self.limits.unique_keys {
            self.keys.push(SeenKey { key: key.clone(), offset: start });
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.key = key;
        }
        let location = Location { frames: &self.frames, span: (start, self.at) };
        let text = Text { bytes: location.name(), lone_surrogate };
        broken(self.visit.token(Token::Key(text), &location))?;
        if self.peek() != Some(b':') {
            return Err(self.malformed());
        }
        self.at += 1;
        Ok(())
    }

    /// Decoded once and kept in the frame, so that naming many values after a long escaped key stays linear.
    fn decoded_key(&self, raw: Raw<'a>, start: usize) -> Result<(Cow<'a, [u8]>, bool), Error> {
        let mut key = Cow::Borrowed(raw.bytes);
        let mut lone_surrogate = false;
        if raw.escaped {
            let mut decoded = Vec::new();
            lone_surrogate = string::unescape(raw.bytes, &mut decoded);
            key = Cow::Owned(decoded);
        }
        if key.len() > self.limits.string_length {
            return Err(Error::StringTooLong { offset: start });
        }
        Ok((key, lone_surrogate))
    }

    fn string(&mut self) -> Result<(), Stop<V::Break>> {
        let start = self.at;
        let raw = self.quoted()?;
        let mut text = Text { bytes: raw.bytes, lone_surrogate: false };
        if raw.escaped {
            self.scratch.clear();
            let lone_surrogate = string::unescape(raw.bytes, &mut self.scratch);
            text = Text { bytes: &self.scratch, lone_surrogate };
        }
        if text.bytes.len() > self.limits.string_length {
            return Err(Error::StringTooLong { offset: start }.into());
        }
        let location = Location { frames: &self.frames, span: (start, self.at) };
        broken(self.visit.token(Token::String(text), &location))
    }

    /// The string at its opening quote; moves past the closing one.
    fn quoted(&mut self) -> Result<Raw<'a>, Error> {
        let start = self.at + 1;
        // Who passes over the plain ones has passed over this one already, or may not.
        if !V::PASSES_OVER
            && let Some(end) = self.window.suspect::<V>(self.document, start)
            && let Some((b'"', bytes)) = self.document.get(start..=end).and_then(<[u8]>::split_last)
        {
            self.at = end + 1;
            return Ok(Raw { bytes, escaped: false });
        }
        let raw = string::read(self.document, start)?;
        self.at += raw.bytes.len() + 2;
        Ok(raw)
    }

    fn number(&mut self) -> Result<(), Stop<V::Break>> {
        let start = self.at;
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        if self.at - start > self.limits.number_length {
            return Err(Error::NumberTooLong { offset: start }.into());
        }
        let written = self.document.get(start..self.at).unwrap_or_default();
        let written = std::str::from_utf8(written).unwrap_or_default();
        self.scalar(Token::Number(written), start)
    }

    fn digits(&mut self) -> Result<(), Stop<V::Break>> {
        let rest = self.document.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.malformed()) } else { Ok(()) }
    }

    fn literal(&mut self, written: &[u8], token: Token<'_>) -> Result<(), Stop<V::Break>> {
        let start = self.at;
        for byte in written {
            if !self.skip(*byte) {
                return Err(self.malformed());
            }
        }
        self.scalar(token, start)
    }

    fn scalar(&mut self, token: Token<'_>, start: usize) -> Result<(), Stop<V::Break>> {
        broken(self.visit.token(token, &Location { frames: &self.frames, span: (start, self.at) }))
    }

    fn count_entry(&mut self) -> Result<(), Error> {
        if self.entries >= self.limits.entries {
            return Err(Error::TooManyEntries { offset: self.at });
        }
        self.entries += 1;
        if let Some(frame) = self.frames.last_mut() {
            frame.count += 1;
        }
        Ok(())
    }

    /// The next byte that is not white space, without passing it.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.document.get(self.at)?;
            if !is_space(byte) {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn skip(&mut self, byte: u8) -> bool {
        let matches = self.document.get(self.at) == Some(&byte);
        self.at += usize::from(matches);
        matches
    }

    fn malformed(&self) -> Stop<V::Break> {
        Error::Malformed { offset: self.at }.into()
    }
}

/// White space between tokens (RFC 8259 section 2).
#[inline(always)]
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// Keys that are compared each with each.
const FEW: usize = 16;

fn repeated_of_few(members: &[SeenKey<'_>]) -> Option<usize> {
    let ends = |key: &[u8]| (key.len(), key.first().copied(), key.last().copied());
    let same = |one: &SeenKey<'_>, other: &SeenKey<'_>| ends(&one.key) == ends(&other.key) && one.key == other.key;
    let mut later = members.iter().enumerate();
    let (_, repeated) = later.find(|(at, member)| members.iter().take(*at).any(|earlier| same(earlier, member)))?;
    Some(repeated.offset)
}

/// Sorting, not hashing: no input makes it quadratic.
fn repeated_of_many(members: &mut [SeenKey<'_>]) -> Option<usize> {
    members.sort_unstable();
    let neighbours = members.iter().zip(members.iter().skip(1));
    neighbours.filter(|(one, next)| one.key == next.key).map(|(_, next)| next.offset).min()
}

fn broken<B>(flow: ControlFlow<B>) -> Result<(), Stop<B>> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(with) => Err(Stop::Broken(with)),
    }
}
