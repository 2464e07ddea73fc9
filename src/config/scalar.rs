//! The small values that settings are made of: durations, sizes, rates, names and networks, each written as one text.

mod name;
mod number;
mod place;
mod span;
mod verbatim;

#[cfg(feature = "schema")]
use std::borrow::Cow;

use serde_json::Value;

pub use name::{HeaderName, Method, Name};
pub use number::{ByteSize, Count, Share};
pub use place::{HostPattern, Network, PathTemplate};
pub use span::{DurationText, RateText};
pub use verbatim::{Literal, Verbatim};

use crate::setting::{self, FromText, Setting};
use crate::tree::Fault;

/// What happens to what a check refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not looked at.
    Off,
    /// Looked at, logged and counted, then let pass.
    Monitor,
    /// Refused.
    #[default]
    Enforce,
}

/// Let pass or refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Setting)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Let pass.
    Allow,
    /// Refuse.
    #[default]
    Deny,
}

/// A value written as one text of a certain form.
trait Text: Sized {
    /// The form, in words, with an example.
    const FORM: &'static str;
    /// The form as a regular expression (ECMA-262), for the JSON Schema.
    #[cfg_attr(not(feature = "schema"), allow(dead_code))]
    const PATTERN: &'static str;

    fn parse(text: &str) -> Option<Self>;
}

/// The fault of a text of another form.
fn malformed(form: &str) -> Fault {
    Fault::new(format!("expected {form}"))
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl Setting for $name {
            fn read(value: &Value) -> Result<Self, Fault> {
                Self::of(setting::text(value, Self::FORM)?)
            }
        }

        impl FromText for $name {
            fn of(text: &str) -> Result<Self, Fault> {
                Self::parse(text).ok_or_else(|| malformed(Self::FORM))
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $name::PATTERN, "description": $name::FORM })
            }
        }
    )*};
}

text! { DurationText RateText HeaderName Network HostPattern Method PathTemplate Name }
/// A number and what follows it.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits).filter(|_| digits <= 18)?;
    Some((number.parse().ok()?, rest))
}
