//! The Node-API surface of the log's writer (`log/writer.rs`). `append` and `flush` are bare Node-API
//! functions, as `execute` is (`log_call.rs`); the thread calls back through a threadsafe function, of
//! which one call is queued at most, and JavaScript finds the figures in an array that it registered.

use std::cell::RefCell;
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use napi::bindgen_prelude::{BigInt, Float64Array, Unknown};
use napi::{Env, Error, Result, sys};
use napi_derive::napi;

use crate::bare_function::bare_function;
use crate::log::batch::{BATCH_BODY_BYTES_MAX, BATCH_HEADER_BYTES, Chain};
use crate::log::files::{Files, RealFiles, ScriptedFiles};
use crate::log::queue::{End, Segment, Shared};
use crate::log::record_check::{Fault, take_records};
use crate::log::writer::{FILE_HEADER_BYTES, Options, Writer};
use crate::log_call::{add_cleanup_hook, append, create_notifier, flush, remove_cleanup_hook};

/// Figures of `progress`: durable append, durable bytes, durable batch, segment, rest, flags.
const PROGRESS_LENGTH: usize = 6;
const FLAG_FULL: u32 = 1;
const FLAG_ENDED: u32 = 2;
const FLAG_FAILED: u32 = 4;
const FLAG_SEALED: u32 = 8;
const APPEND_MALFORMED: f64 = -1.0;
const APPEND_REVISION: f64 = -2.0;

/// The layouts and codes that both sides must share, in the order of `LOG_ABI` in
/// `node/log/local/native-writer.ts`.
#[napi]
pub fn log_abi() -> String {
    let figures: [u64; 9] = [
        BATCH_HEADER_BYTES as u64,
        BATCH_BODY_BYTES_MAX as u64,
        FILE_HEADER_BYTES,
        PROGRESS_LENGTH as u64,
        FLAG_FULL.into(),
        FLAG_ENDED.into(),
        FLAG_FAILED.into(),
        FLAG_SEALED.into(),
        crate::records::RECORD_HEADER_BYTES as u64,
    ];
    figures.map(|figure| figure.to_string()).join(" ")
}

#[napi(object)]
pub struct NativeLogOptions {
    pub log_id: BigInt,
    /// Checksum of the newest batch.
    pub before: BigInt,
    /// Number of the next batch.
    pub next: f64,
    pub batch_bytes_max: u32,
    /// 0: every batch is synced.
    pub sync_interval_ms: f64,
    pub space_retry_ms: f64,
    /// For tests: see `ScriptedFiles`.
    pub faults: Option<String>,
}

#[napi(object)]
pub struct NativeSealed {
    pub number: f64,
    pub bytes: f64,
    pub last_batch: f64,
    pub last_checksum: BigInt,
}

#[napi(object)]
pub struct NativeFailure {
    pub call: String,
    pub errno: i32,
    pub segment: f64,
    pub offset: f64,
}

/// What the thread of JavaScript keeps of the log.
pub struct Core {
    shared: Arc<Shared>,
    revisions: Float64Array,
    progress: Float64Array,
    batch_bytes_max: usize,
    appended: u64,
    thread: Option<JoinHandle<()>>,
    notifier: sys::napi_threadsafe_function,
    /// The notifier keeps the process alive: appends are on their way, or the log is closing.
    keeps_alive: bool,
    is_closing: bool,
}

#[napi]
pub struct NativeLog {
    core: Rc<RefCell<Core>>,
}

/// `is_synced`: each batch is synced by itself.
#[cfg(target_os = "linux")]
fn real_files(is_synced: bool) -> Box<dyn Files> {
    if is_synced {
        Box::new(crate::log::direct_files::DirectFiles::new())
    } else {
        Box::new(RealFiles)
    }
}

#[cfg(not(target_os = "linux"))]
fn real_files(_is_synced: bool) -> Box<dyn Files> {
    Box::new(RealFiles)
}

