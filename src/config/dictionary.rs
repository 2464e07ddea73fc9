//! Entries by key.

use std::borrow::Borrow;

use serde_json::Value;

use crate::setting::{Blank, FromText, Setting, entries};
use crate::tree::{Fault, Step};

/// Entries by key, in the order of the keys. A list, and not the standard library's tree, which adds 5 KB of module for every
/// type of entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dictionary<K, T>(Vec<(K, T)>);

impl<K, T> Dictionary<K, T> {
    /// Without entries.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every key with its value.
    pub fn iter(&self) -> Entries<'_, K, T> {
        self.0.iter().map(entry)
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.0.iter().map(|(key, _)| key)
    }

    /// Every value.
    pub fn values(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<K: Ord, T> Dictionary<K, T> {
    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&T>
    where
        K: Borrow<Q>,
    {
        let found = self.0.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        self.0.get(found).map(|(_, value)| value)
    }

    /// Whether there is such a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Adds an entry; one with the same key is given back.
    pub(crate) fn insert(&mut self, key: K, value: T) -> Option<T> {
        match self.0.binary_search_by(|(known, _)| known.cmp(&key)) {
            Ok(found) => self.0.get_mut(found).map(|(_, known)| std::mem::replace(known, value)),
            Err(place) => {
                self.0.insert(place, (key, value));
                None
            }
        }
    }
}

impl<K, T> Default for Dictionary<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Every key with its value.
pub type Entries<'d, K, T> = std::iter::Map<std::slice::Iter<'d, (K, T)>, fn(&'d (K, T)) -> (&'d K, &'d T)>;

fn entry<K, T>((key, value): &(K, T)) -> (&K, &T) {
    (key, value)
}

impl<'d, K, T> IntoIterator for &'d Dictionary<K, T> {
    type Item = (&'d K, &'d T);
    type IntoIter = Entries<'d, K, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: FromText + Ord, T: Setting> Setting for Dictionary<K, T> {
    fn read(value: &Value) -> Result<Self, Fault> {
        let mut read = Self::new();
        each_entry(value, &mut |key, value| Ok(read.insert(K::of(key)?, T::read(value)?).is_none()))?;
        Ok(read)
    }
}

/// Gives `insert` every entry of a map; it says whether the key is new. Written once for all types, which spares the module
/// the same lines for each.
fn each_entry(value: &Value, insert: &mut dyn FnMut(&str, &Value) -> Result<bool, Fault>) -> Result<(), Fault> {
    for (key, value) in entries(value)? {
        // Only names of headers are the same in another spelling.
        if !insert(key, value).map_err(|fault| fault.under(Step::Key(key.clone())))? {
            return Err(Fault::new(format!("the header {} occurs twice", key.to_ascii_lowercase())));
        }
    }
    Ok(())
}

impl<K, T> Blank for Dictionary<K, T> {
    fn blank() -> Self {
        Self::new()
    }
}

#[cfg(feature = "schema")]
impl<K: schemars::JsonSchema, T: schemars::JsonSchema> schemars::JsonSchema for Dictionary<K, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        std::collections::BTreeMap::<K, T>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        std::collections::BTreeMap::<K, T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_value_of_every_key_in_the_order_of_the_keys() {
        let mut dictionary = Dictionary::new();
        let earlier = ["b", "a", "c", "a"].map(|key| dictionary.insert(key, dictionary.len()));
        assert_eq!(earlier, [None, None, None, Some(1)]);
        assert_eq!(dictionary.iter().collect::<Vec<_>>(), [(&"a", &3), (&"b", &0), (&"c", &2)]);
        assert_eq!((dictionary.get("c"), dictionary.get("d")), (Some(&2), None));
        assert_eq!(dictionary.values().sum::<usize>(), 5);
    }
}
