//! Predefined entities and character references (XML 1.0, sections 4.1 and 4.6).

/// The longest reference decoded, between `&` and `;`; leading zeros may not hide one beyond it.
const LONGEST: usize = 32;

/// Appends `raw` to `out`, references decoded once; true when one had to be kept as it is.
pub(super) fn decode(raw: &[u8], out: &mut Vec<u8>) -> bool {
    let mut kept = false;
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        let reference = rest.get(at + 1..).unwrap_or_default();
        match character(reference) {
            Some((character, length)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = reference.get(length..).unwrap_or_default();
            }
            None => {
                out.push(b'&');
                kept = true;
                rest = reference;
            }
        }
    }
    out.extend_from_slice(rest);
    kept
}

/// The character of the reference at the start of `bytes`, and how long it is with its `;`.
fn character(bytes: &[u8]) -> Option<(char, usize)> {
    let length = bytes.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let reference = bytes.get(..length)?;
    let character = match reference {
        b"lt" => '<',
        b"gt" => '>',
        b"amp" => '&',
        b"quot" => '"',
        b"apos" => '\'',
        [b'#', b'x', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        _ => return None,
    };
    Some((character, length + 1))
}

fn number(digits: &[u8], radix: u32) -> Option<char> {
    if digits.is_empty() {
        return None;
    }
    let mut value: u32 = 0;
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        value = value.checked_mul(radix)?.checked_add(digit)?;
    }
    char::from_u32(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_once_and_keeps_what_is_unknown() {
        for (raw, expected, kept) in [
            ("", "", false),
            ("&lt;&gt;&amp;&quot;&apos;", "<>&\"'", false),
            ("&#65;&#x41;&#x1F600;&#0065;", "AA\u{1F600}A", false),
            ("&#0;", "\0", false),
            ("&amp;lt;", "&lt;", false),
            ("&amp", "&amp", true),
            ("a & b", "a & b", true),
            ("&xxe;", "&xxe;", true),
            ("&#;&#x;&#xg;&#X41;&#-1;", "&#;&#x;&#xg;&#X41;&#-1;", true),
            ("&#xD800;&#x110000;&#99999999999;", "&#xD800;&#x110000;&#99999999999;", true),
            ("&&lt;", "&<", true),
        ] {
            let mut out = Vec::new();
            assert_eq!(decode(raw.as_bytes(), &mut out), kept, "{raw}");
            assert_eq!(out, expected.as_bytes());
        }
    }
}
