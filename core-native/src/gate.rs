//! The gate: which append must be durable before a reply may leave. A reply shows records, those that
//! its own call made and those behind what it read; one of them lost in a crash would make it a lie.
//!
//! Appends are numbered by call, revisions by partition. The two meet in marks: one a partition and
//! append, with the last revision that the append gave there. A revision is unsettled when it is above
//! `settled` of its partition, which is one load for a key that nobody has written lately.
//!
//! What only callers with a log need is kept out of line: others pay for a comparison a call and a record.

use std::collections::VecDeque;

use crate::removals::Removals;

/// The durable number of a caller that waits for nothing.
const NOTHING_WAITS: u64 = u64::MAX;

#[derive(Clone, Copy)]
struct Mark {
    /// The last revision of the partition that the append made.
    revision: u64,
    /// 0: revisions that came by `fold` or `restore`, which are settled.
    append: u64,
}

pub struct Gate {
    /// Whether what operations see counts: not where nothing waits, nor once the call has made a
    /// record, since its own append comes after every other.
    watching: bool,
    /// Unsettled removals; empty where nothing waits.
    removals: Removals,
    /// The newest append.
    appends: u64,
    /// The newest append that is durable, or NOTHING_WAITS: then nothing is kept.
    durable: u64,
    /// The newest unsettled append that the call has seen.
    seen: u64,
    /// By partition: every revision up to this one is settled. Empty where nothing waits.
    settled: Vec<u64>,
    /// By partition, oldest first.
    marks: Vec<VecDeque<Mark>>,
    /// The partitions of all marks, with their appends, in the order in which they were made.
    unsettled: VecDeque<(u64, u32)>,
}

impl Gate {
    pub fn new() -> Self {
        Self {
            watching: false,
            removals: Removals::default(),
            appends: 0,
            durable: 0,
            seen: 0,
            settled: Vec::new(),
            marks: Vec::new(),
            unsettled: VecDeque::new(),
        }
    }

    /// Begins a call. A durable number below an earlier one counts as the earlier one.
    #[inline]
    pub fn begin(&mut self, durable: f64, partitions: usize) {
        self.seen = 0;
        if self.durable != NOTHING_WAITS {
            // As an integer: what is no number is 0, and Infinity the largest.
            self.durable = self.durable.max(durable as u64);
            self.settle(partitions);
        }
    }

    #[inline]
    pub fn watching(&self) -> bool {
        self.watching
    }

    #[inline]
    pub fn appends(&self) -> u64 {
        self.appends
    }

    /// The call makes a record of this revision.
    #[inline]
    pub fn made(&mut self, partition: usize, revision: u64) {
        if self.durable != NOTHING_WAITS {
            self.watching = false;
            self.mark(partition, revision);
        }
    }

    /// The call removes a key; the record itself goes through `made`.
    #[inline]
    pub fn removed(&mut self, key: &[u8], hash: impl FnOnce() -> u32) {
        if self.durable != NOTHING_WAITS {
            self.removals.add(hash(), key, self.appends + 1);
        }
    }

    /// An operation has seen the record of this revision.
    #[inline]
    pub fn see(&mut self, partition: usize, revision: u64) {
        if revision > self.settled[partition] {
            self.see_unsettled(partition, revision);
        }
    }

    /// An operation has seen what this append made.
    pub fn see_append(&mut self, append: u64) {
        if append > self.durable {
            self.seen = self.seen.max(append);
        }
    }

    /// An operation has seen the newest append.
    pub fn see_newest(&mut self) {
        self.see_append(self.appends);
    }

    /// An operation has seen that a key is not there.
    pub fn see_absence(&mut self, hash: u32, key: &[u8]) {
        self.seen = self.seen.max(self.removals.append_of(hash, key));
    }

    /// A page of a scan has shown that keys are not there; see `Removals::append_of_page`.
    pub fn see_page(&mut self, prefix: &[u8], cursor: &[u8], last: Option<&[u8]>) {
        let append = self.removals.append_of_page(prefix, cursor, last);
        self.seen = self.seen.max(append);
    }

    /// Ends a call: the append that must be durable before its reply may leave, or 0.
    #[inline]
    pub fn end(&mut self, made_records: bool) -> u64 {
        if !made_records {
            return self.seen;
        }
        self.appends += 1;
        if self.appends > self.durable {
            self.appends
        } else {
            0
        }
    }

    #[inline(never)]
    fn settle(&mut self, partitions: usize) {
        self.watching = self.durable != NOTHING_WAITS;
        if !self.watching {
            self.forget();
            return;
        }
        if self.settled.is_empty() {
            self.settled = vec![0; partitions];
            self.marks = vec![VecDeque::new(); partitions];
        }
        while let Some(&(append, partition)) = self.unsettled.front() {
            if append > self.durable {
                break;
            }
            let partition = partition as usize;
            if let Some(mark) = self.marks[partition].pop_front() {
                self.settled[partition] = mark.revision;
            }
            self.unsettled.pop_front();
        }
        self.removals.settle(self.durable);
    }

    #[inline(never)]
    fn mark(&mut self, partition: usize, revision: u64) {
        let append = self.appends + 1;
        let before = Mark {
            revision: revision - 1,
            append: 0,
        };
        match self.marks[partition].back_mut() {
            None => self.settled[partition] = before.revision,
            Some(last) if last.revision != before.revision => self.push(partition, before),
            Some(last) if last.append == append => {
                last.revision = revision;
                return;
            }
            Some(_) => {}
        }
        self.push(partition, Mark { revision, append });
    }

    fn push(&mut self, partition: usize, mark: Mark) {
        self.marks[partition].push_back(mark);
        self.unsettled.push_back((mark.append, partition as u32));
    }

    #[inline(never)]
    fn see_unsettled(&mut self, partition: usize, revision: u64) {
        let marks = &self.marks[partition];
        if marks.is_empty() {
            self.settled[partition] = revision;
        }
        let at = marks.partition_point(|mark| mark.revision < revision);
        let append = marks.get(at).map_or(0, |mark| mark.append);
        self.seen = self.seen.max(append);
    }

    #[cold]
    fn forget(&mut self) {
        self.removals = Removals::default();
        self.settled = Vec::new();
        self.marks = Vec::new();
        self.unsettled = VecDeque::new();
    }
}
