//! The command line, and the checks that need more than one option.

use std::fs;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::disk::DiskOptions;
use crate::fault::Fault;
use crate::limits::{
    BATCH_MAX, CONNECTIONS_MAX, KEYS_MAX, OUTSTANDING_MAX, OUTSTANDING_OPEN_DEFAULT,
    READ_BACK_DEFAULT, READ_BACK_MAX, THREADS_MAX, VALUE_BYTES_MAX,
};

use crate::option_values::{Keys, Route, distribution, rate, ratio, seconds, seconds_above_zero};
use crate::pushes::PushOptions;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// A Rondo node.
    Rondo,
    /// A Redis server; `--token-file` holds its password.
    Redis,
    /// etcd, by version 3 of its API, without TLS and without users.
    Etcd,
    /// A WebSocket server that sends every message back: the same frames without a node.
    Echo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Keys are read and written.
    Values,
    /// Exclusive locks are taken and released; of Rondo and etcd.
    Locks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// All the same time apart.
    Even,
    /// Independent of each other.
    Poisson,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    Disk(DiskOptions),
    Pushes(PushOptions),
}

const EXAMPLES: &str = "\
Closed loop (the default): every connection keeps exactly --outstanding operations in flight; each
answer makes room for the next operation, and what became due in one turn of the event loop leaves in
one frame. Open loop (--rate): operations arrive at a fixed rate whatever the server does, and latency
counts from the moment an operation was due.

Answers are checked: a wrong value, status or id, a missing answer or a stalled server fails the run.
The same seed gives each connection the same sequence of operations.

Examples:
  rondo-load --prefill --connections 50 --outstanding 16
  rondo-load --target redis --address 127.0.0.1:6379 --prefill --outstanding 16 --json
  rondo-load --prefill --read-ratio 0.9 --distribution zipf:0.99 --value-bytes 512
  rondo-load --prefill --rate 50000 --arrivals poisson --duration 30s
  rondo-load --target etcd --address 127.0.0.1:2379 --prefill --read-ratio 0 --outstanding 16
  rondo-load --work locks --connections 50 --keys 50
  rondo-load --prefill --route forward --outstanding 128 --batch 128
  rondo-load pushes --watchers 100 --outstanding 16
  rondo-load disk --file /var/tmp/probe --bytes 128
  rondo-load --target echo --address 127.0.0.1:9001 --outstanding 128 --batch 128

Exit codes: 0 done, 1 the run failed, 2 wrong options, 130 interrupted.";

