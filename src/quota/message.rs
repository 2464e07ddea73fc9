//! The messages of `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`, as far as they matter here, in the
//! protobuf wire format (protobuf.dev, "Encoding"). Fields that are not known are passed over, as the format asks.

use std::time::Duration;

/// Full name of the service.
pub const SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";
/// Its one method.
pub const METHOD: &str = "ShouldRateLimit";

/// A question: may `hits` more be admitted for one value of one descriptor?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The domain, which keeps the limits of several products apart.
    pub domain: &'a str,
    /// The key of the descriptor's one entry.
    pub descriptor: &'a str,
    /// Its value: whose quota it is.
    pub value: &'a str,
    /// How many are asked for.
    pub hits: u32,
}

impl Question<'_> {
    /// The bytes of a `RateLimitRequest`.
    pub fn encode(&self) -> Vec<u8> {
        let mut entry = Vec::with_capacity(self.descriptor.len() + self.value.len() + 8);
        put_bytes(1, self.descriptor.as_bytes(), &mut entry);
        put_bytes(2, self.value.as_bytes(), &mut entry);
        let mut descriptor = Vec::with_capacity(entry.len() + 4);
        put_bytes(1, &entry, &mut descriptor);
        let mut request = Vec::with_capacity(descriptor.len() + self.domain.len() + 16);
        put_bytes(1, self.domain.as_bytes(), &mut request);
        put_bytes(2, &descriptor, &mut request);
        put_tag(3, VARINT, &mut request);
        put_varint(u64::from(self.hits), &mut request);
        request
    }
}

/// What the service decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The hits were admitted and counted.
    Granted(Option<Standing>),
    /// They were not.
    OverLimit(Option<Standing>),
}

/// Where the limit stands, from a service that says more than a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Hits left until the reset.
    pub remaining: u32,
    /// Until the whole limit is there again.
    pub reset: Option<Duration>,
}

/// Why an answer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageError {
    /// These are no protobuf fields, or one has the wrong type.
    Malformed,
    /// The overall code is none of `OK` and `OVER_LIMIT`; 0 also where there is none.
    Code(u64),
}

impl Answer {
    /// Reads a `RateLimitResponse`. Where several limits apply, the standing is that of the one with the least left.
    ///
    /// # Errors
    /// [`MessageError`] for bytes that are no such message, or one that decides nothing.
    pub fn decode(message: &[u8]) -> Result<Self, MessageError> {
        let (mut code, mut standing) = (0, None);
        for field in Fields(message) {
            match field? {
                (1, Value::Number(number)) => code = number,
                (2, Value::Bytes(bytes)) => {
                    let known = standing.iter().copied().chain(Standing::decode(bytes)?);
                    standing = known.min_by_key(|standing: &Standing| standing.remaining);
                }
                (1 | 2, _) => return Err(MessageError::Malformed),
                _ => {}
            }
        }
        match code {
            1 => Ok(Self::Granted(standing)),
            2 => Ok(Self::OverLimit(standing)),
            code => Err(MessageError::Code(code)),
        }
    }
}

impl Standing {
    /// Reads a `DescriptorStatus`; `None` where it holds a code and nothing more. A remainder of 0 is not written, so it
    /// is one only beside a limit or a reset.
    fn decode(message: &[u8]) -> Result<Option<Self>, MessageError> {
        let (mut says, mut standing) = (false, Self { remaining: 0, reset: None });
        for field in Fields(message) {
            match field? {
                (2, Value::Bytes(_)) => says = true,
                (3, Value::Number(number)) => {
                    says = true;
                    standing.remaining = u32::try_from(number).unwrap_or(u32::MAX);
                }
                (4, Value::Bytes(bytes)) => {
                    says = true;
                    standing.reset = duration(bytes)?;
                }
                (2..=4, _) => return Err(MessageError::Malformed),
                _ => {}
            }
        }
        Ok(says.then_some(standing))
    }
}

/// No limit lasts longer; a reset beyond it is none.
const LONGEST_RESET: Duration = Duration::from_secs(366 * 86_400);

/// Reads a `google.protobuf.Duration`; `None` where it is negative or absurdly long.
fn duration(message: &[u8]) -> Result<Option<Duration>, MessageError> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields(message) {
        match field? {
            // Negative numbers are two's complement and so beyond every bound here.
            (1, Value::Number(number)) => seconds = number,
            (2, Value::Number(number)) => nanos = number,
            (1 | 2, _) => return Err(MessageError::Malformed),
            _ => {}
        }
    }
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let whole = (seconds <= LONGEST_RESET.as_secs()).then_some(seconds);
    Ok(whole.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos)))
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// The value of one field, by its wire type.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Fixed width: no field here has it.
    Fixed,
}

