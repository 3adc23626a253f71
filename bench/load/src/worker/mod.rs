//! One thread of the generator: an event loop over its connections.

mod phases;

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

use crate::arrivals::Schedule;
use crate::connection::{Connection, Context};
use crate::fault::Fault;
use crate::limits::{BACKLOG_MAX, CHECK_INTERVAL_MS, READ_BYTES};
use crate::measure::{Measure, Window};
use crate::plan::Plan;
use crate::protocol::{Facts, Protocol};
use crate::random::Random;

const TIMER: Token = Token(usize::MAX);
const CHECK_NANOS: u64 = CHECK_INTERVAL_MS * 1_000_000;
/// Streams of random numbers beside those of the connections, which are below 2^32.
const ARRIVALS_STREAM: u64 = 1 << 32;

/// What is sent when there is room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Nothing,
    Prefill,
    Closed,
    Open,
    ReadBack,
}

/// What a thread found out.
pub struct Summary {
    pub measure: Measure,
    /// Arrivals that were never sent, because the server did not keep up.
    pub unsent: u64,
    /// Keys that were read again after the run and had what it wrote.
    pub read_back: u64,
    pub prefill_nanos: u64,
    pub facts: Option<Facts>,
    /// Nanoseconds that locks took from a holder to the next, within the measured window.
    pub handovers: Vec<u64>,
}

pub struct Worker<'a, P, F> {
    thread: usize,
    make: F,
    poll: Poll,
    timer: OwnedFd,
    connections: Vec<Connection<P>>,
    context: Context<'a>,
    mode: Mode,
    open: usize,
    schedule: Option<Schedule>,
    /// The arrival that the timer is set for; 0 where it is not set.
    timer_at: u64,
    /// Whose turn the next arrival is.
    turn: usize,
    backlog: usize,
    checked_at: u64,
    progress_shown: u64,
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> Fault {
    move |cause| Fault::System { what, cause }
}

