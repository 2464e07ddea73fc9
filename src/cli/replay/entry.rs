//! One line of an access log: Envoy's default format (`%START_TIME%`, request line, ...), or a JSON object with the names
//! that Envoy's and Istio's JSON logs usually have.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use portcullis::head::Head;
use portcullis::time::Timestamp;

/// What a line says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it came.
    pub started: Timestamp,
    method: String,
    target: String,
    /// 0 where Envoy sent no answer; `None` where the line does not say.
    status: Option<u16>,
    authority: String,
    forwarded_for: String,
    user_agent: String,
    request_id: String,
    remote: String,
}

impl Entry {
    /// Reads a line; `None` for one of any other form.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.trim();
        let entry = if text.starts_with('{') { Self::from_json(text) } else { Self::from_text(text) }?;
        let plain = |text: &str| !text.is_empty() && !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
        (plain(&entry.method) && plain(&entry.target)).then_some(entry)
    }

    /// `[time] "METHOD PATH PROTOCOL" status flags received sent duration upstream-time "forwarded-for" "user-agent"
    /// "request-id" "authority" "upstream"`.
    fn from_text(text: &str) -> Option<Self> {
        let (time, rest) = text.strip_prefix('[')?.split_once("] \"")?;
        let (request, rest) = rest.split_once("\" ")?;
        let (method, request) = request.split_once(' ')?;
        let (target, _protocol) = request.rsplit_once(' ')?;
        let status = rest.split(' ').next().and_then(|status| status.parse().ok());
        // The quoted fields are the last five; nobody else's quotes come after them.
        let mut quoted = rest.split('"').skip(1).step_by(2).map(known);
        let mut next = || quoted.next().unwrap_or_default();
        Some(Self {
            started: timestamp(time)?,
            method: method.to_owned(),
            target: target.to_owned(),
            status,
            forwarded_for: next(),
            user_agent: next(),
            request_id: next(),
            authority: next(),
            remote: String::new(),
        })
    }

    fn from_json(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let field = |names: &[&str]| {
            let found = names.iter().find_map(|name| value.get(*name)).map(|value| match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => String::new(),
            });
            known(&found.unwrap_or_default())
        };
        Some(Self {
            started: timestamp(&field(&["start_time", "timestamp", "time", "@timestamp"]))?,
            method: field(&["method", "request_method", ":method"]),
            target: field(&["x_envoy_original_path", "original_path", "path", "request_path", ":path"]),
            status: field(&["response_code", "status", "response_status"]).parse().ok(),
            authority: field(&["authority", "host", ":authority"]),
            forwarded_for: field(&["x_forwarded_for", "forwarded_for"]),
            user_agent: field(&["user_agent"]),
            request_id: field(&["request_id", "x_request_id"]),
            remote: field(&[
                "downstream_remote_address",
                "downstream_direct_remote_address",
                "remote_address",
                "client",
            ]),
        })
    }

    /// The head, as far as the line says it.
    pub fn head(&self) -> Head {
        let authority = if self.authority.is_empty() { "unknown" } else { &self.authority };
        let pairs = [
            (":method", self.method.as_str()),
            (":scheme", "https"),
            (":authority", authority),
            (":path", &self.target),
            ("x-forwarded-for", &self.forwarded_for),
            ("user-agent", &self.user_agent),
            ("x-request-id", &self.request_id),
        ];
        Head::from_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty()))
    }

    /// Whether the line says which host was asked for.
    pub fn names_a_host(&self) -> bool {
        !self.authority.is_empty()
    }

    /// Who was connected: as the line says; else who is last in X-Forwarded-For, where Envoy put it.
    pub fn source_address(&self) -> String {
        let ip = |text: &str| {
            let text = text.trim();
            text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse::<IpAddr>()).ok()
        };
        let found = ip(&self.remote).or_else(|| ip(self.forwarded_for.rsplit(',').next()?));
        SocketAddr::new(found.unwrap_or(IpAddr::from([0, 0, 0, 0])), 1).to_string()
    }

    /// For people: without the query, which may hold what is nobody's business.
    pub fn shown(&self) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        let path: String = path.chars().take(120).flat_map(char::escape_debug).collect();
        let query = if self.target.contains('?') { "?..." } else { "" };
        let method: String = self.method.chars().take(20).flat_map(char::escape_debug).collect();
        let then = match self.status {
            None => String::new(),
            Some(0) => " (then: no answer)".to_owned(),
            Some(status) => format!(" (then: {status})"),
        };
        format!("{method} {path}{query} at {}{then}", self.started.unix_seconds())
    }
}

