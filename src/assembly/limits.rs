//! Limits by name, and the guards of one route.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Findings, Shared, access};
use portcullis::check::Background;
use portcullis::checks::limit::{EnforceLimits, Headers, KeyPart, Limit, Refill, Service, Tier};
use portcullis::table::rate::Rate;
use portcullis_config::{self as config, Config, Mode, Name, RateLimitHeaders, RateText};

/// Every limit with its own mode.
pub(super) struct Limits {
    by_name: BTreeMap<String, (Rc<Limit>, Option<Mode>)>,
    headers: Headers,
    /// Who counts for the whole fleet, by [`Service::index`].
    services: Vec<Rc<Service>>,
}

pub(super) fn compile(config: &Config, shared: &Shared, findings: &mut Findings) -> Limits {
    let mut by_name = BTreeMap::new();
    let mut services = Vec::new();
    for (name, limit) in &config.limits {
        let mut compiled = compile_limit(name.as_str(), limit, shared, findings);
        if let Some(counts) = &limit.rate_limit_service {
            let service = Rc::new(service(services.len(), &compiled.name, counts));
            compiled.service = Some(service.clone());
            services.push(service);
        }
        by_name.insert(name.as_str().to_owned(), (Rc::new(compiled), limit.mode));
    }
    let headers = match config.headers.rate_limit {
        RateLimitHeaders::Draft => Headers { draft: true, x: false },
        RateLimitHeaders::X => Headers { draft: false, x: true },
        RateLimitHeaders::Both => Headers { draft: true, x: true },
        RateLimitHeaders::Off => Headers { draft: false, x: false },
    };
    Limits { by_name, headers, services }
}

impl Limits {
    /// How many services count for the whole fleet.
    pub(super) fn services(&self) -> usize {
        self.services.len()
    }

    /// What renews their leases.
    pub(super) fn background(&self) -> impl Iterator<Item = Rc<dyn Background>> {
        self.services.iter().map(|service| Rc::new(Refill(service.clone())) as Rc<dyn Background>)
    }

    /// The guards of a route with these limits, one for each mode: what is only monitored must not hold back what
    /// is enforced, nor what the client is told of it.
    pub(super) fn guards(&self, names: &[Name], inherited: Mode) -> Vec<(EnforceLimits, Mode)> {
        let chosen = names.iter().filter_map(|name| self.by_name.get(name.as_str()));
        let enforced = |(_, own): &&(Rc<Limit>, Option<Mode>)| own.unwrap_or(inherited) == Mode::Enforce;
        let told = if chosen.clone().any(|limit| enforced(&limit)) { Mode::Enforce } else { Mode::Monitor };
        let in_mode = |mode: Mode| {
            let headers = if mode == told { self.headers } else { Headers::default() };
            let limits: Vec<_> = chosen
                .clone()
                .filter(|(_, own)| own.unwrap_or(inherited) == mode)
                .map(|(limit, _)| limit.clone())
                .collect();
            (!limits.is_empty()).then_some((EnforceLimits { limits, headers }, mode))
        };
        [Mode::Enforce, Mode::Monitor].into_iter().filter_map(in_mode).collect()
    }
}

fn compile_limit(name: &str, limit: &config::Limit, shared: &Shared, findings: &mut Findings) -> Limit {
    let path = format!("limits.{name}");
    let mut tiers = Vec::new();
    for (at, tier) in limit.tiers.iter().enumerate() {
        let field = format!("{path}.tiers[{at}]");
        let claims = access::claims(&tier.claim).collect();
        let roles = tier.role.as_deref().map(|role| shared.roles.asked([role].into_iter()));
        tiers.extend(rate(tier.rate, &format!("{field}.rate"), findings).map(|rate| Tier { roles, claims, rate }));
    }
    if let Some(text) = limit.rate {
        let rate = rate(text, &format!("{path}.rate"), findings);
        tiers.extend(rate.map(|rate| Tier { roles: None, claims: Vec::new(), rate }));
    }
    let burst = limit.burst.and_then(|text| rate(text, &format!("{path}.burst"), findings));
    let anonymous = limit.anonymous.as_ref().and_then(|anonymous| {
        let rate = rate(anonymous.rate, &format!("{path}.anonymous.rate"), findings)?;
        Some((anonymous.key.iter().map(key_part).collect(), rate))
    });
    Limit {
        name: Rc::from(name),
        key: limit.key.iter().map(key_part).collect(),
        tiers,
        burst,
        anonymous,
        service: None,
    }
}

fn service(index: usize, limit: &Rc<str>, counts: &config::RateLimitService) -> Service {
    Service {
        index,
        limit: limit.clone(),
        // No configured limit can have this name.
        burst: Rc::from(format!("{limit}\0burst")),
        cluster: Rc::from(counts.cluster.as_str()),
        domain: Rc::from(counts.domain.as_str()),
        descriptor: Rc::from(counts.descriptor.as_str()),
        lease: counts.lease.0,
        timeout: counts.timeout.0,
        local_share: counts.local_share.0,
    }
}

fn rate(text: RateText, path: &str, findings: &mut Findings) -> Option<Rate> {
    Rate::new(text.limit, text.window).map_err(|error| findings.error(path, error.to_string())).ok()
}

fn key_part(key: &config::LimitKey) -> KeyPart {
    match key {
        config::LimitKey::ClientIp => KeyPart::ClientIp,
        config::LimitKey::Subject => KeyPart::Subject,
        config::LimitKey::Service => KeyPart::Service,
        config::LimitKey::Header(name) => KeyPart::Header(Rc::from(name.as_str())),
    }
}
