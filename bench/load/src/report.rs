//! The figures of a run: one JSON object of a stable shape, or a table for people.

use std::fmt::Write;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::disk::DiskOptions;
use crate::fault::Fault;
use crate::option_values::Route;
use crate::options::{Options, Target};
use crate::protocol::Facts;
use crate::pushes::{PushOptions, PushTarget};
use crate::recorder::new_histogram;
use crate::worker::Summary;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report<'a> {
    schema: u32,
    target: &'static str,
    config: Config<'a>,
    /// Answered within the measured seconds.
    operations: u64,
    seconds: f64,
    operations_per_second: f64,
    reads: u64,
    writes: u64,
    misses: u64,
    /// Open loop: arrivals that were never sent. Their wait is part of the latencies.
    unsent: u64,
    latency_micros: Latency,
    /// Of locks: from the release to the next holder's grant.
    #[serde(skip_serializing_if = "Option::is_none")]
    handover_micros: Option<Latency>,
    bytes_sent: u64,
    bytes_received: u64,
    client_cpu_seconds: f64,
    prefill_seconds: f64,
    /// Keys that were read again after the run and had what it wrote.
    read_back: u64,
    server: Option<Facts>,
}

/// What was asked for.
#[derive(Serialize)]
#[serde(untagged)]
enum Config<'a> {
    Load(&'a Options),
    Disk(&'a DiskOptions),
    Pushes(&'a PushOptions),
}

#[derive(Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
    mean: f64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
            mean: round(histogram.mean()),
        }
    }
}

/// None where no lock changed hands.
fn handovers_of(summaries: &[Summary]) -> Result<Option<Latency>, Fault> {
    let mut histogram = new_histogram()?;
    for nanos in summaries.iter().flat_map(|summary| &summary.handovers) {
        histogram.saturating_record((nanos + 500) / 1000);
    }
    Ok((!histogram.is_empty()).then(|| Latency::of(&histogram)))
}

impl<'a> Report<'a> {
    pub fn new(options: &'a Options, summaries: &[Summary]) -> Result<Self, Fault> {
        let target = match options.target {
            Target::Rondo => "rondo",
            Target::Redis => "redis",
            Target::Etcd => "etcd",
            Target::Echo => "echo",
        };
        Self::of(target, Config::Load(options), options.duration, summaries)
    }

    pub fn of_disk(options: &'a DiskOptions, summary: &Summary) -> Result<Self, Fault> {
        let summaries = std::slice::from_ref(summary);
        Self::of("disk", Config::Disk(options), options.duration, summaries)
    }

    pub fn of_pushes(options: &'a PushOptions, summary: &Summary) -> Result<Self, Fault> {
        let target = match options.target {
            PushTarget::Rondo => "rondo",
            PushTarget::Redis => "redis",
        };
        let summaries = std::slice::from_ref(summary);
        Self::of(target, Config::Pushes(options), options.duration, summaries)
    }

    fn of(
        target: &'static str,
        config: Config<'a>,
        seconds: f64,
        summaries: &[Summary],
    ) -> Result<Self, Fault> {
        let mut histogram = new_histogram()?;
        for summary in summaries {
            histogram
                .add(&summary.measure.recorder.histogram)
                .map_err(|error| Fault::Internal(error.to_string()))?;
        }
        let sum = |figure: fn(&Summary) -> u64| summaries.iter().map(figure).sum::<u64>();
        let reads = sum(|summary| summary.measure.recorder.reads);
        let writes = sum(|summary| summary.measure.recorder.writes);
        let operations = reads + writes;
        let prefill = summaries
            .iter()
            .map(|summary| summary.prefill_nanos)
            .max()
            .unwrap_or(0);
        Ok(Self {
            schema: 1,
            target,
            config,
            operations,
            seconds,
            operations_per_second: round(operations as f64 / seconds),
            reads,
            writes,
            misses: sum(|summary| summary.measure.recorder.misses),
            unsent: sum(|summary| summary.unsent),
            latency_micros: Latency::of(&histogram),
            handover_micros: handovers_of(summaries)?,
            bytes_sent: sum(|summary| summary.measure.sent_within()),
            bytes_received: sum(|summary| summary.measure.received_within()),
            client_cpu_seconds: sum(|summary| summary.measure.cpu_within()) as f64 / 1e9,
            prefill_seconds: prefill as f64 / 1e9,
            read_back: sum(|summary| summary.read_back),
            server: summaries.first().and_then(|summary| summary.facts.clone()),
        })
    }

