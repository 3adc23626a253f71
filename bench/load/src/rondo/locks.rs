//! Pairs of lock and unlock against a node: one operation takes an exclusive lock, waiting for it as long as
//! it takes, and gives it back; it is done when the release is acknowledged. Each connection has a session.

use crate::fault::{Fault, excerpt};
use crate::generated::{OperationCode, Status};
use crate::outbox::Outbox;
use crate::protocol::{Bounds, Facts, Handover, Numbered, Outcome, Protocol};
use crate::release::{Release, Taken};
use crate::rondo::Rondo;
use crate::rondo::layout::{ELEMENT_BYTES, Element, HEADER_BYTES, request_of};
use crate::rondo::reply::reply_columns;
use crate::websocket::OPCODE_BINARY;
use crate::workload::{KEY_BYTES, Values, write_key};

/// Set in the id of a release, which otherwise is that of its lock.
const RELEASE: u32 = 1 << 31;
const SESSION_TTL_MS: u64 = 30_000;
const WAIT_FOREVER: u32 = u32::MAX;
/// Where an operation has the token.
const OPERATION_EXPECTED_REVISION: usize = 24;

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

    fn request(&self, id: u32, code: OperationCode, wait_ms: u32, token: u64) -> Vec<u8> {
        let mut frame = request_of(id, code, 0, wait_ms, &self.name, b"");
        let at = HEADER_BYTES + OPERATION_EXPECTED_REVISION;
        frame[at..at + 8].copy_from_slice(&token.to_le_bytes());
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
