//! The tokens of a part without its line comments, made of those that were cut with them.

use super::super::bytes::from;
use super::lead::quote_slot;
use super::lex::last_line;
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
    // Where the comment ends, and the tokens that are to be leads but are not noted yet.
    let (mut resumes, mut near) = (0, 0..0);
    for i in 0..cut.tokens {
        let Some(&token) = tokens.get(i) else { break };
        if token.start() < resumes {
            continue;
        }
        let count = left.tokens;
        match token.kind() {
            Kind::Hash | Kind::Dashes if token.start() < last_line => {
                let line = memchr::memchr(b'\n', from(text, token.start())).unwrap_or_default();
                resumes = token.start() + line;
                flags = Token::SPACED | Token::COMMENTED;
                note(leads, &mut left.leads, near.start..near.end.min(count));
                near = near.end.clamp(count.saturating_sub(NEAR), count)..count + NEAR;
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
        if let Some(slot) = tokens.get_mut(count) {
            *slot = token.moved(flags);
        }
        flags = 0;
        left.tokens += 1;
    }
    note(leads, &mut left.leads, near.start..near.end.min(left.tokens));
    left
}

/// Notes that the tokens at `places` may lead anywhere.
fn note(leads: &mut [u16], led: &mut usize, places: std::ops::Range<usize>) {
    for (slot, lead) in leads.iter_mut().skip(*led).zip(places) {
        *slot = place(lead);
        *led += 1;
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
    fn what_stands_beside_a_comment_that_is_left_out_may_lead_anywhere() {
        let text = b"1 union#x\nselect--y\n2".as_slice();
        let mut room = Room::default();
        room.reserve(text.len());
        let cut = lex::cut(text, false, &mut room);
        let left = leave_out(text, cut, &mut room);
        assert_eq!((left.tokens, &room.leads[..left.leads]), (4, &[0, 1, 2, 3][..]));
    }
}
