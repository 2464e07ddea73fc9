//! Pieces of SQL's grammar over ambiguous tokens: operands, operators and what stands to their left.
//!
//! Every function looks at a bounded number of tokens, or over a run of prefixes or brackets that is entered from one end
//! alone, so that a pass over all of them stays linear.

use super::token::{Kind, NO_TWIN, Tokens};
use super::words::Word;

/// The most tokens a bracketed operand may have.
const MAX_CALL: usize = 32;
/// The most tokens between `CASE` and its first `WHEN`.
const MAX_CASE: usize = 10;
/// The most operators of one chain.
const MAX_CHAIN: usize = 8;

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

/// Operators and operands one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chain {
    pub(super) next: usize,
    pub(super) operators: usize,
    pub(super) compares: usize,
    pub(super) logic: usize,
    pub(super) names: usize,
    pub(super) calls: usize,
    /// The kind of the last string when nothing closes it.
    pub(super) open: Option<u8>,
}

/// An operator with its operand, as a link of a chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The place after it and the brackets that it closes.
    next: u32,
    /// Comparisons, logic, names and calls, a byte for each: none overflows in a chain.
    tally: u32,
    /// The quote of a string that nothing closes, or 0.
    open: u8,
}

/// How many links are remembered, each by its place.
pub(super) const LINKS: usize = 32;

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
                    Kind::Dashes | Kind::Compare if self.text_of(start).iter().all(|&byte| byte == b'~') => {}
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

    /// The place after `::type` or a path of JSON, `-> 'key'` or `#>> 'path'`, at `i`, or `i`.
    fn after_cast(&self, i: usize) -> usize {
        match self.kind(i) {
            Kind::Other(b':') if self.kind(i + 1) == Kind::Other(b':') && self.word(i + 2).is_some() => {
                self.after_path(i + 3)
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

    /// Whether a name may go on at `i`, or be compared there.
    #[inline]
    pub(super) fn goes_on(&self, i: usize) -> bool {
        matches!(
            self.kind(i),
            Kind::Dot
                | Kind::Open
                | Kind::Compare
                | Kind::Variable
                | Kind::Arith(b'-')
                | Kind::Word(Word::Not | Word::Match | Word::In | Word::Between | Word::Is)
        )
    }

    fn bare_operand(&self, start: usize) -> Option<(What, usize)> {
        match self.kind(start) {
            Kind::Number => Some((What::Number, start + 1)),
            Kind::Quote(quote) => {
                let twin = self.at(start).twin();
                if twin == NO_TWIN {
                    return Some((What::Text { quote, open: true }, self.len()));
                }
                Some((What::Text { quote, open: false }, twin as usize + 1))
            }
            Kind::Variable => Some((What::Variable, start + 1)),
            Kind::Word(Word::Null) => Some((What::Null, start + 1)),
            Kind::Word(Word::Boolean) => Some((What::Boolean, start + 1)),
            Kind::Word(Word::Select) => Some((What::Query, start + 1)),
            Kind::Word(Word::Case) if self.has_branches(start) => Some((What::Query, start + 1)),
            Kind::Word(word) => {
                let mut last = start;
                let mut part = word;
                // `schema.package.function(`
                while last - start < 8 && self.kind(last + 1) == Kind::Dot {
                    last += 1;
                    if let Kind::Word(next) = self.kind(last + 1) {
                        if next.is_fn() {
                            part = next;
                        }
                        last += 1;
                    }
                }
                if self.kind(last + 1) == Kind::Open {
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
            _ => None,
        }
    }

    /// Whether the `CASE` at `i` has a `WHEN`; by itself it is a word of prose or a parameter.
    pub(super) fn has_branches(&self, i: usize) -> bool {
        (i + 1..i + MAX_CASE).any(|j| self.word(j) == Some(Word::When))
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

    /// The place after the comparison at `i`, if there is one.
    pub(super) fn comparison(&self, i: usize) -> Option<usize> {
        let i = if self.word(i) == Some(Word::Not) { i + 1 } else { i };
        match self.kind(i) {
            Kind::Compare => Some(i + 1),
            Kind::Variable | Kind::Other(b'?') => self.of_document(i),
            Kind::Word(Word::Match) if self.word(i + 1) == Some(Word::Match) => Some(i + 2),
            Kind::Word(Word::In) => matches!(self.kind(i + 1), Kind::Open | Kind::Variable).then_some(i + 1),
            Kind::Word(Word::Match | Word::Between) => Some(i + 1),
            Kind::Word(Word::Is) if self.word(i + 1) == Some(Word::Not) => Some(i + 2),
            Kind::Word(Word::Is) => Some(i + 1),
            _ => None,
        }
    }

    /// The place after `@>` or, behind a cast, `?` of PostgreSQL's documents.
    #[inline(never)]
    fn of_document(&self, i: usize) -> Option<usize> {
        if self.kind(i) == Kind::Other(b'?') {
            return (i >= 2 && self.kind(i - 2) == Kind::Other(b':')).then_some(i + 1);
        }
        self.points(i).then_some(i + 2)
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
    fn points(&self, i: usize) -> bool {
        let (mark, sign) = (self.at(i), self.at(i + 1));
        sign.kind() == Kind::Compare && !sign.spaced() && mark.end() == mark.start() + 1
    }

    /// The chain of operators and operands that begins with an operator at `i`.
    pub(super) fn chain(&self, i: usize) -> Chain {
        let mut chain = Chain { next: i, ..Chain::default() };
        let mut tally = 0;
        while chain.operators < MAX_CHAIN {
            let Some(link) = self.link(chain.next) else { break };
            chain.next = link.next as usize;
            chain.operators += 1;
            tally += link.tally;
            if link.open != 0 {
                chain.open = Some(link.open);
            }
        }
        let [compares, logic, names, calls] = tally.to_le_bytes().map(usize::from);
        Chain { compares, logic, names, calls, ..chain }
    }

    /// The operator at `i` and the operand after it; of each the chains of several quotes are made.
    fn link(&self, i: usize) -> Option<Link> {
        let Some(known) = self.links.get(i % LINKS) else { return self.read_link(i) };
        match known.get() {
            (place, link) if place as usize == i => link,
            _ => {
                let link = self.read_link(i);
                known.set((u32::try_from(i).unwrap_or(u32::MAX), link));
                link
            }
        }
    }

    fn read_link(&self, i: usize) -> Option<Link> {
        let (after, operator) = match self.kind(i) {
            Kind::Compare => (i + 1, [1, 0]),
            Kind::Logic(_) | Kind::Word(Word::Logic) => (i + 1, [0, 1]),
            Kind::Arith(_) | Kind::Word(Word::Arith) => (i + 1, [0, 0]),
            _ => (self.comparison(i)?, [1, 0]),
        };
        let operand = self.operand(after)?;
        let next = self.after_brackets(operand.next);
        let (operand, open) = match operand.what {
            What::Name => ([1, 0], 0),
            What::Call(_) | What::Query => ([0, 1], 0),
            What::Text { quote, open: true } => ([0, 0], quote),
            _ => ([0, 0], 0),
        };
        let tally = u32::from_le_bytes([operator[0], operator[1], operand[0], operand[1]]);
        Some(Link { next: u32::try_from(next).ok()?, tally, open })
    }

    /// The place after the closing brackets at `i`. Only from what stands before them are they read, so that a run costs its
    /// length.
    pub(super) fn after_brackets(&self, i: usize) -> usize {
        let mut i = i;
        while self.kind(i) == Kind::Close {
            i += 1;
        }
        i
    }

    /// Whether what comments out the rest of a query stands at `i`, perhaps after a semicolon.
    pub(super) fn commented_out(&self, i: usize) -> bool {
        if !self.comments_follow(i) {
            return false;
        }
        let i = self.after_brackets(i);
        let i = if self.kind(i) == Kind::Semicolon { i + 1 } else { i };
        matches!(self.kind(i), Kind::Dashes | Kind::Hash | Kind::OpenComment)
    }

    /// How much the left of `i` looks like the end of a value inside a query: 0 to 3.
    pub(super) fn left(&self, i: usize) -> u8 {
        let mut end = i;
        while end > 0 && matches!(self.before(end), Kind::Close | Kind::Arith(b'%')) {
            if self.before(end) == Kind::Close && self.at(end - 1).odd() {
                // The end of a call or of brackets that the value itself opens.
                return 1;
            }
            end -= 1;
        }
        let closed = u8::from(end < i);
        match self.before(end) {
            // In prose backquotes mark names.
            Kind::Quote(b'`') => 1 + closed,
            // One that ends a string begun in the value closes nothing around it.
            Kind::Quote(_) => {
                let quote = self.at(end.saturating_sub(1));
                2 - u8::from(quote.odd() || quote.spaced() && end > 1) + closed
            }
            Kind::Number
                if end == 1 || end == 2 && matches!(self.kind(0), Kind::Arith(_) | Kind::Open | Kind::Quote(_)) =>
            {
                2 + closed
            }
            Kind::Number => 1 + closed,
            Kind::End => 1 + closed,
            Kind::Word(_) if end == 1 => 1 + closed,
            // `) AS name WHERE`
            Kind::Word(_) if end >= 2 && self.word(end - 2) == Some(Word::As) => 1 + self.left_of_alias(end - 2),
            _ if closed > 0 => 1,
            _ => 0,
        }
    }

    fn left_of_alias(&self, end: usize) -> u8 {
        u8::from(matches!(self.before(end), Kind::Close | Kind::Quote(_) | Kind::Number))
    }

    /// Whether the `SELECT` at `i` has a list of results rather than prose after it.
    pub(super) fn selects(&self, i: usize) -> bool {
        let mut i = i + 1;
        while matches!(self.kind(i), Kind::Word(Word::All | Word::Prefix))
            || self.word(i - 1) == Some(Word::Prefix) && self.kind(i) == Kind::Number
        {
            i += 1;
        }
        let Some(operand) = self.operand(i) else {
            return matches!(self.kind(i), Kind::Arith(b'*') | Kind::Dot);
        };
        // `select(0, &set, ...)` of a program.
        let called = self.kind(i) == Kind::Open && self.before(operand.next) != Kind::Close;
        if called && self.kind(operand.next) == Kind::Comma {
            return false;
        }
        if operand.what != What::Name {
            return true;
        }
        match self.kind(operand.next) {
            Kind::Comma
            | Kind::Word(Word::From | Word::Into)
            | Kind::Compare
            | Kind::Dashes
            | Kind::Hash
            | Kind::OpenComment => true,
            // `staff.*`
            Kind::Arith(b'*') if self.before(operand.next) == Kind::Dot => true,
            Kind::Arith(_) | Kind::Logic(_) => self.operand(operand.next + 1).is_some(),
            _ => false,
        }
    }
}

/// Whether a function of the database is called by its name alone; others of this name are columns and parameters.
fn is_called_bare(name: &[u8]) -> bool {
    const BARE: [&[u8]; 5] = [b"current_user", b"session_user", b"system_user", b"current_schema", b"current_database"];
    BARE.iter().any(|bare| name.eq_ignore_ascii_case(bare))
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