#[derive(Clone, Debug, Parser, Serialize)]
#[command(
    name = "rondo-load",
    version,
    about = "Puts load on a Rondo node, or in the same way on Redis or etcd, and measures latency",
    after_help = EXAMPLES,
    args_override_self = true,
    args_conflicts_with_subcommands = true
)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    #[command(subcommand)]
    #[serde(skip)]
    pub command: Option<Command>,
    /// What is at the other end
    #[arg(long, value_enum, default_value = "rondo")]
    pub target: Target,
    /// Host and port [default: 127.0.0.1:7400, for redis 127.0.0.1:6379, for etcd 127.0.0.1:2379]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// What an operation is. A lock is taken, waited for as long as it takes, and released: one operation.
    /// Names are --keys, shared evenly by the connections; one pair at a time on each
    #[arg(long, value_enum, default_value = "values")]
    pub work: Work,
    /// File whose first line is the node's token or Redis's password
    #[arg(long, value_name = "PATH")]
    #[serde(skip)]
    pub token_file: Option<PathBuf>,
    #[arg(long, value_name = "N", default_value_t = 50,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    pub connections: u32,
    /// Threads that connections are spread over
    #[arg(long, value_name = "N", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(THREADS_MAX)))]
    pub threads: u32,
    /// Operations in flight on each connection; in an open loop the most [default: 1, with --rate 256]
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(OUTSTANDING_MAX)))]
    pub outstanding: Option<u32>,
    /// Operations in each frame; in an open loop the most. To Redis in a closed loop: commands that
    /// must be due before any is sent, and so to etcd. What is due at once on a connection leaves in one write, to
    /// every target [default: as many as are due]
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(BATCH_MAX)))]
    pub batch: Option<u32>,
    /// Share of operations that read, 0 to 1; the others write
    #[arg(long, value_name = "R", default_value_t = 1.0, value_parser = ratio)]
    pub read_ratio: f64,
    /// Number of keys
    #[arg(long, value_name = "N", default_value_t = 100_000,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(KEYS_MAX)))]
    pub keys: u32,
    /// Which keys are chosen: uniform, or zipf:<theta>
    #[arg(long, value_name = "D", default_value = "uniform", value_parser = distribution)]
    pub distribution: Keys,
    /// On a node of several workers: direct and forward spread connections over the workers' own ports and
    /// draw from a part of the keys, each with its share of --distribution. Filling in takes all
    #[arg(long, value_enum, default_value = "any")]
    pub route: Route,
    /// Bytes of each value
    #[arg(long, value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(VALUE_BYTES_MAX)))]
    pub value_bytes: u32,
    /// How long to measure: 10s, 500ms, 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = seconds_above_zero)]
    #[serde(rename = "durationSeconds")]
    pub duration: f64,
    /// How long to run before measuring
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = seconds)]
    #[serde(rename = "warmUpSeconds")]
    pub warm_up: f64,
    /// What the sequence of operations is drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Open loop: operations that arrive each second, over all connections
    #[arg(long, value_name = "N", value_parser = rate)]
    pub rate: Option<f64>,
    /// How the arrivals of an open loop are spaced
    #[arg(long, value_enum, default_value = "even", requires = "rate")]
    pub arrivals: Arrivals,
    /// Write every key before the run
    #[arg(long)]
    pub prefill: bool,
    /// Compare every value that is read with what was written
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1,
        default_missing_value = "true", action = ArgAction::Set)]
    pub verify: bool,
    /// Count reads of absent keys in place of failing
    #[arg(long)]
    pub allow_missing: bool,
    /// Keys that this run wrote to read again at its end: each must have what this run wrote
    /// [default: 1000 where it writes and verifies]
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(0..=i64::from(READ_BACK_MAX)))]
    pub read_back: Option<u32>,
    /// How long the server may leave operations unanswered
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

impl Options {
    /// The options, defaults filled in; ends the process with exit code 2 where they are wrong.
    pub fn from_command_line() -> Self {
        let mut options = Self::parse();
        if let Err(message) = options.complete() {
            Self::command()
                .error(ErrorKind::ValueValidation, message)
                .exit();
        }
        options
    }

    fn complete(&mut self) -> Result<(), String> {
        match &self.command {
            Some(Command::Disk(disk)) => return disk.check(),
            Some(Command::Pushes(_)) => return Ok(()),
            None => {}
        }
        let port = match self.target {
            Target::Redis => 6379,
            Target::Etcd => 2379,
            Target::Rondo | Target::Echo => 7400,
        };
        self.address
            .get_or_insert_with(|| format!("127.0.0.1:{port}"));
        let default = if self.rate.is_some() {
            OUTSTANDING_OPEN_DEFAULT
        } else {
            1
        };
        let default = default.max(self.batch.unwrap_or(1));
        let outstanding = *self.outstanding.get_or_insert(default);
        if self.threads > self.connections {
            return Err(format!(
                "--threads {} needs as many --connections at least, not {}",
                self.threads, self.connections
            ));
        }
        if let Some(batch) = self.batch {
            if batch > outstanding {
                return Err(format!(
                    "--batch {batch} can never be full with --outstanding {outstanding}"
                ));
            }
            if self.rate.is_none() && !outstanding.is_multiple_of(batch) {
                return Err(format!(
                    "--outstanding {outstanding} is not a multiple of --batch {batch}, so that it \
                     can't be kept exactly"
                ));
            }
        }
        if self.work == Work::Locks {
            let is_plain = outstanding == 1 && self.rate.is_none() && !self.prefill;
            if !matches!(self.target, Target::Rondo | Target::Etcd) || !is_plain {
                return Err(
                    "--work locks is of --target rondo or etcd, one pair at a time on each \
                     connection: no --outstanding, --rate or --prefill"
                        .into(),
                );
            }
            self.read_ratio = 0.0;
            self.read_back.get_or_insert(0);
        }
        let is_routed = self.route != Route::Any;
        if is_routed && (self.target != Target::Rondo || self.work != Work::Values) {
            return Err("--route is of --target rondo and --work values".into());
        }
        let can_read_back = self.work == Work::Values
            && self.read_ratio < 1.0
            && self.verify
            && self.target != Target::Echo;
        let read_back =
            *self
                .read_back
                .get_or_insert(if can_read_back { READ_BACK_DEFAULT } else { 0 });
        if read_back > 0 && !can_read_back {
            return Err(format!(
                "--read-back {read_back} needs a --read-ratio below 1, --verify, and a target that \
                 keeps values"
            ));
        }
        if self.target == Target::Echo && self.prefill {
            return Err(
                "--prefill has no meaning with --target echo: an echo keeps nothing".into(),
            );
        }
        if matches!(self.target, Target::Echo | Target::Etcd) && self.token_file.is_some() {
            return Err("--token-file has no meaning with --target echo or etcd".into());
        }
        Ok(())
    }

