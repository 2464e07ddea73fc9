//! What reading values may cost. A client that knows the engine could make a value of marks that each lead a long way: what
//! exceeds its effort is not read on but refused, as a finding of its own.
//!
//! Effort is counted in looks at bytes and tokens, where a mark or a token is followed up; passing over the bytes of a value,
//! decoding and cutting them costs each byte alike and is not counted. In tests and fuzzers every look is counted as well.

use std::cell::Cell;

/// The looks that a request may cost before any of its bytes, and what each byte of its values adds: more than twice what the
/// dearest harmless text known needs, see `benches/README.md`.
const ALLOWANCE: usize = 256 << 10;
const RATE: usize = 19;

/// What the values of one request may cost together, and what they have cost: at most [`ALLOWANCE`] looks and [`RATE`] for each
/// byte, and what one more mark leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    spent: usize,
    limit: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { spent: 0, limit: ALLOWANCE }
    }
}

impl Effort {
    /// After the same value was read twice: what the dearer reading leaves.
    #[must_use]
    pub const fn dearer(self, other: Self) -> Self {
        if other.spent >= self.spent { other } else { self }
    }

    /// With what a value of `len` bytes may cost as well.
    #[must_use]
    pub const fn with(self, len: usize) -> Self {
        Self { limit: self.limit + RATE * len, ..self }
    }

    /// Whether more has been spent than may be.
    pub const fn is_exceeded(self) -> bool {
        self.spent > self.limit
    }
}

thread_local! {
    /// What the readers have spent, and may spend: of one value at a time.
    static SPENT: Cell<usize> = const { Cell::new(0) };
    static LIMIT: Cell<usize> = const { Cell::new(0) };
}

/// Lets readers spend of `effort`.
pub(super) fn begin(effort: Effort) {
    SPENT.set(effort.spent);
    LIMIT.set(effort.limit);
}

/// What they leave of it.
pub(super) fn end() -> Effort {
    Effort { spent: SPENT.get(), limit: LIMIT.get() }
}

/// Counts `looks` as effort.
#[inline]
pub(super) fn spend(looks: usize) {
    SPENT.set(SPENT.get() + looks);
    look(looks);
}

/// Whether the effort is spent.
#[inline]
pub(super) fn is_spent() -> bool {
    SPENT.get() > LIMIT.get()
}

/// Begins to count anew.
pub(super) fn forgive() {
    SPENT.set(0);
}

/// Counts `looks` in tests and fuzzers only: what a value costs must not depend on the machine's mood.
#[inline]
pub(super) fn look(looks: usize) {
    #[cfg(any(test, fuzzing))]
    LOOKS.set(LOOKS.get() + looks);
    #[cfg(not(any(test, fuzzing)))]
    let _ = looks;
}

/// The looks of this thread so far.
#[cfg(any(test, fuzzing))]
pub(super) fn looks() -> usize {
    LOOKS.get()
}

