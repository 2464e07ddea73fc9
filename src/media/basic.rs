//! The names of users in HTTP Basic credentials (RFC 7617 section 2).

use super::space::trim_start;

/// Who calls by Basic: the text before the first colon, of each of the credentials in a header's value that names the
/// scheme. Base64 is read as the most lenient decoders do, of either alphabet and past what belongs to neither.
pub fn user_ids(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    value.split(|byte| *byte == b',').filter_map(|credentials| {
        let (scheme, encoded) = trim_start(credentials).split_at_checked(5)?;
        scheme.eq_ignore_ascii_case(b"basic").then(|| user_id(encoded))
    })
}

fn user_id(encoded: &[u8]) -> Vec<u8> {
    let (mut user, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for digit in encoded.iter().filter_map(|byte| digit(*byte)) {
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            match (bits >> held).to_be_bytes() {
                [.., b':'] => break,
                [.., byte] => user.push(byte),
            }
        }
    }
    user
}

const fn digit(byte: u8) -> Option<u8> {
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

    fn names(value: &str) -> Vec<String> {
        user_ids(value.as_bytes()).map(|name| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn reads_the_example_of_the_rfc_and_leaves_out_the_password() {
        assert_eq!(names("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), ["Aladdin"]);
        assert_eq!(names("bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ"), ["Aladdin"]);
    }

    #[test]
    fn reads_what_lenient_decoders_read() {
        assert_eq!(names("Basic QWx=h!ZGRpbg=="), ["Aladdin"], "no colon, no password");
        assert_eq!(names("Basic Pz8_Pjo"), ["???>"], "the alphabet for URLs");
        assert_eq!(names("Bearer x, Basic YTpi,Basic YzpkZA"), ["a", "c"]);
    }

    #[test]
    fn other_schemes_name_nobody() {
        for value in ["", "Basi", "Bearer QWxhZGRpbjpv", "Digest username=\"a\"", "QWxhZGRpbjpv"] {
            assert_eq!(names(value), [""; 0], "{value}");
        }
    }
}
