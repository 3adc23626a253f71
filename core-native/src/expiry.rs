//! Keys that expire, soonest first: a binary heap in which each entry knows its place, so that a
//! renewed ttl moves the entry instead of leaving a stale one behind. Keys due at the same time go by
//! partition and revision, so that the order is the same in both engines and on every machine.

use crate::entries::{Entries, NO_EXPIRY, NOT_IN_HEAP};

#[derive(Clone, Copy)]
struct Node {
    expires_at: u64,
    revision: u64,
    partition: u16,
    handle: u32,
}

impl Node {
    fn is_before(&self, other: &Self) -> bool {
        (self.expires_at, self.partition, self.revision)
            < (other.expires_at, other.partition, other.revision)
    }
}

#[derive(Default)]
pub struct ExpiryHeap {
    heap: Vec<Node>,
}

impl ExpiryHeap {
    /// The entry that expires first, where that is at `now` or before.
    pub fn first_due(&self, now: u64) -> Option<u32> {
        self.heap
            .first()
            .filter(|node| node.expires_at <= now)
            .map(|node| node.handle)
    }

    /// When the entry with this `expiry_at` expires; 0 = never.
    #[inline]
    pub fn expires_at(&self, expiry_at: u32) -> u64 {
        if expiry_at >= NOT_IN_HEAP {
            0
        } else {
            self.heap[expiry_at as usize].expires_at
        }
    }

    /// Takes in an entry, or finds the new place of one whose expiry or revision has changed.
    pub fn set(&mut self, entries: &mut Entries, handle: u32, expires_at: u64) {
        let entry = entries.get(handle);
        let node = Node {
            expires_at,
            revision: entry.revision(),
            partition: entry.partition() as u16,
            handle,
        };
        let at = if entry.expiry_at() == NO_EXPIRY {
            self.heap.push(node);
            self.heap.len() - 1
        } else {
            entry.expiry_at() as usize
        };
        let at = self.rise(entries, node, at);
        self.sink(entries, node, at);
    }

    /// Takes an entry out, where it is in.
    pub fn remove(&mut self, entries: &mut Entries, handle: u32) {
        let at = entries.get(handle).expiry_at();
        if at == NO_EXPIRY {
            return;
        }
        entries.set_expiry_at(handle, NO_EXPIRY);
        let at = at as usize;
        if let Some(last) = self.heap.pop()
            && last.handle != handle
        {
            let at = self.rise(entries, last, at);
            self.sink(entries, last, at);
        }
    }

    /// An entry that is in has moved to another handle.
    pub fn moved(&mut self, expiry_at: u32, handle: u32) {
        self.heap[expiry_at as usize].handle = handle;
    }

    fn rise(&mut self, entries: &mut Entries, node: Node, mut at: usize) -> usize {
        while at > 0 {
            let parent = self.heap[(at - 1) / 2];
            if parent.is_before(&node) {
                break;
            }
            self.place(entries, parent, at);
            at = (at - 1) / 2;
        }
        self.place(entries, node, at);
        at
    }

    fn sink(&mut self, entries: &mut Entries, node: Node, mut at: usize) {
        loop {
            let mut child_at = 2 * at + 1;
            let Some(mut child) = self.heap.get(child_at).copied() else {
                break;
            };
            if let Some(right) = self.heap.get(child_at + 1)
                && right.is_before(&child)
            {
                child_at += 1;
                child = *right;
            }
            if node.is_before(&child) {
                break;
            }
            self.place(entries, child, at);
            at = child_at;
        }
        self.place(entries, node, at);
    }

    fn place(&mut self, entries: &mut Entries, node: Node, at: usize) {
        self.heap[at] = node;
        entries.set_expiry_at(node.handle, at as u32);
    }
}
