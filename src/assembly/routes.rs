//! The routes, each with the list of its guards in the order in which they decide.

use std::rc::Rc;

use super::authentication::Authentication;
use super::bodies::{Bodies, RequestBody};
use super::inspection::Inspection;
use super::limits::Limits;
use super::{Findings, Shared, access, browser, intrusion};
use crate::check::Check;
use crate::checks::authorize::RefuseUnmatched;
use crate::checks::body::request::WithdrawDigests;
use crate::checks::body::response::AskForPlain;
use crate::checks::browser::HttpsOnly;
use crate::checks::intrusion::Intrusion;
use crate::checks::intrusion::admin::BlockedAddresses;
use crate::config::{self, Config, Mode, Verdict};
use crate::pipeline::{Guard, ResponseGuards, Route};
use crate::policy::route_table::{HeaderCondition, RouteMatch, RouteTable};

/// Every part that a route's guards are made of.
pub(super) struct Parts<'c> {
    pub(super) config: &'c Config,
    pub(super) shared: &'c Shared,
    pub(super) authentication: &'c Authentication,
    pub(super) limits: &'c Limits,
    pub(super) inspection: &'c Inspection,
    pub(super) bodies: &'c Bodies,
    pub(super) intrusion: Option<&'c Rc<Intrusion>>,
}

impl Parts<'_> {
    /// The table, how many of its routes come before the operator's, and what is done where none of them matches.
    pub(super) fn compile(&self, findings: &mut Findings) -> Option<(RouteTable<Rc<Route>>, usize, Rc<Route>)> {
        // The first that matches decides: no route of the operator's takes what is administration.
        let mut routes: Vec<_> = self.admin(findings).into_iter().collect();
        let ours = routes.len();
        for (at, route) in self.config.routes.iter().enumerate() {
            let compiled = self.route(Some(route), &format!("routes[{at}]"), findings);
            routes.push((matching(&route.matching), Rc::new(compiled)));
        }
        let unmatched = Rc::new(self.route(None, "defaults", findings));
        let field = |index: usize| match index.checked_sub(ours) {
            Some(index) => format!("routes[{index}].match"),
            None => "intrusion.admin.path".to_owned(),
        };
        let table =
            RouteTable::new(routes).map_err(|error| findings.error(field(error.index), error.to_string())).ok()?;
        Some((table, ours, unmatched))
    }

    /// Everything below the path of administration, whatever the mode: who may lift blocks is always decided.
    fn admin(&self, findings: &mut Findings) -> Option<(RouteMatch, Rc<Route>)> {
        let intrusion = self.intrusion?.clone();
        let admin = self.config.intrusion.as_ref()?.admin.as_ref()?;
        let base = admin.path.as_str().trim_end_matches('/');
        let mut guards: Vec<Guard> = Vec::new();
        guards.extend(
            browser::security(self.config.headers.security)
                .map(|check| guard("security headers", check, Mode::Enforce)),
        );
        if self.config.headers.https_redirect {
            guards.push(guard("https", HttpsOnly, Mode::Enforce));
        }
        let methods = intrusion::methods(self.config);
        let read_peer = self.authentication.read_peer(methods.methods(), false);
        guards.extend(read_peer.map(|check| guard("peer", check, Mode::Enforce)));
        let authenticate = self.authentication.guard(&methods);
        guards.extend(authenticate.map(|check| guard("authenticate", check, Mode::Enforce)));
        guards.push(guard("authorize", intrusion::access(admin, self.shared, findings), Mode::Enforce));
        let base_segments = base.split('/').skip(1).count();
        guards.push(guard("administration", BlockedAddresses { intrusion, base: base_segments }, Mode::Enforce));
        let route = Route {
            guards: guards.into(),
            answers_preflights: false,
            enforce_percent: 100,
            rewrites_body: false,
            response: ResponseGuards::none(),
        };
        Some((RouteMatch { path: format!("{base}/**"), ..RouteMatch::default() }, Rc::new(route)))
    }

    /// One route; `None`: what no route matches.
    fn route(&self, route: Option<&config::Route>, path: &str, findings: &mut Findings) -> Route {
        let body = self.bodies.request(route.and_then(|route| route.body.as_ref()), path, findings);
        let rewrites_body = body.rewrites();
        let response = route.and_then(|route| route.response.as_ref());
        let response = self.bodies.response(response, (path, self.mode(route)), self.shared, findings);
        let asks_for_plain = !response.guards.is_empty();
        Route {
            guards: self.guards(route, path, asks_for_plain, body, findings),
            enforce_percent: route.map_or(100, |route| u8::try_from(route.enforce_percent.0).unwrap_or(100)),
            answers_preflights: route.is_some_and(|route| route.cors.is_some()) || self.config.headers.cors.is_some(),
            rewrites_body,
            response,
        }
    }

    fn mode(&self, route: Option<&config::Route>) -> Mode {
        route.and_then(|route| route.mode).or(self.config.defaults.mode).unwrap_or(self.config.mode)
    }

    /// The order of a request from its route on. Denials that come after the browser's headers carry them.
    fn guards(
        &self,
        route: Option<&config::Route>,
        path: &str,
        asks_for_plain: bool,
        body: RequestBody,
        findings: &mut Findings,
    ) -> Rc<[Guard]> {
        let (config, defaults) = (self.config, &self.config.defaults);
        let mode = self.mode(route);
        let mut guards = browser_guards(config, route, path, findings);
        if config.headers.https_redirect {
            guards.push(guard("https", HttpsOnly, mode));
        }
        if route.is_none() && config.unmatched == Verdict::Deny {
            guards.push(guard("unmatched", RefuseUnmatched, mode));
        }
        let authenticate = route.and_then(|route| route.authenticate.as_ref()).or(defaults.authenticate.as_ref());
        let authenticate_mode = config.authentication.mode.unwrap_or(mode);
        let asked = authenticate.filter(|_| authenticate_mode != Mode::Off).map_or(&[][..], |asked| asked.methods());
        let access = self.access(route, path, findings);
        if let Some(read_peer) = self.authentication.read_peer(asked, access.asks_for_peer()) {
            guards.push(guard("peer", read_peer, Mode::Enforce));
        }
        if let Some(withhold) = self.authentication.withhold(asked) {
            guards.push(guard("withhold", withhold, Mode::Enforce));
        }
        if let Some(authenticate) = authenticate.and_then(|asked| self.authentication.guard(asked)) {
            guards.push(guard("authenticate", authenticate, authenticate_mode));
        }
        guards.push(guard("authorize", access, mode));
        let limits = route.and_then(|route| route.limits.as_ref()).or(defaults.limits.as_ref());
        for (limits, mode) in limits.map(|names| self.limits.guards(names, mode)).unwrap_or_default() {
            guards.push(guard("limit", limits, mode));
        }
        if asks_for_plain {
            guards.push(guard("ask for plain", AskForPlain, Mode::Enforce));
        }
        if body.rewrites() {
            guards.push(guard("withdraw digests", WithdrawDigests, Mode::Enforce));
        }
        let inspection = route.and_then(|route| route.inspection.as_ref());
        if let Some((head, body, mode)) = self.inspection.guards(inspection, path, mode, findings) {
            guards.push(guard("inspect head", head, mode));
            guards.push(guard("inspect body", body, mode));
        }
        // Encryption is never off; what else looks at fields is left out there already.
        let never_off = if mode == Mode::Off { Mode::Enforce } else { mode };
        guards.extend(body.fields.map(|check| guard("body", check, never_off)));
        guards.extend(body.whole.map(|check| guard("encrypt body", check, Mode::Enforce)));
        // What is off does not decide; what only speaks to browsers is never off.
        guards.retain(|guard| guard.mode != Mode::Off);
        guards.into()
    }

    fn access(
        &self,
        route: Option<&config::Route>,
        path: &str,
        findings: &mut Findings,
    ) -> crate::checks::authorize::Authorize {
        let defaults = &self.config.defaults;
        let (deny, deny_at) = match route.and_then(|route| route.deny.as_deref()) {
            Some(own) => (own, format!("{path}.deny")),
            None => (defaults.deny.as_deref().unwrap_or_default(), "defaults.deny".to_owned()),
        };
        let (allow, allow_at) = match route.and_then(|route| route.allow.as_deref()) {
            Some(own) => (own, format!("{path}.allow")),
            None => (defaults.allow.as_deref().unwrap_or_default(), "defaults.allow".to_owned()),
        };
        access::compile((deny, &deny_at), (allow, &allow_at), self.shared, findings)
    }
}

