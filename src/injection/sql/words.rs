//! The words of SQL that matter to the grammar, and what part they play.

use super::vocabulary::WORDS;

/// The part a word plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Word {
    /// No word of SQL: a name.
    Name,
    /// `or`, `and`, `xor`, `not` is apart.
    Logic,
    Not,
    /// `like`, `rlike`, `regexp`, `glob`, ...: compares like `=`.
    Match,
    /// `div`, `mod`.
    Arith,
    Is,
    In,
    Between,
    Null,
    Boolean,
    Union,
    Select,
    From,
    Where,
    Having,
    Order,
    Group,
    By,
    Limit,
    Into,
    Outfile,
    Procedure,
    Analyse,
    All,
    As,
    Case,
    When,
    End,
    Exists,
    /// Words that begin a statement that changes or runs something.
    Drop,
    Alter,
    Create,
    Truncate,
    Insert,
    Update,
    Delete,
    Exec,
    Declare,
    Set,
    Shutdown,
    Waitfor,
    Delay,
    If,
    Begin,
    Merge,
    Grant,
    Copy,
    Call,
    Handler,
    /// What a statement acts on: `table`, `database`, `user`, `view`, ...
    Thing,
    Values,
    /// `distinct`, `top`, `binary`, ...: may stand before an operand.
    Prefix,
    /// `asc`, `desc`, `offset`, ...: may stand after one.
    Suffix,
    /// Functions that make the database wait.
    TimeFn,
    /// Functions that leak through errors, run commands or reach the network.
    DangerFn,
    /// Functions of the database that name its version, user and the like.
    InfoFn,
    /// Other functions of SQL.
    Fn,
    /// System tables, schemas and procedures.
    System,
}

impl Word {
    /// The part that `text` plays, in any case; it has between two and [`MAX_LEN`] bytes.
    #[inline]
    pub(super) fn of(text: &[u8]) -> Self {
        let hash = hash(text);
        let mut slot = slot_of(hash);
        loop {
            let entry = INDEX.get(slot).copied().unwrap_or(0);
            if entry == 0 {
                return Self::Name;
            }
            // Most other words are told by a few bits.
            if entry & TAG == tag_of(hash)
                && let Some(part) = Self::if_at(entry & !TAG, text)
            {
                return part;
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
    }

    /// The part of the word before `index`, if it is `text`.
    #[inline(never)]
    fn if_at(index: u16, text: &[u8]) -> Option<Self> {
        let (word, part) = WORDS.get(usize::from(index).wrapping_sub(1))?;
        text.eq_ignore_ascii_case(word.as_bytes()).then_some(*part)
    }

    /// The word of `code`, which is one's place in the declaration.
    #[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    pub(super) const fn of_code(code: u8) -> Self {
        let mut i = 0;
        while i < WORDS.len() {
            if WORDS[i].1 as u8 == code {
                return WORDS[i].1;
            }
            i += 1;
        }
        Self::Name
    }

    /// Whether nothing begins with it: it only goes on with what another token began.
    pub(super) const fn is_quiet(self) -> bool {
        matches!(
            self,
            Self::Name
                | Self::Not
                | Self::Match
                | Self::Arith
                | Self::Is
                | Self::In
                | Self::Between
                | Self::Null
                | Self::Boolean
                | Self::From
                | Self::By
                | Self::Outfile
                | Self::Analyse
                | Self::All
                | Self::As
                | Self::When
                | Self::End
                | Self::Exists
                | Self::Delay
                | Self::Thing
                | Self::Values
                | Self::Prefix
                | Self::Suffix
                | Self::InfoFn
                | Self::Fn
        )
    }

    pub(super) fn is_fn(self) -> bool {
        matches!(self, Self::TimeFn | Self::DangerFn | Self::InfoFn | Self::Fn)
    }
}

/// A hash without regard to case, of the first four bytes, the last four and the length; of a short word, of all.
#[inline]
const fn hash(text: &[u8]) -> u32 {
    let (first, last) = match (text.first_chunk::<4>(), text.last_chunk::<4>(), text) {
        (Some(first), Some(last), _) => (u32::from_le_bytes(*first), u32::from_le_bytes(*last)),
        (_, _, [a, b, c]) => (u32::from_le_bytes([*a, *b, *c, 0]), 0),
        (_, _, [a, b]) => (u32::from_le_bytes([*a, *b, 0, 0]), 0),
        _ => (0, 0),
    };
    let mixed = (first | 0x2020_2020).wrapping_mul(0x9E37_79B1) ^ (last | 0x2020_2020).wrapping_add(text.len() as u32);
    mixed.wrapping_mul(0x85EB_CA6B)
}

/// The high bits of the product spread what the rest keeps apart.
const fn slot_of(hash: u32) -> usize {
    (hash >> 21) as usize & (SLOTS - 1)
}

/// Other bits of the hash, in the place that an entry leaves for them.
const fn tag_of(hash: u32) -> u16 {
    (hash >> 6) as u16 & TAG
}

/// The length of the longest word; the shortest has two letters.
pub(super) const MAX_LEN: usize = 30;
const SLOTS: usize = 2048;
/// The bits of an entry that tell most other words from its own.
const TAG: u16 = 0xFE00;

/// Open addressing: one more than the place in `WORDS` and a part of the hash, or 0.
static INDEX: [u16; SLOTS] = index();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn index() -> [u16; SLOTS] {
    let mut table = [0; SLOTS];
    let mut i = 0;
    while i < WORDS.len() {
        let hash = hash(WORDS[i].0.as_bytes());
        let mut slot = slot_of(hash);
        while table[slot] != 0 {
            slot = (slot + 1) & (SLOTS - 1);
        }
        table[slot] = (i as u16 + 1) | tag_of(hash);
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_any_case_and_stands_once() {
        assert!(WORDS.len() < usize::from(!TAG));
        for (i, &(word, part)) in WORDS.iter().enumerate() {
            assert!(WORDS[..i].iter().all(|&(other, _)| other != word), "{word}");
            assert!(word.len() <= MAX_LEN);
            let upper = word.to_uppercase();
            assert_eq!(Word::of(upper.as_bytes()), part, "{word}");
        }
        assert_eq!(Word::of(b"selects"), Word::Name);
    }
}
