//! Istio's RequestAuthentication (`security.istio.io`, `jwtRules`) and AuthorizationPolicy (`action`, `rules`).
//!
//! Istio asks every rule and routes here ask the first that matches. So there is a route for each set of operations that a
//! rule names and for what any two have in common, the narrower before the wider, with the entries of every rule that covers it.

use serde_json::{Map, Value, json};

use super::operations::{Operations, add_what_is_both};
use super::{AUDIENCES, Draft, PUBLIC, every_address, from_header, list, map, nobody, only_texts, some, text, texts};

/// What the policies of a file say together.
#[derive(Default)]
pub(super) struct Policies {
    rules: Vec<Rule>,
    /// Some policy allows: nothing else is.
    closed: bool,
    found: bool,
    /// Whose requests the policies before were about.
    target: Target,
}

/// Which workloads a policy is for; what it does not say stays open.
#[derive(Default)]
struct Target {
    namespace: Option<String>,
    selector: Option<Value>,
}

impl Target {
    fn of(document: &Value) -> Self {
        // From the root namespace a policy is for all of them.
        let namespace = document.get("metadata").and_then(|metadata| text(metadata, "namespace"));
        let namespace = namespace.filter(|namespace| *namespace != "istio-system").map(str::to_owned);
        let spec = document.get("spec");
        let part = |key| spec.and_then(|spec| spec.get(key)).filter(|part| !part.is_null()).cloned();
        let selector = ["selector", "target_refs", "target_ref"].into_iter().find_map(part);
        Self { namespace, selector }
    }

    /// The narrower of both; `None`: there is no workload that both are for, as far as can be seen.
    fn within(self, other: Self) -> Option<Self> {
        fn one<T: PartialEq>(one: Option<T>, other: Option<T>) -> Option<Option<T>> {
            if one.is_some() && other.is_some() && one != other { None } else { Some(one.or(other)) }
        }
        Some(Self { namespace: one(self.namespace, other.namespace)?, selector: one(self.selector, other.selector)? })
    }
}

/// One rule for one set of operations.
struct Rule {
    effect: Effect,
    operations: Operations,
}

/// What a rule says of its operations.
#[derive(Clone)]
enum Effect {
    /// Who meets the entry may; `None`: everybody.
    Allow(Option<Value>),
    /// Who meets the entry may not; `None`: nobody may.
    Deny(Option<Value>),
    /// Without a token of a provider nobody may.
    RequireToken,
}

impl Policies {
    pub(super) fn read(&mut self, document: &Value, draft: &mut Draft) {
        let name = document.get("metadata").and_then(|metadata| text(metadata, "name")).unwrap_or("policy");
        let nothing = Value::Null;
        let spec = document.get("spec").unwrap_or(&nothing);
        match text(document, "kind") {
            Some("RequestAuthentication") => {
                (self.found, draft.found) = (true, true);
                self.aim(Target::of(document), name, draft);
                for (at, rule) in list(spec, "jwt_rules").iter().enumerate() {
                    let place = format!("{name}: jwtRules[{at}]");
                    let converted = provider(rule, &place, draft);
                    let host = host(text(rule, "issuer").unwrap_or_default());
                    let taken = converted.and_then(|provider| draft.provider(&host, provider, &place));
                    draft.lost_provider |= taken.is_none();
                }
            }
            Some("AuthorizationPolicy") => {
                (self.found, draft.found) = (true, true);
                self.policy(spec, Target::of(document), name, draft);
            }
            _ => {}
        }
    }

    fn policy(&mut self, spec: &Value, target: Target, name: &str, draft: &mut Draft) {
        let action = text(spec, "action").unwrap_or("ALLOW");
        if !["ALLOW", "DENY"].contains(&action) {
            draft.leave_out(name, &format!("action {action}"));
            return;
        }
        self.aim(target, name, draft);
        let denies = action == "DENY";
        self.closed |= !denies;
        for (at, rule) in list(spec, "rules").iter().enumerate() {
            let place = format!("{name}: rules[{at}]");
            match rules(rule, denies, draft) {
                Ok(rules) => self.rules.extend(rules),
                Err(what) if denies => {
                    draft.leave_out(&place, &format!("{what}: nobody may what the rule may be about"));
                    self.rules.extend(wholly_denied(rule));
                }
                Err(what) => draft.leave_out(&place, &what),
            }
        }
    }

    fn aim(&mut self, target: Target, name: &str, draft: &mut Draft) {
        match std::mem::take(&mut self.target).within(target) {
            Some(both) => self.target = both,
            None => {
                draft.leave_out(name, "that it is for other workloads than those before it: convert each one's own")
            }
        }
    }

