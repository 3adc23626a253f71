//! One connection: its socket, its protocol and its operations in flight. The same for every target.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::ops::Range;

use mio::net::TcpStream;

use crate::check::check;
use crate::fault::Fault;
use crate::flight::Flight;
use crate::limits::READ_BYTES;
use crate::measure::Measure;
use crate::outbox::Outbox;
use crate::places::Place;
use crate::plan::Plan;
use crate::protocol::{Numbered, Protocol};
use crate::random::Random;
use crate::workload::{Draw, Values};

/// What the connections of a thread share.
pub struct Context<'a> {
    pub plan: &'a Plan,
    pub measure: Measure,
    /// READ_BYTES; what was just read.
    pub scratch: Vec<u8>,
    /// The batch that is being written.
    pub batch: Vec<Numbered>,
    /// Operations that a batch holds at most.
    pub batch_max: usize,
    /// Reads must give what this run wrote.
    pub is_reading_back: bool,
}

pub struct Connection<P> {
    /// Counted over all threads.
    pub number: usize,
    pub socket: TcpStream,
    pub protocol: P,
    place: Place,
    pub flight: Flight,
    /// Intended starts of operations that are due and not sent.
    pub backlog: VecDeque<u64>,
    /// Keys that are still to be filled in.
    pub unfilled: Range<u32>,
    /// When it was last not the server's turn, or the server last answered an operation. What else it
    /// says (a ping, the beginning of a message) does not put a stall off.
    pub waiting_since: u64,
    /// Operations drawn since the run began.
    drawn: u64,
    /// Keys that are still to be read back.
    unread: Vec<u32>,
    random: Random,
    out: Outbox,
    /// The beginning of a message whose end has not come.
    carry: Vec<u8>,
    is_connected: bool,
}

impl<P: Protocol> Connection<P> {
    pub fn new(number: usize, socket: TcpStream, protocol: P, plan: &Plan, now: u64) -> Self {
        let outstanding = plan.prefill_outstanding.max(plan.outstanding);
        let connections = u64::from(plan.connections);
        let key = |at: u64| (u64::from(plan.workload.keys) * at / connections) as u32;
        let unfilled = match plan.prefill {
            true => key(number as u64)..key(number as u64 + 1),
            false => 0..0,
        };
        Self {
            number,
            socket,
            protocol,
            place: plan.places.of_connection(number).clone(),
            flight: Flight::new(outstanding, 0),
            backlog: VecDeque::new(),
            unfilled,
            waiting_since: now,
            drawn: 0,
            unread: Vec::new(),
            random: Random::new(plan.seed, number as u64),
            out: Outbox::default(),
            carry: Vec::new(),
            is_connected: false,
        }
    }

