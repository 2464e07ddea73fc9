//! `portcullis check`: good or not, and which field is wrong.

use std::path::PathBuf;

use crate::tool::{File, portcullis};

fn check(name: &str, text: &str) -> (i32, String, String) {
    let file = File::new(name, text);
    let (code, out, err) = portcullis(&["check", file.path()], "");
    let plain = |text: String| text.replace(&format!("{}: ", file.path()), "");
    (code, without_fingerprint(&plain(out)), plain(err))
}

/// The rest of what is said of good configurations.
fn without_fingerprint(out: &str) -> String {
    out.lines().map(|line| line.split(", fingerprint ").next().unwrap().to_owned() + "\n").collect()
}

#[test]
fn check_exits_0_for_a_good_configuration_and_warns_of_an_inline_secret_once() {
    let text = "secrets: { a: { inline: 0123456789abcdef0123456789abcdef } }";
    let (code, out, err) = check("good.yaml", text);
    assert_eq!((code, out.as_str()), (0, "good, routes: 0\n"));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.starts_with("warning: secrets.a.inline: "), "{err}");
}

#[test]
fn check_warns_of_a_burst_that_is_counted_for_longer_than_the_rate() {
    let limits = |rate: &str| format!("limits: {{ l: {{ key: [client_ip], {rate} }} }}");
    let long = "warning: limits.l.burst: its window is longer than that of the rate: a burst is what may come at once (line 1)\n";
    for (rate, expected) in [
        ("rate: 5/h, burst: 50/2h", long),
        ("tiers: [{ role: a, rate: 5/d }, { rate: 5/h }], burst: 50/2h", long),
        ("rate: 5/h, burst: 2/m", ""),
    ] {
        assert_eq!(check("burst.yaml", &limits(rate)), (0, "good, routes: 0\n".into(), expected.into()), "{rate}");
    }
}

#[test]
fn check_reads_the_standard_input() {
    let (code, out, err) = portcullis(&["check", "-"], "unmatched: deny\n");
    assert_eq!((code, without_fingerprint(&out).as_str(), err.as_str()), (0, "-: good, routes: 0\n", ""));
    assert_eq!(portcullis(&["check", "-"], "unmatched: x\n").0, 2);
}

