//! Configurations in, exact errors out: `config/NAME.yaml` is checked and must say what `config/NAME.errors` holds.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use portcullis::config::*;
use portcullis_cli::{check, document};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn checked(name: &str, text: &str) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = check::check(name, text, &mut out, &mut err).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn reference() -> Config {
    let text = fs::read_to_string(root().join("envoy/examples/reference.yaml")).unwrap();
    let found = document::configurations(&text).unwrap();
    assert_eq!(found.len(), 1);
    Config::from_json(found[0].json.as_ref().unwrap()).unwrap()
}

#[test]
fn says_exactly_what_is_wrong_and_where() {
    let mut seen = 0;
    let mut files: Vec<_> =
        fs::read_dir(root().join("tests/config")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension != "errors")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (code, _, err) = checked(name, &fs::read_to_string(file).unwrap());
        let expected = fs::read_to_string(file.with_extension("errors")).unwrap();
        assert_eq!(err, expected, "{name}");
        assert_eq!(code, if expected.is_empty() { 0 } else { 2 }, "{name}");
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} files");
}

#[test]
fn the_reference_refers_to_nothing_that_is_not_there() {
    assert_eq!(validate(&reference()), []);
}

fn seconds(count: u64) -> DurationText {
    DurationText(Duration::from_secs(count))
}

fn secret(name: &str) -> String {
    format!("SecretRef {{ secret: Name({name:?}) }}")
}

