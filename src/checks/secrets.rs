//! The endpoint that has every worker read its secrets again: `POST BASE/secrets/refresh`.
//!
//! It stands before the rest of the administration, behind the same authentication and authorisation. What is not its own
//! it leaves to that.

use std::rc::Rc;

use serde_json::json;

use crate::check::{Check, Env, Failure, Step};
use crate::denial::{AdminRefusal, Denial, LocalReply, fixed};
use crate::exchange::Exchange;
use crate::media::json::written;
use crate::table::generation::Generation;

/// The endpoint.
pub struct RefreshSecrets {
    /// How many segments of a path are its base.
    pub base: usize,
    /// What every worker looks at.
    pub demand: Rc<Generation>,
    /// The secrets that are fetched, by name.
    pub names: Vec<Rc<str>>,
}

impl Check for RefreshSecrets {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        let mut rest = exchange.target.canonical.segments().skip(self.base).map(|segment| segment.value());
        let [first, second, none] = [(); 3].map(|()| rest.next());
        if first.as_deref() != Some("secrets") || second.as_deref() != Some("refresh") || none.is_some() {
            return Step::Pass;
        }
        if exchange.head.method() != Some(b"POST") {
            return Step::Deny(Denial::Admin(AdminRefusal::MethodNotAllowed("POST")));
        }
        match self.demand.raise(env.host.store()) {
            Ok(_) => Step::Answer(self.accepted()),
            Err(_) => Step::Fail(Failure::Store),
        }
    }
}

impl RefreshSecrets {
    /// 202 (RFC 9110 section 15.3.3): workers have a look within the second.
    fn accepted(&self) -> LocalReply {
        let names: Vec<&str> = self.names.iter().map(|name| &**name).collect();
        let headers = vec![fixed("content-type", "application/json"), fixed("cache-control", "no-store")];
        let body = written(&json!({ "refreshing": names }));
        LocalReply { status: 202, headers, body, grpc_status: 0, details: "admin" }
    }
}
