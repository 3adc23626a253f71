//! Pushes: one writer, and watchers that are told of each write, every one on a connection of its own.
//! A write is under way until it is acknowledged and every watcher has been told of it, in order and once;
//! so many are under way at a time as the options say. What is counted are the events that watchers got,
//! their latency from the moment the write was made.

mod options;
mod redis;
mod rondo;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::fault::Fault;
use crate::limits::{CHECK_INTERVAL_MS, CONNECTING_MAX, READ_BYTES};
use crate::measure::{Measure, Window};
use crate::outbox::Outbox;
use crate::plan::resolve;
use crate::protocol::Facts;
use crate::random::Random;
use crate::worker::Summary;

pub use options::{PushOptions, PushTarget};

/// Bytes at the head of a value: when it was written, in nanoseconds, and its number, from 1 on.
pub const VALUE_HEAD_BYTES: usize = 16;
/// Both sides call what is written and watched this.
const TOPIC: &str = "push:news";

/// What a server says to a connection.
enum Said<'a> {
    /// The connection is ready: greeted, and where it is to watch, watching.
    Ready,
    Acknowledged,
    Event(&'a [u8]),
}

/// One connection's side of a protocol.
trait Peer {
    /// Called when the socket is connected.
    fn greet(&mut self, out: &mut Outbox);
    fn publish(&mut self, value: &[u8], out: &mut Outbox);
    /// Takes whole messages from the front of `bytes` and gives how many bytes they were.
    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        said: &mut dyn FnMut(Said<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault>;
    fn facts(&self) -> Option<Facts>;
}

struct Connection<P> {
    socket: TcpStream,
    peer: P,
    out: Outbox,
    carry: Vec<u8>,
    is_connected: bool,
    is_ready: bool,
    /// Number of the last write that it was told of.
    told: u64,
}

/// Writes under way, oldest first.
#[derive(Default)]
struct Flight {
    /// How many watchers have been told of each.
    told: VecDeque<usize>,
    /// Number of the newest write; how many were acknowledged.
    written: u64,
    acknowledged: u64,
}

impl Flight {
    fn first(&self) -> u64 {
        self.written + 1 - self.told.len() as u64
    }

    /// Forgets writes that are done.
    fn settle(&mut self, watchers: usize) {
        while self.told.front() == Some(&watchers) && self.first() <= self.acknowledged {
            self.told.pop_front();
        }
    }
}

/// The connections, of which the first one writes and the others watch.
struct Run<'a, P> {
    options: &'a PushOptions,
    poll: Poll,
    connections: Vec<Connection<P>>,
    measure: Measure,
    flight: Flight,
    scratch: Vec<u8>,
    clock: Instant,
    ready: usize,
    /// When a server last said something that counts.
    heard_at: Instant,
    is_writing: bool,
}

/// Runs until the measured time is over, or `signal` is not 0.
pub fn run(options: &PushOptions, salt: u64, signal: &AtomicUsize) -> Result<Summary, Fault> {
    let random = |number: usize| Random::new(salt, number as u64);
    match options.target {
        PushTarget::Rondo => drive(options, signal, |number| {
            rondo::RondoPeer::new(options.address(), number > 0, random(number))
        }),
        PushTarget::Redis => drive(options, signal, |number| redis::RedisPeer::new(number > 0)),
    }
}

fn drive<P: Peer>(
    options: &PushOptions,
    signal: &AtomicUsize,
    make: impl Fn(usize) -> P,
) -> Result<Summary, Fault> {
    let mut run = Run {
        options,
        poll: Poll::new().map_err(system("to poll"))?,
        connections: Vec::new(),
        measure: Measure::new()?,
        flight: Flight::default(),
        scratch: vec![0; READ_BYTES],
        clock: Instant::now(),
        ready: 0,
        heard_at: Instant::now(),
        is_writing: false,
    };
    let mut events = Events::with_capacity(1024);
    run.connect(&mut events, signal, make)?;
    let nanos = |seconds: f64| (seconds * 1e9) as u64;
    let begin = run.now() + nanos(options.warm_up);
    run.measure.schedule(begin, begin + nanos(options.duration));
    run.is_writing = true;
    run.write()?;
    while run.measure.window != Window::After || !run.flight.told.is_empty() {
        run.step(&mut events, signal)?;
        if run.measure.window == Window::After {
            run.is_writing = false;
        }
    }
    let facts = run.connections.first().and_then(|first| first.peer.facts());
    Ok(Summary {
        measure: run.measure,
        unsent: 0,
        read_back: 0,
        prefill_nanos: 0,
        facts,
        handovers: Vec::new(),
    })
}

