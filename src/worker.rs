//! What one VM keeps between exchanges: caches, budgets and samplers. Nothing here is shared with other VMs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::account::{Accounts, ByAccount};
use crate::denial::LoginReason;
use crate::event::{Notice, Sampler};
use crate::exchange::Identity;
use crate::injection::KnownHarmless;
use crate::jose::budget::PureBudget;
use crate::jose::cache::TokenCache;
use crate::jose::fetched::FetchedKeys;
use crate::jose::key::KeyId;
use crate::jose::reason::Reason;
use crate::jose::validate::Validity;
use crate::quota::client::Client;
use crate::quota::leases::Leases;
use crate::revocation::{Glance, Marks};
use crate::table::limiter::Limiter;
use crate::table::replay::ReplaySet;
use crate::table::sketch::Sketch;
use crate::table::spent::SpentBudgets;
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
    /// What providers said of opaque tokens.
    pub answers: Answers,
    /// Logins whose clients left before they were answered.
    pub left_logins: LeftLogins,
    /// The counters that all workers share.
    pub limiter: Limiter,
    /// Addresses that have shown too many bad credentials.
    pub spent_budgets: SpentBudgets,
    /// The signatures that were seen, by any worker.
    pub replay: ReplaySet,
    /// Quota of rate limit services, which all workers share.
    pub leases: Leases,
    /// What is known of revocations.
    pub revocations: Glance,
    /// What is known of each rate limit service, in the order in which limits name them.
    pub quota_clients: Vec<Client>,
    /// How much pure-Rust cryptography this VM may still do.
    pub pure_verifications: Option<PureBudget>,
    /// Values of headers that were inspected before.
    pub harmless: KnownHarmless,
    /// Callers that were seen lately, by any worker.
    pub sessions: Sketch,
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
    /// The version of its provider's keys when it was verified; under another it is verified anew.
    pub keys: u64,
    /// The key that verified it, where that may be withdrawn; looked at on every use.
    pub signed_by: Option<SignedBy>,
    /// What of it may be revoked; looked at on every use.
    pub marks: Marks,
    /// Whose it is with the roles that the account has.
    pub with_account: ByAccount<Identity>,
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

/// What stands for an opaque token and its provider: SHA-256 of both, so that no token is kept.
pub type TokenDigest = [u8; 32];

/// What providers said of opaque tokens, for a time: that of their provider, which is named with each question, so that a
/// clock that steps back lengthens none. Good and bad ones apart: whoever sends bad ones in numbers drives out no good one.
#[derive(Debug)]
pub struct Answers {
    good: TokenCache<Answer<Rc<Identity>>>,
    bad: TokenCache<Answer<Refusal>>,
}

/// Why an opaque token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is bad.
    Bad(Reason),
    /// Its provider refused the question.
    Unclear,
    /// Its provider did not answer.
    Unanswered,
}

#[derive(Debug)]
struct Answer<T> {
    said: T,
    until: Timestamp,
}

impl Answers {
    /// No answers; at most `max_entries` of either kind and about `max_bytes` of the good ones will be kept.
    pub fn new(max_entries: usize, max_bytes: usize, seed: [u64; 2]) -> Self {
        let bad = TokenCache::new(max_entries, max_entries.saturating_mul(BAD_ANSWER_BYTES), seed);
        Self { good: TokenCache::new(max_entries, max_bytes, seed), bad }
    }

    /// Whose token it is, if that is known still; no answer is kept for longer than `longest`.
    pub fn good(&mut self, token: &TokenDigest, now: Timestamp, longest: Duration) -> Option<Rc<Identity>> {
        self.good.lookup(token, |answer| answer.until.lies_ahead(now, longest)).map(|answer| answer.said.clone())
    }

    /// Why it is not taken, if that holds still; no answer is kept for longer than `longest`.
    pub fn bad(&mut self, token: &TokenDigest, now: Timestamp, longest: Duration) -> Option<Refusal> {
        self.bad.lookup(token, |answer| answer.until.lies_ahead(now, longest)).map(|answer| answer.said)
    }

    /// Remembers whose token it is until a moment; `bytes` is what the identity takes.
    pub fn keep_good(&mut self, token: &TokenDigest, identity: Rc<Identity>, until: Timestamp, bytes: usize) {
        self.good.insert(token, Answer { said: identity, until }, bytes);
    }

    /// Remembers why it is not taken until a moment.
    pub fn keep_bad(&mut self, token: &TokenDigest, refusal: Refusal, until: Timestamp) {
        self.bad.insert(token, Answer { said: refusal, until }, 0);
    }
}

/// Logins under way, so far as their clients left: what became of them counts all the same.
#[derive(Debug, Default)]
pub struct LeftLogins {
    /// Those that failed after their clients had left, to be told.
    pub failed: Vec<(IpAddr, LoginReason)>,
    under_way: HashMap<Rc<str>, IpAddr>,
    sequence: u64,
}

impl LeftLogins {
    /// The name of another login, which no other has in this worker.
    pub fn name_next(&mut self) -> Rc<str> {
        self.sequence += 1;
        Rc::from(format!("login/{}", self.sequence))
    }

