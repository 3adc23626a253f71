//! Pairs of lock and unlock against etcd, through its own Lock service, in which the server does what its
//! client libraries otherwise do in several calls. Each connection has a lease, as a session has.

use std::collections::HashMap;

use bytes::Bytes;
use http::Request;

use crate::etcd::messages::{
    Field, field, find, find_bytes, lease_request, lock_request, message_of, unlock_request,
};
use crate::etcd::{Ended, Etcd, request_to};
use crate::fault::Fault;
use crate::outbox::Outbox;
use crate::protocol::{Bounds, Facts, Handover, Numbered, Outcome, Protocol};
use crate::release::{Release, Taken};
use crate::workload::{KEY_BYTES, Values, write_key};

/// Set in the id of a release, which otherwise is that of its lock.
const RELEASE: u32 = 1 << 31;
/// Stands for the making of the lease among the calls.
const LEASE: u32 = u32::MAX - 1;
/// Longer than a run: none has to be kept alive.
const LEASE_SECONDS: u64 = 24 * 3600;

pub struct EtcdLocks {
    etcd: Etcd,
    lease_grant: Request<()>,
    lock: Request<()>,
    unlock: Request<()>,
    name: [u8; KEY_BYTES],
    /// 0: not yet made.
    lease: u64,
    lease_is_asked: bool,
    taken: Taken,
}

impl EtcdLocks {
    /// Of the lock with this number. `release` is shared by all connections that take it.
    pub fn new(host: &str, name: u32, release: Release) -> Result<Self, Fault> {
        let mut bytes = [0; KEY_BYTES];
        write_key(name, &mut bytes);
        Ok(Self {
            etcd: Etcd::new(host)?,
            lease_grant: request_to(host, "etcdserverpb.Lease/LeaseGrant")?,
            lock: request_to(host, "v3lockpb.Lock/Lock")?,
            unlock: request_to(host, "v3lockpb.Lock/Unlock")?,
            name: bytes,
            lease: 0,
            lease_is_asked: false,
            taken: Taken::new(release),
        })
    }

    fn call(&mut self, id: u32, request: &Request<()>, message: Bytes) -> Result<(), Fault> {
        self.etcd.call(id, false, request.clone(), message)
    }
}

/// The answer of a call that went well.
fn body_of(what: &'static str, ended: &Ended) -> Result<Vec<u8>, Fault> {
    let Ended { body, status, .. } = ended;
    if status.code != "0" {
        return Err(Fault::Refused {
            what: what.into(),
            error: format!("{} (grpc-status {})", status.message, status.code),
        });
    }
    Ok(message_of(body)?.to_vec())
}

impl Protocol for EtcdLocks {
    const HAS_IDS: bool = false;
    const OPERATION_BYTES: usize = KEY_BYTES + 64;

    fn greet(&mut self, out: &mut Outbox) {
        self.etcd.greet(out);
    }

    fn is_open(&self) -> bool {
        self.lease != 0
    }

    fn bounds(&self) -> Bounds {
        self.etcd.bounds()
    }

    fn facts(&self) -> Option<&Facts> {
        self.etcd.facts()
    }

    fn handovers(&self) -> &[Handover] {
        self.taken.handovers()
    }

    fn encode(&mut self, batch: &[Numbered], _: &Values, out: &mut Outbox) {
        let mut sent = Ok(());
        for Numbered { id, .. } in batch {
            let message = lock_request(&self.name, self.lease);
            let request = self.lock.clone();
            sent = sent.and_then(|()| self.call(*id, &request, message));
        }
        if let Err(fault) = sent.and_then(|()| self.etcd.turn(out)) {
            self.etcd.fault = Some(fault);
        }
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        out: &mut Outbox,
        answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        if let Some(fault) = self.etcd.fault.take() {
            return Err(fault);
        }
        self.etcd.pipe.0.borrow_mut().input.extend_from_slice(bytes);
        self.etcd.turn(out)?;
        loop {
            let mut all = HashMap::new();
            let went_on = self.etcd.go_on(&mut |id, ended| {
                all.insert(id, ended);
                Ok(())
            })?;
            for (id, ended) in all {
                self.take(id, &ended, answer)?;
            }
            if !self.lease_is_asked && self.etcd.facts().is_some() {
                self.lease_is_asked = true;
                let request = self.lease_grant.clone();
                self.call(LEASE, &request, lease_request(LEASE_SECONDS))?;
            } else if !went_on {
                return Ok(bytes.len());
            }
            self.etcd.turn(out)?;
        }
    }
}

impl EtcdLocks {
    fn take(
        &mut self,
        id: u32,
        ended: &Ended,
        answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if id == LEASE {
            let body = body_of("Lease.LeaseGrant", ended)?;
            self.lease = match find(&body, field::LEASE_ID)? {
                Some(Field::Number(lease)) if lease != 0 => lease,
                _ => return Err(Fault::protocol("a lease has no id")),
            };
        } else if id & RELEASE != 0 {
            body_of("Lock.Unlock", ended)?;
            answer(id & !RELEASE, Outcome::Done)?;
        } else {
            let body = body_of("Lock.Lock", ended)?;
            let Some(key) = find_bytes(&body, field::LOCK_KEY)? else {
                return Err(Fault::protocol("a grant has no key"));
            };
            self.taken.granted();
            let request = self.unlock.clone();
            self.call(id | RELEASE, &request, unlock_request(key))?;
            self.taken.released();
        }
        Ok(())
    }
}
