//! `portcullis convert FILE`: a configuration out of what Envoy's `jwt_authn` filter and Istio's RequestAuthentication and
//! AuthorizationPolicy say. Where the two differ, the result refuses more rather than less, and it is said.

mod envoy;
mod istio;
mod lenient;
mod operations;

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::options::{asks_for_help, is_option};
use super::{check, document, input};
use portcullis_config::ConfigError;

/// How the command is called.
pub const USAGE: &str = "usage: portcullis convert FILE

Writes the configuration that says what FILE does: Envoy documents with jwt_authn filters, Istio's RequestAuthentication
and AuthorizationPolicy, or several of them. What differs is said on the standard error, a line each. Exits 0, 1 when
something could not be converted, 2 when FILE holds nothing to convert.";

/// Everything was converted.
const WHOLE: u8 = 0;
/// Something was left out.
const PARTLY: u8 = 1;
/// There is nothing to convert.
const NOTHING: u8 = 2;

/// Converts a file and returns the exit code.
///
/// # Errors
/// What the writers say.
pub fn run(args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    if asks_for_help(args) {
        return writeln!(out, "{USAGE}").map(|()| WHOLE);
    }
    let file = match args {
        [file] if !is_option(file) => file,
        [option] => return misused(&format!("unknown option {option}"), err),
        _ => return misused("takes one file", err),
    };
    match input::text(file) {
        Ok(text) => convert(file, &text, out, err),
        Err(error) => writeln!(err, "{file}: {error}").map(|()| NOTHING),
    }
}

fn misused(problem: &str, err: &mut dyn Write) -> io::Result<u8> {
    writeln!(err, "portcullis convert: {problem}\n\n{USAGE}").map(|()| NOTHING)
}

/// Converts the text of a file that is called `name`.
///
/// # Errors
/// What the writers say.
pub fn convert(name: &str, yaml: &str, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let documents = match document::values(yaml, serde_saphyr::options! { with_snippet: false }) {
        Ok(documents) => documents,
        Err(error) => return writeln!(err, "{name}: {error}").map(|()| NOTHING),
    };
    let mut draft = Draft::default();
    let mut policies = istio::Policies::default();
    let mut documents: Vec<Document> =
        documents.iter().flat_map(|document| items(lenient::snake(document, 0), "", None)).collect();
    // Rules speak of issuers, wherever these stand in the file.
    documents.sort_by_key(|document| text(&document.content, "kind") != Some("RequestAuthentication"));
    for Document { place, content } in &documents {
        draft.within.clone_from(place);
        envoy::read(content, 0, &mut draft);
        policies.read(content, &mut draft);
    }
    draft.within.clear();
    policies.finish(&mut draft);
    if draft.is_empty() {
        return writeln!(err, "{name}: holds neither a jwt_authn filter nor a policy of Istio").map(|()| NOTHING);
    }
    draft.deny_what_is_refused();
    for remark in &draft.remarks {
        writeln!(err, "{name}: {remark}")?;
    }
    let configuration = draft.configuration();
    let yaml = serde_saphyr::to_string(&configuration).unwrap_or_else(|_| configuration.to_string());
    out.write_all(yaml.as_bytes())?;
    Ok(if draft.left_out { PARTLY } else { WHOLE })
}

/// One document, wherever it stood.
struct Document {
    /// Of an item of a list, such as `items[1]: `.
    place: String,
    content: Value,
}

/// The items of a list, which is how `kubectl get` shows several documents; of anything else itself. An item of a list of one
/// `kind` may leave that out.
fn items(mut document: Value, place: &str, kind: Option<&str>) -> Vec<Document> {
    if let (Some(kind), Value::Object(map)) = (kind, &mut document) {
        map.entry("kind").or_insert_with(|| kind.into());
    }
    let of = text(&document, "kind").and_then(|kind| kind.strip_suffix("List")).map(str::to_owned);
    let list = of.as_ref().and_then(|_| document.get_mut("items")).and_then(Value::as_array_mut).map(std::mem::take);
    let Some(list) = list else { return vec![Document { place: place.to_owned(), content: document }] };
    let kind = of.as_deref().filter(|kind| !kind.is_empty());
    let each = |(at, item)| items(item, &format!("{place}items[{at}]: "), kind);
    list.into_iter().enumerate().flat_map(each).collect()
}

/// What was read so far.
#[derive(Default)]
struct Draft {
    /// The place of the document that is read, where a name may not be enough.
    within: String,
    providers: Map<String, Value>,
    routes: Vec<Value>,
    /// Certificates of peers count.
    peers: bool,
    /// Filters that were read.
    filters: Vec<Value>,
    /// What no route matches goes on, unless it is `closed`.
    open: bool,
    /// Only what a route allows goes on.
    closed: bool,
    /// A provider was left out: its tokens are judged by nobody, and must not go on as if there were none.
    lost_provider: bool,
    remarks: Vec<String>,
    left_out: bool,
    found: bool,
}

impl Draft {
    fn is_empty(&self) -> bool {
        !self.found
    }

