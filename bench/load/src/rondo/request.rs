//! Writes requests in the usual layout, as clients of the node do, and reads them again where a server
//! echoes them.

use crate::fault::{Fault, excerpt};
use crate::generated::{FrameKind, OperationCode};
use crate::protocol::{Numbered, Outcome};
use crate::rondo::layout::{
    DATA_OFFSET_AT, ELEMENT_BYTES, Element, HEADER_BYTES, KIND_AT, REQUEST_HEADER,
    VECTOR_LENGTH_AT, usual_columns,
};
use crate::workload::{KEY_BYTES, Values, write_key};

#[inline]
pub fn request_bytes(batch: &[Numbered], values: &Values) -> usize {
    let writes = batch
        .iter()
        .filter(|operation| !operation.draw.is_read)
        .count();
    let data_bytes = batch.len() * KEY_BYTES + writes * values.bytes;
    HEADER_BYTES + batch.len() * ELEMENT_BYTES + 4 + data_bytes
}

/// Fills `frame`, which is `request_bytes` long.
#[inline]
pub fn write_request(batch: &[Numbered], values: &Values, frame: &mut [u8]) {
    let data_length_at = HEADER_BYTES + batch.len() * ELEMENT_BYTES;
    let (head, rest) = frame.split_at_mut(HEADER_BYTES);
    head.copy_from_slice(&REQUEST_HEADER);
    head[DATA_OFFSET_AT..DATA_OFFSET_AT + 4]
        .copy_from_slice(&((data_length_at - DATA_OFFSET_AT) as u32).to_le_bytes());
    head[KIND_AT] = FrameKind::Request.0;
    head[VECTOR_LENGTH_AT..].copy_from_slice(&(batch.len() as u32).to_le_bytes());
    let (elements, data) = rest.split_at_mut(batch.len() * ELEMENT_BYTES);
    let (data_length, mut data) = data.split_at_mut(4);
    data_length.copy_from_slice(&(data.len() as u32).to_le_bytes());

    let (elements, _) = elements.as_chunks_mut::<ELEMENT_BYTES>();
    for (element, operation) in elements.iter_mut().zip(batch) {
        let (code, value_bytes) = if operation.draw.is_read {
            (OperationCode::Get, 0)
        } else {
            (OperationCode::Put, values.bytes)
        };
        let word = u64::from(operation.id) | u64::from(code.0) << 32 | (KEY_BYTES as u64) << 48;
        *element = [0; ELEMENT_BYTES];
        element[..8].copy_from_slice(&word.to_le_bytes());
        element[8..12].copy_from_slice(&(value_bytes as u32).to_le_bytes());

        let (key, rest) = data.split_at_mut(KEY_BYTES);
        if let Some(key) = key.first_chunk_mut() {
            write_key(operation.draw.key, key);
        }
        let (value, rest) = rest.split_at_mut(value_bytes);
        if !operation.draw.is_read {
            values.write(operation.draw.key, value);
        }
        data = rest;
    }
}

#[inline]
pub fn read_echo(
    payload: &[u8],
    answer: &mut impl FnMut(u32, Outcome<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let columns = usual_columns(payload, &REQUEST_HEADER, FrameKind::Request);
    let Some((operations, mut data)) = columns else {
        let text = excerpt(payload);
        return Err(Fault::protocol(format!(
            "it did not echo a request: {text}"
        )));
    };
    for operation in operations {
        let head = Element::of(operation);
        let Some((key, rest)) = data.split_at_checked(head.key_bytes) else {
            return Err(Fault::protocol("an echo is shorter than its request"));
        };
        let Some((value, rest)) = rest.split_at_checked(head.value_bytes) else {
            return Err(Fault::protocol("an echo is shorter than its request"));
        };
        data = rest;
        let is_read = head.code == OperationCode::Get.0;
        answer(
            head.id,
            Outcome::Echo {
                is_read,
                key,
                value,
            },
        )?;
    }
    Ok(())
}
