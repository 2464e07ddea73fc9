//! Script by its calls and objects: what shows that a string of it is closed, and what is called then.

use super::super::bytes::{Words, at, contains, cut, equals_at, from, is_one_of, is_word, starts_at};
use super::super::rules::{Findings, Rule};
use super::super::work::spend;
use super::Page;

/// What the name of a call costs, that of an object, and what else one of the browser's.
const CALL: usize = 24;
const OBJECT: usize = 8;
const GLOBAL: usize = 24;

/// Calls that show injected script, or run what is given to them.
const CALLS: &[&[u8]] =
    &[b"alert", b"confirm", b"prompt", b"eval", b"print", b"execscript", b"settimeout", b"setinterval", b"fetch"];
/// Those of a proof of concept.
pub(super) const SHOWS: &[&[u8]] = &[b"alert", b"confirm", b"prompt"];
/// What may stand between the name of a function and the bracket that calls it.
const ENDINGS: [&[u8]; 5] = [b"?.", b".call", b".apply", b".bind", b"/**/"];
/// Functions that run a string.
static EVALUATES: Words = Words::new(&["eval", "execscript", "setinterval", "settimeout"]);
/// Functions that call what they are given.
static ITERATES: Words = Words::new(&["every", "filter", "find", "findindex", "foreach", "map", "some", "sort"]);
/// Objects from which a script reaches everything.
static GLOBALS: Words = Words::new(&[
    "document",
    "frames",
    "globalthis",
    "jquery",
    "location",
    "navigator",
    "parent",
    "reflect",
    "self",
    "this",
    "top",
    "window",
]);
/// What a script makes to send or to load something.
const MAKES: &[&[u8]] = &[b"eventsource", b"image", b"websocket", b"worker", b"xmlhttprequest"];
/// The longest text that is read as a script.
const MAX_TEXT: usize = 256;
/// The longest value that shows no more than that script runs.
const MAX_SHOWN: usize = 80;
/// The longest name of a call that is looked at.
const MAX_NAME: usize = 14;

