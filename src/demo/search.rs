//! Searches for the ledger's plaintext in other bytes.

/// Shortest piece that is searched for. Shorter ones occur in random bytes.
pub(super) const PIECE_BYTES: usize = 12;

/// Bits of a hash filter that rules out most positions without a search.
const FILTER_BITS: u32 = 27;

type Piece = [u8; PIECE_BYTES];

/// All pieces of a text, at every offset.
pub(super) struct Pieces {
    sorted: Vec<Piece>,
    filter: Vec<u64>,
}

impl Pieces {
    /// Builds the pieces of many texts.
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let windows = texts.into_iter().flat_map(|text| text.windows(PIECE_BYTES));
        let mut sorted: Vec<Piece> = windows
            .filter_map(|window| window.try_into().ok())
            .collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut filter = vec![0; 1 << (FILTER_BITS - 6)];
        for piece in &sorted {
            let (word, bit) = filter_bit(piece);
            filter[word] |= bit;
        }
        Self { sorted, filter }
    }

    /// Counts the bytes that belong to pieces of the text.
    pub(super) fn bytes_in(&self, bytes: &[u8]) -> u64 {
        let (mut found, mut counted_to) = (0, 0);
        for (start, window) in bytes.windows(PIECE_BYTES).enumerate() {
            if self.contains(window) {
                let end = start + PIECE_BYTES;
                found += (end - start.max(counted_to)) as u64;
                counted_to = end;
            }
        }
        found
    }

    fn contains(&self, window: &[u8]) -> bool {
        let Ok(piece) = Piece::try_from(window) else {
            return false;
        };
        let (word, bit) = filter_bit(&piece);
        self.filter[word] & bit != 0 && self.sorted.binary_search(&piece).is_ok()
    }
}

/// Returns a piece's bit in the filter.
fn filter_bit(piece: &Piece) -> (usize, u64) {
    let part = |range: std::ops::Range<usize>| {
        piece[range]
            .iter()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let mixed = part(0..8).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ part(8..12).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let hash = mixed.wrapping_mul(0x94d0_49bb_1331_11eb) >> (64 - FILTER_BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

/// Returns whether the bytes contain a word.
pub(super) fn contains_word(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_counts_each_matching_byte_once() {
        let pieces = Pieces::new([&b"the quick brown fox"[..], b"jumps over the dog", b"short"]);
        assert_eq!(pieces.bytes_in(b"..the quick brown fox.."), 19);
        assert_eq!(
            pieces.bytes_in(b"a quick brown fax, a short jumps over the dog"),
            14 + 18
        );
        assert_eq!(pieces.bytes_in(b"foxjumps over"), 0);
        assert_eq!(pieces.bytes_in(&[0; 100_000]), 0);
    }
}
