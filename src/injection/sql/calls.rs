//! Functions, subqueries, conditionals and system objects where an expression goes on.

use super::super::rules::{Findings, Rule};
use super::Inspection;
use super::operand::What;
use super::token::Kind;
use super::words::Word;

/// The most tokens before a query in brackets.
const MAX_BEFORE: usize = 16;
/// How many tokens of a call are read for what it tells.
const MAX_TOLD: usize = 12;

impl Inspection<'_> {
    /// `WAITFOR DELAY '...'`.
    pub(super) fn wait(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let argument = matches!(tokens.kind(i + 2), Kind::Quote(_) | Kind::Variable | Kind::Open);
        if tokens.word(i + 1) == Some(Word::Delay) && argument {
            findings.report(Rule::SqlTimeDelay);
        }
    }

    /// Whether an operand of an expression could stand at `i`.
    #[inline(never)]
    fn in_expression(&self, i: usize) -> bool {
        match self.tokens.before(i) {
            Kind::Quote(_) | Kind::Compare | Kind::Arith(_) | Kind::Logic(_) | Kind::Comma | Kind::Bang => true,
            Kind::Open => {
                let mut j = i - 1;
                while j > 0 && i - j < 8 && self.tokens.before(j) == Kind::Open {
                    j -= 1;
                }
                match self.tokens.before(j) {
                    Kind::End
                    | Kind::Quote(_)
                    | Kind::Compare
                    | Kind::Arith(_)
                    | Kind::Logic(_)
                    | Kind::Comma
                    | Kind::Bang
                    | Kind::Semicolon => true,
                    Kind::Word(word) => word != Word::Name,
                    _ => false,
                }
            }
            // `{fn sleep(5)}`
            Kind::Word(Word::Name) => self.tokens.text_of(i - 1).eq_ignore_ascii_case(b"fn"),
            Kind::Word(word) => matches!(
                word,
                Word::Logic
                    | Word::Select
                    | Word::Match
                    | Word::Not
                    | Word::Where
                    | Word::Having
                    | Word::By
                    | Word::In
                    | Word::Case
                    | Word::When
            ),
            _ => false,
        }
    }

    /// A call of a function that waits.
    pub(super) fn time(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let packaged = tokens.peek(i + 1) == Kind::Dot && tokens.peek(i + 3) == Kind::Open;
        if packaged && self.tokens.before(i) != Kind::Dot {
            if tokens.part(i + 2) == Some(Word::TimeFn) {
                findings.report(Rule::SqlTimeDelay);
            }
            return;
        }
        if tokens.peek(i + 1) != Kind::Open || tokens.before(i) == Kind::Dot {
            return;
        }
        let argument = tokens.operand(i + 2).is_some_and(|operand| {
            matches!(operand.what, What::Number | What::Query)
                || matches!(operand.what, What::Text { .. } | What::Call(_))
        });
        // As the whole value: `sleep(5)`, `benchmark(5,md5(1))`, but not `sleep (8h)`.
        let whole = self.first
            && i == 0
            && !tokens.at(i + 1).spaced()
            && tokens.peek(i + 2) == Kind::Number
            && matches!(tokens.peek(i + 3), Kind::Close | Kind::Comma)
            // A sentence about it goes on.
            && tokens.peek(i + 4) != Kind::Word(Word::Name);
        let chosen = tokens.before(i) == Kind::Word(Word::Suffix) && self.begins_as_value();
        if argument && (self.in_expression(i) || whole || chosen) {
            findings.report(Rule::SqlTimeDelay);
        }
    }

    /// A call of a function that leaks or runs code.
    pub(super) fn danger(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let called =
            tokens.peek(i + 1) == Kind::Open || tokens.peek(i + 1) == Kind::Dot && tokens.peek(i + 3) == Kind::Open;
        let executed = matches!(tokens.before(i), Kind::Word(Word::Exec))
            || tokens.before(i) == Kind::Dot && i >= 2 && tokens.before(i - 1) == Kind::Dot;
        // As the whole value, where an order is asked for: `extractvalue(1,concat(1,version()))`.
        let whole = self.first && i == 0 && tokens.peek(1) == Kind::Open && !tokens.at(1).spaced();
        let tells = |j: usize| match tokens.peek(j) {
            Kind::Word(Word::Select) => true,
            Kind::Word(Word::InfoFn) => tokens.peek(j + 1) == Kind::Open,
            // `user()`
            Kind::Word(Word::Thing) => tokens.peek(j + 1) == Kind::Open && tokens.peek(j + 2) == Kind::Close,
            _ => false,
        };
        if called && (self.in_expression(i) || whole && (2..MAX_TOLD).any(tells)) || executed && !called {
            findings.report(Rule::SqlErrorFunction);
        }
    }

    /// `(SELECT ...` where an expression goes on.
    pub(super) fn open(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        if tokens.word(i + 1) != Some(Word::Select) || !tokens.selects(i + 1) {
            return;
        }
        let placed = matches!(tokens.before(i), Kind::End | Kind::Number | Kind::Open) || self.in_expression(i + 1);
        if self.first && i <= MAX_BEFORE && placed && self.begins_as_expression() {
            findings.report(Rule::SqlSubquery);
        }
    }

    /// Whether the value begins as one that breaks out of its place, as an expression that needs no value before it, as an
    /// order or a limit takes one, or with words that a quote ends: `not (`, `name = `, `desc limit `, `f(`, `two words'`.
    #[inline(never)]
    fn begins_as_expression(&self) -> bool {
        let tokens = &self.tokens;
        let second = tokens.peek(1);
        match tokens.peek(0) {
            _ if self.begins_as_value() => true,
            _ if tokens.first_quote(MAX_BEFORE).is_some_and(|quote| !tokens.apart(quote)) => true,
            Kind::Bang => true,
            Kind::Word(Word::Not | Word::Exists | Word::Case | Word::If | Word::Limit | Word::Suffix) => {
                !matches!(second, Kind::Word(Word::Name))
            }
            Kind::Word(_) => match second {
                Kind::Open => !tokens.apart(1),
                Kind::Compare | Kind::Word(Word::Limit | Word::Suffix | Word::In) | Kind::Other(b':') => true,
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether the value begins as one that breaks out of its place: a number, a quote, a bracket, an operator.
    #[inline(never)]
    fn begins_as_value(&self) -> bool {
        match self.tokens.kind(0) {
            Kind::Number
            | Kind::Quote(_)
            | Kind::Open
            | Kind::Close
            | Kind::Arith(_)
            | Kind::Logic(_)
            | Kind::Semicolon
            | Kind::Compare
            | Kind::Comma => true,
            Kind::Word(Word::Logic) => true,
            Kind::Word(word) if word.is_fn() => self.tokens.kind(1) == Kind::Open,
            Kind::Word(_) => matches!(
                self.tokens.kind(1),
                Kind::Quote(_) | Kind::Close | Kind::Comma | Kind::Arith(_) | Kind::Word(Word::Match | Word::Suffix)
            ),
            _ => false,
        }
    }

    /// `CASE WHEN 1=1 THEN`.
    pub(super) fn case(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let condition = if tokens.part(i + 1) == Some(Word::When) { i + 2 } else { i + 1 };
        let Some(first) = tokens.operand(condition) else { return };
        let placed = self.first && i == 0 || self.in_expression(i);
        let begins = placed && self.begins_as_expression();
        if first.what == What::Query && begins && tokens.selects(first.start) {
            findings.report(Rule::SqlConditional);
        }
        let after = if condition == i + 2 {
            tokens.comparison(first.next)
        } else {
            (tokens.part(first.next) == Some(Word::When)).then_some(first.next + 1)
        };
        let Some(second) = after.and_then(|j| tokens.operand(j)) else { return };
        let literals = first.what.is_literal() && second.what.is_literal();
        let calls = !matches!((first.what, second.what), (What::Name | What::Number, What::Name | What::Number));
        // `case x when 'a'` begins a program's choice as well.
        if literals || calls && begins && (i > 0 || condition == 2) {
            findings.report(Rule::SqlConditional);
        }
    }

    /// `IF(1=1,...)`.
    pub(super) fn if_call(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        if tokens.peek(i + 1) != Kind::Open || tokens.before(i) == Kind::Dot {
            return;
        }
        let Some(first) = tokens.operand(i + 2) else { return };
        let Some(second) = tokens.comparison(first.next).and_then(|j| tokens.operand(j)) else { return };
        // `=IF(LEN(A1)>5,"yes","no")` of a spreadsheet.
        if i == 1 && tokens.text_of(0) == b"=" {
            return;
        }
        let statement = tokens.peek(second.next) == Kind::Close && tokens.part(second.next + 1) == Some(Word::Select);
        if (statement || tokens.peek(second.next) == Kind::Comma)
            && (first.what.is_literal() && second.what.is_literal() || self.in_expression(i))
        {
            findings.report(Rule::SqlConditional);
        }
    }

    /// `FROM information_schema.tables`, `master..sysdatabases`.
    pub(super) fn system(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let dotted = tokens.peek(i + 1) == Kind::Dot
            && tokens.peek(i + 2) == Kind::Dot
            && matches!(tokens.peek(i + 3), Kind::Word(Word::System | Word::DangerFn));
        let from = matches!(tokens.before(i), Kind::Word(Word::From))
            && self.begins_as_value()
            && (i.saturating_sub(40)..i).any(|j| tokens.part(j) == Some(Word::Select));
        if dotted || from {
            findings.report(Rule::SqlSystemObject);
        }
    }

    /// `@@version`.
    pub(super) fn variable(&self, i: usize, findings: &mut Findings) {
        let text = self.tokens.text_of(i);
        if text.len() > 2 && text.starts_with(b"@@") && self.in_expression(i) && self.begins_as_value() {
            findings.report(Rule::SqlSystemObject);
        }
    }
}
