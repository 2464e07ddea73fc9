//! A look at what each check says, for people: wrapped around the checks of a pipeline, so that serving pays nothing.

use std::rc::Rc;

use crate::check::{Arrival, Check, Env, Step};
use crate::config::Mode;
use crate::exchange::Exchange;
use crate::head::Head;

/// Who looks.
pub trait Watcher {
    /// The check of `step`, whose refusals count by `mode`, said `word`.
    fn said(&self, step: &'static str, mode: Mode, word: &Step, exchange: &Exchange);
}

/// A check that is looked at.
pub(crate) struct Watched {
    step: &'static str,
    mode: Mode,
    check: Rc<dyn Check>,
    watcher: Rc<dyn Watcher>,
}

impl Watched {
    pub(crate) fn new(step: &'static str, mode: Mode, check: Rc<dyn Check>, watcher: Rc<dyn Watcher>) -> Self {
        Self { step, mode, check, watcher }
    }
}

impl Check for Watched {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let word = self.check.start(exchange, env);
        self.watcher.said(self.step, self.mode, &word, exchange);
        word
    }

    fn resume(&self, exchange: &mut Exchange, arrival: Arrival<'_>, env: &mut Env<'_>) -> Step {
        let word = self.check.resume(exchange, arrival, env);
        self.watcher.said(self.step, self.mode, &word, exchange);
        word
    }

    fn trailers(&self, trailers: &Head, env: &mut Env<'_>) -> Step {
        self.check.trailers(trailers, env)
    }

    /// Whoever looks wants to know.
    fn asks_for_client(&self) -> bool {
        true
    }

    fn may_await_body(&self, exchange: &Exchange) -> bool {
        self.check.may_await_body(exchange)
    }
}