/// By which the log of a proxy says what it has accepted.
#[test]
fn check_says_the_same_fingerprint_of_all_texts_that_say_the_same() {
    let fingerprint = |text: &str| {
        let (code, out, err) = portcullis(&["check", "-"], text);
        let found = out.trim_end().split_once(", fingerprint ").map(|(_, found)| found.to_owned());
        let found = found.unwrap_or_else(|| panic!("{code} {out} {err}"));
        assert!(found.len() == 12 && found.bytes().all(|byte| byte.is_ascii_hexdigit()), "{found}");
        found
    };
    let bare = fingerprint("service: a\ntables: { limits: 5000 }\n");
    let (json, value) = (r#"{"tables":{"limits":5e3},"service":"a"}"#, "{ tables: { limits: 5000.0 }, service: a }");
    let url = "type.googleapis.com/google.protobuf";
    for text in [
        json,
        &format!("configuration: {{ \"@type\": {url}.StringValue, value: '{json}' }}"),
        &format!("configuration: {{ \"@type\": {url}.Struct, value: {value} }}"),
        &format!("kind: WasmPlugin\nspec: {{ url: x, pluginConfig: {value} }}"),
    ] {
        assert_eq!(fingerprint(text), bare, "{text}");
    }
    assert_ne!(fingerprint("service: a\ntables: { limits: 5001 }\n"), bare);
    let secret = |value: &str| fingerprint(&format!("secrets: {{ k: {{ inline: {value} }} }}"));
    assert_eq!(secret("one"), secret("two"), "a secret must not be guessed from it");
}

#[test]
fn check_needs_no_environment() {
    let text = "
secrets: { k: { env: PORTCULLIS_NOT_SET_ANYWHERE } }
authentication: { jwt: { a: { algorithms: [HS512], keys: [{ secret: k }] } } }";
    assert_eq!(check("environment.yaml", text), (0, "good, routes: 0\n".into(), String::new()));
}

#[test]
fn check_takes_no_two_variables_for_the_same_key() {
    let text = "
secrets: { a: { env: A }, b: { env: B } }
authentication: { api_keys: { keys: { one: { secret: a }, two: { secret: b } } } }";
    assert_eq!(check("environment.yaml", text), (0, "good, routes: 0\n".into(), String::new()));
}

#[test]
fn check_names_the_field_of_what_only_compiling_finds() {
    let cases = [
        ("inspection: { patterns: [{ id: a, regex: 'a.*b' }] }", "inspection.patterns[0].regex: expected a literal"),
        ("inspection: { patterns: [{ id: a, regex: '(abc' }] }", "inspection.patterns[0].regex: not a regular"),
        (
            "authentication: { jwt: { a: { algorithms: [ES256], jwks: { inline: { keys: [{ kty: EC }] } } } } }",
            "authentication.jwt.a.jwks.inline.keys[0]: ",
        ),
        (
            "authentication: { jwt: { a: { algorithms: [ES256], jwks: { inline: {} } } } }",
            "authentication.jwt.a.jwks.inline: ",
        ),
        (
            "routes: [{ match: { path: /a }, inspection: { exclude: [{ rule: sql-comet }] } }]",
            "routes[0].inspection.exclude[0].rule: there is no rule or pattern \"sql-comet\"",
        ),
        ("routes: [{ match: { path: '/{a}/{a}' } }]", "routes[0].match.path: `{a}`: expected each name once"),
        ("routes: [{ match: { hosts: [a, 'b.*'] } }]", "routes[0].match.hosts[1]: expected a host"),
        ("roles: { a: [b] }\nlimits: { l: { key: [client_ip], rate: 1/400d } }", "limits.l.rate: "),
        (
            "authentication: { oauth2: { a: { userinfo: { cluster: c, uri: idp/userinfo } } } }",
            "authentication.oauth2.a.userinfo.uri: expected an address with scheme and host",
        ),
        (
            "secrets: { k: { inline: a }, l: { inline: a } }
authentication: { api_keys: { keys: { one: { secret: k }, two: { secret: l } } } }",
            "authentication.api_keys.keys.two.secret: has the value of that of one",
        ),
        (
            "secrets: { k: { inline: a } }
authentication: { api_keys: { keys: { one: { secret: k, roles: ['a,b'] } } } }",
            "authentication.api_keys.keys.one.roles: expected names without commas",
        ),
        (
            "secrets: { k: { env: K }, t: { env: T } }
authentication: { jwt: { a: { algorithms: [HS256], keys: [{ secret: k }], claim_to_headers: { x_service_name: email } } } }
outbound: { sign: { service: s, token: { secret: t }, keys: [{ secret: k }] } }",
            "authentication.jwt.a.claim_to_headers.x_service_name: expected a header that nothing else needs",
        ),
        (
            "headers: { identity: { subject: X-Original-URL } }",
            "headers.identity.subject: expected a header that nothing else needs",
        ),
    ];
    for (text, expected) in cases {
        let (code, out, err) = check("bad.yaml", text);
        assert_eq!((code, out.as_str()), (2, ""), "{text}");
        assert!(err.lines().any(|line| line.starts_with(expected)), "{text}: {err}");
    }
}

#[test]
fn check_warns_of_what_can_never_take_effect() {
    let text = r#"
routes:
  - match: { path: "/users/{id}", methods: [GET, PUT], hosts: [a.example, b.example], headers: { x-a: "1", x-b: "2" } }
    authenticate: none
    deny: [{ roles: [guest] }]
  - match: { path: "/users/{user}", methods: [GET, PUT] }
    authenticate: none
  - match: { path: "/users/*/", methods: [PUT, GET], hosts: [B.example, a.example], headers: { X-B: "2", x-a: "1" } }
    authenticate: none"#;
    let (code, out, err) = check("shadowed.yaml", text);
    assert_eq!((code, out.as_str()), (0, "good, routes: 3\n"));
    let warnings: Vec<&str> = err.lines().collect();
    assert_eq!(
        warnings,
        [
            "warning: routes[0].deny[0].roles: no method of authentication of this route says so: the entry refuses nobody (line 5)",
            "warning: routes[2].match: is never taken: routes[0].match matches the same requests (line 8)",
        ]
    );
}

#[test]
fn check_warns_of_what_nothing_refers_to() {
    let text = "
secrets: { used: { env: A }, pii: { env: B }, stored: { kubernetes: { cluster: c, namespace: default, secret: pii, field: key, token: { env: T } } } }
authentication: { api_keys: { keys: { a: { secret: used } } } }
limits: { one: { key: [client_ip], rate: 1/s }, two: { key: [client_ip], rate: 1/s }, three: { key: [client_ip], rate: 1/s } }
defaults: { authenticate: [api_keys], limits: [one] }";
    let routes = "\nroutes: [{ match: { path: /a } }, { match: { path: /b }, limits: [two] }]";
    let expected = "warning: secrets.pii: nothing uses it (line 2)
warning: secrets.stored: nothing uses it (line 2)
warning: limits.three: limits nothing: no route names it (line 4)
";
    assert_eq!(check("idle.yaml", &format!("{text}{routes}")), (0, "good, routes: 2\n".into(), expected.into()));
    assert_eq!(check("part.yaml", text), (0, "good, routes: 0\n".into(), String::new()));
}

#[test]
fn check_warns_of_routes_that_are_public_because_nobody_said_otherwise() {
    let jwt =
        "secrets: { k: { env: K } }\nauthentication: { jwt: { a: { algorithms: [HS256], keys: [{ secret: k }] } } }\n";
    let routes = "routes: [{ match: { path: /a } }, { match: { path: /b }, authenticate: none }]\n";
    let told = "warning: routes[0].authenticate: is not set, nor is defaults.authenticate: the route is public; none says so where it is meant (line 3)\n";
    for (text, expected) in [
        (format!("{jwt}{routes}"), told),
        (format!("{jwt}{routes}defaults: {{ authenticate: none }}"), ""),
        (routes.to_owned(), ""),
    ] {
        assert_eq!(check("public.yaml", &text), (0, "good, routes: 2\n".into(), expected.into()), "{text}");
    }
}

#[test]
fn check_warns_of_tiers_and_bursts_that_never_count() {
    let tier = "never counts: whom it fits tiers[0] fits as well, which comes first";
    let burst = "never refuses: the rate admits no more than that in a longer time";
    for (limit, field, told) in [
        ("tiers: [{ role: user, rate: 5/h }, { role: user, rate: 9/h }, { rate: 1/h }]", "tiers[1]", tier),
        ("tiers: [{ role: user, rate: 5/h }, { role: admin, rate: 9/h }, { rate: 1/h }]", "tiers[1]", tier),
        (
            "tiers: [{ claim: { a: b }, rate: 5/h }, { role: x, claim: { a: b, c: d }, rate: 9/h }, { rate: 1/h }]",
            "tiers[1]",
            tier,
        ),
        ("tiers: [{ role: admin, rate: 5/h }, { role: user, rate: 9/h }, { rate: 1/h }]", "", ""),
        ("tiers: [{ role: user, claim: { a: b }, rate: 5/h }, { role: user, rate: 9/h }, { rate: 1/h }]", "", ""),
        ("rate: 100/h, burst: 100/s", "burst", burst),
        ("rate: 100/h, burst: 99/s", "", ""),
        ("tiers: [{ role: user, rate: 500/h }, { rate: 100/h }], burst: 200/s", "", ""),
        ("rate: 100/h, burst: 200/s, anonymous: { key: [client_ip], rate: 300/h }", "", ""),
    ] {
        let text = format!(
            "roles: {{ admin: [manager], manager: [user] }}\nlimits: {{ l: {{ key: [subject], {limit} }} }}\nroutes: [{{ match: {{}}, limits: [l] }}]"
        );
        let expected =
            if told.is_empty() { String::new() } else { format!("warning: limits.l.{field}: {told} (line 2)\n") };
        assert_eq!(check("rates.yaml", &text), (0, "good, routes: 1\n".into(), expected), "{limit}");
    }
}

#[test]
fn check_warns_of_a_route_that_an_earlier_one_leaves_nothing() {
    let text = r#"
routes:
  - { match: { path: /a, methods: [GET] } }
  - { match: { path: /a, methods: [PUT] } }
  - { match: { path: "/**", hosts: ["*.example"] }, authenticate: none }
  - { match: { path: "/admin/**", hosts: [a.example], methods: [GET] } }
  - { match: { path: "/admin/**", hosts: [a.example, b.test] } }
  - { match: { path: /a, methods: [PUT, GET] } }"#;
    let expected = "warning: routes[3].match: is never taken: routes[2].match comes before it and takes all of its requests (line 6)\n";
    assert_eq!(check("covered.yaml", text), (0, "good, routes: 6\n".into(), expected.into()));
}

#[test]
fn check_says_that_a_file_is_empty() {
    for text in ["", "\n", "# a comment\n"] {
        let (code, _, err) = check("empty.yaml", text);
        assert_eq!((code, err.as_str()), (2, "is empty; a configuration that sets nothing is {}\n"), "{text:?}");
    }
}

#[test]
fn what_is_no_text_is_refused_with_its_line_and_what_has_no_end_at_a_bound() {
    let name = |file: &str| std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
    let file = name(&format!("{}-latin.yaml", std::process::id()));
    std::fs::write(&file, b"service: a\nmode: off # caf\xe9\n").unwrap();
    let path = file.to_str().unwrap();
    let wrong = format!("{path}: expected UTF-8, found a byte of something else (line 2)\n");
    let endless = "/dev/zero: expected at most 64 MiB\n";
    for (args, start) in [
        (&["check"][..], ""),
        (&["convert"], ""),
        (&["explain", "--request", "GET /"], ""),
        (&["replay", "--log", "/dev/null"], "portcullis replay: "),
    ] {
        for (file, problem) in [(path, wrong.as_str()), ("/dev/zero", endless)] {
            let (code, out, err) = portcullis(&[args, &[file]].concat(), "");
            assert_eq!((code, out.as_str(), err), (2, "", format!("{start}{problem}")), "{args:?}");
        }
    }
    std::fs::remove_file(file).unwrap();
}

/// What the reader of YAML says is for programmers.
#[test]
fn a_text_that_is_too_deep_or_too_much_is_refused_in_plain_words() {
    let deep = (0..70).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
    for (text, problem) in [
        (deep.as_str(), "more of it than is read, depth: 65 at line 65, column 65\n"),
        (&"---\n".repeat(2_000), "more of it than is read, documents: 1025 at line 1025, column 1\n"),
        ("a: 1\na: 2\n", "duplicate mapping key: a at line 2, column 1\n"),
    ] {
        for command in ["check", "convert"] {
            let (code, _, err) = portcullis(&[command, "-"], text);
            assert_eq!((code, err), (2, format!("-: expected YAML or JSON: {problem}")));
        }
    }
}

#[test]
fn check_exits_2_for_a_file_that_is_not_there() {
    let (code, out, err) = portcullis(&["check", "/nowhere/portcullis.yaml"], "");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.starts_with("/nowhere/portcullis.yaml: "), "{err}");
}

