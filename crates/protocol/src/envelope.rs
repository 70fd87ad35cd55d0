//! The outer format of a sealed envelope: what a relay can check without a key.
//!
//! ```text
//! version 1 | key epoch 4 | salt 32 | sealed header 304 | sealed content, to a padded size
//! ```

/// First byte of every envelope: the format version.
pub const FORM: u8 = 1;
/// Length of the random salt from which the message keys are derived.
pub const SALT_BYTES: usize = 32;
/// Length of a plaintext header, including padding.
pub const HEADER_BYTES: usize = 288;
/// Length of an AES-GCM tag.
pub const TAG_BYTES: usize = 16;
/// Offset of the salt; all bytes from here look random.
pub const SALT_START: usize = 1 + 4;
/// Offset of the sealed header.
pub const HEADER_START: usize = SALT_START + SALT_BYTES;
/// Offset of the sealed content.
pub const CONTENT_START: usize = HEADER_START + HEADER_BYTES + TAG_BYTES;
/// Overhead of sealed content: a length prefix and a tag.
pub const CONTENT_OVERHEAD: usize = 4 + TAG_BYTES;
/// Size of the smallest envelope.
pub const SIZE_MIN: usize = padded_size(CONTENT_START + CONTENT_OVERHEAD);

/// Returns the padded size of an envelope of at least `length` bytes.
///
/// PADMÉ (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with
/// PURBs", 2019, section 4): at most 12 % more, and only O(log log n) bits of the length remain
/// visible. Exact powers of two are avoided: a store that allocates pages in powers of two would
/// double them. Instead 512 bytes less are used, or the next size.
pub const fn padded_size(length: usize) -> usize {
    let size = padme(length);
    if !size.is_power_of_two() {
        return size;
    }
    if size > 1024 && length <= size - 512 {
        return size - 512;
    }
    padme(size + 1)
}

/// Plain PADMÉ.
const fn padme(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let mantissa_bits = exponent.ilog2() + 1;
    let zero_bits = exponent.saturating_sub(mantissa_bits);
    let mask = (1_usize << zero_bits) - 1;
    (length + mask) & !mask
}

/// Returns whether [`padded_size`] can produce `length`.
pub const fn is_padded_size(length: usize) -> bool {
    if length < SIZE_MIN {
        return false;
    }
    // A padded size, or the one 512 below a power of two, which PADMÉ alone may not produce.
    padded_size(length) == length
        || (length + 512).is_power_of_two() && padded_size(length - 1) == length
}

/// Returns whether the bytes have the sealed form. Proves nothing about who sealed them.
pub fn has_sealed_form(sealed: &[u8]) -> bool {
    sealed.first() == Some(&FORM) && is_padded_size(sealed.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn padded_size_fits_is_stable_and_no_power_of_two(length in SIZE_MIN..4_000_000_usize) {
            let size = padded_size(length);
            prop_assert!(size >= length);
            prop_assert!(is_padded_size(size), "{size}");
            prop_assert!(!size.is_power_of_two());
            prop_assert!(size <= length + length / 8 + 64, "{length} became {size}");
        }

        #[test]
        fn padded_size_is_monotonic(length in SIZE_MIN..4_000_000_usize) {
            prop_assert!(padded_size(length) <= padded_size(length + 1));
        }
    }

    #[test]
    fn padded_size_count_is_small() {
        let sizes = (SIZE_MIN..=65_536)
            .map(padded_size)
            .collect::<std::collections::BTreeSet<_>>();
        assert!(sizes.len() < 200, "{}", sizes.len());
    }

    #[test]
    fn plaintext_lacks_sealed_form() {
        assert!(!has_sealed_form(b""));
        assert!(!has_sealed_form(b"{\"amount\":\"12.00\"}"));
        assert!(!has_sealed_form(&vec![b'{'; SIZE_MIN]));
        let mut sealed = vec![7; SIZE_MIN];
        sealed[0] = FORM;
        assert!(has_sealed_form(&sealed));
        sealed.push(0);
        assert!(!has_sealed_form(&sealed));
    }
}
