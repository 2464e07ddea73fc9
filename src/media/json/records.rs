//! Records that repeat: elements of an array that have the names and the white space of the one before, and differ in their
//! scalars only. Most long documents are made of them. What stands between the scalars is compared with the record before
//! instead of being read again; the scalars are judged as everywhere.

use std::ops::Range;

use super::glide::{literal, number};
use super::walker::{Stands, Walker, is_space};
use super::{Scalar, Visitor};

/// What is known of the records of the arrays that stand equally deep.
#[derive(Debug)]
pub(super) struct Records<'a> {
    model: Option<Model<'a>>,
    /// As long as there is any, a record is learnt. That costs a multiple of its bytes; what repeats earns its own.
    credit: usize,
    /// Records in a row that were not like the model.
    misses: usize,
}

/// A record that others are held against.
#[derive(Debug)]
struct Model<'a> {
    /// Where its array begins, or the last one whose records were alike.
    array: usize,
    slots: Vec<Slot>,
    /// The scalars of the record that was read last.
    scalars: Vec<Scalar<'a>>,
    /// What stands behind the last of them.
    end: Verbatim,
    /// The same, and what is between two records.
    end_and_separator: Verbatim,
    /// Keys and elements in it.
    entries: usize,
    /// Containers that are open in it at once, itself among them.
    depth: usize,
}

/// A scalar of a record: what stands before it, its name and its opening quote among that.
#[derive(Debug)]
struct Slot {
    before: Verbatim,
    is_string: bool,
}

/// What is the same in every record.
#[derive(Debug)]
struct Verbatim {
    /// Where it stands in the model.
    start: usize,
    length: usize,
    /// Its first eight bytes, those that it has of them, and its last eight if it has more.
    first: u64,
    mask: u64,
    last: u64,
}

/// How far records have repeated.
pub(super) struct Repeated {
    pub(super) at: usize,
    pub(super) stands: Stands,
    /// Elements of the array that have begun meanwhile.
    pub(super) begun: usize,
}

/// Arrays within one another whose records are compared, at most.
const LEVELS: usize = 8;
/// Scalars of a record, at most.
const MOST_SLOTS: usize = 64;
/// Containers within one another in a record, at most: a bit each.
const DEEPEST: usize = 64;
const FIRST_CREDIT: usize = 4096;
/// What learning costs for each byte of the record, and for the record.
const PRICE: (usize, usize) = (4, 256);
/// A record that is not like the model may be an exception; two in a row are not.
const MOST_MISSES: usize = 2;

impl<'a> Records<'a> {
    pub(super) const fn new() -> Self {
        Self { model: None, credit: FIRST_CREDIT, misses: 0 }
    }

    fn pay(&mut self, record: usize) -> Option<()> {
        let (each, all) = PRICE;
        let left = self.credit.saturating_sub(record.saturating_mul(each).saturating_add(all));
        (std::mem::replace(&mut self.credit, left) > 0).then_some(())
    }
}

impl<'a> Model<'a> {
    /// Of a record that the walk has passed over, and that another one at `start` follows.
    fn of(document: &[u8], array: usize, record: Range<usize>, start: usize) -> Option<Self> {
        let bytes = document.get(..record.end)?;
        let (mut slots, mut entries) = (Vec::new(), 0);
        // A bit for each open container, set for an array, the innermost one lowest.
        let (mut arrays, mut open, mut depth) = (0_u64, 0_usize, 0);
        let (mut at, mut before) = (record.start, record.start);
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let end = at + memchr::memchr(b'"', bytes.get(at..)?)?;
                    if bytes.get(end + 1) == Some(&b':') {
                        entries += 1;
                    } else {
                        slots.push(Slot { before: Verbatim::of(document, before..at)?, is_string: true });
                        before = end;
                    }
                    at = end + 1;
                }
                b'{' | b'[' if open == DEEPEST => return None,
                b'{' | b'[' => {
                    open += 1;
                    depth = depth.max(open);
                    arrays = arrays << 1 | u64::from(byte == b'[');
                    entries += usize::from(byte == b'[');
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    arrays >>= 1;
                }
                b',' => entries += usize::from(arrays & 1 != 0),
                b':' | b' ' | b'\n' | b'\r' | b'\t' => {}
                _ => {
                    slots.push(Slot { before: Verbatim::of(document, before..at - 1)?, is_string: false });
                    let rest = bytes.get(at..)?;
                    at += rest.iter().position(|byte| ends_bare(*byte))?;
                    before = at;
                }
            }
            if slots.len() > MOST_SLOTS {
                return None;
            }
        }
        let scalars = vec![Scalar { written: &[], is_string: false }; slots.len()];
        let end = Verbatim::of(document, before..record.end)?;
        let end_and_separator = Verbatim::of(document, before..start)?;
        Some(Self { array, slots, scalars, end, end_and_separator, entries, depth })
    }

    /// Where the last scalar ends of the record at `start`, if it is like this one so far and nothing has to be shown.
    #[inline(always)]
    fn scalars_of<V: Visitor>(&mut self, walker: &mut Walker<'a, V>, start: usize) -> Option<usize> {
        let mut at = start;
        for (Slot { before, is_string }, scalar) in self.slots.iter().zip(&mut self.scalars) {
            let start = before.end_at(walker.document, at)?;
            at = if *is_string { walker.plain_at(start) } else { walker.bare_at(start) }?;
            if V::HEEDS_SCALARS {
                *scalar = Scalar { written: walker.document.get(start..at)?, is_string: *is_string };
            }
        }
        Some(at)
    }
}

