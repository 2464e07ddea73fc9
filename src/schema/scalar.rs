//! What keywords say of a value that holds no others: its type, its size, its text.

use super::decimal::{Decimal, is_all_digits};
use super::node::{Keyword, Types};
use crate::document::Value;

/// Steps of about 100 ns that a document may still cost: a schema held against a value, a member looked up, a byte a
/// regular expression reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(pub(super) usize);

/// It would cost too much.
pub(super) struct Exhausted;

impl Budget {
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Exhausted> {
        self.0 = self.0.checked_sub(steps).ok_or(Exhausted)?;
        Ok(())
    }
}

/// Whether `keyword`, which is about types, numbers or strings, accepts the value, and its name.
pub(super) fn holds(
    keyword: &Keyword,
    value: Value<'_>,
    budget: &mut Budget,
) -> Result<(bool, &'static str), Exhausted> {
    match (keyword, value) {
        (Keyword::Type(types), _) => Ok((types.overlaps(types_of(value)), "type")),
        (_, Value::Number(written)) => Ok(compared(keyword, written)),
        (_, Value::String(text)) => of_text(keyword, text, budget),
        _ => Ok(ACCEPTED),
    }
}

/// Whether `keyword`, which is `enum` or `const`, accepts the value of this canonical form, and its name.
pub(super) fn is_listed(keyword: &Keyword, form: &[u8]) -> (bool, &'static str) {
    match keyword {
        Keyword::Enum(forms) => (forms.binary_search_by(|known| (**known).cmp(form)).is_ok(), "enum"),
        Keyword::Const(known) => (**known == *form, "const"),
        _ => ACCEPTED,
    }
}

const ACCEPTED: (bool, &str) = (true, "");

/// The types that a value has: a number without a fraction has two.
pub(super) fn types_of(value: Value<'_>) -> Types {
    match value {
        Value::Null => Types::NULL,
        Value::Bool(_) => Types::BOOLEAN,
        Value::Number(written) if is_integer(written) => Types::NUMBER.with(Types::INTEGER),
        Value::Number(_) => Types::NUMBER,
        Value::String(_) => Types::STRING,
        Value::Array => Types::ARRAY,
        Value::Object => Types::OBJECT,
    }
}

/// Whether a string of so many bytes has from `least` to `most` characters, each of one to four bytes: mostly they need
/// not be counted.
pub(super) fn has_length(text: &[u8], least: u64, most: u64) -> bool {
    let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    if bytes / 4 >= least && bytes <= most {
        return true;
    }
    // What continues a character is no character.
    let characters = text.iter().filter(|byte| !matches!(byte, 0x80..0xC0)).count();
    (least..=most).contains(&u64::try_from(characters).unwrap_or(u64::MAX))
}

fn of_text(keyword: &Keyword, text: &str, budget: &mut Budget) -> Result<(bool, &'static str), Exhausted> {
    Ok(match keyword {
        Keyword::MaxLength(most) => (has_length(text.as_bytes(), 0, *most), "maxLength"),
        Keyword::MinLength(least) => (has_length(text.as_bytes(), *least, u64::MAX), "minLength"),
        Keyword::Pattern(pattern) => {
            budget.spend(text.len().saturating_mul(pattern.weight()))?;
            (pattern.matches(text), "pattern")
        }
        Keyword::Format(format) => (format.accepts(text), "format"),
        _ => ACCEPTED,
    })
}

fn compared(keyword: &Keyword, written: &str) -> (bool, &'static str) {
    let number = || Decimal::parse(written);
    match keyword {
        Keyword::MultipleOf(step) => (number().is_multiple_of(step), "multipleOf"),
        Keyword::Maximum(most) => (number() <= *most, "maximum"),
        Keyword::ExclusiveMaximum(most) => (number() < *most, "exclusiveMaximum"),
        Keyword::Minimum(least) => (number() >= *least, "minimum"),
        Keyword::ExclusiveMinimum(least) => (number() > *least, "exclusiveMinimum"),
        _ => ACCEPTED,
    }
}

fn is_integer(written: &str) -> bool {
    is_all_digits(written.strip_prefix('-').unwrap_or(written)) || Decimal::parse(written).is_integer()
}
