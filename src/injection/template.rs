//! Template engines, expression languages and naming lookups: what runs between their delimiters.

use super::bytes::{at, contains, cut, equals_at, find, from, is_word, next_of, skip_space, starts_at};
use super::needles::Needles;
use super::rules::{Findings, Rule};
use super::triggers::{Bytes, Trigger};
use super::work::spend;

/// Where a template is looked at: what opens an expression, and parts of names that lead out of one.
pub(super) const TRIGGERS: [Trigger; 8] = [
    Trigger::new(Bytes::of(b"$%#*!~@{"), b"{", Bytes::ANY),
    Trigger::new(Bytes::ANY, b"{<", Bytes::of(b"%#$")),
    Trigger::new(Bytes::ANY, b"[", Bytes::of(b"#")),
    Trigger::new(Bytes::ANY, b"j", Bytes::of(b"aA")),
    Trigger::new(Bytes::ANY, b"#", Bytes::of(b"_sSeE")),
    Trigger::new(Bytes::of(b"rR_"), b"[", Bytes::ANY),
    Trigger::new(Bytes::of(b"rR"), b".", Bytes::ANY),
    Trigger::new(Bytes::of(b"eE"), b"(", Bytes::of(b")")),
];

/// What an expression costs beside its length.
const EXPRESSION: usize = 120;
/// What a variable costs before it is known whether it is a lookup.
const VARIABLE: usize = 32;
/// The longest name of a lookup.
const MAX_NAME: usize = 24;
/// How far an expression is read for what prose may hold as well.
const REACH: usize = 400;

/// Names that stand in no harmless value that has code in it.
static EVERYWHERE: Needles =
    Needles::new(&[b"java.lang.runtime", b"java.lang.processbuilder", b"javax.script.scriptengine", b"#_memberaccess"]);

/// What a naming lookup begins with.
static LOOKUPS: Needles = Needles::new(&[
    b"jndi:",
    b"lower:",
    b"upper:",
    b"env:",
    b"sys:",
    b"java:",
    b"main:",
    b"ctx:",
    b"::-",
    b"base64:",
    b"bundle:",
    b"dns:address",
    b"docker:",
    b"k8s:",
    b"log4j:config",
    b"script:",
    b"url:utf",
    b"web:rootdir",
]);

/// What an expression reaches for to leave its template.
static REACHES: Needles = Needles::new(&[
    b"__class__",
    b"__globals__",
    b"__init__",
    b"__import__",
    b"__builtins__",
    b"__mro__",
    b"__subclasses__",
    b"__base__",
    b"_templatereference",
    b".mro(",
    b"subclasses()",
    b"getclass",
    b"forname(",
    b"getruntime",
    b"processbuilder",
    b"t(java",
    b"java.lang",
    b".constructor",
    b"\"constructor\"",
    b"'constructor'",
    b"system(",
    b"popen(",
    b"|filter('",
    b"|attr(",
    b"|map('",
    b"?new()",
    b"file.open",
    b"file.read",
    b"dir.entries",
    b"%x(",
    b"getenv",
    b"new java.",
    b"_memberaccess",
    b"#context",
    b"#request",
    b"#application",
    b"facescontext",
    b"registerundefinedfiltercallback",
    b".server.all",
    b"request.application",
    b"exec(",
    b"passthru",
    b"phpinfo",
    b"self.env",
    b"require(",
    b"require.main",
    b"child_process",
    b"process.",
    b"eval(",
    b"sleep(",
    b"read()",
    b"config.items",
    b"dump(",
    b"/etc/",
    b"`",
    b"ex(",
    b"secret_key",
    b"request.environ",
    b"lipsum",
    b"cycler",
    b"joiner.",
    b"config[",
    b"|sort('",
    b"|reduce('",
]);

/// Directives of FreeMarker, Smarty, Jinja and Velocity that load, assign or show what no client should.
static DIRECTIVES: Needles = Needles::new(&[
    b"<#assign ",
    b"<#list ",
    b"<#include ",
    b"<#import ",
    b"{$smarty",
    b"{%print(",
    b"{% print(",
    b"#set($",
    b"#set ($",
    b"#set( $",
    b"#evaluate(",
]);

/// Those of [`REACHES`] that no text between distant delimiters holds by chance.
static FAR: Needles = Needles::new(&[
    b"__class__",
    b"__globals__",
    b"__init__",
    b"__import__",
    b"__builtins__",
    b"__mro__",
    b"__subclasses__",
    b"__base__",
    b"getruntime",
    b"processbuilder",
    b"java.lang",
]);

