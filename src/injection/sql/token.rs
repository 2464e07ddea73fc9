//! A value cut into the tokens of SQL, whatever the dialect.
//!
//! Quotes stay tokens of their own: whether one opens or closes a string depends on the query around the value, which
//! nobody here knows. Comments between tokens count as space; what comments out the rest is a token.

use super::super::bytes::{at, cut, find, from};
use super::super::work::spend;
use super::grammar::{LINKS, Link};
use super::words::{HASH_START, MAX_LEN, Word, hash_byte};
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

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Space or a comment stands before it.
    pub(super) spaced: bool,
    /// A `/* */` stands before it.
    pub(super) commented: bool,
    pub(super) start: u32,
    pub(super) end: u32,
    /// For a quote: the place of the next quote of its kind, or `u32::MAX`.
    pub(super) twin: u32,
    /// For a quote: an odd number of its kind stands before it. For a closing bracket: it is opened in the value.
    pub(super) odd: bool,
}

/// The tokens of one value.
pub(super) struct Tokens<'a> {
    pub(super) text: &'a [u8],
    tokens: Vec<Token>,
    /// The place after the last token that comments out what follows.
    comments: usize,
    /// The last quote of each kind, or `usize::MAX`.
    last_quotes: [usize; 3],
    /// The links of chains that were read last, by their place.
    pub(super) links: [Cell<(u32, Option<Link>)>; LINKS],
}

const END: Token = Token {
    kind: Kind::End,
    spaced: false,
    commented: false,
    start: u32::MAX,
    end: u32::MAX,
    twin: u32::MAX,
    odd: false,
};

impl<'a> Tokens<'a> {
    /// Cuts `text`, at most `u32::MAX` bytes long.
    ///
    /// With `line_comments`, `#` and `--` up to the end of their line count as space where another line follows.
    pub(super) fn of(text: &'a [u8], line_comments: bool) -> Self {
        let mut all = Self {
            text,
            tokens: Vec::with_capacity(text.len() / 3 + 4),
            comments: 0,
            last_quotes: [usize::MAX; 3],
            links: [const { Cell::new((u32::MAX, None)) }; LINKS],
        };
        all.lex(line_comments);
        all
    }

    /// Whether what comments out the rest stands at `i` or anywhere after it.
    pub(super) const fn comments_follow(&self, i: usize) -> bool {
        i < self.comments
    }

    /// Whether the string that the last `quote` opens begins within reach of the token at `i`.
    pub(super) fn opens_soon(&self, i: usize, quote: u8) -> bool {
        self.last_quotes.get(quote_slot(quote)).is_some_and(|&last| last > i && last - i <= REACH)
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn all(&self) -> &[Token] {
        &self.tokens
    }

    /// The token at `i`; an `End` past the last.
    pub(super) fn at(&self, i: usize) -> Token {
        spend(1);
        self.tokens.get(i).copied().unwrap_or(END)
    }

    #[inline]
    pub(super) fn kind(&self, i: usize) -> Kind {
        spend(1);
        self.tokens.get(i).map_or(Kind::End, |token| token.kind)
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
        cut(self.text, token.start as usize, token.end as usize)
    }

    /// The bytes after the token at `i`.
    pub(super) fn after(&self, i: usize) -> &'a [u8] {
        from(self.text, self.at(i).end as usize)
    }
}

/// Whether nothing in `text` begins what the grammar looks for: no quote, no logic, no variable, no comment, and no word
/// that starts a clause, a statement or a call that matters. What is read twice without its comments is not quiet.
pub(super) fn is_quiet(text: &[u8]) -> bool {
    let mut pos = 0;
    while pos < text.len() {
        let byte = at(text, pos);
        match byte {
            b'\'' | b'"' | b'`' | b'@' | b'|' | b'&' | b'#' => return false,
            b'-' if at(text, pos + 1) == b'-' => return false,
            b'/' if at(text, pos + 1) == b'*' => return false,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. if byte != 0xA0 => {
                let (word, len) = word(from(text, pos));
                if !word.is_quiet() {
                    return false;
                }
                pos += len;
            }
            b'0'..=b'9' => pos += number_len(from(text, pos)),
            b'.' if at(text, pos + 1).is_ascii_digit() => pos += number_len(from(text, pos)),
            _ => pos += 1,
        }
    }
    true
}

/// Parts are short enough.
const fn place(pos: usize) -> u32 {
    pos as u32
}

/// How many tokens may stand between a quote and the string that is opened after it, those of strings between included.
const REACH: usize = 512;

const fn quote_slot(quote: u8) -> usize {
    match quote {
        b'\'' => 0,
        b'"' => 1,
        _ => 2,
    }
}

/// What a byte that begins a token makes of it.
#[derive(Clone, Copy)]
enum Role {
    /// Space, or what may begin a comment.
    Space,
    /// A token of its own, whatever follows.
    Single(Kind),
    Word,
    Quote(u8),
    Open,
    Close,
    /// Up to three of `=`, `<`, `>`, `!` and `~`.
    Compare,
    /// Of its own or doubled.
    Logic(Kind),
    /// `.`, of its own or of a number.
    Dot,
    /// What follows decides.
    More,
}

static ROLES: [Role; 256] = roles();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn roles() -> [Role; 256] {
    let mut table = [Role::More; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        table[i] = match byte {
            0..=b' ' | b'/' | b'*' | b'#' | b'-' | 0xA0 => Role::Space,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Role::Word,
            b'\'' | b'"' | b'`' => Role::Quote(byte),
            b'(' => Role::Open,
            b')' => Role::Close,
            b',' => Role::Single(Kind::Comma),
            b';' => Role::Single(Kind::Semicolon),
            b'+' | b'%' | b'^' => Role::Single(Kind::Arith(byte)),
            b'=' | b'<' | b'>' | b'~' => Role::Compare,
            b'|' | b'&' => Role::Logic(Kind::Logic(byte)),
            b'.' => Role::Dot,
            b'$' | b':' | b'?' | b'[' | b'\\' | b']' | b'{' | b'}' | 0x7F => Role::Single(Kind::Other(byte)),
            _ => Role::More,
        };
        i += 1;
    }
    table
}

