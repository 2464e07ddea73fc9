//! A word as a command, with what disguises it and what follows it.

use super::super::LONG;
use super::super::bytes::{at, contains, cut, from, is_word, skip_space, starts_at};
use super::super::triggers::Bytes;
use super::super::work::spend;
use super::words::{STRONG, STRONG_WORDS, WEAK, WEAK_WORDS};

/// How much a word is a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Strong,
    Weak,
}

/// The longest word that is read as a command's argument, in a value that is not long and in one that is.
const MAX_WORD: usize = 256;
const SHORT_WORD: usize = 64;

/// Whether `text` ends with `lower`, in any case.
pub(super) fn ends_with(text: &[u8], lower: &[u8]) -> bool {
    text.len() >= lower.len() && from(text, text.len() - lower.len()).eq_ignore_ascii_case(lower)
}

/// A word that names a command, and where its arguments begin.
pub(super) struct Command {
    pub(super) known: Known,
    pub(super) end: usize,
    /// Quotes, backslashes or empty expansions break the name up.
    pub(super) disguised: bool,
}

/// The command at `i`, after space, an opening quote or bracket and a directory.
#[inline]
pub(super) fn command(view: &[u8], i: usize) -> Option<Command> {
    if is_no_command(view, i) { None } else { read_command(view, i) }
}

#[inline(never)]
pub(super) fn read_command(view: &[u8], i: usize) -> Option<Command> {
    // No command begins with these, and they are what most often follows.
    if matches!(at(view, i), b')' | b';' | b'|' | b'&' | b'<' | b'>' | b'=' | b',' | b'[' | b']' | b'#' | b':' | b'}') {
        return None;
    }
    let mut pos = skip_space(view, i);
    if pos - i > 16 {
        return None;
    }
    while matches!(at(view, pos), b'(' | b'{' | b'@' | b'!') && pos - i < 20 {
        pos = skip_space(view, pos + 1);
    }
    let mut name = [0u8; 24];
    let mut len = 0;
    let mut disguised = false;
    let start = pos;
    while pos - start < 64 {
        let byte = at(view, pos);
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' if pos < view.len() => {
                let slot = name.get_mut(len)?;
                *slot = byte.to_ascii_lowercase();
                len += 1;
                pos += 1;
            }
            // A directory before the name.
            b'/' => {
                len = 0;
                pos += 1;
            }
            b'\\' if at(view, pos + 1) == b'n' && !is_word(at(view, pos + 2)) => break,
            b'\'' | b'"' | b'\\' => {
                // A closing quote that ends the name is no disguise of it.
                disguised |= len > 0 && at(view, pos + 1).is_ascii_alphanumeric();
                pos += 1;
                if len > 0 && !is_word(at(view, pos)) && !matches!(at(view, pos), b'\'' | b'"' | b'\\') {
                    break;
                }
            }
            b'$' if matches!(at(view, pos + 1), b'@' | b'*' | b'?' | b'-' | b'!' | b'1'..=b'9') => {
                disguised = true;
                pos += 2;
            }
            b'$' if at(view, pos + 1) == b'{' && len > 0 => break,
            b'`' if at(view, pos + 1) == b'`' => {
                disguised = true;
                pos += 2;
            }
            _ => break,
        }
    }
    // Commands are written in one case; `Touch` and `OpenSSL` are names.
    let written = cut(view, start, pos);
    if written.iter().any(u8::is_ascii_uppercase) && written.iter().any(u8::is_ascii_lowercase) {
        return None;
    }
    if len == 0 {
        return None;
    }
    let name = name.get(..len)?;
    let name = name.strip_suffix(b".").unwrap_or(name);
    let known = if STRONG.contains(name) {
        Known::Strong
    } else if WEAK.contains(name) {
        Known::Weak
    } else {
        return None;
    };
    Some(Command { known, end: pos, disguised })
}

/// Whether a word that is no command stands at `i`, with nothing in or behind it that could disguise one.
#[inline]
pub(super) fn is_no_command(view: &[u8], i: usize) -> bool {
    let start = i + usize::from(view.get(i) == Some(&b' '));
    let mut end = start;
    let sort = loop {
        let sort = sort_of(view.get(end).copied().unwrap_or(0));
        if sort & NAME == 0 || end - start > MAX_NAME {
            break sort;
        }
        end += 1;
    };
    spend(end - start);
    let len = end - start;
    if len == 0 && matches!(at(view, end), b'\'' | b'"' | b'\\' | b'/') {
        // Nothing is disguised where no name follows.
        return sort_of(at(view, end + 1)) & (NAME | DISGUISE) == 0;
    }
    if sort & DISGUISE != 0 || len == 0 && sort & BEFORE_NAME != 0 {
        return false;
    }
    let lengths = LENGTHS.get(usize::from(at(view, start) & 31)).copied().unwrap_or(0);
    // A dot behind the name is none of it.
    if lengths & (0b11 << len >> 1) == 0 {
        return true;
    }
    let word = cut(view, start, end);
    let word = word.strip_suffix(b".").unwrap_or(word);
    !STRONG.contains(word) && !WEAK.contains(word)
}

