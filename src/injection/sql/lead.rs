//! What the first byte of a token, or the part a word plays, says of it: its code, what else begins with that byte, and what
//! must follow for it to begin an attack. Two tables, filled by the compiler.

use super::token::{Kind, codes};
use super::words::Word;

pub(super) const fn quote_slot(quote: u8) -> usize {
    match quote {
        b'\'' => 0,
        b'"' => 1,
        _ => 2,
    }
}

/// Sets of kinds, for what a token is and for what must follow it.
pub(super) mod next {
    /// It is the token before the last that wants this.
    pub(in super::super) const BEHIND: u32 = 1;
    pub(in super::super) const QUOTE: u32 = 1 << 1;
    pub(in super::super) const OPEN: u32 = 1 << 2;
    pub(in super::super) const CLOSE: u32 = 1 << 3;
    /// What comments out the rest.
    pub(in super::super) const COMMENT: u32 = 1 << 4;
    pub(in super::super) const SEMICOLON: u32 = 1 << 5;
    pub(in super::super) const COMPARE: u32 = 1 << 6;
    pub(in super::super) const LOGIC: u32 = 1 << 7;
    pub(in super::super) const SIGN: u32 = 1 << 8;
    pub(in super::super) const ARITH: u32 = 1 << 9;
    /// A variable or a negation.
    pub(in super::super) const VARIABLE: u32 = 1 << 10;
    pub(in super::super) const WORD: u32 = 1 << 11;
    pub(in super::super) const SELECT: u32 = 1 << 12;
    /// A word that begins a statement.
    pub(in super::super) const STATEMENT: u32 = 1 << 13;
    /// A word that is an operator.
    pub(in super::super) const OPERATOR: u32 = 1 << 14;
    /// Whatever follows.
    pub(in super::super) const ANY: u32 = 1 << 15;
    /// What begins a name or a string in single dialects.
    pub(in super::super) const DIALECT: u32 = 1 << 16;
    pub(in super::super) const DOT: u32 = 1 << 17;
    /// Of what a token wants: it also wants a name or a number that something follows which makes a condition of it.
    pub(in super::super) const CONDITION: u32 = 1 << 18;
    /// No token at all.
    pub(in super::super) const END: u32 = 1 << 19;
    /// Nobody wants these two by themselves: a number, and a word of no known part.
    pub(in super::super) const NUMBER: u32 = 1 << 20;
    pub(in super::super) const NAME: u32 = 1 << 21;

    /// What an operand begins with, but for those of which [`CONDITION`] says more.
    pub(in super::super) const OPERAND: u32 =
        QUOTE | OPEN | COMPARE | SIGN | VARIABLE | WORD | SELECT | STATEMENT | OPERATOR | DIALECT;
    /// What leads on from a quote that closes the value's string.
    pub(in super::super) const CLOSED: u32 =
        QUOTE | CLOSE | COMMENT | SEMICOLON | COMPARE | LOGIC | SIGN | ARITH | SELECT | OPERATOR;
    /// What makes a condition of a number: a comparison, or what comments out the rest, perhaps behind brackets.
    pub(in super::super) const BEHIND_NUMBER: u32 =
        BEHIND | COMPARE | OPERATOR | CLOSE | SEMICOLON | COMMENT | VARIABLE | SIGN | DOT | END;
    /// The same of a name, which may go on or introduce a string, and is none by itself.
    pub(in super::super) const BEHIND_NAME: u32 = BEHIND_NUMBER & !END | OPEN | QUOTE;
}

/// What is known of a token by its kind, in one word for every byte of text: its code and the role of what begins it, what
/// must follow for it to matter, and which set it is of, in 8, 4, 20 and 32 bits.
#[derive(Clone, Copy)]
pub(super) struct Lead(pub(super) u64);

impl Lead {
    /// No byte begins it by itself.
    pub(super) const fn of_kind(code: u8, kind: Kind) -> Self {
        Self::of(code, role::SINGLE, kind)
    }