/// Whether `left` ends before `i` and `right` begins there.
#[inline]
fn joins(view: &[u8], i: usize, left: &[u8], right: &[u8]) -> bool {
    i >= left.len()
        && at(view, i - 1) | 0x20 == at(left, left.len() - 1) | 0x20
        && starts_at(view, i, right)
        && starts_at(view, i - left.len(), left)
}

/// What ends an expression.
#[derive(Clone, Copy)]
enum Close {
    Brace,
    Braces,
    Percent,
    Bracket,
}

impl Close {
    const fn text(self) -> &'static [u8] {
        match self {
            Self::Brace => b"}",
            Self::Braces => b"}}",
            Self::Percent => b"%",
            Self::Bracket => b"]",
        }
    }
}

/// A view and what is already known of it, so that nested delimiters do not cost their square.
pub(super) struct Template<'a> {
    view: &'a [u8],
    /// Names have been looked for up to here.
    searched: usize,
    /// For each kind of end: from where it was looked for last, and the place found.
    closes: [(usize, Option<usize>); 4],
    /// From where a colon or a closing brace was looked for last, and where one was found.
    colon: Option<(usize, usize)>,
    /// A name stands somewhere that has no business in a value with code in it.
    internals: bool,
}

impl<'a> Template<'a> {
    pub(super) fn new(view: &'a [u8]) -> Self {
        Self { view, searched: 0, closes: [(0, None); 4], colon: None, internals: false }
    }

    /// Reports what the mark `byte` at `i` would run; marks are read in their order.
    #[inline(never)]
    pub(super) fn read(&mut self, i: usize, byte: u8, findings: &mut Findings) {
        let view = self.view;
        if (byte == b'#' || matches!(at(view, i + 1), b'#' | b'$' | b'%')) && DIRECTIVES.any_at(view, i) {
            findings.report(Rule::TemplateExpression);
        }
        match byte {
            b'{' => self.brace(i, findings),
            b'<' if at(view, i + 1) == b'%' => self.expression(i + 2, Close::Percent, findings),
            b'[' if at(view, i + 1) == b'#' => self.expression(i + 2, Close::Bracket, findings),
            b'j' | b'#' => self.internals |= EVERYWHERE.any_at(view, i),
            _ => {}
        }
        self.internals |= match byte {
            b'[' => joins(view, i, b"constructor", b"[prototype]") || joins(view, i, b"__proto__", b"["),
            b'.' => {
                if leads_to_loader(view, i) {
                    findings.report(Rule::TemplateObject);
                }
                joins(view, i, b"constructor", b".prototype") || joins(view, i, b"freemarker", b".template.utility")
            }
            b'(' => joins(view, i, b"getruntime", b"().exec"),
            _ => false,
        };
    }

    /// Reports what only the whole view tells.
    pub(super) fn finish(&self, findings: &mut Findings) {
        if starts_at(self.view, 0, b"@(") && arithmetic(cut(self.view, 2, 64)) {
            findings.report(Rule::TemplateExpression);
        }
        let inner = self.view.trim_ascii().strip_prefix(b"{{").and_then(|rest| rest.strip_suffix(b"}}"));
        if inner.is_some_and(|name| [&b"config"[..], b"self"].contains(&name.trim_ascii())) {
            findings.report(Rule::TemplateObject);
        }
        // A bracket or another sign of code.
        if self.internals && self.view.iter().any(|byte| b"{<[(#".contains(byte)) {
            findings.report(Rule::TemplateObject);
        }
    }

    /// `{` at `i`.
    fn brace(&mut self, i: usize, findings: &mut Findings) {
        let view = self.view;
        let before = if i == 0 { 0 } else { at(view, i - 1) };
        match before {
            b'$' | b'%' => {
                spend(VARIABLE);
                let nested = starts_at(view, i + 1, b"${") && self.has_colon(i + 3);
                let name = skip_space(view, i + 1);
                if nested || LOOKUPS.any_at(view, name) || self.parts_name(i, name) {
                    findings.report(Rule::TemplateLookup);
                }
                // A call of PHP, a variable of FreeMarker's own, one that OGNL sets.
                let special = before == b'$' && at(view, i + 1) == b'@'
                    || at(view, i + 1) == b'.' && at(view, i + 2).is_ascii_alphabetic()
                    || starts_at(view, i + 1, b"(#");
                if special {
                    findings.report(Rule::TemplateExpression);
                }
                self.expression(i + 1, Close::Brace, findings);
            }
            b'#' | b'*' | b'!' | b'~' | b'@' => self.expression(i + 1, Close::Brace, findings),
            b'{' => self.expression(i + 1, Close::Braces, findings),
            _ if at(view, i + 1) == b'%' => self.expression(i + 2, Close::Percent, findings),
            _ => {}
        }
    }

