//! The routing table and the revisions in memory that all workers share, as the engine uses them; the layout
//! is in `ts/shared/layout.ts`, the writer in `ts/shared/routing-table.ts`.
//!
//! The table stands under a sequence lock: the supervisor makes the sequence odd, stores what changes, and
//! makes it even again, each with release order or stronger. A reader copies the words, each with acquire
//! order. What breaks without it:
//! - Without acquire on the first load of the sequence the words that are loaded then could be older than
//!   the change that the sequence tells of, and would count as new.
//! - A word of a change under way is seen together with the odd sequence that was stored before it, because the
//!   word is stored with release and loaded with acquire: so the second load of the sequence finds that it
//!   has moved, and the copy is thrown away. With relaxed words a half of a change could pass as a whole.

#[cfg(all(test, loom))]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(all(test, loom)))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::limits::{PARTITIONS_MAX, WORKERS_MAX};

// Indices of 32-bit words.
pub const ROUTING_SEQUENCE: usize = 0;
pub const ROUTING_VERSION: usize = 1;
pub const ROUTING_WORKERS: usize = 2;
pub const ROUTING_PARTITIONS: usize = 3;
pub const ROUTING_STATES: usize = 4;
const ROUTING_PORTS: usize = ROUTING_STATES + WORKERS_MAX;
const ROUTING_EPOCHS: usize = ROUTING_PORTS + WORKERS_MAX;
const ROUTING_NODES: usize = ROUTING_EPOCHS + WORKERS_MAX;
pub const ROUTING_OWNERS: usize = ROUTING_NODES + 2 * WORKERS_MAX;
pub const ROUTING_BYTES: usize = 4 * (ROUTING_OWNERS + PARTITIONS_MAX);

/// Copies that are begun in one call before the old one serves on: the writer is a thread that may have lost
/// its core in the middle of a change.
#[cfg(not(all(test, loom)))]
const COPIES_TRIED_MAX: usize = 64;
/// Each more multiplies the orders that the checker goes through.
#[cfg(all(test, loom))]
const COPIES_TRIED_MAX: usize = 2;

/// In place of a copy's sequence, which is even.
const NO_COPY: u32 = 1;

/// A reader with a copy of what the engine needs.
pub struct RoutingTable<'a> {
    words: &'a [AtomicU32],
    /// Of the copy; even.
    sequence: u32,
    version: u32,
    workers: usize,
    owners: Vec<u16>,
    /// Takes the owners of a copy until it is known to be whole.
    spare: Vec<u16>,
}

impl<'a> RoutingTable<'a> {
    /// None where the words are no filled table of this number of partitions. The supervisor fills it before a
    /// worker starts; neither the partitions nor the workers change from then on. Waits for a change under way.
    pub fn new(words: &'a [AtomicU32], partitions: usize) -> Option<Self> {
        if words.len() < ROUTING_OWNERS + partitions {
            return None;
        }
        let workers = words[ROUTING_WORKERS].load(Ordering::Acquire) as usize;
        let noted = words[ROUTING_PARTITIONS].load(Ordering::Acquire) as usize;
        if workers == 0 || workers > WORKERS_MAX || noted != partitions {
            return None;
        }
        let mut table = Self {
            words,
            sequence: NO_COPY,
            version: 0,
            workers,
            owners: vec![0; partitions],
            spare: vec![0; partitions],
        };
        while !table.refresh() {}
        table
            .owners
            .iter()
            .all(|&owner| usize::from(owner) < workers)
            .then_some(table)
    }

    /// Takes a change over, if there is one and it is whole; whether it has. One load where nothing has changed.
    #[inline]
    pub fn refresh(&mut self) -> bool {
        // Acquire: what the supervisor did before a change is seen by whoever sees the change.
        if self.words[ROUTING_SEQUENCE].load(Ordering::Acquire) == self.sequence {
            return false;
        }
        self.copy()
    }

    /// Ascends with every change.
    pub fn version(&self) -> u32 {
        self.version
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The worker that has the partition.
    #[inline]
    pub fn owner_of(&self, partition: usize) -> usize {
        usize::from(self.owners[partition])
    }

    #[cold]
    fn copy(&mut self) -> bool {
        for _ in 0..COPIES_TRIED_MAX {
            if self.try_copy() {
                return true;
            }
            wait_a_little();
        }
        false
    }

    fn try_copy(&mut self) -> bool {
        let sequence = self.words[ROUTING_SEQUENCE].load(Ordering::Acquire);
        if sequence & 1 != 0 {
            return false;
        }
        let version = self.words[ROUTING_VERSION].load(Ordering::Acquire);
        let owners = &self.words[ROUTING_OWNERS..ROUTING_OWNERS + self.owners.len()];
        for (copied, owner) in self.spare.iter_mut().zip(owners) {
            *copied = owner.load(Ordering::Acquire) as u16;
        }
        // The acquire loads before it keep this load behind them.
        if self.words[ROUTING_SEQUENCE].load(Ordering::Relaxed) != sequence {
            return false;
        }
        std::mem::swap(&mut self.owners, &mut self.spare);
        self.sequence = sequence;
        self.version = version;
        true
    }
}

/// The newest revision of each partition, each written by the engine that has it.
pub struct Revisions<'a> {
    cells: &'a [AtomicU64],
}

impl<'a> Revisions<'a> {
    /// None where the cells are fewer than the partitions.
    pub fn new(cells: &'a [AtomicU64], partitions: usize) -> Option<Self> {
        let cells = cells.get(..partitions)?;
        Some(Self { cells })
    }

    /// For the partitions of this engine. Release: who sees the revision sees what was done before the call.
    #[inline]
    pub fn publish(&self, partition: usize, revision: u64) {
        self.cells[partition].store(revision, Ordering::Release);
    }

    #[inline]
    pub fn newest(&self, partition: usize) -> u64 {
        self.cells[partition].load(Ordering::Acquire)
    }
}

/// A registered `Uint32Array` as words that others write too.
///
/// # Safety
/// The memory is 4-aligned, lives as long as the result is used, and is only touched by atomic access.
#[cfg(not(all(test, loom)))]
pub unsafe fn shared_words<'a>(memory: *mut u32, length: usize) -> &'a [AtomicU32] {
    // SAFETY: an AtomicU32 has size and alignment of a u32; the caller answers for the rest.
    unsafe { std::slice::from_raw_parts(memory.cast(), length) }
}

/// A registered `BigUint64Array` as cells of `Revisions`.
///
/// # Safety
/// As for `shared_words`, 8-aligned.
#[cfg(not(all(test, loom)))]
pub unsafe fn shared_cells<'a>(memory: *mut u64, length: usize) -> &'a [AtomicU64] {
    // SAFETY: an AtomicU64 has size and alignment of a u64; the caller answers for the rest.
    unsafe { std::slice::from_raw_parts(memory.cast(), length) }
}

#[cfg(not(all(test, loom)))]
fn wait_a_little() {
    std::hint::spin_loop();
}

/// The checker runs others only where a thread lets it.
#[cfg(all(test, loom))]
fn wait_a_little() {
    loom::thread::yield_now();
}

#[cfg(test)]
#[path = "routing_table_tests.rs"]
mod tests;
