//! One block of HTTP header fields (RFC 9110 section 5): a request's head, a response's, or trailers.
//! Bytes, not strings; repeated fields and their order are kept, because an ambiguity must be seen to be refused.

use std::fmt;

/// A header block: one owned buffer, and where each field lies in it.
///
/// Names compare without regard to ASCII case. Whether a name occurs is told by a filter of 64 bits first, so the
/// question "is this header there" costs about a nanosecond when it is not.
///
/// `Debug` shows names only: values carry credentials.
#[derive(Clone, Default)]
pub struct Head {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    /// Bit `tag % 64` of every field's name.
    present: u64,
    padded: bool,
}

/// A field that must occur at most once occurs several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

impl Head {
    /// Reads the proxy-wasm serialised map where it is: a count, as many pairs of name and value lengths (all `u32`
    /// little-endian), then each name and value followed by NUL. An empty buffer is an empty map.
    ///
    /// Allocates the list of ranges only, of at most an eighth of the buffer's length in entries.
    ///
    /// `None` for anything else: lengths that do not fit, a missing NUL, bytes left over.
    pub fn from_host_map(bytes: Vec<u8>) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let table_length = length(count).checked_mul(8)?;
        let mut start = table_length.checked_add(4)?;
        let table = rest.get(..table_length)?;
        let mut fields = Vec::with_capacity(table_length / 8);
        let (mut present, mut padded) = (0, false);
        for entry in table.as_chunks::<8>().0 {
            let [n0, n1, n2, n3, v0, v1, v2, v3] = entry;
            let (name_length, value_length) = (length(&[*n0, *n1, *n2, *n3]), length(&[*v0, *v1, *v2, *v3]));
            let name_end = start.checked_add(name_length)?;
            let value_end = name_end.checked_add(1)?.checked_add(value_length)?;
            if bytes.get(name_end) != Some(&0) || bytes.get(value_end) != Some(&0) {
                return None;
            }
            let tag = tag(bytes.get(start..name_end)?);
            present |= bit(tag);
            // Of an empty value, these are the NULs around it.
            padded |= is_space(bytes.get(name_end + 1)) | is_space(bytes.get(value_end - 1));
            fields.push(Field { start, name_length, value_length, tag });
            start = value_end + 1;
        }
        (start == bytes.len()).then_some(Self { bytes, fields, present, padded })
    }

    /// A head of these fields in this order; names become lower-case, as the proxy delivers them.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut head = Self::default();
        for (name, value) in pairs {
            let (name, value) = (name.as_ref().to_ascii_lowercase(), value.as_ref());
            let (start, tag) = (head.bytes.len(), tag(&name));
            head.present |= bit(tag);
            head.padded |= is_space(value.first()) | is_space(value.last());
            head.fields.push(Field { start, name_length: name.len(), value_length: value.len(), tag });
            for part in [&name, &[0][..], value, &[0][..]] {
                head.bytes.extend_from_slice(part);
            }
        }
        head
    }

    /// The value of the first field of this name.
    pub fn first(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.matching(name.as_ref()).next().map(|field| self.value(field))
    }

    /// The values of every field of this name, in order.
    pub fn all<'h>(&'h self, name: &'h (impl AsRef<[u8]> + ?Sized)) -> impl DoubleEndedIterator<Item = &'h [u8]> {
        self.matching(name.as_ref()).map(|field| self.value(field))
    }

    /// The value of a field that may occur once.
    ///
    /// # Errors
    /// [`Ambiguous`] when it occurs again, even with the same value: who reads it next may take either.
    pub fn single(&self, name: impl AsRef<[u8]>) -> Result<Option<&[u8]>, Ambiguous> {
        let mut fields = self.matching(name.as_ref());
        let first = fields.next();
        match fields.next() {
            Some(_) => Err(Ambiguous),
            None => Ok(first.map(|field| self.value(field))),
        }
    }

    /// Whether a field of this name occurs.
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        self.matching(name.as_ref()).next().is_some()
    }

    /// Every field, name and value, in order; pseudo headers among them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> + ExactSizeIterator {
        self.fields.iter().map(|field| (self.name(field), self.value(field)))
    }

    /// Whether a value begins or ends with white space. HTTP/1 has none there, in HTTP/2 such a field is malformed (RFC 9113
    /// section 8.2.1): whoever reads it next as HTTP/1 reads another value.
    pub fn is_padded(&self) -> bool {
        self.padded
    }

    /// The names of the fields whose [`tag`] has its bit in `tags`, in order.
    pub fn names_among<'h>(&'h self, tags: &'h TagSet) -> impl Iterator<Item = &'h [u8]> {
        self.fields.iter().filter(|field| tags.contains(field.tag)).map(|field| self.name(field))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// `:method`.
    pub fn method(&self) -> Option<&[u8]> {
        self.first(":method")
    }

    /// `:path` as it was sent, query included.
    pub fn path(&self) -> Option<&[u8]> {
        self.first(":path")
    }

    /// `:authority`, which is HTTP/1's `Host` as well.
    pub fn authority(&self) -> Option<&[u8]> {
        self.first(":authority")
    }

    /// `:scheme`.
    pub fn scheme(&self) -> Option<&[u8]> {
        self.first(":scheme")
    }

    #[inline]
    fn matching<'h>(&'h self, name: &'h [u8]) -> impl DoubleEndedIterator<Item = &'h Field> {
        let tag = tag(name);
        let fields = if self.present & bit(tag) == 0 { &[][..] } else { &self.fields };
        fields.iter().filter(move |field| field.tag == tag && self.name(field).eq_ignore_ascii_case(name))
    }

    fn name(&self, field: &Field) -> &[u8] {
        self.bytes.get(field.start..field.start + field.name_length).unwrap_or_default()
    }

    fn value(&self, field: &Field) -> &[u8] {
        let start = field.start + field.name_length + 1;
        self.bytes.get(start..start + field.value_length).unwrap_or_default()
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a header that may occur once is repeated")
    }
}

