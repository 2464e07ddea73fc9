//! Messages behind a prefix each: a flag, that they are compressed, and four bytes of length (gRPC over HTTP/2, "Length-Prefixed-
//! Message"; gRPC-Web; Connect, "Enveloped-Message").

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Bytes that precede every message.
pub const PREFIX: usize = 5;

/// No message is longer: gRPC takes 4 MiB unless it is told otherwise.
const LONGEST: usize = 64 << 20;

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not made of messages, or cut off.
    Malformed,
    /// A message is compressed.
    Compressed,
}

/// Whether a body begins like messages. `start` is all of it, or goes on behind the prefix unless the message is empty. A body
/// without any message is one too.
///
/// No message begins with 0, as no tag of Protocol Buffers and no compressed data does; texts of UTF-16 and UTF-32 that begin
/// with 0 have a longer length, or another 0 there.
pub fn is_plausible(start: &[u8]) -> bool {
    match split(start) {
        None => start.is_empty(),
        Some((0 | 1, length, rest)) => {
            length == 0 || (length <= LONGEST && rest.first().is_some_and(|first| *first != 0))
        }
        Some(_) => false,
    }
}

/// Whether `start` ends with the prefix of a message that is not empty: a byte more tells whether it is plausible.
pub fn lacks_its_message(start: &[u8]) -> bool {
    matches!(split(start), Some((0 | 1, 1..=LONGEST, [])))
}

/// Whether a whole body is messages in base64, and nothing that could be a text of another kind.
pub fn is_plausible_text(body: &[u8]) -> bool {
    const EIGHT: usize = 8;
    let engine = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let start = body.get(..body.len().min(EIGHT)).and_then(|start| engine.decode(start).ok());
    let encoded = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    start.is_some_and(|start| is_plausible(&start)) && body.iter().all(encoded)
}

/// The messages of a whole body, none of them compressed.
pub const fn messages(body: &[u8]) -> Messages<'_> {
    Messages { rest: body }
}

/// The iterator of [`messages`]. Ends after an error.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = match split(std::mem::take(&mut self.rest)) {
            Some((0, length, rest)) => rest.split_at_checked(length).ok_or(Error::Malformed),
            Some((1, ..)) => Err(Error::Compressed),
            _ => Err(Error::Malformed),
        };
        Some(message.map(|(message, rest)| {
            self.rest = rest;
            message
        }))
    }
}

/// Flag, length, and what follows the prefix.
fn split(body: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (prefix, rest) = body.split_first_chunk::<PREFIX>()?;
    let [flag, length @ ..] = prefix;
    Some((*flag, usize::try_from(u32::from_be_bytes(*length)).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yields_the_messages_until_one_is_none() {
        for (body, expected) in [
            (&b""[..], &[][..]),
            (b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x01c", &[Ok(&b"ab"[..]), Ok(b""), Ok(b"c")]),
            (b"\0\0\0\0\x01a\x01\0\0\0\x01b\0\0\0\0\0", &[Ok(b"a"), Err(Error::Compressed)]),
            (b"\x02\0\0\0\0", &[Err(Error::Malformed)]),
            (b"\0\0\0\0\x02a", &[Err(Error::Malformed)]),
            (b"\0\xff\xff\xff\xffa", &[Err(Error::Malformed)]),
            (b"\0\0\0\0", &[Err(Error::Malformed)]),
        ] {
            assert_eq!(messages(body).collect::<Vec<_>>(), expected, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn no_text_in_wide_characters_begins_like_messages() {
        for first in (0x09..0x7f_u8).chain([0]) {
            for second in 0..=0xff_u8 {
                for body in [[0, first, 0, second, 0, b'a', 0, b'b'], [0, 0, 0, first, 0, 0, 0, second]] {
                    assert!(first == 0 || !is_plausible(&body), "{body:?}");
                }
            }
        }
    }
}
