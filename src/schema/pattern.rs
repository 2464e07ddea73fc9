//! Regular expressions of `pattern` and `patternProperties`: the part of ECMA-262 (with the flag `u`, as draft 2020-12
//! recommends) that a linear matcher can do, translated to that matcher's spelling.
//!
//! Supported: literals, `.`, `^`, `$`, classes with ranges, `\d \D \w \W \s \S \b \B`, the escapes of characters, groups,
//! alternatives and greedy or lazy quantifiers. Refused: look-around, back-references, `\p`, `\c`, inline flags, and
//! everything that the two spellings read differently.

use std::iter::Peekable;
use std::str::Chars;

use regex_lite::RegexBuilder;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: regex_lite::Regex,
    weight: usize,
}

/// Characters of an expression.
const LONGEST: usize = 1024;
/// Bytes of a compiled expression, from the smallest that is tried to the largest that is allowed.
const SIZES: [usize; 6] = [1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15];
const NESTING: u32 = 32;

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it or not supported.
    pub(super) fn new(expression: &str) -> Result<Self, String> {
        if expression.chars().count() > LONGEST {
            return Err(format!("expected at most {LONGEST} characters"));
        }
        let translated = translate(expression)?;
        let mut builder = RegexBuilder::new(&translated);
        builder.nest_limit(NESTING);
        let mut last = None;
        for (step, size) in SIZES.into_iter().enumerate() {
            match builder.size_limit(size).build() {
                Ok(regex) => return Ok(Self { regex, weight: 1 << step }),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map(|error| format!("not a regular expression that can be used: {error}")).unwrap_or_default())
    }

    /// How many times the work of one step a byte of text may take: the matcher may be at every place of a large
    /// expression at once.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Whether it matches anywhere in `text`. Linear in its length.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The white space and line ends of ECMA-262.
const SPACE: &str = r"\t\n\x0B\x0C\r \x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}";
const LINE_ENDS: &str = r"\n\r\x{2028}\x{2029}";

fn translate(expression: &str) -> Result<String, String> {
    let mut out = String::with_capacity(expression.len());
    let mut rest = expression.chars().peekable();
    // Whether a quantifier may stand here.
    let mut quantifiable = false;
    while let Some(character) = rest.next() {
        let mut next_quantifiable = true;
        match character {
            '\\' => next_quantifiable = escape(&mut rest, false, &mut out)?,
            '.' => out.push_str(&format!("[^{LINE_ENDS}]")),
            '[' => class(&mut rest, &mut out)?,
            '(' => {
                out.push('(');
                if rest.next_if_eq(&'?').is_some() {
                    group(&mut rest, &mut out)?;
                }
                next_quantifiable = false;
            }
            '|' | '^' | '$' => {
                out.push(character);
                next_quantifiable = false;
            }
            '*' | '+' | '?' | '{' => {
                if !quantifiable {
                    return Err(format!("expected something before {character:?}"));
                }
                out.push(character);
                if character == '{' {
                    repetition(&mut rest, &mut out)?;
                }
                out.extend(rest.next_if_eq(&'?'));
                next_quantifiable = false;
            }
            ')' => out.push(character),
            ']' | '}' => return Err(format!("expected {character:?} to be escaped")),
            _ => out.push(character),
        }
        quantifiable = next_quantifiable;
    }
    Ok(out)
}

/// After `(?`.
fn group(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    match rest.next() {
        Some(':') => out.push_str("?:"),
        Some('<') if !matches!(rest.peek(), Some('=' | '!')) => {
            let name: String = std::iter::from_fn(|| rest.next_if(|next| *next != '>')).collect();
            let first = name.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
            if !first || !name.chars().all(|next| next.is_ascii_alphanumeric() || next == '_') || rest.next().is_none()
            {
                return Err("expected a name of ASCII letters, digits and _ for the group".to_owned());
            }
            // Nothing refers to it.
        }
        Some('=' | '!' | '<') => return Err("look-around is not supported: it is not linear".to_owned()),
        _ => return Err("inline flags are not supported".to_owned()),
    }
    Ok(())
}

/// After `{`: `N}`, `N,}` or `N,M}`.
fn repetition(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    let inside: String = std::iter::from_fn(|| rest.next_if(|next| *next != '}')).collect();
    let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
    let digits = |text: &str| text.chars().all(|next| next.is_ascii_digit());
    if least.is_empty() || !digits(least) || !digits(most) || rest.next().is_none() {
        return Err("expected a repetition {N}, {N,} or {N,M}, or an escaped brace".to_owned());
    }
    out.push_str(&inside);
    out.push('}');
    Ok(())
}

/// After `[`.
fn class(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    out.push('[');
    out.extend(rest.next_if_eq(&'^'));
    if rest.peek() == Some(&']') {
        return Err("an empty class is not supported".to_owned());
    }
    loop {
        match rest.next() {
            Some(']') => break,
            Some('\\') => {
                escape(rest, true, out)?;
            }
            // A nested class or an operation on classes to the matcher, characters to ECMA-262.
            Some(character @ ('[' | '&' | '~')) => out.extend(['\\', character]),
            Some('-') if rest.peek() == Some(&'-') => return Err("expected - in a class to be escaped".to_owned()),
            Some(character) => out.push(character),
            None => return Err("a class does not end".to_owned()),
        }
    }
    out.push(']');
    Ok(())
}

/// After a backslash. Whether a quantifier may follow.
fn escape(rest: &mut Peekable<Chars<'_>>, in_class: bool, out: &mut String) -> Result<bool, String> {
    let Some(character) = rest.next() else { return Err("a backslash ends the expression".to_owned()) };
    match character {
        'd' | 'D' | 'w' | 'W' => out.extend(['\\', character]),
        's' if in_class => out.push_str(SPACE),
        's' => out.push_str(&format!("[{SPACE}]")),
        'S' if !in_class => out.push_str(&format!("[^{SPACE}]")),
        'b' if in_class => out.push_str(r"\x08"),
        'b' | 'B' if !in_class => {
            out.extend(['\\', character]);
            return Ok(false);
        }
        't' | 'n' | 'r' => out.extend(['\\', character]),
        'v' => out.push_str(r"\x0B"),
        'f' => out.push_str(r"\x0C"),
        '0' if !rest.peek().is_some_and(char::is_ascii_digit) => out.push_str(r"\x00"),
        'x' => push_code_point(&digits(rest, 2)?, out)?,
        'u' if rest.next_if_eq(&'{').is_some() => {
            let code: String = std::iter::from_fn(|| rest.next_if(char::is_ascii_hexdigit)).take(6).collect();
            if rest.next() != Some('}') {
                return Err("expected \\u{...} with up to six hexadecimal digits".to_owned());
            }
            push_code_point(&code, out)?;
        }
        'u' => push_code_point(&digits(rest, 4)?, out)?,
        '-' if in_class => out.push_str(r"\-"),
        '^' | '$' | '\\' | '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' => {
            out.extend(['\\', character]);
        }
        '/' => out.push('/'),
        _ => return Err(format!("the escape \\{character} is not supported")),
    }
    Ok(true)
}

fn digits(rest: &mut Peekable<Chars<'_>>, count: usize) -> Result<String, String> {
    let code: String = std::iter::from_fn(|| rest.next_if(char::is_ascii_hexdigit)).take(count).collect();
    if code.len() == count { Ok(code) } else { Err(format!("expected {count} hexadecimal digits")) }
}

/// Half a surrogate pair is no character.
fn push_code_point(code: &str, out: &mut String) -> Result<(), String> {
    let character = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
    let character = character.ok_or("expected the code point of a character; beyond U+FFFF write \\u{...}")?;
    out.push_str(&format!("\\x{{{:X}}}", u32::from(character)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_ecma_262_does() {
        for (expression, matching, others) in [
            ("^a*$", &["", "aaa"][..], &["b", "aaa\n"][..]),
            ("b", &["abc"], &["ac"]),
            ("^.$", &["a", "🐲", "\u{85}"], &["", "ab", "\n", "\r", "\u{2028}"]),
            (r"^\s$", &[" ", "\u{a0}", "\u{feff}", "\u{2003}"], &["a", "\u{85}"]),
            (r"^\S$", &["a", "\u{85}"], &[" ", "\u{3000}"]),
            (r"^[\s\d]+$", &["1 2"], &["a"]),
            (r"^\d+$", &["01"], &["߀", "x"]),
            (r"^\w\W$", &["a-", "_é"], &["é-"]),
            (r"^[a-c\-\]^]$", &["b", "-", "]", "^"], &["d", "\\"]),
            ("^[[&&a]$", &["[", "&", "a"], &["b"]),
            ("^[^a]$", &["b", "\n"], &["a"]),
            (r"^\x41\u0042\u{1F432}\/\.\0$", &["AB🐲/.\0"], &["AB"]),
            ("^(?:ab|c){2,3}?$", &["abc", "ccc"], &["c", "cccc"]),
            ("^(?<year>[0-9]{4})$", &["2026"], &["26"]),
            (r"\bcat\b", &["a cat."], &["cats"]),
            ("^[a-]$", &["-", "a"], &["b"]),
        ] {
            let pattern = Pattern::new(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
            for text in matching {
                assert!(pattern.matches(text), "{expression} {text:?}");
            }
            for text in others {
                assert!(!pattern.matches(text), "{expression} {text:?}");
            }
        }
    }

    #[test]
    fn what_another_engine_would_read_differently_is_refused() {
        for expression in [
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            "(?i)a",
            "(?x) a",
            r"(a)\1",
            r"\p{L}",
            r"\cA",
            r"\a",
            r"\Aa",
            r"a\z",
            r"\<a",
            "a++",
            "a**",
            "*a",
            "a{",
            "a{,3}",
            "a{x}",
            "{1}",
            "a}",
            "]",
            "[]",
            "[^]",
            "[a",
            "(a",
            "a)",
            r"\ud83d\udc32",
            r"\x4",
            r"\u{110000}",
            r"[\S]",
            r"[a--b]",
            r"\",
            "^*",
            r"\b+",
            "(?<1>a)",
            "((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))",
            "(a{1000}){1000}",
            "[b-a]",
            "a{3,2}",
            r"\-",
            r"[\B]",
        ] {
            assert!(Pattern::new(expression).is_err(), "{expression}");
        }
        assert!(Pattern::new(&"a".repeat(1025)).is_err());
    }

    #[test]
    fn large_expressions_weigh_more() {
        assert_eq!(Pattern::new("a").unwrap().weight(), 1);
        assert!(Pattern::new("(a|b){100}").unwrap().weight() > 4);
    }
}
