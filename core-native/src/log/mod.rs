//! The durable log's native half. Layouts are those of `node/log/local/format.ts`, where they are
//! described; the TypeScript twins stand beside it under the same names.

#[cfg(target_os = "linux")]
pub mod aligned;
pub mod batch;
pub mod batch_file;
pub mod compaction;
#[cfg(target_os = "linux")]
pub mod direct_files;
pub mod fault;
pub mod file_header;
pub mod files;
pub mod queue;
pub mod record_check;
pub mod record_merge;
pub mod run_fold;
pub mod snapshot;
pub mod writer;