/// The fields of a message, in their order: number and value. Ends after the first error.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(MessageError::Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let number = Some(tag >> 3).filter(|number| *number > 0)?;
        let value = match tag & 7 {
            VARINT => Value::Number(self.varint()?),
            BYTES => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            FIXED64 => self.take(8).map(|_| Value::Fixed)?,
            FIXED32 => self.take(4).map(|_| Value::Fixed)?,
            // Groups went out of use before this protocol was made.
            _ => return None,
        };
        Some((number, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// At most ten bytes of seven bits, the lowest first.
    fn varint(&mut self) -> Option<u64> {
        let mut value: u64 = 0;
        for at in 0..10 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            // The tenth byte holds the last bit of 64.
            if at == 9 && *byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

fn put_tag(number: u64, wire: u64, out: &mut Vec<u8>) {
    put_varint(number << 3 | wire, out);
}

fn put_bytes(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    put_tag(number, BYTES, out);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// Bytes of Google's implementation (Python's `protobuf` 7).
    #[test]
    fn asks_in_the_bytes_of_a_real_encoder() {
        let question = Question { domain: "portcullis", descriptor: "user", value: "jwt/users/42", hits: 100 };
        let start = "0a0a706f727463756c6c697312160a140a0475736572120c6a77742f75736572732f3432";
        assert_eq!(question.encode(), bytes(&format!("{start}1864")));
        assert_eq!(Question { hits: 1, ..question }.encode(), bytes(&format!("{start}1801")));
        let (domain, value) = ("d".repeat(200), "v".repeat(300));
        let long = Question { domain: &domain, descriptor: "k", value: &value, hits: 1_000_000 };
        let expected = format!("0ac801{}12b5020ab2020a016b12ac02{}18c0843d", "64".repeat(200), "76".repeat(300));
        assert_eq!(long.encode(), bytes(&expected));
    }

    #[test]
    fn reads_the_bytes_of_a_real_encoder() {
        let standing = |remaining, reset| Some(Standing { remaining, reset });
        let full = "080112200801120d08d0860310031a05757365727318ec8503220908880e1080cab5ee01\
                    1a1a0a11782d726174656c696d69742d6c696d6974120535303030302a0200ff";
        for (hex, answer) in [
            ("0801", Ok(Answer::Granted(None))),
            ("0802", Ok(Answer::OverLimit(None))),
            ("080112020801", Ok(Answer::Granted(None))),
            (full, Ok(Answer::Granted(standing(49_900, Some(Duration::from_millis(1_800_500)))))),
            ("0802120a08021202080a22020807", Ok(Answer::OverLimit(standing(0, Some(Duration::from_secs(7)))))),
            // Two limits apply; the second has nothing left, and a duration that is negative.
            (
                "0802120808011202080a1805121e080212020803221608ffffffffffffffffff0110fbffffffffffffffff01",
                Ok(Answer::OverLimit(standing(0, None))),
            ),
            ("", Err(MessageError::Code(0))),
            ("0807", Err(MessageError::Code(7))),
        ] {
            assert_eq!(Answer::decode(&bytes(hex)), answer, "{hex}");
        }
    }

    #[test]
    fn what_is_no_message_decides_nothing() {
        for hex in [
            "08",                       // a number that is missing
            "0a0101",                   // the code as bytes
            "1001",                     // a status as a number
            "1205",                     // fewer bytes than announced
            "0b01",                     // a group
            "0001",                     // field 0
            "08ffffffffffffffffffff01", // eleven bytes of a number
            "08ffffffffffffffffff02",   // more than 64 bits
            "0801ff",                   // a tag that is cut
            "08011204220208",           // a duration that is cut
            "0801120222ff",             // a length that is cut
            "080112022d01",             // a field that is cut
            "48544d4c",                 // text
        ] {
            // The code may come before what is broken: then nothing is believed all the same.
            assert!(Answer::decode(&bytes(hex)).is_err(), "{hex}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn survives_whatever_a_service_sends(message in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Answer::decode(&message);
        }

        #[test]
        fn a_cut_answer_never_grants_what_the_whole_did_not(cut in 0usize..14) {
            let whole = bytes("0802120a08021202080a22020807");
            let read = Answer::decode(&whole[..cut]);
            prop_assert!(!matches!(read, Ok(Answer::Granted(_))));
        }
    }
}
