//! Texts that are compared as they are.

use std::ops::Deref;

use serde_json::Value;

use crate::setting::{self, Setting};
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

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Verbatim {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Verbatim".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "minLength": 0 })
    }
}
