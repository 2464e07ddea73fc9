//! The tokens of a part without its line comments, made of those that were cut with them.

use super::super::bytes::{from, next_of};
use super::lead::{next, quote_slot};
use super::lex::{last_line, lead_place};
use super::token::{Cut, Kind, Room, Token};

/// How many tokens on either side of a comment that is left out may now begin an attack: further ones have the same tokens
/// around them as before.
const NEAR: usize = 48;

/// Leaves out the line comments of `text`, of which `cut` is in `room`, where another line follows.
pub(super) fn leave_out(text: &[u8], cut: Cut, room: &mut Room) -> Cut {
    let Room { tokens, leads, .. } = room;
    let last_line = last_line(text);
    let mut left = Cut::NONE;
    let mut odd = [0; 3];
    let mut opened = 0usize;
    let mut flags = 0;
    let mut wanted = 0;
    let mut near = Near { kept: 0, all: 0, end: 0 };
    // Where the comment ends.
    let mut resumes = 0;
    for i in 0..cut.tokens {
        let Some(&token) = tokens.get(i) else { break };
        if token.start() < resumes {
            continue;
        }
        let count = left.tokens;
        match token.kind() {
            Kind::Hash | Kind::Dashes if token.start() < last_line => {
                let rest = from(text, token.start());
                resumes = token.start() + next_of(b'\n', b'\n', rest).unwrap_or_default();
                flags = Token::SPACED | Token::COMMENTED;
                near.comment(leads, count);
                continue;
            }
            Kind::Quote(quote) => {
                let slot = quote_slot(quote);
                if let (Some(last), Some(odd)) = (left.last_quotes.get_mut(slot), odd.get_mut(slot)) {
                    if let Some(token) = tokens.get_mut(usize::from(*last)) {
                        *token = token.with_twin(place(count));
                    }
                    flags |= *odd;
                    *odd ^= Token::ODD;
                    *last = place(count);
                }
            }
            Kind::Open => opened += 1,
            Kind::Close if opened > 0 => {
                flags |= Token::ODD;
                opened -= 1;
            }
            Kind::Hash | Kind::Dashes | Kind::OpenComment => left.comments = count + 1,
            _ => {}
        }
        let lead = token.lead().behind(wanted);
        if wanted & lead.is() != 0 {
            near.note(leads, lead_place(count, wanted));
        }
        wanted = lead.wants();
        if let Some(slot) = tokens.get_mut(count) {
            *slot = token.moved(flags);
        }
        flags = 0;
        left.tokens += 1;
    }
    if wanted & next::END != 0 {
        near.note(leads, lead_place(left.tokens, wanted));
    }
    Cut { leads: near.kept, ..left }
}

/// Which of the leads stand near a comment.
struct Near {
    /// How many do, and how many there are with those behind them that do if a comment follows soon.
    kept: usize,
    all: usize,
    /// Where those end that stand near the last comment.
    end: usize,
}

impl Near {
    /// Notes a lead.
    fn note(&mut self, leads: &mut [u16], lead: u16) {
        if let Some(slot) = leads.get_mut(self.all) {
            *slot = lead;
        }
        self.all += 1;
        if usize::from(lead) < self.end {
            self.kept = self.all;
        }
    }

    /// A comment is left out before the token `count`.
    fn comment(&mut self, leads: &mut [u16], count: usize) {
        self.end = count + NEAR;
        let Some(waiting) = leads.get(self.kept..self.all) else { return };
        let far = waiting.iter().take_while(|&&lead| usize::from(lead) + NEAR < count).count();
        leads.copy_within(self.kept + far..self.all, self.kept);
        self.all -= far;
        self.kept = self.all;
    }
}

/// Parts are short enough.
const fn place(count: usize) -> u16 {
    count as u16
}

#[cfg(test)]
mod tests {
    use super::super::lex;
    use super::*;
    use proptest::prelude::*;

    /// Each token's kind, place, flags and twin, and the places of leads.
    fn tokens(cut: Cut, room: &Room) -> Vec<String> {
        room.tokens[..cut.tokens].iter().map(|token| format!("{token:?}")).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn leaves_what_the_lexer_cuts_without_line_comments(text in "([a'\"(;]|#|--|/\\*|\\*/| or |\n){0,30}") {
            let (mut room, mut other) = (Room::default(), Room::default());
            room.reserve(text.len());
            other.reserve(text.len());
            let with = lex::cut(text.as_bytes(), false, &mut room);
            if !with.spans {
                let left = leave_out(text.as_bytes(), with, &mut room);
                let without = lex::cut(text.as_bytes(), true, &mut other);
                prop_assert_eq!(tokens(left, &room), tokens(without, &other));
                prop_assert_eq!((left.comments, left.last_quotes), (without.comments, without.last_quotes));
                prop_assert!(with.ends_lines || with.tokens == left.tokens);
            }
        }
    }

    #[test]
    fn what_leads_on_across_a_comment_that_is_left_out_is_noted() {
        let text = b"1 union#x\nselect--y\n2".as_slice();
        let mut room = Room::default();
        room.reserve(text.len());
        let cut = lex::cut(text, false, &mut room);
        let left = leave_out(text, cut, &mut room);
        assert_eq!((left.tokens, &room.leads[..left.leads]), (4, &[1][..]));
    }

    #[test]
    fn leads_near_a_comment_are_those_that_the_lexer_notes_without_it() {
        for before in 0..3 * NEAR {
            let text =
                "'+".repeat(before) + "#\n" + &"'=or a=".repeat(3 * NEAR) + "#\n'" + &"-'+".repeat(before) + "--\n";
            let (mut room, mut other) = (Room::default(), Room::default());
            room.reserve(text.len());
            other.reserve(text.len());
            let cut = lex::cut(text.as_bytes(), false, &mut room);
            let left = leave_out(text.as_bytes(), cut, &mut room);
            let without = lex::cut(text.as_bytes(), true, &mut other);
            let comments = [2 * before, 2 * before + 15 * NEAR, 5 * before + 15 * NEAR + 1];
            let near = |lead: &u16| {
                comments.iter().any(|&at| usize::from(*lead) + NEAR >= at && usize::from(*lead) < at + NEAR)
            };
            let noted: Vec<u16> = other.leads[..without.leads].iter().copied().filter(near).collect();
            assert_eq!(room.leads[..left.leads], noted);
        }
    }
}
