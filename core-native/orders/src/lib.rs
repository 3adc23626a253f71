//! The readers of memory that threads share, alone and with the checker's atomics in place of the real ones:
//! `RUSTFLAGS="--cfg loom" cargo test -p rondo-orders` runs them through all orders of two threads. A crate of its
//! own, since the engine around them knows real ones only; without that flag it is empty.
#![cfg(all(test, loom))]

/// A table as small as can be: every word more multiplies the orders.
mod limits {
    pub const PARTITIONS_MAX: usize = 2;
    pub const WORKERS_MAX: usize = 2;
}
#[allow(dead_code)]
#[path = "../../src/routing_table.rs"]
mod routing_table;
