//! A provider's keys, and which of them a token may have been signed with.

use std::rc::Rc;

use super::algorithm::{Algorithm, KeyType};
use super::key::VerifyingKey;

/// The most public keys tried for one token. Shared secrets are as many as the operator gave, and cost a thousandth.
pub const MAX_CANDIDATES: usize = 8;

/// The keys of one provider.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Rc<VerifyingKey>>);

impl KeySet {
    /// A set of these keys; several may share a name or have none, as while rotating.
    /// Other sets may hold the same keys.
    pub fn new<K: Into<Rc<VerifyingKey>>>(keys: Vec<K>) -> Self {
        Self(keys.into_iter().map(Into::into).collect())
    }

    /// Whether there is no key at all.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All keys, in their order.
    pub fn keys(&self) -> &[Rc<VerifyingKey>] {
        &self.0
    }

    /// The keys by themselves, to make another set of them.
    pub fn into_keys(self) -> Vec<Rc<VerifyingKey>> {
        self.0
    }

    /// The keys to try for a token with this `kid` and algorithm, of public ones at most [`MAX_CANDIDATES`].
    ///
    /// A token without a `kid` may be any key's. One with a `kid` is only for keys of that name; where no key has it,
    /// keys without a name remain (shared secrets have none).
    pub fn candidates<'a, 'k>(
        &'a self,
        kid: Option<&'k str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a VerifyingKey> + use<'a, 'k> {
        let named = kid.is_some_and(|kid| self.knows(kid));
        let fits = move |key: &&VerifyingKey| {
            let name_fits = kid.is_none() || key.kid() == kid || (!named && key.kid().is_none());
            name_fits && key.allows(algorithm)
        };
        let most = if algorithm.key_type() == KeyType::Secret { usize::MAX } else { MAX_CANDIDATES };
        self.0.iter().map(|key| &**key).filter(fits).take(most)
    }

    /// Whether a key has this name.
    pub fn knows(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid() == Some(kid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::key::Secret;

    fn secret(kid: Option<&str>) -> VerifyingKey {
        VerifyingKey::from_secret(kid, Secret::new(b"secret").unwrap())
    }

    fn names(set: &KeySet, kid: Option<&str>, algorithm: Algorithm) -> Vec<String> {
        set.candidates(kid, algorithm).map(|key| key.kid().unwrap_or("-").to_owned()).collect()
    }

    #[test]
    fn tries_only_keys_of_the_name_the_token_gives() {
        let restricted = secret(Some("a")).restricted_to(Algorithm::Hs512).unwrap();
        let set = KeySet::new(vec![secret(Some("a")), restricted, secret(Some("b")), secret(None)]);
        assert_eq!(names(&set, Some("a"), Algorithm::Hs256), ["a"]);
        assert_eq!(names(&set, Some("a"), Algorithm::Hs512), ["a", "a"]);
        assert_eq!(names(&set, Some("c"), Algorithm::Hs256), ["-"]);
        assert_eq!(names(&set, None, Algorithm::Hs256), ["a", "b", "-"]);
        assert!(names(&set, None, Algorithm::Rs256).is_empty());
    }

    #[test]
    fn bounds_the_public_keys_tried_for_one_token() {
        let named = |kid: &str| VerifyingKey::from_rsa(Some(kid), &[0xff; 256], &[1, 0, 1]).unwrap();
        let set = KeySet::new((0..100).map(|number| named(&number.to_string())).collect());
        assert_eq!(set.candidates(None, Algorithm::Rs256).count(), MAX_CANDIDATES);
        assert_eq!(set.candidates(Some("99"), Algorithm::Rs256).count(), 1);
    }

    #[test]
    fn tries_every_shared_secret() {
        let set = KeySet::new((0..100).map(|_| secret(None)).collect());
        assert_eq!(set.candidates(None, Algorithm::Hs256).count(), 100);
    }
}