    /// Whether the socket is connected; greets when it has just become so.
    pub fn connect(&mut self) -> Result<bool, Fault> {
        if self.is_connected {
            return Ok(true);
        }
        let address = self.place.address;
        let refused = |cause| Fault::Connect {
            address: address.to_string(),
            cause,
        };
        if let Some(cause) = self.socket.take_error().map_err(refused)? {
            return Err(refused(cause));
        }
        match self.socket.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            Err(cause) => return Err(refused(cause)),
        }
        self.socket.set_nodelay(true).map_err(refused)?;
        self.is_connected = true;
        self.protocol.greet(&mut self.out);
        Ok(true)
    }

    /// Reads all there is and takes in the answers.
    pub fn receive(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        loop {
            let length = match self.socket.read(&mut context.scratch) {
                Ok(0) if !self.protocol.is_open() => return Err(Fault::EndedEarly),
                Ok(0) => {
                    return Err(Fault::Ended {
                        operations: self.flight.count(),
                    });
                }
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(cause) => {
                    return Err(Fault::Socket {
                        connection: self.number,
                        cause,
                    });
                }
            };
            let now = context.plan.clock.now();
            context.measure.tick(now);
            context.measure.received += length as u64;
            let before = self.flight.count();
            self.take_in(length, now, context)?;
            if self.flight.count() < before {
                self.waiting_since = now;
            }
            // A short read emptied the socket: what comes later is a new event.
            if length < READ_BYTES {
                return Ok(());
            }
        }
    }

    fn take_in(&mut self, length: usize, now: u64, context: &mut Context<'_>) -> Result<(), Fault> {
        let Context {
            plan,
            measure,
            scratch,
            is_reading_back,
            ..
        } = context;
        let is_reading_back = *is_reading_back;
        let fresh = &scratch[..length];
        let is_fresh = self.carry.is_empty();
        if !is_fresh {
            self.carry.extend_from_slice(fresh);
        }
        let bytes = if is_fresh { fresh } else { &self.carry };
        let recorder = &mut measure.recorder;
        let flight = &mut self.flight;
        recorder.open_run(now);
        let used = self
            .protocol
            .receive(bytes, &mut self.out, &mut |id, outcome| {
                let Some(flown) = flight.land(id) else {
                    return Err(Fault::WrongAnswer(format!(
                        "operation {id} is not outstanding: {outcome:?}"
                    )));
                };
                if check(plan, flown, outcome, is_reading_back)? {
                    recorder.record(flown.start, flown.draw.is_read);
                } else {
                    recorder.record_missing(flown.start);
                }
                Ok(())
            })?;
        recorder.close_run();
        if is_fresh {
            self.carry.extend_from_slice(&fresh[used..]);
        } else if used == self.carry.len() {
            self.carry.clear();
        } else if used > 0 {
            self.carry.drain(..used);
        }
        Ok(())
    }

    /// Closed loop: sends as many operations as there is room for.
    #[inline]
    pub fn fill(&mut self, now: u64, context: &mut Context<'_>) {
        let mut due = context.plan.outstanding - self.flight.count();
        let batch = context.plan.batch.unwrap_or(1);
        while due >= batch && due > 0 {
            let count = context.plan.batch.unwrap_or(due.min(context.batch_max));
            self.begin_batch(now, count, context);
            for _ in 0..count {
                let draw = context
                    .plan
                    .workload
                    .draw(&mut self.random, self.place.keys());
                let id = self.flight.take(now, draw);
                context.batch.push(Numbered { id, draw });
            }
            self.drawn += count as u64;
            self.end_batch(&context.plan.workload.values, context);
            due -= count;
        }
    }

    /// Open loop: sends what is due, as far as there is room.
    pub fn fill_from_backlog(&mut self, now: u64, context: &mut Context<'_>) {
        loop {
            let room = context.plan.outstanding - self.flight.count();
            let count = room.min(self.backlog.len()).min(context.batch_max);
            if count == 0 {
                return;
            }
            self.begin_batch(now, count, context);
            for start in self.backlog.drain(..count) {
                let draw = context
                    .plan
                    .workload
                    .draw(&mut self.random, self.place.keys());
                let id = self.flight.take(start, draw);
                context.batch.push(Numbered { id, draw });
            }
            self.drawn += count as u64;
            self.end_batch(&context.plan.workload.values, context);
        }
    }

    /// Writes the next keys of this connection's share.
    pub fn fill_in(&mut self, now: u64, context: &mut Context<'_>) {
        loop {
            let outstanding_max = context
                .plan
                .prefill_outstanding
                .min(P::FILLING_OUTSTANDING_MAX);
            let count = context
                .plan
                .prefill_batch(P::OPERATION_BYTES)
                .min(context.batch_max)
                .min(outstanding_max);
            let count = count.min(self.unfilled.len());
            if count == 0 || self.flight.count() + count > outstanding_max {
                return;
            }
            self.begin_batch(now, count, context);
            for _ in 0..count {
                let draw = Draw {
                    key: self.unfilled.start,
                    is_read: false,
                };
                self.unfilled.start += 1;
                let id = self.flight.take(now, draw);
                context.batch.push(Numbered { id, draw });
            }
            self.end_batch(&context.plan.workload.filling, context);
        }
    }

    /// Chooses keys that this connection wrote in the run, evenly over it and the last one with them.
    /// What was drawn is drawn again, so that the run itself need not remember it.
    pub fn choose_read_back(&mut self, count: u64, plan: &Plan) {
        let mut random = Random::new(plan.seed, self.number as u64);
        let mut chosen = 0;
        let mut last = None;
        for at in 0..self.drawn {
            let draw = plan.workload.draw(&mut random, self.place.keys());
            if draw.is_read {
                continue;
            }
            last = Some(draw.key);
            if at * count >= chosen * self.drawn {
                self.unread.push(draw.key);
                chosen += 1;
            }
        }
        if let (Some(key), Some(place)) = (last, self.unread.last_mut()) {
            *place = key;
        }
    }

    pub fn unread(&self) -> usize {
        self.unread.len()
    }

    /// Reads the chosen keys, as many at once as the run had on the way.
    pub fn fill_back(&mut self, now: u64, context: &mut Context<'_>) {
        let room = context.plan.outstanding - self.flight.count();
        let count = room.min(self.unread.len()).min(context.batch_max);
        if count == 0 {
            return;
        }
        self.begin_batch(now, count, context);
        for key in self.unread.split_off(self.unread.len() - count) {
            let draw = Draw { key, is_read: true };
            let id = self.flight.take(now, draw);
            context.batch.push(Numbered { id, draw });
        }
        self.end_batch(&context.plan.workload.values, context);
    }

    #[inline]
    fn begin_batch(&mut self, now: u64, count: usize, context: &mut Context<'_>) {
        if self.flight.count() == 0 {
            self.waiting_since = now;
        }
        if P::HAS_IDS {
            self.flight.begin_ascending(count);
        }
        context.batch.clear();
    }

    #[inline]
    fn end_batch(&mut self, values: &Values, context: &Context<'_>) {
        self.protocol.encode(&context.batch, values, &mut self.out);
    }

    /// Sends what there is to send.
    pub fn flush(&mut self, context: &mut Context<'_>) -> Result<(), Fault> {
        if self.out.is_empty() || !self.is_connected {
            return Ok(());
        }
        match self.out.flush(&mut self.socket) {
            Ok(sent) => {
                context.measure.sent += sent as u64;
                Ok(())
            }
            Err(cause) => {
                // What the server said before it went is the better reason.
                self.receive(context)?;
                Err(Fault::Socket {
                    connection: self.number,
                    cause,
                })
            }
        }
    }

    /// Makes the ring as small as the measured run needs, for the sake of caches. Nothing is in flight.
    pub fn end_prefill(&mut self, plan: &Plan) {
        self.flight = Flight::new(plan.outstanding, self.flight.next_id());
    }
}
