//! The engine's work, counted in tests and fuzzers only: what a hostile value costs must not depend on the machine's mood.

/// Counts `steps` looks at bytes or tokens.
#[inline]
pub(super) fn spend(steps: usize) {
    #[cfg(any(test, fuzzing))]
    SPENT.with(|spent| spent.set(spent.get() + steps));
    #[cfg(not(any(test, fuzzing)))]
    let _ = steps;
}

/// The looks of this thread so far.
#[cfg(any(test, fuzzing))]
pub(super) fn spent() -> usize {
    SPENT.get()
}

#[cfg(any(test, fuzzing))]
thread_local! {
    static SPENT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::super::{ClassSet, scan};
    use super::*;
    use proptest::prelude::*;

    /// Long enough that the square of it would be told from a multiple.
    const LEN: usize = 8 << 10;
    /// The most looks for each byte of a value that is made to cost.
    const LIMIT: usize = 400;

    /// How many looks each byte of `piece` costs when it fills a value.
    fn looks(piece: &str) -> usize {
        let value = piece.repeat(LEN / piece.len());
        SPENT.set(0);
        scan(value.as_bytes(), ClassSet::ALL);
        SPENT.get() / LEN
    }

    #[rustfmt::skip]
    const PIECES: &[&str] = &[
        "'", "' or ", "'||", "='", "'=(", "a='b'&", "' or a like b.c.d.e.f(", "'+(((((((((1)))))))))", "'+a+b+c+d+e+f+g+h",
        "(", "' or (((((a(((((", "or ((((((((((((1", "if(", "case when ", "from sys ", "select * ", "; select (", "union(((((((",
        "/*", "/*a", "--a ", "#a ", "@@a ", "sleep(", "<a ", "<a style=", "<style ", "<x:y ", "<!--[if ", "<!doctype ", "<<<<",
        "<a document['", "=data:text/html;", "javascript:", "javascript:a ", "<a href=data:,", "on=", " onclick=a",
        "+++++++++++alert(", "'-;-;-;-;-;-;-;-(", "../", "../a", "..;/", ".0x", "0x2e0x2f", ";id ", ";\tid", ";\ttop", ";ls+a",
        "{ls,a;", "&a", "&who b ", "|", "| a | b |", "$(", "$(id x", "`", "`a", "a`id`", "/bin/", "/bin/sh ", "<?php ",
        "<?php exec", "socket.socket(", "exec('", ";''", "$(((((((((", "{{", "${", "${${", "<%", "[#", "#{7}", "{{x",
        "%25", "%252525", "&amp;", "&amp;amp;amp;", "&#x", "\\x5cx5c", "%25&amp;\\x25", "+ADw-", "\u{2018}or ", "\u{ff05}41",
        "%2525252525&amp;amp;amp;\\u005cu005c\u{ff05}41", "[$ne", "{$a:", "s.t", "')(", ")(a", ") (&", "<!entity a ", "<!doctype a system", "//a", "//1.", "//@", "//\u{2460}", "http://a.b@", "a:", "a b", "a.b,", "[\"a\",\"b\"]", " ", "\n", "\0a",
    ];

    /// What fills the room between the parts of an attack.
    #[rustfmt::skip]
    const FILLERS: &[(&str, &str)] = &[
        (";", " "), (";(", " "), ("$(", "\t"), ("|({", " "), ("=", " "), ("on=", "\u{e9}"), (":", "\t"), ("javascript:", "\t"), ("t:", "\0"),
        ("' or", "("), ("'-", "("), ("'=~", "~"), ("or ", "not "), ("'||", "-+"), ("') or 1", ")"), ("'", ")"), ("'--", ")"), ("1", ")"),
        ("or case", " a"), ("{{", " "), ("${", " "), ("${${", "a"), ("${${", "${"), ("{{'", "a"), ("<object", " "), ("<base", "/"), ("&#", "0"),
        ("&#x", "0"), ("a;", "b "), ("#", "a\n"), ("--", "a\n"), ("'--", " \n"),
        (";", "''"), ("/bin/sh", "''"), ("/bin/sh/", "$@"), (";", "/."), ("';", " "), ("'-", ")"), ("alert(", ")"), ("alert", " "), ("<a ", "x "),
        ("<meta a=", "b"), ("<style a=", "<b "), ("'", "a::"), ("or 1", "::a"), ("1;", "show "), ("a", "\u{a0}"), ("'x", ")"), ("1@", ">"), (";1", "; "), (";a=", "b "), (";a=", "b"), (";ls ", "a "), (";env ", "a=1 "),
        (";/", "?"), ("${a:", "1"), ("<(", " "), (";", "^a"), (";", "$()"), (";ls a ", "-"), ("${j${", "a"), ("${", "j${"), ("{$s", "{$"), ("<#", " "),
       
        ("';top.a(", "-"), ("';", "["), ("'$.", "-"), ("-alert(", "-"), ("<a @click=", "x "), ("alert.call(", " "), ("top[", "'"),
    ];

    #[test]
    fn nor_does_a_run_of_filler_behind_what_looks_for_its_end() {
        for (mark, filler) in FILLERS {
            for count in [1, 20, 300, 4000] {
                let piece = mark.to_string() + &filler.repeat(count);
                for value in
                    [piece.repeat(LEN / piece.len() + 1), mark.repeat(count) + &filler.repeat(LEN), piece + "x'-- "]
                {
                    SPENT.set(0);
                    scan(value.as_bytes(), ClassSet::ALL);
                    let looks = SPENT.get() / value.len().max(LEN);
                    assert!(looks <= LIMIT, "{mark:?} {filler:?} {count}: {looks}");
                }
            }
        }
    }

    /// What the search of `benches/scan.rs` found to cost most, with what ends it.
    #[rustfmt::skip]
    const WORST: &[&str] = &[
        "%27<<<<or.0x", ".0x<%{ls,a;;ls+a\u{2018}or 0x", "<?php /bin/'||or ((((((((((((1%25<a or ((((((((((((1", ";id :+ADw-",
        "&who b &a`&amp;amp;amp;", "'||socket.socket(\u{ff05}41<%| a | b |&a<a href=data:,0x2e0x2f='", "&a\"<<<<<<!doctype &a.0x&amp;amp;amp;;''<%",
        ";id+a", "'&", "='", "'||", "or(", "a='b'&", "--\n<%'-<%\u{ff05}41'|if(", ";&&`=%2541$(", "#a\n'-'or 1=1",
    ];

    #[test]
    fn nor_does_what_was_found_to_cost_most_however_it_ends() {
        for piece in WORST {
            for end in ["", " -- ", "' -- ", "'#", "*/"] {
                let value = piece.repeat(LEN / piece.len()) + end;
                SPENT.set(0);
                scan(value.as_bytes(), ClassSet::ALL);
                let looks = SPENT.get() / LEN;
                assert!(looks <= LIMIT, "{piece:?} {end:?}: {looks}");
            }
        }
    }

    #[test]
    fn no_value_made_of_decoys_costs_more_than_a_bounded_number_of_looks_a_byte() {
        for piece in PIECES {
            let looks = looks(piece);
            assert!(looks <= LIMIT, "{piece:?}: {looks}");
        }
    }

    #[test]
    fn what_most_values_are_costs_next_to_nothing() {
        assert!(looks("The quick brown fox jumps over the lazy dog. ") <= 1);
        assert!(looks("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) ") <= 20);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn nor_does_any_mixture_of_decoys(pieces in prop::collection::vec(prop::sample::select([PIECES, WORST].concat()), 1..5)) {
            let looks = looks(&pieces.concat());
            prop_assert!(looks <= LIMIT, "{:?}: {}", pieces, looks);
        }
    }
}
