//! Callouts on their way: who waits for which answer.
//!
//! Every call belongs to the root context: it outlives the client that asked, exchanges that ask for the same thing can
//! share it, and each has a deadline here beside the host's. (Envoy 1.40 never answers an HTTP call that a stream makes
//! from its body callback in its own name.)

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::abi::{self, Status};
use portcullis::check::{Call, Callout};
use portcullis::time::Timestamp;

/// Added to a callout's own timeout: when the host has not answered by then, it never will.
const GRACE: Duration = Duration::from_secs(2);

/// The callouts of one root context.
pub struct Callouts {
    root: u32,
    pending: RefCell<HashMap<u32, Pending>>,
}

struct Pending {
    asker: Asker,
    cluster: Rc<str>,
    deadline: Timestamp,
}

/// Who gets the answer.
pub enum Asker {
    /// One stream, or several that asked for the same.
    Streams {
        /// What they asked for, where others may join.
        flight: Option<Rc<str>>,
        /// Their contexts.
        waiters: Vec<u32>,
    },
    /// A task in the background, by its place.
    Task(usize),
}

impl Callouts {
    /// No callouts, of this root context.
    pub fn new(root: u32) -> Self {
        Self { root, pending: RefCell::default() }
    }

    /// Sends a stream's callout, or joins one that is on its way: the token under which its answer arrives.
    ///
    /// # Errors
    /// The host's status: it will not be answered.
    pub fn send(&self, stream: u32, callout: &Callout, now: Timestamp) -> Result<u32, Status> {
        if let Some(token) = callout.flight.as_ref().and_then(|flight| self.join(flight, stream)) {
            return Ok(token);
        }
        let sent = self.as_root(stream, || dispatch(callout))?;
        Ok(self.expect(sent?, Asker::Streams { flight: callout.flight.clone(), waiters: vec![stream] }, callout, now))
    }

    /// Does `work` as the root context, within a callback of `stream`.
    ///
    /// # Errors
    /// The host's status where it does not change contexts.
    pub fn as_root<T>(&self, stream: u32, work: impl FnOnce() -> T) -> Result<T, Status> {
        abi::set_effective_context(self.root)?;
        let done = work();
        // A call on its way is waited for, whatever the host says to this.
        let _ = abi::set_effective_context(stream);
        Ok(done)
    }

    /// Sends a task's callout. Only from a callback of the root context.
    ///
    /// # Errors
    /// The host's status: it will not be answered.
    pub fn send_for_task(&self, task: usize, callout: &Callout, now: Timestamp) -> Result<u32, Status> {
        Ok(self.expect(dispatch(callout)?, Asker::Task(task), callout, now))
    }

    /// Whether a task waits for an answer.
    pub fn runs(&self, task: usize) -> bool {
        let pending = self.pending.borrow();
        pending.values().any(|pending| matches!(pending.asker, Asker::Task(waiting) if waiting == task))
    }

    /// Who asked, and whom, once.
    pub fn answered(&self, token: u32) -> Option<(Asker, Rc<str>)> {
        let Pending { asker, cluster, .. } = self.pending.borrow_mut().remove(&token)?;
        Some((asker, cluster))
    }

    /// Those that the host will never answer.
    pub fn overdue(&self, now: Timestamp) -> Vec<u32> {
        let pending = self.pending.borrow();
        pending.iter().filter(|(_, pending)| pending.deadline < now).map(|(token, _)| *token).collect()
    }

    fn join(&self, wanted: &Rc<str>, stream: u32) -> Option<u32> {
        self.pending.borrow_mut().iter_mut().find_map(|(token, pending)| match &mut pending.asker {
            Asker::Streams { flight: Some(flight), waiters } if flight == wanted => {
                waiters.push(stream);
                Some(*token)
            }
            _ => None,
        })
    }

    fn expect(&self, token: u32, asker: Asker, callout: &Callout, now: Timestamp) -> u32 {
        let deadline = now.after(callout.timeout).after(GRACE);
        let cluster = callout.cluster.clone();
        self.pending.borrow_mut().insert(token, Pending { asker, cluster, deadline });
        token
    }
}

fn dispatch(callout: &Callout) -> Result<u32, Status> {
    let timeout = u32::try_from(callout.timeout.as_millis()).unwrap_or(u32::MAX);
    match &callout.call {
        Call::Http { headers } => {
            let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let headers = Zeroizing::new(abi::serialise(headers));
            abi::http_call(&callout.cluster, &headers, &callout.body, timeout)
        }
        Call::Grpc { service, method } => abi::grpc_call(&callout.cluster, service, method, &callout.body, timeout),
    }
}
