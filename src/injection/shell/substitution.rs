//! Substitutions: what a shell replaces by the output of a command, or by a variable.

use super::super::bytes::{at, cut, from, is_word, skip_space, starts_at};
use super::super::rules::{Findings, Rule};
use super::super::work::spend;
use super::MARKS;
use super::Passed;
use super::closes_string;
use super::command::{Known, Tail, command, command_or_assigned, tail};

/// The longest name of a variable.
const MAX_NAME: usize = 40;

/// A backquote at `i`.
#[inline(never)]
pub(super) fn backquoted(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    let before = if i == 0 { 0 } else { at(view, i - 1) };
    let attached = before > b' '
        && !matches!(before, b'(' | b'[' | b'`' | b'"' | b'/' | b',' | b':' | b'*' | b'>' | b'-')
        || before == 0
        || before == b'"' && closes_string(view, i) && !is_prefixed(view, i - 1);
    if !attached {
        return;
    }
    // A space inside begins a command only in a value that is one; elsewhere it follows a closing backquote.
    if i > 0 && at(view, i + 1) <= b' ' {
        return;
    }
    spend(MARKS);
    let Some(command) = command_or_assigned(view, i + 1) else { return };
    let closed = memchr::memchr(b'`', from(view, i + 1)).map(|len| i + 1 + len);
    // The name of a host that tells what the command said: `whoami`.evil.example
    let named =
        |close: usize| command.known == Known::Strong && at(view, close + 1) == b'.' && is_word(at(view, close + 2));
    let ends = closed.is_none_or(|close| skip_space(view, close + 1) >= view.len() || before != 0 || named(close));
    // In Markdown a space or a mark stands before code.
    let strong = command.known == Known::Strong && at(view, command.end) == b' ';
    let glued = strong && is_word(before) && closed.is_some_and(|close| close < i + MAX_NAME);
    if ends && (glued || matches!(tail(view, command.end, &mut passed.ahead), Tail::End | Tail::Argument)) {
        findings.report(Rule::CommandSubstitution);
    }
}

/// Whether a letter that stands by itself before the quote at `i` says how a program reads the string: `r"`.
fn is_prefixed(view: &[u8], i: usize) -> bool {
    i >= 2 && matches!(at(view, i - 1), b'r' | b'b' | b'f' | b'u' | b'L') && !is_word(at(view, i - 2))
}

/// `$` at `i`: `$(command)`, `${IFS}`.
#[inline(never)]
pub(super) fn substituted(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    if !matches!(at(view, i + 1), b'{' | b'(' | b'_' | b'i' | b'I' | b'0') {
        return;
    }
    spend(MARKS);
    let attached = i > 0 && is_word(at(view, i - 1));
    if starts_at(view, i, b"${ifs") || attached && starts_at(view, i, b"$ifs") {
        findings.report(Rule::CommandSubstitution);
        return;
    }
    let superglobals: [&[u8]; 6] = [b"$_get[", b"$_post[", b"$_request[", b"$_server[", b"$_cookie[", b"$_files["];
    if at(view, i + 1) == b'_' && superglobals.iter().any(|name| starts_at(view, i, name)) {
        findings.report(Rule::CommandCall);
        return;
    }
    if starts_at(view, i, b"$0<<<") {
        findings.report(Rule::CommandShell);
        return;
    }
    if at(view, i + 1) == b'{' && is_cut_out(view, i + 2) {
        findings.report(Rule::CommandSubstitution);
        return;
    }
    // `$((`id`))`
    if starts_at(view, i, b"$((`") && command(view, i + 4).is_some() {
        findings.report(Rule::CommandSubstitution);
        return;
    }
    if at(view, i + 1) != b'(' || at(view, i + 2) == b'(' {
        return;
    }
    if at(view, i + 2) == b'`' || is_read(view, i + 2) {
        findings.report(Rule::CommandSubstitution);
        return;
    }
    spend(MARKS);
    if let Some(command) = command_or_assigned(view, i + 2) {
        // `$(MAKE)` is a variable of make.
        let variable = at(view, i + 2).is_ascii_uppercase() && !cut(view, i + 2, command.end).contains(&b'=');
        if variable && at(view, command.end) == b')' {
            return;
        }
        let closes = cut(view, command.end, command.end + MAX_NAME);
        let closes = closes.iter().position(|&byte| byte == b')').is_some_and(|end| is_name(cut(closes, 0, end)));
        let run = tail(view, command.end, &mut passed.ahead) != Tail::Other || command.known == Known::Strong;
        if run || closes && skip_space(view, command.end) > command.end {
            findings.report(Rule::CommandSubstitution);
        }
    }
}

/// Whether a file is read into the line at `i`: `$(<.env)`.
fn is_read(view: &[u8], i: usize) -> bool {
    let part = |byte: u8| is_word(byte) || matches!(byte, b'.' | b'/' | b'-' | b'~');
    let len = cut(view, i + 1, i + 1 + MAX_NAME).iter().take_while(|&&byte| part(byte)).count();
    at(view, i) == b'<'
        && cut(view, i, i + 1 + len).iter().any(|&byte| matches!(byte, b'.' | b'/'))
        && at(view, i + 1 + len) == b')'
}

/// Whether `text` is one plain word behind a space.
fn is_name(text: &[u8]) -> bool {
    let word = text.trim_ascii();
    !word.is_empty() && word.iter().all(|&byte| is_word(byte) || byte == b'.')
}

/// Whether the variable at `i` stands for a part of it: `${PATH:0:1}`.
fn is_cut_out(view: &[u8], i: usize) -> bool {
    let name = cut(view, i, i + MAX_NAME).iter().take_while(|&&byte| is_word(byte)).count();
    let digits = |start: usize| cut(view, start, start + 4).iter().take_while(|byte| byte.is_ascii_digit()).count();
    let first = i + name + 1;
    let second = first + digits(first);
    name > 0
        && at(view, first - 1) == b':'
        && second > first
        && (at(view, second) == b'}' || at(view, second) == b':' && at(view, second + 1 + digits(second + 1)) == b'}')
}

/// `<` or `>` at `i`: `<(command)`, whose output or input is read as a file.
#[inline(never)]
pub(super) fn as_file(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    spend(MARKS);
    let Some(command) = command(view, i + 2) else { return };
    let strong = command.known == Known::Strong && matches!(at(view, command.end), 0 | b' ' | b')');
    if strong || tail(view, command.end, &mut passed.ahead) == Tail::Argument {
        findings.report(Rule::CommandSubstitution);
    }
}
