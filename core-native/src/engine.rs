//! The engine: the contract of `ts/engine/engine.ts`, with the same bytes as `ts/engine/ts-engine.ts`.
//!
//! A frame is executed in groups of operations. For each group the keys are hashed and their cells,
//! entries and bytes prefetched, each step for the whole group before the next, so that the cache
//! misses of a group overlap; then its operations run in order and find everything near.

use std::sync::atomic::AtomicU64;

use crate::effects::{Effects, End, Full, Output, done, refused};
use crate::entries::Entry;
use crate::ephemerals::Life;
use crate::fences::Fence;
use crate::fold::{Unfit, check_fold, check_restore, fold, restore};
use crate::gate::Gate;
use crate::generated::{OperationCode, Status};
use crate::holdings::Holdings;
use crate::key_hash::Hashing;
use crate::keyspace::{Keyspace, entry_bytes};
use crate::layout::{OPERATION_BYTES, OPERATION_LIMIT, read_u32};
use crate::limits::{
    EXPIRIES_PER_ADVANCE_MAX, INTEGER_LIMIT, KEY_BYTES_MAX, RESULTS_PER_REPLY_MAX,
    frame_bytes_max_for,
};
use crate::number::{DECIMAL_BYTES_MAX, Decimal, parse_decimal};
use crate::operation::Operation;
use crate::partition::partition_of_key;
use crate::records::{Record, RecordKind, RecordWriter, record_bytes};
use crate::reply::ReplyWriter;
use crate::request::{Request, check_request};
use crate::routing::{Fate, Routing, Share};
use crate::scan::{scan, scan_fits};
use crate::slab::NONE;

/// Width of the counters, one column a status.
pub const STATUS_COUNT: usize = 48;
/// Height of the counters, one row an operation code; row 0 for unknown codes.
pub const OPERATION_CODE_COUNT: usize = 32;

// Indices into `outcome`.
const OUTCOME_NEXT: usize = 0;
pub const OUTCOME_COUNT: usize = 1;
const OUTCOME_RECORD_BYTES: usize = 2;
const OUTCOME_KEYS: usize = 3;
const OUTCOME_MEMORY_BYTES: usize = 4;
const OUTCOME_APPEND: usize = 5;
const OUTCOME_GATE: usize = 6;
const OUTCOME_NOTICE_BYTES: usize = 7;
const OUTCOME_MORE: usize = 8;
const OUTCOME_POSITION: usize = 9;
const OUTCOME_SESSIONS: usize = 10;
const OUTCOME_HOLDS: usize = 11;
const OUTCOME_WAITS: usize = 12;
const OUTCOME_FORWARD_BYTES: usize = 13;
pub const OUTCOME_LENGTH: usize = 16;

// Indices into `input`.
const INPUT_DURABLE: usize = 0;
const INPUT_WRITE_REFUSAL: usize = 1;
const INPUT_SESSION: usize = 2;
const INPUT_FORWARDED: usize = 3;
pub const INPUT_LENGTH: usize = 8;

/// Operations whose lookups overlap: enough to hide a miss, few enough for the first-level cache.
const GROUP: usize = 64;

pub struct Options {
    pub partitions: usize,
    pub value_bytes_max: usize,
    /// 0 = no bound.
    pub memory_bytes_max: usize,
    pub hash_seed: u32,
    /// None: all partitions are this engine's.
    pub routing: Option<Routing>,
}

/// The buffers that the caller registered: `reply` and `records` hold `frame_bytes_max_for` bytes,
/// `notices` NOTICES_BYTES, `forwards` `forwards_bytes_for` (with routing), `outcome` OUTCOME_LENGTH figures,
/// `input` INPUT_LENGTH, `counters` STATUS_COUNT by OPERATION_CODE_COUNT doubles, which other threads may read.
pub struct Buffers<'a> {
    pub reply: &'a mut [u8],
    pub records: &'a mut [u8],
    pub notices: &'a mut [u8],
    pub forwards: &'a mut [u8],
    pub outcome: &'a mut [f64],
    pub input: &'a [f64],
    pub counters: &'a [AtomicU64],
}

