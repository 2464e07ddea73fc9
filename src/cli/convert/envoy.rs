//! Envoy's `envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication`: providers, and rules of which the first that
//! matches decides, as routes do here.

use serde_json::{Map, Value, json};

use super::istio::every_address;
use super::{Draft, PUBLIC, from_header, list, map, some, text, texts};

/// Nested lists and maps at most.
const DEEPEST: usize = 128;

/// Takes every `jwt_authn` filter in a document.
pub(super) fn read(value: &Value, depth: usize, draft: &mut Draft) {
    if depth > DEEPEST {
        return;
    }
    match value {
        Value::Array(list) => list.iter().for_each(|item| read(item, depth + 1, draft)),
        Value::Object(map) => {
            if text(value, "@type").is_some_and(|kind| kind.ends_with("jwt_authn.v3.JwtAuthentication")) {
                filter(value, draft);
            } else {
                map.values().for_each(|item| read(item, depth + 1, draft));
            }
        }
        _ => {}
    }
}

fn filter(filter: &Value, draft: &mut Draft) {
    draft.found = true;
    // What no rule matches goes on.
    draft.open = true;
    let mut names = Map::new();
    for (name, provider) in filter.get("providers").and_then(Value::as_object).into_iter().flatten() {
        if let Some(converted) = self::provider(provider, &format!("providers.{name}"), draft) {
            names.insert(name.clone(), draft.provider(name, converted).into());
        }
    }
    let named = filter.get("requirement_map");
    for (at, rule) in list(filter, "rules").iter().enumerate() {
        let place = format!("rules[{at}]");
        let requires = match text(rule, "requirement_name") {
            Some(name) => named.and_then(|named| named.get(name)),
            None => rule.get("requires"),
        };
        let demands = requires.is_some();
        let whole = rule.get("match").unwrap_or(&Value::Null);
        let Some(matching) = matching(whole, demands, &place, draft) else {
            if demands {
                draft.remark(&place, "nobody may what the rule may be about");
                draft.routes.push(wholly_denied(whole));
            }
            continue;
        };
        if let Some(prefix) = rule.get("match").and_then(open_prefix) {
            let within = format!("{prefix}... but {prefix} and {prefix}/...: a prefix ends at a segment");
            match requires {
                // Nothing is demanded of it: other rules decide.
                None => draft.remark(&place, &format!("is not about {within}")),
                Some(_) => draft.leave_out(&place, &within),
            }
        }
        let authenticate = requires.map_or_else(|| json!("none"), |requires| required(requires, &names, &place, draft));
        draft.routes.push(json!({ "match": matching, "authenticate": authenticate }));
    }
    if filter.get("filter_state_rules").is_some() {
        draft.leave_out("filter_state_rules", "what other filters say is not looked at");
    }
}

fn provider(provider: &Value, place: &str, draft: &mut Draft) -> Option<Value> {
    let jwks = if let Some(remote) = provider.get("remote_jwks") {
        let uri = remote.get("http_uri").unwrap_or(&Value::Null);
        let duration = |value: Option<&Value>| value.and_then(Value::as_str).and_then(whole_seconds).map(Value::from);
        map([
            ("cluster", text(uri, "cluster").map(Value::from)),
            ("uri", text(uri, "uri").map(Value::from)),
            ("refresh", duration(remote.get("cache_duration"))),
            ("timeout", duration(uri.get("timeout"))),
        ])
    } else {
        let inline = provider.get("local_jwks").and_then(|local| text(local, "inline_string"));
        let Some(keys) = inline.and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            draft.leave_out(place, "its keys are neither in remote_jwks nor a JWK Set in local_jwks.inline_string");
            return None;
        };
        json!({ "inline": keys })
    };
    for field in ["subjects", "normalize_payload_in_metadata", "payload_in_metadata", "header_in_metadata"] {
        if provider.get(field).is_some() {
            let what = if field == "subjects" { "write it as an allow entry" } else { "metadata is not written" };
            draft.leave_out(&format!("{place}.{field}"), what);
        }
    }
    draft.remark(place, "algorithms: narrow them to those that the issuer signs with");
    if provider.get("require_expiration") != Some(&Value::Bool(true)) {
        draft.remark(place, "a token without exp is refused, unless require_expiration is set to false");
    }
    draft.remark(place, "a token without sub is refused, unless claims.subject names another claim");
    let headers = list(provider, "from_headers").iter();
    let headers = headers.filter_map(|header| from_header(header, "value_prefix", place, draft)).collect::<Vec<_>>();
    let cookies = texts(provider, "from_cookies").into_iter().map(|name| json!({ "cookie": name }));
    let parameters = texts(provider, "from_params").into_iter().map(|name| json!({ "query": name }));
    let mut from: Vec<Value> = headers.into_iter().chain(parameters).chain(cookies).collect();
    if from.is_empty() {
        from = vec![json!({ "header": "authorization", "prefix": "Bearer " }), json!({ "query": "access_token" })];
    }
    let claims = list(provider, "claim_to_headers").iter();
    let claims = claims.filter_map(|entry| {
        Some((text(entry, "header_name")?.to_ascii_lowercase(), text(entry, "claim_name")?.into()))
    });
    let claims: Map<String, Value> = claims.collect();
    let forwards = provider.get("forward") == Some(&Value::Bool(true));
    let seconds = |key: &str| provider.get(key).and_then(seconds_of).map(Value::from);
    Some(map([
        ("issuer", text(provider, "issuer").map(Value::from)),
        ("audiences", some(texts(provider, "audiences"))),
        ("algorithms", Some(json!(PUBLIC))),
        ("jwks", Some(jwks)),
        ("from", Some(from.into())),
        ("clock_skew", seconds("clock_skew_seconds")),
        ("max_lifetime", seconds("max_lifetime")),
        ("forward", forwards.then(|| "allow".into())),
        ("payload_header", text(provider, "forward_payload_header").map(lower)),
        ("claim_to_headers", (!claims.is_empty()).then(|| claims.into())),
    ]))
}

