//! What one VM keeps between exchanges: caches, budgets and samplers. Nothing here is shared with other VMs.

use std::rc::Rc;

use crate::event::{Notice, Sampler};
use crate::exchange::Identity;
use crate::jose::budget::PureBudget;
use crate::jose::cache::TokenCache;
use crate::jose::validate::Validity;
use crate::quota::client::Client;
use crate::quota::leases::Leases;
use crate::table::limiter::Limiter;

/// One VM's own state, made anew with every configuration.
#[derive(Debug)]
pub struct Worker {
    /// Tokens that were verified with the keys of this configuration.
    pub tokens: TokenCache<VerifiedToken>,
    /// The counters that all workers share.
    pub limiter: Limiter,
    /// Quota of rate limit services, which all workers share.
    pub leases: Leases,
    /// What is known of each rate limit service, in the order in which limits name them.
    pub quota_clients: Vec<Client>,
    /// How much pure-Rust cryptography this VM may still do.
    pub pure_verifications: PureBudget,
    /// Keeps floods out of the log.
    pub events: Sampler,
    /// What work in the background has to tell.
    pub notices: Vec<Notice>,
    /// A request has made work in the background urgent.
    pub stirred: bool,
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
