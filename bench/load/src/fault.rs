//! What ends a run without a figure. Each says what happened, where, and where it helps what to do.

use std::io;

use crate::limits::EXCERPT_BYTES;

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("can't connect to {address}: {cause}")]
    Connect { address: String, cause: io::Error },
    #[error("connection {connection}: {cause}")]
    Socket { connection: usize, cause: io::Error },
    #[error("{address} is not an address of the form host:port: {cause}")]
    Address { address: String, cause: io::Error },
    #[error("connection {connection}: {fault}")]
    At {
        connection: usize,
        fault: Box<Fault>,
    },
    #[error("the server refused the WebSocket: {0}")]
    Upgrade(String),
    #[error("the server closed the connection with {operations} operations outstanding")]
    Ended { operations: usize },
    #[error(
        "the server closed the connection before it was open: is another protocol spoken there?"
    )]
    EndedEarly,
    #[error("the server closed the connection with code {code}{name}: {reason}")]
    Closed {
        code: u16,
        name: String,
        reason: String,
    },
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    #[error("wrong answer: {0}")]
    WrongAnswer(String),
    #[error("{key} was written in this run, the write was acknowledged, and read back was {found}")]
    Lost { key: String, found: String },
    #[error("the server answered {what} with an error: {error}")]
    Refused { what: String, error: String },
    #[error(
        "the server stalled: no answer for {seconds} s with {operations} operations outstanding"
    )]
    Stalled { seconds: f64, operations: usize },
    #[error("the server stalled: {what} took more than {seconds} s")]
    Slow { what: &'static str, seconds: f64 },
    #[error("the server's limits do not allow this run: {0}")]
    Limit(String),
    #[error("--route {0}")]
    Route(String),
    #[error(
        "the server falls behind by {0} operations in one thread: the rate is far above what it can do"
    )]
    Behind(usize),
    #[error("can't read {path}: {cause}")]
    File { path: String, cause: io::Error },
    #[error("can't write {path}: {cause}")]
    Write { path: String, cause: io::Error },
    #[error("a worker of the node was lost, and operations that were on their way to it with it")]
    WorkerLost,
    #[error("the operating system refused {what}: {cause}")]
    System {
        what: &'static str,
        cause: io::Error,
    },
    #[error("the generator itself failed: {0}")]
    Internal(String),
    /// Another thread failed or the user stopped the run; never shown.
    #[error("stopped")]
    Stopped,
}

impl Fault {
    pub fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }

    /// Says on which connection it happened, once.
    pub fn at(self, connection: usize) -> Self {
        match self {
            Self::At { .. } | Self::Socket { .. } | Self::Connect { .. } | Self::Stopped => self,
            fault => Self::At {
                connection,
                fault: Box::new(fault),
            },
        }
    }
}

/// The beginning of `bytes`, printable.
pub fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(EXCERPT_BYTES)];
    let more = if shown.len() < bytes.len() { "…" } else { "" };
    format!("\"{}{more}\" ({} bytes)", shown.escape_ascii(), bytes.len())
}
