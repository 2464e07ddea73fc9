//! What is safe to let in: injection classes, own patterns, and the room that bodies get.

use crate::setting::Setting;

use super::scalar::{ByteSize, Count, Literal, Mode, Name, Verdict};

/// The injection filter.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Inspection {
    /// What happens to a finding. Default: the route's mode.
    pub mode: Option<Mode>,
    /// Each class by itself.
    pub classes: Classes,
    /// How much of a body is looked at. Default: 1MiB.
    pub body_limit: ByteSize,
    /// What happens to a longer body: deny answers 413, allow lets the rest pass uninspected. Default: deny.
    pub over_limit: Verdict,
    /// Fields that are not looked at. Default: password.
    pub skip_fields: Vec<String>,
    /// The operator's own patterns.
    pub patterns: Vec<Pattern>,
    /// Bytes of the offending value in the event. Default: 0.
    pub excerpt: Count<0, 256>,
}

impl Default for Inspection {
    fn default() -> Self {
        Self {
            mode: None,
            classes: Classes::default(),
            body_limit: ByteSize(1 << 20),
            over_limit: Verdict::Deny,
            skip_fields: vec!["password".to_owned()],
            patterns: Vec::new(),
            excerpt: Count(0),
        }
    }
}

/// The mode of each class of injection.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Classes {
    /// SQL. Default: enforce.
    pub sqli: Mode,
    /// Script in HTML. Default: enforce.
    pub xss: Mode,
    /// Path traversal. Default: enforce.
    pub path: Mode,
    /// Shell commands. Default: enforce.
    pub command: Mode,
    /// Templates and JNDI. Default: monitor.
    pub template: Mode,
    /// Operators and script of document databases. Default: off.
    pub nosql: Mode,
    /// Filters of directory searches. Default: off.
    pub ldap: Mode,
    /// External entities of XML. Default: off.
    pub xxe: Mode,
    /// URLs of the server itself, its network and its cloud's metadata. Default: off.
    pub ssrf: Mode,
}

impl Default for Classes {
    fn default() -> Self {
        Self {
            sqli: Mode::Enforce,
            xss: Mode::Enforce,
            path: Mode::Enforce,
            command: Mode::Enforce,
            template: Mode::Monitor,
            nosql: Mode::Off,
            ldap: Mode::Off,
            xxe: Mode::Off,
            ssrf: Mode::Off,
        }
    }
}

/// The classes of injection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// SQL.
    Sqli,
    /// Script in HTML.
    Xss,
    /// Path traversal.
    Path,
    /// Shell commands.
    Command,
    /// Templates and JNDI.
    Template,
    /// Operators and script of document databases.
    Nosql,
    /// Filters of directory searches.
    Ldap,
    /// External entities of XML.
    Xxe,
    /// URLs of the server itself, its network and its cloud's metadata.
    Ssrf,
}

/// A pattern of the operator.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// Its name in events.
    pub id: Name,
    /// The regular expression.
    pub regex: Literal,
    /// Where it is looked for. Default: everywhere.
    #[serde(default = "everywhere", rename = "in")]
    #[setting(filled)]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1)))]
    pub parts: Vec<Part>,
    /// What happens to a finding. Default: the mode of the inspection.
    #[serde(default)]
    pub mode: Option<Mode>,
}

/// The parts of a request that are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The path's segments.
    Path,
    /// Names and values of the query.
    Query,
    /// Values of headers.
    Headers,
    /// Names and values of cookies.
    Cookies,
    /// Names and values of forms, multipart, JSON and XML.
    Body,
}

/// How bodies are held and how large their structure may be.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Bodies {
    /// How a request waits for its body. Default: headers.
    pub hold: Hold,
    /// Nested JSON containers. Default: 32.
    pub json_depth: Count<1, 128>,
    /// Members and elements of a JSON document. Default: 10000.
    pub json_entries: Count<1, 1_000_000>,
    /// Bytes of one string. Default: 65536.
    pub string_length: Count<1, 16_777_216>,
    /// Parts of a multipart body. Default: 64.
    pub multipart_parts: Count<1, 10_000>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            hold: Hold::Headers,
            json_depth: Count(32),
            json_entries: Count(10_000),
            string_length: Count(65_536),
            multipart_parts: Count(64),
        }
    }
}

/// How a request waits for its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// The head is held (the plugin is set to `allow_on_headers_stop_iteration: true`).
    Headers,
    /// Envoy's buffer filter stands behind the plugin.
    BufferFilter,
}

fn everywhere() -> Vec<Part> {
    vec![Part::Path, Part::Query, Part::Headers, Part::Cookies, Part::Body]
}
