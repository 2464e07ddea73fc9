//! One rule of an AuthorizationPolicy (`from`, `to`, `when`) as entries of access, for each set of operations it names.

use serde_json::{Map, Value, json};

use crate::convert::operations::Operations;
use crate::convert::{Draft, list, some, text, texts};

/// One rule for one set of operations.
pub(super) struct Rule {
    pub(super) effect: Effect,
    pub(super) operations: Operations,
}

/// What a rule says of its operations.
#[derive(Clone)]
pub(super) enum Effect {
    /// Who meets the entry may; `None`: everybody.
    Allow(Option<Value>),
    /// Who meets the entry may not; `None`: nobody may.
    Deny(Option<Value>),
    /// Without a token of a provider nobody may.
    RequireToken,
}

/// One rule as entries, for each of its sets of operations.
pub(super) fn rules(rule: &Value, denies: bool, draft: &mut Draft) -> Result<Vec<Rule>, String> {
    let operations = operations_of(rule, denies)?;
    no_other_than_texts(Some(rule))?;
    let mut effects = Vec::new();
    let conditions = conditions(list(rule, "when"), denies)?;
    let sources: Vec<&Value> = list(rule, "from").iter().filter_map(|from| from.get("source")).collect();
    if denies && conditions.len() == 1 && conditions.iter().all(Map::is_empty) && asks_for_token(&sources) {
        effects.push(Effect::RequireToken);
    } else {
        let anybody = Value::Null;
        for source in if sources.is_empty() { vec![&anybody] } else { sources } {
            for entry in entries(source, denies, draft)? {
                for condition in &conditions {
                    let entry = joined(entry.clone(), condition)?;
                    let entry = (!entry.is_empty()).then(|| entry.into());
                    effects.push(if denies { Effect::Deny(entry) } else { Effect::Allow(entry) });
                }
            }
        }
    }
    let rules = operations.into_iter().flat_map(|operations| {
        effects.iter().map(move |effect| Rule { effect: effect.clone(), operations: operations.clone() })
    });
    Ok(rules.collect())
}

/// A denial that cannot be said as a whole, of everybody instead of some: left out, it would let pass whom it refuses.
pub(super) fn wholly_denied(rule: &Value) -> Vec<Rule> {
    let sayable = operations_of(rule, true).unwrap_or_else(|_| vec![Operations::default()]);
    sayable.into_iter().map(|operations| Rule { effect: Effect::Deny(None), operations }).collect()
}

/// What a rule is about; where it does not say, everything.
fn operations_of(rule: &Value, denies: bool) -> Result<Vec<Operations>, String> {
    let mut found = Vec::new();
    no_other_than_texts(rule.get("to"))?;
    for to in list(rule, "to") {
        found.extend(operations(to.get("operation").unwrap_or(&Value::Null), denies)?);
    }
    if found.is_empty() {
        found.push(Operations::default());
    }
    Ok(found)
}

/// `DENY` of whoever has no token: Istio's way to ask for one.
fn asks_for_token(sources: &[&Value]) -> bool {
    let [source] = sources else { return false };
    source.as_object().is_some_and(|source| source.len() == 1) && texts(source, "not_request_principals") == ["*"]
}

/// Fields that say what must not be, and ports.
fn refuse_others(value: &Value, known: &[&str]) -> Result<(), String> {
    let other = value.as_object().and_then(|map| map.keys().find(|key| !known.contains(&key.as_str())));
    other.map_or(Ok(()), |key| Err(format!("{key} cannot be said here")))
}

/// A rule is made of texts; what is none would be passed over.
fn no_other_than_texts(value: Option<&Value>) -> Result<(), String> {
    match value {
        Some(Value::Array(list)) => list.iter().try_for_each(|item| no_other_than_texts(Some(item))),
        Some(Value::Object(map)) => map.values().try_for_each(|item| no_other_than_texts(Some(item))),
        Some(Value::Bool(_) | Value::Number(_)) => Err("a value that is no text".to_owned()),
        Some(Value::Null | Value::String(_)) | None => Ok(()),
    }
}

