//! Envoy's `envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication`: providers, and rules of which the first that
//! matches decides, as routes do here.

use serde_json::{Map, Value, json};

use super::{AUDIENCES, Draft, PUBLIC, from_header, list, map, nobody, only_texts, some, text, texts};

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
            let is = |name: &str| text(value, "@type").is_some_and(|kind| kind.ends_with(name));
            if is("jwt_authn.v3.JwtAuthentication") {
                return filter(value, draft);
            }
            if is("jwt_authn.v3.PerRouteConfig") {
                draft.leave_out("typed_per_filter_config", "what a route demands instead of the filter");
            }
            if is("rbac.v3.RBAC") || is("rbac.v3.RBACPerRoute") {
                draft.leave_out("rbac", "what it denies");
            }
            map.values().for_each(|item| read(item, depth + 1, draft));
        }
        _ => {}
    }
}

fn filter(filter: &Value, draft: &mut Draft) {
    draft.found = true;
    // What no rule matches goes on.
    draft.open = true;
    // Listeners may well have the same.
    if draft.filters.contains(filter) {
        return;
    }
    if !draft.filters.is_empty() {
        draft.leave_out("http_filters", "that jwt_authn is another one than before: convert each one's own");
    }
    draft.filters.push(filter.clone());
    let mut names = Map::new();
    for (name, provider) in filter.get("providers").and_then(Value::as_object).into_iter().flatten() {
        let place = format!("providers.{name}");
        let converted = self::provider(provider, &place, draft);
        match converted.and_then(|provider| draft.provider(name, provider, &place)) {
            Some(converted) => drop(names.insert(name.clone(), converted.into())),
            None => draft.lost_provider = true,
        }
    }
    for (at, rule) in list(filter, "rules").iter().enumerate() {
        let route = route(rule, filter.get("requirement_map"), &names, &format!("rules[{at}]"), draft);
        draft.routes.extend(route);
    }
    if filter.get("filter_state_rules").is_some() {
        draft.leave_out("filter_state_rules", "what other filters say is not looked at");
    }
}

/// The route of a rule; `None`: a rule that demands nothing and cannot be said, about which those after it decide.
fn route(
    rule: &Value,
    named: Option<&Value>,
    names: &Map<String, Value>,
    place: &str,
    draft: &mut Draft,
) -> Option<Value> {
    // A name of nothing demands what nobody can show.
    let requires = match text(rule, "requirement_name") {
        Some(name) => Some(named.and_then(|named| named.get(name)).unwrap_or(&Value::Null)),
        None => rule.get("requires"),
    };
    let whole = rule.get("match").unwrap_or(&Value::Null);
    let matching = matching(whole, requires.is_some(), place, draft);
    let Some(requires) = requires else {
        if let (Some(prefix), Some(_)) = (open_prefix(whole), &matching) {
            // Nothing is demanded of it: other rules decide.
            draft.remark(place, &format!("is not about {}", within(prefix)));
        }
        return matching.map(|matching| json!({ "match": matching, "authenticate": "none" }));
    };
    let demand = if matching.is_some() { demand(requires, names, place, draft) } else { None };
    let (Some(matching), Some(demand)) = (matching, demand) else {
        draft.remark(place, "nobody may what the rule may be about");
        return Some(wholly_denied(whole));
    };
    if let Some(prefix) = open_prefix(whole) {
        draft.leave_out(place, &within(prefix));
    }
    let Demand { authenticate, allow } = demand;
    Some(map([("match", Some(matching)), ("authenticate", Some(authenticate)), ("allow", some(allow))]))
}

