//! The routes, each with the list of its guards in the order in which they decide.

use std::rc::Rc;

use super::authentication::Authentication;
use super::bodies::{Bodies, RequestBody};
use super::features::BUILT;
use super::inspection::{Beside, Inspection};
use super::limits::Limits;
use super::secrets::Secrets;
use super::{Findings, Shared, access, browser, intrusion, shadowed, tokens, validation};
use portcullis::check::Check;
use portcullis::checks::authorize::RefuseUnmatched;
use portcullis::checks::body::request::WithdrawDigests;
use portcullis::checks::body::response::AskForPlain;
use portcullis::checks::browser::HttpsOnly;
use portcullis::checks::intrusion::Intrusion;
use portcullis::checks::intrusion::admin::BlockedAddresses;
use portcullis::checks::secrets::RefreshSecrets;
use portcullis::checks::sign::SignRequests;
use portcullis::checks::tokens::TokenForm;
use portcullis::pipeline::{Guard, Route};
use portcullis::policy::route_table::{HeaderCondition, RouteError, RouteMatch, RouteTable};
use portcullis_config::{self as config, Config, Hold, Mode, Verdict};

/// Every part that a route's guards are made of.
pub(super) struct Parts<'c> {
    pub(super) config: &'c Config,
    pub(super) shared: &'c Shared,
    pub(super) authentication: &'c Authentication,
    pub(super) limits: &'c Limits,
    pub(super) inspection: &'c Inspection,
    pub(super) bodies: &'c Bodies,
    pub(super) intrusion: Option<&'c Rc<Intrusion>>,
    pub(super) secrets: &'c Secrets,
    pub(super) signing: Option<&'c Rc<SignRequests>>,
}

