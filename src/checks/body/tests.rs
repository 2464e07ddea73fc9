use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::decrypt::DecryptFields;
use super::encrypt::EncryptFields;
use super::project::Projection;
use super::request::{BodyStep, TransformBody};
use super::response::TransformResponse;
use crate::check::{Arrival, BodyArrival, Check, Env, ResponseCheck, Step};
use crate::checks::body::KeyRing;
use crate::denial::{BodyRejection, Denial, ResponseRejection};
use crate::document::{Document, FieldPath, Limits, PathSet};
use crate::exchange::Exchange;
use crate::fernet::{Key, Keys};
use crate::head::Head;
use crate::native::NativeHost;
use crate::response::Response;
use crate::time::Timestamp;
use crate::worker::Worker;

/// Runs `look` with a world and an exchange whose request has this head.
fn within<T>(head: &[(&str, &str)], host: &NativeHost, look: impl FnOnce(&mut Exchange, &mut Env<'_>) -> T) -> T {
    let mut worker = Worker::empty(&host.store);
    let now = Timestamp::from_unix_seconds(1_800_000_000);
    let mut exchange = Exchange::new(Head::from_pairs(head.iter().copied()), now);
    look(&mut exchange, &mut Env { now, host, worker: &mut worker })
}

fn paths(paths: &[&str]) -> PathSet {
    PathSet::new(paths.iter().map(|path| FieldPath::parse(path).unwrap()))
}

fn projection(deny: &[&str], allow: Option<&[&str]>) -> TransformResponse {
    let fields = Projection { deny: paths(deny), allow: allow.map(paths), ..Projection::default() };
    TransformResponse { fields: Some(fields), ..TransformResponse::default() }
}

fn keys() -> Rc<KeyRing> {
    Rc::new(KeyRing::new(Vec::new(), |_| Some(plain_keys())))
}

fn plain_keys() -> Keys {
    let texts = [&b"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="[..], b"cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="];
    Keys::new(texts.map(|text| Key::parse(text).unwrap())).unwrap()
}

/// The word about a response, the body that goes out, and what is noted of it.
fn judged(check: &TransformResponse, head: &[(&str, &str)], body: &str) -> (Step, String, Vec<String>) {
    within(&[], &NativeHost::default(), |exchange, env| {
        let mut response = Response::new(200, Head::from_pairs(head.iter().copied()), body.as_bytes().to_vec());
        let word = check.decide(&mut response, exchange, env);
        let notices = exchange.notices.iter();
        let noted = notices.map(|notice| format!("{} {}", notice.reason, notice.parameter.as_deref().unwrap_or("-")));
        (word, String::from_utf8(response.body().to_vec()).unwrap(), noted.collect())
    })
}

/// The body that goes out.
fn projected(check: &TransformResponse, body: &str) -> String {
    let (word, body, _) = judged(check, &[], body);
    assert_eq!(word, Step::Pass, "{body}");
    body
}

#[test]
fn only_allowed_fields_go_out_and_never_a_denied_one() {
    let body = r#"{"id":1.0,"password":"x","email":"e","results":[{"id":2,"password":"y","a":{"b":[1]}},7]}"#;
    for (deny, allow, expected) in [
        (&["password"][..], None, r#"{"id":1.0,"email":"e","results":[{"id":2,"password":"y","a":{"b":[1]}},7]}"#),
        (&["password", "results.*.password"], None, r#"{"id":1.0,"email":"e","results":[{"id":2,"a":{"b":[1]}},7]}"#),
        (&["results.password"], Some(&["results"][..]), r#"{"results":[{"id":2,"a":{"b":[1]}},7]}"#),
        (&[], Some(&["id", "results.*.a.b"]), r#"{"id":1.0,"results":[{"a":{"b":[1]}}]}"#),
        (&[], Some(&["results.id", "email.x"]), r#"{"results":[{"id":2}]}"#),
        (&["*.password", "password"], Some(&["*"]), r#"{"id":1.0,"email":"e","results":[{"id":2,"a":{"b":[1]}},7]}"#),
        (&["results"], Some(&["results.*.id"]), "{}"),
        (&[], Some(&[]), "{}"),
        (&["id"], Some(&["id"]), "{}"),
    ] {
        assert_eq!(projected(&projection(deny, allow), body), expected, "{deny:?} {allow:?}");
    }
}

#[test]
fn a_list_is_projected_element_by_element() {
    let rule = projection(&["password"], Some(&["id"]));
    assert_eq!(
        projected(&rule, r#"[{"id":1,"password":"x","b":2},[{"id":3,"c":4}],5,"x",null]"#),
        r#"[{"id":1},[{"id":3}]]"#
    );
    assert_eq!(projected(&rule, "[]"), "[]");
    assert_eq!(
        projected(&projection(&["*.password"], None), r#"[{"a":{"password":1},"password":2}]"#),
        r#"[{"a":{}}]"#
    );
}

#[test]
fn no_spelling_of_a_key_leaks() {
    let rule = projection(&["password"], None);
    for (body, expected) in [
        (r#"{"pass\u0077ord":"s3cret","a":1}"#, r#"{"a":1}"#),
        (r#"{"\u0070\u0061\u0073\u0073\u0077\u006F\u0072\u0064":"s3cret"}"#, "{}"),
        ("\u{feff}{\"password\" : \"s3cret\" }", "{}"),
    ] {
        assert_eq!(projected(&rule, body), expected, "{body}");
    }
    for body in [
        r#"{"password":1,"password":"s3cret"}"#,
        r#"{"password":1,"pass\u0077ord":"s3cret"}"#,
        r#"{"password\ud800":"s3cret"}"#,
        "{\"password\":\"s3cret\"",
        "{'password':'s3cret'}",
        "password=s3cret",
        ")]}',\n{\"password\":\"s3cret\"}",
        "{\"password\":\"s3cret\"}\n{\"password\":\"s3cret\"}",
        "data: {\"password\":\"s3cret\"}\n\n",
        " ",
    ] {
        let (word, ..) = judged(&rule, &[], body);
        assert_eq!(word, Step::Refuse(Denial::Response(ResponseRejection::Malformed)), "{body}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(judged(&rule, &[], &deep).0, Step::Refuse(Denial::Response(ResponseRejection::Malformed)));
}

#[test]
fn what_cannot_be_read_does_not_go_out_and_what_is_empty_does() {
    let rule = projection(&["password"], None);
    let (word, ..) = judged(&rule, &[("content-encoding", "gzip")], "{}");
    assert_eq!(word, Step::Refuse(Denial::Response(ResponseRejection::Encoded)));
    assert_eq!(judged(&rule, &[("content-encoding", "gzip")], "").0, Step::Pass);
    assert_eq!(judged(&rule, &[("content-encoding", "identity")], "{}").0, Step::Pass);
    for why in [ResponseRejection::TooLarge, ResponseRejection::Upgraded] {
        assert_eq!(rule.unreadable(why), Step::Refuse(Denial::Response(why)));
    }
    // A text has no fields: with a list of those that go out, none of it does.
    let some = projection(&[], Some(&["id"]));
    assert_eq!(judged(&some, &[], "\"s3cret\"").0, Step::Refuse(Denial::Response(ResponseRejection::Malformed)));
    assert_eq!(projected(&some, "null"), "null");
    assert_eq!(projected(&rule, "\"no fields\""), "\"no fields\"");
}

#[test]
fn a_range_of_bytes_is_no_document_although_it_may_look_like_one() {
    let range = |status, range: &str, body: &str| {
        let head = Head::from_pairs([("content-range", range)]);
        let mut response = Response::new(status, head, body.as_bytes().to_vec());
        let check = projection(&["password"], None);
        within(&[], &NativeHost::default(), |exchange, env| check.decide(&mut response, exchange, env))
    };
    // Of {"password":"s3cret"}.
    for unit in ["bytes 12-19/21", "Bytes 12-19/*"] {
        let refused = Step::Refuse(Denial::Response(ResponseRejection::Malformed));
        assert_eq!(range(206, unit, "\"s3cret\""), refused, "{unit}");
    }
    // Pages of a list are documents, and so is what says that there is no such range.
    assert_eq!(range(206, "orders 0-1/7", "[{\"id\":1}]"), Step::Pass);
    assert_eq!(range(416, "bytes */21", "{\"title\":\"Range Not Satisfiable\"}"), Step::Pass);
}

#[test]
fn what_was_encrypted_field_by_field_is_decrypted_field_by_field() {
    let sent = r#"{"ssn":"078-05-1120","list":[{"ssn":"\u00e9"},{"ssn":null}],"n":5.0,"all":{"a":true,"b":["x",[1e3]]},"open":"o"}"#;
    let fields = ["ssn", "list.*.ssn", "n", "all"];
    let encrypted = encrypted(&fields, &[], &NativeHost::default(), sent).unwrap();
    let stored: Value = serde_json::from_str(&encrypted).unwrap();
    for token in ["/ssn", "/list/0/ssn", "/n", "/all/a", "/all/b/0", "/all/b/1/0"] {
        assert!(
            stored.pointer(token).and_then(Value::as_str).is_some_and(|text| text.starts_with("gAAAAA")),
            "{token}"
        );
    }
    assert_eq!((&stored["list"][1]["ssn"], &stored["open"]), (&Value::Null, &json!("o")));
    assert!(!encrypted.contains("078-05-1120"));
    let (word, plain, noted) = judged(&decryption(&fields), &[], &encrypted);
    assert_eq!((word, noted), (Step::Pass, vec![]));
    let expected = r#"{"ssn":"078-05-1120","list":[{"ssn":"é"},{"ssn":null}],"n":"5.0","all":{"a":"true","b":["x",["1e3"]]},"open":"o"}"#;
    assert_eq!(plain, expected);
}

fn decryption(fields: &[&str]) -> TransformResponse {
    let decrypt = DecryptFields { fields: paths(fields), keys: keys() };
    TransformResponse { decrypt: Some(decrypt), ..TransformResponse::default() }
}

/// The body that the upstream gets; the word where it gets none.
fn encrypted(fields: &[&str], head: &[(&str, &str)], host: &NativeHost, body: &str) -> Result<String, Step> {
    let steps: Vec<Rc<dyn BodyStep>> = vec![Rc::new(EncryptFields { fields: paths(fields), keys: keys() })];
    let check = TransformBody { steps, limits: Limits::default(), limit: 1000 };
    within(head, host, |exchange, env| {
        let arrival = BodyArrival::Whole(body.as_bytes());
        match check.resume(exchange, Arrival::Body(arrival), env) {
            Step::Pass => {
                let sent = || body.as_bytes().to_vec();
                Ok(String::from_utf8(exchange.rewritten_body.take().unwrap_or_else(sent)).unwrap())
            }
            word => Err(word),
        }
    })
}

#[test]
fn a_body_whose_fields_cannot_be_found_goes_on_in_no_mode() {
    let host = NativeHost::default();
    let refused = |head: &[(&str, &str)], body: &str| encrypted(&["ssn"], head, &host, body).unwrap_err();
    let malformed = |what| Step::Refuse(Denial::Body(BodyRejection::Malformed(what)));
    assert_eq!(refused(&[], "ssn=1"), malformed("json"));
    assert_eq!(refused(&[], r#"{"ssn":1,"\u0073sn":2}"#), malformed("json_duplicate_key"));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(refused(&form, r#""&ssn=1&x=""#), malformed("content_type"));
    assert_eq!(refused(&[("content-type", "application/json; charset=utf-16")], "{}"), malformed("content_type"));
    assert_eq!(refused(&[("content-encoding", "gzip")], "{}"), Step::Refuse(Denial::Body(BodyRejection::Encoded)));
    let deep = "[".repeat(33) + &"]".repeat(33);
    assert_eq!(refused(&[], &deep), Step::Refuse(Denial::Body(BodyRejection::TooComplex("json_limits"))));
    assert_eq!(encrypted(&["ssn"], &[], &host, r#"{"name": "Ann"}"#).unwrap(), r#"{"name": "Ann"}"#);
    assert_eq!(encrypted(&["ssn"], &[], &host, "").unwrap(), "");
    let without = NativeHost { without_random: true, ..NativeHost::default() };
    let unavailable = Step::Refuse(Denial::Unavailable { what: "no_randomness" });
    assert_eq!(encrypted(&["ssn"], &[], &without, r#"{"ssn":1}"#).unwrap_err(), unavailable);
}

#[test]
fn what_does_not_decrypt_stays_and_is_told_once_for_each_name() {
    let token = plain_keys().encrypt(b"ok", Timestamp::from_unix_seconds(1), [9; 16]);
    let broken = token.replace('A', "B");
    let body = format!(r#"{{"a":["{token}","{broken}","plain",5,null],"b":{{"c":"\u0020"}},"d":"{token}"}}"#);
    let (word, plain, noted) = judged(&decryption(&["a", "b", "d", "e"]), &[], &body);
    assert_eq!(word, Step::Pass);
    assert_eq!(plain, format!(r#"{{"a":["ok","{broken}","plain",5,null],"b":{{"c":"\u0020"}},"d":"ok"}}"#));
    assert_eq!(noted, ["decrypt_failed a", "decrypt_failed b"]);

    let body = r#"{"accounts":{"ann@example.com":{"iban":"DE1"},"bob@example.com":"x"}}"#;
    let (_, _, noted) = judged(&decryption(&["accounts.*"]), &[], body);
    assert_eq!(noted, ["decrypt_failed accounts"], "a key of the response was told that no path has");
    let (word, same, noted) = judged(&decryption(&["a"]), &[], "<html>");
    assert_eq!((word, same.as_str(), noted), (Step::Pass, "<html>", vec!["decrypt_failed -".to_owned()]));
}

#[test]
fn a_whole_body_is_decrypted_before_its_fields_are_looked_at() {
    let token = plain_keys().encrypt(br#"{"id":1,"password":"x"}"#, Timestamp::from_unix_seconds(1), [9; 16]);
    let rule = TransformResponse { whole: Some(keys()), ..projection(&["password"], None) };
    assert_eq!(projected(&rule, &token), r#"{"id":1}"#);
    let (word, _, noted) = judged(&rule, &[], "gAAAAA");
    assert_eq!(word, Step::Refuse(Denial::Response(ResponseRejection::Malformed)));
    assert_eq!(noted, ["decrypt_failed -"]);
    let alone = TransformResponse { whole: Some(keys()), ..TransformResponse::default() };
    assert_eq!(judged(&alone, &[], "not a token").1, "not a token");
    assert_eq!(judged(&alone, &[], &format!("{token}\n")).1, r#"{"id":1,"password":"x"}"#);
}

/// What goes out, said again over another tree by recursion.
fn naive(value: &Value, deny: &[Vec<String>], allow: Option<&[Vec<String>]>) -> Option<Value> {
    let denied = without(value, deny)?;
    match allow {
        None => Some(denied),
        Some(allow) => only(&denied, allow),
    }
}

fn without(value: &Value, deny: &[Vec<String>]) -> Option<Value> {
    if deny.iter().any(Vec::is_empty) {
        return None;
    }
    let tail = |path: &Vec<String>| path[1..].to_vec();
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter_map(|(key, value)| {
                let inner: Vec<_> = deny.iter().filter(|path| path[0] == "*" || path[0] == *key).map(tail).collect();
                Some((key.clone(), without(value, &inner)?))
            });
            Some(Value::Object(kept.collect()))
        }
        Value::Array(elements) => {
            let stars = deny.iter().filter(|path| path[0] == "*").map(tail);
            let inner: Vec<_> = stars.chain(deny.iter().cloned()).collect();
            Some(elements.iter().filter_map(|element| without(element, &inner)).collect())
        }
        scalar => Some(scalar.clone()),
    }
}

fn only(value: &Value, allow: &[Vec<String>]) -> Option<Value> {
    if allow.iter().any(Vec::is_empty) {
        return Some(value.clone());
    }
    if allow.is_empty() {
        return None;
    }
    let tail = |path: &Vec<String>| path[1..].to_vec();
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter_map(|(key, value)| {
                let inner: Vec<_> = allow.iter().filter(|path| path[0] == "*" || path[0] == *key).map(tail).collect();
                Some((key.clone(), only(value, &inner)?))
            });
            Some(Value::Object(kept.collect()))
        }
        Value::Array(elements) => {
            let inner: Vec<_> =
                allow.iter().map(|path| if path[0] == "*" { tail(path) } else { path.clone() }).collect();
            Some(elements.iter().filter_map(|element| only(element, &inner)).collect())
        }
        _ => None,
    }
}

/// The same document in a spelling that `choices` choose: escapes of any character, white space between any two parts.
fn spelt(value: &Value, choices: &mut impl Iterator<Item = u8>) -> String {
    let space = [" ", "", "\n\t", "", "", "", "", "\r "][usize::from(choices.next().unwrap())];
    let text = match value {
        Value::String(text) => quoted(text, choices),
        Value::Array(elements) => {
            let parts: Vec<_> = elements.iter().map(|element| spelt(element, choices)).collect();
            format!("[{}{space}]", parts.join(","))
        }
        Value::Object(members) => {
            let member =
                |(key, value): (&String, &Value)| format!("{}{space}:{}", quoted(key, choices), spelt(value, choices));
            format!("{{{space}{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    };
    format!("{space}{text}{space}")
}

fn quoted(text: &str, choices: &mut impl Iterator<Item = u8>) -> String {
    let character = |character: char| match choices.next().unwrap() {
        0..3 => format!("\\u{:04x}", u32::from(character)),
        3 => format!("\\u{:04X}", u32::from(character)),
        _ => {
            let text = Value::from(character.to_string()).to_string();
            text[1..text.len() - 1].to_owned()
        }
    };
    format!("\"{}\"", text.chars().map(character).collect::<String>())
}

fn any_paths() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec("[a-c*]", 1..4), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn projects_as_a_naive_reading_does_and_twice_as_once(
        value in crate::document::tests::any_json(), deny in any_paths(), allow in prop::option::of(any_paths()),
        spelling in prop::collection::vec(0..8_u8, 1..40),
    ) {
        let text = |paths: &[Vec<String>]| paths.iter().map(|path| path.join(".")).collect::<Vec<_>>();
        let set = |paths: &[Vec<String>]| paths_of(&text(paths));
        let rule = TransformResponse {
            fields: Some(Projection { deny: set(&deny), allow: allow.as_deref().map(set), ..Projection::default() }),
            ..TransformResponse::default()
        };
        let body = spelt(&value, &mut spelling.into_iter().cycle());
        prop_assert_eq!(&serde_json::from_str::<Value>(&body).unwrap(), &value);
        let (word, out, _) = judged(&rule, &[], &body);
        match naive(&value, &deny, allow.as_deref()) {
            Some(expected) => {
                prop_assert_eq!(word, Step::Pass);
                prop_assert_eq!(&serde_json::from_str::<Value>(&out).unwrap(), &expected);
                prop_assert_eq!(&judged(&rule, &[], &out).1, &out);
                let document = Document::parse(out.as_bytes(), &Limits::default()).unwrap();
                prop_assert!(set(&deny).places(&document).is_empty());
            }
            None => prop_assert!(word == Step::Pass && out.trim() == "null" || matches!(word, Step::Refuse(_)), "{}", out),
        }
    }

    #[test]
    fn what_is_encrypted_comes_back_as_text(value in crate::document::tests::any_json(), fields in any_paths()) {
        let fields: Vec<_> = fields.iter().map(|path| path.join(".")).collect();
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        let body = value.to_string();
        let stored = encrypted(&fields, &[], &NativeHost::default(), &body).unwrap();
        let (_, plain, noted) = judged(&decryption(&fields), &[], &stored);
        prop_assert_eq!(noted, Vec::<String>::new());
        let plain: Value = serde_json::from_str(&plain).unwrap();
        prop_assert_eq!(texts(&plain), texts(&value));
    }
}

fn paths_of(texts: &[String]) -> PathSet {
    PathSet::new(texts.iter().map(|text| FieldPath::parse(text).unwrap()))
}

/// Every value as its text.
fn texts(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), texts(value))).collect(),
        Value::Array(elements) => elements.iter().map(texts).collect(),
        Value::String(_) | Value::Null => value.clone(),
        other => Value::String(other.to_string()),
    }
}
