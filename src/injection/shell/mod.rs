//! A shell's input: separators and substitutions with a command after them, and the calls of interpreters that run one.
//!
//! Commands that are also English words need what makes them commands: an option, a path, a number, the end.

mod calls;
mod command;
mod passed;
mod substitution;
mod words;

use super::bytes::{at, cut, equals_at, from, is_word, skip_space, starts_at};
use super::rules::{Findings, Rule};
use super::triggers::{Bytes, Trigger};
use super::work::spend;
pub(super) use calls::whole;
use calls::{by_path, called, tagged};
use command::{
    Command, Known, Look, Tail, carried, command, ends_with, has_argument, look, plain_command, tail, unclear_command,
};
use passed::Passed;
use substitution::{as_file, backquoted, substituted};

/// The longest value in which a line of its own may be a command.
const MAX_LINES: usize = 160;
/// The longest value of a variable that is set before a command, and the longest path whose letters are left open.
const MAX_VALUE: usize = 64;
const MAX_GLOB: usize = 32;

/// What a word costs that may be a command, one behind marks or what disguises it, and a command with what follows it.
const WORD: usize = 8;
const MARKS: usize = 24;
const COMMAND: usize = 64;

/// The longest name of a command with the separator before it.
const MAX_GLUED: usize = 16;

/// How far a loop is read for its variable.
const LOOP_REACH: usize = 64;
/// The longest name of a variable that is run.
const MAX_NAME: usize = 16;

/// What no command begins with.
const NO_COMMAND: Bytes = Bytes::of(b")<>=,[]#:}");

/// Where a line is looked at: separators, substitutions, calls, tags and paths, by what stands beside them.
pub(super) const TRIGGERS: [Trigger; 8] = [
    Trigger::new(Bytes::ANY, b";|&", NO_COMMAND.not()),
    Trigger::new(Bytes::ANY, b"\n", Bytes::ANY),
    Trigger::new(Bytes::BLANK.or(Bytes::of(b"([`/,:*>-")).not().or(Bytes::of(b"\0")), b"`", Bytes::ANY),
    Trigger::new(Bytes::ANY, b"$", Bytes::of(b"{(_iI0")),
    // The last letters of the calls that are known.
    Trigger::new(Bytes::of(b"mcunltoMCUNLTO"), b"(", Bytes::ANY),
    Trigger::new(Bytes::ANY, b"(", Bytes::of(b")")),
    Trigger::new(Bytes::ANY, b"<>", Bytes::of(b"!?(")),
    Trigger::new(Bytes::ANY, b"/", Bytes::of(b"bBdD")),
];

/// A view that may reach a shell.
pub(super) struct Line<'a> {
    view: &'a [u8],
    passed: Passed,
}

impl<'a> Line<'a> {
    pub(super) fn new(view: &'a [u8]) -> Self {
        Self { view, passed: Passed::default() }
    }

    /// Reports what the mark `byte` at `i` would run; marks are read in their order.
    #[inline(never)]
    pub(super) fn read(&mut self, i: usize, byte: u8, findings: &mut Findings) {
        let Self { view, passed } = self;
        match byte {
            b';' | b'|' => separated(view, i, passed, findings),
            b'&' if at(view, i + 1) != b'#' => separated(view, i, passed, findings),
            b'\n' if view.len() <= MAX_LINES => new_line(view, i, passed, findings),
            b'`' => backquoted(view, i, passed, findings),
            b'$' => substituted(view, i, passed, findings),
            b'(' => called(view, i, passed, findings),
            b'<' | b'>' if at(view, i + 1) == b'(' => as_file(view, i, passed, findings),
            b'<' if matches!(at(view, i + 1), b'!' | b'?') => tagged(view, i, passed, findings),
            b'/' => by_path(view, i, passed, findings),
            _ => {}
        }
    }
}

