//! What is asked of providers, and what their answers make of a token.

use super::*;
use crate::check::Call;

const NOW: u64 = 1_800_000_000;

fn endpoint() -> Endpoint {
    Endpoint::new("idp", "https://idp.example.com/token?a=b", Duration::from_secs(5)).unwrap()
}

fn provider(source: Source, subject: &str, username: &str) -> Provider {
    Provider {
        name: Rc::from("p"),
        prefix: None,
        source,
        subject: ClaimPath::new(subject),
        username: (!username.is_empty()).then(|| ClaimPath::new(username)),
        grants: Grants::default(),
        cache: Duration::from_secs(60),
        on_error: Verdict::Deny,
    }
}

fn slot(value: &[u8]) -> Rc<SecretSlot> {
    SecretSlot::fixed("client", crate::secrets::SecretValue::new(value.to_vec()).unwrap())
}

fn introspection() -> Provider {
    provider(Source::introspection(endpoint(), "portcullis", slot(b"s3cret")), "sub", "")
}

fn userinfo() -> Provider {
    provider(Source::Userinfo(endpoint()), "email", "")
}

fn said(provider: &Provider, status: u16, body: &str) -> String {
    let reply = CalloutReply::Answered { status, body: body.into() };
    match provider.judge(&reply, Timestamp::from_unix_seconds(NOW)) {
        Judgement::Good(known, good) => {
            let username = known.claims.text(&ClaimPath::new(USERNAME)).unwrap_or_default().into_owned();
            let left = good.expires.map_or("ever".to_owned(), |at| (at.unix_seconds() - NOW).to_string());
            format!("{} {username} for {left}", known.subject)
        }
        Judgement::Bad(reason) => reason.to_string(),
        Judgement::Early(from) => format!("in {}", from.unix_seconds() - NOW),
        Judgement::Unclear => "unclear".to_owned(),
        Judgement::None => "nothing".to_owned(),
    }
}

fn headers(callout: &Callout) -> Vec<String> {
    let Call::Http { headers } = &callout.call else { panic!("{callout:?}") };
    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect()
}

/// RFC 7662 section 2.1; RFC 6749 section 2.3.1 and appendix B for the encoding of name and secret.
#[test]
fn asks_for_introspection_as_the_standards_say() {
    let provider = provider(Source::introspection(endpoint(), "a:b c", slot("p%é+".as_bytes())), "sub", "");
    let callout = provider.question("t+/=~", &provider.digest("t+/=~")).unwrap();
    let basic = STANDARD.encode("a%3Ab+c:p%25%C3%A9%2B");
    let expected = [
        ":method: POST",
        ":scheme: https",
        ":authority: idp.example.com",
        ":path: /token?a=b",
        &format!("authorization: Basic {basic}"),
        "content-type: application/x-www-form-urlencoded",
        "accept: application/json",
    ];
    assert_eq!(headers(&callout), expected);
    assert_eq!(callout.body, b"token=t%2B%2F%3D%7E&token_type_hint=access_token");
    assert_eq!((&*callout.cluster, callout.timeout), ("idp", Duration::from_secs(5)));
}

#[test]
fn asks_userinfo_with_the_token_itself() {
    let callout = userinfo().question("abc", &[0; 32]).unwrap();
    assert_eq!(headers(&callout)[0], ":method: GET");
    assert!(headers(&callout).contains(&"authorization: Bearer abc".to_owned()));
    assert!(callout.body.is_empty());
}

