//! Cutting a value into tokens, and noting which of them may lead anywhere.
//!
//! Most tokens cannot begin an attack with the one that follows them; two tables say so while they are cut, so that the
//! grammar is asked about the rest alone.

use super::super::bytes::{at, find, from};
use super::super::work::spend;
use super::token::{Cut, Kind, NO_TWIN, Room, Token, codes};
use super::words::{MAX_LEN, Word};

/// Whether nothing in `text` begins what the grammar looks for: no quote, no logic, no variable, no comment, and no word
/// that starts a clause, a statement or a call that matters. What is read twice without its comments is not quiet.
pub(super) fn is_quiet(text: &[u8]) -> bool {
    let mut pos = 0;
    while let Some(&byte) = text.get(pos) {
        match first_of(byte).role {
            Role::Single | Role::Blank | Role::Open | Role::Close | Role::Compare => pos += 1,
            Role::Word => {
                let (word, end) = word(text, pos);
                if !word.is_quiet() {
                    return false;
                }
                pos = end;
            }
            Role::Quote(_) | Role::Logic => return false,
            Role::Dot if !at(text, pos + 1).is_ascii_digit() => pos += 1,
            Role::Comment | Role::Dot | Role::More => match byte {
                b'@' | b'#' => return false,
                b'-' if at(text, pos + 1) == b'-' => return false,
                b'/' if at(text, pos + 1) == b'*' => return false,
                b'0'..=b'9' | b'.' => pos += number_len(from(text, pos)),
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

pub(super) const fn quote_slot(quote: u8) -> usize {
    match quote {
        b'\'' => 0,
        b'"' => 1,
        _ => 2,
    }
}

/// Sets of kinds, for what a token is and for what must follow it.
mod next {
    pub(super) const NUMBER: u16 = 1;
    pub(super) const QUOTE: u16 = 1 << 1;
    pub(super) const OPEN: u16 = 1 << 2;
    pub(super) const CLOSE: u16 = 1 << 3;
    /// What comments out the rest.
    pub(super) const COMMENT: u16 = 1 << 4;
    pub(super) const SEMICOLON: u16 = 1 << 5;
    pub(super) const COMPARE: u16 = 1 << 6;
    pub(super) const LOGIC: u16 = 1 << 7;
    pub(super) const SIGN: u16 = 1 << 8;
    pub(super) const ARITH: u16 = 1 << 9;
    /// A variable or a negation.
    pub(super) const VARIABLE: u16 = 1 << 10;
    pub(super) const WORD: u16 = 1 << 11;
    pub(super) const SELECT: u16 = 1 << 12;
    /// A word that begins a statement.
    pub(super) const STATEMENT: u16 = 1 << 13;
    /// A word that is an operator.
    pub(super) const OPERATOR: u16 = 1 << 14;
    /// Whatever follows, the end included.
    pub(super) const ANY: u16 = 1 << 15;

    /// What an operand begins with.
    pub(super) const OPERAND: u16 =
        NUMBER | QUOTE | OPEN | COMPARE | SIGN | VARIABLE | WORD | SELECT | STATEMENT | OPERATOR;
    /// What leads on from a quote that closes the value's string.
    pub(super) const CLOSED: u16 =
        QUOTE | CLOSE | COMMENT | SEMICOLON | COMPARE | LOGIC | SIGN | ARITH | SELECT | OPERATOR;
}

/// What is known of a token by its kind: which set it is of, and what must follow for it to matter.
#[derive(Clone, Copy)]
struct Lead {
    is: u16,
    wants: u16,
}

impl Lead {
    const fn of(kind: Kind) -> Self {
        let (is, wants) = match kind {
            Kind::Word(word) => return Self::of_word(word),
            Kind::Number => (next::NUMBER, 0),
            Kind::Quote(_) => (next::QUOTE, next::CLOSED),
            Kind::Open => (next::OPEN, next::SELECT),
            Kind::Close => (next::CLOSE, next::COMMENT | next::SEMICOLON),
            Kind::Semicolon => (next::SEMICOLON, next::SELECT | next::STATEMENT),
            Kind::Compare => (next::COMPARE, 0),
            Kind::Arith(b'+' | b'-') => (next::SIGN, 0),
            Kind::Arith(_) => (next::ARITH, 0),
            Kind::Logic(_) => (next::LOGIC, next::OPERAND),
            Kind::Bang => (next::VARIABLE, 0),
            Kind::Variable => (next::VARIABLE, next::ANY),
            Kind::Dashes | Kind::Hash | Kind::OpenComment => (next::COMMENT, 0),
            Kind::End | Kind::Comma | Kind::Dot | Kind::Other(_) => (0, 0),
        };
        Self { is: is | next::ANY, wants }
    }

    const fn of_word(word: Word) -> Self {
        let is = match word {
            Word::Select => next::SELECT,
            Word::Not | Word::Match | Word::In | Word::Between | Word::Is | Word::Logic | Word::Arith => next::OPERATOR,
            word if word.is_quiet() => next::WORD,
            _ => next::STATEMENT,
        };
        let wants = match word {
            Word::Logic | Word::Where | Word::Having => next::OPERAND,
            Word::Order | Word::Group | Word::Waitfor => next::WORD,
            Word::If => next::OPEN,
            Word::Union | Word::Limit | Word::Into | Word::Procedure | Word::TimeFn | Word::DangerFn => next::ANY,
            Word::Case | Word::System | Word::Update | Word::Insert | Word::Delete | Word::Drop => next::ANY,
            _ => 0,
        };
        Self { is: is | next::ANY, wants }
    }
}

/// What a byte that begins a token makes of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A token of its own, whatever follows.
    Single,
    /// White space.
    Blank,
    /// What may begin or end a comment, and is a token of its own otherwise.
    Comment,
    Word,
    /// One of three kinds.
    Quote(u8),
    Open,
    Close,
    /// `.`, of its own or of a number.
    Dot,
    /// Up to three of `=`, `<`, `>`, `!` and `~`.
    Compare,
    /// Of its own or doubled.
    Logic,
    /// What follows decides.
    More,
}

/// What the first byte of a token says.
#[derive(Clone, Copy)]
struct First {
    role: Role,
    code: u8,
    lead: Lead,
}

const NOTHING: First = First { role: Role::More, code: 0, lead: Lead { is: 0, wants: 0 } };

static FIRST: [First; 256] = firsts();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn firsts() -> [First; 256] {
    let mut table = [NOTHING; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        let (role, kind) = match byte {
            0..=b' ' => (Role::Blank, Kind::End),
            b'/' | b'*' | b'-' => (Role::Comment, Kind::Arith(byte)),
            b'#' | 0xA0 => (Role::Comment, Kind::Hash),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => (Role::Word, Kind::Word(Word::Name)),
            b'\'' | b'"' | b'`' => (Role::Quote(quote_slot(byte) as u8), Kind::Quote(byte)),
            b'(' => (Role::Open, Kind::Open),
            b')' => (Role::Close, Kind::Close),
            b',' => (Role::Single, Kind::Comma),
            b';' => (Role::Single, Kind::Semicolon),
            b'.' => (Role::Dot, Kind::Dot),
            b'+' | b'%' | b'^' => (Role::Single, Kind::Arith(byte)),
            b'=' | b'<' | b'>' | b'~' => (Role::Compare, Kind::Compare),
            b'|' | b'&' => (Role::Logic, Kind::Logic(byte)),
            b'$' | b':' | b'?' | b'[' | b'\\' | b']' | b'{' | b'}' | 0x7F => (Role::Single, Kind::Other(byte)),
            _ => (Role::More, Kind::Other(byte)),
        };
        let code = if matches!(kind, Kind::Compare) { b'=' } else { byte };
        table[i] = First { role, code, lead: Lead::of(kind) };
        i += 1;
    }
    table
}

#[inline]
fn first_of(byte: u8) -> First {
    FIRST.get(usize::from(byte)).copied().unwrap_or(NOTHING)
}

/// What is known of a word by the part it plays.
static WORD_LEADS: [Lead; 64] = word_leads();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn word_leads() -> [Lead; 64] {
    let mut table = [Lead::of_word(Word::Name); 64];
    let mut i = 0;
    while i < super::vocabulary::WORDS.len() {
        let word = super::vocabulary::WORDS[i].1;
        table[word as usize] = Lead::of_word(word);
        i += 1;
    }
    table
}

/// Cuts `text` into `room`, which has been reserved for it.
pub(super) fn cut(text: &[u8], line_comments: bool, room: &mut Room) -> Cut {
    let (tokens, leads) = (room.tokens.as_mut_slice(), room.leads.as_mut_slice());
    let mut cut = Cut { tokens: 0, leads: 0, comments: 0, last_quotes: [NO_TWIN; 3] };
    let mut space = Space { unclosed: false, line_comments };
    // For each kind of quote: the flag of the next, which is that of an odd number before it.
    let mut odd = [0; 3];
    // Brackets opened and not yet closed.
    let mut opened = 0usize;
    // What the token before wants to follow it.
    let mut wanted = 0;
    let (mut start, mut count, mut led) = (0, 0, 0);
    let mut flags = 0;
    while let Some(&byte) = text.get(start) {
        let First { role, mut code, mut lead } = first_of(byte);
        let mut end = start + 1;
        match role {
            Role::Single => {}
            Role::Blank => {
                flags |= Token::SPACED;
                start = end;
                continue;
            }
            Role::Word => {
                let (word, after) = word(text, start);
                end = after;
                code = codes::WORDS + word as u8;
                lead = WORD_LEADS.get(word as usize).copied().unwrap_or(lead);
            }
            Role::Quote(slot) => {
                if let (Some(last), Some(odd)) =
                    (cut.last_quotes.get_mut(usize::from(slot)), odd.get_mut(usize::from(slot)))
                {
                    if let Some(token) = tokens.get_mut(usize::from(*last)) {
                        *token = token.with_twin(place(count));
                    }
                    flags |= *odd;
                    *odd ^= Token::ODD;
                    *last = place(count);
                }
            }
            Role::Compare => end = start + compare_len(text, start),
            Role::Logic => end += usize::from(text.get(end) == Some(&byte)),
            Role::Open => opened += 1,
            Role::Close => {
                if opened > 0 {
                    flags |= Token::ODD;
                    opened -= 1;
                }
            }
            Role::Dot if !at(text, end).is_ascii_digit() => {}
            Role::Comment | Role::Dot | Role::More => {
                let (after, commented) = if role == Role::Comment { space.skip(text, start) } else { (start, false) };
                if after > start {
                    flags |= Token::SPACED | if commented { Token::COMMENTED } else { 0 };
                    start = after;
                    continue;
                }
                let (told, kind, len) = token(from(text, start));
                (code, end) = (told, start + len);
                lead = Lead::of(kind);
                if lead.is & next::COMMENT != 0 {
                    cut.comments = count + 1;
                }
            }
        }
        if wanted & lead.is != 0 {
            note(leads, &mut led, count);
        }
        wanted = lead.wants;
        if let Some(slot) = tokens.get_mut(count) {
            *slot = Token::new(code, flags, start, end);
        }
        count += 1;
        spend(end - start);
        start = end;
        flags = 0;
    }
    if wanted & next::ANY != 0 {
        note(leads, &mut led, count);
    }
    Cut { tokens: count, leads: led, ..cut }
}

/// Notes that the token before `count` leads somewhere.
#[inline]
fn note(leads: &mut [u16], led: &mut usize, count: usize) {
    if let Some(slot) = leads.get_mut(*led) {
        *slot = place(count - 1);
    }
    *led += 1;
}

/// What separates tokens.
struct Space {
    /// No `*/` follows any more.
    unclosed: bool,
    line_comments: bool,
}

impl Space {
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
                    Some(end) => pos = end + 2,
                    None => {
                        self.unclosed = true;
                        break;
                    }
                }
                commented = true;
            } else if byte == b'*' && at(text, pos + 1) == b'/' {
                pos += 2;
            } else if self.line_comments && (byte == b'#' || byte == b'-' && at(text, pos + 1) == b'-') {
                let Some(line) = memchr::memchr(b'\n', from(text, pos)) else { break };
                pos += line;
                commented = true;
            } else {
                break;
            }
        }
        (pos, commented)
    }
}