#[test]
fn check_takes_the_keys_of_encryption_for_granted_and_not_an_inline_one() {
    let with = |secret: &str| {
        let encryption =
            "encryption: { keys: [{ secret: a }] }\nroutes: [{ match: { path: /a }, body: { encrypt: [b] } }]";
        check("sealed.yaml", &format!("secrets: {{ a: {{ {secret} }} }}\n{encryption}"))
    };
    assert_eq!(with("env: A").0, 0);
    let (code, _, err) = with("inline: s3cret");
    assert_eq!(code, 2);
    assert!(err.contains("encryption.keys[0]: the secret a is no Fernet key") && !err.contains("s3cret"), "{err}");
}

#[test]
fn every_policy_that_is_shipped_is_good_wherever_it_is_carried() {
    let envoy = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("envoy");
    let carriers = [
        ("policies/edge.yaml", 1),
        ("policies/inbound.yaml", 1),
        ("policies/outbound.yaml", 1),
        ("front-proxy/envoy.yaml", 1),
        ("sidecar/envoy.yaml", 2),
        ("istio/portcullis.yaml", 1),
        ("envoy-gateway/portcullis.yaml", 1),
    ];
    for (name, plugins) in carriers {
        let (code, out, err) = portcullis(&["check", envoy.join(name).to_str().unwrap()], "");
        assert_eq!((code, err.as_str()), (0, ""), "{name}");
        assert_eq!(out.matches("good, routes: ").count(), plugins, "{name}: {out}");
    }
}