impl Verbatim {
    /// Not of what is empty, nor near the end of the document.
    fn of(document: &[u8], place: Range<usize>) -> Option<Self> {
        let length = place.len();
        let mask = u64::MAX.checked_shr(u32::try_from(64_usize.saturating_sub(8 * length)).ok()?)?;
        let last = if length > 8 { eight(document, place.end - 8)? } else { 0 };
        let first = eight(document, place.start)? & mask;
        Some(Self { start: place.start, length, first, mask, last })
    }

    /// Where it ends, if it stands at `at`.
    #[inline(always)]
    fn end_at(&self, document: &[u8], at: usize) -> Option<usize> {
        let end = at + self.length;
        let begins = eight(document, at)? & self.mask == self.first;
        let is_here = begins
            && (self.length <= 8
                || eight(document, end - 8)? == self.last
                    && (self.length <= 16
                        || document.get(at..end) == document.get(self.start..self.start + self.length)));
        is_here.then_some(end)
    }
}

/// Whether a number or a literal ends before `byte`.
#[inline(always)]
const fn ends_bare(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b',' | b'}' | b']')
}

#[inline(always)]
fn eight(document: &[u8], at: usize) -> Option<u64> {
    document.get(at..)?.first_chunk::<8>().map(|eight| u64::from_le_bytes(*eight))
}

impl<'a, V: Visitor> Walker<'a, V> {
    /// Passes over the records from `start` on that are like those before, in the innermost array, which begins at `array`.
    /// `last` is the record before `start`, if there is one and it was passed over.
    #[inline(never)]
    pub(super) fn repeat(&mut self, array: usize, last: Option<Range<usize>>, start: usize) -> Option<Repeated> {
        let level = self.frames.len();
        if self.records.len() <= level && level <= LEVELS {
            self.records.resize_with(level + 1, Records::new);
        }
        // Whoever reads them reads the walker as well.
        let mut records = std::mem::replace(self.records.get_mut(level)?, Records::new());
        let repeated = self.repeat_as(&mut records, array, last, start);
        *self.records.get_mut(level)? = records;
        repeated
    }

    fn repeat_as(
        &mut self,
        records: &mut Records<'a>,
        array: usize,
        last: Option<Range<usize>>,
        start: usize,
    ) -> Option<Repeated> {
        let known = |model: &Model<'_>| model.array == array || self.visit.has_learnt();
        if records.misses >= MOST_MISSES || !records.model.as_ref().is_some_and(known) {
            let last = last?;
            records.model = None;
            records.pay(last.len())?;
            let model = Model::of(self.document, array, last.clone(), start)?;
            if !self.visit.learns(self.document.get(last)?) {
                return None;
            }
            (records.model, records.misses) = (Some(model), 0);
        }
        let model = records.model.as_mut().filter(|model| self.frames.len() + model.depth <= self.limits.depth)?;
        model.array = array;
        let repeated = self.repeat_model(model, start);
        records.misses = if repeated.at > start { 0 } else { records.misses + 1 };
        records.credit = records.credit.saturating_add(repeated.at - start);
        Some(repeated)
    }

