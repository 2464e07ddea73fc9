//! Protocol buffers as YAML are written with `snake_case` or `lowerCamelCase` names: one form of both.

use serde_json::Value;

/// Nested lists and maps at most.
const DEEPEST: usize = 128;

/// Fields with maps by names that somebody gave, which stay as they are: others speak of them.
const BY_NAME: [&str; 3] = ["providers", "requirement_map", "match_labels"];

/// The same with `snake_case` keys, but for keys that are no names of fields: anything but letters and digits. What is
/// nested too deep is left out.
pub(super) fn snake(value: &Value, depth: usize) -> Value {
    match value {
        _ if depth > DEEPEST => Value::Null,
        Value::Array(list) => list.iter().map(|item| snake(item, depth + 1)).collect(),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, item)| {
                let key = snake_key(key);
                let item =
                    if BY_NAME.contains(&key.as_str()) { by_name(item, depth + 1) } else { snake(item, depth + 1) };
                (key, item)
            });
            Value::Object(entries.collect())
        }
        other => other.clone(),
    }
}

fn by_name(value: &Value, depth: usize) -> Value {
    let Value::Object(map) = value else { return snake(value, depth) };
    Value::Object(map.iter().map(|(name, item)| (name.clone(), snake(item, depth + 1))).collect())
}

fn snake_key(key: &str) -> String {
    if !key.starts_with(|c: char| c.is_ascii_lowercase()) || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return key.to_owned();
    }
    let parts = key.chars().flat_map(|c| [c.is_ascii_uppercase().then_some('_'), Some(c.to_ascii_lowercase())]);
    parts.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_field_become_one() {
        for (key, form) in [
            ("fromHeaders", "from_headers"),
            ("from_headers", "from_headers"),
            ("issuer", "issuer"),
            ("@type", "@type"),
            ("envoy.filters.http.jwt_authn", "envoy.filters.http.jwt_authn"),
            ("Kind", "Kind"),
        ] {
            assert_eq!(snake_key(key), form);
        }
    }
}
