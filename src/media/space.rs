//! White space around what servers read: each trims its own kinds of it, so all of them count here.

/// `bytes` without the white space around them, whatever any server takes for it: that of ASCII with its
/// separators (1C to 1F), that of Unicode in UTF-8, and that of Latin-1 as single bytes.
///
/// No character of UTF-8 begins with one of those single bytes; one that ends with such a byte loses it, which makes no
/// text of ASCII out of another.
pub fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// The same at the end only.
pub fn trim_end(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some(width) = trailing(rest) {
        rest = rest.get(..rest.len().saturating_sub(width)).unwrap_or_default();
    }
    rest
}

/// The same at the start only.
pub fn trim_start(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some(width) = leading(rest) {
        rest = rest.get(width..).unwrap_or_default();
    }
    rest
}

const fn leading(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [] | [0x21..=0x7f, ..] => None,
        [b'\t'..=b'\r' | 0x1c..=b' ' | 0x85 | 0xa0, ..] => Some(1),
        [0xc2, 0x85 | 0xa0, ..] => Some(2),
        [first, second, third, ..] if is_wide(*first, *second, *third) => Some(3),
        _ => None,
    }
}

const fn trailing(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [] | [.., 0x21..=0x7f] => None,
        [.., 0xc2, 0x85 | 0xa0] => Some(2),
        [.., first, second, third] if is_wide(*first, *second, *third) => Some(3),
        [.., b'\t'..=b'\r' | 0x1c..=b' ' | 0x85 | 0xa0] => Some(1),
        _ => None,
    }
}

/// The white space that takes three bytes, and the mark of byte order, which some trim as well.
const fn is_wide(first: u8, second: u8, third: u8) -> bool {
    matches!(
        (first, second, third),
        (0xe1, 0x9a, 0x80)
            | (0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf)
            | (0xe2, 0x81, 0x9f)
            | (0xe3, 0x80, 0x80)
            | (0xef, 0xbb, 0xbf)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_whatever_a_server_takes_for_white_space() {
        let is_space = |c: &char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(c) || *c == '\u{feff}';
        for space in ('\0'..='\u{ffff}').filter(is_space) {
            assert_eq!(trim(format!("{space}a{space}b{space}{space}").as_bytes()), format!("a{space}b").as_bytes());
            assert_eq!(trim(space.to_string().as_bytes()), b"", "{space:?}");
        }
        for (bytes, expected) in [
            (&b""[..], &b""[..]),
            (b"a", b"a"),
            (b"\xa0\x85 a\xa0b \x85\xa0", b"a\xa0b"),
            (b"\xc2\xa0\xa0a\xa0\xc2\xa0", b"a"),
            (b"\xe2\x80\x85a\xe2\x80\x85", b"a"),
            ("\u{e9}a\u{e9}".as_bytes(), "\u{e9}a\u{e9}".as_bytes()),
            ("\u{200b}a".as_bytes(), "\u{200b}a".as_bytes()),
            (b"\xc2", b"\xc2"),
            (b"\xe2\x80", b"\xe2\x80"),
        ] {
            assert_eq!(trim(bytes), expected, "{}", bytes.escape_ascii());
        }
        assert_eq!((trim_start(b" a "), trim_end(b" a ")), (&b"a "[..], &b" a"[..]));
    }
}
