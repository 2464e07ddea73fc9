//! Numbers as JSON writes them (RFC 8259 section 6), exactly: no binary floating point, so 0.1 is a tenth and numbers of
//! any length compare by their value.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A decimal number: `digits` times ten to the power of `exponent`, with neither leading nor trailing zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Decimal<'w> {
    negative: bool,
    /// ASCII; empty for zero, which has no sign. Borrowed from a number without a fraction.
    digits: Cow<'w, [u8]>,
    /// Held within [`FURTHEST`].
    exponent: i64,
}

/// Beyond ten to this power, or below its inverse, all exponents count as the same.
const FURTHEST: i64 = 1 << 60;

impl<'w> Decimal<'w> {
    /// The value of a number that RFC 8259 allows.
    pub(super) fn parse(written: &'w str) -> Self {
        Self::parse_integer(written).unwrap_or_else(|| Self::parse_any(written))
    }

    /// Most numbers are written with nothing but digits.
    fn parse_integer(written: &'w str) -> Option<Self> {
        let (negative, written) = written.strip_prefix('-').map_or((false, written), |rest| (true, rest));
        if !is_all_digits(written) {
            return None;
        }
        let digits = without_leading_zeros(written.as_bytes());
        let significant = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        let exponent = i64::try_from(digits.len() - significant).unwrap_or(FURTHEST);
        let digits = Cow::Borrowed(digits.get(..significant).unwrap_or_default());
        Some(Self { negative: negative && significant > 0, digits, exponent })
    }

    #[inline(never)]
    fn parse_any(written: &'w str) -> Self {
        let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
        let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = match fraction {
            "" => Cow::Borrowed(without_leading_zeros(whole.as_bytes())),
            _ => Cow::Owned(without_leading_zeros(&[whole, fraction].concat().into_bytes()).to_vec()),
        };
        let significant = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        let trailing = digits.len() - significant;
        match &mut digits {
            Cow::Borrowed(digits) => *digits = digits.get(..significant).unwrap_or_default(),
            Cow::Owned(digits) => digits.truncate(significant),
        }
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: 0 };
        }
        let shift = i64::try_from(trailing).unwrap_or(FURTHEST) - i64::try_from(fraction.len()).unwrap_or(FURTHEST);
        let exponent = power(exponent).saturating_add(shift).clamp(-FURTHEST, FURTHEST);
        Self { negative, digits, exponent }
    }

    /// The same number, for longer than its text is there.
    pub(super) fn into_owned(self) -> Decimal<'static> {
        Decimal { negative: self.negative, digits: Cow::Owned(self.digits.into_owned()), exponent: self.exponent }
    }

    /// Whether it has no fraction: 1.0 and 10e-1 have none.
    pub(super) fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Whether it is above zero.
    pub(super) fn is_positive(&self) -> bool {
        !self.negative && !self.digits.is_empty()
    }

    /// The number as one that counts something; `None` for a fraction, a sign, or more than 64 bits.
    pub(super) fn as_count(&self) -> Option<u64> {
        let zeros = u32::try_from(self.exponent).ok().filter(|_| !self.negative)?;
        u64::try_from(self.divisor()?).ok()?.checked_mul(10_u64.checked_pow(zeros)?)
    }

    /// Whether it is a whole number of times `step`; `false` where the digits of `step` need more than 64 bits.
    pub(super) fn is_multiple_of(&self, step: &Self) -> bool {
        if self.digits.is_empty() {
            return true;
        }
        // Without trailing zeros no power of ten divides the digits, so a step with a larger exponent divides nothing.
        let (Some(divisor), Ok(zeros)) = (step.divisor(), u64::try_from(self.exponent - step.exponent)) else {
            return false;
        };
        let remainder = self.digits.iter().fold(0, |rest, digit| (rest * 10 + u128::from(digit - b'0')) % divisor);
        (remainder * power_of_ten(zeros, divisor)).is_multiple_of(divisor)
    }

    /// Whether [`Decimal::is_multiple_of`] can take it as a step.
    pub(super) fn is_step(&self) -> bool {
        self.is_positive() && self.divisor().is_some()
    }

    /// Appends its one spelling.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        out.push(if self.negative { b'-' } else { b'+' });
        out.extend_from_slice(&self.digits);
        out.push(b'e');
        out.extend_from_slice(&self.exponent.to_le_bytes());
    }

    /// The digits as a number of 64 bits, so that products of two fit into 128.
    fn divisor(&self) -> Option<u128> {
        let digits = std::str::from_utf8(&self.digits).ok()?;
        if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok().map(u128::from) }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        self.point().cmp(&other.point()).then_with(|| self.digits.cmp(&other.digits))
    }

    /// Where the decimal point stands, counted from the first digit.
    fn point(&self) -> i64 {
        self.exponent.saturating_add(i64::try_from(self.digits.len()).unwrap_or(FURTHEST))
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// Whether it is digits and nothing else.
pub(super) fn is_all_digits(written: &str) -> bool {
    written.bytes().all(|byte| byte.is_ascii_digit())
}

fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.get(zeros..).unwrap_or_default()
}