/// The longest name of a command.
const MAX_NAME: usize = 24;

/// For each first letter, the lengths of the commands that begin with it.
static LENGTHS: [u64; 32] = STRONG_WORDS.or_lengths(&WEAK_WORDS);

/// What the name of a command is made of.
const NAME: u8 = 1;
/// What may stand inside one.
const DISGUISE: u8 = 2;
/// What may stand before one.
const BEFORE_NAME: u8 = 4;

static SORTS: [u8; 256] =
    Bytes::sorts(&[Bytes::WORD.or(Bytes::of(b".-")), Bytes::of(b"/\\'\"$`"), Bytes::BLANK.or(Bytes::of(b"({@!"))]);

#[inline]
fn sort_of(byte: u8) -> u8 {
    SORTS.get(usize::from(byte)).copied().unwrap_or(0)
}

/// What follows a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, a separator or what closes a substitution.
    End,
    /// An option, a path, a variable, a number, a URL: what a shell's argument looks like.
    Argument,
    /// A plain word that ends the value.
    LastWord,
    /// Prose or other text.
    Other,
}

pub(super) fn tail(view: &[u8], end: usize) -> Tail {
    let byte = at(view, end);
    if end >= view.len() || matches!(byte, b';' | b'|' | b'&' | b'`' | b'\n' | b'#' | b'>') {
        return Tail::End;
    }
    if matches!(byte, b')' | b'}') {
        return Tail::End;
    }
    if byte == b'$' && starts_at(view, end, b"${ifs")
        || starts_at(view, end, b"$ifs")
        || byte == b'<' && at(view, end + 1) != b'/'
    {
        return Tail::Argument;
    }
    if byte == b'\\' && at(view, end + 1) == b'n' {
        return Tail::End;
    }
    let braced = byte == b',' && cut(view, end.saturating_sub(12), end).contains(&b'{');
    if !matches!(byte, b' ' | b'\t' | b'+' | b'%') && !braced {
        return Tail::Other;
    }
    let start = skip_space(view, if byte > b' ' { end + 1 } else { end });
    let first = at(view, start);
    if start >= view.len() || matches!(first, b';' | b'|' | b'&' | b'#' | b'`' | b'>' | b')') {
        return Tail::End;
    }
    let longest = if view.len() > LONG { SHORT_WORD } else { MAX_WORD };
    let word_len = from(view, start).iter().take(longest).take_while(|&&byte| byte > b' ').count();
    spend(word_len);
    let word = cut(view, start, start + word_len);
    let option = (first == b'-'
        && (at(word, 1).is_ascii_alphabetic() || at(word, 1) == b'-' && at(word, 2).is_ascii_alphabetic()))
        || first == b'/' && at(word, 1).is_ascii_alphanumeric();
    let slash = word.get(1..).and_then(|rest| memchr::memchr(b'/', rest)).is_some();
    let path = matches!(first, b'/' | b'~' | b'$' | b'%' | b'*' | b'"' | b'\'' | b'<') && word.len() > 1
        || word.contains(&b'\\')
        || slash && (!word.ends_with(b"/") || contains(word, b"://"))
        || word == b"/"
        || at(word, 0).is_ascii_alphabetic() && at(word, 1) == b':';
    // One that is too long to be read counts as the last.
    let last = word_len == longest || skip_space(view, start + word_len) >= view.len();
    let number = first.is_ascii_digit()
        && counts(view, end)
        && (last
            || matches!(
                at(view, skip_space(view, start + word_len)),
                b';' | b'|' | b'&' | b'`' | b')' | b'#' | b'"' | b'\''
            ));
    if option || path || number || first.is_ascii_digit() && word.iter().filter(|&&byte| byte == b'.').count() == 3 {
        return Tail::Argument;
    }
    if last || word.ends_with(b";") || word.contains(&b'|') { Tail::LastWord } else { Tail::Other }
}

/// Whether the command that ends at `end` is one whose argument is a number.
fn counts(view: &[u8], end: usize) -> bool {
    let name = cut(view, end.saturating_sub(8), end);
    [&b"sleep"[..], b"timeout", b"kill", b"ping", b"echo"].iter().any(|known| ends_with(name, known))
}
