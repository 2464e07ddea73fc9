//! Cutting a value into tokens, and noting which of them may lead anywhere.
//!
//! Most tokens cannot begin an attack with the one that follows them; the tables of [`super::lead`] say so while they are
//! cut, so that the grammar is asked about the rest alone.

use super::super::bytes::{at, bitmap, find, from, next_of};
use super::super::work::look;
use super::lead::{Lead, WORD_LEADS, first_of, next, role};
use super::token::{Cut, Kind, Room, Token, codes};
use super::words::{MAX_LEN, Word};

/// Whether nothing in `text` begins what the grammar looks for: no quote, no logic, no variable, no comment, and no word
/// that starts a clause, a statement or a call that matters. What is read twice without its comments is not quiet.
pub(super) fn is_quiet(text: &[u8]) -> bool {
    let mut pos = 0;
    while let Some(&byte) = text.get(pos) {
        match first_of(byte).role() {
            role::SINGLE | role::BLANK | role::OPEN | role::CLOSE | role::COMPARE => pos += 1,
            role::WORD => {
                let end = word_end(text, pos + 1);
                if part_of(text, pos, end).is_some_and(|part| !part.is_quiet()) {
                    return false;
                }
                pos = end;
            }
            role::QUOTE..=role::LAST_QUOTE | role::LOGIC => return false,
            role::DOT if !at(text, pos + 1).is_ascii_digit() => pos += 1,
            role::NUMBER | role::DOT => pos += number_len(from(text, pos)),
            role::COMMENT => match (byte, at(text, pos + 1)) {
                (b'-', b'-') | (b'/', b'*') => return false,
                _ => pos += 1,
            },
            role::HASH => return false,
            _ => match byte {
                b'@' => return false,
                _ => pos += 1,
            },
        }
    }
    true
}

/// Parts are short enough.
const fn place(pos: usize) -> u16 {
    pos as u16
}

/// Cuts `text` into `room`, which has been reserved for it.
pub(super) fn cut(text: &[u8], line_comments: bool, room: &mut Room) -> Cut {
    bitmap(text, &mut room.names, is_name);
    let Room { tokens, leads, names } = room;
    let mut cut = Cut::NONE;
    let mut space =
        Space { unclosed: false, last_line: last_line(text), line_comments, line: 0, spans: false, ends_lines: false };
    // For each kind of quote: the flag of the next, which is that of an odd number before it.
    let mut odd = [0; 3];
    // Brackets opened and not yet closed.
    let mut opened = 0usize;
    // What the token before wants to follow it.
    let mut wanted = 0;
    let (mut start, mut count) = (0, 0);
    let mut flags = 0;
    while let Some(&byte) = text.get(start) {
        let mut lead = first_of(byte);
        let mut end = start + 1;
        match lead.role() {
            role::SINGLE => {}
            role::BLANK => {
                flags |= Token::SPACED;
                start = end;
                continue;
            }
            role::WORD => {
                end = name_end(text, names, end);
                if let Some(part) = part_of(text, start, end) {
                    lead = WORD_LEADS.get(part as usize).copied().unwrap_or(lead);
                }
                if wanted & next::CONDITION != 0 && lead.is() & next::NAME != 0 {
                    lead = lead.wanting(next::BEHIND_NAME);
                }
            }
            role::QUOTE..=role::LAST_QUOTE => {
                let slot = usize::from(lead.role() - role::QUOTE);
                if let (Some(last), Some(odd)) = (cut.last_quotes.get_mut(slot), odd.get_mut(slot)) {
                    if let Some(token) = tokens.get_mut(usize::from(*last)) {
                        *token = token.with_twin(place(count));
                    }
                    flags |= *odd;
                    *odd ^= Token::ODD;
                    *last = place(count);
                }
            }
            role::COMPARE => end = start + compare_len(text, start),
            role::BANG if !matches!(at(text, end), b'=' | b'<' | b'>' | b'~') => {}
            role::HASH if !line_comments => {
                space.note_line(text, start);
                cut.comments = count + 1;
            }
            role::LOGIC => end += usize::from(text.get(end) == Some(&byte)),
            role::OPEN => opened += 1,
            role::CLOSE => {
                if opened > 0 {
                    flags |= Token::ODD;
                    opened -= 1;
                }
            }
            role::NUMBER => {
                end = start + number_len(from(text, start));
                if wanted & next::CONDITION != 0 {
                    lead = lead.wanting(next::BEHIND_NUMBER);
                }
            }
            role::DOT if !at(text, end).is_ascii_digit() => {}
            role::COMMENT if !makes_comment(byte, at(text, end)) => {}
            role::MORE if byte == b'@' && is_nameless(at(text, end)) => {}
            _ => match space.or_token(text, start) {
                Unusual::Space { after, commented } => {
                    flags |= Token::SPACED | if commented { Token::COMMENTED } else { 0 };
                    start = after;
                    continue;
                }
                Unusual::Token { told, len } => {
                    (lead, end) = (told, start + len);
                    if lead.is() & next::COMMENT != 0 {
                        cut.comments = count + 1;
                    }
                    if wanted & next::CONDITION != 0 && lead.is() & next::NUMBER != 0 {
                        lead = lead.wanting(next::BEHIND_NUMBER);
                    }
                }
            },
        }
        if wanted & lead.is() != 0 {
            note(leads, &mut cut.leads, count, wanted);
        }
        wanted = lead.wants();
        if let Some(slot) = tokens.get_mut(count) {
            *slot = Token::new(lead.code(), flags, start, end);
        }
        count += 1;
        look(end - start);
        start = end;
        flags = 0;
    }
    if wanted & next::END != 0 {
        note(leads, &mut cut.leads, count, wanted);
    }
    Cut { tokens: count, ends_lines: space.ends_lines, spans: space.spans, ..cut }
}

