//! Roles, limits and the sections that stand alone.

use crate::dictionary::Dictionary;

use super::Checker;
use crate::{Config, ConfigError, Cors, HostPattern, Limit, LimitKey, MAX_ROLES, Name, SameSite, tree};

/// Bursts that are counted for longer than the rate beside them.
pub(super) fn long_bursts(config: &Config) -> impl Iterator<Item = ConfigError> {
    let long = |(name, limit): (&Name, &Limit)| {
        let burst = limit.burst?.window;
        let mut rates = limit.rate.iter().chain(limit.tiers.iter().map(|tier| &tier.rate));
        rates.any(|rate| rate.window < burst).then(|| {
            let path = tree::under("limits", name.as_str()) + ".burst";
            ConfigError::new(path, "its window is longer than that of the rate: a burst is what may come at once")
        })
    };
    config.limits.iter().filter_map(long)
}

impl Checker<'_> {
    /// A role that stands for itself by way of others. From none further than [`MAX_ROLES`] lead, of which whoever compiles
    /// takes no more: the cost grows with the number of roles.
    pub(super) fn roles(&mut self) {
        let roles = &self.config.roles;
        for role in roles.keys() {
            let mut reached: Dictionary<&str, ()> = Dictionary::new();
            let mut open: Vec<&str> = vec![role];
            while let Some(next) = open.pop().filter(|_| reached.len() <= MAX_ROLES) {
                for below in roles.get(next).into_iter().flatten() {
                    if reached.len() > MAX_ROLES {
                        break;
                    }
                    if reached.insert(below, ()).is_none() {
                        open.push(below);
                    }
                }
            }
            if reached.contains_key(role.as_str()) {
                self.error(tree::under("roles", role), "stands for itself by way of others");
            }
        }
    }

    pub(super) fn limits(&mut self) {
        for (name, limit) in &self.config.limits {
            self.limit(limit, &tree::under("limits", name.as_str()));
        }
    }

    fn limit(&mut self, limit: &Limit, path: &str) {
        self.not_empty(&limit.key, &format!("{path}.key"));
        match (&limit.rate, limit.tiers.split_last()) {
            (None, None) => self.error(path, "expected rate or tiers"),
            (Some(_), Some(_)) => self.error(format!("{path}.tiers"), "expected either rate or tiers"),
            (None, Some((last, others))) => {
                let fits_all = |tier: &crate::Tier| tier.role.is_none() && tier.claim.is_empty();
                if !fits_all(last) {
                    let index = others.len();
                    self.error(format!("{path}.tiers[{index}]"), "expected the last tier to fit everyone: only a rate");
                }
                for (index, _) in others.iter().enumerate().filter(|(_, tier)| fits_all(tier)) {
                    self.error(
                        format!("{path}.tiers[{index}]"),
                        "fits everyone, so that the tiers after it never count",
                    );
                }
            }
            (Some(_), None) => {}
        }
        if let Some(service) = &limit.rate_limit_service {
            self.sendable(&service.domain, &format!("{path}.rate_limit_service.domain"));
            self.sendable(&service.descriptor, &format!("{path}.rate_limit_service.descriptor"));
        }
        let Some(anonymous) = &limit.anonymous else { return };
        self.not_empty(&anonymous.key, &format!("{path}.anonymous.key"));
        if !limit.key.contains(&LimitKey::Subject) {
            self.error(format!("{path}.anonymous"), "is for limits by subject, and this key has none");
        }
        if let Some(index) = anonymous.key.iter().position(|key| *key == LimitKey::Subject) {
            self.error(format!("{path}.anonymous.key[{index}]"), "an anonymous caller has no subject");
        }
    }

    /// A service of rate limits takes what it does not know for unlimited.
    fn sendable(&mut self, text: &str, path: &str) {
        if text.chars().any(char::is_control) {
            self.error(path, "expected a text without control characters");
        }
    }

    pub(super) fn limit_names(&mut self, names: &[Name], path: &str) {
        for (index, name) in names.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if !self.config.limits.contains_key(name) {
                self.error(path, format!("no limit is called {name}"));
            } else if names.iter().take(index).any(|earlier| earlier == name) {
                self.error(path, "is listed twice");
            } else if let Some(other) = self.told_as(name, names) {
                self.error(path, format!("the burst of {other} has this name in RateLimit headers"));
            }
        }
    }

    /// The limit beside it whose burst a client knows by the same name.
    fn told_as<'n>(&self, name: &Name, beside: &'n [Name]) -> Option<&'n Name> {
        let other = name.as_str().strip_suffix("-burst")?;
        let bursts = self.config.limits.get(other).is_some_and(|limit| limit.burst.is_some());
        beside.iter().find(|beside| bursts && beside.as_str() == other)
    }

    pub(super) fn inspection(&mut self) {
        let mut ids = Dictionary::new();
        for (index, pattern) in self.config.inspection.patterns.iter().enumerate() {
            let path = format!("inspection.patterns[{index}]");
            if ids.insert(pattern.id.as_str(), ()).is_some() {
                self.error(format!("{path}.id"), "is the id of another pattern too");
            }
        }
    }

    pub(super) fn intrusion(&mut self) {
        let Some(intrusion) = &self.config.intrusion else { return };
        self.not_empty(&intrusion.count, "intrusion.count");
        let Some(admin) = &intrusion.admin else { return };
        self.not_empty(&admin.roles, "intrusion.admin.roles");
        let segments = admin.path.as_str().trim_end_matches('/').split('/').skip(1);
        if segments.clone().count() == 0 || segments.into_iter().any(|segment| !is_plain_segment(segment)) {
            self.error("intrusion.admin.path", "expected a plain path below /, such as /.portcullis");
        }
        let known = &self.config.authentication;
        if known.jwt.is_empty() && known.oauth2.is_empty() && known.api_keys.is_none() {
            self.error("intrusion.admin.roles", "nobody can have them: no method of authentication gives roles");
        }
    }

    pub(super) fn encryption(&mut self) {
        let Some(encryption) = &self.config.encryption else { return };
        self.keys(&encryption.keys, "encryption.keys");
    }

    pub(super) fn headers(&mut self) {
        let headers = &self.config.headers;
        let identity = &headers.identity;
        let fields = [("subject", &identity.subject), ("roles", &identity.roles), ("method", &identity.method)];
        let mut seen = Dictionary::new();
        for (field, name) in fields.into_iter().chain([("peer", &identity.peer)]) {
            self.told_in(name.as_str().replace('_', "-"), format!("headers.identity.{field}"), &mut seen);
        }
        if let Some(cors) = &headers.cors {
            self.cors(cors, "headers.cors");
        }
        for (index, origin) in headers.csrf.iter().flat_map(|csrf| &csrf.origins).enumerate() {
            if !is_origin(origin) {
                self.error(format!("headers.csrf.origins[{index}]"), ORIGIN);
            }
        }
        let insecure =
            headers.cookies.as_ref().filter(|cookies| !cookies.secure && cookies.same_site == SameSite::None);
        if insecure.is_some() {
            self.error("headers.cookies.same_site", "browsers take none with secure only");
        }
    }

    /// A header that tells the upstream something, `_` written as `-`: it is taken from nobody.
    pub(super) fn told_in(&mut self, name: String, path: String, taken: &mut Dictionary<String, ()>) {
        if RESERVED.contains(&name.as_str()) {
            self.error(path, format!("expected a header that nothing else needs, not {name}"));
        } else if taken.insert(name, ()).is_some() {
            self.error(path, "is filled by something else already");
        }
    }

    pub(super) fn cors(&mut self, cors: &Cors, path: &str) {
        self.not_empty(&cors.origins, &format!("{path}.origins"));
        for (index, origin) in cors.origins.iter().enumerate() {
            let path = format!("{path}.origins[{index}]");
            if origin == "*" {
                if cors.credentials == crate::Verdict::Allow {
                    self.error(path, "expected origins by name where credentials are allowed");
                }
            } else if !is_origin(origin) {
                self.error(path, format!("{ORIGIN}, or *"));
            }
        }
    }

    pub(super) fn outbound(&mut self) {
        let Some(outbound) = &self.config.outbound else { return };
        self.secret(&outbound.sign.token, "outbound.sign.token");
        self.keys(&outbound.sign.keys, "outbound.sign.keys");
        let signs_bodies = outbound.sign.signature == crate::SignatureVersion::V2;
        if signs_bodies && self.config.bodies.hold == crate::Hold::BufferFilter {
            self.error(
                "outbound.sign.signature",
                "expected v1, or bodies.hold: headers: v2 signs the body in the head",
            );
        }
    }
}

/// Headers that the proxy or the connection needs for itself.
pub(super) const RESERVED: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

const ORIGIN: &str = "expected an origin such as https://app.example.com";

/// A segment that is its own canonical form.
fn is_plain_segment(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
}

/// RFC 6454, section 6.2: scheme, host and port, nothing more, in lower case.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(letters)
        && HostPattern::is_host(host)
        && !host.bytes().any(|byte| byte.is_ascii_uppercase())
        && port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}
