//! Every security event and its line: one JSON object, for host logging and for the access log alike.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;

use crate::time::Timestamp;

/// What happened. The names are the published list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A request that no honest client sends: an injection, a malformed or ambiguous head.
    SuspiciousRequest,
    /// Credentials are missing or were refused, here or by the upstream.
    AuthFailure,
    /// The caller is known, or anonymous, and may not.
    AccessDenied,
    /// A limit was reached.
    RateLimited,
    /// A signature was seen before.
    Replay,
    /// A dependency or a table could not do its work in full.
    Degraded,
    /// A request to a sensitive path, after its response.
    SensitiveAccess,
    /// An address may come back.
    IpUnblocked,
    /// An address was shut out.
    IpBlocked,
}

impl EventType {
    /// All of them, in the order of their discriminants.
    pub const ALL: &'static [Self] = &[
        Self::SuspiciousRequest,
        Self::AuthFailure,
        Self::AccessDenied,
        Self::RateLimited,
        Self::Replay,
        Self::Degraded,
        Self::SensitiveAccess,
        Self::IpUnblocked,
        Self::IpBlocked,
    ];

    /// The published name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SuspiciousRequest => "SUSPICIOUS_REQUEST",
            Self::AuthFailure => "AUTH_FAILURE",
            Self::AccessDenied => "ACCESS_DENIED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Replay => "REPLAY",
            Self::Degraded => "DEGRADED",
            Self::SensitiveAccess => "SENSITIVE_ACCESS",
            Self::IpUnblocked => "IP_UNBLOCKED",
            Self::IpBlocked => "IP_BLOCKED",
        }
    }

    /// The level at which the proxy logs it.
    pub const fn severity(self) -> Severity {
        match self {
            Self::SensitiveAccess | Self::IpUnblocked => Severity::Info,
            Self::IpBlocked => Severity::Critical,
            _ => Severity::Warn,
        }
    }
}

/// The level of an event's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Somebody was shut out.
    Critical,
}

/// What an event says beyond its type. Only what is set is printed; `path` carries neither the query nor
/// parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Details<'a> {
    /// Canonical path without query and parameters.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "bounded")]
    pub path: &'a str,
    /// Request method.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "bounded")]
    pub method: &'a str,
    /// Client address after trusted proxies; of a block that was lifted, the address.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub ip_address: &'a str,
    /// `User-Agent` as sent.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "bounded")]
    pub user_agent: &'a str,
    /// Verified subject of the caller.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "bounded")]
    pub user: &'a str,
    /// Envoy's request id.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "bounded")]
    pub request_id: &'a str,
    /// The trace id of `traceparent`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub trace_id: &'a str,
    /// Reason code out of a closed list.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'a str,
    /// The rule that spoke: an injection rule, an `allow` or `deny` entry.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "bounded")]
    pub rule: &'a str,
    /// Class of an injection.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub class: &'a str,
    /// Score of an injection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// Name of the offending parameter, never its value.
    #[serde(skip_serializing_if = "str::is_empty", serialize_with = "bounded")]
    pub parameter: &'a str,
    /// Where the offending parameter stands: path, query, header, cookie, body.
    #[serde(rename = "in", skip_serializing_if = "str::is_empty")]
    pub place: &'a str,
    /// At most the configured number of bytes of the offending value, when the operator asked for it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub excerpt: &'a str,
    /// Name of the limit that was reached.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub limit: &'a str,
    /// Status the client got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Seconds from the head of the request to the end of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_time: Option<f64>,
    /// `monitor` when the decision was not enforced.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub mode: &'a str,
    /// Failures counted against a blocked address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<u32>,
    /// What could not be had, or came back, by the path of its settings.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub dependency: &'a str,
    /// The network that a block covers, where it is more than one address.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub network: &'a str,
    /// The second since the Unix epoch at which a block ends; not set where it lasts until somebody lifts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Events of this type, of [`EventType::Degraded`] of this reason, left out since the last such line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
}

/// What is to be told of an exchange beside what was decided about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub event: EventType,
    /// Reason code out of a closed list.
    pub reason: &'static str,
    /// As in [`Details`].
    pub parameter: Option<String>,
    /// Whom it is about; `None`: the client.
    pub address: Option<IpAddr>,
    /// As in [`Details`].
    pub dependency: Option<Rc<str>>,
    /// As in [`Details`].
    pub network: Option<String>,
    /// As in [`Details`].
    pub until: Option<u64>,
    /// As in [`Details`].
    pub failed_attempts: Option<u32>,
    /// As in [`Details`].
    pub mode: &'static str,
}