fn operations(operation: &Value, denies: bool) -> Result<Vec<Operations>, String> {
    refuse_others(operation, &["hosts", "paths", "methods"])?;
    let mut methods: Vec<String> =
        or_any(texts(operation, "methods")).into_iter().flatten().map(str::to_owned).collect();
    // Of two orders only one would be a route that is ever taken.
    methods.sort();
    methods.dedup();
    if let Some(method) = methods.iter().find(|method| method.contains('*')) {
        return Err(format!("the method {method}"));
    }
    let mut found = Vec::new();
    for host in or_any(texts(operation, "hosts")) {
        if let Some(host) = host.filter(|host| host.strip_prefix("*.").unwrap_or(host).contains('*')) {
            return Err(format!("the host {host}"));
        }
        for path in or_any(texts(operation, "paths")) {
            let path = path.map(|path| self::path(path, denies)).transpose()?.flatten();
            found.push(Operations { host: host.map(str::to_ascii_lowercase), path, methods: methods.clone() });
        }
    }
    Ok(found)
}

fn or_any(list: Vec<&str>) -> Vec<Option<&str>> {
    if list.is_empty() || list.contains(&"*") { vec![None] } else { list.into_iter().map(Some).collect() }
}

/// A path, or what is below one; `None`: any. A slash at the end is none here: `/a/*` takes `/a/` with it, so that what denies
/// it denies `/a`, and what allows it leaves both out.
fn path(path: &str, denies: bool) -> Result<Option<String>, String> {
    let wrong = || Err(format!("the path {path} ends or begins within a segment"));
    match path.strip_suffix('*') {
        _ if path.contains('{') => Err(format!("the path template {path}")),
        // Compared as it is there, and decoded here.
        _ if path.contains('%') => Err(format!("the encoded path {path}")),
        None if path.contains('*') => wrong(),
        None => Ok(Some(path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path).to_owned())),
        Some("" | "/") => Ok(None),
        Some(base) if base.contains('*') => wrong(),
        Some(base) => match base.strip_suffix('/') {
            Some(base) if denies => Ok(Some(format!("{base}/**"))),
            Some(base) => Ok(Some(format!("{base}/*/**"))),
            None => wrong(),
        },
    }
}

/// The entries that stand for one source: any of them.
fn entries(source: &Value, denies: bool, draft: &mut Draft) -> Result<Vec<Map<String, Value>>, String> {
    refuse_others(source, &["principals", "namespaces", "request_principals", "ip_blocks", "remote_ip_blocks"])?;
    let mut principals = Vec::new();
    for principal in texts(source, "principals") {
        let inner = principal.strip_suffix('*').unwrap_or(principal);
        if inner.contains('*') {
            return Err(format!("the principal {principal}"));
        }
        principals.push(format!("spiffe://{principal}"));
    }
    let namespaces = texts(source, "namespaces");
    if !namespaces.is_empty() {
        if !principals.is_empty() || namespaces.iter().any(|name| name.contains('*')) {
            return Err("namespaces with wildcards or beside principals".to_owned());
        }
        match denies {
            true => draft.leave_out("namespaces", "those of other trust domains than cluster.local"),
            false => draft.remark("namespaces", "are those of the trust domain cluster.local"),
        }
        principals.extend(namespaces.iter().map(|name| format!("spiffe://cluster.local/ns/{name}/sa/*")));
    }
    let mut addresses = texts(source, "remote_ip_blocks");
    let direct = texts(source, "ip_blocks");
    if !direct.is_empty() {
        if !addresses.is_empty() {
            return Err("ipBlocks beside remoteIpBlocks".to_owned());
        }
        draft.remark(
            "ipBlocks",
            "are compared with the client's address, which is the peer's where no proxy is trusted",
        );
        addresses = direct;
    }
    let mut base = Map::new();
    base.extend(some(principals).map(|principals| ("principals".to_owned(), principals)));
    base.extend(some(addresses).map(|addresses| ("client_ip".to_owned(), addresses)));
    let callers = texts(source, "request_principals");
    if callers.is_empty() {
        return Ok(vec![base]);
    }
    let mut found = Vec::new();
    for caller in callers {
        for claims in claims_of(caller, draft)? {
            let mut entry = base.clone();
            entry.insert("claims".to_owned(), claims);
            found.push(entry);
        }
    }
    Ok(found)
}

