//! Rondo's protocol over WebSocket, and the same requests to a server that echoes them. Requests are
//! laid out as the node's clients do (see `ts/wire/layout.ts`).

pub mod layout;
mod locks;
pub mod reply;
mod request;
pub mod routing;
mod scout;
#[cfg(test)]
mod tests;

use flatbuffers::FlatBufferBuilder;

use crate::fault::{Fault, excerpt};
use crate::generated::{
    Frame, FrameArgs, FrameKind, Hello, HelloArgs, Status, finish_frame_buffer,
};
use crate::outbox::Outbox;
use crate::protocol::{Bounds, Facts, Numbered, Outcome, Protocol};
use crate::random::Random;
use crate::rondo::layout::{ELEMENT_BYTES, frame_of};
use crate::rondo::reply::read_reply;
use crate::rondo::request::{read_echo, request_bytes, write_request};
use crate::rondo::routing::Routing;
use crate::websocket::{
    OPCODE_BINARY, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, Upgrade, header_bytes,
    mask, read_message, write_header,
};
use crate::workload::{KEY_BYTES, Values};

pub use locks::RondoLocks;
pub use scout::ask_routing;

const PROTOCOL_VERSION: u16 = 1;
/// A close code of the node is this plus a Status.
const CLOSE_CODE_BASE: u16 = 4000;
/// What is under way between the sides.
enum Stage {
    Upgrading(Upgrade),
    Greeting,
    Open,
}

pub struct Rondo<const ECHO: bool> {
    host: String,
    token: String,
    random: Random,
    stage: Stage,
    bounds: Bounds,
    facts: Option<Facts>,
    /// Milliseconds; 0: no session is asked for.
    session_ttl_ms: u64,
    /// Which worker must be there; None: any.
    worker: Option<u16>,
    /// From the greeting; None where the node has one worker.
    routing: Option<Routing>,
}

impl<const ECHO: bool> Rondo<ECHO> {
    /// `random` draws masks and the upgrade's key.
    pub fn new(host: String, token: String, mut random: Random) -> Self {
        let upgrade = Upgrade::new(&mut random);
        Self {
            host,
            token,
            random,
            stage: Stage::Upgrading(upgrade),
            // An echo has no limits of its own: take those of a node with default settings.
            bounds: Bounds {
                batch_operations: 8192,
                batch_bytes: usize::MAX,
                outstanding: 65_536,
                value_bytes: usize::MAX,
            },
            facts: None,
            session_ttl_ms: 0,
            worker: None,
            routing: None,
        }
    }

    /// The greeting fails where another worker answers.
    pub fn at_worker(self, worker: Option<u16>) -> Self {
        Self { worker, ..self }
    }

    pub fn routing(&self) -> Option<&Routing> {
        self.routing.as_ref()
    }

    pub fn send(&mut self, opcode: u8, payload: &[u8], out: &mut Outbox) {
        let key = (self.random.next() as u32).to_ne_bytes();
        let room = out.room(header_bytes(payload.len()) + payload.len());
        let at = write_header(room, opcode, payload.len(), key);
        room[at..].copy_from_slice(payload);
        mask(&mut room[at..], key);
    }

    fn send_hello(&mut self, out: &mut Outbox) {
        let mut builder = FlatBufferBuilder::with_capacity(256);
        let token = builder.create_string(&self.token);
        let client = builder.create_string(concat!("rondo-load/", env!("CARGO_PKG_VERSION")));
        let hello = Hello::create(
            &mut builder,
            &HelloArgs {
                protocol: PROTOCOL_VERSION,
                token: Some(token),
                client: Some(client),
                session_ttl_ms: self.session_ttl_ms,
                ..HelloArgs::default()
            },
        );
        let frame = Frame::create(
            &mut builder,
            &FrameArgs {
                kind: FrameKind::Hello,
                hello: Some(hello),
                ..FrameArgs::default()
            },
        );
        finish_frame_buffer(&mut builder, frame);
        let bytes = builder.finished_data().to_vec();
        self.send(OPCODE_BINARY, &bytes, out);
    }

