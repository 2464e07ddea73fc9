//! What the document around a configuration leaves out of what the module needs there, and would be found out in the proxy
//! only: variables that are not passed on, heads that are not held, a plugin whose failure lets everything pass, filters that
//! stand where they must not.

use portcullis_config::{Config, ConfigError, Hold, Mode};
use serde_json::Value;

use crate::document::{Carrier, Chain, Platform};

/// What is said of `carrier`. `json` is what `config` was read from.
pub(super) fn doubts(carrier: &Carrier, config: &Config, json: &[u8]) -> Vec<ConfigError> {
    if config.routes.is_empty() {
        // A beginning, or a part.
        return Vec::new();
    }
    let open = fails_open(carrier).map(|message| doubt(String::new(), message));
    let hold = lets_heads_go(carrier, config).map(|message| doubt("bodies.hold".to_owned(), message));
    open.into_iter().chain(hold).chain(withheld_variables(carrier, json)).collect()
}

fn doubt(path: String, message: impl Into<String>) -> ConfigError {
    ConfigError { path, message: message.into() }
}

fn fails_open(carrier: &Carrier) -> Option<&'static str> {
    let says = |names: &[&str], value: Value| carrier.setting(names) == Some(&value);
    let open = match carrier.platform {
        Platform::Envoy => {
            says(&["failure_policy", "failurePolicy"], "FAIL_OPEN".into())
                || says(&["fail_open", "failOpen"], true.into())
        }
        Platform::Istio => says(&["failStrategy"], "FAIL_OPEN".into()),
        Platform::EnvoyGateway => says(&["failOpen"], true.into()),
    };
    open.then_some("lets every request pass when the module fails: say that it fails closed")
}

/// Without the flag Envoy keeps the body back while the head waits for it.
fn lets_heads_go(carrier: &Carrier, config: &Config) -> Option<&'static str> {
    if config.bodies.hold != Hold::Headers || !waits_for_bodies(config) {
        return None;
    }
    match carrier.platform {
        Platform::Envoy => {
            let flag = carrier.setting(&["allow_on_headers_stop_iteration", "allowOnHeadersStopIteration"]);
            (flag != Some(&Value::Bool(true))).then_some(
                "requests with a body hang: the plugin must say allow_on_headers_stop_iteration: true, or this buffer_filter",
            )
        }
        Platform::Istio | Platform::EnvoyGateway => Some(
            "requests with a body hang: the head cannot be held here; say buffer_filter, and put Envoy's behind the plugin",
        ),
    }
}

/// Whether anything waits for the body of a request or of a response.
fn waits_for_bodies(config: &Config) -> bool {
    let inspects = config.inspection.mode.unwrap_or(config.mode) != Mode::Off;
    let by_route = config.routes.iter().any(|route| route.body.is_some() || route.response.is_some());
    inspects || by_route || config.tokens.is_some()
}

/// Variables that the configuration names and the carrier does not pass on: the module finds them unset.
fn withheld_variables(carrier: &Carrier, json: &[u8]) -> Vec<ConfigError> {
    let Some((passed, place)) = carrier.variables() else { return Vec::new() };
    let Ok(config) = serde_json::from_slice::<Value>(json) else { return Vec::new() };
    let mut named = Vec::new();
    if let Some(secrets) = config.get("secrets") {
        variables(secrets, "secrets", &mut named);
    }
    let withheld = named.into_iter().filter(|(_, name)| !passed.contains(&name.as_str()));
    withheld
        .map(|(path, name)| doubt(path, format!("{name} is not passed to the plugin: name it in {place}")))
        .collect()
}

/// Every `env: NAME` below `value`, by its path. It was read before and is no deeper than what is accepted.
fn variables(value: &Value, path: &str, named: &mut Vec<(String, String)>) {
    let Value::Object(fields) = value else { return };
    for (key, field) in fields {
        let path = format!("{path}.{key}");
        match field {
            Value::String(name) if key == "env" => named.push((path, name.clone())),
            _ => variables(field, &path, named),
        }
    }
}

/// Filters that make messages of Protocol Buffers of documents, or of other calls.
const TRANSCODERS: [&str; 2] = [".filters.http.grpc_json_transcoder.", ".filters.http.grpc_http1_bridge."];

/// What is said of the filters around the plugin: those with which it does not do what it says.
pub(super) fn misplaced(chain: &Chain, config: &Config) -> Vec<ConfigError> {
    let in_front = |known: &[&str]| chain.before.iter().any(|filter| known.iter().any(|name| filter.contains(name)));
    let cached = in_front(&[".filters.http.cache"]);
    let buffered = chain.after.iter().skip(1).any(|filter| filter.contains(".filters.http.buffer."));
    let cache = cached.then_some(
        "Envoy's cache filter stands in front: it asks the upstream by itself, past the plugin; put it behind",
    );
    let transcoded = in_front(&TRANSCODERS)
        .then_some("a filter in front makes gRPC of what clients send: its messages are not inspected; put it behind");
    let buffer = (buffered && config.bodies.hold == Hold::BufferFilter)
        .then_some("the buffer filter does not stand directly behind the plugin");
    [cache, transcoded, buffer].into_iter().flatten().map(|message| doubt(String::new(), message)).collect()
}