fn within(prefix: &str) -> String {
    format!("{prefix}... but {prefix} and {prefix}/...: a prefix ends at a segment")
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
    if provider.get("subjects").is_some() {
        draft.leave_out(place, "whose tokens it takes goes by subjects: write them as entries of allow");
        return None;
    }
    let Some(audiences) = only_texts(provider, "audiences") else {
        draft.leave_out(place, AUDIENCES);
        return None;
    };
    for field in ["normalize_payload_in_metadata", "payload_in_metadata", "header_in_metadata"] {
        if provider.get(field).is_some() {
            draft.leave_out(&format!("{place}.{field}"), "metadata is not written");
        }
    }
    if provider.get("issuer").is_none() {
        draft.remark(place, "takes tokens without iss only");
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
    let skew = provider.get("clock_skew_seconds").and_then(Value::as_u64);
    Some(map([
        ("issuer", text(provider, "issuer").map(Value::from)),
        ("audiences", some(audiences)),
        ("algorithms", Some(json!(PUBLIC))),
        ("jwks", Some(jwks)),
        ("from", Some(from.into())),
        ("clock_skew", skew.map(|seconds| format!("{seconds}s").into())),
        ("max_lifetime", text(provider, "max_lifetime").and_then(no_longer).map(Value::from)),
        ("forward", forwards.then(|| "allow".into())),
        ("payload_header", text(provider, "forward_payload_header").map(lower)),
        ("claim_to_headers", (!claims.is_empty()).then(|| claims.into())),
    ]))
}

fn lower(name: &str) -> Value {
    name.to_ascii_lowercase().into()
}

/// `300s` or `1.5s`, in whole seconds.
fn whole_seconds(text: &str) -> Option<String> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (1.0..1e9).contains(&seconds.ceil()).then(|| format!("{}s", seconds.ceil() as u64))
}

/// The same where more seconds would let more pass.
fn no_longer(text: &str) -> Option<String> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    Some(format!("{}s", seconds.clamp(1.0, 1e9) as u64))
}

