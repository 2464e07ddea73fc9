//! Revoked tokens (`jti`) and sessions (`sid`): what of a token may be revoked, and whether it is.
//!
//! All workers share one table and a number that is raised with every revocation. A worker looks at that number every
//! [`GLANCE`] at most, and at the table only for tokens that it has not looked up since the number changed: a token in
//! use costs nothing while nothing is revoked. Who revokes raises the number after the entry is written, and a token is
//! looked up after the number was read: a revocation is seen by every worker within [`GLANCE`], by its own at once.

use std::cell::Cell;
use std::time::Duration;

use crate::check::Env;
use crate::jose::claims::Claims;
use crate::store::{SharedStore, StoreError};
use crate::table::generation::Generation;
use crate::table::published::Published;
use crate::table::revocation::{Lookup, Revocations, Revoked, Room};
use crate::table::{Fill, Space, TableError};
use crate::time::Timestamp;

/// The longest time for which a worker does not know of another's revocation.
pub const GLANCE: Duration = Duration::from_millis(100);

/// What was revoked, by everybody who may.
#[derive(Debug)]
pub struct RevokedTokens {
    table: Revocations,
    raised: Generation,
    /// What another place revokes; `None`: nobody else does.
    feed: Option<Published>,
    /// It was read, by any worker: what it said is in the table.
    heard: Cell<bool>,
}

/// Why it is not known whether a token is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The shared data cannot be read.
    Table(TableError),
    /// The feed has not been read since the process began.
    Feed,
    /// The feed revokes more than the table holds, and may have named the token.
    Full,
}

impl From<TableError> for Unknown {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

/// One thing that can be revoked. Those of different issuers differ, and so do a token and a session of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocable(Box<[u8]>);

/// What of one token can be revoked, and until when it was seen not to be.
#[derive(Debug, Default)]
pub struct Marks {
    ids: Box<[Revocable]>,
    /// The number at which none of them was revoked.
    clear_at: Cell<Option<u64>>,
}

/// What a worker knows of the number.
#[derive(Debug, Default)]
pub struct Glance {
    raised: u64,
    /// When it was read; `None`: it has to be read.
    at: Option<Timestamp>,
}

impl Revocable {
    /// The token of this issuer with this `jti`; `None`: of tokens that name no issuer.
    pub fn token(issuer: Option<&str>, jti: &str) -> Self {
        Self::of(issuer, b't', jti)
    }

    /// The session of this issuer with this `sid`: every token of it.
    pub fn session(issuer: Option<&str>, sid: &str) -> Self {
        Self::of(issuer, b's', sid)
    }

    /// The name last, behind the length of the issuer: no two pairs read the same.
    fn of(issuer: Option<&str>, kind: u8, name: &str) -> Self {
        let length = issuer.map_or(u64::MAX, |issuer| issuer.len() as u64).to_le_bytes();
        Self([&[kind], &length[..], issuer.unwrap_or_default().as_bytes(), name.as_bytes()].concat().into())
    }
}

impl Marks {
    /// What of the token with these claims can be revoked.
    pub fn of(claims: &Claims) -> Self {
        let issuer = claims.issuer();
        let token = claims.token_id().map(|jti| Revocable::token(issuer, jti));
        let session = claims.session_id().map(|sid| Revocable::session(issuer, &sid));
        Self { ids: token.into_iter().chain(session).collect(), clear_at: Cell::new(None) }
    }

    /// About how many bytes it holds on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.ids.iter().map(|id| id.0.len() + size_of::<Revocable>()).sum()
    }
}

impl RevokedTokens {
    /// Room for `entries` tokens and sessions.
    pub fn new(space: Space, entries: u32) -> Self {
        let raised = Generation::new(&space, "revoked");
        Self { table: Revocations::new(space, entries), raised, feed: None, heard: Cell::new(false) }
    }

    /// The same, where a feed says more: before it was read nothing is known of tokens that can be revoked.
    #[must_use]
    pub fn with_feed(self, feed: Option<Published>) -> Self {
        Self { feed, ..self }
    }

