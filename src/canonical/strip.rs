//! Header names that only the proxy may say: what a client sends under them goes no further.

use crate::head::{Head, TagSet, tag};
use crate::order;

/// Headers that name another host, another root of all paths, or another client than was decided on. A proxy in front may say
/// in them whom its client asked, and who that is: Tornado and Gin heed `x-real-ip`, many services in PHP `client-ip`.
pub const FORWARDED: [&str; 15] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-host",
    "x-original-host",
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
];

/// A set of header names, whatever their case and their separators.
///
/// Applications read `X-Auth-Subject`, `x_auth_subject` and `x.auth.subject` as one variable (RFC 3875 section 4.1.18
/// turns `-` into `_`, and servers do so with more), so every byte that is neither letter nor digit counts as the
/// same. Holds for header fields and trailers alike.
///
/// Most names are told apart by length, first and last letter, in about a nanosecond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StripSet {
    /// Those of the names, whatever the spelling.
    tags: TagSet,
    /// Folded, sorted by length, then bytes.
    names: Vec<Box<[u8]>>,
}

impl StripSet {
    /// The set of these names. An empty name is no name.
    pub fn new<N: AsRef<[u8]>>(names: impl IntoIterator<Item = N>) -> Self {
        let fold_all = |name: N| name.as_ref().iter().copied().map(fold).collect::<Box<[u8]>>();
        Self::of(names.into_iter().map(fold_all).filter(|name| !name.is_empty()).collect())
    }

    /// Once in the module, whatever the names come from.
    fn of(mut names: Vec<Box<[u8]>>) -> Self {
        order::sort_by(&mut names, |a, b| (a.len(), a) < (b.len(), b));
        names.dedup();
        let mut tags = TagSet::default();
        names.iter().for_each(|name| tags.insert(tag(name)));
        // A separator at an end has several tags.
        let ends = |name: &[u8]| [name.first(), name.last()].contains(&Some(&b'-'));
        Self { tags: if names.iter().any(|name| ends(name)) { TagSet::ALL } else { tags }, names }
    }

    /// Whether a field of this name must not come from a client. Pseudo headers never are.
    #[inline]
    pub fn strips(&self, name: &[u8]) -> bool {
        self.tags.contains(tag(name)) && self.contains(name)
    }

    /// The names in `head` that must not come from a client.
    pub fn found_in<'h>(&'h self, head: &'h Head) -> impl Iterator<Item = &'h [u8]> {
        head.names_among(&self.tags).filter(|name| self.contains(name))
    }

    /// Whether there is nothing to strip.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn contains(&self, name: &[u8]) -> bool {
        if name.first() == Some(&b':') {
            return false;
        }
        let compare = |known: &[u8]| known.len().cmp(&name.len()).then_with(|| known.iter().copied().cmp(folded(name)));
        self.names.binary_search_by(|known| compare(known)).is_ok()
    }
}

/// Headers that count in one spelling, their own. Recipients that take `_` for `-` read others as the same header (RFC 3875
/// section 4.1.18), and what they say for what was decided on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misspelt {
    spellings: StripSet,
    right: Vec<Box<[u8]>>,
    /// None of the right ones has anything but letters, digits and hyphens.
    plain: bool,
}

impl Misspelt {
    /// The other spellings of these names. Without a separator a name has none.
    pub fn of<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let right: Vec<Box<[u8]>> = names.into_iter().filter(|name| has_separator(name)).map(lower).collect();
        Self { spellings: StripSet::new(&right), plain: right.iter().all(|name| is_plain(name)), right }
    }

    /// The names in `head` that are spelt in another way.
    pub fn found_in<'h>(&'h self, head: &'h Head) -> impl Iterator<Item = &'h [u8]> {
        head.names_among(&self.spellings.tags).filter(|name| self.contains(name))
    }

    fn contains(&self, name: &[u8]) -> bool {
        // A look at each byte costs less than the search, and nearly every name is plain.
        !(self.plain && is_plain(name))
            && self.spellings.contains(name)
            && !self.right.iter().any(|right| name.eq_ignore_ascii_case(right))
    }
}