    pub fn address(&self) -> &str {
        self.address.as_deref().unwrap_or_default()
    }

    pub fn outstanding(&self) -> usize {
        self.outstanding.unwrap_or(1) as usize
    }

    pub fn batch(&self) -> Option<usize> {
        self.batch.map(|batch| batch as usize)
    }

    pub fn read_back(&self) -> u32 {
        self.read_back.unwrap_or_default()
    }

    /// The token; empty where there is none.
    pub fn token(&self) -> Result<String, Fault> {
        let Some(path) = &self.token_file else {
            return Ok(String::new());
        };
        let text = fs::read_to_string(path).map_err(|cause| Fault::File {
            path: path.display().to_string(),
            cause,
        })?;
        let lines = text.lines().map(str::trim);
        let token = lines
            .into_iter()
            .find(|line| !line.is_empty() && !line.starts_with('#'));
        token.map(str::to_owned).ok_or_else(|| Fault::File {
            path: path.display().to_string(),
            cause: std::io::Error::other("there is no token in it"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words = ["rondo-load"].into_iter().chain(line.split_whitespace());
        let mut options = Options::try_parse_from(words).map_err(|error| error.to_string())?;
        options.complete()?;
        Ok(options)
    }

    #[test]
    fn the_definition_holds() {
        Options::command().debug_assert();
    }

    #[test]
    fn defaults_depend_on_the_target_and_the_loop() {
        let options = parse("").expect("valid");
        assert_eq!(
            (options.address(), options.outstanding()),
            ("127.0.0.1:7400", 1)
        );
        assert!(options.verify);
        let options = parse("--target redis --rate 5 --verify=false").expect("valid");
        assert_eq!(
            (options.address(), options.outstanding()),
            ("127.0.0.1:6379", 256)
        );
        assert!(!options.verify);
        assert_eq!(options.read_back(), 0);
        let read_back = |line| parse(line).expect("valid").read_back();
        assert_eq!(read_back("--read-ratio 0.9"), READ_BACK_DEFAULT);
        assert_eq!(read_back("--read-ratio 0 --verify=false"), 0);
        assert_eq!(parse("--batch 16").expect("valid").outstanding(), 16);
        let options = parse("--rate 5 --arrivals poisson").expect("valid");
        assert_eq!(options.arrivals, Arrivals::Poisson);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "--connections 0",
            "--connections 1 --threads 2",
            "--outstanding 0",
            "--outstanding 16 --batch 17",
            "--outstanding 16 --batch 3",
            "--read-ratio 1.1",
            "--keys 0",
            "--value-bytes 0",
            "--duration 0s",
            "--arrivals poisson",
            "--rate 0",
            "--rate -1",
            "--distribution zipf:0",
            "--distribution normal",
            "--target echo --prefill",
            "--read-back 5",
            "--read-back 5 --read-ratio 0 --verify=false",
            "--read-back 5 --read-ratio 0 --target echo",
            "--target etcd --token-file x",
            "--target redis --work locks",
            "--work locks --outstanding 2",
            "--work locks --rate 5",
            "--work locks --prefill",
            "--work locks --read-back 5",
            "--work locks --route direct",
            "--target redis --route forward",
            "--route near",
            "disk",
            "disk --file x --bytes 0",
            "disk --file x --bytes 9 --file-bytes 8",
            "disk --file x --outstanding 4",
            "--outstanding 4 disk --file x",
            "--timeout 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
