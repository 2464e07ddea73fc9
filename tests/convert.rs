//! Policies of Envoy and Istio in, configurations out: `convert/NAME.yaml` must become `convert/NAME.expected`, remarks
//! first. `UPDATE_CONVERTED=1` writes those anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;

use portcullis::check::{CertificateAttribute, Env};
use portcullis::head::Head;
use portcullis::native::NativeHost;
use portcullis::pipeline::Next;
use portcullis::time::Timestamp;
use portcullis_assembly::{Surroundings, assemble};
use portcullis_cli::{convert, document};
use serde_json::{Value, json};

fn converted(name: &str, text: &str) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = convert::convert(name, text, &mut out, &mut err).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn file(name: &str) -> (PathBuf, String) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/convert").join(name);
    let text = fs::read_to_string(&path).unwrap_or_default();
    (path, text)
}

#[test]
fn policies_become_exactly_these_configurations_and_remarks() {
    for name in ["jwt_authn", "istio"] {
        let (code, out, err) = converted("FILE", &file(&format!("{name}.yaml")).1);
        assert_eq!(code, 1, "{name} has something that cannot be converted");
        let (path, expected) = file(&format!("{name}.expected"));
        let found = format!("{err}---\n{out}");
        if std::env::var_os("UPDATE_CONVERTED").is_some() {
            fs::write(path, &found).unwrap();
        } else {
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
fn the_items_of_a_list_are_converted_as_if_they_stood_alone_and_remarks_say_which_it_is() {
    let alone = file("istio.yaml").1;
    let (code, out, err) = converted("FILE", &alone);
    let documents: Vec<Value> = serde_saphyr::from_multiple(&alone).unwrap();
    let list = |kind: &str, items: &[Value]| json!({ "apiVersion": "v1", "kind": kind, "items": items });
    // As `kubectl get` shows several kinds, and lists within one.
    let (first, rest) = documents.split_at(1);
    for list in [list("List", &documents), list("List", &[list("List", first), list("List", rest)])] {
        let listed = converted("FILE", &serde_saphyr::to_string(&list).unwrap());
        assert_eq!((listed.0, &listed.1), (code, &out));
        let names: Vec<_> = listed.2.lines().filter_map(|line| line.split_once(": items[")).collect();
        assert!(!names.is_empty(), "{}", listed.2);
        let plain =
            |line: &str| line.split(": ").filter(|part| !part.starts_with("items[")).collect::<Vec<_>>().join(": ");
        let mut told: Vec<_> = listed.2.lines().map(plain).collect();
        told.dedup();
        assert_eq!(told, err.lines().collect::<Vec<_>>());
    }
    // A list of one kind says it once.
    let policy = json!({ "metadata": { "name": "p" }, "spec": { "action": "AUDIT" } });
    let (code, _, err) = converted("FILE", &list("AuthorizationPolicyList", &[policy]).to_string());
    assert_eq!((code, err.as_str()), (1, "FILE: items[0]: p: left out: action AUDIT\n"));
    assert_eq!(converted("FILE", "kind: List\nitems: []\n").0, 2);
    assert_eq!(converted("FILE", "kind: Other\nitems: [{ kind: AuthorizationPolicy }]\n").0, 2);
}

/// What the converted configuration decides for a request without a token, by whoever holds this certificate.
fn status(yaml: &str, method: &str, path: &str, address: &str, peer: Option<&str>) -> Option<u16> {
    let found = document::configurations(yaml).unwrap();
    let mut host = NativeHost { source_address: Some(format!("{address}:1")), ..NativeHost::default() };
    for (attribute, value) in [
        (CertificateAttribute::Validated, peer.map(|_| vec![1])),
        (CertificateAttribute::Presented, peer.map(|_| vec![1])),
        (CertificateAttribute::Uri, peer.map(|name| name.as_bytes().to_vec())),
        (CertificateAttribute::Subject, peer.map(|_| b"CN=x".to_vec())),
    ] {
        host.peer_certificate.extend(value.map(|value| (attribute, value)));
    }
    let surroundings = Surroundings { store: &host.store, variable: &|_| None, random: [1, 2, 3, 4] };
    let assembled = assemble(found[0].json.as_ref().unwrap(), &surroundings);
    let mut assembled = assembled.unwrap_or_else(|errors| panic!("{errors:?}"));
    let mut env = Env { now: Timestamp::from_unix_seconds(1_800_000_000), host: &host, worker: &mut assembled.worker };
    let head =
        Head::from_pairs([(":method", method), (":path", path), (":authority", "a.example.com"), (":scheme", "https")]);
    match assembled.pipeline.begin(head, true, &mut env).1 {
        Next::Continue => None,
        Next::Reply(reply) => Some(reply.status),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_istio_lets_pass_passes_and_nothing_else() {
    let (_, yaml, _) = converted("FILE", &file("istio.yaml").1);
    let order = Some("spiffe://cluster.local/ns/microservices/sa/order-service");
    let other = Some("spiffe://cluster.local/ns/microservices/sa/other");
    for (method, path, address, peer, expected) in [
        ("GET", "/api/v1/users/7", "192.0.2.1", order, None),
        ("DELETE", "/api/v1/users/7/posts", "192.0.2.1", order, None),
        ("GET", "/api/v1/users/7", "192.0.2.1", other, Some(403)),
        ("GET", "/api/v1/users/7", "192.0.2.1", None, Some(403)),
        ("PATCH", "/api/v1/users/7", "192.0.2.1", order, Some(403)),
        ("GET", "/api/v1/users", "192.0.2.1", order, Some(403)),
        ("GET", "/api/v1/users/7", "198.51.100.7", order, Some(403)),
        ("GET", "/api/v1/users/me", "192.0.2.1", order, Some(401)),
        ("GET", "/health", "192.0.2.1", None, None),
        ("GET", "/health", "198.51.100.7", None, Some(403)),
        ("POST", "/health", "192.0.2.1", None, Some(403)),
        ("GET", "/metrics", "192.0.2.1", Some("spiffe://cluster.local/ns/monitoring/sa/prometheus"), None),
        ("GET", "/metrics", "192.0.2.1", other, Some(403)),
        ("GET", "/elsewhere", "192.0.2.1", order, Some(403)),
    ] {
        assert_eq!(status(&yaml, method, path, address, peer), expected, "{method} {path} {address} {peer:?}");
    }
}

#[test]
fn a_policy_that_allows_nothing_and_one_that_only_denies() {
    let policy = |spec: &str| {
        let (code, out, err) =
            converted("FILE", &format!("kind: AuthorizationPolicy\nmetadata: {{ name: p }}\nspec: {spec}\n"));
        assert_eq!((code, err.as_str()), (0, ""), "{spec}");
        out
    };
    let nothing = policy("{}");
    assert_eq!(status(&nothing, "GET", "/", "192.0.2.1", None), Some(403));
    let everything = policy("{ rules: [{}] }");
    assert_eq!(status(&everything, "GET", "/a", "192.0.2.1", None), None);
    let unknown = policy("{ action: DENY, rules: [{ from: [{ source: { notRequestPrincipals: [\"*\"] } }] }] }");
    assert_eq!(status(&unknown, "GET", "/a", "192.0.2.1", None), Some(403));
    let closed = policy("{ action: DENY, rules: [{ to: [{ operation: { paths: [\"/admin/*\"] } }] }] }");
    assert_eq!(status(&closed, "GET", "/admin/x", "192.0.2.1", None), Some(403));
    assert_eq!(status(&closed, "GET", "/a", "192.0.2.1", None), None);
}

/// The first route decides, and Istio asks every rule: a request that two of them are about has both.
#[test]
fn what_rules_of_different_requests_deny_stays_denied_where_they_overlap() {
    let from = |range: &str, operation: &str| {
        format!("{{ from: [{{ source: {{ ipBlocks: [{range}] }} }}], to: [{{ operation: {{ {operation} }} }}] }}")
    };
    let policy = |rules: &[String]| {
        let rules = rules.join(", ");
        let (code, out, err) =
            converted("FILE", &format!("kind: AuthorizationPolicy\nspec: {{ action: DENY, rules: [{rules}] }}\n"));
        assert_eq!(code, 0, "{err}");
        out
    };
    let (one, two) = ("192.0.2.0/24", "198.51.100.0/24");
    let crossing = [
        ("paths: [/a]", "methods: [POST]"),
        ("paths: ['/a/*', /a]", "methods: [POST, PUT]"),
        ("hosts: [a.example.com]", "paths: [/a]"),
        ("hosts: ['*.example.com']", "hosts: [a.example.com]"),
        ("methods: [POST, GET]", "methods: [POST, PUT]"),
    ];
    for (first, second) in crossing {
        for (first, second) in [(first, second), (second, first)] {
            let yaml = policy(&[from(one, first), from(two, second)]);
            for address in ["192.0.2.1", "198.51.100.1"] {
                assert_eq!(status(&yaml, "POST", "/a", address, None), Some(403), "{first} {second} {address}");
            }
            assert_eq!(status(&yaml, "POST", "/a", "203.0.113.1", None), None, "{first} {second}");
        }
    }
}

/// Left out, a denial lets pass whom it refuses; what it may be about is refused to all instead.
#[test]
fn a_denial_of_which_a_part_cannot_be_said_refuses_more_and_never_less() {
    let policy = |rule: &str| {
        let text =
            format!("kind: AuthorizationPolicy\nmetadata: {{ name: p }}\nspec: {{ action: DENY, rules: [{rule}] }}\n");
        converted("FILE", &text)
    };
    let of =
        |from: &str, to: &str| format!("{{ from: [{{ source: {{ {from} }} }}], to: [{{ operation: {{ {to} }} }}] }}");
    let (admin, source) = ("paths: [/admin]", "ipBlocks: [192.0.2.0/24]");
    for (rule, what, elsewhere) in [
        (of("notPrincipals: [cluster.local/ns/a/sa/b]", admin), "not_principals cannot be said here", None),
        (of("ipBlocks: [192.0.2.0/24], notNamespaces: [a]", admin), "not_namespaces cannot be said here", None),
        (
            format!("{{ to: [{{ operation: {{ {admin} }} }}], when: [{{ key: connection.sni, values: [a] }}] }}"),
            "the condition connection.sni",
            None,
        ),
        (of(source, "paths: ['/adm*']"), "the path /adm* ends or begins within a segment", Some(403)),
        (of(source, "methods: ['G*']"), "the method G*", Some(403)),
        (of(source, "hosts: ['a.*']"), "the host a.*", Some(403)),
    ] {
        let (code, yaml, err) = policy(&rule);
        let said = format!("FILE: p: rules[0]: left out: {what}: nobody may what the rule may be about\n");
        assert!(code == 1 && err.contains(&said), "{rule}: {err}");
        assert_eq!(status(&yaml, "GET", "/admin", "192.0.2.1", None), Some(403), "{rule}");
        assert_eq!(status(&yaml, "GET", "/other", "192.0.2.1", None), elsewhere, "{rule}");
    }
}

#[test]
fn any_method_and_any_host_stay_any_beside_others() {
    for operation in ["methods: [POST, '*']", "hosts: [b.example.com, '*']"] {
        let rule = format!("{{ to: [{{ operation: {{ {operation} }} }}] }}");
        let (code, yaml, err) =
            converted("FILE", &format!("kind: AuthorizationPolicy\nspec: {{ action: DENY, rules: [{rule}] }}\n"));
        assert_eq!((code, err.as_str()), (0, ""), "{operation}");
        assert_eq!(status(&yaml, "GET", "/a", "192.0.2.1", None), Some(403), "{operation}");
    }
}

/// Together they would open to each what only the other one opens.
#[test]
fn policies_for_different_workloads_are_not_called_one() {
    let policies = |targets: [(&str, &str); 2]| {
        let policy = |(namespace, spec): (&str, &str)| {
            format!(
                "kind: AuthorizationPolicy\nmetadata: {{ name: p, namespace: {namespace} }}\nspec: {{ {spec} rules: [{{}}] }}\n---\n"
            )
        };
        let (code, _, err) = converted("FILE", &targets.map(policy).concat());
        (code, err)
    };
    let (one, other) = ("selector: { matchLabels: { app: a } },", "selector: { matchLabels: { app: b } },");
    let apart = "FILE: p: left out: that it is for other workloads than those before it: convert each one's own\n";
    assert_eq!(policies([("shop", one), ("shop", other)]), (1, apart.to_owned()));
    assert_eq!(policies([("shop", ""), ("bank", "")]), (1, apart.to_owned()));
    assert_eq!(policies([("shop", one), ("shop", "targetRefs: [{ kind: Service, name: a }],")]), (1, apart.to_owned()));
    for same in [[("shop", one), ("shop", one)], [("shop", ""), ("shop", one)], [("istio-system", ""), ("shop", other)]]
    {
        assert_eq!(policies(same), (0, String::new()), "{same:?}");
    }
}

#[test]
fn a_rule_of_jwt_authn_that_matches_otherwise_than_can_be_said_is_left_out() {
    let rule = |matching: &str| {
        let filter = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
        let (code, out, err) = converted("FILE", &format!("'@type': {filter}\nrules: [{{ match: {matching} }}]\n"));
        (code, out.contains("path: /a"), err)
    };
    assert_eq!(rule("{ path: /a, case_sensitive: true }"), (0, true, String::new()));
    for (matching, what) in [
        ("{ path: /a, case_sensitive: false }", "case_sensitive"),
        ("{ path: /a, caseSensitive: false }", "case_sensitive"),
        ("{ prefix: /a/, runtime_fraction: { default_value: { numerator: 1 } } }", "runtime_fraction"),
        ("{ path: /a, grpc: {} }", "grpc"),
        ("{ path: /a, tls_context: { presented: true } }", "tls_context"),
    ] {
        let expected = format!("FILE: rules[0]: left out: {what} in its match\n");
        assert_eq!(rule(matching), (1, false, expected), "{matching}");
    }
}

#[test]
fn a_rule_of_jwt_authn_that_demands_a_token_of_what_cannot_be_said_refuses_it() {
    let filter = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
    for (matching, other) in [
        ("{ path: /a, query_parameters: [{ name: a, present_match: true }] }", None),
        ("{ prefix: /a/, headers: [{ name: x-a, present_match: true }] }", None),
        ("{ path_separated_prefix: /a, grpc: {} }", None),
        ("{ path: /A, case_sensitive: false }", Some(403)),
        ("{ prefix: /a, grpc: {} }", Some(403)),
        ("{ safe_regex: { regex: '/a.*' } }", Some(403)),
        ("{ connect_matcher: {} }", Some(403)),
    ] {
        let rules = format!("[{{ match: {matching}, requires: {{ provider_name: p }} }}]");
        let (code, yaml, err) = converted("FILE", &format!("'@type': {filter}\nrules: {rules}\n"));
        assert_eq!(code, 1, "{matching}: {err}");
        assert!(err.contains("FILE: rules[0]: nobody may what the rule may be about\n"), "{matching}: {err}");
        assert_eq!(status(&yaml, "GET", "/a", "192.0.2.1", None), Some(403), "{matching}");
        assert_eq!(status(&yaml, "GET", "/other", "192.0.2.1", None), other, "{matching}");
    }
}

/// `/apix` needs a token there, and reaches the upstream without one here.
#[test]
fn a_prefix_of_jwt_authn_that_goes_on_within_a_segment_is_not_all_converted() {
    let rule = |rule: &str| {
        let filter = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
        let (code, _, err) = converted("FILE", &format!("'@type': {filter}\nrules: [{rule}]\n"));
        (code, err)
    };
    let within = "/api... but /api and /api/...: a prefix ends at a segment\n";
    let demanding = rule("{ match: { prefix: /api }, requires: { allow_missing: {} } }");
    assert_eq!((demanding.0, demanding.1.contains(&format!("FILE: rules[0]: left out: {within}"))), (1, true));
    assert_eq!(rule("{ match: { prefix: /api } }"), (0, format!("FILE: rules[0]: is not about {within}")));
    for whole in ["{ match: { prefix: /api/ } }", "{ match: { prefix: / } }"] {
        assert_eq!(rule(whole), (0, String::new()), "{whole}");
    }
}

#[test]
fn a_prefix_of_jwt_authn_that_is_open_opens_nothing_above_it() {
    let filter = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
    let keys = "local_jwks: { inline_string: '{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"d1\",\
                \"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}' }";
    let rules = "[{ match: { prefix: /pub/ } }, { match: { prefix: / }, requires: { provider_name: p } }]";
    let text = format!("'@type': {filter}\nproviders: {{ p: {{ issuer: a, {keys} }} }}\nrules: {rules}\n");
    let (code, yaml, err) = converted("FILE", &text);
    assert_eq!(code, 0, "{err}");
    for (path, expected) in [("/pub/x", None), ("/pub/x/y", None), ("/pub", Some(401)), ("/other", Some(401))] {
        assert_eq!(status(&yaml, "GET", path, "192.0.2.1", None), expected, "{path}");
    }
}

const FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
const KEYS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"d1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A provider of `jwt_authn`, with what else is said of it.
fn provider(name: &str, issuer: &str, more: &str) -> String {
    format!("{name}: {{ issuer: {issuer}, local_jwks: {{ inline_string: '{KEYS}' }}{more} }}")
}

/// What becomes of a filter with the providers `one` and `twoFold`.
fn filter(rules: &str, more: &str) -> (u8, String, String) {
    let providers = [provider("one", "a", ""), provider("twoFold", "b", "")].join(", ");
    let text = format!("'@type': {FILTER}\nproviders: {{ {providers} }}\nrules: [{rules}]\n{more}\n");
    converted("FILE", &text)
}

/// Names that rules speak of stay as they are; a rule that nothing is found for would be open.
#[test]
fn a_requirement_by_name_is_found_in_whatever_case_and_one_of_no_name_lets_nobody_pass() {
    let rule = "{ match: { prefix: / }, requirement_name: needsToken }";
    let named = "requirementMap: { needsToken: { providerName: twoFold } }";
    let (code, yaml, err) = filter(rule, named);
    assert_eq!((code, status(&yaml, "GET", "/a", "192.0.2.1", None)), (0, Some(401)), "{err}{yaml}");
    for other in ["requirement_map: { other: { provider_name: one } }", ""] {
        let (code, yaml, err) = filter(rule, other);
        assert_eq!((code, status(&yaml, "GET", "/a", "192.0.2.1", None)), (1, Some(403)), "{err}");
        assert!(err.contains("FILE: rules[0]: nobody may what the rule may be about\n"), "{err}");
    }
}

#[test]
fn a_token_that_is_needed_in_any_case_stays_needed() {
    for (requires, code, expected) in [
        ("requires_all: { requirements: [{ provider_name: one }, { allow_missing: {} }] }", 0, Some(401)),
        ("requires_all: { requirements: [{ allow_missing_or_failed: {} }, { provider_name: one }] }", 0, Some(401)),
        ("requires_all: { requirements: [{ allow_missing: {} }, { allow_missing: {} }] }", 0, None),
        ("requires_any: { requirements: [{ provider_name: one }, { allow_missing: {} }] }", 0, None),
        ("requires_any: { requirements: [{ provider_name: one }, { provider_name: one }] }", 0, Some(401)),
        // What cannot be said may be what everybody lacks.
        ("requires_all: { requirements: [{ provider_name: one }, { requires_any: {} }] }", 1, Some(403)),
        ("requires_all: { requirements: [{ provider_name: one }, { provider_name: other }] }", 1, Some(403)),
        ("requires_any: { requirements: [{ provider_name: one }, { requires_all: {} }] }", 1, Some(401)),
        ("requires_any: { requirements: [{ provider_name: other }] }", 1, Some(403)),
        ("requires_any: {}", 0, Some(403)),
        ("provider_name: other", 1, Some(403)),
        ("", 1, Some(403)),
    ] {
        let (found, yaml, err) = filter(&format!("{{ match: {{ prefix: / }}, requires: {{ {requires} }} }}"), "");
        assert_eq!((found, status(&yaml, "GET", "/a", "192.0.2.1", None)), (code, expected), "{requires}: {err}");
    }
    let (code, yaml, _) = converted(
        "FILE",
        &format!("'@type': {FILTER}\nrules: [{{ match: {{ prefix: / }}, requires: {{ allow_missing: {{}} }} }}]\n"),
    );
    assert_eq!((code, status(&yaml, "GET", "/a", "192.0.2.1", None)), (0, None));
}

#[test]
fn the_audiences_of_a_rule_are_those_of_its_callers() {
    let rule = |requires: &str| filter(&format!("{{ match: {{ prefix: / }}, requires: {{ {requires} }} }}"), "");
    let narrowed = "provider_and_audiences: { provider_name: one, audiences: [x, z] }";
    let (code, yaml, err) = rule(narrowed);
    let allow =
        "routes:\n- allow:\n  - claims:\n      aud: x\n  - claims:\n      aud: z\n  authenticate:\n  - jwt.one\n";
    assert!(code == 0 && yaml.contains(allow), "{err}{yaml}");
    let (code, yaml, _) = rule("provider_and_audiences: { provider_name: one, audiences: [] }");
    assert!(code == 0 && !yaml.contains("allow:\n") && yaml.contains("- jwt.one\n"), "{yaml}");
    let beside = format!("{{ requirements: [{{ {narrowed} }}, {{ provider_name: twoFold }}] }}");
    let (code, yaml, _) = rule(&format!("requires_any: {beside}"));
    assert!(code == 1 && !yaml.contains("- jwt.one\n") && yaml.contains("- jwt.twoFold\n"), "{yaml}");
    let (code, yaml, _) = rule(&format!("requires_all: {beside}"));
    assert_eq!((code, status(&yaml, "GET", "/a", "192.0.2.1", None)), (1, Some(403)));
}

/// The rule would be passed over for requests that it is about, and what comes after it is open.
#[test]
fn a_header_that_is_compared_otherwise_than_by_one_value_is_not_said() {
    let plain = "{ name: x-a, string_match: { exact: b, ignore_case: false }, invert_match: false }";
    let demanding = |headers: &str| {
        let matching = format!("{{ path: /a, headers: [{headers}] }}");
        let (code, yaml, err) = filter(&format!("{{ match: {matching}, requires: {{ provider_name: one }} }}"), "");
        (code, status(&yaml, "GET", "/a", "192.0.2.1", None), err)
    };
    assert_eq!(demanding(plain).0, 0);
    for headers in [
        "{ name: x-a, string_match: { exact: b, ignore_case: true } }",
        "{ name: x-a, string_match: { exact: '' }, treat_missing_header_as_empty: true }",
        "{ name: x-a, exact_match: b, invert_match: true }",
        "{ name: x-a, string_match: { prefix: b } }",
        "{ name: x-a, exact_match: b }, { name: X-A, exact_match: c }",
        "{ name: ':method', exact_match: GET }, { name: ':method', exact_match: POST }",
        "{ name: ':authority', exact_match: a.example.com }",
        "{ name: Host, exact_match: a.example.com }",
        "{ name: x-a }",
    ] {
        let (code, status, err) = demanding(headers);
        assert_eq!((code, status), (1, Some(403)), "{headers}: {err}");
    }
}

#[test]
fn what_is_a_wildcard_here_is_a_character_there() {
    let open = |matching: &str| {
        let rules =
            format!("{{ match: {{ {matching} }} }}, {{ match: {{ prefix: / }}, requires: {{ provider_name: one }} }}");
        let (code, yaml, err) = filter(&rules, "");
        assert_eq!(code, 0, "{matching}: {err}");
        yaml
    };
    for (matching, own) in [
        ("path: '/*'", "/%2A"),
        ("path: '/{a}'", "/%7Ba%7D"),
        ("prefix: '/*/'", "/%2A/b"),
        ("path_separated_prefix: '/**'", "/**/b"),
    ] {
        let yaml = open(matching);
        for (path, expected) in [(own, None), ("/b", Some(401)), ("/b/c", Some(401))] {
            assert_eq!(status(&yaml, "GET", path, "192.0.2.1", None), expected, "{matching} {path}");
        }
    }
}

#[test]
fn a_provider_that_is_none_here_is_left_out_and_the_rest_loads() {
    let text = |providers: &[String], rule: &str| {
        let (providers, matching) = (providers.join(", "), "match: { prefix: / }");
        format!("'@type': {FILTER}\nproviders: {{ {providers} }}\nrules: [{{ {matching}, requires: {{ {rule} }} }}]\n")
    };
    let any = "requires_any: { requirements: [{ provider_name: p }, { provider_name: q }] }";
    for (more, what) in [
        (", subjects: { exact: ada }", "whose tokens it takes goes by subjects"),
        (", clock_skew_seconds: 4000000000", "clock_skew: expected"),
        (", from_headers: [{ name: 'x y' }]", "from[0].header: expected"),
        (", claim_to_headers: [{ header_name: host, claim_name: a }]", "claim_to_headers.host: "),
    ] {
        let providers = [provider("p", "a", more), provider("q", "b", "")];
        let (code, yaml, err) = converted("FILE", &text(&providers, any));
        assert!(code == 1 && err.contains("FILE: providers.p: left out: ") && err.contains(what), "{more}: {err}");
        assert_eq!(status(&yaml, "GET", "/a", "192.0.2.1", None), Some(401), "{more}");
        assert!(!yaml.contains("jwt.p"), "{yaml}");
        let (code, yaml, _) = converted("FILE", &text(&providers, "provider_name: p"));
        assert_eq!((code, status(&yaml, "GET", "/a", "192.0.2.1", None)), (1, Some(403)), "{more}");
    }
    // Its tokens would go on unverified.
    let lone = [provider("p", "a", ", subjects: { exact: ada }")];
    let (_, yaml, _) = converted("FILE", &text(&lone, "allow_missing: {}"));
    assert_eq!(status(&yaml, "GET", "/a", "192.0.2.1", None), Some(403));
    let rules = format!("[{{ issuer: a, jwks: '{KEYS}', fromHeaders: [{{ name: 'x y' }}] }}]");
    let (code, yaml, err) = converted("FILE", &format!("kind: RequestAuthentication\nspec: {{ jwtRules: {rules} }}\n"));
    assert_eq!((code, status(&yaml, "GET", "/a", "192.0.2.1", None)), (1, Some(403)), "{err}");
    let (code, yaml, err) =
        converted("FILE", &text(&[provider("p", "a", ""), provider("q", "a", ", forward: true")], any));
    let taken = "FILE: providers.q: left out: p takes the tokens of its issuer already\n";
    assert!(code == 1 && err.contains(taken), "{err}");
    assert_eq!(status(&yaml, "GET", "/a", "192.0.2.1", None), Some(401));
}

#[test]
fn what_is_no_route_here_lets_nobody_pass_and_the_rest_loads() {
    for rule in ["{ match: { path: /a//b } }", "{ match: { prefix: a }, requires: { provider_name: one } }"] {
        let (code, yaml, err) = filter(rule, "");
        assert!(code == 1 && err.contains("FILE: routes: left out: "), "{rule}: {err}");
        assert_eq!(status(&yaml, "GET", "/a/b", "192.0.2.1", None), Some(403), "{rule}");
    }
    for rule in [
        "{ to: [{ operation: { hosts: ['a.example.com:8080'] } }] }",
        "{ to: [{ operation: { methods: [get] } }] }",
        "{ to: [{ operation: { paths: [a] } }] }",
        "{ from: [{ source: { ipBlocks: [a] } }] }",
    ] {
        for action in ["ALLOW", "DENY"] {
            let text = format!("kind: AuthorizationPolicy\nspec: {{ action: {action}, rules: [{rule}] }}\n");
            let (code, yaml, err) = converted("FILE", &text);
            assert_eq!(code, 1, "{action} {rule}: {err}");
            assert_eq!(status(&yaml, "GET", "/a", "192.0.2.1", None), Some(403), "{action} {rule}");
        }
    }
}

/// The first route decides for both, and each of them has its say there.
#[test]
fn what_else_decides_beside_a_filter_is_said_and_opens_nothing() {
    let rule = "{ match: { path: /a } }";
    let policy = "---\nkind: AuthorizationPolicy\nspec: { rules: [{ to: [{ operation: { paths: [/b] } }] }] }";
    let (code, yaml, err) = filter(rule, policy);
    let said = "FILE: routes: left out: what policies say beside rules of jwt_authn: convert each one's own\n";
    assert!(code == 1 && err.contains(said), "{err}");
    assert_eq!(status(&yaml, "GET", "/c", "192.0.2.1", None), Some(403));
    let extension = "type.googleapis.com/envoy.extensions.filters.http";
    for (more, what) in [
        (format!("'@type': {FILTER}\nrules: []"), "http_filters: left out: that jwt_authn is another one than before"),
        (format!("'@type': {extension}.rbac.v3.RBAC"), "rbac: left out: what it denies"),
        (
            format!("'@type': {extension}.jwt_authn.v3.PerRouteConfig"),
            "typed_per_filter_config: left out: what a route",
        ),
    ] {
        let (code, _, err) = filter(rule, &format!("---\n{more}"));
        assert!(code == 1 && err.contains(&format!("FILE: {what}")), "{more}: {err}");
    }
    let same = format!("{{ '@type': {FILTER}, rules: [{rule}] }}");
    let (code, yaml, err) = converted("FILE", &format!("[{same}, {same}]"));
    assert_eq!((code, err.as_str(), yaml.matches("path: /a").count()), (0, "", 1));
}

/// Two routes of the same requests: only the first would be taken.
#[test]
fn rules_of_istio_about_the_same_requests_by_other_names_are_of_one_route() {
    let policy = |action: &str, rule: &str| {
        format!("kind: AuthorizationPolicy\nspec: {{ action: {action}, rules: [{{ {rule} }}] }}\n---\n")
    };
    let from = "from: [{ source: { ipBlocks: [192.0.2.0/24] } }], to: [{ operation: ";
    for (allowed, denied) in [
        ("hosts: [A.example.com]", "hosts: [a.example.com]"),
        ("hosts: ['*.EXAMPLE.com']", "hosts: [a.example.com]"),
        ("paths: [/a/]", "paths: [/a]"),
        ("paths: [/a]", "paths: [/a/]"),
    ] {
        let text = policy("ALLOW", &format!("to: [{{ operation: {{ {allowed} }} }}]"))
            + &policy("DENY", &format!("{from}{{ {denied} }} }}]"));
        let (code, yaml, err) = converted("FILE", &text);
        assert_eq!(code, 0, "{err}");
        for (address, expected) in [("192.0.2.1", Some(403)), ("198.51.100.1", None)] {
            assert_eq!(status(&yaml, "GET", "/a", address, None), expected, "{allowed} {denied} {address}");
        }
    }
}

/// `/admin/` begins with `/admin/`, and goes on to the upstream as it came.
#[test]
fn what_istio_denies_below_a_path_is_denied_with_a_slash_at_its_end_and_nothing_more_is_allowed() {
    let below = |action: &str| {
        let rule = "{ to: [{ operation: { paths: ['/admin/*'] } }] }";
        let text = format!("kind: AuthorizationPolicy\nspec: {{ action: {action}, rules: [{rule}] }}\n");
        let (code, yaml, err) = converted("FILE", &text);
        assert_eq!((code, err.as_str()), (0, ""));
        ["/admin", "/admin/", "/admin/x", "/administer"].map(|path| status(&yaml, "GET", path, "192.0.2.1", None))
    };
    assert_eq!(below("DENY"), [Some(403), Some(403), Some(403), None]);
    assert_eq!(below("ALLOW"), [Some(403), Some(403), None, Some(403)]);
}

#[test]
fn denials_by_part_of_a_name_or_of_a_claim_lose_nobody_unsaid() {
    let istio = |rule: &str| {
        let jwt = |issuer: &str| format!("{{ issuer: {issuer}, jwks: '{KEYS}' }}");
        let rules = [jwt("https://a.example.com"), jwt("https://a.example.com/tenant")].join(", ");
        let tokens = format!("kind: RequestAuthentication\nspec: {{ jwtRules: [{rules}] }}\n---\n");
        let policy = format!("kind: AuthorizationPolicy\nspec: {{ action: DENY, rules: [{{ {rule} }}] }}\n");
        converted("FILE", &(tokens + &policy))
    };
    for claim in ["scope", "permission"] {
        let (code, yaml, err) = istio(&format!("when: [{{ key: 'request.auth.claims[{claim}]', values: [write] }}]"));
        assert!(code == 1 && err.contains(&format!("left out: one word of request.auth.claims[{claim}]")), "{err}");
        assert_eq!(status(&yaml, "GET", "/a", "192.0.2.1", None), Some(403));
    }
    let (code, _, err) = istio("from: [{ source: { namespaces: [shop] } }]");
    assert!(code == 1 && err.contains("FILE: namespaces: left out: those of other trust domains than"), "{err}");
    let (code, yaml, err) = istio("from: [{ source: { requestPrincipals: ['https://a.example.com/*'] } }]");
    assert_eq!(code, 0, "{err}");
    for issuer in ["https://a.example.com", "https://a.example.com/tenant"] {
        assert!(yaml.contains(&format!("  - claims:\n      iss: {issuer}\n")), "{yaml}");
    }
}

/// A bare `y` is a truth value to some readers and a text to others.
#[test]
fn a_value_that_is_no_text_is_not_passed_over() {
    let policy = |action: &str, rule: &str| {
        let text = format!("kind: AuthorizationPolicy\nspec: {{ action: {action}, rules: [{{ {rule} }}] }}\n");
        let (code, yaml, err) = converted("FILE", &text);
        assert_eq!(code, 1, "{action} {rule}: {err}");
        status(&yaml, "GET", "/a", "192.0.2.1", None)
    };
    for rule in [
        "when: [{ key: 'request.auth.claims[a]', values: [y] }]",
        "from: [{ source: { ipBlocks: [7, 192.0.2.7] } }]",
        "to: [{ operation: { methods: [POST, y] } }]",
    ] {
        assert_eq!((policy("ALLOW", rule), policy("DENY", rule)), (Some(403), Some(403)), "{rule}");
    }
    let text = |audiences: &str, more: &str| {
        let provider = provider("p", "a", audiences);
        format!(
            "'@type': {FILTER}\nproviders: {{ {provider} }}\nrules: [{{ match: {{ prefix: / }}, requires: {{ {more} }} }}]\n"
        )
    };
    for text in [
        text(", audiences: [y]", "provider_name: p"),
        text("", "provider_and_audiences: { provider_name: p, audiences: [y] }"),
    ] {
        let (code, yaml, err) = converted("FILE", &text);
        assert_eq!((code, status(&yaml, "GET", "/a", "192.0.2.1", None)), (1, Some(403)), "{err}");
    }
}

#[test]
fn rules_that_overlap_too_much_let_nobody_pass() {
    let rule = |at: u32| {
        let (host, path, methods) = (at % 5, "/a".repeat(at as usize / 5 % 40), at / 200 + 1);
        let methods = ["GET", "POST", "PUT"].iter().enumerate().filter(|(bit, _)| methods >> bit & 1 == 1);
        let methods = methods.map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
        let operation =
            format!("hosts: ['*.{}'], paths: ['{path}/*'], methods: [{methods}]", "a.".repeat(host as usize) + "b");
        format!("{{ from: [{{ source: {{ ipBlocks: [192.0.2.0/24] }} }}], to: [{{ operation: {{ {operation} }} }}] }}")
    };
    let rules = (0..1_400).map(rule).collect::<Vec<_>>().join(", ");
    let text = format!("kind: AuthorizationPolicy\nspec: {{ action: DENY, rules: [{rules}] }}\n");
    let (code, yaml, err) = converted("FILE", &text);
    assert!(code == 1 && err.contains("FILE: routes: left out: "), "{err}");
    assert_eq!(status(&yaml, "GET", "/a/a/x", "198.51.100.1", None), Some(403));
}

#[test]
fn what_is_no_policy_is_refused() {
    for text in ["routes: []", "kind: Service", "a: [", ""] {
        let (code, out, err) = converted("FILE", text);
        assert_eq!((code, out.as_str()), (2, ""), "{text}");
        assert!(err.starts_with("FILE: "), "{err}");
    }
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(converted("FILE", &deep).0, 2);
}
