//! The Node-API surface of the Rust engine, and nothing else: what JavaScript passes in becomes slices
//! and numbers here, and what the engine answers becomes numbers.

mod answers;
mod arena;
mod bare_function;
mod blockers;
mod chunk;
mod coordination_check;
mod coordination_operations;
mod deadlines;
mod deadlock;
mod due;
mod effects;
mod engine;
mod entries;
mod ephemerals;
mod execute_call;
mod expiry;
mod fences;
mod fold;
mod forwards;
mod gate;
mod guards;
mod guests;
mod holdings;
mod holds;
mod key_hash;
mod key_order;
mod keyspace;
mod layout;
mod limits;
mod lock_list;
mod locks;
mod log;
pub mod log_api;
mod log_call;
pub mod log_recovery_api;
mod notices;
mod number;
mod operation;
mod ordered_index;
mod partition;
mod prefetch;
mod records;
mod removals;
mod reply;
mod request;
mod ring;
pub mod ring_api;
mod routing;
pub mod routing_table;
mod scan;
mod session_calls;
mod sessions;
mod settling;
mod slab;
mod table;

#[allow(clippy::all, clippy::restriction, mismatched_lifetime_syntaxes, unsafe_op_in_unsafe_fn)]
#[rustfmt::skip]
#[path = "generated/rondo_generated.rs"]
mod rondo_generated;
/// The code that flatc made of the wire schema.
mod generated {
    pub use super::rondo_generated::rondo::wire::*;
}

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::AtomicU64;

use napi::bindgen_prelude::{BigUint64Array, Float64Array, Uint8Array, Uint32Array, Unknown};
use napi::{Env, Error, Result};
use napi_derive::napi;

use crate::engine::{
    Buffers, Engine, INPUT_LENGTH, OPERATION_CODE_COUNT, OUTCOME_LENGTH, Options, STATUS_COUNT,
};
use crate::fold::Unfit;
use crate::routing::Routing;
use crate::routing_table::{Revisions, RoutingTable, shared_cells, shared_words};

/// The layouts and limits that both sides must share, in the order of `ADDON_ABI` in
/// `ts/engine/native-engine.ts`.
#[napi]
pub fn abi() -> String {
    let figures: [u64; 53] = [
        layout::PROTOCOL_VERSION.into(),
        layout::HEADER_BYTES as u64,
        layout::OPERATION_BYTES as u64,
        layout::RESULT_BYTES as u64,
        records::RECORD_HEADER_BYTES as u64,
        STATUS_COUNT as u64,
        OPERATION_CODE_COUNT as u64,
        OUTCOME_LENGTH as u64,
        INPUT_LENGTH as u64,
        limits::KEY_BYTES_MAX as u64,
        limits::VALUE_BYTES_CONFIGURABLE_MAX as u64,
        limits::FRAME_BYTES_MAX_DEFAULT as u64,
        limits::FRAME_BYTES_SLACK as u64,
        limits::OPERATIONS_PER_FRAME_MAX as u64,
        limits::RESULTS_PER_REPLY_MAX as u64,
        limits::SCAN_ENTRIES_MAX as u64,
        limits::SCAN_BYTES_MAX as u64,
        limits::SCAN_EXPIRED_MAX as u64,
        limits::TTL_MS_MAX,
        limits::ENTRY_OVERHEAD_BYTES as u64,
        limits::EXPIRIES_PER_ADVANCE_MAX as u64,
        limits::PARTITIONS_MAX as u64,
        limits::GATE_REMOVALS_EXAMINED_MAX as u64,
        notices::NOTICE_DATA_AT as u64,
        limits::SESSION_TTL_MS_MIN,
        limits::SESSION_TTL_MS_MAX,
        limits::SESSION_SECRET_BYTES as u64,
        limits::SESSION_END_BYTES_MAX as u64,
        limits::SESSION_WAITS_MAX as u64,
        limits::ANSWERS_REMEMBERED_MAX as u64,
        limits::LEASE_MS_MAX,
        limits::PERMITS_MAX,
        limits::LOCK_DEPTH_MAX.into(),
        limits::SESSION_OVERHEAD_BYTES as u64,
        limits::HOLD_OVERHEAD_BYTES as u64,
        limits::FENCE_OVERHEAD_BYTES as u64,
        limits::DEADLOCK_WAITS_EXAMINED_MAX as u64,
        limits::DEADLOCK_BLOCKERS_EXAMINED_MAX as u64,
        limits::DEADLOCK_STEPS_SHOWN_MAX as u64,
        limits::LOCK_ITEMS_SHOWN_MAX as u64,
        limits::NOTICES_BYTES as u64,
        due::DUE_PER_CALL_MAX as u64,
        due::DUE_SESSION_ROOM_BYTES as u64,
        due::DUE_ROOM_BYTES as u64,
        limits::WORKERS_MAX as u64,
        routing_table::ROUTING_SEQUENCE as u64,
        routing_table::ROUTING_VERSION as u64,
        routing_table::ROUTING_WORKERS as u64,
        routing_table::ROUTING_PARTITIONS as u64,
        routing_table::ROUTING_STATES as u64,
        routing_table::ROUTING_OWNERS as u64,
        routing_table::ROUTING_BYTES as u64,
        forwards::FORWARD_HEAD_BYTES as u64,
    ];
    figures.map(|figure| figure.to_string()).join(" ")
}

