//! The endpoint that lists and lifts blocks: `GET BASE/blocked`, `GET` and `DELETE BASE/blocked/ADDRESS`.
//!
//! It stands behind authentication and authorisation of its own and answers everything below its base here: nothing of it
//! is ever routed.

use std::net::IpAddr;
use std::rc::Rc;

use serde::Serialize;

use super::{Intrusion, network};
use crate::check::{Check, Env, Failure, Step};
use crate::denial::{AdminRefusal, Denial, LocalReply, fixed};
use crate::event::{EventType, Notice};
use crate::exchange::Exchange;
use crate::media::query;
use crate::table::address::Prefix;
use crate::table::blocks::Block;

/// Blocks on a page, where nothing else is asked for.
const USUAL_LIMIT: usize = 100;
/// Blocks that may be asked for at once.
const HIGHEST_LIMIT: usize = 1_000;
/// Parameters of a query that are looked at; there are two.
const MOST_PARAMETERS: usize = 8;

/// The endpoint.
pub struct BlockedAddresses {
    /// What it lists and lifts.
    pub intrusion: Rc<Intrusion>,
    /// How many segments of a path are its base.
    pub base: usize,
}

/// One entry of the list.
#[derive(Serialize)]
struct Entry {
    /// The address, or the first of the network: what `DELETE` takes.
    address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    /// Seconds since the Unix epoch; null: until somebody lifts it.
    until: Option<u64>,
}

#[derive(Serialize)]
struct List {
    /// In no particular order.
    blocked: Vec<Entry>,
    /// The `from` of the next page; null on the last.
    next: Option<u64>,
}

#[derive(Serialize)]
struct Lifted {
    address: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
}

#[derive(Serialize)]
struct Unblocked {
    unblocked: Vec<Lifted>,
}

impl Check for BlockedAddresses {
    fn start(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Step {
        match self.answer(exchange, env) {
            Ok(body) => Step::Answer(reply(body)),
            Err(step) => step,
        }
    }
}

impl BlockedAddresses {
    fn answer(&self, exchange: &mut Exchange, env: &Env<'_>) -> Result<String, Step> {
        let path = exchange.target.canonical.clone();
        let rest: Vec<_> = path.segments().skip(self.base).map(|segment| segment.value()).collect();
        let method = exchange.head.method().unwrap_or_default();
        match rest.as_slice() {
            [resource] if resource == "blocked" => match method {
                b"GET" | b"HEAD" => self.list(exchange.target.query.as_deref().unwrap_or_default(), env),
                _ => Err(refused(AdminRefusal::MethodNotAllowed("GET, HEAD"))),
            },
            [resource, address] if resource == "blocked" => {
                let address: Result<IpAddr, _> = address.parse();
                match (method, address) {
                    (b"GET" | b"HEAD", Ok(address)) => self.one(address, env),
                    (b"DELETE", Ok(address)) => self.lift(address, exchange, env),
                    (b"GET" | b"HEAD" | b"DELETE", Err(_)) => Err(refused(AdminRefusal::NoAddress)),
                    _ => Err(refused(AdminRefusal::MethodNotAllowed("GET, HEAD, DELETE"))),
                }
            }
            _ => Err(refused(AdminRefusal::NotFound)),
        }
    }

    /// One page. Whole sets of the table: it may hold some blocks more than asked for, or none at all before the last.
    fn list(&self, query: &str, env: &Env<'_>) -> Result<String, Step> {
        let (from, limit) = page(query).ok_or_else(|| refused(AdminRefusal::NoPage))?;
        let page = self.intrusion.blocks.list(env.host.store(), from, limit, env.now).map_err(failed)?;
        json(&List { blocked: page.blocks.into_iter().map(Entry::from).collect(), next: page.next })
    }

    fn one(&self, address: IpAddr, env: &Env<'_>) -> Result<String, Step> {
        let block = self.intrusion.block_of(address, env).map_err(failed)?;
        json(&Entry::from(block.ok_or_else(|| refused(AdminRefusal::NotBlocked))?))
    }

    /// Lifts every block that covers the address. Its failures are forgotten even where it was not blocked.
    fn lift(&self, address: IpAddr, exchange: &mut Exchange, env: &Env<'_>) -> Result<String, Step> {
        let lifted = self.intrusion.blocks.unblock(env.host.store(), address, env.now).map_err(failed)?;
        if lifted.is_empty() {
            return Err(refused(AdminRefusal::NotBlocked));
        }
        exchange.notices.extend(lifted.iter().map(|prefix| Notice {
            address: Some(address),
            network: network(*prefix),
            ..Notice::new(EventType::IpUnblocked, "admin")
        }));
        json(&Unblocked { unblocked: lifted.into_iter().map(Lifted::from).collect() })
    }
}

impl From<Block> for Entry {
    fn from(block: Block) -> Self {
        let Lifted { address, network } = Lifted::from(block.prefix);
        Self { address, network, until: block.until.map(|until| until.unix_seconds()) }
    }
}

impl From<Prefix> for Lifted {
    fn from(prefix: Prefix) -> Self {
        Self { address: prefix.first(), network: network(prefix) }
    }
}

/// `from` and `limit`; `None` where one is no number, out of bounds, or not known.
fn page(query: &str) -> Option<(u64, usize)> {
    let (mut from, mut limit) = (0, USUAL_LIMIT);
    for pair in query::pairs(query.as_bytes(), MOST_PARAMETERS) {
        let pair = pair.ok()?;
        let value = std::str::from_utf8(&pair.value).ok()?;
        match pair.name.as_ref() {
            b"from" => from = value.parse().ok()?,
            b"limit" => limit = value.parse().ok().filter(|limit| (1..=HIGHEST_LIMIT).contains(limit))?,
            _ => return None,
        }
    }
    Some((from, limit))
}

fn json(body: &impl Serialize) -> Result<String, Step> {
    serde_json::to_string(body).map_err(|_| Step::Fail(Failure::UnexpectedArrival))
}

fn reply(body: String) -> LocalReply {
    let headers = vec![fixed("content-type", "application/json"), fixed("cache-control", "no-store")];
    LocalReply { status: 200, headers, body, grpc_status: 0, details: "admin" }
}

fn refused(refusal: AdminRefusal) -> Step {
    Step::Deny(Denial::Admin(refusal))
}

fn failed(_: crate::table::TableError) -> Step {
    Step::Fail(Failure::Store)
}
