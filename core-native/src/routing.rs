//! Whose an operation is, where several engines share the partitions: the routing part of the contract
//! `ts/engine/workers.ts`. Without routing there is none of this.

use crate::forwards::{ForwardWriter, Forwarded};
use crate::generated::OperationCode;
use crate::layout::{FLAG_WATCH_PREFIX, OPERATION_BYTES};
use crate::operation::Operation;
use crate::partition::{partition_of_key, partition_of_tag};
use crate::records::{key_at, partition_at};
use crate::request::Request;
use crate::routing_table::{Revisions, RoutingTable};
use crate::sessions::session_text;

/// Where an operation goes: an index of a worker, or one of these two.
pub type Target = u8;
/// It is executed here.
const HERE: Target = u8::MAX;
/// It is of another worker, and has been forwarded already.
const NOWHERE: Target = u8::MAX - 1;

/// How much of a frame is executed here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Share {
    Whole,
    /// What `Routing::fate` says.
    Part,
    /// Other workers answer all of it.
    Nothing,
}

/// What this engine does with an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Executed,
    Forwarded,
    Unavailable,
}

/// The place of an engine among several.
pub struct Routing {
    worker: usize,
    partitions: usize,
    table: RoutingTable<'static>,
    revisions: Revisions<'static>,
    /// Of the frame's operations, from the first one of the call on.
    targets: Vec<Target>,
}

impl Routing {
    /// None where the table does not have that worker.
    pub fn new(
        worker: usize,
        partitions: usize,
        table: RoutingTable<'static>,
        revisions: Revisions<'static>,
    ) -> Option<Self> {
        (worker < table.workers()).then_some(Self {
            worker,
            partitions,
            table,
            revisions,
            targets: Vec::new(),
        })
    }

    pub fn workers(&self) -> usize {
        self.table.workers()
    }

    /// Whether a partition is this engine's.
    #[inline]
    pub fn has(&self, partition: usize) -> bool {
        self.table.owner_of(partition) == self.worker
    }

    /// The newest revision of a partition of another engine.
    pub fn newest(&self, partition: usize) -> u64 {
        self.revisions.newest(partition)
    }

    /// A call has made these records.
    #[inline]
    pub fn publish_made(&self, records: &[u8], revisions: &[u64]) {
        for_each_partition(records, |partition| {
            self.revisions.publish(partition, revisions[partition]);
        });
    }

    /// Records came from elsewhere. While a log is read again nothing goes back behind what was told of these
    /// partitions before: a token that was good is not to fail elsewhere meanwhile.
    pub fn publish_taken(&self, records: &[u8], revisions: &[u64]) {
        for_each_partition(records, |partition| {
            self.publish_newer(partition, revisions[partition]);
        });
    }

    pub fn publish_all(&self, revisions: &[u64]) {
        for (partition, &revision) in revisions.iter().enumerate() {
            self.publish_newer(partition, revision);
        }
    }

    fn publish_newer(&self, partition: usize, revision: u64) {
        if self.has(partition) && revision > self.revisions.newest(partition) {
            self.revisions.publish(partition, revision);
        }
    }

    /// Takes over what has changed in the routing table.
    pub fn refresh(&mut self) {
        self.table.refresh();
    }

    /// Says of each operation from `first` on where it goes. `session` is that of the frame; nothing that was
    /// forwarded here is forwarded again.
    pub fn share(
        &mut self,
        operations: &[u8],
        data: &[u8],
        session: u64,
        was_forwarded: bool,
    ) -> Share {
        if self.table.workers() == 1 {
            return Share::Whole;
        }
        let count = operations.len() / OPERATION_BYTES;
        let mut targets = std::mem::take(&mut self.targets);
        targets.clear();
        let (mut here, mut forwarded) = (0, 0);
        let mut rest = data;
        for bytes in operations.chunks_exact(OPERATION_BYTES) {
            let operation = Operation::decode(bytes, rest);
            rest = &rest[operation.data_bytes()..];
            let worker = self.worker_of(&operation, session);
            let target = if worker == self.worker {
                here += 1;
                HERE
            } else if was_forwarded {
                NOWHERE
            } else {
                forwarded += 1;
                worker as Target
            };
            targets.push(target);
        }
        self.targets = targets;
        if here == count {
            Share::Whole
        } else if forwarded == count {
            Share::Nothing
        } else {
            Share::Part
        }
    }

    /// What becomes of an operation of a frame that is shared, by its index from the first one of the call on.
    #[inline]
    pub fn fate(&self, index: usize) -> Fate {
        match self.targets[index] {
            HERE => Fate::Executed,
            NOWHERE => Fate::Unavailable,
            _ => Fate::Forwarded,
        }
    }

    /// Leaves what other workers get of a frame that is shared. Bytes of that.
    pub fn forward(&self, frame: &[u8], request: &Request<'_>, forwards: &mut [u8]) -> usize {
        let mut writer = ForwardWriter::new(forwards);
        let whole = self.targets.first().copied().unwrap_or(HERE);
        if usize::from(whole) < self.workers() && self.targets.iter().all(|&at| at == whole) {
            writer.whole(whole.into(), request.count, frame);
        } else {
            let workers = self.workers();
            let operations = request.operations.chunks_exact(OPERATION_BYTES);
            let operations = operations.zip(&self.targets).map(|(bytes, &target)| {
                let target = usize::from(target);
                let worker = (target < workers).then_some(target);
                Forwarded { bytes, worker }
            });
            writer.split(operations, request.data);
        }
        writer.length()
    }

    /// The worker that an operation is for; this one too where its address is of none.
    #[inline]
    fn worker_of(&self, operation: &Operation<'_>, session: u64) -> usize {
        let key = operation.key;
        match operation.code {
            OperationCode::Scan | OperationCode::ListLocks => self.addressee_of(operation),
            OperationCode::Watch if operation.flags & FLAG_WATCH_PREFIX != 0 => {
                self.addressee_of(operation)
            }
            OperationCode::Unwatch => self.at_address(operation.ttl_ms),
            OperationCode::Renew | OperationCode::EndSession => {
                if session == 0 {
                    self.worker
                } else {
                    self.owner_of_key(&session_text(session))
                }
            }
            _ => self.owner_of_key(key),
        }
    }

    #[inline]
    fn owner_of_key(&self, key: &[u8]) -> usize {
        self.table.owner_of(partition_of_key(key, self.partitions))
    }

    fn addressee_of(&self, operation: &Operation<'_>) -> usize {
        if operation.ttl_ms != 0 {
            return self.at_address(operation.ttl_ms);
        }
        match partition_of_tag(operation.key, self.partitions) {
            Some(partition) => self.table.owner_of(partition),
            None => self.worker,
        }
    }

    fn at_address(&self, address: u64) -> usize {
        if (1..=self.workers() as u64).contains(&address) {
            address as usize - 1
        } else {
            self.worker
        }
    }
}

/// Calls with the partition of each record.
fn for_each_partition(records: &[u8], mut call: impl FnMut(usize)) {
    let mut rest = records;
    while let Some((_, after)) = key_at(rest) {
        call(partition_at(rest));
        rest = after;
    }
}

#[cfg(test)]
#[path = "routing_tests.rs"]
mod tests;