    const fn of(code: u8, role: u8, kind: Kind) -> Self {
        let (is, wants) = match kind {
            Kind::Word(word) => Self::of_word(word),
            Kind::Number => (next::NUMBER, 0),
            Kind::Quote(_) => (next::QUOTE, next::CLOSED),
            Kind::Open => (next::OPEN, next::SELECT),
            Kind::Close => (next::CLOSE, next::COMMENT | next::SEMICOLON),
            Kind::Semicolon => (next::SEMICOLON, next::SELECT | next::STATEMENT),
            Kind::Compare => (next::COMPARE, 0),
            Kind::Arith(b'+' | b'-') => (next::SIGN, 0),
            Kind::Arith(_) => (next::ARITH, 0),
            Kind::Logic(_) => (next::LOGIC, next::OPERAND | next::CONDITION),
            Kind::Bang => (next::VARIABLE, 0),
            Kind::Variable => (next::VARIABLE, next::ANY | next::END),
            Kind::Dashes | Kind::Hash | Kind::OpenComment => (next::COMMENT, 0),
            // One that a cast begins with goes on as well.
            Kind::Dot | Kind::Other(b':') => (next::DOT, 0),
            Kind::Other(b'[' | b'{' | b'$') => (next::DIALECT, 0),
            Kind::End | Kind::Comma | Kind::Other(_) => (0, 0),
        };
        Self(((is | next::ANY) as u64) << 32 | (wants as u64) << 12 | (role as u64) << 8 | code as u64)
    }

    const fn of_word(word: Word) -> (u32, u32) {
        let is = match word {
            Word::Name => next::NAME,
            Word::Select => next::SELECT,
            Word::Not | Word::Match | Word::In | Word::Between | Word::Is | Word::Logic | Word::Arith => next::OPERATOR,
            word if word.is_quiet() => next::WORD,
            _ => next::STATEMENT,
        };
        let wants = match word {
            Word::Logic | Word::Where | Word::Having => next::OPERAND | next::CONDITION,
            Word::Order | Word::Group | Word::Waitfor => next::WORD,
            Word::If => next::OPEN,
            Word::Union | Word::Limit | Word::Into | Word::Procedure | Word::TimeFn | Word::DangerFn => {
                next::ANY | next::END
            }
            Word::Case | Word::System | Word::Update | Word::Insert | Word::Delete | Word::Drop => {
                next::ANY | next::END
            }
            _ => 0,
        };
        (is, wants)
    }

    /// What is known of a token by its code.
    #[inline]
    pub(super) fn of_code(code: u8) -> Self {
        match code.checked_sub(codes::WORDS) {
            Some(word) => WORD_LEADS.get(usize::from(word)).copied().unwrap_or(Self(0)),
            None => first_of(code),
        }
    }

    /// The same behind a token that wants this: a name or a number by itself is no condition yet.
    #[inline]
    pub(super) const fn behind(self, wanted: u32) -> Self {
        if wanted & next::CONDITION == 0 {
            self
        } else if self.is() & next::NAME != 0 {
            self.wanting(next::BEHIND_NAME)
        } else if self.is() & next::NUMBER != 0 {
            self.wanting(next::BEHIND_NUMBER)
        } else {
            self
        }
    }

    /// The same, where this must follow.
    pub(super) const fn wanting(self, wants: u32) -> Self {
        Self(self.0 & !0xFFFF_F000 | (wants as u64) << 12)
    }

    pub(super) const fn code(self) -> u8 {
        self.0 as u8
    }

    pub(super) const fn role(self) -> u8 {
        (self.0 >> 8) as u8 & 15
    }