/// Whether the command with what follows it is one to report after a separator.
fn is_run(view: &[u8], command: &Command, tail: Tail) -> bool {
    if command.disguised {
        return tail != Tail::Other;
    }
    match command.known {
        // `!global || !top)` is code.
        Known::Weak if matches!(at(view, command.end), b')' | b'}') => false,
        Known::Prefix => false,
        // In Markdown a block of code begins with a backquote.
        Known::Strong => {
            tail != Tail::Other
                || at(view, 0) != b'`'
                    && (has_argument(view, command.end) || is_glued(view, command) && !is_language(view, command))
        }
        Known::Weak => {
            matches!(tail, Tail::End | Tail::Argument)
                || tail == Tail::LastWord
                    && (is_echo(view, command) || is_glued(view, command) && names_file(view, command.end))
        }
    }
}

/// Whether the command is also the name of a language or of a thing that is listed with such.
fn is_language(view: &[u8], command: &Command) -> bool {
    let name = cut(view, command.end.saturating_sub(6), command.end);
    [&b"python"[..], b"ruby", b"perl", b"mysql", b"bash", b"dash", b"curl", b"vim", b"nano", b"zip", b"awk", b"sed"]
        .iter()
        .any(|language| ends_with(name, language))
}

/// Whether the command stands right behind a separator and words behind it, which prose seldom writes so.
fn is_glued(view: &[u8], command: &Command) -> bool {
    if at(view, command.end) != b' ' {
        return false;
    }
    let before = cut(view, command.end.saturating_sub(MAX_GLUED), command.end);
    let name = before.iter().rev().take_while(|&&byte| is_word(byte) || matches!(byte, b'.' | b'-')).count();
    before.len() > name && matches!(at(before, before.len() - name - 1), b';' | b'|' | b'&')
}

