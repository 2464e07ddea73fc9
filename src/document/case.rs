//! Names that are the same to some recipients. Some pass over the case of letters, as Go's encoding/json and the web defaults of
//! System.Text.Json do; some take `phoneNumber` for `phone_number`, as the JSON of Protocol Buffers does.

/// Whether some recipient takes two names for that of one field.
pub(crate) fn is_same_field(name: &[u8], other: &[u8]) -> bool {
    same_but_for_case(name, other) || in_camel_case(name).eq(in_camel_case(other))
}

/// The name as the JSON mapping of Protocol Buffers writes it: without underscores, and the letters behind them large.
fn in_camel_case(name: &[u8]) -> impl Iterator<Item = u8> {
    let mut large = false;
    name.iter().filter_map(move |byte| match (byte, std::mem::replace(&mut large, *byte == b'_')) {
        (b'_', _) => None,
        (letter, true) => Some(letter.to_ascii_uppercase()),
        (letter, false) => Some(*letter),
    })
}

/// Whether two names differ at most in the case of their letters from A to Z, and in characters that become one of these in
/// another case.
fn same_but_for_case(mut name: &[u8], mut other: &[u8]) -> bool {
    loop {
        match (next(&mut name), next(&mut other)) {
            (None, None) => return true,
            (one, another) if one == another => {}
            _ => return false,
        }
    }
}

/// Takes the next letter in lower case, or the next byte of anything else.
fn next(text: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = match *text {
        // U+017F, the long s; U+212A, the sign of Kelvin; U+0130 and U+0131, i with a dot and without.
        [0xc5, 0xbf, rest @ ..] => (b's', rest),
        [0xe2, 0x84, 0xaa, rest @ ..] => (b'k', rest),
        [0xc4, 0xb0 | 0xb1, rest @ ..] => (b'i', rest),
        [byte, rest @ ..] => (byte.to_ascii_lowercase(), rest),
        [] => return None,
    };
    *text = rest;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::is_same_field;

    #[test]
    fn names_are_the_same_where_some_recipient_takes_them_so() {
        for (name, other, same) in [
            ("ssn", "SSN", true),
            ("ssn", "\u{17f}\u{17f}n", true),
            ("is_admin", "i\u{17f}_Admin", true),
            ("is_admin", "\u{131}S_adm\u{130}n", true),
            ("key", "\u{212a}EY", true),
            ("", "", true),
            ("ssn", "ssn2", false),
            ("ssn", "ssn_", true),
            ("ssn", "ss", false),
            ("ssn", "s_n", false),
            ("phone_number", "phoneNumber", true),
            ("phone_number", "PHONE_Number", true),
            ("line_2_b", "line2B", true),
            ("_a__b", "AB", true),
            ("phone_number", "phonenumber", false),
            ("phone_number", "PhoneNumber", false),
            ("größe", "GRößE", true),
            ("größe", "GRÖßE", false),
        ] {
            assert_eq!(is_same_field(name.as_bytes(), other.as_bytes()), same, "{name} {other}");
            assert_eq!(is_same_field(other.as_bytes(), name.as_bytes()), same, "{name} {other}");
        }
    }
}
