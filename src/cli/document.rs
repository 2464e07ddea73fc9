//! Configurations in the files that people keep: bare, or inside an Envoy, Istio or Envoy Gateway document, as YAML or
//! JSON. What is found is what the proxy would hand to the plugin.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// Nested lists and maps at most; the YAML reader has bounds of its own.
const DEEPEST: usize = 128;

/// A configuration and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The path within the file, such as `document 2: spec.pluginConfig`; empty for a bare configuration.
    pub place: String,
    /// The configuration as the plugin receives it.
    pub json: Result<Vec<u8>, Unreadable>,
    /// What is said of the plugin beside it; `None` for a bare configuration.
    pub carrier: Option<Carrier>,
    /// The filters around it, where the file has them.
    pub chain: Option<Chain>,
}

/// Whose document carries a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// `envoy.extensions.wasm.v3.PluginConfig`.
    Envoy,
    /// The `spec` of a `WasmPlugin`.
    Istio,
    /// An entry of `wasm` of an `EnvoyExtensionPolicy`.
    EnvoyGateway,
}

/// The settings of a plugin beside its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Carrier {
    /// Whose they are.
    pub platform: Platform,
    settings: Map<String, Value>,
}

impl Carrier {
    /// The setting of one of these names: Protocol Buffers take two spellings.
    pub fn setting(&self, names: &[&str]) -> Option<&Value> {
        either(&self.settings, names)
    }

    /// The environment variables that the plugin is given, and the setting that says so. `None` where the document is a part
    /// that says nothing of the VM.
    pub fn variables(&self) -> Option<(Vec<&str>, &'static str)> {
        match self.platform {
            Platform::Envoy => {
                let vm = self.setting(&["vm_config", "vmConfig"])?.as_object()?;
                let passed = either(vm, &["environment_variables", "environmentVariables"]).and_then(Value::as_object);
                let of = |names: &[&str]| passed.and_then(|passed| either(passed, names));
                let keys = of(&["host_env_keys", "hostEnvKeys"]).map(texts).unwrap_or_default();
                let values = of(&["key_values", "keyValues"]).and_then(Value::as_object);
                let values = values.into_iter().flat_map(Map::keys).map(String::as_str);
                Some((keys.into_iter().chain(values).collect(), "vm_config.environment_variables.host_env_keys"))
            }
            Platform::Istio => {
                let entries = self.settings.get("vmConfig").and_then(|vm| vm.get("env")).and_then(Value::as_array);
                let names = entries.into_iter().flatten().filter_map(|entry| entry.get("name")?.as_str());
                Some((names.collect(), "vmConfig.env, with valueFrom: HOST"))
            }
            Platform::EnvoyGateway => {
                let keys = self.settings.get("env").and_then(|env| env.get("hostKeys"));
                Some((keys.map(texts).unwrap_or_default(), "env.hostKeys"))
            }
        }
    }
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn either<'m>(map: &'m Map<String, Value>, names: &[&str]) -> Option<&'m Value> {
    names.iter().find_map(|name| map.get(*name))
}

/// The filters of Envoy that stand around a plugin, by the types of their configurations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain {
    /// Those that see a request before it.
    pub before: Vec<String>,
    /// Those that see it after.
    pub after: Vec<String>,
}

/// A configuration of a type that the plugin cannot receive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unreadable {
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected {}", self.expected)
    }
}

/// Why a file holds no configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum DocumentError {
    /// Neither YAML nor JSON; line and column are in the text.
    NotYaml(String),
    /// No document with a plugin in it.
    NoConfiguration,
    /// No document at all: nothing, or comments.
    Empty,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYaml(problem) => write!(formatter, "expected YAML or JSON: {problem}"),
            Self::NoConfiguration => formatter.write_str("holds no configuration of the plugin"),
            Self::Empty => formatter.write_str("is empty; a configuration that sets nothing is {}"),
        }
    }
}

impl std::error::Error for DocumentError {}

