//! Pieces of SQL's grammar over ambiguous tokens: operators, chains of them and what stands to their left.
//!
//! Every function looks at a bounded number of tokens, or over a run of brackets that is entered from one end alone, so that
//! a pass over all of them stays linear.

use super::operand::What;
use super::token::{Kind, Tokens};
use super::words::Word;

/// The most operators of one chain.
const MAX_CHAIN: usize = 8;

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
    /// The place after what tests the operand before `i` without another: `ISNULL`, `NOTNULL`, `NOT NULL`.
    #[inline(never)]
    pub(super) fn after_test(&self, i: usize) -> Option<usize> {
        match self.kind(i) {
            Kind::Word(Word::Is) if self.at(i).end() - self.at(i).start() > 2 => Some(i + 1),
            Kind::Word(Word::Not) if self.word(i + 1) == Some(Word::Null) => Some(i + 2),
            _ => None,
        }
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
            Kind::Word(Word::Is) => {
                let right = i + 1 + usize::from(self.word(i + 1) == Some(Word::Not));
                let distinct = self.word(right) == Some(Word::All) && self.word(right + 1) == Some(Word::From);
                Some(right + 2 * usize::from(distinct))
            }
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
            Kind::Word(Word::Is | Word::Not) if let Some(next) = self.after_test(i) => {
                let next = u32::try_from(self.after_brackets(next)).ok()?;
                return Some(Link { next, tally: 1, open: 0 });
            }
            Kind::Logic(_) | Kind::Word(Word::Logic) => (i + 1, [0, 1]),
            Kind::Arith(_) | Kind::Word(Word::Arith) => (i + 1, [0, 0]),
            _ => (self.comparison(i)?, [1, 0]),
        };
        let operand = self.operand(after)?;
        let listed = self.before(after) == Kind::Word(Word::In);
        let next = if listed { self.after_row(after, operand.next) } else { operand.next };
        let next = self.after_brackets(next);
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
