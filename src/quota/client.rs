//! What one worker knows of one service: whether it answers, what it was asked, and what is to be asked next.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::circuit::Circuit;
use super::lease::Terms;
use crate::time::Timestamp;

/// Keys that wait to be asked about in the background. More than these are asked about when they come again.
const MOST_WANTED: usize = 256;
/// Questions on their way for requests that wait. Beyond these nobody waits.
const MOST_ASKED: usize = 1_024;

/// A key whose lease runs low.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What is counted together.
    pub value: Rc<str>,
    /// What is agreed for it.
    pub terms: Terms,
}

/// A question on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// About what.
    pub wanted: Wanted,
    /// For how many hits.
    pub hits: u32,
    until: Timestamp,
}

/// One worker's side of the conversation with one service.
#[derive(Debug, Default)]
pub struct Client {
    /// Whether the service answers.
    pub circuit: Circuit,
    /// The question in the background.
    pub running: Option<(Wanted, u32)>,
    asked: HashMap<u64, Asked>,
    by_value: HashMap<Rc<str>, u64>,
    wanted: VecDeque<Wanted>,
    sequence: u64,
}

impl Client {
    /// Asks for `wanted` in the background, soon. False: it waits already, or there is no room.
    pub fn want(&mut self, wanted: Wanted) -> bool {
        let known = self.wanted.iter().any(|other| other.value == wanted.value)
            || self.running.as_ref().is_some_and(|(running, _)| running.value == wanted.value);
        let room = !known && self.wanted.len() < MOST_WANTED;
        if room {
            self.wanted.push_back(wanted);
        }
        room
    }

    /// What to ask for next in the background.
    pub fn next_wanted(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// Asks for nothing: most of it will not matter any more when the service is back.
    pub fn forget_wanted(&mut self) {
        self.wanted.clear();
    }

    /// The question about `value` that is on its way.
    pub fn on_its_way(&self, value: &str, now: Timestamp) -> Option<(u64, &Asked)> {
        let sequence = *self.by_value.get(value)?;
        let asked = self.asked.get(&sequence)?;
        (now < asked.until).then_some((sequence, asked))
    }

    /// Whether there is room for another question of a request that waits.
    pub fn has_room(&mut self, now: Timestamp) -> bool {
        if self.asked.len() >= MOST_ASKED {
            // The answers to these never came.
            self.asked.retain(|_, asked| now < asked.until);
            let asked = &self.asked;
            self.by_value.retain(|_, sequence| asked.contains_key(sequence));
        }
        self.asked.len() < MOST_ASKED
    }

    /// Notes a question that goes out now; the number under which its answer is recognised.
    pub fn asks(&mut self, wanted: Wanted, hits: u32, now: Timestamp) -> u64 {
        self.sequence += 1;
        let until = now.after(wanted.terms.timeout);
        if let Some(before) = self.by_value.insert(wanted.value.clone(), self.sequence) {
            self.asked.remove(&before);
        }
        self.asked.insert(self.sequence, Asked { wanted, hits, until });
        self.sequence
    }

    /// The question that was answered: once, although several requests may have waited for it.
    pub fn answered(&mut self, sequence: u64) -> Option<Asked> {
        let asked = self.asked.remove(&sequence)?;
        self.by_value.remove(&asked.wanted.value);
        Some(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn wanted(value: &str) -> Wanted {
        let terms = Terms { most: 10, window: Duration::from_secs(60), timeout: Duration::from_millis(20) };
        Wanted { value: Rc::from(value), terms }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    #[test]
    fn an_answer_counts_once_however_many_wait_for_it() {
        let mut client = Client::default();
        let sequence = client.asks(wanted("ann"), 10, at(0));
        assert_eq!(client.on_its_way("ann", at(19)).map(|(sequence, _)| sequence), Some(sequence));
        assert_eq!(client.on_its_way("bob", at(19)), None);
        assert_eq!(client.answered(sequence).map(|asked| asked.hits), Some(10));
        assert_eq!((client.answered(sequence), client.on_its_way("ann", at(19))), (None, None));
    }

    #[test]
    fn a_question_that_was_never_answered_is_asked_anew() {
        let mut client = Client::default();
        let first = client.asks(wanted("ann"), 10, at(0));
        assert_eq!(client.on_its_way("ann", at(20)), None);
        let second = client.asks(wanted("ann"), 5, at(20));
        assert_eq!(client.answered(first), None);
        assert_eq!(client.answered(second).map(|asked| asked.hits), Some(5));
    }

    #[test]
    fn neither_questions_nor_wishes_grow_without_bound() {
        let mut client = Client::default();
        for n in 0..2 * MOST_ASKED {
            let value = n.to_string();
            client.want(wanted(&value));
            if client.has_room(at(0)) {
                client.asks(wanted(&value), 1, at(0));
            }
        }
        assert_eq!(
            (client.asked.len(), client.by_value.len(), client.wanted.len()),
            (MOST_ASKED, MOST_ASKED, MOST_WANTED)
        );
        assert!(client.has_room(at(20)));
        assert_eq!((client.asked.len(), client.by_value.len()), (0, 0));
    }
}
