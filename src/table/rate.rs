//! Rates as operators write them: `100/hour`, `20/s`, `100/15m`, `50/1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// At most `limit` permits in any one window.
///
/// The limit is 1 to `u32::MAX / 2`, the window 1 second to 366 days in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    limit: u32,
    window_seconds: u32,
}

/// The highest limit: two of them still add up in 32 bits.
const MAX_LIMIT: u32 = u32::MAX / 2;
const MAX_WINDOW_SECONDS: u64 = 366 * 86_400;

/// Why a text or a pair of numbers is no rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RateError {
    /// There is no `/` between limit and window.
    NoWindow,
    /// The part before `/` is no whole number from 1 to 2147483647.
    Limit,
    /// The part after `/` is no duration such as `s`, `15m`, `hour`, `1h30m`.
    Window,
    /// The window is shorter than a second, longer than 366 days or has a fraction of a second.
    WindowRange,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoWindow => "expected a rate such as 100/hour, 20/s or 100/15m: there is no \"/\"",
            Self::Limit => "expected a whole number from 1 to 2147483647 before the \"/\"",
            Self::Window => "expected a window such as s, 15m, hour, day or 1h30m after the \"/\"",
            Self::WindowRange => "expected a window of 1 second to 366 days in whole seconds",
        })
    }
}

impl std::error::Error for RateError {}

impl Rate {
    /// `limit` permits in any `window`.
    ///
    /// # Errors
    /// [`RateError::Limit`] and [`RateError::WindowRange`] outside the bounds of the type.
    pub fn new(limit: u32, window: Duration) -> Result<Self, RateError> {
        if limit == 0 || limit > MAX_LIMIT {
            return Err(RateError::Limit);
        }
        let seconds = window.as_secs();
        if window.subsec_nanos() != 0 || seconds == 0 || seconds > MAX_WINDOW_SECONDS {
            return Err(RateError::WindowRange);
        }
        let window_seconds = u32::try_from(seconds).map_err(|_| RateError::WindowRange)?;
        Ok(Self { limit, window_seconds })
    }

    /// Permits per window.
    pub const fn limit(self) -> u32 {
        self.limit
    }

    /// The window's length.
    pub const fn window(self) -> Duration {
        Duration::from_secs(self.window_seconds as u64)
    }

    /// The window's length in seconds, as `RateLimit-Policy` writes it.
    pub const fn window_seconds(self) -> u32 {
        self.window_seconds
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}s", self.limit, self.window_seconds)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (limit, window) = text.split_once('/').ok_or(RateError::NoWindow)?;
        let limit = limit.trim();
        if !limit.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RateError::Limit);
        }
        let limit = limit.parse().map_err(|_| RateError::Limit)?;
        Self::new(limit, window_from(window.trim())?)
    }
}

/// One or more pairs of number and unit; a lone unit counts once.
fn window_from(text: &str) -> Result<Duration, RateError> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(digits).ok_or(RateError::Window)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at_checked(letters).ok_or(RateError::Window)?;
        let count: u64 = match number {
            // "1hm" is a slip of the pen, not an hour and a minute.
            "" if rest.len() == text.len() && next.is_empty() => 1,
            "" => return Err(RateError::Window),
            number => number.parse().map_err(|_| RateError::WindowRange)?,
        };
        let part = count.checked_mul(unit_seconds(unit)?).ok_or(RateError::WindowRange)?;
        seconds = seconds.checked_add(part).ok_or(RateError::WindowRange)?;
        rest = next;
    }
    match seconds {
        0 if text.is_empty() => Err(RateError::Window),
        seconds => Ok(Duration::from_secs(seconds)),
    }
}

fn unit_seconds(unit: &str) -> Result<u64, RateError> {
    match unit {
        "s" | "sec" | "second" | "seconds" => Ok(1),
        "m" | "min" | "minute" | "minutes" => Ok(60),
        "h" | "hour" | "hours" => Ok(3600),
        "d" | "day" | "days" => Ok(86_400),
        _ => Err(RateError::Window),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_to_write_a_rate() {
        for (text, limit, seconds) in [
            ("100/hour", 100, 3600),
            ("20/s", 20, 1),
            ("100/15m", 100, 900),
            ("600/m", 600, 60),
            ("10000/day", 10_000, 86_400),
            ("50/1h30m", 50, 5400),
            (" 5 / 2 ", 0, 0),
            ("7/90s", 7, 90),
            ("1/7d", 1, 604_800),
            ("2147483647/366d", 2_147_483_647, 31_622_400),
        ] {
            match text.parse::<Rate>() {
                Ok(rate) => assert_eq!((rate.limit(), rate.window_seconds()), (limit, seconds), "{text}"),
                Err(error) => assert_eq!((limit, error), (0, RateError::Window), "{text}"),
            }
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_rate() {
        for (text, error) in [
            ("100", RateError::NoWindow),
            ("", RateError::NoWindow),
            ("/hour", RateError::Limit),
            ("0/hour", RateError::Limit),
            ("-1/hour", RateError::Limit),
            ("+1/hour", RateError::Limit),
            ("1.5/hour", RateError::Limit),
            ("2147483648/s", RateError::Limit),
            ("99999999999/s", RateError::Limit),
            ("5/", RateError::Window),
            ("5/15", RateError::Window),
            ("5/fortnight", RateError::Window),
            ("5/100ms", RateError::Window),
            ("5/1hm", RateError::Window),
            ("5/hm", RateError::Window),
            ("5/hour/day", RateError::Window),
            ("5/1 h", RateError::Window),
            ("5/1é", RateError::Window),
            ("5/0s", RateError::WindowRange),
            ("5/367d", RateError::WindowRange),
            ("5/99999999999999999999s", RateError::WindowRange),
            ("5/9999999999999999999d", RateError::WindowRange),
        ] {
            assert_eq!(text.parse::<Rate>(), Err(error), "{text}");
        }
    }

    #[test]
    fn refuses_a_window_with_a_fraction_of_a_second() {
        assert_eq!(Rate::new(1, Duration::from_millis(1500)), Err(RateError::WindowRange));
    }
}