impl Page<'_> {
    /// `(` or a backquote at `i`: a call that shows injected script?
    #[inline(never)]
    pub(super) fn call(&mut self, i: usize, findings: &mut Findings) {
        let view = self.view;
        let mut end = i;
        while end > 0 && matches!(at(view, end - 1), b' ' | b')' | b'\t' | b'\n') {
            end -= 1;
        }
        spend(CALL);
        let indirect = self.is_indirect(i, end);
        let end = indirect.unwrap_or(end);
        let start = word_start(view, end);
        let name = cut(view, start, end);
        if indirect.is_some() && is_one_of(name, SHOWS) {
            findings.report(Rule::XssScriptAccess);
            return;
        }
        if !(4..=MAX_NAME).contains(&name.len()) {
            return;
        }
        if !is_one_of(name, CALLS) {
            self.other_call(i, name, start, findings);
            return;
        }
        // Lines of Python begin with it as well.
        if self.breaks_script(start, name.eq_ignore_ascii_case(b"print")) {
            findings.report(Rule::XssScriptBreakout);
            return;
        }
        // The usual proof of concept as the whole value, and code that is decoded before it runs.
        // A comment of a script ends with its line, and what a template begins is script of its own.
        let placed = || {
            at(view, start.wrapping_sub(1)) == b'\n'
                || view.starts_with(b"{{")
                || self.begins_script(start)
                || is_global(view, start)
        };
        let shows = is_one_of(name, SHOWS) && end == i && view.len() < MAX_SHOWN && placed();
        let argument = cut(view, i + 1, i + 16);
        let decodes =
            [&b"atob("[..], b"unescape(", b"string.from", b"location"].iter().any(|call| starts_at(argument, 0, call));
        let ends = at(view, start.wrapping_sub(1)) == b';' || EVALUATES.contains(name) && is_assembled(view, i);
        let assembles = ends && self.begins_script(start);
        if shows || decodes || assembles {
            findings.report(Rule::XssScriptAccess);
        }
    }

    /// A call of none of [`CALLS`].
    fn other_call(&mut self, i: usize, name: &[u8], start: usize, findings: &mut Findings) {
        if name.eq_ignore_ascii_case(b"expression") && self.styled(start) {
            findings.report(Rule::XssStyle);
        }
        let constructs = is_one_of(name, &[b"constructor", b"function"]) && is_assembled(self.view, i)
            || name.eq_ignore_ascii_case(b"constructor")
                && at(self.view, start.wrapping_sub(1)) == b'.'
                && runs_text(self.view, i);
        if constructs || name.eq_ignore_ascii_case(b"fromcharcode") {
            findings.report(Rule::XssScriptAccess);
        }
        let created = if starts_at(self.view, start.wrapping_sub(4), b"new ") { start - 4 } else { start };
        let runs = name == b"Function" || name == b"import" && at(self.view, i) == b'(';
        let makes = at(self.view, i) == b'('
            && (name.eq_ignore_ascii_case(b"open") || created < start && is_one_of(name, MAKES));
        if runs && (self.breaks_script(created, false) || created > 0 && self.begins_script(created))
            || makes && self.breaks_first(created)
        {
            findings.report(Rule::XssScriptBreakout);
        }
    }

    /// Whether the first quote of the value closes a script's string before `i`, on the same line. A program has another before it,
    /// which opens the string.
    #[inline(never)]
    fn breaks_first(&mut self, i: usize) -> bool {
        let closing = self.closing_quote(i, true);
        closing.is_some() && closing == self.quote_before(i)
    }

    /// Whether a script's string is closed, and what shows an attack given another name or the page another place by the `name` at
    /// `start` and the value at `i`: `';a=alert;a(7)//`, `';location=name//`.
    #[inline(never)]
    pub(super) fn hands_on(&mut self, start: usize, name: &[u8], i: usize) -> bool {
        let view = self.view;
        let shows = |show: &&[u8]| equals_at(view, i, show) && matches!(at(view, i + show.len()), b';' | b',');
        let shown = matches!(at(view, i) | 0x20, b'a' | b'c' | b'p') && SHOWS.iter().any(shows);
        if !(shown || name.eq_ignore_ascii_case(b"location") && at(view, i) != b'=') {
            return false;
        }
        let declared = [&b"let "[..], b"var "].iter().any(|word| start >= 4 && starts_at(view, start - 4, word));
        self.breaks_first(if declared { start - 4 } else { start })
    }

    /// Where the name of a call ends that is not made by its name alone: `alert?.(`, `(alert)(`, `alert.call(`, `alert/**/(`,
    /// `[1].map(alert)`. The bracket is at `i`, and what has no space and closing brackets before it ends at `end`.
    fn is_indirect(&self, i: usize, end: usize) -> Option<usize> {
        let view = self.view;
        if let Some(name) = SHOWS.iter().find(|name| starts_at(view, i + 1, name)) {
            let given = i + 1 + name.len();
            let iterates = at(view, given) == b')' && ITERATES.contains(cut(view, word_start(view, end), end));
            return iterates.then_some(given);
        }
        // `(alert)(7)`, `(0,alert)(7)`
        let before = at(view, word_start(view, end).wrapping_sub(1));
        if i == end + 1 && at(view, end) == b')' && before > b' ' && before.is_ascii_punctuation() {
            return Some(end);
        }
        let ends = |ending: &[u8]| end >= ending.len() && starts_at(view, end - ending.len(), ending);
        ENDINGS.iter().find(|ending| ends(ending)).map(|ending| end - ending.len())
    }

    /// Whether a script could begin at `i`: with the value, behind a brace or behind what ends an expression in it.
    fn begins_script(&self, i: usize) -> bool {
        let before = cut(self.view, 0, i);
        if i == 0 || i <= 3 && before.last() == Some(&b'{') {
            return true;
        }
        before.len() <= 12
            && !before.iter().any(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
            && before.last().is_some_and(|byte| b";-+*/|&,?:^%<>=!~)}".contains(byte))
            && (before.len() > 1 || matches!(before, b";" | b"-"))
    }

    /// Whether a script's string is closed before `i`: a quote and operators or statement ends, and nothing else; on the same
    /// line where it must be.
    fn breaks_script(&self, i: usize, same_line: bool) -> bool {
        self.closing_quote(i, same_line).is_some()
    }

    /// The quote that closes a script's string so before `i`.
    #[inline(never)]
    fn closing_quote(&self, i: usize, same_line: bool) -> Option<usize> {
        let view = self.view;
        let mut pos = i;
        let mut marks = 0;
        // No name is passed, so that what stands between two is read once.
        while pos > 0 {
            spend(1);
            match at(view, pos - 1) {
                b';' | b'-' | b'+' | b'*' | b'/' | b'^' | b'%' | b'|' | b'&' | b',' | b'?' | b':' | b'<' | b'>'
                | b'=' | b'!' | b'~' => marks += 1,
                b'\n' if same_line => return None,
                b'(' | b')' | b'}' | b'{' | b'[' | b']' | b' ' | b'\n' | b'\r' | b'\t' => {}
                b'\'' | b'"' | b'`' => {
                    let before = at(view, pos.wrapping_sub(2));
                    let closes = marks > 0 && (pos == 1 || before > b' ' && before != b'(' && before != b',');
                    return closes.then_some(pos - 1);
                }
                _ => return None,
            }
            pos -= 1;
        }
        None
    }

    fn styled(&self, i: usize) -> bool {
        let before = cut(self.view, i.saturating_sub(120), i);
        contains(before, b"style") || self.tag.is_some() && before.contains(&b':')
    }

    /// Whether what the mark at `i` reaches is called, assigned or indexed.
    fn acts(&mut self, i: usize) -> bool {
        let view = self.view;
        if !at(view, i + 1).is_ascii_alphabetic() && !b"\"'`(/".contains(&at(view, i + 1)) {
            return false;
        }
        if at(view, i) == b'[' {
            return self.passed.has_call(view, i);
        }
        let member = from(view, i + 1).iter().take(40).take_while(|&&byte| is_word(byte) || byte == b'.').count();
        spend(member);
        let end = i + 1 + member;
        match at(view, end) {
            b'(' | b'`' | b'[' => true,
            b'=' => at(view, end + 1) != b'=',
            _ => false,
        }
    }

    /// `.` at `i`: `document.cookie` and the like.
    #[inline(never)]
    pub(super) fn access(&mut self, i: usize, findings: &mut Findings) {
        let view = self.view;
        let start = word_start(view, i);
        let object = cut(view, start, i);
        spend(OBJECT);
        let dollar = object.is_empty() && i > 0 && at(view, i - 1) == b'$';
        if dollar || GLOBALS.contains(object) {
            spend(GLOBAL);
            let start = start - usize::from(dollar);
            // These begin many a line of a program.
            let usual = dollar || is_one_of(object, &[b"this", b"jquery", b"document", b"self", b"parent"]);
            let reflects = object.eq_ignore_ascii_case(b"reflect");
            let named = reflects || at(view, i) == b'[' && matches!(at(view, i + 1), b'"' | b'\'');
            if named && self.breaks_first(start) {
                findings.report(Rule::XssScriptBreakout);
                return;
            }
            if !reflects && self.acts(i) && (self.breaks_script(start, usual) || start > 0 && self.begins_script(start))
            {
                findings.report(Rule::XssScriptBreakout);
                return;
            }
        }
        if !(3..=11).contains(&object.len()) {
            return;
        }
        let computes: [&[u8]; 3] = [b"frames", b"globalthis", b"parent"];
        let reaches = is_one_of(object, &[b"document", b"window", b"self", b"top", b"location", b"constructor"]);
        if !(reaches || at(view, i) == b'[' && is_one_of(object, &computes)) {
            return;
        }
        let rest = cut(view, i + 1, i + 24);
        if at(view, i) == b'[' {
            // `top["al"+"ert"]`, `top[/al/.source+"ert"]`, `top[8680439..toString(30)]`
            let computed = matches!(at(rest, 0), b'"' | b'\'' | b'`' | b'/') || contains(rest, b"..tostring(");
            if computed && (start == 0 || self.tag.is_some()) && self.passed.has_call(view, i) {
                findings.report(Rule::XssScriptAccess);
            }
            return;
        }
        let reads = object.eq_ignore_ascii_case(b"document")
            && (starts_at(rest, 0, b"cookie")
                || starts_at(rest, 0, b"write(")
                || starts_at(rest, 0, b"writeln(")
                || starts_at(rest, 0, b"domain)"));
        let moves = object.eq_ignore_ascii_case(b"window")
            && (starts_at(rest, 0, b"location=") || starts_at(rest, 0, b"location ="));
        let constructs = object.eq_ignore_ascii_case(b"constructor") && starts_at(rest, 0, b"constructor(");
        if constructs
            || (reads || moves)
                && (self.tag.is_some()
                    || self.quote_before(i).is_some()
                    || start == 0 && memchr::memchr2(b'(', b'=', view).is_some())
        {
            findings.report(Rule::XssScriptAccess);
        }
    }
}

