//! The part of a request's target that may be told: the path without its query, its fragment and its parameters (RFC 3986
//! sections 3.3 to 3.5), in which clients and servers put tokens and session ids.

use std::borrow::Cow;

use crate::media::percent::hex_pair;

/// `target` up to the first `?` or `#`, each segment up to its first `;`. An escape of one of these counts as well,
/// however often it is escaped: some recipient decodes it.
pub fn shown(target: &[u8]) -> Cow<'_, str> {
    if !target.iter().any(|byte| matches!(byte, b'?' | b'#' | b';' | b'%')) {
        return String::from_utf8_lossy(target);
    }
    let mut told = Vec::with_capacity(target.len());
    let (mut rest, mut is_parameter) = (target, false);
    while let Some((byte, written)) = first(rest) {
        match byte {
            b'?' | b'#' => break,
            b';' => is_parameter = true,
            b'/' if written == 1 => is_parameter = false,
            _ => {}
        }
        let (one, after) = rest.split_at_checked(written).unwrap_or((rest, b""));
        if !is_parameter {
            told.extend_from_slice(one);
        }
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&told).into_owned())
}

/// The first byte, decoded as often as it is escaped, and how many bytes it is written with.
fn first(text: &[u8]) -> Option<(u8, usize)> {
    let byte = *text.first()?;
    if byte != b'%' {
        return Some((byte, 1));
    }
    // `%25` is the percent sign of the next escape.
    let digits = text.get(1..).unwrap_or_default();
    let nested = digits.chunks(2).take_while(|pair| *pair == b"25").count();
    let decoded = digits.get(2 * nested..).and_then(|digits| hex_pair(digits.first_chunk()?));
    Some(decoded.map_or((byte, 1), |decoded| (decoded, 3 + 2 * nested)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_query_nor_fragment_nor_parameters_are_told() {
        for (target, expected) in [
            ("/a/b%2Cc", "/a/b%2Cc"),
            ("/a?b;c/d", "/a"),
            ("/a#b/c", "/a"),
            ("/a;jsessionid=1/b;c;d", "/a/b"),
            ("/a;x=1%2F2/b/", "/a/b/"),
            ("/a%3Bx=1/b", "/a/b"),
            ("/a%3bx/b%253Bx/c%25253bx", "/a/b/c"),
            ("/a%3Ftoken=1/b", "/a"),
            ("/a%2523token=1", "/a"),
            ("/a%", "/a%"),
            ("/a%2", "/a%2"),
            ("/a%25", "/a%25"),
            ("/a%25/b%252/c%2zd", "/a%25/b%252/c%2zd"),
            ("/%25%3Bx", "/%25"),
            ("", ""),
        ] {
            assert_eq!(shown(target.as_bytes()), expected, "{target}");
        }
        assert_eq!(shown(b"/\xff;\xff"), "/\u{fffd}");
    }
}
