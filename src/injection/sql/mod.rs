//! SQL by its tokens: what closes the value's place in a query, and what then follows.
//!
//! The query around the value is unknown, so every quote may be the one that closes it, and every number, bracket or
//! beginning may be where an expression goes on. Each token that could begin an attack is a trigger; the tokens to its
//! left and right decide, by the grammar of SQL, not by the words alone.

mod calls;
mod clauses;
mod closed;
mod comments;
mod grammar;
mod lead;
mod lex;
mod operand;
mod token;
mod vocabulary;
mod words;

use super::rules::{Findings, Rule};
use super::work::spend;
use operand::{Operand, What};
use std::ops::Range;
use token::{Kind, NO_TWIN, Tokens};

pub(super) use token::Room;
use words::Word;

/// The longest part that is cut into tokens at once, which bounds memory.
pub(super) const WINDOW: usize = 32 * 1024;
/// What a token costs that may begin an attack, and what each costs of those that are more than five in eight bytes.
const LEAD: usize = 3;
const DENSE: usize = 6;
/// What rows of an `INSERT` begin with.
const ROWS: &[Kind] = &[Kind::Word(Word::Values), Kind::Word(Word::Select), Kind::Word(Word::Set)];
/// The most tokens of a list of results before what they are taken from.
const MAX_TAKEN: usize = 12;
/// How much of the end of a part is seen again with the next.
const OVERLAP: usize = 1024;

/// Reports what the `region` of `view` would do inside a query.
pub(super) fn inspect(view: &[u8], region: &Range<usize>, room: &mut Room, findings: &mut Findings) {
    let text = super::bytes::cut(view, region.start, region.end);
    if super::fast::is_plain(text) || lex::is_quiet(text) {
        return;
    }
    let mut start = region.start;
    loop {
        let end = region.end.min(start + WINDOW);
        inspect_part(
            Part { text: super::bytes::cut(view, start, end), start, beyond: view.len() - end },
            room,
            findings,
        );
        if end >= region.end || findings.is_over() || findings.is_sure() {
            return;
        }
        start += WINDOW - OVERLAP;
    }
}

/// A part of a view.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a [u8],
    /// How many bytes of the view stand before it, and how many behind it.
    start: usize,
    beyond: usize,
}

/// Reads a part as it is, and again without its line comments where lines follow them.
fn inspect_part(part: Part, room: &mut Room, findings: &mut Findings) {
    let (first, beyond) = (part.start == 0, part.beyond);
    let tokens = Tokens::of(part.text, room);
    let cut = tokens.cut;
    spend(DENSE * cut.tokens.saturating_sub(part.text.len() / 8 * 5));
    Inspection { tokens, first, beyond, uncommented: false }.run(findings);
    if findings.is_empty() && cut.ends_lines {
        Inspection { tokens: Tokens::uncommented(part.text, cut, room), first, beyond, uncommented: true }
            .run(findings);
    }
}

struct Inspection<'a> {
    tokens: Tokens<'a>,
    /// The part begins where the value does.
    first: bool,
    /// How many bytes of the value follow the part.
    beyond: usize,
    /// Line comments are left out.
    uncommented: bool,
}

