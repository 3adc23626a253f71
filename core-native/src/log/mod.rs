//! The durable log's native half. Layouts are those of `node/log/local/format.ts`, where they are
//! described; the TypeScript twins stand beside it under the same names.

#[allow(dead_code)] // until recovery uses the walk over batches
pub mod batch;
pub mod files;
pub mod queue;
pub mod record_check;
pub mod writer;
