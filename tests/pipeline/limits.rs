//! How often, and what the client is told.

use serde_json::json;

use crate::gate::{CALLERS, Gate, get, user};

fn sections(limits: &str, headers: &str, names: &str) -> String {
    format!(
        "limits: {{ {limits} }}\nheaders: {{ rate_limit: {headers} }}\nroutes: [{{ match: {{ path: /a }}, authenticate: {{ optional: [jwt, service] }}, limits: [{names}] }}]"
    )
}

fn gate(limits: &str, headers: &str, names: &str) -> Gate {
    Gate::new(&sections(limits, headers, names))
}

#[test]
fn the_first_tier_that_fits_counts_and_nobody_is_counted_by_address() {
    let mut gate = gate(
        "l: { key: [subject], tiers: [{ role: premium, rate: 3/m }, { claim: { plan: pro }, rate: 2/m }, { rate: 1/m }], anonymous: { key: [client_ip], rate: 2/m } }",
        "off",
        "l",
    );
    let mut admitted = |token: Option<String>, address: &str| {
        let request = || match &token {
            Some(token) => get("/a").bearer(token).from(address),
            None => get("/a").from(address),
        };
        (0..6).filter(|_| gate.status(request()).is_none()).count()
    };
    assert_eq!(admitted(Some(user(json!({ "user_id": 1, "roles": ["premium"], "plan": "pro" }))), "1.1.1.1"), 3);
    assert_eq!(admitted(Some(user(json!({ "user_id": 2, "plan": "pro" }))), "1.1.1.1"), 2);
    assert_eq!(admitted(Some(user(json!({ "user_id": 3, "plan": "free" }))), "1.1.1.1"), 1);
    assert_eq!(admitted(None, "1.1.1.1"), 2);
    assert_eq!(admitted(None, "1.1.1.1"), 0);
    assert_eq!(admitted(None, "1.1.1.2"), 2);
}

#[test]
fn without_a_rate_for_nobody_nobody_is_still_counted() {
    let mut gate = gate("l: { key: [subject], rate: 1/m }, s: { key: [service], rate: 9/m }", "off", "l, s");
    assert_eq!((gate.status(get("/a")), gate.status(get("/a"))), (None, Some(429)));
    assert_eq!(gate.status(get("/a").from("1.1.1.1")), None);
}

#[test]
fn burst_and_sustained_are_one_decision_all_or_nothing() {
    let mut gate =
        gate("l: { key: [client_ip], rate: 4/m, burst: 2/s }, m: { key: [client_ip], rate: 100/m }", "draft", "l, m");
    let mut remaining = Vec::new();
    for second in 0..3 {
        for _ in 0..4 {
            let outcome = gate.send(get("/a"));
            remaining.push((second, outcome.status));
        }
        gate.wait(3);
    }
    let admitted: Vec<u32> =
        remaining.iter().filter(|(_, status)| status.is_none()).map(|(second, _)| *second).collect();
    assert_eq!(admitted, [0, 0, 1, 1], "what the burst refused was not charged to the minute");
    let refused = gate.send(get("/a"));
    assert_eq!(refused.response("ratelimit").unwrap().split(';').next(), Some("\"l\""));
    let retry: u64 = refused.response("retry-after").unwrap().parse().unwrap();
    gate.wait(retry);
    assert_eq!(gate.status(get("/a")), None, "a client that waits as long as it was told is admitted");
}

#[test]
fn another_burst_gives_nobody_a_limit_anew() {
    let with = |burst: &str| {
        format!("{CALLERS}{}", sections(&format!("l: {{ key: [subject], rate: 2/h{burst} }}"), "off", "l"))
    };
    let mut gate = Gate::bare(&with(""));
    let who = || get("/a").bearer(&user(json!({})));
    assert_eq!([(); 3].map(|()| gate.status(who())), [None, None, Some(429)]);
    for burst in [", burst: 100/s", ", burst: 9/m", ""] {
        gate.reload(&with(burst));
        assert_eq!(gate.status(who()), Some(429), "{burst}");
    }
}

