//! The operator's own patterns. A regular expression runs only on values that hold the literal it cannot match without:
//! the engine is small rather than fast.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use memchr::memmem::Finder;
use regex_lite::Regex;

use crate::checks::inspect::Hit;
use crate::denial::Place;

/// The shortest literal worth looking for.
const SHORTEST_LITERAL: usize = 3;

/// One pattern.
#[derive(Debug)]
pub struct Pattern {
    id: String,
    regex: Regex,
    /// Lower-case.
    literal: Finder<'static>,
    /// Where it is looked for.
    pub places: Vec<Place>,
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternError {
    /// Not a regular expression; the message says where.
    Syntax(String),
    /// There is no literal of three characters that every match must hold, so it would have to run on every value.
    NoLiteral,
}

impl std::fmt::Display for PatternError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax(message) => write!(formatter, "not a regular expression: {message}"),
            Self::NoLiteral => formatter.write_str(
                "expected a literal of at least three characters outside groups, classes and alternatives, \
                 which every match must hold",
            ),
        }
    }
}

impl Pattern {
    /// Compiles `regex`.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn new(id: &str, regex: &str, places: Vec<Place>) -> Result<Self, PatternError> {
        let compiled = Regex::new(regex).map_err(|error| PatternError::Syntax(error.to_string()))?;
        let literal = required_literal(regex).ok_or(PatternError::NoLiteral)?;
        let literal = Finder::new(literal.to_ascii_lowercase().as_bytes()).into_owned();
        Ok(Self { id: id.to_owned(), regex: compiled, literal, places })
    }

    /// Its name in the configuration.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the value holds a match. Linear in its length.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.literal.find(&value.to_ascii_lowercase()).is_some() && self.regex.is_match(&String::from_utf8_lossy(value))
    }

    /// What an event says of a match.
    pub(super) fn hit(&self) -> Hit {
        Hit { rule: Cow::Owned(self.id.clone()), class: "custom", score: 10 }
    }
}

/// The longest literal that every match of `regex` holds, ignoring case; `None` below [`SHORTEST_LITERAL`] bytes.
///
/// Looks at the top level only: groups, classes and escapes of classes end a run, a quantifier that allows none takes
/// its character back, and an alternative at the top level makes everything optional.
fn required_literal(regex: &str) -> Option<String> {
    if is_verbose(regex) {
        return None;
    }
    let (mut best, mut run) = (String::new(), String::new());
    let mut depth = 0_usize;
    let mut characters = regex.chars().peekable();
    while let Some(character) = characters.next() {
        let literal = match character {
            '\\' => escaped(&mut characters),
            '[' => {
                skip_class(&mut characters);
                None
            }
            '(' => {
                depth += 1;
                None
            }
            ')' => {
                depth = depth.saturating_sub(1);
                None
            }
            '|' if depth == 0 => return None,
            '{' => {
                let _ = characters.by_ref().find(|c| *c == '}');
                run.pop();
                None
            }
            '?' | '*' => {
                run.pop();
                None
            }
            '.' | '^' | '$' | '+' | '|' => None,
            plain => Some(plain),
        };
        match literal.filter(|_| depth == 0) {
            Some(literal) => run.push(literal),
            None => keep_longer(&mut best, &mut run),
        }
    }
    keep_longer(&mut best, &mut run);
    (best.len() >= SHORTEST_LITERAL && best.is_ascii()).then_some(best)
}

/// The literal that an escape stands for, if it is that simple.
fn escaped(characters: &mut Peekable<Chars<'_>>) -> Option<char> {
    let escaped = characters.next()?;
    let digits = match escaped {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    // `\x{41}`: the braces are skipped by whoever sees them next.
    if characters.peek() != Some(&'{') {
        characters.by_ref().take(digits).for_each(drop);
    }
    Some(escaped).filter(char::is_ascii_punctuation)
}

/// Whether a group turns on the verbose mode, in which white space is no literal.
fn is_verbose(regex: &str) -> bool {
    let flags = regex.split("(?").skip(1);
    flags.filter_map(|rest| rest.split([')', ':']).next()).any(|flags| flags.contains('x'))
}

fn keep_longer(best: &mut String, run: &mut String) {
    if run.len() > best.len() {
        std::mem::swap(best, run);
    }
    run.clear();
}

fn skip_class(characters: &mut Peekable<Chars<'_>>) {
    let mut open = 1_usize;
    // `[]a]` and `[^]a]`: a bracket that comes first is a member.
    let _ = characters.next_if_eq(&'^');
    let _ = characters.next_if_eq(&']');
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '[' => open += 1,
            ']' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_literal_that_every_match_holds() {
        for (regex, expected) in [
            (r"(?i)\.internal\b", Some(".internal")),
            ("abc", Some("abc")),
            ("ab", None),
            ("abc|def", None),
            ("(abc|def)ghij", Some("ghij")),
            ("abcd?ef", Some("abc")),
            ("abc*", None),
            ("abc+def", Some("abc")),
            ("ab{0,1}cdef", Some("cdef")),
            (r"[abc]\d+\w-key-", Some("-key-")),
            (r"[]abc]xyz", Some("xyz")),
            (r"a\.b\.c", Some("a.b.c")),
            ("(secret)?", None),
            (r"\x41bcd", Some("bcd")),
            (r"\x{41}bcd", Some("bcd")),
            (r"\u0041bcd\nxy", Some("bcd")),
            ("(?x) a b c d", None),
        ] {
            assert_eq!(required_literal(regex).as_deref(), expected, "{regex}");
        }
    }

    #[test]
    fn matches_what_the_expression_matches() {
        let pattern = Pattern::new("no-internal-hosts", r"(?i)\.internal\b", vec![Place::Query]).unwrap();
        assert!(pattern.matches(b"http://db.INTERNAL/x"));
        assert!(!pattern.matches(b"internalised"));
        assert!(!pattern.matches(b".internals"));
    }

    #[test]
    fn refuses_what_it_cannot_run_cheaply_or_at_all() {
        assert_eq!(Pattern::new("x", "a.*b", vec![]).err(), Some(PatternError::NoLiteral));
        assert!(matches!(Pattern::new("x", "(", vec![]).err(), Some(PatternError::Syntax(_))));
    }
}
