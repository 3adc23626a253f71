//! The Node-API surface of recovery and compaction: `gather_batches` for the reader, flock for the data
//! directory, and a compaction on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use napi::bindgen_prelude::{BigInt, BigUint64Array, Object, Uint8Array};
use napi::{Env, Error, Result};
use napi_derive::napi;

use crate::log::batch::{Chain, gather_batches};
use crate::log::compaction::{Job, Segment, compact};
use crate::log::fault::Fault;
use crate::log::snapshot::Written;

/// Words of `state`: log id, checksum before, next number; then what the walk answers: bytes consumed,
/// bytes of bodies, records, time, the highest number
/// that is said to be synced, whether what is left is no batch.
const STATE_LENGTH: usize = 9;

/// Walks over the batches at the front of `bytes`, as `gatherBatches` does.
#[napi]
pub fn gather(mut bytes: Uint8Array, mut state: BigUint64Array) -> Result<()> {
    // SAFETY: the caller made both arrays, which are distinct allocations, keeps them alive during the
    // call and touches neither meanwhile, as it is on the same thread.
    let (bytes, state) = unsafe { (bytes.as_mut(), state.as_mut()) };
    let Ok(state) = <&mut [u64; STATE_LENGTH]>::try_from(state) else {
        return Err(Error::from_reason("the state does not fit"));
    };
    let mut chain = Chain {
        log_id: state[0],
        before: state[1],
        next: state[2],
    };
    let gathered = gather_batches(bytes, &mut chain);
    *state = [
        chain.log_id,
        chain.before,
        chain.next,
        gathered.consumed as u64,
        gathered.body_bytes as u64,
        gathered.records,
        gathered.time,
        gathered.durable,
        gathered.is_invalid.into(),
    ];
    Ok(())
}

/// flock(2), exclusive and without waiting: whether the descriptor's file is now locked.
#[napi]
pub fn flock(descriptor: i32) -> Result<bool> {
    #[cfg(unix)]
    {
        // SAFETY: flock takes any number as a descriptor and touches no memory.
        if unsafe { libc::flock(descriptor, libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        let error = std::io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EWOULDBLOCK) => Ok(false),
            // File systems without it, such as some network ones: the lock file has to do.
            Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOLCK) => Ok(true),
            _ => Err(Error::from_reason(format!("flock: {error}"))),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = descriptor;
        Ok(true)
    }
}

#[napi(object)]
pub struct NativeCompactionJob {
    pub folder: String,
    pub log_id: BigInt,
    pub partitions: u32,
    pub snapshot: Option<String>,
    pub segments: Vec<NativeCompactionSegment>,
    pub is_background: bool,
    pub run_bytes: u32,
    pub runs_max: u32,
}

#[napi(object)]
pub struct NativeCompactionSegment {
    pub number: f64,
    pub path: String,
    pub last_batch: f64,
    pub last_checksum: BigInt,
}

/// How a compaction ended; the fields that go with `status` are set.
#[napi(object)]
#[derive(Default)]
pub struct NativeCompactionAnswer {
    /// `done`, `cancelled`, `damaged`, `io` or `panic`.
    pub status: String,
    pub path: String,
    /// Of the snapshot.
    pub bytes: f64,
    pub records: f64,
    /// Of the damage.
    pub offset: f64,
    pub expected: String,
    pub found: String,
    /// Of the failed call; 0 where there is none.
    pub errno: i32,
    pub message: String,
}

#[napi]
pub struct NativeCompaction {
    is_cancelled: Arc<AtomicBool>,
    job: Option<Job>,
    is_background: bool,
}

#[napi]
impl NativeCompaction {
    #[napi(constructor)]
    pub fn new(job: NativeCompactionJob) -> Self {
        let segments = job.segments.into_iter().map(|segment| Segment {
            number: segment.number as u64,
            path: segment.path.into(),
            last_batch: segment.last_batch as u64,
            last_checksum: segment.last_checksum.get_u64().1,
        });
        Self {
            is_cancelled: Arc::new(AtomicBool::new(false)),
            is_background: job.is_background,
            job: Some(Job {
                folder: job.folder.into(),
                log_id: job.log_id.get_u64().1,
                partitions: job.partitions,
                snapshot: job.snapshot.map(PathBuf::from),
                segments: segments.collect(),
                run_bytes: job.run_bytes as usize,
                runs_max: job.runs_max.max(2) as usize,
            }),
        }
    }

    /// Starts the thread; once. Resolves when it has ended.
    #[napi(ts_return_type = "Promise<NativeCompactionAnswer>")]
    pub fn start<'env>(&mut self, env: &'env Env) -> Result<Object<'env>> {
        let Some(job) = self.job.take() else {
            return Err(Error::from_reason("the compaction was started before"));
        };
        let (deferred, promise) = env.create_deferred()?;
        let is_cancelled = Arc::clone(&self.is_cancelled);
        let is_background = self.is_background;
        thread::Builder::new()
            .name("rondo-compaction".to_owned())
            .spawn(move || {
                if is_background {
                    lower_priority();
                }
                let run = AssertUnwindSafe(|| compact(&job, &is_cancelled));
                let answer = match catch_unwind(run) {
                    Ok(ended) => answer_of(ended),
                    Err(_) => NativeCompactionAnswer {
                        status: "panic".to_owned(),
                        message: "a broken invariant, see the panic above".to_owned(),
                        ..Default::default()
                    },
                };
                deferred.resolve(move |_| Ok(answer));
            })
            .map_err(|error| Error::from_reason(format!("no thread for a compaction: {error}")))?;
        Ok(promise)
    }

    /// Tells the thread to stop; it does so within a piece.
    #[napi]
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }
}

fn answer_of(ended: std::result::Result<Written, Fault>) -> NativeCompactionAnswer {
    let base = NativeCompactionAnswer::default();
    match ended {
        Ok(written) => NativeCompactionAnswer {
            status: "done".to_owned(),
            path: written.path.to_string_lossy().into_owned(),
            bytes: written.bytes as f64,
            records: written.records as f64,
            ..base
        },
        Err(Fault::Cancelled) => NativeCompactionAnswer {
            status: "cancelled".to_owned(),
            ..base
        },
        Err(Fault::Damaged {
            file,
            offset,
            expected,
            found,
        }) => NativeCompactionAnswer {
            status: "damaged".to_owned(),
            path: file.to_string_lossy().into_owned(),
            offset: offset as f64,
            expected,
            found,
            ..base
        },
        Err(Fault::Io { path, source }) => NativeCompactionAnswer {
            status: "io".to_owned(),
            path: path.to_string_lossy().into_owned(),
            errno: source.raw_os_error().unwrap_or(0),
            message: source.to_string(),
            ..base
        },
    }
}

/// The thread yields to all that serve.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: setpriority takes numbers and touches no memory; 0 is, on Linux, the calling thread.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
    }
}
