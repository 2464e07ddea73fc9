//! One operand of an expression, in whatever dialect: literals with what introduces them, names in any quotes, calls, casts
//! and choices.
//!
//! Every function looks at a bounded number of tokens, or over a run of prefixes or brackets that is entered from one end
//! alone, so that a pass over all of them stays linear.

use super::super::bytes::{at, is_word};
use super::super::work::spend;
use super::token::{Kind, NO_TWIN, Tokens};
use super::words::Word;

/// The most tokens a bracketed operand may have.
const MAX_CALL: usize = 32;
/// The most tokens between `CASE` and its first `WHEN`.
const MAX_CASE: usize = 10;
/// The most parts of a name, and casts of a value.
const MAX_PARTS: usize = 8;
/// The most bytes of a string between two tags of dollars with the first of them, and of a tag.
const MAX_DOLLAR_QUOTED: usize = 64;
const MAX_TAG: usize = 16;
/// Types that stand before a string of theirs.
const TYPED: [&[u8]; 4] = [b"date", b"time", b"timestamp", b"interval"];
/// What the names of MySQL's character sets begin with.
const CHARSETS: [&[u8]; 8] = [b"utf", b"latin", b"ascii", b"binary", b"ucs2", b"cp", b"gb", b"koi8"];

/// What an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Number,
    /// A string; `open` when the value ends before its closing quote.
    Text {
        quote: u8,
        open: bool,
    },
    Null,
    Boolean,
    Variable,
    Call(Word),
    /// `SELECT` or `CASE`.
    Query,
    Name,
}

impl What {
    pub(super) const fn is_literal(self) -> bool {
        matches!(self, Self::Number | Self::Text { .. } | Self::Null | Self::Boolean | Self::Variable)
    }
}

/// An operand and the place after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub(super) what: What,
    /// Where it begins, after brackets and signs.
    pub(super) start: usize,
    pub(super) next: usize,
}

