//! Values of one name, as servers see them that join them with a comma: ASP.NET and Spring those of a parameter that comes more
//! than once, JavaScript those of an array that becomes a text. An attack that is divided over them hides the comma in a comment
//! of SQL: what one value leaves open is read on in the next.

use std::collections::BTreeMap;

/// What was left open, by the name of the parameter: nothing, of most requests. Takes three times the memory of the values that were
/// shown at most.
#[derive(Debug, Default)]
pub struct Joined(Option<Box<Texts>>);

type Texts = BTreeMap<Box<[u8]>, Named>;

/// What one name has. Values of the same name may belong to other lists, and leave open what hides where those of this one begin:
/// so they are joined from the first on, and anew from the last that opens a comment by itself.
#[derive(Debug)]
struct Named {
    all: Text,
    later: Vec<Text>,
}

/// Values of one name from the first on that leaves a comment open.
#[derive(Debug)]
struct Text {
    bytes: Vec<u8>,
    ends: State,
    /// One of them went on behind a comment that another one had left open.
    resumed: bool,
}

/// Where a value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// In `/*`, which `*/` ends.
    Block,
    /// In `--` or `#`, which the line ends.
    Line,
}

impl Joined {
    /// Notes one more value of `name`. Linear in the value.
    #[inline]
    pub fn note(&mut self, name: &[u8], value: &[u8]) {
        if self.0.is_some() || memchr::memchr3(b'*', b'#', b'-', value).is_some() {
            self.note_marked(name, value);
        }
    }

    #[cold]
    fn note_marked(&mut self, name: &[u8], value: &[u8]) {
        let name = name.split(|byte| *byte == b'[').next().unwrap_or_default();
        if let Some(text) = self.0.as_mut().and_then(|texts| texts.get_mut(name)) {
            return text.note(value);
        }
        let ends = end_of(value, State::Text);
        if ends != State::Text {
            let named = Named { all: Text::new(value, ends), later: Vec::new() };
            self.0.get_or_insert_default().insert(name.into(), named);
        }
    }

    /// Whether nothing was left open.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The texts that come of the values, each under its name.
    pub fn texts(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let named = self.0.iter().flat_map(|texts| texts.iter());
        let texts = named.flat_map(|(name, named)| named.texts().map(move |text| (name, text)));
        texts.filter(|(_, text)| text.resumed).map(|(name, text)| (&**name, text.bytes.as_slice()))
    }
}

impl Named {
    /// Each value is added to two texts at most, and begins one.
    fn note(&mut self, value: &[u8]) {
        let mut goes_on = self.all.go_on(value);
        if let Some(last) = self.later.last_mut() {
            goes_on = last.go_on(value);
        }
        let ends = end_of(value, State::Text);
        if goes_on || ends == State::Text {
            return;
        }
        self.later.pop_if(|last| !last.resumed);
        self.later.push(Text::new(value, ends));
    }

    fn texts(&self) -> impl Iterator<Item = &Text> {
        std::iter::once(&self.all).chain(&self.later)
    }
}

impl Text {
    fn new(value: &[u8], ends: State) -> Self {
        Self { bytes: value.to_vec(), ends, resumed: false }
    }

    /// Whether `value` goes on behind a comment that was left open.
    fn go_on(&mut self, value: &[u8]) -> bool {
        let (was, ends) = (self.ends, end_of(value, self.ends));
        if was == State::Text && ends == State::Text {
            return false;
        }
        let goes_on = was != State::Text && behind_comment(value, was).is_some();
        self.resumed |= goes_on;
        self.ends = ends;
        self.bytes.push(b',');
        self.bytes.extend_from_slice(value);
        goes_on
    }
}

/// What stands behind the comment that `value` begins in.
fn behind_comment(value: &[u8], state: State) -> Option<&[u8]> {
    match state {
        State::Text => Some(value),
        State::Block => memchr::memmem::find(value, b"*/").and_then(|at| value.get(at + 2..)),
        State::Line => memchr::memchr2(b'\n', b'\r', value).and_then(|at| value.get(at + 1..)),
    }
}

/// Where `value` ends, which begins in `state`.
fn end_of(value: &[u8], mut state: State) -> State {
    let mut rest = value;
    while let Some(text) = behind_comment(rest, state) {
        let Some((begun, behind)) = next_comment(text) else { return State::Text };
        (state, rest) = (begun, behind);
    }
    state
}

/// The next comment that begins in `text`, and what stands behind its first mark.
fn next_comment(text: &[u8]) -> Option<(State, &[u8])> {
    let mut from = 0;
    loop {
        from += memchr::memchr3(b'/', b'-', b'#', text.get(from..)?)?;
        match text.get(from..)? {
            [b'/', b'*', behind @ ..] => return Some((State::Block, behind)),
            [b'-', b'-', behind @ ..] | [b'#', behind @ ..] => return Some((State::Line, behind)),
            _ => from += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(values: &[(&str, &str)]) -> Vec<String> {
        let mut joined = Joined::default();
        for (name, value) in values {
            joined.note(name.as_bytes(), value.as_bytes());
        }
        joined.texts().map(|(name, text)| String::from_utf8([name, b"=", text].concat()).unwrap()).collect()
    }

    #[test]
    fn joins_what_goes_on_behind_a_comment_under_one_name() {
        for (values, texts) in [
            (&[("a", "1 union/*"), ("a", "*/select 2")][..], &["a=1 union/*,*/select 2"][..]),
            (&[("a", "1/*"), ("b", "x"), ("a", "*/union/*"), ("a", "no"), ("a", "*/2")], &["a=1/*,*/union/*,no,*/2"]),
            (&[("a[]", "1/*"), ("a[1]", "*/2")], &["a=1/*,*/2"]),
            (&[("a", "1 union --"), ("a", "\nselect 2")], &["a=1 union --,\nselect 2"]),
            (&[("a", "1 union#x"), ("a", "\rselect 2#")], &["a=1 union#x,\rselect 2#"]),
            (&[("a", "/* # */ -- /*"), ("a", "*/ \n/*"), ("a", "*/b")], &["a=/* # */ -- /*,*/ \n/*,*/b"]),
            (&[("a", "1/*"), ("b", "*/2")], &[]),
            (&[("a", "1/*2*/"), ("a", "*/3")], &[]),
            (&[("a", "C#"), ("a", "C"), ("a", "F#")], &[]),
            (&[("a", "#"), ("a", "1 union/*"), ("a", "*/select 2"), ("a", "/*")], &["a=1 union/*,*/select 2,/*"]),
            (&[("a", "/*"), ("a", "1--"), ("a", "\n2")], &["a=1--,\n2"]),
            (&[("a", "1/*")], &[]),
            (&[("a", "a-b/c"), ("a", "d*e")], &[]),
        ] {
            assert_eq!(joined(values), texts, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn keeps_every_value_from_the_one_on_that_leaves_a_comment_open(
            values in prop::collection::vec("[a/*#\n-]{0,6}", 0..6),
        ) {
            let named: Vec<_> = values.iter().map(|value| ("a", value.as_str())).collect();
            for text in joined(&named) {
                // Values in which nothing opens, while nothing is open, say nothing to the rest.
                let parts: Vec<_> = text.trim_start_matches("a=").split(',').collect();
                let mut left = values.iter();
                prop_assert!(parts.iter().all(|part| left.any(|value| value == part)), "{text:?} of {values:?}");
                prop_assert!(parts.len() >= 2);
            }
        }
    }
}
