//! Client certificates: who the peer is, who the caller is, and what is bound to them.

use std::collections::HashMap;

use portcullis::check::CertificateAttribute::{self, Digest, Presented, Uri, Validated};
use serde_json::{Value, json};

use crate::gate::{Gate, Outcome, Request, START, USERS_KEY, get, signed_with};

const CONFIGURATION: &str = r#"
service: user-service
client_ip: { trusted_proxies: [10.0.0.0/8] }
secrets: { users_key: { env: USERS_KEY } }
authentication:
  unverified_credentials: 5/m
  jwt:
    users:
      issuer: https://users.example.com
      algorithms: [HS256]
      keys: [{ secret: users_key }]
      claims: { subject: user_id, roles: roles }
    devices:
      issuer: https://devices.example.com
      algorithms: [HS256]
      keys: [{ secret: users_key }]
      claims: { subject: user_id }
      bound_to_certificate: required
  mtls: { trust_domains: [cluster.local], forwarded_client_cert: MAY }
limits: { each: { key: [subject], rate: 1/h } }
routes:
  - { match: { path: /peer }, authenticate: [mtls] }
  - { match: { path: /watched }, authenticate: [mtls], mode: monitor }
  - { match: { path: /either }, authenticate: [mtls, jwt.users] }
  - { match: { path: /optional }, authenticate: { optional: [mtls] } }
  - { match: { path: /all }, authenticate: { all: [mtls, jwt.users] }, allow: [{ roles: [user] }] }
  - match: { path: /orders }
    authenticate: { optional: [jwt.users] }
    allow: [{ principals: ["spiffe://cluster.local/ns/shop/*"] }]
  - { match: { path: /bound }, authenticate: [jwt.devices] }
  - { match: { path: /limited }, authenticate: [mtls], limits: [each] }
  - { match: { path: /public }, authenticate: none }
"#;

const ORDERS: &str = "spiffe://cluster.local/ns/shop/sa/orders";
const DIGEST: &str = "0909090909090909090909090909090909090909090909090909090909090909";
const THUMBPRINT: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk";

fn gate(forwarded: &str) -> Gate {
    Gate::bare(&CONFIGURATION.replace("MAY", forwarded))
}

/// A connection whose certificate has this URI.
pub fn connect(gate: &mut Gate, uri: &str, validated: u8) {
    let says: [(CertificateAttribute, &[u8]); 4] =
        [(Validated, &[validated]), (Presented, &[1]), (Uri, uri.as_bytes()), (Digest, DIGEST.as_bytes())];
    gate.host.peer_certificate = says.map(|(attribute, value)| (attribute, value.to_vec())).into();
}

fn disconnect(gate: &mut Gate) {
    gate.host.peer_certificate = HashMap::new();
}

fn token(issuer: &str, changes: Value) -> String {
    let mut claims = json!({ "iss": format!("https://{issuer}.example.com"), "user_id": 7, "exp": START + 900 });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    signed_with(portcullis::jose::algorithm::Algorithm::Hs256, USERS_KEY, &claims)
}

fn user() -> String {
    token("users", json!({ "roles": ["user"] }))
}

fn told(outcome: &Outcome) -> [Option<&str>; 3] {
    ["x-auth-subject", "x-auth-method", "x-auth-peer"].map(|name| outcome.upstream(name))
}

#[test]
fn a_route_that_requires_a_certificate_says_403_without_one() {
    let mut gate = gate("deny");
    for (validated, reason) in [(None, "no_certificate"), (Some(0), "unverified_certificate")] {
        if let Some(validated) = validated {
            connect(&mut gate, ORDERS, validated);
        }
        let name = format!("auth_failures_total~reason={reason}");
        // Whatever else it shows.
        for request in [get("/peer"), get("/all").bearer(&user()), get("/all"), get("/all").bearer("x.y.z")] {
            let counted = gate.count(&name);
            let outcome = gate.send(request);
            assert_eq!(outcome.status, Some(403));
            assert_eq!(outcome.told(), [format!("AUTH_FAILURE {reason}")]);
            assert!(outcome.body.contains("\"Invalid client certificate\""), "{}", outcome.body);
            assert_eq!(outcome.response("www-authenticate"), None);
            assert_eq!(gate.count(&name), counted + 1);
        }
    }
    // The listener's work is no cryptography of ours: the budget is untouched after any number of them.
    for _ in 0..10 {
        assert_eq!(gate.status(get("/peer")), Some(403));
        assert_eq!(gate.status(get("/all").bearer("x.y.z")), Some(403));
    }
    assert_eq!(gate.status(get("/either").bearer("x.y.z")), Some(401));
}

