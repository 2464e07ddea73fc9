//! Template engines, expression languages and naming lookups: what runs between their delimiters.

use super::bytes::{at, contains, cut, find, from, skip_space, starts_at};
use super::rules::{Findings, Rule};

/// How far an expression is read.
const REACH: usize = 400;

/// Reports what a template engine would run in `view`.
pub(super) fn inspect(view: &[u8], findings: &mut Findings) {
    let mut pos = 0;
    while let Some(found) = memchr::memchr3(b'{', b'<', b'[', from(view, pos)) {
        let i = pos + found;
        pos = i + 1;
        match at(view, i) {
            b'{' => brace(view, i, findings),
            b'<' if at(view, i + 1) == b'%' => expression(cut(view, i + 2, i + REACH), b"%>", findings),
            b'[' if at(view, i + 1) == b'#' => expression(cut(view, i + 2, i + REACH), b"]", findings),
            _ => {}
        }
    }
    if starts_at(view, 0, b"@(") {
        expression(cut(view, 2, REACH), b")", findings);
    }
    if JAVA.iter().any(|name| contains(view, name)) {
        findings.report(Rule::TemplateObject);
    }
}

/// Names that stand in no harmless value.
const JAVA: &[&[u8]] = &[
    b"java.lang.runtime",
    b"java.lang.processbuilder",
    b"freemarker.template.utility",
    b"javax.script.scriptengine",
    b"getruntime().exec",
    b"#_memberaccess",
    b"@java.lang.",
    b"ognl.ognlcontext",
    b"__proto__[",
    b"constructor[prototype]",
    b"constructor.prototype",
];

/// `{` at `i`.
fn brace(view: &[u8], i: usize, findings: &mut Findings) {
    let before = if i == 0 { 0 } else { at(view, i - 1) };
    let inside = cut(view, i + 1, i + REACH);
    match before {
        b'$' | b'%' => {
            lookup(inside, findings);
            if before == b'$' && at(inside, 0) == b'@' {
                findings.report(Rule::TemplateExpression);
            }
            expression(inside, b"}", findings);
        }
        b'#' | b'*' | b'!' | b'~' | b'@' => expression(inside, b"}", findings),
        b'{' => expression(inside, b"}}", findings),
        _ if at(inside, 0) == b'%' => expression(from(inside, 1), b"%}", findings),
        _ => {}
    }
}

/// `${jndi:...}` and what spells it out of parts.
fn lookup(inside: &[u8], findings: &mut Findings) {
    let names: [&[u8]; 10] =
        [b"jndi:", b"lower:", b"upper:", b"env:", b"sys:", b"java:", b"main:", b"ctx:", b"::-", b"base64:"];
    let nested = starts_at(inside, 0, b"${") && cut(inside, 0, 64).contains(&b':');
    if nested || names.iter().any(|name| starts_at(inside, 0, name)) {
        findings.report(Rule::TemplateLookup);
    }
}

/// What an expression reaches for to leave its template.
const REACHES: &[&[u8]] = &[
    b"__class__",
    b"__globals__",
    b"__init__",
    b"__import__",
    b"__builtins__",
    b"__mro__",
    b"__subclasses__",
    b"__base__",
    b"_mmarker",
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
    b"system(",
    b"popen(",
    b"|filter('",
    b"|attr(",
    b"|map('",
    b"?new()",
    b"file.open",
    b"file.read",
    b"getenv",
    b"new java.",
    b"os.system",
    b"_memberaccess",
    b"#context",
    b"#request",
    b"#application",
    b"registerundefinedfiltercallback",
    b"getfilter(",
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
    b"`",
    b"ex(",
];

/// The expression at the beginning of `inside`, up to `close`.
fn expression(inside: &[u8], close: &[u8], findings: &mut Findings) {
    let Some(end) = find(inside, 0, close) else {
        // Nested braces may hide the end; the names still count.
        if REACHES.iter().take(10).any(|name| contains(inside, name)) {
            findings.report(Rule::TemplateObject);
        }
        return;
    };
    let body = cut(inside, 0, end);
    if arithmetic(body) {
        findings.report(Rule::TemplateExpression);
    }
    if REACHES.iter().any(|name| contains(body, name)) {
        findings.report(Rule::TemplateObject);
    }
}

/// `7*7`, `7*'7'`, `= 7 + 7`.
fn arithmetic(body: &[u8]) -> bool {
    let mut i = skip_space(body, 0);
    if matches!(at(body, i), b'=' | b'-' | b'{') {
        i = skip_space(body, i + 1);
    }
    let digits = |i: usize| from(body, i).iter().take_while(|byte| byte.is_ascii_digit()).count();
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
    while matches!(at(body, i), b'*' | b'+' | b'-' | b'/' | b'%' | b'^' | b' ' | b'\'' | b'"') {
        i += 1;
    }
    let second = digits(i);
    i += second;
    i += quoted(i);
    second > 0 && matches!(at(body, skip_space(body, i)), 0 | b'}' | b'|' | b'*' | b'+' | b'-')
}
