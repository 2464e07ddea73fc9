//! Addresses that fail too often are blocked.

use serde_json::Value;

use crate::setting::{self, FromText, Setting};
use crate::tree::Fault;

use super::scalar::{Count, DurationText, Mode, Network, PathTemplate};

/// When an address is blocked and for how long.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Intrusion {
    /// What happens to a blocked address. Default: the top-level mode.
    pub mode: Option<Mode>,
    /// The failure that blocks. Default: 5.
    pub failures: Count<1, 10_000>,
    /// The time within which failures add up. Default: 1h.
    pub within: DurationText,
    /// How long a block lasts. Default: 1h.
    pub block_for: BlockFor,
    /// The failures that count. Default: all.
    pub count: Vec<Failure>,
    /// Networks that are never blocked. Default: none.
    pub never_block: Vec<Network>,
    /// Where blocks are listed and lifted. Default: nowhere.
    pub admin: Option<Admin>,
}

impl Default for Intrusion {
    fn default() -> Self {
        Self {
            mode: None,
            failures: Count(5),
            within: DurationText::seconds(3600),
            block_for: BlockFor::Lasting(DurationText::seconds(3600)),
            count: vec![
                Failure::BadSignature,
                Failure::BadLogin,
                Failure::UnknownService,
                Failure::SuspiciousRequest,
                Failure::Upstream401,
            ],
            never_block: Vec::new(),
            admin: None,
        }
    }
}

/// How long a block lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockFor {
    /// So long.
    Lasting(DurationText),
    /// Until an admin lifts it.
    Forever,
}

/// The failures that can count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// A signature that does not verify.
    BadSignature,
    /// Wrong username or password.
    BadLogin,
    /// A service that is not known.
    UnknownService,
    /// A finding of the inspection.
    SuspiciousRequest,
    /// The upstream answered 401.
    #[serde(rename = "upstream_401")]
    Upstream401,
}

/// The endpoint that lists and lifts blocks.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Default: /.portcullis.
    #[serde(default = "admin_path")]
    pub path: PathTemplate,
    /// Who may use it.
    pub roles: Vec<String>,
}

impl Setting for BlockFor {
    fn read(value: &Value) -> Result<Self, Fault> {
        let text = setting::text(value, "a duration or forever")?;
        if text == "forever" {
            return Ok(Self::Forever);
        }
        DurationText::of(text).map(Self::Lasting).map_err(|_| {
            Fault::new("expected forever, or a duration: a whole number with ms, s, m, h or d, such as 1h")
        })
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for BlockFor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BlockFor".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{ "const": "forever" }, generator.subschema_for::<DurationText>()],
        })
    }
}

fn admin_path() -> PathTemplate {
    PathTemplate::known("/.portcullis")
}