#[test]
fn a_peer_calls_for_itself_only_where_nothing_says_who_calls() {
    let mut gate = gate("deny");
    connect(&mut gate, ORDERS, 1);
    let peer = [Some(ORDERS), Some("mtls"), Some(ORDERS)];
    let user_of_peer = [Some("7"), Some("jwt"), Some(ORDERS)];
    assert_eq!(told(&gate.send(get("/peer").header("x-auth-peer", "spiffe://forged/x"))), peer);
    assert_eq!(told(&gate.send(get("/either"))), peer);
    assert_eq!(told(&gate.send(get("/optional"))), peer);
    assert_eq!(told(&gate.send(get("/either").bearer(&user()))), user_of_peer);
    assert_eq!(told(&gate.send(get("/all").bearer(&user()))), user_of_peer);
    assert_eq!(told(&gate.send(get("/public"))), [None; 3]);
    // A certificate makes no bad token good.
    assert_eq!(gate.status(get("/either").bearer("x.y.z")), Some(401));
    assert_eq!(gate.status(get("/all")), Some(401));
}

#[test]
fn a_certificate_that_does_not_count_is_none_where_others_will_do() {
    let mut gate = gate("deny");
    connect(&mut gate, ORDERS, 0);
    assert_eq!(told(&gate.send(get("/optional"))), [None; 3]);
    assert_eq!(told(&gate.send(get("/either").bearer(&user()))), [Some("7"), Some("jwt"), None]);
    let missing = gate.send(get("/either"));
    assert_eq!((missing.status, missing.told()), (Some(401), vec!["AUTH_FAILURE missing".to_owned()]));
    connect(&mut gate, "spiffe://example.org/x", 1);
    assert_eq!(gate.status(get("/optional")), Some(403));
    assert_eq!(gate.send(get("/peer")).told(), ["AUTH_FAILURE untrusted_domain"]);
}

#[test]
fn monitoring_lets_pass_and_takes_no_identity_from_what_does_not_count() {
    let mut gate = gate("deny");
    connect(&mut gate, ORDERS, 0);
    let outcome = gate.send(get("/watched").header("x-auth-subject", ORDERS));
    assert_eq!(told(&outcome), [None; 3]);
    assert_eq!(outcome.told(), ["AUTH_FAILURE unverified_certificate monitor"]);
}

#[test]
fn a_rule_about_peers_looks_at_the_peer_alone() {
    let mut gate = gate("deny");
    let pretends = token("users", json!({ "user_id": ORDERS }));
    for (uri, validated, expected) in [
        (ORDERS, 1, None),
        (ORDERS, 0, Some(403)),
        ("spiffe://cluster.local/ns/shop", 1, Some(403)),
        ("spiffe://cluster.local/ns/shopping/sa/orders", 1, Some(403)),
        ("spiffe://example.org/ns/shop/sa/orders", 1, Some(403)),
    ] {
        connect(&mut gate, uri, validated);
        assert_eq!(gate.status(get("/orders")), expected, "{uri}");
        assert_eq!(gate.status(get("/orders").bearer(&pretends)), expected, "{uri}");
    }
    disconnect(&mut gate);
    assert_eq!(gate.status(get("/orders").bearer(&pretends)), Some(403));
}

