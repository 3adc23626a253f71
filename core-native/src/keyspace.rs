//! The state of the keys: what the fold of all records gives. Every change comes through `insert`,
//! `replace`, `touch` and `remove`, each the effect of one record, whether the engine has just made
//! that record or reads it from a log. Handles are those of `Entries`.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::entries::{Entries, Entry};
use crate::expiry::ExpiryHeap;
use crate::limits::ENTRY_OVERHEAD_BYTES;
use crate::ordered_index::OrderedIndex;
use crate::records::Record;
use crate::table::Table;

/// Tables that share the keys by the top bits of their hash, so that a rehash moves one table's cells
/// and not all.
const SHARDS: usize = 64;
const SHARD_SHIFT: u32 = u32::BITS - SHARDS.ilog2();

pub struct Keyspace {
    tables: [Table; SHARDS],
    /// The newest revision of each partition.
    revisions: Vec<u64>,
    pub entries: Entries,
    order: OrderedIndex,
    pub expiry: ExpiryHeap,
    hash_seed: u64,
    /// Logical bytes held.
    pub memory_bytes: usize,
}

impl Keyspace {
    pub fn new(partitions: usize, hash_seed: u32) -> Self {
        Self {
            tables: std::array::from_fn(|_| Table::default()),
            revisions: vec![0; partitions],
            entries: Entries::default(),
            order: OrderedIndex::default(),
            expiry: ExpiryHeap::default(),
            hash_seed: spread(hash_seed),
            memory_bytes: 0,
        }
    }

    pub fn partitions(&self) -> usize {
        self.revisions.len()
    }

    pub fn revisions(&self) -> &[u64] {
        &self.revisions
    }

    pub fn revision_of(&self, partition: usize) -> u64 {
        self.revisions.get(partition).copied().unwrap_or(0)
    }

    #[inline]
    pub fn next_revision(&self, partition: usize) -> u64 {
        self.revisions[partition] + 1
    }