impl<P: Peer> Run<'_, P> {
    fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    fn connect(
        &mut self,
        events: &mut Events,
        signal: &AtomicUsize,
        make: impl Fn(usize) -> P,
    ) -> Result<(), Fault> {
        let address = resolve(self.options.address())?;
        let refused = |cause| Fault::Connect {
            address: address.to_string(),
            cause,
        };
        let total = self.options.watchers as usize + 1;
        for number in 0..total {
            while self.connections.len() - self.ready >= CONNECTING_MAX {
                self.step(events, signal)?;
            }
            let mut socket = TcpStream::connect(address).map_err(refused)?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut socket, Token(number), interest)
                .map_err(refused)?;
            self.connections.push(Connection {
                socket,
                peer: make(number),
                out: Outbox::default(),
                carry: Vec::new(),
                is_connected: false,
                is_ready: false,
                told: 0,
            });
        }
        while self.ready < total {
            self.step(events, signal)?;
        }
        Ok(())
    }

    fn step(&mut self, events: &mut Events, signal: &AtomicUsize) -> Result<(), Fault> {
        let timeout = Duration::from_millis(CHECK_INTERVAL_MS);
        match self.poll.poll(events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(cause) => return Err(system("to wait")(cause)),
        }
        for event in events.iter() {
            let Token(number) = event.token();
            let is_readable = event.is_readable() || event.is_read_closed() || event.is_error();
            self.serve(number, is_readable)
                .map_err(|fault| fault.at(number))?;
        }
        let now = self.now();
        self.measure.tick(now);
        if self.is_writing {
            self.write()?;
        }
        if signal.load(Ordering::Relaxed) != 0 {
            return Err(Fault::Stopped);
        }
        if self.heard_at.elapsed().as_secs_f64() > self.options.timeout {
            return Err(Fault::Stalled {
                seconds: self.options.timeout,
                operations: self.flight.told.len(),
            });
        }
        Ok(())
    }

    fn serve(&mut self, number: usize, is_readable: bool) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(number) else {
            return Ok(());
        };
        if !connection.is_connected {
            if let Some(cause) = connection.socket.take_error().map_err(socket_of(number))? {
                return Err(socket_of(number)(cause));
            }
            match connection.socket.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(cause) => return Err(socket_of(number)(cause)),
            }
            connection
                .socket
                .set_nodelay(true)
                .map_err(socket_of(number))?;
            connection.is_connected = true;
            connection.peer.greet(&mut connection.out);
        }
        if is_readable {
            self.receive(number)?;
        }
        self.flush(number)
    }

    fn receive(&mut self, number: usize) -> Result<(), Fault> {
        loop {
            let Some(connection) = self.connections.get_mut(number) else {
                return Ok(());
            };
            let length = match connection.socket.read(&mut self.scratch) {
                Ok(0) => return Err(Fault::EndedEarly),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(cause) => return Err(socket_of(number)(cause)),
            };
            self.heard_at = Instant::now();
            let now = self.clock.elapsed().as_nanos() as u64;
            self.measure.tick(now);
            self.measure.received += length as u64;
            self.take_in(number, length, now)?;
            if length < READ_BYTES {
                return Ok(());
            }
        }
    }

    fn take_in(&mut self, number: usize, length: usize, now: u64) -> Result<(), Fault> {
        let watchers = self.options.watchers as usize;
        let value_bytes = self.options.value_bytes as usize;
        let Self {
            connections,
            measure,
            flight,
            scratch,
            ready,
            ..
        } = self;
        let Some(connection) = connections.get_mut(number) else {
            return Ok(());
        };
        let Connection {
            peer,
            out,
            carry,
            is_ready,
            told,
            ..
        } = connection;
        let fresh = &scratch[..length];
        let is_fresh = carry.is_empty();
        if !is_fresh {
            carry.extend_from_slice(fresh);
        }
        let bytes: &[u8] = if is_fresh { fresh } else { carry };
        measure.recorder.open_run(now);
        let used = peer.receive(bytes, out, &mut |said| {
            match said {
                Said::Ready => {
                    *is_ready = true;
                    *ready += 1;
                }
                Said::Acknowledged => flight.acknowledged += 1,
                Said::Event(value) => {
                    let (at, event) = read_value(value, value_bytes)?;
                    if event != *told + 1 || event > flight.written {
                        return Err(Fault::WrongAnswer(format!(
                            "an event of write {event} after that of {told}"
                        )));
                    }
                    *told = event;
                    let place = (event - flight.first()) as usize;
                    if let Some(count) = flight.told.get_mut(place) {
                        *count += 1;
                    }
                    measure.recorder.record(at, true);
                }
            }
            Ok(())
        })?;
        measure.recorder.close_run();
        if is_fresh {
            carry.extend_from_slice(&fresh[used..]);
        } else {
            carry.drain(..used);
        }
        flight.settle(watchers);
        Ok(())
    }

    /// As many writes as there is room for.
    fn write(&mut self) -> Result<(), Fault> {
        let room = (self.options.outstanding as usize).saturating_sub(self.flight.told.len());
        let mut value = vec![0; self.options.value_bytes as usize];
        for _ in 0..room {
            let now = self.now();
            self.flight.written += 1;
            self.flight.told.push_back(0);
            value[..8].copy_from_slice(&now.to_le_bytes());
            value[8..VALUE_HEAD_BYTES].copy_from_slice(&self.flight.written.to_le_bytes());
            let Some(writer) = self.connections.first_mut() else {
                return Ok(());
            };
            writer.peer.publish(&value, &mut writer.out);
        }
        self.flush(0)
    }

    fn flush(&mut self, number: usize) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(number) else {
            return Ok(());
        };
        if connection.out.is_empty() || !connection.is_connected {
            return Ok(());
        }
        let flushed = connection.out.flush(&mut connection.socket);
        self.measure.sent += flushed.map_err(socket_of(number))? as u64;
        Ok(())
    }
}

