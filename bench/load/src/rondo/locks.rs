//! Pairs of lock and unlock against a node: one operation takes an exclusive lock, waiting for it as long as
//! it takes, and gives it back; it is done when the release is acknowledged. Each connection has a session.

use crate::fault::{Fault, excerpt};
use crate::generated::{FrameKind, OperationCode, Status};
use crate::outbox::Outbox;
use crate::protocol::{Bounds, Facts, Handover, Numbered, Outcome, Protocol};
use crate::release::{Release, Taken};
use crate::rondo::Rondo;
use crate::rondo::layout::{
    DATA_OFFSET_AT, ELEMENT_BYTES, Element, HEADER_BYTES, KIND_AT, REQUEST_HEADER, VECTOR_LENGTH_AT,
};
use crate::rondo::reply::reply_columns;
use crate::websocket::OPCODE_BINARY;
use crate::workload::{KEY_BYTES, Values, write_key};

/// Set in the id of a release, which otherwise is that of its lock.
const RELEASE: u32 = 1 << 31;
const SESSION_TTL_MS: u64 = 30_000;
const WAIT_FOREVER: u32 = u32::MAX;
const REQUEST_BYTES: usize = HEADER_BYTES + ELEMENT_BYTES + 4 + KEY_BYTES;

pub struct RondoLocks {
    rondo: Rondo<false>,
    name: [u8; KEY_BYTES],
    taken: Taken,
    /// Grants of the frame that is being read.
    granted: Vec<(u32, u64)>,
    token: u64,
}

impl RondoLocks {
    /// Of the lock with this number. `release` is shared by all connections that take it.
    pub fn new(mut rondo: Rondo<false>, name: u32, release: Release) -> Self {
        rondo.session_ttl_ms = SESSION_TTL_MS;
        let mut bytes = [0; KEY_BYTES];
        write_key(name, &mut bytes);
        Self {
            rondo,
            name: bytes,
            taken: Taken::new(release),
            granted: Vec::new(),
            token: 0,
        }
    }

    fn request(
        &self,
        id: u32,
        code: OperationCode,
        wait_ms: u32,
        token: u64,
    ) -> [u8; REQUEST_BYTES] {
        let mut frame = [0; REQUEST_BYTES];
        let data_length_at = HEADER_BYTES + ELEMENT_BYTES;
        frame[..HEADER_BYTES].copy_from_slice(&REQUEST_HEADER);
        let data_offset = (data_length_at - DATA_OFFSET_AT) as u32;
        frame[DATA_OFFSET_AT..DATA_OFFSET_AT + 4].copy_from_slice(&data_offset.to_le_bytes());
        frame[KIND_AT] = FrameKind::Request.0;
        frame[VECTOR_LENGTH_AT..HEADER_BYTES].copy_from_slice(&1_u32.to_le_bytes());
        let element = &mut frame[HEADER_BYTES..data_length_at];
        let word = u64::from(id) | u64::from(code.0) << 32 | (KEY_BYTES as u64) << 48;
        element[..8].copy_from_slice(&word.to_le_bytes());
        element[12..16].copy_from_slice(&wait_ms.to_le_bytes());
        element[24..32].copy_from_slice(&token.to_le_bytes());
        let data = &mut frame[data_length_at..];
        data[..4].copy_from_slice(&(KEY_BYTES as u32).to_le_bytes());
        data[4..].copy_from_slice(&self.name);
        frame
    }
}

impl Protocol for RondoLocks {
    const HAS_IDS: bool = true;
    const OPERATION_BYTES: usize = ELEMENT_BYTES + KEY_BYTES;

    fn greet(&mut self, out: &mut Outbox) {
        self.rondo.greet(out);
    }

    fn is_open(&self) -> bool {
        self.rondo.is_open()
    }

    fn bounds(&self) -> Bounds {
        self.rondo.bounds()
    }

    fn facts(&self) -> Option<&Facts> {
        self.rondo.facts()
    }

    fn handovers(&self) -> &[Handover] {
        self.taken.handovers()
    }

    fn encode(&mut self, batch: &[Numbered], _: &Values, out: &mut Outbox) {
        for Numbered { id, .. } in batch {
            let frame = self.request(*id, OperationCode::Lock, WAIT_FOREVER, 0);
            self.rondo.send(OPCODE_BINARY, &frame, out);
        }
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        let Self { rondo, granted, .. } = self;
        let used = rondo.take_frames(bytes, out, &mut |payload| {
            let (results, data) = reply_columns(payload)?;
            for result in results {
                let head = Element::of(result);
                let mut revision = [0; 8];
                revision.copy_from_slice(&result[16..24]);
                let revision = u64::from_le_bytes(revision);
                if Status(head.code) != Status::Ok || revision == 0 {
                    let name = Status(head.code).variant_name().unwrap_or("unknown");
                    let text = format!("{name}: {}", excerpt(data));
                    answer(head.id & !RELEASE, Outcome::Error(text))?;
                } else if head.id & RELEASE == 0 {
                    granted.push((head.id, revision));
                } else {
                    answer(head.id & !RELEASE, Outcome::Done)?;
                }
            }
            Ok(())
        })?;
        for (id, token) in std::mem::take(&mut self.granted) {
            if token <= self.token {
                return Err(Fault::WrongAnswer(format!(
                    "a grant has token {token}, after {}",
                    self.token
                )));
            }
            self.token = token;
            self.taken.granted();
            let frame = self.request(id | RELEASE, OperationCode::Unlock, 0, token);
            self.rondo.send(OPCODE_BINARY, &frame, out);
            self.taken.released();
        }
        Ok(used)
    }
}