impl<'a, P: Protocol, F: Fn(usize) -> Result<P, Fault>> Worker<'a, P, F> {
    /// `make` gives the protocol of a connection by its number.
    pub fn new(thread: usize, plan: &'a Plan, make: F) -> Result<Self, Fault> {
        let poll = Poll::new().map_err(system("an epoll"))?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|error| system("a timer")(error.into()))?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(system("a timer"))?;
        let share = plan.connections_of(thread).len() as f64 / f64::from(plan.connections);
        let schedule = plan.rate.map(|rate| {
            let random = Random::new(plan.seed, ARRIVALS_STREAM + thread as u64);
            let offset = 1e9 / rate * thread as f64;
            Schedule::new(plan.arrivals, random, rate, share, offset)
        });
        Ok(Self {
            thread,
            make,
            poll,
            timer,
            connections: Vec::new(),
            context: Context {
                plan,
                measure: Measure::new()?,
                scratch: vec![0; READ_BYTES],
                batch: Vec::new(),
                batch_max: usize::MAX,
                is_reading_back: false,
            },
            mode: Mode::Nothing,
            open: 0,
            schedule,
            timer_at: 0,
            turn: 0,
            backlog: 0,
            checked_at: 0,
            progress_shown: 0,
        })
    }

    pub fn run(mut self) -> Result<Summary, Fault> {
        let plan = self.context.plan;
        let mut events = Events::with_capacity(1024);
        self.connect(&mut events)?;
        self.check_bounds()?;
        let prefill_nanos = self.prefill(&mut events)?;

        plan.shared.ready.fetch_add(1, Ordering::AcqRel);
        let start = loop {
            match plan.shared.start.load(Ordering::Acquire) {
                0 => self.step(&mut events, Duration::from_millis(1))?,
                start => break start,
            }
        };
        let begin = start + plan.warm_up;
        self.context.measure.schedule(begin, begin + plan.duration);
        self.send_until_the_end(start, &mut events)?;
        let unsent = self.drop_backlog();
        self.drain(&mut events)?;
        let read_back = self.read_back(&mut events)?;
        let window = begin..begin + plan.duration;
        let handovers = self
            .connections
            .iter()
            .flat_map(|connection| connection.protocol.handovers())
            .filter(|handover| window.contains(&handover.at))
            .map(|handover| handover.took)
            .collect();
        Ok(Summary {
            handovers,
            measure: self.context.measure,
            unsent,
            read_back,
            prefill_nanos,
            facts: self
                .connections
                .first()
                .and_then(|first| first.protocol.facts().cloned()),
        })
    }

    /// One turn of the event loop.
    fn step(&mut self, events: &mut Events, timeout: Duration) -> Result<(), Fault> {
        match self.poll.poll(events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(system("to wait")(cause)),
        }
        for event in events.iter() {
            let Token(index) = event.token();
            if event.token() == TIMER {
                self.timer_at = 0;
                continue;
            }
            let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
            self.serve(index, is_readable)?;
        }
        let now = self.context.plan.clock.now();
        if now - self.checked_at >= CHECK_NANOS {
            self.checked_at = now;
            self.check(now)?;
        }
        Ok(())
    }

    #[inline]
    fn serve(&mut self, index: usize, is_readable: bool) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(index) else {
            return Ok(());
        };
        if !connection.connect()? {
            return Ok(());
        }
        if is_readable {
            let was_open = connection.protocol.is_open();
            let number = connection.number;
            connection
                .receive(&mut self.context)
                .map_err(|fault| fault.at(number))?;
            if !was_open && connection.protocol.is_open() {
                self.open += 1;
            }
        }
        self.send(index)
    }

    /// Sends what is due on a connection, in one write.
    #[inline]
    fn send(&mut self, index: usize) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(index) else {
            return Ok(());
        };
        let context = &mut self.context;
        if self.mode != Mode::Nothing {
            let now = context.plan.clock.now();
            match self.mode {
                Mode::Closed if context.measure.window == Window::After => {}
                Mode::Closed => connection.fill(now, context),
                Mode::Open => connection.fill_from_backlog(now, context),
                Mode::Prefill => connection.fill_in(now, context),
                Mode::ReadBack => connection.fill_back(now, context),
                Mode::Nothing => {}
            }
        }
        let number = connection.number;
        connection.flush(context).map_err(|fault| fault.at(number))
    }

    /// Deadlines, the stop flag, and figures for the progress line.
    fn check(&mut self, now: u64) -> Result<(), Fault> {
        let plan = self.context.plan;
        let shared = &plan.shared;
        if shared.stop.load(Ordering::Relaxed) {
            return Err(Fault::Stopped);
        }
        let seconds = plan.timeout as f64 / 1e9;
        self.backlog = 0;
        for connection in &self.connections {
            self.backlog += connection.backlog.len();
            if now.saturating_sub(connection.waiting_since) <= plan.timeout {
                continue;
            }
            let operations = connection.flight.count();
            let fault = if !connection.protocol.is_open() {
                Fault::Slow {
                    what: "opening the connection",
                    seconds,
                }
            } else if operations > 0 {
                Fault::Stalled {
                    seconds,
                    operations,
                }
            } else {
                continue;
            };
            return Err(fault.at(connection.number));
        }
        if self.backlog > BACKLOG_MAX {
            return Err(Fault::Behind(self.backlog));
        }
        let progress = &shared.progress[self.thread];
        let recorder = &self.context.measure.recorder;
        progress.open.store(self.open, Ordering::Relaxed);
        progress.answers.store(recorder.answers, Ordering::Relaxed);
        let wanted = shared.progress_wanted.load(Ordering::Relaxed);
        if wanted != self.progress_shown {
            self.progress_shown = wanted;
            if let Ok(mut shown) = progress.histogram.lock() {
                *shown = Some(recorder.histogram.clone());
            }
        }
        Ok(())
    }
}
