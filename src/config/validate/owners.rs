//! Rules by which a caller owns something, where several providers call their subjects by one claim.

use crate::{Authenticate, Config, ConfigError, MethodRef, Route};

/// What is said of rules whose claim is the subject of several providers that the route accepts: whoever is 7 to one of
/// them owns what is 7's to another.
pub(super) fn shared_subjects(config: &Config) -> Vec<ConfigError> {
    let mut found = Vec::new();
    for (at, route) in config.routes.iter().enumerate() {
        let authenticate = route.authenticate.as_ref().or(config.defaults.authenticate.as_ref());
        let methods = authenticate.map_or(&[][..], Authenticate::methods);
        for (path, claim) in claims(route) {
            let providers = providers(config, methods, claim);
            if providers.len() > 1 {
                let names = providers.join(", ");
                found.push(ConfigError::new(
                    format!("routes[{at}].{path}"),
                    format!("the subjects of {names} count alike here: where they are not the same people, let the route accept one of these"),
                ));
            }
        }
    }
    found
}

/// The claims that say who owns what, each with the path of its setting in the route.
fn claims(route: &Route) -> Vec<(String, &str)> {
    let allow = route.allow.iter().flatten().enumerate();
    let allow =
        allow.filter_map(|(at, entry)| Some((format!("allow[{at}].owner.claim"), &entry.owner.as_ref()?.claim)));
    let deny = route.deny.iter().flatten().enumerate();
    let deny = deny.filter_map(|(at, entry)| Some((format!("deny[{at}].owner.claim"), &entry.owner.as_ref()?.claim)));
    let response = route.response.iter().filter_map(|response| response.owner.as_ref());
    let response = response.map(|owner| ("response.owner.claim".to_owned(), &owner.claim));
    allow.chain(deny).chain(response).map(|(path, claim)| (path, claim.as_str())).collect()
}

/// The providers among `methods` whose subject is this claim, as `authenticate` names them.
fn providers(config: &Config, methods: &[MethodRef], claim: &str) -> Vec<String> {
    let accepts_jwt =
        |name: &str| methods.iter().any(|method| matches!(method, MethodRef::Jwt(which) if is(which, name)));
    let accepts_opaque =
        |name: &str| methods.iter().any(|method| matches!(method, MethodRef::Oauth2(which) if is(which, name)));
    let jwt = config.authentication.jwt.iter().filter(|(_, provider)| provider.claims.subject == claim);
    let jwt = jwt.filter(|(name, _)| accepts_jwt(name.as_str())).map(|(name, _)| format!("jwt.{}", name.as_str()));
    let opaque = config.authentication.oauth2.iter().filter(|(_, provider)| provider.claims.subject == claim);
    let opaque = opaque.filter(|(name, _)| accepts_opaque(name.as_str()));
    jwt.chain(opaque.map(|(name, _)| format!("oauth2.{}", name.as_str()))).collect()
}

/// Whether a method means this provider: by its name, or all of its kind.
fn is(which: &Option<crate::Name>, name: &str) -> bool {
    which.as_ref().is_none_or(|which| which.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(routes: &str) -> Vec<String> {
        let provider = |subject: &str| {
            format!(
                r#"{{"issuer":"{subject}","algorithms":["HS256"],"keys":[{{"secret":"key"}}],"claims":{{"subject":"{subject}"}}}}"#
            )
        };
        let config = format!(
            r#"{{"secrets":{{"key":{{"env":"KEY"}}}},"authentication":{{"jwt":{{"a":{id},"b":{id},"c":{sub}}}}},"defaults":{{"authenticate":["jwt"]}},"routes":{routes}}}"#,
            id = provider("id"),
            sub = provider("sub"),
        );
        let config = Config::from_json(config.as_bytes()).unwrap();
        shared_subjects(&config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn says_where_the_subjects_of_several_providers_own_alike() {
        let rule = r#""allow":[{"roles":["admin"]},{"owner":{"path":"id","claim":"id"}}],"response":{"owner":{"field":"user","claim":"id"}}"#;
        let route = |authenticate: &str| format!(r#"[{{"match":{{"path":"/{{id}}"}},{authenticate}{rule}}}]"#);
        let said = "the subjects of jwt.a, jwt.b count alike here: where they are not the same people, let the route accept one of these";
        for both in ["", r#""authenticate":["jwt.b","jwt.a"],"#] {
            let expected = ["allow[1].owner.claim", "response.owner.claim"].map(|at| format!("routes[0].{at}: {said}"));
            assert_eq!(warned(&route(both)), expected);
        }
        assert!(warned(&route(r#""authenticate":["jwt.a","jwt.c"],"#)).is_empty());
        assert!(warned(r#"[{"match":{"path":"/{id}"},"allow":[{"owner":{"path":"id","claim":"sub"}}]}]"#).is_empty());
    }
}