/// The engine with the buffers that it was given at start. After a panic, which is a broken invariant,
/// or after `close` it answers every call with an error.
struct Core {
    /// Has references to the memory of `_routing`.
    engine: Option<Engine>,
    reply: Uint8Array,
    records: Uint8Array,
    notices: Uint8Array,
    forwards: Uint8Array,
    outcome: Float64Array,
    input: Float64Array,
    counters: Float64Array,
    /// Keeps that memory: the routing table and the revisions.
    _routing: Option<(Uint32Array, BigUint64Array)>,
}

/// What JavaScript holds. Calls come one at a time on one thread, so the borrow never fails; were it
/// otherwise, the call would panic instead of doing harm.
#[napi]
pub struct NativeEngine {
    core: Rc<RefCell<Core>>,
}

#[napi]
impl NativeEngine {
    /// The caller has checked the options; the buffers' lengths are checked here, because the engine
    /// writes to them.
    #[napi(constructor)]
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        partitions: u32,
        value_bytes_max: u32,
        memory_bytes_max: f64,
        hash_seed: u32,
        reply: Uint8Array,
        records: Uint8Array,
        notices: Uint8Array,
        forwards: Uint8Array,
        outcome: Float64Array,
        input: Float64Array,
        counters: Float64Array,
        worker: Option<u32>,
        routing_table: Option<Uint32Array>,
        revisions: Option<BigUint64Array>,
    ) -> Result<Self> {
        let value_bytes_max = value_bytes_max as usize;
        let frame_bytes = limits::frame_bytes_max_for(value_bytes_max);
        let forwards_bytes = match worker {
            Some(_) => limits::forwards_bytes_for(value_bytes_max),
            None => 0,
        };
        let fits = reply.len() == frame_bytes
            && records.len() == frame_bytes
            && notices.len() == limits::NOTICES_BYTES
            && forwards.len() == forwards_bytes
            && outcome.len() == OUTCOME_LENGTH
            && input.len() == INPUT_LENGTH
            && counters.len() == STATUS_COUNT * OPERATION_CODE_COUNT
            && partitions.is_power_of_two()
            && partitions as usize <= limits::PARTITIONS_MAX;
        if !fits {
            return Err(unfit());
        }
        let partitions = partitions as usize;
        let shared = routing_table.zip(revisions);
        let routing = match (worker, &shared) {
            (None, None) => None,
            (Some(worker), Some((table, revisions))) => {
                let routing = routing_over(worker as usize, partitions, table, revisions);
                Some(routing.ok_or_else(unfit)?)
            }
            _ => return Err(unfit()),
        };
        let engine = Engine::new(Options {
            partitions,
            value_bytes_max,
            memory_bytes_max: memory_bytes_max as usize,
            hash_seed,
            routing,
        });
        let core = Core {
            engine: Some(engine),
            reply,
            records,
            notices,
            forwards,
            outcome,
            input,
            counters,
            _routing: shared,
        };
        Ok(Self {
            core: Rc::new(RefCell::new(core)),
        })
    }

    /// The function `execute(frame, first, now)`: length of the reply, or minus the status that refuses
    /// the frame.
    #[napi(ts_return_type = "(frame: ArrayBuffer, first: number, now: number) => number")]
    pub fn execute_function<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
        execute_call::execute_function(env, &self.core)
    }

    /// Keys expired.
    #[napi]
    pub fn advance(&self, now: f64) -> Result<u32> {
        self.core
            .borrow_mut()
            .run(|engine, buffers| engine.advance(now as u64, buffers) as u32)
    }

    /// The status.
    #[napi]
    pub fn open_session(&self, id: f64, ttl_ms: f64, digest: &[u8], now: f64) -> Result<u32> {
        self.core.borrow_mut().run(|engine, buffers| {
            let status = engine.open_session(id, ttl_ms, digest, now as u64, buffers);
            status.0.into()
        })
    }

    /// The status.
    #[napi]
    pub fn resume_session(&self, id: f64, digest: &[u8], now: f64) -> Result<u32> {
        self.core.borrow_mut().run(|engine, buffers| {
            let status = engine.resume_session(id, digest, now as u64, buffers);
            status.0.into()
        })
    }

    /// The status.
    #[napi]
    pub fn admit_session(&self, id: f64) -> Result<u32> {
        self.core
            .borrow_mut()
            .run(|engine, _| engine.admit_session(id).0.into())
    }

    /// The status.
    #[napi]
    pub fn end_guest(&self, id: f64, now: f64) -> Result<u32> {
        self.core
            .borrow_mut()
            .run(|engine, buffers| engine.end_guest(id, now as u64, buffers).0.into())
    }

    #[napi]
    pub fn guests(&self) -> Result<Float64Array> {
        self.core.borrow_mut().run(|engine, _| {
            let ids = engine.guests().into_iter().map(|id| id as f64);
            Float64Array::new(ids.collect())
        })
    }

    /// How many; -1 where they had no room.
    #[napi]
    pub fn list_blockers(&self, sessions: &[f64]) -> Result<i32> {
        self.core.borrow_mut().run(|engine, buffers| {
            let count = engine.list_blockers(sessions, buffers);
            count.map_or(-1, |count| count as i32)
        })
    }

    /// Whether there was such a wait.
    #[napi]
    pub fn refuse_wait(&self, session: f64, id: f64, detail: &[u8], now: f64) -> Result<bool> {
        self.core
            .borrow_mut()
            .run(|engine, buffers| engine.refuse_wait(session, id, detail, now as u64, buffers))
    }

    /// 0 where the records were applied; the length of a value that is too large; or -1.
    #[napi]
    pub fn fold(&self, records: &[u8]) -> Result<f64> {
        self.core
            .borrow_mut()
            .run(|engine, buffers| taken(engine.fold(records, buffers)))
    }

    /// As `fold`.
    #[napi]
    pub fn restore(&self, records: &[u8]) -> Result<f64> {
        self.core
            .borrow_mut()
            .run(|engine, buffers| taken(engine.restore(records, buffers)))
    }

    /// Whether the revisions were set.
    #[napi]
    pub fn restore_revisions(&self, revisions: &[f64], time: f64) -> Result<bool> {
        self.core
            .borrow_mut()
            .run(|engine, buffers| engine.restore_revisions(revisions, time, buffers))
    }

    #[napi]
    pub fn revision_of(&self, partition: u32) -> Result<f64> {
        self.core
            .borrow_mut()
            .run(|engine, _| engine.revision_of(partition as usize) as f64)
    }

    #[napi]
    pub fn partition_of(&self, key: &[u8]) -> Result<u32> {
        self.core
            .borrow_mut()
            .run(|engine, _| engine.partition_of(key) as u32)
    }

    /// Frees the engine's memory.
    #[napi]
    pub fn close(&self) {
        self.core.borrow_mut().engine = None;
    }
}

