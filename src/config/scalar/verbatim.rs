//! Texts that are compared as they are.

use std::ops::Deref;

use serde_json::Value;

use crate::setting::{self, Blank, Setting};
use crate::tree::Fault;

/// A text that may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verbatim(String);

impl Deref for Verbatim {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Verbatim {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Setting for Verbatim {
    fn read(value: &Value) -> Result<Self, Fault> {
        setting::text(value, "a string").map(Self::from)
    }
}

/// A text of at least one character, with whatever white space is around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Literal(String);

impl Deref for Literal {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Blank for Literal {
    fn blank() -> Self {
        Self::default()
    }
}

impl Setting for Literal {
    fn read(value: &Value) -> Result<Self, Fault> {
        setting::filled(setting::text(value, "a string")?).map(|text| Self(text.to_owned()))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Literal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Literal".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 1 })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Verbatim {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Verbatim".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 0 })
    }
}