/// `ISSUER/SUBJECT`, `ISSUER/*` or `*`.
fn claims_of(caller: &str, draft: &Draft) -> Result<Vec<Value>, String> {
    let issuers = || draft.providers.values().filter_map(|provider| text(provider, "issuer"));
    if caller == "*" {
        let any: Vec<Value> = issuers().map(|issuer| json!({ "iss": issuer })).collect();
        return if any.is_empty() {
            Err("requestPrincipals without a RequestAuthentication".to_owned())
        } else {
            Ok(any)
        };
    }
    let (issuer, subject) = caller.rsplit_once('/').ok_or_else(|| format!("the request principal {caller}"))?;
    match subject {
        _ if issuer.contains('*') || (subject != "*" && subject.contains('*')) => {
            Err(format!("the request principal {caller}"))
        }
        "*" => Ok(issuers_of(issuer, draft).into_iter().map(|issuer| json!({ "iss": issuer })).collect()),
        subject => Ok(vec![json!({ "iss": issuer, "sub": subject })]),
    }
}

/// The issuer, and those whose name goes on below it: `ISSUER/*` is the beginning of what a token of theirs makes too.
fn issuers_of<'d>(issuer: &'d str, draft: &'d Draft) -> Vec<&'d str> {
    let known = draft.providers.values().filter_map(|provider| text(provider, "issuer"));
    let below = known.filter(|known| known.strip_prefix(issuer).is_some_and(|rest| rest.starts_with('/')));
    std::iter::once(issuer).chain(below).collect()
}

/// Claims of which Istio takes every word of a text as a value.
const WORDS: [&str; 2] = ["scope", "permission"];

/// `when` as parts of entries: any of them, each with what all conditions say.
fn conditions(when: &[Value], denies: bool) -> Result<Vec<Map<String, Value>>, String> {
    let mut found = vec![Map::new()];
    for condition in when {
        refuse_others(condition, &["key", "values"])?;
        let key = text(condition, "key").unwrap_or_default();
        let values = texts(condition, "values");
        let parts: Vec<Map<String, Value>> = if let Some(claim) = claim(key) {
            if values.iter().any(|value| value.contains('*')) {
                return Err(format!("wildcards in the values of {key}"));
            }
            let of_words = denies || values.iter().any(|value| value.contains(' '));
            if of_words && WORDS.contains(&claim.as_str()) {
                return Err(format!("one word of {key}"));
            }
            values.iter().map(|value| one("claims", json!({ claim.as_str(): value }))).collect()
        } else if ["source.ip", "remote.ip"].contains(&key) {
            vec![one("client_ip", json!(values))]
        } else if key == "source.principal"
            && values.iter().all(|value| !value.strip_suffix('*').unwrap_or(value).contains('*'))
        {
            vec![one("principals", values.iter().map(|value| format!("spiffe://{value}")).collect())]
        } else {
            return Err(format!("the condition {key}"));
        };
        let mut product = Vec::new();
        for known in &found {
            for part in &parts {
                product.push(joined(known.clone(), part)?);
            }
        }
        found = product;
    }
    Ok(found)
}

/// `request.auth.claims[a][b]` as `a.b`.
fn claim(key: &str) -> Option<String> {
    let inner = key.strip_prefix("request.auth.claims[")?.strip_suffix(']')?;
    Some(inner.replace("][", "."))
}

fn one(key: &str, value: Value) -> Map<String, Value> {
    [(key.to_owned(), value)].into_iter().collect()
}

/// Both together; claims add up, anything else is said once.
fn joined(mut entry: Map<String, Value>, other: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    for (key, value) in other {
        match (entry.get_mut(key), value) {
            (None, _) => {
                entry.insert(key.clone(), value.clone());
            }
            (Some(Value::Object(known)), Value::Object(more)) => {
                for (claim, value) in more {
                    if known.insert(claim.clone(), value.clone()).is_some_and(|before| before != *value) {
                        return Err(format!("two conditions on the claim {claim}"));
                    }
                }
            }
            _ => return Err(format!("two conditions on {key}")),
        }
    }
    Ok(entry)
}