    /// Takes whole messages from the front of `bytes`; `frame` gets the frames that follow the greeting.
    #[inline]
    pub fn take_frames(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        frame: &mut impl FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        if let Stage::Upgrading(upgrade) = &self.stage {
            let Some(length) = upgrade.check(bytes)? else {
                return Ok(0);
            };
            used = length;
            if ECHO {
                self.stage = Stage::Open;
                self.facts = Some(Facts::Named { name: "echo" });
            } else {
                self.stage = Stage::Greeting;
                self.send_hello(out);
            }
        }
        while let Some(message) = read_message(&bytes[used..])? {
            match message.opcode {
                OPCODE_BINARY if matches!(self.stage, Stage::Open) => frame(message.payload)?,
                OPCODE_BINARY => {
                    self.welcome(message.payload)?;
                    self.stage = Stage::Open;
                }
                OPCODE_PING => {
                    let payload = message.payload.to_vec();
                    self.send(OPCODE_PONG, &payload, out);
                }
                OPCODE_PONG => {}
                OPCODE_CLOSE => return Err(close_of(message.payload)),
                OPCODE_TEXT => {
                    let text = excerpt(message.payload);
                    return Err(Fault::protocol(format!("it sent a text message: {text}")));
                }
                opcode => return Err(Fault::protocol(format!("opcode {opcode} is unknown"))),
            }
            used += message.length;
        }
        Ok(used)
    }

    fn welcome(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let frame = frame_of(payload)?;
        let limits = frame.welcome().and_then(|welcome| welcome.limits());
        let (FrameKind::Welcome, Some(welcome), Some(limits)) =
            (frame.kind(), frame.welcome(), limits)
        else {
            return Err(Fault::protocol("its first frame is not a welcome"));
        };
        if welcome.protocol() != PROTOCOL_VERSION {
            return Err(Fault::protocol(format!(
                "it speaks version {}, and this generator {PROTOCOL_VERSION}",
                welcome.protocol()
            )));
        }
        if let Some(worker) = self.worker.filter(|&worker| worker != welcome.worker()) {
            return Err(Fault::protocol(format!(
                "worker {} answers at the port of worker {worker}",
                welcome.worker()
            )));
        }
        self.routing = match welcome.routing().filter(|table| !table.is_empty()) {
            Some(table) => Some(
                Routing::decode(table.bytes())
                    .ok_or_else(|| Fault::protocol("its routing table is broken"))?,
            ),
            None => None,
        };
        self.bounds = Bounds {
            batch_operations: limits.operations_per_frame_max() as usize,
            batch_bytes: limits.frame_bytes_max() as usize,
            outstanding: limits.operations_outstanding_max() as usize,
            value_bytes: limits.value_bytes_max() as usize,
        };
        let text = |field: Option<&str>| field.unwrap_or_default().to_owned();
        self.facts = Some(Facts::Rondo {
            name: "rondo",
            version: text(welcome.version()),
            engine: text(welcome.engine()),
            engine_reason: text(welcome.engine_reason()),
            transport: text(welcome.transport()),
            durability: text(welcome.durability()),
            partitions: welcome.partitions(),
            workers: self.routing.as_ref().map_or(1, |table| table.workers.len()),
            keys: welcome.keys(),
            memory_bytes: welcome.memory_bytes(),
        });
        Ok(())
    }
}

impl<const ECHO: bool> Protocol for Rondo<ECHO> {
    const HAS_IDS: bool = true;
    const OPERATION_BYTES: usize = ELEMENT_BYTES + KEY_BYTES;

    fn greet(&mut self, out: &mut Outbox) {
        if let Stage::Upgrading(upgrade) = &self.stage {
            out.append(upgrade.request(&self.host).as_bytes());
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    fn bounds(&self) -> Bounds {
        self.bounds
    }

    fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    #[inline]
    fn encode(&mut self, batch: &[Numbered], values: &Values, out: &mut Outbox) {
        let payload = request_bytes(batch, values);
        let key = (self.random.next() as u32).to_ne_bytes();
        let room = out.room(header_bytes(payload) + payload);
        let at = write_header(room, OPCODE_BINARY, payload, key);
        let frame = &mut room[at..];
        write_request(batch, values, frame);
        mask(frame, key);
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        self.take_frames(bytes, out, &mut |payload| {
            if ECHO {
                read_echo(payload, answer)
            } else {
                read_reply(payload, answer)
            }
        })
    }
}

fn close_of(payload: &[u8]) -> Fault {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return Fault::Closed {
            code: 1005,
            name: String::new(),
            reason: "no code was given".into(),
        };
    };
    let code = u16::from_be_bytes(*code);
    let status = code
        .checked_sub(CLOSE_CODE_BASE)
        .and_then(|code| u8::try_from(code).ok());
    let name = status.and_then(|status| Status(status).variant_name());
    Fault::Closed {
        code,
        name: name.map(|name| format!(" ({name})")).unwrap_or_default(),
        reason: if reason.is_empty() {
            "no reason was given".into()
        } else {
            String::from_utf8_lossy(reason).into_owned()
        },
    }
}