#[napi]
impl NativeLog {
    /// Starts the thread. `revisions` is read and moved on by `append`; `progress` is written before
    /// each call of `on_progress`.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        options: NativeLogOptions,
        revisions: Float64Array,
        progress: Float64Array,
        on_progress: Unknown<'_>,
    ) -> Result<Self> {
        if progress.len() != PROGRESS_LENGTH {
            return Err(Error::from_reason("the array for progress does not fit"));
        }
        let files: Box<dyn Files> =
            match &options.faults {
                None => real_files(options.sync_interval_ms == 0.0),
                Some(script) => Box::new(ScriptedFiles::parse(script).ok_or_else(|| {
                    Error::from_reason(format!("{script} is no script of faults"))
                })?),
            };
        let chain = Chain {
            log_id: options.log_id.get_u64().1,
            before: options.before.get_u64().1,
            next: options.next as u64,
        };
        let batch_bytes_max = options.batch_bytes_max as usize;
        let writer_options = Options {
            batch_bytes_max,
            sync_interval: milliseconds(options.sync_interval_ms),
            space_retry: milliseconds(options.space_retry_ms),
        };
        let shared = Arc::new(Shared::new(chain.next.saturating_sub(1)));
        let core = Rc::new(RefCell::new(Core {
            shared: Arc::clone(&shared),
            revisions,
            progress,
            batch_bytes_max,
            appended: 0,
            thread: None,
            notifier: null_mut(),
            keeps_alive: false,
            is_closing: false,
        }));
        let notifier = create_notifier(&env, &on_progress, &core)?;
        core.borrow_mut().notifier = notifier.0;
        add_cleanup_hook(&env, &core)?;
        let waker = Arc::clone(&shared);
        let notify = Box::new(move || {
            if !waker.is_notified.swap(true, Ordering::AcqRel) {
                notifier.call();
            }
        });
        let writer = Writer::new(shared, files, notify, writer_options, chain);
        let thread = std::thread::Builder::new()
            .name("rondo-log".into())
            .spawn(move || writer.run())
            .map_err(|error| Error::from_reason(format!("the log's thread: {error}")))?;
        core.borrow_mut().thread = Some(thread);
        Ok(Self { core })
    }

    /// The function `append(records, length)`: number of the append, or a negative code that refuses it.
    #[napi(ts_return_type = "(records: Uint8Array, length: number) => number")]
    pub fn append_function<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
        bare_function(env, c"append", append, &self.core)
    }

    /// The function `flush()`.
    #[napi(ts_return_type = "() => void")]
    pub fn flush_function<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
        bare_function(env, c"flush", flush, &self.core)
    }

    /// Hands over the next segment: the descriptor belongs to the log from here on.
    #[napi]
    pub fn give(&self, number: f64, descriptor: i32, bytes: f64) -> Result<()> {
        let segment = Segment {
            number: number as u64,
            file: file_of(descriptor)?,
            bytes: bytes as u64,
        };
        let core = self.core.borrow();
        core.shared.ask(|state| {
            // Dropped, and so closed, where the thread has ended.
            if !state.progress.has_ended {
                state.segments.push_back(segment);
            }
        });
        Ok(())
    }

    /// Leaves a mark with this time where the log is idle and its last batch is none.
    #[napi]
    pub fn mark(&self, time: f64) {
        let core = self.core.borrow();
        core.shared.ask(|state| state.mark = Some(time as u64));
    }

    /// Asks the thread to make all durable and to end; `time` is that of the mark.
    #[napi]
    pub fn end(&self, env: Env, time: f64) {
        let mut core = self.core.borrow_mut();
        core.is_closing = true;
        core.keep_alive(env.raw(), true);
        core.shared.ask(|state| {
            state.end = Some(End { time: time as u64 });
        });
    }

    /// Tells the thread to end behind the call that is on its way.
    #[napi]
    pub fn abort(&self) {
        let core = self.core.borrow();
        core.shared.ask(|state| state.is_aborted = true);
    }

    /// Waits for the thread, which has ended or is told to end at once, and lets go of everything.
    #[napi]
    pub fn join(&self, env: Env) {
        let mut core = self.core.borrow_mut();
        if core.thread.is_none() {
            return;
        }
        core.stop_thread();
        remove_cleanup_hook(&env, &self.core);
        core.keep_alive(env.raw(), false);
        // SAFETY: the one count of the notifier, whose thread is gone; it is not used after this.
        unsafe {
            sys::napi_release_threadsafe_function(
                core.notifier,
                sys::ThreadsafeFunctionReleaseMode::release,
            );
        }
        core.notifier = null_mut();
    }

    #[napi]
    pub fn take_sealed(&self) -> Vec<NativeSealed> {
        let sealed = self.core.borrow().shared.lock().take_sealed();
        let sealed = sealed.into_iter().map(|sealed| NativeSealed {
            number: sealed.number as f64,
            bytes: sealed.bytes as f64,
            last_batch: sealed.last_batch as f64,
            last_checksum: sealed.last_checksum.into(),
        });
        sealed.collect()
    }

    #[napi]
    pub fn failure(&self) -> Option<NativeFailure> {
        let failure = self.core.borrow().shared.lock().failure.clone();
        failure.map(|failure| NativeFailure {
            call: failure.call.into(),
            errno: failure.errno,
            segment: failure.segment as f64,
            offset: failure.offset as f64,
        })
    }
}

