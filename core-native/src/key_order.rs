//! Sorting many handles by their keys. Comparing whole keys would wait for memory at every comparison;
//! here seven bytes of each key at a time are brought beside its handle, and only runs that are alike in
//! them go on to the next seven (multikey sorting: Bentley and Sedgewick, "Fast algorithms for sorting
//! and searching strings").

use crate::entries::Entries;

/// Bytes of a key that are compared at a time.
const STEP: usize = 7;
/// Entries whose keys are brought into the cache ahead.
const AHEAD: usize = 8;

/// Seven bytes of the key, then how many of its bytes are left, eight at most: of keys alike so far,
/// the shorter one comes first.
struct Item {
    part: u64,
    handle: u32,
}

/// Sorts handles, all of different keys, by key.
pub fn sort_by_key(entries: &Entries, handles: &mut [u32]) {
    let mut items: Vec<Item> = handles
        .iter()
        .map(|&handle| Item { part: 0, handle })
        .collect();
    sort_from(entries, &mut items, 0);
    for (handle, item) in handles.iter_mut().zip(items) {
        *handle = item.handle;
    }
}

/// Sorts items whose keys are alike in the first `depth` bytes.
fn sort_from(entries: &Entries, items: &mut [Item], depth: usize) {
    for at in 0..items.len() {
        if let Some(ahead) = items.get(at + AHEAD) {
            entries.arena.prefetch(ahead.handle);
        }
        let key = entries.get(items[at].handle).key();
        items[at].part = part_of(key.get(depth..).unwrap_or(&[]));
    }
    items.sort_unstable_by_key(|item| item.part);
    for run in items.chunk_by_mut(|left, right| left.part == right.part) {
        if run.len() > 1 {
            sort_from(entries, run, depth + STEP);
        }
    }
}

#[inline]
fn part_of(rest: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let length = rest.len().min(STEP);
    bytes[..length].copy_from_slice(&rest[..length]);
    bytes[STEP] = rest.len().min(STEP + 1) as u8;
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Keys that begin alike, end in zeroes and differ in length only.
        #[test]
        fn sorts_as_bytes_do(
            keys in prop::collection::btree_set(prop::collection::vec(0_u8..3, 1..20), 0..200),
            seed in any::<u64>(),
        ) {
            let keys: BTreeSet<Vec<u8>> = keys;
            let mut entries = Entries::default();
            let mut handles: Vec<u32> = keys.iter().map(|key| entries.add(key, &[], 0)).collect();
            handles.sort_unstable_by_key(|&handle| u64::from(handle).wrapping_mul(seed | 1));
            sort_by_key(&entries, &mut handles);
            let sorted = handles.iter().map(|&handle| entries.get(handle).key().to_vec());
            prop_assert!(sorted.eq(keys.iter().cloned()));
        }
    }
}