/// Every configuration in `text`, in the order of the file.
///
/// A document that carries no plugin and has no envelope (`kind`, `@type`, `static_resources`, ...) is a bare
/// configuration. Among several wasm plugins, those that name portcullis count; where none does, all count.
///
/// # Errors
/// Text that is neither YAML nor JSON, and files that carry no configuration.
pub fn configurations(text: &str) -> Result<Vec<Found>, DocumentError> {
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        // The text itself, so that a duplicate key is still there to be refused.
        return chosen(plugins("", &value, || text.as_bytes().to_vec()));
    }
    let mut documents = values(text, serde_saphyr::options! { with_snippet: false })?;
    if documents.is_empty() {
        return Err(DocumentError::Empty);
    }
    if documents.iter().any(is_for_envoy) {
        let literal = serde_saphyr::options! {
            with_snippet: false,
            merge_keys: serde_saphyr::MergeKeyPolicy::AsOrdinary,
            underscored_numbers_as_strings: true,
            leading_zero_numbers_as_strings: true,
        };
        for (document, literal) in documents.iter_mut().zip(values(text, literal)?) {
            if is_for_envoy(document) {
                *document = as_envoy(document, literal);
            }
        }
    }
    let several = documents.len() > 1;
    let found = documents.iter().enumerate().flat_map(|(index, value)| {
        let place = if several { format!("document {}", index + 1) } else { String::new() };
        plugins(&place, value, || value.to_string().into_bytes())
    });
    chosen(found.collect())
}

/// The one configuration in `text`, as the plugin receives it.
///
/// # Errors
/// As [`configurations`]; and where there are several, where they stand.
pub fn only(text: &str) -> Result<Vec<u8>, String> {
    let mut found = configurations(text).map_err(|error| error.to_string())?;
    match (found.pop(), found.as_slice()) {
        (Some(only), []) => only.json.map_err(|unreadable| unreadable.to_string()),
        (last, others) => {
            let places: Vec<_> = others.iter().chain(&last).map(|found| found.place.as_str()).collect();
            let (number, places) = (places.len(), places.join(", "));
            Err(format!("expected one configuration, found {number} ({places}): put one of them into a file"))
        }
    }
}

/// The documents of `text`.
pub(super) fn values(text: &str, options: serde_saphyr::Options) -> Result<Vec<Value>, DocumentError> {
    let documents = serde_saphyr::from_multiple_with_options(text, options);
    documents.map_err(|error| DocumentError::NotYaml(plain(&error.to_string())))
}

/// Envoy reads the file itself; what has a kind is read by Kubernetes, and a bare configuration by whoever puts it somewhere.
fn is_for_envoy(document: &Value) -> bool {
    is_envelope(document) && document.get("kind").is_none()
}

/// What Envoy's own reader makes of a document (`ValueUtil::loadFromYaml`): `<<` is a key like any other, a zero in front
/// makes a number octal, and whatever is no whole number of 32 bits is a text. `literal` is the document read without merge
/// keys, with numbers of that kind as texts.
fn as_envoy(document: &Value, literal: Value) -> Value {
    match (document, literal) {
        (Value::Array(list), Value::Array(literals)) => {
            list.iter().zip(literals).map(|(value, literal)| as_envoy(value, literal)).collect()
        }
        (document, Value::Object(literals)) => {
            let known = |key: &str| document.get(key).unwrap_or(&Value::Null);
            let members = literals.into_iter().map(|(key, literal)| (key.clone(), as_envoy(known(&key), literal)));
            Value::Object(members.collect())
        }
        (Value::Number(_), Value::String(text)) if text.contains('_') => Value::String(text),
        (Value::Number(_), Value::String(text)) => octal(&text).map_or(Value::String(text), Value::from),
        (_, Value::Number(number)) if number.as_i64().is_none_or(|whole| i32::try_from(whole).is_err()) => {
            Value::String(number.to_string())
        }
        (_, literal) => literal,
    }
}

fn octal(text: &str) -> Option<i32> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    i32::from_str_radix(digits.trim_start_matches('+'), 8).ok().map(|number| sign * number)
}

/// The reader's own words are for programmers: its advice, and how it says that a text is too much.
fn plain(problem: &str) -> String {
    let problem = problem.replace(", set DuplicateKeyPolicy in Options if acceptable", "");
    let Some((before, rest)) = problem.split_once("budget breached: ") else { return problem };
    let Some((what, after)) = rest.split_once(" { ").and_then(|(_, rest)| rest.split_once(" }")) else {
        return problem;
    };
    format!("{before}more of it than is read, {what}{after}")
}

fn chosen(plugins: Vec<Plugin>) -> Result<Vec<Found>, DocumentError> {
    let named = plugins.iter().any(|plugin| plugin.named);
    let found: Vec<_> =
        plugins.into_iter().filter(|plugin| plugin.named || !named).map(|plugin| plugin.found).collect();
    if found.is_empty() { Err(DocumentError::NoConfiguration) } else { Ok(found) }
}