impl Core {
    /// Number of the append, or a code that refuses it.
    pub fn append(&mut self, records: &[u8]) -> f64 {
        // SAFETY: on the thread of JavaScript, which touches the array only between calls; it was made
        // for this log alone.
        let revisions = unsafe { self.revisions.as_mut() };
        match take_records(records, revisions) {
            Err(Fault::Malformed) => APPEND_MALFORMED,
            Err(Fault::Revision) => APPEND_REVISION,
            Ok(checked) => {
                self.appended += 1;
                let number = self.appended;
                let mut state = self.shared.lock();
                state.append(records, checked, number, self.batch_bytes_max);
                number as f64
            }
        }
    }

    /// Ends the thread at once where it has not ended yet: what it is writing it finishes.
    pub fn stop_thread(&mut self) {
        self.shared.ask(|state| state.is_aborted = true);
        if let Some(thread) = self.thread.take() {
            // Panics are caught within the thread.
            let _ = thread.join();
        }
    }

    fn keep_alive(&mut self, env: sys::napi_env, keeps_alive: bool) {
        if self.keeps_alive == keeps_alive || self.notifier.is_null() {
            return;
        }
        self.keeps_alive = keeps_alive;
        // SAFETY: on the thread of JavaScript, with a notifier that was not released.
        unsafe {
            if keeps_alive {
                sys::napi_ref_threadsafe_function(env, self.notifier);
            } else {
                sys::napi_unref_threadsafe_function(env, self.notifier);
            }
        }
    }

    /// Has the thread write what was appended.
    pub fn flush(&mut self, env: sys::napi_env) {
        let appended = self.appended;
        let is_pending = self.shared.ask(|state| {
            state.is_flushed |= state.has_groups();
            state.progress.durable < appended && !state.progress.has_ended
        });
        if is_pending {
            self.keep_alive(env, true);
        }
    }

    /// Copies the figures to where JavaScript reads them.
    pub fn refresh(&mut self, env: sys::napi_env) {
        self.shared.is_notified.store(false, Ordering::Release);
        let state = self.shared.lock();
        let progress = state.progress;
        let mut flags = 0;
        for (is_set, flag) in [
            (progress.is_full, FLAG_FULL),
            (progress.has_ended, FLAG_ENDED),
            (state.failure.is_some(), FLAG_FAILED),
            (!state.sealed.is_empty(), FLAG_SEALED),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        drop(state);
        let figures: [f64; PROGRESS_LENGTH] = [
            progress.durable as f64,
            progress.durable_bytes as f64,
            progress.newest_batch as f64,
            progress.segment as f64,
            progress.rest as f64,
            flags.into(),
        ];
        // SAFETY: on the thread of JavaScript, which reads the array only between calls; it was made
        // for this log, and its length was checked.
        unsafe { self.progress.as_mut() }.copy_from_slice(&figures);
        let is_idle = progress.durable == self.appended && !self.is_closing;
        if is_idle || progress.has_ended {
            self.keep_alive(env, false);
        }
    }
}

fn milliseconds(count: f64) -> Duration {
    Duration::from_micros((count * 1000.0) as u64)
}

#[cfg(unix)]
fn file_of(descriptor: i32) -> Result<std::fs::File> {
    use std::os::fd::FromRawFd;
    if descriptor < 0 {
        return Err(Error::from_reason("a segment needs an open descriptor"));
    }
    // SAFETY: the caller opened the descriptor for this log and hands it over; nothing else closes it.
    Ok(unsafe { std::fs::File::from_raw_fd(descriptor) })
}

#[cfg(not(unix))]
fn file_of(_descriptor: i32) -> Result<std::fs::File> {
    Err(Error::from_reason(
        "descriptors are not shared on this platform",
    ))
}
