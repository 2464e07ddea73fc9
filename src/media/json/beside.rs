//! Two visitors of one walk.

use std::ops::ControlFlow;

use super::{Block, Container, Location, Scalar, Token, Visitor};

/// A visitor, and one that reads along: it is shown everything that the first one is shown or passes over, and what it says
/// counts for nothing. It marks no bytes of its own, so that it may be shown any text that the first one passes over.
#[derive(Debug)]
pub struct Beside<A, B>(pub A, pub B);

impl<A: Visitor, B: Visitor> Visitor for Beside<A, B> {
    type Break = A::Break;

    fn token(&mut self, token: Token<'_>, location: &Location<'_>) -> ControlFlow<A::Break> {
        let _ = self.1.token(token, location);
        self.0.token(token, location)
    }

    fn open(&mut self, container: Container) {
        self.0.open(container);
        self.1.open(container);
    }

    fn close(&mut self) {
        self.0.close();
        self.1.close();
    }

    const PASSES_OVER: bool = A::PASSES_OVER;

    #[inline]
    fn mark(block: &Block<'_>) -> u64 {
        A::mark(block)
    }

    #[inline]
    fn suspect(block: &Block<'_>) -> u64 {
        A::suspect(block)
    }

    #[inline]
    fn passes_over(&mut self, text: &[u8]) -> bool {
        let passed = self.0.passes_over(text);
        if passed {
            self.1.passes_over(text);
        }
        passed
    }

    #[inline]
    fn passes_over_key(&mut self, key: &[u8]) -> bool {
        let passed = self.0.passes_over_key(key);
        if passed {
            self.1.passes_over_key(key);
        }
        passed
    }

    #[inline]
    fn passes_over_bare(&mut self, written: &[u8]) -> bool {
        let passed = self.0.passes_over_bare(written);
        if passed {
            self.1.passes_over_bare(written);
        }
        passed
    }

    fn learns(&mut self, record: &[u8]) -> bool {
        self.0.learns(record) && self.1.learns(record)
    }

    fn has_learnt(&self) -> bool {
        self.0.has_learnt() && self.1.has_learnt()
    }

    #[inline]
    fn would_pass_over(&mut self, text: &[u8]) -> bool {
        self.0.would_pass_over(text)
    }

    #[inline]
    fn would_pass_over_number(&mut self, written: &[u8]) -> bool {
        self.0.would_pass_over_number(written)
    }

    const HEEDS_SCALARS: bool = A::HEEDS_SCALARS || B::HEEDS_SCALARS;

    #[inline]
    fn repeated(&mut self, scalars: &[Scalar<'_>]) {
        self.0.repeated(scalars);
        self.1.repeated(scalars);
    }
}
