//! From a key to its partition. The ring of 2^32 positions is cut into equal arcs, a power of two of
//! them, so that the partition is the top bits of the key's hash: XXH32 with seed 0.

use xxhash_rust::xxh32::xxh32;

/// The partition of a key. Where the key holds `{tag}` (the first `{`, and a `}` after it with at
/// least one byte between), only the tag is hashed, so that keys with one tag share a partition.
#[inline]
pub fn partition_of_key(key: &[u8], partitions: usize) -> usize {
    partition_of_bytes(tag_of(key).unwrap_or(key), partitions)
}

/// The partition that all keys with this prefix share, because a whole `{tag}` is in it.
pub fn partition_of_tag(prefix: &[u8], partitions: usize) -> Option<usize> {
    tag_of(prefix).map(|tag| partition_of_bytes(tag, partitions))
}

#[inline]
fn partition_of_bytes(hashed: &[u8], partitions: usize) -> usize {
    let hash = xxh32(hashed, 0);
    // partitions is a power of two up to 2^16: the product keeps the top bits of the hash.
    ((u64::from(hash) * partitions as u64) >> 32) as usize
}

/// What stands between the braces of a whole `{tag}`.
#[inline]
pub fn tag_of(key: &[u8]) -> Option<&[u8]> {
    // Without an early end this looks at 16 bytes at a time, and nearly no key has a tag.
    if !key
        .iter()
        .fold(false, |found, &byte| found | (byte == b'{'))
    {
        return None;
    }
    let open = key.iter().position(|&byte| byte == b'{')?;
    let inner = key.get(open + 1..)?;
    let length = inner.iter().position(|&byte| byte == b'}')?;
    if length == 0 {
        None
    } else {
        inner.get(..length)
    }
}
