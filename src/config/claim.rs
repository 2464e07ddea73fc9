//! A value that a claim is compared with.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

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

impl<'de> Deserialize<'de> for ClaimValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClaimValueVisitor)
    }
}

struct ClaimValueVisitor;

impl Visitor<'_> for ClaimValueVisitor {
    type Value = ClaimValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string, a whole number, true or false")
    }

    fn visit_str<E>(self, text: &str) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<ClaimValue, E> {
        Ok(ClaimValue::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<ClaimValue, E> {
        let number = i64::try_from(number);
        number.map(ClaimValue::Number).map_err(|_| E::custom("expected a whole number of at most 63 bits"))
    }
}

#[cfg(feature = "cli")]
impl schemars::JsonSchema for ClaimValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ClaimValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}