fn has_separator(name: &str) -> bool {
    name.bytes().any(|byte| !byte.is_ascii_alphanumeric())
}

fn lower(name: &str) -> Box<[u8]> {
    name.to_ascii_lowercase().into_bytes().into()
}

/// As hosts deliver names, in lower case.
fn is_plain(name: &[u8]) -> bool {
    name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'-' || byte.is_ascii_digit())
}

/// Whether two names are one to whoever folds case and separators.
pub fn is_same_folded(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && folded(a).eq(folded(b))
}

fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().copied().map(fold)
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strips_every_spelling_of_a_name() {
        let set = StripSet::new(["x-auth-subject", "X_Client_Cert", "x-forwarded-client-cert"]);
        for name in [
            "x-auth-subject",
            "X-Auth-Subject",
            "X_Auth-Subject",
            "x_auth_subject",
            "x.auth.subject",
            "x-client-cert",
            "X-FORWARDED_CLIENT-CERT",
        ] {
            assert!(set.strips(name.as_bytes()), "{name}");
        }
        for name in
            ["", "x-auth-subjec", "x-auth-subject-", "xauthsubject", "authorization", ":path", "x-auth-subject2"]
        {
            assert!(!set.strips(name.as_bytes()), "{name}");
        }
        assert!(set.strips(b"x\xffauth\0subject"));
    }

    #[test]
    fn never_strips_a_pseudo_header() {
        assert!(!StripSet::new(["-path", ":path"]).strips(b":path"));
        assert!(!StripSet::new([""]).strips(b"") && StripSet::new([""]).is_empty());
    }

    #[test]
    fn knows_every_spelling_of_a_name_but_its_own() {
        let found = |right: &[&str], sent: &str| {
            Misspelt::of(right.iter().copied()).found_in(&Head::from_pairs([(sent, "")])).count() > 0
        };
        for (sent, misspelt) in [
            ("content-length", false),
            ("Content-Length", false),
            ("content_length", true),
            ("CONTENT.LENGTH", true),
            ("contentlength", false),
            ("cookie", false),
            (":content_length", false),
        ] {
            assert_eq!(found(&["content-length", "cookie"], sent), misspelt, "{sent}");
        }
        for (sent, misspelt) in [("x_key", false), ("x-key", true), ("x.key", true), ("x-other", false)] {
            assert_eq!(found(&["X_Key", "x-other"], sent), misspelt, "{sent}");
        }
        assert!(!found(&["x_key", "x-key"], "x-key") && !found(&["x_key", "x-key"], "x_key"));
        assert!(!found(&[], "x_key") && !found(&["authorization"], "authorization"));
    }

    #[test]
    fn tells_long_names_apart() {
        let (long, other) = ("x".repeat(100), "x".repeat(101));
        let set = StripSet::new([&long]);
        assert!(set.strips(long.as_bytes()) && !set.strips(other.as_bytes()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn answers_as_comparing_each_name_does(
            names in prop::collection::vec("[abB_-]{1,4}", 0..8), asked in prop::collection::vec(0u8..=255, 0..3),
            spelling in "[abAB_.-]{0,4}"
        ) {
            let plain = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase().replace(['_', '.'], "-");
            let set = StripSet::new(&names);
            let expected = names.iter().any(|name| plain(name.as_bytes()) == plain(spelling.as_bytes()));
            prop_assert_eq!(set.strips(spelling.as_bytes()), expected);
            set.strips(&asked);
            let head = Head::from_pairs([(&spelling, "")]);
            prop_assert_eq!(set.found_in(&head).count(), usize::from(set.strips(spelling.to_lowercase().as_bytes())));
        }
    }
}
