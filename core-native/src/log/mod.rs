//! The durable log's native half. Layouts are those of `node/log/local/format.ts`, where they are
//! described; the TypeScript twins stand beside it under the same names.

#[allow(dead_code)] // until the writer uses it
pub mod batch;