/// Whether the call at `i` makes a function of a text and calls it: `.constructor('f(7)')()`.
#[inline(never)]
fn runs_text(view: &[u8], i: usize) -> bool {
    let bracket = usize::from(at(view, i) == b'(');
    let start = i + 1 + bracket;
    let quote = at(view, start - 1);
    if !matches!(quote, b'"' | b'\'' | b'`') {
        return false;
    }
    spend(CALL);
    let text = cut(view, start, start + MAX_TEXT);
    let end = text.iter().position(|&byte| byte == quote).map(|len| start + len + 1);
    let called = |end: usize| matches!(at(view, end + bracket), b'(' | b'`') && (bracket == 0 || at(view, end) == b')');
    end.is_some_and(called)
}

/// Whether the value begins with an object of the browser whose member begins at `start`: `window.alert(7)`.
fn is_global(view: &[u8], start: usize) -> bool {
    (1..=MAX_NAME).contains(&start) && at(view, start - 1) == b'.' && GLOBALS.contains(cut(view, 0, start - 1))
}

/// Whether the call at `i` is given a string that is put together of pieces, so that none of them names what it does.
fn is_assembled(view: &[u8], i: usize) -> bool {
    let argument = cut(view, i + 1, i + 24);
    let quote = at(argument, 0);
    matches!(quote, b'"' | b'\'' | b'`')
        && argument.windows(3).any(|piece| matches!(piece, [left, b'+', right] if *left == quote && *right == quote))
}

/// Where the word that ends before `end` begins.
fn word_start(view: &[u8], end: usize) -> usize {
    let mut start = end;
    while start > 0 && end - start < 40 && is_word(at(view, start - 1)) {
        start -= 1;
    }
    start
}