#[test]
fn tells_the_client_where_it_stands() {
    let limits = "l: { key: [client_ip], rate: 2/m, burst: 2/s }";
    let mut draft = gate(limits, "draft", "l");
    let first = draft.send(get("/a"));
    assert_eq!(first.response("ratelimit-policy"), Some("\"l\";q=2;w=60, \"l-burst\";q=2;w=1"));
    assert!(first.response("ratelimit").unwrap().starts_with("\"l\";r=1;t="), "{:?}", first.response);
    assert_eq!((first.response("x-ratelimit-limit"), first.response("retry-after")), (None, None));
    let mut x = gate(limits, "x", "l");
    let first = x.send(get("/a"));
    assert_eq!((first.response("x-ratelimit-limit"), first.response("x-ratelimit-remaining")), (Some("2"), Some("1")));
    assert_eq!(first.response("ratelimit"), None);
    let _ = x.send(get("/a"));
    let refused = x.send(get("/a"));
    assert_eq!((refused.status, refused.response("x-ratelimit-remaining")), (Some(429), Some("0")));
    assert_eq!(refused.response("x-ratelimit-reset"), refused.response("retry-after"));
    assert_eq!(refused.events[0]["details"]["limit"], "l");
    let mut both = gate(limits, "both", "l");
    let first = both.send(get("/a"));
    assert!(first.response("ratelimit").is_some() && first.response("x-ratelimit-reset").is_some());
    let mut off = gate(limits, "off", "l");
    assert!(off.send(get("/a")).response.iter().all(|(name, _)| !name.contains("ratelimit")));
}

#[test]
fn the_parts_of_a_key_count_together() {
    let mut gate = gate("l: { key: [client_ip, { header: x-tenant }], rate: 1/m }", "off", "l");
    let of = |tenant: &str, address: &str| get("/a").header("x-tenant", tenant).from(address);
    assert_eq!(gate.status(of("a", "1.1.1.1")), None);
    assert_eq!(gate.status(of("a", "1.1.1.1")), Some(429));
    assert_eq!(gate.status(of("b", "1.1.1.1")), None);
    assert_eq!(gate.status(of("a", "1.1.1.2")), None);
    assert_eq!(gate.status(of("a", "[2001:db8::1]")), None);
    assert_eq!(gate.status(of("a", "[2001:db8::2]")), Some(429), "one /64");
}

#[test]
fn who_sends_no_header_or_several_is_counted_by_address() {
    let mut gate = gate("l: { key: [{ header: x-tenant }], rate: 1/m }", "off", "l");
    let twice = |first: &str, address: &str| get("/a").header("x-tenant", first).header("x-tenant", "a").from(address);
    assert_eq!(gate.status(twice("r1", "1.1.1.1")), None);
    assert_eq!(gate.status(twice("r2", "1.1.1.1")), Some(429), "another first value is no new count");
    assert_eq!(gate.status(get("/a").header("x-tenant", "").from("1.1.1.1")), Some(429));
    assert_eq!(gate.status(get("/a").from("1.1.1.1")), Some(429));
    assert_eq!(gate.status(get("/a").from("1.1.1.2")), None, "nobody spends what is another's");
    assert_eq!(gate.status(get("/a").header("x-tenant", "a").from("1.1.1.1")), None);
    assert_eq!(gate.status(get("/a").header("x-tenant", "a").from("1.1.1.3")), Some(429));
}

#[test]
fn a_request_that_shares_a_counter_for_want_of_room_goes_on_and_is_told() {
    let limits = sections("l: { key: [client_ip], rate: 9/m }", "off", "l");
    let mut gate = Gate::new(&format!("{limits}\ntables: {{ addresses: 64 }}"));
    let mut told = Vec::new();
    for n in 0..=255 {
        let outcome = gate.send(get("/a").from(&format!("10.{n}.0.1")));
        assert_eq!(outcome.status, None);
        told.extend(outcome.told());
    }
    assert!(told.len() > 50 && told.iter().all(|event| event == "DEGRADED limits_table_full"), "{told:?}");
}

#[test]
fn a_service_has_a_limit_of_its_own() {
    let mut gate = gate("l: { key: [service], rate: 1/m }", "off", "l");
    assert_eq!(gate.status(get("/a").signed("order-service")), None);
    assert_eq!(gate.status(get("/a").signed("order-service").from("1.1.1.1")), Some(429));
    assert_eq!(gate.status(get("/a").signed("orders-admin")), None);
}
