//! Which methods of authentication a route asks for.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::config::scalar::Name;

/// `none`, `[jwt, service]`, `{ all: [mtls, jwt.users] }` or `{ optional: [jwt] }`.
#[derive(Clone, Debug, PartialEq)]
pub enum Authenticate {
    /// Nobody is asked.
    None,
    /// Any one of these methods.
    Any(Vec<MethodRef>),
    /// Every one of these methods.
    All(Vec<MethodRef>),
    /// Any one of these methods, or no credentials at all; bad ones are still refused.
    Optional(Vec<MethodRef>),
}

impl Authenticate {
    /// The methods in the order written.
    pub fn methods(&self) -> &[MethodRef] {
        match self {
            Self::None => &[],
            Self::Any(methods) | Self::All(methods) | Self::Optional(methods) => methods,
        }
    }
}

/// One method, of one provider or of any.
#[derive(Clone, Debug, PartialEq)]
pub enum MethodRef {
    /// `jwt` or `jwt.PROVIDER`.
    Jwt(Option<Name>),
    /// `oauth2` or `oauth2.PROVIDER`.
    Oauth2(Option<Name>),
    /// Signed requests between services.
    Service,
    /// API keys.
    ApiKeys,
    /// Client certificates.
    Mtls,
}

const METHOD_FORM: &str = "expected jwt, jwt.PROVIDER, oauth2, oauth2.PROVIDER, service, api_keys or mtls";

impl MethodRef {
    fn parse(text: &str) -> Option<Self> {
        let provider = |name: &str| Name::deserialize(de::value::StrDeserializer::<de::value::Error>::new(name)).ok();
        match text.split_once('.') {
            None => match text {
                "jwt" => Some(Self::Jwt(None)),
                "oauth2" => Some(Self::Oauth2(None)),
                "service" => Some(Self::Service),
                "api_keys" => Some(Self::ApiKeys),
                "mtls" => Some(Self::Mtls),
                _ => None,
            },
            Some(("jwt", name)) => Some(Self::Jwt(Some(provider(name)?))),
            Some(("oauth2", name)) => Some(Self::Oauth2(Some(provider(name)?))),
            Some(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for MethodRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(METHOD_FORM))
    }
}

impl<'de> Deserialize<'de> for Authenticate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AuthenticateVisitor)
    }
}

struct AuthenticateVisitor;

impl<'de> Visitor<'de> for AuthenticateVisitor {
    type Value = Authenticate;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("none, a list of methods, { all: [...] } or { optional: [...] }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Authenticate, E> {
        match text {
            "none" => Ok(Authenticate::None),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Authenticate, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(items)).map(Authenticate::Any)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Authenticate, A::Error> {
        let Some(form) = entries.next_key::<Form>()? else {
            return Err(de::Error::custom("expected one of all, optional"));
        };
        let methods = entries.next_value()?;
        if entries.next_key::<Form>()?.is_some() {
            return Err(de::Error::custom("expected only one of all, optional"));
        }
        match form {
            Form::All => Ok(Authenticate::All(methods)),
            Form::Optional => Ok(Authenticate::Optional(methods)),
        }
    }
}

enum Form {
    All,
    Optional,
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "all" => Ok(Self::All),
            "optional" => Ok(Self::Optional),
            other => Err(de::Error::unknown_field(other, &["all", "optional"])),
        }
    }
}

#[cfg(feature = "cli")]
impl schemars::JsonSchema for MethodRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MethodRef".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^((jwt|oauth2)(\\.[0-9A-Za-z_.-]{1,128})?|service|api_keys|mtls)$",
        })
    }
}

#[cfg(feature = "cli")]
impl schemars::JsonSchema for Authenticate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Authenticate".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let methods = generator.subschema_for::<Vec<MethodRef>>();
        schemars::json_schema!({ "oneOf": [
            { "const": "none" },
            methods,
            { "type": "object", "additionalProperties": false, "required": ["all"], "properties": { "all": methods } },
            {
                "type": "object",
                "additionalProperties": false,
                "required": ["optional"],
                "properties": { "optional": methods },
            },
        ]})
    }
}
