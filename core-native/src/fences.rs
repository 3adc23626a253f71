//! Fences: the highest token seen of each lock in each partition that its holders have written to. They
//! outlive the locks, so that a holder that was long paused is still told from its successors.

use crate::entries::Entries;
use crate::key_hash::Hashing;
use crate::limits::KEY_BYTES_MAX;
use crate::records::record_bytes;
use crate::table::Table;

/// Bytes of a fence's key behind the lock's name: the partition.
pub const FENCE_SUFFIX_BYTES: usize = 4;

/// The key of a fence, in records too: the name of the lock, then the partition, little-endian.
pub struct FenceKey {
    bytes: [u8; KEY_BYTES_MAX + FENCE_SUFFIX_BYTES],
    length: usize,
}

impl FenceKey {
    /// The name is a valid one.
    pub fn new(name: &[u8], partition: usize) -> Self {
        let mut bytes = [0; KEY_BYTES_MAX + FENCE_SUFFIX_BYTES];
        let length = name.len() + FENCE_SUFFIX_BYTES;
        bytes[..name.len()].copy_from_slice(name);
        bytes[name.len()..length].copy_from_slice(&(partition as u32).to_le_bytes());
        Self { bytes, length }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What a write carries: a lock, and the token under which its sender held it.
#[derive(Clone, Copy)]
pub struct Fence<'a> {
    pub token: u64,
    pub name: &'a [u8],
}

impl Fence<'_> {
    /// Bytes of the record that notes a token.
    pub fn record_bytes(self) -> usize {
        record_bytes(self.name.len() + FENCE_SUFFIX_BYTES, 8)
    }
}

/// Each fence is an entry with its token in place of a revision.
#[derive(Default)]
pub struct Fences {
    entries: Entries,
    table: Table,
    greatest: Vec<u8>,
}

impl Fences {
    /// The highest token seen; 0 for none.
    pub fn token(&self, hashing: Hashing, key: &[u8]) -> u64 {
        self.find(hashing.bytes(key), key)
            .map_or(0, |handle| self.entries.get(handle).revision())
    }

    /// Notes a token; whether there was no fence of that key.
    pub fn note(&mut self, hashing: Hashing, key: &[u8], token: u64) -> bool {
        let hash = hashing.bytes(key);
        let found = self.find(hash, key);
        let handle = found.unwrap_or_else(|| {
            if key > self.greatest.as_slice() {
                self.greatest = key.to_vec();
            }
            let handle = self.entries.add(key, &[], 0);
            self.table.insert(hash, handle);
            handle
        });
        self.entries.set_revision(handle, token);
        found.is_none()
    }

    /// The greatest key; empty where there is none.
    pub fn greatest(&self) -> &[u8] {
        &self.greatest
    }

    fn find(&self, hash: u32, key: &[u8]) -> Option<u32> {
        self.table
            .find(hash, |handle| self.entries.get(handle).key() == key)
    }
}