#[cfg(any(test, fuzzing))]
thread_local! {
    static LOOKS: Cell<usize> = const { Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::super::{Class, ClassSet, RuleDoc, RuleSet, rules, scan_except, scan_within};
    use super::*;
    use proptest::prelude::*;

    /// Long enough that the square of it would be told from a multiple.
    const LEN: usize = 8 << 10;
    /// The most looks for each byte of a value that is made to cost.
    const LIMIT: usize = 400;

    /// Whatever it costs: a budget hides nothing from the tests of looks.
    fn read_to_the_end(value: &[u8]) {
        let mut excluded = RuleSet::default();
        for rule in rules().iter().filter(|rule| rule.id.ends_with("-cost")) {
            assert!(excluded.insert(rule.id));
        }
        scan_except(value, ClassSet::ALL, &excluded);
    }

    fn rule_of(value: &[u8], classes: ClassSet) -> Option<&'static str> {
        rule_within(value, classes, &RuleSet::default(), &mut Effort::default())
    }

    /// How many looks each byte of `piece` costs when it fills a value.
    fn looks(piece: &str) -> usize {
        let value = piece.repeat(LEN / piece.len());
        LOOKS.set(0);
        read_to_the_end(value.as_bytes());
        LOOKS.get() / LEN
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
        "%2525252525&amp;amp;amp;\\u005cu005c\u{ff05}41", "[$ne", "{$a:", "s.t", "')(", ")(a", ") (&", "<!entity a ", "<!doctype a system", ";$a", ";a=b;$a", ";for /f ", ";do ", "&%comspec", ";/bin/w?o ", "eval(base64_", "<a hx-on-a-b=", "';a=alert", "';new a(", "${(#", "#set(", "class.classloader.", "//a", "//1.", "//@", "//\u{2460}", "http://a.b@", "a:", "a b", "a.b,", "[\"a\",\"b\"]", "[\"' or \"]", "{\"/a\":\"$(\"}", " ", "\n", "\0a",
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
                    LOOKS.set(0);
                    read_to_the_end(value.as_bytes());
                    let looks = LOOKS.get() / value.len().max(LEN);
                    assert!(looks <= LIMIT, "{mark:?} {filler:?} {count}: {looks}");
                }
            }
        }
    }

    /// What the search of `benches/scan.rs` found to cost most, with what ends it.
    #[rustfmt::skip]
    const WORST: &[&str] = &[
        "1|who \0",
        "%27<<<<or.0x", ".0x<%{ls,a;;ls+a\u{2018}or 0x", "<?php /bin/'||or ((((((((((((1%25<a or ((((((((((((1", ";id :+ADw-",
        "&who b &a`&amp;amp;amp;", "'||socket.socket(\u{ff05}41<%| a | b |&a<a href=data:,0x2e0x2f='", "&a\"<<<<<<!doctype &a.0x&amp;amp;amp;;''<%",
        "1|who \0", "data:..;on=%25<%<a data:.0x${,", "<%<<!doctype <%%2541<%<!doctype ", "\0.0x)<%alert(;{ls ",
        "<style >;if(0x#or &\n%27", "\"%27<style \n`-->|\n",
        "exec(exec(exec(\\x27%2541-$(", "%2541$(document.+ADw-<$(socket.socket(", "$(data:${\u{ff05}41<a href=",
        ";id+a", "'&", "='", "'||", "or(", "a='b'&", "--\n<%'-<%\u{ff05}41'|if(", ";&&`=%2541$(", "#a\n'-'or 1=1",
    ];

    /// What leads to an operand, and what may begin one that goes on with another.
    const NESTED: &[&str] = &[
        "or u&{a ",
        "u&",
        "{a ",
        "or [a].[a].",
        "or \"a\".\"a\".",
        "or $a$",
        "or $aaaaaaaaaaaaaa$",
        "or N'a'",
        "or a::b::c",
        "case ",
        "or case when ",
        "is distinct from ",
        "or a notnull ",
        "not null ",
        "collate a ",
        "in (a,",
        "or _utf8'",
        "or x'6",
        "or b'",
        "'~*",
        "!~",
        "a`:`$(:)${*:1}",
        ";a=b ",
        "$(a=b ",
        "`a=b ",
        "a\"`id`\"",
        "$((`",
    ];

    #[test]
    fn nor_do_operands_that_begin_others_however_deep() {
        for lead in ["", "'", "1 or ", "' or ", ";"] {
            for piece in NESTED {
                for end in ["", "1=1 --"] {
                    // As long as what is cut into tokens at once.
                    let value = [lead, &piece.repeat(4 * LEN / piece.len()), end].concat();
                    LOOKS.set(0);
                    read_to_the_end(value.as_bytes());
                    let looks = LOOKS.get() / (4 * LEN);
                    assert!(looks <= LIMIT, "{lead:?} {piece:?} {end:?}: {looks}");
                }
            }
        }
    }

    #[test]
    fn nor_does_what_was_found_to_cost_most_however_it_ends() {
        for piece in WORST {
            for end in ["", " -- ", "' -- ", "'#", "*/"] {
                let value = piece.repeat(LEN / piece.len()) + end;
                LOOKS.set(0);
                read_to_the_end(value.as_bytes());
                let looks = LOOKS.get() / LEN;
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

    fn rule_within(value: &[u8], classes: ClassSet, excluded: &RuleSet, effort: &mut Effort) -> Option<&'static str> {
        *effort = effort.with(value.len());
        scan_within(value, classes, excluded, effort).map(|finding| finding.rule)
    }

    fn costly(rule: &RuleDoc) -> Vec<u8> {
        rule.example.repeat((256 << 10) / rule.example.len()).into_bytes()
    }

    #[test]
    fn what_costs_too_much_is_refused_in_the_name_of_a_class_that_was_asked_for() {
        let costs: Vec<&RuleDoc> = rules().iter().filter(|rule| rule.id.ends_with("-cost")).collect();
        assert_eq!(costs.len(), 4);
        for rule in costs {
            let only = ClassSet::NONE.with(rule.class);
            assert_eq!(rule_of(&costly(rule), only), Some(rule.id));
            assert_eq!(rule_of(&costly(rule), ClassSet::ALL.without(rule.class)), None, "{}", rule.id);
            // Too short to cost anything.
            assert_eq!(rule_of(rule.example.repeat(100).as_bytes(), only), None, "{}", rule.id);
        }
    }

    #[test]
    fn an_attack_before_it_is_told_as_what_it_is() {
        for (attack, rule) in
            [("7' union select a,b from c ", "sql-union-select"), ("<script>f(7)</script>", "xss-script-tag")]
        {
            for cost in rules().iter().filter(|rule| rule.id.ends_with("-cost")) {
                let value = [attack.as_bytes(), &costly(cost)].concat();
                assert_eq!(rule_of(&value, ClassSet::USUAL), Some(rule), "{}", cost.id);
            }
        }
    }

    #[test]
    fn where_the_rule_is_excluded_the_value_is_read_to_its_end() {
        for rule in rules().iter().filter(|rule| rule.id.ends_with("-cost") && rule.class != Class::Sqli) {
            let mut excluded = RuleSet::default();
            excluded.insert(rule.id);
            let value = [costly(rule), b" ;cat /etc/hosts <script> {{7*7}}".to_vec()].concat();
            let found = rule_within(&value, ClassSet::NONE.with(rule.class), &excluded, &mut Effort::default());
            assert!(found.is_some_and(|found| found != rule.id), "{}: {found:?}", rule.id);
        }
    }

    #[test]
    fn the_values_of_a_request_share_what_they_may_cost() {
        let value = "if(".repeat(100);
        assert_eq!(rule_of(value.as_bytes(), ClassSet::USUAL), None);
        let mut effort = Effort::default();
        let found =
            (0..10_000).find_map(|_| rule_within(value.as_bytes(), ClassSet::USUAL, &RuleSet::default(), &mut effort));
        assert_eq!(found, Some("sql-cost"));
        let mut effort = Effort::default();
        let harmless = b"It's a long story, and then (so they say) it went on; R&B. ".as_slice();
        let found = (0..10_000).find_map(|_| rule_within(harmless, ClassSet::USUAL, &RuleSet::default(), &mut effort));
        assert_eq!(found, None);
    }

    #[test]
    fn harmless_text_costs_a_small_part_of_what_it_may() {
        for piece in [
            "<p class=\"a\"><a href=\"/b\">text</a> &amp; text</p>\n",
            "It's a long story, and then (so they say) it went on; R&B. ",
            "for(var a=0;a<b.length;a++){c[a]=d(a,'x');}",
            "## A title\n\n- `code` -- and *more* ([a link](https://example.com/a?b=c&d=e))\n",
            "insert into a (b, c) values (1, 'd', null, '2024-01-31');\n",
            "{\"a\":1,\"b\":[true,false,null],\"c\":{\"d\":\"e's\"}},",
            ".a:hover > b { margin: 0 auto; background: url(c.png); }\n",
        ] {
            let value = piece.repeat((1 << 18) / piece.len());
            let mut effort = Effort::default();
            // Statements and tags are found, not what they cost.
            let classes = ClassSet::USUAL;
            let found = rule_within(value.as_bytes(), classes, &RuleSet::default(), &mut effort);
            assert!(found.is_none_or(|rule| !rule.ends_with("-cost")), "{piece}");
            assert!(effort.spent * 5 <= effort.limit * 2, "{piece}: {effort:?}");
        }
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