/// The table, what people call those of its routes that come before the operator's, and what is done where none matches.
type Compiled = (RouteTable<Rc<Route>>, Vec<&'static str>, Rc<Route>);

impl Parts<'_> {
    /// Every route; `endpoints` are those of tokens.
    pub(super) fn compile(&self, endpoints: Vec<tokens::Endpoint>, findings: &mut Findings) -> Option<Compiled> {
        // The first that matches decides: no route of the operator's takes what is ours.
        let mut routes: Vec<_> = self.admin(findings).into_iter().collect();
        let mut ours = vec!["intrusion.admin"; routes.len()];
        for endpoint in endpoints {
            ours.push(endpoint.name);
            routes.push(self.token_endpoint(endpoint, findings));
        }
        for (at, route) in self.config.routes.iter().enumerate() {
            let compiled = self.route(Some(route), &format!("routes[{at}]"), findings);
            routes.push((route_match(&route.matching), Rc::new(compiled)));
        }
        let unmatched = Rc::new(self.route(None, "defaults", findings));
        let field = |index: usize| match ours.get(index) {
            Some(name) => format!("{name}.path"),
            None => format!("routes[{}].match", index - ours.len()),
        };
        shadowed::warn(routes.iter().map(|(matching, _)| matching), field, findings);
        let wrong = |error: RouteError| {
            let setting = match ours.get(error.index) {
                Some(_) => field(error.index),
                None => format!("{}.{}", field(error.index), error.field()),
            };
            findings.error(setting, error.to_string());
        };
        let table = RouteTable::new(routes, self.config.paths.case).map_err(wrong).ok()?;
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
        guards.extend(self.csrf(Some(&methods), None, Mode::Enforce));
        guards.push(guard("authorize", intrusion::access(admin, self.shared, findings), Mode::Enforce));
        let base_segments = base.split('/').skip(1).count();
        guards.extend(self.refresh_secrets(base_segments));
        guards.push(guard("administration", BlockedAddresses { intrusion, base: base_segments }, Mode::Enforce));
        Some((RouteMatch { path: format!("{base}/**"), ..RouteMatch::default() }, Rc::new(Route::of(guards))))
    }

    /// An endpoint of tokens: everybody may, within its limits. It answers whatever the mode; what else is decided there
    /// follows the mode of the configuration.
    fn token_endpoint(&self, endpoint: tokens::Endpoint, findings: &mut Findings) -> (RouteMatch, Rc<Route>) {
        let config = self.config;
        let mut guards = browser_guards(config, None, "headers", findings);
        if config.headers.https_redirect {
            guards.push(guard("https", HttpsOnly, config.mode));
        }
        let limits = config.tokens.as_ref().map_or(&[][..], |tokens| &tokens.limits);
        for (limits, mode) in self.limits.guards(limits, config.mode) {
            guards.push(guard("limit", limits, mode));
        }
        guards.push(guard("token request", TokenForm(endpoint.check.service.clone()), Mode::Enforce));
        // A password may hold anything.
        let password = config::Exclusion { parameter: Some("password".into()), ..config::Exclusion::default() };
        let inspection = config::RouteInspection { mode: None, exclude: vec![password] };
        if let Some((head, body, mode)) =
            self.inspection.guards(Some(&inspection), endpoint.name, config.mode, Beside::default(), findings)
        {
            guards.push(guard("inspect head", head, mode));
            guards.push(guard("inspect body", body, mode));
        }
        guards.retain(|guard| guard.mode != Mode::Off);
        guards.push(guard("tokens", endpoint.check, Mode::Enforce));
        let route = Route { answers_preflights: config.headers.cors.is_some(), names_error: true, ..Route::of(guards) };
        (RouteMatch { path: endpoint.path, ..RouteMatch::default() }, Rc::new(route))
    }

    fn refresh_secrets(&self, base: usize) -> Option<Guard> {
        let demand = self.secrets.demand.clone()?;
        let names = self.secrets.fetched().iter().map(|slot| Rc::from(slot.name())).collect();
        Some(guard("secrets", RefreshSecrets { base, demand, names }, Mode::Enforce))
    }

    /// One route; `None`: what no route matches.
    fn route(&self, route: Option<&config::Route>, path: &str, findings: &mut Findings) -> Route {
        let (body, mode) = (route.and_then(|route| route.body.as_ref()), self.mode(route));
        let mut validation = validation::compile(body, path, findings);
        if mode == Mode::Off {
            validation.steps.clear();
            validation.beside = None;
            validation.sanitized.clear();
        }
        let steps = (validation.steps, validation.schema.as_deref());
        let body = self.bodies.request(body, steps, path, findings);
        let rewrites_body = body.rewrites();
        let response = route.and_then(|route| route.response.as_ref());
        let unconditional = response.is_some_and(|response| response.owner.is_some()) && mode != Mode::Off;
        let response = self.bodies.response(response, validation.write_only, (path, mode), self.shared, findings);
        let asks_for_plain = (!response.guards.is_empty()).then_some(AskForPlain { unconditional });
        let reads = validation.beside.as_ref().filter(|_| body.has_one_step());
        let beside = Beside { sanitized: &validation.sanitized, reads };
        Route {
            enforce_percent: route.map_or(100, |route| u8::try_from(route.enforce_percent.0).unwrap_or(100)),
            answers_preflights: route.is_some_and(|route| route.cors.is_some()) || self.config.headers.cors.is_some(),
            rewrites_body,
            response,
            ..Route::of(self.guards(route, path, asks_for_plain, (body, beside), findings))
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
        asks_for_plain: Option<AskForPlain>,
        (body, beside): (RequestBody, Beside<'_>),
        findings: &mut Findings,
    ) -> Vec<Guard> {
        let (config, defaults) = (self.config, &self.config.defaults);
        let mode = self.mode(route);
        let mut guards = browser_guards(config, route, path, findings);
        // Before the redirect: nobody is sent on to a host that nothing is served for.
        if route.is_none() && config.unmatched == Verdict::Deny {
            guards.push(guard("unmatched", RefuseUnmatched, mode));
        }
        if config.headers.https_redirect {
            guards.push(guard("https", HttpsOnly, mode));
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
        let signed_body = authenticate.and_then(|asked| self.authentication.signed_body(asked));
        if let Some(authenticate) = authenticate.and_then(|asked| self.authentication.guard(asked)) {
            guards.push(guard("authenticate", authenticate, authenticate_mode));
        }
        guards.extend(self.csrf(authenticate, route, mode));
        guards.push(guard("authorize", access, mode));
        let limits = route.and_then(|route| route.limits.as_ref()).or(defaults.limits.as_ref());
        for (limits, mode) in limits.map(|names| self.limits.guards(names, mode)).unwrap_or_default() {
            guards.push(guard("limit", limits, mode));
        }
        guards.extend(asks_for_plain.map(|check| guard("ask for plain", check, Mode::Enforce)));
        if body.rewrites() {
            guards.push(guard("withdraw digests", WithdrawDigests, Mode::Enforce));
        }
        let inspection = route.and_then(|route| route.inspection.as_ref());
        let mut inspect_body = None;
        if let Some((head, body, mode)) = self.inspection.guards(inspection, path, mode, beside, findings) {
            guards.push(guard("inspect head", head, mode));
            inspect_body = Some(guard("inspect body", body, mode));
        }
        let sign = self.signing.map(|check| shared("sign", check.clone(), Mode::Enforce));
        // Behind a buffer filter the head goes on when the first guard waits for the body.
        let (early, last) = if config.bodies.hold == Hold::BufferFilter { (sign, None) } else { (None, sign) };
        guards.extend(early);
        // Whom the head's signature names was let in already: only where all of that is monitored, a wrong body is too.
        let signed_body_mode = match (authenticate_mode, mode) {
            (Mode::Monitor, Mode::Monitor | Mode::Off) => Mode::Monitor,
            (Mode::Off, _) => Mode::Off,
            _ => Mode::Enforce,
        };
        guards.extend(signed_body.map(|check| guard("signed body", check, signed_body_mode)));
        guards.extend(inspect_body);
        // Encryption is never off; what else looks at fields is left out there already.
        let never_off = if mode == Mode::Off { Mode::Enforce } else { mode };
        if BUILT.requests() {
            guards.extend(body.fields.map(|check| guard("body", check, never_off)));
        }
        if BUILT.encryption {
            guards.extend(body.whole.map(|check| guard("encrypt body", check, Mode::Enforce)));
        }
        // The last: what is signed is what leaves.
        guards.extend(last);
        // What is off does not decide; what only speaks to browsers is never off.
        guards.retain(|guard| guard.mode != Mode::Off);
        guards
    }

    /// What asks where a request comes from; `None` where no cookie is a credential.
    fn csrf(
        &self,
        authenticate: Option<&config::Authenticate>,
        route: Option<&config::Route>,
        mode: Mode,
    ) -> Option<Guard> {
        let takes_cookies = authenticate.is_some_and(|asked| self.authentication.takes_cookies(asked));
        takes_cookies.then(|| guard("csrf", browser::from_our_pages(self.config, route), mode))
    }

    fn access(
        &self,
        route: Option<&config::Route>,
        path: &str,
        findings: &mut Findings,
    ) -> portcullis::checks::authorize::Authorize {
        let defaults = &self.config.defaults;
        let (deny, deny_at) = match route.and_then(|route| route.deny.as_deref()) {
            Some(own) => (own, format!("{path}.deny")),
            None => (defaults.deny.as_deref().unwrap_or_default(), "defaults.deny".to_owned()),
        };
        let (allow, allow_at) = match route.and_then(|route| route.allow.as_deref()) {
            Some(own) => (own, format!("{path}.allow")),
            None => (defaults.allow.as_deref().unwrap_or_default(), "defaults.allow".to_owned()),
        };
        access::compile((deny, &deny_at), (allow, &allow_at), Some(self.config.service.as_str()), self.shared, findings)
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
    shared(step, Rc::new(check), mode)
}

fn shared(step: &'static str, check: Rc<dyn Check>, mode: Mode) -> Guard {
    Guard { step, check, mode }
}

/// Which requests a route takes.
pub fn route_match(matching: &config::Match) -> RouteMatch {
    RouteMatch {
        path: matching.path.as_ref().map_or("/**", config::PathTemplate::as_str).to_owned(),
        hosts: matching.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
        methods: matching.methods.iter().map(|method| method.as_str().to_owned()).collect(),
        headers: matching
            .headers
            .iter()
            .map(|(name, value)| HeaderCondition { name: name.as_str().to_owned(), value: Some(value.to_string()) })
            .collect(),
    }
}
