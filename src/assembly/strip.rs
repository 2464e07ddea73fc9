//! The headers that only the proxy may say, whatever the route.

use super::Findings;
use portcullis::canonical::strip::{FORWARDED, StripSet};
use portcullis::signature;
use portcullis_config::{Config, HeaderName, LimitKey, Place, SignatureVersion};

/// What only the connection, or a proxy before us, can say about a certificate. The pipeline keeps the second where a
/// trusted proxy may say it.
const CERTIFICATES: [&str; 2] = ["x-client-cert", "x-forwarded-client-cert"];

/// Headers by which a client tells some servers and frameworks another path or method than the one that was decided on: of
/// `script-name` Gunicorn takes off what the path begins with. `proxy` becomes the proxy by which CGI scripts ask others.
const OVERRIDES: [&str; 14] = [
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-http-method-override",
    "x-http-method",
    "x-original-method",
    "x-forwarded-method",
    "x-method-override",
    "script-name",
    "x-script-name",
    "path-info",
    "proxy",
];

/// What frames, types, addresses, conditions and authenticates a message. It is decided on, or set, in the head, so that it has no
/// place in trailers (RFC 9110 section 6.5.1), which some servers read as if they were headers.
const HEAD_ONLY: [&str; 32] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "range",
    "request-range",
    "sec-fetch-site",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-envoy-external-address",
    "x-forwarded-for",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-request-id",
];

/// What is for a head to say: those, the headers in which credentials are looked for, and those by which requests are told apart.
pub(super) fn head_only(config: &Config) -> Vec<&str> {
    let known = &config.authentication;
    let places = known.jwt.iter().flat_map(|(_, provider)| &provider.from);
    let places = places.chain(known.api_keys.iter().flat_map(|keys| &keys.from));
    let mut names = HEAD_ONLY.to_vec();
    names.extend(asked(config).into_iter().map(|(_, name)| name.as_str()));
    for place in places {
        if let Place::Header { name, .. } = place {
            names.push(name.as_str());
        }
    }
    names
}

/// The set, and what decides by one of its headers: it would decide by the client's word.
pub(super) fn compile(config: &Config, findings: &mut Findings) -> StripSet {
    let set = set(config);
    let refuse = |(path, name): (String, &HeaderName)| {
        if set.strips(name.as_str().as_bytes()) {
            findings.error(
                path,
                format!("{} is stripped from every request: what a client says in it counts nowhere", name.as_str()),
            );
        }
    };
    asked(config).into_iter().for_each(refuse);
    let others = compiled(&mut others(config));
    for (path, name) in told(config).filter(|(_, name)| others.strips(name.as_str().as_bytes())) {
        findings.error(path, format!("expected a header that nothing else needs, not {}", name.as_str()));
    }
    set
}

fn set(config: &Config) -> StripSet {
    compiled(&mut told(config).map(|(_, name)| name.as_str()).chain(others(config)))
}

/// Once in the module, whatever the names come from.
fn compiled(names: &mut dyn Iterator<Item = &str>) -> StripSet {
    StripSet::new(names)
}

/// Headers that tell the upstream something of the caller, each with the path of its setting.
fn told(config: &Config) -> impl Iterator<Item = (String, &HeaderName)> {
    let identity = &config.headers.identity;
    let fields = [("subject", &identity.subject), ("roles", &identity.roles), ("method", &identity.method)];
    let fields = fields.into_iter().chain([("peer", &identity.peer)]);
    let identity = fields.map(|(field, name)| (format!("headers.identity.{field}"), name));
    let claims = config.authentication.jwt.iter().flat_map(|(provider, settings)| {
        let path = format!("authentication.jwt.{}", provider.as_str());
        let payload = settings.payload_header.iter().map(|name| ("payload_header".to_owned(), name));
        let claims = settings.claim_to_headers.keys();
        let claims = claims.map(|name| (format!("claim_to_headers.{}", name.as_str()), name));
        payload.chain(claims).map(move |(field, name)| (format!("{path}.{field}"), name))
    });
    identity.chain(claims)
}

/// Headers that mean something already, whoever is told something else in them.
fn others<'c>(config: &Config) -> impl Iterator<Item = &'c str> {
    let known = CERTIFICATES.into_iter().chain(OVERRIDES).chain(FORWARDED);
    signatures(config).into_iter().chain(known).map(|name| -> &'c str { name })
}

/// The headers of signatures: those of a client go no further than here, and none passes for one of ours.
fn signatures(config: &Config) -> Vec<&'static str> {
    let inbound = config.authentication.service.as_ref();
    let outbound = config.outbound.as_ref().map(|outbound| outbound.sign.signature);
    let any = inbound.is_some() || outbound.is_some();
    let nonce = inbound.is_some_and(|service| service.signatures.contains(&SignatureVersion::V2));
    let headers = if any { &signature::HEADERS[..] } else { &[] };
    let nonce = (nonce || outbound.is_some()).then_some(signature::NONCE);
    let digest = (outbound == Some(SignatureVersion::V2)).then_some(signature::CONTENT_DIGEST);
    headers.iter().copied().chain(nonce).chain(digest).collect()
}

/// The headers by which routes and limits tell requests apart, each with the path of its setting.
fn asked(config: &Config) -> Vec<(String, &HeaderName)> {
    let routes = config.routes.iter().enumerate().flat_map(|(at, route)| {
        route.matching.headers.keys().map(move |name| (format!("routes[{at}].match.headers"), name))
    });
    let limits = config.limits.iter().flat_map(|(limit, settings)| {
        let anonymous = settings.anonymous.as_ref().map_or(&[][..], |anonymous| &anonymous.key);
        let keys = [("key", settings.key.as_slice()), ("anonymous.key", anonymous)];
        keys.into_iter().flat_map(move |(field, keys)| {
            keys.iter().enumerate().filter_map(move |(at, key)| match key {
                LimitKey::Header(name) => Some((format!("limits.{}.{field}[{at}]", limit.as_str()), name)),
                _ => None,
            })
        })
    });
    routes.chain(limits).collect()
}