impl Notice {
    /// About the client, with nothing but a reason.
    pub const fn new(event: EventType, reason: &'static str) -> Self {
        Self {
            event,
            reason,
            parameter: None,
            address: None,
            dependency: None,
            network: None,
            until: None,
            failed_attempts: None,
            mode: "",
        }
    }
}

/// The longest value of a detail that a client chooses, in bytes; the rest is cut.
const DETAIL_BYTES: usize = 512;

#[derive(Serialize)]
struct Line<'a> {
    timestamp: f64,
    event_type: &'static str,
    service: &'a str,
    details: &'a Details<'a>,
}

/// The event as one line of JSON without a line end. Nothing in `details` can break the line: JSON escapes it.
pub fn line(event: EventType, service: &str, at: Timestamp, details: &Details<'_>) -> String {
    let millis = at.unix_millis() as f64 / 1e3;
    let line = Line { timestamp: millis, event_type: event.as_str(), service, details };
    one_line(serde_json::to_string(&line).unwrap_or_default())
}

/// JSON leaves these as they are. They stand in strings only.
fn one_line(json: String) -> String {
    if json.is_ascii() && !json.contains('\x7f') {
        return json;
    }
    use std::fmt::Write as _;
    json.chars().fold(String::with_capacity(json.len() + 32), |mut line, character| {
        if misleads(character) {
            // Writing to a string cannot fail.
            let _ = write!(line, "\\u{:04x}", u32::from(character));
        } else {
            line.push(character);
        }
        line
    })
}

/// Some readers end a line at it, a terminal obeys it, or what follows is shown in another order.
const fn misleads(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

fn bounded<S: serde::Serializer>(value: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let end = (0..=value.len().min(DETAIL_BYTES)).rev().find(|at| value.is_char_boundary(*at)).unwrap_or_default();
    serializer.serialize_str(value.get(..end).unwrap_or_default())
}

/// Keeps floods of one type of event out of the log, and says how many were left out. Of what is degraded each reason has
/// its own share: one that floods hides no other.
#[derive(Debug)]
pub struct Sampler {
    most: u32,
    /// Seconds.
    window: u64,
    types: [Sampled; EventType::ALL.len()],
    /// Of [`EventType::Degraded`], by reason. Beyond [`MOST_REASONS`] reasons share what is the type's.
    reasons: Vec<(Box<str>, Sampled)>,
}

/// Reasons that have shares of their own; there are fewer.
const MOST_REASONS: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Sampled {
    /// Windows since the epoch.
    window: u64,
    printed: u32,
    left_out: u64,
}

/// Whether an event is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Print it, and say that this many of its kind were left out before it.
    Print {
        /// Events of this type, or type and reason, that were not printed since the last one that was.
        left_out: u64,
    },
    /// Leave it out; it is counted.
    LeaveOut,
}

impl Sampler {
    /// Prints at most `most` events of each kind in each `window` of the clock, in whole seconds, at least one.
    pub fn new(most: u32, window: Duration) -> Self {
        Self { most, window: window.as_secs().max(1), types: Default::default(), reasons: Vec::new() }
    }

    /// Decides for one event at `now`.
    pub fn take(&mut self, event: EventType, reason: &str, now: Timestamp) -> Sample {
        let (window, most) = (now.unix_seconds() / self.window, self.most);
        let Some(sampled) = self.sampled(event, reason) else { return Sample::LeaveOut };
        if sampled.window != window {
            sampled.window = window;
            sampled.printed = 0;
        }
        if sampled.printed >= most {
            sampled.left_out = sampled.left_out.saturating_add(1);
            return Sample::LeaveOut;
        }
        sampled.printed += 1;
        Sample::Print { left_out: std::mem::take(&mut sampled.left_out) }
    }

    fn sampled(&mut self, event: EventType, reason: &str) -> Option<&mut Sampled> {
        if event != EventType::Degraded {
            return self.types.get_mut(event as usize);
        }
        let known = self.reasons.iter().position(|(known, _)| **known == *reason);
        match known {
            None if self.reasons.len() >= MOST_REASONS => return self.types.get_mut(event as usize),
            None => self.reasons.push((Box::from(reason), Sampled::default())),
            Some(_) => {}
        }
        let at = known.unwrap_or(self.reasons.len().saturating_sub(1));
        self.reasons.get_mut(at).map(|(_, sampled)| sampled)
    }

