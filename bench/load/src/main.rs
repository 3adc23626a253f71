//! `rondo-load`: puts load on a Rondo node, on Redis, on etcd or on an echo, and measures. One core drives
//! all targets, so that every side pays the same client cost. A run that was not right from the first to
//! the last answer gives no figures.

mod arrivals;
mod check;
mod connection;
mod disk;
mod etcd;
mod fault;
mod flight;
mod limits;
mod measure;
mod option_values;
mod options;
mod outbox;
mod places;
mod plan;
mod progress;
mod protocol;
mod pushes;
mod random;
mod recorder;
mod release;
mod report;
mod resp;
mod rondo;
#[allow(clippy::all, clippy::restriction, mismatched_lifetime_syntaxes, unsafe_op_in_unsafe_fn)]
#[rustfmt::skip]
#[path = "../../../core-native/src/generated/rondo_generated.rs"]
mod rondo_generated;
mod websocket;
mod worker;
mod workload;
mod zipf;
/// The code that flatc made of the wire schema.
mod generated {
    pub use super::rondo_generated::rondo::wire::*;
}

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::etcd::{Etcd, EtcdLocks};
use crate::fault::Fault;
use crate::option_values::Route;
use crate::options::{Command, Options, Target, Work};
use crate::places::Places;
use crate::plan::{Plan, resolve};
use crate::progress::ProgressLine;
use crate::protocol::Protocol;
use crate::random::Random;
use crate::release::Release;
use crate::report::Report;
use crate::resp::Resp;
use crate::rondo::{Rondo, RondoLocks, ask_routing};
use crate::worker::{Summary, Worker};

/// What a shell adds to the number of the signal that ended a process.
const EXIT_SIGNAL_BASE: usize = 128;
/// A stream of random numbers beside those of the connections, which are below 2^32.
const EDITION_STREAM: u64 = 1 << 33;
const SCOUT_STREAM: u64 = 1 << 34;

