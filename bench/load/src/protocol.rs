//! What the core asks of a target: how operations become bytes and bytes become answers. Nothing
//! else differs between targets.

use serde::Serialize;

use crate::fault::Fault;
use crate::outbox::Outbox;
use crate::workload::{Draw, Values};

/// One operation of a batch.
#[derive(Clone, Copy)]
pub struct Numbered {
    pub id: u32,
    pub draw: Draw,
}

/// How an operation ended, as the server says it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// A value was read.
    Value(&'a [u8]),
    /// Done, without a value.
    Done,
    /// There is no such key.
    Missing,
    /// The operation itself, sent back by a server that echoes.
    Echo {
        is_read: bool,
        key: &'a [u8],
        value: &'a [u8],
    },
    Error(String),
}

/// What a server allows.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub batch_operations: usize,
    pub batch_bytes: usize,
    pub outstanding: usize,
    pub value_bytes: usize,
}

/// What a server says of itself.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Facts {
    #[serde(rename_all = "camelCase")]
    Rondo {
        name: &'static str,
        version: String,
        engine: String,
        engine_reason: String,
        transport: String,
        durability: String,
        partitions: u32,
        workers: usize,
        keys: u64,
        memory_bytes: u64,
    },
    #[serde(rename_all = "camelCase")]
    Redis {
        name: &'static str,
        version: String,
        append_only: bool,
        used_memory_bytes: u64,
        io_threads_active: bool,
    },
    /// Of a server that says nothing of itself.
    Named {
        name: &'static str,
    },
    #[serde(rename_all = "camelCase")]
    Etcd {
        name: &'static str,
        version: String,
        database_bytes: u64,
    },
    Disk {
        name: &'static str,
        file: String,
    },
}

/// When a lock was granted, and how long before that its last holder had released it. Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    pub at: u64,
    pub took: u64,
}

pub trait Protocol {
    /// Whether ids must ascend within a batch, because they are on the wire.
    const HAS_IDS: bool;
    /// Bytes of one operation on the wire at most, beside its value.
    const OPERATION_BYTES: usize;
    /// Operations in flight on one connection while keys are filled in, at most.
    const FILLING_OUTSTANDING_MAX: usize = usize::MAX;

    /// Called when the socket is connected.
    fn greet(&mut self, out: &mut Outbox);

    /// Whether operations may be sent.
    fn is_open(&self) -> bool;

    /// From the greeting.
    fn bounds(&self) -> Bounds;

    fn facts(&self) -> Option<&Facts>;

    /// Of the locks that this connection took.
    fn handovers(&self) -> &[Handover] {
        &[]
    }

    /// Appends one batch: a frame, or commands in a row.
    fn encode(&mut self, batch: &[Numbered], values: &Values, out: &mut Outbox);

    /// Takes whole messages from the front of `bytes` and gives how many bytes they were. Calls
    /// `answer` for each operation. What must be said in return (a pong) goes to `out`.
    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault>;
}
