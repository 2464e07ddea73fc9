//! Script whose place the value makes itself: it ends what stands before it, and cuts off what follows or opens it again.

use super::super::bytes::{at, cut, from, is_word};
use super::super::rules::{Findings, Rule};
use super::super::work::spend;
use memchr::{memchr, memchr2, memchr3};

/// Reports a value that is script wherever a string, a number or a comment of a script holds it: `';f(7)//`, `"-f(7)-"`,
/// `7;f(7)//`, `*/f(7)/*`.
#[inline(never)]
pub(in super::super) fn whole(view: &[u8], findings: &mut Findings) {
    let text = view.trim_ascii_end();
    let quote = at(text, text.len().wrapping_sub(1));
    let quoted = is_quote(quote);
    if !quoted && !matches!(quote, b'/' | b'*') {
        return;
    }
    let end = text.len() - usize::from(quoted);
    let before = |count: usize| at(text, end.wrapping_sub(count));
    // Not of an address.
    let comments = before(2) == b'/' && matches!(before(1), b'/' | b'*') && before(3) != b':';
    let script = cut(text, 0, if comments { end - 2 } else { end });
    if comments && (ends_statement(script) || ends_string(script, None))
        || quoted && is_lead(before(1)) && ends_string(script, Some(quote))
    {
        findings.report(Rule::XssScriptBreakout);
    }
}

/// Whether the first quote of `script` closes a string, a call follows, and an `again` behind it opens a string: behind statements, or
/// behind an expression that goes on with the string itself.
#[inline(never)]
fn ends_string(script: &[u8], again: Option<u8>) -> bool {
    spend(script.len() / 8);
    let Some(first) = memchr3(b'\'', b'"', b'`', script) else { return false };
    if !closes(script, first) {
        return false;
    }
    let join = goes_on(from(script, first + 1));
    if join == 0 {
        return false;
    }
    let last = at(script, script.len() - 1);
    let opens = join == b';' || join == last || join == b'?' && last == b':';
    again.is_none_or(|quote| quote == at(script, first) && opens)
}

/// Whether `script` ends a comment or the line of one, or a statement that is no more than a number, and a call follows.
fn ends_statement(script: &[u8]) -> bool {
    let word = script.iter().take_while(|&&byte| is_word(byte)).count();
    match goes_on(from(script, word)) {
        b'\n' | b'\r' => true,
        b';' => !at(script, 0).is_ascii_alphabetic(),
        b'*' => at(script, 1) == b'/' && at(script, 0) == b'*',
        _ => false,
    }
}

/// Whether the quote at `i` stands where one closes a string.
fn closes(script: &[u8], i: usize) -> bool {
    let before = at(script, i.wrapping_sub(1));
    i == 0 || is_word(before) || matches!(before, b')' | b']' | b'.' | b'\\')
}

/// What joins a call to the text that ends before `rest`: a mark behind nothing but brackets that close; a call on the same line.
/// NUL where nothing does.
#[inline(never)]
fn goes_on(rest: &[u8]) -> u8 {
    let rest = rest.trim_ascii_end();
    let lead = rest.iter().position(|&byte| !is_lead(byte)).unwrap_or(rest.len());
    let mark = cut(rest, 0, lead).iter().find(|byte| !matches!(byte, b')' | b']' | b'}' | b' ' | b'\t'));
    let join = mark.copied().unwrap_or(0);
    if !joins(join) && !matches!(join, b'\n' | b'\r') {
        return 0;
    }
    let script = from(rest, lead);
    let called = memchr2(b'(', b'`', script).is_some() && memchr(b'\n', script).is_none();
    if called { join } else { 0 }
}

const fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"' | b'`')
}

/// What goes on from a string in a script, to another expression or statement.
const fn joins(byte: u8) -> bool {
    matches!(byte, b';' | b'-' | b'+' | b'*' | b'/' | b'^' | b'%' | b'|' | b'&' | b',' | b'?' | b'=' | b'!' | b'~')
}

/// What may stand between a closed string and the first name behind it.
const fn is_lead(byte: u8) -> bool {
    joins(byte)
        || matches!(byte, b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b':')
        || byte.is_ascii_whitespace()
}