/// `None`: what cannot be said here; a route that matches anything else would change what the others decide.
fn matching(matching: &Value, demands: bool, place: &str, draft: &mut Draft) -> Option<Value> {
    let Some(path) = path(matching, demands) else {
        draft.leave_out(place, "its match is none of prefix, path and path_separated_prefix");
        return None;
    };
    let (mut methods, mut headers) = (Vec::new(), Map::new());
    for header in list(matching, "headers") {
        let said = match (text(header, "name"), exact_value(header)) {
            (Some(":method"), Some(method)) => {
                methods.push(method);
                methods.len() == 1
            }
            // Envoy has it as the authority.
            (Some(name), Some(value)) if !name.starts_with(':') && !name.eq_ignore_ascii_case("host") => {
                headers.insert(name.to_ascii_lowercase(), value.into()).is_none()
            }
            _ => false,
        };
        if !said {
            draft.leave_out(place, "a header is compared in another way than with one value");
            return None;
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

/// The value that a header must have, where that is all that is said of it.
fn exact_value(header: &Value) -> Option<&str> {
    let is_off = |value: &Value| *value == Value::Bool(false);
    let only = |map: &Value, known: &[&str], off: &[&str]| {
        let mut entries = map.as_object().into_iter().flatten();
        entries.all(|(key, value)| known.contains(&key.as_str()) || off.contains(&key.as_str()) && is_off(value))
    };
    let known = ["name", "string_match", "exact_match"];
    let plain = only(header, &known, &["invert_match", "treat_missing_header_as_empty"]);
    let matcher = header.get("string_match").unwrap_or(&Value::Null);
    let exact = text(matcher, "exact").filter(|_| only(matcher, &["exact"], &["ignore_case"]));
    exact.or_else(|| text(header, "exact_match")).filter(|_| plain)
}

/// `match` of a rule by paths; `None`: it goes by something else.
fn path(matching: &Value, demands: bool) -> Option<String> {
    if let Some(prefix) = text(matching, "prefix") {
        let base = prefix.strip_suffix('/').unwrap_or(prefix);
        // `/a/**` is `/a` too, which `/a/` is not: where nothing is demanded, other rules decide about it.
        let below = if demands || base.is_empty() || !prefix.ends_with('/') { "**" } else { "*/**" };
        return Some(format!("{}/{below}", literal(base)));
    }
    let below = |base: &str| format!("{}/**", literal(base));
    text(matching, "path").map(literal).or_else(|| text(matching, "path_separated_prefix").map(below))
}

/// What of a path would stand for others in a template stands for itself.
fn literal(path: &str) -> String {
    path.replace('*', "%2A").replace('{', "%7B").replace('}', "%7D")
}

/// What a rule that demands something may be about, where that cannot be said, for nobody: left out, it would go on without what
/// is demanded.
fn wholly_denied(matching: &Value) -> Value {
    let in_any_case = matching.get("case_sensitive") == Some(&Value::Bool(false));
    let path = path(matching, true).filter(|_| !in_any_case && open_prefix(matching).is_none());
    nobody(&map([("path", path.map(Value::from))]))
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

/// What a rule demands.
struct Demand {
    /// `authenticate` of its route.
    authenticate: Value,
    /// `allow` of its route; empty: whoever is known.
    allow: Vec<Value>,
}

/// One requirement.
enum Requirement {
    /// A token of this provider.
    Token(Value),
    /// No token is needed.
    Missing,
    /// It cannot be said, or nobody meets it.
    Unsaid,
}

/// `None`: what is demanded cannot be said.
fn demand(requires: &Value, names: &Map<String, Value>, place: &str, draft: &mut Draft) -> Option<Demand> {
    let all = requires.get("requires_all");
    let several = requires.get("requires_any").or(all).map(|nested| list(nested, "requirements"));
    let narrowed = requires.get("provider_and_audiences").unwrap_or(&Value::Null);
    let Some(audiences) = only_texts(narrowed, "audiences") else {
        draft.leave_out(place, AUDIENCES);
        return None;
    };
    let (mut methods, mut optional, mut whole) = (Vec::new(), false, true);
    for each in several.unwrap_or(std::slice::from_ref(requires)) {
        match requirement(each, several.is_none(), names, place, draft) {
            Requirement::Token(method) if methods.contains(&method) => {}
            Requirement::Token(method) => methods.push(method),
            Requirement::Missing => optional = true,
            Requirement::Unsaid => whole = false,
        }
    }
    // Beside a token that is needed in any case, that none is needed says nothing.
    if all.is_some() && (!whole || !methods.is_empty()) {
        let authenticate = whole.then(|| json!({ "all": methods }))?;
        return Some(Demand { authenticate, allow: Vec::new() });
    }
    if optional && methods.is_empty() {
        methods = names.values().map(method).collect();
    }
    let authenticate = match (optional, methods.is_empty()) {
        (true, true) if !draft.lost_provider => json!("none"),
        (_, true) => return None,
        (true, false) => json!({ "optional": methods }),
        (false, false) => methods.into(),
    };
    let allow = audiences.into_iter().map(|audience| json!({ "claims": { "aud": audience } })).collect();
    Some(Demand { authenticate, allow })
}

/// `alone`: no other says who may pass.
fn requirement(
    requirement: &Value,
    alone: bool,
    names: &Map<String, Value>,
    place: &str,
    draft: &mut Draft,
) -> Requirement {
    let narrowed = requirement.get("provider_and_audiences");
    if narrowed.is_some_and(|narrowed| !alone && !list(narrowed, "audiences").is_empty()) {
        draft.leave_out(place, "a provider with audiences beside others: write them as entries of allow");
        return Requirement::Unsaid;
    }
    if let Some(name) = text(narrowed.unwrap_or(requirement), "provider_name") {
        let Some(known) = names.get(name) else {
            draft.leave_out(place, &format!("tokens of {name}, which is no provider here"));
            return Requirement::Unsaid;
        };
        return Requirement::Token(method(known));
    }
    if requirement.get("allow_missing_or_failed").is_some() {
        draft.remark(place, "allow_missing_or_failed: a bad token is refused, none is let pass");
        return Requirement::Missing;
    }
    if requirement.get("allow_missing").is_some() {
        return Requirement::Missing;
    }
    draft.leave_out(place, "a requirement that names no provider");
    Requirement::Unsaid
}

fn method(provider: &Value) -> Value {
    format!("jwt.{}", provider.as_str().unwrap_or_default()).into()
}
