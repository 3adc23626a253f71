//! The few messages of etcd's API, version 3, that are spoken: Protocol Buffers by hand, in the frames of
//! gRPC. Field numbers are those of `rpc.proto` and `kv.proto`.

use bytes::{BufMut, Bytes, BytesMut};

use crate::fault::{Fault, excerpt};
use crate::workload::{KEY_BYTES, Values, write_key};

/// A flag for compression, and the length.
const GRPC_HEAD_BYTES: usize = 5;
/// Tags: field number and the wire type of bytes.
const KEY: u8 = 1 << 3 | 2;
const VALUE: u8 = 2 << 3 | 2;
/// And the wire type of numbers.
const LEASE_TTL: u8 = 1 << 3;
const LOCK_LEASE: u8 = 2 << 3;

/// Field numbers of answers.
pub mod field {
    pub const HEADER: u64 = 1;
    pub const HEADER_REVISION: u64 = 3;
    pub const RANGE_KEYS: u64 = 2;
    pub const KEY_VALUE_VALUE: u64 = 5;
    pub const STATUS_VERSION: u64 = 2;
    pub const STATUS_DATABASE_BYTES: u64 = 3;
    pub const LEASE_ID: u64 = 2;
    pub const LOCK_KEY: u64 = 2;
}

/// `RangeRequest` of one key, or `PutRequest`.
pub fn request_of(key: u32, is_read: bool, values: &Values) -> Bytes {
    let value_bytes = if is_read { 0 } else { values.bytes };
    let mut message = BytesMut::with_capacity(GRPC_HEAD_BYTES + KEY_BYTES + value_bytes + 16);
    message.put_bytes(0, GRPC_HEAD_BYTES);
    let mut name = [0; KEY_BYTES];
    write_key(key, &mut name);
    message.put_slice(&[KEY, KEY_BYTES as u8]);
    message.put_slice(&name);
    if !is_read {
        message.put_u8(VALUE);
        put_varint(value_bytes as u64, &mut message);
        let at = message.len();
        message.put_bytes(0, value_bytes);
        values.write(key, &mut message[at..]);
    }
    let length = (message.len() - GRPC_HEAD_BYTES) as u32;
    message[1..GRPC_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    message.freeze()
}

/// `StatusRequest`, which is empty.
pub fn status_request() -> Bytes {
    Bytes::from_static(&[0; GRPC_HEAD_BYTES])
}

/// `LeaseGrantRequest` of a lease of so many seconds; etcd chooses its id.
pub fn lease_request(seconds: u64) -> Bytes {
    message(|out| {
        out.put_u8(LEASE_TTL);
        put_varint(seconds, out);
    })
}

/// `LockRequest`: the name of a lock, and the lease that it is held under.
pub fn lock_request(name: &[u8], lease: u64) -> Bytes {
    message(|out| {
        put_bytes(KEY, name, out);
        out.put_u8(LOCK_LEASE);
        put_varint(lease, out);
    })
}

/// `UnlockRequest`: the key that the grant named.
pub fn unlock_request(key: &[u8]) -> Bytes {
    message(|out| put_bytes(KEY, key, out))
}

fn message(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut message = BytesMut::with_capacity(GRPC_HEAD_BYTES + 128);
    message.put_bytes(0, GRPC_HEAD_BYTES);
    write(&mut message);
    let length = (message.len() - GRPC_HEAD_BYTES) as u32;
    message[1..GRPC_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
    message.freeze()
}

fn put_bytes(tag: u8, bytes: &[u8], out: &mut BytesMut) {
    out.put_u8(tag);
    put_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn put_varint(mut number: u64, out: &mut BytesMut) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

/// The one message of an answer's body.
pub fn message_of(body: &[u8]) -> Result<&[u8], Fault> {
    match body.split_at_checked(GRPC_HEAD_BYTES) {
        Some(([0, length @ ..], message)) if length_of(length) == message.len() => Ok(message),
        _ => Err(Fault::protocol(format!(
            "an answer is not one plain gRPC message: {}",
            excerpt(body)
        ))),
    }
}

fn length_of(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |length, byte| length << 8 | usize::from(*byte))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The last field of a number, which is the one that counts; none where the message has none.
pub fn find(message: &[u8], number: u64) -> Result<Option<Field<'_>>, Fault> {
    let mut found = None;
    let mut rest = message;
    while !rest.is_empty() {
        let (at, field) = next_field(&mut rest)
            .ok_or_else(|| Fault::protocol(format!("a message is broken: {}", excerpt(message))))?;
        if at == number {
            found = Some(field);
        }
    }
    Ok(found)
}

pub fn find_bytes(message: &[u8], number: u64) -> Result<Option<&[u8]>, Fault> {
    Ok(match find(message, number)? {
        Some(Field::Bytes(bytes)) => Some(bytes),
        _ => None,
    })
}

/// The revision of the store that an answer speaks of; 0 where it says none.
pub fn revision_of(message: &[u8]) -> Result<u64, Fault> {
    let header = find_bytes(message, field::HEADER)?.unwrap_or_default();
    Ok(match find(header, field::HEADER_REVISION)? {
        Some(Field::Number(revision)) => revision,
        _ => 0,
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = take_varint(rest)?;
    let field = match tag & 7 {
        0 => Field::Number(take_varint(rest)?),
        1 => Field::Bytes(take(rest, 8)?),
        2 => {
            let length = usize::try_from(take_varint(rest)?).ok()?;
            Field::Bytes(take(rest, length)?)
        }
        5 => Field::Bytes(take(rest, 4)?),
        _ => return None,
    };
    Some((tag >> 3, field))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Workload;

    #[test]
    fn a_put_is_what_the_schema_says() {
        let workload = Workload::new(10, 0.0, None, 300, 7);
        let put = request_of(3, false, &workload.values);
        let message = message_of(&put).expect("one message");
        assert_eq!(
            find_bytes(message, 1).expect("valid"),
            Some(b"user:000000000003".as_slice())
        );
        let value = find_bytes(message, 2).expect("valid").expect("a value");
        assert!(workload.values.matches_exactly(3, value));
        assert_eq!(message[19..22], [0x12, 0xac, 0x02]);

        let range = request_of(3, true, &workload.values);
        let message = message_of(&range).expect("one message");
        assert_eq!((message[..2].to_vec(), message.len()), (vec![0x0a, 17], 19));
        assert_eq!(message_of(&status_request()).expect("empty"), b"");
    }

    #[test]
    fn fields_are_found_between_others() {
        // A fixed64, a fixed32, a long number, and bytes.
        let mut message = vec![
            0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x18, 0xac, 0x02,
        ];
        message.extend([0x0a, 2, 0x18, 9]);
        assert_eq!(find(&message, 3).expect("valid"), Some(Field::Number(300)));
        assert_eq!(revision_of(&message).expect("valid"), 9);
        assert_eq!(find(&message, 4).expect("valid"), None);
    }

    #[test]
    fn what_is_broken_is_refused() {
        for message in [&[0x0a, 5, 1][..], &[0x0b], &[0x08], &[0xff; 12]] {
            assert!(find(message, 1).is_err(), "{message:?}");
        }
        for body in [
            &b""[..],
            &[0, 0, 0, 0, 1],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0],
        ] {
            assert!(message_of(body).is_err(), "{body:?}");
        }
    }
}
