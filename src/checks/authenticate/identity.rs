//! From proof to identity, the same for every kind of credentials: roles, scopes, and what the upstream is told.

use std::rc::Rc;

use crate::exchange::{Identity, Method};
use crate::jose::claims::{ClaimPath, Claims};
use crate::jose::json::Json;
use crate::jose::reason::Reason;
use crate::policy::roles::Roles;

use super::{Told, header_safe};

/// What every identity of a configuration is made with.
#[derive(Debug, Default)]
pub struct Identities {
    /// The roles that rules name.
    pub roles: Rc<Roles>,
    /// What the upstream is told.
    pub told: Rc<Told>,
}

/// Who was proven to call, and by whose word.
#[derive(Debug)]
pub struct Proven {
    /// How.
    pub method: Method,
    /// The provider's name.
    pub provider: Rc<str>,
    /// Who.
    pub subject: String,
    /// Roles as the provider names them.
    pub role_names: Vec<String>,
    /// Scopes.
    pub scopes: Vec<String>,
    /// What else the provider says.
    pub claims: Option<Claims>,
    /// Headers for the upstream beside the identity headers; their values are safe already.
    pub headers: Vec<(Rc<str>, String)>,
}

impl Identities {
    /// The identity, complete.
    ///
    /// # Errors
    /// [`Reason::Malformed`] where the upstream would read the subject or a role as two values, or as two lines: that is
    /// refused, not repaired.
    pub fn make(&self, proven: Proven) -> Result<Identity, Reason> {
        let Proven { method, provider, subject, role_names, scopes, claims, headers } = proven;
        if !header_safe(&subject) || !role_names.iter().all(|role| header_safe(role)) {
            return Err(Reason::Malformed);
        }
        let mut identity = Identity::new(method, provider, subject);
        identity.roles = self.roles.set(role_names.iter().map(String::as_str));
        identity.scopes = scopes;
        identity.role_names = role_names;
        identity.claims = claims;
        identity.headers = self.told.headers(&identity);
        identity.headers.extend(headers);
        Ok(identity)
    }
}

/// The claims by which a provider grants something; without one it grants none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The claim with the roles.
    pub roles: Option<ClaimPath>,
    /// The claim with the scopes.
    pub scopes: Option<ClaimPath>,
}

impl Grants {
    /// The roles of a list, each whole, or of a text with spaces between them.
    pub fn roles(&self, claims: &Claims) -> Vec<String> {
        let Some(path) = &self.roles else { return Vec::new() };
        match claims.value(path) {
            Some(Json::String(text)) => text.split(' ').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
            _ => claims.list(path).map(str::to_owned).collect(),
        }
    }

    /// The scopes of a list or of a text with spaces between them.
    pub fn scopes(&self, claims: &Claims) -> Vec<String> {
        self.scopes.iter().flat_map(|path| claims.scopes(path)).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven(subject: &str, roles: &[&str]) -> Proven {
        Proven {
            method: Method::Oauth2,
            provider: Rc::from("p"),
            subject: subject.to_owned(),
            role_names: roles.iter().map(|role| (*role).to_owned()).collect(),
            scopes: Vec::new(),
            claims: None,
            headers: vec![(Rc::from("x-more"), "1".to_owned())],
        }
    }

    #[test]
    fn tells_the_upstream_who_calls_and_what_else_is_known() {
        let name = |name: &str| Some(Rc::from(name));
        let told = Told { subject: name("s"), roles: name("r"), method: name("m") };
        let identities = Identities { roles: Rc::default(), told: Rc::new(told) };
        let identity = identities.make(proven("7", &["a", "b"])).unwrap();
        let headers: Vec<_> = identity.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(headers, ["s=7", "r=a,b", "m=oauth2", "x-more=1"]);
    }

    #[test]
    fn refuses_what_a_header_would_change_or_split() {
        let make = |subject: &str, roles: &[&str]| Identities::default().make(proven(subject, roles)).err();
        assert_eq!(make("7", &["a b"]), None);
        for (subject, role) in [("7\r\nx: y", "a"), ("7,8", "a"), (" 7", "a"), ("7", "a,b"), ("7", "a;b"), ("7", "a\n")]
        {
            assert_eq!(make(subject, &[role]), Some(Reason::Malformed), "{subject:?} {role:?}");
        }
    }

    #[test]
    fn grants_nothing_that_no_claim_is_mapped_to() {
        let claims =
            Claims::parse(br#"{"roles":["super admin","b"],"groups":"a  b","scope":"r w","list":["r","w x"]}"#);
        let claims = claims.unwrap();
        let mapped = |claim: &str| (!claim.is_empty()).then(|| ClaimPath::new(claim));
        let grants = |roles, scopes| Grants { roles: mapped(roles), scopes: mapped(scopes) };
        for (grants, roles, scopes) in [
            (grants("", ""), &[][..], &[][..]),
            (grants("roles", "scope"), &["super admin", "b"], &["r", "w"]),
            (grants("groups", "list"), &["a", "b"], &["r", "w", "x"]),
            (grants("none", "none"), &[], &[]),
        ] {
            assert_eq!((grants.roles(&claims), grants.scopes(&claims)), (owned(roles), owned(scopes)), "{grants:?}");
        }
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
}