    /// Writes the routes.
    pub(super) fn finish(self, draft: &mut Draft) {
        if !self.found {
            return;
        }
        // The first route decides, and both have their say there.
        if !draft.routes.is_empty() {
            draft.leave_out("routes", "what policies say beside rules of jwt_authn: convert each one's own");
        }
        let mut all = Vec::new();
        for rule in &self.rules {
            if !all.contains(&rule.operations) {
                all.push(rule.operations.clone());
            }
        }
        let everything = Operations::default();
        if !self.closed && !all.contains(&everything) {
            all.push(everything);
        }
        if !add_what_is_both(&mut all) {
            draft
                .leave_out("routes", "what more than one rule is about: too many of them overlap: nobody may anything");
            draft.routes = vec![nobody(&json!({}))];
            return;
        }
        // A stable order: of two that are as narrow the first in the file comes first.
        all.sort_by_key(|operations| std::cmp::Reverse(operations.narrowness()));
        let methods: Vec<Value> = draft.providers.keys().map(|name| format!("jwt.{name}").into()).collect();
        for operations in &all {
            let lost = methods.is_empty() && draft.lost_provider;
            let route = if lost { nobody(&operations.matching()) } else { self.route(operations, &methods) };
            draft.routes.push(route);
        }
        let speaks_of_peers = |rule: &Rule| match &rule.effect {
            Effect::Allow(Some(entry)) | Effect::Deny(Some(entry)) => entry.get("principals").is_some(),
            _ => false,
        };
        if self.rules.iter().any(speaks_of_peers) {
            draft.peers = true;
            draft.remark("authentication.mtls", "the listener must require and verify client certificates");
        }
        draft.open |= !self.closed;
        draft.closed |= self.closed;
    }

    fn route(&self, operations: &Operations, methods: &[Value]) -> Value {
        let covering: Vec<&Effect> =
            self.rules.iter().filter(|rule| rule.operations.covers(operations)).map(|rule| &rule.effect).collect();
        let everybody = covering.iter().any(|effect| matches!(effect, Effect::Allow(None)));
        let allow: Vec<Value> = covering
            .iter()
            .filter_map(|effect| match effect {
                Effect::Allow(entry) => entry.clone(),
                _ => None,
            })
            .collect();
        let mut deny: Vec<Value> = covering
            .iter()
            .filter_map(|effect| match effect {
                Effect::Deny(entry) => Some(entry.clone().unwrap_or_else(every_address)),
                _ => None,
            })
            .collect();
        let needs_token = covering.iter().any(|effect| matches!(effect, Effect::RequireToken));
        let nobody_may = self.closed && !everybody && allow.is_empty();
        // A route without `allow` would let everybody pass.
        if nobody_may || needs_token && methods.is_empty() {
            deny = vec![every_address()];
        }
        let authenticate = match needs_token {
            _ if methods.is_empty() => json!("none"),
            true => json!(methods),
            false => json!({ "optional": methods }),
        };
        map([
            ("match", Some(operations.matching())),
            ("authenticate", Some(authenticate)),
            ("allow", some(allow).filter(|_| !everybody)),
            ("deny", some(deny)),
        ])
    }
}

/// One of `jwtRules`.
fn provider(rule: &Value, place: &str, draft: &mut Draft) -> Option<Value> {
    let issuer = text(rule, "issuer").unwrap_or_default();
    let jwks = match (text(rule, "jwks_uri"), text(rule, "jwks").map(serde_json::from_str::<Value>)) {
        (Some(uri), _) => {
            let cluster = format!("outbound|443||{}", host(uri));
            draft.remark(place, &format!("its keys are fetched through the cluster {cluster}, which Envoy must know"));
            json!({ "cluster": cluster, "uri": uri })
        }
        (None, Some(Ok(keys))) => json!({ "inline": keys }),
        _ => {
            draft.leave_out(place, "it has neither jwksUri nor a JWK Set in jwks");
            return None;
        }
    };
    let Some(audiences) = only_texts(rule, "audiences") else {
        draft.leave_out(place, AUDIENCES);
        return None;
    };
    draft.remark(place, "algorithms: narrow them to those that the issuer signs with");
    let lower = |name: &str| Value::from(name.to_ascii_lowercase());
    let headers = list(rule, "from_headers").iter();
    let headers = headers.filter_map(|header| from_header(header, "prefix", place, draft)).collect::<Vec<_>>();
    let parameters = texts(rule, "from_params").into_iter().map(|name| json!({ "query": name }));
    let cookies = texts(rule, "from_cookies").into_iter().map(|name| json!({ "cookie": name }));
    let mut from: Vec<Value> = headers.into_iter().chain(parameters).chain(cookies).collect();
    if from.is_empty() {
        from = vec![json!({ "header": "authorization", "prefix": "Bearer " }), json!({ "query": "access_token" })];
    }
    let claims = list(rule, "output_claim_to_headers").iter();
    let claims: Map<String, Value> = claims
        .filter_map(|entry| Some((text(entry, "header")?.to_ascii_lowercase(), text(entry, "claim")?.into())))
        .collect();
    Some(map([
        ("issuer", Some(issuer.into())),
        ("audiences", some(audiences)),
        ("algorithms", Some(json!(PUBLIC))),
        ("jwks", Some(jwks)),
        ("from", Some(from.into())),
        ("forward", (rule.get("forward_original_token") == Some(&Value::Bool(true))).then(|| "allow".into())),
        ("payload_header", text(rule, "output_payload_to_header").map(lower)),
        ("claim_to_headers", (!claims.is_empty()).then(|| claims.into())),
    ]))
}

/// The host of an address.
fn host(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default().to_owned()
}

/// One rule as entries, for each of its sets of operations.
fn rules(rule: &Value, denies: bool, draft: &mut Draft) -> Result<Vec<Rule>, String> {
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
fn wholly_denied(rule: &Value) -> Vec<Rule> {
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