struct Plugin {
    named: bool,
    found: Found,
}

fn plugins(place: &str, document: &Value, json: impl FnOnce() -> Vec<u8>) -> Vec<Plugin> {
    let mut plugins = Vec::new();
    let start = if place.is_empty() { String::new() } else { format!("{place}: ") };
    walk(document, &start, 0, &mut plugins);
    if plugins.is_empty() && !is_envelope(document) {
        let found = Found { place: place.to_owned(), json: Ok(json()), carrier: None, chain: None };
        plugins.push(Plugin { named: true, found });
    }
    plugins
}

fn is_envelope(document: &Value) -> bool {
    ["kind", "apiVersion", "@type", "static_resources", "dynamic_resources", "resources", "version_info"]
        .iter()
        .any(|key| document.get(key).is_some())
}

fn walk(value: &Value, place: &str, depth: usize, plugins: &mut Vec<Plugin>) {
    if depth > DEEPEST {
        return;
    }
    match value {
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                let first = plugins.len();
                walk(item, &format!("{place}[{index}]"), depth + 1, plugins);
                // The innermost list of filters is the plugin's own.
                for plugin in plugins.iter_mut().skip(first).filter(|_| type_of(item).is_some()) {
                    plugin.found.chain.get_or_insert_with(|| chain(list, index));
                }
            }
        }
        Value::Object(map) => {
            if let Some((platform, field, plugin)) = plugin(map) {
                plugins.push(found(&below(place, field), platform, map, plugin));
                return;
            }
            for (key, item) in map {
                walk(item, &below(place, key), depth + 1, plugins);
            }
        }
        _ => {}
    }
}

/// The type of a filter's configuration.
fn type_of(filter: &Value) -> Option<&str> {
    filter.get("typed_config").or_else(|| filter.get("typedConfig"))?.get("@type")?.as_str()
}

fn chain(filters: &[Value], at: usize) -> Chain {
    let types = |filters: &[Value]| filters.iter().filter_map(type_of).map(str::to_owned).collect();
    let (before, after) = filters.split_at(at.min(filters.len()));
    Chain { before: types(before), after: types(after.get(1..).unwrap_or_default()) }
}

fn below(place: &str, key: &str) -> String {
    let first = place.is_empty() || place.ends_with(' ');
    if first { format!("{place}{key}") } else { format!("{place}.{key}") }
}

/// The configuration of the plugin that this map is, if it is one.
fn plugin(map: &Map<String, Value>) -> Option<(Platform, &'static str, &Value)> {
    // Istio: the spec of a WasmPlugin.
    if let Some(config) = map.get("pluginConfig").filter(|_| map.contains_key("url")) {
        return Some((Platform::Istio, "pluginConfig", config));
    }
    // Envoy Gateway: an entry of `wasm` of an EnvoyExtensionPolicy.
    if let Some(config) = map.get("config").filter(|_| map.contains_key("code")) {
        return Some((Platform::EnvoyGateway, "config", config));
    }
    // Envoy: envoy.extensions.wasm.v3.PluginConfig, also within an EnvoyFilter's patch.
    let any = map.get("configuration").filter(|any| any.get("@type").is_some())?;
    Some((Platform::Envoy, "configuration", any))
}

fn found(place: &str, platform: Platform, plugin: &Map<String, Value>, config: &Value) -> Plugin {
    let text_of = |value: &Value| value.as_str().map(str::to_owned);
    let type_url = config.get("@type").and_then(text_of).unwrap_or_default();
    let json = match (type_url.rsplit('.').next().unwrap_or_default(), config.get("value")) {
        ("", _) => Ok(config.to_string().into_bytes()),
        ("Struct", Some(value)) => Ok(value.to_string().into_bytes()),
        ("StringValue", Some(Value::String(text))) => Ok(text.clone().into_bytes()),
        ("BytesValue", Some(Value::String(text))) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(bytes),
            Err(_) => Err(Unreadable { expected: "base64 in the value of a BytesValue" }),
        },
        _ => Err(Unreadable { expected: "a google.protobuf.Struct, StringValue or BytesValue with its value" }),
    };
    let mut settings = plugin.clone();
    settings.retain(|key, _| !["configuration", "config", "pluginConfig"].contains(&key.as_str()));
    let named = settings.values().any(|value| value.to_string().to_ascii_lowercase().contains("portcullis"));
    Plugin {
        named,
        found: Found { place: place.to_owned(), json, carrier: Some(Carrier { platform, settings }), chain: None },
    }
}
