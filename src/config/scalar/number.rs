//! Numbers: sizes, counts and shares.

#[cfg(feature = "schema")]
use std::borrow::Cow;

use serde_json::Value;

use super::{malformed, split_number};
use crate::setting::{self, Setting};
use crate::tree::Fault;

/// A number of bytes: `65536`, `64KiB`, `1MiB`, also `kB` and `MB` of powers of ten; at most 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u32);

impl ByteSize {
    const LARGEST: u64 = 1 << 30;
    const FORM: &'static str = "a size of at most 1GiB, such as 65536, 64KiB or 1MiB";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_number(text)?;
        let scale = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        Self::of(number.checked_mul(scale)?)
    }

    fn of(bytes: u64) -> Option<Self> {
        u32::try_from(bytes).ok().filter(|_| bytes <= Self::LARGEST).map(Self)
    }
}

impl Setting for ByteSize {
    fn read(value: &Value) -> Result<Self, Fault> {
        match value {
            Value::String(text) => Self::parse(text).ok_or_else(|| malformed(Self::FORM)),
            Value::Number(number) => {
                let bytes = number.as_u64().and_then(Self::of);
                bytes.ok_or_else(|| setting::out_of_range(number, Self::FORM))
            }
            other => Err(setting::refused(other, Self::FORM)),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": Self::FORM,
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": Self::LARGEST },
                { "type": "string", "pattern": "^[0-9]{1,18}(B|kB|KB|KiB|MB|MiB|GiB)?$" },
            ],
        })
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count<const MIN: u32, const MAX: u32>(pub u32);

impl<const MIN: u32, const MAX: u32> Setting for Count<MIN, MAX> {
    fn read(value: &Value) -> Result<Self, Fault> {
        count(value, MIN, MAX).map(Self)
    }
}

fn count(value: &Value, min: u32, max: u32) -> Result<u32, Fault> {
    let expected = || format!("a whole number from {min} to {max}");
    let Value::Number(number) = value else { return Err(setting::refused(value, &expected())) };
    let count = number.as_u64().and_then(|number| u32::try_from(number).ok());
    let count = count.filter(|count| (min..=max).contains(count));
    count.ok_or_else(|| setting::out_of_range(number, &expected()))
}

#[cfg(feature = "schema")]
impl<const MIN: u32, const MAX: u32> schemars::JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Count_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// A share of the whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl Setting for Share {
    fn read(value: &Value) -> Result<Self, Fault> {
        const FORM: &str = "a share from 0 to 1";
        let (share, other) = match value {
            Value::Number(number) => (number.as_f64(), setting::out_of_range(number, FORM)),
            // Envoy hands over the fractions of its own YAML as texts.
            Value::String(text) => (number(text).and_then(|number| number.as_f64()), malformed(FORM)),
            other => return Err(setting::refused(other, FORM)),
        };
        share.filter(|share| (0.0..=1.0).contains(share)).map(Self).ok_or(other)
    }
}

/// As JSON writes it: the standard library's reader of fractions would be 17 KB more of the module.
fn number(text: &str) -> Option<Value> {
    serde_json::from_slice(text.as_bytes()).ok().filter(Value::is_number)
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [
                { "type": "number", "minimum": 0, "maximum": 1 },
                { "type": "string", "pattern": "^(0(\\.[0-9]+)?|1(\\.0+)?)$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_or_the_text_of_one() {
        for value in [Value::from(0.25), Value::from("0.25"), Value::from(1), Value::from("0")] {
            assert!(Share::read(&value).is_ok(), "{value}");
        }
        for value in [Value::from(1.5), Value::from("1.5"), Value::from("NaN"), Value::from(""), Value::from(true)] {
            assert!(Share::read(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn reads_sizes_up_to_a_gibibyte() {
        let cases = [("65536", 65_536), ("64KiB", 65_536), ("1MiB", 1 << 20), ("1MB", 1_000_000), ("1GiB", 1 << 30)];
        for (text, expected) in cases {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(expected)), "{text}");
        }
        for text in ["2GiB", "1073741825", "1 MiB", "MiB", "1mib", "999999999999999999MiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
    }
}
