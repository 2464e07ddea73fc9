//! What one VM keeps between exchanges: caches, budgets and samplers. Nothing here is shared with other VMs.

use std::rc::Rc;

use crate::account::{Accounts, Joined};
use crate::event::{Notice, Sampler};
use crate::exchange::Identity;
use crate::jose::budget::PureBudget;
use crate::jose::cache::TokenCache;
use crate::jose::fetched::FetchedKeys;
use crate::jose::key::KeyId;
use crate::jose::validate::Validity;
use crate::table::limiter::Limiter;
use crate::time::Timestamp;

/// One VM's own state, made anew with every configuration.
#[derive(Debug)]
pub struct Worker {
    /// Tokens that were verified with the keys of this configuration.
    pub tokens: TokenCache<Rc<VerifiedToken>>,
    /// Key sets of providers that publish them.
    pub key_sets: Vec<FetchedKeys>,
    /// What the services that keep accounts said.
    pub accounts: Vec<Accounts>,
    /// The counters that all workers share.
    pub limiter: Limiter,
    /// How much pure-Rust cryptography this VM may still do.
    pub pure_verifications: PureBudget,
    /// Keeps floods out of the log.
    pub events: Sampler,
    /// What work in the background has to tell.
    pub notices: Vec<Notice>,
    /// For decisions by lot, such as `enforce_percent`.
    pub lot: Lot,
}

/// A token that was verified once.
#[derive(Debug)]
pub struct VerifiedToken {
    /// Whose it is.
    pub identity: Rc<Identity>,
    /// When it may be used; looked at on every use.
    pub validity: Validity,
    /// The key that verified it, where that may be withdrawn; looked at on every use.
    pub signed_by: Option<SignedBy>,
    /// Whose it is with the roles that the account has.
    pub with_account: Joined<Identity>,
}

/// A key of a published set.
#[derive(Clone, Copy, Debug)]
pub struct SignedBy {
    /// The place of the set.
    pub key_set: usize,
    /// The key.
    pub key: KeyId,
}

impl Worker {
    /// What is known of a token that was verified before, while it may be used and its key was not withdrawn.
    pub fn verified(&mut self, token: &[u8], now: Timestamp) -> Option<Rc<VerifiedToken>> {
        let Self { tokens, key_sets, .. } = self;
        let is_held = |by: &SignedBy| key_sets.get(by.key_set).is_some_and(|set| set.holds(by.key));
        let holds = |known: &Rc<VerifiedToken>| {
            known.validity.check(now).is_ok() && known.signed_by.as_ref().is_none_or(is_held)
        };
        tokens.lookup(token, holds).cloned()
    }
}

/// A small generator (SplitMix64) for decisions by lot; not for secrets.
#[derive(Clone, Debug)]
pub struct Lot(u64);

impl Lot {
    /// Starts from `seed`, which should differ between VMs.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to 99, each as likely.
    pub fn percentile(&mut self) -> u8 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // 2^64 / 100 leaves a bias of 10^-18.
        u8::try_from((mixed ^ (mixed >> 31)) % 100).unwrap_or(99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lot_is_even() {
        let mut lot = Lot::new(7);
        let below = (0..10_000).filter(|_| lot.percentile() < 25).count();
        assert!((2_300..2_700).contains(&below), "{below}");
    }
}
