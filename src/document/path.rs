//! Where fields are: names joined by dots, `*` for every member or element.

use std::fmt;

use super::case::is_same_field;
use super::{Content, Document, Place};
use crate::media::json::Container;

/// A path: `a.b`, `results.*.password`. A backslash before a dot, an asterisk or a backslash makes it part of a name.
///
/// A name that is asked of an array is asked of each of its elements, so that `password` names the password of the one
/// object and of every object in a list. `*` is every member of an object and every element of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name {
        name: Box<str>,
        /// Names that differ from this one in case alone, and are those of other fields.
        apart: Box<[Box<str>]>,
    },
    Every,
}

impl Step {
    fn named(name: Box<str>) -> Self {
        Self::Name { name, apart: Box::default() }
    }
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It is empty, or a name in it is.
    EmptyName,
    /// A backslash before anything else.
    Escape,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyName => "expected names joined by dots, `*` for every element or member",
            Self::Escape => "expected a backslash only before a dot, an asterisk or a backslash",
        })
    }
}

impl FieldPath {
    /// Reads a path.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut steps = Vec::new();
        let mut name = String::new();
        let mut escaped = false;
        let mut end = |name: &mut String, escaped: &mut bool| {
            let name = std::mem::take(name);
            match (name.as_str(), std::mem::take(escaped)) {
                ("", _) => return Err(PathError::EmptyName),
                ("*", false) => steps.push(Step::Every),
                _ => steps.push(Step::named(name.into_boxed_str())),
            }
            Ok(())
        };
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '.' => end(&mut name, &mut escaped)?,
                '\\' => {
                    let next = characters.next().filter(|next| matches!(next, '.' | '*' | '\\'));
                    name.push(next.ok_or(PathError::Escape)?);
                    escaped = true;
                }
                _ => name.push(character),
            }
        }
        end(&mut name, &mut escaped)?;
        Ok(Self { steps: steps.into() })
    }

    /// The last name, if the path ends in one: what a field is called.
    pub fn name(&self) -> Option<&str> {
        match self.steps.last()? {
            Step::Name { name, .. } => Some(name),
            Step::Every => None,
        }
    }

    /// The path that tells the fields apart whose names some recipient takes for its own: `others` says which there are beside each
    /// of its names in turn, and is shown `*` as `None`.
    pub(crate) fn told_apart(mut self, mut others: impl FnMut(Option<&str>) -> Vec<Box<str>>) -> Self {
        for step in &mut self.steps {
            match step {
                Step::Name { name, apart } => *apart = others(Some(name)).into(),
                Step::Every => drop(others(None)),
            }
        }
        self
    }
}

/// How names are read, and `*` at an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Names letter by letter; every element.
    Narrow,
    /// Names as any recipient takes them. Every element, and also every element's every member: whoever wrote
    /// the path may have thought of the object alone. For rules that had better say too much than too little.
    Wide,
}

impl Reading {
    fn takes(self, key: &str, name: &str, apart: &[Box<str>]) -> bool {
        key == name
            || self == Self::Wide
                && is_same_field(key.as_bytes(), name.as_bytes())
                && !apart.iter().any(|other| **other == *key)
    }
}

/// Several paths, followed at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSet(Vec<FieldPath>);

/// How far each path of a set has come: its number, and the step that is next.
pub(crate) type Progress = Vec<(usize, usize)>;

/// What a set says of one place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A path names it.
    Named,
    /// Some may name what is in it.
    Towards(Progress),
    /// None names it or anything in it.
    Elsewhere,
}

impl PathSet {
    /// A set.
    pub fn new(paths: impl IntoIterator<Item = FieldPath>) -> Self {
        Self(paths.into_iter().collect())
    }

