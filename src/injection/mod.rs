//! Injection attacks in a single value: what a request carries in a parameter, a header, a field.
//!
//! A value is proven harmless by its bytes ([`fast`]) or else read as what it could become: every decoding of it
//! ([`views`]) as SQL ([`sql`]), as what a browser would run ([`html`]), as a file name ([`path`]), as a shell's or an
//! interpreter's input ([`shell`]) and as a template ([`template`]); where asked for, as a part of a document database's
//! query ([`nosql`]) or a directory's filter ([`ldap`]), as XML ([`xxe`]) and as a URL that a server would fetch ([`ssrf`]).
//! Pure and linear in the length of the value.

pub mod bulk;
mod bytes;
mod decode;
mod edits;
mod fast;
mod html;
mod known;
mod ldap;
mod needles;
mod nested;
mod nosql;
mod path;
mod rules;
mod shell;
mod sql;
mod ssrf;
mod template;
mod triggers;
mod views;
mod work;
mod xxe;

pub use known::KnownHarmless;
pub use rules::{RuleDoc, RuleSet, rules};
pub use work::Effort;

#[cfg(test)]
mod tests;

use rules::{Findings, Rule};
use std::ops::{ControlFlow, Range};
use triggers::Triggers;

/// A longer value is not read on once what was found leaves no doubt, and by fewer of its decodings.
const LONG: usize = 2048;

/// What an attack aims at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A database's query language.
    Sqli,
    /// Script in a browser.
    Xss,
    /// Files outside the place meant for them.
    Path,
    /// A shell or an interpreter's own calls.
    Command,
    /// Template engines, expression languages and naming lookups.
    Template,
    /// Document databases' query operators and script.
    Nosql,
    /// Filters of directory searches.
    Ldap,
    /// External entities of XML.
    Xxe,
    /// URLs that lead a server to itself, its network or its cloud's metadata.
    Ssrf,
}

impl Class {
    /// Every class, in the order of declaration.
    pub const ALL: [Self; 9] = [
        Self::Sqli,
        Self::Xss,
        Self::Path,
        Self::Command,
        Self::Template,
        Self::Nosql,
        Self::Ldap,
        Self::Xxe,
        Self::Ssrf,
    ];

    /// The name that configuration and events use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqli => "sqli",
            Self::Xss => "xss",
            Self::Path => "path",
            Self::Command => "command",
            Self::Template => "template",
            Self::Nosql => "nosql",
            Self::Ldap => "ldap",
            Self::Xxe => "xxe",
            Self::Ssrf => "ssrf",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

/// A set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassSet(u16);

impl ClassSet {
    /// No class.
    pub const NONE: Self = Self(0);
    /// Every class.
    pub const ALL: Self = Self(0b1_1111_1111);
    /// The classes that are on unless the configuration says otherwise: quiet on everything that is no attack.
    pub const USUAL: Self = Self(0b1_1111);

    /// This set and `class`.
    #[must_use]
    pub const fn with(self, class: Class) -> Self {
        Self(self.0 | class.bit())
    }

    /// This set but for `class`.
    #[must_use]
    pub const fn without(self, class: Class) -> Self {
        Self(self.0 & !class.bit())
    }

