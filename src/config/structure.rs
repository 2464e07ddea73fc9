//! A `google.protobuf.Struct` in its binary form, which is what Envoy hands to a plugin whose `configuration` is one;
//! a `StringValue` arrives as its text (Envoy, `MessageUtil::anyToBytes`).

use serde_json::{Map, Number, Value};

use super::tree::MOST_VALUES;

/// Messages nested in one another at most: two for each level of the configuration.
const MAX_DEPTH: usize = 128;
/// The largest integer that a double holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads the message; `None` for anything else. Of one with more than [`MOST_VALUES`] values only so many that it is seen.
pub(super) fn parse(bytes: &[u8]) -> Option<Value> {
    structure(bytes, MAX_DEPTH, &mut (MOST_VALUES + 1))
}

/// `Struct { map<string, Value> fields = 1 }`
fn structure(bytes: &[u8], depth: usize, left: &mut usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut members = Map::new();
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        let Field { number: 1, content: Content::Bytes(entry) } = field else { return None };
        let (mut key, mut member) = (String::new(), Value::Null);
        let mut entry = Fields(entry);
        while let Some(field) = entry.next()? {
            match (field.number, field.content) {
                (1, Content::Bytes(text)) => key = String::from_utf8(text.to_vec()).ok()?,
                (2, Content::Bytes(message)) => member = value(message, depth, left)?,
                _ => return None,
            }
        }
        members.insert(key, member);
        if *left == 0 {
            break;
        }
    }
    Some(Value::Object(members))
}

/// `Value`: one of null, number, string, bool, struct, list.
fn value(bytes: &[u8], depth: usize, left: &mut usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    *left = left.saturating_sub(1);
    let mut last = Value::Null;
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        last = match (field.number, field.content) {
            (1, Content::Varint(_)) => Value::Null,
            (2, Content::Fixed(bits)) => Value::Number(number(f64::from_bits(bits))?),
            (3, Content::Bytes(text)) => Value::String(String::from_utf8(text.to_vec()).ok()?),
            (4, Content::Varint(flag)) => Value::Bool(flag != 0),
            (5, Content::Bytes(message)) => structure(message, depth, left)?,
            (6, Content::Bytes(message)) => list(message, depth, left)?,
            _ => return None,
        };
    }
    Some(last)
}

/// `ListValue { repeated Value values = 1 }`
fn list(bytes: &[u8], depth: usize, left: &mut usize) -> Option<Value> {
    let mut elements = Vec::new();
    let mut fields = Fields(bytes);
    while let Some(field) = fields.next()? {
        let Field { number: 1, content: Content::Bytes(message) } = field else { return None };
        elements.push(value(message, depth, left)?);
        if *left == 0 {
            break;
        }
    }
    Some(Value::Array(elements))
}

fn number(double: f64) -> Option<Number> {
    if double.fract() == 0.0 && double.abs() <= EXACT {
        return Some(Number::from(double as i64));
    }
    Number::from_f64(double)
}

struct Field<'b> {
    number: u64,
    content: Content<'b>,
}

enum Content<'b> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'b [u8]),
}

/// The fields of one message (protocol buffers, wire types 0, 1 and 2).
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    /// The next field, or that there is none; `None` for bytes that are no message.
    fn next(&mut self) -> Option<Option<Field<'b>>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => {
                let (bits, rest) = self.0.split_first_chunk::<8>()?;
                self.0 = rest;
                Content::Fixed(u64::from_le_bytes(*bits))
            }
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Content::Bytes(bytes)
            }
            _ => return None,
        };
        Some(Some(Field { number: tag >> 3, content }))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Struct` of `{"a": [1, 2.5, "x", true, null, {}]}`, as protoc encodes it.
    const MESSAGE: &[u8] = b"\x0a\x33\x0a\x01a\x12\x2e\x32\x2c\
        \x0a\x09\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\
        \x0a\x09\x11\x00\x00\x00\x00\x00\x00\x04\x40\
        \x0a\x03\x1a\x01x\
        \x0a\x02\x20\x01\
        \x0a\x02\x08\x00\
        \x0a\x02\x2a\x00\
        \x0a\x03\x1a\x01y";

    #[test]
    fn reads_every_kind_of_value() {
        assert_eq!(parse(MESSAGE), Some(serde_json::json!({ "a": [1, 2.5, "x", true, null, {}, "y"] })));
        assert_eq!(parse(b""), Some(serde_json::json!({})));
    }

    #[test]
    fn refuses_what_is_cut_off_or_of_another_message() {
        for end in 1..MESSAGE.len() {
            assert_eq!(parse(&MESSAGE[..end]), None, "{end}");
        }
        assert_eq!(parse(b"{\"a\": 1}"), None);
        assert_eq!(parse(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), None);
    }

    #[test]
    fn refuses_endless_nesting_without_recursing_endlessly() {
        let mut message = Vec::new();
        for _ in 0..1_000 {
            // Value { list_value { values: message } }
            let list = [&b"\x0a"[..], &varint(message.len()), &message].concat();
            message = [&b"\x32"[..], &varint(list.len()), &list].concat();
        }
        let entry = [&b"\x12"[..], &varint(message.len()), &message].concat();
        assert_eq!(parse(&[&b"\x0a"[..], &varint(entry.len()), &entry].concat()), None);
    }

    #[test]
    fn of_more_values_than_are_read_only_so_many_are_taken_that_it_is_refused() {
        for (values, fault) in [(MOST_VALUES - 2, "unknown field"), (MOST_VALUES - 1, "expected at most 250000 values")]
        {
            // Value { list_value { values: [null, ...] } }
            let list = b"\x0a\x00".repeat(values);
            let value = [&b"\x32"[..], &varint(list.len()), &list].concat();
            let entry = [&b"\x0a\x01a\x12"[..], &varint(value.len()), &value].concat();
            let message = [&b"\x0a"[..], &varint(entry.len()), &entry].concat();
            let errors = crate::read(&crate::plugin_configuration(&message)).unwrap_err();
            assert!(errors.len() == 1 && errors[0].message.starts_with(fault), "{values}: {errors:?}");
        }
    }

    fn varint(mut value: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while value > 0x7f {
            out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    }
}
