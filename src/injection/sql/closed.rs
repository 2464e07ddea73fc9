//! Strings and brackets that the value closes, and what then comments out the rest of the query.

use super::super::bytes::{at, from, is_word};
use super::super::rules::{Findings, Rule};
use super::Inspection;
use super::lead::next;
use super::token::{Kind, NO_TWIN};
use super::words::Word;

/// Statements that begin with a word that is no other part of the grammar.
const STATEMENTS: [&[u8]; 24] = [
    b"analyze",
    b"dbcc",
    b"desc",
    b"describe",
    b"do",
    b"explain",
    b"flush",
    b"kill",
    b"listen",
    b"notify",
    b"pragma",
    b"print",
    b"raiserror",
    b"reset",
    b"show",
    b"signal",
    b"table",
    b"throw",
    b"truncate",
    b"use",
    b"vacuum",
    b"values",
    b"with",
    b"load",
];
/// Operators of one token, by the sets that they are of.
const OPERATORS: u32 = next::COMPARE | next::LOGIC | next::SIGN | next::ARITH;
/// The most bytes between the quote that closes a string and the comment that ends the value.
const MAX_REST: usize = 1024;
/// The most bytes behind the comment that ends a value.
const MAX_REMARK: usize = 4;
/// The most tokens between the quote that closes a string and the one that opens that of another column or row.
const MAX_ROW: usize = 24;
/// The most tokens before the semicolon behind which another statement stands.
const MAX_BEFORE: usize = 16;