/// What speaks to browsers, before anything is refused.
pub(super) fn browser_guards(
    config: &Config,
    route: Option<&config::Route>,
    path: &str,
    findings: &mut Findings,
) -> Vec<Guard> {
    let mut guards = Vec::new();
    if let Some(security) = browser::security(config.headers.security) {
        guards.push(guard("security headers", security, Mode::Enforce));
    }
    let own = route.and_then(|route| route.cors.as_ref()).map(|cors| (cors, format!("{path}.cors")));
    let cors = own.or(config.headers.cors.as_ref().map(|cors| (cors, "headers.cors".to_owned())));
    if let Some((cors, path)) = cors {
        guards.push(guard("cors", browser::cors(cors, &path, findings), Mode::Enforce));
    }
    guards
}

fn guard(step: &'static str, check: impl Check + 'static, mode: Mode) -> Guard {
    Guard { step, check: Rc::new(check), mode, on_error: Verdict::Deny }
}

fn matching(matching: &config::Match) -> RouteMatch {
    RouteMatch {
        path: matching.path.as_ref().map_or("/**", config::PathTemplate::as_str).to_owned(),
        hosts: matching.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
        methods: matching.methods.iter().map(|method| method.as_str().to_owned()).collect(),
        headers: matching
            .headers
            .iter()
            .map(|(name, value)| HeaderCondition { name: name.as_str().to_owned(), value: Some(value.clone()) })
            .collect(),
    }
}
