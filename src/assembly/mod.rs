//! From what the operator wrote to what serves: every name looked up, every pattern compiled, and for each route the
//! list of its guards in the order in which they decide. Deterministic, without network; all errors at once.
//!
//! Done once per worker, so this crate is built for size: what a request runs is the core's.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::unreachable,
        clippy::string_slice
    )
)]

mod access;
mod authentication;
mod bodies;
mod browser;
mod features;
mod health;
mod inspection;
mod intrusion;
mod limits;
mod opaque;
mod outbound;
mod remote;
mod routes;
mod secrets;
mod shadowed;
mod strip;
mod tokens;
mod validation;

pub use routes::route_match;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use self::features::BUILT;
use portcullis::canonical::networks::Networks;
use portcullis::canonical::path::PathOptions;
use portcullis::canonical::strip::{Misspelt, StripSet};
use portcullis::event::Sampler;
use portcullis::exchange::Method;
use portcullis::injection::KnownHarmless;
use portcullis::jose::budget::PureBudget;
use portcullis::jose::cache::TokenCache;
use portcullis::pipeline::{Pipeline, Route};
use portcullis::policy::roles::{MAX_ROLES, Roles};
use portcullis::policy::route_table::PathPatterns;
use portcullis::quota::client::Client;
use portcullis::quota::leases::Leases;
use portcullis::revocation::{Glance, RevokedTokens};
use portcullis::secrets::SecretSlot;
use portcullis::signature::{digest, hex};
use portcullis::store::SharedStore;
use portcullis::table::limiter::{Limiter, Sizes};
use portcullis::table::replay::ReplaySet;
use portcullis::table::sketch::Sketch;
use portcullis::table::spent::SpentBudgets;
use portcullis::table::{Space, TableError};
use portcullis::worker::{Answers, LeftLogins, Lot, Worker};
use portcullis_config::{self as config, Config, ConfigError, Hold, Mode, Network, Verdict};

/// Verified tokens that one VM remembers, and the bytes they may take.
const TOKENS: (usize, usize) = (16_384, 16 << 20);
/// Answers about opaque tokens that one VM remembers, of either kind, and the bytes that the good ones may take.
const ANSWERS: (usize, usize) = (16_384, 16 << 20);
/// How long a caller counts as active where no tokens are issued here.
const SESSION: Duration = Duration::from_secs(15 * 60);
/// Verifications in pure Rust that one VM does in a second: each costs a thirtieth of it at most.
const PURE_PER_SECOND: u32 = 50;

/// A configuration, ready to serve.
pub struct Assembled {
    /// What it decides.
    pub pipeline: Pipeline,
    /// What a worker keeps.
    pub worker: Worker,
    /// How bodies are held.
    pub hold: Hold,
    /// What is accepted and should be changed all the same.
    pub warnings: Vec<ConfigError>,
    /// Secrets that are fetched.
    pub secrets: Vec<Rc<SecretSlot>>,
}

impl Assembled {
    /// Goes on with what an earlier configuration of this worker knew of the same secrets: while a store is away, a
    /// change of the configuration loses none.
    pub fn adopt(&self, earlier: &[Rc<SecretSlot>]) {
        for slot in &self.secrets {
            earlier.iter().for_each(|earlier| slot.adopt(earlier));
        }
    }
}

/// What assembly needs of the world.
pub struct Surroundings<'a> {
    /// The data that all workers share.
    pub store: &'a dyn SharedStore,
    /// The environment's variables.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Random bytes that differ between VMs.
    pub random: [u64; 4],
}

/// Errors and warnings as they are found.
#[derive(Default)]
struct Findings {
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigError>,
}

impl Findings {
    /// Once for each field, although several routes may compile it. Beyond [`config::MOST_ERRORS`] no more are looked at: one is
    /// enough to refuse.
    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.errors.len() >= config::MOST_ERRORS {
            return;
        }
        let error = ConfigError { path: path.into(), message: message.into() };
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(ConfigError { path: path.into(), message: message.into() });
    }
}

/// What several sections build on.
struct Shared {
    revoked: Rc<RevokedTokens>,
    roles: Rc<Roles>,
    /// The providers of tokens by the claim that is their subject.
    subjects: BTreeMap<String, Vec<(Method, Rc<str>)>>,
}