impl Tokens<'_> {
    /// The operand at `i`, if one begins there.
    pub(super) fn operand(&self, i: usize) -> Option<Operand> {
        let mut start = i;
        let mut opened = 0usize;
        if !matches!(self.kind(i), Kind::Number | Kind::Quote(_) | Kind::Word(Word::Name)) {
            loop {
                match self.kind(start) {
                    Kind::Open => opened += 1,
                    Kind::Bang | Kind::Word(Word::Not | Word::Prefix | Word::Exists | Word::All) => {}
                    Kind::Arith(b'+' | b'-') => {}
                    Kind::Dashes | Kind::Compare
                        if self.text_of(start).iter().all(|byte| matches!(byte, b'~' | b'!')) => {}
                    // `--1` is a double sign only where it is not a comment.
                    _ => break,
                }
                start += 1;
            }
        }
        let (what, next) = self.bare_operand(start)?;
        let mut next = self.after_cast(next);
        while opened > 0 && self.kind(next) == Kind::Close {
            next += 1;
            opened -= 1;
        }
        Some(Operand { what, start, next })
    }

    /// The place after `::type`, a path of JSON, `-> 'key'` or `#>> 'path'`, or `COLLATE name` at `i`, or `i`.
    fn after_cast(&self, i: usize) -> usize {
        match self.kind(i) {
            Kind::Word(Word::Suffix) if self.is_word(i, b"collate") => {
                let name = i + 1;
                match self.kind(name) {
                    Kind::Word(_) => name + 1,
                    Kind::Quote(_) if self.at(name).twin() != NO_TWIN => usize::from(self.at(name).twin()) + 1,
                    _ => i,
                }
            }
            Kind::Other(b':') if self.kind(i + 1) == Kind::Other(b':') && self.word(i + 2).is_some() => {
                let casts = (0..MAX_PARTS).take_while(|nth| self.kind(i + 3 * nth) == Kind::Other(b':')).count();
                self.after_path(i + 3 * casts)
            }
            Kind::Arith(b'-') | Kind::Hash => self.after_path(i),
            _ => i,
        }
    }

    #[inline(never)]
    fn after_path(&self, i: usize) -> usize {
        if !matches!(self.kind(i), Kind::Arith(b'-') | Kind::Hash) || !self.points(i) {
            return i;
        }
        match self.kind(i + 2) {
            Kind::Number => i + 3,
            Kind::Quote(b'\'' | b'"') if self.at(i + 2).twin() != NO_TWIN => usize::from(self.at(i + 2).twin()) + 1,
            _ => i,
        }
    }

    /// Whether the name at `i` may go on, be compared, or introduce a string.
    #[inline]
    pub(super) fn goes_on(&self, i: usize) -> bool {
        match self.kind(i + 1) {
            Kind::Dot
            | Kind::Open
            | Kind::Compare
            | Kind::Variable
            | Kind::Arith(b'-')
            | Kind::Word(Word::Not | Word::Match | Word::In | Word::Between | Word::Is) => true,
            Kind::Quote(_) => self.introduces(i),
            _ => false,
        }
    }

    /// What stands at `start` without signs and brackets before it. It calls itself for what stands in braces or behind an
    /// introducer alone, neither of which begins with the other again.
    fn bare_operand(&self, start: usize) -> Option<(What, usize)> {
        let token = self.at(start);
        match token.kind() {
            Kind::Number => Some((What::Number, start + 1)),
            Kind::Quote(quote) => {
                let twin = token.twin();
                if twin == NO_TWIN {
                    return Some((What::Text { quote, open: true }, self.len()));
                }
                let next = twin as usize + 1;
                let named = quote != b'\'' && next == start + 3;
                let named = if named { self.after_dot(next) } else { None };
                Some(named.map_or((What::Text { quote, open: false }, next), |next| (What::Name, next)))
            }
            Kind::Variable => Some((What::Variable, start + 1)),
            Kind::Word(Word::Null) => Some((What::Null, start + 1)),
            Kind::Word(Word::Boolean) => Some((What::Boolean, start + 1)),
            Kind::Word(Word::Select) => Some((What::Query, start + 1)),
            Kind::Word(Word::Case) if self.has_branches(start) => Some((What::Query, self.end_of_case(start))),
            // `[name]` of SQL Server and SQLite
            Kind::Other(b'[') if self.kind(start + 2) == Kind::Other(b']') => {
                let next = start + 3;
                self.word(start + 1).map(|_| (What::Name, self.after_dot(next).unwrap_or(next)))
            }
            // `{d '2000-01-01'}` of ODBC, where MySQL takes any word
            Kind::Other(b'{') if self.word(start + 1).is_some() && self.kind(start + 2) != Kind::Other(b'{') => {
                let (what, next) = self.bare_operand(start + 2)?;
                Some((what, next + usize::from(self.kind(next) == Kind::Other(b'}'))))
            }
            Kind::Other(b'$') => self.dollar_quoted(start),
            Kind::Word(word) => self.word_operand(start, word),
            _ => None,
        }
    }

    fn word_operand(&self, start: usize, word: Word) -> Option<(What, usize)> {
        let mut behind = self.kind(start + 1);
        match behind {
            Kind::Quote(_) if self.introduces(start) => return self.bare_operand(start + 1),
            // `U&'a'`
            Kind::Logic(b'&') if matches!(self.kind(start + 2), Kind::Quote(_)) && self.is_word(start, b"u") => {
                return self.bare_operand(start + 2);
            }
            _ => {}
        }
        let (mut last, mut part) = (start, word);
        // `schema.package.function(`
        while last - start < MAX_PARTS && behind == Kind::Dot {
            last += 1;
            match self.kind(last + 1) {
                Kind::Word(next) => {
                    part = if next.is_fn() { next } else { part };
                    last += 1;
                }
                Kind::Quote(_) | Kind::Other(b'[') if let Some(next) = self.after_dot(last) => {
                    return Some((What::Name, next));
                }
                _ => {}
            }
            behind = self.kind(last + 1);
        }
        if behind == Kind::Open {
            return Some((What::Call(part), self.close_of(last + 1)));
        }
        if is_reserved(word) {
            return None;
        }
        if part == Word::InfoFn && is_called_bare(self.text_of(last)) {
            return Some((What::Call(part), last + 1));
        }
        Some((What::Name, last + 1))
    }

    /// The place after the dots at `i` and the names behind each, in whatever quotes, without space between.
    #[inline(never)]
    fn after_dot(&self, i: usize) -> Option<usize> {
        let mut next = i;
        while next < i + MAX_PARTS && self.kind(next) == Kind::Dot {
            let name = self.at(next + 1);
            next = match name.kind() {
                _ if name.spaced() || self.at(next).spaced() => break,
                Kind::Word(_) => next + 2,
                Kind::Quote(b'"' | b'`') if name.twin() != NO_TWIN => usize::from(name.twin()) + 1,
                Kind::Other(b'[') if self.kind(next + 3) == Kind::Other(b']') => next + 4,
                _ => break,
            };
        }
        (next > i).then_some(next)
    }

    /// Whether the word at `i` says how the string behind it is read: `N'a'`, `x'61'`, `_utf8'a'`, `date '2000-01-01'`.
    #[inline(never)]
    pub(super) fn introduces(&self, i: usize) -> bool {
        let (Kind::Quote(b'\'' | b'"'), Some(_)) = (self.kind(i + 1), self.word(i)) else { return false };
        let (name, string) = (self.text_of(i), self.after(i + 1));
        let first = at(string, 0);
        match name {
            // `"-b"` is no string in one.
            [letter] if !self.at(i + 1).spaced() && !matches!(self.before(i), Kind::Arith(_) | Kind::Quote(_)) => {
                match letter | 0x20 {
                    b'x' => first.is_ascii_hexdigit(),
                    b'b' => matches!(first, b'0' | b'1'),
                    b'n' | b'e' | b'q' => is_word(first) || first == b'\\',
                    _ => false,
                }
            }
            [b'_', charset @ ..] => CHARSETS.iter().any(|prefix| is_prefix(prefix, charset)),
            _ => first.is_ascii_digit() && TYPED.iter().any(|word| name.eq_ignore_ascii_case(word)),
        }
    }

    /// The string of PostgreSQL between two tags, `$$a$$` or `$tag$a$tag$`, that begins at `i`.
    #[inline(never)]
    fn dollar_quoted(&self, i: usize) -> Option<(What, usize)> {
        let text = self.text.get(self.at(i).start()..)?;
        let text = text.get(..MAX_DOLLAR_QUOTED).unwrap_or(text);
        spend(MAX_TAG);
        let name = text.iter().take(MAX_TAG).skip(1).position(|&byte| !is_word(byte));
        let tag = name.filter(|&len| at(text, len + 1) == b'$')? + 2;
        let (mark, string) = text.split_at_checked(tag)?;
        let end = self.at(i).start() + 2 * tag + string.windows(tag).position(|bytes| bytes == mark)?;
        let next = (i + 1..i + MAX_CALL).find(|&j| self.at(j).start() >= end)?;
        Some((What::Text { quote: b'$', open: false }, next))
    }

    #[inline(never)]
    fn is_word(&self, i: usize, word: &[u8]) -> bool {
        self.text_of(i).eq_ignore_ascii_case(word)
    }

    /// Whether the `CASE` at `i` has a `WHEN`; by itself it is a word of prose or a parameter.
    pub(super) fn has_branches(&self, i: usize) -> bool {
        (i + 1..i + MAX_CASE).any(|j| self.word(j) == Some(Word::When))
    }

    /// The place after the `END` of the `CASE` at `i`; after the `CASE` where none is near.
    #[inline(never)]
    fn end_of_case(&self, i: usize) -> usize {
        let mut depth = 0usize;
        for j in i..i + MAX_CALL {
            match self.kind(j) {
                Kind::Word(Word::Case) => depth += 1,
                Kind::Word(Word::End) => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                return j + 1;
            }
        }
        i + 1
    }

    /// The place after the bracket that closes the one at `open`, or a bounded way into it.
    pub(super) fn close_of(&self, open: usize) -> usize {
        let mut depth = 0usize;
        let mut i = open;
        while i < open + MAX_CALL && i < self.len() {
            match self.kind(i) {
                Kind::Open => depth += 1,
                Kind::Close => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return i + 1;
                    }
                }
                Kind::Quote(_) => {
                    let twin = self.at(i).twin();
                    if twin == NO_TWIN {
                        return self.len();
                    }
                    i = twin as usize;
                }
                _ => {}
            }
            i += 1;
        }
        i
    }

    /// The place after the row that is opened at `i`, `(1, 2)`, of which the first operand ends before `next`, or `next`.
    #[inline(never)]
    pub(super) fn after_row(&self, i: usize, next: usize) -> usize {
        if self.kind(i) == Kind::Open && self.kind(next) == Kind::Comma { self.close_of(i) } else { next }
    }

    /// Whether the operand is a literal with a `::type` behind it.
    #[inline(never)]
    pub(super) fn is_cast(&self, operand: Operand) -> bool {
        let literal = operand.what.is_literal() && !matches!(operand.what, What::Text { open: true, .. });
        let end = operand.next;
        literal && end >= 3 && self.word(end - 1).is_some() && self.kind(end - 2) == Kind::Other(b':')
    }

    /// Whether the mark at `i` and a comparison's sign make an operator of JSON: `@>`, `->`, `#>>`.
    #[inline(never)]
    pub(super) fn points(&self, i: usize) -> bool {
        let (mark, sign) = (self.at(i), self.at(i + 1));
        sign.kind() == Kind::Compare && !sign.spaced() && mark.end() == mark.start() + 1
    }
}

/// Whether a function of the database is called by its name alone; others of this name are columns and parameters.
fn is_called_bare(name: &[u8]) -> bool {
    const BARE: [&[u8]; 5] = [b"current_user", b"session_user", b"system_user", b"current_schema", b"current_database"];
    BARE.iter().any(|bare| name.eq_ignore_ascii_case(bare))
}

fn is_prefix(prefix: &[u8], name: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Words that no operand can begin with.
const fn is_reserved(word: Word) -> bool {
    matches!(
        word,
        Word::Logic
            | Word::Match
            | Word::Is
            | Word::In
            | Word::Between
            | Word::Union
            | Word::From
            | Word::Where
            | Word::Having
            | Word::Order
            | Word::Group
            | Word::By
            | Word::Limit
            | Word::Into
            | Word::As
            | Word::Suffix
            | Word::Values
    )
}
