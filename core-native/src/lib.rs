//! The Node-API surface of the Rust engine, and nothing else: what JavaScript passes in becomes slices
//! and numbers here, and what the engine answers becomes numbers.

mod answers;
mod arena;
mod bare_function;
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
mod gate;
mod guards;
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

use napi::bindgen_prelude::{Float64Array, Uint8Array, Unknown};
use napi::{Env, Error, Result};
use napi_derive::napi;

use crate::engine::{
    Buffers, Engine, INPUT_LENGTH, OPERATION_CODE_COUNT, OUTCOME_LENGTH, Options, STATUS_COUNT,
};
use crate::fold::Unfit;

/// The layouts and limits that both sides must share, in the order of `ADDON_ABI` in
/// `ts/engine/native-engine.ts`.
#[napi]
pub fn abi() -> String {
    let figures: [u64; 44] = [
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
    ];
    figures.map(|figure| figure.to_string()).join(" ")
}

/// The engine with the buffers that it was given at start. After a panic, which is a broken invariant,
/// or after `close` it answers every call with an error.
struct Core {
    engine: Option<Engine>,
    reply: Uint8Array,
    records: Uint8Array,
    notices: Uint8Array,
    outcome: Float64Array,
    input: Float64Array,
    counters: Float64Array,
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
        outcome: Float64Array,
        input: Float64Array,
        counters: Float64Array,
    ) -> Result<Self> {
        let value_bytes_max = value_bytes_max as usize;
        let frame_bytes = limits::frame_bytes_max_for(value_bytes_max);
        let fits = reply.len() == frame_bytes
            && records.len() == frame_bytes
            && notices.len() == limits::NOTICES_BYTES
            && outcome.len() == OUTCOME_LENGTH
            && input.len() == INPUT_LENGTH
            && counters.len() == STATUS_COUNT * OPERATION_CODE_COUNT
            && partitions.is_power_of_two()
            && partitions as usize <= limits::PARTITIONS_MAX;
        if !fits {
            return Err(Error::from_reason(
                "the engine's options or buffers do not fit the contract",
            ));
        }
        let engine = Engine::new(&Options {
            partitions: partitions as usize,
            value_bytes_max,
            memory_bytes_max: memory_bytes_max as usize,
            hash_seed,
        });
        let core = Core {
            engine: Some(engine),
            reply,
            records,
            notices,
            outcome,
            input,
            counters,
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
        [&self.reply, &self.records, &self.notices]
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
        // keep their memory alive. They are six distinct allocations, so no slice overlaps another.
        let buffers = unsafe {
            Buffers {
                reply: self.reply.as_mut(),
                records: self.records.as_mut(),
                notices: self.notices.as_mut(),
                outcome: self.outcome.as_mut(),
                input: self.input.as_ref(),
                counters: self.counters.as_mut(),
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