/// When a value was written, and its number.
fn read_value(value: &[u8], bytes: usize) -> Result<(u64, u64), Fault> {
    match value.as_chunks::<8>().0 {
        [at, number, ..] if value.len() == bytes => {
            Ok((u64::from_le_bytes(*at), u64::from_le_bytes(*number)))
        }
        _ => Err(Fault::WrongAnswer(format!(
            "an event with a value of {} bytes, not {bytes}",
            value.len()
        ))),
    }
}

fn socket_of(connection: usize) -> impl Fn(io::Error) -> Fault {
    move |cause| Fault::Socket { connection, cause }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> Fault {
    move |cause| Fault::System { what, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_under_way_until_all_have_been_told() {
        let mut flight = Flight {
            told: VecDeque::from([2, 2, 1]),
            written: 9,
            acknowledged: 7,
        };
        assert_eq!(flight.first(), 7);
        flight.settle(2);
        assert_eq!((flight.first(), flight.told.len()), (8, 2));
        flight.acknowledged = 9;
        flight.settle(2);
        assert_eq!((flight.first(), flight.told.len()), (9, 1));
    }

    #[test]
    fn a_value_tells_when_it_was_written() {
        let mut value = vec![0; 20];
        value[..8].copy_from_slice(&77_u64.to_le_bytes());
        value[8..16].copy_from_slice(&5_u64.to_le_bytes());
        assert!(matches!(read_value(&value, 20), Ok((77, 5))));
        assert!(read_value(&value, 21).is_err());
        assert!(read_value(&value[..12], 12).is_err());
    }
}
