//! What becomes of a head before any guard: who sends it, its one canonical form, its route, and what it may not say.

use std::rc::Rc;

use super::{Pipeline, Route};
use crate::canonical::Rejection;
use crate::canonical::client::{ClientAddress, comes_from_a_proxy};
use crate::canonical::host::CanonicalHost;
use crate::canonical::path::CanonicalPath;
use crate::canonical::strip::FORWARDED;
use crate::check::Env;
use crate::checks::browser::preflight_method;
use crate::config::{Mode, Verdict};
use crate::denial::Denial;
use crate::exchange::{Exchange, HeaderEdit, Origin, Target};
use crate::head::Head;
use crate::peer::xfcc;
use crate::policy::route_table::{Matched, RouteRequest};

impl Pipeline {
    /// All of it, in this order; neither `monitor` nor `off` ever disables any of it, but for blocks.
    pub(super) fn admit(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Result<Rc<Route>, Denial> {
        if self.intrusion.is_some() {
            self.locate(exchange, env)?;
        }
        self.canonicalise(exchange).map_err(Denial::Malformed)?;
        self.shut_out(exchange, env)?;
        self.strip(exchange, env)?;
        let route = self.route(exchange);
        if route.guards.iter().any(|guard| guard.check.asks_for_client()) {
            self.locate(exchange, env)?;
        }
        Ok(route)
    }

    /// The one form of method, host and path; what two recipients would read in two ways is refused.
    fn canonicalise(&self, exchange: &mut Exchange) -> Result<(), Rejection> {
        let head = &exchange.head;
        if head.is_padded() {
            return Err(Rejection::PaddedHeader);
        }
        if SINGLE_HEADERS.iter().any(|name| head.single(name).is_err()) || self.routes.asks_about_repeated(head) {
            return Err(Rejection::RepeatedHeader);
        }
        let mut nominated = head.all("connection").flat_map(|names| names.split(|byte| *byte == b','));
        if nominated.any(|name| self.must_go_on(name.trim_ascii())) {
            return Err(Rejection::NominatedHeader);
        }
        let method = head.method().unwrap_or_default();
        if method.iter().any(u8::is_ascii_lowercase) {
            return Err(Rejection::Method);
        }
        let target = head.path().unwrap_or_default();
        let canonical = CanonicalPath::parse(method, target, self.paths).map_err(Rejection::Path)?;
        let host = CanonicalHost::of(head).map_err(Rejection::Host)?;
        if !host.is_as_sent() {
            respell(&host, head, &mut exchange.request_edits);
        }
        let host = host.name().to_owned();
        let (query, canonical) = (canonical.query().map(str::to_owned), canonical.into_owned());
        exchange.target = Target { canonical, query, host, ..Target::default() };
        Ok(())
    }

    /// Whether a header is not for this hop alone. A proxy behind us drops what `Connection` names (RFC 9110 section 7.6.1), be it
    /// what we say of the caller, what Envoy says of the client, or what something was decided by.
    fn must_go_on(&self, name: &[u8]) -> bool {
        let is_for_this_hop = || OF_ONE_HOP.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        self.strip.strips(name) || self.head_only.strips(name) && !is_for_this_hop()
    }

    fn route(&self, exchange: &mut Exchange) -> Rc<Route> {
        let Some(matched) = self.matched(exchange) else { return self.unmatched.clone() };
        let route = matched.route.clone();
        let parameters = matched.parameters.iter().map(|(name, value)| (Box::from(name), value.into_owned()));
        exchange.target.parameters = parameters.collect();
        route
    }

    /// A preflight belongs to the route of the request that it asks about, where that route answers it.
    pub(super) fn matched<'r>(&self, exchange: &'r Exchange) -> Option<Matched<'_, 'r, Rc<Route>>> {
        let request = RouteRequest {
            path: &exchange.target.canonical,
            host: &exchange.target.host,
            method: exchange.head.method().unwrap_or_default(),
            head: &exchange.head,
        };
        let asked = preflight_method(&exchange.head).map(|method| RouteRequest { method, ..request });
        let asked = asked.and_then(|asked| self.routes.find(&asked)).filter(|found| found.route.answers_preflights);
        asked.or_else(|| self.routes.find(&request))
    }

    fn shut_out(&self, exchange: &mut Exchange, env: &mut Env<'_>) -> Result<(), Denial> {
        let Some(intrusion) = &self.intrusion else { return Ok(()) };
        match intrusion.refusal(exchange.client(), env) {
            Some(denial) if intrusion.mode == Mode::Monitor => self.report(exchange, &denial, "monitor", env),
            Some(denial) => return Err(denial),
            None => {}
        }
        Ok(())
    }

    /// Where the request comes from: asked once, and only where something depends on it.
    ///
    /// # Errors
    /// The host does not say where the connection comes from: rules about addresses could not be decided.
    pub(super) fn locate(&self, exchange: &mut Exchange, env: &Env<'_>) -> Result<Origin, Denial> {
        if let Some(origin) = exchange.origin {
            return Ok(origin);
        }
        let source = env.host.source_address().ok_or(Denial::Unavailable { what: "source_address" })?;
        let client = ClientAddress::of(&source, &exchange.head, &self.trusted_proxies);
        let proxied = comes_from_a_proxy(&source, &exchange.head, &self.trusted_proxies);
        let origin = Origin { client: client.map_or(Origin::default().client, ClientAddress::ip), proxied };
        exchange.origin = Some(origin);
        Ok(origin)
    }

    /// Takes out what only the proxy may say, or a trusted one in front, and of that only in the one spelling that is read:
    /// any other that an upstream takes for it goes, and so does any other of a header that something was decided by.
    fn strip(&self, exchange: &mut Exchange, env: &Env<'_>) -> Result<(), Denial> {
        let misspelt = self.misspelt.found_in(&exchange.head);
        exchange.request_edits.extend(misspelt.map(|name| HeaderEdit::Remove(name.to_vec())));
        let found: Vec<Vec<u8>> = self.strip.found_in(&exchange.head).map(<[u8]>::to_vec).collect();
        let may_stay = |name: &Vec<u8>| is_certificate(name) || is_forwarded(name);
        let asks = !self.trusted_proxies.is_empty() && found.iter().any(may_stay);
        let proxied = asks && self.locate(exchange, env)?.proxied;
        exchange.forwarded = proxied && self.forwarded_certificates == Verdict::Allow;
        let stays = |name: &[u8]| proxied && is_forwarded(name) || exchange.forwarded && is_certificate(name);
        exchange.request_edits.extend(found.into_iter().filter(|name| !stays(name)).map(HeaderEdit::Remove));
        Ok(())
    }
}

fn is_forwarded(name: &[u8]) -> bool {
    FORWARDED.iter().any(|known| name == known.as_bytes())
}

fn is_certificate(name: &[u8]) -> bool {
    name == xfcc::HEADER.as_bytes()
}

/// What two recipients would read in two ways if it came twice.
const SINGLE_HEADERS: [&str; 5] = ["authorization", "content-type", "content-length", "x-forwarded-proto", "origin"];

/// Headers of one connection (RFC 9110 section 7.6.1).
const OF_ONE_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"];

/// What decides on the host behind us, a virtual host or the upstream, decides on the one that our rules saw.
fn respell(host: &CanonicalHost<'_>, head: &Head, edits: &mut Vec<HeaderEdit>) {
    let sent = [":authority", "host"].into_iter().filter(|name| head.contains(name));
    edits.extend(sent.map(|name| HeaderEdit::Set(Rc::from(name), host.authority().into_bytes())));
}
