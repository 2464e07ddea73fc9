//! A value that a claim is compared with.

use serde_json::Value;

use crate::setting::{self, Setting};
use crate::tree::Fault;

const FORM: &str = "a string, a whole number, true or false";

/// A text, a whole number or a truth value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    /// Equal to this text, or a list that holds it.
    Text(String),
    /// Equal to this number.
    Number(i64),
    /// Equal to this truth value.
    Flag(bool),
}

impl Setting for ClaimValue {
    fn read(value: &Value) -> Result<Self, Fault> {
        match value {
            Value::String(text) => Ok(Self::Text(text.clone())),
            Value::Bool(flag) => Ok(Self::Flag(*flag)),
            Value::Number(number) if number.is_u64() || number.is_i64() => {
                let number = number.as_i64();
                number.map(Self::Number).ok_or_else(|| Fault::new("expected a whole number of at most 63 bits"))
            }
            Value::Number(number) => Err(setting::out_of_range(number, FORM)),
            other => Err(setting::refused(other, FORM)),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ClaimValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}