    /// Whether the token with these marks is revoked.
    ///
    /// # Errors
    /// [`Unknown`]: nothing is known of the token.
    pub fn contains(&self, marks: &Marks, env: &mut Env<'_>) -> Result<bool, Unknown> {
        if marks.ids.is_empty() {
            return Ok(false);
        }
        if !self.has_heard(env.host.store())? {
            return Err(Unknown::Feed);
        }
        let raised = self.glance(env)?;
        if raised == 0 || marks.clear_at.get() == Some(raised) {
            return Ok(false);
        }
        let mut lacking = false;
        for id in &marks.ids {
            match self.table.look(env.host.store(), &id.0, env.now)? {
                Lookup::Held => return Ok(true),
                Lookup::Lacking => lacking = true,
                Lookup::Absent => {}
            }
        }
        // What a feed lacked that is not read any more is nobody's.
        if lacking && self.feed.is_some() {
            return Err(Unknown::Full);
        }
        marks.clear_at.set(Some(raised));
        Ok(false)
    }

    /// How full one set of the table is, chosen by `lot`.
    ///
    /// # Errors
    /// The host's.
    pub fn fill(&self, store: &dyn SharedStore, lot: u64, now: Timestamp) -> Result<Fill, StoreError> {
        self.table.fill(store, lot, now)
    }

    /// Revokes `id` until then. Where there is a feed it finds room in half of the table: whoever may log out drives out
    /// nothing of what others revoke.
    ///
    /// # Errors
    /// [`TableError`] where the host fails: it can be tried again.
    pub fn revoke(&self, id: &Revocable, until: Timestamp, env: &mut Env<'_>) -> Result<Revoked, TableError> {
        let room = if self.feed.is_some() { Room::Half } else { Room::Whole };
        let outcome = self.table.revoke(env.host.store(), &id.0, until, (room, env.now))?;
        self.raise(env)?;
        Ok(outcome)
    }

    /// Revokes all that the feed names, each until its moment. [`Revoked::Full`]: there was no room for one of them at least,
    /// and nothing is known of the tokens that it may be.
    ///
    /// # Errors
    /// [`TableError`] where the host fails: some of them may be revoked, and it can be tried again.
    pub fn revoke_all(&self, list: Vec<(Revocable, Timestamp)>, env: &mut Env<'_>) -> Result<Revoked, TableError> {
        let list = list.into_iter().map(|(Revocable(id), until)| (id, until));
        let outcome = self.table.revoke_all(env.host.store(), list, env.now)?;
        self.raise(env)?;
        Ok(outcome)
    }

    fn raise(&self, env: &mut Env<'_>) -> Result<(), TableError> {
        self.raised.raise(env.host.store())?;
        env.worker.revocations.at = None;
        Ok(())
    }

    /// Whether the feed, where there is one, was read. What was once read is never unread.
    fn has_heard(&self, store: &dyn SharedStore) -> Result<bool, TableError> {
        let Some(feed) = self.feed.as_ref().filter(|_| !self.heard.get()) else { return Ok(true) };
        self.heard.set(feed.read(store)?.is_some());
        Ok(self.heard.get())
    }

