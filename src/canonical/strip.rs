//! Header names that only the proxy may say: what a client sends under them goes no further.

use crate::order;

/// A set of header names, whatever their case and their separators.
///
/// Applications read `X-Auth-Subject`, `x_auth_subject` and `x.auth.subject` as one variable (RFC 3875 section 4.1.18
/// turns `-` into `_`, and servers do so with more), so every byte that is neither letter nor digit counts as the
/// same. Holds for header fields and trailers alike.
///
/// Most names are told apart by length, first and last letter, in about a nanosecond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StripSet {
    /// The bit of each name's [`place`].
    present: [u64; 4],
    /// Folded, sorted by length, then bytes.
    names: Vec<Box<[u8]>>,
}

impl StripSet {
    /// The set of these names. An empty name is no name.
    pub fn new<N: AsRef<[u8]>>(names: impl IntoIterator<Item = N>) -> Self {
        let fold_all = |name: N| name.as_ref().iter().copied().map(fold).collect::<Box<[u8]>>();
        let mut names: Vec<_> = names.into_iter().map(fold_all).filter(|name| !name.is_empty()).collect();
        order::sort_by(&mut names, |a, b| (a.len(), a) < (b.len(), b));
        names.dedup();
        let mut present = [0; 4];
        for (word, bit) in names.iter().map(|name| place(name)) {
            present.iter_mut().skip(word).take(1).for_each(|bits| *bits |= bit);
        }
        Self { present, names }
    }

    /// Whether a field of this name must not come from a client. Pseudo headers never are.
    #[inline]
    pub fn strips(&self, name: &[u8]) -> bool {
        let (word, bit) = place(name);
        self.present.get(word).is_some_and(|bits| bits & bit != 0) && self.contains(name)
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

fn folded(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().copied().map(fold)
}

fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// One of 256 bits, the same for every spelling of a name.
#[inline]
fn place(name: &[u8]) -> (usize, u64) {
    let end = |byte: Option<&u8>| u32::from(byte.copied().map_or(0, fold));
    let mixed = (name.len() as u32).wrapping_mul(0x9e37) ^ (end(name.first()) << 8 | end(name.last()));
    let hash = mixed.wrapping_mul(0x9e37_79b1) >> 24;
    ((hash >> 6) as usize, 1 << (hash & 63))
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
        }
    }
}