    /// The hash is keyed with a secret seed, so that nobody can choose keys that collide.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u32 {
        xxh3_64_with_seed(key, self.hash_seed) as u32
    }

    #[inline]
    pub fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.table(hash)
            .find(hash, |handle| self.entries.get(handle).key() == key)
    }

    /// When a key expires; 0 = never.
    #[inline]
    pub fn expires_at(&self, entry: Entry<'_>) -> u64 {
        self.expiry.expires_at(entry.expiry_at())
    }

    /// Adds a key that is not there yet.
    pub fn insert(
        &mut self,
        hash: u32,
        partition: usize,
        key: &[u8],
        value: &[u8],
        revision: u64,
        expires_at: u64,
    ) {
        self.memory_bytes += entry_bytes(key.len(), value.len());
        let handle = self.entries.add(key, value, partition);
        self.table_mut(hash).insert(hash, handle);
        self.order.insert(&self.entries, handle);
        self.touch(handle, revision, expires_at);
    }

    /// Sets value, revision and expiry of a key that is there.
    #[inline]
    pub fn replace(
        &mut self,
        hash: u32,
        handle: u32,
        value: &[u8],
        revision: u64,
        expires_at: u64,
    ) {
        let before = self.entries.get(handle).value().len();
        self.memory_bytes = self.memory_bytes + value.len() - before;
        let mut handle = handle;
        if self.entries.fits(handle, value.len()) {
            self.entries.overwrite(handle, value);
        } else {
            handle = self.relocate(hash, handle, value);
        }
        self.touch(handle, revision, expires_at);
    }

    /// Replaces the expiry of a key that is there.
    #[inline]
    pub fn touch(&mut self, handle: u32, revision: u64, expires_at: u64) {
        self.entries.set_revision(handle, revision);
        self.revisions[self.entries.get(handle).partition()] = revision;
        if expires_at != 0 {
            self.expiry.set(&mut self.entries, handle, expires_at);
        } else {
            self.expiry.remove(&mut self.entries, handle);
        }
    }

    /// Removes a key that is there.
    pub fn remove(&mut self, handle: u32, revision: u64) {
        let entry = self.entries.get(handle);
        let (hash, partition) = (self.hash(entry.key()), entry.partition());
        self.memory_bytes -= entry_bytes(entry.key().len(), entry.value().len());
        self.revisions[partition] = revision;
        self.table_mut(hash).remove(hash, handle);
        self.expiry.remove(&mut self.entries, handle);
        self.entries.count -= 1;
        self.order.remove(&mut self.entries, handle);
    }

    fn relocate(&mut self, hash: u32, handle: u32, value: &[u8]) -> u32 {
        let copied = self.entries.copy(handle, value);
        self.table_mut(hash).replace(hash, handle, copied);
        self.expiry.moved(&self.entries, copied);
        self.order.replace(&mut self.entries, handle, copied);
        copied
    }

    /// While records are folded the order of keys may fall behind; `settle_order` makes it good.
    pub fn defer_order(&mut self, deferring: bool) {
        self.order.defer(deferring);
    }

    /// Puts the keys in order again where folding has left that; before anything but `fold`.
    #[inline]
    pub fn settle_order(&mut self) {
        if self.order.is_behind() {
            self.order.settle(&mut self.entries);
        }
    }

    /// Adds the key of a snapshot's record, which is not there yet and comes after every other.
    pub fn restore(&mut self, hash: u32, record: &Record<'_>) {
        let Record {
            partition,
            revision,
            expires_at,
            key,
            value,
            ..
        } = *record;
        let newest = self.revisions[partition].max(revision);
        self.insert(hash, partition, key, value, revision, expires_at);
        self.revisions[partition] = newest;
    }

    /// The greatest key; empty where there is none.
    pub fn greatest_key(&self) -> &[u8] {
        self.order
            .greatest()
            .map_or(&[], |handle| self.entries.get(handle).key())
    }

    /// A partition gets a revision whose record changes no key.
    pub fn set_revision(&mut self, partition: usize, revision: u64) {
        self.revisions[partition] = revision;
    }

    /// The entries from the key `from` on, in byte order.
    pub fn from<'a>(&'a self, from: &[u8]) -> impl Iterator<Item = Entry<'a>> {
        self.order
            .from(&self.entries, from)
            .map(|handle| self.entries.get(handle))
    }

    #[inline]
    fn table(&self, hash: u32) -> &Table {
        &self.tables[(hash >> SHARD_SHIFT) as usize]
    }

    #[inline]
    fn table_mut(&mut self, hash: u32) -> &mut Table {
        &mut self.tables[(hash >> SHARD_SHIFT) as usize]
    }

    // The three steps of a lookup, taken for many keys at once so that their cache misses overlap.

    #[inline]
    pub fn prefetch_cell(&self, hash: u32) {
        self.table(hash).prefetch(hash);
    }

    /// The entry that the lookup will most likely end at.
    #[inline]
    pub fn candidate(&self, hash: u32) -> Option<u32> {
        self.table(hash).candidate(hash)
    }

    #[inline]
    pub fn prefetch_entry(&self, handle: u32) {
        self.entries.arena.prefetch(handle);
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

/// Logical bytes of a key with its value.
#[inline]
pub fn entry_bytes(key_length: usize, value_length: usize) -> usize {
    key_length + value_length + ENTRY_OVERHEAD_BYTES
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
            let keyspace = Keyspace::new(1, seed);
            let hashes: HashSet<u32> = (0..64_u8)
                .map(|step| {
                    let mut key = [b'a'; 1000];
                    key[224..232].copy_from_slice(&[step, 32, 32, 0xc3, 0x81 - borrow, 58, 38, 76]);
                    let rest = [127 - step, 95, 95, 65, 0xcd + carry, 0xb4, 89, 49];
                    key[672..680].copy_from_slice(&rest);
                    keyspace.hash(&key)
                })
                .collect();
            assert_eq!(hashes.len(), 64);
        }
    }
}
