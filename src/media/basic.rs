//! The names of users in HTTP Basic credentials (RFC 7617 section 2).

/// Who calls by these credentials: the text before the first colon where the scheme is Basic; nobody otherwise. Base64 is
/// read as the most lenient decoders do, of either alphabet and past what belongs to neither.
#[cold]
pub fn user_id(credentials: &[u8]) -> Vec<u8> {
    let mut user = Vec::new();
    let [b'B' | b'b', b'A' | b'a', b'S' | b's', b'I' | b'i', b'C' | b'c', encoded @ ..] = credentials else {
        return user;
    };
    let (mut bits, mut held) = (0_u32, 0);
    for byte in encoded {
        let Some(digit) = sextet(*byte) else { continue };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            match (bits >> held) as u8 {
                b':' => break,
                decoded => user.push(decoded),
            }
        }
    }
    user
}

/// What a digit of base64 stands for, of either alphabet (RFC 4648 sections 4 and 5).
pub const fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(credentials: &str) -> String {
        String::from_utf8(user_id(credentials.as_bytes())).unwrap()
    }

    #[test]
    fn reads_the_example_of_the_rfc_and_leaves_out_the_password() {
        assert_eq!(name("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), "Aladdin");
        assert_eq!(name("bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ"), "Aladdin");
    }

    #[test]
    fn reads_what_lenient_decoders_read() {
        assert_eq!(name("Basic QWx=h!ZGRpbg=="), "Aladdin", "no colon, no password");
        assert_eq!(name("Basic Pz8_Pjo"), "???>", "the alphabet for URLs");
    }

    #[test]
    fn other_schemes_name_nobody() {
        for credentials in ["", "Basi", "Bearer QWxhZGRpbjpv", "Digest username=\"a\"", "QWxhZGRpbjpv"] {
            assert_eq!(name(credentials), "", "{credentials}");
        }
    }
}
