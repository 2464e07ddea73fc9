//! The time of a signature: decimal seconds with an optional fraction.

use std::time::Duration;

use crate::time::Timestamp;

/// Decimal seconds with an optional fraction; no exponent, sign, `inf` or `nan`.
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || seconds.len() > 12 || fraction.len() > 30 {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos: u64, digit| nanos * 10 + u64::from(digit - b'0'));
    let whole = Timestamp::from_unix_seconds(seconds.parse().ok()?);
    Some(whole.after(Duration::from_nanos(nanos)))
}

/// Seconds with six digits of fraction, as Python's `time.time()` has them.
pub fn format_timestamp(at: Timestamp) -> String {
    let micros = at.unix_nanos() / 1000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_to_the_microsecond() {
        for (nanos, text) in [(1_700_000_000_000_001_999, "1700000000.000001"), (999, "0.000000")] {
            let at = Timestamp::from_unix_nanos(nanos);
            assert_eq!(format_timestamp(at), text);
            assert_eq!(parse_timestamp(text), Some(Timestamp::from_unix_nanos(nanos / 1000 * 1000)));
        }
    }
}