#[test]
fn check_warns_of_a_configuration_that_authenticates_callers_and_signs_what_passes() {
    let outbound = "secrets: { k: { env: K } }
outbound: { sign: { service: a, token: { secret: k }, keys: [{ secret: k }], signature: v1 } }
unmatched: allow
";
    let inbound = "authentication: { jwt: { a: { algorithms: [HS256], keys: [{ secret: k }] } } }";
    for (text, warns) in [(outbound.to_owned(), false), (format!("{outbound}{inbound}"), true)] {
        let (code, out, err) = check("outbound.yaml", &text);
        assert_eq!(code, 0, "{err}");
        assert_eq!(format!("{out}{err}").contains("outbound: signs every request that passes"), warns, "{out}{err}");
    }
}

#[test]
fn check_names_every_tag_that_cannot_stay() {
    let route = "routes: [{ match: { path: /a }, body: { sanitize_html: { fields: [b], tags: [a, p, img] } } }]";
    let (code, _, err) = check("tags.yaml", route);
    assert_eq!(code, 2);
    for at in [0, 2] {
        assert!(err.contains(&format!("routes[0].body.sanitize_html.tags[{at}]")), "{err}");
    }
}

/// What `check` warns of in a document that carries a configuration; `rest` is the plugin beside it.
fn around(platform: &str, rest: &str, configuration: &str) -> Vec<String> {
    let text = match platform {
        "envoy" => format!(
            "'@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
config: {{ name: portcullis, {rest}, configuration: {{ '@type': type.googleapis.com/google.protobuf.Struct, value: {configuration} }} }}"
        ),
        "istio" => format!("kind: WasmPlugin\nspec: {{ url: 'oci://h/portcullis', {rest}, pluginConfig: {configuration} }}"),
        _ => format!(
            "kind: EnvoyExtensionPolicy\nspec: {{ wasm: [{{ name: portcullis, code: {{ type: Image }}, {rest}, config: {configuration} }}] }}"
        ),
    };
    let (code, _, err) = portcullis(&["check", "-"], &text);
    assert_eq!(code, 0, "{err}");
    let warnings = err.lines().map(|line| line.split_once("warning: ").unwrap().1);
    warnings.map(|warning| warning.split(" (line").next().unwrap().to_owned()).collect()
}

