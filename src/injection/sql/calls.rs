//! Functions, subqueries, conditionals and system objects where an expression goes on.

use super::super::rules::{Findings, Rule};
use super::Inspection;
use super::grammar::What;
use super::token::Kind;
use super::words::Word;

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
    fn in_expression(&self, i: usize) -> bool {
        match self.tokens.before(i) {
            Kind::Quote(_) | Kind::Compare | Kind::Arith(_) | Kind::Logic(_) | Kind::Comma => true,
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
                    | Kind::Semicolon => true,
                    Kind::Word(word) => word != Word::Name,
                    _ => false,
                }
            }
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
                    | Word::When
            ),
            _ => false,
        }
    }

    /// A call of a function that waits.
    pub(super) fn time(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let packaged = tokens.kind(i + 1) == Kind::Dot && tokens.kind(i + 3) == Kind::Open;
        if packaged && self.tokens.before(i) != Kind::Dot {
            if tokens.word(i + 2) == Some(Word::TimeFn) {
                findings.report(Rule::SqlTimeDelay);
            }
            return;
        }
        if tokens.kind(i + 1) != Kind::Open || tokens.before(i) == Kind::Dot {
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
            && tokens.kind(i + 2) == Kind::Number
            && matches!(tokens.kind(i + 3), Kind::Close | Kind::Comma)
            // A sentence about it goes on.
            && tokens.kind(i + 4) != Kind::Word(Word::Name);
        if argument && (self.in_expression(i) || whole) {
            findings.report(Rule::SqlTimeDelay);
        }
    }

    /// A call of a function that leaks or runs code.
    pub(super) fn danger(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let called =
            tokens.kind(i + 1) == Kind::Open || tokens.kind(i + 1) == Kind::Dot && tokens.kind(i + 3) == Kind::Open;
        let executed = matches!(tokens.before(i), Kind::Word(Word::Exec))
            || tokens.before(i) == Kind::Dot && i >= 2 && tokens.before(i - 1) == Kind::Dot;
        // As the whole value, where an order is asked for: `extractvalue(1,concat(1,version()))`.
        let whole = self.first && i == 0 && tokens.kind(1) == Kind::Open && !tokens.at(1).spaced();
        let tells = |j: usize| match tokens.kind(j) {
            Kind::Word(Word::Select) => true,
            Kind::Word(Word::InfoFn) => tokens.kind(j + 1) == Kind::Open,
            // `user()`
            Kind::Word(Word::Thing) => tokens.kind(j + 1) == Kind::Open && tokens.kind(j + 2) == Kind::Close,
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
        let after_number = tokens.before(i) == Kind::Number;
        if self.first && i <= 12 && (i == 0 || after_number || self.in_expression(i + 1)) && self.begins_as_value() {
            findings.report(Rule::SqlSubquery);
        }
    }

    /// Whether the value begins as one that breaks out of its place: a number, a quote, a bracket, an operator.
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
        let condition = if tokens.word(i + 1) == Some(Word::When) { i + 2 } else { i + 1 };
        let Some(first) = tokens.operand(condition) else { return };
        let after = if condition == i + 2 {
            tokens.comparison(first.next)
        } else {
            (tokens.word(first.next) == Some(Word::When)).then_some(first.next + 1)
        };
        let Some(second) = after.and_then(|j| tokens.operand(j)) else { return };
        let literals = first.what.is_literal() && second.what.is_literal();
        let calls = !matches!((first.what, second.what), (What::Name | What::Number, What::Name | What::Number));
        if literals || calls && self.in_expression(i) && self.begins_as_value() {
            findings.report(Rule::SqlConditional);
        }
    }

    /// `IF(1=1,...)`.
    pub(super) fn if_call(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        if tokens.kind(i + 1) != Kind::Open || tokens.before(i) == Kind::Dot {
            return;
        }
        let Some(first) = tokens.operand(i + 2) else { return };
        let Some(second) = tokens.comparison(first.next).and_then(|j| tokens.operand(j)) else { return };
        // `=IF(A1>5,"yes","no")` of a spreadsheet.
        let formula = i == 1 && tokens.text_of(0) == b"=" && first.what == What::Name;
        if formula {
            return;
        }
        let statement = tokens.kind(second.next) == Kind::Close && tokens.word(second.next + 1) == Some(Word::Select);
        if (statement || tokens.kind(second.next) == Kind::Comma)
            && (first.what.is_literal() && second.what.is_literal() || self.in_expression(i))
        {
            findings.report(Rule::SqlConditional);
        }
    }

    /// `FROM information_schema.tables`, `master..sysdatabases`.
    pub(super) fn system(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        let dotted = tokens.kind(i + 1) == Kind::Dot
            && tokens.kind(i + 2) == Kind::Dot
            && matches!(tokens.kind(i + 3), Kind::Word(Word::System | Word::DangerFn));
        let from = matches!(tokens.before(i), Kind::Word(Word::From))
            && self.begins_as_value()
            && (i.saturating_sub(40)..i).any(|j| tokens.word(j) == Some(Word::Select));
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
