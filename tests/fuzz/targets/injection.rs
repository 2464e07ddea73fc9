//! The injection engine: the fast path passes nothing that the careful engine reports, one class alone sees what it sees
//! among all, and the work stays a bounded number of looks for each byte, also where a long value is read again in parts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::injection::{Class, ClassSet, Effort, Finding, KnownHarmless, scan, scan_carefully};

/// The most looks at bytes and tokens for each byte, and what even an empty value may cost.
const LOOKS: usize = 2000;
const AT_LEAST: usize = 20_000;

/// Text that is long enough to part what stands before it from what stands behind it.
const BETWEEN: usize = 1500;

/// What is found carefully, which is what is found fast.
fn found(value: &[u8]) -> Option<Finding> {
    let (careful, looks) = scan_carefully(value, ClassSet::ALL);
    assert!(looks <= LOOKS * value.len() + AT_LEAST, "{looks} looks at {} bytes", value.len());
    assert_eq!(scan(value, ClassSet::ALL).is_some(), careful.is_some());
    careful
}

fuzz_target!(|value: &[u8]| {
    let careful = found(value);
    let (one, other) = value.split_at(value.len() / 2);
    let words = b"word ".repeat(BETWEEN / 5);
    found(&[&words, one, &words, &words, other, &words].concat());
    // What all classes cost together may be too much where no class alone does.
    let is_costly = careful.is_some_and(|found| found.rule.ends_with("-cost"));
    let alone = Class::ALL.into_iter().any(|class| scan(value, ClassSet::NONE.with(class)).is_some());
    assert!(alone == careful.is_some() || is_costly);
    let mut known = KnownHarmless::new(7);
    for _ in 0..2 {
        assert_eq!(known.is_harmless(value, ClassSet::ALL, &mut Effort::default().with(value.len())), careful.is_none());
    }
});