    /// There is no path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the places are called that they name: each is a member by one of these names, as some recipient takes it. `None`:
    /// one ends in `*`.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.0.iter().map(FieldPath::name).collect()
    }

    /// Whether some path has this name, as some recipient takes it.
    pub fn mentions(&self, name: &str) -> bool {
        let same = |step: &Step| match step {
            Step::Name { name: own, .. } => is_same_field(own.as_bytes(), name.as_bytes()),
            Step::Every => false,
        };
        self.0.iter().flat_map(|path| &path.steps).any(same)
    }

    /// Every place that one of them names, the outermost where one is in another, in document order. Of a document that is
    /// one scalar, none.
    pub fn places(&self, document: &Document<'_>) -> Vec<Place> {
        let mut found = Vec::new();
        self.walk(document, Reading::Wide, |place, word| {
            if *word == Word::Named {
                found.push(place);
            }
        });
        found
    }

    /// Shows every place from the root on with the word about it; what is in a named place, or in one where no path leads,
    /// is passed over. The root itself is on the way to everything.
    pub(crate) fn walk(&self, document: &Document<'_>, reading: Reading, mut show: impl FnMut(Place, &Word)) {
        let start: Progress = (0..self.0.len()).map(|path| (path, 0)).collect();
        // The arrays and objects around the place: where each ends, and how far the paths have come there.
        let mut around: Vec<(usize, Container, Progress)> = Vec::new();
        document.visit(document.root(), |place| {
            around.truncate(around.iter().take_while(|(end, ..)| place.0 < *end).count());
            let Some(node) = document.nodes.get(place.0) else { return false };
            let word = match around.last() {
                None => Word::Towards(start.clone()),
                Some((_, container, progress)) => self.enter(progress, *container, document.key(place), reading),
            };
            show(place, &word);
            let Content::Container(container) = &node.content else { return false };
            let Word::Towards(progress) = word else { return false };
            around.push((node.end, *container, progress));
            true
        });
    }

    fn enter(&self, progress: &Progress, container: Container, key: Option<&str>, reading: Reading) -> Word {
        let mut within = Progress::new();
        for &(path, at) in progress {
            let Some(steps) = self.0.get(path).map(|path| &path.steps) else { continue };
            let (further, again) = match (steps.get(at), container) {
                (Some(Step::Every), Container::Object) => (true, false),
                (Some(Step::Every), Container::Array) => (true, reading == Reading::Wide),
                (Some(Step::Name { name, apart }), Container::Object) => {
                    (key.is_some_and(|key| reading.takes(key, name, apart)), false)
                }
                (Some(Step::Name { .. }), Container::Array) => (false, true),
                (None, _) => (false, false),
            };
            if further && at + 1 == steps.len() {
                return Word::Named;
            }
            let next = [(further, at + 1), (again, at)].into_iter().filter(|(taken, _)| *taken);
            for (_, at) in next {
                if !within.contains(&(path, at)) {
                    within.push((path, at));
                }
            }
        }
        if within.is_empty() { Word::Elsewhere } else { Word::Towards(within) }
    }
}

/// As [`Document::at_every`] says; [`Reading::Narrow`].
pub(super) fn at_every(document: &Document<'_>, path: &FieldPath) -> Option<Vec<Place>> {
    let mut found = Vec::new();
    let mut ahead = vec![(document.root(), 0)];
    while let Some((place, at)) = ahead.pop() {
        let container = document.nodes.get(place.0).map(|node| &node.content);
        match (path.steps.get(at), container) {
            (None, _) => found.push(place),
            (Some(Step::Name { name, .. }), Some(Content::Container(Container::Object))) => {
                ahead.push((document.member(place, name)?, at + 1));
            }
            (Some(Step::Name { .. }), Some(Content::Container(Container::Array))) => {
                let before = ahead.len();
                ahead.extend(document.children(place).map(|child| (child, at)));
                // It may be an object without members, as PHP writes one, and more stands beside it.
                if ahead.len() == before && place != document.root() {
                    return None;
                }
            }
            (Some(Step::Every), Some(Content::Container(_))) => {
                ahead.extend(document.children(place).map(|child| (child, at + 1)));
            }
            _ => return None,
        }
    }
    Some(found)
}