pub struct Engine {
    pub keyspace: Keyspace,
    pub holdings: Holdings,
    pub gate: Gate,
    pub value_bytes_max: usize,
    pub memory_bytes_max: usize,
    frame_bytes_max: usize,
    pub routing: Option<Routing>,
    /// How many share the partitions.
    workers: usize,
    pub now: u64,
    /// What every write is answered with; Ok: writes are taken.
    pub write_refusal: Status,
    /// The session of the frame; 0: none.
    pub session: u64,
    /// Where it is; NONE where it is not there.
    pub session_place: u32,
    /// Whether work is due that had no room in this call.
    pub more: bool,
    /// Bytes that the call has left in `forwards`.
    forward_bytes: usize,
    /// Memory of `check_fold`.
    newest: Vec<u64>,
}

impl Engine {
    pub fn new(options: Options) -> Self {
        let hashing = Hashing::new(options.hash_seed);
        Self {
            keyspace: Keyspace::new(options.partitions, hashing),
            holdings: Holdings::new(hashing),
            gate: Gate::new(),
            value_bytes_max: options.value_bytes_max,
            memory_bytes_max: options.memory_bytes_max,
            frame_bytes_max: frame_bytes_max_for(options.value_bytes_max),
            workers: options.routing.as_ref().map_or(1, Routing::workers),
            routing: options.routing,
            now: 0,
            write_refusal: Status::Ok,
            session: 0,
            session_place: NONE,
            more: false,
            forward_bytes: 0,
            newest: Vec::new(),
        }
    }

    /// Executes a frame from operation `first` on. The length of the reply, or why the frame is
    /// refused.
    pub fn execute(
        &mut self,
        frame: &[u8],
        first: usize,
        now: u64,
        buffers: Buffers<'_>,
    ) -> Result<usize, Status> {
        let Buffers {
            reply,
            records,
            notices,
            forwards,
            outcome,
            input,
            counters,
        } = buffers;
        outcome[OUTCOME_RECORD_BYTES] = 0.0;
        outcome[OUTCOME_GATE] = 0.0;
        outcome[OUTCOME_NOTICE_BYTES] = 0.0;
        outcome[OUTCOME_MORE] = 0.0;
        outcome[OUTCOME_FORWARD_BYTES] = 0.0;
        self.begin(input);
        let request = check_request(frame, self.frame_bytes_max)?;
        let Request {
            operations,
            count,
            data,
        } = request;
        let mut effects = Effects::new(records, notices, counters);
        self.move_time(now, &mut effects);
        self.enter_session(input[INPUT_SESSION]);

        let first = first.min(count);
        let (skipped, mut operations) = operations.split_at(first * OPERATION_BYTES);
        let mut data = data;
        for bytes in skipped.chunks_exact(OPERATION_BYTES) {
            data = &data[Operation::decode(bytes, data).data_bytes()..];
        }
        let mut share = Share::Whole;
        if let Some(routing) = &mut self.routing {
            if first == 0 {
                routing.refresh();
            }
            let was_forwarded = input[INPUT_FORWARDED] == 1.0;
            share = routing.share(operations, data, self.session, was_forwarded);
            if first == 0 && share != Share::Whole {
                self.forward_bytes = routing.forward(frame, &request, forwards);
            }
        }
        let mut output = Output {
            reply: ReplyWriter::new(reply, results_wanted(operations)),
            effects,
        };

        let mut next = first;
        if share == Share::Nothing {
            next = count;
            operations = &[];
        }
        'frame: for group in operations.chunks(GROUP * OPERATION_BYTES) {
            let hashes = if share == Share::Whole {
                self.prefetch_group(group, data, |_| true)
            } else {
                self.prefetch_share(group, data, next - first)
            };
            for (bytes, hash) in group.chunks_exact(OPERATION_BYTES).zip(hashes) {
                let operation = Operation::decode(bytes, data);
                let answer = if share == Share::Whole || self.is_executed(next - first) {
                    self.execute_operation(&operation, bytes, hash, &mut output)
                } else {
                    self.pass_over(&operation, next - first, &mut output)
                };
                if answer.is_err() {
                    break 'frame;
                }
                data = &data[operation.data_bytes()..];
                next += 1;
            }
        }