/// The answer to a constructor's arguments that JavaScript has not checked, or not rightly.
fn unfit() -> Error {
    Error::from_reason("the engine's options or buffers do not fit the contract")
}

/// The place of an engine among several, in memory that it shares with them. None where that does not fit.
fn routing_over(
    worker: usize,
    partitions: usize,
    table: &Uint32Array,
    revisions: &BigUint64Array,
) -> Option<Routing> {
    // SAFETY: the typed arrays are kept for longer than the engine, and the memory of a typed array is
    // aligned to its elements. All threads touch it by atomic access alone.
    let (words, cells) = unsafe {
        (
            shared_words(table.as_ptr().cast_mut(), table.len()),
            shared_cells(revisions.as_ptr().cast_mut(), revisions.len()),
        )
    };
    let table = RoutingTable::new(words, partitions)?;
    let revisions = Revisions::new(cells, partitions)?;
    Routing::new(worker, partitions, table, revisions)
}

/// Doubles as words that other threads read.
///
/// # Safety
/// Nothing else makes a reference to their memory while the result is used.
unsafe fn counters_of(counters: &Float64Array) -> &[AtomicU64] {
    // SAFETY: an AtomicU64 has the size of a double, and a typed array's memory is aligned to its elements.
    unsafe { std::slice::from_raw_parts(counters.as_ptr().cast(), counters.len()) }
}

/// What became of records, as a number.
fn taken(answer: std::result::Result<(), Unfit>) -> f64 {
    match answer {
        Ok(()) => 0.0,
        Err(Unfit::TooLarge(length)) => length as f64,
        Err(Unfit::Malformed) => -1.0,
    }
}

impl Core {
    /// Whether a frame lies in a buffer that the engine writes to.
    fn owns(&self, frame: *const u8) -> bool {
        [&self.reply, &self.records, &self.notices, &self.forwards]
            .into_iter()
            .any(|buffer| buffer.as_ptr_range().contains(&frame))
    }

    #[inline]
    fn run<T>(&mut self, call: impl FnOnce(&mut Engine, Buffers<'_>) -> T) -> Result<T> {
        let Some(engine) = self.engine.as_mut() else {
            return Err(Error::from_reason(
                "the engine was closed or has stopped after a panic",
            ));
        };
        // SAFETY: the buffers belong to the engine's thread; JavaScript made them for this engine
        // alone, keeps their length and touches them only between calls, and the typed arrays held here
        // keep their memory alive. They are distinct allocations, so no slice overlaps another. The
        // counters may be read by other threads meanwhile, and are only touched as atomics.
        let buffers = unsafe {
            Buffers {
                reply: self.reply.as_mut(),
                records: self.records.as_mut(),
                notices: self.notices.as_mut(),
                forwards: self.forwards.as_mut(),
                outcome: self.outcome.as_mut(),
                input: self.input.as_ref(),
                counters: counters_of(&self.counters),
            }
        };
        match catch_unwind(AssertUnwindSafe(|| call(engine, buffers))) {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.engine = None;
                Err(Error::from_reason(
                    "a broken invariant stopped the engine; see the panic above",
                ))
            }
        }
    }
}