fn main() -> ExitCode {
    let options = Options::from_command_line();
    let signal = Arc::new(AtomicUsize::new(0));
    let outcome = run(&options, &signal);
    let signal = signal.load(Ordering::Relaxed);
    if signal != 0 {
        eprintln!("rondo-load: interrupted");
        return ExitCode::from((EXIT_SIGNAL_BASE + signal) as u8);
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("rondo-load: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options, signal: &Arc<AtomicUsize>) -> Result<(), Fault> {
    for number in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(number, Arc::clone(signal), number as usize).map_err(
            |cause| Fault::System {
                what: "a signal handler",
                cause,
            },
        )?;
    }
    if let Some(Command::Disk(disk)) = &options.command {
        let summary = disk::run(disk, signal)?;
        return publish(&Report::of_disk(disk, &summary)?, disk.json);
    }
    // Masks and upgrade keys need not be the same in every run, and editions must not be.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let salt = since.map_or(0, |since| since.as_nanos() as u64);
    if let Some(Command::Pushes(pushes)) = &options.command {
        raise_file_limit(pushes.watchers + 1)?;
        let summary = pushes::run(pushes, salt, signal)?;
        return publish(&Report::of_pushes(pushes, &summary)?, pushes.json);
    }
    raise_file_limit(options.connections)?;
    let token = options.token()?;
    let edition = Random::new(salt, EDITION_STREAM).next() as u32;
    let mut plan = Plan::new(options, edition, Arc::new(AtomicBool::new(false)))?;
    let host = options.address();
    let random = |number: usize| Random::new(salt, number as u64);
    if options.route != Route::Any {
        let address = resolve(host)?;
        let scout = Rondo::new(
            host.to_owned(),
            token.clone(),
            Random::new(salt, SCOUT_STREAM),
        );
        let timeout = Duration::from_secs_f64(options.timeout);
        let routing = ask_routing(address, scout, timeout)?;
        plan.places = Places::of(options.route, address, routing.as_ref(), &plan.workload)?;
    }
    let plan = plan;
    let releases: Vec<Release> = match options.work {
        Work::Values => Vec::new(),
        Work::Locks => (0..options.keys)
            .map(|_| Release::new(plan.clock))
            .collect(),
    };
    // Connections share names evenly: with as many names as connections each has its own.
    let name_of = |number: usize| number % options.keys as usize;
    let summaries = match (options.target, options.work) {
        (Target::Rondo, Work::Locks) => drive(&plan, options, signal, |number| {
            let rondo = Rondo::new(host.to_owned(), token.clone(), random(number));
            let name = name_of(number);
            Ok(RondoLocks::new(rondo, name as u32, releases[name].clone()))
        }),
        (Target::Etcd, Work::Locks) => drive(&plan, options, signal, |number| {
            let name = name_of(number);
            EtcdLocks::new(host, name as u32, releases[name].clone())
        }),
        (Target::Rondo, _) => drive(&plan, options, signal, |number| {
            let rondo = Rondo::<false>::new(host.to_owned(), token.clone(), random(number));
            Ok(rondo.at_worker(plan.places.of_connection(number).worker))
        }),
        (Target::Echo, _) => drive(&plan, options, signal, |number| {
            Ok(Rondo::<true>::new(
                host.to_owned(),
                String::new(),
                random(number),
            ))
        }),
        (Target::Redis, _) => drive(&plan, options, signal, |_| {
            Ok(Resp::new(token.clone(), options.value_bytes as usize))
        }),
        (Target::Etcd, _) => drive(&plan, options, signal, |_| Etcd::new(host)),
    }?;
    publish(&Report::new(options, &summaries)?, options.json)
}

fn publish(report: &Report<'_>, is_json: bool) -> Result<(), Fault> {
    if report.operations() == 0 {
        return Err(Fault::Slow {
            what: "every operation",
            seconds: report.seconds(),
        });
    }
    let text = if is_json {
        report.json()? + "\n"
    } else {
        report.table()
    };
    let written = stdout()
        .write_all(text.as_bytes())
        .and_then(|()| stdout().flush());
    written.map_err(|cause| Fault::System {
        what: "to write the report",
        cause,
    })
}

/// Runs the threads to their end; the first fault ends all.
fn drive<P: Protocol>(
    plan: &Plan,
    options: &Options,
    signal: &AtomicUsize,
    make: impl Fn(usize) -> Result<P, Fault> + Sync,
) -> Result<Vec<Summary>, Fault> {
    let (sender, outcomes) = mpsc::channel();
    let shared = &plan.shared;
    thread::scope(|scope| {
        for number in 0..plan.threads {
            let sender = sender.clone();
            let make = &make;
            scope.spawn(move || {
                let outcome = Worker::new(number, plan, make).and_then(Worker::run);
                // The receiver outlives every thread.
                let _ = sender.send(outcome);
            });
        }
        drop(sender);
        let mut progress = ProgressLine::new(options.quiet);
        let mut summaries = Vec::new();
        let mut first_fault = None;
        while summaries.len() < plan.threads {
            let has_started = shared.start.load(Ordering::Relaxed) != 0;
            let pause = Duration::from_millis(if has_started { 50 } else { 5 });
            match outcomes.recv_timeout(pause) {
                Ok(Ok(summary)) => summaries.push(summary),
                Ok(Err(fault)) => {
                    shared.stop.store(true, Ordering::Relaxed);
                    if !matches!(fault, Fault::Stopped) {
                        first_fault.get_or_insert(fault);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if signal.load(Ordering::Relaxed) != 0 {
                shared.stop.store(true, Ordering::Relaxed);
            }
            if !has_started && shared.ready.load(Ordering::Acquire) == plan.threads {
                let start = plan.clock.now() + 2_000_000;
                shared.start.store(start, Ordering::Release);
            }
            progress.update(plan);
        }
        progress.clear();
        match first_fault {
            Some(fault) => Err(fault),
            None if shared.stop.load(Ordering::Relaxed) => Err(Fault::Stopped),
            None if summaries.len() < plan.threads => {
                Err(Fault::Internal("a thread ended early".into()))
            }
            None => Ok(summaries),
        }
    })
}

/// Every connection is an open file, and beside them there are some.
fn raise_file_limit(connections: u32) -> Result<(), Fault> {
    let needed = u64::from(connections) + 64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(needed),
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| Fault::System {
        what: "as many connections (raise it with ulimit -n)",
        cause: error.into(),
    })
}
