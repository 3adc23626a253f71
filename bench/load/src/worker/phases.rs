//! What a thread does one after another: it opens its connections, fills the keys in, runs the loop, waits
//! for the last answers, and reads back what it wrote.

use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Token};
use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

use crate::connection::Connection;
use crate::fault::Fault;
use crate::limits::{ARRIVAL_SLEEP_NANOS_MIN, CHECK_INTERVAL_MS, CONNECTING_MAX};
use crate::measure::Window;
use crate::protocol::Protocol;
use crate::worker::{CHECK_NANOS, Mode, Worker, system};

impl<P: Protocol, F: Fn(usize) -> Result<P, Fault>> Worker<'_, P, F> {
    pub(super) fn connect(&mut self, events: &mut Events) -> Result<(), Fault> {
        let plan = self.context.plan;
        let numbers = plan.connections_of(self.thread);
        let total = numbers.len();
        for number in numbers {
            while self.connections.len() - self.open >= CONNECTING_MAX {
                self.step(events, Duration::from_millis(CHECK_INTERVAL_MS))?;
            }
            let address = plan.places.of_connection(number).address;
            let refused = |cause| Fault::Connect {
                address: address.to_string(),
                cause,
            };
            let mut socket = TcpStream::connect(address).map_err(refused)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut socket, Token(self.connections.len()), interest)
                .map_err(refused)?;
            let protocol = (self.make)(number)?;
            let now = plan.clock.now();
            self.connections
                .push(Connection::new(number, socket, protocol, plan, now));
        }
        while self.open < total {
            self.step(events, Duration::from_millis(CHECK_INTERVAL_MS))?;
        }
        Ok(())
    }

    /// What the server allows, once it is known.
    pub(super) fn check_bounds(&mut self) -> Result<(), Fault> {
        let plan = self.context.plan;
        let Some(first) = self.connections.first() else {
            return Ok(());
        };
        let bounds = first.protocol.bounds();
        let value_bytes = plan.workload.values.bytes;
        if value_bytes > bounds.value_bytes {
            let allowed = bounds.value_bytes;
            return Err(Fault::Limit(format!(
                "values of {allowed} bytes, not {value_bytes}"
            )));
        }
        if plan.outstanding > bounds.outstanding {
            let allowed = bounds.outstanding;
            return Err(Fault::Limit(format!(
                "{allowed} operations outstanding, not {}",
                plan.outstanding
            )));
        }
        let operation = P::OPERATION_BYTES + value_bytes;
        let by_bytes = bounds.batch_bytes.saturating_sub(64) / operation;
        let batch_max = bounds.batch_operations.min(by_bytes);
        if batch_max < plan.batch.unwrap_or(1) {
            return Err(Fault::Limit(format!(
                "{batch_max} operations of {operation} bytes in a frame"
            )));
        }
        self.context.batch_max = match plan.rate {
            Some(_) => batch_max.min(plan.batch.unwrap_or(batch_max)),
            None => batch_max,
        };
        Ok(())
    }

    /// Gives the nanoseconds it took.
    pub(super) fn prefill(&mut self, events: &mut Events) -> Result<u64, Fault> {
        let plan = self.context.plan;
        if !plan.prefill {
            return Ok(0);
        }
        let start = plan.clock.now();
        self.mode = Mode::Prefill;
        for index in 0..self.connections.len() {
            self.send(index)?;
        }
        while !self
            .connections
            .iter()
            .all(|one| one.unfilled.is_empty() && one.flight.count() == 0)
        {
            self.step(events, Duration::from_millis(CHECK_INTERVAL_MS))?;
        }
        self.mode = Mode::Nothing;
        for connection in &mut self.connections {
            connection.end_prefill(plan);
        }
        Ok(plan.clock.now() - start)
    }

    pub(super) fn send_until_the_end(
        &mut self,
        start: u64,
        events: &mut Events,
    ) -> Result<(), Fault> {
        let clock = &self.context.plan.clock;
        while clock.now() < start {
            self.step(events, Duration::ZERO)?;
        }
        if let Some(schedule) = &mut self.schedule {
            self.mode = Mode::Open;
            schedule.start(start);
        } else {
            self.mode = Mode::Closed;
            for index in 0..self.connections.len() {
                self.send(index)?;
            }
        }
        while self.context.measure.window != Window::After {
            let now = clock.now();
            self.context.measure.tick(now);
            if self.mode == Mode::Open {
                self.arrive(now)?;
            }
            let rest = self.context.measure.end().saturating_sub(now).max(1);
            let timeout = Duration::from_nanos(rest.min(CHECK_NANOS));
            self.step(events, timeout)?;
        }
        if self.mode == Mode::Open {
            // What became due since the last look is not the server's delay.
            self.arrive(clock.now())?;
        }
        self.mode = Mode::Nothing;
        Ok(())
    }

    /// Hands the operations that are due by `now` to the connections in turn, and sets the timer for
    /// the next.
    fn arrive(&mut self, now: u64) -> Result<(), Fault> {
        let end = self.context.measure.end();
        let Some(schedule) = &mut self.schedule else {
            return Ok(());
        };
        let total = self.connections.len();
        let first = self.turn;
        let mut arrived = 0;
        while schedule.next() <= now.min(end - 1) {
            self.connections[self.turn]
                .backlog
                .push_back(schedule.next());
            schedule.advance();
            arrived += 1;
            self.turn = if self.turn + 1 == total {
                0
            } else {
                self.turn + 1
            };
        }
        let next = schedule.next();
        for offset in 0..arrived.min(total) {
            self.send((first + offset) % total)?;
        }
        if next == self.timer_at {
            return Ok(());
        }
        self.timer_at = next;
        let sleep = next
            .saturating_sub(self.context.plan.clock.now())
            .max(ARRIVAL_SLEEP_NANOS_MIN);
        let value = Timespec {
            tv_sec: (sleep / 1_000_000_000) as i64,
            tv_nsec: (sleep % 1_000_000_000) as i64,
        };
        let it_interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = Itimerspec {
            it_interval,
            it_value: value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)
            .map_err(|error| system("a timer")(error.into()))?;
        Ok(())
    }

    /// Operations that were due in the window and never sent: their wait so far is recorded, so that an
    /// overloaded server can't hide them.
    pub(super) fn drop_backlog(&mut self) -> u64 {
        let end = self.context.measure.end();
        let mut unsent = 0;
        for connection in &mut self.connections {
            for start in connection.backlog.drain(..) {
                self.context.measure.recorder.record_unsent(start, end);
                unsent += 1;
            }
        }
        unsent
    }

    pub(super) fn drain(&mut self, events: &mut Events) -> Result<(), Fault> {
        while self
            .connections
            .iter()
            .any(|connection| connection.flight.count() > 0)
        {
            self.step(events, Duration::from_millis(CHECK_INTERVAL_MS))?;
        }
        Ok(())
    }

    /// Reads keys again that the run wrote; gives how many. Every write has been answered.
    pub(super) fn read_back(&mut self, events: &mut Events) -> Result<u64, Fault> {
        let plan = self.context.plan;
        if plan.read_back == 0 {
            return Ok(0);
        }
        self.context.measure.recorder.end_latencies();
        self.context.is_reading_back = true;
        let share = u64::from(plan.read_back.div_ceil(plan.connections));
        let mut chosen = 0;
        for connection in &mut self.connections {
            connection.choose_read_back(share, plan);
            chosen += connection.unread() as u64;
        }
        self.mode = Mode::ReadBack;
        for index in 0..self.connections.len() {
            self.send(index)?;
        }
        while !self
            .connections
            .iter()
            .all(|one| one.unread() == 0 && one.flight.count() == 0)
        {
            self.step(events, Duration::from_millis(CHECK_INTERVAL_MS))?;
        }
        self.mode = Mode::Nothing;
        Ok(chosen)
    }
}
