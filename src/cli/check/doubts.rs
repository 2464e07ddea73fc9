//! What a configuration may say and hardly means: names that nothing refers to, routes that are public because nobody
//! said otherwise, tiers and bursts that never count. Said by the tool alone: a proxy need not be told at every start.

use std::collections::BTreeSet;

use portcullis_config::{Authentication, Config, ConfigError, Limit, Name, RateText, Tier};
use serde_json::Value;

/// What is said of a configuration that is accepted, in the order of its sections. `json` is what it was read from.
///
/// Of one without routes nothing is said: it is a beginning, or a part.
pub(super) fn doubts(config: &Config, json: &[u8]) -> Vec<ConfigError> {
    if config.routes.is_empty() {
        return Vec::new();
    }
    [unnamed_secrets(config, json), unnamed_limits(config), idle_rates(config), public_by_omission(config)].concat()
}

fn doubt(path: String, message: &str) -> ConfigError {
    ConfigError { path, message: message.to_owned() }
}

fn unnamed_secrets(config: &Config, json: &[u8]) -> Vec<ConfigError> {
    let Ok(Value::Object(mut sections)) = serde_json::from_slice(json) else { return Vec::new() };
    // A secret of Kubernetes is called one too.
    sections.remove("secrets");
    let mut named = BTreeSet::new();
    sections.values().for_each(|section| secrets(section, &mut named));
    let unnamed = config.secrets.keys().filter(|name| !named.contains(name.as_str()));
    unnamed.map(|name| doubt(format!("secrets.{}", name.as_str()), "nothing uses it")).collect()
}

/// Every `secret: NAME` below `value`, which was read before and is no deeper than what is accepted.
fn secrets<'v>(value: &'v Value, named: &mut BTreeSet<&'v str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| secrets(item, named)),
        Value::Object(fields) => {
            named.extend(fields.get("secret").and_then(Value::as_str));
            fields.values().for_each(|field| secrets(field, named));
        }
        _ => {}
    }
}

fn unnamed_limits(config: &Config) -> Vec<ConfigError> {
    let routes = config.routes.iter().map(|route| &route.limits).chain([&config.defaults.limits]).flatten();
    let tokens = config.tokens.iter().map(|tokens| &tokens.limits);
    let named: BTreeSet<&str> = routes.chain(tokens).flatten().map(Name::as_str).collect();
    let unnamed = config.limits.keys().filter(|name| !named.contains(name.as_str()));
    unnamed.map(|name| doubt(format!("limits.{}", name.as_str()), "limits nothing: no route names it")).collect()
}

fn idle_rates(config: &Config) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (name, limit) in &config.limits {
        let path = format!("limits.{}", name.as_str());
        for (at, tier) in limit.tiers.iter().enumerate() {
            let first = limit.tiers.iter().take(at).position(|earlier| takes_all(earlier, tier, config));
            let told =
                first.map(|first| format!("never counts: whom it fits tiers[{first}] fits as well, which comes first"));
            found.extend(told.map(|told| doubt(format!("{path}.tiers[{at}]"), &told)));
        }
        if limit.burst.is_some_and(|burst| never_fills(burst, limit)) {
            found.push(doubt(
                format!("{path}.burst"),
                "never refuses: the rate admits no more than that in a longer time",
            ));
        }
    }
    found
}

/// Whether every caller whom `later` fits is one whom `earlier` fits.
fn takes_all(earlier: &Tier, later: &Tier, config: &Config) -> bool {
    let role = match (&earlier.role, &later.role) {
        (None, _) => true,
        (Some(wanted), Some(held)) => stands_for(held, wanted, config),
        (Some(_), None) => false,
    };
    role && earlier.claim.iter().all(|(name, value)| later.claim.get(name.as_str()) == Some(value))
}

/// Whether who has the role `held` counts as having `wanted`.
fn stands_for(held: &str, wanted: &str, config: &Config) -> bool {
    let (mut open, mut reached) = (vec![held], BTreeSet::from([held]));
    while let Some(role) = open.pop() {
        let below = config.roles.get(role).into_iter().flatten().map(String::as_str);
        open.extend(below.filter(|&below| reached.insert(below)));
    }
    reached.contains(wanted)
}

/// Whether every rate beside a burst runs out before it, or with it.
fn never_fills(burst: RateText, limit: &Limit) -> bool {
    let tiers = limit.tiers.iter().map(|tier| &tier.rate);
    let mut rates = limit.rate.iter().chain(tiers).chain(limit.anonymous.iter().map(|anonymous| &anonymous.rate));
    rates.all(|rate| rate.limit <= burst.limit && rate.window >= burst.window)
}

/// Routes that ask for nobody although methods of authentication are set: they say so where it is meant.
fn public_by_omission(config: &Config) -> Vec<ConfigError> {
    if config.defaults.authenticate.is_some() || !has_methods(&config.authentication) {
        return Vec::new();
    }
    let silent = config.routes.iter().enumerate().filter(|(_, route)| route.authenticate.is_none());
    let told = "is not set, nor is defaults.authenticate: the route is public; none says so where it is meant";
    silent.map(|(at, _)| doubt(format!("routes[{at}].authenticate"), told)).collect()
}

fn has_methods(known: &Authentication) -> bool {
    let tokens = !known.jwt.is_empty() || !known.oauth2.is_empty();
    tokens || known.service.is_some() || known.api_keys.is_some() || known.mtls.is_some()
}
