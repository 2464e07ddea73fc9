//! The keys of a provider as they were fetched last, and how often one worker may ask for newer ones.
//!
//! The last good set is kept whatever comes later: a page, a cut reply, an empty set or keys that fit none of the
//! provider's algorithms are no sets.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::algorithm::{Algorithm, AlgorithmSet};
use super::jwk::{Jwks, Origin};
use super::key::{KeyId, VerifyingKey};
use super::key_set::KeySet;
use crate::time::Timestamp;

/// How many fetches for unknown keys one worker saves up, for one provider.
pub const FETCHES: u32 = 5;
/// How long it takes to regain one.
pub const REGAIN: Duration = Duration::from_secs(5);

/// A key set that was fetched, with the text that workers share.
#[derive(Debug)]
pub struct KeyDocument {
    keys: KeySet,
    text: Vec<u8>,
}

/// What one worker knows of a provider's keys.
#[derive(Debug, Default)]
pub struct FetchedKeys {
    keys: Option<Rc<KeySet>>,
    ids: Vec<KeyId>,
    text: Vec<u8>,
    /// When they were asked for.
    asked: Timestamp,
    /// When exchanges asked for a fetch that is on its way.
    errand: Option<Timestamp>,
    /// When a renewal was sent that is on its way, and how many failed before it.
    renewal: Option<(Timestamp, u32)>,
    failed: bool,
    spent: u32,
    regained: Timestamp,
}

impl KeyDocument {
    /// Reads a key set out of a reply. `None`: not one key of it verifies an algorithm of `algorithms`.
    ///
    /// Only what verifying needs is kept: shared secrets and private parts, which have no business there, go no further.
    pub fn parse(body: &[u8], algorithms: AlgorithmSet) -> Option<Self> {
        let parsed = Jwks::parse(body, Origin::Remote).ok()?;
        let allowed = |key: &std::rc::Rc<VerifyingKey>| {
            Algorithm::ALL.into_iter().any(|algorithm| algorithms.contains(algorithm) && key.allows(algorithm))
        };
        if !parsed.keys.keys().iter().any(allowed) {
            return None;
        }
        let skipped: Vec<usize> = parsed.skipped.iter().map(|(at, _)| *at).collect();
        Some(Self { keys: parsed.keys, text: public_members(body, &skipped)? })
    }

    /// The set in one form, whatever the order of its members: what workers share.
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

impl FetchedKeys {
    /// The set; `None` before the first.
    pub fn keys(&self) -> Option<Rc<KeySet>> {
        self.keys.clone()
    }

    /// Whether a key is still in the set.
    pub fn holds(&self, key: KeyId) -> bool {
        self.ids.contains(&key)
    }

    /// When the set was asked for; the epoch before the first.
    pub const fn asked(&self) -> Timestamp {
        self.asked
    }

    /// Takes a set that was asked for at `asked`.
    pub fn take(&mut self, document: KeyDocument, asked: Timestamp) {
        self.asked = asked;
        if self.keys.is_some() && self.text == document.text {
            return;
        }
        self.ids = document.keys.keys().iter().filter_map(|key| key.id()).collect();
        self.text = document.text;
        self.keys = Some(Rc::new(document.keys));
    }

    /// Whether the set was asked for at `moment` or later: to ask again would bring nothing new. A moment in the future
    /// was written before the clock stepped back.
    pub fn is_from(&self, moment: Timestamp, now: Timestamp) -> bool {
        self.keys.is_some() && (moment..=now).contains(&self.asked)
    }

    /// Joins the fetch that exchanges of this worker wait for, or pays for a new one. False: the budget is spent.
    /// A fetch that was not answered within `lost_after` is none any more.
    pub fn send_for(&mut self, now: Timestamp, lost_after: Duration) -> bool {
        if self.is_sent_for(now, lost_after) {
            return true;
        }
        if !self.pay(now) {
            return false;
        }
        self.errand = Some(now);
        true
    }

    /// Whether exchanges of this worker wait for a fetch.
    pub fn is_sent_for(&self, now: Timestamp, lost_after: Duration) -> bool {
        self.errand.is_some_and(|since| (since..since.after(lost_after)).contains(&now))
    }

    /// The end of the fetch that exchanges wait for: when it was asked for.
    pub fn returned(&mut self) -> Option<Timestamp> {
        self.errand.take()
    }