#[test]
fn the_reference_loads_into_the_values_it_says() {
    let config = reference();
    assert_eq!(config.service.as_str(), "user-service");
    assert_eq!(config.client_ip.trusted_proxies[0].0.to_string(), "10.0.0.0/8");
    assert_eq!(config.secrets.len(), 6);
    assert_eq!(config.secrets.get("pii_key").unwrap().refresh, seconds(300));
    let SecretSource::AwsSecretsManager(aws) = &config.secrets.get("oauth_client").unwrap().source else {
        panic!("not AWS")
    };
    assert_eq!((aws.region.as_str(), aws.access_key_id.env.as_str()), ("eu-west-1", "AWS_ACCESS_KEY_ID"));

    let authentication = &config.authentication;
    assert_eq!(authentication.unverified_credentials, RateText { limit: 600, window: Duration::from_secs(60) });
    let users = authentication.jwt.get("users").unwrap();
    assert_eq!(users.algorithms, [Algorithm::HS256]);
    assert_eq!(format!("{:?}", users.keys[0]), secret("jwt_secret"));
    assert_eq!(users.from[1..], [Place::Cookie("access_token".into()), Place::Query("access_token".into())]);
    assert_eq!(users.claims.active.as_deref(), Some("is_active"));
    assert_eq!((users.clock_skew, users.max_lifetime), (seconds(60), Some(seconds(86_400))));
    let header: Vec<_> = users.claim_to_headers.iter().map(|(name, claim)| (name.as_str(), claim.as_str())).collect();
    assert_eq!(header, [("x-user-email", "email")]);
    let Some(Jwks::Remote(jwks)) = &authentication.jwt.get("partners").unwrap().jwks else { panic!("not remote") };
    assert_eq!((jwks.refresh, jwks.timeout), (seconds(300), seconds(5)));
    let Some(Jwks::Inline(set)) = &authentication.jwt.get("devices").unwrap().jwks else { panic!("not inline") };
    assert_eq!(set["keys"][0]["kid"], "d1");
    assert_eq!(authentication.jwt.get("devices").unwrap().bound_to_certificate, Binding::Required);
    assert_eq!(authentication.jwt.get("django").unwrap().issuer, None);
    assert_eq!(authentication.oauth2.get("legacy").unwrap().token_prefix.as_deref(), Some("lgc_"));
    let service = authentication.service.as_ref().unwrap();
    assert_eq!(service.signatures, [SignatureVersion::V1, SignatureVersion::V2]);
    assert_eq!((service.replay.v1, service.replay.v2), (Verdict::Allow, Verdict::Deny));
    assert_eq!(authentication.api_keys.as_ref().unwrap().keys.get("reporting").unwrap().roles, ["user"]);

    assert_eq!(config.tokens.as_ref().unwrap().refresh_lifetime, seconds(7 * 86_400));
    let limit = config.limits.get("per_user").unwrap();
    assert_eq!(limit.tiers[0].rate, RateText { limit: 10_000, window: Duration::from_secs(3600) });
    assert_eq!(limit.burst, Some(RateText { limit: 20, window: Duration::from_secs(1) }));
    let fleet = config.limits.get("fleet").unwrap().rate_limit_service.as_ref().unwrap();
    assert_eq!((fleet.timeout.0, fleet.local_share.0), (Duration::from_millis(20), 0.25));
    assert_eq!(config.inspection.body_limit, ByteSize(1 << 20));
    assert_eq!(config.inspection.patterns[0].parts, [Part::Query, Part::Body]);
    assert_eq!(config.intrusion.as_ref().unwrap().count.len(), 5);
    assert_eq!(config.headers.cors.as_ref().unwrap().max_age, Some(seconds(86_400)));
    assert_eq!(config.events.sensitive_paths[1].as_str(), "/api/*/users/**");
    let names = |methods: &[MethodRef]| format!("{methods:?}");
    let defaults = config.defaults.authenticate.as_ref().unwrap();
    assert_eq!(names(defaults.methods()), "[Jwt(None), Oauth2(None), Service]");

    assert_eq!(config.routes.len(), 10);
    assert_eq!(config.routes[0].authenticate, Some(Authenticate::None));
    let body = config.routes[1].body.as_ref().unwrap();
    assert_eq!(body.schema.as_ref().unwrap()["properties"]["bio"]["maxLength"], 2000);
    assert_eq!(config.routes[2].allow.as_ref().unwrap()[0].owner.as_ref().unwrap().claim, "user_id");
    let Some(Authenticate::All(all)) = &config.routes[5].authenticate else { panic!("not all") };
    assert_eq!(names(all), r#"[Mtls, Jwt(Some(Name("users")))]"#);
    let deny = &config.routes[5].deny.as_ref().unwrap()[0];
    assert_eq!((deny.client_ip.len(), deny.except.as_ref().unwrap().client_ip.len()), (2, 1));
    assert_eq!(config.routes[6].enforce_percent, Count(25));
    assert!(matches!(config.routes[9].authenticate, Some(Authenticate::Optional(_))));
    assert_eq!(config.outbound.as_ref().unwrap().sign.service.as_str(), "user-service");
}

#[test]
fn warns_of_tokens_that_their_own_provider_refuses() {
    for (tokens, provider, field) in [
        ("", "audiences: [b, a]", Some("audiences")),
        ("audience: c,", "audiences: [b, a]", Some("audiences")),
        ("audience: a,", "audiences: [b, a], max_lifetime: 15m", None),
        ("", "", None),
        ("access_lifetime: 16m,", "max_lifetime: 15m", Some("max_lifetime")),
        ("algorithm: HS384,", "", Some("algorithms")),
        ("", "type: refresh", Some("type")),
    ] {
        let text = format!(
            "secrets: {{ k: {{ env: K }} }}\nauthentication: {{ jwt: {{ a: {{ issuer: us, algorithms: [HS256], keys: [{{ secret: k }}], \
             claims: {{ subject: user_id }}, {provider} }} }} }}\ntokens: {{ issuer: us, {tokens} keys: [{{ secret: k }}], login: \
             {{ verify: {{ cluster: c, uri: http://c/ }} }} }}\n"
        );
        let found = document::configurations(&text).unwrap();
        let config = Config::from_json(found[0].json.as_ref().unwrap()).unwrap();
        let paths: Vec<_> = warnings(&config).into_iter().map(|warning| warning.path).collect();
        let expected: Vec<_> = field.iter().map(|field| format!("authentication.jwt.a.{field}")).collect();
        assert_eq!(paths, expected, "{tokens} {provider}");
    }
}

#[test]
fn warns_of_tokens_that_are_issued_for_nobody() {
    let provider = |issuer: &str, subject: &str| {
        format!(
            "secrets: {{ k: {{ env: K }} }}\nauthentication: {{ jwt: {{ a: {{ {issuer} algorithms: [HS256], keys: [{{ secret: k }}], \
             claims: {{ subject: {subject} }} }} }} }}\ntokens: {{ issuer: https://us, keys: [{{ secret: k }}], login: {{ verify: \
             {{ cluster: c, uri: http://c/ }} }} }}\n"
        )
    };
    for (issuer, subject, path) in [
        ("issuer: https://us,", "user_id", None),
        ("issuer: https://us,", "sub", Some("authentication.jwt.a.claims.subject")),
        ("issuer: https://them,", "user_id", Some("tokens.issuer")),
        ("", "user_id", Some("tokens.issuer")),
    ] {
        let found = document::configurations(&provider(issuer, subject)).unwrap();
        let config = Config::from_json(found[0].json.as_ref().unwrap()).unwrap();
        let paths: Vec<_> = warnings(&config).into_iter().map(|warning| warning.path).collect();
        assert_eq!(paths, path.into_iter().collect::<Vec<_>>(), "{issuer} {subject}");
    }
}

/// Where the reference shows a default, leaving it out must give the same.
#[test]
fn the_defaults_are_those_of_the_reference() {
    let (said, unsaid) = (reference(), Config::from_json(b"{}").unwrap());
    assert_eq!(said.mode, unsaid.mode);
    assert_eq!(said.tables, unsaid.tables);
    assert_eq!(said.bodies, unsaid.bodies);
    assert_eq!(said.inspection.classes, unsaid.inspection.classes);
    assert_eq!(said.inspection.body_limit, unsaid.inspection.body_limit);
    assert_eq!(said.headers.identity, unsaid.headers.identity);
    assert_eq!(said.headers.security, unsaid.headers.security);
    assert_eq!(said.events.sample, unsaid.events.sample);
    assert_eq!(said.authentication.unverified_credentials, unsaid.authentication.unverified_credentials);
    assert_eq!(said.unmatched, unsaid.unmatched);
}

#[test]
fn never_prints_a_secret_of_the_configuration() {
    assert!(!format!("{:?}", reference()).contains("cw_0x689"));
}

#[test]
fn warns_of_a_secret_in_the_configuration_and_passes() {
    let (code, out, err) = checked("a.yaml", "secrets: { a: { inline: hunter2 } }");
    assert!(code == 0 && out.starts_with("a.yaml: good, routes: 0, "), "{out}");
    assert!(err.starts_with("a.yaml: warning: secrets.a.inline: "));
    assert!(!err.contains("hunter2"));
}

#[test]
fn refuses_a_text_that_is_too_long() {
    for (length, told) in [((16 << 20) - 14, "expected a name"), ((16 << 20) - 13, "expected at most 16 MiB")] {
        let error = Config::from_json(format!("{{\"service\":\"{}\"}}", "a".repeat(length)).as_bytes()).unwrap_err();
        assert!(error.message.starts_with(told), "{length}: {error}");
    }
}

#[test]
fn refuses_deep_nesting_instead_of_overflowing_the_stack() {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(Config::from_json(&deep).is_err());
}
