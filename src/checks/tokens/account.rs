//! What the service that knows the accounts says of one: a JSON object with `id`, `username`, `email`, `roles` and
//! `is_active`.

use crate::checks::authenticate::header_safe;
use crate::jose::json::{Json, Object};

/// The longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Nested arrays and objects in an answer, itself counted.
const MAX_DEPTH: usize = 32;
/// The most roles of one account.
const MAX_ROLES: usize = 256;

/// One account.
#[derive(Debug, PartialEq)]
pub(super) struct Account {
    /// Text or a whole number; the tokens carry it as it is.
    pub(super) id: Option<serde_json::Value>,
    pub(super) username: Option<String>,
    pub(super) email: Option<String>,
    pub(super) roles: Vec<String>,
    pub(super) is_active: bool,
}

impl Account {
    /// Reads an answer; `None`: it says nothing that can be read. What could not travel in a header later is that too.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        if body.len() > MAX_ANSWER_BYTES {
            return None;
        }
        let object = Object::parse(body, MAX_DEPTH).ok()?;
        let present = |name: &str| object.member(name).filter(|value| !matches!(value, Json::Null));
        let text = |name: &str| match present(name) {
            None => Some(None),
            Some(value) => value.as_str().map(|text| Some(text.to_owned())),
        };
        // Only `true` is active, where the answer speaks of it.
        let is_active = object.member("is_active").is_none_or(|active| active.as_bool() == Some(true));
        let id = match present("id") {
            None => None,
            Some(Json::String(text)) if !text.is_empty() && header_safe(text) => Some((**text).into()),
            Some(Json::Number(number)) if !number.is_f64() => Some(number.clone().into()),
            Some(_) => return None,
        };
        let roles = present("roles").map_or_else(|| Some(Vec::new()), names)?;
        Some(Self { id, username: text("username")?, email: text("email")?, roles, is_active })
    }
}

/// A list of texts, or a text with spaces between the names.
fn names(roles: &Json) -> Option<Vec<String>> {
    let names: Vec<String> = match roles {
        Json::String(text) => text.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        Json::Array(list) => list.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?,
        _ => return None,
    };
    (names.len() <= MAX_ROLES && names.iter().all(|name| header_safe(name))).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_accounts_and_takes_nothing_else_for_one() {
        let read = |text: &str| Account::read(text.as_bytes());
        let ann =
            read(r#"{"id":7,"username":"ann","email":"a@b","roles":["user"],"is_active":true,"more":[]}"#).unwrap();
        assert_eq!((ann.id, ann.username.as_deref(), ann.email.as_deref()), (Some(7.into()), Some("ann"), Some("a@b")));
        assert_eq!((ann.roles, ann.is_active), (vec!["user".to_owned()], true));
        let bare = read(r#"{"id":"u-1","email":null,"roles":"a b"}"#).unwrap();
        assert_eq!((bare.id, bare.email, bare.roles.len(), bare.is_active), (Some("u-1".into()), None, 2, true));
        for inactive in [r#"{"is_active":false}"#, r#"{"is_active":null}"#, r#"{"is_active":"true"}"#] {
            assert!(!read(inactive).unwrap().is_active, "{inactive}");
        }
        for text in [
            "",
            "<html>",
            "[]",
            "null",
            r#"{"id":7"#,
            r#"{"id":7,"id":8}"#,
            r#"{"id":7.5}"#,
            r#"{"id":""}"#,
            r#"{"id":true}"#,
            r#"{"id":[7]}"#,
            r#"{"id":"7,8"}"#,
            r#"{"id":"7\n"}"#,
            r#"{"username":7}"#,
            r#"{"email":["a"]}"#,
            r#"{"roles":[1]}"#,
            r#"{"roles":["a,b"]}"#,
            r#"{"roles":{}}"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let padded = |bytes: usize| read(&format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes)));
        assert!(padded(MAX_ANSWER_BYTES - 8).is_some() && padded(MAX_ANSWER_BYTES).is_none());
        let roles = |count: usize| read(&format!(r#"{{"roles":["r"{}]}}"#, r#","r""#.repeat(count - 1)));
        assert!(roles(MAX_ROLES).is_some() && roles(MAX_ROLES + 1).is_none());
    }
}