    /// The number, as old as [`GLANCE`] at most. A clock that stepped back makes it old.
    fn glance(&self, env: &mut Env<'_>) -> Result<u64, TableError> {
        let now = env.now;
        let known = &mut env.worker.revocations;
        if known.at.is_none_or(|at| now < at || now.since(at) >= GLANCE) {
            known.raised = self.raised.read(env.host.store())?;
            known.at = Some(now);
        }
        Ok(known.raised)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::NativeHost;
    use crate::worker::Worker;

    fn worker(host: &NativeHost) -> Worker {
        Worker::empty(&host.store)
    }

    fn revoked(host: &NativeHost, entries: u32) -> RevokedTokens {
        RevokedTokens::new(Space::open(&host.store, "test", [3; 16]).unwrap(), entries)
    }

    fn marks(claims: &str) -> Marks {
        Marks::of(&Claims::parse(claims.as_bytes()).unwrap())
    }

    const START: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const END: Timestamp = Timestamp::from_unix_seconds(1_800_000_900);

    #[test]
    fn a_revocation_is_seen_at_once_where_it_was_made_and_elsewhere_within_the_glance() {
        let host = NativeHost::default();
        let (mut ours, mut theirs) = (worker(&host), worker(&host));
        let revoked = revoked(&host, 64);
        let (here, there) = [(); 2].map(|()| marks(r#"{"iss":"a","jti":"1","sid":"s"}"#)).into();
        let at = |millis: u64| START.after(Duration::from_millis(millis));
        let contains = |worker: &mut Worker, marks: &Marks, now| {
            revoked.contains(marks, &mut Env { now, host: &host, worker }).unwrap()
        };
        // A revocation of something else: from here on the table is looked at.
        for worker in [&mut ours, &mut theirs] {
            let mut env = Env { now: START, host: &host, worker };
            let other = Revocable::session(Some("a"), "other");
            assert_eq!(revoked.revoke(&other, END, &mut env), Ok(Revoked::Held));
        }
        assert!(!contains(&mut ours, &here, at(0)) && !contains(&mut theirs, &there, at(0)));
        let session = Revocable::session(Some("a"), "s");
        let mut env = Env { now: at(1), host: &host, worker: &mut ours };
        assert_eq!(revoked.revoke(&session, END, &mut env), Ok(Revoked::Held));
        assert!(contains(&mut ours, &here, at(1)), "at once");
        assert!(!contains(&mut theirs, &there, at(99)), "this test would not see the cache");
        assert!(contains(&mut theirs, &there, at(100)), "within the glance");
        let late = marks(r#"{"iss":"a","sid":"late"}"#);
        assert!(!contains(&mut theirs, &late, at(200)));
        let mut env = Env { now: at(201), host: &host, worker: &mut ours };
        assert_eq!(revoked.revoke(&Revocable::session(Some("a"), "late"), END, &mut env), Ok(Revoked::Held));
        assert!(contains(&mut theirs, &late, START.before(Duration::from_secs(60))), "a clock that stepped back");
        assert!(!contains(&mut theirs, &there, END), "it has expired anyway");
    }

    #[test]
    fn a_revocation_hits_what_it_names_and_nothing_else() {
        let host = NativeHost::default();
        let mut worker = worker(&host);
        let revoked = revoked(&host, 1024);
        let mut env = Env { now: START, host: &host, worker: &mut worker };
        let named = [
            Revocable::token(Some("a"), "1"),
            Revocable::session(Some("a"), "s"),
            Revocable::session(Some("a"), "7"),
            Revocable::token(None, "2"),
            Revocable::token(Some(""), "3"),
        ];
        for id in named {
            assert_eq!(revoked.revoke(&id, END, &mut env), Ok(Revoked::Held));
        }
        for (claims, expected) in [
            (r#"{"iss":"a","jti":"1"}"#, true),
            (r#"{"iss":"a","sid":"s"}"#, true),
            (r#"{"iss":"a","jti":"x","sid":"s"}"#, true),
            (r#"{"iss":"a","jti":"1","sid":"x"}"#, true),
            (r#"{"iss":"b","jti":"1","sid":"s"}"#, false),
            (r#"{"jti":"1","sid":"s"}"#, false),
            (r#"{"iss":"a","jti":"s","sid":"1"}"#, false),
            (r#"{"iss":"a","jti":"x","sid":"x"}"#, false),
            (r#"{"jti":"2"}"#, true),
            (r#"{"iss":"","jti":"2"}"#, false),
            (r#"{"iss":"","jti":"3"}"#, true),
            (r#"{"jti":"3"}"#, false),
            (r#"{"iss":"a"}"#, false),
            (r#"{"iss":"a","sid":7}"#, true),
            (r#"{"iss":"a","sid":8}"#, false),
            (r#"{"iss":"a1","jti":""}"#, false),
        ] {
            assert_eq!(revoked.contains(&marks(claims), &mut env), Ok(expected), "{claims}");
        }
    }

    #[test]
    fn nothing_is_known_of_tokens_that_can_be_revoked_before_the_feed_was_read() {
        let host = NativeHost::default();
        let mut worker = worker(&host);
        let space = Space::open(&host.store, "test", [3; 16]).unwrap();
        let feed = || Published::new(&space, "feed");
        let fed = || revoked(&host, 64).with_feed(Some(feed()));
        let (ours, theirs) = (fed(), fed());
        let mut env = Env { now: START, host: &host, worker: &mut worker };
        let (token, session, neither) = (marks(r#"{"jti":"1"}"#), marks(r#"{"sid":"s"}"#), marks("{}"));
        for marks in [&token, &session] {
            assert_eq!(ours.contains(marks, &mut env), Err(Unknown::Feed));
        }
        assert_eq!(ours.contains(&neither, &mut env), Ok(false));
        let _ = feed().publish(&host.store, START, b"digest", START).unwrap();
        for revoked in [&ours, &theirs, &revoked(&host, 64)] {
            assert_eq!(revoked.contains(&token, &mut env), Ok(false), "read, by whichever worker");
        }
    }

    #[test]
    fn a_full_table_says_that_it_does_not_hold() {
        let host = NativeHost::default();
        let mut worker = worker(&host);
        let revoked = revoked(&host, 32);
        let mut env = Env { now: START, host: &host, worker: &mut worker };
        let mut revoke = |n: u8| revoked.revoke(&Revocable::session(None, &n.to_string()), END, &mut env).unwrap();
        assert!((0..32).all(|n| revoke(n) == Revoked::Held));
        assert_eq!((revoke(31), revoke(32)), (Revoked::Held, Revoked::Full));
    }

    #[test]
    fn logouts_leave_room_for_the_feed_and_what_finds_none_all_the_same_is_not_known() {
        let host = NativeHost::default();
        let mut worker = worker(&host);
        let space = Space::open(&host.store, "test", [3; 16]).unwrap();
        let feed = Published::new(&space, "feed");
        let _ = feed.publish(&host.store, START, b"", START).unwrap();
        let revoked = revoked(&host, 32).with_feed(Some(feed));
        let mut env = Env { now: START, host: &host, worker: &mut worker };
        let logout = |n: usize, env: &mut Env<'_>| {
            revoked.revoke(&Revocable::session(None, &n.to_string()), END, env).unwrap() == Revoked::Held
        };
        assert_eq!((0..120).filter(|n| logout(*n, &mut env)).count(), 16);
        let named = |count: u8| (0..count).map(|n| (Revocable::token(None, &n.to_string()), END)).collect();
        let (last, next) = (marks(r#"{"jti":"15"}"#), marks(r#"{"jti":"16"}"#));
        assert_eq!(revoked.revoke_all(named(16), &mut env), Ok(Revoked::Held));
        assert_eq!((revoked.contains(&last, &mut env), revoked.contains(&next, &mut env)), (Ok(true), Ok(false)));
        assert_eq!(revoked.revoke_all(named(17), &mut env), Ok(Revoked::Full));
        for unheld in [&next, &marks(r#"{"jti":"other"}"#)] {
            assert_eq!(revoked.contains(unheld, &mut env), Err(Unknown::Full));
        }
        assert_eq!(revoked.contains(&last, &mut env), Ok(true));
        assert_eq!(
            super::RevokedTokens::new(space, 32).contains(&next, &mut env),
            Ok(false),
            "there is no feed any more"
        );
    }

    #[test]
    fn a_token_in_use_is_looked_up_once_for_each_change() {
        let host = NativeHost::default();
        let mut worker = worker(&host);
        let revoked = revoked(&host, 64);
        let mut env = Env { now: START, host: &host, worker: &mut worker };
        assert_eq!(revoked.revoke(&Revocable::token(None, "1"), END, &mut env), Ok(Revoked::Held));
        let shown = marks(r#"{"jti":"2"}"#);
        assert_eq!(revoked.contains(&shown, &mut env), Ok(false));
        // An entry without a raised number is what nobody writes: only a second look at the table could see it.
        let store = &host.store;
        let _ = revoked.table.revoke(store, &Revocable::token(None, "2").0, END, (Room::Whole, START)).unwrap();
        assert_eq!(revoked.contains(&shown, &mut env), Ok(false), "looked up again");
        env.now = START.after(GLANCE);
        assert_eq!(revoked.contains(&shown, &mut env), Ok(false), "looked up again");
        revoked.raised.raise(store).unwrap();
        env.now = START.after(2 * GLANCE);
        assert_eq!(revoked.contains(&shown, &mut env), Ok(true));
    }
}
