//! Istio's RequestAuthentication (`security.istio.io`, `jwtRules`) and AuthorizationPolicy (`action`, `rules`).
//!
//! Istio asks every rule and routes here ask the first that matches. So there is a route for each set of operations that a
//! rule names and for what any two have in common, the narrower before the wider, with the entries of every rule that covers it.

mod rules;

use serde_json::{Map, Value, json};

use super::operations::{Operations, add_what_is_both};
use super::{AUDIENCES, Draft, PUBLIC, every_address, from_header, list, map, nobody, only_texts, some, text, texts};
use rules::{Effect, Rule, rules, wholly_denied};

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