/// The role of the byte at `i`; space past the end.
fn role_at(text: &[u8], i: usize) -> Role {
    ROLES.get(usize::from(at(text, i))).copied().unwrap_or(Role::More)
}

impl Tokens<'_> {
    fn lex(&mut self, line_comments: bool) {
        let Self { text, tokens, comments, last_quotes, .. } = self;
        let text = *text;
        let mut space = Space { unclosed: false, line_comments };
        // For each kind of quote: whether an odd number stands before the next.
        let mut uneven = [false; 3];
        // Brackets opened and not yet closed.
        let mut opened = 0usize;
        let mut pos = 0;
        loop {
            let (mut spaced, mut commented) = (false, false);
            let mut role = role_at(text, pos);
            if matches!(role, Role::Space) {
                let start = pos;
                (pos, commented) = space.skip(text, pos);
                spaced = pos > start;
                role = role_at(text, pos);
            }
            if pos >= text.len() {
                return;
            }
            let start = pos;
            let mut odd = false;
            let kind = match role {
                Role::Single(kind) => {
                    pos += 1;
                    kind
                }
                Role::Word => {
                    let (word, len) = word(from(text, pos));
                    pos += len;
                    Kind::Word(word)
                }
                Role::Quote(quote) => {
                    pos += 1;
                    let (index, slot) = (tokens.len(), quote_slot(quote));
                    if let (Some(last), Some(uneven)) = (last_quotes.get_mut(slot), uneven.get_mut(slot)) {
                        if let Some(token) = tokens.get_mut(*last) {
                            token.twin = place(index);
                        }
                        odd = *uneven;
                        (*last, *uneven) = (index, !odd);
                    }
                    Kind::Quote(quote)
                }
                Role::Compare => {
                    pos += compare_len(text, pos);
                    Kind::Compare
                }
                Role::Logic(kind) => {
                    pos += 1 + usize::from(at(text, pos + 1) == at(text, pos));
                    kind
                }
                Role::Open => {
                    pos += 1;
                    opened += 1;
                    Kind::Open
                }
                Role::Close => {
                    pos += 1;
                    odd = opened > 0;
                    opened -= usize::from(odd);
                    Kind::Close
                }
                Role::Dot if !at(text, pos + 1).is_ascii_digit() => {
                    pos += 1;
                    Kind::Dot
                }
                _ => {
                    let (kind, len) = token(from(text, pos));
                    pos += len;
                    if matches!(kind, Kind::Dashes | Kind::Hash | Kind::OpenComment) {
                        *comments = tokens.len() + 1;
                    }
                    kind
                }
            };
            tokens.push(Token { kind, spaced, commented, start: place(start), end: place(pos), twin: u32::MAX, odd });
        }
    }
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

/// The token at the beginning of `rest`, which is not empty, and its length.
fn token(rest: &[u8]) -> (Kind, usize) {
    let (first, second) = (at(rest, 0), at(rest, 1));
    match first {
        b'0'..=b'9' => (Kind::Number, number_len(rest)),
        b'.' => (Kind::Number, number_len(rest)),
        b'-' if second == b'-' => (Kind::Dashes, 2),
        b'/' if second == b'*' => (Kind::OpenComment, 2),
        b'#' => (Kind::Hash, 1),
        b'!' if !matches!(second, b'=' | b'<' | b'>') => (Kind::Bang, 1),
        b'!' => (Kind::Compare, compare_len(rest, 0)),
        b'-' | b'*' | b'/' => (Kind::Arith(first), 1),
        b'@' => {
            let len = rest.iter().take(64).skip_while(|&&byte| byte == b'@').take_while(|&&byte| is_name(byte)).count();
            let ats = rest.iter().take(3).take_while(|&&byte| byte == b'@').count();
            (Kind::Variable, ats + len)
        }
        _ => (Kind::Other(first), 1),
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

/// For each byte of a name what a hash without regard to case takes of it; 0 for any other.
static NAMES: [u8; 256] = names();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn names() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if is_name(byte as u8) {
            table[byte] = byte as u8 | 0x20;
        }
        byte += 1;
    }
    table
}

/// The part that the name at the beginning of `rest` plays, and its length.
#[inline]
fn word(rest: &[u8]) -> (Word, usize) {
    let mut hash = HASH_START;
    let mut len = 0;
    for &byte in rest {
        let name = NAMES.get(usize::from(byte)).copied().unwrap_or(0);
        if name == 0 {
            break;
        }
        hash = hash_byte(hash, name);
        len += 1;
    }
    let word = if !(2..=MAX_LEN).contains(&len) { Word::Name } else { Word::of(cut(rest, 0, len), hash) };
    (word, len)
}

/// Decimal, hexadecimal, binary, with a fraction and an exponent; letters that follow begin a word.
fn number_len(rest: &[u8]) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let tokens = Tokens::of(text.as_bytes(), false);
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
        assert_eq!(Tokens::of(b"1 union#x\nselect--y\n2", true).len(), union.len());
        assert_eq!(kinds("1/*"), [Number, Kind::OpenComment]);
    }

    #[test]
    fn a_quote_knows_the_next_of_its_kind() {
        let tokens = Tokens::of(b"' \" ' \"", false);
        assert_eq!((tokens.at(0).twin, tokens.at(1).twin, tokens.at(2).twin), (2, 3, u32::MAX));
    }
}