/// The end of the last line that another follows, or 0.
pub(super) fn last_line(text: &[u8]) -> usize {
    memchr::memrchr(b'\n', text).unwrap_or(0)
}

/// Notes that the token before `count`, or the one before that, leads somewhere.
#[inline]
fn note(leads: &mut [u16], led: &mut usize, count: usize, wanted: u32) {
    if let Some(slot) = leads.get_mut(*led) {
        *slot = lead_place(count, wanted);
    }
    *led += 1;
}

/// The place of the token that leads somewhere, if the one before `count` wants this.
pub(super) const fn lead_place(count: usize, wanted: u32) -> u16 {
    place(count - 1 - (wanted & next::BEHIND != 0) as usize)
}

/// Whether a comment begins or ends with these.
const fn makes_comment(byte: u8, second: u8) -> bool {
    matches!((byte, second), (b'/', b'*') | (b'*', b'/') | (b'-', b'-'))
}

/// What a byte stands for that few tokens begin with.
enum Unusual {
    Space { after: usize, commented: bool },
    Token { told: Lead, len: usize },
}

/// What separates tokens.
struct Space {
    /// No `*/` follows any more.
    unclosed: bool,
    /// Where the last line ends that another follows.
    last_line: usize,
    line_comments: bool,
    /// Where the last line ends that has a line comment.
    line: usize,
    /// A line comment stands on a line that another follows.
    ends_lines: bool,
    /// A comment begins in a line comment and ends on another line.
    spans: bool,
}

impl Space {
    /// What stands at `start`.
    #[inline(never)]
    fn or_token(&mut self, text: &[u8], start: usize) -> Unusual {
        let (after, commented) = if at(text, start) == b'.' { (start, false) } else { self.skip(text, start) };
        if after > start {
            return Unusual::Space { after, commented };
        }
        let (code, kind, len) = token(from(text, start));
        if matches!(kind, Kind::Hash | Kind::Dashes) {
            self.note_line(text, start);
        }
        Unusual::Token { told: Lead::of_kind(code, kind), len }
    }

    /// Steps over white space and closed comments: the place after them, and whether there was a comment.
    fn skip(&mut self, text: &[u8], start: usize) -> (usize, bool) {
        let mut pos = start;
        let mut commented = false;
        loop {
            let byte = at(text, pos);
            if byte <= b' ' && pos < text.len() || byte == 0xA0 {
                pos += 1;
            } else if byte == b'/' && at(text, pos + 1) == b'*' && !self.unclosed {
                let inside = pos + 2;
                if matches!(at(text, inside), b'!' | b'+') || at(text, inside) == b'M' && at(text, inside + 1) == b'!' {
                    // MySQL runs what such a comment holds.
                    pos = inside;
                    while matches!(at(text, pos), b'!' | b'+' | b'M' | b'0'..=b'9') {
                        pos += 1;
                    }
                    commented = true;
                    continue;
                }
                match find(text, inside, b"*/") {
                    Some(end) => {
                        self.spans |= pos < self.line && end > self.line;
                        pos = end + 2;
                    }
                    None => {
                        self.unclosed = true;
                        break;
                    }
                }
                commented = true;
            } else if byte == b'*' && at(text, pos + 1) == b'/' {
                pos += 2;
            } else if self.line_comments && (byte == b'#' || byte == b'-' && at(text, pos + 1) == b'-') {
                let Some(end) = self.line_end(text, pos) else { break };
                pos = end;
                commented = true;
            } else {
                break;
            }
        }
        (pos, commented)
    }

    /// A line comment begins at `start`.
    #[inline]
    fn note_line(&mut self, text: &[u8], start: usize) {
        if start >= self.line {
            let end = self.line_end(text, start);
            self.ends_lines |= end.is_some();
            self.line = end.unwrap_or(text.len());
        }
    }

    /// The end of the line at `pos`, if another follows.
    fn line_end(&self, text: &[u8], pos: usize) -> Option<usize> {
        if pos >= self.last_line {
            return None;
        }
        next_of(b'\n', b'\n', from(text, pos)).map(|len| pos + len)
    }
}

