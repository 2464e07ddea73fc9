//! API keys: each stands for a caller by itself. Compared as SHA-256 digests, all of them in constant time.

use std::rc::Rc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::check::{CalloutReply, Env, Failure};
use crate::checks::limit::AddressBudget;
use crate::denial::AuthReason;
use crate::exchange::{Errand, Exchange, Identity};
use crate::jose::reason::Reason;
use crate::secrets::{Derived, SecretSlot};

use super::place::{self, Place, Shown};
use super::{Attempt, Credential, await_secret, secret_arrived, stopped};

/// Callers that show a key.
pub struct ApiKeys {
    /// Where the key may stand.
    pub places: Vec<Place>,
    /// The callers.
    pub keys: Vec<ApiKey>,
    /// How many bad credentials an address may show.
    pub unverified: Option<Rc<AddressBudget>>,
}

/// A key and whose it is.
pub struct ApiKey {
    digests: Derived<Vec<[u8; 32]>>,
    caller: Rc<Identity>,
}

impl ApiKey {
    /// The key of a caller. Only digests are kept: of its value, and of those before it while they are valid.
    pub fn new(key: Rc<SecretSlot>, caller: Identity) -> Self {
        let digests = Derived::new(vec![key], |slots| {
            let accepted = slots.iter().flat_map(|slot| slot.accepted());
            accepted.map(|key| Sha256::digest(key.reveal()).into()).collect()
        });
        Self { digests, caller: Rc::new(caller) }
    }

    /// Whether both are the same key.
    pub fn is_that_of(&self, other: &Self) -> bool {
        let others = other.digests.current();
        self.digests.current().iter().any(|digest| others.contains(digest))
    }
}

impl ApiKeys {
    /// Whose key it is. Every key is compared, so that time does not tell which was right. One that a rotation made the
    /// key of two callers is nobody's.
    fn caller(&self, shown: &[u8]) -> Result<&Rc<Identity>, Reason> {
        let digest: [u8; 32] = Sha256::digest(shown).into();
        let (mut at, mut right, mut again) = (0, Choice::from(0), Choice::from(0));
        for (position, key) in (0_u32..).zip(&self.keys) {
            let digests = key.digests.current();
            let same = digests.iter().fold(Choice::from(0), |any, known| any | known.ct_eq(&digest));
            at = u32::conditional_select(&at, &position, same);
            again |= right & same;
            right |= same;
        }
        if bool::from(again) {
            return Err(Reason::Ambiguous);
        }
        let key = usize::try_from(at).ok().and_then(|at| self.keys.get(at)).filter(|_| bool::from(right));
        key.map(|key| &key.caller).ok_or(Reason::BadSignature)
    }

    fn judge(&self, shown: &[u8], exchange: &Exchange, env: &mut Env<'_>) -> Attempt {
        if let Some(stopped) = stopped(self.unverified.as_deref(), exchange.client(), env) {
            return stopped;
        }
        match self.caller(shown) {
            Ok(caller) => Attempt::Verified(caller.clone()),
            // What is not known yet cannot be called wrong.
            Err(Reason::BadSignature) => match self.keys.iter().find_map(|key| key.digests.missing()) {
                Some(slot) => await_secret(slot, env.now),
                None => Attempt::Refused(AuthReason::Token(Reason::BadSignature)),
            },
            Err(reason) => Attempt::Refused(AuthReason::Token(reason)),
        }
    }

    fn places(&self) -> Vec<&Place> {
        self.places.iter().collect()
    }
}

impl Credential for ApiKeys {
    fn attempt(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let found = place::find(&self.places(), exchange);
        let attempt = match place::shown(&found) {
            Shown::Nothing => return Attempt::Absent,
            Shown::Different => Attempt::Refused(AuthReason::Token(Reason::Ambiguous)),
            Shown::One(key) => self.judge(key, exchange, env),
        };
        if matches!(attempt, Attempt::Verified(_)) {
            exchange.shown_by = exchange.shown_by.max(place::shown_by(&found));
        }
        if !matches!(attempt, Attempt::Wait(..)) {
            place::strip_all(&found, exchange);
        }
        attempt
    }

    fn arrived(&self, errand: Errand, reply: &CalloutReply, exchange: &mut Exchange, env: &mut Env<'_>) -> Attempt {
        let Errand::Secret(number) = errand else { return Attempt::Fail(Failure::UnexpectedArrival) };
        secret_arrived(number, reply, self.keys.iter().flat_map(|key| key.digests.slots()), env);
        self.attempt(exchange, env)
    }

    fn withhold(&self, exchange: &mut Exchange) {
        place::strip_all(&place::find(&self.places(), exchange), exchange);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Method;
    use crate::secrets::SecretValue;

    fn slot(value: &str) -> Rc<SecretSlot> {
        SecretSlot::fixed("key", SecretValue::new(value.as_bytes().to_vec()).unwrap())
    }

    #[test]
    fn finds_the_caller_of_exactly_this_key() {
        let names = ["a", "b", "c"];
        let caller = |name: &str| Identity::new(Method::ApiKey, Rc::from("api_keys"), name.to_owned());
        let keys = names.map(|name| ApiKey::new(slot(&format!("key-{name}")), caller(name)));
        let keys = ApiKeys { places: Vec::new(), keys: keys.into(), unverified: None };
        let found = |shown: &str| keys.caller(shown.as_bytes()).map(|caller| caller.subject.clone());
        for name in names {
            assert_eq!(found(&format!("key-{name}")), Ok(name.to_owned()));
        }
        for wrong in ["", "key-", "key-d", "KEY-a", "key-a "] {
            assert_eq!(found(wrong), Err(Reason::BadSignature), "{wrong:?}");
        }
        let none = ApiKeys { places: Vec::new(), keys: Vec::new(), unverified: None };
        assert!(none.caller(b"").is_err());
    }

    #[test]
    fn a_key_that_became_the_key_of_two_callers_is_nobodys() {
        let caller = |name: &str| Identity::new(Method::ApiKey, Rc::from("api_keys"), name.to_owned());
        let keys = [("a", "same"), ("b", "other"), ("c", "same")];
        let keys = keys.map(|(name, key)| ApiKey::new(slot(key), caller(name)));
        let keys = ApiKeys { places: Vec::new(), keys: keys.into(), unverified: None };
        assert_eq!(keys.caller(b"same").map(|caller| caller.subject.clone()), Err(Reason::Ambiguous));
        assert_eq!(keys.caller(b"other").map(|caller| caller.subject.clone()), Ok("b".to_owned()));
    }
}