/// An exponent as written.
fn power(written: &str) -> i64 {
    let furthest = if written.starts_with('-') { -FURTHEST } else { FURTHEST };
    written.parse::<i64>().unwrap_or(furthest).clamp(-FURTHEST, FURTHEST)
}

/// Ten to the power of `zeros` modulo `divisor`, which 64 bits hold.
fn power_of_ten(mut zeros: u64, divisor: u128) -> u128 {
    let (mut product, mut base) = (1 % divisor, 10 % divisor);
    while zeros > 0 {
        if zeros & 1 == 1 {
            product = product * base % divisor;
        }
        base = base * base % divisor;
        zeros >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn compares_by_value_however_it_is_written() {
        for (one, other, expected) in [
            ("1", "1.0", Ordering::Equal),
            ("100", "1e2", Ordering::Equal),
            ("0.1", "1E-1", Ordering::Equal),
            ("-0", "0.00e7", Ordering::Equal),
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("-2", "-10", Ordering::Greater),
            ("-1", "0", Ordering::Less),
            ("1e308", "1e309", Ordering::Less),
            ("1e-400", "0", Ordering::Greater),
            ("98249283749234923498293171823948729348710298301928331", "1e52", Ordering::Greater),
            ("1e99999999999999999999", "2", Ordering::Greater),
            ("-1e99999999999999999999", "2", Ordering::Less),
            ("1e-99999999999999999999", "2", Ordering::Less),
        ] {
            assert_eq!(Decimal::parse(one).cmp(&Decimal::parse(other)), expected, "{one} {other}");
            assert_eq!(Decimal::parse(other).cmp(&Decimal::parse(one)), expected.reverse(), "{other} {one}");
        }
    }

    #[test]
    fn divides_exactly() {
        for (number, step, expected) in [
            ("4.5", "1.5", true),
            ("35", "1.5", false),
            ("0.0075", "0.0001", true),
            ("0.00751", "0.0001", false),
            ("0.3", "0.1", true),
            ("1e308", "0.5", true),
            ("1e308", "0.123456789", false),
            ("12391239123", "1e-8", true),
            ("-14", "7", true),
            ("0", "7", true),
            ("10", "20", false),
            ("1e99999999999999999999", "3", false),
        ] {
            assert_eq!(Decimal::parse(number).is_multiple_of(&Decimal::parse(step)), expected, "{number} {step}");
        }
    }

    #[test]
    fn counts_are_whole_numbers_that_64_bits_hold() {
        for (written, expected) in
            [("0", Some(0)), ("2.0", Some(2)), ("5e1", Some(50)), ("-1", None), ("0.5", None), ("1e20", None)]
        {
            assert_eq!(Decimal::parse(written).as_count(), expected, "{written}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn integers_are_read_as_any_number_is(written in "-?[0-3]{1,6}|-?[0-9]{1,40}") {
            prop_assert_eq!(Decimal::parse_integer(&written), Some(Decimal::parse_any(&written)));
        }

        #[test]
        fn agrees_with_integers(a in any::<i32>(), b in any::<i32>(), scale in 0..6_u32) {
            let written = |n: i32| format!("{n}e-{scale}");
            let (a_written, b_written) = (written(a), written(b));
            let (one, other) = (Decimal::parse(&a_written), Decimal::parse(&b_written));
            prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            prop_assert_eq!(one.is_integer(), a % 10_i32.pow(scale) == 0);
            let step = b.unsigned_abs() % 1000 + 1;
            let whole = i64::from(a) % i64::from(step) == 0;
            prop_assert_eq!(one.is_multiple_of(&Decimal::parse(&format!("{step}e-{scale}"))), whole);
        }
    }
}