/// The token at the beginning of `rest`, which is not empty: its code, its kind and its length.
fn token(rest: &[u8]) -> (u8, Kind, usize) {
    let (first, second) = (at(rest, 0), at(rest, 1));
    match first {
        b'.' => (codes::NUMBER, Kind::Number, number_len(rest)),
        b'-' if second == b'-' => (codes::DASHES, Kind::Dashes, 2),
        b'/' if second == b'*' => (codes::OPEN_COMMENT, Kind::OpenComment, 2),
        b'#' => (first, Kind::Hash, 1),
        b'!' if !matches!(second, b'=' | b'<' | b'>' | b'~') => (first, Kind::Bang, 1),
        b'!' => (b'=', Kind::Compare, compare_len(rest, 0)),
        b'-' | b'*' | b'/' => (first, Kind::Arith(first), 1),
        b'@' => {
            let len = rest
                .iter()
                .take(64)
                .skip_while(|&&byte| byte == b'@')
                .take_while(|&&byte| is_name(byte) || byte == NO_BREAK)
                .count();
            let ats = rest.iter().take(3).take_while(|&&byte| byte == b'@').count();
            (codes::VARIABLE, Kind::Variable, ats + len)
        }
        _ => (first, Kind::Other(first), 1),
    }
}

/// The length of the comparison at `i`; one of PostgreSQL's with a pattern may have a star: `!~~*`.
#[inline]
fn compare_len(text: &[u8], i: usize) -> usize {
    let compares = |byte: u8| matches!(byte, b'=' | b'<' | b'>' | b'!' | b'~');
    let len = if compares(at(text, i + 1)) { 2 + usize::from(compares(at(text, i + 2))) } else { 1 };
    len + usize::from(at(text, i + len) == b'*' && at(text, i + len - 1) == b'~' && at(text, i + len + 1) != b'/')
}

/// Whether a byte is one of a name, whatever stands before it. Without a branch, for [`bitmap`].
#[inline]
const fn is_name(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') <= 25;
    let other = (byte.wrapping_sub(b'0') <= 9) | (byte == b'_') | (byte == b'$') | (byte >= 0x80);
    (letter | other) & (byte != NO_BREAK)
}

/// Whether the variable that goes on with `byte` has neither a name nor another `@`.
#[inline]
const fn is_nameless(byte: u8) -> bool {
    !is_name(byte) & (byte != NO_BREAK) & (byte != b'@')
}

/// Whether a byte is one of a name.
static NAMES: [bool; 256] = names();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn names() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_name(byte as u8);
        byte += 1;
    }
    table
}

/// The end of the name of which `pos` is the second place.
#[inline]
fn word_end(text: &[u8], pos: usize) -> usize {
    let mut end = pos;
    while let Some(&byte) = text.get(end)
        && (NAMES.get(usize::from(byte)).copied().unwrap_or(false) || byte == NO_BREAK && is_continued(text, end))
    {
        end += 1;
    }
    end
}

/// The same by the bits of `names`.
#[inline]
fn name_end(text: &[u8], names: &[u64], pos: usize) -> usize {
    let mut end = pos;
    loop {
        let word = names.get(end / 64).copied().unwrap_or(0);
        let run = (!(word >> (end % 64))).trailing_zeros() as usize;
        end += run;
        if run > 0 && end.is_multiple_of(64) {
            continue;
        }
        if text.get(end) != Some(&NO_BREAK) || !is_continued(text, end) {
            return end;
        }
        end += 1;
    }
}

/// What MySQL takes for a space where it does not go on with a character.
const NO_BREAK: u8 = 0xA0;

/// Whether the byte at `i` goes on with a character of UTF-8: one behind ASCII cannot.
fn is_continued(text: &[u8], i: usize) -> bool {
    i > 0 && at(text, i - 1) >= 0x80
}

/// The part that a name plays, if it may be any word of SQL.
#[inline]
fn part_of(text: &[u8], start: usize, end: usize) -> Option<Word> {
    if (2..=MAX_LEN).contains(&(end - start)) { text.get(start..end).map(Word::of) } else { None }
}

/// Decimal, hexadecimal, binary, with a fraction and an exponent; letters that follow begin a word.
#[inline]
fn number_len(rest: &[u8]) -> usize {
    // Most have one digit.
    match at(rest, 1) {
        b'0'..=b'9' | b'.' | b'x' | b'X' | b'b' | b'B' | b'e' | b'E' => long_number_len(rest),
        _ => 1,
    }
}

#[inline(never)]
fn long_number_len(rest: &[u8]) -> usize {
    let digits = |start: usize| from(rest, start).iter().take_while(|byte| byte.is_ascii_digit()).count();
    let radix = |letter: u8, is_digit: fn(&u8) -> bool| {
        let based = at(rest, 0) == b'0' && at(rest, 1) | 0x20 == letter;
        if based { from(rest, 2).iter().take_while(|byte| is_digit(byte)).count() } else { 0 }
    };
    let based = radix(b'x', u8::is_ascii_hexdigit).max(radix(b'b', |byte| matches!(byte, b'0' | b'1')));
    if based > 0 {
        return 2 + based;
    }
    let mut len = digits(0);
    if at(rest, len) == b'.' {
        len += 1;
        len += digits(len);
    }
    if at(rest, len) | 0x20 == b'e' {
        let sign = usize::from(matches!(at(rest, len + 1), b'+' | b'-'));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}
