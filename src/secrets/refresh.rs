//! When a secret is fetched: at the start, every refresh period, on demand, and after a failure with growing patience.
//! Whatever happens to the store, the last good value stays.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::slot::SecretSlot;
use super::source::{Fault, Source};
use super::value::SecretValue;
use crate::check::{Background, Callout, CalloutReply, Env};
use crate::event::{EventType, Notice};
use crate::table::generation::Generation;
use crate::time::Timestamp;
use crate::worker::Lot;

/// After the first failure; doubled with each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait after a failure, unless the refresh period is shorter.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// What a refresh period is at least: background work has a look once a second.
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);
/// With [`EventType::Degraded`]: a store that failed gave a good value again.
pub const RECOVERED: &str = "secret_recovered";

/// By how much another worker may read later than its refresh period: the store may be slow, or have to be asked again.
const LATE: Duration = Duration::from_secs(10);

/// How a value takes the place of another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rotation {
    /// After which all others that read the same secret have read the new value: nobody signs with it before.
    pub(super) spread: Duration,
    /// How long the former value stays valid.
    pub(super) overlap: Duration,
}

impl Rotation {
    /// Nobody else has to know it.
    pub(super) const AT_ONCE: Self = Self { spread: Duration::ZERO, overlap: Duration::ZERO };

    /// The last of the others reads it one period after the first, and signs with the former value for one period more.
    /// What it signs then is good for a third.
    fn of(refresh: Duration) -> Self {
        let spread = refresh + LATE.min(refresh);
        Self { spread, overlap: 3 * spread }
    }
}

/// Where a secret is fetched, and when.
pub struct Remote {
    source: Source,
    /// How long a value is kept before it is read again.
    refresh: Duration,
    /// Raised by whoever wants every worker to fetch at once.
    demand: Rc<Generation>,
    schedule: Cell<Schedule>,
}

#[derive(Clone, Copy, Default)]
struct Schedule {
    /// The next fetch.
    due: Timestamp,
    /// When the store was last heard of with a good value.
    fetched: Timestamp,
    /// Since the last good value.
    failures: u32,
    /// What was last told.
    fault: Option<Fault>,
    /// The demand that was last met.
    demanded: u64,
}

impl Remote {
    /// A secret of `source`, due at once.
    pub fn new(source: Source, refresh: Duration, demand: Rc<Generation>) -> Self {
        Self { source, refresh: refresh.max(SHORTEST_REFRESH), demand, schedule: Cell::default() }
    }

    /// Whether `earlier` is the same secret and knows more; then its schedule goes on here.
    pub(super) fn adopt(&self, earlier: &Self) -> bool {
        let (own, theirs) = (self.schedule.get(), earlier.schedule.get());
        let newer = self.source == earlier.source && theirs.fetched > own.fetched;
        if newer {
            let due = theirs.due.min(theirs.fetched.after(self.refresh));
            self.schedule.set(Schedule { due, ..theirs });
        }
        newer
    }

    /// Whether the next fetch is due. None is ever set further ahead than the period.
    fn is_due(&self, now: Timestamp) -> bool {
        !self.schedule.get().due.lies_ahead(now, self.refresh)
    }

    fn request(&self, name: &str, now: Timestamp) -> Callout {
        Callout { flight: Some(Rc::from(format!("secrets/{name}"))), ..self.source.request(now) }
    }

    fn succeeded(&self, now: Timestamp, lot: &mut Lot) {
        let due = now.after(jittered(self.refresh, 80, lot));
        self.schedule.set(Schedule { due, fetched: now, failures: 0, fault: None, ..self.schedule.get() });
    }

    fn failed(&self, fault: Fault, now: Timestamp, lot: &mut Lot) {
        let schedule = self.schedule.get();
        let patience = FIRST_RETRY.saturating_mul(1 << schedule.failures.min(16));
        let patience = patience.min(LONGEST_RETRY).min(self.refresh);
        let due = now.after(jittered(patience, 50, lot));
        let failures = schedule.failures.saturating_add(1);
        self.schedule.set(Schedule { due, failures, fault: Some(fault), ..schedule });
    }
}

