//! The bytes of hot frames, as `ts/wire/layout.ts` has them: where what stands, and a way straight to the
//! columns of a frame in the usual layout.

use flatbuffers::VerifierOptions;

use crate::fault::{Fault, excerpt};
use crate::generated::{Frame, FrameKind, OperationCode, frame_buffer_has_identifier};

/// struct Operation and struct OperationResult.
pub const ELEMENT_BYTES: usize = 32;
pub const HEADER_BYTES: usize = 40;
pub const DATA_OFFSET_AT: usize = 28;
pub const KIND_AT: usize = 32;
pub const VECTOR_LENGTH_AT: usize = 36;

/// The head of a hot frame; kind, data offset and vector length are zero. Requests have the vector
/// `operations`, replies `results`.
const fn header(operations: u8, results: u8) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[0] = 20;
    bytes[4] = b'R';
    bytes[5] = b'N';
    bytes[6] = b'D';
    bytes[7] = b'O';
    bytes[8] = 12;
    bytes[10] = 16;
    bytes[12] = 12;
    bytes[14] = operations;
    bytes[16] = results;
    bytes[18] = 8;
    bytes[20] = 12;
    bytes[24] = 12;
    bytes
}
pub const REQUEST_HEADER: [u8; HEADER_BYTES] = header(4, 0);
pub const REPLY_HEADER: [u8; HEADER_BYTES] = header(0, 4);

pub fn frame_of(payload: &[u8]) -> Result<Frame<'_>, Fault> {
    let broken = |why: String| Fault::protocol(format!("a frame is broken: {why}"));
    if payload.len() < 8 || !frame_buffer_has_identifier(payload) {
        return Err(broken(format!(
            "it has no identifier: {}",
            excerpt(payload)
        )));
    }
    flatbuffers::root_with_opts::<Frame>(&VerifierOptions::default(), payload)
        .map_err(|error| broken(error.to_string()))
}

/// The columns of a hot frame: its structs, and keys and values.
pub type Columns<'a> = (&'a [[u8; ELEMENT_BYTES]], &'a [u8]);

/// The columns of a frame that is laid out in the usual way.
#[inline]
pub fn usual_columns<'a>(
    payload: &'a [u8],
    header: &[u8; HEADER_BYTES],
    kind: FrameKind,
) -> Option<Columns<'a>> {
    let (head, rest) = payload.split_first_chunk::<HEADER_BYTES>()?;
    let is_usual = head[..DATA_OFFSET_AT] == header[..DATA_OFFSET_AT]
        && head[KIND_AT..VECTOR_LENGTH_AT] == [kind.0, 0, 0, 0];
    let count = read_u32(head, VECTOR_LENGTH_AT) as usize;
    let elements_bytes = count.checked_mul(ELEMENT_BYTES)?;
    let (elements, data) = rest.split_at_checked(elements_bytes)?;
    let (data_length, data) = data.split_first_chunk::<4>()?;
    let data_at = HEADER_BYTES + elements_bytes - DATA_OFFSET_AT;
    let fits = read_u32(head, DATA_OFFSET_AT) as usize == data_at
        && u32::from_le_bytes(*data_length) as usize == data.len();
    (is_usual && fits).then_some((elements.as_chunks().0, data))
}

#[inline]
fn read_u32(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A request of one operation.
pub fn request_of(
    id: u32,
    code: OperationCode,
    flags: u8,
    limit: u32,
    key: &[u8],
    value: &[u8],
) -> Vec<u8> {
    let data_length_at = HEADER_BYTES + ELEMENT_BYTES;
    let mut frame = vec![0; data_length_at + 4];
    frame[..HEADER_BYTES].copy_from_slice(&REQUEST_HEADER);
    let data_offset = (data_length_at - DATA_OFFSET_AT) as u32;
    frame[DATA_OFFSET_AT..DATA_OFFSET_AT + 4].copy_from_slice(&data_offset.to_le_bytes());
    frame[KIND_AT] = FrameKind::Request.0;
    frame[VECTOR_LENGTH_AT..HEADER_BYTES].copy_from_slice(&1_u32.to_le_bytes());
    let element = &mut frame[HEADER_BYTES..data_length_at];
    element[..4].copy_from_slice(&id.to_le_bytes());
    element[4..6].copy_from_slice(&[code.0, flags]);
    element[6..8].copy_from_slice(&(key.len() as u16).to_le_bytes());
    element[8..12].copy_from_slice(&(value.len() as u32).to_le_bytes());
    element[12..16].copy_from_slice(&limit.to_le_bytes());
    let data_bytes = (key.len() + value.len()) as u32;
    frame[data_length_at..].copy_from_slice(&data_bytes.to_le_bytes());
    frame.extend_from_slice(key);
    frame.extend_from_slice(value);
    frame
}

/// What operation and result have at the same places; `code` is a result's status.
pub struct Element {
    pub id: u32,
    pub code: u8,
    pub flags: u8,
    pub key_bytes: usize,
    pub value_bytes: usize,
}

impl Element {
    #[inline]
    pub fn of(bytes: &[u8; ELEMENT_BYTES]) -> Self {
        let [a, b, c, d, code, flags, e, f, g, h, i, j, ..] = *bytes;
        Self {
            id: u32::from_le_bytes([a, b, c, d]),
            code,
            flags,
            key_bytes: usize::from(u16::from_le_bytes([e, f])),
            value_bytes: u32::from_le_bytes([g, h, i, j]) as usize,
        }
    }
}
