//! Authentication: each provider by itself, and providers that could not be told apart.

use crate::dictionary::Dictionary;

use super::Checker;
use super::names::RESERVED;
use crate::{ApiKeys, JwtProvider, OpaqueProvider, OpaqueSource, Place, Tokens, Verdict, tree};

impl Checker<'_> {
    pub(super) fn providers(&mut self) {
        let config = self.config;
        let authentication = &config.authentication;
        let mut issuers = Dictionary::new();
        for (name, provider) in &authentication.jwt {
            let path = tree::under("authentication.jwt", name.as_str());
            self.provider(provider, &path);
            if let Some(first) = issuers.insert(&provider.issuer, name) {
                self.same_issuer(provider, &path, first.as_str());
            }
        }
        self.opaque_providers(&authentication.oauth2);
        if let Some(service) = &authentication.service {
            self.keys(&service.keys, "authentication.service.keys");
            self.not_empty(&service.signatures, "authentication.service.signatures");
            for (name, known) in &service.services {
                self.secret(&known.token, &(tree::under("authentication.service.services", name.as_str()) + ".token"));
            }
        }
        if let Some(api_keys) = &authentication.api_keys {
            self.api_keys(api_keys);
        }
        let forwarded = authentication.mtls.as_ref().map(|mtls| mtls.forwarded_client_cert);
        if forwarded == Some(Verdict::Allow) && config.client_ip.trusted_proxies.is_empty() {
            self.error(
                "authentication.mtls.forwarded_client_cert",
                "expected client_ip.trusted_proxies to name whom to believe",
            );
        }
    }

    fn same_issuer(&mut self, provider: &JwtProvider, path: &str, first: &str) {
        match provider.issuer {
            Some(_) => self.error(format!("{path}.issuer"), format!("is the issuer of {first} too")),
            None => self.error(format!("{path}.issuer"), format!("is required: {first} has none already")),
        }
    }

    fn provider(&mut self, provider: &JwtProvider, path: &str) {
        self.not_empty(&provider.algorithms, &format!("{path}.algorithms"));
        self.places(&provider.from, &format!("{path}.from"));
        for (index, key) in provider.keys.iter().enumerate() {
            self.secret(key, &format!("{path}.keys[{index}]"));
        }
        let shared = provider.algorithms.iter().any(|algorithm| algorithm.is_shared());
        let public = provider.algorithms.iter().any(|algorithm| !algorithm.is_shared());
        match (shared, provider.keys.is_empty()) {
            (true, true) => self.error(format!("{path}.keys"), "expected a shared secret for HS256, HS384 or HS512"),
            (false, false) if public => {
                self.error(format!("{path}.keys"), "shared secrets are for HS256, HS384 and HS512, expected jwks");
            }
            _ => {}
        }
        match (public, provider.jwks.is_some()) {
            (true, false) if provider.keys.is_empty() || shared => {
                self.error(format!("{path}.jwks"), "expected public keys for RS*, PS*, ES* and EdDSA");
            }
            (false, true) if shared => {
                self.error(format!("{path}.jwks"), "public keys are for RS*, PS*, ES* and EdDSA, expected keys");
            }
            _ => {}
        }
        self.forwarded_headers(provider, path);
    }

    fn forwarded_headers(&mut self, provider: &JwtProvider, path: &str) {
        let identity = &self.config.headers.identity;
        let identity = [&identity.subject, &identity.roles, &identity.method, &identity.peer];
        // Upstreams that see `-` and `_` as one (CGI, WSGI) see these as one header.
        let mut taken: Dictionary<String, ()> = Dictionary::new();
        for name in identity {
            taken.insert(name.as_str().replace('_', "-"), ());
        }
        let claims = provider.claim_to_headers.keys();
        let claims = claims.map(|name| (name, tree::under(&format!("{path}.claim_to_headers"), name.as_str())));
        let payload = provider.payload_header.iter().map(|name| (name, format!("{path}.payload_header")));
        for (name, path) in claims.chain(payload) {
            let plain = name.as_str().replace('_', "-");
            self.told_in(plain, path, &mut taken);
        }
    }

    fn places(&mut self, places: &[Place], path: &str) {
        self.not_empty(places, path);
        for (index, place) in places.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.place(place, &path);
            if places.iter().take(index).any(|earlier| earlier == place) {
                self.error(path, "is listed twice");
            }
        }
    }

    /// A place where no request can show a credential, or where it would take with it what is none.
    fn place(&mut self, place: &Place, path: &str) {
        match place {
            Place::Header { name, .. } if name.as_str() == "cookie" => {
                self.error(format!("{path}.header"), "expected cookie: NAME for what is in a cookie");
            }
            Place::Header { name, .. } if is_needed(&name.as_str().replace('_', "-")) => {
                self.error(format!("{path}.header"), format!("expected a header of its own, not {}", name.as_str()));
            }
            Place::Cookie(name) if !is_cookie_name(name) => {
                self.error(format!("{path}.cookie"), "expected the name of a cookie, without =, ; and space around it");
            }
            _ => {}
        }
    }

    fn opaque_providers(&mut self, providers: &Dictionary<crate::Name, OpaqueProvider>) {
        let mut earlier: Vec<(&str, &str)> = Vec::new();
        for (name, provider) in providers {
            let path = tree::under("authentication.oauth2", name.as_str());
            if let OpaqueSource::Introspection(introspection) = &provider.source {
                self.secret(&introspection.client_secret, &format!("{path}.introspection.client_secret"));
            }
            let path = format!("{path}.token_prefix");
            let prefix = provider.token_prefix.as_deref().unwrap_or_default();
            let clash = earlier.iter().find(|(_, other)| match (prefix, *other) {
                ("", "") => true,
                ("", _) | (_, "") => false,
                (one, other) => one.starts_with(other) || other.starts_with(one),
            });
            match clash {
                Some((other, "")) => self.error(path, format!("is required: {other} has none already")),
                Some((other, _)) => self.error(path, format!("cannot be told apart from that of {other}")),
                None => {}
            }
            earlier.push((name.as_str(), prefix));
        }
    }

    fn api_keys(&mut self, api_keys: &ApiKeys) {
        let path = "authentication.api_keys.keys";
        self.places(&api_keys.from, "authentication.api_keys.from");
        if api_keys.keys.is_empty() {
            self.error(path, "expected at least one entry");
        }
        let mut owners = Dictionary::new();
        for (name, key) in &api_keys.keys {
            let path = tree::under(path, name.as_str()) + ".secret";
            self.secret_name(key.secret.as_str(), &path);
            if let Some(first) = owners.insert(key.secret.as_str(), name) {
                self.error(path, format!("is the key of {first} too"));
            }
        }
    }

    pub(super) fn tokens(&mut self) {
        let Some(tokens) = &self.config.tokens else { return };
        if !tokens.algorithm.is_shared() {
            self.error("tokens.algorithm", "expected HS256, HS384 or HS512: the keys are shared secrets");
        }
        self.keys(&tokens.keys, "tokens.keys");
        self.limit_names(&tokens.limits, "tokens.limits");
        self.token_paths(tokens);
        if tokens.access_lifetime > tokens.refresh_lifetime {
            self.error("tokens.access_lifetime", "expected no more than refresh_lifetime");
        }
    }

    fn token_paths(&mut self, tokens: &Tokens) {
        let paths = [
            Some(("tokens.login.path", &tokens.login.path)),
            tokens.refresh.as_ref().map(|refresh| ("tokens.refresh.path", &refresh.path)),
            tokens.logout.as_ref().map(|logout| ("tokens.logout.path", &logout.path)),
        ];
        let admin = self.config.intrusion.as_ref().and_then(|intrusion| intrusion.admin.as_ref());
        let admin = admin.map(|admin| admin.path.as_str().trim_end_matches('/'));
        let is_admins = |path: &str| {
            admin
                .and_then(|admin| path.strip_prefix(admin))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut seen = Dictionary::new();
        for (field, path) in paths.into_iter().flatten() {
            let plain = path.as_str().strip_suffix('/').unwrap_or(path.as_str());
            if !plain.split('/').skip(1).all(is_own_segment) {
                self.error(field, "expected a plain path, such as /auth/login");
            } else if is_admins(plain) {
                self.error(field, "is below the path of intrusion.admin, which comes first");
            } else if seen.insert(plain, ()).is_some() {
                self.error(field, "is the path of another endpoint too");
            }
        }
    }
}

/// Headers that are taken away from nobody; of those that nothing else may fill, two hold credentials.
fn is_needed(name: &str) -> bool {
    RESERVED.contains(&name) && !matches!(name, "authorization" | "proxy-authorization")
}

/// Whether a segment of a path stands for itself and has one spelling.
fn is_own_segment(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"%*{}\\;".contains(&byte);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
}

/// Whether a request can hold a cookie of this name.
fn is_cookie_name(name: &str) -> bool {
    let ends = |c: char| c.is_control() || matches!(c, '=' | ';');
    !name.is_empty() && name.trim() == name && !name.contains(ends)
}