impl SecretSlot {
    /// When its store last gave a good value, the epoch before the first, and how many fetches have failed since.
    pub fn last_good(&self) -> (Timestamp, u32) {
        let schedule = self.remote.as_ref().map(|remote| remote.schedule.get()).unwrap_or_default();
        (schedule.fetched, schedule.failures)
    }

    /// The fetch that an exchange may wait for. `None`: the store has just failed, or there is none; it would wait in
    /// vain.
    pub fn ask(&self, now: Timestamp) -> Option<Callout> {
        let remote = self.remote.as_ref()?;
        remote.is_due(now).then(|| remote.request(self.name(), now))
    }

    /// Takes the answer that an exchange waited for. Of the many that wait for one answer only the first counts as a
    /// failure.
    pub fn answered(&self, reply: &CalloutReply, env: &mut Env<'_>) {
        let Some(remote) = &self.remote else { return };
        let first = remote.is_due(env.now);
        if first || (self.is_missing() && self.read(remote, reply).is_ok()) {
            self.take(reply, env);
        }
    }

    fn read(&self, remote: &Remote, reply: &CalloutReply) -> Result<SecretValue, Fault> {
        remote.source.read(reply).and_then(|value| if self.fits(&value) { Ok(value) } else { Err(Fault::Malformed) })
    }

    fn take(&self, reply: &CalloutReply, env: &mut Env<'_>) {
        let Some(remote) = &self.remote else { return };
        let told = remote.schedule.get().fault;
        let now_told = match self.read(remote, reply) {
            Ok(value) => {
                self.store(value, Rotation::of(remote.refresh), env.now);
                remote.succeeded(env.now, &mut env.worker.lot);
                told.map(|_| RECOVERED)
            }
            Err(fault) => {
                remote.failed(fault, env.now, &mut env.worker.lot);
                (told != Some(fault)).then(|| fault.as_str())
            }
        };
        let notice = now_told
            .map(|reason| Notice { dependency: Some(self.settings()), ..Notice::new(EventType::Degraded, reason) });
        env.worker.notices.extend(notice);
    }
}

/// Keeps one secret fresh.
pub struct Refresh(pub Rc<SecretSlot>);

impl Background for Refresh {
    fn due(&self, env: &mut Env<'_>) -> Option<Callout> {
        let remote = self.0.remote.as_ref()?;
        let schedule = remote.schedule.get();
        // Where the host fails, the period still holds.
        let demanded = remote.demand.read(env.host.store()).unwrap_or(schedule.demanded);
        if demanded == schedule.demanded && !remote.is_due(env.now) {
            return None;
        }
        // Due until it is answered: who needs the value meanwhile may ask as well.
        remote.schedule.set(Schedule { due: schedule.due.min(env.now), demanded, ..schedule });
        Some(remote.request(self.0.name(), env.now))
    }

    fn arrived(&self, reply: &CalloutReply, env: &mut Env<'_>) -> Option<Callout> {
        self.0.take(reply, env);
        None
    }
}

/// Signs with new values and ends the overlap of former ones in time, also while a fetch of theirs is on its way.
pub struct Settling(pub Vec<Rc<SecretSlot>>);

impl Background for Settling {
    fn due(&self, env: &mut Env<'_>) -> Option<Callout> {
        for slot in &self.0 {
            slot.settle(env.now);
        }
        None
    }

    fn arrived(&self, _: &CalloutReply, _: &mut Env<'_>) -> Option<Callout> {
        None
    }
}

