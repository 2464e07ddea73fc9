//! What a request, a configuration and a tick do.

use serde_json::{Value, json};

use crate::requests::{Request, SECRET, claims, configuration, plain, signed, token};
use crate::vm::Vm;

#[test]
fn a_good_request_passes_with_its_identity_and_without_what_only_the_proxy_may_say() {
    let mut vm = Vm::serving(&plain());
    let outcome = vm.request(
        &Request::get("/api/../api/./orders//7?q=1")
            .by("ada")
            .header("x-auth-subject", "root")
            .header("X_Auth_Roles", "admin")
            .header("x-user-email", "root@example.com")
            .header("x-forwarded-client-cert", "By=spiffe://forged"),
    );
    assert_eq!((outcome.status(), outcome.leaked), (200, 0));
    assert_eq!(outcome.upstream("x-auth-subject").as_deref(), Some("ada"));
    assert_eq!(outcome.upstream("x-auth-roles").as_deref(), Some("user"));
    assert_eq!(outcome.upstream("x-user-email").as_deref(), Some("ada@example.com"));
    for absent in ["authorization", "x_auth_roles", "x-forwarded-client-cert"] {
        assert_eq!(outcome.upstream(absent), None, "{absent}");
    }
    assert_eq!(outcome.upstream(":path").as_deref(), Some("/api/orders/7?q=1"));
    assert_eq!(outcome.upstream("user-agent").as_deref(), Some("test/1.0"));
    assert_eq!(vm.host().metric("auth_failures_total"), 0);
    assert!(vm.host().log.is_empty(), "{:?}", vm.host().log);
}

