//! The words of SQL that matter to the grammar, and what part they play.

use super::vocabulary::WORDS;

/// The part a word plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The part that `text` plays, in any case.
    pub(super) fn of(text: &[u8], hash: u32) -> Self {
        let mut slot = slot_of(hash);
        loop {
            let index = INDEX.get(slot).copied().unwrap_or(0);
            let Some(&(word, part)) = WORDS.get(usize::from(index).wrapping_sub(1)) else { return Self::Name };
            if text.eq_ignore_ascii_case(word.as_bytes()) {
                return part;
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
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

/// The hash of no bytes at all.
pub(super) const HASH_START: u32 = 0x811C_9DC5;

/// `hash` with one more byte, without regard to case.
pub(super) const fn hash_byte(hash: u32, byte: u8) -> u32 {
    hash.rotate_left(5) ^ (byte | 0x20) as u32
}

/// The high bits of the product spread what the rotation keeps apart.
const fn slot_of(hash: u32) -> usize {
    (hash.wrapping_mul(0x9E37_79B1) >> 22) as usize & (SLOTS - 1)
}

/// The length of the longest word; the shortest has two letters.
pub(super) const MAX_LEN: usize = 30;
const SLOTS: usize = 1024;

/// Open addressing: one more than the place in `WORDS`, or 0.
static INDEX: [u16; SLOTS] = index();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn index() -> [u16; SLOTS] {
    let mut table = [0; SLOTS];
    let mut i = 0;
    while i < WORDS.len() {
        let word = WORDS[i].0.as_bytes();
        let mut hash = HASH_START;
        let mut j = 0;
        while j < word.len() {
            hash = hash_byte(hash, word[j]);
            j += 1;
        }
        let mut slot = slot_of(hash);
        while table[slot] != 0 {
            slot = (slot + 1) & (SLOTS - 1);
        }
        table[slot] = i as u16 + 1;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_any_case_and_stands_once() {
        assert!(WORDS.len() < SLOTS / 2);
        for (i, &(word, part)) in WORDS.iter().enumerate() {
            assert!(WORDS[..i].iter().all(|&(other, _)| other != word), "{word}");
            assert!(word.len() <= MAX_LEN);
            let upper = word.to_uppercase();
            let hash = upper.bytes().fold(HASH_START, hash_byte);
            assert_eq!(Word::of(upper.as_bytes(), hash), part, "{word}");
        }
        assert_eq!(Word::of(b"selects", b"selects".iter().copied().fold(HASH_START, hash_byte)), Word::Name);
    }
}
