//! Sixteen bytes at a time: the vector instructions of WebAssembly that the compiler does not find by itself, and the same
//! byte by byte where there are none.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use vector as backend;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
use scalar as backend;

/// Whether sixteen bytes are classified at once, and not one after the other.
pub(crate) const CLASSIFY_FAST: bool = cfg!(all(target_arch = "wasm32", target_feature = "simd128"));

/// Sixteen bytes, or sixteen answers of all bits or none.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(backend::Sixteen);

impl Lanes {
    #[inline(always)]
    pub(crate) fn load(bytes: &[u8; 16]) -> Self {
        Self(backend::load(bytes))
    }

    #[inline(always)]
    pub(crate) fn splat(byte: u8) -> Self {
        Self(backend::splat(byte))
    }

    #[inline(always)]
    pub(crate) fn equals(self, other: Self) -> Self {
        Self(backend::equals(self.0, other.0))
    }

    /// Of each byte as a number with a sign.
    #[inline(always)]
    pub(crate) fn exceeds(self, byte: u8) -> Self {
        Self(backend::exceeds(self.0, byte))
    }

    #[inline(always)]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(backend::and(self.0, other.0))
    }

    #[inline(always)]
    pub(crate) fn or(self, other: Self) -> Self {
        Self(backend::or(self.0, other.0))
    }

    /// What `low` has for the lower half of each byte and `high` for the upper half: the bits that both have.
    #[inline(always)]
    pub(crate) fn classify(self, low: &[u8; 16], high: &[u8; 16]) -> Self {
        Self(backend::classify(self.0, low, high))
    }

    /// What `low` has for the lower half of each byte.
    #[inline(always)]
    pub(crate) fn classify_lower(self, low: &[u8; 16]) -> Self {
        Self(backend::classify_lower(self.0, low))
    }

    /// The highest bit of each byte, the first byte's lowest.
    #[inline(always)]
    pub(crate) fn bits(self) -> u64 {
        backend::bits(self.0)
    }
}

