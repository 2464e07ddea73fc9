//! What holds for whatever value.

use super::*;
use proptest::prelude::*;

#[rustfmt::skip]
const MARKED: &[&str] = &[
    "<", "/", "script", " onload", "=", "==", ":", "javascript", "vbs", "data", "text/html,", "alert", "eval", "(", ")", "`",
    "document", ".", "cookie", "[", "]", "'", "\"", " ", "\n", "\0", "..", "/", "\\", "etc", "0x2e", "0x2f", "\u{1a}", ";", "|",
    "||", "&", "&&", "id", "ls", "cat ", "system", "exec", "phpinfo", "$", "{", "}", "_get[", "ifs", "{{", "{%", "${", "#{", "7*7",
    "jndi:", "j", "java.lang.runtime", "#_memberaccess", "constructor", "prototype", "__proto__", "a", "1", "-", "!--#exec", "?php",
    "/bin/sh -c ", "expression", "style", "<a ", "import", "freemarker", "top", "?.", ".call", "map", "alert)", "Function", "this", " @click", "onerror", "/**/", ".template.utility", "getruntime", "().exec", "%",
];

proptest! {
#![proptest_config(ProptestConfig::with_cases(400))]

#[test]
fn survives_any_bytes(value in prop::collection::vec(any::<u8>(), 0..300)) {
    scan(&value, ClassSet::ALL);
}

    #[test]
    fn survives_the_marks_that_grammars_are_made_of(value in "[\\x00-\\x20'\"`()<>=;:,.|&$#%@!*/+^{}\\[\\]~?a-f0-9\\\\-]{0,120}") {
        scan(value.as_bytes(), ClassSet::ALL);
    }

    #[test]
    fn the_bytes_beside_a_mark_rule_out_nothing_that_would_be_found(
        pieces in prop::collection::vec(prop::sample::select(MARKED), 0..12),
    ) {
        let value = pieces.concat();
        let found = |everywhere: bool| {
            let mut findings = Findings::new(ClassSet::USUAL.without(Class::Sqli), RuleSet::default(), Effort::default());
            walk(value.as_bytes(), &[edits::whole(value.as_bytes())], everywhere, &mut findings);
            findings.strongest()
        };
        prop_assert_eq!(found(false), found(true), "{}", value);
    }

    #[test]
    fn an_attack_stays_found_when_it_is_percent_encoded_again(times in 1usize..4) {
        let mut value = "x' union select 7,8-- ".to_owned();
        for _ in 0..times {
            value = value.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect();
        }
        prop_assert!(scan(value.as_bytes(), ClassSet::ALL).is_some());
    }
}

proptest! {
    // Some of the values are of a hundred kilobytes.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn an_attack_stays_found_however_much_stands_before_and_after_it(
        attack in prop::sample::select(ATTACKS),
        before in prop::sample::select(FILLINGS),
        after in prop::sample::select(FILLINGS),
        (ahead, behind) in prop::sample::select(vec![(200_usize, 200_usize), (5000, 0), (0, 5000), (9000, 9000), (60_000, 60_000)]),
    ) {
        let value = format!("{} {attack} {}", before.repeat(ahead / before.len()), after.repeat(behind / after.len()));
        prop_assert!(scan(value.as_bytes(), ClassSet::ALL).is_some(), "{} bytes of {:?}, {}, {} of {:?}", ahead, before, attack, behind, after);
    }
}
