//! The proof that most values are harmless, from their bytes alone.

/// Whether no class can find anything in any view of `value`.
pub(super) fn is_harmless(_value: &[u8]) -> bool {
    false
}
