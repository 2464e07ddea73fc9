//! What the operator writes: types for every setting, as plain data. Unknown fields, duplicate keys and empty values
//! are refused with the path of the field; nothing here acts. `policy` compiles it.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::string_slice)
)]

mod authentication;
mod claim;
mod client_ip;
mod dictionary;
mod encryption;
mod events;
mod headers;
mod inspection;
mod intrusion;
mod limits;
mod outbound;
mod paths;
mod routes;
mod scalar;
mod secrets;
mod setting;
mod structure;
mod tokens;
mod tree;
mod validate;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::setting::Setting;

pub use authentication::*;
pub use claim::ClaimValue;
pub use client_ip::ClientIp;
pub use dictionary::Dictionary;
pub use encryption::Encryption;
pub use events::Events;
pub use headers::*;
pub use inspection::*;
pub use intrusion::*;
pub use limits::*;
pub use outbound::{Outbound, Sign};
pub use paths::{Case, Paths};
pub use routes::*;
pub use scalar::*;
pub use secrets::*;
pub use tokens::*;
pub use validate::{validate, warnings};

/// Errors reported at once at most.
pub const MOST_ERRORS: usize = 100;

/// Every setting. All of them are optional.
#[derive(Clone, Debug, PartialEq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The service's name in every event and metric. Default: portcullis.
    pub service: Name,
    /// What happens to refused requests, where a section or route says nothing else. Default: enforce.
    pub mode: Mode,
    /// Whose word about the client's address counts.
    pub client_ip: ClientIp,
    /// How paths are read.
    pub paths: Paths,
    /// Secrets by name.
    pub secrets: Dictionary<Name, Secret>,
    /// Who is calling.
    pub authentication: Authentication,
    /// Log in, refresh and log out at the proxy. Default: not offered.
    pub tokens: Option<Tokens>,
    /// The roles that a role stands for beside itself.
    pub roles: Dictionary<String, Vec<String>>,
    /// Limits by name; routes say which apply.
    pub limits: Dictionary<Name, Limit>,
    /// Entries of the shared tables.
    pub tables: Tables,
    /// The injection filter.
    pub inspection: Inspection,
    /// How bodies are held and how large their structure may be.
    pub bodies: Bodies,
    /// Blocking of addresses. Default: nobody is blocked.
    pub intrusion: Option<Intrusion>,
    /// Keys of encrypted fields.
    pub encryption: Option<Encryption>,
    /// What the proxy says in headers.
    pub headers: Headers,
    /// What is told about requests.
    pub events: Events,
    /// What every route inherits.
    pub defaults: Defaults,
    /// What happens to a request that no route matches. Default: deny.
    pub unmatched: Verdict,
    /// The routes; the first that matches decides.
    pub routes: Vec<Route>,
    /// What is done to requests that leave, on an egress listener.
    pub outbound: Option<Outbound>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: Name::known("portcullis"),
            mode: Mode::Enforce,
            client_ip: ClientIp::default(),
            paths: Paths::default(),
            secrets: Dictionary::new(),
            authentication: Authentication::default(),
            tokens: None,
            roles: Dictionary::new(),
            limits: Dictionary::new(),
            tables: Tables::default(),
            inspection: Inspection::default(),
            bodies: Bodies::default(),
            intrusion: None,
            encryption: None,
            headers: Headers::default(),
            events: Events::default(),
            defaults: Defaults::default(),
            unmatched: Verdict::Deny,
            routes: Vec::new(),
            outbound: None,
        }
    }
}

impl Config {
    /// Reads a configuration from JSON. Names are not looked up: see [`validate()`].
    ///
    /// # Errors
    /// The first field that is unknown, missing or of the wrong form.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let document = match tree::parse(json) {
            Ok(document) => document,
            Err(faults) => return Err(faults.into_iter().next().map_or_else(ConfigError::default, ConfigError::from)),
        };
        Ok(Self::read(&document)?)
    }
}

/// The JSON text of what a host hands to a plugin: the text itself, or a binary `google.protobuf.Struct`.
pub fn plugin_configuration(bytes: &[u8]) -> Cow<'_, [u8]> {
    // A message may happen to begin like a text, so the text has to be read to know.
    if serde_json::from_slice::<IgnoredAny>(bytes).is_ok() {
        return Cow::Borrowed(bytes);
    }
    match structure::parse(bytes).and_then(|document| serde_json::to_vec(&document).ok()) {
        Some(json) => Cow::Owned(json),
        None => Cow::Borrowed(bytes),
    }
}

/// Reads a configuration from JSON, with every name looked up.
///
/// # Errors
/// Everything that is wrong with it, at most a hundred errors: forms first; only where all forms are right, names that refer to
/// nothing and features that are not supported yet. Never empty.
pub fn read(json: &[u8]) -> Result<Config, Vec<ConfigError>> {
    let told = |faults: Vec<tree::Fault>| -> Vec<ConfigError> {
        faults.into_iter().map(ConfigError::from).take(MOST_ERRORS).collect()
    };
    let document = tree::parse(json).map_err(told)?;
    let config = Config::read(&document)
        .map_err(|_| told(tree::every_fault(document, &|document| Config::read(document).err(), MOST_ERRORS)))?;
    let mut errors = validate(&config);
    errors.truncate(MOST_ERRORS);
    if errors.is_empty() { Ok(config) } else { Err(errors) }
}

/// The one text of all that say the same: without the order of keys, the spelling of numbers, and the values of inline secrets.
/// `None` for what is no JSON, or too much of it.
pub fn canonical(json: &[u8]) -> Option<Vec<u8>> {
    let mut document = tree::parse(json).ok()?;
    let secrets = document.get_mut("secrets").and_then(Value::as_object_mut);
    for inline in secrets.into_iter().flat_map(Map::values_mut).filter_map(|secret| secret.get_mut("inline")) {
        inline.take();
    }
    serde_json::to_vec(&document).ok()
}

/// A field and what is wrong with it. Never holds a secret's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the field, such as `authentication.jwt.users.keys[0].secret`; empty for the whole document.
    pub path: String,
    /// What was expected.
    pub message: String,
}

impl ConfigError {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// One line, whatever names the configuration holds.
impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.path.is_empty() { "" } else { ": " };
        let mut chars = self.path.chars().chain(between.chars()).chain(self.message.chars());
        chars.try_for_each(|c| match c.is_control() {
            true => write!(formatter, "{}", c.escape_default()),
            false => formatter.write_char(c),
        })
    }
}

impl std::error::Error for ConfigError {}

/// The one that is there.
fn only<T, const N: usize>(choices: [Option<T>; N]) -> Option<T> {
    let mut present = choices.into_iter().flatten();
    present.next().filter(|_| present.next().is_none())
}

/// A type that is read as the fields that it is made from, and has their JSON Schema.
macro_rules! made_of {
    ($name:ident is $fields:ident) => {
        impl crate::setting::Setting for $name {
            fn read(value: &serde_json::Value) -> Result<Self, crate::tree::Fault> {
                let fields: $fields = crate::setting::Setting::read(value)?;
                Self::try_from(fields).map_err(crate::tree::Fault::new)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$fields as schemars::JsonSchema>::json_schema(generator)
            }
        }
    };
}
use made_of;

/// The `oneOf` of a JSON Schema that [`only`] stands for.
#[cfg(feature = "schema")]
fn exactly_one(fields: &[&str]) -> serde_json::Value {
    fields.iter().map(|field| serde_json::json!({ "required": [field] })).collect()
}