fn lower(name: &str) -> Value {
    name.to_ascii_lowercase().into()
}

/// `300s`, `1.5s` or a number of seconds.
fn seconds_of(value: &Value) -> Option<String> {
    value.as_u64().map(|seconds| format!("{seconds}s")).or_else(|| whole_seconds(value.as_str()?))
}

fn whole_seconds(text: &str) -> Option<String> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (1.0..1e9).contains(&seconds.ceil()).then(|| format!("{}s", seconds.ceil() as u64))
}

/// `None`: what cannot be said here; a route that matches anything else would change what the others decide.
fn matching(matching: &Value, demands: bool, place: &str, draft: &mut Draft) -> Option<Value> {
    let Some(path) = path(matching, demands) else {
        draft.leave_out(place, "its match is none of prefix, path and path_separated_prefix");
        return None;
    };
    let (mut methods, mut headers) = (Vec::new(), Map::new());
    for header in list(matching, "headers") {
        let exact = header.get("string_match").and_then(|matcher| text(matcher, "exact"));
        let exact = exact.or_else(|| text(header, "exact_match"));
        let inverted = header.get("invert_match") == Some(&Value::Bool(true));
        match (text(header, "name"), exact.filter(|_| !inverted)) {
            (Some(":method"), Some(method)) => methods.push(method),
            (Some(name), Some(value)) if !name.starts_with(':') => {
                headers.insert(name.to_ascii_lowercase(), value.into());
            }
            _ => {
                draft.leave_out(place, "a header is compared in another way than with one value");
                return None;
            }
        }
    }
    if matching.get("query_parameters").is_some() {
        draft.leave_out(place, "query parameters are not matched");
        return None;
    }
    if let Some(what) = matching.as_object().into_iter().flatten().find_map(|(key, value)| unsaid(key, value)) {
        draft.leave_out(place, &format!("{what} in its match"));
        return None;
    }
    Some(map([
        ("path", Some(path.into())),
        ("methods", some(methods)),
        ("headers", (!headers.is_empty()).then(|| headers.into())),
    ]))
}

/// `match` of a rule by paths; `None`: it goes by something else.
fn path(matching: &Value, demands: bool) -> Option<String> {
    if let Some(prefix) = text(matching, "prefix") {
        let base = prefix.trim_end_matches('/');
        // `/a/**` is `/a` too, which `/a/` is not: where nothing is demanded, other rules decide about it.
        let below = if demands || base.is_empty() || !prefix.ends_with('/') { "**" } else { "*/**" };
        return Some(format!("{base}/{below}"));
    }
    let exact = text(matching, "path").map(str::to_owned);
    exact.or_else(|| text(matching, "path_separated_prefix").map(|base| format!("{base}/**")))
}

/// What a rule that demands something may be about, where that cannot be said, for nobody: left out, it would go on without what
/// is demanded.
fn wholly_denied(matching: &Value) -> Value {
    let in_any_case = matching.get("case_sensitive") == Some(&Value::Bool(false));
    let path = path(matching, true).filter(|_| !in_any_case && open_prefix(matching).is_none());
    let matching = map([("path", path.map(Value::from))]);
    json!({ "match": matching, "authenticate": "none", "deny": [every_address()] })
}

/// A prefix that goes on within its last segment: `/api` takes `/apix` too.
fn open_prefix(matching: &Value) -> Option<&str> {
    text(matching, "prefix").filter(|prefix| !prefix.is_empty() && !prefix.ends_with('/'))
}

/// What of a RouteMatch makes it match other requests than its path and headers say. Case always counts here.
fn unsaid<'k>(key: &'k str, value: &Value) -> Option<&'k str> {
    let said = match key {
        "prefix" | "path" | "path_separated_prefix" | "headers" => true,
        "case_sensitive" => value != &Value::Bool(false),
        _ => false,
    };
    (!said).then_some(key)
}

/// `authenticate` of a route.
fn required(requires: &Value, names: &Map<String, Value>, place: &str, draft: &mut Draft) -> Value {
    let all = requires.get("requires_all");
    let of = requires.get("requires_any").or(all).map_or(&[][..], |nested| list(nested, "requirements"));
    let lone = std::slice::from_ref(requires);
    let (mut methods, mut optional): (Vec<Value>, bool) = (Vec::new(), false);
    for requirement in if of.is_empty() { lone } else { of } {
        let audiences = requirement.get("provider_and_audiences");
        let name = text(requirement, "provider_name").or_else(|| text(audiences?, "provider_name"));
        if audiences.is_some() {
            draft.leave_out(place, "audiences of a rule: write a provider of its own for them");
        }
        if let Some(name) = name {
            // A provider that was left out lets nobody in.
            methods.push(format!("jwt.{}", names.get(name).and_then(Value::as_str).unwrap_or(name)).into());
        } else if requirement.get("allow_missing").is_some() {
            optional = true;
        } else if requirement.get("allow_missing_or_failed").is_some() {
            optional = true;
            draft.remark(place, "allow_missing_or_failed: a bad token is refused, none is let pass");
        } else {
            draft.leave_out(place, "requirements within requirements");
        }
    }
    if optional && methods.is_empty() {
        methods = names.values().filter_map(Value::as_str).map(|name| format!("jwt.{name}").into()).collect();
    }
    match (optional, all.is_some()) {
        (true, _) => json!({ "optional": methods }),
        (false, true) => json!({ "all": methods }),
        (false, false) => methods.into(),
    }
}