    /// This set but for the classes of `other`.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The classes of either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every class of `other` is in it.
    pub const fn contains_all(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether `class` is in it.
    pub const fn contains(self, class: Class) -> bool {
        self.0 & class.bit() != 0
    }

    /// Whether it has no class.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Class> for ClassSet {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        classes.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Why a value is held to be an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The stable id of the rule, e.g. `sql-union-select`.
    pub rule: &'static str,
    /// What the attack aims at.
    pub class: Class,
    /// How sure it is: 1 to 10.
    pub score: u8,
}

/// The strongest sign of an attack of `classes` in `value`.
///
/// `value` is what its container holds: percent-decoded once if it came from a query, unescaped if from JSON. Encodings
/// inside it are undone here, to a fixed depth. Time and memory are linear in its length.
pub fn scan(value: &[u8], classes: ClassSet) -> Option<Finding> {
    scan_except(value, classes, &RuleSet::default())
}

/// [`scan`] without the rules of `excluded`.
pub fn scan_except(value: &[u8], classes: ClassSet, excluded: &RuleSet) -> Option<Finding> {
    scan_within(value, classes, excluded, &mut Effort::default().with(value.len()))
}

/// The same of one value of several, which share `effort`, to which the value has [added](Effort::with) its own: what exceeds it
/// is a finding.
pub fn scan_within(value: &[u8], classes: ClassSet, excluded: &RuleSet, effort: &mut Effort) -> Option<Finding> {
    let mut found = scan_whole(value, classes, excluded, effort);
    let _ = nested::each_string(value, |string| {
        found = found.or_else(|| scan_whole(string, nested::classes_of_strings(classes), excluded, effort));
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

/// The same of a value as it stands, whatever document it holds.
fn scan_whole(value: &[u8], classes: ClassSet, excluded: &RuleSet, effort: &mut Effort) -> Option<Finding> {
    if classes.is_empty() || fast::is_harmless(value, classes) {
        return None;
    }
    let mut findings = Findings::new(classes, *excluded, *effort);
    read(value, &mut findings);
    *effort = work::end();
    findings.strongest()
}

/// Reads every view of a value, until something is found.
fn read(value: &[u8], findings: &mut Findings) {
    let mut room = sql::Room::default();
    views::each_view(value, |view, regions| {
        inspect(view, regions, &mut room, findings);
        findings.is_empty()
    });
}

/// For tests: what is found without the fast path, and how many looks at bytes and tokens it took.
#[cfg(any(test, fuzzing))]
pub fn scan_carefully(value: &[u8], classes: ClassSet) -> (Option<Finding>, usize) {
    let before = work::looks();
    let carefully = |value: &[u8], classes: ClassSet| {
        let mut findings = Findings::new(classes, RuleSet::default(), Effort::default().with(value.len()));
        read(value, &mut findings);
        findings.strongest()
    };
    let mut found = carefully(value, classes);
    let _ = nested::each_string(value, |string| {
        found = found.or_else(|| carefully(string, nested::classes_of_strings(classes)));
        ControlFlow::Continue(())
    });
    (found, work::looks() - before)
}

/// The `regions` of a view that differ from what was read of the value before, around `changes`.
fn regions(view: &[u8], changes: &[Range<usize>]) -> Vec<Range<usize>> {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Vec::new() };
    // What a whole value tells hangs on both of its ends.
    if view.len() <= sql::WINDOW && (first.start < edits::REACH || last.end + edits::REACH > view.len()) {
        return vec![edits::whole(view)];
    }
    html::with_settings(view, changes, edits::around(view, changes))
}

/// One reading of the `regions` of a view by every class.
fn inspect(view: &[u8], regions: &[Range<usize>], room: &mut sql::Room, findings: &mut Findings) {
    if findings.wants(Class::Sqli) {
        for region in regions {
            sql::inspect(view, region, room, findings);
        }
    }
    if findings.wants(Class::Xss) {
        html::whole(view, findings);
    }
    if findings.wants(Class::Path) {
        path::inspect(view, findings);
    }
    if findings.wants(Class::Command) {
        shell::whole(view, findings);
    }
    if findings.wants(Class::Ssrf) {
        ssrf::whole(view, findings);
    }
    walk(view, regions, false, findings);
}

/// Reads `regions` of a view from trigger to trigger; with `everywhere` from mark to mark, whatever stands beside them.
#[inline]
fn walk(view: &[u8], regions: &[Range<usize>], everywhere: bool, findings: &mut Findings) {
    let wanted = TRIGGERS.of(findings.wanted());
    let mut readers = Readers {
        view,
        wanted,
        usual: wanted & !USUAL == 0,
        everywhere,
        page: html::Page::new(view),
        names: path::Traversal::new(view),
        line: shell::Line::new(view),
        template: template::Template::new(view),
    };
    let mut next = 0;
    for region in regions {
        next = next.max(region.start / BLOCK * BLOCK);
        readers.page.resume(next);
        while next < region.end {
            if readers.read_block(next, findings).is_break() {
                return;
            }
            next += BLOCK;
        }
    }
    if findings.wants(Class::Template) {
        readers.template.finish(findings);
    }
}

/// How many bytes are looked at for marks at once.
const BLOCK: usize = 64;
/// What following up a mark costs, whatever it leads to.
const READ: usize = 8;

/// The rule for what costs too much, of a reader that was asked at a mark where these `fired`; the others cost little anywhere.
const fn cost_of(fired: u32) -> Option<Rule> {
    if fired & TABLES.of_class(Class::Xss) != 0 {
        Some(Rule::XssCost)
    } else if fired & TABLES.of_class(Class::Command) != 0 {
        Some(Rule::CommandCost)
    } else if fired & TABLES.of_class(Class::Template) != 0 {
        Some(Rule::TemplateCost)
    } else {
        None
    }
}

/// Whether any class may look around at `byte`: at none of what text is mostly made of. Without a branch.
const fn may_be_mark(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') <= 25;
    let text = letter | (byte.wrapping_sub(b'1') <= 8) | (byte == b' ') | (byte == b'-') | (byte == b',');
    !text | (byte == b'j')
}

/// Whether any of the usual classes looks around at `byte`. Without a branch.
#[inline]
fn is_usual_mark(byte: u8) -> bool {
    let within = |first: u8, last: u8| byte.wrapping_sub(first) <= last - first;
    let ranges = within(b':', b'>') | within(b'.', b'0') | within(b'{', b'|') | within(b'#', b'$');
    let brackets = (byte == b'(') | (byte == b'[') | (byte == b'&') | (byte == b'`');
    ranges | brackets | (byte == b'j') | (byte == b'\n') | (byte == decode::OBSCURED)
}

/// The triggers of the usual classes.
const USUAL: u32 = TABLES.of_class(Class::Xss)
    | TABLES.of_class(Class::Path)
    | TABLES.of_class(Class::Command)
    | TABLES.of_class(Class::Template);

/// Those that read a view from mark to mark.
struct Readers<'a> {
    view: &'a [u8],
    /// The triggers of the classes that are asked for, and whether all of them are usual.
    wanted: u32,
    usual: bool,
    everywhere: bool,
    page: html::Page<'a>,
    names: path::Traversal<'a>,
    line: shell::Line<'a>,
    template: template::Template<'a>,
}

impl Readers<'_> {
    /// Reads the marks of the block at `start`; breaks where nothing more need be read.
    #[inline]
    fn read_block(&mut self, start: usize, findings: &mut Findings) -> ControlFlow<()> {
        let view = self.view;
        let block = bytes::cut(view, start, start + BLOCK);
        let mut left = if self.usual { bytes::bits(block, is_usual_mark) } else { bytes::bits(block, may_be_mark) };
        while left != 0 {
            let i = start + left.trailing_zeros() as usize;
            left &= left - 1;
            let byte = bytes::at(view, i);
            let mut fired = TRIGGERS.at(byte, self.wanted);
            if fired == 0 {
                continue;
            }
            let before = i.checked_sub(1).map_or(0, |i| bytes::at(view, i));
            fired = if self.everywhere { fired } else { TRIGGERS.between(before, bytes::at(view, i + 1), fired) };
            if fired == 0 {
                continue;
            }
            work::spend(READ);
            self.read(i, byte, fired, findings);
            if view.len() > LONG && findings.is_sure()
                || work::is_spent() && cost_of(fired).is_some_and(|rule| findings.exceed(rule))
            {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    #[inline]
    fn read(&mut self, i: usize, byte: u8, fired: u32, findings: &mut Findings) {
        const XSS: u32 = TABLES.of_class(Class::Xss);
        const PATH: u32 = TABLES.of_class(Class::Path);
        const COMMAND: u32 = TABLES.of_class(Class::Command);
        const TEMPLATE: u32 = TABLES.of_class(Class::Template);
        if fired & XSS != 0 {
            self.page.read(i, byte, findings);
        }
        if fired & PATH != 0 {
            self.names.read(i, findings);
        }
        if fired & COMMAND != 0 {
            self.line.read(i, byte, findings);
        }
        if fired & TEMPLATE != 0 {
            self.template.read(i, byte, findings);
        }
        if fired & !USUAL != 0 {
            self.read_others(i, fired, findings);
        }
    }

    /// What is looked for only where it is asked for.
    #[inline(never)]
    fn read_others(&mut self, i: usize, fired: u32, findings: &mut Findings) {
        if fired & TABLES.of_class(Class::Nosql) != 0 {
            nosql::read(self.view, i, findings);
        }
        if fired & TABLES.of_class(Class::Ldap) != 0 {
            ldap::read(self.view, i, findings);
        }
        if fired & TABLES.of_class(Class::Xxe) != 0 {
            xxe::read(self.view, i, findings);
        }
        if fired & TABLES.of_class(Class::Ssrf) != 0 {
            ssrf::read(self.view, i, findings);
        }
    }
}

/// Where each class looks around.
static TRIGGERS: Triggers = TABLES;

const TABLES: Triggers = Triggers::new(&[
    (Class::Xss, &html::TRIGGERS),
    (Class::Path, &path::TRIGGERS),
    (Class::Command, &shell::TRIGGERS),
    (Class::Template, &template::TRIGGERS),
    (Class::Nosql, &nosql::TRIGGERS),
    (Class::Ldap, &ldap::TRIGGERS),
    (Class::Xxe, &xxe::TRIGGERS),
    (Class::Ssrf, &ssrf::TRIGGERS),
]);
