//! What the JSON Web Tokens of a request say of themselves (RFC 7515 section 7.1), for whoever wonders why they are refused.
//! Nothing of it is verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::head::Head;
use serde_json::{Map, Value};

/// A line for each token, the same one once: its header and its payload, and how far `exp`, `nbf` and `iat` are from `now`, in
/// seconds since the epoch.
pub(super) fn lines(head: &Head, now: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for text in head.iter().filter_map(|(_, value)| std::str::from_utf8(value).ok()) {
        for token in text.split(|c: char| !c.is_ascii_alphanumeric() && !['.', '-', '_'].contains(&c)) {
            let line = claimed(token, now).filter(|line| !lines.contains(line));
            lines.extend(line);
        }
    }
    lines
}

fn claimed(token: &str, now: u64) -> Option<String> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let (header, payload) = (object(header)?, object(payload)?);
    let times: Vec<String> = ["exp", "nbf", "iat"].iter().filter_map(|name| distance(name, &payload, now)).collect();
    let (header, payload) = (Value::Object(header), Value::Object(payload));
    Some([format!("the token says {header} {payload}"), times.join(", ")].join("; ").trim_end_matches("; ").to_owned())
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn distance(name: &str, payload: &Map<String, Value>, now: u64) -> Option<String> {
    let at = payload.get(name)?.as_f64()?;
    let seconds = at - now as f64;
    Some(if seconds < 0.0 {
        format!("{name} was {:.0} s ago", -seconds)
    } else {
        format!("{name} is in {seconds:.0} s")
    })
}