#[test]
fn check_warns_of_variables_that_the_document_does_not_pass_to_the_plugin() {
    let keys = "{ routes: [{ match: { path: /a } }], encryption: { keys: [{ secret: a }, { secret: b }] }, secrets: { a: { env: KEY },
        b: { vault: { cluster: v, path: p, field: f, token: { env: TOKEN } } } }, bodies: { hold: buffer_filter } }";
    let missing = |place: &str| {
        let of = |path: &str, name: &str| format!("{path}: {name} is not passed to the plugin: name it in {place}");
        vec![of("secrets.a.env", "KEY"), of("secrets.b.vault.token.env", "TOKEN")]
    };
    let envoy = missing("vm_config.environment_variables.host_env_keys");
    for (platform, rest, expected) in [
        ("envoy", "vm_config: { environment_variables: { host_env_keys: [KEY, TOKEN] } }", vec![]),
        ("envoy", "vm_config: { environment_variables: { host_env_keys: [KEY], key_values: { TOKEN: t } } }", vec![]),
        ("envoy", "vmConfig: { environmentVariables: { hostEnvKeys: [KEY, TOKEN] } }", vec![]),
        ("envoy", "vm_config: { environment_variables: { host_env_keys: [KEY] } }", envoy[1..].to_vec()),
        ("envoy", "vm_config: { vm_id: portcullis }", envoy),
        ("envoy", "root_id: portcullis", vec![]),
        ("istio", "vmConfig: { env: [{ name: KEY, valueFrom: HOST }, { name: TOKEN, valueFrom: HOST }] }", vec![]),
        ("istio", "phase: AUTHN", missing("vmConfig.env, with valueFrom: HOST")),
        ("gateway", "env: { hostKeys: [KEY, TOKEN] }", vec![]),
        ("gateway", "failOpen: false", missing("env.hostKeys")),
    ] {
        assert_eq!(around(platform, rest, keys), expected, "{platform} {rest}");
    }
}

#[test]
fn check_warns_of_a_plugin_in_which_requests_with_a_body_hang() {
    let config =
        |sections: &str| format!("{{ routes: [{{ match: {{ path: /a }}, authenticate: none }}], {sections} }}");
    let (held, buffered) = (config("unmatched: deny"), config("bodies: { hold: buffer_filter }"));
    let (blind, watches) = (config("inspection: { mode: off }"), config("mode: monitor"));
    let flag = "allow_on_headers_stop_iteration: true";
    for (platform, rest, sections, hangs) in [
        ("envoy", flag, &held, false),
        ("envoy", "allowOnHeadersStopIteration: true", &held, false),
        ("envoy", "allow_on_headers_stop_iteration: false", &held, true),
        ("envoy", "root_id: a", &held, true),
        ("envoy", "root_id: a", &watches, true),
        ("envoy", "root_id: a", &buffered, false),
        ("envoy", "root_id: a", &blind, false),
        ("istio", "phase: AUTHN", &held, true),
        ("istio", "phase: AUTHN", &buffered, false),
        ("gateway", "failOpen: false", &held, true),
        ("gateway", "failOpen: false", &buffered, false),
    ] {
        let told = around(platform, rest, sections);
        assert_eq!(told.len(), usize::from(hangs), "{platform} {rest} {sections}: {told:?}");
        assert!(told.iter().all(|warning| warning.starts_with("bodies.hold: requests with a body hang: ")), "{told:?}");
    }
}