/// Reads and compiles a configuration.
///
/// # Errors
/// Everything that is wrong with it, each with the path of its field.
pub fn assemble(json: &[u8], surroundings: &Surroundings<'_>) -> Result<Assembled, Vec<ConfigError>> {
    let config = config::read(json)?;
    let mut findings = Findings::default();
    let assembled = build(&config, surroundings, &mut findings);
    match assembled {
        Some(mut assembled) if findings.errors.is_empty() => {
            assembled.warnings = [config::warnings(&config), findings.warnings].concat();
            Ok(assembled)
        }
        _ => Err(findings.errors),
    }
}

/// By what people recognise a configuration: the same for all texts that say the same, whatever secrets stand in them. `None` for
/// what cannot be read at all.
pub fn fingerprint(json: &[u8]) -> Option<String> {
    let digest = digest::of(&config::canonical(json)?);
    Some(hex(digest.get(..FINGERPRINT_BYTES)?))
}

/// Twelve digits: nobody has so many configurations that two of them look alike.
const FINGERPRINT_BYTES: usize = 6;

fn build(config: &Config, surroundings: &Surroundings<'_>, findings: &mut Findings) -> Option<Assembled> {
    BUILT.refuse(config, findings);
    let secrets = secrets::resolve(config, surroundings, findings);
    let revoked = space(config, "", surroundings).map(|space| {
        let feed = tokens::taken(config, &space);
        RevokedTokens::new(space, config.tables.revocations.0).with_feed(feed)
    });
    let revoked = Rc::new(revoked.map_err(|error| findings.error("tables", error.to_string())).ok()?);
    let shared = Shared { revoked, roles: Rc::new(roles(config, findings)), subjects: subjects(config) };
    let authentication = authentication::compile(config, &secrets, &shared, surroundings, findings);
    let limits = limits::compile(config, &shared, findings);
    let inspection = inspection::compile(config, findings);
    let bodies = bodies::compile(config, &secrets, findings);
    let intrusion = intrusion::compile(config, surroundings, findings);
    let signing = outbound::compile(config, &secrets, findings);
    let parts = routes::Parts {
        config,
        shared: &shared,
        authentication: &authentication,
        limits: &limits,
        inspection: &inspection,
        bodies: &bodies,
        intrusion: intrusion.as_ref(),
        secrets: &secrets,
        signing: signing.as_ref(),
    };
    let tokens = tokens::compile(config, &secrets, &shared, authentication.unverified(), findings);
    let routes = parts.compile(tokens.endpoints, findings);
    let health = health::compile(config, &secrets, &shared.revoked, intrusion.as_ref());
    let sensitive = sensitive_paths(config, findings);
    let unrouted = routes::browser_guards(config, None, "headers", findings);
    let feed = tokens::feed(config, &shared, surroundings, findings);
    let (routes, ours, unmatched) = routes?;
    let head_only = strip::head_only(config);
    let pipeline = Pipeline {
        service: Rc::from(config.service.as_str()),
        paths: PathOptions { allow_parameters: config.paths.parameters == Verdict::Allow },
        trusted_proxies: networks(&config.client_ip.trusted_proxies),
        strip: strip::compile(config, findings),
        head_only: StripSet::new(&head_only),
        misspelt: Misspelt::of(head_only),
        forwarded_certificates: config.authentication.mtls.as_ref().map_or(Verdict::Deny, |m| m.forwarded_client_cert),
        intrusion: intrusion.filter(|intrusion| intrusion.mode != Mode::Off),
        routes,
        ours,
        unmatched,
        unrouted: Rc::new(Route::of(unrouted)),
        sensitive: sensitive?,
        cookies: browser::cookies(config),
        health,
        background: [
            secrets.background(),
            authentication.background(),
            feed.into_iter().collect(),
            tokens.background,
            limits.background().collect(),
        ]
        .concat(),
    };
    let worker = worker(config, limits.services(), surroundings);
    let mut worker = worker.map_err(|error| findings.error("tables", error.to_string())).ok()?;
    (worker.key_sets, worker.accounts) = authentication.memory(surroundings);
    let (hold, secrets) = (config.bodies.hold, secrets.fetched());
    Some(Assembled { pipeline, worker, hold, warnings: Vec::new(), secrets })
}

