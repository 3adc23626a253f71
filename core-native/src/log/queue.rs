//! What the thread of the log and the thread of JavaScript share: appends on their way out, segments
//! that are ready, and how far the log is.

use std::collections::VecDeque;
use std::fs::File;
use std::mem::{replace, take};
use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::batch::BATCH_HEADER_BYTES;
use super::record_check::Checked;

/// Buffers kept for later groups: one is written while the next one fills.
const FREE_GROUPS_MAX: usize = 2;

/// Whole appends that become one batch: room for its header, then the records.
pub struct Group {
    pub bytes: Vec<u8>,
    pub records: u32,
    /// Of the newest record. Milliseconds since 1970.
    pub time: u64,
    /// Number of the newest append.
    pub last_append: u64,
}

impl Group {
    pub fn new() -> Self {
        Self {
            bytes: vec![0; BATCH_HEADER_BYTES],
            records: 0,
            time: 0,
            last_append: 0,
        }
    }

    pub fn body_bytes(&self) -> usize {
        self.bytes.len() - BATCH_HEADER_BYTES
    }

    fn clear(&mut self) {
        self.bytes.truncate(BATCH_HEADER_BYTES);
        self.records = 0;
    }
}

/// A file that is prepared as a segment: its header is in place and durable.
pub struct Segment {
    pub number: u64,
    pub file: File,
    /// Its length.
    pub bytes: u64,
}

/// A segment that the writer has left behind, whole and durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub number: u64,
    /// Up to the end of its last batch.
    pub bytes: u64,
    pub last_batch: u64,
    pub last_checksum: u64,
}

/// Why the log has stopped for good.
#[derive(Clone, Debug)]
pub struct Failure {
    /// `write`, `sync` or `panic`.
    pub call: &'static str,
    /// Of the system; 0 where it named none.
    pub errno: i32,
    pub segment: u64,
    pub offset: u64,
}

/// How far the log is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Number of the newest durable append.
    pub durable: u64,
    /// Bytes of records that have become durable.
    pub durable_bytes: u64,
    /// Number of the newest durable batch.
    pub newest_batch: u64,
    /// Number of the segment that is written to; 0 for none.
    pub segment: u64,
    /// Bytes left in it.
    pub rest: u64,
    /// The disk is full: what was refused is tried again.
    pub is_full: bool,
    /// The thread writes nothing more.
    pub has_ended: bool,
}

/// What the thread is asked for besides writing appends.
#[derive(Clone, Copy)]
pub struct End {
    /// Of the mark. Milliseconds since 1970.
    pub time: u64,
}

pub struct State {
    filling: Group,
    full: VecDeque<Group>,
    free: Vec<Group>,
    pub segments: VecDeque<Segment>,
    /// Appends wait and the thread was told so.
    pub is_flushed: bool,
    /// Leave a mark with this time.
    pub mark: Option<u64>,
    pub end: Option<End>,
    /// End at once: the environment goes down.
    pub is_aborted: bool,
    /// The thread waits for `wake`.
    pub is_parked: bool,
    pub progress: Progress,
    pub sealed: Vec<Sealed>,
    pub failure: Option<Failure>,
}

impl State {
    pub fn append(&mut self, records: &[u8], checked: Checked, number: u64, bytes_max: usize) {
        if self.filling.records > 0 && self.filling.body_bytes() + records.len() > bytes_max {
            let empty = self.free.pop().unwrap_or_else(Group::new);
            let group = replace(&mut self.filling, empty);
            self.full.push_back(group);
        }
        let group = &mut self.filling;
        group.bytes.extend_from_slice(records);
        group.records += checked.records;
        group.time = checked.time;
        group.last_append = number;
    }

    pub fn has_groups(&self) -> bool {
        self.filling.records > 0 || !self.full.is_empty()
    }

    pub fn take_group(&mut self) -> Option<Group> {
        if let Some(group) = self.full.pop_front() {
            return Some(group);
        }
        if self.filling.records == 0 {
            return None;
        }
        let empty = self.free.pop().unwrap_or_else(Group::new);
        Some(replace(&mut self.filling, empty))
    }

    /// Keeps the buffer of a group that was written, unless an unusual append made it large.
    pub fn reuse(&mut self, mut group: Group, bytes_max: usize) {
        if self.free.len() < FREE_GROUPS_MAX && group.bytes.capacity() <= bytes_max * 2 {
            group.clear();
            self.free.push(group);
        }
    }

    pub fn take_sealed(&mut self) -> Vec<Sealed> {
        take(&mut self.sealed)
    }
}

pub struct Shared {
    state: Mutex<State>,
    pub wake: Condvar,
    /// JavaScript was told to look at the progress and has not done so yet.
    pub is_notified: AtomicBool,
}

impl Shared {
    pub fn new(newest_batch: u64) -> Self {
        let progress = Progress {
            newest_batch,
            ..Progress::default()
        };
        let state = State {
            filling: Group::new(),
            full: VecDeque::new(),
            free: Vec::new(),
            segments: VecDeque::new(),
            is_flushed: false,
            mark: None,
            end: None,
            is_aborted: false,
            is_parked: false,
            progress,
            sealed: Vec::new(),
            failure: None,
        };
        Self {
            state: Mutex::new(state),
            wake: Condvar::new(),
            is_notified: AtomicBool::new(false),
        }
    }

    /// A panic while the lock was held does not make the figures wrong: the thread publishes it as a
    /// failure.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what the thread is asked for, and wakes it where it waits.
    pub fn ask<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let answer = change(&mut state);
        let is_parked = take(&mut state.is_parked);
        drop(state);
        if is_parked {
            self.wake.notify_one();
        }
        answer
    }
}