/// From `least` percent of `span` to nearly all of it: workers and proxies that started together drift apart.
fn jittered(span: Duration, least: u8, lot: &mut Lot) -> Duration {
    let percent = u32::from(least) + u32::from(lot.percentile()) * u32::from(100 - least) / 100;
    span.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::NativeHost;
    use crate::secrets::Derived;
    use crate::secrets::source::VaultKv;
    use crate::table::Space;
    use crate::worker::Worker;

    const PERIOD: u64 = 300;

    struct World {
        host: NativeHost,
        worker: Worker,
        now: Timestamp,
        demand: Rc<Generation>,
        slot: Rc<SecretSlot>,
    }

    impl World {
        fn new() -> Self {
            let host = NativeHost::default();
            let worker = Worker::empty(&host.store);
            let demand = Rc::new(Generation::new(&Space::open(&host.store, "p", [1; 16]).unwrap(), "secrets"));
            let slot = slot(&demand, "t");
            Self { host, worker, now: Timestamp::from_unix_seconds(1_800_000_000), demand, slot }
        }

        /// Passes so many seconds, looks what is due, and answers it.
        fn turn(&mut self, seconds: u64, answer: Option<&str>) -> bool {
            self.now = self.now.after(Duration::from_secs(seconds));
            let mut env = Env { now: self.now, host: &self.host, worker: &mut self.worker };
            let task = Refresh(self.slot.clone());
            assert_eq!(Settling(vec![self.slot.clone()]).due(&mut env), None);
            let asked = task.due(&mut env).is_some();
            if asked {
                assert_eq!(task.arrived(&reply(answer), &mut env), None);
            }
            asked
        }

        fn accepted(&self) -> Vec<String> {
            self.slot.accepted().iter().map(|value| String::from_utf8(value.reveal().to_vec()).unwrap()).collect()
        }

        fn notices(&mut self) -> Vec<String> {
            let told = |notice: Notice| format!("{} {}", notice.reason, notice.dependency.unwrap_or_default());
            std::mem::take(&mut self.worker.notices).into_iter().map(told).collect()
        }
    }

    fn slot(demand: &Rc<Generation>, token: &str) -> Rc<SecretSlot> {
        let token = SecretValue::new(token.into()).unwrap();
        let source = Source::Vault(VaultKv { cluster: "v".into(), path: "a".into(), field: "f".into(), token });
        SecretSlot::fetched("key", 3, Remote::new(source, Duration::from_secs(PERIOD), demand.clone()))
    }

    fn signing(slot: &SecretSlot) -> String {
        String::from_utf8(slot.signing().unwrap().reveal().to_vec()).unwrap()
    }

    fn reply(value: Option<&str>) -> CalloutReply {
        let body = |value: &str| format!(r#"{{"data":{{"data":{{"f":"{value}"}}}}}}"#).into_bytes();
        value.map_or(CalloutReply::Lost, |value| CalloutReply::Answered { status: 200, body: body(value) })
    }

    #[test]
    fn a_value_is_fetched_at_once_and_read_again_within_its_period() {
        let mut world = World::new();
        assert!(world.slot.is_missing() && world.slot.current().is_none());
        assert!(world.turn(0, Some("a")));
        assert_eq!(world.accepted(), ["a"]);
        let version = world.slot.version();
        assert!(!world.turn(PERIOD * 79 / 100, Some("a")));
        assert!(world.turn(PERIOD * 21 / 100, Some("a")));
        assert_eq!(world.slot.version(), version, "the same value is no change");
        assert_eq!(world.notices(), Vec::<String>::new());
    }

    #[test]
    fn a_new_value_signs_when_all_others_know_it_and_the_former_is_good_until_what_it_signed_had_its_time() {
        let mut world = World::new();
        world.turn(0, Some("a"));
        assert_eq!(signing(&world.slot), "a", "the first is the only one");
        assert!(world.turn(PERIOD, Some("b")));
        let both = |world: &World| assert_eq!(world.accepted(), ["b", "a"]);
        let rotated = world.slot.version();
        both(&world);
        assert_eq!((world.slot.current().unwrap().reveal(), &*signing(&world.slot)), (&b"b"[..], "a"));
        world.turn(PERIOD + LATE.as_secs() - 1, Some("b"));
        assert_eq!((&*signing(&world.slot), world.slot.version()), ("a", rotated));
        world.turn(1, Some("b"));
        let signed = world.slot.version();
        assert!(signing(&world.slot) == "b" && signed > rotated);
        world.turn(2 * (PERIOD + LATE.as_secs()) - 1, Some("b"));
        both(&world);
        assert_eq!(world.slot.version(), signed);
        world.turn(1, Some("b"));
        assert_eq!((world.accepted(), &*signing(&world.slot)), (vec!["b".to_owned()], "b"));
        assert!(world.slot.version() > signed);
    }

    #[test]
    fn what_one_worker_signs_every_other_takes_for_a_period_however_far_apart_they_read() {
        let value = |text: &str| SecretValue::new(text.into()).unwrap();
        let rotation = Rotation::of(Duration::from_secs(PERIOD));
        for late in [0, 1, PERIOD / 2, PERIOD - 1, PERIOD + LATE.as_secs() - 1] {
            let demand = World::new().demand;
            let (first, last) = (slot(&demand, "t"), slot(&demand, "t"));
            let mut signed = Vec::new();
            for second in 0..5 * PERIOD {
                let now = Timestamp::from_unix_seconds(1_800_000_000 + second);
                for (slot, late) in [(&first, 0), (&last, late)] {
                    slot.store(value(if second < 10 + late { "a" } else { "b" }), rotation, now);
                    slot.settle(now);
                }
                signed.push([&first, &last].map(|slot| slot.signing().unwrap()));
                for made in signed.iter().rev().take(1 + PERIOD as usize).flatten() {
                    assert!(first.accepted().contains(made) && last.accepted().contains(made), "{late} {second}");
                }
            }
            assert_eq!((&*signing(&first), &*signing(&last)), ("b", "b"));
        }
    }

    #[test]
    fn a_value_that_nobody_could_use_leaves_the_last_good_one() {
        let mut world = World::new();
        world.slot.require(|value| value.reveal().len() == 1);
        assert!(world.turn(0, Some("aa")) && world.slot.is_missing());
        world.turn(2, Some("a"));
        world.turn(PERIOD, Some("bb"));
        assert_eq!((world.accepted(), &*signing(&world.slot)), (vec!["a".to_owned()], "a"));
        let told = ["secret_malformed secrets.key", "secret_recovered secrets.key", "secret_malformed secrets.key"];
        assert_eq!(world.notices(), told);
        let next = slot(&world.demand, "t");
        next.require(|value| value.reveal() == b"b");
        next.adopt(&world.slot);
        assert!(next.is_missing(), "of another form than it has to be now");
    }

    #[test]
    fn a_rotation_that_is_taken_back_and_one_after_another_lose_no_value() {
        let mut world = World::new();
        for value in ["a", "b", "a", "c", "d", "e"] {
            world.demand.raise(&world.host.store).unwrap();
            assert!(world.turn(1, Some(value)));
        }
        assert_eq!(world.accepted(), ["e", "d", "c", "a"], "at most three former ones, each once");
        assert_eq!(signing(&world.slot), "a", "which all others know");
        world.demand.raise(&world.host.store).unwrap();
        assert!(world.turn(1, Some("f")));
        assert_eq!((world.accepted().join(""), &*signing(&world.slot)), ("feda".to_owned(), "a"));
    }

    #[test]
    fn a_store_that_fails_leaves_the_last_good_value_and_is_asked_ever_more_seldom() {
        let mut world = World::new();
        world.turn(0, Some("a"));
        let mut asked = Vec::new();
        for second in 0..PERIOD + 400 {
            if world.turn(1, None) {
                asked.push(second);
            }
        }
        let gaps: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps[0] <= 2 && gaps.iter().all(|gap| *gap <= 61), "{gaps:?}");
        assert!(gaps.iter().rev().take(3).all(|gap| *gap >= 30), "{gaps:?}");
        assert_eq!(world.accepted(), ["a"]);
        assert_eq!(world.notices(), ["secret_unreachable secrets.key"], "told once");
        for _ in 0..61 {
            world.turn(1, Some("b"));
        }
        assert_eq!(world.accepted(), ["b", "a"]);
        assert_eq!(world.notices(), ["secret_recovered secrets.key"]);
    }

    #[test]
    fn a_clock_that_stepped_back_delays_no_fetch_and_stretches_no_overlap() {
        let mut world = World::new();
        world.turn(0, None);
        let step = |world: &mut World| world.now = world.now.before(Duration::from_secs(86_400));
        step(&mut world);
        assert!(world.slot.ask(world.now).is_some(), "an exchange that needs the first value");
        assert!(world.turn(0, Some("a")));
        step(&mut world);
        assert!(world.turn(1, Some("b")), "the period was over, or nobody knows");
        step(&mut world);
        world.turn(0, Some("b"));
        assert_eq!((world.accepted().join(""), &*signing(&world.slot)), ("ba".to_owned(), "a"));
        let spread = PERIOD + LATE.as_secs();
        world.turn(spread, Some("b"));
        assert_eq!(signing(&world.slot), "b");
        world.turn(2 * spread, Some("b"));
        assert_eq!(world.accepted(), ["b"]);
    }

    #[test]
    fn a_demand_is_met_once_by_every_worker_whatever_the_schedule() {
        let mut world = World::new();
        world.turn(0, Some("a"));
        let other = slot(&world.demand, "t");
        other.store(SecretValue::new(b"a".to_vec()).unwrap(), Rotation::AT_ONCE, world.now);
        world.demand.raise(&world.host.store).unwrap();
        assert!(world.turn(1, Some("b")) && !world.turn(1, Some("b")));
        world.slot = other;
        assert!(world.turn(0, Some("b")));
        world.turn(1, None);
        world.demand.raise(&world.host.store).unwrap();
        assert!(world.turn(0, Some("c")), "even while it waits after a failure");
    }

    #[test]
    fn an_exchange_waits_for_the_first_value_but_not_for_a_store_that_just_failed() {
        let mut world = World::new();
        let asked = world.slot.ask(world.now).unwrap();
        assert_eq!(asked.flight.as_deref(), Some("secrets/key"));
        let slot = world.slot.clone();
        let mut env = Env { now: world.now, host: &world.host, worker: &mut world.worker };
        for _ in 0..3 {
            slot.answered(&reply(None), &mut env);
        }
        assert_eq!(slot.remote.as_ref().unwrap().schedule.get().failures, 1, "three waited for one answer");
        assert_eq!(slot.ask(env.now), None);
        env.now = env.now.after(Duration::from_secs(1));
        assert!(slot.ask(env.now).is_some());
        slot.answered(&reply(Some("a")), &mut env);
        assert_eq!(world.accepted(), ["a"]);
    }

    #[test]
    fn what_is_made_of_secrets_is_made_again_only_when_one_changed() {
        let mut world = World::new();
        let made = Rc::new(Cell::new(0));
        let counter = made.clone();
        let fixed = SecretSlot::fixed("fixed", SecretValue::new(b"f".to_vec()).unwrap());
        let derived = Derived::new(vec![world.slot.clone(), fixed], move |slots| {
            counter.set(counter.get() + 1);
            slots.iter().map(|slot| slot.accepted().len()).sum::<usize>()
        });
        assert_eq!((*derived.current(), derived.missing().unwrap().name()), (1, "key"));
        for (value, accepted, makings) in
            [("a", 2, 2), ("a", 2, 2), ("b", 3, 3), ("b", 3, 3), ("b", 3, 4), ("b", 3, 4), ("b", 2, 5)]
        {
            world.turn(PERIOD, Some(value));
            let version = derived.version();
            assert_eq!((*derived.current(), *derived.current(), made.get()), (accepted, accepted, makings));
            assert_eq!(derived.version(), version);
        }
        assert!(derived.missing().is_none());
    }

    #[test]
    fn a_new_configuration_goes_on_with_the_values_of_the_same_secret_only() {
        let mut world = World::new();
        world.turn(0, Some("a"));
        world.turn(PERIOD, Some("b"));
        let earlier = world.slot.clone();
        for (token, same) in [("t", true), ("another token", false)] {
            let next = slot(&world.demand, token);
            next.adopt(&earlier);
            world.slot = next;
            assert_eq!(world.accepted(), if same { &["b", "a"][..] } else { &[] });
            assert_eq!(world.turn(0, None), !same, "its schedule goes on as well");
        }
    }

    #[test]
    fn prints_no_value() {
        let mut world = World::new();
        world.turn(0, Some("s3cr3t"));
        let derived = Derived::new(vec![world.slot.clone()], |_| ());
        let printed = format!("{:?} {:?} {:?}", world.slot, derived, world.worker);
        assert!(printed.contains("key") && !printed.contains("s3cr3t"), "{printed}");
    }
}
