//! The durable log's native half. Layouts are those of `node/log/local/format.ts`, where they are
//! described; the TypeScript twins stand beside it under the same names.

pub mod batch;
pub mod batch_file;
pub mod compaction;
pub mod fault;
pub mod file_header;
pub mod files;
pub mod queue;
pub mod record_check;
pub mod record_merge;
pub mod run_fold;
pub mod snapshot;
pub mod writer;