    /// What was left out and not yet stated: `(type, number)`. The numbers start again at zero.
    pub fn drain(&mut self) -> Vec<(EventType, u64)> {
        let degraded: u64 = self.reasons.iter_mut().map(|(_, sampled)| std::mem::take(&mut sampled.left_out)).sum();
        if let Some(sampled) = self.types.get_mut(EventType::Degraded as usize) {
            sampled.left_out = sampled.left_out.saturating_add(degraded);
        }
        let types = self.types.iter_mut().zip(EventType::ALL);
        types.filter_map(|(s, &event)| Some((event, std::mem::take(&mut s.left_out))).filter(|(_, n)| *n > 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_the_client_sends() {
        let details = Details { user_agent: "a\nb\u{2028}\"},{\r\u{85}", path: "/x", ..Details::default() };
        let line = line(EventType::AuthFailure, "s", Timestamp::from_unix_millis(1_500), &details);
        assert_eq!(line.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count(), 1);
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["details"]["user_agent"], "a\nb\u{2028}\"},{\r\u{85}");
        assert_eq!(back["timestamp"], 1.5);
        assert_eq!(back["event_type"], "AUTH_FAILURE");
    }

    #[test]
    fn a_line_bears_nothing_that_a_terminal_obeys_or_that_turns_the_text() {
        let sent = "a\u{9b}31m\u{7f}\u{80}é\u{202e}\u{2067}\u{200f}\u{61c}\u{1f600}\u{200d}z";
        let details = Details { user_agent: sent, ..Details::default() };
        let line = line(EventType::AuthFailure, "s", Timestamp::default(), &details);
        assert!(line.contains("a\\u009b31m\\u007f\\u0080é\\u202e\\u2067\\u200f\\u061c\u{1f600}\u{200d}z"), "{line}");
        let back: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["details"]["user_agent"], sent);
    }

    #[test]
    fn what_a_client_chooses_is_cut_at_a_character_boundary() {
        let long = "é".repeat(1000);
        let details = Details { path: &long, ..Details::default() };
        let line = line(EventType::AccessDenied, "s", Timestamp::default(), &details);
        assert!(line.len() < 800, "{}", line.len());
    }

    #[test]
    fn a_flood_is_cut_and_the_number_left_out_is_stated() {
        let mut sampler = Sampler::new(2, Duration::from_secs(1));
        let at = Timestamp::from_unix_seconds(10);
        let printed = Sample::Print { left_out: 0 };
        assert_eq!([(); 2].map(|()| sampler.take(EventType::Replay, "replayed", at)), [printed; 2]);
        assert_eq!([(); 3].map(|()| sampler.take(EventType::Replay, "replayed", at)), [Sample::LeaveOut; 3]);
        assert_eq!(sampler.take(EventType::Degraded, "a", at), printed, "each type has its own share");
        let next = Timestamp::from_unix_seconds(11);
        assert_eq!(sampler.take(EventType::Replay, "replayed", next), Sample::Print { left_out: 3 });
        assert_eq!(sampler.drain(), []);
    }

    #[test]
    fn a_flood_of_one_reason_hides_no_other_degradation() {
        let mut sampler = Sampler::new(1, Duration::from_secs(1));
        let at = Timestamp::from_unix_seconds(10);
        let mut take = |reason: &str| sampler.take(EventType::Degraded, reason, at);
        let printed = Sample::Print { left_out: 0 };
        assert_eq!(
            ["a", "a", "a", "b", "b"].map(&mut take),
            [printed, Sample::LeaveOut, Sample::LeaveOut, printed, Sample::LeaveOut]
        );
        for n in 0..1000 {
            let _ = take(&n.to_string());
        }
        assert_eq!(sampler.reasons.len(), MOST_REASONS);
        assert_eq!(sampler.drain(), [(EventType::Degraded, 3 + 1000 - 62 - 1)]);
        assert_eq!(sampler.drain(), []);
    }

    #[test]
    fn a_share_lasts_for_its_whole_window() {
        let mut sampler = Sampler::new(1, Duration::from_secs(60));
        let taken =
            [60, 61, 119, 120].map(|at| sampler.take(EventType::Replay, "replayed", Timestamp::from_unix_seconds(at)));
        let printed = |left_out| Sample::Print { left_out };
        assert_eq!(taken, [printed(0), Sample::LeaveOut, Sample::LeaveOut, printed(2)]);
    }

    #[test]
    fn the_list_of_types_stands_in_the_order_of_the_type() {
        for (at, event) in EventType::ALL.iter().enumerate() {
            assert_eq!(*event as usize, at);
        }
    }
}
