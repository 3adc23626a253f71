//! The state of the keys: what the fold of all records gives. Every change comes through `insert`,
//! `replace`, `touch` and `remove`, each the effect of one record, whether the engine has just made
//! that record or reads it from a log.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::entries::{Entries, Entry};
use crate::expiry::ExpiryHeap;
use crate::limits::ENTRY_OVERHEAD_BYTES;
use crate::ordered_index::OrderedIndex;
use crate::partition::partition_of_key;
use crate::table::Table;

/// Where a key belongs: its partition and its hash within that partition's table.
#[derive(Clone, Copy, Default)]
pub struct Place {
    pub partition: usize,
    pub hash: u32,
}

pub struct Keyspace {
    tables: Vec<Table>,
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
            tables: (0..partitions).map(|_| Table::default()).collect(),
            revisions: vec![0; partitions],
            entries: Entries::default(),
            order: OrderedIndex::default(),
            expiry: ExpiryHeap::default(),
            hash_seed: u64::from(hash_seed),
            memory_bytes: 0,
        }
    }

    pub fn partitions(&self) -> usize {
        self.tables.len()
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
    pub fn place(&self, key: &[u8]) -> Place {
        Place {
            partition: partition_of_key(key, self.tables.len()),
            hash: xxh3_64_with_seed(key, self.hash_seed) as u32,
        }
    }

    #[inline]
    pub fn find(&self, place: Place, key: &[u8]) -> Option<u32> {
        self.tables[place.partition].find(place.hash, |slot| self.entries.get(slot).key() == key)
    }

    /// When a key expires; 0 = never.
    #[inline]
    pub fn expires_at(&self, entry: &Entry) -> u64 {
        self.expiry.expires_at(entry.expiry_at)
    }

    /// Adds a key that is not there yet.
    pub fn insert(
        &mut self,
        place: Place,
        key: &[u8],
        value: &[u8],
        revision: u64,
        expires_at: u64,
    ) {
        self.revisions[place.partition] = revision;
        let slot = self.entries.add(key, value, place.partition, revision);
        self.tables[place.partition].insert(place.hash, slot);
        self.order.insert(&self.entries, slot);
        self.memory_bytes += entry_bytes(key.len(), value.len());
        if expires_at != 0 {
            self.expiry.set(&mut self.entries, slot, expires_at);
        }
    }

    /// Sets value, revision and expiry of a key that is there.
    #[inline]
    pub fn replace(&mut self, slot: u32, value: &[u8], revision: u64, expires_at: u64) {
        let entry = self.entries.get_mut(slot);
        self.memory_bytes = self.memory_bytes + value.len() - entry.value().len();
        entry.set_value(value);
        self.touch(slot, revision, expires_at);
    }

    /// Replaces the expiry of a key that is there.
    #[inline]
    pub fn touch(&mut self, slot: u32, revision: u64, expires_at: u64) {
        let entry = self.entries.get_mut(slot);
        entry.revision = revision;
        self.revisions[usize::from(entry.partition)] = revision;
        if expires_at != 0 {
            self.expiry.set(&mut self.entries, slot, expires_at);
        } else {
            self.expiry.remove(&mut self.entries, slot);
        }
    }

    /// Removes a key that is there.
    pub fn remove(&mut self, slot: u32, revision: u64) {
        let entry = self.entries.get(slot);
        let partition = usize::from(entry.partition);
        let place = self.place(entry.key());
        self.memory_bytes -= entry_bytes(entry.key().len(), entry.value().len());
        self.revisions[partition] = revision;
        self.tables[partition].remove(place.hash, slot);
        self.order.remove(&self.entries, slot);
        self.expiry.remove(&mut self.entries, slot);
        self.entries.remove(slot);
    }

    /// A partition gets a revision whose record changes no key.
    pub fn skip(&mut self, partition: usize, revision: u64) {
        self.revisions[partition] = revision;
    }

    /// The entries from the key `from` on, in byte order.
    pub fn from<'a>(&'a self, from: &[u8]) -> impl Iterator<Item = &'a Entry> {
        self.order
            .from(&self.entries, from)
            .map(|slot| self.entries.get(slot))
    }

    // The three steps of a lookup, taken for many keys at once so that their cache misses overlap.

    #[inline]
    pub fn prefetch_cell(&self, place: Place) {
        self.tables[place.partition].prefetch(place.hash);
    }

    /// The slot that the lookup will most likely end at, already on its way to the cache.
    #[inline]
    pub fn prefetch_entry(&self, place: Place) -> Option<u32> {
        let slot = self.tables[place.partition].candidate(place.hash)?;
        self.entries.prefetch(slot);
        Some(slot)
    }

    #[inline]
    pub fn prefetch_bytes(&self, slot: u32) {
        self.entries.prefetch_bytes(slot);
    }
}

/// Logical bytes of a key with its value.
#[inline]
pub fn entry_bytes(key_length: usize, value_length: usize) -> usize {
    key_length + value_length + ENTRY_OVERHEAD_BYTES
}