/// Whether the word behind the command that ends at `end` is the name of a file and ends the value: `cat index.php`.
fn names_file(view: &[u8], end: usize) -> bool {
    let word = from(view, end + 1);
    // The last word of a value, of which little is left.
    if word.len() > 2 * MAX_VALUE {
        return false;
    }
    spend(word.len());
    let word = word.trim_ascii_end();
    let dot = word.iter().rposition(|&byte| byte == b'.').unwrap_or(0);
    dot > 0
        && (dot + 2..=dot + 7).contains(&word.len())
        && word.len() <= MAX_VALUE
        && word.iter().all(|&byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_echo(view: &[u8], command: &Command) -> bool {
    let glued = cut(view, command.end.saturating_sub(5), command.end);
    [&b";echo"[..], b"|echo", b"&echo"].iter().any(|echo| glued.eq_ignore_ascii_case(echo))
}

/// A separator at `i`.
#[inline(always)]
fn separated(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    match look(view, i + 1) {
        Look::Nothing => {}
        // `a=1&b=2` has no space in it.
        Look::Assigned(end) if at(view, i) != b'&' => assigned(view, end, passed, findings),
        Look::Assigned(_) => {}
        Look::Plain(end) => before_word(view, i, end, passed, findings),
        Look::Unclear => before_marks(view, i, passed, findings),
    }
}

/// The separator at `i` with what may be a command behind it, which ends at `end`.
#[inline(never)]
fn before_word(view: &[u8], i: usize, end: usize, passed: &mut Passed, findings: &mut Findings) {
    spend(WORD);
    if let Some(command) = plain_command(view, i + 1, end) {
        parted(view, i, i + 1, &command, passed, findings);
    }
}

/// A variable that is set behind a separator, up to the mark at `end`, and a command with arguments behind it.
#[inline(never)]
fn assigned(view: &[u8], end: usize, passed: &mut Passed, findings: &mut Findings) {
    let value = from(view, end + 1).iter().take(MAX_VALUE).take_while(|&&byte| byte > b' ' && byte != b';').count();
    spend(value);
    let after = end + 1 + value;
    if after >= view.len() || at(view, after) != b' ' {
        return;
    }
    let Some(command) = carried(view, after) else { return };
    let run = match tail(view, command.end, &mut passed.ahead) {
        Tail::Argument => true,
        Tail::End => command.known == Known::Strong || command.disguised,
        _ => false,
    };
    if run {
        findings.report(Rule::CommandSeparator);
    }
}

/// Whether a path with `?` for some of its letters stands at `i`: `/b?n/c?t`.
#[inline(never)]
fn is_globbed(view: &[u8], i: usize) -> bool {
    let path = cut(view, i, i + MAX_GLOB);
    let names = path.iter().take_while(|&&byte| is_word(byte) || matches!(byte, b'?' | b'*' | b'/' | b'-')).count();
    let path = cut(path, 0, names);
    let binary = [&b"/bin/"[..], b"/usr/bin/", b"/usr/sbin/"].iter().any(|place| starts_at(path, 0, place));
    if binary && (from(path, 4).iter().any(|byte| matches!(byte, b'?' | b'*')) || at(view, i + names) == b'[') {
        return true;
    }
    // The path of another file follows that of the command: `/bin/c?t /etc/hosts`.
    let given = at(view, i + names) == b' ' && at(view, i + names + 1) == b'/' && is_word(at(view, i + names + 2));
    at(path, 0) == b'/'
        && path.iter().position(|&byte| byte == b'?').is_some_and(|mark| given || from(path, mark).contains(&b'/'))
}

/// Whether the word that ends at `end` begins a loop of the command line of Windows: `for /f "delims=" %i in`, `for %i in`.
fn is_loop(view: &[u8], end: usize) -> bool {
    if !starts_at(view, end.saturating_sub(3), b"for") || at(view, end) != b' ' {
        return false;
    }
    let start = skip_space(view, end);
    let option = matches!(at(view, start + 1) | 0x20, b'f' | b'l' | b'r' | b'd') && at(view, start + 2) <= b' ';
    match at(view, start) {
        b'/' => option && memchr::memchr(b'%', cut(view, start, start + LOOP_REACH)).is_some(),
        b'%' => {
            let name = start + 1 + usize::from(at(view, start + 1) == b'%');
            starts_at(view, skip_space(view, name + 1), b"in") && at(view, name + 1) <= b' '
        }
        _ => false,
    }
}

/// Whether right behind the separator at `i`, at `after`, a file is run by its path, or what a variable holds.
fn runs_file(view: &[u8], i: usize, after: usize) -> bool {
    match at(view, after) {
        b'$' => runs_variable(view, i, after + 1),
        b'.' if at(view, i) == b';' || after > i + 1 => {
            at(view, after + 1) == b'/' && is_word(at(view, after + 2)) && at(view, i.wrapping_sub(1)) != b'.'
        }
        b' ' => starts_at(view, after + 1, b"%comspec%"),
        b'/' => DROPS.iter().any(|place| starts_at(view, after, place)),
        _ => false,
    }
}

/// Where anybody may leave a file to be run.
const DROPS: [&[u8]; 3] = [b"/tmp/", b"/var/tmp/", b"/dev/shm/"];

/// Whether the variable at `start`, behind the separator at `i`, holds a shell (`$0 -c id`) or was set in front of it
/// (`a=id;$a`).
#[inline(never)]
fn runs_variable(view: &[u8], i: usize, start: usize) -> bool {
    let start = start + usize::from(at(view, start) == b'{');
    let len = cut(view, start, start + MAX_NAME).iter().take_while(|&&byte| is_word(byte)).count();
    let name = cut(view, start, start + len);
    let end = start + len + usize::from(at(view, start + len) == b'}');
    if len == 0 || !matches!(at(view, end), 0..=b' ' | b';' | b'|' | b'&' | b'$' | b'"' | b'\'' | b'#' | b')' | b'`') {
        return false;
    }
    spend(MARKS);
    // What the shells of attacks are given is short.
    let since = i.saturating_sub(MAX_VALUE);
    let set = (since..i.saturating_sub(len)).any(|start| {
        let outside = at(view, start.wrapping_sub(1));
        at(view, start + len) == b'=' && equals_at(view, start, name) && !(is_word(outside) || outside == b'$')
    });
    set || starts_at(view, end, b" -c ")
}

/// The separator at `i`, perhaps doubled, with marks or nothing behind it.
#[inline(never)]
fn before_marks(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    let byte = at(view, i);
    let doubled = |place: usize| {
        let next = at(view, place);
        next == byte || next == b'&' && byte == b'|'
    };
    let after = if !doubled(i + 1) {
        i + 1
    } else if !doubled(i + 2) {
        i + 2
    } else {
        i + 3
    };
    spend(MARKS);
    let command = if after > i + 1 { command(view, after) } else { unclear_command(view, after) };
    match command {
        // Its name goes on behind what looks like one.
        Some(_) if at(view, after) == b'/' && is_globbed(view, after) => findings.report(Rule::CommandSeparator),
        Some(command) => parted(view, i, after, &command, passed, findings),
        None if is_globbed(view, skip_space(view, after)) || runs_file(view, i, after) => {
            findings.report(Rule::CommandSeparator);
        }
        None if after >= view.len() => ended(view, i, passed, findings),
        None => {}
    }
}

/// A command at `after`, behind the separator at `i`.
#[inline(never)]
fn parted(view: &[u8], i: usize, after: usize, command: &Command, passed: &mut Passed, findings: &mut Findings) {
    spend(COMMAND);
    let byte = at(view, i);
    let next = at(view, command.end);
    // What closes a string of a shell is neither prose nor a list.
    let closed = at(view, after) > b' ' && closes_string(view, i);
    let parameter = byte == b'&'
        && !closed
        && (matches!(next, b'=' | b'&' | b'#')
            || next == b';' && after == i + 1
            || after == i + 1 && command.end >= view.len() && !command.disguised && passed.assigns(view, i));
    // `|name|` opens a closure in Ruby and Rust; `a|stat|b` lists what may be chosen.
    let closure = byte == b'|'
        && (next == b'|' && i > 0 && !is_word(at(view, i - 1))
            || command.known == Known::Weak
                && matches!(next, b'|' | b'>' | b']')
                && command.end + 1 < view.len()
                && !(i == 0 && after == 2 && from(view, command.end) == b"||"));
    if parameter || closure {
        return;
    }
    if command.known == Known::Prefix {
        // A program of several lines has a space before it.
        if is_loop(view, command.end) || at(view, after) > b' ' && runs_another(view, command, passed) {
            findings.report(Rule::CommandSeparator);
        }
        return;
    }
    let leading = i <= 2 && command.known == Known::Strong;
    let tail = tail(view, command.end, &mut passed.ahead);
    // `=IF(A1>5;"yes";"no")`
    let opening = at(view, skip_space(view, after));
    let text = matches!(opening, b'"' | b'\'') && at(view, command.end.saturating_sub(1)) == opening;
    if text && command.known == Known::Weak && !command.disguised && tail == Tail::End {
        return;
    }
    let sub = has_subcommand(view, command, after);
    if !(sub || is_echo(view, command)) && is_listed(view, command, tail, passed) {
        return;
    }
    if (leading || is_run(view, command, tail) || sub || runs_another(view, command, passed))
        && (closed || !prose(view, i, after, command, tail, passed))
    {
        findings.report(Rule::CommandSeparator);
    }
}

/// Whether a quote right before `i` closes a string: the value begins with it, or a word stands before it.
#[inline(never)]
fn closes_string(view: &[u8], i: usize) -> bool {
    i > 0 && matches!(at(view, i - 1), b'"' | b'\'') && (i == 1 || is_word(at(view, i - 2)))
}

/// A command before the separator at `i` that ends the value: `id|` and `/usr/bin/id;`.
fn ended(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    if i <= 1 {
        return;
    }
    let Some(command) = command(view, 0) else { return };
    let argument = at(view, i) != b';' && i < 80 && tail(view, command.end, &mut passed.ahead) == Tail::Argument;
    if argument || skip_space(view, command.end) == i {
        findings.report(Rule::CommandSeparator);
    }
}

/// Whether the command is a word of a list, which has nothing else of a shell.
fn is_listed(view: &[u8], command: &Command, tail: Tail, passed: &mut Passed) -> bool {
    !command.disguised
        && matches!(tail, Tail::End | Tail::LastWord)
        && (command.known == Known::Weak || is_language(view, command))
        && passed.lists(view)
}

/// Whether the separator at `i` and a command with nothing after it read as prose or a table: `tips & more`, `| id |`.
fn prose(view: &[u8], i: usize, after: usize, command: &Command, tail: Tail, passed: &mut Passed) -> bool {
    if tail != Tail::End || after > i + 1 || at(view, after) > b' ' {
        return false;
    }
    let next = skip_space(view, command.end);
    if i <= 2 {
        return at(view, i) == b'|'
            && at(view, next) == b'|'
            && next > command.end
            && skip_space(view, next + 1) < view.len();
    }
    match at(view, i) {
        b'|' => at(view, next) == b'|' || command.known == Known::Weak && passed.spaced(view, i),
        b'&' => command.known == Known::Weak,
        _ => command.known == Known::Weak && passed.spaced(view, i),
    }
}

/// Whether the command runs another that has an argument or ends the line: `env cat /etc/passwd`, `timeout 5 whoami`.
fn runs_another(view: &[u8], command: &Command, passed: &mut Passed) -> bool {
    const CARRIERS: [&[u8]; 6] = [b"env", b"exec", b"nice", b"nohup", b"time", b"timeout"];
    let name = cut(view, command.end.saturating_sub(7), command.end);
    (command.known == Known::Prefix || CARRIERS.iter().any(|carrier| ends_with(name, carrier)))
        && carried(view, command.end).is_some_and(|inner| match tail(view, inner.end, &mut passed.ahead) {
            Tail::Argument => true,
            Tail::End => inner.known == Known::Strong || ends_with(cut(view, 0, inner.end), b" id"),
            _ => false,
        })
}

/// `net user`, `reg add`, `su root` and the like: commands whose argument is a word.
fn has_subcommand(view: &[u8], command: &Command, start: usize) -> bool {
    const SUB: [(&[u8], &[&[u8]]); 6] = [
        (
            b"net",
            &[b"user", b"view", b"localgroup", b"group", b"use", b"start", b"stop", b"share", b"accounts", b"session"],
        ),
        (b"reg", &[b"add", b"query", b"delete", b"save", b"export"]),
        (b"sc", &[b"query", b"stop", b"start", b"create", b"config"]),
        (b"netsh", &[b"firewall", b"advfirewall", b"interface", b"wlan"]),
        (b"ip", &[b"a", b"addr", b"neigh"]),
        (b"su", &[b"root", b"-"]),
    ];
    let begin = skip_space(view, start);
    if !matches!(at(view, begin) | 0x20, b'n' | b'r' | b's' | b'i') {
        return false;
    }
    let name = cut(view, begin, command.end);
    let next = skip_space(view, command.end);
    SUB.iter().any(|(first, seconds)| {
        name.eq_ignore_ascii_case(first)
            && seconds.iter().any(|second| starts_at(view, next, second) && !is_word(at(view, next + second.len())))
    })
}

/// A line that is a command, in a short value whose first line is a single word.
#[inline(never)]
fn new_line(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    if cut(view, 0, i).contains(&b' ') {
        return;
    }
    let Some(command) = command(view, i + 1) else {
        let variable = at(view, i + 1) == b'$' && runs_variable(view, i, i + 2);
        if variable || is_globbed(view, i + 1) {
            findings.report(Rule::CommandSeparator);
        }
        return;
    };
    let tail = tail(view, command.end, &mut passed.ahead);
    if is_run(view, &command, tail) && !is_listed(view, &command, tail, passed) {
        findings.report(Rule::CommandSeparator);
    }
}
