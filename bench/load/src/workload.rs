//! What is sent: keys, values and the sequence of operations. A value is a function of its key and of
//! the edition that it carries, so that every answer can be checked without remembering anything, also
//! by a later run with another seed. Each run writes an edition of its own, so that a value that is read
//! back tells whether this run wrote it. A connection's sequence is a function of the seed and the
//! connection's number.

use std::sync::Arc;

use crate::places::KeySet;
use crate::random::{Random, split_mix};
use crate::zipf::Zipf;

/// Bytes of `user:000000000042`.
pub const KEY_BYTES: usize = 17;

/// Windows of the pattern that a value may begin at: a page, so that it stays in the nearest cache.
const PATTERN_WINDOWS: usize = 4096;
const PATTERN_SEED: u64 = 0x0052_6f6e_646f;
/// The edition that fills keys in.
const EDITION_FILLED: u32 = 0;
/// Bytes of the smallest value that tells its edition: a shorter one has too little of the pattern to
/// see that an edition was damaged.
const EDITION_VALUE_BYTES_MIN: usize = 16;

#[derive(Clone, Debug)]
pub enum Distribution {
    Uniform,
    Zipf(Zipf),
}

pub struct Workload {
    pub keys: u32,
    /// Of 2^32.
    reads: u64,
    distribution: Distribution,
    /// What fills keys in.
    pub filling: Values,
    /// What the run writes.
    pub values: Values,
}

/// One operation as drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    pub key: u32,
    pub is_read: bool,
}

impl Workload {
    /// `edition` marks what the run writes; no other run should have it.
    pub fn new(
        keys: u32,
        read_ratio: f64,
        theta: Option<f64>,
        value_bytes: usize,
        edition: u32,
    ) -> Self {
        let filling = Values::new(value_bytes);
        Self {
            keys,
            reads: (read_ratio * (1_u64 << 32) as f64) as u64,
            distribution: theta.map_or(Distribution::Uniform, |theta| {
                Distribution::Zipf(Zipf::new(keys, theta))
            }),
            values: filling.with_edition(edition),
            filling,
        }
    }

    /// `among`: None for all keys.
    #[inline]
    pub fn draw(&self, random: &mut Random, among: Option<&KeySet>) -> Draw {
        let is_read = (random.next() >> 32) < self.reads;
        loop {
            let key = match &self.distribution {
                Distribution::Uniform => random.below(self.keys),
                Distribution::Zipf(zipf) => zipf.draw(random),
            };
            if among.is_none_or(|keys| keys.has(key)) {
                return Draw { key, is_read };
            }
        }
    }

    /// How much of what is drawn is of `keys`.
    pub fn share_of(&self, keys: &KeySet) -> f64 {
        let weight = |key: u32| match &self.distribution {
            Distribution::Uniform => 1.0,
            Distribution::Zipf(zipf) => zipf.weight(key),
        };
        let sum = |is_in: &dyn Fn(u32) -> bool| {
            let wanted = (0..self.keys).filter(|&key| is_in(key));
            wanted.map(weight).fold(0.0, |sum, weight| sum + weight)
        };
        sum(&|key| keys.has(key)) / sum(&|_| true)
    }
}

/// The values of all keys in one edition: the key's number, the edition, then a window of one fixed
/// pattern that both choose.
pub struct Values {
    pub bytes: usize,
    edition: u32,
    pattern: Arc<[u8]>,
}

impl Values {
    fn new(bytes: usize) -> Self {
        let mut state = PATTERN_SEED;
        let words = (PATTERN_WINDOWS + bytes).div_ceil(8);
        let pattern = (0..words)
            .flat_map(|_| split_mix(&mut state).to_le_bytes())
            .collect();
        Self {
            bytes,
            edition: EDITION_FILLED,
            pattern,
        }
    }

    fn with_edition(&self, edition: u32) -> Self {
        let is_told = self.bytes >= EDITION_VALUE_BYTES_MIN;
        Self {
            bytes: self.bytes,
            edition: if is_told { edition } else { EDITION_FILLED },
            pattern: Arc::clone(&self.pattern),
        }
    }

    #[inline]
    fn parts(&self, key: u32, edition: u32) -> ([u8; 8], &[u8]) {
        let word = u64::from(key) | u64::from(edition) << 32;
        let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let window = (mixed >> 52) as usize;
        let head = (word ^ PATTERN_SEED << 16).to_le_bytes();
        let tail = self.bytes.saturating_sub(8);
        (head, &self.pattern[window..window + tail])
    }

    /// Fills `room`, which is `bytes` long.
    #[inline]
    pub fn write(&self, key: u32, room: &mut [u8]) {
        let (head, tail) = self.parts(key, self.edition);
        if let Some((first, rest)) = room.split_first_chunk_mut::<8>() {
            *first = head;
            rest.copy_from_slice(tail);
        } else {
            let length = room.len();
            room.copy_from_slice(&head[..length]);
        }
    }

