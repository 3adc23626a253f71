//! A node's side of pushes: a put of one key, and a watch of its prefix.

use crate::fault::{Fault, excerpt};
use crate::generated::{EventKind, FrameKind, OperationCode, Status};
use crate::outbox::Outbox;
use crate::protocol::{Facts, Protocol};
use crate::pushes::{Peer, Said, TOPIC};
use crate::random::Random;
use crate::rondo::Rondo;
use crate::rondo::layout::{Element, frame_of, request_of};
use crate::rondo::reply::reply_columns;
use crate::websocket::OPCODE_BINARY;

/// struct Event.
const EVENT_BYTES: usize = 40;
const PREFIX: &str = "push:";
/// Flag of a watch: its key is a prefix. It starts now, and reports gaps.
const WATCH_PREFIX: u8 = 1;
/// Classes of events: keys.
const CLASS_KEYS: u32 = 1;

pub struct RondoPeer {
    rondo: Rondo<false>,
    is_watching: bool,
    is_ready: bool,
    id: u32,
}

impl RondoPeer {
    pub fn new(address: &str, is_watching: bool, random: Random) -> Self {
        Self {
            rondo: Rondo::new(address.to_owned(), String::new(), random),
            is_watching,
            is_ready: false,
            id: 0,
        }
    }

    fn send(
        &mut self,
        code: OperationCode,
        flags: u8,
        limit: u32,
        key: &str,
        value: &[u8],
        out: &mut Outbox,
    ) {
        self.id = self.id.wrapping_add(1);
        let frame = request_of(self.id, code, flags, limit, key.as_bytes(), value);
        self.rondo.send(OPCODE_BINARY, &frame, out);
    }
}

fn take_frame(
    payload: &[u8],
    is_watching: bool,
    is_ready: &mut bool,
    said: &mut dyn FnMut(Said<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let frame = frame_of(payload)?;
    if frame.kind() == FrameKind::Push {
        let (Some(events), Some(data)) = (frame.events(), frame.data()) else {
            return Err(Fault::protocol("a push has no events"));
        };
        let mut data = data.bytes();
        for event in events.bytes().as_chunks::<EVENT_BYTES>().0 {
            let [_, _, _, _, kind, _, a, b, c, d, e, f, ..] = *event;
            let key_bytes = usize::from(u16::from_le_bytes([a, b]));
            let value_bytes = u32::from_le_bytes([c, d, e, f]) as usize;
            let Some((bytes, rest)) = data.split_at_checked(key_bytes + value_bytes) else {
                return Err(Fault::protocol("the lengths of a push exceed its data"));
            };
            data = rest;
            match EventKind(kind) {
                EventKind::Put => said(Said::Event(&bytes[key_bytes..]))?,
                EventKind::Heartbeat | EventKind::Routing => {}
                kind => {
                    let name = kind.variant_name().unwrap_or("unknown");
                    return Err(Fault::WrongAnswer(format!("an event {name}")));
                }
            }
        }
        return Ok(());
    }
    for result in reply_columns(payload)?.0 {
        let head = Element::of(result);
        if Status(head.code) != Status::Ok {
            let name = Status(head.code).variant_name().unwrap_or("unknown");
            return Err(Fault::Refused {
                what: if is_watching { "watch" } else { "put" }.into(),
                error: format!("{name}: {}", excerpt(result)),
            });
        }
        if is_watching {
            *is_ready = true;
            said(Said::Ready)?;
        } else {
            said(Said::Acknowledged)?;
        }
    }
    Ok(())
}

impl Peer for RondoPeer {
    fn greet(&mut self, out: &mut Outbox) {
        self.rondo.greet(out);
    }

    fn publish(&mut self, value: &[u8], out: &mut Outbox) {
        self.send(OperationCode::Put, 0, 0, TOPIC, value, out);
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        said: &mut dyn FnMut(Said<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let was_open = self.rondo.is_open();
        let Self {
            rondo,
            is_watching,
            is_ready,
            ..
        } = self;
        let used = rondo.take_frames(bytes, out, &mut |payload| {
            take_frame(payload, *is_watching, is_ready, said)
        })?;
        if !was_open && self.rondo.is_open() {
            if self.is_watching {
                self.send(
                    OperationCode::Watch,
                    WATCH_PREFIX,
                    CLASS_KEYS,
                    PREFIX,
                    b"",
                    out,
                );
            } else {
                self.is_ready = true;
                said(Said::Ready)?;
            }
        }
        Ok(used)
    }

    fn facts(&self) -> Option<Facts> {
        self.rondo.facts().cloned()
    }
}