    /// Notes that this worker renews the set, after so many failures.
    pub fn renew(&mut self, now: Timestamp, failures: u32) {
        self.renewal = Some((now, failures));
    }

    /// The end of the renewal: when it was sent, and how many failed before it.
    pub fn renewed(&mut self) -> Option<(Timestamp, u32)> {
        self.renewal.take()
    }

    /// Notes whether the last fetch brought a set.
    pub fn note(&mut self, failed: bool) {
        self.failed = failed;
    }

    /// The last fetch brought no set.
    pub const fn has_failed(&self) -> bool {
        self.failed
    }

    fn pay(&mut self, now: Timestamp) -> bool {
        let regained = now.since(self.regained).as_nanos() / REGAIN.as_nanos();
        let regained = u32::try_from(regained).unwrap_or(u32::MAX);
        if regained > 0 || now < self.regained {
            self.spent = self.spent.saturating_sub(regained);
            self.regained = now;
        }
        if self.spent >= FETCHES {
            return false;
        }
        self.spent += 1;
        true
    }
}

/// What a public key says (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
const PUBLIC: [&str; 10] = ["kty", "kid", "alg", "use", "key_ops", "crv", "n", "e", "x", "y"];

fn public_members(body: &[u8], skipped: &[usize]) -> Option<Vec<u8>> {
    let mut set: Value = serde_json::from_slice(body).ok()?;
    let Value::Array(keys) = set.get_mut("keys")?.take() else { return None };
    let mut kept = Vec::new();
    for (at, mut key) in keys.into_iter().enumerate() {
        if !skipped.contains(&at) {
            key.as_object_mut()?.retain(|name, _| PUBLIC.contains(&name.as_str()));
            kept.push(key);
        }
    }
    serde_json::to_vec(&json!({ "keys": kept })).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::vectors;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn all() -> AlgorithmSet {
        Algorithm::ALL.into_iter().collect()
    }

    /// The keys of the vectors with these names.
    fn set(kids: &[&str]) -> String {
        let mut set: Value = serde_json::from_str(vectors::KEYS).unwrap();
        set["keys"].as_array_mut().unwrap().retain(|key| kids.contains(&key["kid"].as_str().unwrap()));
        set.to_string()
    }

    fn document(kids: &[&str]) -> KeyDocument {
        KeyDocument::parse(set(kids).as_bytes(), all()).unwrap()
    }

    #[test]
    fn one_key_that_cannot_be_read_does_not_cost_the_others() {
        let good = set(&["rsa"]);
        for odd in [r#"{"kid":"a","kid":"b"}"#, r#"{"x":[[[[[[[]]]]]]]}"#, "7"] {
            let with = good.replacen("[", &format!("[{odd},"), 1);
            let document = KeyDocument::parse(with.as_bytes(), all()).unwrap();
            assert_eq!(document.text(), KeyDocument::parse(good.as_bytes(), all()).unwrap().text(), "{odd}");
        }
    }

    #[test]
    fn what_is_no_set_for_this_provider_is_none() {
        let rsa = set(&["rsa"]);
        let half = &rsa[..rsa.len() / 2];
        let secret = r#"{"keys":[{"kty":"oct","kid":"rsa","k":"c2VjcmV0"}]}"#;
        for bad in ["", "{}", "[]", "null", "<html>", r#"{"keys":[]}"#, r#"{"keys":[{}]}"#, half, secret] {
            assert!(KeyDocument::parse(bad.as_bytes(), all()).is_none(), "{bad}");
        }
        let huge = format!("{{\"keys\":[{}]}}", vec![r#"{"kty":"oct"}"#; 700_000].join(","));
        assert!(KeyDocument::parse(huge.as_bytes(), all()).is_none());
        assert!(KeyDocument::parse(rsa.as_bytes(), Algorithm::Es256.into()).is_none());
        assert!(KeyDocument::parse(rsa.as_bytes(), Algorithm::Rs256.into()).is_some());
    }

    #[test]
    fn shares_nothing_but_public_keys() {
        let mut set: Value = serde_json::from_str(&set(&["rsa", "p256"])).unwrap();
        set["keys"][0]["x5c"] = json!(["MIIB"]);
        let keys = set["keys"].as_array_mut().unwrap();
        let mut private = keys[1].clone();
        private["d"] = json!("c2VjcmV0");
        keys.push(private);
        keys.insert(0, json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0" }));
        let document = KeyDocument::parse(set.to_string().as_bytes(), all()).unwrap();
        let text = String::from_utf8(document.text().to_vec()).unwrap();
        assert!(!text.contains("c2VjcmV0") && !text.contains("MIIB"), "{text}");
        let again = KeyDocument::parse(text.as_bytes(), all()).unwrap();
        assert_eq!((again.text(), again.keys.keys().len()), (document.text(), 2));
    }

    #[test]
    fn holds_exactly_the_keys_of_the_last_set() {
        let ids = |kids: &[&str]| document(kids).keys.keys().iter().filter_map(|key| key.id()).collect::<Vec<_>>();
        let (rsa, p256, ed) = (ids(&["rsa"])[0], ids(&["p256"])[0], ids(&["ed"])[0]);
        let mut fetched = FetchedKeys::default();
        assert!(fetched.keys().is_none() && !fetched.holds(rsa));
        fetched.take(document(&["rsa", "ed"]), at(1));
        assert!(fetched.holds(rsa) && fetched.holds(ed) && !fetched.holds(p256));
        fetched.take(document(&["ed", "p256"]), at(2));
        assert!(!fetched.holds(rsa) && fetched.holds(ed) && fetched.holds(p256));
    }

    #[test]
    fn a_key_with_another_name_or_for_another_algorithm_is_another_key() {
        let named = |change: fn(&mut Value)| {
            let mut set: Value = serde_json::from_str(&set(&["rsa"])).unwrap();
            change(&mut set["keys"][0]);
            KeyDocument::parse(set.to_string().as_bytes(), all()).unwrap().keys.keys()[0].id().unwrap()
        };
        let same = named(|_| {});
        assert_eq!(same, named(|key| key["x5t"] = json!("a")));
        assert_ne!(same, named(|key| key["kid"] = json!("other")));
        assert_ne!(same, named(|key| key["alg"] = json!("RS512")));
        assert_ne!(named(|key| key["kid"] = json!("")), named(|key| drop(key.as_object_mut().unwrap().remove("kid"))));
    }

    #[test]
    fn the_same_set_again_costs_nothing_and_is_newer() {
        let mut fetched = FetchedKeys::default();
        fetched.take(document(&["rsa"]), at(1));
        let before = fetched.keys().unwrap();
        fetched.take(document(&["rsa"]), at(5));
        assert!(Rc::ptr_eq(&before, &fetched.keys().unwrap()));
        assert!(fetched.is_from(at(5), at(6)) && !fetched.is_from(at(6), at(6)) && !fetched.is_from(at(1), at(4)));
    }

    #[test]
    fn exchanges_join_one_fetch_and_pay_for_each_new_one() {
        let lost = Duration::from_secs(8);
        let mut fetched = FetchedKeys::default();
        assert!((0..100).all(|_| fetched.send_for(at(0), lost)));
        assert_eq!((fetched.returned(), fetched.returned()), (Some(at(0)), None));
        for _ in 1..FETCHES {
            assert!(fetched.send_for(at(0), lost) && fetched.returned().is_some());
        }
        assert!(!fetched.send_for(at(4), lost), "the budget is spent");
        assert!(fetched.send_for(at(5), lost) && fetched.returned().is_some());
        assert!(!fetched.send_for(at(5), lost));
        let saved = (0..100).filter(|_| fetched.send_for(at(1000), lost) && fetched.returned().is_some()).count();
        assert_eq!(saved, FETCHES as usize);
    }

    #[test]
    fn a_fetch_that_was_never_answered_is_not_waited_for_for_ever() {
        let lost = Duration::from_secs(8);
        let mut fetched = FetchedKeys::default();
        assert!(fetched.send_for(at(0), lost) && fetched.is_sent_for(at(7), lost));
        assert!(!fetched.is_sent_for(at(8), lost));
        assert!(fetched.send_for(at(8), lost));
        assert_eq!(fetched.returned(), Some(at(8)));
    }

    #[test]
    fn a_clock_that_steps_back_gives_no_fetches_away_and_takes_none_for_ever() {
        let lost = Duration::from_secs(8);
        let mut fetched = FetchedKeys::default();
        while fetched.send_for(at(1_000_000), lost) {
            fetched.returned();
        }
        assert!(!fetched.send_for(at(0), lost));
        assert!(fetched.send_for(at(5), lost));
    }
}
