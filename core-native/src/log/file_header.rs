//! The headers of segments and snapshots. The twin of those in `node/log/local/format.ts`, where the
//! layout is described.

use xxhash_rust::xxh64::xxh64;

use crate::layout::{read_u32, read_u64, write};

pub const FILE_HEADER_BYTES: usize = 64;
const FORMAT_VERSION: u32 = 1;
const SEGMENT_MAGIC: &[u8; 8] = b"RONDOSEG";
const SNAPSHOT_MAGIC: &[u8; 8] = b"RONDOSNP";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    pub partitions: u32,
    pub log_id: u64,
    pub segment: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotHeader {
    pub partitions: u32,
    pub log_id: u64,
    pub last_segment: u64,
    pub last_batch: u64,
    pub last_checksum: u64,
    /// Milliseconds since 1970.
    pub time: u64,
}

/// `None` where the bytes are no such header of this version.
pub fn decode_segment_header(bytes: &[u8; FILE_HEADER_BYTES]) -> Option<SegmentHeader> {
    is_header(bytes, SEGMENT_MAGIC).then(|| SegmentHeader {
        partitions: read_u32(bytes, 12),
        log_id: read_u64(bytes, 16),
        segment: read_u64(bytes, 24),
    })
}

/// `None` where the bytes are no such header of this version.
pub fn decode_snapshot_header(bytes: &[u8; FILE_HEADER_BYTES]) -> Option<SnapshotHeader> {
    is_header(bytes, SNAPSHOT_MAGIC).then(|| SnapshotHeader {
        partitions: read_u32(bytes, 12),
        log_id: read_u64(bytes, 16),
        last_segment: read_u64(bytes, 24),
        last_batch: read_u64(bytes, 32),
        last_checksum: read_u64(bytes, 40),
        time: read_u64(bytes, 48),
    })
}

pub fn encode_snapshot_header(header: &SnapshotHeader) -> [u8; FILE_HEADER_BYTES] {
    let mut bytes = [0; FILE_HEADER_BYTES];
    write(&mut bytes, 0, *SNAPSHOT_MAGIC);
    write(&mut bytes, 8, FORMAT_VERSION.to_le_bytes());
    write(&mut bytes, 12, header.partitions.to_le_bytes());
    write(&mut bytes, 16, header.log_id.to_le_bytes());
    write(&mut bytes, 24, header.last_segment.to_le_bytes());
    write(&mut bytes, 32, header.last_batch.to_le_bytes());
    write(&mut bytes, 40, header.last_checksum.to_le_bytes());
    write(&mut bytes, 48, header.time.to_le_bytes());
    let checksum = xxh64(&bytes[..56], 0);
    write(&mut bytes, 56, checksum.to_le_bytes());
    bytes
}

/// The checksum with which the chain of a snapshot starts.
pub fn header_checksum(bytes: &[u8; FILE_HEADER_BYTES]) -> u64 {
    read_u64(bytes, 56)
}

fn is_header(bytes: &[u8; FILE_HEADER_BYTES], magic: &[u8; 8]) -> bool {
    bytes.starts_with(magic)
        && read_u32(bytes, 8) == FORMAT_VERSION
        && read_u64(bytes, 56) == xxh64(&bytes[..56], 0)
}
