//! A value cut into the tokens of SQL, whatever the dialect.
//!
//! Quotes stay tokens of their own: whether one opens or closes a string depends on the query around the value, which
//! nobody here knows. Comments between tokens count as space; what comments out the rest is a token.

use super::super::bytes::{cut, from};
use super::super::work::spend;
use super::comments;
use super::grammar::{LINKS, Link};
use super::lead::{Lead, quote_slot};
use super::lex;
use super::words::Word;
use std::cell::Cell;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of the tokens.
    End,
    Word(Word),
    Number,
    /// `'`, `"` or `` ` ``.
    Quote(u8),
    Open,
    Close,
    Comma,
    Semicolon,
    Dot,
    /// `=`, `<`, `>`, `<>`, `!=`, `<=>`, `~`, `==`, ...
    Compare,
    /// `+`, `-`, `*`, `/`, `%`, `^`.
    Arith(u8),
    /// `||`, `&&`, `|`, `&`.
    Logic(u8),
    /// `!`.
    Bang,
    /// `--`.
    Dashes,
    /// `#`.
    Hash,
    /// `/*` that nothing closes.
    OpenComment,
    /// `@name`, `@@name`.
    Variable,
    /// `::`, `:=` and other marks.
    Other(u8),
}

impl Kind {
    /// Every kind by its code: what a byte begins, a few that no single byte is, and the words.
    const fn of_code(code: u8) -> Self {
        match code {
            codes::NUMBER => Self::Number,
            codes::DASHES => Self::Dashes,
            codes::OPEN_COMMENT => Self::OpenComment,
            codes::VARIABLE => Self::Variable,
            b'\'' | b'"' | b'`' => Self::Quote(code),
            b'(' => Self::Open,
            b')' => Self::Close,
            b',' => Self::Comma,
            b';' => Self::Semicolon,
            b'.' => Self::Dot,
            b'=' => Self::Compare,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'^' => Self::Arith(code),
            b'|' | b'&' => Self::Logic(code),
            b'!' => Self::Bang,
            b'#' => Self::Hash,
            0 => Self::End,
            codes::WORDS.. => Self::Word(Word::of_code(code - codes::WORDS)),
            _ => Self::Other(code),
        }
    }
}

/// How a kind is written in a token: mostly as a byte that begins one.
pub(super) mod codes {
    pub(in super::super) const NUMBER: u8 = b'0';
    pub(in super::super) const DASHES: u8 = 1;
    pub(in super::super) const OPEN_COMMENT: u8 = 2;
    pub(in super::super) const VARIABLE: u8 = b'@';
    /// The first of the words.
    pub(in super::super) const WORDS: u8 = 0x80;
}

static KINDS: [Kind; 256] = kinds();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn kinds() -> [Kind; 256] {
    let mut table = [Kind::End; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = Kind::of_code(code as u8);
        code += 1;
    }
    table
}

/// A token and where it stands: a code, flags, the start, the end and the next quote of its kind, in 8, 8 and thrice 16 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token(u64);

impl Token {
    pub(super) const SPACED: u64 = 1 << 8;
    pub(super) const COMMENTED: u64 = 2 << 8;
    pub(super) const ODD: u64 = 4 << 8;
    const END: Self = Self(0xFFFF << 32 | 0xFFFF << 16);

    /// With places of at most 16 bits, and no twin.
    #[inline]
    pub(super) const fn new(code: u8, flags: u64, start: usize, end: usize) -> Self {
        Self(code as u64 | flags | (start as u64) << 16 | (end as u64) << 32)
    }

    /// The same where other tokens stand around it: with these flags more, neither odd nor with a twin.
    #[inline]
    pub(super) const fn moved(self, flags: u64) -> Self {
        Self(self.0 & ((1 << 48) - 1) & !Self::ODD | flags)
    }

    /// The same, which has no twin yet, with one.
    #[inline]
    pub(super) const fn with_twin(self, twin: u16) -> Self {
        Self(self.0 | (twin as u64) << 48)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        KINDS.get(usize::from(self.code())).copied().unwrap_or(Kind::End)
    }

    #[inline]
    const fn code(self) -> u8 {
        self.0 as u8
    }

    /// What is known of it by its kind.
    #[inline]
    pub(super) fn lead(self) -> Lead {
        Lead::of_code(self.code())
    }

    pub(super) const fn start(self) -> usize {
        (self.0 >> 16 & 0xFFFF) as usize
    }

    pub(super) const fn end(self) -> usize {
        (self.0 >> 32 & 0xFFFF) as usize
    }