fn worker(config: &Config, services: usize, surroundings: &Surroundings<'_>) -> Result<Worker, TableError> {
    let [first, second, _, lot] = surroundings.random;
    let sizes = Sizes { addresses: config.tables.addresses.0, named: config.tables.limits.0 };
    let space = space(config, "", surroundings)?;
    let skew = config.authentication.service.as_ref().map_or(Duration::ZERO, |service| service.max_clock_skew.0);
    let session = config.tokens.as_ref().map_or(SESSION, |tokens| tokens.access_lifetime.0);
    Ok(Worker {
        tokens: TokenCache::new(TOKENS.0, TOKENS.1, [first, second]),
        answers: Answers::new(ANSWERS.0, ANSWERS.1, [first, second]),
        left_logins: LeftLogins::default(),
        key_sets: Vec::new(),
        accounts: Vec::new(),
        limiter: Limiter::open(space.clone(), surroundings.store, sizes)?,
        spent_budgets: SpentBudgets::default(),
        replay: ReplaySet::new(space.clone(), config.tables.replay.0, skew),
        revocations: Glance::default(),
        sessions: Sketch::new(&space, session),
        leases: Leases::new(space, config.tables.limits.0),
        quota_clients: (0..services).map(|_| Client::default()).collect(),
        pure_verifications: BUILT.signatures.then(|| PureBudget::new(PURE_PER_SECOND, PURE_PER_SECOND)),
        harmless: KnownHarmless::new(second),
        events: Sampler::new(config.events.sample.limit, config.events.sample.window),
        notices: Vec::new(),
        stirred: false,
        lot: Lot::new(lot),
    })
}

/// Plugins may share one map: a service has its own part, which outlives its configurations; `within` is a part of it.
fn space(config: &Config, within: &str, surroundings: &Surroundings<'_>) -> Result<Space, TableError> {
    let [first, _, third, _] = surroundings.random;
    let seed = (u128::from(third) << 64 | u128::from(first)).to_le_bytes();
    Space::open(surroundings.store, &format!("portcullis/{}{within}", config.service.as_str()), seed)
}

/// Every role that a rule names, with those it stands for.
fn roles(config: &Config, findings: &mut Findings) -> Roles {
    let hierarchy = config.roles.iter().map(|(role, juniors)| (role.as_str(), juniors.as_slice()));
    let tiers = config.limits.values().flat_map(|limit| &limit.tiers).filter_map(|tier| tier.role.as_deref());
    let routes = config.routes.iter().flat_map(|route| route.allow.iter().flatten());
    let allowed = routes.chain(config.defaults.allow.iter().flatten()).flat_map(|entry| &entry.roles);
    let routes = config.routes.iter().flat_map(|route| route.deny.iter().flatten());
    let denials = routes.chain(config.defaults.deny.iter().flatten());
    let denied = denials.flat_map(|entry| entry.roles.iter().chain(entry.except.iter().flat_map(|e| &e.roles)));
    let admins = config.intrusion.iter().flat_map(|intrusion| &intrusion.admin).flat_map(|admin| &admin.roles);
    let responses = config.routes.iter().filter_map(|route| route.response.as_ref());
    let unless = responses.clone().filter_map(|response| response.owner.as_ref()?.unless.as_ref());
    let readers = responses.filter_map(|response| response.fields.as_ref()?.allow_all.as_ref());
    let readers = readers.chain(unless).flat_map(|roles| &roles.roles);
    let named = tiers.chain(allowed.chain(denied).chain(admins).chain(readers).map(String::as_str));
    Roles::compile(hierarchy, named).unwrap_or_else(|_| {
        findings.error("roles", format!("expected at most {MAX_ROLES} different roles in the whole configuration"));
        Roles::default()
    })
}

fn subjects(config: &Config) -> BTreeMap<String, Vec<(Method, Rc<str>)>> {
    let known = &config.authentication;
    let jwt = known.jwt.iter().map(|(name, provider)| (&provider.claims.subject, Method::Jwt, name));
    let opaque = known.oauth2.iter().map(|(name, provider)| (&provider.claims.subject, Method::Oauth2, name));
    let mut subjects: BTreeMap<String, Vec<(Method, Rc<str>)>> = BTreeMap::new();
    for (subject, method, name) in jwt.chain(opaque) {
        subjects.entry(subject.clone()).or_default().push((method, Rc::from(name.as_str())));
    }
    subjects
}

fn sensitive_paths(config: &Config, findings: &mut Findings) -> Option<PathPatterns> {
    let paths = config.events.sensitive_paths.iter().map(config::PathTemplate::as_str);
    PathPatterns::new(paths, config.paths.case)
        .map_err(|error| findings.error(format!("events.sensitive_paths[{}]", error.index), error.to_string()))
        .ok()
}

fn networks(list: &[Network]) -> Networks {
    // Each was read as a network already.
    Networks::parse(list.iter().map(|network| network.0.to_string())).unwrap_or_default()
}