/// The highest bit of each byte, the first byte's lowest.
#[inline(always)]
pub(crate) fn bits(flags: &[u8; 64]) -> u64 {
    let (quarters, _) = flags.as_chunks::<16>();
    quarters.iter().rev().fold(0, |bits, quarter| bits << 16 | Lanes::load(quarter).bits())
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod vector {
    use core::arch::wasm32::{
        i8x16_eq, i8x16_gt, i8x16_splat, i8x16_swizzle, u8x16_bitmask, u8x16_shr, u64x2, v128, v128_and, v128_or,
    };

    pub(super) type Sixteen = v128;

    #[inline(always)]
    pub(super) fn load(bytes: &[u8; 16]) -> Sixteen {
        let (halves, _) = bytes.as_chunks::<8>();
        let half = |at: usize| halves.get(at).map_or(0, |half| u64::from_le_bytes(*half));
        u64x2(half(0), half(1))
    }

    #[inline(always)]
    pub(super) fn splat(byte: u8) -> Sixteen {
        i8x16_splat(byte.cast_signed())
    }

    #[inline(always)]
    pub(super) fn equals(one: Sixteen, other: Sixteen) -> Sixteen {
        i8x16_eq(one, other)
    }

    #[inline(always)]
    pub(super) fn exceeds(bytes: Sixteen, byte: u8) -> Sixteen {
        i8x16_gt(bytes, splat(byte))
    }

    #[inline(always)]
    pub(super) fn and(one: Sixteen, other: Sixteen) -> Sixteen {
        v128_and(one, other)
    }

    #[inline(always)]
    pub(super) fn or(one: Sixteen, other: Sixteen) -> Sixteen {
        v128_or(one, other)
    }

    #[inline(always)]
    pub(super) fn classify(bytes: Sixteen, low: &[u8; 16], high: &[u8; 16]) -> Sixteen {
        v128_and(classify_lower(bytes, low), i8x16_swizzle(load(high), u8x16_shr(bytes, 4)))
    }

    #[inline(always)]
    pub(super) fn classify_lower(bytes: Sixteen, low: &[u8; 16]) -> Sixteen {
        i8x16_swizzle(load(low), v128_and(bytes, splat(0x0F)))
    }

    #[inline(always)]
    pub(super) fn bits(bytes: Sixteen) -> u64 {
        u64::from(u8x16_bitmask(bytes))
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod scalar {
    pub(super) type Sixteen = [u8; 16];

    #[inline(always)]
    pub(super) const fn load(bytes: &[u8; 16]) -> Sixteen {
        *bytes
    }

    #[inline(always)]
    pub(super) const fn splat(byte: u8) -> Sixteen {
        [byte; 16]
    }

    #[inline(always)]
    fn both(one: Sixteen, other: Sixteen, of: impl Fn(u8, u8) -> u8) -> Sixteen {
        let mut result = one;
        result.iter_mut().zip(other).for_each(|(a, b)| *a = of(*a, b));
        result
    }

    #[inline(always)]
    pub(super) fn equals(one: Sixteen, other: Sixteen) -> Sixteen {
        both(one, other, |a, b| u8::from(a == b).wrapping_neg())
    }

    #[inline(always)]
    pub(super) fn exceeds(bytes: Sixteen, least: u8) -> Sixteen {
        bytes.map(|byte| u8::from(byte.cast_signed() > least.cast_signed()).wrapping_neg())
    }

    #[inline(always)]
    pub(super) fn and(one: Sixteen, other: Sixteen) -> Sixteen {
        both(one, other, |a, b| a & b)
    }

    #[inline(always)]
    pub(super) fn or(one: Sixteen, other: Sixteen) -> Sixteen {
        both(one, other, |a, b| a | b)
    }

    #[inline(always)]
    pub(super) fn classify(bytes: Sixteen, low: &[u8; 16], high: &[u8; 16]) -> Sixteen {
        let half = |table: &[u8; 16], half: u8| table.get(usize::from(half)).copied().unwrap_or_default();
        bytes.map(|byte| half(low, byte & 0x0F) & half(high, byte >> 4))
    }

    #[inline(always)]
    pub(super) fn classify_lower(bytes: Sixteen, low: &[u8; 16]) -> Sixteen {
        bytes.map(|byte| low.get(usize::from(byte & 0x0F)).copied().unwrap_or_default())
    }

    #[inline(always)]
    pub(super) fn bits(bytes: Sixteen) -> u64 {
        let (halves, _) = bytes.as_chunks::<8>();
        // The product brings the eight bits together at the top.
        let gathered = |half: &[u8; 8]| {
            (u64::from_le_bytes(*half) >> 7 & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
        };
        halves.iter().rev().fold(0, |bits, half| bits << 8 | gathered(half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::array::from_fn;

    #[test]
    fn every_byte_is_classified_by_its_halves() {
        let (low, high): ([u8; 16], [u8; 16]) = (from_fn(|i| 0xF0 | i as u8), from_fn(|i| (i as u8) << 4 | 0x0F));
        for start in (0..=240).step_by(16) {
            let bytes: [u8; 16] = from_fn(|i| start + i as u8);
            let kinds = Lanes::load(&bytes).classify(&low, &high);
            for (at, byte) in bytes.into_iter().enumerate() {
                // The upper half of one table and the lower half of the other are the byte itself.
                let same = kinds.equals(Lanes::splat(byte)).bits() >> at & 1 != 0;
                assert!(same, "{byte}");
            }
        }
    }

    #[test]
    fn bits_stand_in_the_order_of_their_bytes() {
        for at in 0..64 {
            let flags: [u8; 64] = from_fn(|i| if i == at { 0x80 } else { 0x7F });
            assert_eq!(bits(&flags), 1 << at);
        }
        let [some, other] = [0x81, 0x01].map(Lanes::splat);
        assert_eq!((some.and(other).bits(), some.or(other).bits()), (0, 0xFFFF));
    }
}