impl Inspection<'_> {
    fn run(&self, findings: &mut Findings) {
        if self.first {
            self.statement(0, false, findings);
        }
        if findings.is_sure() {
            return;
        }
        for i in self.tokens.leads().iter().map(|&i| usize::from(i)) {
            match self.tokens.kind(i) {
                Kind::Quote(quote) => self.quote(i, quote, findings),
                Kind::Semicolon => self.statement(i + 1, true, findings),
                Kind::Logic(_) | Kind::Word(Word::Logic | Word::Where | Word::Having) => self.condition(i, findings),
                Kind::Close => self.bracket(i, findings),
                Kind::Variable => self.variable(i, findings),
                Kind::Open => self.open(i, findings),
                Kind::Word(Word::Name) => continue,
                Kind::Word(word) => self.word(i, word, findings),
                _ => continue,
            }
            spend(LEAD);
            if findings.is_sure() || findings.exceed(Rule::SqlCost) {
                return;
            }
        }
        if self.first && self.beyond == 0 && findings.is_empty() {
            self.cut_off(findings);
        }
    }

    fn word(&self, i: usize, word: Word, findings: &mut Findings) {
        match word {
            Word::Union => self.union(i, findings),
            Word::Order | Word::Group => self.order(i, findings),
            Word::Limit | Word::Into | Word::Procedure => self.clause(i, word, findings),
            Word::TimeFn => self.time(i, findings),
            Word::Waitfor => self.wait(i, findings),
            Word::DangerFn => self.danger(i, findings),
            Word::Case => self.case(i, findings),
            Word::If => self.if_call(i, findings),
            Word::System => self.system(i, findings),
            Word::Update | Word::Insert | Word::Delete | Word::Drop if i > 0 && self.tokens.left(i) >= 2 => {
                self.statement(i, false, findings)
            }
            _ => {}
        }
    }

    /// `UNION [ALL] SELECT list`, `UNION VALUES (...)`, `UNION TABLE name`.
    fn union(&self, i: usize, findings: &mut Findings) {
        let mut j = i + 1;
        while j < i + 8 && matches!(self.tokens.peek(j), Kind::Open | Kind::Word(Word::All)) {
            j += 1;
        }
        let left = self.tokens.left(i);
        let closed = left >= 2
            || left == 1
                && self.tokens.part(i + 1) == Some(Word::All)
                && self.within(j + 1, MAX_TAKEN, &[Kind::Word(Word::From)]);
        let rows = self.tokens.part(j) == Some(Word::Values)
            && match self.tokens.peek(j + 1) {
                Kind::Open => closed || !self.tokens.apart(j + 1) && self.tokens.peek(j + 3) == Kind::Comma,
                Kind::Word(Word::Fn) => closed,
                _ => false,
            };
        let table = self.tokens.text_of(j).eq_ignore_ascii_case(b"table") && self.tokens.commented_out(j + 2);
        if rows || closed && table {
            findings.report(Rule::SqlUnionSelect);
        }
        if self.tokens.part(j) == Some(Word::Select)
            && (self.tokens.selects(j) || self.tokens.at(j).commented() || closed)
        {
            findings.report(Rule::SqlUnionSelect);
        }
    }

    /// A logical operator, `WHERE` or `HAVING` and the condition after it.
    fn condition(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        match tokens.kind(i + 1) {
            // No operand begins with these.
            Kind::End
            | Kind::Close
            | Kind::Comma
            | Kind::Semicolon
            | Kind::Dot
            | Kind::Logic(_)
            | Kind::Hash
            | Kind::OpenComment => return,
            Kind::Other(byte) if !matches!(byte, b'[' | b'{' | b'$') => return,
            // A name by itself is no condition.
            Kind::Word(Word::Name) if !tokens.goes_on(i + 1) && !tokens.comments_follow(i + 2) => return,
            _ => {}
        }
        if i > 0 && self.is_quoted_mark(i - 1) {
            return;
        }
        let Some(mut first) = tokens.operand(i + 1) else { return };
        first.next = tokens.after_row(i + 1, first.next);
        // `"and"` as a word of prose.
        if matches!((tokens.before(i), tokens.kind(i + 1)), (Kind::Quote(a), Kind::Quote(b)) if a == b)
            && !tokens.at(i).spaced()
            && !tokens.at(i + 1).spaced()
            && (tokens.at(i + 1).twin() == NO_TWIN || tokens.at(i).end() - tokens.at(i).start() == 1)
            && !self.is_attached(i - 1)
        {
            return;
        }
        let right = match tokens.comparison(first.next).and_then(|j| tokens.operand(j)) {
            Some(second) => self.compared(i, first, second),
            None => match tokens.after_test(first.next) {
                Some(next) => self.compared(i, first, Operand { what: What::Null, start: first.next, next }),
                None => self.alone(i, first),
            },
        };
        if right > 0 && tokens.left(i) + right >= 4 {
            findings.report(match first.what {
                What::Query => Rule::SqlSubquery,
                What::Call(Word::TimeFn) => Rule::SqlTimeDelay,
                What::Call(Word::DangerFn) => Rule::SqlErrorFunction,
                _ if tokens.word(i).is_some_and(|word| word != Word::Logic) => Rule::SqlClause,
                _ => Rule::SqlTautology,
            });
        }
    }

    /// Whether the quote at `i` closes a word or a number: `1'or'1`.
    fn is_attached(&self, i: usize) -> bool {
        !self.tokens.at(i).spaced()
            && matches!(self.tokens.before(i), Kind::Word(_) | Kind::Number | Kind::Close | Kind::Arith(b'%'))
    }

    /// How much two compared operands look like a probe: 0 to 4.
    fn compared(&self, i: usize, first: Operand, second: Operand) -> u8 {
        let tokens = &self.tokens;
        let opened = match (tokens.before(i), second.what) {
            (Kind::Quote(closed), What::Text { quote, open: true }) if quote == closed => 2,
            (_, What::Text { open: true, .. }) => 1,
            _ => 0,
        };
        let commented = u8::from(tokens.commented_out(second.next));
        let parameter = matches!(tokens.kind(i), Kind::Logic(_)) && tokens.text_of(i).len() == 1;
        let bracketed = tokens.before(first.next) == Kind::Close;
        let same = tokens.text_of(first.start).eq_ignore_ascii_case(tokens.text_of(second.start));
        match (first.what, second.what) {
            (What::Number, What::Number) if same => 4,
            // `2 and 2 is 4`
            (What::Number, What::Number)
                if tokens.word(first.next) == Some(Word::Is) && second.start == first.next + 1 =>
            {
                1
            }
            (What::Number, What::Number) if matches!(tokens.text_of(first.next), b"<" | b">") => 2,
            (What::Text { .. }, What::Text { .. }) => 3 + u8::from(opened > 0),
            (a, b) if a.is_literal() && b.is_literal() => 3,
            (What::Query, _) if self.is_query(first) => 4,
            (_, What::Query) if self.is_query(second) => 4,
            (What::Call(a), What::Call(b)) if a.is_fn() && b.is_fn() => 3,
            (What::Call(word), other) | (other, What::Call(word)) if word.is_fn() && (bracketed || !parameter) => {
                let strong = matches!(word, Word::TimeFn | Word::DangerFn | Word::InfoFn);
                2 + u8::from(strong || i == 0) + u8::from(other.is_literal() && strong) + commented.max(opened.min(1))
            }
            (What::Name, What::Name) => u8::from(same) + 1 + commented,
            _ => {
                let literal = first.what.is_literal() || second.what.is_literal();
                let probing = !parameter && literal && tokens.left(i) >= 2;
                1 + opened.max(commented).max(u8::from(probing))
            }
        }
    }

    /// Whether the operand is a conditional or a query that has a list.
    fn is_query(&self, operand: Operand) -> bool {
        self.tokens.word(operand.start) == Some(Word::Case) || self.tokens.selects(operand.start)
    }

    /// How much a condition without comparison looks like a probe: 0 to 4.
    fn alone(&self, i: usize, operand: Operand) -> u8 {
        let commented = u8::from(self.tokens.commented_out(operand.next));
        let last = operand.next >= self.tokens.len();
        match operand.what {
            // `'t'::bool`
            _ if self.tokens.is_cast(operand) => 2 + u8::from(last || commented > 0),
            // `alarm() and sleep()` names them.
            What::Call(Word::TimeFn)
                if self.tokens.kind(operand.start + 1) == Kind::Open
                    && self.tokens.kind(operand.start + 2) == Kind::Close =>
            {
                0
            }
            What::Call(Word::TimeFn | Word::DangerFn) => 4,
            // `database() and version() are functions`
            What::Call(Word::InfoFn) if self.tokens.kind(operand.next) == Kind::Word(Word::Name) => 0,
            What::Call(Word::InfoFn)
                if self.tokens.kind(operand.start + 1) == Kind::Open && !self.tokens.at(operand.start + 1).spaced() =>
            {
                3
            }
            What::Call(Word::InfoFn) => 1 + commented,
            What::Call(word) if word.is_fn() => 2 + commented,
            What::Query if self.is_query(operand) => 3,
            What::Boolean => 2 * commented.max(u8::from(last)) + u8::from(i == 0) * commented,
            What::Number | What::Null => 2 * commented + u8::from(last),
            What::Text { quote, open: true } if self.tokens.before(i) == Kind::Quote(quote) => 2,
            // `' or '' '`, where two strings side by side are one.
            What::Text { quote, open: false } if self.tokens.before(i) == Kind::Quote(quote) => {
                let joined = self.tokens.kind(operand.next) == Kind::Quote(quote);
                2 * u8::from(joined && operand.next - operand.start == 2 && operand.next + 1 == self.tokens.len())
            }
            What::Variable => 1 + commented,
            What::Name => commented,
            _ => 0,
        }
    }

    /// A statement at `i`: after a semicolon, or at the beginning of the value.
    fn statement(&self, i: usize, stacked: bool, findings: &mut Findings) {
        let tokens = &self.tokens;
        let Some(word) = tokens.part(i) else { return };
        if word.is_quiet() {
            return;
        }
        // A call that ends before the semicolon closes nothing around it.
        let called = i >= 2 && tokens.before(i - 1) == Kind::Close && tokens.at(i - 2).odd();
        let closed = stacked && !called && tokens.left(i - 1) >= 1;
        let closes = closed && tokens.left(i - 1) >= 2;
        let found = match word {
            Word::Select => self.whole_select(i, closed),
            Word::Drop | Word::Truncate | Word::Alter | Word::Create => self.definition(i, closed),
            Word::Insert if tokens.part(i + 1) == Some(Word::Into) => {
                self.within(i + 2, 6, ROWS) || self.within(i + 2, 6, &[Kind::Open])
            }
            Word::Insert => closes && tokens.part(i + 1).is_some() && self.within(i + 2, 3, ROWS),
            Word::Update => self.assigns(i + 2) || closes && (i + 3..i + 6).any(|j| self.assigns(j)),
            Word::Delete if tokens.part(i + 1) == Some(Word::From) => {
                closed || self.within(i + 3, 2, &[Kind::Word(Word::Where), Kind::Semicolon, Kind::Dashes, Kind::Hash])
            }
            Word::Delete => closes && tokens.part(i + 2) == Some(Word::From),
            Word::Exec => self.execution(i, closed),
            Word::Declare | Word::Set => {
                // Not `set@example.com`.
                let spelt = tokens.apart(i + 1) || tokens.text_of(i + 1).starts_with(b"@@");
                tokens.peek(i + 1) == Kind::Variable && (spelt || tokens.peek(i + 2) != Kind::Dot)
            }
            Word::Shutdown => (closed || tokens.peek(i + 1) == Kind::End) && stacked,
            Word::If => stacked && tokens.peek(i + 1) == Kind::Open && self.probes(i + 2),
            Word::TimeFn | Word::DangerFn => stacked && closed && tokens.peek(i + 1) == Kind::Open,
            Word::Begin | Word::Call
                if closed && tokens.part(i + 1).is_some() && matches!(tokens.peek(i + 2), Kind::Dot | Kind::Open) =>
            {
                true
            }
            Word::Call | Word::Handler | Word::Grant | Word::Merge | Word::Copy | Word::Begin => {
                closed && stacked && tokens.left(i - 1) >= 2 && tokens.part(i + 1).is_some()
            }
            _ => false,
        };
        if found {
            findings.report(Rule::SqlStackedQuery);
        }
    }

    /// Whether the condition at `i` compares literals, or a function or query of the database.
    fn probes(&self, i: usize) -> bool {
        let Some(first) = self.tokens.operand(i) else { return false };
        if first.what == What::Query {
            return self.is_query(first) || self.tokens.kind(first.start + 2) == Kind::Close;
        }
        let Some(second) = self.tokens.comparison(first.next).and_then(|j| self.tokens.operand(j)) else {
            return false;
        };
        match first.what {
            What::Call(word) => word.is_fn(),
            what => what.is_literal() && second.what.is_literal(),
        }
    }

    /// `SET name =`
    #[inline(never)]
    fn assigns(&self, i: usize) -> bool {
        self.tokens.word(i) == Some(Word::Set) && self.tokens.comparison(i + 2).is_some()
    }

    /// Whether one of the `count` tokens from `i` on is `wanted`.
    #[inline(never)]
    fn within(&self, i: usize, count: usize, wanted: &[Kind]) -> bool {
        (i..i + count).any(|j| wanted.contains(&self.tokens.kind(j)))
    }

    /// `SELECT list` with more than names in it, or with a table.
    fn whole_select(&self, i: usize, closed: bool) -> bool {
        let tokens = &self.tokens;
        if !tokens.selects(i) {
            return false;
        }
        if closed {
            return true;
        }
        let mut marks = 0;
        for j in i + 1..i + 40 {
            match tokens.kind(j) {
                Kind::Variable
                    if tokens.text_of(j).starts_with(b"@@") && tokens.at(j).end() > tokens.at(j).start() + 2 =>
                {
                    marks += 3;
                }
                Kind::Comma | Kind::Arith(b'*') | Kind::Open | Kind::Variable => marks += 1,
                Kind::Word(Word::Thing) if tokens.kind(j + 1) == Kind::Open && tokens.kind(j + 2) == Kind::Close => {
                    marks += 2
                }
                Kind::Word(word) if word.is_fn() && tokens.kind(j + 1) == Kind::Open => marks += 2,
                Kind::Word(Word::From | Word::Where) if marks > 0 => return true,
                Kind::Word(Word::Where | Word::System) => return true,
                Kind::End => return marks >= 3,
                _ => {}
            }
        }
        false
    }

    /// `DROP TABLE name` and the like.
    fn definition(&self, i: usize, closed: bool) -> bool {
        let tokens = &self.tokens;
        // `; DROP members --` is cut short, but means the same; `; TRUNCATE members` is whole.
        let (dropped, cut) = (tokens.part(i) == Some(Word::Drop), tokens.part(i) == Some(Word::Truncate));
        let named = closed && (dropped || cut) && tokens.part(i + 1).is_some();
        if named && (tokens.commented_out(i + 2) || cut && i + 2 >= tokens.len() && tokens.left(i - 1) >= 2) {
            return true;
        }
        let thing = (i + 1..i + 4).find(|&j| tokens.part(j) == Some(Word::Thing));
        let Some(thing) = thing else { return false };
        if closed {
            return true;
        }
        tokens.part(i) == Some(Word::Drop)
            && matches!(tokens.peek(thing + 1), Kind::Word(_) | Kind::Quote(_))
            && matches!(tokens.peek(thing + 2), Kind::End | Kind::Semicolon | Kind::Dashes | Kind::Hash)
    }

    /// `EXEC procedure`, `EXEC(...)`.
    fn execution(&self, i: usize, closed: bool) -> bool {
        let tokens = &self.tokens;
        if (i + 1..i + 6).any(|j| tokens.part(j) == Some(Word::DangerFn)) {
            return true;
        }
        let built = tokens.peek(i + 1) == Kind::Open
            && (tokens.peek(i + 2) == Kind::Variable
                || tokens.part(i + 2).is_some_and(Word::is_fn) && tokens.peek(i + 3) == Kind::Open);
        built || closed && matches!(tokens.peek(i + 1), Kind::Open | Kind::Word(_)) && tokens.left(i - 1) >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::RuleSet;
    use super::super::{ClassSet, Effort, Finding};
    use super::*;
    use proptest::prelude::*;

    #[rustfmt::skip]
    const PIECES: &[&str] = &[
        "select ", "union ", " or ", " like ", "1", "1e5", "0x1f", ".5", "(", ")", ";", "'", "--", "-", "/", "*", "@@a", "#",
        "=", "<", "sleep", "count", "drop ", "table ", "from ", "where ", "a", " ", ",", ".", "is ", "null", "case ", "when ",
        "exec ", "order by ", "limit ", "into outfile ", "procedure analyse", "declare ", "waitfor delay ", "sys", "\u{a0}", "&", "::a", "@>",
    ];

    /// What is found at the tokens that the lexer noted, or at all.
    fn found(value: &str, at_all: bool) -> Option<Finding> {
        let mut room = Room::default();
        let tokens = Tokens::of(value.as_bytes(), &mut room);
        let every: Vec<u16> = (0..tokens.len()).map(|i| u16::try_from(i).unwrap()).collect();
        let tokens = if at_all { tokens.with_leads(&every) } else { tokens };
        let mut findings = Findings::new(ClassSet::ALL, RuleSet::default(), Effort::default());
        Inspection { tokens, first: true, beyond: 0, uncommented: false }.run(&mut findings);
        findings.strongest()
    }

    #[test]
    fn no_condition_is_found_but_where_the_lexer_notes_one() {
        let mut conditions = 0;
        for before in ["'", "')", "1", ""] {
            for (logic, operand) in [(" or ", "1"), (" or ", "a"), ("&", "1"), (" having ", "a"), ("||", "null")] {
                for (next, last) in PIECES.iter().flat_map(|next| PIECES.iter().map(move |last| (next, last))) {
                    let value = [before, logic, operand, next, last].concat();
                    let condition = found(&value, true);
                    assert_eq!(found(&value, false), condition, "{value}");
                    conditions += usize::from(condition.is_some());
                }
            }
        }
        assert!(conditions > 1000, "{conditions}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn finds_nothing_in_what_is_quiet(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..8)) {
            let value = pieces.concat();
            if lex::is_quiet(value.as_bytes()) {
                let mut findings = Findings::new(ClassSet::ALL, RuleSet::default(), Effort::default());
                inspect_part(Part { text: value.as_bytes(), start: 0, beyond: 0 }, &mut Room::default(), &mut findings);
                prop_assert!(findings.is_empty(), "{}", value);
            }
        }
    }
}