/// A field that is not `-`.
fn known(text: &str) -> String {
    if text == "-" { String::new() } else { text.to_owned() }
}

/// `2026-01-31T12:00:00.123Z` (RFC 3339, UTC), or seconds since the epoch.
fn timestamp(text: &str) -> Option<Timestamp> {
    if let Some(at) = portcullis::signature::parse_timestamp(text) {
        return Some(at);
    }
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let sane = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sane || hour > 23 || minute > 59 || second > 60 || fraction.len() > 9 {
        return None;
    }
    let nanos = number(fraction)? * 10_u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    let seconds = (days(year, month, day) * 24 + hour) * 3600 + minute * 60 + second;
    Some(Timestamp::from_unix_seconds(seconds).after(std::time::Duration::from_nanos(nanos)))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: years that begin in March end with their leap day.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_envoys_default_format() {
        let line = br#"[2026-02-28T23:59:59.250Z] "GET /a%20b?q=1 HTTP/1.1" 200 - 0 5 3 2 "192.0.2.1, 203.0.113.7" "curl/8" "id-1" "api.example.com" "10.0.0.1:80""#;
        let entry = Entry::parse(line).unwrap();
        assert_eq!(entry.started, Timestamp::from_unix_millis(1_772_323_199_250));
        assert_eq!(entry.source_address(), "203.0.113.7:1");
        assert_eq!(entry.head().path(), Some(&b"/a%20b?q=1"[..]));
        assert_eq!(entry.head().first("user-agent"), Some(&b"curl/8"[..]));
        assert_eq!(entry.shown(), "GET /a%20b?... at 1772323199 (then: 200)");
    }

    #[test]
    fn reads_json_by_the_usual_names() {
        let line = br#"{"start_time":"2024-02-29T00:00:00Z","method":"POST","path":"/x","authority":"h","response_code":403,"downstream_remote_address":"[2001:db8::1]:50000","x_forwarded_for":null}"#;
        let entry = Entry::parse(line).unwrap();
        assert_eq!(entry.started, Timestamp::from_unix_seconds(1_709_164_800));
        assert_eq!(entry.source_address(), "[2001:db8::1]:1");
        assert_eq!((entry.status, entry.forwarded_for.as_str()), (Some(403), ""));
    }

    #[test]
    fn says_what_became_of_a_request_as_far_as_the_line_does() {
        let shown = |status: &str| {
            let line = format!("{{\"time\":\"2024-02-29T00:00:00Z\",\"method\":\"GET\",\"path\":\"/x\"{status}}}");
            Entry::parse(line.as_bytes()).unwrap().shown()
        };
        assert_eq!(shown(""), "GET /x at 1709164800");
        assert_eq!(shown(r#","status":null"#), "GET /x at 1709164800");
        assert_eq!(shown(r#","status":"-""#), "GET /x at 1709164800");
        assert_eq!(shown(r#","status":0"#), "GET /x at 1709164800 (then: no answer)");
        assert_eq!(shown(r#","status":404"#), "GET /x at 1709164800 (then: 404)");
    }

    #[test]
    fn what_is_no_such_line_is_none() {
        for line in [
            "",
            "hello",
            "[2026-13-01T00:00:00Z] \"GET / HTTP/1.1\" 200 -",
            "[now] \"GET / HTTP/1.1\" 200 -",
            "[2026-01-01T00:00:00Z] \"- - -\"",
            "{\"path\":\"/\"}",
            "{\"start_time\":\"2026-01-01T00:00:00Z\"}",
            "[2026-01-01T00:00:00.12345678901Z] \"GET / HTTP/1.1\" 200 -",
        ] {
            assert_eq!(Entry::parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(Entry::parse(b"\xff\xfe"), None);
    }
}