    pub(super) const fn is(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(super) const fn wants(self) -> u32 {
        self.0 as u32 >> 12
    }
}

/// What a byte that begins a token makes of it.
pub(super) mod role {
    /// A token of its own, whatever follows.
    pub(in super::super) const SINGLE: u8 = 0;
    /// White space.
    pub(in super::super) const BLANK: u8 = 1;
    /// Of its own, unless the byte behind it makes a comment of the two.
    pub(in super::super) const COMMENT: u8 = 2;
    pub(in super::super) const WORD: u8 = 3;
    pub(in super::super) const OPEN: u8 = 4;
    pub(in super::super) const CLOSE: u8 = 5;
    pub(in super::super) const NUMBER: u8 = 6;
    /// `.`, of its own or of a number.
    pub(in super::super) const DOT: u8 = 7;
    /// Up to three of `=`, `<`, `>`, `!` and `~`.
    pub(in super::super) const COMPARE: u8 = 8;
    /// Of its own or doubled.
    pub(in super::super) const LOGIC: u8 = 9;
    /// What follows decides.
    pub(in super::super) const MORE: u8 = 10;
    /// `#`, a token of its own unless line comments are left out.
    pub(in super::super) const HASH: u8 = 11;
    /// `!`, of its own or the beginning of a comparison.
    pub(in super::super) const BANG: u8 = 12;
    /// The first of three, one for each kind.
    pub(in super::super) const QUOTE: u8 = 13;
    pub(in super::super) const LAST_QUOTE: u8 = QUOTE + 2;
}

/// What the first byte of a token says, or its code.
static FIRST: [Lead; 256] = firsts();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn firsts() -> [Lead; 256] {
    let mut table = [Lead(0); 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        let (role, kind) = match byte {
            // Codes of tokens that no single byte begins.
            codes::DASHES => (role::BLANK, Kind::Dashes),
            codes::OPEN_COMMENT => (role::BLANK, Kind::OpenComment),
            0..=b' ' => (role::BLANK, Kind::End),
            b'/' | b'*' | b'-' => (role::COMMENT, Kind::Arith(byte)),
            b'#' => (role::HASH, Kind::Hash),
            b'!' => (role::BANG, Kind::Bang),
            codes::VARIABLE => (role::MORE, Kind::Variable),
            0xA0 => (role::MORE, Kind::Other(byte)),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => (role::WORD, Kind::Word(Word::Name)),
            b'0'..=b'9' => (role::NUMBER, Kind::Number),
            b'\'' | b'"' | b'`' => (role::QUOTE + quote_slot(byte) as u8, Kind::Quote(byte)),
            b'(' => (role::OPEN, Kind::Open),
            b')' => (role::CLOSE, Kind::Close),
            b',' => (role::SINGLE, Kind::Comma),
            b';' => (role::SINGLE, Kind::Semicolon),
            b'.' => (role::DOT, Kind::Dot),
            b'+' | b'%' | b'^' => (role::SINGLE, Kind::Arith(byte)),
            b'=' | b'<' | b'>' | b'~' => (role::COMPARE, Kind::Compare),
            b'|' | b'&' => (role::LOGIC, Kind::Logic(byte)),
            b'$' | b':' | b'?' | b'[' | b'\\' | b']' | b'{' | b'}' | 0x7F => (role::SINGLE, Kind::Other(byte)),
        };
        let code = match kind {
            Kind::Compare => b'=',
            Kind::Number => codes::NUMBER,
            Kind::Word(word) => codes::WORDS + word as u8,
            _ => byte,
        };
        table[i] = Lead::of(code, role, kind);
        i += 1;
    }
    table
}

#[inline]
pub(super) fn first_of(byte: u8) -> Lead {
    FIRST.get(usize::from(byte)).copied().unwrap_or(Lead(0))
}

/// What is known of a word by the part it plays.
pub(super) static WORD_LEADS: [Lead; 64] = word_leads();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn word_leads() -> [Lead; 64] {
    let mut table = [Lead::of_kind(codes::WORDS, Kind::Word(Word::Name)); 64];
    let mut i = 0;
    while i < super::vocabulary::WORDS.len() {
        let word = super::vocabulary::WORDS[i].1;
        table[word as usize] = Lead::of_kind(codes::WORDS + word as u8, Kind::Word(word));
        i += 1;
    }
    table
}
