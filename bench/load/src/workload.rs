//! What is sent: keys, values and the sequence of operations. A value is a function of its key alone,
//! so that every answer can be checked without remembering anything, also by a later run with another
//! seed. A connection's sequence is a function of the seed and the connection's number.

use crate::random::{Random, split_mix};
use crate::zipf::Zipf;

/// Bytes of `user:000000000042`.
pub const KEY_BYTES: usize = 17;

/// Windows of the pattern that a value may begin at: a page, so that it stays in the nearest cache.
const PATTERN_WINDOWS: usize = 4096;
const PATTERN_SEED: u64 = 0x0052_6f6e_646f;

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
    pub values: Values,
}

/// One operation as drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    pub key: u32,
    pub is_read: bool,
}

impl Workload {
    pub fn new(keys: u32, read_ratio: f64, theta: Option<f64>, value_bytes: usize) -> Self {
        Self {
            keys,
            reads: (read_ratio * (1_u64 << 32) as f64) as u64,
            distribution: theta.map_or(Distribution::Uniform, |theta| {
                Distribution::Zipf(Zipf::new(keys, theta))
            }),
            values: Values::new(value_bytes),
        }
    }

    #[inline]
    pub fn draw(&self, random: &mut Random) -> Draw {
        let is_read = (random.next() >> 32) < self.reads;
        let key = match &self.distribution {
            Distribution::Uniform => random.below(self.keys),
            Distribution::Zipf(zipf) => zipf.draw(random),
        };
        Draw { key, is_read }
    }
}

/// The values of all keys: the key's number, then a window of one fixed pattern that the key chooses.
pub struct Values {
    pub bytes: usize,
    pattern: Vec<u8>,
}

impl Values {
    fn new(bytes: usize) -> Self {
        let mut state = PATTERN_SEED;
        let words = (PATTERN_WINDOWS + bytes).div_ceil(8);
        let pattern = (0..words)
            .flat_map(|_| split_mix(&mut state).to_le_bytes())
            .collect();
        Self { bytes, pattern }
    }

    #[inline]
    fn parts(&self, key: u32) -> ([u8; 8], &[u8]) {
        let mixed = u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let window = (mixed >> 52) as usize;
        let head = (u64::from(key) ^ PATTERN_SEED << 16).to_le_bytes();
        let tail = self.bytes.saturating_sub(8);
        (head, &self.pattern[window..window + tail])
    }

    /// Fills `room`, which is `bytes` long.
    #[inline]
    pub fn write(&self, key: u32, room: &mut [u8]) {
        let (head, tail) = self.parts(key);
        if let Some((first, rest)) = room.split_first_chunk_mut::<8>() {
            *first = head;
            rest.copy_from_slice(tail);
        } else {
            let length = room.len();
            room.copy_from_slice(&head[..length]);
        }
    }

    #[inline]
    pub fn matches(&self, key: u32, value: &[u8]) -> bool {
        if value.len() != self.bytes {
            return false;
        }
        let (head, tail) = self.parts(key);
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
    fn a_value_stays_what_it_was() {
        // Runs of different builds check each other's values.
        let values = Values::new(12);
        let mut room = [0; 12];
        values.write(1, &mut room);
        assert_eq!(room, [1, 0, 111, 100, 110, 111, 82, 0, 159, 193, 33, 64]);
    }

    #[test]
    fn a_seed_gives_the_same_sequence_and_another_seed_another() {
        let workload = Workload::new(1000, 0.5, Some(0.99), 8);
        let sequence = |seed, stream| {
            let mut random = Random::new(seed, stream);
            (0..1000)
                .map(|_| workload.draw(&mut random))
                .collect::<Vec<_>>()
        };
        assert_eq!(sequence(7, 3), sequence(7, 3));
        assert_ne!(sequence(7, 3), sequence(8, 3));
        assert_ne!(sequence(7, 3), sequence(7, 4));
        let mut random = Random::new(1, 0);
        let uniform = Workload::new(1000, 0.5, None, 8);
        let first: Vec<_> = (0..4).map(|_| uniform.draw(&mut random).key).collect();
        assert_eq!(first, [308, 875, 224, 157]);
    }

    #[test]
    fn the_read_ratio_holds() {
        for ratio in [0.0, 0.3, 1.0] {
            let workload = Workload::new(10, ratio, None, 8);
            let mut random = Random::new(5, 0);
            let reads = (0..100_000)
                .filter(|_| workload.draw(&mut random).is_read)
                .count();
            assert!(
                (reads as f64 / 100_000.0 - ratio).abs() < 0.01,
                "{reads} at {ratio}"
            );
        }
    }
}
