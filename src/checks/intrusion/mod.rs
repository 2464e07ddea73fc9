//! Addresses that fail too often: what counts as a failure, who is shut out, and what is told about it.
//!
//! A request counts once, whatever it failed at. What was only observed, because its route or section is in monitor mode,
//! never leads to a block that is enforced: it counts only where this section itself is in monitor mode. Blocks of the two
//! modes are apart, so that the step from one to the other begins without blocks.

pub mod admin;

use std::net::IpAddr;

use crate::canonical::Rejection;
use crate::canonical::networks::Networks;
use crate::canonical::path::PathError;
use crate::check::{self, Env};
use crate::config::{Failure, Mode};
use crate::denial::{AuthReason, Denial, LoginReason, ServiceReason};
use crate::event::{EventType, Notice};
use crate::exchange::Exchange;
use crate::jose::reason::Reason;
use crate::table::TableError;
use crate::table::address::Prefix;
use crate::table::blocks::{Block, Blocks, Recorded};

/// Who is shut out, and for what.
#[derive(Debug)]
pub struct Intrusion {
    /// The blocks, shared by all workers.
    pub blocks: Blocks,
    /// What happens to a blocked address.
    pub mode: Mode,
    /// The failures that count.
    pub counted: Vec<Failure>,
    /// Never counted, never blocked.
    pub never_block: Networks,
}

impl Intrusion {
    /// The refusal of a request from `client`: one read of the shared data, most often of nothing.
    pub fn refusal(&self, client: IpAddr, env: &Env<'_>) -> Option<Denial> {
        match self.block_of(client, env) {
            Ok(None) => None,
            Ok(Some(_)) => Some(Denial::AddressBlocked),
            Err(_) => Some(Denial::Unavailable { what: check::Failure::Store.as_str() }),
        }
    }

    /// The block that covers `address`. A widened block covers what is never blocked as well, and is not asked about it.
    ///
    /// # Errors
    /// [`TableError`] where the host fails.
    pub fn block_of(&self, address: IpAddr, env: &Env<'_>) -> Result<Option<Block>, TableError> {
        if self.spares(address) {
            return Ok(None);
        }
        self.blocks.is_blocked(env.host.store(), address, env.now)
    }

    /// Counts a failure of this exchange, unless one was counted already, and notes what it led to.
    pub fn record(&self, exchange: &mut Exchange, failure: Failure, enforced: bool, env: &Env<'_>) {
        let counts = self.counted.contains(&failure) && (enforced || self.mode == Mode::Monitor);
        if !counts || exchange.failed || self.spares(exchange.client()) {
            return;
        }
        exchange.failed = true;
        let mode = if self.mode == Mode::Monitor { "monitor" } else { "" };
        let notices = match self.count(exchange.client(), env) {
            Ok(Some(recorded)) => notices(recorded),
            Ok(None) => return,
            Err(_) => vec![Notice::new(EventType::Degraded, check::Failure::Store.as_str())],
        };
        exchange.notices.extend(notices.into_iter().map(|notice| Notice { mode, ..notice }));
    }

    /// What came of a failure; `None` where the address is blocked already, as for requests that were on their way.
    fn count(&self, client: IpAddr, env: &Env<'_>) -> Result<Option<Recorded>, TableError> {
        let store = env.host.store();
        if self.blocks.is_blocked(store, client, env.now)?.is_some() {
            return Ok(None);
        }
        self.blocks.record_failure(store, client, env.now).map(Some)
    }

    /// A peer without an address stands for everybody behind its socket: blocking it would shut out all.
    fn spares(&self, address: IpAddr) -> bool {
        address.is_unspecified() || self.never_block.contains(address)
    }
}

/// The failure that a refusal is; most are none.
///
/// A signature that does not verify, not a token that is missing, expired or meant for somebody else: honest clients show
/// those. Injections and paths made to be read in two ways, not heads and bodies that are merely broken.
pub fn failure(denial: &Denial) -> Option<Failure> {
    match denial {
        Denial::Unauthenticated { reason, .. } => match reason {
            AuthReason::Token(Reason::BadSignature) => Some(Failure::BadSignature),
            AuthReason::Service(ServiceReason::BadServiceSignature | ServiceReason::WrongBody) => {
                Some(Failure::BadSignature)
            }
            AuthReason::Service(ServiceReason::UnknownService) => Some(Failure::UnknownService),
            AuthReason::Login(LoginReason::BadLogin) => Some(Failure::BadLogin),
            _ => None,
        },
        Denial::Injection(_) => Some(Failure::SuspiciousRequest),
        Denial::Malformed(Rejection::Path(error)) => is_trick(*error).then_some(Failure::SuspiciousRequest),
        _ => None,
    }
}

/// Whether a path was made to be read in two ways, or to leave the tree.
const fn is_trick(error: PathError) -> bool {
    matches!(
        error,
        PathError::AboveRoot
            | PathError::Backslash
            | PathError::Control
            | PathError::DoubleEncoding
            | PathError::EncodedSlash
            | PathError::InvalidUtf8
    )
}

fn notices(recorded: Recorded) -> Vec<Notice> {
    let full = |degraded: bool| degraded.then(|| Notice::new(EventType::Degraded, "failures_table_full"));
    match recorded {
        Recorded::Counted { degraded, .. } => full(degraded).into_iter().collect(),
        // Whoever failed at the same time has told it.
        Recorded::Blocked { again: true, degraded, .. } => full(degraded).into_iter().collect(),
        Recorded::Blocked { block, failures, widened, degraded, .. } => {
            let blocked = Notice {
                network: network(block.prefix),
                until: block.until.map(|until| until.unix_seconds()),
                failed_attempts: Some(failures),
                ..Notice::new(EventType::IpBlocked, "failures")
            };
            let widened = widened
                .map(|wide| Notice { network: network(wide), ..Notice::new(EventType::Degraded, "blocks_table_full") });
            [Some(blocked), widened, full(degraded)].into_iter().flatten().collect()
        }
        Recorded::NoRoom { failures } => {
            let reason = "no_room_to_block";
            vec![Notice { failed_attempts: Some(failures), ..Notice::new(EventType::Degraded, reason) }]
        }
    }
}

/// The network that a block covers, where it is more than one address.
fn network(prefix: Prefix) -> Option<String> {
    let text = prefix.to_string();
    text.contains('/').then_some(text)
}