impl Inspection<'_> {
    /// A quote that may close the value's string.
    #[inline]
    pub(super) fn quote(&self, i: usize, quote: u8, findings: &mut Findings) {
        let tokens = &self.tokens;
        // What is reported leads to a comment, to a string that nothing closes or to a query.
        let leads = match tokens.kind(i + 1) {
            Kind::Close | Kind::Word(Word::Select) => true,
            // One that ends the value, or nothing.
            Kind::Quote(_) => tokens.at(i + 1).twin() == NO_TWIN,
            _ => tokens.comments_follow(i + 1) || tokens.opens_soon(i, quote),
        };
        if !leads {
            return;
        }
        let token = tokens.at(i);
        let opening = self.opens(i);
        let ended = tokens.kind(i + 1) == Kind::Quote(quote) && tokens.at(i + 1).twin() == NO_TWIN;
        let j = tokens.after_brackets(i + 1 + usize::from(ended));
        // Only these lead anywhere.
        let sets = tokens.sets(j);
        if sets & next::CLOSED & !next::QUOTE == 0 || sets & OPERATORS != 0 && self.ends_at_once(j + 1) {
            return;
        }
        if self.is_quoted_mark(i) || i >= 2 && self.is_quoted_mark(i - 2) {
            return;
        }
        let marked = quote == b'`' && self.follow(j) > 2;
        if !opening
            && !marked
            && !token.odd()
            && token.twin() == NO_TWIN
            && tokens.commented_out(j)
            && self.ends_soon(i, j)
        {
            findings.report(Rule::SqlComment);
            return;
        }
        if sets & next::SELECT != 0 && !opening && !token.odd() {
            let quoted = tokens.kind(j + 1) == Kind::Quote(quote) && !tokens.at(j + 1).spaced();
            if !quoted && self.whole_select(j, false) {
                findings.report(Rule::SqlSubquery);
            }
        }
        // What is reported has an operator and leads to a comment, or to a string that nothing closes.
        let operates = sets & (OPERATORS | next::OPERATOR) != 0;
        if !operates || !tokens.comments_follow(j) && (opening || !tokens.opens_soon(i, quote)) {
            return;
        }
        let chain = tokens.chain(j);
        let commented = tokens.commented_out(chain.next);
        if chain.operators == 0 || chain.open != Some(quote) && !commented {
            return;
        }
        // `"mod"` as a word, `36"+x+48"` as a measure.
        let wrapped = chain.operators == 1
            && !tokens.at(j).spaced()
            && matches!(tokens.kind(j), Kind::Word(_))
            && j == i + 1
            && !tokens.at(j + 1).spaced();
        let measured = chain.compares + chain.logic == 0 && chain.names > 0;
        let listed = chain.logic == 0 && chain.names > 0 || token.odd() && chain.operators == 1;
        let reopened = chain.open == Some(quote) && !wrapped && !measured && !listed;
        let cut_off = commented && !opening && !token.odd() && token.twin() == NO_TWIN && chain.names == 0;
        if reopened && !opening
            || cut_off
            || commented && chain.operators > usize::from(chain.names > 0) && chain.compares + chain.calls > 0
        {
            findings.report(if chain.compares + chain.logic == 0 {
                Rule::SqlStringOperator
            } else {
                Rule::SqlTautology
            });
        }
    }

    /// Whether the quote at `i` stands where a string begins rather than ends.
    #[inline(never)]
    fn opens(&self, i: usize) -> bool {
        let begins = |kind| matches!(kind, Kind::Compare | Kind::Open | Kind::Comma | Kind::Other(b'[' | b'{' | b':'));
        i > 0 && (self.tokens.at(i).spaced() || begins(self.tokens.before(i)))
    }

    /// Whether the operand at `i` is a bare name or number behind which no chain goes on and nothing is commented out, as in
    /// the text and the next tag behind an attribute: `">text</a>`.
    #[inline]
    fn ends_at_once(&self, i: usize) -> bool {
        if self.tokens.sets(i) & (next::NAME | next::NUMBER) == 0 {
            return false;
        }
        let behind = self.tokens.sets(i + 1);
        if behind & next::QUOTE != 0 {
            return !self.tokens.introduces(i);
        }
        behind & (OPERATORS | next::BEHIND_NAME) == 0
            || behind & next::COMPARE != 0 && self.tokens.sets(i + 2) & next::ARITH != 0
    }

    /// Whether the quote at `i` begins an operator in quotes, as text and programs name one: `'+' or '-'`, `b'/'`. By itself
    /// it closes a string and opens another.
    pub(super) fn is_quoted_mark(&self, i: usize) -> bool {
        let tokens = &self.tokens;
        // Most quotes have none of their kind behind the next token.
        tokens.code(i) == tokens.code(i + 2)
            && tokens.sets(i) & next::QUOTE != 0
            && tokens.sets(i + 1) & OPERATORS != 0
            && !tokens.at(i + 1).spaced()
            && !tokens.at(i + 2).spaced()
            && self.is_mark_alone(i)
    }

    /// Whether the operator in quotes at `i` stands where a program or a text would name it.
    #[inline(never)]
    fn is_mark_alone(&self, i: usize) -> bool {
        let tokens = &self.tokens;
        if tokens.commented_out(i + 3) {
            return false;
        }
        let (text, start, end) = (tokens.text, tokens.at(i).start(), tokens.at(i + 2).end());
        let quote = at(text, start);
        let free = |byte: u8| byte != quote && !is_word(byte) && !matches!(byte, b'%' | b'\\' | b'@' | b'-' | b'#');
        let prefixed = start > 0 && matches!(at(text, start - 1), b'b' | b'L' | b'u');
        let before = start.checked_sub(1 + usize::from(prefixed)).map_or(b' ', |before| at(text, before));
        let alone = start == 0 && from(text, end).trim_ascii().is_empty();
        free(before) && free(at(text, end)) && !alone
    }

    /// How many bytes of the value follow the token at `i`.
    fn follow(&self, i: usize) -> usize {
        self.tokens.after(i).len() + self.beyond
    }

    /// Whether little or nothing follows the comment at `j` that the quote at `i` leads to.
    fn ends_soon(&self, i: usize, j: usize) -> bool {
        let j = if self.tokens.kind(j) == Kind::Semicolon { j + 1 } else { j };
        let rest = self.tokens.after(j).trim_ascii();
        if self.first && i == 1 && j == 2 && self.is_whole_word(j) {
            return true;
        }
        rest.len() + self.beyond <= if self.tokens.at(j).spaced() && j == i + 1 { 2 } else { 24 }
    }

    /// Whether the word and the quote before the comment at `j` are all that stands before it, and no possessive of prose:
    /// `Ladies' -- new arrivals`.
    fn is_whole_word(&self, j: usize) -> bool {
        let word = self.tokens.text_of(0);
        let attached = !self.tokens.at(j).spaced();
        let possessive = matches!(word.last(), Some(b's' | b'S'));
        !self.tokens.at(j - 1).spaced()
            && match (self.tokens.kind(0), self.tokens.kind(j)) {
                (Kind::Word(_), Kind::Dashes) => attached || !possessive,
                (Kind::Number, Kind::Dashes) | (Kind::Word(_), Kind::Hash) => attached,
                _ => false,
            }
    }

    /// A closing bracket after the value, and what comments out the rest.
    pub(super) fn bracket(&self, i: usize, findings: &mut Findings) {
        if self.uncommented || self.tokens.kind(i + 1) == Kind::Close || !self.tokens.commented_out(i + 1) {
            return;
        }
        // A value that is an expression in brackets, and a comment.
        let whole = matches!(self.tokens.kind(0), Kind::Open | Kind::Number);
        if self.first && (whole || self.tokens.left(i + 1) >= 2) && self.follow(i + 1) <= 8 {
            findings.report(Rule::SqlComment);
        }
    }

    /// A value that ends with a comment, and what it closes before it goes on with words of a query: the only quote of its
    /// kind, or a statement.
    pub(super) fn cut_off(&self, findings: &mut Findings) {
        let tokens = &self.tokens;
        if self.sets_another() {
            findings.report(Rule::SqlComment);
        }
        // MySQL reads no further than a NUL behind a statement.
        let ended = tokens.text.last() == Some(&0);
        let Some(comment) = (if ended { Some(tokens.len()) } else { tokens.last_comment() }) else { return };
        // `-- -`, `--+`, `--x`, `/**`
        let rest = tokens.after(comment);
        let marked = rest.len() == 1 && is_word(at(rest, 0)) && tokens.peek(comment) == Kind::Dashes;
        let rest = rest.trim_ascii();
        let bare = marked || matches!(rest, b"" | b"-" | b"+" | b"*");
        if (bare || matches!(rest, &[letter] if is_word(letter)))
            && let Some(quote) = tokens.odd_quote()
        {
            self.operates(quote, comment, findings);
        }
        if bare && self.compares_first() && tokens.at(comment).start() <= MAX_REST {
            findings.report(Rule::SqlTautology);
        }
        if rest.len() > MAX_REMARK || !bare && tokens.peek(comment) == Kind::Hash {
            return;
        }
        if let Some(quote) = tokens.unpaired_quote() {
            self.goes_on(quote, comment, bare, findings);
        }
        let restarts = |i: usize| {
            tokens.peek(i) == Kind::Semicolon
                && matches!(tokens.before(i), Kind::Number | Kind::Close)
                && STATEMENTS.iter().any(|word| tokens.text_of(i + 1).eq_ignore_ascii_case(word))
        };
        if (1..comment.min(MAX_BEFORE)).any(restarts) {
            findings.report(Rule::SqlStackedQuery);
        }
    }

    /// Whether another column is set or another row begun: `x', role='admin`, `x'),('y`, `1,role='admin'`.
    fn sets_another(&self) -> bool {
        let tokens = &self.tokens;
        // Not on a line of its own, as an argument of a program.
        let set = |comma: usize| {
            tokens.peek(comma) == Kind::Comma
                && matches!(tokens.peek(comma + 1), Kind::Word(_) | Kind::Quote(b'`'))
                && tokens.at(comma + 1).start() <= tokens.at(comma).end() + 1
        };
        if tokens.peek(0) == Kind::Number && set(1) && tokens.is_equals(3) {
            let twin = usize::from(tokens.at(4).twin());
            return twin > 4 && (twin + 1 >= tokens.len() || tokens.comments_follow(twin + 1));
        }
        let Some((quote, last)) = tokens.outer_quotes() else { return false };
        let closes = quote == 0
            || !tokens.apart(quote) && matches!(tokens.peek(quote.wrapping_sub(1)), Kind::Word(_) | Kind::Number);
        // A row ends that the value did not begin.
        let ends =
            |i: usize| tokens.peek(i) == Kind::Close && !tokens.at(i).odd() && tokens.after(i).starts_with(b",(");
        closes
            && tokens.at(last).odd()
            && last <= quote + MAX_ROW
            && (set(quote + 1) && tokens.is_equals(last - 1) && last + usize::from(quote == 0) < tokens.len()
                || (quote + 1..last).any(ends))
    }

    /// Whether the value begins with a number that is compared or joined: `7 <> name`.
    #[inline(never)]
    fn compares_first(&self) -> bool {
        let tokens = &self.tokens;
        let number = usize::from(matches!(tokens.peek(0), Kind::Arith(b'+' | b'-')));
        self.first
            && tokens.peek(number) == Kind::Number
            && match tokens.peek(number + 1) {
                Kind::Compare => true,
                Kind::Logic(_) => tokens.text_of(number + 1).len() == 2,
                _ => false,
            }
    }

    /// An operator follows the `quote`, of whose kind the value has an odd number, and then the `comment` that ends the value.
    #[inline(never)]
    fn operates(&self, quote: usize, comment: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let after = tokens.after_brackets(quote + 1);
        let sets = tokens.sets(after);
        let compares = sets & next::COMPARE != 0;
        let joins = tokens.text_of(after) == b"||";
        if comment <= after
            || tokens.sets(after + 1) & next::COMMENT != 0
            || tokens.at(comment).start() > tokens.at(quote).end() + MAX_REST
            || sets & (OPERATORS | next::OPERATOR) == 0
            || self.is_hash_of_name(comment)
            || !compares && !joins && self.is_counted(quote)
            // `" - a line of its own ---`
            || sets & (next::SIGN | next::ARITH) != 0 && tokens.apart(after + 1)
            || tokens.at(quote).twin() != NO_TWIN && (self.opens(quote) || self.is_quoted_mark(quote))
        {
            return;
        }
        findings.report(if compares { Rule::SqlTautology } else { Rule::SqlStringOperator });
    }

    /// `C#`
    fn is_hash_of_name(&self, comment: usize) -> bool {
        let tokens = &self.tokens;
        matches!((tokens.peek(comment - 1), tokens.peek(comment)), (Kind::Word(_), Kind::Hash))
            && !tokens.apart(comment)
            && tokens.text_of(comment - 1).len() == 1
    }

    /// Whether a plural or a number ends at the `quote`: `the boys' toys --`, `5' tall --`, `8x11" - a page --`.
    fn is_counted(&self, quote: usize) -> bool {
        match self.tokens.peek(quote.wrapping_sub(1)) {
            Kind::Word(_) => matches!(self.tokens.text_of(quote - 1).last(), Some(b's' | b'0'..=b'9')),
            kind => kind == Kind::Number,
        }
    }

    /// Whether a list, a clause or a statement follows the `quote`, up to the `comment` that ends the value.
    fn goes_on(&self, quote: usize, comment: usize, bare: bool, findings: &mut Findings) {
        let tokens = &self.tokens;
        let after = tokens.after_brackets(quote + 1);
        let rest = tokens.at(comment).start().min(tokens.text.len()).saturating_sub(tokens.at(quote).end());
        if comment <= after || rest > MAX_REST {
            return;
        }
        let (named, counted) = (self.is_hash_of_name(comment), self.is_counted(quote));
        match tokens.peek(after) {
            Kind::Semicolon if tokens.part(after + 1).is_some() && !named => findings.report(Rule::SqlStackedQuery),
            Kind::Comma if after == quote + 1 && !tokens.apart(after + 1) => findings.report(Rule::SqlComment),
            _ if !bare || named => {}
            Kind::Word(Word::Name) if counted && after == quote + 1 => {}
            Kind::Comma => findings.report(Rule::SqlComment),
            Kind::Word(_) | Kind::Open if tokens.apart(after) || after > quote + 1 => {
                findings.report(Rule::SqlComment);
            }
            _ => {}
        }
    }
}
