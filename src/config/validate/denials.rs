//! Entries of `deny` that refuse nobody, because no method of their route says what they ask about.

use crate::{Authenticate, Config, ConfigError, DenyEntry, MethodRef};

/// What is said of them. Those of `defaults` are for every route, public ones among them.
pub(super) fn without_effect(config: &Config) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (at, route) in config.routes.iter().enumerate() {
        let authenticate = route.authenticate.as_ref().or(config.defaults.authenticate.as_ref());
        let methods = authenticate.map_or(&[][..], Authenticate::methods);
        for (index, entry) in route.deny.iter().flatten().enumerate() {
            found.extend(unsaid(entry, methods).map(|field| {
                ConfigError::new(
                    format!("routes[{at}].deny[{index}].{field}"),
                    "no method of authentication of this route says so: the entry refuses nobody",
                )
            }));
        }
    }
    found
}

/// The first condition that never holds where these methods are asked.
fn unsaid(entry: &DenyEntry, methods: &[MethodRef]) -> Option<&'static str> {
    let token = methods.iter().any(|method| matches!(method, MethodRef::Jwt(_) | MethodRef::Oauth2(_)));
    let roles = token || methods.contains(&MethodRef::ApiKeys);
    let services = !entry.principals.is_empty() && entry.principals.iter().all(|name| name.starts_with("service:"));
    let conditions = [
        ("roles", !entry.roles.is_empty(), roles),
        ("scopes", !entry.scopes.is_empty(), token),
        ("claims", !entry.claims.is_empty(), token),
        ("principals", services, methods.contains(&MethodRef::Service)),
        ("owner", entry.owner.is_some(), token),
    ];
    conditions.into_iter().find(|(_, asked, said)| *asked && !said).map(|(field, ..)| field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_that_no_method_of_the_route_can_give_is_told() {
        for (authenticate, deny, field) in [
            (r#""none""#, r#"{"roles":["a"]}"#, Some("roles")),
            (r#"["service"]"#, r#"{"roles":["a"]}"#, Some("roles")),
            (r#"["api_keys"]"#, r#"{"roles":["a"]}"#, None),
            (r#"["api_keys"]"#, r#"{"scopes":["a"]}"#, Some("scopes")),
            (r#"["mtls"]"#, r#"{"claims":{"a":"b"}}"#, Some("claims")),
            (r#"{"optional":["jwt"]}"#, r#"{"roles":["a"],"claims":{"a":"b"}}"#, None),
            (r#"["jwt"]"#, r#"{"principals":["service:a"]}"#, Some("principals")),
            (r#"["jwt"]"#, r#"{"principals":["service:a","spiffe://b/*"]}"#, None),
            (r#"["jwt","service"]"#, r#"{"principals":["service:a"]}"#, None),
            (r#""none""#, r#"{"owner":{"path":"id","claim":"sub"}}"#, Some("owner")),
            (r#""none""#, r#"{"client_ip":["10.0.0.0/8"]}"#, None),
        ] {
            let json = format!(r#"{{"routes":[{{"match":{{}},"authenticate":{authenticate},"deny":[{deny}]}}]}}"#);
            let told = without_effect(&Config::from_json(json.as_bytes()).unwrap());
            let told: Vec<_> = told.into_iter().map(|warning| warning.path).collect();
            let expected: Vec<_> = field.iter().map(|field| format!("routes[0].deny[0].{field}")).collect();
            assert_eq!(told, expected, "{authenticate} {deny}");
        }
    }
}