    /// Whether it is a value of the key, of any edition.
    #[inline]
    pub fn matches(&self, key: u32, value: &[u8]) -> bool {
        let edition = match value {
            [_, _, _, _, a, b, c, d, ..] if value.len() >= EDITION_VALUE_BYTES_MIN => {
                u32::from_le_bytes([*a, *b, *c, *d]) ^ (PATTERN_SEED >> 16) as u32
            }
            _ => EDITION_FILLED,
        };
        self.matches_edition(key, edition, value)
    }

    /// Whether it is what these values have for the key, their edition included.
    pub fn matches_exactly(&self, key: u32, value: &[u8]) -> bool {
        self.matches_edition(key, self.edition, value)
    }

    #[inline]
    fn matches_edition(&self, key: u32, edition: u32, value: &[u8]) -> bool {
        if value.len() != self.bytes {
            return false;
        }
        let (head, tail) = self.parts(key, edition);
        match value.split_first_chunk::<8>() {
            Some((first, rest)) => *first == head && rest == tail,
            None => *value == head[..value.len()],
        }
    }
}

/// Digits of 0 to 99 in pairs.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// The name of a key: `user:` and twelve digits.
#[inline]
pub fn write_key(key: u32, room: &mut [u8; KEY_BYTES]) {
    *room = *b"user:000000000000";
    let mut rest = key;
    let mut at = KEY_BYTES;
    // Ten digits are all that 32 bits have.
    for _ in 0..5 {
        at -= 2;
        let pair = PAIRS[(rest % 100) as usize];
        room[at] = pair[0];
        room[at + 1] = pair[1];
        rest /= 100;
    }
}

pub fn key_name(key: u32) -> String {
    format!("user:{key:012}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fixed_width() {
        for key in [0, 7, 42, 100, 99_999, 1_234_567_890, u32::MAX] {
            let mut room = [0; KEY_BYTES];
            write_key(key, &mut room);
            assert_eq!(room.as_slice(), key_name(key).as_bytes());
        }
    }

    #[test]
    fn a_value_matches_its_key_only() {
        for bytes in [1, 4, 7, 8, 9, 64, 5000] {
            let values = Values::new(bytes);
            let mut room = vec![0; bytes];
            values.write(77, &mut room);
            assert!(values.matches(77, &room));
            assert!(!values.matches(78, &room));
            assert!(!values.matches(77, &room[1..]));
            for at in 0..bytes {
                room[at] ^= 1;
                assert!(!values.matches(77, &room), "byte {at} of {bytes}");
                room[at] ^= 1;
            }
        }
    }

    #[test]
    fn an_edition_is_a_value_of_the_key_that_differs() {
        for bytes in [16, 64, 5000] {
            let filled = Values::new(bytes);
            let written = filled.with_edition(0x8000_0001);
            let mut room = vec![0; bytes];
            written.write(77, &mut room);
            assert!(filled.matches(77, &room) && written.matches(77, &room));
            assert!(written.matches_exactly(77, &room) && !filled.matches_exactly(77, &room));
            for bit in 0..bytes * 8 {
                room[bit / 8] ^= 1 << (bit % 8);
                assert!(!filled.matches(77, &room), "bit {bit} of {bytes} bytes");
                room[bit / 8] ^= 1 << (bit % 8);
            }
        }
        // Too small to tell one.
        let mut room = [0; 15];
        Values::new(15).with_edition(9).write(77, &mut room);
        assert!(Values::new(15).matches_exactly(77, &room));
    }

    #[test]
    fn a_value_stays_what_it_was() {
        // Runs of different builds check each other's values.
        let values = Values::new(12);
        let mut room = [0; 12];
        values.write(1, &mut room);
        assert_eq!(room, [1, 0, 111, 100, 110, 111, 82, 0, 159, 193, 33, 64]);
    }

    #[test]
    fn a_seed_gives_the_same_sequence_and_another_seed_another() {
        let workload = Workload::new(1000, 0.5, Some(0.99), 8, 7);
        let sequence = |seed, stream| {
            let mut random = Random::new(seed, stream);
            (0..1000)
                .map(|_| workload.draw(&mut random, None))
                .collect::<Vec<_>>()
        };
        assert_eq!(sequence(7, 3), sequence(7, 3));
        assert_ne!(sequence(7, 3), sequence(8, 3));
        assert_ne!(sequence(7, 3), sequence(7, 4));
        let mut random = Random::new(1, 0);
        let uniform = Workload::new(1000, 0.5, None, 8, 7);
        let first: Vec<_> = (0..4)
            .map(|_| uniform.draw(&mut random, None).key)
            .collect();
        assert_eq!(first, [308, 875, 224, 157]);
    }

    #[test]
    fn the_read_ratio_holds() {
        for ratio in [0.0, 0.3, 1.0] {
            let workload = Workload::new(10, ratio, None, 8, 7);
            let mut random = Random::new(5, 0);
            let reads = (0..100_000)
                .filter(|_| workload.draw(&mut random, None).is_read)
                .count();
            assert!(
                (reads as f64 / 100_000.0 - ratio).abs() < 0.01,
                "{reads} at {ratio}"
            );
        }
    }
}