#[test]
fn check_warns_of_a_plugin_whose_failure_lets_everything_pass() {
    let config = "{ routes: [{ match: { path: /a }, authenticate: none }], bodies: { hold: buffer_filter } }";
    for (platform, rest, open) in [
        ("envoy", "failure_policy: FAIL_OPEN", true),
        ("envoy", "failurePolicy: FAIL_OPEN", true),
        ("envoy", "fail_open: true", true),
        ("envoy", "failure_policy: FAIL_RELOAD", false),
        ("istio", "failStrategy: FAIL_OPEN", true),
        ("istio", "failStrategy: FAIL_RELOAD", false),
        ("gateway", "failOpen: true", true),
        ("gateway", "failOpen: false", false),
    ] {
        let told = "lets every request pass when the module fails: say that it fails closed";
        assert_eq!(around(platform, rest, config), vec![told; usize::from(open)], "{platform} {rest}");
    }
}

/// An HTTP connection manager of Envoy with these filters; `PLUGIN` stands for the plugin under `hold`.
fn with_filters(hold: &str, filters: &[&str]) -> String {
    let typed = |name: &&str| match *name {
        "PLUGIN" => format!(
            r#"{{"name":"portcullis","typed_config":{{"@type":"type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm","config":{{"allow_on_headers_stop_iteration":true,"configuration":{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{{"bodies":{{"hold":"{hold}"}}}}}}}}}}}}"#
        ),
        name => format!(
            r#"{{"name":"a","typed_config":{{"@type":"type.googleapis.com/envoy.extensions.filters.http.{name}"}}}}"#
        ),
    };
    let filters: Vec<_> = filters.iter().map(typed).collect();
    let manager =
        format!(r#"{{"name":"manager","typed_config":{{"@type":"a","http_filters":[{}]}}}}"#, filters.join(","));
    let cache = r#"{"name":"a","typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig"}}"#;
    format!(r#"{{"resources":[{{"filter_chains":[{{"filters":[{cache},{manager}]}}]}}]}}"#)
}

#[test]
fn check_warns_of_filters_that_stand_where_the_plugin_cannot_do_what_it_says() {
    const BUFFER: &str = "buffer.v3.Buffer";
    const ROUTER: &str = "router.v3.Router";
    let transcoder = "a filter in front makes gRPC of what clients send: its messages are not inspected; put it behind";
    let cache = "Envoy's cache filter stands in front: it asks the upstream by itself, past the plugin; put it behind";
    let buffer = "the buffer filter does not stand directly behind the plugin";
    for (hold, filters, told) in [
        ("headers", &["cache.v3.CacheConfig", "PLUGIN", ROUTER][..], Some(cache)),
        ("headers", &["cors.v3.Cors", "cache_v2.v3.CacheV2Config", "cors.v3.Cors", "PLUGIN", ROUTER], Some(cache)),
        ("headers", &["cors.v3.Cors", "PLUGIN", "cache.v3.CacheConfig", ROUTER], None),
        ("headers", &["grpc_json_transcoder.v3.GrpcJsonTranscoder", "PLUGIN", ROUTER], Some(transcoder)),
        ("headers", &["grpc_http1_bridge.v3.Config", "cors.v3.Cors", "PLUGIN", ROUTER], Some(transcoder)),
        ("headers", &["PLUGIN", "grpc_json_transcoder.v3.GrpcJsonTranscoder", ROUTER], None),
        ("buffer_filter", &["PLUGIN", "fault.v3.HTTPFault", BUFFER, ROUTER], Some(buffer)),
        ("buffer_filter", &[BUFFER, "PLUGIN", BUFFER, "fault.v3.HTTPFault", ROUTER], None),
        ("headers", &["PLUGIN", "fault.v3.HTTPFault", BUFFER, ROUTER], None),
        // So are the filters of an upgrade.
        ("buffer_filter", &["PLUGIN", ROUTER], None),
    ] {
        let (code, out, err) = check("envoy.json", &with_filters(hold, filters));
        assert_eq!((code, out.contains("good")), (0, true), "{filters:?}: {err}");
        assert_eq!(err.contains("warning"), told.is_some(), "{filters:?}: {err}");
        assert!(told.is_none_or(|told| err.contains(told)), "{filters:?}: {err}");
    }
}
