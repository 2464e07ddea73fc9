//! SipHash-2-4 with a 128-bit result (Aumasson and Bernstein, 2012, with the published 128-bit variant).
//!
//! A keyed hash: who does not know the seed cannot choose keys that meet in one set of a table.

/// What is hashed: parts, each preceded by its length so that no two lists of parts read alike.
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn of(parts: &[&[u8]]) -> Self {
        Self(Vec::with_capacity(128)).and(parts)
    }

    pub(super) fn and(mut self, parts: &[&[u8]]) -> Self {
        for part in parts {
            self.0.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            self.0.extend_from_slice(part);
        }
        self
    }

    pub(super) fn hash(&self, seed: [u8; 16]) -> [u64; 2] {
        siphash(seed, &self.0)
    }
}

struct State([u64; 4]);

impl State {
    fn rounds(&mut self, count: usize) {
        let [mut a, mut b, mut c, mut d] = self.0;
        for _ in 0..count {
            a = a.wrapping_add(b);
            b = b.rotate_left(13) ^ a;
            a = a.rotate_left(32);
            c = c.wrapping_add(d);
            d = d.rotate_left(16) ^ c;
            a = a.wrapping_add(d);
            d = d.rotate_left(21) ^ a;
            c = c.wrapping_add(b);
            b = b.rotate_left(17) ^ c;
            c = c.rotate_left(32);
        }
        self.0 = [a, b, c, d];
    }

    fn absorb(&mut self, word: u64) {
        let [_, _, _, d] = &mut self.0;
        *d ^= word;
        self.rounds(2);
        let [a, ..] = &mut self.0;
        *a ^= word;
    }

    fn folded(&self) -> u64 {
        let [a, b, c, d] = self.0;
        a ^ b ^ c ^ d
    }
}

fn siphash(seed: [u8; 16], message: &[u8]) -> [u64; 2] {
    let seed = u128::from_le_bytes(seed);
    let (k0, k1) = (seed as u64, (seed >> 64) as u64);
    let mut state = State([
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ]);
    let (words, tail) = message.as_chunks::<8>();
    for word in words {
        state.absorb(u64::from_le_bytes(*word));
    }
    let last = tail.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
    state.absorb(last | ((message.len() as u64 & 0xff) << 56));
    let [_, _, c, _] = &mut state.0;
    *c ^= 0xee;
    state.rounds(4);
    let first = state.folded();
    let [_, b, ..] = &mut state.0;
    *b ^= 0xdd;
    state.rounds(4);
    [first, state.folded()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `vectors_sip128` of the reference implementation: key 00..0f, messages of 0, 1 and 15 counting bytes.
    #[test]
    fn agrees_with_the_reference_vectors() {
        let seed: [u8; 16] = std::array::from_fn(|i| i as u8);
        let message: Vec<u8> = (0..63).collect();
        for (length, hex) in [
            (0, "a3817f04ba25a8e66df67214c7550293"),
            (1, "da87c1d86b99af44347659119b22fc45"),
            (15, "5493e99933b0a8117e08ec0f97cfc3d9"),
            (63, "5150d1772f50834a503e069a973fbd7c"),
        ] {
            let [a, b] = siphash(seed, &message[..length]);
            let got: String =
                a.to_le_bytes().iter().chain(&b.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(got, hex, "{length}");
        }
    }

    #[test]
    fn tells_apart_parts_that_join_to_the_same_bytes() {
        assert_ne!(Message::of(&[b"ab", b"c"]).0, Message::of(&[b"a", b"bc"]).0);
        assert_eq!(Message::of(&[b"a"]).and(&[b"b"]).hash([0; 16]), Message::of(&[b"a", b"b"]).hash([0; 16]));
    }
}
