//! Calls, tags and command lines that hand a command to a shell or an interpreter.

use super::super::bytes::{at, contains, cut, from, is_one_of, is_word, skip_space, starts_at};
use super::super::needles::Needles;
use super::super::rules::{Findings, Rule};
use super::super::work::spend;
use super::Passed;
use super::command::{Tail, command, tail};
use super::{COMMAND, MARKS};

/// Functions of interpreters that run commands or code.
pub(super) const CALLS: &[&[u8]] = &[
    b"system",
    b"exec",
    b"passthru",
    b"shell_exec",
    b"popen",
    b"proc_open",
    b"pcntl_exec",
    b"eval",
    b"assert",
    b"execsync",
    b"spawn",
];

/// `(` at `i`: a call that runs a command, or a function definition in the environment.
#[inline(never)]
pub(super) fn called(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    if at(view, i + 1) == b')' && i <= 4 {
        let brace = skip_space(view, i + 2);
        if at(view, brace) == b'{' && cut(view, 0, i).iter().all(|&byte| byte <= b' ' || byte == b'"' || byte == b'\'')
        {
            let body = cut(view, brace + 1, brace + 24);
            if contains(body, b";") && contains(body, b"}") {
                findings.report(Rule::CommandShellshock);
            }
        }
    }
    let mut start = i;
    while start > 0 && i - start < 20 && is_word(at(view, start - 1)) {
        start -= 1;
    }
    let name = cut(view, start, i);
    if name.len() < 3 {
        return;
    }
    spend(MARKS);
    if is_one_of(name, &[b"phpinfo", b"phpversion"]) && at(view, i + 1) == b')' {
        findings.report(Rule::CommandCall);
        return;
    }
    if name.eq_ignore_ascii_case(b"socket") {
        let python = start >= 7 && starts_at(view, start - 7, b"socket.") && passed.connects(view, i);
        if python || starts_at(view, i, b"(s,pf_inet") {
            findings.report(Rule::CommandShell);
        }
        return;
    }
    // A list of Python, or a text of Groovy.
    let module = start == 11 && starts_at(view, 0, b"subprocess.") && matches!(at(view, i + 1), b'"' | b'\'' | b'[');
    let text = name == b"execute" && at(view, i + 1) == b')' && start > 3 && is_quoted(cut(view, 0, start - 1));
    if module || text {
        findings.report(Rule::CommandCall);
        return;
    }
    let quote = skip_space(cut(view, 0, i + 64), i + 1);
    if hands_over(view, start, name, quote) {
        findings.report(Rule::CommandCall);
        return;
    }
    if !matches!(at(view, quote), b'"' | b'\'' | b'`' | b'$') || !is_one_of(name, CALLS) {
        return;
    }
    let quoted = matches!(at(view, quote), b'"' | b'\'' | b'`');
    let variable = at(view, quote) == b'$' && at(view, quote + 1) == b'_';
    if variable
        || quoted
            && command(view, quote + 1).is_some_and(|command| {
                matches!(tail(view, command.end, &mut passed.ahead), Tail::End | Tail::Argument | Tail::LastWord)
                    || matches!(at(view, command.end.saturating_sub(1)), b'"' | b'\'')
            })
    {
        findings.report(Rule::CommandCall);
    }
}

/// Whether the call of `name`, which begins at `start` and whose argument at `argument`, runs what is decoded or named by a text:
/// `eval(base64_decode(`, `call_user_func('system'`, `Process.Start("cmd"`.
#[inline(never)]
fn hands_over(view: &[u8], start: usize, name: &[u8], argument: usize) -> bool {
    let text = matches!(at(view, argument), b'"' | b'\'');
    if is_one_of(name, &[b"eval", b"assert", b"exec", b"system"]) {
        spend(MARKS);
        let code = argument + usize::from(text);
        return DECODERS.iter().any(|decoder| starts_at(view, code, decoder));
    }
    if text && starts_at(name, 0, b"call_user_func") {
        let named = from(view, argument + 1).iter().take(MAX_CALL).take_while(|&&byte| is_word(byte)).count();
        return is_one_of(cut(view, argument + 1, argument + 1 + named), CALLS);
    }
    text && is_one_of(name, &[b"start"]) && start >= 8 && starts_at(view, start - 8, b"process.")
}

/// What makes code of a text that does not look like it.
const DECODERS: [&[u8]; 8] = [
    b"__import__(",
    b"base64_decode(",
    b"base64.b64decode(",
    b"gzinflate(",
    b"gzuncompress(",
    b"hex2bin(",
    b"import ",
    b"str_rot13(",
];

/// The longest name of a function that is named by a text.
const MAX_CALL: usize = 16;

/// Whether `text` is a string in quotes.
fn is_quoted(text: &[u8]) -> bool {
    matches!(text, [first @ (b'"' | b'\''), .., last] if first == last)
}

/// `<` at `i`: server-side includes and PHP.
#[inline(never)]
pub(super) fn tagged(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    spend(MARKS);
    let found = match at(view, i + 1) {
        b'!' => [&b"<!--#exec"[..], b"<!--#include", b"<!--#echo", b"<!--#printenv"]
            .iter()
            .any(|tag| starts_at(view, i, tag)),
        b'?' => (starts_at(view, i, b"<?php") || starts_at(view, i, b"<?=")) && passed.coded(view, i),
        _ => false,
    };
    if found {
        findings.report(Rule::CommandCall);
    }
}

