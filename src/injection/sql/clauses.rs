//! Clauses of a query after a value: an order, a limit, a place for what is found.

use super::super::rules::{Findings, Rule};
use super::Inspection;
use super::operand::What;
use super::token::Kind;
use super::words::Word;

impl Inspection<'_> {
    /// `ORDER BY 1`, `GROUP BY name HAVING ...`.
    pub(super) fn order(&self, i: usize, findings: &mut Findings) {
        let tokens = &self.tokens;
        if tokens.word(i + 1) != Some(Word::By) {
            return;
        }
        let Some(first) = tokens.operand(i + 2) else { return };
        let left = tokens.left(i);
        // `ORDER BY 1 DESC`
        let directed = usize::from(tokens.word(first.next) == Some(Word::Suffix));
        let commented = tokens.commented_out(first.next + directed);
        let listed = tokens.kind(first.next) == Kind::Comma;
        let strong = match first.what {
            What::Number => {
                commented && left > 0
                    || left >= 2 && tokens.kind(first.next) == Kind::End
                    || listed && left > 0 && !self.prose_list(first.next)
            }
            What::Call(_) | What::Query => left > 0,
            _ => left >= 2 && (commented || (first.next..first.next + 8).any(|j| tokens.word(j) == Some(Word::Having))),
        };
        if strong {
            findings.report(Rule::SqlOrderBy);
        }
    }

    /// Whether what follows the comma at `i` is not an operand with an operator, a comma or an end after it.
    fn prose_list(&self, i: usize) -> bool {
        match self.tokens.operand(i + 1) {
            Some(operand) => operand.what == What::Name && !matches!(self.tokens.kind(operand.next), Kind::Comma),
            None => true,
        }
    }

    /// `LIMIT 1,1`, `INTO OUTFILE '...'`, `PROCEDURE ANALYSE(`.
    pub(super) fn clause(&self, i: usize, word: Word, findings: &mut Findings) {
        let tokens = &self.tokens;
        let found = match word {
            Word::Into => {
                tokens.word(i + 1) == Some(Word::Outfile)
                    && matches!(tokens.kind(i + 2), Kind::Quote(_) | Kind::Number | Kind::Open)
            }
            Word::Procedure => tokens.word(i + 1) == Some(Word::Analyse) && tokens.kind(i + 2) == Kind::Open,
            _ => {
                tokens.left(i) >= 2
                    && tokens.kind(i + 1) == Kind::Number
                    && (tokens.commented_out(i + 2) || tokens.kind(i + 2) == Kind::Comma)
            }
        };
        if found {
            findings.report(Rule::SqlClause);
        }
    }
}
