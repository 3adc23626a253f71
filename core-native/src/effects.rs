//! What a call makes: records, notices and, in `execute`, a reply; and how one operation ends.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::STATUS_COUNT;
use crate::generated::{OperationCode, Status};
use crate::notices::NoticeWriter;
use crate::operation::{Operation, code_is_known};
use crate::records::RecordWriter;
use crate::reply::{Head, ReplyWriter};

/// What a call makes beside a reply.
pub struct Effects<'a> {
    pub records: RecordWriter<'a>,
    pub notices: NoticeWriter<'a>,
    counters: &'a [AtomicU64],
}

/// What `execute` writes to.
pub struct Output<'a> {
    pub reply: ReplyWriter<'a>,
    pub effects: Effects<'a>,
}

/// The reply, the records or the notices have no room left; nothing was done.
pub struct Full;

/// The end of one operation: its head without id, which is the operation's.
#[derive(Clone, Copy)]
pub struct End {
    pub status: Status,
    pub revision: u64,
    pub count: u32,
    pub ttl_ms: u64,
}

impl<'a> Effects<'a> {
    #[inline]
    pub fn new(records: &'a mut [u8], notices: &'a mut [u8], counters: &'a [AtomicU64]) -> Self {
        Self {
            records: RecordWriter::new(records),
            notices: NoticeWriter::new(notices),
            counters,
        }
    }

    #[inline]
    pub fn tally(&mut self, code: OperationCode, status: Status) {
        let row = if code_is_known(code) {
            usize::from(code.0)
        } else {
            0
        };
        // Others may read it at any time, but only this engine writes: a load and a store are enough.
        let counter = &self.counters[row * STATUS_COUNT + usize::from(status.0)];
        let ended = f64::from_bits(counter.load(Ordering::Relaxed)) + 1.0;
        counter.store(ended.to_bits(), Ordering::Relaxed);
    }
}

impl Output<'_> {
    #[inline]
    pub fn end(&mut self, operation: &Operation<'_>, end: End, value: &[u8]) {
        self.effects.tally(operation.code, end.status);
        self.reply.result(end.head(operation.id), &[], value);
    }
}

impl End {
    #[inline]
    pub fn head(self, id: u32) -> Head {
        let Self {
            status,
            revision,
            count,
            ttl_ms,
        } = self;
        Head {
            id,
            status,
            flags: 0,
            count,
            revision,
            ttl_ms,
        }
    }
}

#[inline]
pub fn done(revision: u64, ttl_ms: u64) -> End {
    End {
        status: Status::Ok,
        revision,
        count: 0,
        ttl_ms,
    }
}

#[inline]
pub fn refused(status: Status, revision: u64) -> End {
    End {
        status,
        revision,
        count: 0,
        ttl_ms: 0,
    }
}