/// The token at the beginning of `rest`, which is not empty: its code, its kind and its length.
fn token(rest: &[u8]) -> (u8, Kind, usize) {
    let (first, second) = (at(rest, 0), at(rest, 1));
    match first {
        b'0'..=b'9' | b'.' => (codes::NUMBER, Kind::Number, number_len(rest)),
        b'-' if second == b'-' => (codes::DASHES, Kind::Dashes, 2),
        b'/' if second == b'*' => (codes::OPEN_COMMENT, Kind::OpenComment, 2),
        b'#' => (first, Kind::Hash, 1),
        b'!' if !matches!(second, b'=' | b'<' | b'>') => (first, Kind::Bang, 1),
        b'!' => (b'=', Kind::Compare, compare_len(rest, 0)),
        b'-' | b'*' | b'/' => (first, Kind::Arith(first), 1),
        b'@' => {
            let len = rest.iter().take(64).skip_while(|&&byte| byte == b'@').take_while(|&&byte| is_name(byte)).count();
            let ats = rest.iter().take(3).take_while(|&&byte| byte == b'@').count();
            (codes::VARIABLE, Kind::Variable, ats + len)
        }
        _ => (first, Kind::Other(first), 1),
    }
}

/// The length of the comparison at `i`.
#[inline]
fn compare_len(text: &[u8], i: usize) -> usize {
    let compares = |byte: u8| matches!(byte, b'=' | b'<' | b'>' | b'!' | b'~');
    if compares(at(text, i + 1)) { 2 + usize::from(compares(at(text, i + 2))) } else { 1 }
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
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

/// The part that the name at `start` plays, and the place after it.
#[inline(always)]
fn word(text: &[u8], start: usize) -> (Word, usize) {
    let mut end = start + 1;
    while let Some(&byte) = text.get(end)
        && NAMES.get(usize::from(byte)).copied().unwrap_or(false)
    {
        end += 1;
    }
    let word = match text.get(start..end) {
        Some(name) if (2..=MAX_LEN).contains(&name.len()) => Word::of(name),
        _ => Word::Name,
    };
    (word, end)
}

/// Decimal, hexadecimal, binary, with a fraction and an exponent; letters that follow begin a word.
fn number_len(rest: &[u8]) -> usize {
    // Most have one digit.
    if !matches!(at(rest, 1), b'0'..=b'9' | b'.' | b'x' | b'X' | b'e' | b'E') {
        return 1;
    }
    let digits = |start: usize| from(rest, start).iter().take_while(|byte| byte.is_ascii_digit()).count();
    if at(rest, 0) == b'0' && at(rest, 1) | 0x20 == b'x' {
        let hex = from(rest, 2).iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if hex > 0 {
            return 2 + hex;
        }
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