    /// The expression from `start` up to `close`.
    fn expression(&mut self, start: usize, close: Close, findings: &mut Findings) {
        let Some(end) = self.close(start, close) else { return };
        spend(EXPRESSION);
        let start = skip_space(self.view, start).min(end);
        if arithmetic(cut(self.view, start, end.min(start + 64))) {
            findings.report(Rule::TemplateExpression);
        }
        let from = start.max(self.searched.saturating_sub(40));
        let reaches = if end - start <= REACH { &REACHES } else { &FAR };
        spend(end.saturating_sub(from));
        if from < end && reaches.any_in(cut(self.view, from, end)) {
            findings.report(Rule::TemplateObject);
        }
        self.searched = self.searched.max(end);
    }

    /// Whether the `${` before `i` stands inside the name of another lookup and gives a letter of it: `${j${x:-n}di:`.
    fn parts_name(&mut self, i: usize, name: usize) -> bool {
        let view = self.view;
        let before = cut(view, i.saturating_sub(MAX_NAME), i - 1);
        let part = before.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
        part > 0
            && before.get(..before.len() - part).is_some_and(|outer| outer.ends_with(b"${"))
            && self.has_colon(name)
            && self.colon.is_some_and(|(_, colon)| contains(cut(view, colon, colon + MAX_NAME), b":-"))
    }

    /// Whether a colon stands between `start` and the next `}`.
    fn has_colon(&mut self, start: usize) -> bool {
        let place = match self.colon {
            Some((since, place)) if since <= start && start <= place => place,
            _ => {
                let place = next_of(b':', b'}', from(self.view, start)).map_or(self.view.len(), |len| start + len);
                spend((place - start) / 8);
                self.colon = Some((start, place));
                place
            }
        };
        at(self.view, place) == b':'
    }

    fn close(&mut self, start: usize, close: Close) -> Option<usize> {
        let slot = self.closes.get_mut(close as usize)?;
        let known = slot.0 <= start && slot.0 > 0 && slot.1.is_none_or(|end| end >= start);
        if !known {
            *slot = (start.max(1), find(self.view, start, close.text()));
        }
        slot.1
    }
}

/// Whether the name of a property before the dot at `i` leads from an object to what loads its class: `class.module.classLoader.x`.
#[inline(never)]
fn leads_to_loader(view: &[u8], i: usize) -> bool {
    const WAYS: [&[u8]; 2] = [b"class.classloader", b"class.module.classloader"];
    if at(view, i.wrapping_sub(1)) | 0x20 != b'r' || at(view, i.wrapping_sub(2)) | 0x20 != b'e' {
        return false;
    }
    WAYS.iter().any(|way| {
        let before = i.wrapping_sub(way.len() + 1);
        (i == way.len() || i > way.len() && !(is_word(at(view, before)) || at(view, before) == b'.'))
            && equals_at(view, i - way.len(), way)
    })
}

/// `7*7`, `7*'7'`, `= 7 + 7`.
fn arithmetic(body: &[u8]) -> bool {
    let mut i = skip_space(body, 0);
    while matches!(at(body, i), b'=' | b'-' | b'{' | b'(') {
        i = skip_space(body, i + 1);
    }
    let digits = |i: usize| from(body, i).iter().take_while(|&&byte| byte.is_ascii_digit() || byte == b'.').count();
    let quoted = |i: usize| usize::from(matches!(at(body, i), b'\'' | b'"'));
    i += quoted(i);
    let first = digits(i);
    if first == 0 {
        return false;
    }
    i += first;
    i += quoted(i);
    i = skip_space(body, i);
    if !matches!(at(body, i), b'*' | b'+' | b'-' | b'/' | b'%' | b'^') {
        return false;
    }
    while matches!(at(body, i), b'*' | b'+' | b'-' | b'/' | b'%' | b'^' | b'(' | b' ' | b'\'' | b'"') {
        i += 1;
    }
    let second = digits(i);
    i += second;
    i += quoted(i);
    second > 0 && matches!(at(body, skip_space(body, i)), 0 | b'}' | b')' | b'|' | b'*' | b'+' | b'-')
}