    fn repeat_model(&mut self, model: &mut Model<'a>, start: usize) -> Repeated {
        let (mut at, mut begun) = (start, 0);
        while self.entries.saturating_add(model.entries) <= self.limits.entries
            && let Some(end) = model.scalars_of(self, at)
        {
            let next = model.end_and_separator.end_at(self.document, end);
            let next = next.filter(|_| self.entries.saturating_add(model.entries) < self.limits.entries);
            let Some(end) = next.or_else(|| model.end.end_at(self.document, end)) else { break };
            self.entries += model.entries;
            self.visit.repeated(&model.scalars);
            if next.is_none() {
                return Repeated { at: end, stands: Stands::AfterValue, begun };
            }
            self.entries += 1;
            begun += 1;
            at = end;
        }
        Repeated { at, stands: Stands::BeforeValue, begun }
    }

    /// Where the string ends whose first byte is at `start`, if it need not be shown.
    #[inline(always)]
    fn plain_at(&mut self, start: usize) -> Option<usize> {
        let end = self.window.plain::<V>(self.document, start)?;
        let text = self.document.get(start..end)?;
        (text.len() <= self.limits.string_length && self.visit.would_pass_over(text)).then_some(end)
    }

    /// Where the number or literal ends that begins at `start`, if it need not be shown.
    #[inline(always)]
    fn bare_at(&mut self, start: usize) -> Option<usize> {
        let rest = self.document.get(start..)?;
        let length = match rest.first()? {
            b't' => literal(rest, b"true"),
            b'f' => literal(rest, b"false"),
            b'n' => literal(rest, b"null"),
            _ => return self.number_at(start, rest),
        };
        (length > 0).then_some(start + length)
    }

    #[inline(always)]
    fn number_at(&mut self, start: usize, rest: &[u8]) -> Option<usize> {
        let length = integer(rest).unwrap_or_else(|| number(rest));
        let written = rest.get(..length)?;
        let passes = length > 0 && length <= self.limits.number_length && self.visit.would_pass_over_number(written);
        passes.then_some(start + length)
    }
}

/// The length of the integer that `rest` begins with, if it has no sign and at most eight digits.
#[inline(always)]
fn integer(rest: &[u8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // A digit becomes its value, of which adding six touches no upper half; a carry only spoils what stands behind.
    let values = eight(rest, 0)? ^ (0x30 * EACH);
    let others = (values | values.wrapping_add(6 * EACH)) & (0xF0 * EACH);
    let length = others.trailing_zeros() as usize / 8;
    let ends = rest.get(length).is_some_and(|byte| ends_bare(*byte));
    (ends && length > 0 && (length == 1 || values & 0xFF != 0)).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_in_every_record_is_compared_to_the_last_byte() {
        for length in 1..40 {
            let model: Vec<u8> = (b'A'..).take(length).collect();
            let mut document = [&b"........"[..], &model, b"--", &model, b"........"].concat();
            let (place, second) = (8..8 + length, 10 + length);
            let verbatim = Verbatim::of(&document, place).unwrap();
            assert_eq!(verbatim.end_at(&document, second), Some(second + length));
            for at in second..second + length {
                document[at] ^= 1;
                assert_eq!(verbatim.end_at(&document, second), None, "{length} {at}");
                document[at] ^= 1;
            }
            document[second - 1] ^= 1;
            document[second + length] ^= 1;
            assert_eq!(verbatim.end_at(&document, second), Some(second + length));
        }
    }

    #[test]
    fn an_integer_is_measured_eight_bytes_at_once_or_left_to_whoever_goes_digit_by_digit() {
        for text in ["0,", "7}", "10]", "1234567 ", "99999999\n", "0\t", "42\r"] {
            assert_eq!(integer(format!("{text},,,,,,,,").as_bytes()), Some(text.len() - 1), "{text}");
        }
        for text in ["", ",", "01,", "-1,", "1.5,", "1e3,", "123456789,", "1:", "1/", "\u{80}1,", "1a,", "00,"] {
            assert_eq!(integer(format!("{text},,,,,,,,").as_bytes()), None, "{text}");
        }
        assert_eq!(integer(b"1,,,,,,"), None);
        for digits in 1..9 {
            for byte in 0..=255 {
                let mut text = [b','; 16];
                text[..digits].fill(b'1');
                text[digits] = byte;
                let expected = match byte {
                    b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' => Some(digits),
                    b'0'..=b'9' if digits < 8 => Some(digits + 1),
                    _ => None,
                };
                assert_eq!(integer(&text), expected, "{digits} {byte}");
            }
        }
    }
}
