//! Long values, of which a decoding is read only around what it changed.

use super::*;
use proptest::prelude::*;

/// Text in which nothing is found and no two places are alike.
fn filler(len: usize) -> String {
    let words = (0..).flat_map(|n| format!("word {n} of a text, ").into_bytes());
    String::from_utf8(words.take(len).collect()).unwrap()
}

/// What is found where every view is read from its beginning to its end.
fn found_in_whole_views(value: &[u8]) -> bool {
    let mut findings = Findings::new(ClassSet::USUAL, RuleSet::default(), Effort::default().with(value.len()));
    let mut room = sql::Room::default();
    views::each_view(value, |view, _| {
        inspect(view, &[edits::whole(view)], &mut room, &mut findings);
        findings.is_empty()
    });
    !findings.is_empty()
}

fn percent(byte: u8) -> String {
    format!("%{byte:02x}")
}

fn reference(byte: u8) -> String {
    format!("&#{byte};")
}

fn escape(byte: u8) -> String {
    format!("\\u{byte:04x}")
}

/// Percent-encoded, and as a character reference: undone in two steps.
fn twice(byte: u8) -> String {
    percent(b'&') + &percent(b'#') + &format!("{byte};")
}

const ENCODINGS: &[fn(u8) -> String] = &[percent, reference, escape, twice];

/// `attack` with its bytes encoded at which `is` holds.
fn encoded(attack: &str, encoding: fn(u8) -> String, is: impl Fn(usize, u8) -> bool) -> String {
    let byte = |(i, byte)| if is(i, byte) { encoding(byte) } else { char::from(byte).to_string() };
    attack.bytes().enumerate().map(byte).collect()
}

#[test]
fn filler_behind_an_encoded_byte_hides_nothing_either() {
    for (before, filling, after) in [
        ("7;", " ", "cat /etc/hosts"),
        ("7$(", "\t", "cat /etc/hosts)"),
        ("<img src=x onerror", " ", "=f(7)>"),
        ("<a href=\"java", "\t", "script:f(7)\">"),
        ("';", " ", "alert(7)//"),
        ("';", ";", "alert(7)//"),
        ("';alert", " ", "(7)//"),
        ("7' union#", "a", "\nselect a,b#"),
        ("7' union/*", "a", "*/select a,b#"),
        ("ann' or ", "(", "7=7-- "),
        ("ann' or ", "not ", "7=8-- "),
        ("ann' or /*", "some words ", "*/7=8-- "),
        ("ann' or ", "not                                                          ", "7=8-- "),
        ("ann' or '", "a", "' like 'a' -- "),
        ("ann'", ")", " or 7=7-- "),
        ("{{", " ", "7*7}}"),
        ("{{'", "a", "'.__class__}}"),
    ] {
        let mark_of = |text: &str| text.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap();
        for (count, encoding) in [1, 40, 300, 1200, 9000]
            .into_iter()
            .flat_map(|count| ENCODINGS.iter().map(move |encoding| (count, *encoding)))
        {
            // Beyond this a filling is as long as any.
            let filling = filling.repeat(count.min(36_000 / filling.len()));
            let one = |text: &str, place: usize| encoded(text, encoding, |i, _| i == place);
            for attack in [
                one(before, mark_of(before)) + &filling + after,
                one(before, before.len() - 1) + &filling + after,
                format!(
                    "{before}{filling}{}",
                    one(after, after.rfind(|c: char| !c.is_whitespace() && c != '-').unwrap())
                ),
            ] {
                // What makes the first tag or quote is read on from anyway.
                let value = format!("<b> isn't {}\n{attack}\n{}", filler(5000), filler(5000));
                let found = rule_of(&value).is_some() || !found_in_whole_views(value.as_bytes());
                assert!(found, "{count} times: {attack:.60}");
            }
        }
    }
}

#[test]
fn a_long_text_is_not_read_again_for_a_few_encoded_bytes() {
    let text = "if (a && b) { c(\"d\", 'e'); } // <f g=\"h\">i</f> and so on, with words between\n".repeat(1000);
    let looks = |text: &str| scan_carefully(text.as_bytes(), ClassSet::USUAL).1;
    let once = looks(&text);
    for encoding in ENCODINGS {
        let mut other = text.clone();
        other.replace_range(30_005..30_006, &encoding(b'w'));
        assert!(looks(&other) * 10 <= once * 13, "{} looks by {once}: {}", looks(&other), encoding(b'w'));
    }
}

#[test]
fn a_tag_or_a_quote_that_a_decoding_makes_counts_for_everything_behind_it() {
    for (mark, behind) in [("<a ", " onabc=alert(7)"), ("\"", "x javascript:alert(7)")] {
        for encoding in ENCODINGS {
            let made = encoded(mark, *encoding, |_, byte| !byte.is_ascii_alphanumeric() && byte != b' ');
            let value = format!("{} {made} {}{behind} {}", filler(6000), filler(6000), filler(6000));
            assert!(rule_of(&value).is_some(), "{made}{behind}");
            assert!(rule_of(&value.replace(&made, "")).is_none(), "{behind}");
        }
    }
}

#[test]
fn a_tag_that_was_read_before_counts_for_what_is_read_again() {
    for encoding in ENCODINGS {
        let attribute = encoded(" onabc=alert(7)", *encoding, |i, _| i == 3);
        let value = format!("<b> {}{attribute} {}", filler(6000), filler(6000));
        assert!(rule_of(&value).is_some(), "{attribute}");
        assert!(rule_of(&value.replace("<b>", "")).is_none(), "{attribute}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_attack_stays_found_whatever_of_it_is_encoded(
        attack in prop::sample::select(ATTACKS),
        encoding in prop::sample::select(ENCODINGS),
        places in any::<u64>(),
        filling in prop::sample::select(FILLINGS),
        (ahead, behind) in prop::sample::select(vec![(2100_usize, 0_usize), (0, 2100), (3000, 3000), (40_000, 500), (500, 40_000)]),
    ) {
        let attack = encoded(attack, encoding, |i, _| places >> (i % 64) & 1 != 0);
        let (before, after) = (filling.repeat(ahead / filling.len()), filling.repeat(behind / filling.len()));
        let value = format!("{before} {attack} {after}");
        let found = scan(value.as_bytes(), ClassSet::USUAL).is_some() || !found_in_whole_views(value.as_bytes());
        prop_assert!(found, "{} in {:?}, {} {}", attack, filling, ahead, behind);
    }

    #[test]
    fn what_no_region_of_a_view_has_stands_in_what_was_read_before(
        pieces in prop::collection::vec((0..ENCODINGS.len(), 0..6000_usize, 1..4_usize), 1..6),
    ) {
        let words = filler(30_000);
        let mut value = words.clone().into_bytes();
        for (encoding, place, times) in pieces {
            let encoded = (0..times).fold("x".to_owned(), |text, _| text.bytes().map(|byte| ENCODINGS[encoding](byte)).collect());
            value.splice(place * 5..place * 5, encoded.into_bytes());
        }
        let mut before: Option<Vec<u8>> = None;
        let mut failed = None;
        views::each_view(&value, |view, regions| {
            let starts = std::iter::once(0).chain(regions.iter().map(|region| region.end));
            let ends = regions.iter().map(|region| region.start).chain([view.len()]);
            for (start, end) in starts.zip(ends) {
                let same = start <= end && before.as_ref().is_none_or(|before| memchr::memmem::find(before, &view[start..end]).is_some());
                if !same {
                    failed = Some((start, end));
                }
            }
            before = Some(view.to_vec());
            true
        });
        prop_assert_eq!(failed, None);
    }
}
