//! Spans of time, and how often within one.

use std::time::Duration;

use super::{Text, split_number};
use crate::setting::Blank;

/// The longest duration: a hundred years of 365 days, so that sums of times never overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// A span of time: a whole number and its unit, `ms`, `s`, `m`, `h` or `d`; more than zero, at most a hundred years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationText(pub Duration);

impl DurationText {
    /// `seconds` seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl Text for DurationText {
    const FORM: &'static str = "a duration: a whole number with ms, s, m, h or d, such as 300s";
    const PATTERN: &'static str = "^[0-9]{1,18}(ms|s|m|h|d)$";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_number(text)?;
        let span = match unit {
            "ms" => Duration::from_millis(number),
            _ => Duration::from_secs(number.checked_mul(seconds_of(unit)?)?),
        };
        (!span.is_zero() && span <= LONGEST).then_some(Self(span))
    }
}

/// So many per window: `100/hour`, `20/s`, `100/15m`, `600/m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateText {
    /// Admissions within one window; at least one.
    pub limit: u32,
    /// The window; a second to 366 days.
    pub window: Duration,
}

impl RateText {
    /// `limit` within `seconds` seconds.
    pub const fn per(limit: u32, seconds: u64) -> Self {
        Self { limit, window: Duration::from_secs(seconds) }
    }
}

impl Blank for RateText {
    fn blank() -> Self {
        Self::per(1, 1)
    }
}

impl Text for RateText {
    const FORM: &'static str =
        "a rate: a count of at least 1, a slash and a window of 1s to 366d, such as 100/hour, 20/s or 100/15m";
    const PATTERN: &'static str = "^[1-9][0-9]{0,9}/([0-9]{0,8}(s|m|h|d)|sec|second|min|minute|hour|day)$";

    fn parse(text: &str) -> Option<Self> {
        let (limit, window) = text.split_once('/')?;
        let (limit, rest) = split_number(limit)?;
        let limit = u32::try_from(limit).ok().filter(|limit| *limit > 0 && rest.is_empty())?;
        let (count, unit) = match split_number(window) {
            Some((count, unit)) => (count, seconds_of(unit)?),
            None => (1, seconds_of(window).or_else(|| seconds_of_word(window))?),
        };
        let seconds = count.checked_mul(unit)?;
        (1..=366 * 86_400).contains(&seconds).then_some(Self::per(limit, seconds))
    }
}

fn seconds_of(unit: &str) -> Option<u64> {
    match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    }
}

fn seconds_of_word(word: &str) -> Option<u64> {
    match word {
        "sec" | "second" => Some(1),
        "min" | "minute" => Some(60),
        "hour" => Some(3600),
        "day" => Some(86_400),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rates_with_every_unit() {
        let cases = [
            ("100/hour", Some((100, 3600))),
            ("20/s", Some((20, 1))),
            ("100/15m", Some((100, 900))),
            ("600/m", Some((600, 60))),
            ("1/day", Some((1, 86_400))),
            ("4294967295/1h", Some((u32::MAX, 3600))),
            ("4294967296/1h", None),
            ("0/s", None),
            ("10/0s", None),
            ("10/367d", None),
            ("10/99999999999999999d", None),
            ("10", None),
            ("/s", None),
            ("10 / s", None),
            ("1.5/s", None),
            ("1/hours", None),
            ("1/2hour", None),
            ("1/1500ms", None),
            ("-1/s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(RateText::parse(text), expected.map(|(limit, seconds)| RateText::per(limit, seconds)), "{text}");
        }
    }

    #[test]
    fn reads_durations_with_every_unit_and_never_overflows() {
        let cases = [
            ("20ms", Some(Duration::from_millis(20))),
            ("300s", Some(Duration::from_secs(300))),
            ("15m", Some(Duration::from_secs(900))),
            ("24h", Some(Duration::from_secs(86_400))),
            ("7d", Some(Duration::from_secs(604_800))),
            ("36500d", Some(LONGEST)),
            ("36501d", None),
            ("999999999999999999d", None),
            ("9999999999999999999s", None),
            ("0s", None),
            ("5", None),
            ("5 s", None),
            ("1h30m", None),
            ("", None),
            ("\u{661}s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(DurationText::parse(text), expected.map(DurationText), "{text}");
        }
    }
}