/// `/` at `i`: `/bin/sh -c`, `/dev/tcp/`.
#[inline(never)]
pub(super) fn by_path(view: &[u8], i: usize, passed: &mut Passed, findings: &mut Findings) {
    if !matches!(at(view, i + 1) | 0x20, b'b' | b'd') {
        return;
    }
    if starts_at(view, i, b"/dev/tcp/") || starts_at(view, i, b"/dev/udp/") {
        findings.report(Rule::CommandShell);
        return;
    }
    if !starts_at(view, i, b"/bin/") {
        return;
    }
    spend(COMMAND);
    let shell = [&b"sh"[..], b"bash", b"dash", b"zsh", b"ksh"].iter().any(|name| starts_at(view, i + 5, name));
    let option = matches!(cut(view, i.saturating_sub(3), i), b"-e " | b"-c ");
    if (shell || option)
        && let Some(command) = command(view, i + 5)
    {
        let run = shell
            && tail(view, command.end, &mut passed.ahead) == Tail::Argument
            && at(view, skip_space(view, command.end)) == b'-';
        if run || option {
            findings.report(Rule::CommandShell);
        }
    }
}

/// Values that are a command line from their first word on.
pub(in super::super) fn whole(view: &[u8], findings: &mut Findings) {
    let start = skip_space(view, 0);
    match at(view, start) {
        b'-' | b'=' | b'+' | b'@' => return outside(view, start, findings),
        b'"' | b'\'' => return concatenated(view, start, findings),
        _ => {}
    }
    if !matches!(at(view, start) | 0x20, b'n' | b'b' | b's' | b'p' | b'c' | b'r' | b'i' | b'm' | b'w' | b'l' | b'/') {
        return;
    }
    let interpreters: [(&[u8], &[u8]); 32] = [
        (b"nc ", b"-e"),
        (b"nc ", b"-c"),
        (b"nc ", b"-l"),
        (b"ncat ", b"-"),
        (b"netcat ", b"-"),
        (b"bash ", b"-i"),
        (b"bash ", b"-c"),
        (b"sh ", b"-c"),
        (b"powershell", b" -"),
        (b"cmd.exe ", b"/c"),
        (b"cmd ", b"/c"),
        (b"perl ", b"-e"),
        (b"python ", b"-c"),
        (b"python3 ", b"-c"),
        (b"pwsh ", b"-"),
        (b"ruby ", b"-e "),
        (b"lua ", b"-e "),
        (b"node ", b"-e "),
        (b"php ", b"-r "),
        (b"sh ", b"-i"),
        // Programs of Windows that fetch, decode or run what they are given.
        (b"bitsadmin ", b"/"),
        (b"certutil", b" -"),
        (b"cmd ", b"/k"),
        (b"cmd.exe ", b"/k"),
        (b"msiexec", b" /"),
        (b"mshta ", b":"),
        (b"reg ", b" hk"),
        (b"regsvr32 ", b"/"),
        (b"rundll32 ", b"script:"),
        (b"rundll32.exe ", b"script:"),
        (b"schtasks ", b"/"),
        (b"wmic ", b"process "),
    ];
    for (name, option) in interpreters {
        if starts_at(view, start, name) && contains(cut(view, start + name.len() - 1, start + name.len() + 12), option)
        {
            findings.report(Rule::CommandShell);
        }
    }
    let line = cut(view, 0, 512);
    let shows = [&b"cat "[..], b"/bin/cat ", b"/usr/bin/cat "].iter().any(|name| starts_at(view, start, name));
    if shows && (contains(line, b"/etc/") || contains(line, b"/proc/")) {
        findings.report(Rule::CommandShell);
    }
    let loads = [&b"iex"[..], b"invoke-expression", b"powershell"].iter().any(|name| starts_at(view, start, name));
    let fetches = [&b".downloadstring("[..], b"(iwr ", b"invoke-webrequest"].iter().any(|call| contains(line, call));
    if loads && fetches || starts_at(view, start, b"socat ") && contains(line, b"exec:") {
        findings.report(Rule::CommandShell);
    }
    let pings =
        starts_at(view, start, b"ping -") && at(view, start + 7) == b' ' && at(view, start + 8).is_ascii_digit();
    if pings || starts_at(view, start, b"rm -rf ") {
        findings.report(Rule::CommandShell);
    }
}

/// Options that make a program run what they name.
static OPTIONS: Needles = Needles::new(&[
    b"-oproxycommand=",
    b"--checkpoint-action=",
    b"--post-file=",
    b"--receive-pack=",
    b"--rsh=",
    b"--to-command=",
    b"--upload-pack=",
    b"--use-askpass=",
    b"--use-compress-program=",
]);

/// A value that begins as an option or as a formula: what other programs than a shell take for a command.
fn outside(view: &[u8], start: usize, findings: &mut Findings) {
    let line = cut(view, start, start + 512);
    let option = at(line, 0) == b'-' && OPTIONS.any_at(line, 0);
    // `=cmd|' /C calc'!A0` asks a program for the value of a cell.
    let linked = memchr::memchr(b'|', line)
        .filter(|&bar| bar > 0 && is_word(at(line, bar - 1)) && at(line, bar + 1) == b'\'')
        .is_some_and(|bar| contains(from(line, bar + 2), b"'!"));
    if option || linked {
        findings.report(Rule::CommandShell);
    }
}

/// A value that closes a string of PHP, joins a call to it and opens the string again: `'.f(7).'`.
fn concatenated(view: &[u8], start: usize, findings: &mut Findings) {
    let text = cut(view, start, start + 256).trim_ascii();
    let quote = at(text, 0);
    let name = from(text, 2).iter().take_while(|&&byte| is_word(byte)).count();
    let called = at(text, 1) == b'.' && name > 1 && at(text, 2 + name) == b'(';
    if called && matches!(text, [.., b')', b'.', last] if *last == quote) {
        findings.report(Rule::CommandCall);
    }
}