    /// Something is done in another way.
    fn remark(&mut self, place: &str, what: &str) {
        let remark = format!("{}{place}: {what}", self.within);
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// Something is not done at all.
    fn leave_out(&mut self, place: &str, what: &str) {
        self.left_out = true;
        self.remark(place, &format!("left out: {what}"));
    }

    fn configuration(&self) -> Value {
        let mut authentication = Map::new();
        if !self.providers.is_empty() {
            authentication.insert("jwt".to_owned(), self.providers.clone().into());
        }
        if self.peers {
            authentication.insert("mtls".to_owned(), json!({}));
        }
        let mut configuration = Map::new();
        if !authentication.is_empty() {
            configuration.insert("authentication".to_owned(), authentication.into());
        }
        configuration.insert("unmatched".to_owned(), if self.open && !self.closed { "allow" } else { "deny" }.into());
        configuration.insert("routes".to_owned(), self.routes.clone().into());
        configuration.into()
    }

    /// Takes a provider under a name of the form that names have, and unlike those that are there. `None`: it cannot be one.
    fn provider(&mut self, name: &str, provider: Value, place: &str) -> Option<String> {
        if let Some((known, _)) = self.providers.iter().find(|(_, known)| **known == provider) {
            return Some(known.clone());
        }
        let issuer = provider.get("issuer");
        if let Some((known, _)) = self.providers.iter().find(|(_, known)| known.get("issuer") == issuer) {
            let what = format!("{known} takes the tokens of its issuer already");
            self.leave_out(place, &what);
            return None;
        }
        let name = self.free_name(name);
        let alone = json!({ "authentication": { "jwt": { name.as_str(): provider } } });
        if let Some(fault) = faults(&alone).first() {
            self.leave_out(place, &fault.to_string());
            return None;
        }
        self.providers.insert(name.clone(), provider);
        Some(name)
    }

    fn free_name(&self, name: &str) -> String {
        let letters = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
        let plain: String = name.chars().map(letters).take(LONGEST_NAME).collect();
        let plain = if plain.is_empty() { "provider".to_owned() } else { plain };
        let mut free = plain.clone();
        let mut number = 2;
        while self.providers.contains_key(&free) {
            free = format!("{plain}-{number}");
            number += 1;
        }
        free
    }

    /// A route that no configuration takes, such as one with an address that is none, lets nobody pass instead.
    fn deny_what_is_refused(&mut self) {
        for _ in 0..MOST_ROUNDS {
            let mut refused = faults(&self.configuration());
            // One of a route may follow from another.
            refused.dedup_by_key(|fault| route_of(fault));
            if refused.is_empty() {
                return;
            }
            for fault in refused {
                let Some(at) = route_of(&fault) else { continue };
                let Some(route) = self.routes.get_mut(at) else { continue };
                let matching = route.get("match").filter(|_| !fault.path.contains("].match"));
                *route = nobody(matching.unwrap_or(&json!({})));
                self.leave_out("routes", &format!("{}: nobody may what it may be about", fault.message));
            }
        }
        self.routes = vec![nobody(&json!({}))];
        self.leave_out("routes", "too many of them cannot be said: nobody may anything");
    }
}

/// Rounds of taking out what is refused; each shows a hundred faults.
const MOST_ROUNDS: usize = 16;
/// Of a name that is made out of another; a number may follow.
const LONGEST_NAME: usize = 120;

/// What is wrong with a configuration.
fn faults(configuration: &Value) -> Vec<ConfigError> {
    check::assembled(configuration.to_string().as_bytes()).err().unwrap_or_default()
}

/// The route that a fault is in.
fn route_of(fault: &ConfigError) -> Option<usize> {
    fault.path.strip_prefix("routes[")?.split_once(']')?.0.parse().ok()
}

/// A route of requests that nobody may make.
fn nobody(matching: &Value) -> Value {
    json!({ "match": matching, "authenticate": "none", "deny": [every_address()] })
}

/// Whoever it is.
fn every_address() -> Value {
    json!({ "client_ip": ["0.0.0.0/0", "::/0"] })
}

/// Every algorithm of public keys: a key is good for its own only.
const PUBLIC: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// Of a list of audiences with what is no text.
const AUDIENCES: &str = "whose tokens it takes goes by an audience that is no text";

/// What stands in `value` under the keys that are there.
fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn texts<'v>(value: &'v Value, key: &str) -> Vec<&'v str> {
    list(value, key).iter().filter_map(Value::as_str).collect()
}

/// The same; `None`: one of them is no text.
fn only_texts<'v>(value: &'v Value, key: &str) -> Option<Vec<&'v str>> {
    list(value, key).iter().map(Value::as_str).collect()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A header that holds a token. What is in a cookie is one cookie here, not the header of them all.
fn from_header(header: &Value, prefix: &str, place: &str, draft: &mut Draft) -> Option<Value> {
    let (name, prefix) = (text(header, "name").map(str::to_ascii_lowercase), text(header, prefix));
    if name.as_deref() != Some("cookie") {
        return Some(map([("header", name.map(Value::from)), ("prefix", prefix.map(Value::from))]));
    }
    let cookie = prefix.and_then(|prefix| prefix.strip_suffix('=')).filter(|cookie| !cookie.is_empty());
    if cookie.is_none() {
        draft.leave_out(place, "a token in the header cookie, whose prefix is no NAME=");
    }
    cookie.map(|cookie| json!({ "cookie": cookie }))
}

/// A map of those that are there.
fn map<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let there = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    there.collect::<Map<_, _>>().into()
}

fn some<T: Into<Value>>(list: Vec<T>) -> Option<Value> {
    (!list.is_empty()).then(|| list.into_iter().map(Into::into).collect::<Vec<Value>>().into())
}