#[test]
fn the_response_of_the_upstream_carries_limits_and_security_headers() {
    let mut vm = Vm::serving(&plain());
    let outcome = vm.request(&Request::get("/api/a").by("ada"));
    let names: Vec<_> = outcome.response.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
    for name in [":status", "ratelimit", "ratelimit-policy", "x-content-type-options", "strict-transport-security"] {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
}

#[test]
fn a_bad_token_is_answered_with_a_problem_an_event_and_counts() {
    let forged = signed(&claims("ada"), &SECRET.to_uppercase());
    let mut expired = claims("ada");
    expired["exp"] = json!(1_700_000_000);
    expired["iat"] = json!(1_699_999_000);
    let expired = token(&expired);
    for (token, reason) in [(None, "missing"), (Some(forged), "bad_signature"), (Some(expired), "expired")] {
        let mut vm = Vm::serving(&plain());
        let request = Request::get("/api/orders?secret=1");
        let outcome = vm.request(&token.as_ref().map_or(request.clone(), |token| request.bearer(token)));
        let reply = outcome.reply.clone().unwrap();
        assert_eq!((reply.status, reply.details.as_str(), outcome.passed), (401, reason, false));
        // UNAUTHENTICATED, for callers that speak gRPC.
        assert_eq!(reply.grpc_status, 16);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"), "{reply:?}");
        let problem: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((&problem["status"], &problem["request_id"]), (&json!(401), &json!("5e1f")));

        let (level, line) = vm.host().log.last().cloned().unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((level, &event["event_type"]), (3, &json!("AUTH_FAILURE")));
        assert_eq!(event["details"]["reason"], reason);
        assert_eq!(event["details"]["path"], "/api/orders");
        assert_eq!(event["details"]["ip_address"], "203.0.113.7");
        assert_eq!(outcome.property, line);
        assert!(token.is_none_or(|token| !line.contains(&token)));

        let host = vm.host();
        assert_eq!(host.metric(&format!("auth_failures_total~service=user-service~reason={reason}")), 1);
        assert_eq!(host.metric("auth_failures_total"), 1);
        assert_eq!(host.metric("blocked_requests_total~service=user-service~reason=invalid_credentials"), 1);
        assert_eq!(host.metric("security_events_total~event_type=AUTH_FAILURE"), 1);
    }
}

#[test]
fn the_access_log_is_told_every_event_of_an_exchange_on_a_line_of_its_own() {
    let mut watched = configuration();
    watched["mode"] = json!("monitor");
    let outcome =
        Vm::serving(&watched.to_string()).request(&Request::get("/api/a?q=%3Cscript%3Ealert(1)%3C/script%3E"));
    let event = |line: &str| serde_json::from_str::<Value>(line).unwrap()["event_type"].clone();
    let told: Vec<Value> = outcome.property.lines().map(event).collect();
    assert!(outcome.passed && told.contains(&json!("AUTH_FAILURE")) && told.contains(&json!("SUSPICIOUS_REQUEST")));
}

#[test]
fn what_the_upstream_refuses_is_counted_and_what_is_refused_here_is_not_counted_again() {
    let mut vm = Vm::serving(&plain());
    let mut request = Request::get("/api/a").by("ada");
    request.upstream_status = 401;
    assert_eq!(vm.request(&request).status(), 200);
    assert_eq!(vm.host().metric("auth_failures_total~service=user-service~reason=upstream_401"), 1);
    vm.request(&Request::get("/api/a"));
    assert_eq!(vm.host().metric("blocked_requests_total~service=user-service~reason=invalid_credentials"), 2);
}

/// It may be a token that has only expired, or a limit that everybody shares.
#[test]
fn what_a_filter_behind_the_module_refuses_is_not_counted_as_the_upstreams() {
    let mut vm = Vm::serving(&plain());
    let refusals = |vm: &mut Vm| vm.host().metric("blocked_requests_total") + vm.host().metric("auth_failures_total");
    for (details, status) in [
        ("jwt_authn_access_denied{Jwt_is_expired}", 401),
        ("invalid_credential_for_basic_auth", 401),
        ("ext_authz_denied", 403),
        ("rbac_access_denied_matched_policy[none]", 403),
        ("local_rate_limited", 429),
    ] {
        let mut request = Request::get("/api/a").by("ada");
        (request.upstream_status, request.code_details) = (status, details);
        vm.request(&request);
        assert_eq!(refusals(&mut vm), 0, "{details}");
    }
    for details in ["via_upstream", ""] {
        let mut request = Request::get("/api/a").by("ada");
        (request.upstream_status, request.code_details) = (429, details);
        let before = refusals(&mut vm);
        vm.request(&request);
        assert_eq!(refusals(&mut vm), before + 1, "{details}");
    }
}

#[test]
fn a_sensitive_path_is_recorded_with_the_time_its_response_took() {
    let mut vm = Vm::serving(&plain());
    let outcome = vm.request(&Request::get("/api/payments/1").by("ada"));
    let event: Value = serde_json::from_str(&outcome.property).unwrap();
    assert_eq!(event["event_type"], "SENSITIVE_ACCESS");
    assert_eq!(event["details"]["status"], 200);
    assert_eq!(event["details"]["user"], "ada");
}

#[test]
fn a_bad_configuration_is_refused_by_its_fields_and_the_good_one_goes_on_serving() {
    let mut vm = Vm::new();
    let good = vm.configure(&plain()).unwrap();
    let mut bad = configuration();
    bad["authentication"]["jwt"]["users"]["algorithms"] = json!(["none"]);
    bad["limits"]["per_user"]["rate"] = json!("often");
    let refused = vm.configure(&bad.to_string()).unwrap_err();
    assert!(vm.host().logged("authentication.jwt.users.algorithms"), "{:?}", vm.host().log);
    assert!(vm.host().logged("limits.per_user.rate"), "{:?}", vm.host().log);

    assert_eq!(vm.request_under(good, &Request::get("/api/a").by("ada")).status(), 200);
    assert_eq!(vm.request_under(good, &Request::get("/api/a")).status(), 401);
    assert_eq!(vm.request_under(refused, &Request::get("/api/a").by("ada")).status(), 503);
}

/// A worker that is told a long chain of roles must not be away for minutes only to refuse it.
#[test]
fn the_work_of_refusing_too_many_roles_grows_with_their_number() {
    let cost = |roles: usize| {
        let chain: serde_json::Map<_, _> =
            (0..roles).map(|at| (format!("r{at}"), json!([format!("r{}", at + 1)]))).collect();
        let mut vm = Vm::new();
        vm.configure(&json!({ "roles": chain }).to_string()).unwrap_err();
        assert!(vm.host().logged("roles: expected at most 128"), "{:?}", vm.host().log);
        vm.fuel
    };
    let (once, twice) = (cost(500), cost(1_000));
    assert!(twice * 10 < once * 25, "{once}, then {twice}");
}

#[test]
fn a_secret_that_is_not_there_is_refused_by_its_name_and_never_printed() {
    let mut vm = Vm::new();
    vm.host().variables.clear();
    vm.configure(&plain()).unwrap_err();
    assert!(vm.host().logged("secrets.jwt_secret"), "{:?}", vm.host().log);
    let mut vm = Vm::serving(&plain());
    vm.request(&Request::get("/api/a").bearer("x.y.z"));
    assert!(!vm.host().logged(SECRET));
}

#[test]
fn without_a_good_configuration_everything_is_refused() {
    for configuration in ["{", "[]", "null", "{\"servise\":\"a\"}"] {
        let mut vm = Vm::new();
        let root = vm.configure(configuration).unwrap_err();
        for request in [
            Request::get("/health"),
            Request::get("/api/a").by("ada"),
            Request::post("/health", &["{}"]),
            Request::post("/health", &["{}"]).trailers(&[("x", "y")]),
        ] {
            let outcome = vm.request_under(root, &request);
            assert_eq!((outcome.status(), outcome.passed, outcome.leaked), (503, false, 0), "{configuration}");
        }
        vm.tick(root);
    }
}

#[test]
fn an_empty_configuration_lets_nothing_pass() {
    for configuration in ["", "{}"] {
        let mut vm = Vm::new();
        let (Ok(root) | Err(root)) = vm.configure(configuration);
        for request in [Request::get("/health"), Request::get("/api/a").by("ada"), Request::post("/api/a", &["{}"])] {
            let outcome = vm.request_under(root, &request);
            assert!(matches!(outcome.status(), 403 | 503), "{configuration:?}: {outcome:?}");
        }
    }
}

/// A host may try a configuration in a fresh VM and then give it to those that serve: all must say the same of it.
#[test]
fn a_fresh_vm_refuses_an_empty_configuration_as_well() {
    assert!(Vm::new().configure("").is_err());
}

#[test]
fn an_empty_configuration_does_not_take_the_place_of_a_good_one() {
    let mut vm = Vm::serving(&plain());
    assert!(vm.configure("").is_err());
    assert!(vm.host().logged("it is empty"));
    assert_eq!(vm.request(&Request::get("/health")).status(), 200);
}

#[test]
fn a_flood_of_events_is_cut_and_the_rest_is_stated_at_the_tick() {
    let mut vm = Vm::serving(&plain());
    for _ in 0..250 {
        assert_eq!(vm.request(&Request::get("/api/a")).status(), 401);
    }
    assert_eq!(vm.host().log.len(), 100);
    assert_eq!(vm.host().metric("security_events_total~event_type=AUTH_FAILURE"), 250);
    vm.tick(1);
    let (_, line) = vm.host().log.last().cloned().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["details"]["left_out"], 150);
}

#[test]
fn a_preflight_is_answered_here() {
    let mut vm = Vm::serving(&plain());
    let preflight = Request::new("OPTIONS", "/api/a")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST");
    let reply = vm.request(&preflight).reply.unwrap();
    assert!(reply.status == 200 || reply.status == 204, "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example.com"));
}