    /// The client of this login has left. Of more than are ever under way, nothing is known.
    pub fn leave(&mut self, login: Rc<str>, client: IpAddr) {
        if self.under_way.len() < MOST_LEFT {
            self.under_way.insert(login, client);
        }
    }

    /// The client of this login, if it has left; once.
    pub fn answered(&mut self, login: &str) -> Option<IpAddr> {
        self.under_way.remove(login)
    }
}

/// Logins of clients that left: each ends with its answer or its timeout.
const MOST_LEFT: usize = 1_024;

/// More than a refusal takes in the cache.
const BAD_ANSWER_BYTES: usize = 256;

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
        // 2^64 / 100 leaves a bias of 10^-18.
        u8::try_from(self.draw() % 100).unwrap_or(99)
    }

    /// Any number, each as likely.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;
    use crate::store::SharedStore;
    use crate::table::Space;
    use crate::table::limiter::Sizes;

    impl Worker {
        /// One that has seen nothing, with small tables and without providers, for tests of what is given one.
        pub(crate) fn empty(store: &dyn SharedStore) -> Self {
            let space = Space::open(store, "test", [1; 16]).unwrap();
            let sizes = Sizes { addresses: 64, named: 64 };
            Self {
                tokens: TokenCache::new(64, 1 << 16, [1, 2]),
                key_sets: Vec::new(),
                accounts: Vec::new(),
                answers: Answers::new(64, 1 << 16, [1, 2]),
                left_logins: LeftLogins::default(),
                limiter: Limiter::open(space.clone(), store, sizes).unwrap(),
                spent_budgets: SpentBudgets::default(),
                replay: ReplaySet::new(space.clone(), 64, std::time::Duration::from_secs(300)),
                revocations: Glance::default(),
                sessions: Sketch::new(&space, Duration::from_secs(60)),
                leases: Leases::new(space, 64),
                quota_clients: Vec::new(),
                pure_verifications: None,
                harmless: KnownHarmless::new(2),
                events: Sampler::new(1000, Duration::from_secs(1)),
                notices: Vec::new(),
                stirred: false,
                lot: Lot::new(4),
            }
        }
    }

    #[test]
    fn answers_hold_until_their_moment_and_bad_ones_drive_out_no_good_one() {
        let at = Timestamp::from_unix_seconds;
        let mut answers = Answers::new(100, 1 << 20, [1, 2]);
        let digest = |n: u32| -> TokenDigest { sha2::Sha256::digest(n.to_le_bytes()).into() };
        let minute = Duration::from_secs(60);
        let ann = Rc::new(Identity::new(crate::exchange::Method::Oauth2, Rc::from("p"), "ann".to_owned()));
        answers.keep_good(&digest(0), ann, at(60), 300);
        for n in 1..1000 {
            answers.keep_bad(&digest(n), Refusal::Bad(Reason::Inactive), at(60));
        }
        let inactive = Some(Refusal::Bad(Reason::Inactive));
        assert_eq!((answers.bad.len(), answers.bad(&digest(999), at(59), minute)), (100, inactive));
        let good = answers.good(&digest(0), at(59), minute);
        assert_eq!(good.map(|caller| caller.subject.clone()), Some("ann".to_owned()));
        assert!(
            answers.good(&digest(0), at(60), minute).is_none() && answers.bad(&digest(999), at(60), minute).is_none()
        );
        assert!(answers.good(&digest(0), at(1), minute).is_none(), "forgotten");
    }

    #[test]
    fn a_clock_that_stepped_back_lengthens_no_answer() {
        let at = Timestamp::from_unix_seconds;
        let (token, minute): (TokenDigest, _) = ([7; 32], Duration::from_secs(60));
        let mut answers = Answers::new(100, 1 << 20, [1, 2]);
        let ann = Rc::new(Identity::new(crate::exchange::Method::Oauth2, Rc::from("p"), "ann".to_owned()));
        answers.keep_good(&token, ann, at(7_260), 300);
        answers.keep_bad(&token, Refusal::Bad(Reason::Inactive), at(7_260));
        assert!(answers.good(&token, at(3_600), minute).is_none() && answers.bad(&token, at(3_600), minute).is_none());
    }

    #[test]
    fn logins_that_were_left_are_few_and_known_once() {
        let mut logins = LeftLogins::default();
        let client = IpAddr::from([192, 0, 2, 1]);
        let names: Vec<_> = (0..2 * MOST_LEFT).map(|_| logins.name_next()).collect();
        assert_eq!(logins.answered(&names[0]), None);
        names.iter().for_each(|name| logins.leave(name.clone(), client));
        assert_eq!(logins.under_way.len(), MOST_LEFT);
        assert_eq!([(); 2].map(|()| logins.answered(&names[0])), [Some(client), None]);
    }

    #[test]
    fn a_lot_is_even() {
        let mut lot = Lot::new(7);
        let below = (0..10_000).filter(|_| lot.percentile() < 25).count();
        assert!((2_300..2_700).contains(&below), "{below}");
    }
}