    /// For a quote: the place of the next quote of its kind, or [`NO_TWIN`].
    pub(super) const fn twin(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Space or a comment stands before it.
    pub(super) const fn spaced(self) -> bool {
        self.0 & Self::SPACED != 0
    }

    /// A `/* */` stands before it.
    pub(super) const fn commented(self) -> bool {
        self.0 & Self::COMMENTED != 0
    }

    /// For a quote: an odd number of its kind stands before it. For a closing bracket: it is opened in the value.
    pub(super) const fn odd(self) -> bool {
        self.0 & Self::ODD != 0
    }
}

/// What a look at a token costs, with what is made of it.
const LOOK: usize = 2;

/// No quote of its kind follows: the first token is nobody's twin.
pub(super) const NO_TWIN: u16 = 0;
/// No place of a token.
pub(super) const NO_PLACE: u16 = u16::MAX;

/// Room for the tokens of one part, which the next part uses again.
#[derive(Default)]
pub(in super::super) struct Room {
    /// At least as many as the part has bytes.
    pub(super) tokens: Vec<Token>,
    /// The places of tokens, as many.
    pub(super) leads: Vec<u16>,
    /// A bit for each byte of a name.
    pub(super) names: Vec<u64>,
}

impl Room {
    pub(super) fn reserve(&mut self, len: usize) {
        if self.tokens.len() < len {
            self.tokens.resize(len, Token::END);
            self.leads.resize(len, 0);
        }
    }
}

/// What was cut of a part.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// How many tokens.
    pub(super) tokens: usize,
    /// How many of them may begin an attack with what follows them.
    pub(super) leads: usize,
    /// The place after the last token that comments out what follows.
    pub(super) comments: usize,
    /// The last quote of each kind, or [`NO_PLACE`].
    pub(super) last_quotes: [u16; 3],
    /// A line comment stands on a line that another follows.
    pub(super) ends_lines: bool,
    /// A comment begins in a line comment and ends on another line.
    pub(super) spans: bool,
}

impl Cut {
    pub(super) const NONE: Self =
        Self { tokens: 0, leads: 0, comments: 0, last_quotes: [NO_PLACE; 3], ends_lines: false, spans: false };
}

/// The tokens of one part of a value.
pub(super) struct Tokens<'a> {
    pub(super) text: &'a [u8],
    tokens: &'a [Token],
    leads: &'a [u16],
    pub(super) cut: Cut,
    /// The links of chains that were read last, by their place.
    pub(super) links: [Cell<(u32, Option<Link>)>; LINKS],
}

impl<'a> Tokens<'a> {
    /// Cuts `text`, which is at most half of `u16::MAX` bytes long.
    pub(super) fn of(text: &'a [u8], room: &'a mut Room) -> Self {
        room.reserve(text.len());
        let cut = lex::cut(text, false, room);
        Self::in_room(text, cut, room)
    }

    /// The same where `#` and `--` up to the end of their line count as space if another line follows; what was `cut` of it
    /// with them is still in the room.
    pub(super) fn uncommented(text: &'a [u8], cut: Cut, room: &'a mut Room) -> Self {
        let cut = if cut.spans { lex::cut(text, true, room) } else { comments::leave_out(text, cut, room) };
        Self::in_room(text, cut, room)
    }

    fn in_room(text: &'a [u8], cut: Cut, room: &'a Room) -> Self {
        let tokens = room.tokens.get(..cut.tokens).unwrap_or_default();
        let leads = room.leads.get(..cut.leads).unwrap_or_default();
        let links = [const { Cell::new((u32::MAX, None)) }; LINKS];
        Self { text, tokens, leads, cut, links }
    }

