//! The state of the keys: what the fold of all records gives. Every change comes through `insert`,
//! `replace`, `touch` and `remove`, each the effect of one record, whether the engine has just made
//! that record or reads it from a log. Handles are those of `Entries`.

use crate::entries::{Entries, Entry, NO_EXPIRY, NOT_IN_HEAP};
use crate::ephemerals::{Ephemerals, Life};
use crate::expiry::ExpiryHeap;
use crate::key_hash::Hashing;
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
    pub ephemerals: Ephemerals,
    hashing: Hashing,
    /// Logical bytes held.
    pub memory_bytes: usize,
    /// The sum of the revisions.
    position: u64,
}

impl Keyspace {
    pub fn new(partitions: usize, hashing: Hashing) -> Self {
        Self {
            tables: std::array::from_fn(|_| Table::default()),
            revisions: vec![0; partitions],
            entries: Entries::default(),
            order: OrderedIndex::default(),
            expiry: ExpiryHeap::default(),
            ephemerals: Ephemerals::default(),
            hashing,
            memory_bytes: 0,
            position: 0,
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

    /// The sum of the revisions of all partitions.
    #[inline]
    pub fn position(&self) -> u64 {
        self.position
    }

    #[inline]
    pub fn hash(&self, key: &[u8]) -> u32 {
        self.hashing.bytes(key)
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

    /// How long a key lives.
    #[inline]
    pub fn life(&self, entry: Entry<'_>) -> Life {
        match self.ephemerals.session_at(entry.expiry_at()) {
            Some(session) => Life::with_session(session),
            None => Life::until(self.expires_at(entry)),
        }
    }

    /// Adds a key that is not there yet.
    pub fn insert(
        &mut self,
        hash: u32,
        partition: usize,
        key: &[u8],
        value: &[u8],
        revision: u64,
        life: Life,
    ) {
        self.memory_bytes += entry_bytes(key.len(), value.len());
        let handle = self.entries.add(key, value, partition);
        self.table_mut(hash).insert(hash, handle);
        self.order.insert(&self.entries, handle);
        self.touch(handle, revision, life);
    }

    /// Sets value, revision and life of a key that is there.
    #[inline]
    pub fn replace(&mut self, hash: u32, handle: u32, value: &[u8], revision: u64, life: Life) {
        let before = self.entries.get(handle).value().len();
        self.memory_bytes = self.memory_bytes + value.len() - before;
        let mut handle = handle;
        if self.entries.fits(handle, value.len()) {
            self.entries.overwrite(handle, value);
        } else {
            handle = self.relocate(hash, handle, value);
        }
        self.touch(handle, revision, life);
    }

    /// Replaces the life of a key that is there.
    #[inline]
    pub fn touch(&mut self, handle: u32, revision: u64, life: Life) {
        self.entries.set_revision(handle, revision);
        let entry = self.entries.get(handle);
        let (partition, expiry_at) = (entry.partition(), entry.expiry_at());
        self.set_revision(partition, revision);
        if life != Life::FOR_EVER || expiry_at != NO_EXPIRY {
            self.set_life(handle, expiry_at, life);
        }
    }

    fn set_life(&mut self, handle: u32, expiry_at: u32, life: Life) {
        let before = self.ephemerals.session_at(expiry_at);
        let after = life.session();
        if before.is_some() && before == after {
            return;
        }
        if before.is_some() {
            self.ephemerals.remove(&mut self.entries, handle);
        }
        if let Some(session) = after {
            self.expiry.remove(&mut self.entries, handle);
            self.ephemerals.add(&mut self.entries, handle, session);
        } else if life == Life::FOR_EVER {
            self.expiry.remove(&mut self.entries, handle);
        } else {
            self.expiry
                .set(&mut self.entries, handle, life.expires_at());
        }
    }

    /// Removes a key that is there.
    pub fn remove(&mut self, handle: u32, revision: u64) {
        let entry = self.entries.get(handle);
        let (hash, partition) = (self.hash(entry.key()), entry.partition());
        let expiry_at = entry.expiry_at();
        self.memory_bytes -= entry_bytes(entry.key().len(), entry.value().len());
        self.set_revision(partition, revision);
        self.table_mut(hash).remove(hash, handle);
        if expiry_at != NO_EXPIRY {
            self.set_life(handle, expiry_at, Life::FOR_EVER);
        }
        self.entries.count -= 1;
        self.order.remove(&mut self.entries, handle);
    }

    fn relocate(&mut self, hash: u32, handle: u32, value: &[u8]) -> u32 {
        let copied = self.entries.copy(handle, value);
        self.table_mut(hash).replace(hash, handle, copied);
        let expiry_at = self.entries.get(copied).expiry_at();
        if expiry_at < NOT_IN_HEAP {
            self.expiry.moved(expiry_at, copied);
        } else if expiry_at != NO_EXPIRY {
            self.ephemerals.moved(expiry_at, copied);
        }
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
            key,
            value,
            ..
        } = *record;
        let newest = self.revisions[partition].max(revision);
        let life = Life::of_record(record);
        self.insert(hash, partition, key, value, revision, life);
        self.set_revision(partition, newest);
    }

    /// The greatest key; empty where there is none.
    pub fn greatest_key(&self) -> &[u8] {
        self.order
            .greatest()
            .map_or(&[], |handle| self.entries.get(handle).key())
    }

    /// A partition gets a revision.
    #[inline]
    pub fn set_revision(&mut self, partition: usize, revision: u64) {
        let newest = &mut self.revisions[partition];
        self.position = self.position.wrapping_add(revision).wrapping_sub(*newest);
        *newest = revision;
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

/// Logical bytes of a key with its value.
#[inline]
pub fn entry_bytes(key_length: usize, value_length: usize) -> usize {
    key_length + value_length + ENTRY_OVERHEAD_BYTES
}
