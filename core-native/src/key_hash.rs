//! The hash of the tables. It is keyed with a secret seed, so that nobody can choose keys that collide,
//! and shows in no output.

use xxhash_rust::xxh3::xxh3_64_with_seed;

#[derive(Clone, Copy)]
pub struct Hashing {
    seed: u64,
}

impl Hashing {
    pub fn new(seed: u32) -> Self {
        Self { seed: spread(seed) }
    }

    #[inline]
    pub fn bytes(self, bytes: &[u8]) -> u32 {
        xxh3_64_with_seed(bytes, self.seed) as u32
    }

    #[inline]
    pub fn words<const N: usize>(self, words: [u64; N]) -> u32 {
        let mut bytes = [[0; 8]; N];
        for (bytes, word) in bytes.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        self.bytes(bytes.as_flattened())
    }
}

/// 64 bits of a seed of 32 (the finalizer of splitmix64). XXH3 adds its seed to constants and takes
/// their upper and lower halves apart: with 32 bits the upper halves would be known, and with them keys
/// of 241 bytes and more that collide under every seed.
fn spread(seed: u32) -> u64 {
    let mut mixed = u64::from(seed).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Two words cancel out where XXH3's multiplier of each is zero, which takes no more than the upper
    /// half of its secret: 16,384 such keys held an engine up for seconds, whatever its seed.
    #[test]
    fn chosen_keys_do_not_collide() {
        for (seed, borrow, carry) in [(0, 0, 0), (0x644e_02ef, 0, 0), (u32::MAX, 1, 1)] {
            let hashing = Hashing::new(seed);
            let hashes: HashSet<u32> = (0..64_u8)
                .map(|step| {
                    let mut key = [b'a'; 1000];
                    key[224..232].copy_from_slice(&[step, 32, 32, 0xc3, 0x81 - borrow, 58, 38, 76]);
                    let rest = [127 - step, 95, 95, 65, 0xcd + carry, 0xb4, 89, 49];
                    key[672..680].copy_from_slice(&rest);
                    hashing.bytes(&key)
                })
                .collect();
            assert_eq!(hashes.len(), 64);
        }
    }
}
