//! What is wrong although every field has its form: names that refer to nothing, and settings that contradict each
//! other. Nothing is compiled here; patterns, templates, schemas and keys are looked into by `policy`.

mod denials;
mod names;
mod owners;
mod providers;
mod routes;
mod rules;

use super::{Config, ConfigError, SecretRef, SecretSource, tree};

/// Every contradiction and every name that refers to nothing, in the order of the sections.
pub fn validate(config: &Config) -> Vec<ConfigError> {
    let mut checker = Checker { config, errors: Vec::new() };
    checker.providers();
    checker.tokens();
    checker.roles();
    checker.limits();
    checker.inspection();
    checker.intrusion();
    checker.encryption();
    checker.headers();
    checker.routes();
    checker.outbound();
    checker.errors
}

/// What is accepted but ought to be otherwise.
pub fn warnings(config: &Config) -> Vec<ConfigError> {
    let inline = config.secrets.iter().filter(|(_, secret)| matches!(secret.source, SecretSource::Inline(_)));
    let inline = inline.map(|(name, _)| {
        let path = tree::under("secrets", name.as_str()) + ".inline";
        ConfigError::new(path, "a secret in the configuration is seen by all who see the configuration")
    });
    let others = [
        owners::shared_subjects(config),
        names::long_bursts(config).collect(),
        issued_for_nobody(config),
        denials::without_effect(config),
    ];
    inline.chain(others.into_iter().flatten()).collect()
}

/// Tokens that are issued here and that no provider takes, or only one that refuses them.
fn issued_for_nobody(config: &Config) -> Vec<ConfigError> {
    let Some(tokens) = &config.tokens else { return Vec::new() };
    let taker = config.authentication.jwt.iter().find(|(_, provider)| provider.issuer == tokens.issuer);
    let Some((name, provider)) = taker else {
        return vec![ConfigError::new(
            "tokens.issuer",
            "no provider of authentication.jwt takes tokens of this issuer",
        )];
    };
    let path = tree::under("authentication.jwt", name.as_str());
    let taken = |audience: &String| provider.audiences.contains(audience);
    let refused = [
        (
            provider.claims.subject == "sub",
            "claims.subject",
            "tokens that are issued here say who it is in user_id, not in sub",
        ),
        (
            !provider.algorithms.contains(&tokens.algorithm),
            "algorithms",
            "expected that of tokens, which are issued here",
        ),
        (
            !provider.audiences.is_empty() && !tokens.audience.as_ref().is_some_and(taken),
            "audiences",
            "expected that of tokens, which are issued here",
        ),
        (
            provider.max_lifetime.is_some_and(|longest| longest < tokens.access_lifetime),
            "max_lifetime",
            "expected no less than tokens.access_lifetime",
        ),
        (provider.token_type != "access", "type", "expected access, which tokens that are issued here have"),
    ];
    let refused = refused.into_iter().filter(|(refused, ..)| *refused);
    refused.map(|(_, field, message)| ConfigError::new(format!("{path}.{field}"), message)).collect()
}

struct Checker<'a> {
    config: &'a Config,
    errors: Vec<ConfigError>,
}

impl Checker<'_> {
    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(ConfigError::new(path, message));
    }

    fn not_empty<T>(&mut self, list: &[T], path: &str) {
        if list.is_empty() {
            self.error(path, "expected at least one entry");
        }
    }

    fn secret(&mut self, reference: &SecretRef, path: &str) {
        self.secret_name(reference.secret.as_str(), &format!("{path}.secret"));
    }

    fn secret_name(&mut self, name: &str, path: &str) {
        if !self.config.secrets.contains_key(name) {
            self.error(path, format!("no secret is called {name}"));
        }
    }

    /// A list of keys that must not be empty.
    fn keys(&mut self, keys: &[SecretRef], path: &str) {
        self.not_empty(keys, path);
        for (index, key) in keys.iter().enumerate() {
            self.secret(key, &format!("{path}[{index}]"));
        }
    }
}