#[test]
fn a_bound_token_is_judged_on_every_use_by_the_connection_it_comes_on() {
    let mut gate = gate("deny");
    let bound = token("devices", json!({ "cnf": { "x5t#S256": THUMBPRINT } }));
    let elsewhere = DIGEST.replace("09", "08");
    for _ in 0..2 {
        connect(&mut gate, ORDERS, 1);
        assert_eq!(gate.status(get("/bound").bearer(&bound)), None);
        gate.host.peer_certificate.insert(Digest, elsewhere.clone().into_bytes());
        let stolen = gate.send(get("/bound").bearer(&bound));
        assert_eq!((stolen.status, stolen.told()), (Some(401), vec!["AUTH_FAILURE unbound".to_owned()]));
        connect(&mut gate, ORDERS, 0);
        assert_eq!(gate.status(get("/bound").bearer(&bound)), Some(401));
    }
    connect(&mut gate, "spiffe://example.org/of-no-trusted-domain", 1);
    assert_eq!(gate.status(get("/bound").bearer(&bound)), None);
    for confirmation in [json!(null), json!({}), json!({ "x5t#S256": DIGEST }), json!({ "jkt": THUMBPRINT })] {
        gate.wait(120);
        assert_eq!(gate.status(get("/bound").bearer(&token("devices", json!({ "cnf": confirmation })))), Some(401));
    }
}

#[test]
fn peers_are_limited_by_their_names() {
    let mut gate = gate("deny");
    for uri in [ORDERS, "spiffe://cluster.local/ns/shop/sa/others"] {
        connect(&mut gate, uri, 1);
        assert_eq!((gate.status(get("/limited")), gate.status(get("/limited"))), (None, Some(429)), "{uri}");
    }
}

const FORWARDED: &str = "URI=spiffe://cluster.local/ns/shop/sa/forwarded";

fn forwards(path: &str, address: &str) -> Request {
    let value = format!("By=spiffe://cluster.local/ns/edge/sa/gateway;Hash={DIGEST};{FORWARDED}");
    get(path).from(address).header("x-forwarded-client-cert", value)
}

#[test]
fn a_forwarded_certificate_counts_from_trusted_proxies_where_it_may() {
    for (may, address, expected) in
        [("allow", "10.0.0.1", None), ("allow", "203.0.113.7", Some(403)), ("deny", "10.0.0.1", Some(403))]
    {
        let mut gate = gate(may);
        let outcome = gate.send(forwards("/peer", address));
        assert_eq!(outcome.status, expected, "{may} {address}");
        let expected = expected.is_none().then_some(FORWARDED.get(4..).unwrap());
        assert_eq!(told(&outcome)[2], expected);
        let public = gate.send(forwards("/public", address));
        assert_eq!(public.upstream("x-forwarded-client-cert").is_some(), expected.is_some(), "{may} {address}");
        // The proxy passed on what its client sent of its own address: the connection is still the proxy's.
        let spoofed = gate.send(forwards("/peer", "203.0.113.7").header("x-forwarded-for", "10.0.0.1, 10.0.0.2"));
        assert_eq!(spoofed.status, Some(403), "{may} {address}");
    }
}

#[test]
fn a_proxys_own_certificate_is_not_its_clients_where_it_forwards_one() {
    let mut gate = gate("allow");
    connect(&mut gate, ORDERS, 1);
    let of_client = FORWARDED.to_owned() + ";Hash=" + &DIGEST.replace("09", "07");
    let own = format!("Hash={DIGEST};URI={ORDERS}");
    for (value, expected) in [
        (of_client.clone(), FORWARDED.get(4..).unwrap()),
        (format!("{of_client},{own}"), FORWARDED.get(4..).unwrap()),
        (own.clone(), ORDERS),
    ] {
        let request = get("/peer").from("10.0.0.1").header("x-forwarded-client-cert", &value);
        assert_eq!(told(&gate.send(request))[2], Some(expected), "{value}");
    }
    let request = get("/peer").from("10.0.0.1").header("x-forwarded-client-cert", "URI=\"");
    assert_eq!(gate.send(request).told(), ["AUTH_FAILURE malformed_certificate"]);
    assert_eq!(told(&gate.send(get("/peer").from("10.0.0.1")))[2], Some(ORDERS));
}
