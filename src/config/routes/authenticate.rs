//! Which methods of authentication a route asks for.

use serde_json::Value;

use crate::scalar::Name;
use crate::setting::{self, FromText, Setting};
use crate::tree::Fault;

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
        let provider = |name: &str| Name::of(name).ok();
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

impl Setting for MethodRef {
    fn read(value: &Value) -> Result<Self, Fault> {
        Self::parse(setting::text(value, "a string")?).ok_or_else(|| Fault::new(METHOD_FORM))
    }
}

impl Setting for Authenticate {
    fn read(value: &Value) -> Result<Self, Fault> {
        const FORM: &str = "none, a list of methods, { all: [...] } or { optional: [...] }";
        match value {
            Value::String(text) if text == "none" => Ok(Self::None),
            Value::Array(_) => Setting::read(value).map(Self::Any),
            Value::Object(_) => match Form::read(value)? {
                Form { all: Some(methods), optional: None } => Ok(Self::All(methods)),
                Form { all: None, optional: Some(methods) } => Ok(Self::Optional(methods)),
                Form { all: None, optional: None } => Err(Fault::new("expected one of all, optional")),
                Form { .. } => Err(Fault::new("expected only one of all, optional")),
            },
            other => Err(setting::refused(other, FORM)),
        }
    }
}

#[derive(Default, Setting)]
#[serde(default)]
struct Form {
    all: Option<Vec<MethodRef>>,
    optional: Option<Vec<MethodRef>>,
}

#[cfg(feature = "schema")]
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

#[cfg(feature = "schema")]
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