    pub fn operations(&self) -> u64 {
        self.operations
    }

    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    pub fn json(&self) -> Result<String, Fault> {
        serde_json::to_string(self).map_err(|error| Fault::Internal(error.to_string()))
    }

    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{name:<12}{value}");
        };
        row("server", self.server_text());
        match self.config {
            Config::Load(options) => {
                row("load", load_text(options));
                row("work", work_text(options));
            }
            Config::Pushes(options) => row(
                "work",
                format!(
                    "{} watchers told of writes of {} bytes, {} under way",
                    grouped(options.watchers.into()),
                    grouped(options.value_bytes.into()),
                    grouped(options.outstanding.into())
                ),
            ),
            Config::Disk(options) => row(
                "work",
                format!(
                    "one write of {} bytes after another, each synced, over a file of {} bytes",
                    grouped(options.bytes.into()),
                    grouped(options.file_bytes)
                ),
            ),
        }
        row(
            "throughput",
            format!(
                "{} operations/s ({} reads and {} writes in {} s)",
                grouped(self.operations_per_second as u64),
                grouped(self.reads),
                grouped(self.writes),
                self.seconds
            ),
        );
        let Latency {
            p50,
            p90,
            p99,
            p999,
            max,
            mean,
        } = self.latency_micros;
        row(
            "latency",
            format!(
                "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}  mean {mean:.0} µs",
                grouped(p50),
                grouped(p90),
                grouped(p99),
                grouped(p999),
                grouped(max)
            ),
        );
        if let Some(Latency { p50, p99, max, .. }) = &self.handover_micros {
            row(
                "hand-over",
                format!(
                    "p50 {}  p99 {}  max {} µs from a release to the next grant",
                    grouped(*p50),
                    grouped(*p99),
                    grouped(*max)
                ),
            );
        }
        row(
            "traffic",
            format!(
                "{:.1} MB/s out, {:.1} MB/s in",
                self.bytes_sent as f64 / self.seconds / 1e6,
                self.bytes_received as f64 / self.seconds / 1e6
            ),
        );
        row(
            "client",
            format!(
                "{:.0} % of a core, {:.0} ns an operation",
                self.client_cpu_seconds / self.seconds * 100.0,
                self.client_cpu_seconds * 1e9 / self.operations.max(1) as f64
            ),
        );
        if self.read_back > 0 {
            let keys = grouped(self.read_back);
            row(
                "read back",
                format!("{keys} keys, each as this run wrote it"),
            );
        }
        if self.misses > 0 {
            row(
                "misses",
                format!("{} reads found no key", grouped(self.misses)),
            );
        }
        if self.unsent > 0 {
            let unsent = grouped(self.unsent);
            row(
                "unsent",
                format!("{unsent} operations: the server did not keep up with the rate"),
            );
        }
        text
    }

    fn server_text(&self) -> String {
        let address = match self.config {
            Config::Load(options) => options.address(),
            Config::Pushes(options) => options.address(),
            Config::Disk(_) => "",
        };
        match &self.server {
            Some(Facts::Rondo {
                version,
                engine,
                transport,
                durability,
                workers,
                ..
            }) => {
                let plural = if *workers == 1 { "" } else { "s" };
                format!(
                    "rondo {version} at {address}, engine {engine}, transport {transport}, \
                     durability {durability}, {workers} worker{plural}"
                )
            }
            Some(Facts::Redis {
                version,
                append_only,
                ..
            }) => {
                let log = if *append_only {
                    "append-only file"
                } else {
                    "no append-only file"
                };
                format!("redis {version} at {address}, {log}")
            }
            Some(Facts::Etcd { version, .. }) => format!("etcd {version} at {address}"),
            Some(Facts::Disk { file, .. }) => format!("none: the file {file}"),
            Some(Facts::Named { name }) => format!("{name} at {address}"),
            None => format!("something at {address}"),
        }
    }
}

fn load_text(options: &Options) -> String {
    let shape = match options.rate {
        Some(rate) => format!("open loop, {} operations/s due", grouped(rate as u64)),
        None => format!("closed loop, {} outstanding each", options.outstanding()),
    };
    let batch = options
        .batch
        .map_or("as due".to_owned(), |batch| batch.to_string());
    format!(
        "{} connections on {} threads, {shape}, batch {batch}",
        grouped(options.connections.into()),
        options.threads
    )
}

fn work_text(options: &Options) -> String {
    let route = match options.route {
        Route::Any => "",
        Route::Direct => " of the worker that is asked",
        Route::Forward => " of other workers than the one that is asked",
    };
    format!(
        "{} % reads, {} keys {}{route}, {} bytes a value, seed {}",
        options.read_ratio * 100.0,
        grouped(options.keys.into()),
        options.distribution,
        grouped(options.value_bytes.into()),
        options.seed
    )
}

/// To three decimals.
fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
