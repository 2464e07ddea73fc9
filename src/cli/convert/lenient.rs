//! Protocol buffers as YAML are written with `snake_case` or `lowerCamelCase` names: one form of both.

use serde_json::Value;

/// Nested lists and maps at most.
const DEEPEST: usize = 128;

/// The same with `snake_case` keys, but for keys that are no names of fields: anything but letters and digits. What is
/// nested too deep is left out.
pub(super) fn snake(value: &Value, depth: usize) -> Value {
    match value {
        _ if depth > DEEPEST => Value::Null,
        Value::Array(list) => list.iter().map(|item| snake(item, depth + 1)).collect(),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, item)| (snake_key(key), snake(item, depth + 1)));
            Value::Object(entries.collect())
        }
        other => other.clone(),
    }
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
