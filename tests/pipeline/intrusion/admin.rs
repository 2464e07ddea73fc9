//! The endpoint that lists and lifts blocks.

use super::*;

fn world() -> World {
    World::new(json!({ "failures": 2, "admin": { "roles": ["admin"] } }))
}

const DESK: &str = "192.0.2.1";

impl World {
    fn admin(&mut self, method: &str, path: &str) -> (u16, Value) {
        let asked = self.send(DESK, method, path, &[bearer(&token(KEY, json!({ "roles": ["admin"] })))]);
        let Next::Reply(reply) = &asked.next else { panic!("went upstream: {path}") };
        let header = |name: &str| reply.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.to_string());
        assert_eq!(header("cache-control").as_deref(), Some("no-store"), "{path}");
        let kind = if reply.status == 200 { "application/json" } else { "application/problem+json" };
        assert_eq!(header("content-type").as_deref(), Some(kind), "{path}");
        if reply.status == 405 {
            assert!(header("allow").is_some());
        }
        (reply.status, serde_json::from_str(&reply.body).unwrap())
    }
}

#[test]
fn lists_shows_and_lifts_a_block() {
    let mut world = world();
    world.fail_times(CLIENT, 2);
    world.fail_times("2001:db8:1:2::3", 2);
    let (status, list) = world.admin("GET", "/.portcullis/blocked");
    assert_eq!((status, &list["next"]), (200, &json!(null)));
    let until = START + HOUR;
    let (v4, v6) = (
        json!({ "address": CLIENT, "until": until }),
        json!({
            "address": "2001:db8:1:2::", "network": "2001:db8:1:2::/64", "until": until
        }),
    );
    let blocked = list["blocked"].as_array().unwrap();
    assert!(blocked.len() == 2 && blocked.contains(&v4) && blocked.contains(&v6), "{list}");
    assert_eq!(world.admin("GET", "/.portcullis/blocked/203.0.113.7"), (200, v4));
    assert_eq!(world.admin("GET", "/.portcullis/blocked/2001:db8:1:2::99"), (200, v6.clone()));
    assert_eq!(world.admin("GET", "/.portcullis/blocked/2001%3Adb8%3A1%3A2%3A%3A"), (200, v6));

    let (status, lifted) = world.admin("DELETE", "/.portcullis/blocked/203.0.113.7");
    assert_eq!((status, lifted), (200, json!({ "unblocked": [{ "address": CLIENT }] })));
    assert!(!world.is_blocked(CLIENT));
    assert!(world.is_blocked("2001:db8:1:2::3"));
    assert_eq!(world.admin("GET", "/.portcullis/blocked/203.0.113.7").0, 404);
    assert_eq!(world.admin("DELETE", "/.portcullis/blocked/203.0.113.7").0, 404);
    world.fail_times(CLIENT, 1);
    assert!(!world.is_blocked(CLIENT), "the count begins anew");
}

#[test]
fn who_lifted_which_block_is_told() {
    let mut world = world();
    world.fail_times("2001:db8:1:2::3", 2);
    let admin = [bearer(&token(KEY, json!({ "sub": "root", "roles": ["admin"] })))];
    let lifted = world.send(DESK, "DELETE", "/.portcullis/blocked/2001:db8:1:2::3", &admin);
    let told = lifted.event("IP_UNBLOCKED").unwrap();
    assert_eq!((&told["ip_address"], &told["network"]), (&json!("2001:db8:1:2::3"), &json!("2001:db8:1:2::/64")));
    assert_eq!((&told["user"], &told["reason"]), (&json!("root"), &json!("admin")));
    assert_eq!(EventType::IpUnblocked.severity(), Severity::Info);
}

#[test]
fn an_address_that_is_not_blocked_can_be_forgiven_its_failures() {
    let mut world = world();
    world.fail_times(CLIENT, 1);
    assert_eq!(world.admin("DELETE", "/.portcullis/blocked/203.0.113.7").0, 404);
    world.fail_times(CLIENT, 1);
    assert!(!world.is_blocked(CLIENT));
}

#[test]
fn only_a_verified_caller_with_the_role_may_use_it_whatever_the_mode() {
    for mode in ["enforce", "monitor", "off"] {
        let mut world = World::new(json!({}));
        world.configure(json!({
            "mode": mode,
            "roles": { "owner": ["admin"] },
            "authentication": {
                "mode": mode,
                "jwt": { "users": {
                    "issuer": "auth", "algorithms": ["HS256"], "keys": [{ "secret": "key" }],
                    "claims": { "subject": "sub", "roles": "roles" },
                } },
                "service": {
                    "keys": [{ "secret": "key" }], "services": { "orders": { "token": { "secret": "token" } } },
                    "signatures": ["v1"], "replay": { "v1": "allow" },
                },
            },
            "intrusion": { "admin": { "roles": ["admin"] } },
            "routes": [{ "match": { "path": "/**" }, "authenticate": "none" }],
            "unmatched": "allow",
        }));
        let with_roles = |roles: Value| vec![bearer(&token(KEY, json!({ "roles": roles })))];
        for (headers, status) in [
            (vec![], 401),
            (vec![bearer(&token("another key", json!({ "roles": ["admin"] })))], 401),
            (vec![bearer(&token(KEY, json!({ "roles": ["admin"], "exp": START - 600 })))], 401),
            (with_roles(json!([])), 403),
            (with_roles(json!(["user"])), 403),
            (signature("orders", START, "order-token", KEY), 403),
            (with_roles(json!(["admin"])), 200),
            (with_roles(json!(["owner"])), 200),
        ] {
            for path in ["/.portcullis/blocked", "/.portcullis/./blocked/", "/x/../.portcullis/blocked"] {
                let answer = world.send(DESK, "GET", path, &headers);
                assert_eq!(answer.status(), status, "{mode} {path} {headers:?}");
                assert!(matches!(answer.next, Next::Reply(_)), "never routed upstream");
            }
        }
    }
}