#[test]
fn questions_about_two_tokens_or_of_two_providers_never_meet() {
    let other = Provider { name: Rc::from("q"), ..introspection() };
    let flight = |provider: &Provider, token: &str| provider.question(token, &provider.digest(token)).unwrap().flight;
    assert_eq!(flight(&introspection(), "a"), flight(&introspection(), "a"));
    assert_ne!(flight(&introspection(), "a"), flight(&introspection(), "b"));
    assert_ne!(flight(&introspection(), "a"), flight(&other, "a"));
    assert!(!flight(&introspection(), "token-1").unwrap().contains("token-1"));
    let asked = |provider: &Provider, flight: &str| provider.asked_in(flight);
    let own = flight(&introspection(), "a").unwrap();
    assert_eq!(asked(&introspection(), &own), Some(introspection().digest("a")));
    for (provider, flight) in [(&other, &*own), (&introspection(), "oauth2 p "), (&introspection(), "account/p/a")] {
        assert_eq!(asked(provider, flight), None, "{flight}");
    }
}

#[test]
fn reads_an_introspection_answer() {
    for (status, body, expected) in [
        (200, r#"{"active":true,"sub":"7"}"#, "7  for ever"),
        (200, r#"{"active":true,"sub":7,"username":"ann"}"#, "7 ann for ever"),
        (200, r#"{"active":true,"sub":"7","exp":1800000001,"nbf":1800000060,"iat":1800000059}"#, "7  for 1"),
        (200, r#"{"active":true,"sub":"7","exp":1800000000}"#, "expired"),
        (200, r#"{"active":true,"sub":"7","nbf":1800000100}"#, "in 40"),
        (200, r#"{"active":true,"sub":"7","iat":1800000061}"#, "in 1"),
        (200, r#"{"active":true}"#, "no_subject"),
        (200, r#"{"active":true,"sub":""}"#, "no_subject"),
        (200, r#"{"active":true,"sub":["7"]}"#, "no_subject"),
        (200, r#"{"active":false}"#, "inactive"),
        (200, r#"{"active":false,"sub":"7","exp":"soon"}"#, "inactive"),
        (200, r#"{"active":"true","sub":"7"}"#, "nothing"),
        (200, r#"{"active":1,"sub":"7"}"#, "nothing"),
        (200, r#"{"sub":"7"}"#, "nothing"),
        (200, r#"{"active":true,"active":false,"sub":"7"}"#, "nothing"),
        (200, r#"{"active":true,"sub":"7","exp":"soon"}"#, "nothing"),
        (200, r#"{"active":true,"sub":"7","iss":1}"#, "nothing"),
        (200, r#"[{"active":true}]"#, "nothing"),
        (200, r#"{"active":true,"sub":"7""#, "nothing"),
        (200, "<html>", "nothing"),
        (200, "", "nothing"),
        (201, r#"{"active":true,"sub":"7"}"#, "nothing"),
        (401, r#"{"active":true,"sub":"7"}"#, "nothing"),
        (403, "", "nothing"),
        (404, "", "nothing"),
        (408, "", "nothing"),
        (429, "", "nothing"),
        (400, r#"{"error":"invalid_request"}"#, "unclear"),
        (406, "", "unclear"),
        (413, "", "malformed"),
        (414, "", "malformed"),
        (431, "", "malformed"),
        (500, r#"{"active":true,"sub":"7"}"#, "nothing"),
    ] {
        assert_eq!(said(&introspection(), status, body), expected, "{status} {body}");
    }
}

/// As providers serialise what they do not know of a token.
#[test]
fn a_member_that_is_null_says_nothing() {
    let nulls = r#""exp":null,"nbf":null,"iat":null,"iss":null,"jti":null,"aud":null,"roles":null"#;
    assert_eq!(said(&introspection(), 200, &format!(r#"{{"active":true,"sub":"7",{nulls}}}"#)), "7  for ever");
    assert_eq!(said(&userinfo(), 200, &format!(r#"{{"email":"a@b",{nulls}}}"#)), "a@b a@b for ever");
    assert_eq!(said(&introspection(), 200, r#"{"active":null,"sub":"7"}"#), "nothing");
    assert_eq!(said(&introspection(), 200, r#"{"active":true,"sub":null}"#), "no_subject");
    let many: String = (0..MAX_MEMBERS).map(|at| format!(r#","m{at}":1"#)).collect();
    assert_eq!(said(&introspection(), 200, &format!(r#"{{"active":true,"sub":"7"{many}}}"#)), "7  for ever");
    assert_eq!(said(&introspection(), 200, &format!(r#"{{"active":true,"sub":"7","exp":null{many}}}"#)), "nothing");
}

#[test]
fn what_the_provider_calls_a_refresh_token_opens_nothing() {
    for (name, kind, expected) in [
        ("token_use", "refresh", "wrong_type"),
        ("token_type", "refresh_token", "wrong_type"),
        ("typ", "Refresh", "wrong_type"),
        ("typ", "Offline", "wrong_type"),
        ("type", "REFRESH_TOKEN", "wrong_type"),
        ("token_use", "access", "7  for ever"),
        ("token_type", "Bearer", "7  for ever"),
        ("typ", "refreshing", "7  for ever"),
        ("purpose", "refresh", "7  for ever"),
    ] {
        let body = format!(r#"{{"active":true,"sub":"7","{name}":"{kind}"}}"#);
        assert_eq!(said(&introspection(), 200, &body), expected, "{name} {kind}");
    }
    assert_eq!(said(&introspection(), 200, r#"{"active":true,"sub":"7","type":["refresh"]}"#), "7  for ever");
    assert_eq!(said(&userinfo(), 200, r#"{"email":"a@b","type":"refresh"}"#), "a@b a@b for ever", "of a person");
}

#[test]
fn reads_a_userinfo_answer() {
    for (status, body, expected) in [
        (200, r#"{"email":"a@b","preferred_username":"ann"}"#, "a@b ann for ever"),
        (200, r#"{"email":"a@b","username":"root"}"#, "a@b a@b for ever"),
        (200, r#"{"email":"a@b","preferred_username":""}"#, "a@b a@b for ever"),
        (200, r#"{"sub":"7"}"#, "no_subject"),
        (200, r#"{"email":""}"#, "no_subject"),
        (200, r#"{"email":"a@b","exp":1799999999}"#, "expired"),
        (401, "", "inactive"),
        (403, r#"{"email":"a@b"}"#, "inactive"),
        (400, "", "malformed"),
        (404, "", "unclear"),
        (413, "", "malformed"),
        (414, "", "malformed"),
        (431, "", "malformed"),
        (408, "", "nothing"),
        (429, "", "nothing"),
        (302, "", "nothing"),
        (503, "", "nothing"),
        (200, "<html>", "nothing"),
    ] {
        assert_eq!(said(&userinfo(), status, body), expected, "{status} {body}");
    }
}

#[test]
fn maps_the_readable_name_where_the_configuration_says_so() {
    let by_sub = |username: &str| provider(Source::Userinfo(endpoint()), "sub", username);
    let body = r#"{"sub":"7","email":"a@b","preferred_username":"ann","nickname":"an"}"#;
    assert_eq!(said(&by_sub("nickname"), 200, body), "7 an for ever");
    assert_eq!(said(&by_sub("absent"), 200, body), "7 a@b for ever");
    let introspection = provider(Source::introspection(endpoint(), "a", slot(b"b")), "sub", "nickname");
    assert_eq!(said(&introspection, 200, r#"{"active":true,"sub":"7","nickname":"an"}"#), "7 an for ever");
    assert_eq!(said(&by_sub(""), 200, r#"{"email":"a@b"}"#), "no_subject", "email is required, and so is the subject");
}

#[test]
fn reads_no_answer_without_end() {
    let long = format!(r#"{{"active":true,"sub":"7","more":"{}"}}"#, "x".repeat(MAX_ANSWER_BYTES));
    assert_eq!(said(&introspection(), 200, &long), "nothing");
    let lost = introspection().judge(&CalloutReply::Lost, Timestamp::from_unix_seconds(NOW));
    assert!(matches!(lost, Judgement::None));
}