        if next == 0 {
            // The same call comes again, and leaves them then.
            self.forward_bytes = 0;
        }
        outcome[OUTCOME_NEXT] = next as f64;
        outcome[OUTCOME_COUNT] = count as f64;
        self.finish(outcome, &output.effects);
        Ok(output.reply.finish())
    }

    /// Moves time to `now`, does the due work, and expires the keys that are due, within the bounds of one
    /// call. How many keys.
    pub fn advance(&mut self, now: u64, buffers: Buffers<'_>) -> usize {
        let mut effects = Effects::new(buffers.records, buffers.notices, buffers.counters);
        self.begin(buffers.input);
        self.move_time(now, &mut effects);
        let mut expired = 0;
        while self.write_refusal == Status::Ok && expired < EXPIRIES_PER_ADVANCE_MAX {
            let Some(handle) = self.keyspace.expiry.first_due(self.now) else {
                break;
            };
            let key_length = self.keyspace.entries.get(handle).key().len();
            if effects.records.room() < record_bytes(key_length, 0) {
                self.more = true;
                break;
            }
            self.remove(handle, RecordKind::Expire, &mut effects.records);
            expired += 1;
        }
        self.finish(buffers.outcome, &effects);
        expired
    }

    /// Applies records, or changes nothing where they cannot follow this state.
    pub fn fold(&mut self, records: &[u8], buffers: Buffers<'_>) -> Result<(), Unfit> {
        check_fold(
            &self.keyspace,
            records,
            self.value_bytes_max,
            &mut self.newest,
        )?;
        let time = fold(&mut self.keyspace, &mut self.holdings, records);
        if let Some(routing) = &self.routing {
            routing.publish_taken(records, self.keyspace.revisions());
        }
        self.restored(time, buffers.outcome);
        Ok(())
    }

    /// Applies a part of a snapshot, or changes nothing where it cannot follow this state.
    pub fn restore(&mut self, records: &[u8], buffers: Buffers<'_>) -> Result<(), Unfit> {
        self.keyspace.settle_order();
        let Self {
            keyspace, holdings, ..
        } = self;
        check_restore(keyspace, holdings, records, self.value_bytes_max)?;
        let time = restore(keyspace, holdings, records);
        if let Some(routing) = &self.routing {
            routing.publish_taken(records, self.keyspace.revisions());
        }
        self.restored(time, buffers.outcome);
        Ok(())
    }

    /// Sets the revisions of all partitions and moves time on; false, with nothing changed, where that
    /// cannot be.
    pub fn restore_revisions(
        &mut self,
        revisions: &[f64],
        time: f64,
        buffers: Buffers<'_>,
    ) -> bool {
        let present = self.keyspace.revisions();
        let go_on = revisions.len() == present.len()
            && (0.0..INTEGER_LIMIT as f64).contains(&time)
            && revisions.iter().zip(present).all(|(&revision, &present)| {
                revision.fract() == 0.0
                    && revision >= present as f64
                    && revision < INTEGER_LIMIT as f64
            });
        if go_on {
            for (partition, &revision) in revisions.iter().enumerate() {
                self.keyspace.set_revision(partition, revision as u64);
            }
            if let Some(routing) = &self.routing {
                routing.publish_all(self.keyspace.revisions());
            }
            self.restored(time as u64, buffers.outcome);
        }
        go_on
    }

    pub fn revision_of(&self, partition: usize) -> u64 {
        self.keyspace.revision_of(partition)
    }

    pub fn partition_of(&self, key: &[u8]) -> usize {
        partition_of_key(key, self.keyspace.partitions())
    }

    /// Begins a call that may make records.
    #[inline]
    pub fn begin(&mut self, input: &[f64]) {
        self.keyspace.settle_order();
        self.forward_bytes = 0;
        self.gate
            .begin(input[INPUT_DURABLE], self.keyspace.partitions());
        let refusal = input[INPUT_WRITE_REFUSAL];
        let is_status = refusal > 0.0 && refusal < STATUS_COUNT as f64 && refusal.fract() == 0.0;
        self.write_refusal = if is_status {
            Status(refusal as u8)
        } else {
            Status::Ok
        };
    }

    /// Ends a call that may have made records.
    #[inline]
    pub fn finish(&mut self, outcome: &mut [f64], effects: &Effects<'_>) {
        let record_bytes = effects.records.length();
        if let Some(routing) = &self.routing {
            routing.publish_made(effects.records.written(), self.keyspace.revisions());
        }
        outcome[OUTCOME_RECORD_BYTES] = record_bytes as f64;
        outcome[OUTCOME_GATE] = self.gate.end(record_bytes > 0) as f64;
        outcome[OUTCOME_NOTICE_BYTES] = effects.notices.length() as f64;
        outcome[OUTCOME_MORE] = f64::from(u8::from(self.more));
        outcome[OUTCOME_FORWARD_BYTES] = self.forward_bytes as f64;
        self.show_state(outcome);
    }

    /// Ends a call that took records of some time from elsewhere.
    fn restored(&mut self, time: u64, outcome: &mut [f64]) {
        self.now = self.now.max(time);
        outcome[OUTCOME_RECORD_BYTES] = 0.0;
        outcome[OUTCOME_GATE] = 0.0;
        outcome[OUTCOME_NOTICE_BYTES] = 0.0;
        outcome[OUTCOME_MORE] = 0.0;
        outcome[OUTCOME_FORWARD_BYTES] = 0.0;
        self.show_state(outcome);
    }

    #[inline]
    fn show_state(&mut self, outcome: &mut [f64]) {
        outcome[OUTCOME_KEYS] = self.keyspace.entries.count as f64;
        outcome[OUTCOME_MEMORY_BYTES] = self.keyspace.memory_bytes as f64;
        outcome[OUTCOME_APPEND] = self.gate.appends() as f64;
        outcome[OUTCOME_POSITION] = self.keyspace.position() as f64;
        if self.holdings.is_touched {
            self.show_coordination(outcome);
        }
    }

    #[cold]
    fn show_coordination(&mut self, outcome: &mut [f64]) {
        outcome[OUTCOME_SESSIONS] = self.holdings.sessions.count() as f64;
        outcome[OUTCOME_HOLDS] = self.holdings.locks.holds.count() as f64;
        outcome[OUTCOME_WAITS] = self.holdings.locks.waits.count() as f64;
        self.holdings.is_touched = false;
    }

    /// As `prefetch_group`, of a frame of which only a part is executed here. `at`: the index of the group's
    /// first operation from the first one of the call on.
    #[inline(never)]
    fn prefetch_share(&self, group: &[u8], data: &[u8], at: usize) -> [u32; GROUP] {
        self.prefetch_group(group, data, |index| self.is_executed(at + index))
    }

    /// Whether an operation is executed here, by its index from the first one of the call on.
    #[inline]
    fn is_executed(&self, index: usize) -> bool {
        let routing = self.routing.as_ref();
        routing.is_none_or(|routing| routing.fate(index) == Fate::Executed)
    }

    /// Ends an operation that is not executed here.
    #[inline(never)]
    fn pass_over(
        &self,
        operation: &Operation<'_>,
        index: usize,
        output: &mut Output<'_>,
    ) -> Result<(), Full> {
        let routing = self.routing.as_ref();
        if routing.is_some_and(|routing| routing.fate(index) == Fate::Forwarded) {
            return Ok(());
        }
        if output.reply.result_room() < 1 {
            return Err(Full);
        }
        output.end(operation, refused(Status::Unavailable, 0), &[]);
        Ok(())
    }

    /// Hashes the keys of a group and starts loading what their lookups will need. `is_executed` tells by the
    /// index in the group which operations have one.
    #[inline(always)]
    fn prefetch_group(
        &self,
        group: &[u8],
        data: &[u8],
        is_executed: impl Fn(usize) -> bool,
    ) -> [u32; GROUP] {
        let mut hashes = [0; GROUP];
        let count = group.len() / OPERATION_BYTES;
        let mut rest = data;
        let operations = group.chunks_exact(OPERATION_BYTES).enumerate();
        for ((index, bytes), hash) in operations.zip(&mut hashes) {
            let operation = Operation::decode(bytes, rest);
            rest = &rest[operation.data_bytes()..];
            if operation.key.len() <= KEY_BYTES_MAX && is_executed(index) {
                *hash = self.keyspace.hash(operation.key);
                self.keyspace.prefetch_cell(*hash);
            }
        }
        for hash in &hashes[..count] {
            if let Some(handle) = self.keyspace.candidate(*hash) {
                self.keyspace.prefetch_entry(handle);
            }
        }
        hashes
    }

    #[inline]
    fn execute_operation(
        &mut self,
        operation: &Operation<'_>,
        bytes: &[u8],
        hash: u32,
        output: &mut Output<'_>,
    ) -> Result<(), Full> {
        if output.reply.result_room() < 1 {
            return Err(Full);
        }
        if let Err(status) = operation.check(self.value_bytes_max, self.workers) {
            output.end(operation, refused(status, 0), &[]);
            return Ok(());
        }
        if operation.code >= OperationCode::Scan {
            return self.execute_other(operation, bytes, output);
        }
        let guarded = operation.is_guarded();
        if guarded && let Some(answer) = self.answer_guarded(operation, output) {
            return answer;
        }
        if self.write_refusal != Status::Ok && operation.code != OperationCode::Get {
            output.end(operation, refused(self.write_refusal, 0), &[]);
            return Ok(());
        }

        // Room for an expire record and the operation's own, and for the number that an increment shows.
        let (unfenced, fence);
        let operation = if guarded {
            fence = operation.fence();
            unfenced = operation.behind_fence();
            &unfenced
        } else {
            fence = None;
            operation
        };
        let key_length = operation.key.len();
        let value_room = operation.value.len().max(DECIMAL_BYTES_MAX);
        let records_room = record_bytes(key_length, 0)
            + record_bytes(key_length, value_room)
            + fence.map_or(0, Fence::record_bytes);
        let is_increment = operation.code == OperationCode::Increment;
        if output.effects.records.room() < records_room
            || (is_increment && output.reply.data_room() < DECIMAL_BYTES_MAX)
        {
            return Err(Full);
        }

        let handle = self.find_live(operation.key, hash, &mut output.effects.records);
        if let Some(fence) = fence
            && let Err(end) = self.pass_fence(operation.key, handle, fence, &mut output.effects)
        {
            self.see(operation, hash, handle);
            output.end(operation, end, &[]);
            return Ok(());
        }
        let records = &mut output.effects.records;
        let end = match operation.code {
            OperationCode::Get => {
                self.get(operation, handle, output)?;
                self.see(operation, hash, handle);
                return Ok(());
            }
            OperationCode::Put => self.put(operation, hash, handle, records),
            OperationCode::Delete => self.delete(operation, handle, records),
            OperationCode::Touch => self.touch(operation, handle, records),
            _ => match self.increment(operation, hash, handle, records) {
                Ok((end, value)) => {
                    if guarded {
                        self.remember(operation, end, value.as_bytes());
                    }
                    output.end(operation, end, value.as_bytes());
                    return Ok(());
                }
                Err(end) => end,
            },
        };
        if guarded {
            self.remember(operation, end, &[]);
        }
        self.see(operation, hash, handle);
        output.end(operation, end, &[]);
        Ok(())
    }

    /// Scans, and what is not about keys.
    #[inline(never)]
    fn execute_other(
        &mut self,
        operation: &Operation<'_>,
        bytes: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), Full> {
        if operation.code != OperationCode::Scan {
            return self.coordinate(operation, bytes, output);
        }
        if !scan_fits(operation, &output.reply, self.value_bytes_max) {
            return Err(Full);
        }
        let Self {
            keyspace,
            gate,
            now,
            ..
        } = self;
        scan(keyspace, gate, operation, *now, &mut output.reply);
        output.effects.tally(operation.code, Status::Ok);
        Ok(())
    }

    /// What an operation has seen: the entry that it found, or that its key is gone. The handle is good
    /// where the gate still watches, because then the call has changed nothing.
    #[inline]
    fn see(&mut self, operation: &Operation<'_>, hash: u32, handle: Option<u32>) {
        if self.gate.watching() {
            match handle {
                Some(handle) => self.see_entry(handle),
                None => self.gate.see_absence(hash, operation.key),
            }
        }
    }

    #[inline(never)]
    fn see_entry(&mut self, handle: u32) {
        let entry = self.keyspace.entries.get(handle);
        self.gate.see(entry.partition(), entry.revision());
    }

    /// The handle of a key; one that has expired is removed first, with its record.
    #[inline]
    fn find_live(&mut self, key: &[u8], hash: u32, records: &mut RecordWriter<'_>) -> Option<u32> {
        let handle = self.keyspace.find(hash, key)?;
        if self.is_expired(self.keyspace.entries.get(handle)) {
            self.expire(handle, records);
            return None;
        }
        Some(handle)
    }

    #[cold]
    fn expire(&mut self, handle: u32, records: &mut RecordWriter<'_>) {
        if self.write_refusal == Status::Ok {
            self.remove(handle, RecordKind::Expire, records);
        } else if self.gate.watching() {
            self.see_entry(handle);
        }
    }

    #[inline]
    fn get(
        &self,
        operation: &Operation<'_>,
        handle: Option<u32>,
        output: &mut Output<'_>,
    ) -> Result<(), Full> {
        let Some(handle) = handle else {
            output.end(operation, refused(Status::NotFound, 0), &[]);
            return Ok(());
        };
        let entry = self.keyspace.entries.get(handle);
        let value = if operation.keys_only() {
            &[]
        } else {
            entry.value()
        };
        if output.reply.data_room() < value.len() {
            return Err(Full);
        }
        output.end(
            operation,
            done(entry.revision(), self.ms_left(entry)),
            value,
        );
        Ok(())
    }

    #[inline]
    fn put(
        &mut self,
        operation: &Operation<'_>,
        hash: u32,
        handle: Option<u32>,
        records: &mut RecordWriter<'_>,
    ) -> End {
        let present = self.revision_at(handle);
        if let Err(status) = operation.check_condition(present) {
            return refused(status, present);
        }
        if operation.is_ephemeral() && !self.session_takes_key(operation.key, handle) {
            return refused(Status::SessionFull, present);
        }
        if !self.memory_allows(handle, operation.key, operation.value.len()) {
            return refused(Status::ResourceExhausted, present);
        }
        self.store(operation, hash, handle, operation.value, records)
    }

    fn delete(
        &mut self,
        operation: &Operation<'_>,
        handle: Option<u32>,
        records: &mut RecordWriter<'_>,
    ) -> End {
        let Some(handle) = handle else {
            return refused(Status::NotFound, 0);
        };
        let present = self.keyspace.entries.get(handle).revision();
        match operation.check_condition(present) {
            Ok(()) => done(self.remove(handle, RecordKind::Delete, records), 0),
            Err(status) => refused(status, present),
        }
    }

    fn increment(
        &mut self,
        operation: &Operation<'_>,
        hash: u32,
        handle: Option<u32>,
        records: &mut RecordWriter<'_>,
    ) -> Result<(End, Decimal), End> {
        let present = self.revision_at(handle);
        let number = match handle {
            None => Some(0),
            Some(handle) => parse_decimal(self.keyspace.entries.get(handle).value()),
        };
        let Some(number) = number else {
            return Err(refused(Status::NotANumber, present));
        };
        let Some(sum) = number.checked_add(operation.delta()) else {
            return Err(refused(Status::NumberOverflow, present));
        };
        let value = Decimal::new(sum);
        if !self.memory_allows(handle, operation.key, value.as_bytes().len()) {
            return Err(refused(Status::ResourceExhausted, present));
        }
        Ok((
            self.store(operation, hash, handle, value.as_bytes(), records),
            value,
        ))
    }

    fn touch(
        &mut self,
        operation: &Operation<'_>,
        handle: Option<u32>,
        records: &mut RecordWriter<'_>,
    ) -> End {
        let Some(handle) = handle else {
            return refused(Status::NotFound, 0);
        };
        let entry = self.keyspace.entries.get(handle);
        let (partition, before) = (entry.partition(), entry.revision());
        let revision = self.keyspace.next_revision(partition);
        let life = operation.life_after(|| Life::FOR_EVER, self.now);
        self.keyspace.touch(handle, revision, life);
        self.gate.made(partition, revision);
        let expires_at = life.expires_at();
        records.append(Record {
            kind: RecordKind::Touch,
            flags: 0,
            back: revision - before,
            partition,
            revision,
            time: self.now,
            expires_at,
            key: operation.key,
            value: &[],
        });
        done(revision, self.ms_until(expires_at))
    }

    /// Sets the value of the operation's key and makes the record.
    #[inline]
    fn store(
        &mut self,
        operation: &Operation<'_>,
        hash: u32,
        handle: Option<u32>,
        value: &[u8],
        records: &mut RecordWriter<'_>,
    ) -> End {
        let (partition, before) = match handle {
            Some(handle) => {
                let entry = self.keyspace.entries.get(handle);
                (entry.partition(), entry.revision())
            }
            None => (self.partition_of(operation.key), 0),
        };
        let revision = self.keyspace.next_revision(partition);
        let life = if operation.is_ephemeral() {
            Life::with_session(self.session)
        } else {
            operation.life_after(|| self.life_at(handle), self.now)
        };
        match handle {
            Some(handle) => self.keyspace.replace(hash, handle, value, revision, life),
            None => self
                .keyspace
                .insert(hash, partition, operation.key, value, revision, life),
        }
        self.gate.made(partition, revision);
        let (flags, expires_at) = life.in_record();
        records.append(Record {
            kind: RecordKind::Put,
            flags,
            back: if before == 0 { 0 } else { revision - before },
            partition,
            revision,
            time: self.now,
            expires_at,
            key: operation.key,
            value,
        });
        done(revision, self.ms_until(life.expires_at()))
    }

    /// Removes a key, makes the record and returns its revision.
    pub fn remove(&mut self, handle: u32, kind: RecordKind, records: &mut RecordWriter<'_>) -> u64 {
        let entry = self.keyspace.entries.get(handle);
        let (partition, before) = (entry.partition(), entry.revision());
        let revision = self.keyspace.next_revision(partition);
        self.gate.made(partition, revision);
        self.gate
            .removed(entry.key(), || self.keyspace.hash(entry.key()));
        records.append(Record {
            kind,
            flags: 0,
            back: revision - before,
            partition,
            revision,
            time: self.now,
            expires_at: 0,
            key: entry.key(),
            value: &[],
        });
        self.keyspace.remove(handle, revision);
        revision
    }

    fn life_at(&self, handle: Option<u32>) -> Life {
        handle.map_or(Life::FOR_EVER, |handle| {
            self.keyspace.life(self.keyspace.entries.get(handle))
        })
    }

    #[inline]
    pub fn revision_at(&self, handle: Option<u32>) -> u64 {
        handle.map_or(0, |handle| self.keyspace.entries.get(handle).revision())
    }

    #[inline]
    fn memory_allows(&self, handle: Option<u32>, key: &[u8], value_length: usize) -> bool {
        let before = handle.map_or(0, |handle| {
            entry_bytes(key.len(), self.keyspace.entries.get(handle).value().len())
        });
        let after = entry_bytes(key.len(), value_length);
        if after <= before {
            return true;
        }
        if !self.keyspace.entries.arena.has_room() {
            return false;
        }
        self.memory_bytes_max == 0
            || self.keyspace.memory_bytes + after - before <= self.memory_bytes_max
    }

    #[inline]
    fn is_expired(&self, entry: Entry<'_>) -> bool {
        let expires_at = self.keyspace.expires_at(entry);
        expires_at != 0 && expires_at <= self.now
    }

    #[inline]
    fn ms_left(&self, entry: Entry<'_>) -> u64 {
        self.ms_until(self.keyspace.expires_at(entry))
    }

    /// Milliseconds from now to an expiry; 0 for none.
    #[inline]
    pub fn ms_until(&self, expires_at: u64) -> u64 {
        expires_at.saturating_sub(self.now)
    }
}

/// Results to set room aside for: one an operation, and a scan's entries.
#[inline]
fn results_wanted(operations: &[u8]) -> usize {
    let mut results = operations.len() / OPERATION_BYTES;
    for operation in operations.chunks_exact(OPERATION_BYTES) {
        if results >= RESULTS_PER_REPLY_MAX {
            break;
        }
        results += read_u32(operation, OPERATION_LIMIT) as usize;
    }
    results.min(RESULTS_PER_REPLY_MAX)
}
