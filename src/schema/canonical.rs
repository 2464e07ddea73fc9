//! One spelling for equal values (JSON Schema core section 4.2.2): keys sorted, numbers by their value.

use super::decimal::Decimal;
use crate::document::{Document, Place, Value};
use crate::order;

/// Appends the canonical form of what stands at `place`. Equal values have equal forms, and no others have.
///
/// Recursive: as deep as the document, which its limits bound.
pub(super) fn push(document: &Document<'_>, place: Place, out: &mut Vec<u8>) {
    match document.value(place) {
        Value::Array => {
            out.push(b'[');
            for element in document.children(place) {
                push(document, element, out);
            }
            out.push(b']');
        }
        Value::Object => {
            let mut members: Vec<_> = document.children(place).map(|member| (document.key(member), member)).collect();
            order::sort_by(&mut members, |(one, _), (other, _)| one < other);
            out.push(b'{');
            for (key, member) in members {
                push_text(key.unwrap_or_default(), out);
                push(document, member, out);
            }
            out.push(b'}');
        }
        scalar => push_scalar(scalar, out),
    }
}

/// Appends the canonical form of what is neither array nor object.
pub(super) fn push_scalar(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'n'),
        Value::Bool(value) => out.push(if value { b't' } else { b'f' }),
        Value::Number(written) => {
            out.push(b'#');
            Decimal::parse(written).push(out);
        }
        Value::String(text) => push_text(text, out),
        Value::Array | Value::Object => {}
    }
}

/// The canonical form of what stands at `place`.
pub(super) fn form(document: &Document<'_>, place: Place) -> Vec<u8> {
    let mut out = Vec::new();
    push(document, place, &mut out);
    out
}

/// Its length first, so that no text looks like what follows it.
fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(&text.len().to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
