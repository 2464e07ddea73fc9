//! Names that are the same to recipients that pass over the case of letters, as Go's encoding/json and the web defaults of
//! System.Text.Json do.

/// Whether two names differ at most in the case of their letters from A to Z, and in characters that become one of these in
/// another case.
pub(crate) fn same_but_for_case(mut name: &[u8], mut other: &[u8]) -> bool {
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
    use super::same_but_for_case;

    #[test]
    fn names_are_the_same_to_whoever_passes_over_case() {
        for (name, other, same) in [
            ("ssn", "SSN", true),
            ("ssn", "\u{17f}\u{17f}n", true),
            ("is_admin", "i\u{17f}_Admin", true),
            ("is_admin", "\u{131}S_adm\u{130}n", true),
            ("key", "\u{212a}EY", true),
            ("", "", true),
            ("ssn", "ssn_", false),
            ("ssn", "ss", false),
            ("ssn", "s_n", false),
            ("größe", "GRößE", true),
            ("größe", "GRÖßE", false),
        ] {
            assert_eq!(same_but_for_case(name.as_bytes(), other.as_bytes()), same, "{name} {other}");
            assert_eq!(same_but_for_case(other.as_bytes(), name.as_bytes()), same, "{name} {other}");
        }
    }
}