#[test]
fn what_it_does_not_know_is_answered_here_as_well() {
    let mut world = world();
    for (method, path, status) in [
        ("GET", "/.portcullis", 404),
        ("GET", "/.portcullis/", 404),
        ("GET", "/.portcullis/elsewhere", 404),
        ("GET", "/.portcullis/blocked/192.0.2.0/24", 404),
        ("POST", "/.portcullis/blocked", 405),
        ("DELETE", "/.portcullis/blocked", 405),
        ("PUT", "/.portcullis/blocked/192.0.2.1", 405),
        ("OPTIONS", "/.portcullis/blocked/192.0.2.1", 405),
        ("GET", "/.portcullis/blocked/somebody", 400),
        ("DELETE", "/.portcullis/blocked/010.0.0.1", 400),
        ("GET", "/.portcullis/blocked?from=-1", 400),
        ("GET", "/.portcullis/blocked?limit=0", 400),
        ("GET", "/.portcullis/blocked?limit=1001", 400),
        ("GET", "/.portcullis/blocked?page=2", 400),
        ("GET", "/.portcullis/blocked?from=99999999999", 200),
    ] {
        assert_eq!(world.admin(method, path).0, status, "{method} {path}");
    }
    assert_eq!(world.told(EventType::AccessDenied), 0, "a mistake of an administrator is no security event");
    assert_eq!(world.get(CLIENT, "/.portcullisx").status(), 401, "other paths are none of its own");
}

#[test]
fn the_pages_of_the_list_hold_every_block_once() {
    let mut world = world();
    let expected: std::collections::BTreeSet<String> = (0..60).map(|n| format!("198.{n}.100.7")).collect();
    for address in &expected {
        world.fail_times(address, 2);
    }
    let (mut from, mut seen, mut pages) = (json!(0), Vec::new(), 0);
    while !from.is_null() {
        let (status, page) = world.admin("GET", &format!("/.portcullis/blocked?from={from}&limit=10"));
        assert_eq!(status, 200);
        let blocked = page["blocked"].as_array().unwrap();
        assert!(blocked.len() < 18, "a page ends with the set that fills it");
        seen.extend(blocked.iter().map(|entry| entry["address"].as_str().unwrap().to_owned()));
        from = page["next"].clone();
        pages += 1;
    }
    assert!((4..=7).contains(&pages), "{pages}");
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen.into_iter().collect::<std::collections::BTreeSet<_>>(), expected);
}

#[test]
fn is_found_where_the_operator_puts_it_and_nowhere_else() {
    let mut world = World::new(json!({ "admin": { "path": "/internal/edge/", "roles": ["admin"] } }));
    assert_eq!(world.admin("GET", "/internal/edge/blocked").0, 200);
    assert_eq!(world.get(CLIENT, "/.portcullis/blocked").status(), 401, "a path like any other");
    let mut world = World::new(json!({}));
    let admin = [bearer(&token(KEY, json!({ "roles": ["admin"] })))];
    assert_eq!(world.send(DESK, "GET", "/.portcullis/blocked", &admin).status(), 200, "to the upstream");
}

#[test]
fn refuses_a_path_or_roles_that_cannot_work() {
    let errors = |changes: Value| {
        let surroundings = Surroundings { store: &NativeHost::default().store, variable: &|_| None, random: [1; 4] };
        let errors = assemble(changes.to_string().as_bytes(), &surroundings).err().unwrap_or_default();
        errors.into_iter().map(|error| error.path).collect::<Vec<_>>()
    };
    for path in ["/", "//", "/a/*", "/a/**", "/{a}", "/a//b", "/a/../b", "/a%2fb", "/a;b"] {
        let intrusion = json!({ "admin": { "path": path, "roles": ["admin"] } });
        assert!(errors(json!({ "intrusion": intrusion })).contains(&"intrusion.admin.path".to_owned()), "{path}");
    }
    assert_eq!(errors(json!({ "intrusion": { "admin": { "roles": ["admin"] } } })), ["intrusion.admin.roles"]);
    assert_eq!(errors(json!({ "intrusion": { "within": "500ms" } })), ["intrusion.within"]);
}