    /// The same with other `leads`.
    #[cfg(test)]
    pub(super) fn with_leads<'b>(self, leads: &'b [u16]) -> Tokens<'b>
    where
        'a: 'b,
    {
        Tokens { leads, ..self }
    }

    /// Whether what comments out the rest stands at `i` or anywhere after it.
    pub(super) const fn comments_follow(&self, i: usize) -> bool {
        i < self.cut.comments
    }

    /// Whether the string that the last `quote` opens begins within reach of the token at `i`.
    pub(super) fn opens_soon(&self, i: usize, quote: u8) -> bool {
        self.cut.last_quotes.get(quote_slot(quote)).is_some_and(|&last| {
            let last = usize::from(last);
            last > i && last - i <= REACH
        })
    }

    /// The first quote of the value, if it is the only one of any kind; where a comma follows, if it is the only one of its
    /// kind or the first of an odd number in a list.
    pub(super) fn unpaired_quote(&self) -> Option<usize> {
        let first = self.first_quote(self.len())?;
        let last = self.last_of(first)?;
        let others = self.cut.last_quotes.iter().filter(|&&last| last != NO_PLACE).count() - 1;
        let comma = self.peek(first + 1) == Kind::Comma;
        let listed = comma && !self.apart(first + 2) && !self.apart(first);
        (last == first && (others == 0 || comma) || listed && !self.at(last).odd()).then_some(first)
    }

    /// The first quote of the value, if it has an odd number of its kind.
    pub(super) fn odd_quote(&self) -> Option<usize> {
        let first = self.first_quote(self.len())?;
        self.last_of(first).filter(|&last| !self.at(last).odd()).map(|_| first)
    }

    /// The first quote and the last of its kind, where they are not the same.
    pub(super) fn outer_quotes(&self) -> Option<(usize, usize)> {
        let first = self.first_quote(self.len())?;
        self.last_of(first).filter(|&last| last > first).map(|last| (first, last))
    }

    /// The first quote of the value, if it is among so many tokens; a backquote marks a name.
    #[inline(never)]
    pub(super) fn first_quote(&self, within: usize) -> Option<usize> {
        if matches!(self.cut.last_quotes, [NO_PLACE, NO_PLACE, _]) {
            return None;
        }
        self.tokens.iter().take(within).position(|token| matches!(token.kind(), Kind::Quote(b'\'' | b'"')))
    }

    /// The last quote of the kind that is at `i`.
    fn last_of(&self, i: usize) -> Option<usize> {
        let Kind::Quote(quote) = self.peek(i) else { return None };
        self.cut.last_quotes.get(quote_slot(quote)).map(|&last| usize::from(last))
    }

    /// The last token that comments out what follows.
    pub(super) fn last_comment(&self) -> Option<usize> {
        self.cut.comments.checked_sub(1)
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The places of the tokens that may begin an attack with what follows them.
    pub(super) const fn leads(&self) -> &'a [u16] {
        self.leads
    }

    /// The token at `i`; an `End` past the last.
    pub(super) fn at(&self, i: usize) -> Token {
        spend(LOOK);
        self.tokens.get(i).copied().unwrap_or(Token::END)
    }

    #[inline]
    pub(super) fn kind(&self, i: usize) -> Kind {
        spend(LOOK);
        self.tokens.get(i).map_or(Kind::End, |token| token.kind())
    }

    /// The kind of the token at `i`, for what is asked once a value: a call is smaller.
    #[inline(never)]
    pub(super) fn peek(&self, i: usize) -> Kind {
        self.kind(i)
    }

    /// What the word at `i` is; as [`peek`](Self::peek).
    #[inline(never)]
    pub(super) fn part(&self, i: usize) -> Option<Word> {
        self.word(i)
    }

    /// Whether space stands before the token at `i`; as [`peek`](Self::peek).
    #[inline(never)]
    pub(super) fn apart(&self, i: usize) -> bool {
        self.at(i).spaced()
    }

    /// Whether the token at `i` is an equals sign; as [`peek`](Self::peek).
    #[inline(never)]
    pub(super) fn is_equals(&self, i: usize) -> bool {
        self.text_of(i) == b"="
    }

    /// The code of the token at `i`, or NUL past the last.
    #[inline]
    pub(super) fn code(&self, i: usize) -> u8 {
        spend(LOOK);
        self.tokens.get(i).map_or(0, |token| token.code())
    }

    /// The sets of [`next`](super::lead::next) that the token at `i` is of; of none past the last.
    #[inline]
    pub(super) fn sets(&self, i: usize) -> u32 {
        spend(LOOK);
        self.tokens.get(i).map_or(0, |token| token.lead().is())
    }

    /// The token before `i`; an `End` before the first.
    pub(super) fn before(&self, i: usize) -> Kind {
        i.checked_sub(1).map_or(Kind::End, |i| self.kind(i))
    }

    pub(super) fn word(&self, i: usize) -> Option<Word> {
        match self.kind(i) {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }

    /// The bytes of the token at `i`.
    pub(super) fn text_of(&self, i: usize) -> &'a [u8] {
        let token = self.at(i);
        cut(self.text, token.start(), token.end())
    }

    /// The bytes after the token at `i`.
    pub(super) fn after(&self, i: usize) -> &'a [u8] {
        from(self.text, self.at(i).end())
    }
}

/// How many tokens may stand between a quote and the string that is opened after it, those of strings between included.
const REACH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut room = Room::default();
        let tokens = Tokens::of(text.as_bytes(), &mut room);
        (0..tokens.len()).map(|i| tokens.kind(i)).collect()
    }

    #[test]
    fn comments_separate_like_space() {
        use Kind::Number;
        let union = [Number, Kind::Word(Word::Union), Kind::Word(Word::Select), Number];
        for text in
            ["1 union select 2", "1/**/UNION/*x*/select/**/2", "1union/*!50000select*/2", "1e1union\tselect\n.5"]
        {
            assert_eq!(kinds(text), union, "{text}");
        }
        assert_eq!(kinds("1/*"), [Number, Kind::OpenComment]);
    }

    #[test]
    fn a_quote_knows_the_next_of_its_kind() {
        let mut room = Room::default();
        let tokens = Tokens::of(b"' \" ' \"", &mut room);
        assert_eq!((tokens.at(0).twin(), tokens.at(1).twin(), tokens.at(2).twin()), (2, 3, NO_TWIN));
    }
}