impl std::error::Error for Ambiguous {}

/// A name at `start`, NUL, its value, NUL.
#[derive(Clone, Copy)]
struct Field {
    start: usize,
    name_length: usize,
    value_length: usize,
    tag: u8,
}

fn length(bytes: &[u8; 4]) -> usize {
    // A length beyond a 16-bit address space's saturates and then fits nowhere.
    usize::try_from(u32::from_le_bytes(*bytes)).unwrap_or(usize::MAX)
}

#[inline]
fn is_space(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| (*byte == b' ') | (*byte == b'\t'))
}

/// A set of tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSet([u64; 4]);

impl TagSet {
    /// Every tag.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// Puts a tag in.
    pub fn insert(&mut self, tag: u8) {
        self.0.iter_mut().skip(usize::from(tag >> 6)).take(1).for_each(|bits| *bits |= bit(tag));
    }

    /// Whether a tag is in it.
    #[inline]
    pub fn contains(&self, tag: u8) -> bool {
        self.0.get(usize::from(tag >> 6)).is_some_and(|bits| bits & bit(tag) != 0)
    }
}

/// Length, first and last byte of a name in one byte; the same for both cases of a letter.
#[inline]
pub fn tag(name: &[u8]) -> u8 {
    let end = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or_default() | 0x20);
    let mixed = (name.len() as u32).wrapping_mul(0x9e37) ^ (end(name.first()) << 8 | end(name.last()));
    (mixed.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

#[inline]
fn bit(tag: u8) -> u64 {
    1 << (tag & 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The map as the host writes it.
    fn serialised(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
        for (name, value) in pairs {
            bytes.extend((name.len() as u32).to_le_bytes());
            bytes.extend((value.len() as u32).to_le_bytes());
        }
        for (name, value) in pairs {
            bytes.extend([name.as_slice(), &[0], value, &[0]].concat());
        }
        bytes
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn keeps_duplicates_order_and_bytes_that_are_not_text() {
        let map = serialised(&[
            (b":path".to_vec(), b"/a".to_vec()),
            (b"x".to_vec(), b"1".to_vec()),
            (b"y".to_vec(), b"\xff\0".to_vec()),
            (b"x".to_vec(), b"".to_vec()),
        ]);
        let head = Head::from_host_map(map).unwrap();
        assert_eq!(head.path(), Some(&b"/a"[..]));
        assert_eq!(head.all("x").collect::<Vec<_>>(), [&b"1"[..], b""]);
        assert_eq!(head.first("y"), Some(&b"\xff\0"[..]));
        assert_eq!(head.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&b":path"[..], b"x", b"y", b"x"]);
        assert_eq!((head.len(), head.method()), (4, None));
    }

    #[test]
    fn sees_that_a_single_header_is_repeated_even_with_the_same_value() {
        let head = Head::from_pairs([("authorization", "a"), ("Authorization", "a"), ("host", "h")]);
        assert_eq!(head.single("authorization"), Err(Ambiguous));
        assert_eq!(head.single("host"), Ok(Some(&b"h"[..])));
        assert_eq!(head.single("cookie"), Ok(None));
    }

    #[test]
    fn finds_names_in_any_case() {
        let mut map = serialised(&pairs(&[("X-Api-Key", "k")]));
        assert_eq!(Head::from_host_map(map.clone()).unwrap().first("x-api-key"), Some(&b"k"[..]));
        assert_eq!(Head::from_pairs([("X-Api-Key", "k")]).first("X-API-KEY"), Some(&b"k"[..]));
        map.pop();
        assert!(Head::from_host_map(map).is_none());
    }

    #[test]
    fn an_empty_map_is_an_empty_head() {
        for map in [vec![], vec![0; 4]] {
            assert!(Head::from_host_map(map).unwrap().is_empty());
        }
    }

    #[test]
    fn refuses_lengths_that_lie() {
        let good = serialised(&pairs(&[("ab", "cd"), ("e", "f")]));
        let with = |at: usize, byte: u8| {
            let mut map = good.clone();
            map[at] = byte;
            map
        };
        for at in 0..20 {
            for byte in [3, 5, 0x7f, 0xff] {
                assert!(Head::from_host_map(with(at, byte)).is_none(), "{at} {byte}");
            }
        }
        // A boundary moved into a name: the lengths still add up.
        let moved = Head::from_host_map({
            let mut map = with(4, 1);
            map[8] = 3;
            map
        });
        assert!(moved.is_none());
        assert!(Head::from_host_map([good.clone(), vec![0]].concat()).is_none());
        assert!(Head::from_host_map(vec![0xff; 64]).is_none());
        assert!(Head::from_host_map(vec![1, 0, 0]).is_none());
    }

    #[test]
    fn never_shows_a_value() {
        let shown = format!("{:?}", Head::from_pairs([("authorization", "Bearer s3cret")]));
        assert!(shown.contains("authorization") && !shown.contains("s3cret"), "{shown}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(0u8..6, 0..60)) {
            if let Some(head) = Head::from_host_map(bytes) {
                prop_assert_eq!(head.iter().count(), head.len());
            }
        }

        #[test]
        fn answers_as_a_plain_list_does(
            fields in prop::collection::vec(("[a-cA-C-]{0,3}", "[a-z]{0,3}"), 0..12), asked in "[a-cA-C-]{0,3}"
        ) {
            let raw: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
            let expected: Vec<&[u8]> =
                fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(&asked)).map(|(_, v)| v.as_bytes()).collect();
            for head in [Head::from_host_map(serialised(&raw)).unwrap(), Head::from_pairs(fields.iter().cloned())] {
                prop_assert_eq!(head.all(&asked).collect::<Vec<_>>(), expected.clone());
                prop_assert_eq!(head.first(&asked), expected.first().copied());
                prop_assert_eq!(head.contains(&asked), !expected.is_empty());
                prop_assert_eq!(head.single(&asked).is_err(), expected.len() > 1);
            }
        }
    }
}
