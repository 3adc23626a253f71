//! The options of `rondo-load pushes`.

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::limits::{CONNECTIONS_MAX, OUTSTANDING_MAX, VALUE_BYTES_MAX};
use crate::option_values::{seconds, seconds_above_zero};
use crate::pushes::VALUE_HEAD_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PushTarget {
    /// A Rondo node: a put, and watches of its prefix.
    Rondo,
    /// A Redis server: PUBLISH, and subscribers of the channel.
    Redis,
}

/// Measures how fast watchers are told of writes
#[derive(Args, Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushOptions {
    /// What is at the other end
    #[arg(long, value_enum, default_value = "rondo")]
    pub target: PushTarget,
    /// Host and port [default: 127.0.0.1:7400, for redis 127.0.0.1:6379]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// Watchers, each on a connection of its own
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub watchers: u32,
    /// Writes under way: not acknowledged, or not told to every watcher
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(OUTSTANDING_MAX)))]
    pub outstanding: u32,
    /// Bytes of each value
    #[arg(long, value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(VALUE_HEAD_BYTES as i64..=i64::from(VALUE_BYTES_MAX)))]
    pub value_bytes: u32,
    /// How long to measure: 10s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = seconds_above_zero)]
    #[serde(rename = "durationSeconds")]
    pub duration: f64,
    /// How long to run before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = seconds)]
    #[serde(rename = "warmUpSeconds")]
    pub warm_up: f64,
    /// How long the server may say nothing
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = seconds_above_zero)]
    #[serde(rename = "timeoutSeconds")]
    pub timeout: f64,
    /// Print one JSON object on standard output
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,
    /// No progress on standard error
    #[arg(long)]
    #[serde(skip)]
    pub quiet: bool,
}

impl PushOptions {
    pub fn address(&self) -> &str {
        self.address.as_deref().unwrap_or(match self.target {
            PushTarget::Rondo => "127.0.0.1:7400",
            PushTarget::Redis => "127.0.0.1:6379",
        })
    }
}
